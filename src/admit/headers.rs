//! Which request header fields go on, by name.
//!
//! Zope's servers fold `X_Remote_User`, `X.Remote.User` and `X-Remote-User` into one variable
//! (facts: ZServer), and Apache before 2.4 every other sign as well: `X!Remote~User`. So a field that the gate guards in one
//! spelling must not pass in another; names of anything but letters, digits and hyphens are nobody's honest way. And what
//! a client says of itself in fields that belong to proxies (who it is, where it comes from, which URL
//! it meant) is never true.

use http::HeaderMap;
use http::header::{CONNECTION, HeaderName};

use super::Refusal;

/// Field names that only a proxy may write. Without `X-Forwarded-` and its like, which [`PREFIXES`] cover.
const PROXY_FIELDS: &[&str] = &[
    "cf-connecting-ip",
    "client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "http2-settings",
    "proxy",
    "remote-user",
    "request-range", // Zope takes it for a Range
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-proxyuser-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-sendfile",
    "x-url-scheme",
    "x-user",
    "x-username",
];

/// The end of every name under which some server or CMS looks for a name and a password. Zope takes `Cgi-Authorization` for
/// `Authorization` (ZPublisher, `sane_environment`), and others have other ways around servers that keep it to themselves.
const AUTHORIZATION: &str = "authorization";

/// Beginnings of such names.
const PREFIXES: &[&str] = &[
    "cf-access-",
    "mellon-",
    "oidc-",
    "remote-",
    "shib-",
    "ssl-client-",
    "tailscale-",
    "wl-proxy-",
    "x-accel-",
    "x-amzn-oidc-",
    "x-appengine-",
    "x-arr-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-forwarded-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-middleware-",
    "x-ms-client-principal",
    "x-oidc-",
    "x-original-",
    "x-pomerium-",
    "x-proxy-",
    "x-real-",
    "x-remote-",
    "x-saml-",
    "x-shib-",
    "x-ssl-",
    "x-token-",
    "x-vhm-",
    "x-vouch-",
    "x-waws-",
    "x-webauth-",
    "x-webobjects-",
];

/// Fields of one connection (RFC 9110, section 7.6.1), which a proxy never passes on.
const HOP_BY_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Beginnings of the names of fields that are for all recipients, whatever `Connection` says: a message would be read
/// otherwise behind the gate than it was judged at the gate.
const FOR_ALL: &[&str] = &[
    "accept",
    "cache-control",
    "content-",
    "cookie",
    "date",
    "etag",
    "expires",
    "host",
    "if-",
    "last-modified",
    "location",
    "origin",
    "range",
    "referer",
    "sec-",
    "set-cookie",
    "user-agent",
    "vary",
];

/// Refuses names that alias the fields by which a message is delimited.
///
/// # Errors
/// [`Refusal::Framing`] for `Transfer_Encoding`, `Content.Length` and the like.
pub(super) fn refuse_framing_aliases(headers: &HeaderMap) -> Result<(), Refusal> {
    let alias = headers.keys().map(HeaderName::as_str).filter(|name| is_aliased(name)).any(|name| {
        let name = name.replace(is_folded, "-");
        matches!(
            name.as_str(),
            "transfer-encoding" | "content-length" | "host" | "connection" | "expect" | "upgrade"
        )
    });
    if alias { Err(Refusal::Framing("a framing field in another spelling")) } else { Ok(()) }
}

/// Whether a client's field may go to the backend, whatever its value: its name is not a proxy's, not one
/// connection's, and has no character that a CGI-like backend folds into another name.
pub fn may_pass(name: &HeaderName) -> bool {
    let name = name.as_str();
    !is_aliased(name)
        && !HOP_BY_HOP.contains(&name)
        && !PROXY_FIELDS.contains(&name)
        && !name.ends_with(AUTHORIZATION)
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the field belongs to one connection and is not passed on, in either direction; nor one that somebody behind the gate, or
/// before it, may take for it or for a length (`Transfer_Encoding`).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_alias = || {
        let meant = name.replace(is_folded, "-");
        HOP_BY_HOP.contains(&meant.as_str()) || meant == "content-length"
    };
    HOP_BY_HOP.contains(&name) || (is_aliased(name) && is_alias())
}

