//! What a posted form must not say.
//!
//! Zope lets the *body* of a request choose what answers it (`mail_password:method=…`) and who asks
//! (`__ac_name=…&__ac_password=…`), whatever the path. So the names of the fields are read as the body passes.
//! Nothing is held back: a body has its length promised, the backend acts only when it has all of it, and a refused one
//! never ends. What cannot be read as the backend would read it, a name without end or a charset of its own, is refused.

use std::cell::Cell;
use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use memchr::memmem::{self, Finder};

use super::decide::field;
use super::members::{Members, Sources};
use super::policy::{Access, From};
use super::{MOST_REDISPATCHES, Site, disposition, field_name, redispatched};
use crate::forward::{Fault, Inspect};
use crate::visit::Visit;

/// The most bytes of a field of a form that are looked at; a name is far shorter.
const LONGEST_FIELD: usize = 2048;

/// How often a field may be read: in two ways, or as several readers of parts do.
const READINGS: usize = 4;

/// How often the word `name` may stand in the head of a part, each a place where a name may begin. It stands there two or three times.
const MOST_NAMES: usize = 64;

/// The longest head of a part of a multipart body, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// The inspection that the body of this request needs, if any.
///
/// # Errors
/// [`Fault::BodyRefused`] for a kind of body that is refused unread.
pub(super) fn inspection(visit: &Visit<'_>) -> Result<Option<Box<dyn Inspect>>, Fault> {
    let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let judge = || {
        let most = if visit.session.is_some() { Access::SignedIn } else { Access::Public };
        let asked = Asked::of(visit, most);
        Box::new(move |name: &[u8], value: Option<&[u8]>| asked.judge(name, value))
    };
    let reading = Reading::of(kind).map_err(Fault::BodyRefused)?;
    let is_coded = visit
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let members = visit.site.cms.dialogue().credentials().members();
    let is_read = reading != Reading::Other || !members.is_empty() && is_json(kind);
    if is_coded && is_read {
        // Zope takes it as it stands; a server before it may unpack it.
        return Err(Fault::BodyRefused("what would be read is compressed"));
    }
    let form: Option<Box<dyn Inspect>> = match reading {
        Reading::Other => None,
        Reading::Form => Some(Box::new(Urlencoded::new(judge()))),
        Reading::Multipart(boundary) => Some(Box::new(Multipart::new(judge(), &boundary))),
    };
    if members.is_empty() {
        return Ok(form);
    }
    let members = Members::new(members, form);
    Ok(Some(match sources(visit) {
        Some(sources) => Box::new(members.with(sources)),
        None => Box::new(members),
    }))
}

/// What a body of JSON may name as what is to be copied or moved, with all that is below it.
fn sources(visit: &Visit<'_>) -> Option<Sources> {
    let names = visit.site.cms.dialogue().paths().sources();
    if names.is_empty() {
        return None;
    }
    let (site, from) = (Arc::clone(visit.site), visit.from());
    let most = if visit.session.is_some() { Access::SignedIn } else { Access::Public };
    let may = move |path: &[u8]| {
        let prefix = site.public.path().as_bytes();
        let below = path.strip_prefix(prefix).filter(|rest| rest.first().is_none_or(|byte| *byte == b'/'));
        let path = below.map_or(path, |below| if below.is_empty() { b"/" } else { below });
        site.access.access(path, from).max(site.access.access_below(path, from)) <= most
    };
    Some(Sources { names: names.to_vec(), may: Box::new(may) })
}

fn is_json(kind: &[u8]) -> bool {
    memmem::find(&kind.to_ascii_lowercase(), b"json").is_some()
}

