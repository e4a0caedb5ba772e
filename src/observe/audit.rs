//! The audit trail: who signed in or tried to, asked for a reset, opened a link, set a password, ended sessions; when, from
//! where, and what came of it. Each event is a line of the log (target `audit`) and a row in the store.
//!
//! Called by the endpoints, [`crate::identity`] and [`crate::recovery`]; read by `lychgate recoveries` and `lychgate audit`.
//! [`Audit::record`] writes the line and puts the row into a queue in memory. One task, [`Audit::keep_house`], writes what waits, at
//! once and in batches, and tries again for as long as the store cannot; stopping writes the rest. Before an answer of the gate's
//! own pages leaves, [`Audit::settled`] waits until its events are in the store, so that a process that is killed loses nothing it
//! has told of. No answer fails with the store: if it cannot be written, events wait in memory, and are in the log meanwhile.
//!
//! # Names
//! What people type into the field for the name is now and then their password. So a name is written out only where it is known
//! that there is such an account: somebody signed in by it, or the authority said so. Otherwise there is a keyed hash of its
//! canonical spelling, `#` and 16 hexadecimal digits: the same name has the same hash, so attempts can be counted; who holds the
//! store's secret can ask for the events of a name (`--user`) and finds those under its hash too; a password cannot be read out
//! of it, nor guessed without the secret. Where the same account is known by another row, the commands show its name.
//!
//! # What it defends against
//! Losing events to a slow, full or locked store (they wait, up to [`MOST_WAITING`], and are in the log in any case); a store
//! that a flood of failures fills (`most` rows, of which failures go first; the same client's refusals for having tried too
//! often are written once a minute); passwords, tokens and whole pages in either place.

mod event;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Notify, watch};

pub use self::event::{ASKED, Event, Kind, Origin};
use crate::account;
use crate::clock::{Clock, Timestamp};
use crate::config::values::Span;
use crate::seal::Sealer;
use crate::secret::Secret;
use crate::store::{AuditAccount, AuditRow, AuditStore, StoreError};

/// `[audit]` of `proxy.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long events stay in the store; default `"90d"`. `"0"` keeps none: there are only the lines of the log.
    pub keep: Span,
    /// How many at the most, about 250 bytes each; default 1000000.
    pub most: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep: Span::minutes(90 * 24 * 60), most: 1_000_000 }
    }
}

/// More rows than this do not wait for the store: about 4 MiB.
pub const MOST_WAITING: usize = 16 * 1024;
/// More than this are not written in one transaction, so that sessions get their turn.
const BATCH: usize = 256;
/// How long to wait before a store that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// The longest that an answer waits for its events: what holds the store up may hold it for long.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often what is too old is removed.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);
/// Within this span the same refusal is written once.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// So many clients are remembered for that.
const MOST_REFUSED: usize = 4096;

/// The trail; shared by every worker.
pub struct Audit {
    settings: ArcSwap<Settings>,
    store: Arc<dyn AuditStore>,
    names: Names,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    progress: watch::Sender<Progress>,
    /// Held while writing, so that rows keep their order.
    house: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<AuditRow>,
    /// How many were to be written since the start.
    recorded: u64,
    /// How many could not wait any longer; they are in the log only.
    lost: u64,
    /// The last refusals that were written, by what was refused to whom.
    refused: HashMap<(Kind, String, Option<std::net::IpAddr>), Timestamp>,
}

/// How far writing has come.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// So many of those recorded need not be waited for: they are in the store, or lost.
    done: u64,
    /// The store does not write at present.
    is_stuck: bool,
}

