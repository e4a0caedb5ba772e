//! Sockets, workers, and their end.
//!
//! One worker a core, each a thread with a runtime of its own that never moves work to another (work stealing measured a
//! quarter to two fifths dearer, facts/performance.md section 8). Each listens on a socket of its own at the same address
//! (`SO_REUSEPORT`), so the kernel spreads the connections.
//!
//! A connection on its way in:
//! ```text
//!  crowd      is there room, in all and for this client?        else 503, or closed
//!  proxy      who really connects, where a load balancer says so
//!  patient    a client that does not read is given up
//!  tls        certificates by name; ALPN chooses what follows
//!    ├── strict · http1     each head has one reading before hyper sees it
//!    └── frames · http2     frames that only make work are counted; streams that nobody reads are given up
//! ```

mod crowd;
mod frames;
mod http1;
mod http2;
mod parting;
mod patient;
#[doc(hidden)]
pub mod probe;
mod proxy;
mod serve;
mod settings;
mod socket;
mod strict;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::crowd::Crowd;
use self::serve::Doors;
pub use self::settings::{Address, Prefix, Settings};
pub(crate) use self::socket::unix as bind_unix;
use self::tls::Tls;
use crate::config::Config;
use crate::gate::{Worker, health};
use crate::state::{Live, Shared};
use crate::{acme, admin, mail};

/// A gate that is serving. Dropping it stops it without waiting.
pub struct Running {
    live: Arc<Live>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    stop: watch::Sender<Stop>,
    workers: Vec<JoinHandle<()>>,
    mail: Option<SocketAddr>,
    relay: Option<mail::Handle>,
    admin: Option<SocketAddr>,
    /// Keeps memory and store at one; ends when the sender is dropped.
    house: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Answers operators; ends the same way.
    office: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// How often counts that limit nobody any more are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often the files of certificates are looked at: a handful of `stat`s.
const LOOK_FOR_CERTIFICATES_EVERY: Duration = Duration::from_secs(1);
/// So many threads of a worker do what would hold its requests up: files of large bodies, names, the reading of the CMS's answers.
/// What comes beyond waits its turn, in memory that the limits on such work bound.
const MOST_BLOCKING: usize = 32;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// Take no more connections, finish the requests in flight.
    Drain,
}

/// Binds every address and serves until [`Running::stop`].
///
/// # Errors
/// One sentence that names the address, when it cannot be listened on.
pub fn start(shared: &Arc<Shared>) -> Result<Running, String> {
    let live = Arc::new(Live::new(Arc::clone(shared)));
    let settings = &shared.config.server;
    let count = settings
        .workers
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
        .max(1);
    let mut sockets: Vec<_> = (0..count).map(|_| Vec::new()).collect();
    let tls = Tls::open(&settings.tls, &shared.config.folder, Arc::clone(&shared.acme))?.map(Arc::new);
    shared.acme.follow(&shared.config.acme_names(|name| covers(&tls, name)));
    let addresses = socket::bind_all(&settings.listen, false, &mut sockets)?;
    let tls_addresses = socket::bind_all(&settings.tls.listen, true, &mut sockets)?;
    let doors = Doors { crowd: Crowd::new(settings.connections), tls: tls.clone() };
    let (relay, office) = (mail::bind(shared)?, admin::bind(&live)?);
    let (stop, stopped) = watch::channel(Stop::No);
    let mut workers = Vec::with_capacity(count.saturating_add(1));
    for (number, sockets) in sockets.into_iter().enumerate() {
        let (worker, stopped) = (Worker::new(Arc::clone(&live)), stopped.clone());
        let served = serve::serve(sockets, Arc::new(worker), doors.clone(), stopped);
        workers.push(thread(format!("worker-{number}"), served)?);
    }
    let mail = relay.as_ref().map(mail::Bound::address);
    let handle = relay.as_ref().map(mail::Bound::handle);
    if let Some(relay) = relay {
        let mut stopped = stopped.clone();
        let served = async move { relay.serve(serve::told(&mut stopped)).await };
        workers.push(thread("mail".to_owned(), served)?);
    }
    let admin = office.as_ref().and_then(admin::Bound::address);
    let office = match office {
        None => None,
        Some(office) => {
            let (end, ended) = oneshot::channel::<()>();
            let stopping = move || *stopped.borrow() != Stop::No;
            let served = office.serve(stopping, async { drop(ended.await) });
            Some((end, thread("admin".to_owned(), served)?))
        }
    };
    let (end, ended) = oneshot::channel();
    let house = thread("house".to_owned(), keep_house(Arc::clone(&live), tls, ended))?;
    Ok(Running {
        live,
        addresses,
        tls_addresses,
        stop,
        workers,
        mail,
        relay: handle,
        admin,
        house: Some((end, house)),
        office,
    })
}