/// The inspection of a form that is to be kept until its sender has signed in: what would be refused then, and what holds a
/// password.
///
/// # Errors
/// As [`inspection`].
pub(super) fn holding(visit: &Visit<'_>) -> Result<Box<dyn Inspect>, Fault> {
    let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let asked = Asked::of(visit, Access::SignedIn);
    let judge = Box::new(move |name: &[u8], value: Option<&[u8]>| {
        let lower = name.to_ascii_lowercase();
        if [&b"passw"[..], b"pwd"].iter().any(|word| memmem::find(&lower, word).is_some()) {
            return Err("it holds a password");
        }
        asked.judge(name, value)
    });
    Ok(match Reading::of(kind).map_err(Fault::BodyRefused)? {
        Reading::Multipart(boundary) => Box::new(Multipart::new(judge, &boundary)),
        Reading::Form => Box::new(Urlencoded::new(judge)),
        // `name=value`, a line each.
        Reading::Other => Box::new(Urlencoded::separated(judge, [b"\r\n", b"\n"])),
    })
}

/// How a backend reads a body, by its `Content-Type`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// `a=b&c=d`.
    Form,
    /// Parts, with what stands between them.
    Multipart(Vec<u8>),
    /// As no form.
    Other,
}

impl Reading {
    pub(super) fn of(kind: &[u8]) -> Result<Self, &'static str> {
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let essence = essence.to_ascii_lowercase();
        // Zope reads a body without a type as a form, and one of two misspelt types.
        let has = |word: &[u8]| memmem::find(&essence, word).is_some();
        if essence.is_empty() || has(b"urlencoded") || has(b"url-encoded") {
            let plain = parameters(kind, b"charset")
                .all(|charset| charset.is_some_and(|charset| is_plain_charset(charset.text)));
            return if plain { Ok(Self::Form) } else { Err("it is written in a charset of its own") };
        }
        if has(b"multipart") {
            // Browsers like the word in the boundary itself.
            let mut boundaries = parameters(kind, b"boundary").flatten();
            return match (boundaries.next(), boundaries.next()) {
                (Some(boundary), None) if is_boundary(&boundary) => {
                    Ok(Self::Multipart(boundary.text.to_vec()))
                }
                _ => Err("its parts have no boundary, or more than one"),
            };
        }
        Ok(Self::Other)
    }
}

/// The value of a parameter.
struct Parameter<'a> {
    text: &'a [u8],
    is_quoted: bool,
}

/// The value of every `name=value` and `name="value"` in a field value, wherever it stands; `None` where it cannot be read.
fn parameters<'a>(text: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = Option<Parameter<'a>>> {
    (0..text.len())
        .filter(|at| text.get(*at..at + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)))
        .map(move |at| parameter(text.get(at + name.len()..).unwrap_or_default()))
}

/// The value in `="value"` or `=value`.
fn parameter(rest: &[u8]) -> Option<Parameter<'_>> {
    let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quoted = value.strip_prefix(b"\"");
    let (value, ends): (_, &[u8]) = quoted.map_or((value, b";\r\n"), |value| (value, b"\"\r\n"));
    let text = value.split(|byte| ends.contains(byte)).next()?;
    Some(Parameter { text, is_quoted: quoted.is_some() })
}

/// Whether letters, digits and `_` are written in it as in ASCII, each in one byte, and no other way. Python, which decodes
/// the names of fields in old CMSs, knows charsets in which they are not: UTF-7, UTF-16, EBCDIC.
fn is_plain_charset(label: &[u8]) -> bool {
    Encoding::for_label(label).is_some_and(|encoding| encoding == UTF_8 || encoding.is_single_byte())
}

/// RFC 2046, section 5.1.1, without the characters that parsers treat in different ways. `=`, which Python's mail package
/// likes, has one reading inside quotes alone.
fn is_boundary(Parameter { text, is_quoted }: &Parameter<'_>) -> bool {
    (1..=70).contains(&text.len())
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || b"'+_-.".contains(byte) || *is_quoted && *byte == b'='
        })
}

/// Judges a field by its name and, where that was read, its value.
pub(super) type Judge = Box<dyn Fn(&[u8], Option<&[u8]>) -> Result<(), &'static str> + Send>;

/// What was asked for, and what a field may make of it.
struct Asked {
    site: Arc<Site>,
    path: Vec<u8>,
    from: From,
    /// The most that a page may ask for.
    most: Access,
    /// How many fields have named a page. Each is judged by the rules, which takes its time.
    redispatches: Cell<usize>,
}

