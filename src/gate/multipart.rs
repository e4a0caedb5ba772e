//! The names of the fields of a `multipart/form-data` body, in every reading that a backend may have of them.
//!
//! Nobody here looks for boundaries: whatever line begins with `Content-Disposition` is taken for the head of a part, so
//! the preamble, parts within parts and a boundary that only some reader sees are all the same. What stands in it is read
//! as Python's `cgi` reads it (Zope up to 4), as `multipart` does (Zope 5), and as it stands.

use super::inspect::Judge;
use crate::forward::Inspect;

/// Looks at a body as it passes, in pieces of any size.
pub(super) struct Multipart {
    judge: Judge,
    at: At,
    /// What is held of the current line: the beginning of its name, or the value of a disposition.
    held: Vec<u8>,
}

/// Where in the body the next byte stands.
#[derive(Clone, Copy)]
enum At {
    /// In a line that is, so far, the beginning of [`DISPOSITION`].
    Name,
    /// In some other line.
    Other,
    /// In the value of a disposition.
    Value,
    /// Behind the line end of one; with a carriage return seen last.
    ValueEnd { cr: bool },
    /// In the space with which a line begins that continues one.
    Fold,
}

const DISPOSITION: &[u8] = b"content-disposition";

/// A disposition longer than this, in bytes, is refused.
const LONGEST: usize = 4096;

impl Multipart {
    pub(super) fn new(judge: Judge) -> Self {
        Self { judge, at: At::Name, held: Vec::new() }
    }

    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        let ends_line = matches!(byte, b'\r' | b'\n');
        match self.at {
            At::Other if ends_line => self.begin(),
            At::Other => {}
            At::Name if ends_line => self.begin(),
            At::Name if self.held.is_empty() && is_space(byte) => {}
            At::Name => {
                self.held.push(byte.to_ascii_lowercase());
                if self.held == DISPOSITION {
                    self.held.clear();
                    self.at = At::Value;
                } else if !DISPOSITION.starts_with(&self.held) {
                    self.at = At::Other;
                }
            }
            At::Fold if is_space(byte) && !ends_line => {}
            At::Fold | At::Value if ends_line => self.at = At::ValueEnd { cr: byte == b'\r' },
            At::Fold | At::Value => {
                self.at = At::Value;
                // No file name is longer than 255 bytes.
                if self.held.len() >= LONGEST {
                    return Err("the head of a part is too long to be read");
                }
                self.held.push(byte);
            }
            At::ValueEnd { cr: true } if byte == b'\n' => self.at = At::ValueEnd { cr: false },
            At::ValueEnd { .. } if matches!(byte, b' ' | b'\t') => {
                // The line goes on. `multipart` joins the two without the space between.
                self.held.truncate(self.held.trim_ascii_end().len());
                self.at = At::Fold;
            }
            At::ValueEnd { .. } => {
                self.judge()?;
                self.begin();
                return self.byte(byte);
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.held.clear();
        self.at = At::Name;
    }

    fn judge(&self) -> Result<(), &'static str> {
        names(&self.held).try_for_each(|name| self.judge.field(&name, None))
    }
}

impl Inspect for Multipart {
    fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        loop {
            if matches!(self.at, At::Other) {
                let end = memchr::memchr2(b'\r', b'\n', bytes);
                bytes = end.and_then(|end| bytes.get(end..)).unwrap_or_default();
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
            self.byte(*byte)?;
            bytes = rest;
        }
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        match self.at {
            At::Name | At::Other => Ok(()),
            At::Value | At::ValueEnd { .. } | At::Fold => self.judge(),
        }
    }
}

/// What Python's `\s` and `strip` take for space, in Latin-1.
fn is_space(byte: u8) -> bool {
    matches!(byte, 9..=13 | 0x1C..=0x20 | 0x85 | 0xA0)
}

/// Everything that any reader could take for the name of the field. The `name` in `filename` counts as well.
fn names(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lower = value.to_ascii_lowercase();
    let ends: Vec<usize> = memchr::memmem::find_iter(&lower, b"name").map(|at| at + b"name".len()).collect();
    ends.into_iter().flat_map(|end| {
        let rest = trim_start(value.get(end..).unwrap_or_default());
        rest.strip_prefix(b"=").map(|rest| readings(trim_start(rest))).unwrap_or_default()
    })
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// The value of a parameter, as each reader reads it.
fn readings(rest: &[u8]) -> Vec<Vec<u8>> {
    // cgi: to the first `;` outside quotes, and without the quotes around all of it.
    let whole = rest.get(..parameter_end(rest)).unwrap_or(rest);
    let end = whole.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    let whole = whole.get(..end).unwrap_or(whole);
    let inner = whole.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(whole);
    let mut readings = vec![inner.to_vec(), unescape(inner)];
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        // multipart: to the first quote that is not escaped, or if there is none, to the first.
        let to = |end: Option<usize>| quoted.get(..end.unwrap_or(quoted.len())).unwrap_or(quoted);
        let text = to(unescaped_quote(quoted));
        // What looks like a path of Windows is cut down to what stands behind the last backslash.
        let last = text.rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
        let first = to(memchr::memchr(b'"', quoted));
        readings.extend([text.to_vec(), unescape(text), last.to_vec(), first.to_vec()]);
    } else {
        const SPECIAL: &[u8] = b"()<>@,;:\"\\/[]?={} \t";
        let end = rest.iter().position(|byte| SPECIAL.contains(byte)).unwrap_or(rest.len());
        readings.push(rest.get(..end).unwrap_or(rest).to_vec());
    }
    readings
}

/// Where `cgi` ends a parameter: at a `;` before which quotes are closed, counting those that are not escaped.
fn parameter_end(rest: &[u8]) -> usize {
    let mut is_open = false;
    let mut before = 0;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'"' if before != b'\\' => is_open = !is_open,
            b';' if !is_open => return at,
            _ => {}
        }
        before = *byte;
    }
    rest.len()
}

fn unescaped_quote(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })
}

/// As both do: `\\` is one backslash, and then `\"` one quote.
fn unescape(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.replace("\\\\", "\\").replace("\\\"", "\"").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readers_reading_is_among_them() {
        for (value, name) in [
            (&b" form-data; name=\"a\""[..], "a"),
            (b"form-data; name=a", "a"),
            (b"form-data;NAME = \"a\" ; filename=\"b\"", "a"),
            (b"form-data; filename=\"b\"; name=\"a\"", "a"),
            (b"form-data; name=\"a;b\"", "a;b"),
            (b"form-data; name=\"a\\\"b\"", "a\"b"),
            (b"form-data; name=\"a\"b\"", "a\"b"),
            (b"form-data; name=\"a\"b\"; x=\"y\"", "a\"b\"; x=\"y"),
            (b"form-data; name=a b", "a"),
            (b"form-data; name=\xa0\"a\"", "a"),
            (b"form-data; name=\"a\"\x0b; x", "a"),
            (b"form-data; name=\"a\\\\\"b\"", "a\\"),
            (b"form-data; name=\"\\\\host\\a\"", "a"),
            (b"form-data; name=\"C:\\a\"", "a"),
            (b"form-data; name=\"never closed", "never closed"),
        ] {
            let found: Vec<_> =
                names(value).map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
            assert!(found.iter().any(|found| found == name), "{name} in {found:?}");
        }
    }
}
