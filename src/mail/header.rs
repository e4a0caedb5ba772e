//! Header fields: which are looked into, and how their text is, through encoded words (RFC 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, UTF_8};
use mail_parser::parsers::MessageStream;

use super::part::LONGEST_LINE;
use super::text;
use crate::rewrite::Sites;

/// Fields that are not looked into: those of addresses, for a mailbox is not ours to rename; those that say how the message
/// is built; and the trace that others left. All others are free text, URLs or identifiers.
const UNTOUCHED: &[&str] = &[
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "return-path",
    "errors-to",
    "delivered-to",
    "disposition-notification-to",
    "return-receipt-to",
    "date",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "received",
    "received-spf",
    "authentication-results",
    "domainkey-signature",
];

/// The same by how their names begin.
const UNTOUCHED_STARTS: &[&str] = &["resent-", "dkim-", "arc-"];

/// Whether a field is looked into.
pub(super) fn is_looked_into(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !UNTOUCHED.contains(&name.as_str()) && !UNTOUCHED_STARTS.iter().any(|start| name.starts_with(start))
}

/// Whether a field is a signature of the message that a change breaks.
pub(super) fn is_signature(name: &str) -> bool {
    name.eq_ignore_ascii_case("dkim-signature") || name.eq_ignore_ascii_case("domainkey-signature")
}

/// Fields of message identifiers, `<…@host>`, which software makes from the name of the machine it runs on.
fn is_identifiers(name: &str) -> bool {
    ["message-id", "in-reply-to", "references"].iter().any(|field| name.eq_ignore_ascii_case(field))
}

/// A field's value after rewriting.
pub(super) struct Value {
    /// The new value; `None` if it stays.
    pub(super) value: Option<Vec<u8>>,
    /// How many addresses were replaced.
    pub(super) replaced: usize,
    /// How many internal names stay.
    pub(super) remaining: usize,
}

/// Internal → public in the value of a field, as it stands in the message, behind `column` bytes of its first line.
pub(super) fn rewrite(sites: &Sites, name: &str, raw: &[u8], column: usize) -> Value {
    if is_identifiers(name) { identifiers(sites, raw) } else { words(sites, raw, column) }
}

/// The host of each identifier becomes the public one if it is internal; so a thread holds together, for in every message it
/// becomes the same.
fn identifiers(sites: &Sites, raw: &[u8]) -> Value {
    let done = sites.rewrite(raw);
    let mut value = Value { value: None, replaced: done.replaced, remaining: done.remaining };
    let mut out = Vec::with_capacity(raw.len());
    for identifier in done.text.split_inclusive(|byte| *byte == b'>') {
        let host = identifier
            .iter()
            .rposition(|byte| *byte == b'@')
            .map(|at| identifier.split_at(at.saturating_add(1)));
        let public = host.and_then(|(left, host)| Some((left, sites.public_host(host.strip_suffix(b">")?)?)));
        match public {
            Some((left, public)) => {
                out.extend([left, public, b">"].into_iter().flatten());
                value.replaced = value.replaced.saturating_add(1);
            }
            None => out.extend_from_slice(identifier),
        }
    }
    value.value = (value.replaced > 0).then_some(out);
    value
}

fn words(sites: &Sites, raw: &[u8], column: usize) -> Value {
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut value = Value { value: None, replaced: 0, remaining: 0 };
    let (mut rest, mut changed) = (raw, false);
    while !rest.is_empty() {
        let (before, run) = next_run(rest);
        let done = sites.rewrite(before);
        out.extend_from_slice(&done.text);
        value.replaced = value.replaced.saturating_add(done.replaced);
        value.remaining = value.remaining.saturating_add(done.remaining);
        changed |= done.replaced > 0;
        let Some(run) = run else { break };
        let words = run.raw;
        let decoded = run.decoded();
        let done = sites.rewrite(decoded.as_bytes());
        value.remaining = value.remaining.saturating_add(done.remaining);
        // What is no text in its charset is shown as a mark for that, and may be written as one. In a charset that is unknown here
        // it may be text all the same, to others: that stays, and is said to.
        let is_readable = !decoded.contains(char::REPLACEMENT_CHARACTER)
            || Encoding::for_label(run.charset.as_bytes()).is_some();
        if done.replaced > 0 && is_readable {
            let line = out.iter().rposition(|byte| *byte == b'\n');
            let used = line.map_or(column.saturating_add(out.len()), |at| out.len().saturating_sub(at));
            run.write(&String::from_utf8_lossy(&done.text), used, &mut out);
            value.replaced = value.replaced.saturating_add(done.replaced);
            changed = true;
        } else {
            value.remaining = value.remaining.saturating_add(done.replaced);
            out.extend_from_slice(words);
        }
        rest = rest.get(before.len().saturating_add(words.len())..).unwrap_or_default();
    }
    value.value = changed.then(|| folded(out, column));
    value
}

/// Encoded words in a row: white space between them is no part of the text (RFC 2047, section 6.2), so what they say may be cut
/// anywhere.
struct Run<'a> {
    raw: &'a [u8],
    charset: &'a str,
    is_base64: bool,
}

