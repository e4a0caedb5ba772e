//! What a whole tokeniser (lol_html) makes of a page: slow, and the truth that `html` is tested against.

use super::super::Origins;
use super::super::links::{Way, mapped};
use lol_html::html_content::ContentType;
use lol_html::{AsciiCompatibleEncoding, ElementContentHandlers, HtmlRewriter, Selector, Settings};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn links(origins: &Arc<Origins>, page: &[u8]) -> Vec<u8> {
    let way = Way::outward(origins.clone());
    let everything: Selector = "*".parse().unwrap();
    let styles: Selector = "style".parse().unwrap();
    // This encoding gives each byte a character, so all bytes come back as they were.
    let encoding = AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252).unwrap();
    let attributes =
        ElementContentHandlers::default().element(|element: &mut lol_html::html_content::Element<'_, '_>| {
            let tag = element.tag_name();
            // Of two attributes with one name, the first counts.
            let mut seen = HashSet::new();
            let edits: Vec<(String, String)> = element
                .attributes()
                .iter()
                .filter(|attribute| seen.insert(attribute.name()))
                .filter_map(|attribute| {
                    let (name, value) = (attribute.name(), attribute.value());
                    let new = mapped(&way, tag.as_bytes(), name.as_bytes(), value.as_bytes())?;
                    Some((name, String::from_utf8(new).unwrap()))
                })
                .collect();
            for (name, value) in edits {
                element.set_attribute(&name, &value)?;
            }
            Ok(())
        });
    let mut sheet = String::new();
    let sheets =
        ElementContentHandlers::default().text(move |text: &mut lol_html::html_content::TextChunk<'_>| {
            sheet.push_str(text.as_str());
            if text.last_in_text_node() {
                let mapped = origins.style_paths(false).rewrite(sheet.as_bytes()).into_owned();
                text.replace(&String::from_utf8(mapped).unwrap(), ContentType::Html);
                sheet.clear();
            } else {
                text.remove();
            }
            Ok(())
        });
    let mut out = Vec::new();
    let settings = Settings::new()
        .append_element_content_handler((Cow::Owned(everything), attributes))
        .append_element_content_handler((Cow::Owned(styles), sheets))
        .with_encoding(encoding)
        .with_strict(false);
    let mut rewriter = HtmlRewriter::new(settings, |bytes: &[u8]| out.extend_from_slice(bytes));
    rewriter.write(page).unwrap();
    rewriter.end().unwrap();
    out
}
