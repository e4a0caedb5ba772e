//! Bodies on their way: requests to the backend, responses back. Both stream; neither is copied.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::Fault;
use super::load::{Entry, Slot};
use super::pace::Pace;
use super::pool::Lease;
use super::spool::Spooled;
use crate::config::values::Size;

/// Any error a body can end in.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Looks at a body as it passes.
pub trait Inspect: Send {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// Why the body must not go on; what has been sent of it is then void, since its length was promised.
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str>;

    /// Looks at what it has kept, before the last bytes of the body are sent.
    ///
    /// # Errors
    /// As [`Inspect::inspect`].
    fn finish(&mut self) -> Result<(), &'static str>;
}

/// The body of a request, as the backend gets it. Trailers are not passed on.
pub enum RequestBody {
    /// None.
    Empty,
    /// As it arrives, of a known length.
    Stream(Stream),
    /// Held until its length was known.
    Spooled(Spooled),
    /// In memory.
    Full(Full<Bytes>),
}

/// A body of `remaining` bytes that is still arriving.
pub struct Stream {
    incoming: Incoming,
    remaining: u64,
    /// Taken with the last byte.
    entry: Option<Entry>,
    inspect: Option<Box<dyn Inspect>>,
    progress: Progress,
    pace: Pace,
}

impl RequestBody {
    /// Streams `incoming`, which must bring exactly `length` bytes and `rate` of them a second, past `inspect`. The backend begins with
    /// it when it is whole, and by `entry`.
    pub fn stream(
        incoming: Incoming,
        length: u64,
        rate: Size,
        inspect: Option<Box<dyn Inspect>>,
        entry: Entry,
    ) -> Self {
        let (progress, pace) = (Progress::sending(), Pace::new(rate.as_u64()));
        Self::Stream(Stream { incoming, remaining: length, entry: Some(entry), inspect, progress, pace })
    }

    /// The number of bytes it will have.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Stream(stream) => stream.remaining,
            Self::Spooled(spooled) => spooled.length(),
            Self::Full(full) => full.size_hint().exact().unwrap_or(0),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        match self {
            Self::Stream(stream) => stream.progress.clone(),
            Self::Spooled(spooled) => spooled.progress(),
            _ => Progress::default(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(stream) => stream.poll(cx),
            Self::Spooled(spooled) => spooled.poll(cx),
            Self::Full(full) => Pin::new(full).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length())
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                self.pace.wait();
                return Poll::Pending;
            };
            let Some(frame) = frame else {
                return Poll::Ready((self.remaining > 0).then(|| Err(self.fail(Fault::ClientBody))));
            };
            let Ok(frame) = frame else { return Poll::Ready(Some(Err(self.fail(Fault::ClientBody)))) };
            let Ok(data) = frame.into_data() else { continue };
            if !self.pace.came(data.len()) {
                return Poll::Ready(Some(Err(self.fail(Fault::ClientBody))));
            }
            self.remaining = self.remaining.saturating_sub(data.len() as u64);
            self.progress.step(self.remaining == 0);
            if let Some(inspect) = &mut self.inspect {
                let verdict = inspect.inspect(&data);
                let verdict =
                    if self.remaining == 0 { verdict.and_then(|()| inspect.finish()) } else { verdict };
                if let Err(reason) = verdict {
                    return Poll::Ready(Some(Err(self.fail(Fault::BodyRefused(reason)))));
                }
            }
            if let Some(entry) = self.entry.take_if(|_| self.remaining == 0) {
                match entry.enter_late() {
                    Ok(slot) => self.progress.occupy(slot),
                    Err(fault) => return Poll::Ready(Some(Err(self.fail(fault)))),
                }
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn fail(&self, fault: Fault) -> BoxError {
        let text = fault.to_string();
        self.progress.fail(fault);
        text.into()
    }
}

/// How far the sending of a body has come, seen from outside the connection that sends it.
#[derive(Clone, Default)]
pub(super) struct Progress(Option<Arc<Mutex<State>>>);

struct State {
    /// When a byte last moved.
    moved: Instant,
    sending: bool,
    /// Once it is sent, until it is answered.
    slot: Option<Slot>,
    fault: Option<Fault>,
}

impl Progress {
    pub(super) fn sending() -> Self {
        Self(Some(Arc::new(Mutex::new(State {
            moved: Instant::now(),
            sending: true,
            slot: None,
            fault: None,
        }))))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.0.as_ref().map(|state| look(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) fn step(&self, done: bool) {
        self.with(|state| {
            state.moved = Instant::now();
            state.sending = !done;
        });
    }

    fn occupy(&self, slot: Slot) {
        self.with(|state| state.slot = Some(slot));
    }

    /// The backend has answered, or will not.
    pub(super) fn leave(&self) {
        self.with(|state| state.slot = None);
    }

    fn fail(&self, fault: Fault) {
        self.with(|state| state.fault = Some(fault));
    }

    /// Why the body could not be sent, once.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.with(|state| state.fault.take()).flatten()
    }

    /// Whether the body is still being sent.
    pub(super) fn is_sending(&self) -> bool {
        self.with(|state| state.sending).unwrap_or(false)
    }

    /// Waits for `future`, at most `limit` after the body last moved. `None` when that has passed.
    pub(super) async fn deadline<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut until = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(until, &mut future).await {
                Ok(outcome) => return Some(outcome),
                Err(_) => match self.with(|state| state.moved + limit) {
                    Some(later) if later > until => until = later,
                    _ => return None,
                },
            }
        }
    }
}

