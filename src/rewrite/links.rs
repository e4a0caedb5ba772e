//! Which attributes of which tags hold links, and what becomes of them.

use super::headers::refresh;
use super::html::Links;
use super::map::Map;
use super::origins::{Mode, Origins};
use super::spelling::{Read, read};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Attributes that hold one URL (HTML, index of attributes, and those of old pages; SVG's `xlink:href`).
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
    "icon",
    "codebase",
    "archive",
    "lowsrc",
    "dynsrc",
    "itemid",
    "xlink:href",
    "xml:base",
];

/// What the names of `data-` attributes that hold a URL contain.
const DATA: &[&str] = &["url", "href", "src", "link", "action", "image", "poster", "icon"];

/// Attributes in which `url(…)` is CSS: HTML's, and SVG's presentation attributes.
const STYLES: &[&str] = &["style", "fill", "filter", "mask", "clip-path", "stroke", "cursor"];

/// Which way the links of a page are mapped.
#[derive(Clone)]
pub(super) struct Way {
    origins: Arc<Origins>,
    /// Into the backend.
    inward: bool,
}

impl Way {
    /// To the browser.
    pub(super) fn outward(origins: Arc<Origins>) -> Self {
        Self { origins, inward: false }
    }

    /// Back.
    pub(super) fn inward(origins: Arc<Origins>) -> Self {
        Self { origins, inward: true }
    }

    /// The first segment of the prefix that is looked for.
    pub(super) fn first_segment(&self) -> Option<&[u8]> {
        self.origins.first_segment(self.inward)
    }

    /// The map for the paths in style sheets.
    pub(super) fn styles(&self) -> &Arc<Map> {
        self.origins.style_paths(self.inward)
    }

    /// The map for the paths in import maps.
    pub(super) fn strings(&self) -> &Arc<Map> {
        self.origins.strings(self.inward)
    }

    /// Whether any path is mapped.
    pub(super) fn maps_paths(&self) -> bool {
        self.origins.maps_paths()
    }

    fn path(&self, link: &[u8]) -> Option<Vec<u8>> {
        if self.inward { self.origins.path_inward(link) } else { self.origins.path(link) }
    }

    /// Whether a hash of what an element loads may stand in it, and goes. It goes where the resource is the site's own: that comes
    /// through the gate, rewritten, and the hash of what it was would keep browsers from using it. The gate answers for what it sends.
    /// Where only what people typed is mapped it stays: hardly any resource changes, and one that does is better refused than trusted.
    pub(super) fn drops_integrity(&self, element: &[u8]) -> bool {
        self.drops_any_integrity()
            && (element.eq_ignore_ascii_case(b"script") || element.eq_ignore_ascii_case(b"link"))
    }

    /// Whether any element's hash may go.
    pub(super) fn drops_any_integrity(&self) -> bool {
        !self.inward && self.origins.mode() != Mode::Safety
    }
}

/// An attribute in a tag: where its name is, and its value without quotes.
pub(super) struct Attribute {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// Where it ends, with its quote.
    pub(super) end: usize,
}

/// What changes in a tag: these bytes, to those, in order.
pub(super) type Edits = Vec<(Range<usize>, Vec<u8>)>;

/// What changes in a whole tag, from its `<` to its `>`.
pub(super) fn edits(way: &Way, tag: &[u8]) -> Edits {
    let element = tag_name(tag);
    let (mut edits, mut integrity, mut own) = (Edits::new(), None, false);
    let may_have_integrity = way.drops_integrity(element);
    for attribute in attributes(tag) {
        let name = tag.get(attribute.name.clone()).unwrap_or_default();
        let value = tag.get(attribute.value.clone()).unwrap_or_default();
        if may_have_integrity {
            if name.eq_ignore_ascii_case(b"integrity") {
                integrity = Some(attribute.name.start..attribute.end);
            } else if name.eq_ignore_ascii_case(b"src") || name.eq_ignore_ascii_case(b"href") {
                own |= way.origins.is_own(value);
            }
        }
        if let Some(mapped) = mapped(way, element, name, value) {
            // What both begin with stays: it may have gone out already.
            let same = value.iter().zip(&mapped).take_while(|(old, new)| old == new).count();
            let start = attribute.value.start.saturating_add(same);
            edits.push((start..attribute.value.end, mapped.get(same..).unwrap_or_default().to_vec()));
        }
    }
    if let Some(range) = integrity.filter(|_| own) {
        edits.push((range, Vec::new()));
        edits.sort_by_key(|(range, _)| range.start);
    }
    edits
}

/// The new value of an attribute, if it holds paths to be mapped. Absolute addresses are left to who comes after.
pub(super) fn mapped(way: &Way, element: &[u8], name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    // The shortest that is mapped is a slash.
    if value.is_empty() {
        return None;
    }
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    if LINKS.iter().any(|known| is(known)) || is_data_link(name) {
        return way.path(value);
    }
    if STYLES.iter().any(|known| is(known)) {
        return match way.styles().rewrite(value) {
            Cow::Owned(mapped) => Some(mapped),
            Cow::Borrowed(_) => None,
        };
    }
    if is("srcset") || is("imagesrcset") {
        return each(way, value, |byte| *byte == b',');
    }
    if is("ping") {
        return each(way, value, u8::is_ascii_whitespace);
    }
    if is("srcdoc") {
        return srcdoc(way, value);
    }
    if is("content") && element.eq_ignore_ascii_case(b"meta") {
        return refresh(value, |url| way.path(url)).or_else(|| way.path(value));
    }
    let is_listed = way.origins.settings().attributes.iter().any(|listed| is(listed));
    if is_listed { way.path(value) } else { None }
}