impl Asked {
    fn of(visit: &Visit<'_>, most: Access) -> Self {
        Self {
            site: Arc::clone(visit.site),
            path: percent_encoding::percent_decode_str(visit.path).collect(),
            from: visit.from(),
            most,
            redispatches: Cell::new(0),
        }
    }

    fn judge(&self, name: &[u8], value: Option<&[u8]>) -> Result<(), &'static str> {
        let dialogue = self.site.cms.dialogue();
        let (name, known) = (field_name(name), String::from_utf8_lossy(value.unwrap_or_default()));
        if dialogue.is_credential_field(&name) {
            return Err("it signs in past the gate");
        }
        if value.is_none() && dialogue.redispatched(&name, "") == Some("") {
            return Err("it names the page that answers where that cannot be read");
        }
        if dialogue.redispatched(&name, &known).is_some() {
            self.redispatches.set(self.redispatches.get() + 1);
            if self.redispatches.get() > MOST_REDISPATCHES * READINGS {
                return Err("it names more pages than any form does");
            }
        }
        match redispatched(&self.site, &self.path, &name, &known, self.from) {
            Some(target) if target.taken_over.is_some() => Err("it reaches a form that the gate takes over"),
            Some(target) if target.access > self.most => Err("it reaches a page that is not allowed"),
            _ => Ok(()),
        }
    }
}

/// `a=b&c=d`, in pieces of any size. To old Zopes `;` separates as well, to new ones it does not: it is read both ways.
pub(super) struct Urlencoded {
    judge: Judge,
    ways: [Passing; 2],
}

/// The field that is passing.
struct Passing {
    separators: &'static [u8],
    /// Its beginning.
    field: Vec<u8>,
    /// Whether that is not all of it.
    is_cut: bool,
}

impl Urlencoded {
    pub(super) fn new(judge: Judge) -> Self {
        Self::separated(judge, [b"&;", b"&"])
    }

    fn separated(judge: Judge, separators: [&'static [u8]; 2]) -> Self {
        let way = |separators| Passing { separators, field: Vec::new(), is_cut: false };
        Self { judge, ways: separators.map(way) }
    }
}

impl Passing {
    fn end_field(&mut self, judge: &Judge) -> Result<(), &'static str> {
        if self.field.is_empty() {
            return Ok(());
        }
        let judged = if self.is_cut && !self.field.contains(&b'=') {
            Err("a field's name has no end")
        } else {
            let (name, value) = field(&self.field);
            judge(&name, (!self.is_cut).then_some(&value))
        };
        self.field.clear();
        self.is_cut = false;
        judged
    }
}

impl Inspect for Urlencoded {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for way in &mut self.ways {
            let mut pieces = bytes.split(|byte| way.separators.contains(byte)).peekable();
            while let Some(piece) = pieces.next() {
                let room = LONGEST_FIELD.saturating_sub(way.field.len());
                way.is_cut |= piece.len() > room;
                way.field.extend_from_slice(piece.get(..room).unwrap_or(piece));
                if pieces.peek().is_some() {
                    way.end_field(&self.judge)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.ways.iter_mut().try_for_each(|way| way.end_field(&self.judge))
    }
}

/// `Content-Disposition: form-data; name="…"`, in pieces of any size. A part's head begins behind the boundary, wherever that
/// stands, and ends with an empty line; every `name=` in it is looked at, see [`disposition`]. Contents are passed over, and looked at where they
/// are; only what may be the beginning of a boundary is kept for the next piece.
pub(super) struct Multipart {
    judge: Judge,
    boundary: Finder<'static>,
    /// What has been seen of a head, or of a boundary.
    kept: Vec<u8>,
    in_head: bool,
}

impl Multipart {
    pub(super) fn new(judge: Judge, boundary: &[u8]) -> Self {
        let boundary = Finder::new(&[b"--", boundary].concat()).into_owned();
        Self { judge, boundary, kept: Vec::new(), in_head: false }
    }

