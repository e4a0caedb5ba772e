//! What a posted form must not say.
//!
//! Zope lets the *body* of a request choose what answers it and who asks, whatever the path ([`super::field`]). So the names
//! of the fields are read as the body passes. Nothing is held back: a body has its length promised, the backend acts only
//! when it has all of it, and a refused one never ends.

use std::net::IpAddr;
use std::sync::Arc;

use encoding_rs::Encoding;
use http::header::CONTENT_TYPE;

use super::Site;
use super::decide::fields;
use super::field::{Effect, effect};
use super::multipart::Multipart;
use super::policy::Access;
use crate::forward::{Fault, Inspect};
use crate::visit::Visit;

/// The inspection a body of this kind needs, if any.
///
/// # Errors
/// [`Fault::BodyRefused`] for a form in a charset in which the names of its fields cannot be read as they stand.
pub(super) fn inspection(visit: &Visit<'_>) -> Result<Option<Box<dyn Inspect>>, Fault> {
    let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let kind = kind.trim_ascii().to_ascii_lowercase();
    let is = |prefix: &[u8]| kind.starts_with(prefix);
    if is(b"application/json") || is(b"text/xml") || is(b"application/xml") || is(b"application/octet-stream")
    {
        return Ok(None);
    }
    let judge = Judge {
        site: Arc::clone(visit.site),
        path: percent_encoding::percent_decode_str(visit.path).collect(),
        client: visit.client.ip(),
        most: if visit.session.is_some() { Access::SignedIn } else { Access::Public },
    };
    let is_form =
        kind.is_empty() || memchr::memmem::find(&kind, b"form").is_some() || is(b"application/x-url");
    if is_form && !is_read_as_it_stands(&kind) {
        return Err(Fault::BodyRefused("its charset hides what it says"));
    }
    // A body of any other type is read as a form as well, as far as it is one: some reader may.
    Ok(Some(if is(b"multipart/") {
        Box::new(Multipart::new(judge))
    } else {
        Box::new(Urlencoded { judge, is_form, field: Vec::new(), cut: None })
    }))
}

/// Whether every charset that a type names has ASCII where ASCII has it. Zope reads the names of fields in it.
fn is_read_as_it_stands(kind: &[u8]) -> bool {
    memchr::memmem::find_iter(kind, b"charset").all(|at| {
        let rest = kind.get(at + b"charset".len()..).unwrap_or_default().trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else { return true };
        let label = rest.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let label = label.strip_prefix(b"\"").and_then(|label| label.strip_suffix(b"\"")).unwrap_or(label);
        Encoding::for_label(label).is_some_and(Encoding::is_ascii_compatible)
    })
}

/// Judges a field by what it would make of the request it is in.
pub(super) struct Judge {
    site: Arc<Site>,
    path: Vec<u8>,
    client: IpAddr,
    /// The most that a page may ask for.
    most: Access,
}

impl Judge {
    /// `value` is `None` where it cannot be seen.
    pub(super) fn field(&self, name: &[u8], value: Option<&[u8]>) -> Result<(), &'static str> {
        match effect(&self.site, &self.path, self.client, name, value) {
            Effect::None => Ok(()),
            Effect::Page(access) if access <= self.most => Ok(()),
            Effect::Page(_) => Err("it reaches a page that is not allowed"),
            Effect::SignsIn => Err("it signs in past the gate"),
            Effect::TakenOver(_) => Err("it reaches a form that the gate takes over"),
            Effect::Unclear => Err("it does not say clearly which page it reaches"),
        }
    }
}

/// `a=b&c=d`, in pieces of any size.
struct Urlencoded {
    judge: Judge,
    /// Whether it is a form by its type, and not only by somebody's reading.
    is_form: bool,
    /// The current field, up to [`HELD`] bytes.
    field: Vec<u8>,
    /// The end of its name, once the name is longer than that.
    cut: Option<Cut>,
}

#[derive(Default)]
struct Cut {
    end: Vec<u8>,
    is_whole: bool,
}

/// How much of a field is held, in bytes. A name can be three times as long percent-encoded, and no honest one is longer
/// than some hundred bytes.
const HELD: usize = 2048;

impl Urlencoded {
    fn push(&mut self, piece: &[u8]) {
        let room = HELD.saturating_sub(self.field.len());
        let (held, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.field.extend_from_slice(held);
        if rest.is_empty() {
            return;
        }
        let cut = self.cut.get_or_insert_default();
        if cut.is_whole || memchr::memchr(b'=', &self.field).is_some() {
            return;
        }
        let end = memchr::memchr(b'=', rest);
        cut.is_whole = end.is_some();
        let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        cut.end.extend_from_slice(name.get(name.len().saturating_sub(HELD)..).unwrap_or(name));
        cut.end.drain(..cut.end.len().saturating_sub(HELD));
    }

    fn end_field(&mut self) -> Result<(), &'static str> {
        let cut = self.cut.take();
        let judged = match cut.filter(|_| self.is_form) {
            // A long name with a type at its end: what it names is somewhere in the middle.
            Some(cut) if has_type(&cut.end) => Err("it does not say clearly what it means"),
            Some(_) => fields(&self.field).try_for_each(|(name, _)| self.judge.field(&name, None)),
            None => fields(&self.field).try_for_each(|(name, value)| self.judge.field(&name, Some(&value))),
        };
        self.field.clear();
        judged
    }
}

/// Whether the name of a field, or its end, ends in a type such as `:int`.
fn has_type(name: &[u8]) -> bool {
    fields(name).any(|(name, _)| {
        let name = name.trim_ascii_end();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'\n');
        let start = name.iter().rposition(|byte| !word(byte));
        start.is_some_and(|at| name.get(at) == Some(&b':') && at + 1 < name.len())
    })
}

impl Inspect for Urlencoded {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut pieces = bytes.split(|byte| matches!(byte, b'&' | b';')).peekable();
        while let Some(piece) = pieces.next() {
            self.push(piece);
            if pieces.peek().is_some() {
                self.end_field()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.end_field()
    }
}
