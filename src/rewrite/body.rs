//! A body that is rewritten while it passes.

use super::headers::response_headers;
use super::origins::Origins;
use super::plan::Plan;
use super::rewriter::Rewriter;
use super::wide::Order;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What ends a body before its time: the inner body's own error, or one of decoding.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body on its way out. What breaks off inside breaks off outside: the error is passed on, and what was held
/// back until then is not made up for.
#[derive(Debug)]
pub struct RewriteBody<B> {
    inner: B,
    origins: Arc<Origins>,
    rewriter: Option<Rewriter>,
    /// Encoded bytes that are not decoded yet.
    pending: Bytes,
    ready: VecDeque<Frame<Bytes>>,
    ended: bool,
    /// Internal names in the trailers.
    in_trailers: usize,
    blocking: bool,
    report: Option<Report>,
}

struct Report(Box<dyn FnOnce(usize) + Send>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

impl<B> RewriteBody<B> {
    /// Does to `inner` what the plan says. With [`Plan::Pass`] it is handed on untouched.
    pub fn new(inner: B, origins: &Arc<Origins>, plan: Plan) -> Self {
        Self {
            inner,
            origins: origins.clone(),
            rewriter: Rewriter::new(origins, plan),
            pending: Bytes::new(),
            ready: VecDeque::new(),
            ended: false,
            in_trailers: 0,
            blocking: false,
            report: None,
        }
    }

    /// Takes the encoding of the text from these headers, unless its first bytes tell. Of any but UTF-16 it need not be known.
    #[must_use]
    pub fn labelled(mut self, headers: &HeaderMap) -> Self {
        if let Some(rewriter) = &mut self.rewriter {
            rewriter.label(Order::labelled(headers));
        }
        self
    }

    /// Breaks off, with an error, before an internal name goes out that no rule maps.
    #[must_use]
    pub fn blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// Has `report` called with the number of internal names that were found nevertheless ([`Self::leaked`]), when the
    /// body has ended or is dropped, if there are any.
    #[must_use]
    pub fn on_leak(mut self, report: impl FnOnce(usize) + Send + 'static) -> Self {
        self.report = Some(Report(Box::new(report)));
        self
    }

    /// How many internal names were found so far that no rule maps ([`super::Stream::remaining`]).
    pub fn leaked(&self) -> usize {
        let in_text = self.rewriter.as_ref().map_or(0, Rewriter::remaining);
        in_text.saturating_add(self.in_trailers)
    }

    fn report(&mut self) {
        let leaked = self.leaked();
        if leaked > 0
            && let Some(Report(report)) = self.report.take()
        {
            report(leaked);
        }
    }

    /// How many bytes are there to be taken without waiting.
    fn length_ready(&self) -> usize {
        self.ready.iter().filter_map(Frame::data_ref).map(Bytes::len).sum()
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> RewriteBody<B> {
    /// Waits until `bytes` of it are ready, or all of it. Nothing is lost if this is dropped before.
    ///
    /// # Errors
    /// What the body would end with; it ends then.
    pub async fn read_ahead(&mut self, bytes: usize) -> Result<(), BoxError> {
        std::future::poll_fn(|context| {
            while !self.ended && self.length_ready() < bytes {
                ready!(self.poll_some(context))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Does a step's work on what is pending, or waits for more.
    fn poll_some(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(rewriter) = &mut self.rewriter else {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => self.ready.push_back(frame),
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => self.ended = true,
            }
            return Poll::Ready(Ok(()));
        };
        let mut result = Ok(());
        let mut trailers = None;
        if self.pending.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => self.pending = chunk,
                    Err(frame) => {
                        trailers = frame.into_trailers().ok();
                        self.ended = true;
                    }
                },
                Some(Err(error)) => result = Err(error.into()),
                None => self.ended = true,
            }
        }
        let mut out = |bytes| self.ready.push_back(Frame::data(bytes));
        if result.is_ok() && self.ended {
            result = rewriter.finish(&mut out).map_err(Into::into);
        } else if result.is_ok() && !self.pending.is_empty() {
            result = rewriter.push(&mut self.pending, &mut out).map_err(Into::into);
        }
        if let Some(mut trailers) = trailers {
            self.in_trailers = response_headers(&self.origins, Plan::Pass, &mut trailers);
            self.ready.push_back(Frame::trailers(trailers));
        }
        if self.blocking && self.leaked() > 0 {
            result = Err("it holds an internal name".into());
        }
        if result.is_err() {
            self.ended = true;
            self.ready.clear();
        }
        if self.ended {
            self.report();
        }
        Poll::Ready(result)
    }
}

impl<B> Drop for RewriteBody<B> {
    fn drop(&mut self) {
        self.report();
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for RewriteBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(this.poll_some(context)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.rewriter {
            None => self.ready.is_empty() && self.inner.is_end_stream(),
            Some(_) => self.ended && self.ready.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rewriter {
            None if self.ready.is_empty() => self.inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::tests as coding;
    use super::super::tests::{LOCAL, origins};
    use super::super::{Coding, Mode};
    use super::*;
    use http_body_util::{BodyExt, Full};

    type Given = Vec<Result<Frame<Bytes>, &'static str>>;
    type Got = Vec<Result<Frame<Bytes>, BoxError>>;

    /// A body that gives these frames one after the other.
    struct Frames(VecDeque<Result<Frame<Bytes>, &'static str>>);

    impl Body for Frames {
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

    async fn frames(plan: Plan, given: Given) -> Got {
        let mut body = RewriteBody::new(Frames(given.into()), &Arc::new(origins(LOCAL, Mode::Full)), plan);
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            got.push(frame);
        }
        assert!(plan == Plan::Pass || body.is_end_stream());
        got
    }

    fn text(frames: &Got) -> String {
        let bytes = frames.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref().cloned());
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn text_is_rewritten_across_frames_and_before_the_trailers() {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "localhost:8088".parse().unwrap())]);
        let given =
            vec![data("see http://local"), data("host:8088/Plo"), data("ne"), Ok(Frame::trailers(trailers))];
        let got = frames(Plan::Text(None), given).await;
        assert_eq!(text(&got), "see https://public.example.org");
        let trailers = got.last().unwrap().as_ref().unwrap().trailers_ref().unwrap();
        assert_eq!(trailers["x-sum"], "public.example.org");
    }

    #[tokio::test]
    async fn pages_have_their_paths_mapped_too() {
        let got = frames(
            Plan::Html(None),
            vec![data("<a href=/Plo"), data("ne/x>http://localhost:8088/Plone/y</a>")],
        )
        .await;
        assert_eq!(text(&got), "<a href=/x>https://public.example.org/y</a>");
    }

    #[tokio::test]
    async fn what_has_no_type_is_looked_at() {
        let png = b"\x89PNG\r\n\x1a\n http://localhost:8088/Plone/x".as_slice();
        let pdf = b"%PDF-1.7 /URI (http://localhost:8088/Plone/x)".as_slice();
        let wide: Vec<u8> = "see localhost:8088".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let public: Vec<u8> = "see public.example.org".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (row, given, want) in [
            (
                "a page",
                b"<a href=/Plone/x>http://localhost:8088/Plone/y</a>".as_slice(),
                b"<a href=/x>https://public.example.org/y</a>".as_slice(),
            ),
            ("a short one", b"localhost:8088", b"public.example.org"),
            ("a picture", png, png),
            ("a document", pdf, pdf),
            ("in UTF-16", &wide, &public),
            ("nothing", b"", b""),
        ] {
            for size in [1, 7, usize::MAX] {
                let got =
                    bytes(&frames(Plan::Unnamed(None), pieces(given, size.min(given.len().max(1)))).await);
                assert_eq!(got, want, "{row}, in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn an_address_in_a_calendar_is_found_across_its_folds() {
        let given =
            vec![data("URL:http://local\r\n"), data(" host:8088/Plone/x\r\nUID:a@localhost:8088\r\n")];
        let got = frames(Plan::Folded(None), given).await;
        assert_eq!(text(&got), "URL:https://public.example.org/x\r\nUID:a@public.example.org\r\n");
    }

    #[tokio::test]
    async fn what_breaks_off_stays_broken_off() {
        let got = frames(Plan::Text(None), vec![data("abc http://local"), Err("reset")]).await;
        assert_eq!(text(&got), "abc ", "what was held back might have been an internal name");
        assert_eq!(got.last().unwrap().as_ref().unwrap_err().to_string(), "reset");
    }

    #[tokio::test]
    async fn what_is_not_text_passes_as_it_is() {
        let got = frames(Plan::Pass, vec![data("http://localhost:8088/"), data("")]).await;
        assert_eq!(text(&got), "http://localhost:8088/");
        let full = RewriteBody::new(Full::from("abc"), &Arc::new(origins(LOCAL, Mode::Full)), Plan::Pass);
        assert_eq!(full.size_hint().exact(), Some(3), "its length is still known");
    }

    fn pieces(bytes: &[u8], size: usize) -> Given {
        bytes.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect()
    }

    fn bytes(got: &Got) -> Vec<u8> {
        got.iter().flat_map(|frame| frame.as_ref().unwrap().data_ref().unwrap().to_vec()).collect()
    }

    #[tokio::test]
    async fn encoded_bodies_are_rewritten_inside() {
        let page = "<a href=\"/Plone/x\">http://localhost:8088/Plone/y</a> and some words\n".repeat(500);
        let want = page
            .replace("/Plone/x", "/x")
            .replace("http://localhost:8088/Plone/y", "https://public.example.org/y");
        for coding in coding::ALL {
            for size in [1, 1000, usize::MAX] {
                let encoded = coding::encoded(coding, page.as_bytes());
                let got =
                    bytes(&frames(Plan::Html(Some(coding)), pieces(&encoded, size.min(encoded.len()))).await);
                assert!(
                    coding::decoded(coding, &got).unwrap() == want.as_bytes(),
                    "{coding:?} in pieces of {size}"
                );
            }
            assert!(frames(Plan::Text(Some(coding)), vec![]).await.is_empty(), "nothing stays nothing");
        }
        let plain = frames(Plan::Text(Some(Coding::Gzip)), vec![data("see localhost:8088")]).await;
        assert_eq!(text(&plain), "see public.example.org", "labelled wrongly");
    }

    #[tokio::test]
    async fn an_encoded_body_cut_short_is_broken_off() {
        for coding in coding::ALL {
            let encoded = coding::encoded(coding, &b"some words ".repeat(5000));
            let got = frames(Plan::Text(Some(coding)), pieces(&encoded[..encoded.len() - 9], 100)).await;
            assert!(got.last().unwrap().is_err(), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn what_stays_is_reported_once() {
        let (send, receive) = std::sync::mpsc::channel();
        let origins = Arc::new(origins(LOCAL, Mode::Safety));
        for text in ["localhost:8088evil", "localhost:8088", ""] {
            let send = send.clone();
            let body = RewriteBody::new(Full::from(text), &origins, Plan::Text(None))
                .on_leak(move |count| send.send(count).unwrap());
            body.collect().await.unwrap();
        }
        drop(send);
        assert_eq!(receive.iter().collect::<Vec<_>>(), [1]);
    }

    #[tokio::test]
    async fn a_body_that_may_not_leak_breaks_off_before_the_name() {
        let origins = Arc::new(origins(LOCAL, Mode::Safety));
        let given = vec![data("fine "), data("localhost:80"), data("88evil "), data("more")];
        let mut body = RewriteBody::new(Frames(given.into()), &origins, Plan::Text(None)).blocking(true);
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            got.push(frame);
        }
        assert_eq!(text(&got), "fine ");
        assert!(got.last().unwrap().is_err() && body.leaked() == 1);
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_not_lost() {
        let origins = Arc::new(origins(LOCAL, Mode::Safety));
        for plan in [Plan::Text(None), Plan::Pass] {
            for ahead in [0, 4, 100] {
                let given = vec![data("abc"), data("def"), data("ghi")];
                let mut body = RewriteBody::new(Frames(given.into()), &origins, plan);
                body.read_ahead(ahead).await.unwrap();
                assert!(body.length_ready() >= ahead.min(9));
                assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdefghi");
            }
        }
    }

    #[tokio::test]
    async fn text_in_utf_16_is_rewritten_too() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let page = "\u{feff}<a href=\"/Plone/x\">http://localhost:8088/Plone/y</a> \u{4e2d}";
        let want = "\u{feff}<a href=\"/x\">https://public.example.org/y</a> \u{4e2d}";
        for size in [1, 7, 1000] {
            let got = frames(Plan::Html(None), pieces(&wide(page), size)).await;
            assert_eq!(bytes(&got), wide(want), "in pieces of {size}");
        }
        let labelled = HeaderMap::from_iter([(
            "content-type".parse().unwrap(),
            "text/plain; charset=utf-16be".parse().unwrap(),
        )]);
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let body = Full::from(big("see localhost:8088"));
        let body = RewriteBody::new(body, &Arc::new(origins(LOCAL, Mode::Safety)), Plan::Text(None));
        let got = body.labelled(&labelled).collect().await.unwrap().to_bytes();
        assert_eq!(got, big("see public.example.org"));
    }

    #[test]
    fn it_can_cross_threads() {
        fn crosses<T: Send>(_: &T) {}
        crosses(&RewriteBody::new(
            Full::<Bytes>::default(),
            &Arc::new(origins(LOCAL, Mode::Full)),
            Plan::Html(None),
        ));
    }
}
