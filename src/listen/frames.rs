//! HTTP/2 frames that only make work are counted, and who sends too many is cut off.
//!
//! h2 bounds what a flood can make it hold, but answers SETTINGS, PING and resets without end. This layer reads nothing but the
//! nine bytes before each frame (RFC 9113, section 4.1) and keeps an account: frames that carry no request and no data cost,
//! time and what the client takes of its answers pay. Defends against rapid reset (CVE-2023-44487), and the floods of
//! SETTINGS, PING, empty DATA, CONTINUATION and WINDOW_UPDATE (CVE-2019-9512 to 9518, CVE-2024-24549).
//!
//! Whoever is cut off is told why, by GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, section 6.8). h2 does not know of it, so this layer
//! writes that frame: behind a frame of h2's that has gone out whole, and only if the socket takes it at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// RST_STREAM, PING and GOAWAY (RFC 9113, section 6).
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const HEADERS: u8 = 1;
/// The flag of a PING that answers one.
const ACK: u8 = 1;
/// Why somebody is told to go (section 7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// A stream of frames whose account is kept.
pub(super) struct Frames<S> {
    inner: S,
    read: Cut,
    wrote: Cut,
    /// The last stream that the client began.
    last_stream: u32,
    /// Whether h2 has told the client to go.
    told_to_go: bool,
    /// Whether the client has answered a PING since this was last reset.
    answered: Arc<AtomicBool>,
    owed: u64,
    paid_until: Instant,
    written: usize,
}

/// Finds the heads of frames in bytes that come in any pieces.
struct Cut {
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD],
    have: usize,
}

/// What stands before a frame's payload.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Cut {
    const fn after(skip: usize) -> Self {
        Self { skip, head: [0; HEAD], have: 0 }
    }

    /// The next head in `bytes`, which then begin behind it; `None` when all of them have been seen.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = bytes.get(skipped..)?;
        let room = self.head.get_mut(self.have..)?;
        let (here, later) = bytes.split_at(room.len().min(bytes.len()));
        room.iter_mut().zip(here).for_each(|(to, from)| *to = *from);
        self.have += here.len();
        *bytes = later;
        if self.have < HEAD {
            return None;
        }
        self.have = 0;
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Head { length: self.skip, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff })
    }

    /// Whether all frames so far are whole.
    const fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.have == 0
    }
}

impl<S> Frames<S> {
    /// Sets `answered` when the client answers a PING.
    pub(super) fn new(inner: S, answered: Arc<AtomicBool>) -> Self {
        Self {
            inner,
            read: Cut::after(PREFACE),
            wrote: Cut::after(0),
            last_stream: 0,
            told_to_go: false,
            answered,
            owed: 0,
            paid_until: Instant::now(),
            written: 0,
        }
    }

    /// Looks at bytes as they arrive; `false` when the account is overdrawn.
    fn look(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while let Some(head) = self.read.next(&mut bytes) {
            match head.kind {
                HEADERS => self.last_stream = self.last_stream.max(head.stream),
                PING if head.flags & ACK != 0 => self.answered.store(true, Ordering::Relaxed),
                _ => {}
            }
            self.owed += cost(head);
            if self.owed > CREDIT && !self.pay(now) {
                return false;
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

    /// Looks at bytes that have gone out.
    fn look_back(&mut self, mut bytes: &[u8]) {
        self.written += bytes.len();
        while let Some(head) = self.wrote.next(&mut bytes) {
            self.told_to_go |= head.kind == GOAWAY;
        }
        self.owed = self.owed.saturating_sub((self.written / PAYING_BYTES) as u64);
        self.written %= PAYING_BYTES;
    }

    /// What is said to who is cut off; nothing within a frame, nor to who was told to go already: that cannot be taken back.
    fn goodbye(&self) -> Option<Vec<u8>> {
        let may_speak = self.wrote.is_between_frames() && !self.told_to_go;
        may_speak.then(|| {
            let frame = [&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0][..], &self.last_stream.to_be_bytes()];
            [&frame.concat()[..], &ENHANCE_YOUR_CALM.to_be_bytes()].concat()
        })
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Tells why. Who does not take it at once is not waited for.
    fn part(&mut self, cx: &mut Context<'_>) {
        let Some(goodbye) = self.goodbye() else { return };
        self.told_to_go = true;
        if matches!(Pin::new(&mut self.inner).poll_write(cx, &goodbye), Poll::Ready(Ok(_))) {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }
}

/// What a frame costs, by its type (RFC 9113, section 6).
const fn cost(head: Head) -> u64 {
    const END_STREAM: u8 = 1;
    match head.kind {
        // DATA: a body is welcome; nothing, and not even the end of it, is not.
        0 => (head.length == 0 && head.flags & END_STREAM == 0) as u64,
        // The number of streams bounds them.
        HEADERS => 0,
        RST_STREAM => RESET,
        // PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, and what nobody knows.
        _ => 1,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<S> {
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
        self.part(cx);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a flood of HTTP/2 frames")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.look_back(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, pieces))?;
        let mut left = written;
        for piece in pieces {
            let gone = left.min(piece.len());
            self.look_back(piece.get(..gone).unwrap_or_default());
            left -= gone;
        }
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
        let mut frames = Frames::new((), Arc::default());
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
    fn goodbye_is_said_between_frames_and_once() {
        let mut frames = Frames::new((), Arc::default());
        assert!(frames.look(&[&[0; PREFACE][..], &frame(1, 5, 30)].concat(), frames.paid_until));
        let said = frames.goodbye().unwrap();
        assert_eq!(said, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11]);
        let data = frame(0, 0, 100);
        for (at, byte) in data.iter().enumerate() {
            frames.look_back(&[*byte]);
            assert_eq!(frames.goodbye().is_some(), at + 1 == data.len(), "after {at} bytes of a frame");
        }
        frames.look_back(&frame(GOAWAY, 0, 8));
        assert_eq!(frames.goodbye(), None, "said already");
    }

    #[test]
    fn only_an_answer_to_a_ping_says_that_somebody_is_there() {
        let answered = Arc::new(AtomicBool::new(false));
        let mut frames = Frames::new((), Arc::clone(&answered));
        let now = frames.paid_until;
        for (name, frame, says) in [
            ("preface", vec![0; PREFACE], false),
            ("PING", frame(PING, 0, 8), false),
            ("SETTINGS, taken", frame(4, ACK, 0), false),
            ("PING, answered", frame(PING, ACK, 8), true),
        ] {
            assert!(frames.look(&frame, now));
            assert_eq!(answered.load(Ordering::Relaxed), says, "{name}");
        }
    }

    #[test]
    fn time_and_what_the_client_reads_pay() {
        let ping = frame(6, 0, 8);
        let mut frames = Frames::new((), Arc::default());
        let now = frames.paid_until;
        assert!(frames.look(&[0; PREFACE], now));
        (0..2_000).for_each(|_| assert!(frames.look(&ping, now)));
        let later = now + std::time::Duration::from_secs(1);
        (0..100).for_each(|_| assert!(frames.look(&ping, later)));
        assert!(!frames.look(&ping, later));

        let mut frames = Frames::new((), Arc::default());
        assert!(frames.look(&[0; PREFACE], now));
        for _ in 0..100_000 {
            frames.look_back(&frame(0, 0, 16 * 1024));
            assert!(frames.look(&frame(8, 0, 4), now), "a quick reader of a large file");
        }
    }
}
