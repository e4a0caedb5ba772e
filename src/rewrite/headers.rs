//! The headers of what comes back: which bodies are rewritten, what that does to their headers, and every internal
//! address in any of them.

use super::coding::Coding;
use super::cookies::set_cookie;
use super::origins::Origins;
use super::tags::tag_of_rewritten;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// What is to be done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It passes as it is: not text, or encoded in a way that isn't read.
    Pass,
    /// Addresses are mapped, inside the coding if there is one.
    Text(Option<Coding>),
    /// Addresses are mapped, and paths that begin with the internal prefix where a style sheet, a script or XML has links:
    /// `url(…)`, `@import`, `<href>`.
    Styled(Option<Coding>),
    /// Addresses are mapped, and links that begin with the internal prefix.
    Html(Option<Coding>),
    /// The same in HTML that is written as XML, and in SVG.
    Xhtml(Option<Coding>),
    /// Addresses are mapped, also where a line is folded inside one, as in calendars and address cards.
    Folded(Option<Coding>),
    /// No type says what it is. What its first bytes show to be text is rewritten as HTML, for which browsers may take it.
    Unnamed(Option<Coding>),
}

/// Decides what is to be done with the body that these headers describe, of the resource at `path` (without its query; it
/// tells a compressed text file, such as `/sitemap.xml.gz`, from other files). A site whose mapping finds nothing to do still
/// has its text rewritten: what people typed is not known beforehand.
pub fn plan(origins: &Origins, path: &str, headers: &HeaderMap) -> Plan {
    let codings = codings(headers);
    if is_compressed_text(path, headers) && codings.is_empty() && !headers.contains_key(header::CONTENT_RANGE)
    {
        return Plan::Text(Some(Coding::Gzip));
    }
    let coding = match codings.as_slice() {
        [] => None,
        // A part of an encoded body can't be decoded.
        [Some(coding)] if !headers.contains_key(header::CONTENT_RANGE) => Some(*coding),
        // Unknown, or several: not worth reading.
        _ => return Plan::Pass,
    };
    let types = media_types(headers);
    // Browsers go by the last type that they understand, other programs by the first.
    let is = |name: &str| types.iter().any(|media_type| media_type == name);
    if types.iter().all(|media_type| is_no_type(media_type)) {
        let is_empty = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
        return if is_empty { Plan::Pass } else { Plan::Unnamed(coding) };
    }
    if !types.iter().any(|media_type| origins.takes_for_text(media_type) || is_in_parts(media_type)) {
        return Plan::Pass;
    }
    if types.iter().any(|media_type| is_folded(media_type)) {
        return Plan::Folded(coding);
    }
    if !origins.maps_paths() {
        return Plan::Text(coding);
    }
    // In JSON and plain text, `url(/Plone/x)` is what somebody wrote, and is perhaps being edited.
    let is_styled = |media_type: &String| STYLED.iter().any(|end| media_type.ends_with(end));
    if is("text/html") {
        Plan::Html(coding)
    } else if is("application/xhtml+xml") || is("image/svg+xml") {
        Plan::Xhtml(coding)
    } else if types.iter().any(is_styled) {
        Plan::Styled(coding)
    } else {
        Plan::Text(coding)
    }
}

/// What browsers take for no type at all (WHATWG's MIME Sniffing, section 7): they look at the bytes.
fn is_no_type(media_type: &str) -> bool {
    !media_type.contains('/') || matches!(media_type, "unknown/unknown" | "application/unknown" | "*/*")
}

/// Several bodies in one. Only a part of a file is counted in bytes.
fn is_in_parts(media_type: &str) -> bool {
    media_type.starts_with("multipart/") && media_type != "multipart/byteranges"
}

/// Types in which long lines are folded.
const FOLDED: [&str; 6] =
    ["text/calendar", "text/x-vcalendar", "text/vcard", "text/x-vcard", "text/directory", "application/ics"];

/// Whether long lines are folded in a media type, in lower case and without parameters.
pub fn is_folded(media_type: &str) -> bool {
    FOLDED.contains(&media_type)
}

/// How the names of types end that style sheets, scripts and XML have.
const STYLED: [&str; 7] = ["/css", "javascript", "ecmascript", "/xml", "+xml", "/rss", "/atom"];

