//! What is different in HTTP/2 (RFC 9113, section 8), made the same before anyone looks.

use http::header::{CONNECTION, COOKIE, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Version};

use super::{Framing, Refusal};

/// Gives a request of HTTP/2 the fields it would have in HTTP/1: the host, from `:authority`, and one `Cookie` line of all its
/// crumbs (section 8.2.3). Others stay as they are. A `Host` that is there too stays, and must agree.
pub fn as_http1(parts: &mut Parts) {
    if parts.version != Version::HTTP_2 {
        return;
    }
    if let Some(authority) = parts.uri.authority().filter(|_| !parts.headers.contains_key(HOST))
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    let mut crumbs = parts.headers.get_all(COOKIE).iter();
    if let (Some(first), Some(_)) = (crumbs.next(), crumbs.next()) {
        let rest = parts.headers.get_all(COOKIE).iter().skip(1);
        let joined =
            rest.fold(first.as_bytes().to_vec(), |all, crumb| [&all, &b"; "[..], crumb.as_bytes()].concat());
        if let Ok(mut cookie) = HeaderValue::from_bytes(&joined) {
            cookie.set_sensitive(true);
            parts.headers.insert(COOKIE, cookie);
        }
    }
}

impl Framing {
    /// On a stream of HTTP/2 a body needs no length: there is one unless the stream `ended` with its head.
    pub fn on_stream(self, version: Version, ended: bool) -> Self {
        if version == Version::HTTP_2 && self == Self::None && !ended { Self::Unknown } else { self }
    }
}

/// Fields that HTTP/2 does not have (section 8.2.2), and a scheme that is not the connection's. h2 refuses most of them by
/// itself, where it does they do not come here.
pub(super) fn refuse_fields_of_a_connection(parts: &Parts) -> Result<(), Refusal> {
    const FIELDS: [HeaderName; 5] = [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    if parts.version != Version::HTTP_2 {
        return Ok(());
    }
    let te = parts.headers.get_all(TE).iter().any(|te| te.as_bytes() != b"trailers");
    if te || FIELDS.iter().any(|name| parts.headers.contains_key(name)) {
        return Err(Refusal::Framing("a field that HTTP/2 does not have"));
    }
    // HTTP/2 is spoken through TLS only.
    if parts.uri.scheme_str().is_some_and(|scheme| scheme != "https") {
        return Err(Refusal::Host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn admitted(fields: &[(&str, &str)], uri: &str) -> Result<(String, Option<String>), Refusal> {
        let request = Request::get(uri).version(Version::HTTP_2);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        as_http1(&mut parts);
        let admitted = super::super::admit(&parts, "192.0.2.1".parse().unwrap(), &[])?;
        assert!(parts.headers.get_all(COOKIE).iter().count() < 2);
        let cookie = parts.headers.get(COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
        Ok((admitted.host.name().to_owned(), cookie))
    }

    #[test]
    fn a_request_of_http2_is_read_as_strictly_as_one_of_http1() {
        let host = || Ok(("www.example.org".to_owned(), None));
        let framing = Err(Refusal::Framing("a field that HTTP/2 does not have"));
        for (name, uri, fields, expected) in [
            ("authority", "https://www.example.org/", &[][..], host()),
            ("and the same host", "https://www.example.org/", &[("host", "www.example.org")], host()),
            ("host alone", "/", &[("host", "www.example.org")], host()),
            ("another host", "https://www.example.org/", &[("host", "evil.example")], Err(Refusal::Host)),
            ("neither", "/", &[], Err(Refusal::Host)),
            ("user information", "https://evil@www.example.org/", &[], Err(Refusal::Host)),
            ("another scheme", "http://www.example.org/", &[], Err(Refusal::Host)),
            ("trailers", "https://www.example.org/", &[("te", "trailers")], host()),
            ("other codings", "https://www.example.org/", &[("te", "gzip")], framing.clone()),
            ("connection", "https://www.example.org/", &[("connection", "close")], framing.clone()),
            ("upgrade", "https://www.example.org/", &[("upgrade", "websocket")], framing.clone()),
            ("keep-alive", "https://www.example.org/", &[("keep-alive", "1")], framing.clone()),
            ("chunked", "https://www.example.org/", &[("transfer-encoding", "chunked")], framing),
            (
                "crumbs",
                "https://www.example.org/",
                &[("cookie", "a=b"), ("cookie", "c=d; e=f"), ("cookie", "g=h")],
                Ok(("www.example.org".to_owned(), Some("a=b; c=d; e=f; g=h".to_owned()))),
            ),
        ] {
            assert_eq!(admitted(fields, uri), expected, "{name}");
        }
    }

    #[test]
    fn only_a_stream_that_goes_on_has_a_body_of_unknown_length() {
        use Framing::{Length, None, Unknown};
        for (framing, version, ended, expected) in [
            (None, Version::HTTP_2, false, Unknown),
            (None, Version::HTTP_2, true, None),
            (Length(5), Version::HTTP_2, false, Length(5)),
            (None, Version::HTTP_11, false, None),
        ] {
            assert_eq!(framing.on_stream(version, ended), expected);
        }
    }
}
