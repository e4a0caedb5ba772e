//! Which bodies are rewritten, and how: by type, coding and path.

use super::coding::Coding;
use super::origins::Origins;
use http::header::{self, HeaderMap};

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

/// Whether a body is text in a coding that cannot be looked into, so that nobody knows what it holds: one that isn't known, or several. The
/// gate asks backends for none.
pub fn is_sealed(origins: &Origins, headers: &HeaderMap) -> bool {
    let is_read = matches!(codings(headers).as_slice(), [] | [Some(_)]);
    !is_read && media_types(headers).iter().any(|media_type| origins.takes_for_text(media_type))
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

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, headers, origins};
    use super::*;

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
        for (row, media_type, coding, want) in [
            ("unknown", "text/html", "compress", true),
            ("several", "text/html", "gzip, br", true),
            ("known", "text/html", "br", false),
            ("none", "text/html", "identity", false),
            ("no text", "image/png", "compress", false),
        ] {
            let rows = [("content-type", media_type), ("content-encoding", coding)];
            assert_eq!(is_sealed(&full, &headers(&rows)), want, "{row}");
        }
    }
}
