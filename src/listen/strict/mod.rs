//! Between the socket and hyper: every HTTP/1 head is read strictly before hyper sees a byte of it.
//!
//! hyper forgives what a gate must not, and hides it: it drops a `Content-Length` beside `Transfer-Encoding`, folds equal
//! lengths into one, ends lines at a bare line feed (facts/stack.md). So this layer follows the stream (heads, bodies by
//! length, chunked bodies) and lets a head through whole or not at all. In place of a head that is refused hyper gets a
//! harmless one and nothing more; the service, which asks [`Watch::refused`] about each request, answers that one
//! with the refusal, in its turn and in the visitor's form. A chunked body that goes wrong breaks the connection off.
//!
//! A head that arrives in one piece is not copied. Behind a switch of protocols ([`Watch::open`]) everything passes.

mod chunks;
mod head;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use self::chunks::{Chunks, Read};
use self::head::Body;
pub(super) use self::head::{LARGEST_HEAD, MOST_FIELDS};
use crate::admit::Refusal;

/// What hyper gets in place of a refused head.
const HARMLESS: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
/// How much is read at once while a head is incomplete, in bytes.
const PIECE: usize = 8 * 1024;
/// How long, and how much in bytes, a refused client is read on, so that the system does not throw the answer away
/// with what came in too late.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// What layer and service tell each other about one connection.
#[derive(Default)]
pub(super) struct Watch {
    /// Which request is the refused one, counted from 0, and why.
    refused: OnceLock<(u32, Refusal)>,
    /// How many requests the service has seen.
    served: AtomicU32,
    open: AtomicBool,
}

impl Watch {
    /// Why the next request is refused, if it is. Asked once for each.
    pub(super) fn refused(&self) -> Option<Refusal> {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, refusal)| *refusal)
    }

    /// The connection has become a tunnel.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

/// A stream of HTTP/1 requests in which every head has one reading.
pub(super) struct Strict<S> {
    inner: S,
    watch: Arc<Watch>,
    at: At,
    /// Heads let through.
    heads: u32,
    /// Bytes that were read but not let through, and how many of them may be.
    held: Vec<u8>,
    ready: usize,
    /// Up to where the held head was searched for its end.
    searched: usize,
    limit: Duration,
    /// Runs while a part of a head is held.
    waiting: Option<Pin<Box<Sleep>>>,
    /// How much was read, and since when, of a refused client's rest.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

enum At {
    Head,
    Length(u64),
    Chunked(Chunks),
    /// Nothing more passes.
    Refused,
}

impl<S> Strict<S> {
    /// Reads `inner`; a head must have come within `limit` of its first byte.
    pub(super) fn new(inner: S, watch: Arc<Watch>, limit: Duration) -> Self {
        Self {
            inner,
            watch,
            at: At::Head,
            heads: 0,
            held: Vec::new(),
            ready: 0,
            searched: 0,
            limit,
            waiting: None,
            lingering: None,
        }
    }

    /// How many of the next bytes may pass; the state moves on by as many.
    fn release(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut released = 0;
        while let Some(rest) = bytes.get(released..).filter(|rest| !rest.is_empty()) {
            let count = match &mut self.at {
                At::Head => match self.head(rest) {
                    Ok(Some(count)) => count,
                    Ok(None) => break,
                    Err(refusal) => {
                        self.refuse(refusal);
                        break;
                    }
                },
                At::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= here as u64;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                    here
                }
                At::Chunked(chunks) => match chunks.read(rest) {
                    Ok(Read::More) => rest.len(),
                    Ok(Read::Ended(count)) => {
                        self.at = At::Head;
                        count
                    }
                    Err(()) => {
                        self.at = At::Refused;
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a malformed chunked body"));
                    }
                },
                At::Refused => break,
            };
            released += count;
        }
        Ok(released)
    }

    /// The length of the head that `bytes` begin with, once it is all there.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some(end) = head::end(bytes, &mut self.searched)? else { return Ok(None) };
        self.at = match head::read(bytes.get(..end).unwrap_or_default())? {
            Body::Length(0) => At::Head,
            Body::Length(length) => At::Length(length),
            Body::Chunked => At::Chunked(Chunks::default()),
        };
        self.searched = 0;
        self.heads = self.heads.wrapping_add(1);
        Ok(Some(end))
    }

    /// Puts the harmless head in the place of what is held.
    fn refuse(&mut self, refusal: Refusal) {
        let _ = self.watch.refused.set((self.heads, refusal));
        self.at = At::Refused;
    }
}

impl<S: AsyncRead + Unpin> Strict<S> {
    /// Lets through what is held and may pass.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.ready.min(buffer.remaining());
        buffer.put_slice(self.held.get(..count).unwrap_or_default());
        self.ready -= count;
        self.held.drain(..count);
        if self.held.is_empty() {
            // An idle connection holds no memory for it.
            self.held = Vec::new();
        }
    }

    /// Judges what is held from `ready` on.
    fn judge(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let released = self.release(held.get(self.ready..).unwrap_or_default());
        self.held = held;
        self.ready += released?;
        if matches!(self.at, At::Refused) {
            self.held.truncate(self.ready);
            self.held.extend_from_slice(HARMLESS);
            self.ready = self.held.len();
        }
        Ok(())
    }

    /// Reads what hyper has room for, and holds back what it may not have yet.
    fn read_through(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let released = self.release(new)?;
        if released < new.len() {
            self.held.extend_from_slice(new.get(released..).unwrap_or_default());
            if matches!(self.at, At::Refused) {
                self.held.clear();
                self.held.extend_from_slice(HARMLESS);
                self.ready = self.held.len();
            }
        }
        buffer.set_filled(before + released);
        Poll::Ready(Ok(released > 0))
    }

    /// Reads more of a head that is held in part. At the end of the stream there is nothing to let through.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut read = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.inner).poll_read(cx, &mut read) {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => {
                let limit = self.limit;
                let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(waiting.as_mut().poll(cx));
                self.refuse(Refusal::HeadTimeout);
                self.judge()?;
                return Poll::Ready(Ok(false));
            }
        }
        if read.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(read.filled());
        self.judge()?;
        Poll::Ready(Ok(false))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.watch.open.load(Ordering::Relaxed) && !matches!(this.at, At::Refused) {
            if this.held.is_empty() {
                return Pin::new(&mut this.inner).poll_read(cx, buffer);
            }
            this.ready = this.held.len();
        }
        loop {
            if this.ready > 0 {
                this.waiting = None;
                this.give(buffer);
                return Poll::Ready(Ok(()));
            }
            if matches!(this.at, At::Refused) {
                // The end of the stream would be a client that is gone, whose request hyper drops. It closes by itself
                // behind the answer to the harmless head.
                return Poll::Pending;
            }
            let passed = if this.held.is_empty() {
                ready!(this.read_through(cx, buffer))?
            } else {
                ready!(this.read_on(cx))?
            };
            if passed {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        if !matches!(this.at, At::Refused) {
            return Poll::Ready(Ok(()));
        }
        let (until, seen) = this.lingering.get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER.0)), 0));
        let mut piece = [0; PIECE];
        while until.as_mut().poll(cx).is_pending() && *seen < LINGER.1 {
            let mut read = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => *seen += read.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
