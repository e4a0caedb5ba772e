//! The relay: takes connections from the CMS, and passes messages on.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

use super::connect::Route;
use super::dkim::Signer;
use super::links::Links;
use super::message;
use super::next::{Delivery, Next, Stop};
use super::reply::Reply;
use super::session::{self, turn_away};
use super::settings::{self, Destination};
use super::tls::Shown;
use super::trace::Trace;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::random::{self, Random};
use crate::rewrite::Sites;
use crate::state::Shared;

/// What all conversations share.
pub(super) struct Relay {
    pub(super) settings: settings::Relay,
    pub(super) trace: Trace,
    pub(super) next: Next,
    /// What a CMS that asks for TLS is shown.
    pub(super) shown: Option<Shown>,
    pub(super) signer: Option<Arc<Signer>>,
    pub(super) sites: Arc<Sites>,
    pub(super) links: Arc<Links>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Duration,
    pub(super) prefix: String,
    pub(super) messages: AtomicU64,
}

/// A relay that listens and does not yet take anything.
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    relay: Arc<ArcSwap<Relay>>,
}

/// A relay that listens, to be given other configurations.
pub struct Handle(Arc<ArcSwap<Relay>>);

/// Binds the relay's address, if one is configured.
///
/// # Errors
/// One sentence that names the address, when it cannot be listened on; or the file or secret that cannot be used.
pub fn bind(shared: &Shared) -> Result<Option<Bound>, String> {
    let Some(address) = shared.config.mail.relay.listen else { return Ok(None) };
    let relay = Arc::new(ArcSwap::from_pointee(relay(shared)?));
    let listener = listen(address).map_err(|error| {
        format!("{address} cannot be listened on: {error}; stop what does, or choose another address in [mail.relay] listen")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok(Some(Bound { listener, address, relay }))
}

/// What conversations share, by the configuration in `shared`.
fn relay(shared: &Shared) -> Result<Relay, String> {
    let mail = &shared.config.mail;
    let public: Vec<String> =
        shared.config.sites.iter().map(|site| site.as_ref().public_url.as_ref().to_string()).collect();
    let trace = Trace::of(&public);
    let (stop, shown) = (stop(&shared.config, trace.name())?, shown(&shared.config)?);
    let signer = signer(&shared.config)?.map(Arc::new);
    let timeout = mail.relay.reply_timeout.as_duration();
    Ok(Relay {
        settings: mail.relay.clone(),
        next: Next::new(stop, timeout),
        shown,
        signer,
        trace,
        sites: Arc::new(Sites::new(shared.sites.iter().map(|site| site.origins.as_ref()))),
        links: Arc::new(Links::new(shared.config.sites.iter().map(AsRef::as_ref))),
        clock: Arc::clone(&shared.clock),
        metrics: Arc::clone(&shared.metrics),
        drain: shared.config.server.drain.as_duration(),
        prefix: prefix(shared.random.as_ref()),
        messages: AtomicU64::new(0),
    })
}

impl Handle {
    /// Makes another configuration ready. What comes back puts it in use, for messages of conversations that begin then.
    ///
    /// # Errors
    /// One sentence that names the file or secret that cannot be used.
    pub fn prepare(&self, shared: &Shared) -> Result<impl FnOnce() + use<>, String> {
        let (relay, next) = (Arc::clone(&self.0), Arc::new(relay(shared)?));
        Ok(move || relay.store(next))
    }
}

/// Tries the files and secrets that `[mail]` names, and keeps nothing. One sentence for each that cannot be used.
pub fn check(config: &Config) -> Vec<String> {
    [stop(config, "check").err(), shown(config).err(), signer(config).err()].into_iter().flatten().collect()
}

/// Where mail goes by `[mail] send`.
pub(super) fn stop(config: &Config, name: &str) -> Result<Stop, String> {
    match &config.mail.send {
        Destination::Folder(folder) => Ok(Stop::Folder(in_folder(config, folder))),
        Destination::Smtp(server) => {
            let mail = &config.mail;
            let login = match (&mail.username, &mail.password) {
                (Some(user), Some(password)) => Some((user.clone(), config.secret(password)?)),
                _ => None,
            };
            let ca = mail.ca.as_ref().map(|ca| in_folder(config, ca));
            Route::new(server.clone(), name, ca.as_deref(), login).map(Stop::Server)
        }
    }
}

fn shown(config: &Config) -> Result<Option<Shown>, String> {
    let identity = config.mail.relay.tls.as_ref();
    identity
        .map(|files| {
            Shown::open(settings::Identity {
                certificate: in_folder(config, &files.certificate),
                key: in_folder(config, &files.key),
            })
        })
        .transpose()
}

fn signer(config: &Config) -> Result<Option<Signer>, String> {
    let dkim = config.mail.relay.dkim.as_ref();
    dkim.map(|dkim| Signer::open(dkim.domain.as_str(), dkim.selector.as_str(), &in_folder(config, &dkim.key)))
        .transpose()
}

fn in_folder(config: &Config, path: &std::path::Path) -> PathBuf {
    config.folder.join(path)
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn prefix(random: &dyn Random) -> String {
    random::bytes::<6>(random).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// By which it is given other configurations.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.relay))
    }

    /// Takes mail until `stop`, and then until the last message in flight has ended; at most `server.drain`.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the mail relay cannot be served"),
        };
        let room = Arc::new(Semaphore::new(self.relay.load().settings.connection_limit));
        let (stopping, stopped) = watch::channel(false);
        // Every conversation holds a sender; the channel closes when the last one has ended.
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        let mut stop = std::pin::pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                () = stop.as_mut() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::error!(%error, "cannot accept a connection for mail");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                }
            };
            let (relay, room, stopped, alive) =
                (self.relay.load_full(), Arc::clone(&room), stopped.clone(), alive.clone());
            tokio::spawn(async move {
                let _alive = alive;
                let peer = peer.ip().to_canonical();
                if !relay.settings.accept_from.iter().any(|network| network.contains(&peer)) {
                    return turn_away(stream, peer, &Reply::new(554, "5.7.1 Mail is not taken from here"))
                        .await;
                }
                let Ok(_room) = room.try_acquire() else {
                    return turn_away(stream, peer, &Reply::new(421, "4.3.2 Too many connections")).await;
                };
                let _ = stream.set_nodelay(true);
                session::converse(stream, relay, stopped).await;
            });
        }
        drop(listener);
        drop(alive);
        stopping.send_replace(true);
        let drain = self.relay.load().drain;
        if tokio::time::timeout(drain, ended.recv()).await.is_err() {
            tracing::warn!(
                seconds = drain.as_secs(),
                "mail was still on its way when the time to drain was over; its sender was told nothing and keeps it"
            );
        }
    }
}

