//! HTTP/2 frames that only make work are counted, and who sends too many is cut off.
//!
//! h2 bounds what a flood can make it hold, but answers SETTINGS, PING and resets without end. This layer reads nothing but the
//! nine bytes before each frame (RFC 9113, section 4.1) and keeps an account: frames that carry no request and no data cost,
//! time and what the client takes of its answers pay. Defends against rapid reset (CVE-2023-44487), and the floods of
//! SETTINGS, PING, empty DATA, CONTINUATION and WINDOW_UPDATE (CVE-2019-9512 to 9518, CVE-2024-24549).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The client's preface (RFC 9113, section 3.4), before the first frame.
const PREFACE: usize = 24;
/// The bytes before a frame's payload.
const HEAD: usize = 9;

/// What a client may owe: 200 resets at once, as when somebody leaves a page that was still loading; 2,000 cheaper frames.
pub const CREDIT: u64 = 2_000;
/// What each second pays: ten resets, or a hundred cheaper frames.
pub const PER_SECOND: u64 = 100;
/// The bytes of answers that pay for one frame: a reader says with WINDOW_UPDATE what it has read, often every 16 KiB.
const PAYING_BYTES: usize = 2 * 1024;
/// A reset throws away what was begun for the request: a connection to the backend, perhaps.
const RESET: u64 = 10;

/// A stream of frames whose account is kept.
pub(super) struct Frames<S> {
    inner: S,
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    have: usize,
    owed: u64,
    paid_until: Instant,
    written: usize,
}

impl<S> Frames<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            skip: PREFACE,
            head: [0; HEAD],
            have: 0,
            owed: 0,
            paid_until: Instant::now(),
            written: 0,
        }
    }

    /// Looks at bytes as they arrive; `false` when the account is overdrawn.
    fn look(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some(room) = self.head.get_mut(self.have..) else { return false };
            let taken = room.len().min(bytes.len());
            let (here, later) = bytes.split_at(taken);
            room.iter_mut().zip(here).for_each(|(to, from)| *to = *from);
            self.have += taken;
            bytes = later;
            if self.have == HEAD {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.owed += cost(kind, flags, self.skip);
                if self.owed > CREDIT && !self.pay(now) {
                    return false;
                }
            }
        }
        true
    }

    /// Whether the account is in order once time has paid.
    fn pay(&mut self, now: Instant) -> bool {
        let paid = u64::try_from(now.saturating_duration_since(self.paid_until).as_millis())
            .unwrap_or(u64::MAX)
            * PER_SECOND
            / 1000;
        if paid > 0 {
            self.paid_until = now;
            self.owed = self.owed.saturating_sub(paid);
        }
        self.owed <= CREDIT
    }

    fn wrote(&mut self, count: usize) {
        self.written += count;
        self.owed = self.owed.saturating_sub((self.written / PAYING_BYTES) as u64);
        self.written %= PAYING_BYTES;
    }
}

/// What a frame costs, by its type (RFC 9113, section 6).
const fn cost(kind: u8, flags: u8, length: usize) -> u64 {
    const END_STREAM: u8 = 1;
    match kind {
        // DATA: a body is welcome; nothing, and not even the end of it, is not.
        0 => (length == 0 && flags & END_STREAM == 0) as u64,
        // HEADERS: the number of streams bounds them.
        1 => 0,
        // RST_STREAM
        3 => RESET,
        // PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, and what nobody knows.
        _ => 1,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if self.look(buffer.filled().get(before..).unwrap_or_default(), Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of HTTP/2 frames")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, pieces))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0xff; payload]].concat()
    }

    /// How many of these frames pass at once, of ten thousand, after the preface; read in pieces of `size`.
    fn passing(frame: &[u8], size: usize) -> usize {
        let mut frames = Frames::new(());
        let now = frames.paid_until;
        assert!(frames.look(&[0xff; PREFACE], now));
        (0..10_000).take_while(|_| frame.chunks(size).all(|piece| frames.look(piece, now))).count()
    }

    #[test]
    fn frames_that_only_make_work_are_counted_wherever_reads_cut_them() {
        for (name, bytes, expected) in [
            ("DATA", frame(0, 0, 1000), 10_000),
            ("the end of a body", frame(0, 1, 0), 10_000),
            ("HEADERS", frame(1, 5, 30), 10_000),
            ("empty DATA", frame(0, 0, 0), 2_000),
            ("PRIORITY", frame(2, 0, 5), 2_000),
            ("RST_STREAM", frame(3, 0, 4), 200),
            ("SETTINGS", frame(4, 0, 6), 2_000),
            ("PING", frame(6, 0, 8), 2_000),
            ("WINDOW_UPDATE", frame(8, 0, 4), 2_000),
            ("CONTINUATION", frame(9, 0, 100), 2_000),
            ("unknown", frame(0xfa, 0, 1), 2_000),
        ] {
            for size in [1, 7, 9, 4096] {
                assert_eq!(passing(&bytes, size), expected, "{name} in pieces of {size}");
            }
        }
    }

    #[test]
    fn time_and_what_the_client_reads_pay() {
        let ping = frame(6, 0, 8);
        let mut frames = Frames::new(());
        let now = frames.paid_until;
        assert!(frames.look(&[0; PREFACE], now));
        (0..2_000).for_each(|_| assert!(frames.look(&ping, now)));
        let later = now + std::time::Duration::from_secs(1);
        (0..100).for_each(|_| assert!(frames.look(&ping, later)));
        assert!(!frames.look(&ping, later));

        let mut frames = Frames::new(());
        assert!(frames.look(&[0; PREFACE], now));
        for _ in 0..100_000 {
            frames.wrote(16 * 1024);
            assert!(frames.look(&frame(8, 0, 4), now), "a quick reader of a large file");
        }
    }
}