/// Whether the type is one of text, in which addresses are looked for. A body without a type is not.
pub fn is_textual(origins: &Origins, headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| origins.takes_for_text(&media_type))
}

impl Origins {
    fn takes_for_text(&self, media_type: &str) -> bool {
        is_text(media_type) || self.settings().types.iter().any(|known| known == media_type)
    }
}

/// Whether a media type, in lower case and without parameters, is one of text, whatever a site adds to those.
pub fn is_text(media_type: &str) -> bool {
    let Some((kind, subtype)) = media_type.split_once('/') else { return false };
    matches!(kind, "text" | "message")
        || subtype.ends_with("+xml")
        || subtype.ends_with("+json")
        || (kind == "application" && APPLICATIONS.contains(&subtype))
}

/// Textual types that are not called text (IANA's registry, and what old servers send).
const APPLICATIONS: &[&str] = &[
    "json",
    "javascript",
    "x-javascript",
    "ecmascript",
    "xml",
    "xml-dtd",
    "xhtml",
    "rss",
    "atom",
    "rdf",
    "x-ndjson",
    "jsonl",
    "json-seq",
    "x-json",
    "calendar",
    "ics",
    "vcard",
    "manifest",
    "x-web-app-manifest",
    "vnd.apple.mpegurl",
    "x-mpegurl",
    "x-sh",
    "x-yaml",
    "yaml",
    "toml",
    "sql",
    "rtf",
    "x-rtf",
    "x-tex",
    "x-latex",
    "x-bibtex",
    "x-research-info-systems",
    "x-java-jnlp-file",
    "x-ns-proxy-autoconfig",
    "x-www-form-urlencoded",
    "graphql",
    "typescript",
    "n-triples",
    "mbox",
];

/// The media type, lower case and without parameters, from whatever a server makes of it: ZServer sends
/// `text/javascript;;charset=utf-8; charset=iso-8859-15`.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let essence = value.split(|byte| matches!(byte, b';' | b',')).next()?.trim_ascii();
    std::str::from_utf8(essence).ok().map(str::to_ascii_lowercase)
}

/// All types that a body is said to have.
fn media_types(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONTENT_TYPE).iter();
    let parts = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let essences = parts.map(|part| part.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii());
    essences.map(|essence| String::from_utf8_lossy(essence).to_ascii_lowercase()).collect()
}

/// The codings of the body that are not just names for none; `None` for one that isn't known.
pub(super) fn codings(headers: &HeaderMap) -> Vec<Option<Coding>> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    names
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
        .map(Coding::named)
        .collect()
}

