//! A body that is rewritten while it passes.

use super::coding::{Coding, Decoder, Encoder, STEP};
use super::headers::{Plan, response_headers};
use super::html::Links;
use super::origins::Origins;
use super::stream::Stream;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::io;
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
    rewriter: Option<Rewriter>,
    /// Encoded bytes that are not decoded yet.
    pending: Bytes,
    ready: VecDeque<Frame<Bytes>>,
    ended: bool,
    report: Option<Report>,
}

struct Report(Box<dyn FnOnce(usize) + Send>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// The way through: decode, map links, map addresses, encode.
struct Rewriter {
    origins: Arc<Origins>,
    coding: Option<(Decoder, Option<Encoder>, Coding)>,
    links: Option<Links>,
    stream: Stream,
}

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewriter").field("html", &self.links.is_some()).finish_non_exhaustive()
    }
}

impl Rewriter {
    /// Takes some of `pending`: all of it, or a step's worth if it has to be decoded.
    fn push(&mut self, pending: &mut Bytes, ready: &mut VecDeque<Frame<Bytes>>) -> io::Result<()> {
        let mut out = |bytes| ready.push_back(Frame::data(bytes));
        let Some((decoder, encoder, coding)) = &mut self.coding else {
            match &mut self.links {
                Some(links) => self.stream.push(links.push(std::mem::take(pending)), &mut out),
                None => self.stream.push(std::mem::take(pending), &mut out),
            }
            pending.clear();
            return Ok(());
        };
        let step = pending.split_to(pending.len().min(STEP));
        let mut plain = Bytes::from(decoder.push(&step)?);
        if let Some(links) = &mut self.links {
            plain = links.push(plain);
        }
        let mut pieces = Vec::new();
        self.stream.push(plain, &mut |bytes| pieces.push(bytes));
        let encoder = match encoder {
            Some(encoder) => encoder,
            None if decoder.is_plain() => encoder.insert(Encoder::Plain),
            None => encoder.insert(Encoder::new(*coding)?),
        };
        for piece in pieces {
            emit(encoder.push(&piece)?, &mut out);
        }
        if pending.is_empty() {
            emit(encoder.flush()?, &mut out);
        }
        Ok(())
    }

    fn finish(&mut self, ready: &mut VecDeque<Frame<Bytes>>) -> io::Result<()> {
        let mut out = |bytes| ready.push_back(Frame::data(bytes));
        let mut plain = match &mut self.coding {
            Some((decoder, ..)) => Bytes::from(decoder.finish()?),
            None => Bytes::new(),
        };
        let mut pieces = Vec::new();
        if let Some(links) = &mut self.links {
            self.stream.push(links.push(plain), &mut |bytes| pieces.push(bytes));
            plain = links.finish();
        }
        self.stream.push(plain, &mut |bytes| pieces.push(bytes));
        self.stream.finish(&mut |bytes| pieces.push(bytes));
        match self.coding.as_mut().map(|(_, encoder, _)| encoder.take()) {
            None => pieces.into_iter().for_each(out),
            Some(Some(mut encoder)) => {
                for piece in pieces {
                    emit(encoder.push(&piece)?, &mut out);
                }
                emit(encoder.finish()?, &mut out);
            }
            // Not a byte came: a `HEAD` or an empty body.
            Some(None) => {}
        }
        Ok(())
    }
}

fn emit(bytes: Vec<u8>, out: &mut impl FnMut(Bytes)) {
    if !bytes.is_empty() {
        out(Bytes::from(bytes));
    }
}

impl<B> RewriteBody<B> {
    /// Does to `inner` what the plan says. With [`Plan::Pass`] it is handed on untouched.
    pub fn new(inner: B, origins: &Arc<Origins>, plan: Plan) -> Self {
        let new = |coding: Option<Coding>, links| Rewriter {
            origins: origins.clone(),
            coding: coding.map(|coding| (Decoder::new(coding), None, coding)),
            links,
            stream: Stream::new(origins.outward().clone()),
        };
        let rewriter = match plan {
            Plan::Pass => None,
            Plan::Text(coding) => Some(new(coding, None)),
            Plan::Styled(coding) => {
                Some(Rewriter { stream: Stream::new(origins.styles().clone()), ..new(coding, None) })
            }
            Plan::Html(coding) => Some(new(coding, Some(Links::new(origins.clone(), false)))),
            Plan::Xhtml(coding) => Some(new(coding, Some(Links::new(origins.clone(), true)))),
        };
        Self { inner, rewriter, pending: Bytes::new(), ready: VecDeque::new(), ended: false, report: None }
    }

    /// Has `report` called with the number of internal names that went out nevertheless ([`Stream::remaining`]), when the
    /// body has ended or is dropped, if there are any.
    #[must_use]
    pub fn on_leak(mut self, report: impl FnOnce(usize) + Send + 'static) -> Self {
        self.report = Some(Report(Box::new(report)));
        self
    }
}

impl<B> Drop for RewriteBody<B> {
    fn drop(&mut self) {
        let remaining = self.rewriter.as_ref().map_or(0, |rewriter| rewriter.stream.remaining());
        if remaining > 0
            && let Some(Report(report)) = self.report.take()
        {
            report(remaining);
        }
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
        let Some(rewriter) = &mut this.rewriter else {
            return Pin::new(&mut this.inner).poll_frame(context).map_err(Into::into);
        };
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let result = if this.pending.is_empty() {
                match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(chunk) => {
                            this.pending = chunk;
                            Ok(())
                        }
                        Err(frame) => {
                            let result = rewriter.finish(&mut this.ready).map_err(Into::into);
                            if let Ok(mut trailers) = frame.into_trailers() {
                                response_headers(&rewriter.origins, Plan::Pass, &mut trailers);
                                this.ready.push_back(Frame::trailers(trailers));
                            }
                            this.ended = true;
                            result
                        }
                    },
                    Some(Err(error)) => Err(error.into()),
                    None => {
                        this.ended = true;
                        rewriter.finish(&mut this.ready).map_err(Into::into)
                    }
                }
            } else {
                rewriter.push(&mut this.pending, &mut this.ready).map_err(Into::into)
            };
            if let Err(error) = result {
                this.ended = true;
                this.ready.clear();
                return Poll::Ready(Some(Err(error)));
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
    use super::super::coding::tests as coding;
    use super::super::tests::{LOCAL, origins};
    use super::*;
    use http::HeaderMap;
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