/// A thread with a runtime of its own, for `work` and what it spawns.
fn thread(name: String, work: impl Future<Output = ()> + Send + 'static) -> Result<JoinHandle<()>, String> {
    let failed = |error| format!("cannot start the thread {name}: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MOST_BLOCKING)
        .build()
        .map_err(failed)?;
    std::thread::Builder::new().name(name.clone()).spawn(move || runtime.block_on(work)).map_err(failed)
}

/// Whether a file has a certificate for the name.
fn covers(tls: &Option<Arc<Tls>>, name: &str) -> bool {
    tls.as_ref().is_some_and(|tls| tls.has(name))
}

async fn keep_house(live: Arc<Live>, tls: Option<Arc<Tls>>, ended: oneshot::Receiver<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (trail, sessions) = (Arc::clone(&live.load().audit), Arc::clone(&live.load().sessions));
    let audit = tokio::spawn(async move { trail.keep_house(stopped).await });
    let certificates = async {
        loop {
            tokio::time::sleep(LOOK_FOR_CERTIFICATES_EVERY).await;
            tls.iter().for_each(|tls| tls.refresh());
        }
    };
    let sweep = async {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let shared = live.load();
            shared.limits.sweep();
            if let Err(error) = shared.held.sweep().await {
                tracing::error!(%error, "held forms that have run out cannot be removed");
            }
            let before = shared.clock.now().before(shared.config.limits.known_browser.as_duration());
            if let Err(error) = shared.browsers.prune_browsers(before).await {
                tracing::error!(%error, "what is known of browsers cannot be tidied in the store");
            }
        }
    };
    tokio::select! {
        () = sessions.keep_house() => {}
        () = sweep => {}
        () = health::keep(&live) => {}
        () = certificates => {}
        () = acme::keep(&live, |name| covers(&tls, name)) => {}
        _ = ended => {}
    }
    if let Err(error) = sessions.flush().await {
        tracing::error!(%error, "the last uses of sessions could not be written down");
    }
    drop(stop);
    // A panic in it is reported where it happens.
    let _ = audit.await;
}

impl Running {
    /// The addresses that are listened on in clear text, with the ports that were free where port 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses where TLS is spoken.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Where mail is taken, if it is.
    pub fn mail_address(&self) -> Option<SocketAddr> {
        self.mail
    }

    /// Where operators are answered, if they are and that is no Unix socket.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The configuration in use.
    pub fn shared(&self) -> Arc<Shared> {
        self.live.load()
    }

    /// Puts another configuration in use, for every request that begins from now on. No connection is closed, and requests in
    /// flight end by the old one. Gives the keys whose values have changed but need a restart; those stay as they were.
    ///
    /// # Errors
    /// One sentence that says what cannot be used; then nothing has changed.
    pub fn reload(&mut self, config: Config) -> Result<Vec<&'static str>, String> {
        let relay = self.relay.as_ref();
        self.live.change(config, |next| {
            let put = relay.map(|relay| relay.prepare(next)).transpose()?;
            Ok(move || put.into_iter().for_each(|put| put()))
        })
    }

    /// Takes no more connections, lets the requests in flight end, and waits for that; at most `server.drain`.
    pub fn stop(mut self) {
        self.stop.send_replace(Stop::Drain);
        let workers = self.workers.drain(..).collect::<Vec<_>>();
        let panicked = workers.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        // Only now: the last requests may have used sessions.
        let last = [self.office.take(), self.house.take()].into_iter().flatten().map(|(end, thread)| {
            drop(end);
            thread.join()
        });
        let panicked = panicked + last.filter(Result::is_err).count();
        if panicked > 0 {
            tracing::error!(panicked, "a thread had panicked");
        }
    }
}