/// A file of text that was compressed before it was served.
fn is_compressed_text(path: &str, headers: &HeaderMap) -> bool {
    const FILES: [&str; 10] = [
        ".xml.gz", ".txt.gz", ".csv.gz", ".json.gz", ".html.gz", ".htm.gz", ".ics.gz", ".css.gz", ".js.gz",
        ".svgz",
    ];
    const TYPES: [&str; 5] = [
        "application/octet-stream",
        "application/gzip",
        "application/x-gzip",
        "application/gzip-compressed",
        "image/svg+xml",
    ];
    let path = path.to_ascii_lowercase();
    FILES.iter().any(|file| path.ends_with(file))
        && media_type(headers).is_none_or(|media_type| {
            TYPES.contains(&media_type.as_str())
                || media_type.starts_with("text/")
                || media_type.ends_with("xml")
        })
}

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
    use super::super::tests::{LOCAL, origins};
    use super::*;

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn text_is_told_from_what_is_not() {
        let local = origins(LOCAL, Mode::Safety);
        for (value, want) in [
            ("text/html", true),
            ("Text/HTML; charset=utf-8", true),
            ("text/javascript;;charset=utf-8; charset=iso-8859-15", true),
            ("application/atom+xml; charset=iso-8859-15", true),
            ("application/json", true),
            ("application/ld+json", true),
            ("image/svg+xml", true),
            ("application/xml", true),
            ("text/calendar", true),
            ("text/vcard", true),
            ("text/csv", true),
            ("application/javascript,text/plain", true),
            ("application/manifest+json", true),
            ("application/octet-stream", false),
            ("application/pdf", false),
            ("application/zip", false),
            ("image/png", false),
            ("multipart/byteranges; boundary=x", false),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", false),
            ("", false),
            ("text", false),
        ] {
            assert_eq!(is_textual(&local, &headers(&[("content-type", value)])), want, "{value}");
        }
        assert!(!is_textual(&local, &HeaderMap::new()));
    }

    #[test]
    fn the_plan_follows_type_coding_and_mode() {
        let (safety, full) = (origins(LOCAL, Mode::Safety), origins(LOCAL, Mode::Full));
        let html = [("content-type", "text/html")];
        let path = "/a/page";
        assert_eq!(plan(&safety, path, &headers(&html)), Plan::Html(None));
        let left =
            origins(LOCAL, Mode::Safety).with(&super::super::Settings { links: false, ..Default::default() });
        assert_eq!(plan(&left, path, &headers(&html)), Plan::Text(None));
        assert_eq!(plan(&full, path, &headers(&html)), Plan::Html(None));
        for (media_type, want) in [
            ("text/css", Plan::Styled(None)),
            ("application/x-javascript", Plan::Styled(None)),
            ("text/xml; charset=utf-8", Plan::Styled(None)),
            ("application/rss+xml", Plan::Styled(None)),
            ("application/json", Plan::Text(None)),
            ("text/plain", Plan::Text(None)),
            ("application/xhtml+xml", Plan::Xhtml(None)),
        ] {
            assert_eq!(plan(&full, path, &headers(&[("content-type", media_type)])), want, "{media_type}");
            let safe = plan(&left, path, &headers(&[("content-type", media_type)]));
            assert_eq!(safe, Plan::Text(None), "{media_type}");
        }
        assert_eq!(plan(&full, path, &headers(&[("content-type", "image/png")])), Plan::Pass);
        let coded = |coding| plan(&full, path, &headers(&[html[0], ("content-encoding", coding)]));
        assert_eq!(coded("identity"), Plan::Html(None));
        assert_eq!(coded("GZIP"), Plan::Html(Some(Coding::Gzip)));
        assert_eq!(coded("br"), Plan::Html(Some(Coding::Brotli)));
        let part = [html[0], ("content-encoding", "gzip"), ("content-range", "bytes 5-9/10")];
        assert_eq!(plan(&full, path, &headers(&part)), Plan::Pass);
        assert_eq!(coded("compress"), Plan::Pass);
        assert_eq!(coded("gzip, br"), Plan::Pass);
        let file = |path, media_type| plan(&safety, path, &headers(&[("content-type", media_type)]));
        assert_eq!(file("/sitemap.xml.gz", "application/octet-stream"), Plan::Text(Some(Coding::Gzip)));
        assert_eq!(file("/data.CSV.gz", "application/x-gzip"), Plan::Text(Some(Coding::Gzip)));
        assert_eq!(file("/data.tar.gz", "application/x-gzip"), Plan::Pass);
        assert_eq!(file("/data.bin", "application/octet-stream"), Plan::Pass);
        for (row, types, want) in [
            ("several bodies", &["multipart/x-mixed-replace; boundary=b"][..], Plan::Text(None)),
            ("parts of a file", &["multipart/byteranges; boundary=b"], Plan::Pass),
            ("two fields", &["image/png", "text/html"], Plan::Html(None)),
            ("two in one field", &["image/png, text/html; charset=utf-8"], Plan::Html(None)),
            ("a calendar", &["text/calendar; charset=utf-8"], Plan::Folded(None)),
            ("a picture with links", &["image/svg+xml"], Plan::Xhtml(None)),
            ("a mail", &["message/rfc822"], Plan::Text(None)),
            ("no type", &[], Plan::Unnamed(None)),
            ("nothing that is one", &["html"], Plan::Unnamed(None)),
            ("unknown", &["unknown/unknown"], Plan::Unnamed(None)),
        ] {
            let rows: Vec<_> = types.iter().map(|media_type| ("content-type", *media_type)).collect();
            assert_eq!(plan(&full, path, &headers(&rows)), want, "{row}");
        }
        assert_eq!(plan(&full, path, &headers(&[("content-length", "0")])), Plan::Pass);
    }

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