/// The fields that a message declares to be its connection's own (RFC 9110, section 7.6.1), and that it may.
pub fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .filter(|name| !FOR_ALL.iter().any(|start| name.as_str().starts_with(start)))
        .collect()
}

fn is_aliased(name: &str) -> bool {
    name.contains(is_folded)
}

/// Whether some backend reads `-` in its place.
fn is_folded(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    #[test]
    fn fields_of_the_client_itself_pass() {
        for field in [
            "accept",
            "accept-language",
            "cookie",
            "content-type",
            "if-none-match",
            "range",
            "referer",
            "user-agent",
            "x-requested-with",
            "destination",
            "depth",
            "origin",
        ] {
            assert!(may_pass(&name(field)), "{field}");
        }
    }

    #[test]
    fn a_field_of_the_connection_is_known_in_every_spelling() {
        for (field, expected) in [
            ("connection", true),
            ("transfer-encoding", true),
            ("Transfer_Encoding", true),
            ("transfer.encoding", true),
            ("Content_Length", true),
            ("content-length", false),
            ("Content_Type", false),
            ("x_page", false),
        ] {
            assert_eq!(is_hop_by_hop(&name(field)), expected, "{field}");
        }
    }

    #[test]
    fn no_spelling_of_a_proxys_field_passes() {
        for field in [
            "X-Remote-User",
            "x_remote_user",
            "X.Remote.User",
            "x-remote_user",
            "Remote-User",
            "Request-Range",
            "remote_user",
            "X-Forwarded-For",
            "x_forwarded_host",
            "X-Forwarded-Prefix",
            "X-Forwarded",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-Url",
            "X-HTTP-Method-Override",
            "SSL-Client-Cert",
            "Authorization",
            "Proxy-Authorization",
            // Zope reads it in the place of the one above.
            "Cgi-Authorization",
            "X-Authorization",
            "Redirect-HTTP-Authorization",
            "Proxy",
            "X-Request-Id",
            "HTTP2-Settings",
            "Connection",
            "TE",
            "Upgrade",
            "Keep-Alive",
            "Trailer",
            "X-Auth-Request-User",
            "X!Remote!User",
            "x~remote+user",
            "X-Remote*User",
            // Where Zope is told its public address by repoze.vhm.
            "X-Vhm-Host",
            "X-Vhm-Root",
            // What other gates before the CMS say of a person.
            "X-Authenticated-User",
            "X-Amzn-Oidc-Identity",
            "Cf-Access-Authenticated-User-Email",
            "X-Ms-Client-Principal-Name",
            "Shib-Session-Id",
            "OIDC_CLAIM_sub",
            "X-Envoy-Original-Path",
            "X-Original-For",
            "X-Middleware-Subrequest",
        ] {
            assert!(!may_pass(&name(field)), "{field}");
        }
    }

    #[test]
    fn only_fields_that_nothing_depends_on_can_be_declared_a_connections_own() {
        let line = http::HeaderValue::from_static("keep-alive, X-Hop,Cookie , content-type, HOST, , a b");
        let headers = HeaderMap::from_iter([(CONNECTION, line)]);
        assert_eq!(nominated(&headers), ["keep-alive", "x-hop"]);
        assert_eq!(nominated(&HeaderMap::new()), [""; 0]);
    }

    #[test]
    fn an_alias_of_a_framing_field_is_refused() {
        for (field, refused) in [
            ("transfer_encoding", true),
            ("content.length", true),
            ("Content_Length", true),
            ("transfer!encoding", true),
            ("content~length", true),
            ("host_", false),
            ("x_custom", false),
            ("content-length", false),
        ] {
            let headers = HeaderMap::from_iter([(name(field), http::HeaderValue::from_static("5"))]);
            assert_eq!(refuse_framing_aliases(&headers).is_err(), refused, "{field}");
        }
    }
}
