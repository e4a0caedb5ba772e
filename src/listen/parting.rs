//! An answer that breaks off, and what of it the visitor still gets: all that was said before.
//!
//! hyper collects head and body, and throws away what it has collected when the body fails. So a body that fails at once took its
//! head with it, and the visitor's connection closed without a word. Here a failure waits for one turn, in which hyper writes; then
//! it ends the connection, or the stream, in the middle of the body, as it must (RFC 9112, section 8).

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

/// The same body; what it fails with comes one turn later.
pub(super) struct Parting<B: Body> {
    inner: B,
    failed: Option<B::Error>,
}

impl<B: Body> Parting<B> {
    pub(super) const fn new(inner: B) -> Self {
        Self { inner, failed: None }
    }
}

impl<B: Body<Error: Unpin> + Unpin> Body for Parting<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                self.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
