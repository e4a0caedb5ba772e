//! `assets/…` and `health`.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};

use crate::pages::ErrorKind;
use crate::visit::{Answer, Visit};

pub(super) fn show(visit: &Visit<'_>, name: &str) -> Answer {
    let Some(asset) = visit.shared().pages.asset(name) else {
        return visit.problem(ErrorKind::NotFound, "own");
    };
    let mut response = Response::new(asset.bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    Answer::own(response, "own")
}

/// The process lives and serves; nothing else is asked.
pub(super) fn health() -> Answer {
    let mut response = Response::new(Bytes::from_static(b"ok\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer::own(response, "own")
}