/// The body of a response, as the backend sends it. Fails when the backend stands still for too long; gives its
/// connection back when it has been read to the end, and closes it when it is dropped before.
pub struct ResponseBody {
    inner: Incoming,
    lease: Lease,
    limit: Duration,
    patience: Option<Pin<Box<Sleep>>>,
    /// What had come with the head already.
    first: Option<Frame<Bytes>>,
    ended: bool,
}

impl ResponseBody {
    pub(super) fn new(inner: Incoming, lease: Lease, limit: Duration) -> Self {
        Self { inner, lease, limit, patience: None, first: None, ended: false }
    }

    /// Looks at what has come of it with the head, and waits for nothing.
    ///
    /// # Errors
    /// When it is broken already.
    pub(super) async fn begin(&mut self) -> Result<(), hyper::Error> {
        let frame = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut self.inner).poll_frame(cx))).await;
        match frame {
            Poll::Pending => {}
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(frame)) => self.first = Some(frame?),
        }
        Ok(())
    }
}

impl ResponseBody {
    /// Reads all of it, to be sent on as if it had not been read; `None` if it is longer than `most` bytes or breaks off, and then
    /// the rest comes after what was read.
    pub async fn read_ahead(&mut self, most: usize) -> Option<Bytes> {
        let mut read = BytesMut::new();
        let whole = loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await;
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => break true,
                Some(Ok(Ok(data))) => read.extend_from_slice(&data),
                // Trailers are not passed on.
                Some(Ok(Err(_))) => {}
                Some(Err(_)) => break false,
            }
            if read.len() > most {
                break false;
            }
        };
        let read = read.freeze();
        self.first = (!read.is_empty()).then(|| Frame::data(read.clone()));
        whole.then_some(read)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) else {
            // The clock starts only when there is something to wait for, so a quick response costs no timer.
            let limit = this.limit;
            let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            ready!(patience.as_mut().poll(cx));
            return Poll::Ready(Some(Err("the backend stood still while it sent the body".into())));
        };
        this.patience = None;
        match frame {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                this.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.inner.size_hint();
        let mut both = SizeHint::new();
        both.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper() {
            both.set_upper(upper.saturating_add(first));
        }
        both
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.lease.finish();
        }
    }
}