    /// Passes contents over; gives what stands behind the next boundary.
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let length = self.boundary.needle().len();
        // One that lies across the seam of two pieces is found in the last bytes of one with the first of the other.
        let seam = self.kept.len();
        self.kept.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
        if let Some(at) = self.boundary.find(&self.kept) {
            self.kept.clear();
            return bytes.get((at + length).saturating_sub(seam)..);
        }
        if let Some(at) = self.boundary.find(bytes) {
            self.kept.clear();
            return bytes.get(at + length..);
        }
        if bytes.len() > length {
            self.kept.clear();
            self.kept.extend_from_slice(bytes.get(bytes.len() - length..).unwrap_or_default());
        }
        let surplus = self.kept.len().saturating_sub(length - 1);
        self.kept.drain(..surplus);
        None
    }

    /// Gathers a head; gives what stands behind it once it has ended.
    fn gather<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<&'b [u8]>, &'static str> {
        let seam = self.kept.len();
        self.kept.extend_from_slice(bytes.get(..=LONGEST_HEAD).unwrap_or(bytes));
        let end = memchr::memchr_iter(b'\n', &self.kept).find_map(|at| {
            let rest = self.kept.get(at + 1..)?;
            let blank = if rest.starts_with(b"\r\n") { 2 } else { 1 };
            (blank == 2 || rest.starts_with(b"\n")).then_some(at + 1 + blank)
        });
        match end {
            Some(end) => {
                self.kept.truncate(end);
                self.judge_head()?;
                Ok(bytes.get(end.saturating_sub(seam)..))
            }
            None if self.kept.len() > LONGEST_HEAD => Err("the head of a part has no end"),
            None => Ok(None),
        }
    }

    /// Judges every name in the head that was kept.
    fn judge_head(&mut self) -> Result<(), &'static str> {
        let head = std::mem::take(&mut self.kept);
        if has_lone_line_end(&head) {
            return Err("the head of a part ends where some readers go on");
        }
        if memmem::find_iter(&head.to_ascii_lowercase(), b"name").count() > MOST_NAMES {
            return Err("the head of a part has more names than any has");
        }
        disposition::names(&head).try_for_each(|name| (self.judge)(&name, None))
    }
}

/// Whether a line ends in anything but CR LF: to some readers of parts it does not end there (multipart 1.x), to others it does (cgi).
fn has_lone_line_end(head: &[u8]) -> bool {
    let lone_feed = memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'));
    let lone_return =
        memchr::memchr_iter(b'\r', head).any(|at| head.get(at + 1).is_some_and(|next| *next != b'\n'));
    lone_feed || lone_return
}

impl Inspect for Multipart {
    fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        loop {
            let rest = if self.in_head { self.gather(bytes)? } else { self.pass(bytes) };
            let Some(rest) = rest else { return Ok(()) };
            self.in_head = !self.in_head;
            bytes = rest;
        }
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        if self.in_head { self.judge_head() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

    /// A judge that notes every field and minds none.
    fn noting(seen: &Seen) -> Judge {
        let seen = Arc::clone(seen);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Box::new(move |name, value| {
            seen.lock().unwrap().push((text(name), value.map(text)));
            Ok(())
        })
    }

    fn run(mut inspect: impl Inspect, pieces: &[&[u8]]) -> Result<(), &'static str> {
        pieces.iter().try_for_each(|piece| inspect.inspect(piece))?;
        inspect.finish()
    }

