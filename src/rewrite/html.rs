//! Links in HTML whose path begins with the backend's own prefix, `/Plone/docs` → `/docs`: for backends that cannot be
//! told their public address ([`super::Mode::Full`]).
//!
//! A path is a link only in certain attributes; in a form's value, an option or a text area the same bytes are data, which
//! the backend needs back as they are. That takes a tokeniser. Absolute addresses need none and are left to [`super::Stream`],
//! which runs behind this. Hostile markup cannot gain anything: attributes are put back with their quotes escaped.

use super::headers::refresh;
use super::origins::Origins;
use lol_html::html_content::Attribute;
use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, OutputSink, Selector};
use std::borrow::Cow;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// The memory for one page's unfinished tags. A page that needs more (one tag of a megabyte) goes on as it is.
const MEMORY: usize = 1 << 20;

/// One page on its way.
pub(super) struct Links {
    /// Gone when the page was given up.
    rewriter: Option<HtmlRewriter<'static, Sink>>,
    out: Sink,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OutputSink for Sink {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        self.push(chunk);
    }
}

impl Links {
    pub(super) fn new(origins: Arc<Origins>) -> Self {
        let out = Sink::default();
        let rewriter = settings(origins).map(|settings| HtmlRewriter::new(settings, out.clone()));
        Self { rewriter, out }
    }

    /// Takes the next piece and gives back what is decided.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        match self.rewriter.as_mut().map(|rewriter| rewriter.write(chunk)) {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                // What was pending has been flushed as it was; the rest follows the same way.
                tracing::warn!(%error, "a page goes on with its root-relative links unmapped");
                self.rewriter = None;
            }
            None => self.out.push(chunk),
        }
        self.out.take()
    }

    /// Ends the page.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if let Some(Err(error)) = self.rewriter.take().map(HtmlRewriter::end) {
            tracing::warn!(%error, "a page ended with its root-relative links unmapped");
        }
        self.out.take()
    }
}

fn settings(origins: Arc<Origins>) -> Option<Settings<'static, 'static>> {
    let everything: Selector = "*".parse().ok()?;
    // Only ASCII is looked at and written. This encoding gives each byte a character, so all other bytes come back as they
    // were, whatever they mean.
    let encoding = AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252)?;
    let handler =
        ElementContentHandlers::default().element(move |element: &mut lol_html::send::Element<'_, '_>| {
            let is_meta = element.tag_name() == "meta";
            let edits: Vec<(String, String)> = element
                .attributes()
                .iter()
                .filter_map(|attribute| Some((attribute.name(), mapped(&origins, is_meta, attribute)?)))
                .collect();
            for (name, value) in edits {
                element.set_attribute(&name, &value)?;
            }
            Ok(())
        });
    let memory = MemorySettings::new()
        .with_max_allowed_memory_usage(MEMORY)
        .with_graceful_bail_out_on_memory_limit_exceeded(true);
    Some(
        Settings::new_send()
            .append_element_content_handler((Cow::Owned(everything), handler))
            .with_encoding(encoding)
            .with_memory_settings(memory)
            .with_strict(false),
    )
}

/// Attributes that hold one URL (HTML, index of attributes; SVG's `xlink:href`).
const LINKS: &[&str] = &[
    "href",
    "src",
    "action",
    "formaction",
    "poster",
    "data",
    "cite",
    "background",
    "longdesc",
    "manifest",
    "ping",
    "icon",
    "xlink:href",
];

/// What the names of `data-` attributes that hold a URL contain.
const DATA: &[&str] = &["url", "href", "src", "link", "action", "image", "poster", "icon"];

/// The new value of an attribute, if it is a link to be mapped.
fn mapped(origins: &Origins, is_meta: bool, attribute: &Attribute<'_>) -> Option<String> {
    let name = attribute.name();
    let is_data =
        || name.strip_prefix("data-").is_some_and(|name| DATA.iter().any(|part| name.contains(part)));
    let value = match name.as_str() {
        "srcset" | "imagesrcset" => srcset(origins, attribute.value().as_bytes()),
        "content" if is_meta => {
            let value = attribute.value();
            refresh(origins, value.as_bytes()).or_else(|| origins.link(value.as_bytes()))
        }
        link if LINKS.contains(&link) || is_data() => origins.link(attribute.value().as_bytes()),
        _ => None,
    }?;
    String::from_utf8(value).ok()
}

