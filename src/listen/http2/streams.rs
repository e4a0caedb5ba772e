//! The answers on one HTTP/2 connection, watched from outside.
//!
//! A client can open a stream, ask for something large and never open the window for it: the socket stands ready, so nobody
//! notices, and the backend's connection is held for good. Here every answer's body can be taken away from its stream; the
//! stream then ends with an error, if it is ever read. A connection with nothing but such streams is given up, and one without
//! any streams is asked to leave.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::forward::BoxError;
use crate::visit::Body;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Something is asked or answered.
    Busy,
    /// Nothing is.
    Quiet,
    /// Nothing has been for as long as a connection may be idle.
    Idle,
    /// All that is answered is not read.
    Stuck,
}

/// The streams of one connection.
pub(super) struct Streams {
    idle_limit: Duration,
    write_limit: Duration,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Requests that have no answer yet.
    asked: usize,
    answers: Vec<Weak<Mutex<Answer>>>,
    used: Instant,
}

/// A body that may be taken away.
struct Answer {
    body: Option<Body>,
    /// When hyper took something, if it has not come for more since.
    taken: Option<Instant>,
}

impl Streams {
    pub(super) fn new(idle_limit: Duration, write_limit: Duration) -> Self {
        let inner = Inner { asked: 0, answers: Vec::new(), used: Instant::now() };
        Self { idle_limit, write_limit, inner: Mutex::new(inner) }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request has come. Its answer counts as pending until the value is used or dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Asked {
        self.with(|inner| inner.asked += 1);
        Asked(Arc::clone(self))
    }

    /// Takes away what was not read in time, and says how the connection stands.
    pub(super) fn look(&self) -> State {
        self.with(|inner| {
            let now = Instant::now();
            let (mut live, mut given_up) = (0, 0);
            inner.answers.retain(|answer| {
                let Some(answer) = answer.upgrade() else { return false };
                let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                if answer.taken.is_some_and(|taken| now - taken > self.write_limit) {
                    answer.body = None;
                }
                if answer.body.is_some() {
                    live += 1
                } else {
                    given_up += 1
                }
                true
            });
            if inner.asked > 0 || live > 0 {
                inner.used = now;
                return State::Busy;
            }
            match given_up {
                0 if now - inner.used > self.idle_limit => State::Idle,
                0 => State::Quiet,
                _ => State::Stuck,
            }
        })
    }
}

/// A request that is being answered.
pub(super) struct Asked(Arc<Streams>);

impl Asked {
    /// Its answer has this body.
    pub(super) fn answer(self, body: Body) -> Watched {
        let answer = Answer { body: Some(body), taken: Some(Instant::now()) };
        let answer = Arc::new(Mutex::new(answer));
        self.0.with(|inner| inner.answers.push(Arc::downgrade(&answer)));
        Watched(answer)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.with(|inner| {
            inner.asked = inner.asked.saturating_sub(1);
            inner.used = Instant::now();
        });
    }
}

/// The body of an answer. Trailers are left out: their names and values were not looked at.
pub(super) struct Watched(Arc<Mutex<Answer>>);

impl Watched {
    fn lock(&self) -> std::sync::MutexGuard<'_, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut answer = self.lock();
        // While the backend is waited for, the client owes nothing.
        answer.taken = None;
        let Some(body) = &mut answer.body else {
            return Poll::Ready(Some(Err("the client did not read the answer in time".into())));
        };
        loop {
            let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
            if matches!(&frame, Some(Ok(frame)) if frame.is_trailers()) {
                continue;
            }
            answer.taken = Some(Instant::now());
            return Poll::Ready(frame);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.as_ref().map_or_else(SizeHint::new, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn body(text: &'static str) -> Body {
        crate::forward::full(text).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_is_taken_away_and_its_connection_given_up() {
        let streams = Arc::new(Streams::new(Duration::from_secs(60), Duration::ZERO));
        let asked = streams.begin();
        assert_eq!(streams.look(), State::Busy, "asked");
        let watched = asked.answer(body("hello"));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(streams.look(), State::Stuck);
        assert!(watched.collect().await.is_err());
        assert_eq!(streams.look(), State::Quiet, "and a moment later it may ask again");
    }

    #[tokio::test]
    async fn an_answer_that_is_read_is_whole_and_then_the_connection_is_idle() {
        let streams = Arc::new(Streams::new(Duration::ZERO, Duration::from_secs(60)));
        let watched = streams.begin().answer(body("hello"));
        assert_eq!(streams.look(), State::Busy);
        assert_eq!(watched.collect().await.unwrap().to_bytes(), "hello");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(streams.look(), State::Idle);
    }
}