    fn names(multipart: &[&[u8]]) -> Result<Vec<String>, &'static str> {
        let seen = Seen::default();
        run(Multipart::new(noting(&seen), b"b.1"), multipart)?;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        Ok(seen.into_iter().map(|(name, _)| name).collect())
    }

    fn values(form: &[&[u8]]) -> Result<Vec<(String, Option<String>)>, &'static str> {
        let seen = Seen::default();
        run(Urlencoded::new(noting(&seen)), form)?;
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.sort();
        seen.dedup();
        Ok(seen)
    }

    #[test]
    fn a_type_says_how_a_body_is_read_or_it_is_refused() {
        let multipart = |boundary: &str| Ok(Reading::Multipart(boundary.as_bytes().to_vec()));
        for (kind, reading) in [
            ("", Ok(Reading::Form)),
            ("application/x-www-form-urlencoded", Ok(Reading::Form)),
            ("Application/X-WWW-Form-URLencoded; charset=UTF-8", Ok(Reading::Form)),
            ("application/x-url-encoded;charset=\"iso-8859-15\"", Ok(Reading::Form)),
            ("application/json, application/x-www-form-urlencoded", Ok(Reading::Form)),
            (
                "multipart/form-data; boundary=----WebKitFormBoundary7MA4",
                multipart("----WebKitFormBoundary7MA4"),
            ),
            ("multipart/form-data; boundary=\"b\"; charset=utf-8", multipart("b")),
            (
                "multipart/form-data; boundary=\"===============58==\"; charset=utf-8",
                multipart("===============58=="),
            ),
            ("application/json", Ok(Reading::Other)),
            ("text/plain;charset=UTF-16", Ok(Reading::Other)),
            ("image/png", Ok(Reading::Other)),
        ] {
            assert_eq!(Reading::of(kind.as_bytes()), reading, "{kind}");
        }
        for kind in [
            "application/x-www-form-urlencoded; charset=utf-7",
            "application/x-www-form-urlencoded; charset=UTF-16LE",
            "application/x-www-form-urlencoded; charset=cp037",
            "application/x-www-form-urlencoded; charset=utf-8; charset=cp037",
            "application/x-www-form-urlencoded; charset",
            "application/x-www-form-urlencoded; charset=shift_jis",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a=b",
            "multipart/form-data; boundary=\"a\\b\"",
            "multipart/form-data; boundary=\"boundary=b\"",
            "multipart/form-data; boundary=\"a=b\"; boundary=c",
        ] {
            assert!(Reading::of(kind.as_bytes()).is_err(), "{kind}");
        }
    }

    #[test]
    fn every_name_in_the_head_of_a_part_is_seen_and_no_content_is() {
        let body = b"--b.1\r\nContent-Disposition: form-data; name=\"one\"\r\n\r\n<input name=\"no\">\n\nname=no\r\n\
            --b.1\r\nContent-Type: text/html; NAME=two\r\nContent-Disposition: form-data;\r\n name = three\r\n\r\n\
            --b.x\r\nname=no\r\n--b.1\r\nContent-Disposition: form-data; name=four; filename=\"a\"\r\n\r\nx--b.1\r\nname=five";
        let expected = ["one", "two", "three", "four", "a", "five"];
        assert_eq!(names(&[body]).unwrap(), expected);
        for at in 0..body.len() {
            assert_eq!(names(&[&body[..at], &body[at..]]).unwrap(), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(names(&bytes).unwrap(), expected, "byte by byte");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let long = "x".repeat(LONGEST_HEAD + 1);
        let head = format!("--b.1\r\nContent-Disposition: form-data; name=\"{long}:method\"\r\n\r\n");
        assert!(names(&[head.as_bytes()]).is_err());
        assert!(names(&[head.as_bytes().first_chunk::<99>().unwrap(), head.as_bytes()]).is_err());
        assert!(values(&[format!("{long}:method=1").as_bytes()]).is_err());
        let cut = values(&[format!("a={long}&b=1").as_bytes()]).unwrap();
        assert_eq!(cut, [("a".to_owned(), None), ("b".to_owned(), Some("1".to_owned()))]);
    }

    #[test]
    fn a_semicolon_separates_and_does_not() {
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(
            values(&[b":method=a;/../b&c=d"]).unwrap(),
            [pair("/../b", ""), pair(":method", "a"), pair(":method", "a;/../b"), pair("c", "d")]
        );
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(fields in "([a-c%4:=;&]{0,9}&){0,9}", cuts in proptest::collection::vec(0..90usize, 0..5)) {
            let whole = values(&[fields.as_bytes()]).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(fields.len())).collect();
            cuts.extend([0, fields.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &fields.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(values(&pieces).unwrap(), whole);
        }
    }
}
