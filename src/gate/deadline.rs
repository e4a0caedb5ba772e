//! An answer that must be over by a certain time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep};

use crate::forward::BoxError;
use crate::visit::Body;

/// The same body; it breaks off at `end`.
pub(super) fn until(end: Instant, inner: Body) -> Body {
    if inner.is_end_stream() {
        return inner;
    }
    Until { inner, end: Box::pin(tokio::time::sleep_until(end)) }.boxed_unsync()
}

struct Until {
    inner: Body,
    end: Pin<Box<Sleep>>,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the request took longer than server.request_timeout".into())));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