/// Whether a script's tag says that it maps names of modules to addresses (HTML, section 8.1.5.2), or lists pages to be fetched in advance.
pub(super) fn is_import_map(tag: &[u8]) -> bool {
    attributes(tag).any(|attribute| {
        let part = |range: Range<usize>| tag.get(range).unwrap_or_default();
        part(attribute.name).eq_ignore_ascii_case(b"type")
            && [b"importmap".as_slice(), b"speculationrules"]
                .iter()
                .any(|known| part(attribute.value.clone()).trim_ascii().eq_ignore_ascii_case(known))
    })
}

fn is_data_link(name: &[u8]) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data-")) && {
        let name = name.to_ascii_lowercase();
        DATA.iter().any(|part| memchr::memmem::find(&name, part.as_bytes()).is_some())
    }
}

/// A page in an attribute. Its entities are those of the attribute; below them there may be the page's own.
fn srcdoc(way: &Way, value: &[u8]) -> Option<Vec<u8>> {
    // Each byte of the page, and where it was spelled.
    let (mut page, mut places) = (Vec::with_capacity(value.len()), Vec::with_capacity(value.len()));
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let (byte, length) = match read(value, at, true) {
            _ if byte != b'&' => (byte, 1),
            _ if value.get(at..).is_some_and(|rest| rest.starts_with(b"&amp;")) => (b'&', 5),
            // What is no ASCII character stays spelled.
            Read::Char(c, length) if c < 0x80 => (u8::try_from(c).unwrap_or(byte), length),
            _ => (byte, 1),
        };
        page.push(byte);
        places.push(at);
        at = at.saturating_add(length);
    }
    let mut links = Links::new(way.clone(), false);
    let mapped = [links.push(Bytes::from(page.clone())), links.finish()].concat();
    let same = page.iter().zip(&mapped).take_while(|(old, new)| old == new).count();
    // All before the first difference stays as it is spelled.
    let place = *places.get(same)?;
    let mut escaped = value.get(..place)?.to_vec();
    for byte in mapped.get(same..)? {
        match byte {
            b'&' => escaped.extend_from_slice(b"&amp;"),
            b'"' => escaped.extend_from_slice(b"&quot;"),
            b'\'' => escaped.extend_from_slice(b"&#39;"),
            b'<' => escaped.extend_from_slice(b"&lt;"),
            b'>' => escaped.extend_from_slice(b"&gt;"),
            byte => escaped.push(*byte),
        }
    }
    Some(escaped)
}

/// `/Plone/a 1x, /Plone/b 2x`; or several addresses with spaces between.
fn each(way: &Way, value: &[u8], ends: impl Fn(&u8) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut changed = false;
    for candidate in value.split_inclusive(ends) {
        match way.path(candidate) {
            Some(link) => {
                out.extend(link);
                changed = true;
            }
            None => out.extend_from_slice(candidate),
        }
    }
    changed.then_some(out)
}

/// The name in `<name …>` or `</name …>`.
pub(super) fn tag_name(tag: &[u8]) -> &[u8] {
    let tag = tag.strip_prefix(b"</").or_else(|| tag.strip_prefix(b"<")).unwrap_or(tag);
    let end = tag.iter().position(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'));
    tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
}

/// The attributes of a whole tag (HTML, section 13.2.5.32 and the following).
fn attributes(tag: &[u8]) -> impl Iterator<Item = Attribute> {
    let mut at = tag_name(tag).len().saturating_add(if tag.starts_with(b"</") { 2 } else { 1 });
    // Without the `>` that ends it.
    let tag = tag.strip_suffix(b">").unwrap_or(tag);
    let find = move |from: usize, ends: fn(u8) -> bool| {
        let rest = tag.get(from..).unwrap_or_default();
        from.saturating_add(rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len()))
    };
    std::iter::from_fn(move || {
        let start = find(at, |byte| !is_space(byte) && byte != b'/');
        tag.get(start)?;
        // An equals sign at the start belongs to the name.
        let end = find(start.saturating_add(1), |byte| is_space(byte) || matches!(byte, b'/' | b'='));
        let name = start..end;
        let equals = find(end, |byte| !is_space(byte));
        if tag.get(equals) != Some(&b'=') {
            at = end;
            return Some(Attribute { name, value: end..end, end });
        }
        let first = find(equals.saturating_add(1), |byte| !is_space(byte));
        let (value, end) = match tag.get(first) {
            Some(b'"') => quoted(first, find(first.saturating_add(1), |byte| byte == b'"')),
            Some(b'\'') => quoted(first, find(first.saturating_add(1), |byte| byte == b'\'')),
            _ => {
                let end = find(first, is_space);
                (first..end, end)
            }
        };
        at = end;
        Some(Attribute { name, value, end })
    })
}

fn quoted(open: usize, close: usize) -> (Range<usize>, usize) {
    (open.saturating_add(1)..close, close.saturating_add(1))
}

/// What separates attributes (HTML's ASCII whitespace).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}
