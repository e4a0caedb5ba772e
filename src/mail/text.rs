//! The text of a part: through its charset and, where lines are joined, through `format=flowed`.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::links::Links;
use crate::rewrite::{self, Rewritten, Sites};

/// How a text is written down: what its `Content-Type` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form<'a> {
    /// The charset's label; ASCII if there is none.
    pub(super) charset: Option<&'a str>,
    /// `format=flowed; delsp=yes` (RFC 3676): a space before a line end joins two lines and is no part of the text, so that an
    /// address may be broken anywhere.
    pub(super) joined: bool,
    /// A calendar or an address card, in which long lines are folded anywhere.
    pub(super) folded: bool,
    /// HTML: the links in it that begin at the CMS's root.
    pub(super) links: Option<&'a Links>,
}

impl Form<'_> {
    fn map<'t>(&self, sites: &Sites, text: &'t [u8]) -> Rewritten<'t> {
        self.links.map_or_else(|| sites.rewrite(text), |links| links.rewrite(sites, text))
    }
}

/// The longest line of a paragraph that is broken anew (RFC 3676, section 4.2: 78 at most), without quote marks and spaces.
const LONGEST_FLOWED: usize = 70;

/// Internal → public in a decoded text. Every byte that is no address stays, in whatever charset.
pub(super) fn rewrite<'a>(sites: &Sites, text: &'a [u8], form: Form<'_>) -> Rewritten<'a> {
    if form.folded {
        folded(sites, text, form)
    } else if form.joined {
        flowed(sites, text, form)
    } else {
        in_charset(sites, text, form)
    }
}

/// Joins the lines that are folded, and folds those anew that have changed.
fn folded<'a>(sites: &Sites, text: &'a [u8], form: Form<'_>) -> Rewritten<'a> {
    let (mut replaced, mut out) = (0_usize, Vec::with_capacity(text.len()));
    for line in rewrite::folded_lines(text) {
        let joined = rewrite::joined_line(line, |line| {
            let done = in_charset(sites, line, form);
            replaced = replaced.saturating_add(done.replaced);
            (done.replaced > 0).then(|| done.text.into_owned())
        });
        out.extend_from_slice(joined.as_deref().unwrap_or(line));
    }
    let done = in_charset(sites, &out, form);
    let (text, more) = (done.text.into_owned(), done.replaced);
    Rewritten { text: Cow::Owned(text), replaced: replaced.saturating_add(more), remaining: done.remaining }
}

fn in_charset<'a>(sites: &Sites, text: &'a [u8], form: Form<'_>) -> Rewritten<'a> {
    let encoding = form.charset.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    let encoding = match encoding {
        // Where an ASCII byte is always an ASCII character, bytes are as good as characters. So are they where the charset is
        // unknown: an address is found if it is spelled as one, and nothing else changes.
        None => return form.map(sites, text),
        Some(encoding) if encoding == UTF_8 || encoding.is_single_byte() => return form.map(sites, text),
        Some(encoding) => encoding,
    };
    let Some(decoded) = decoded(text, encoding) else { return form.map(sites, text) };
    let done = form.map(sites, decoded.as_bytes());
    let text = match &done.text {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(changed) => {
            Cow::Owned(encoded(&String::from_utf8_lossy(changed), encoding).unwrap_or_default())
        }
    };
    Rewritten { text, replaced: done.replaced, remaining: done.remaining }
}

/// The text as characters, if nothing would be lost on the way there and back.
fn decoded(text: &[u8], encoding: &'static Encoding) -> Option<String> {
    let decoded = encoding.decode_without_bom_handling_and_without_replacement(text)?;
    (encoded(&decoded, encoding)? == text).then(|| decoded.into_owned())
}

