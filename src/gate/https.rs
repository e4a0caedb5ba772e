//! From clear text to https, for sites that are https: the way there (RFC 9110, section 15.4.2) and the request to stay (RFC 6797).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::{Arrival, Current, Site, Transport};
use crate::admit::Admitted;
use crate::config::values::Span;
use crate::pages::ErrorKind;
use crate::visit::{Answer, Caller};

/// The https site that a request in clear text is for, unless a proxy we trust has brought it, or the operator wants none sent
/// there. Whatever port it names: the site's own is another anyway.
pub(super) fn of<'c>(current: &'c Current, arrival: Arrival, admitted: &Admitted) -> Option<&'c Arc<Site>> {
    let server = &current.shared.config.server;
    let applies = arrival.transport == Transport::Plain
        && server.redirect_to_https
        && server.tls.is_on()
        && !server.trusted_proxies.iter().any(|network| network.contains(&arrival.peer));
    if !applies || current.site(admitted).is_some_and(|(site, ..)| !site.is_secure()) {
        return None;
    }
    let named = |site: &&Arc<Site>| {
        site.is_secure()
            && site.public.host().name() == admitted.host.name()
            && admitted.path.below(site.public.path()).is_some()
    };
    current.shared.sites.iter().find(named)
}

/// Leads there. What was posted in clear text has been read by whoever reads along, and is not asked for again.
pub(super) fn lead(caller: &Caller<'_>, site: &Site, admitted: &Admitted) -> Answer {
    if !matches!(caller.parts.method, Method::GET | Method::HEAD) {
        return caller.problem(None, ErrorKind::Misdirected, None, "not_https");
    }
    let mut target = format!("{}{}", site.origin, admitted.path.as_str());
    if let Some(query) = caller.parts.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(LOCATION, target);
    }
    // Permanent, but not for good: the operator may go back.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Answer::own(response, "to_https")
}

/// Tells the browser to come by https from now on, unless the backend has said so in its own way.
pub(super) fn insist(hsts: Span, headers: &mut HeaderMap) {
    if hsts.is_zero() || headers.contains_key(STRICT_TRANSPORT_SECURITY) {
        return;
    }
    if let Ok(value) = HeaderValue::from_str(&format!("max-age={}", hsts.as_duration().as_secs())) {
        headers.insert(STRICT_TRANSPORT_SECURITY, value);
    }
}
