//! Sees to it that there is a certificate for each name, and that it is renewed in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::certificate::Certificate;
use super::folder::Lock;
use super::order::Failure;
use super::settings::Name;
use super::{Acme, On};
use crate::state::Live;

/// How often names, files and the clock are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many certificates are ordered at once: an authority is not to be rushed at, and one slow name not to hold up the others.
const AT_ONCE: usize = 4;

type UnderWay = JoinSet<(Name, Result<Certificate, Failure>)>;

/// Keeps the certificates for the names of the configuration in use, less those that `covers` has from elsewhere. On this
/// thread; never returns.
pub(crate) async fn keep(live: &Live, covers: impl Fn(&str) -> bool) {
    let acme = Arc::clone(&live.load().acme);
    let Some(on) = &acme.on else { return std::future::pending().await };
    let mut keeper = Keeper { acme: &acme, on, lock: None, said: None };
    let mut under_way = UnderWay::new();
    loop {
        acme.follow(&live.load().config.acme_names(&covers));
        keeper.look(&mut under_way);
        tokio::select! {
            Some(done) = under_way.join_next() => match done {
                Ok((name, outcome)) => keeper.settle(&name, outcome),
                Err(_) => keeper.give_up(),
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

struct Keeper<'a> {
    acme: &'a Acme,
    on: &'a On,
    /// Without it the certificates are another gate's to renew, and are read when they change.
    lock: Option<Lock>,
    /// Why there is no lock, as it was last said.
    said: Option<String>,
}

impl Keeper<'_> {
    /// Reads what has changed, and begins what is due.
    fn look(&mut self, under_way: &mut UnderWay) {
        let mut standings = self.on.standings();
        let mut has_changed = false;
        for (name, standing) in standings.iter_mut() {
            has_changed |= self.acme.read(self.on, name, standing);
        }
        if has_changed {
            self.on.show(&standings);
        }
        if !self.is_in_charge() {
            return;
        }
        let (now, elapsed) = (self.acme.clock.now(), self.acme.clock.elapsed());
        for (name, standing) in standings.iter_mut() {
            if under_way.len() < AT_ONCE && standing.is_due(now, elapsed) {
                standing.is_under_way = true;
                let (orders, name) = (Arc::clone(&self.on.orders), name.clone());
                under_way.spawn(async move {
                    let outcome = orders.certificate(&name).await;
                    (name, outcome)
                });
            }
        }
    }

    /// Whether the folder is this gate's to change; tries to become that.
    fn is_in_charge(&mut self) -> bool {
        if self.lock.is_some() {
            return true;
        }
        let why = match self.on.folder.lock() {
            Ok(Some(lock)) => {
                self.lock = Some(lock);
                self.said = None;
                return true;
            }
            Ok(None) => format!(
                "another gate renews the certificates in {}; this one reads them as they change",
                self.on.folder.path().display()
            ),
            Err(sentence) => sentence,
        };
        if self.said.as_ref() != Some(&why) {
            tracing::warn!("{why}");
            self.said = Some(why);
        }
        false
    }

    fn settle(&self, name: &Name, outcome: Result<Certificate, Failure>) {
        let (now, elapsed, luck) = (self.acme.clock.now(), self.acme.clock.elapsed(), self.acme.luck());
        let mut standings = self.on.standings();
        // A name that was taken out meanwhile keeps its file, and nothing else.
        let Some(standing) = standings.get_mut(name) else { return };
        match outcome {
            Ok(certificate) => {
                let days = certificate.left(now).as_secs() / 86_400;
                tracing::info!(%name, days, "there is a new certificate");
                standing.take(certificate, self.on.folder.seen(name), luck);
                standing.succeeded(now, elapsed, luck);
                if let Some(problem) = &standing.problem {
                    tracing::error!(%name, "{problem}");
                }
                self.on.show(&standings);
            }
            Err(failure) => {
                let sentence = failure.sentence.clone();
                let minutes = standing.failed(failure, elapsed, luck).as_secs().div_ceil(60);
                let next = format!("{sentence}; next attempt in {minutes} min");
                match &standing.certificate {
                    None => tracing::error!(%name, "no certificate, so the name is not served: {next}"),
                    Some(old) if old.is_urgent(now) => {
                        let hours = old.left(now).as_secs() / 3600;
                        tracing::error!(%name, "the certificate is over in {hours} h and could not be renewed: {next}");
                    }
                    Some(_) => {
                        tracing::warn!(%name, "the certificate could not be renewed and stays in use: {next}");
                    }
                }
            }
        }
    }

    /// After a panic, which is reported where it happens: nobody knows whose it was.
    fn give_up(&self) {
        let elapsed = self.acme.clock.elapsed();
        for standing in self.on.standings().values_mut().filter(|standing| standing.is_under_way) {
            let sentence = "an attempt broke off inside the gate; its log says where".to_owned();
            standing.failed(Failure { sentence, wait: None }, elapsed, 0);
        }
    }
}
