//! Connections to one backend, kept for one worker.
//!
//! Each worker thread has its own pools, so the lock is never waited for; hyper-util's shared client costs a
//! tenth more per request (facts/performance.md, section 10) and cannot say whether a connection is a reused one.
//!
//! One that nobody uses is closed when `keep_alive` is over, by one timer for the whole pool, which runs only while something waits
//! there: the backend counts connections, too, and the firewall between forgets them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::{Fault, Member, RequestBody, Seat, Settings};

/// A backend as one worker sees it.
pub(super) struct Line {
    member: Member,
    settings: Settings,
    pool: Arc<Pool>,
}

/// More unused connections than this are not worth keeping: a Zope has 4 to 16 threads.
const MOST_IDLE: usize = 64;

/// The unused connections, the longest unused first.
struct Pool {
    keep: Duration,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    idle: Vec<Idle>,
    /// Whoever closes what stays unused; there is none while nothing waits.
    tidier: Option<AbortOnDrop>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(self: &Arc<Self>, connection: Connection) {
        let mut inner = self.lock();
        if inner.idle.len() >= MOST_IDLE {
            return;
        }
        inner.idle.push(Idle { connection, since: Instant::now() });
        if inner.tidier.is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let (pool, keep) = (Arc::downgrade(self), self.keep);
            inner.tidier = Some(AbortOnDrop(runtime.spawn(tidy(pool, keep)).abort_handle()));
        }
    }
}

impl Inner {
    fn prune(&mut self, keep: Duration) {
        self.idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < keep);
    }
}

/// Closes what has been unused for `keep`, until nothing is left.
async fn tidy(pool: Weak<Pool>, keep: Duration) {
    let mut next = Instant::now() + keep;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut inner = pool.lock();
        inner.prune(keep);
        let Some(oldest) = inner.idle.first() else {
            inner.tidier = None;
            return;
        };
        next = oldest.since + keep;
    }
}

impl Line {
    /// A backend in clear text if there is no `security`. Nothing is connected yet.
    pub(super) fn new(member: Member, settings: Settings) -> Self {
        let pool = Pool { keep: settings.keep_alive.as_duration(), inner: Mutex::default() };
        Self { member, settings, pool: Arc::new(pool) }
    }

    /// The most recently used connection that still stands.
    pub(super) fn take_idle(&self) -> Option<Connection> {
        let mut inner = self.pool.lock();
        inner.prune(self.pool.keep);
        let ready = inner.idle.iter().rposition(|idle| idle.connection.sender.is_ready())?;
        Some(inner.idle.remove(ready).connection)
    }

    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        let limit = self.settings.connect_timeout.as_duration();
        let address = (self.member.host.as_str(), self.member.port);
        let stream = within(limit, TcpStream::connect(address)).await?.map_err(Fault::Connect)?;
        stream.set_nodelay(true).map_err(Fault::Connect)?;
        let pool = Arc::downgrade(&self.pool);
        let lenient = self.settings.danger_lenient_answers;
        let Some(security) = &self.member.security else { return speak(stream, pool, lenient).await };
        let connector = TlsConnector::from(Arc::clone(&security.config));
        let handshake = connector.connect(security.name.clone(), stream);
        speak(within(limit, handshake).await?.map_err(Fault::Connect)?, pool, lenient).await
    }
}

/// How a backend is spoken to through TLS.
#[derive(Clone)]
pub struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Security {
    /// The host in `backend_url` is the name that is asked for, and that the certificate must have.
    ///
    /// # Errors
    /// When it can stand in no certificate.
    pub fn new(config: Arc<ClientConfig>, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate can have"))?;
        Ok(Self { config, name })
    }
}

async fn speak<S>(stream: S, pool: Weak<Pool>, lenient: bool) -> Result<Connection, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The buffer must hold the largest head and is what one read of a body can bring.
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(64 * 1024)
        .allow_obsolete_multiline_headers_in_responses(lenient)
        .allow_spaces_after_header_name_in_responses(lenient);
    let handshake = builder.handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(Fault::BrokenOff)?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a backend connection ended");
        }
    });
    Ok(Connection { sender, pool, _task: AbortOnDrop(task.abort_handle()) })
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Fault> {
    tokio::time::timeout(limit, future).await.map_err(|_| Fault::ConnectTimeout(limit))
}

/// A connection that is in nobody else's hands. Dropping it closes it.
pub(super) struct Connection {
    sender: http1::SendRequest<RequestBody>,
    /// Where it may be kept when it is not used.
    pool: Weak<Pool>,
    _task: AbortOnDrop,
}

impl Connection {
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.send_request(request).await
    }

    /// What the body of a response holds on to until it has been read.
    pub(super) fn lease(self, may_reuse: bool, seat: Seat) -> Lease {
        Lease { connection: Some(self), may_reuse, _seat: seat }
    }
}

/// An exchange that is given up is given up at the backend too, at once.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection on loan to a response that is still being read.
pub(super) struct Lease {
    connection: Option<Connection>,
    may_reuse: bool,
    _seat: Seat,
}

impl Lease {
    /// The response has been read to its end: the connection may serve the next request.
    pub(super) fn finish(&mut self) {
        let Some(connection) = self.connection.take_if(|_| self.may_reuse) else { return };
        let Some(pool) = connection.pool.upgrade().filter(|_| !connection.sender.is_closed()) else { return };
        pool.put(connection);
    }
}
