//! The headers of what comes back: what rewriting a body does to them, and every internal address in any of them.

use super::cookies::set_cookie;
use super::origins::Origins;
use super::plan::Plan;
use super::tags::tag_of_rewritten;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// Puts all headers of an answer right: internal addresses and software names do not get out, cookies fit the public
/// address, and where the body will change (anything but [`Plan::Pass`]) nothing is said about its bytes that would
/// no longer hold. To be called for answers without a body (`HEAD`, 304) with the plan their `GET` would have. Gives the number of internal
/// names that no rule maps.
pub fn response_headers(origins: &Origins, plan: Plan, headers: &mut HeaderMap) -> usize {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| names_software(name)).cloned().collect();
    for name in dropped {
        headers.remove(&name);
    }
    if plan != Plan::Pass {
        for name in ABOUT_BYTES {
            headers.remove(*name);
        }
        if let Some(tag) = headers.get_mut(header::ETAG)
            && let Some(rewritten) = tag_of_rewritten(tag)
        {
            *tag = rewritten;
        }
    }
    let cookies: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter_map(|value| set_cookie(origins, value)).collect();
    headers.remove(header::SET_COOKIE);
    for (name, value) in headers.iter_mut() {
        if let Some(mapped) = mapped(origins, name, value.as_bytes())
            && let Ok(mapped) = HeaderValue::from_bytes(&mapped)
        {
            *value = mapped;
        }
    }
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    headers.values().map(|value| origins.outward().remaining(value.as_bytes())).sum()
}

/// Headers that describe the exact bytes of a body, or offer parts of it (RFC 9110, RFC 9530, RFC 1864).
const ABOUT_BYTES: &[&str] =
    &["content-length", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"];

/// Headers that only tell what runs behind the gate; `Alt-Svc`, which leads past it; and those by which a backend has a server before it
/// send a file of theirs, whose path they name.
fn names_software(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "server"
            | "x-powered-by"
            | "via"
            | "alt-svc"
            | "x-generator"
            | "x-aspnet-version"
            | "x-aspnetmvc-version"
            | "x-served-by"
            | "x-backend-server"
            | "x-sendfile"
            | "x-lighttpd-send-file"
            | "x-accel-redirect"
    ) || name.as_str().starts_with("bobo-")
}

/// The new value of a header, if it changes.
fn mapped(origins: &Origins, name: &HeaderName, value: &[u8]) -> Option<Vec<u8>> {
    match name.as_str() {
        // Opaque.
        "etag" => None,
        "location"
        | "content-location"
        | "uri"
        | "sourcemap"
        | "x-sourcemap"
        | "service-worker-allowed"
        | "x-pingback"
        | "hx-redirect"
        | "hx-location"
        | "hx-push-url"
        | "hx-replace-url" => origins.link(value),
        "refresh" => refresh(value, |url| origins.link(url)),
        "link" => link(origins, value),
        "content-security-policy" | "content-security-policy-report-only" => policy(origins, value),
        "reporting-endpoints" | "speculation-rules" => strings(origins, value),
        _ => match origins.rewrite(value) {
            Cow::Owned(value) => Some(value),
            Cow::Borrowed(_) => None,
        },
    }
}

/// `5; url=/Plone/x`, as a header or in `<meta http-equiv=refresh>`, and all that browsers take for it: `0;/x`, `0 , URL = '/x'` (HTML,
/// section 4.2.4.3).
pub(super) fn refresh(value: &[u8], link: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (head, url) = value.split_at_checked(refresh_target(value)?)?;
    let mapped = link(url)?;
    Some([head, &mapped].concat())
}

/// Where the address in a refresh begins.
fn refresh_target(value: &[u8]) -> Option<usize> {
    let time = value.trim_ascii_start();
    let rest = time.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    // Without a time it is none.
    let rest = time.get(rest..).filter(|_| rest > 0)?.trim_ascii_start();
    let rest = rest.strip_prefix(b";").or_else(|| rest.strip_prefix(b",")).unwrap_or(rest).trim_ascii_start();
    let named = rest.split_at_checked(3).filter(|(name, _)| name.eq_ignore_ascii_case(b"url"));
    let after = named.and_then(|(_, after)| after.trim_ascii_start().strip_prefix(b"="));
    let url = after.map_or(rest, <[u8]>::trim_ascii_start);
    let quotes = [b"&quot;".as_slice(), b"&#34;", b"&#39;", b"&apos;", b"\"", b"'"];
    let url = quotes.iter().find_map(|quote| url.strip_prefix(*quote)).unwrap_or(url);
    value.len().checked_sub(url.len())
}