impl Relay {
    /// Counts a message by the last word on it.
    pub(super) fn count(&self, reply: &Reply) {
        let outcome = match reply.code {
            200..300 => "accepted",
            400..500 => "later",
            _ => "refused",
        };
        self.metrics.mails.count(outcome, "");
    }

    /// Rewrites a message and hands it to the next server. The reply is that server's, or says why it was not asked.
    pub(super) async fn pass_on(
        &self,
        delivery: Delivery,
        message: Vec<u8>,
        recipients: usize,
        protocol: &'static str,
    ) -> Reply {
        let now = self.clock.now();
        let id = format!("{}-{:x}", self.prefix, self.messages.fetch_add(1, Ordering::Relaxed));
        let size = message.len();
        let (done, message) = match self.look_into(message, now).await {
            Ok(looked_into) => looked_into,
            Err(reply) => {
                delivery.abandon().await;
                self.count(&reply);
                tracing::warn!(id, size, recipients, verdict = reply.code, "mail refused");
                return reply;
            }
        };
        if done.signed > 0 || done.unreadable > 0 || done.remaining > 0 {
            let (signed, unreadable, remaining) = (done.signed, done.unreadable, done.remaining);
            tracing::warn!(
                id,
                signed,
                unreadable,
                remaining,
                "mail with parts left alone or internal names left in it"
            );
        }
        let received = self.trace.received(protocol, &id, now);
        let file = format!("{}-{id}", now.as_millis());
        let reply = delivery.message([received.into_bytes(), message].concat(), &file).await;
        self.count(&reply);
        for (tally, name, count) in [
            (&self.metrics.mail_addresses, "replaced", done.replaced),
            (&self.metrics.mail_addresses, "left", done.remaining),
            (&self.metrics.mail_parts, "signed", done.signed),
            (&self.metrics.mail_parts, "unreadable", done.unreadable),
        ] {
            tally.add(name, "", count);
        }
        tracing::info!(
            id,
            size,
            recipients,
            replaced = done.replaced,
            unsigned = done.unsigned,
            verdict = reply.code,
            "mail"
        );
        reply
    }

    /// Rewrites a message and signs it; else what its sender is told.
    async fn look_into(
        &self,
        message: Vec<u8>,
        now: Timestamp,
    ) -> Result<(message::Outcome, Vec<u8>), Reply> {
        let links = Arc::clone(&self.links);
        let (sites, trace, signer) = (Arc::clone(&self.sites), self.trace.clone(), self.signer.clone());
        // A large message takes its time; other conversations go on meanwhile.
        tokio::task::spawn_blocking(move || {
            trace.check(&message).map_err(|_| Reply::new(554, "5.4.6 The message goes round in circles"))?;
            let mut done = message::rewrite(&sites, &links, &message)
                .map_err(|error| Reply::new(554, &format!("5.6.0 The message has {error}")))?;
            let message = done.message.take().unwrap_or(message);
            // A signature that still holds is better than ours: it is the author's.
            let signature = signer
                .filter(|_| !message::is_signed(&message))
                .and_then(|signer| signer.sign(&message, now));
            Ok((done, [signature.unwrap_or_default(), message].concat()))
        })
        .await
        .unwrap_or_else(|_| Err(Reply::later("4.3.0 The message could not be looked into")))
    }
}
