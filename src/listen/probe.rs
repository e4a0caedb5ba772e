//! Doors for `fuzz/properties` to the layers between the socket and hyper. Nothing else calls them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::frames::Frames;
use super::proxy;
use super::strict::{Strict, Watch};
use crate::admit::Refusal;

pub use super::frames::{CREDIT, PER_SECOND};

/// What the layer said of each request, asked in the order of the requests.
pub struct Verdicts(Arc<Watch>);

impl Verdicts {
    /// Why the next request is refused, if it is. Asked once for each.
    pub fn refused(&self) -> Option<Refusal> {
        self.0.refused()
    }
}

/// A stream of HTTP/1 as hyper sees it; it needs tokio's timer when it is shut down.
pub fn strict<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> (impl AsyncRead + AsyncWrite + Unpin, Verdicts) {
    let watch = Arc::new(Watch::default());
    (Strict::new(stream, Arc::clone(&watch), Duration::from_secs(60)), Verdicts(watch))
}

/// A stream of HTTP/2 frames whose account is kept.
pub fn frames<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> impl AsyncRead + Unpin {
    Frames::new(stream, Arc::default())
}

/// Reads a PROXY header and gives the client's address; `None` when the proxy speaks for itself.
///
/// # Errors
/// `InvalidData` for anything but a header; what the stream says otherwise.
pub async fn proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    proxy::read_header(stream).await
}
