//! One worker: accepts, hands each connection to what speaks its protocol, drains.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::crowd::{Crowd, Place};
use super::patient::Patient;
use super::socket::{Bound, Socket};
use super::tls::{H2, Tls};
use super::{Stop, http1, http2, proxy};
use crate::gate::{Arrival, Transport, Worker};
use crate::tls::Inspected;

/// What is said when there is no room. Short enough for any socket to take at once.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 45\r\nRetry-After: 10\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nToo many visitors at once. Try again shortly.";
/// How long somebody who is turned away is listened to, so that the answer is not lost.
const TURNED_AWAY_FOR: Duration = Duration::from_secs(1);
/// So many bytes may wait in the kernel, unsent, for a client that does not read; left to itself it takes megabytes. What is on its way to
/// one that reads comes on top, so this slows nobody.
const MOST_UNSENT: u32 = 256 << 10;

/// What all workers share of the sockets' side.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) crowd: Arc<Crowd>,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Serves until told to stop, and then until the last request in flight has ended.
pub(super) async fn serve(
    sockets: Vec<Bound>,
    worker: Arc<Worker>,
    doors: Doors,
    stopped: watch::Receiver<Stop>,
) {
    // Every connection holds a sender; the channel closes when the last one has ended.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    for socket in sockets {
        let entrance = Entrance {
            worker: Arc::clone(&worker),
            crowd: Arc::clone(&doors.crowd),
            tls: doors.tls.clone().filter(|_| socket.secure),
            stopped: stopped.clone(),
            alive: alive.clone(),
        };
        tokio::spawn(entrance.accept(socket.socket));
    }
    drop(alive);
    let mut stopped = stopped;
    told(&mut stopped).await;
    let drain = worker.shared().config.server.drain.as_duration();
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

/// One socket as one worker has it, and what comes in there.
#[derive(Clone)]
struct Entrance {
    worker: Arc<Worker>,
    crowd: Arc<Crowd>,
    tls: Option<Arc<Tls>>,
    stopped: watch::Receiver<Stop>,
    alive: mpsc::Sender<Infallible>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Entrance {
    async fn accept(self, socket: Socket) {
        let listener = match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Listener::Tcp),
            Socket::Unix(socket) => UnixListener::from_std(socket).map(Listener::Unix),
        };
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a socket cannot be served"),
        };
        let mut until = self.stopped.clone();
        loop {
            tokio::select! {
                // First, so that who comes now waits in the socket for the next gate, where it was handed over.
                biased;
                () = told(&mut until) => return,
                accepted = self.next(&listener) => if let Err(error) = accepted {
                    // Out of file descriptors, most likely: those in use come back by themselves.
                    tracing::error!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn next(&self, listener: &Listener) -> io::Result<()> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // A client that is gone already is no fault of the socket.
                let _ = stream.set_nodelay(true);
                let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(MOST_UNSENT);
                self.enter(stream, peer.ip());
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                self.enter(stream, IpAddr::V4(Ipv4Addr::LOCALHOST));
            }
        }
        Ok(())
    }

    /// Lets a connection in, if there is room.
    fn enter<S>(&self, stream: S, peer: IpAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(place) = self.crowd.enter() else {
            if self.tls.is_none()
                && let Some(place) = self.crowd.turn_away()
            {
                tokio::spawn(turn_away(stream, place));
            }
            return;
        };
        let peer = peer.to_canonical();
        // Who comes through a proxy of ours is counted once it is known who it is.
        let seat = if self.is_proxy(peer) { None } else { Some(self.crowd.seat(peer)) };
        if let Some(None) = seat {
            return tracing::debug!(%peer, "a client with too many connections");
        }
        let entrance = self.clone();
        tokio::spawn(async move {
            let _counted = (place, seat, entrance.worker.shared().metrics.connections.enter());
            if let Err(error) = entrance.serve(stream, peer).await {
                tracing::debug!(%error, %peer, "a connection ended");
            }
            drop(entrance.alive);
        });
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.worker.shared().config.server.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    async fn serve<S>(&self, mut stream: S, peer: IpAddr) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = self.worker.shared();
        let server = &shared.config.server;
        let mut stopped = self.stopped.clone();
        let (mut client, mut seat) = (peer, None);
        if server.proxy_protocol {
            if !self.is_proxy(peer) {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "not from a proxy in trusted_proxies",
                ));
            }
            let header =
                tokio::time::timeout(server.header_timeout.as_duration(), proxy::read_header(&mut stream));
            let header = tokio::select! {
                header = header => header.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?,
                () = told(&mut stopped) => return Ok(()),
            };
            if let Some(address) = header {
                client = address.to_canonical();
                seat = self.crowd.seat(client);
                if seat.is_none() {
                    return Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        "too many connections of one client",
                    ));
                }
            }
        }
        let _seat: Option<Place> = seat;
        let mut arrival = Arrival { peer: client, transport: Transport::Plain, refused: None };
        let stream = Patient::new(stream, server.write_timeout.as_duration());
        // A connection may outlast many configurations; it is not to keep its first.
        drop(shared);
        let Some(tls) = &self.tls else {
            return http1::serve(stream, arrival, &self.worker, &mut stopped).await;
        };
        let stream = tokio::select! {
            stream = tls.accept(stream) => stream?,
            () = told(&mut stopped) => return Ok(()),
        };
        let (_, session) = stream.get_ref();
        // What cannot be read is none; rustls has read it.
        let shown = session.peer_certificates().and_then(|chain| Inspected::of(chain.first()?).ok());
        arrival.transport = Transport::Tls { certificate: shown.map(|shown| shown.ends) };
        if session.alpn_protocol() == Some(H2) {
            http2::serve(stream, arrival, &self.worker, &mut stopped).await
        } else {
            http1::serve(stream, arrival, &self.worker, &mut stopped).await
        }
    }
}

/// Says that there is no room, and waits a moment for the client to have heard it.
async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, _place: Place) {
    let told = async {
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(64 * 1024), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(TURNED_AWAY_FOR, told).await;
}
