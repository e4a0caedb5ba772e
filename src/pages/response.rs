//! The headers that every page of the gate carries, and the JSON form of an outcome.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

/// Own style sheet, script and images; forms to this host only; never in a frame. No inline anything.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What a page and a JSON outcome have in common.
const COMMON: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    // Which of the two forms is sent, in which language, depends on these.
    (header::VARY, "Accept, Accept-Language, Cookie, Sec-Fetch-Mode, X-Requested-With"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
];

/// A page of the gate.
pub(super) fn page(
    status: StatusCode,
    language: &str,
    retry_after: Option<Duration>,
    body: String,
) -> Response<Bytes> {
    let mut response = with_body(status, "text/html; charset=utf-8", CONTENT_SECURITY_POLICY, body);
    let headers = response.headers_mut();
    if let Ok(language) = HeaderValue::from_str(language) {
        headers.insert(header::CONTENT_LANGUAGE, language);
    }
    if let Some(time) = retry_after {
        set_retry_after(headers, time);
    }
    response
}

/// An outcome for a script: `{"status": code, "detail": …, "request_id": …}` and what `extra` adds (which cannot
/// replace these three). An empty `request_id` is left out.
///
/// ```
/// let extra = [("login", "/_gate/login".into())];
/// let response = lychgate::pages::json_error(http::StatusCode::UNAUTHORIZED, "sign_in", "Please sign in.", "r1", extra);
/// assert_eq!(response.status(), 401);
/// assert!(response.body().starts_with(br#"{"detail":"Please sign in.","login":"/_gate/login""#));
/// ```
pub fn json_error<'x>(
    status: StatusCode,
    code: &str,
    detail: &str,
    request_id: &str,
    extra: impl IntoIterator<Item = (&'x str, Value)>,
) -> Response<Bytes> {
    let mut body: Map<String, Value> =
        extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    body.insert("status".to_owned(), code.into());
    body.insert("detail".to_owned(), detail.into());
    if !request_id.is_empty() {
        body.insert("request_id".to_owned(), request_id.into());
    }
    let policy = "default-src 'none'; frame-ancestors 'none'";
    with_body(status, "application/json", policy, Value::Object(body).to_string())
}

/// Says in `Retry-After` how long to wait: whole seconds, rounded up (RFC 9110 section 10.2.3).
pub fn set_retry_after(headers: &mut HeaderMap, time: Duration) {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, seconds.max(1).into());
}

fn with_body(
    status: StatusCode,
    content_type: &'static str,
    policy: &'static str,
    body: String,
) -> Response<Bytes> {
    let length = body.len();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    for (name, value) in COMMON {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