/// `/Plone/a 1x, /Plone/b 2x`.
fn srcset(origins: &Origins, value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut changed = false;
    for candidate in value.split_inclusive(|byte| *byte == b',') {
        match origins.link(candidate) {
            Some(link) => {
                out.extend(link);
                changed = true;
            }
            None => out.extend_from_slice(candidate),
        }
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, origins};
    use super::*;

    fn page(pieces: &[&[u8]]) -> String {
        let mut links = Links::new(Arc::new(origins(LOCAL, Mode::Full)));
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| links.push(piece)).collect();
        out.extend(links.finish());
        out.iter().map(|byte| char::from(*byte)).collect()
    }

    #[test]
    fn paths_are_mapped_where_they_are_links_and_nowhere_else() {
        for (row, input, want) in [
            ("link", "<a href=\"/Plone/docs\">/Plone/docs</a>", "<a href=\"/docs\">/Plone/docs</a>"),
            ("root", "<a href='/Plone'>", "<a href=\"/\">"),
            ("unquoted, upper case", "<A HREF=/Plone/docs>", "<A HREF=\"/docs\">"),
            ("space before", "<a href=\" /Plone/docs\">", "<a href=\" /docs\">"),
            ("spelled", "<a href=\"&#47;Plone/docs\">", "<a href=\"/docs\">"),
            (
                "image",
                "<img src=\"/Plone/a.png\" srcset=\"/Plone/a 1x, /Plone/b 2x\">",
                "<img src=\"/a.png\" srcset=\"/a 1x, /b 2x\">",
            ),
            (
                "forms",
                "<form action=\"/Plone/f\"><button formaction=\"/Plone/g\">",
                "<form action=\"/f\"><button formaction=\"/g\">",
            ),
            ("video", "<video poster=\"/Plone/p.png\">", "<video poster=\"/p.png\">"),
            (
                "data",
                "<body data-base-url=\"/Plone\" data-x=\"/Plone/x\">",
                "<body data-base-url=\"/\" data-x=\"/Plone/x\">",
            ),
            (
                "refresh",
                "<meta http-equiv=\"refresh\" content=\"0; URL=/Plone/x\">",
                "<meta http-equiv=\"refresh\" content=\"0; URL=/x\">",
            ),
            (
                "graph",
                "<meta property=\"og:url\" content=\"/Plone/x\">",
                "<meta property=\"og:url\" content=\"/x\">",
            ),
            ("base", "<base href=\"/Plone/\">", "<base href=\"/\">"),
            (
                "svg",
                "<svg><use xlink:href=\"/Plone/i.svg#a\"/></svg>",
                "<svg><use xlink:href=\"/i.svg#a\" /></svg>",
            ),
            (
                "return address",
                "<a href=\"/Plone/login?x=1&amp;came_from=/Plone/y\">",
                "<a href=\"/login?x=1&amp;came_from=/y\">",
            ),
            (
                "form value",
                "<input name=\"paths:list\" value=\"/Plone/x\">",
                "<input name=\"paths:list\" value=\"/Plone/x\">",
            ),
            (
                "option",
                "<option value=\"/Plone/x\">/Plone/x</option>",
                "<option value=\"/Plone/x\">/Plone/x</option>",
            ),
            (
                "text area",
                "<textarea><a href=\"/Plone/x\"></textarea>",
                "<textarea><a href=\"/Plone/x\"></textarea>",
            ),
            (
                "script",
                "<script>a='<a href=\"/Plone/x\">'</script>",
                "<script>a='<a href=\"/Plone/x\">'</script>",
            ),
            (
                "options of a pattern",
                "<i data-pat-x='{\"rootPath\": \"/Plone\"}'>",
                "<i data-pat-x='{\"rootPath\": \"/Plone\"}'>",
            ),
            ("alike", "<a href=\"/Plonex\">", "<a href=\"/Plonex\">"),
            ("no markup", "<a href='/Plone/\"><script>'>", "<a href=\"/&quot;><script>\">"),
            (
                "other bytes",
                "<a href=\"/Plone/\u{e9}\" title=\"\u{81}\">\u{ff}",
                "<a href=\"/\u{e9}\" title=\"\u{81}\">\u{ff}",
            ),
        ] {
            let bytes: Vec<u8> = input.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
            assert_eq!(page(&[&bytes]), want, "{row}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(page(&single), want, "{row}, byte by byte");
        }
    }

    #[test]
    fn a_page_too_heavy_to_tokenise_goes_on_as_it_is() {
        let heavy = "x".repeat(2 << 20);
        let tag = format!("<a href=\"/Plone/x\"><a title=\"{heavy}");
        let got = page(&[&tag.as_bytes()[..100], &tag.as_bytes()[100..], b"\"><a href=\"/Plone/y\">"]);
        assert!(
            got == format!("<a href=\"/x\"><a title=\"{heavy}\"><a href=\"/Plone/y\">"),
            "as it is from there on"
        );
    }
}