/// `default-src …; report-uri /Plone/x` (CSP, level 3, section 6.5.1): of what it names, only where reports go may be a path.
fn policy(origins: &Origins, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    for directive in value.split_inclusive(|byte| *byte == b';') {
        let is_report = directive
            .trim_ascii_start()
            .get(..10)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"report-uri"));
        for word in directive.split_inclusive(u8::is_ascii_whitespace) {
            match origins.path(word).filter(|_| is_report) {
                Some(path) => out.extend(path),
                None => out.extend_from_slice(word),
            }
        }
    }
    let mapped = origins.rewrite(&out);
    (*mapped != *value).then(|| mapped.into_owned())
}

/// Strings that hold an address each: `default="/Plone/reports"`.
fn strings(origins: &Origins, value: &[u8]) -> Option<Vec<u8>> {
    let mapped = origins.rewrite(value);
    let mapped =
        if origins.maps_paths() { origins.strings(false).rewrite(&mapped) } else { Cow::Borrowed(&*mapped) };
    (*mapped != *value).then(|| mapped.into_owned())
}

/// `</Plone/x>; rel="next"; anchor="/Plone/y", <…>` (RFC 8288).
fn link(origins: &Origins, value: &[u8]) -> Option<Vec<u8>> {
    map_targets(value, |around| parameters(origins, around), |target| origins.link(target))
}

/// A value with what stands in `<…>` mapped by `target`, if it is, and what stands around that by `around`. `None` if nothing changes.
pub(super) fn map_targets<'v>(
    value: &'v [u8],
    around: impl Fn(&'v [u8]) -> Cow<'v, [u8]>,
    target: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
        let (head, tail) = rest.split_at_checked(start.saturating_add(1))?;
        let length = tail.iter().position(|byte| *byte == b'>').unwrap_or(tail.len());
        let (inside, tail) = tail.split_at_checked(length)?;
        out.extend_from_slice(&around(head));
        out.extend_from_slice(target(inside).as_deref().unwrap_or(inside));
        rest = tail;
    }
    out.extend_from_slice(&around(rest));
    (out != value).then_some(out)
}