impl Audit {
    /// A trail in `store`.
    pub fn new(
        settings: &Settings,
        store: Arc<dyn AuditStore>,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings.clone()),
            store,
            names: Names::new(sealer),
            clock,
            waiting: Mutex::default(),
            wake: Notify::new(),
            progress: watch::Sender::default(),
            house: tokio::sync::Mutex::default(),
        }
    }

    /// Goes by other settings from now on.
    pub fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Writes the event into the log, and into the store as soon as it can. Never waits and never fails.
    pub fn record(&self, origin: &Origin, event: Event<'_>) {
        let now = self.clock.now();
        let row = event.row(now, origin, &self.names);
        let mut waiting = self.waiting();
        if event.is_refusal() && waiting.was_refused_just_now(event.kind(), origin, now) {
            return;
        }
        log(&row);
        if self.settings.load().keep.is_zero() {
            return;
        }
        waiting.recorded += 1;
        if waiting.rows.len() < MOST_WAITING {
            waiting.rows.push_back(row);
        } else {
            waiting.lost += 1;
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits until all that was recorded so far is in the store: some milliseconds, and at most a second. Does not wait for a store
    /// that is known not to write.
    pub async fn settled(&self) {
        let recorded = self.waiting().recorded;
        let mut progress = self.progress.subscribe();
        let come_so_far = progress.wait_for(|progress| progress.done >= recorded || progress.is_stuck);
        if tokio::time::timeout(PATIENCE, come_so_far).await.is_err() {
            self.progress.send_modify(|progress| progress.is_stuck = true);
        }
    }

    /// Writes what waits and removes what is too old, until it is told to stop; then it writes the rest. Run it once.
    pub async fn keep_house(&self, stop: impl Future) {
        let mut stop = std::pin::pin!(stop);
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        loop {
            // Only waiting is broken off, writing never is: a batch on its way would be lost or written twice.
            let outcome = tokio::select! {
                () = self.wake.notified() => self.flush().await,
                _ = prune.tick() => self.prune().await,
                _ = &mut stop => break,
            };
            if let Err(error) = outcome {
                let (waiting, lost) = self.backlog();
                tracing::error!(%error, waiting, lost, "the audit trail cannot be written to the store; its events are in the log; trying again in ten seconds");
                tokio::select! {
                    () = tokio::time::sleep(TRY_AGAIN) => self.wake.notify_one(),
                    _ = &mut stop => break,
                }
            }
        }
        if let Err(error) = self.flush().await {
            let (waiting, lost) = self.backlog();
            tracing::error!(%error, waiting, lost, "the last audit events cannot be written to the store; they are in the log");
        }
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// When the store cannot be written; what waits goes on waiting.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _house = self.house.lock().await;
        loop {
            let batch: Vec<AuditRow> = {
                let rows = &mut self.waiting().rows;
                let count = rows.len().min(BATCH);
                rows.drain(..count).collect()
            };
            if batch.is_empty() {
                self.progress.send_modify(|progress| progress.is_stuck = false);
                return Ok(());
            }
            if let Err(error) = self.store.append_audit(batch.clone()).await {
                self.put_back(batch);
                self.progress.send_modify(|progress| progress.is_stuck = true);
                return Err(error);
            }
            let done = {
                let waiting = self.waiting();
                waiting.recorded - u64::try_from(waiting.rows.len()).unwrap_or(0)
            };
            self.progress.send_modify(|progress| progress.done = done);
        }
    }

    /// Has what could not be written wait again, before what came since.
    fn put_back(&self, batch: Vec<AuditRow>) {
        let mut waiting = self.waiting();
        let room = MOST_WAITING.saturating_sub(waiting.rows.len());
        waiting.lost += u64::try_from(batch.len().saturating_sub(room)).unwrap_or(0);
        for row in batch.into_iter().take(room).rev() {
            waiting.rows.push_front(row);
        }
    }

    /// How many rows wait for the store, and how many gave up waiting since the start.
    pub fn backlog(&self) -> (usize, u64) {
        let waiting = self.waiting();
        (waiting.rows.len(), waiting.lost)
    }

    /// Removes from the store what is too old or too much.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn prune(&self) -> Result<(), StoreError> {
        let settings = Arc::clone(&self.settings.load());
        let before = self.clock.now().before(settings.keep.as_duration());
        let removed = self.store.prune_audit(before, settings.most).await?;
        if removed > 0 {
            tracing::debug!(removed, "old audit events removed");
        }
        Ok(())
    }

    // A panic elsewhere cannot leave a queue half changed, so poison says nothing.
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Whether this client was refused the same within the last minute; notes it if not.
    fn was_refused_just_now(&mut self, kind: Kind, origin: &Origin, now: Timestamp) -> bool {
        let key = (kind, origin.site.clone(), origin.client);
        // A clock that was set back must not silence anything.
        let is_recent = |then: &Timestamp| *then <= now && now.since(*then) < REFUSED_AGAIN;
        if self.refused.get(&key).is_some_and(is_recent) {
            return true;
        }
        if self.refused.len() >= MOST_REFUSED {
            self.refused.retain(|_, then| is_recent(then));
        }
        if self.refused.len() < MOST_REFUSED {
            self.refused.insert(key, now);
        }
        false
    }
}

fn log(row: &AuditRow) {
    tracing::info!(
        target: "audit",
        id = row.request_id,
        event = row.event,
        site = row.site,
        user = row.account.as_deref().or(row.account_key.as_deref()).unwrap_or("-"),
        client = row.client.map(tracing::field::display),
        verdict = row.verdict,
        evidence = row.detail,
        "audit"
    );
}

/// Turns names and tokens into what may be kept of them.
pub struct Names(Sealer);

impl Names {
    /// With the keys of the store.
    pub fn new(sealer: Sealer) -> Self {
        Self(sealer)
    }

    /// The keyed hash of an account's canonical name, as it is shown.
    pub fn account_key(&self, site: &str, name: &str) -> String {
        shown(&self.0.mac("audit account", &data(site, name)))
    }

    /// The keyed hash of a reset link's token.
    fn link_key(&self, site: &str, token: &Secret) -> String {
        shown(&self.0.mac("audit link", &[site.as_bytes(), b"\0", token.expose().as_bytes()].concat()))
    }

    /// An account to look for at these sites, under every secret that there is.
    pub fn looked_for<'s>(&self, name: &str, sites: impl IntoIterator<Item = &'s str>) -> AuditAccount {
        let macs = sites.into_iter().flat_map(|site| self.0.macs("audit account", &data(site, name)));
        AuditAccount { name: account::canonical(name), keys: macs.map(|mac| shown(&mac)).collect() }
    }
}

fn data(site: &str, name: &str) -> Vec<u8> {
    [site.as_bytes(), b"\0", account::canonical(name).as_bytes()].concat()
}

/// `#` and 16 hexadecimal digits.
fn shown(mac: &[u8; 32]) -> String {
    mac.iter().take(8).fold("#".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests;
