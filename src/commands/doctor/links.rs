//! Where a page leads.

use std::borrow::Cow;

use lol_html::html_content::Element;
use lol_html::{ElementContentHandlers, HtmlRewriter, MemorySettings, Selector, Settings};
use url::Url;

/// The most memory for reading a page, in bytes: what a parser needs between two tags, generously.
const MEMORY: usize = 8 << 20;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// As it stands there.
    pub written: String,
    /// Whether browsers load it by themselves, as they do scripts and images.
    pub is_part: bool,
}

/// What a page links to, and the address that its relative links start from.
pub(super) fn links(html: &[u8], page: &Url) -> (Url, Vec<Link>) {
    let mut base = None;
    let mut found = Vec::new();
    let Ok(linking) = "[href], [src]".parse::<Selector>() else { return (page.clone(), found) };
    let handler = ElementContentHandlers::default().element(|element: &mut Element<'_, '_>| {
        let tag = element.tag_name();
        for attribute in ["href", "src"] {
            let Some(value) = element.get_attribute(attribute) else { continue };
            let written = value.trim().replace("&amp;", "&");
            if tag == "base" {
                base = base.take().or_else(|| page.join(&written).ok());
            } else {
                found.push(Link { written, is_part: !matches!(tag.as_str(), "a" | "area") });
            }
        }
        Ok(())
    });
    let settings = Settings::new()
        .append_element_content_handler((Cow::Owned(linking), handler))
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(MEMORY))
        .with_strict(false);
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    // What cannot be read to its end has led as far as it was read.
    match rewriter.write(html) {
        Ok(()) => drop(rewriter.end()),
        Err(_) => drop(rewriter),
    }
    (base.unwrap_or_else(|| page.clone()), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_the_base_they_start_from() {
        let page = Url::parse("https://www.example.org/docs/page").unwrap();
        let html = b"<base href='../news/'><a href='a?x=1&amp;y'>a</a><img src=/logo.png><link href=s.css><a>none</a><script>var a = '<a href=no>'</script>";
        let (base, found) = links(html, &page);
        assert_eq!(base.as_str(), "https://www.example.org/news/");
        let written: Vec<(&str, bool)> =
            found.iter().map(|link| (link.written.as_str(), link.is_part)).collect();
        assert_eq!(written, [("a?x=1&y", false), ("/logo.png", true), ("s.css", true)]);
    }
}
