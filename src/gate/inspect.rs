//! What a posted form must not say.
//!
//! Zope lets the *body* of a request choose what answers it (`mail_password:method=…`) and who asks
//! (`__ac_name=…&__ac_password=…`), whatever the path. So the names of the fields are read as the body passes. Nothing is
//! held back: a body has its length promised, the backend acts only when it has all of it, and a refused one never ends.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use aho_corasick::AhoCorasick;
use http::header::CONTENT_TYPE;

use super::decide::fields;
use super::policy::Access;
use super::{Site, redispatched_access};
use crate::forward::Inspect;
use crate::visit::Visit;

/// A name longer than this is no name of a form; the rest of it is passed over.
const LONGEST_NAME: usize = 512;

/// The inspection a body of this kind needs, if any.
pub(super) fn inspection(visit: &Visit<'_>) -> Option<Box<dyn Inspect>> {
    let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let is = |prefix: &[u8]| kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let judge = Judge {
        site: Arc::clone(visit.site),
        path: percent_encoding::percent_decode_str(visit.path).collect(),
        client: visit.client.ip(),
        most: if visit.session.is_some() { Access::SignedIn } else { Access::Public },
    };
    if is(b"multipart/") {
        Some(Box::new(Multipart { judge, tail: Vec::new() }))
    } else if is(b"application/json")
        || is(b"text/xml")
        || is(b"application/xml")
        || is(b"application/octet-stream")
    {
        None
    } else {
        // Zope reads a body of any other type, and of none, as a form.
        Some(Box::new(Urlencoded { judge, field: Vec::new() }))
    }
}

/// Judges a field by what it would make of the request it is in.
struct Judge {
    site: Arc<Site>,
    path: Vec<u8>,
    client: IpAddr,
    /// The most that a page may ask for.
    most: Access,
}

impl Judge {
    fn field(&self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let dialogue = self.site.cms.dialogue();
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if dialogue.is_credential_field(&name) {
            return Err("it signs in past the gate");
        }
        if dialogue.redispatch(&name, &value).is_some() {
            return Err("it reaches a form that the gate takes over");
        }
        let target = dialogue.redispatched(&name, &value);
        if target.is_some_and(|target| {
            redispatched_access(&self.site, &self.path, target, self.client) > self.most
        }) {
            return Err("it reaches a page that is not allowed");
        }
        Ok(())
    }
}

/// `a=b&c=d`, in pieces of any size.
struct Urlencoded {
    judge: Judge,
    field: Vec<u8>,
}

impl Urlencoded {
    fn end_field(&mut self) -> Result<(), &'static str> {
        let judged = fields(&self.field).try_for_each(|(name, value)| self.judge.field(&name, &value));
        self.field.clear();
        judged
    }
}

impl Inspect for Urlencoded {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut pieces = bytes.split(|byte| matches!(byte, b'&' | b';')).peekable();
        while let Some(piece) = pieces.next() {
            // Percent-encoding makes a name up to three times as long.
            let room = (4 * LONGEST_NAME).saturating_sub(self.field.len());
            self.field.extend_from_slice(piece.get(..room).unwrap_or(piece));
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

/// `Content-Disposition: form-data; name="…"`, in pieces of any size. Every `name=` is looked at, wherever it stands: a body
/// that only some reader takes for a multipart one is judged as that reader would. The pieces are looked at where they are;
/// only their last bytes are kept, for what may go on in the next.
struct Multipart {
    judge: Judge,
    tail: Vec<u8>,
}

/// How much behind a `name` is looked at.
const REACH: usize = 2 * LONGEST_NAME;

static NAME: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(["name"]).ok());

impl Multipart {
    /// Judges every name that begins before `end` in `bytes`.
    fn judge(&self, bytes: &[u8], end: usize) -> Result<(), &'static str> {
        let names = NAME
            .as_ref()
            .into_iter()
            .flat_map(|name| name.find_iter(bytes))
            .take_while(|found| found.start() < end);
        for found in names {
            let rest = bytes.get(found.end()..).unwrap_or_default();
            if let Some(name) = parameter(rest) {
                self.judge.field(name, first_value(rest))?;
            }
        }
        Ok(())
    }
}

impl Inspect for Multipart {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let end = bytes.len().saturating_sub(REACH);
        let (head, last) =
            (bytes.get(..REACH.min(bytes.len())).unwrap_or(bytes), bytes.get(end..).unwrap_or(bytes));
        self.tail.extend_from_slice(head);
        let judged = self.tail.len().saturating_sub(REACH);
        self.judge(&self.tail, judged)?;
        self.tail.drain(..judged);
        if end > 0 {
            self.judge(bytes, end)?;
            self.tail.clear();
            self.tail.extend_from_slice(last);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.judge(&self.tail, self.tail.len())
    }
}

/// The value in `="value"` or `=value`.
fn parameter(rest: &[u8]) -> Option<&[u8]> {
    let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (value, ends): (_, &[u8]) =
        value.strip_prefix(b"\"").map_or((value, b";\r\n"), |value| (value, b"\"\r\n"));
    value.split(|byte| ends.contains(byte)).next()
}

/// The first line of what stands behind the head that `rest` is in.
fn first_value(rest: &[u8]) -> &[u8] {
    let blank = memchr::memmem::find(rest, b"\r\n\r\n")
        .map(|at| at + 4)
        .or_else(|| memchr::memmem::find(rest, b"\n\n").map(|at| at + 2));
    let value = blank.and_then(|at| rest.get(at..)).unwrap_or_default();
    value.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}
