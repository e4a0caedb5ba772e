//! One worker: accepts, serves HTTP/1.1, drains.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::Stop;
use super::patient::Patient;
use super::socket::Bound;
use crate::gate::Worker;

/// The largest head of a request, in bytes; hyper answers 431 beyond it.
const LARGEST_HEAD: usize = 64 * 1024;
/// The most header fields of a request; hyper answers 431 beyond them.
const MOST_FIELDS: usize = 100;

/// Serves until told to stop, and then until the last request in flight has ended.
pub(super) async fn serve(sockets: Vec<Bound>, worker: Arc<Worker>, stopped: watch::Receiver<Stop>) {
    let drain = worker.shared().config.server.drain.as_duration();
    // Every connection holds a sender; the channel closes when the last one has ended.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    for socket in sockets {
        tokio::spawn(accept(socket, Arc::clone(&worker), stopped.clone(), alive.clone()));
    }
    drop(alive);
    let mut stopped = stopped;
    told(&mut stopped).await;
    let finished = async {
        let _ = ended.recv().await;
        worker.finish().await;
    };
    if tokio::time::timeout(drain, finished).await.is_err() {
        tracing::warn!(
            seconds = drain.as_secs(),
            "requests were still in flight when the time to drain was over"
        );
    }
}

/// Waits until the gate is told to stop.
pub(super) async fn told(stopped: &mut watch::Receiver<Stop>) {
    // The channel closes only with the gate.
    let _ = stopped.wait_for(|stop| *stop == Stop::Drain).await;
}

async fn accept(
    socket: Bound,
    worker: Arc<Worker>,
    stopped: watch::Receiver<Stop>,
    alive: mpsc::Sender<Infallible>,
) {
    let listener = match socket {
        Bound::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
        Bound::Unix(socket) => UnixListener::from_std(socket).map(Listener::Unix),
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket cannot be served"),
    };
    let mut until = stopped.clone();
    loop {
        tokio::select! {
            () = told(&mut until) => return,
            accepted = listener.accept(&worker, &stopped, &alive) => if let Err(error) = accepted {
                // Out of file descriptors, most likely: those in use come back by themselves.
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(
        &self,
        worker: &Arc<Worker>,
        stopped: &watch::Receiver<Stop>,
        alive: &mpsc::Sender<Infallible>,
    ) -> std::io::Result<()> {
        let (worker, stopped, alive) = (Arc::clone(worker), stopped.clone(), alive.clone());
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(connection(stream, peer.ip(), worker, stopped, alive));
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(connection(stream, IpAddr::V4(Ipv4Addr::LOCALHOST), worker, stopped, alive));
            }
        }
        Ok(())
    }
}

async fn connection<S>(
    stream: S,
    peer: IpAddr,
    worker: Arc<Worker>,
    mut stopped: watch::Receiver<Stop>,
    _alive: mpsc::Sender<Infallible>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = worker.shared().metrics.connections.enter();
    let server = &worker.shared().config.server;
    let header_timeout = server.header_timeout.as_duration();
    let stream = Patient::new(stream, server.write_timeout.as_duration());
    let service = service_fn(|request| Box::pin(Arc::clone(&worker).handle(peer, request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended");
    }
}