/// What stands before the next run, and the run.
fn next_run(text: &[u8]) -> (&[u8], Option<Run<'_>>) {
    let starts = memchr::memmem::find_iter(text, b"=?");
    for start in starts {
        let from = text.get(start..).unwrap_or_default();
        let Some(first) = Word::at_start(from) else { continue };
        let mut end = first.len;
        while let Some(next) = next_word(from.get(end..).unwrap_or_default(), first.charset) {
            end = end.saturating_add(next);
        }
        let raw = from.get(..end).unwrap_or_default();
        let run = Run { raw, charset: first.charset, is_base64: first.is_base64 };
        return (text.get(..start).unwrap_or_default(), Some(run));
    }
    (text, None)
}

/// The length of white space and a further word in the same charset.
fn next_word(text: &[u8], charset: &str) -> Option<usize> {
    let space = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let word = Word::at_start(text.get(space..)?)
        .filter(|word| space > 0 && word.charset.eq_ignore_ascii_case(charset))?;
    Some(space.saturating_add(word.len))
}

/// `=?charset?B?text?=`
struct Word<'a> {
    charset: &'a str,
    is_base64: bool,
    len: usize,
}

impl<'a> Word<'a> {
    fn at_start(text: &'a [u8]) -> Option<Self> {
        let inner = text.strip_prefix(b"=?")?;
        let mut parts = inner.splitn(3, |byte| *byte == b'?');
        let (charset, kind, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let end = memchr::memchr(b'?', rest)?;
        let plain = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_graphic);
        if charset.is_empty()
            || !plain(charset)
            || !plain(rest.get(..end)?)
            || rest.get(end.checked_add(1)?) != Some(&b'=')
        {
            return None;
        }
        let is_base64 = match kind {
            b"b" | b"B" => true,
            b"q" | b"Q" => false,
            _ => return None,
        };
        let len = charset.len().checked_add(end)?.checked_add(7)?;
        // A language may follow (RFC 2231, section 5); it is dropped if the word is written anew.
        let charset = std::str::from_utf8(charset).ok()?.split('*').next()?;
        Some(Self { charset, is_base64, len })
    }
}

/// The longest encoded word, and the longest line that has one in it (RFC 2047, section 2).
const LONGEST_WORD: usize = 75;

impl Run<'_> {
    fn decoded(&self) -> String {
        let line = [self.raw, b"\n"].concat();
        MessageStream::new(&line)
            .parse_unstructured()
            .into_text()
            .map(|text| text.into_owned())
            .unwrap_or_default()
    }

    /// Writes `text` as words in the same charset and the same encoding, with `used` bytes already on the line.
    fn write(&self, text: &str, used: usize, out: &mut Vec<u8>) {
        let encoding = Encoding::for_label(self.charset.as_bytes()).filter(|encoding| {
            *encoding != encoding_rs::UTF_16LE
                && *encoding != encoding_rs::UTF_16BE
                && text::encoded(text, encoding).is_some()
        });
        let (encoding, label) = encoding.map_or((UTF_8, "utf-8"), |encoding| (encoding, self.charset));
        let around = label.len().saturating_add(7);
        let mut room = LONGEST_WORD.saturating_sub(used).saturating_sub(around);
        let mut word = String::new();
        let mut payload = Vec::new();
        for character in text.chars() {
            word.push(character);
            let longer = self.encode(&word, encoding);
            if longer.len() > room && !payload.is_empty() {
                self.word(label, &payload, out);
                out.extend_from_slice(b"\r\n ");
                room = LONGEST_WORD.saturating_sub(1).saturating_sub(around);
                word = character.to_string();
                payload = self.encode(&word, encoding);
            } else {
                payload = longer;
            }
        }
        self.word(label, &payload, out);
    }

    fn word(&self, label: &str, payload: &[u8], out: &mut Vec<u8>) {
        let kind = if self.is_base64 { b"?b?" } else { b"?q?" };
        out.extend([b"=?", label.as_bytes(), kind, payload, b"?="].into_iter().flatten());
    }

    fn encode(&self, text: &str, encoding: &'static Encoding) -> Vec<u8> {
        let bytes = text::encoded(text, encoding).unwrap_or_default();
        if self.is_base64 {
            return STANDARD.encode(bytes).into_bytes();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b' ' => out.push(b'_'),
                // What may stand in a word anywhere (RFC 2047, section 5, rule 3).
                byte if byte.is_ascii_alphanumeric() || b"!*+-/".contains(&byte) => out.push(byte),
                byte => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
            }
        }
        out
    }
}

/// Breaks lines that have become longer than mail may have, where there is a space.
fn folded(value: Vec<u8>, column: usize) -> Vec<u8> {
    let longest = LONGEST_LINE.saturating_sub(column);
    if super::part::longest_line(&value) <= longest {
        return value;
    }
    let mut out = Vec::with_capacity(value.len().saturating_add(16));
    for line in value.split_inclusive(|byte| *byte == b'\n') {
        let mut line = line;
        while super::part::longest_line(line) > longest {
            // Behind its first byte: a line of white space alone would end the header.
            let window = line.get(..=longest).unwrap_or(line);
            let Some(at) = window
                .iter()
                .rposition(|byte| *byte == b' ')
                .filter(|at| line.get(..*at).is_some_and(|before| !before.trim_ascii().is_empty()))
            else {
                break;
            };
            let (before, rest) = line.split_at(at);
            if rest.trim_ascii().is_empty() {
                break;
            }
            out.extend_from_slice(before);
            out.extend_from_slice(b"\r\n");
            line = rest;
        }
        out.extend_from_slice(line);
    }
    out
}
