//! One strict reading of each request, before anything else looks at it.
//!
//! hyper parses leniently and so do the backends, each in its own way; a proxy that decides on one
//! reading and forwards another is how private pages get out. So here the request is read once:
//! framing, method, host, path, header names, the client's address. What passes is an [`Admitted`],
//! whose parts need no second look; what has two readings is a [`Refusal`], and where the framing
//! is in doubt the connection ends with it.
//!
//! Called by `gate`, for every request. Defends against request smuggling (RFC 9112, section 11.2), host
//! poisoning of reset links, path confusion and identity-header smuggling.

mod client;
mod headers;
mod host;
mod http2;
mod path;

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use ipnet::IpNet;

pub use self::client::ClientIp;
pub use self::headers::{is_hop_by_hop, may_pass, nominated};
pub use self::host::PublicHost;
pub use self::http2::as_http1;
pub use self::path::{CanonicalPath, PathError};

/// The longest path, in bytes: what Zope and every browser manage.
const LONGEST_PATH: usize = 8 * 1024;
/// The longest query, in bytes. Plone's faceted searches reach a few KiB.
const LONGEST_QUERY: usize = 32 * 1024;

/// Methods that are understood (RFC 9110, RFC 5789, WebDAV's RFC 4918 and 3253). waitress serves an unknown method
/// as if it were GET, so an unknown one must not reach it.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
];

/// A request that has one reading.
#[derive(Debug)]
pub struct Admitted {
    /// The host it is for. Whether a site has that name is the gate's question.
    pub host: PublicHost,
    /// Its path, in the one spelling that is decided on and forwarded.
    pub path: CanonicalPath,
    /// Who sent it.
    pub client: ClientIp,
    /// How its body is delimited.
    pub body: Framing,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes, more than none.
    Length(u64),
    /// Chunked, or on a stream of HTTP/2 without a length: known at its end.
    Unknown,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// How long the message is can be read in two ways; the connection cannot be used again.
    #[error("the message is framed ambiguously: {0}")]
    Framing(&'static str),
    /// The `Host` field is missing, doubled, malformed, or says other than the request target.
    #[error("the host is not given clearly")]
    Host,
    /// The path has two readings.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The path or the query is too long.
    #[error("the request target is too long")]
    TargetTooLong,
    /// An unknown method, or one that a gate has no use for (CONNECT, TRACE).
    #[error("the method is not supported")]
    Method,
    /// `Expect` with anything but `100-continue`.
    #[error("the expectation cannot be met")]
    Expectation,
    /// More header fields, or longer ones, than anyone needs.
    #[error("the head of the request is too large")]
    HeadTooLarge,
    /// The head did not come in time.
    #[error("the head of the request did not come in time")]
    HeadTimeout,
}

impl Refusal {
    /// The status that answers it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Framing(_) | Self::Host | Self::Path(_) => StatusCode::BAD_REQUEST,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Reads a request. One of HTTP/2 must have been through [`as_http1`].
///
/// # Errors
/// The first reason to refuse it.
pub fn admit(parts: &Parts, peer: IpAddr, trusted_proxies: &[IpNet]) -> Result<Admitted, Refusal> {
    let body = framing(parts)?;
    http2::refuse_fields_of_a_connection(parts)?;
    headers::refuse_framing_aliases(&parts.headers)?;
    // ZServer takes the last, others the first or both: as a form to one and as none to the other.
    if parts.headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Refusal::Framing("more than one Content-Type"));
    }
    if !METHODS.contains(&parts.method.as_str()) {
        return Err(Refusal::Method);
    }
    if parts
        .headers
        .get_all(EXPECT)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Refusal::Expectation);
    }
    let host = host(parts)?;
    if parts.uri.path().len() > LONGEST_PATH
        || parts.uri.query().is_some_and(|query| query.len() > LONGEST_QUERY)
    {
        return Err(Refusal::TargetTooLong);
    }
    let path = match parts.uri.path() {
        // `OPTIONS *` asks about the server as a whole; for us that is the root.
        "*" if parts.method == Method::OPTIONS => "/",
        path => path,
    };
    let path = CanonicalPath::parse(path)?;
    let client = ClientIp::resolve(peer, &parts.headers, trusted_proxies);
    Ok(Admitted { host, path, client, body })
}

/// RFC 9112, section 6.3, less everything it leaves to the recipient.
fn framing(parts: &Parts) -> Result<Framing, Refusal> {
    let mut encodings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(Framing::None),
        (Some(_), Some(_)) => Err(Refusal::Framing("both Transfer-Encoding and Content-Length")),
        (Some(encoding), None) => {
            if encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                Err(Refusal::Framing("a Transfer-Encoding other than chunked"))
            } else if parts.version < Version::HTTP_11 {
                Err(Refusal::Framing("Transfer-Encoding in HTTP/1.0"))
            } else {
                Ok(Framing::Unknown)
            }
        }
        (None, Some(length)) => {
            let digits = std::str::from_utf8(length.as_bytes())
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|text| text.parse().ok()) {
                _ if lengths.next().is_some() => Err(Refusal::Framing("more than one Content-Length")),
                None => Err(Refusal::Framing("a Content-Length that is no number")),
                Some(0) => Ok(Framing::None),
                Some(length) => Ok(Framing::Length(length)),
            }
        }
    }
}

