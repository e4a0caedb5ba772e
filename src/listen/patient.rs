//! A client that does not read is given up: whoever asks for a large file and never takes it would hold two connections for good.
//! So is one that takes it drop by drop. Only the time that is spent waiting for the client counts.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// What a client must take of what is there for it, in bytes a second, as [`crate::forward::Settings::body_rate`] is by default
/// what it must send: half of what the slowest telephone does.
const RATE: u64 = 500;
/// How long every client may take as it likes.
const GRACE: Duration = Duration::from_secs(30);

/// A stream whose writes must move within a limit, and not too slowly on the whole.
pub(super) struct Patient<S> {
    inner: S,
    limit: Duration,
    /// Runs while a write waits. A write that goes through at once costs no timer.
    waiting: Option<Pin<Box<Sleep>>>,
    since: Option<Instant>,
    taken: Taken,
}

/// What the client has taken, and how long it was waited for in all.
#[derive(Default)]
struct Taken {
    bytes: u64,
    waited: Duration,
}

impl Taken {
    fn is_too_slow(&self) -> bool {
        self.waited.saturating_sub(GRACE).as_secs().saturating_mul(RATE) > self.bytes
    }
}

impl<S> Patient<S> {
    /// Gives `inner` up when a write has waited for `limit`.
    pub(super) fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit, waiting: None, since: None, taken: Taken::default() }
    }

    fn timed<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            if let Some(since) = self.since.take() {
                self.taken.waited += since.elapsed();
                if self.taken.is_too_slow() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            return written;
        }
        self.since.get_or_insert_with(Instant::now);
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn counted(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.taken.bytes = self.taken.bytes.saturating_add(*count as u64);
        }
        self.timed(cx, written)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.counted(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        self.counted(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.timed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn what_is_there_must_be_taken_at_the_rate_agreed() {
        for (name, bytes, waited, slow) in [
            ("grace", 1, 30, false),
            ("a drop a second", 60, 60, true),
            ("just fast enough", 15_000, 60, false),
            ("too slow", 14_999, 60, true),
            ("a large file and long pauses", 1 << 30, 10_000, false),
        ] {
            assert_eq!(Taken { bytes, waited: Duration::from_secs(waited) }.is_too_slow(), slow, "{name}");
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up_and_one_that_does_is_not() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let stalled = Patient::new(ours, Duration::from_millis(10)).write_all(&[0; 64]).await;
        assert_eq!(stalled.unwrap_err().kind(), io::ErrorKind::TimedOut);

        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut patient = Patient::new(ours, Duration::from_secs(60));
        let mut read = vec![0; 64];
        let (written, taken) = tokio::join!(patient.write_all(&[1; 64]), theirs.read_exact(&mut read));
        assert!(written.is_ok() && taken.is_ok() && read == [1; 64]);
    }
}
