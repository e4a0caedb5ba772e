//! Binding: every address once a worker.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Type};

use super::Address;

/// A bound socket, and whether TLS is spoken there.
pub(super) struct Bound {
    pub(super) socket: Socket,
    pub(super) secure: bool,
}

/// A socket, not yet of any runtime.
pub(super) enum Socket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// For each worker, adds one socket an address; gives the TCP addresses as they came out.
pub(super) fn bind_all(
    addresses: &[Address],
    secure: bool,
    sockets: &mut [Vec<Bound>],
) -> Result<Vec<SocketAddr>, String> {
    let mut bound = Vec::new();
    for address in addresses {
        let say = |error: io::Error| explain(address, &error);
        match address {
            Address::Tcp(wanted) => {
                // Alone first: with SO_REUSEPORT a second gate would bind beside a running one and share its visitors.
                drop(tcp(*wanted, false).map_err(say)?);
                let mut actual = *wanted;
                for worker in &mut *sockets {
                    let socket = tcp(actual, true).map_err(say)?;
                    actual = socket.local_addr().map_err(say)?;
                    worker.push(Bound { socket: Socket::Tcp(socket), secure });
                }
                bound.push(actual);
            }
            Address::Handed(number) => {
                let socket = handed(*number)?;
                socket.set_nonblocking(true).map_err(say)?;
                bound.push(socket.local_addr().map_err(say)?);
                for worker in &mut *sockets {
                    let socket = Socket::Tcp(socket.try_clone().map_err(say)?);
                    worker.push(Bound { socket, secure });
                }
            }
            Address::Unix(path) => {
                let socket = unix(path).map_err(say)?;
                for worker in &mut *sockets {
                    let socket = Socket::Unix(socket.try_clone().map_err(say)?);
                    worker.push(Bound { socket, secure });
                }
            }
        }
    }
    Ok(bound)
}

/// A listening TCP socket that the parent opened: connections that come while the gate is away wait there.
fn handed(number: usize) -> Result<std::net::TcpListener, String> {
    // All at once: asking for them takes what says how many there are out of the environment.
    static ALL: LazyLock<Mutex<ListenFd>> = LazyLock::new(|| Mutex::new(ListenFd::from_env()));
    let index = number.saturating_sub(3);
    let socket = ALL.lock().unwrap_or_else(PoisonError::into_inner).take_tcp_listener(index);
    socket.ok().flatten().ok_or_else(|| {
        format!(
            "fd:{number} was not handed over as a listening TCP socket; start the gate by its .socket unit, or name an address in [server] listen"
        )
    })
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]:80` means IPv6; whoever wants IPv4 too names it.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A Unix socket; one that was left behind is replaced.
pub(crate) fn unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    let left_behind = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && UnixStream::connect(path).is_err();
    if left_behind {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn explain(address: &Address, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use: another process listens there; stop it, or choose another address in [server] listen"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "{address} may not be listened on: ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine; choose another in [server] listen")
        }
        _ => format!("{address} cannot be listened on: {error}"),
    }
}