/// `None` if the charset lacks a character.
pub(super) fn encoded(text: &str, encoding: &'static Encoding) -> Option<Vec<u8>> {
    if encoding == UTF_16LE {
        return Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    if encoding == UTF_16BE {
        return Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    let (bytes, _, lossy) = encoding.encode(text);
    (!lossy).then(|| bytes.into_owned())
}

/// One line of flowed text.
struct Line<'a> {
    raw: &'a [u8],
    quotes: usize,
    stuffed: bool,
    /// Without quote marks, stuffing, and the line end.
    content: &'a [u8],
}

impl<'a> Line<'a> {
    fn of(raw: &'a [u8]) -> Self {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        let content = line.get(quotes..).unwrap_or_default();
        let unstuffed = content.strip_prefix(b" ");
        Self { raw, quotes, stuffed: unstuffed.is_some(), content: unstuffed.unwrap_or(content) }
    }

    /// The content that the next line goes on from.
    fn flows(&self) -> Option<&'a [u8]> {
        self.content.strip_suffix(b" ").filter(|_| self.content != b"-- ")
    }
}

/// Joins the paragraphs, rewrites them, and breaks those anew that have changed.
fn flowed<'a>(sites: &Sites, text: &'a [u8], form: Form<'_>) -> Rewritten<'a> {
    let lines: Vec<Line<'_>> = text.split_inclusive(|byte| *byte == b'\n').map(Line::of).collect();
    // Paragraphs, each with its lines; and all of them joined, a line each.
    let mut paragraphs: Vec<Vec<&Line<'_>>> = Vec::new();
    let mut joined: Vec<u8> = Vec::with_capacity(text.len());
    let mut goes_on = false;
    for (index, line) in lines.iter().enumerate() {
        if !goes_on {
            paragraphs.push(Vec::new());
        }
        if let Some(paragraph) = paragraphs.last_mut() {
            paragraph.push(line);
        }
        let next = lines.get(index.saturating_add(1));
        let flows = line.flows().filter(|_| next.is_some_and(|next| next.quotes == line.quotes));
        goes_on = flows.is_some();
        joined.extend_from_slice(flows.unwrap_or(line.content));
        if !goes_on {
            joined.push(b'\n');
        }
    }
    let done = in_charset(sites, &joined, form);
    let before = joined.split_inclusive(|byte| *byte == b'\n');
    let after = done.text.split_inclusive(|byte| *byte == b'\n');
    let mut out = Vec::with_capacity(text.len());
    let mut changed = false;
    for ((paragraph, before), after) in paragraphs.iter().zip(before).zip(after) {
        if before == after {
            out.extend(paragraph.iter().flat_map(|line| line.raw).copied());
        } else {
            changed = true;
            broken(after.strip_suffix(b"\n").unwrap_or(after), paragraph, &mut out);
        }
    }
    let text = if changed { Cow::Owned(out) } else { Cow::Borrowed(text) };
    Rewritten { text, replaced: done.replaced, remaining: done.remaining }
}

/// Writes a joined paragraph in lines, quoted and stuffed as it was.
fn broken(mut content: &[u8], paragraph: &[&Line<'_>], out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (paragraph.first(), paragraph.last()) else { return };
    let end: &[u8] = match last.raw {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    };
    loop {
        let cut = cut(content);
        let (piece, rest) = content.split_at(cut);
        out.extend(std::iter::repeat_n(b'>', first.quotes));
        if first.stuffed || piece.starts_with(b" ") || piece.starts_with(b">") || piece.starts_with(b"From ")
        {
            out.push(b' ');
        }
        out.extend_from_slice(piece);
        if rest.is_empty() {
            return out.extend_from_slice(end);
        }
        out.extend_from_slice(b" \r\n");
        content = rest;
    }
}

/// Where to break: behind a space, else between two ASCII characters, else not at all.
fn cut(content: &[u8]) -> usize {
    let Some(window) = content.get(..LONGEST_FLOWED).filter(|_| content.len() > LONGEST_FLOWED) else {
        return content.len();
    };
    let spaced = window.iter().rposition(|byte| *byte == b' ').map(|at| at.saturating_add(1));
    let ascii = || {
        let at = window.windows(2).rposition(<[u8]>::is_ascii);
        at.map(|at| at.saturating_add(1))
    };
    spaced.or_else(ascii).unwrap_or(content.len())
}
