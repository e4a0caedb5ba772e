//! `multipart/form-data` on its way in (RFC 7578): the values of fields are mapped, files and everything between stay as they are.

use super::inward::Value;
use super::origins::Origins;
use super::plan::is_textual;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use memchr::memmem::{self, Finder};
use std::sync::Arc;

/// A part whose head is longer than this passes as it is.
const LONGEST_HEAD: usize = 16 << 10;

pub(super) struct Multipart {
    origins: Arc<Origins>,
    /// A line feed and `--boundary`.
    delimiter: Finder<'static>,
    /// What may be the start of a delimiter.
    held: Vec<u8>,
    place: Place,
    value: Value,
    /// Whether the line feed that the first delimiter needs before it was made up and is not to be written.
    virtual_line: bool,
}

enum Place {
    /// Before the first part, in a file, behind the last part.
    Untouched,
    /// In the head of a part.
    Head(Vec<u8>),
    /// In the value of a field.
    Value,
}

/// The boundary that a `Content-Type` names.
pub(super) fn boundary(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes();
    parameter(value, b"boundary").filter(|boundary| !boundary.is_empty())
}

impl Multipart {
    pub(super) fn new(origins: Arc<Origins>, boundary: &[u8]) -> Self {
        let delimiter = [b"\n--", boundary].concat();
        Self {
            value: Value::new(origins.clone()),
            origins,
            delimiter: Finder::new(&delimiter).into_owned(),
            held: vec![b'\n'],
            place: Place::Untouched,
            virtual_line: true,
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(chunk);
        let length = self.delimiter.needle().len();
        let mut rest = held.as_slice();
        while let Some(at) = self.delimiter.find(rest) {
            let (inside, tail) = rest.split_at(at);
            self.inside(inside, out);
            self.end_part(out);
            let (delimiter, tail) = tail.split_at_checked(length).unwrap_or((tail, &[]));
            self.untouched(delimiter, out);
            self.place = Place::Head(Vec::new());
            rest = tail;
        }
        // A delimiter begins with a line feed.
        let from = rest.len().saturating_sub(length.saturating_sub(1));
        let open = rest.get(from..).and_then(|tail| memchr::memchr(b'\n', tail));
        let (inside, open) = rest.split_at(open.map_or(rest.len(), |at| from.saturating_add(at)));
        self.inside(inside, out);
        self.held = open.to_vec();
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.inside(&held, out);
        self.end_part(out);
    }

    /// Bytes between delimiters.
    fn inside(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.place {
            Place::Untouched => self.untouched(bytes, out),
            Place::Value => self.value.push(bytes, out),
            Place::Head(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                let end = end_of_head(&head);
                // `--` behind the boundary: that was the last one.
                if head.starts_with(b"--") || end.unwrap_or(head.len()) > LONGEST_HEAD {
                    self.place = Place::Untouched;
                    return self.untouched(&head, out);
                }
                let Some(end) = end else {
                    self.place = Place::Head(head);
                    return;
                };
                let (head, value) = head.split_at(end);
                self.untouched(head, out);
                match self.field(head) {
                    Some(name) => {
                        self.value.begin(&name);
                        self.place = Place::Value;
                    }
                    None => self.place = Place::Untouched,
                }
                self.inside(value, out);
            }
        }
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.place, Place::Untouched) {
            Place::Untouched => {}
            Place::Head(head) => self.untouched(&head, out),
            Place::Value => self.value.finish(out),
        }
    }

    fn untouched(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let skip = usize::from(self.virtual_line && !bytes.is_empty());
        self.virtual_line &= skip == 0;
        out.extend_from_slice(bytes.get(skip..).unwrap_or_default());
    }

    /// The name of the field that a part with this head is, if it is one and not a file.
    fn field(&self, head: &[u8]) -> Option<Vec<u8>> {
        let mut name = None;
        for line in head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (key, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            match key.to_ascii_lowercase().as_slice() {
                // The parameters of a file are `filename` or `filename*`.
                b"content-disposition" if contains_ignore_case(value, b"filename") => return None,
                b"content-disposition" => name = parameter(value, b"name"),
                b"content-type" => {
                    let headers =
                        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_bytes(value).ok()?)]);
                    if !is_textual(&self.origins, &headers) {
                        return None;
                    }
                }
                b"content-transfer-encoding" if !is_identity(value) => return None,
                _ => {}
            }
        }
        name
    }
}

/// Where the blank line behind a head ends.
fn end_of_head(head: &[u8]) -> Option<usize> {
    let crlf = memmem::find(head, b"\n\r\n").map(|at| at.saturating_add(3));
    let lf = memmem::find(head, b"\n\n").map(|at| at.saturating_add(2));
    crlf.into_iter().chain(lf).min()
}

fn is_identity(coding: &[u8]) -> bool {
    [b"7bit".as_slice(), b"8bit", b"binary"].iter().any(|known| known.eq_ignore_ascii_case(coding))
}

fn contains_ignore_case(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// The value of a parameter in `type/subtype; name="value"`.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b';') {
        rest = rest.get(at.saturating_add(1)..)?.trim_ascii_start();
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (key, tail) = rest.split_at(equals);
        let Some(tail) = tail.strip_prefix(b"=") else { continue };
        let is_it = key.trim_ascii().eq_ignore_ascii_case(name);
        let tail = tail.trim_ascii_start();
        let (found, after) = match tail.strip_prefix(b"\"") {
            Some(quoted) => quoted_string(quoted),
            None => {
                let end = tail.iter().position(|byte| *byte == b';').unwrap_or(tail.len());
                let (token, after) = tail.split_at(end);
                (token.trim_ascii().to_vec(), after)
            }
        };
        if is_it {
            return Some(found);
        }
        rest = after;
    }
    None
}

/// What stands up to the closing quote, and what follows it.
fn quoted_string(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            _ => value.push(*byte),
        }
    }
    (value, bytes.as_slice())
}