fn host(parts: &Parts) -> Result<PublicHost, Refusal> {
    let mut lines = parts.headers.get_all(HOST).iter();
    let line = match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok().ok_or(Refusal::Host)?,
        _ => return Err(Refusal::Host),
    };
    let host = PublicHost::parse(line).ok_or(Refusal::Host)?;
    // An absolute target must say the same; RFC 9112 would let it win over Host, which is how caches get poisoned.
    if let Some(authority) = parts.uri.authority() {
        let scheme = parts.uri.scheme_str().unwrap_or_default();
        let same = matches!(scheme, "http" | "https")
            && PublicHost::parse(authority.as_str()).as_ref() == Some(&host);
        if !same {
            return Err(Refusal::Host);
        }
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn outcome(request: http::request::Builder) -> Result<Admitted, Refusal> {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        admit(&parts, "192.0.2.1".parse().unwrap(), &[])
    }

    fn get(target: &str) -> http::request::Builder {
        Request::get(target).header("host", "www.example.org")
    }

    #[test]
    fn a_body_is_delimited_in_one_way_or_refused() {
        use Framing::*;
        for (name, fields, expected) in [
            ("none", &[][..], Some(None)),
            ("length", &[("content-length", "5")][..], Some(Length(5))),
            ("length of nothing", &[("content-length", "0")][..], Some(None)),
            ("chunked", &[("transfer-encoding", "chunked")][..], Some(Unknown)),
            ("chunked in capitals", &[("transfer-encoding", "Chunked")][..], Some(Unknown)),
            ("both", &[("content-length", "5"), ("transfer-encoding", "chunked")][..], Option::None),
            ("two equal lengths", &[("content-length", "5"), ("content-length", "5")][..], Option::None),
            ("list of lengths", &[("content-length", "5, 5")][..], Option::None),
            ("signed", &[("content-length", "+5")][..], Option::None),
            ("no number", &[("content-length", "5a")][..], Option::None),
            ("beyond any", &[("content-length", "99999999999999999999999")][..], Option::None),
            ("gzip, chunked", &[("transfer-encoding", "gzip, chunked")][..], Option::None),
            (
                "chunked twice",
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")][..],
                Option::None,
            ),
            ("comma first", &[("transfer-encoding", ",chunked")][..], Option::None),
            ("identity", &[("transfer-encoding", "identity")][..], Option::None),
            ("alias", &[("transfer_encoding", "chunked")][..], Option::None),
            ("two types", &[("content-type", "a/b"), ("content-type", "c/d")][..], Option::None),
        ] {
            let request =
                fields.iter().fold(get("/"), |request, (name, value)| request.header(*name, *value));
            assert_eq!(outcome(request).ok().map(|admitted| admitted.body), expected, "{name}");
        }
    }

    #[test]
    fn the_host_is_given_once_and_clearly() {
        for (name, target, hosts, admitted) in [
            ("one", "/", &["www.example.org"][..], true),
            ("none", "/", &[], false),
            ("two alike", "/", &["www.example.org", "www.example.org"], false),
            ("two", "/", &["www.example.org", "evil.example"], false),
            ("user information", "/", &["evil@www.example.org"], false),
            ("absolute target, same", "http://www.example.org/a", &["www.example.org"], true),
            ("absolute target, other", "http://evil.example/a", &["www.example.org"], false),
            ("absolute target, user", "http://x@www.example.org/a", &["www.example.org"], false),
            ("other scheme", "gopher://www.example.org/a", &["www.example.org"], false),
        ] {
            let request =
                hosts.iter().fold(Request::get(target), |request, host| request.header("host", *host));
            assert_eq!(
                outcome(request).map(|_| ()),
                if admitted { Ok(()) } else { Err(Refusal::Host) },
                "{name}"
            );
        }
    }

    #[test]
    fn methods_the_backend_would_take_for_get_are_refused() {
        for (method, status) in [
            ("GET", 200),
            ("PROPFIND", 200),
            ("get", 501),
            ("FOO", 501),
            ("TRACE", 501),
            ("CONNECT", 501),
            ("PRI", 501),
        ] {
            let target = if method == "CONNECT" { "www.example.org:80" } else { "/" };
            let request = Request::builder().method(method).uri(target).header("host", "www.example.org");
            assert_eq!(
                outcome(request).map_or_else(|refusal| refusal.status().as_u16(), |_| 200),
                status,
                "{method}"
            );
        }
    }

    #[test]
    fn targets_and_expectations_are_bounded() {
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        assert_eq!(outcome(get(&long)).map(|_| ()), Err(Refusal::TargetTooLong));
        let long = format!("/?{}", "a".repeat(LONGEST_QUERY + 1));
        assert_eq!(outcome(get(&long)).map(|_| ()), Err(Refusal::TargetTooLong));
        assert_eq!(outcome(get("/").header("expect", "foo")).map(|_| ()), Err(Refusal::Expectation));
        assert!(outcome(get("/").header("expect", "100-Continue")).is_ok());
    }
}
