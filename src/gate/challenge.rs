//! The page by which an ACME server sees that a name is the gate's (http-01; RFC 8555, section 8.3).
//!
//! It comes before any site, so nobody has to sign in for it, and it leads to none: what is not a token that is being proven at
//! this moment, for the host that was named, is not found, and never forwarded. Through TLS the path is a path like any other.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response};

use super::{Arrival, Transport};
use crate::admit::Admitted;
use crate::pages::ErrorKind;
use crate::state::Shared;
use crate::visit::{Answer, Caller};

/// What the log says of its path.
pub(super) const LOGGED: &str = "/.well-known/acme-challenge/[token]";

/// The token of a request that is for such a page.
pub(super) fn token<'a>(shared: &Shared, arrival: Arrival, admitted: &'a Admitted) -> Option<&'a str> {
    if arrival.transport != Transport::Plain {
        return None;
    }
    shared.acme.token(admitted.path.as_str())
}

/// Answers it.
pub(super) fn answer(caller: &Caller<'_>, admitted: &Admitted, token: &str) -> Answer {
    let is_read = matches!(caller.parts.method, Method::GET | Method::HEAD);
    let page = caller.shared.acme.page(admitted.host.name(), token).filter(|_| is_read);
    let Some(page) = page else {
        return caller.problem(None, ErrorKind::NotFound, None, "no_challenge");
    };
    let mut response = Response::new(Bytes::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Answer::own(response, "challenge")
}
