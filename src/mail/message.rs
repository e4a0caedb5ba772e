//! A whole message: which of its parts and fields are text, and the edits that make them public.
//!
//! The message is never built anew. What changes is cut out and replaced, at the places where mail-parser found it; every other
//! byte stays where it was. What is signed or encrypted is left alone, and said to be.

use aho_corasick::AhoCorasick;
use mail_parser::{
    Encoding, Header, HeaderName, Message, MessageParser, MessagePart, MimeHeaders as _, PartType,
};

use super::header;
use super::links::Links;
use super::part::{self, Left, Transfer};
use super::text::Form;
use crate::rewrite::{self, Sites};

/// A rewritten message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The message; `None` if it stays as it was.
    pub message: Option<Vec<u8>>,
    /// How many addresses were replaced.
    pub replaced: usize,
    /// How many internal names stay in what was looked into.
    pub remaining: usize,
    /// How many parts were left alone because they are signed or encrypted.
    pub signed: usize,
    /// How many parts were left alone because they cannot be read.
    pub unreadable: usize,
    /// How many signatures of the message (DKIM) were removed because the changes break them.
    pub unsigned: usize,
}

/// A message has so many parts in parts that looking into it would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many parts in parts to look into")]
pub struct TooDeep;

/// How often a message may say that something is in parts. Each costs a search through the rest of the message.
const MOST_CONTAINERS: usize = 200;
/// How deep a message that is encoded as a whole may stand in another one that is.
const DEEPEST_ENCODED: usize = 3;

/// Internal → public in a message.
///
/// # Errors
/// If it has too many parts in parts.
pub fn rewrite(sites: &Sites, links: &Links, raw: &[u8]) -> Result<Outcome, TooDeep> {
    inner(sites, links, raw, DEEPEST_ENCODED)
}

fn inner(sites: &Sites, links: &Links, raw: &[u8], depth: usize) -> Result<Outcome, TooDeep> {
    let containers = AhoCorasick::builder().ascii_case_insensitive(true).build(["multipart/", "message/"]);
    if containers.is_ok_and(|containers| containers.find_iter(raw).count() > MOST_CONTAINERS) {
        return Err(TooDeep);
    }
    let Some(message) = parser().parse(raw) else {
        // Not one field: all of it is text.
        let done = sites.rewrite(raw);
        let (replaced, remaining) = (done.replaced, done.remaining);
        let message = (replaced > 0).then(|| done.text.into_owned());
        return Ok(Outcome { message, replaced, remaining, ..Outcome::default() });
    };
    let mut walk = Walk { sites, links, raw, depth, edits: Vec::new(), outcome: Outcome::default() };
    walk.message(&message)?;
    Ok(walk.finish(&message))
}

/// Only what is needed of the fields is parsed: the rest is read as it stands.
fn parser() -> MessageParser {
    MessageParser::new().with_mime_headers().default_header_raw()
}

/// A field of a message's own header.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a [u8],
}

/// Calls `look` with the fields of the message's own header.
pub(super) fn fields(raw: &[u8], mut look: impl FnMut(Field<'_>)) {
    let Some(message) = parser().parse_headers(raw) else { return };
    for field in message.headers() {
        let value = raw.get(field.offset_start as usize..field.offset_end as usize).unwrap_or_default();
        look(Field { name: field.name(), value });
    }
}

/// Whether a message has a DKIM signature.
pub(super) fn is_signed(raw: &[u8]) -> bool {
    let mut is_signed = false;
    fields(raw, |field| is_signed |= field.name.eq_ignore_ascii_case("dkim-signature"));
    is_signed
}

/// The fields of the message's own header, and its body.
pub(super) fn split(raw: &[u8]) -> Option<(Vec<Field<'_>>, &[u8])> {
    let message = parser().parse_headers(raw)?;
    let rest = raw.get(message.headers().last()?.offset_end as usize..)?;
    // The parser lends names for as long as it lives; the same bytes stand in the message.
    let fields = message.headers().iter().filter_map(|field| {
        let name = raw.get(field.offset_field as usize..field.offset_start as usize)?;
        let name = std::str::from_utf8(name).ok()?.trim_end().strip_suffix(':')?;
        let value = raw.get(field.offset_start as usize..field.offset_end as usize)?;
        Some(Field { name: name.trim(), value })
    });
    Some((fields.collect(), rest.strip_prefix(b"\r\n").unwrap_or(rest)))
}

struct Edit {
    start: usize,
    end: usize,
    bytes: Vec<u8>,
}

struct Walk<'a> {
    sites: &'a Sites,
    links: &'a Links,
    raw: &'a [u8],
    /// How many more levels of encoded messages are looked into.
    depth: usize,
    edits: Vec<Edit>,
    outcome: Outcome,
}

