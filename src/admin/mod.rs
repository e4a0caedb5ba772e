//! The admin listener (`[admin] listen`): what operators and their monitoring ask the gate.
//!
//! `/metrics` for Prometheus, `/health` (the process answers), `/ready` (it can serve), `/sessions` (who is signed in, for people
//! and as JSON). It has a thread of its own, so that it answers when the workers are busy, and it answers until the last
//! request in flight has ended.
//!
//! What it shows is for operators: the names of users and the addresses of backends. So it is off unless it is configured; it
//! listens on this machine's own addresses or a Unix socket that others may not open; it changes nothing; and a web page in an
//! operator's browser cannot read it under a name of its own (DNS rebinding). It never shows what a session could be used by.

mod exposition;
mod ready;
mod sessions;
mod settings;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

pub use self::settings::Settings;
use crate::listen::{Address, bind_unix};
use crate::state::{Live, Shared};

/// How long a client may take for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener that does not answer yet.
pub struct Bound {
    socket: Socket,
    address: Option<SocketAddr>,
    live: Arc<Live>,
}

enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// Binds the address, if one is configured.
///
/// # Errors
/// One sentence that names the address, when it cannot be listened on.
pub fn bind(live: &Arc<Live>) -> Result<Option<Bound>, String> {
    let shared = live.load();
    let Some(address) = &shared.config.admin.listen else { return Ok(None) };
    let say = |error: std::io::Error| {
        format!(
            "{address} cannot be listened on: {error}; stop what does, or choose another address in [admin] listen"
        )
    };
    let (socket, bound) = match address {
        Address::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address).map_err(say)?;
            listener.set_nonblocking(true).map_err(say)?;
            let bound = listener.local_addr().map_err(say)?;
            (Socket::Tcp(listener), Some(bound))
        }
        // The configuration refuses it.
        Address::Handed(_) => return Err(format!("{address} cannot be the admin listener's")),
        Address::Unix(path) => {
            let path = shared.config.folder.join(path);
            let listener = bind_unix(&path).map_err(say)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).map_err(say)?;
            (Socket::Unix(listener), None)
        }
    };
    Ok(Some(Bound { socket, address: bound, live: Arc::clone(live) }))
}

impl Bound {
    /// Where it listens, if that is no Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Answers until `end`. `stopping` says whether the gate has been told to stop.
    pub async fn serve(
        self,
        stopping: impl Fn() -> bool + Clone + Send + Sync + 'static,
        end: impl Future<Output = ()>,
    ) {
        tokio::select! {
            ended = accept(self.socket, self.live, stopping) => {
                let Err(error) = ended;
                tracing::error!(%error, "the admin listener cannot be served");
            }
            () = end => {}
        }
    }
}

async fn accept(
    socket: Socket,
    live: Arc<Live>,
    stopping: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> std::io::Result<Infallible> {
    match socket {
        Socket::Tcp(socket) => {
            let listener = TcpListener::from_std(socket)?;
            loop {
                if let Some((stream, _)) = taken(listener.accept().await).await {
                    tokio::spawn(connection(stream, Arc::clone(&live), stopping.clone()));
                }
            }
        }
        Socket::Unix(socket) => {
            let listener = UnixListener::from_std(socket)?;
            loop {
                if let Some((stream, _)) = taken(listener.accept().await).await {
                    tokio::spawn(connection(stream, Arc::clone(&live), stopping.clone()));
                }
            }
        }
    }
}

async fn taken<S>(accepted: std::io::Result<S>) -> Option<S> {
    match accepted {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::error!(%error, "cannot accept a connection of an operator");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    live: Arc<Live>,
    stopping: impl Fn() -> bool + Clone,
) {
    let service = service_fn(|request| {
        let (shared, stopping) = (live.load(), stopping.clone());
        async move { Ok::<_, Infallible>(answer(&shared, &request, stopping()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of an operator ended");
    }
}

async fn answer<B>(shared: &Shared, request: &Request<B>, stopping: bool) -> Response<Full<Bytes>> {
    if !is_meant(shared, request) {
        return text(StatusCode::MISDIRECTED_REQUEST, "ask for this machine by its address\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/metrics" => exposition::answer(shared),
        "/health" => text(StatusCode::OK, "ok\n"),
        "/ready" => ready::answer(shared, stopping).await,
        "/sessions" => sessions::answer(shared, request.headers()),
        "/" => text(StatusCode::OK, "/health\n/metrics\n/ready\n/sessions\n"),
        _ => text(StatusCode::NOT_FOUND, "there is /health, /metrics, /ready and /sessions\n"),
    }
}

/// Whether the request names an address, or this machine, and nothing else: a page that has had its own name point here names
/// that.
fn is_meant<B>(shared: &Shared, request: &Request<B>) -> bool {
    let settings = &shared.config.admin;
    if settings.danger_anywhere || matches!(settings.listen, Some(Address::Unix(_))) {
        return true;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    // A `Host` has no user (RFC 9110, section 7.2), an authority may.
    let host = host.to_str().ok().filter(|host| !host.contains('@'));
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

/// An answer that nobody keeps and that is nothing but what it says it is.
fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    response
}
