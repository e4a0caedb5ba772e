//! A body that is rewritten while it passes.

use super::headers::Plan;
use super::html::Links;
use super::origins::Origins;
use super::stream::Stream;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// An answer's body on its way out. What breaks off inside breaks off outside: the error is passed on, and what was held
/// back until then is not made up for.
#[derive(Debug)]
pub struct RewriteBody<B> {
    inner: B,
    rewriter: Option<Rewriter>,
    ready: VecDeque<Frame<Bytes>>,
    ended: bool,
}

struct Rewriter {
    links: Option<Links>,
    stream: Stream,
}

impl std::fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriter").field("html", &self.links.is_some()).finish_non_exhaustive()
    }
}

impl Rewriter {
    fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        match &mut self.links {
            Some(links) => self.stream.push(Bytes::from(links.push(&chunk)), out),
            None => self.stream.push(chunk, out),
        }
    }

    fn finish(&mut self, out: &mut impl FnMut(Bytes)) {
        if let Some(links) = &mut self.links {
            self.stream.push(Bytes::from(links.finish()), out);
        }
        self.stream.finish(out);
    }
}

impl<B> RewriteBody<B> {
    /// Does to `inner` what the plan says. With [`Plan::Pass`] it is handed on untouched.
    pub fn new(inner: B, origins: &Arc<Origins>, plan: Plan) -> Self {
        let links = (plan == Plan::Html).then(|| Links::new(origins.clone()));
        let rewriter =
            (plan != Plan::Pass).then(|| Rewriter { links, stream: Stream::new(origins.outward().clone()) });
        Self { inner, rewriter, ready: VecDeque::new(), ended: false }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RewriteBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(rewriter) = &mut this.rewriter else { return Pin::new(&mut this.inner).poll_frame(context) };
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let mut out = |bytes| this.ready.push_back(Frame::data(bytes));
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => rewriter.push(chunk, &mut out),
                    Err(trailers) => {
                        rewriter.finish(&mut out);
                        this.ready.push_back(trailers);
                    }
                },
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.ended = true;
                    rewriter.finish(&mut out);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.rewriter {
            None => self.inner.is_end_stream(),
            Some(_) => self.ended && self.ready.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rewriter {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, origins};
    use super::*;
    use http::HeaderMap;
    use http_body_util::{BodyExt, Full};

    type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

    /// A body that gives these frames one after the other.
    struct Given(VecDeque<Result<Frame<Bytes>, &'static str>>);

    impl Body for Given {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    async fn frames(plan: Plan, given: Frames) -> Frames {
        let mut body = RewriteBody::new(Given(given.into()), &Arc::new(origins(LOCAL, Mode::Full)), plan);
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            got.push(frame);
        }
        assert!(plan == Plan::Pass || body.is_end_stream());
        got
    }

    fn text(frames: &Frames) -> String {
        let bytes = frames.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref().cloned());
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn text_is_rewritten_across_frames_and_before_the_trailers() {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        let given =
            vec![data("see http://local"), data("host:8088/Plo"), data("ne"), Ok(Frame::trailers(trailers))];
        let got = frames(Plan::Text, given).await;
        assert_eq!(text(&got), "see https://public.example.org");
        assert!(got.last().unwrap().as_ref().unwrap().is_trailers());
    }

    #[tokio::test]
    async fn pages_have_their_paths_mapped_too() {
        let got =
            frames(Plan::Html, vec![data("<a href=/Plo"), data("ne/x>http://localhost:8088/Plone/y</a>")])
                .await;
        assert_eq!(text(&got), "<a href=\"/x\">https://public.example.org/y</a>");
    }

    #[tokio::test]
    async fn what_breaks_off_stays_broken_off() {
        let got = frames(Plan::Text, vec![data("abc http://local"), Err("reset")]).await;
        assert_eq!(text(&got), "abc ", "what was held back might have been an internal name");
        assert_eq!(*got.last().unwrap().as_ref().unwrap_err(), "reset");
    }

    #[tokio::test]
    async fn what_is_not_text_passes_as_it_is() {
        let got = frames(Plan::Pass, vec![data("http://localhost:8088/"), data("")]).await;
        assert_eq!(text(&got), "http://localhost:8088/");
        let full = RewriteBody::new(Full::from("abc"), &Arc::new(origins(LOCAL, Mode::Full)), Plan::Pass);
        assert_eq!(full.size_hint().exact(), Some(3), "its length is still known");
    }

    #[test]
    fn it_can_cross_threads() {
        fn crosses<T: Send>(_: &T) {}
        crosses(&RewriteBody::new(
            Full::<Bytes>::default(),
            &Arc::new(origins(LOCAL, Mode::Full)),
            Plan::Html,
        ));
    }
}