impl Walk<'_> {
    fn message(&mut self, message: &Message<'_>) -> Result<(), TooDeep> {
        // Not recursive: how deep it goes is not ours to say.
        let mut todo: Vec<(&Message<'_>, usize)> = vec![(message, 0)];
        while let Some((message, id)) = todo.pop() {
            let Some(part) = message.parts.get(id) else { continue };
            self.fields(&part.headers);
            match &part.body {
                _ if is_sealed(part) => self.outcome.signed = self.outcome.signed.saturating_add(1),
                PartType::Multipart(children) => {
                    todo.extend(
                        children
                            .iter()
                            .filter(|child| **child as usize != id)
                            .map(|child| (message, *child as usize)),
                    );
                }
                PartType::Message(nested) if part.encoding == Encoding::None => todo.push((nested, 0)),
                PartType::Message(_) => self.encoded_message(part)?,
                // Also what says that it is a message and is none: programs show it as text.
                PartType::Text(_) | PartType::Html(_) => self.leaf(part),
                _ if is_text(part) => self.leaf(part),
                _ => {}
            }
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[Header<'_>]) {
        for field in fields.iter().filter(|field| header::is_looked_into(field.name())) {
            let (start, end) = (field.offset_start as usize, field.offset_end as usize);
            let Some(raw) = self.raw.get(start..end) else { continue };
            let column = start.saturating_sub(field.offset_field as usize);
            let done = header::rewrite(self.sites, field.name(), raw, column);
            self.outcome.replaced = self.outcome.replaced.saturating_add(done.replaced);
            self.outcome.remaining = self.outcome.remaining.saturating_add(done.remaining);
            if let Some(bytes) = done.value {
                self.edits.push(Edit { start, end, bytes });
            }
        }
    }

    fn body(&self, part: &MessagePart<'_>) -> Option<(usize, usize, &'_ [u8])> {
        let (start, end) = (part.offset_body as usize, part.offset_end as usize);
        Some((start, end, self.raw.get(start..end)?))
    }

    fn leaf(&mut self, part: &MessagePart<'_>) {
        let Some((start, end, raw)) = self.body(part) else { return };
        let kind = part.content_type();
        let attribute = |name| kind.and_then(|kind| kind.attribute(name));
        let is = |name, value: &str| attribute(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
        let is_html = matches!(media_type(part).as_str(), "text/html" | "application/xhtml+xml");
        let form = Form {
            charset: attribute("charset"),
            joined: is("format", "flowed") && is("delsp", "yes"),
            folded: rewrite::is_folded(&media_type(part)),
            links: is_html.then_some(self.links),
        };
        let transfer = match part.encoding {
            Encoding::Base64 => Transfer::Base64,
            Encoding::QuotedPrintable => Transfer::QuotedPrintable,
            Encoding::None => Transfer::Identity,
        };
        let leaf = part::rewrite(self.sites, raw, transfer, form);
        let outcome = &mut self.outcome;
        outcome.replaced = outcome.replaced.saturating_add(leaf.replaced);
        outcome.remaining = outcome.remaining.saturating_add(leaf.remaining);
        match leaf.left {
            Some(Left::Signed) => outcome.signed = outcome.signed.saturating_add(1),
            Some(Left::Unreadable) => outcome.unreadable = outcome.unreadable.saturating_add(1),
            None => {}
        }
        if leaf.quoted {
            self.requote(part);
        }
        if let Some(bytes) = leaf.body {
            self.edits.push(Edit { start, end, bytes });
        }
    }

    /// Says of a part that it is quoted-printable now.
    fn requote(&mut self, part: &MessagePart<'_>) {
        let field = part.headers.iter().rfind(|field| field.name == HeaderName::ContentTransferEncoding);
        self.edits.push(match field {
            Some(field) => Edit {
                start: field.offset_start as usize,
                end: field.offset_end as usize,
                bytes: b" quoted-printable\r\n".to_vec(),
            },
            None => {
                let start =
                    part.headers.first().map_or(part.offset_header, |first| first.offset_field) as usize;
                Edit { start, end: start, bytes: b"Content-Transfer-Encoding: quoted-printable\r\n".to_vec() }
            }
        });
    }

    /// A message within, base64 or quoted-printable as a whole, which it should not be (RFC 2046, section 5.2.1).
    fn encoded_message(&mut self, part: &MessagePart<'_>) -> Result<(), TooDeep> {
        let Some((start, end, raw)) = self.body(part) else { return Ok(()) };
        let decoded = (part.encoding == Encoding::Base64).then(|| part::from_base64(raw)).flatten();
        let (Some(depth), Some(decoded)) = (self.depth.checked_sub(1), decoded) else {
            self.outcome.unreadable = self.outcome.unreadable.saturating_add(1);
            return Ok(());
        };
        let done = inner(self.sites, self.links, &decoded, depth)?;
        let bytes = done.message.as_ref().map(|message| part::to_base64(message, raw));
        let outcome = &mut self.outcome;
        outcome.replaced = outcome.replaced.saturating_add(done.replaced);
        outcome.remaining = outcome.remaining.saturating_add(done.remaining);
        outcome.signed = outcome.signed.saturating_add(done.signed);
        outcome.unreadable = outcome.unreadable.saturating_add(done.unreadable);
        self.edits.extend(bytes.map(|bytes| Edit { start, end, bytes }));
        Ok(())
    }

    fn finish(mut self, message: &Message<'_>) -> Outcome {
        if self.edits.is_empty() {
            return self.outcome;
        }
        for field in message.headers().iter().filter(|field| header::is_signature(field.name())) {
            let (start, end) = (field.offset_field as usize, field.offset_end as usize);
            self.edits.push(Edit { start, end, bytes: Vec::new() });
            self.outcome.unsigned = self.outcome.unsigned.saturating_add(1);
        }
        self.edits.sort_by_key(|edit| (edit.start, edit.end));
        let mut out = Vec::with_capacity(self.raw.len());
        let mut at = 0;
        for edit in &self.edits {
            // Of two that overlap, which a broken structure may bring about, the first counts.
            let Some(kept) = self.raw.get(at..edit.start) else { continue };
            out.extend_from_slice(kept);
            out.extend_from_slice(&edit.bytes);
            at = edit.end;
        }
        out.extend_from_slice(self.raw.get(at..).unwrap_or_default());
        Outcome { message: Some(out), ..self.outcome }
    }
}

/// The type of a part, lower case; plain text if it names none.
fn media_type(part: &MessagePart<'_>) -> String {
    let kind =
        part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()));
    kind.map_or_else(|| "text/plain".to_owned(), |kind| kind.to_ascii_lowercase())
}

/// Whether a change would break a signature (RFC 1847, RFC 8551) or is impossible.
fn is_sealed(part: &MessagePart<'_>) -> bool {
    matches!(
        media_type(part).as_str(),
        "multipart/signed" | "multipart/encrypted" | "application/pkcs7-mime" | "application/x-pkcs7-mime"
    )
}

fn is_text(part: &MessagePart<'_>) -> bool {
    let kind = media_type(part);
    // A multipart without parts is shown as text.
    kind.starts_with("multipart/") || rewrite::is_text(&kind)
}
