//! A leaf of a message: through its transfer encoding and back. What does not change keeps its very bytes: in quoted-printable
//! line by line, in base64 the part as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quoted_printable::{InputMode, Options};

use super::text::{self, Form};
use crate::rewrite::{Rewritten, Sites};

/// `Content-Transfer-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// 7bit, 8bit, binary, and whatever else: as it is.
    Identity,
    /// quoted-printable
    QuotedPrintable,
    /// base64
    Base64,
}

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The new body; `None` if it stays.
    pub(super) body: Option<Vec<u8>>,
    /// Whether the body is quoted-printable now and was not: a line would have become longer than mail may have.
    pub(super) quoted: bool,
    /// How many addresses were replaced.
    pub(super) replaced: usize,
    /// How many internal names stay.
    pub(super) remaining: usize,
    /// Why it was left alone.
    pub(super) left: Option<Left>,
}

/// Why a part was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// A change would break its signature, or it is encrypted.
    Signed,
    /// Its transfer encoding is broken.
    Unreadable,
}

/// The longest line that mail may have, without its end (RFC 5322, section 2.1.1).
pub(super) const LONGEST_LINE: usize = 998;
/// The longest line of an encoded body (RFC 2045, sections 6.7 and 6.8).
const ENCODED_LINE: usize = 76;
/// Text that is signed or encrypted in itself (RFC 9580, section 6.2).
const ARMOUR: [&[u8]; 2] = [b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP MESSAGE-----"];

impl Leaf {
    fn left(left: Left) -> Self {
        Self { body: None, quoted: false, replaced: 0, remaining: 0, left: Some(left) }
    }

    fn of(done: &Rewritten<'_>, body: Option<Vec<u8>>) -> Self {
        Self { body, quoted: false, replaced: done.replaced, remaining: done.remaining, left: None }
    }
}

/// Internal → public in a text part.
pub(super) fn rewrite(sites: &Sites, raw: &[u8], transfer: Transfer, form: Form<'_>) -> Leaf {
    let quoted = (transfer == Transfer::QuotedPrintable).then(|| Quoted::read(raw));
    let decoded = match (&quoted, transfer) {
        (Some(quoted), _) => quoted.text.clone(),
        (None, Transfer::Base64) => match from_base64(raw) {
            Some(decoded) => decoded,
            None => return Leaf::left(Left::Unreadable),
        },
        (None, _) => raw.to_vec(),
    };
    if ARMOUR.iter().any(|begin| memchr::memmem::find(&decoded, begin).is_some()) {
        return Leaf::left(Left::Signed);
    }
    let done = text::rewrite(sites, &decoded, form);
    if done.text.as_ref() == decoded {
        return Leaf::of(&done, None);
    }
    match (quoted, transfer) {
        (Some(quoted), _) => Leaf::of(&done, Some(quoted.write(&done.text))),
        (None, Transfer::Base64) => Leaf::of(&done, Some(to_base64(&done.text, raw))),
        (None, _) if longest_line(&done.text) > LONGEST_LINE.max(longest_line(raw)) => {
            let lines = done.text.split_inclusive(|byte| *byte == b'\n');
            let body = lines.flat_map(|line| {
                let (content, end) = split_end(line);
                [quote(content).as_bytes(), end].concat()
            });
            Leaf { quoted: true, ..Leaf::of(&done, Some(body.collect())) }
        }
        (None, _) => Leaf::of(&done, Some(done.text.to_vec())),
    }
}

/// The length of the longest line, without its end.
pub(super) fn longest_line(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).len())
        .max()
        .unwrap_or(0)
}

/// A line and its end.
fn split_end(line: &[u8]) -> (&[u8], &[u8]) {
    let content = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    line.split_at(content.len())
}

fn quote(line: &[u8]) -> String {
    quoted_printable::encode_with_options(
        line,
        Options::default().input_mode(InputMode::Binary).line_length_limit(ENCODED_LINE),
    )
}

/// A quoted-printable body, line by line of its text.
struct Quoted<'a> {
    lines: Vec<QuotedLine<'a>>,
    text: Vec<u8>,
}

/// What one line of text is written as, with its soft breaks.
struct QuotedLine<'a> {
    raw: &'a [u8],
    /// How many bytes of the text it is, its end included.
    decoded: usize,
    /// How many line feeds are among them.
    feeds: usize,
}

impl<'a> Quoted<'a> {
    fn read(raw: &'a [u8]) -> Self {
        let (mut lines, mut text) = (Vec::new(), Vec::with_capacity(raw.len()));
        let (mut start, mut at) = (0_usize, 0_usize);
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            at = at.saturating_add(line.len());
            let soft = line.ends_with(b"\n") && line.trim_ascii_end().ends_with(b"=");
            if soft && at < raw.len() {
                continue;
            }
            let raw = raw.get(start..at).unwrap_or_default();
            start = at;
            let (content, end) = split_end(raw);
            let content = content.trim_ascii_end();
            // What is no quoted-printable is taken for what it shows as.
            let decoded = mail_parser::decoders::quoted_printable::quoted_printable_decode(content)
                .unwrap_or_else(|| content.to_vec());
            let before = text.len();
            text.extend_from_slice(&decoded);
            text.extend_from_slice(end);
            let added = text.get(before..).unwrap_or_default();
            lines.push(QuotedLine {
                raw,
                decoded: added.len(),
                feeds: memchr::memchr_iter(b'\n', added).count(),
            });
        }
        Self { lines, text }
    }

    /// Writes `text`, which has the same lines, with the very bytes it had wherever it is the same.
    fn write(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let (mut old, mut new) = (self.text.as_slice(), text);
        for line in &self.lines {
            let (before, rest) = old.split_at_checked(line.decoded).unwrap_or((old, &[]));
            old = rest;
            let is_last = rest.is_empty();
            let feed = line.feeds.checked_sub(1).and_then(|nth| memchr::memchr_iter(b'\n', new).nth(nth));
            let end = if is_last { new.len() } else { feed.map_or(new.len(), |at| at.saturating_add(1)) };
            let (after, rest) = new.split_at_checked(end).unwrap_or((new, &[]));
            new = rest;
            if before == after {
                out.extend_from_slice(line.raw);
            } else {
                let (_, end) = split_end(line.raw);
                out.extend_from_slice(quote(after.strip_suffix(end).unwrap_or(after)).as_bytes());
                out.extend_from_slice(end);
            }
        }
        out
    }
}

/// The decoded bytes of a base64 body; `None` if there is anything in it that does not belong there.
pub(super) fn from_base64(raw: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<u8> = raw.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(plain).ok()
}

/// `text` in base64, in lines as long as those of `before`.
pub(super) fn to_base64(text: &[u8], before: &[u8]) -> Vec<u8> {
    let first = before.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let width = if first.len() < before.trim_ascii().len() && first.len() % 4 == 0 {
        first.len().clamp(4, LONGEST_LINE)
    } else {
        ENCODED_LINE
    };
    let tail = before.get(before.trim_ascii_end().len()..).unwrap_or_default();
    let encoded = STANDARD.encode(text);
    let mut out = Vec::with_capacity(encoded.len().saturating_add(encoded.len() / 32));
    for (index, line) in encoded.as_bytes().chunks(width).enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(tail);
    out
}