/// What follows the address in a link: `; rel="next"; anchor="/Plone/x"`.
fn parameters<'a>(origins: &Origins, text: &'a [u8]) -> Cow<'a, [u8]> {
    const ANCHOR: &[u8] = b"anchor=\"";
    let mapped = origins.rewrite(text);
    let Some(at) = memchr::memmem::find(&mapped, ANCHOR) else { return mapped };
    let (before, anchor) = mapped.split_at(at.saturating_add(ANCHOR.len()));
    let end = memchr::memchr(b'"', anchor).unwrap_or(anchor.len());
    let (anchor, after) = anchor.split_at(end);
    origins.path(anchor).map(|path| Cow::Owned([before, &path, after].concat())).unwrap_or(mapped)
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, headers, origins};
    use super::*;

    #[test]
    fn no_header_names_the_inside() {
        let origins = origins(LOCAL, Mode::Full);
        let mut got = headers(&[
            ("location", "/Plone/x"),
            ("content-location", "http://localhost:8088/Plone/docs"),
            ("refresh", "5; URL='/Plone/x'"),
            (
                "link",
                "</Plone/a>; rel=next, <http://localhost:8088/Plone/b>; anchor=\"http://localhost:8088/\"",
            ),
            ("uri", "/Plone/x"),
            (
                "link",
                "</Plone/c>; rel=preload; anchor=\"/Plone/d\"; title=\"/Plone\", <e>; rel=\"http://localhost:8088/rel\"",
            ),
            ("sourcemap", "/Plone/x.map"),
            ("service-worker-allowed", "/Plone/"),
            ("x-pingback", "/Plone/xmlrpc"),
            ("reporting-endpoints", "a=\"/Plone/r\", b=\"http://localhost:8088/Plone/s\""),
            (
                "content-security-policy",
                "default-src http://localhost:8088 localhost:8088; report-uri http://localhost:8088/Plone/csp /Plone/csp",
            ),
            ("content-security-policy-report-only", "img-src /Plone/x; Report-URI /Plone/csp; report-to a"),
            ("access-control-allow-origin", "http://localhost:8088"),
            ("report-to", r#"{"endpoints":[{"url":"http:\/\/localhost:8088\/Plone\/r"}]}"#),
            ("www-authenticate", "Basic realm=\"http://localhost:8088/Plone\""),
            ("x-anything", "http://127.0.0.1:8088/Plone/x"),
            ("server", "Zope/(2.13.30, python 2.7.3, linux2) ZServer/1.1"),
            ("x-powered-by", "Zope"),
            ("via", "waitress"),
            ("bobo-exception-file", "/opt/zope/x.py"),
            ("bobo-exception-type", "NotFound"),
            ("x-sendfile", "/var/plone/blobs/1"),
            ("x-accel-redirect", "/internal/1"),
            ("x-served-by", "cms-2"),
            ("set-cookie", "a=1; Path=/Plone"),
            ("set-cookie", "b=2; Domain=localhost"),
            ("etag", "\"http://localhost:8088\""),
            ("content-length", "7"),
        ]);
        assert_eq!(response_headers(&origins, Plan::Pass, &mut got), 1, "the tag is not ours to change");
        let want = headers(&[
            ("location", "/x"),
            ("content-location", "https://public.example.org/docs"),
            ("refresh", "5; URL='/x'"),
            (
                "link",
                "</a>; rel=next, <https://public.example.org/b>; anchor=\"https://public.example.org/\"",
            ),
            ("uri", "/x"),
            (
                "link",
                "</c>; rel=preload; anchor=\"/d\"; title=\"/Plone\", <e>; rel=\"https://public.example.org/rel\"",
            ),
            ("sourcemap", "/x.map"),
            ("service-worker-allowed", "/"),
            ("x-pingback", "/xmlrpc"),
            ("reporting-endpoints", "a=\"/r\", b=\"https://public.example.org/s\""),
            (
                "content-security-policy",
                "default-src https://public.example.org public.example.org; report-uri https://public.example.org/csp /csp",
            ),
            ("content-security-policy-report-only", "img-src /Plone/x; Report-URI /csp; report-to a"),
            ("access-control-allow-origin", "https://public.example.org"),
            ("report-to", r#"{"endpoints":[{"url":"https:\/\/public.example.org\/r"}]}"#),
            ("www-authenticate", "Basic realm=\"https://public.example.org\""),
            ("x-anything", "https://public.example.org/x"),
            ("set-cookie", "a=1; Path=/; Secure"),
            ("set-cookie", "b=2; Secure"),
            ("etag", "\"http://localhost:8088\""),
            ("content-length", "7"),
        ]);
        assert_eq!(got, want);
    }

    #[test]
    fn nothing_is_said_about_bytes_that_change() {
        let rows = [
            ("content-length", "7"),
            ("etag", "\"x\""),
            ("content-md5", "Q2hlY2s="),
            ("digest", "sha-256=x"),
            ("repr-digest", "sha-256=:x:"),
            ("content-digest", "sha-256=:x:"),
            ("accept-ranges", "bytes"),
            ("last-modified", "Sat, 1 Jan 2000 00:00:00 GMT"),
        ];
        let origins = origins(LOCAL, Mode::Safety);
        let mut untouched = headers(&rows);
        response_headers(&origins, Plan::Pass, &mut untouched);
        assert_eq!(untouched, headers(&rows));
        let mut text = headers(&rows);
        response_headers(&origins, Plan::Text(None), &mut text);
        assert_eq!(text, headers(&[("etag", "W/\"x-g\""), rows[7]]));
        response_headers(&origins, Plan::Text(None), &mut text);
        assert_eq!(text[header::ETAG], "W/\"x-g\"");
    }
}
