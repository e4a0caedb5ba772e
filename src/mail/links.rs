//! Links in HTML mail that begin at the root of the CMS's own host: `<a href="/Plone/news">`.
//!
//! A mail has no address of its own that such a link could begin at, so it leads nowhere; and it names the inside. Where its path
//! is a site's, the whole public address takes its place. Everything else stays as it is: a path of nobody's is nobody's link.

use std::borrow::Cow;
use std::ops::Range;

use lol_html::html_content::Element;
use lol_html::{AsciiCompatibleEncoding, ElementContentHandlers, HtmlRewriter, Selector, Settings};
use memchr::memmem;

use crate::config;
use crate::rewrite::{Rewritten, Sites};

/// Attributes that hold one URL, as far as mails have them (HTML, index of attributes).
const ATTRIBUTES: &[&str] =
    &["href", "src", "action", "formaction", "background", "poster", "cite", "longdesc", "data"];

/// Which paths are whose: the longest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(Vec<Link>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// `/Plone`
    inside: String,
    /// `https://www.example.org`
    outside: String,
}

impl Links {
    /// Those of these sites. A CMS at its host's root has none: any path might be its.
    pub fn new<'c>(sites: impl IntoIterator<Item = &'c config::Site>) -> Self {
        let sites =
            sites.into_iter().map(|site| (site.backend_url.as_ref().first(), site.public_url.as_ref()));
        let mut links: Vec<Link> = sites
            .filter(|(backend, _)| !backend.path().is_empty())
            .map(|(backend, public)| Link { inside: backend.path().to_owned(), outside: public.to_string() })
            .collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.inside.len()));
        Self(links)
    }

    /// [`Sites::rewrite`], and links by their path.
    pub(super) fn rewrite<'a>(&self, sites: &Sites, html: &'a [u8]) -> Rewritten<'a> {
        let mut done = sites.rewrite(html);
        // Most mails have whole addresses, and those are done.
        if !self.0.iter().any(|link| memmem::find(&done.text, link.inside.as_bytes()).is_some()) {
            return done;
        }
        let edits = self.edits(&done.text);
        if edits.is_empty() {
            return done;
        }
        let mut out = Vec::with_capacity(done.text.len().saturating_add(64));
        let mut literal = 0;
        for (range, outside) in &edits {
            out.extend_from_slice(done.text.get(literal..range.start).unwrap_or_default());
            out.extend_from_slice(outside.as_bytes());
            literal = range.end;
        }
        out.extend_from_slice(done.text.get(literal..).unwrap_or_default());
        done.replaced = done.replaced.saturating_add(edits.len());
        done.text = Cow::Owned(out);
        done
    }

    /// What stands where a link's path begins, and what is to stand there.
    fn edits(&self, html: &[u8]) -> Vec<(Range<usize>, &str)> {
        let mut edits = Vec::new();
        let (Ok(everything), Some(bytes)) =
            ("*".parse::<Selector>(), AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252))
        else {
            return edits;
        };
        let look = |element: &mut Element<'_, '_>| {
            for attribute in element.attributes() {
                let name = attribute.name();
                if name != "srcset" && !ATTRIBUTES.contains(&name.as_str()) {
                    continue;
                }
                let Some(place) = attribute.value_source_location() else { continue };
                let range = place.bytes();
                let mut start = range.start;
                // One address; or several, each with a size behind it.
                let value = html.get(range).unwrap_or_default();
                let separator = if name == "srcset" { Some(b',') } else { None };
                for part in value.split_inclusive(|byte| Some(*byte) == separator) {
                    let space = part.len().saturating_sub(part.trim_ascii_start().len());
                    if let Some(link) = self.of(part.trim_ascii_start()) {
                        let from = start.saturating_add(space);
                        edits.push((from..from.saturating_add(link.inside.len()), link.outside.as_str()));
                    }
                    start = start.saturating_add(part.len());
                }
            }
            Ok(())
        };
        // In this encoding each byte is a character: what it is called does not matter, only where it stands.
        let settings = Settings::new()
            .append_element_content_handler((
                Cow::Owned(everything),
                ElementContentHandlers::default().element(look),
            ))
            .with_encoding(bytes)
            .with_strict(false);
        let mut reader = HtmlRewriter::new(settings, |_: &[u8]| {});
        let read = reader.write(html).and_then(|()| reader.end());
        if let Err(error) = read {
            tracing::debug!(%error, "an HTML part was read up to a place only");
        }
        edits.sort_by_key(|(range, _)| range.start);
        edits
    }

    fn of(&self, path: &[u8]) -> Option<&Link> {
        self.0.iter().find(|link| {
            let rest = path.strip_prefix(link.inside.as_bytes());
            rest.is_some_and(|rest| {
                rest.first().is_none_or(|byte| b"/?#".contains(byte) || byte.is_ascii_whitespace())
            })
        })
    }
}
