//! Links in HTML whose path begins with the backend's own prefix, `/Plone/docs` → `/docs`: for backends that cannot be
//! told their public address ([`super::Mode::Full`]), and for what people typed where they can. Mostly behind [`super::lazy`].
//!
//! A path is a link only in certain attributes; in a form's value, an option, a text area or a script the same bytes are data,
//! which the backend needs back as they are. So it must be known what is a tag. This reads a page as the tokeniser of HTML does
//! (section 13.2.5), as far as that decides where tags begin and end, and looks into those only that hold the prefix ([`super::links`]).
//! Changed are the bytes of a value and no others, in place and in its own quotes: hostile markup gains nothing. That all of it agrees
//! with a whole tokeniser is a property test. Absolute addresses need no context and are left to [`Stream`], which runs behind this.

use super::links::{Way, edits, is_import_map, tag_name};
use super::markup::{
    InTag, begins, cdata_end, comment_end, declaration_end, find, is_foreign, near, plain_name, tag_end,
};
use super::stream::Stream;
use bytes::Bytes;
use memchr::memmem::{self, Finder};
use std::mem;

/// The most bytes of a tag. A page with a longer one goes on as it is.
const LONGEST_TAG: usize = 1 << 20;

/// One page on its way.
pub(super) struct Links {
    way: Way,
    /// The first segment of the internal prefix, if there is one; else any path may have to be mapped.
    needle: Option<Finder<'static>>,
    /// A tag, or what may be the start of something, until it is all there.
    held: Vec<u8>,
    place: Place,
    /// Whether all of it stands in a conditional comment.
    in_comment: bool,
    /// How deep in SVG and MathML, where an element may be closed by its own tag.
    foreign: usize,
    /// In a style sheet or an import map: its own way.
    inner: Option<Stream>,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    /// A tag that begins at the start of what is held, looked at up to its end.
    Tag(InTag),
    /// `<!-- … -->`
    Comment,
    /// `<!--[if IE]> … <![endif]-->`, held from its start: a page for some browsers.
    Conditional,
    /// `<![CDATA[ … ]]>`
    Cdata,
    /// `<! … >`, `<? … >`
    Declaration,
    /// The text of an element that has no markup in it.
    Raw(Raw),
    /// Text up to the end.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw {
    element: &'static [u8],
    escaped: Escaped,
}

/// Scripts may hide in a comment, and scripts in that again (HTML, section 13.2.5.20 and the following).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escaped {
    No,
    Once,
    Twice,
}

/// Elements without markup in them, but for `plaintext` and, since scripting may be off, `noscript`.
const RAW: [&[u8]; 8] =
    [b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes"];

/// No element with a shorter name has a meaning of its own here.
const SHORTEST_OF_MEANING: usize = 3;

/// What a piece of text becomes.
struct Pass<'t> {
    text: &'t [u8],
    written: Vec<u8>,
    /// What stands before this is in `written`, or dropped.
    literal: usize,
    /// The first place of the needle from here on, once it was looked for.
    hit: Option<usize>,
}

/// How far a step came.
enum Step {
    /// Up to here.
    At(usize),
    /// To the end; what follows this is held back.
    Hold(usize),
}

impl Links {
    /// `xml`: the page is read as XML.
    pub(super) fn new(way: Way, xml: bool) -> Self {
        let needle = way.first_segment().map(|segment| Finder::new(segment).into_owned());
        let foreign = usize::from(xml);
        Self { way, needle, held: Vec::new(), place: Place::Text, in_comment: false, foreign, inner: None }
    }

    /// Takes the next piece and gives back what is decided, in at most one piece.
    pub(super) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.held.is_empty() {
            let mut pass = Pass::new(&chunk);
            let hold = self.run(&mut pass, 0);
            self.held.extend_from_slice(chunk.get(hold..).unwrap_or_default());
            return match pass.finish(hold) {
                Ok(written) => written,
                Err(range) => chunk.slice(range),
            };
        }
        let mut text = mem::take(&mut self.held);
        let seen = text.len();
        text.extend_from_slice(&chunk);
        let mut pass = Pass::new(&text);
        let mut hold = self.run(&mut pass, seen);
        let is_held = matches!(self.place, Place::Tag(_) | Place::Conditional);
        if is_held && text.len().saturating_sub(hold) > LONGEST_TAG {
            tracing::warn!("a page goes on with its root-relative links unmapped: a tag of it is too long");
            self.place = Place::Rest;
            hold = text.len();
        }
        let out = pass
            .finish(hold)
            .unwrap_or_else(|range| Bytes::copy_from_slice(text.get(range).unwrap_or_default()));
        text.drain(..hold);
        self.held = text;
        out
    }

    /// What is held back, where that is all; in a style sheet or an import map it is not.
    pub(super) fn open(&self) -> Option<&[u8]> {
        self.inner.is_none().then_some(&self.held)
    }

    /// Ends the page.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        let held = mem::take(&mut self.held);
        match &mut self.inner {
            Some(inner) => {
                inner.push(Bytes::from(held), &mut |piece| out.extend_from_slice(&piece));
                inner.finish(&mut |piece| out.extend_from_slice(&piece));
            }
            None => out = held,
        }
        Bytes::from(out)
    }

    /// Goes through the text and gives the start of what must be held back. A tag that began before has been looked at up to `seen`.
    fn run(&mut self, pass: &mut Pass<'_>, seen: usize) -> usize {
        let text = pass.text;
        let (mut at, mut tag) = (0, 0);
        if matches!(self.place, Place::Tag(_)) {
            at = seen;
        }
        loop {
            let step = match self.place {
                Place::Text => self.text(pass, at),
                Place::Tag(state) => self.tag(pass, tag, at, state),
                Place::Comment => self.up_to(text, at, comment_end),
                Place::Conditional => self.conditional(pass, at),
                Place::Cdata => self.up_to(text, at, cdata_end),
                Place::Declaration => self.up_to(text, at, declaration_end),
                Place::Raw(raw) => {
                    tag = at;
                    let step = self.raw(text, at, raw, &mut tag);
                    let (Step::At(upto) | Step::Hold(upto)) = step;
                    // An end tag has been entered by its name.
                    let upto = if matches!(self.place, Place::Tag(_)) { tag } else { upto };
                    self.inside(pass, at, upto);
                    step
                }
                Place::Rest => Step::Hold(text.len()),
            };
            match step {
                Step::At(next) => at = next,
                Step::Hold(from) => return from,
            }
        }
    }

    /// Text with markup in it, and the tags that are all there, up to anything else.
    #[inline]
    fn text(&mut self, pass: &mut Pass<'_>, from: usize) -> Step {
        let text = pass.text;
        let mut at = from;
        while let Some(open) = find(text, at, |rest| near(b'<', rest)) {
            let rest = text.get(open..).unwrap_or_default();
            let next = |places: usize| open.saturating_add(places);
            let name = match rest {
                [_, first, ..] if first.is_ascii_alphabetic() => next(1),
                [_, b'/', first, ..] if first.is_ascii_alphabetic() => next(2),
                _ => match self.no_tag(rest) {
                    Some(places) if self.place == Place::Text => {
                        at = next(places);
                        continue;
                    }
                    Some(places) => return Step::At(next(places)),
                    None => return Step::Hold(open),
                },
            };
            // Most tags are `</a>`, which means nothing here, and many `<p>`, which has nothing in it.
            let length = plain_name(text.get(name..).unwrap_or_default());
            let close = name.saturating_add(length);
            let is_end_tag = name > next(1);
            if (is_end_tag || length < SHORTEST_OF_MEANING)
                && text.get(close) == Some(&b'>')
                && self.foreign == 0
            {
                at = close.saturating_add(1);
                continue;
            }
            match tag_end(text, close, InTag::Name) {
                Ok(end) => {
                    self.whole_tag(pass, open, end);
                    if self.place != Place::Text {
                        return Step::At(end);
                    }
                    at = end;
                }
                Err(state) => {
                    self.place = Place::Tag(state);
                    return Step::Hold(open);
                }
            }
        }
        Step::Hold(text.len())
    }

    /// What else a `<` begins: how many of these bytes to go on behind; `None` if that takes more of them to tell.
    fn no_tag(&mut self, rest: &[u8]) -> Option<usize> {
        Some(match rest {
            [_] | [_, b'/'] | [_, b'!'] | [_, b'!', b'-'] => return None,
            [_, b'/', b'>', ..] => 3,
            [_, b'!', b'-', b'-'] | [_, b'!', b'-', b'-', b'-'] => return None,
            [_, b'!', b'-', b'-', b'>', ..] => 5,
            [_, b'!', b'-', b'-', b'-', b'>', ..] => 6,
            [_, b'!', b'-', b'-', b'['] | [_, b'!', b'-', b'-', b'[', b'i' | b'I'] => return None,
            [_, b'!', b'-', b'-', b'[', b'i' | b'I', b'f' | b'F', ..] if !self.in_comment => {
                self.place = Place::Conditional;
                0
            }
            [_, b'!', b'-', b'-', ..] => {
                self.place = Place::Comment;
                4
            }
            [_, b'!', tail @ ..] if self.foreign > 0 && b"[CDATA[".starts_with(tail) && tail.len() < 7 => {
                return None;
            }
            [_, b'!', tail @ ..] if self.foreign > 0 && tail.starts_with(b"[CDATA[") => {
                self.place = Place::Cdata;
                9
            }
            [_, second @ (b'!' | b'?' | b'/'), ..] => {
                self.place = Place::Declaration;
                if *second == b'?' { 1 } else { 2 }
            }
            _ => 1,
        })
    }

    /// A conditional comment that begins at `from`, up to its end. What is in it is a page of its own.
    fn conditional(&mut self, pass: &mut Pass<'_>, from: usize) -> Step {
        let text = pass.text;
        let inside = from.saturating_add(4);
        let Ok(length) = comment_end(text.get(inside..).unwrap_or_default()) else { return Step::Hold(from) };
        let end = inside.saturating_add(length);
        self.place = Place::Text;
        if self.needle.as_ref().is_none_or(|needle| pass.mentions(needle, inside, end)) {
            let page = text.get(inside..end).unwrap_or_default();
            // Comments are not nested: what looks so could be as deep as a page is long.
            let mut links = Self { in_comment: true, ..Self::new(self.way.clone(), self.foreign > 0) };
            let mapped = [links.push(Bytes::copy_from_slice(page)), links.finish()].concat();
            let same = page.iter().zip(&mapped).take_while(|(old, new)| old == new).count();
            if same < page.len() {
                pass.replace(inside.saturating_add(same), end, mapped.get(same..).unwrap_or_default());
            }
        }
        Step::At(end)
    }

    /// A tag, up to its end.
    fn tag(&mut self, pass: &mut Pass<'_>, start: usize, from: usize, state: InTag) -> Step {
        let text = pass.text;
        match tag_end(text, from, state) {
            Ok(end) => {
                self.place = Place::Text;
                self.whole_tag(pass, start, end);
                Step::At(end)
            }
            Err(state) => {
                self.place = Place::Tag(state);
                Step::Hold(start)
            }
        }
    }

    fn whole_tag(&mut self, pass: &mut Pass<'_>, start: usize, end: usize) {
        let tag = pass.text.get(start..end).unwrap_or_default();
        if tag.starts_with(b"</") {
            if self.foreign > 0 && is_foreign(tag_name(tag)) {
                self.foreign = self.foreign.saturating_sub(1);
            }
            return;
        }
        let name = tag_name(tag);
        if self.needle.as_ref().is_none_or(|needle| pass.mentions(needle, start, end))
            || (self.way.drops_integrity(name) && memmem::find(tag, b"integrity").is_some())
        {
            for (range, new) in edits(&self.way, tag) {
                pass.replace(start.saturating_add(range.start), start.saturating_add(range.end), &new);
            }
        }
        let closes_itself = self.foreign > 0 && tag.ends_with(b"/>");
        if closes_itself || name.len() < SHORTEST_OF_MEANING {
            return;
        }
        if is_foreign(name) {
            self.foreign = self.foreign.saturating_add(usize::from(!tag.ends_with(b"/>")));
        } else if let Some(element) = RAW.iter().find(|raw| raw.eq_ignore_ascii_case(name)) {
            self.place = Place::Raw(Raw { element, escaped: Escaped::No });
            if *element == b"style" {
                self.inner = Some(Stream::new(self.way.styles().clone()));
            } else if *element == b"script" && is_import_map(tag) {
                self.inner = Some(Stream::new(self.way.strings().clone()));
            }
        } else if name.eq_ignore_ascii_case(b"plaintext") {
            self.place = Place::Rest;
        }
    }

    /// Something without tags in it, up to what ends it.
    fn up_to(&mut self, text: &[u8], from: usize, end: fn(&[u8]) -> Result<usize, usize>) -> Step {
        match end(text.get(from..).unwrap_or_default()) {
            Ok(length) => {
                self.place = Place::Text;
                Step::At(from.saturating_add(length))
            }
            Err(open) => Step::Hold(text.len().saturating_sub(open)),
        }
    }

    /// The text of an element without markup, up to its end tag.
    fn raw(&mut self, text: &[u8], from: usize, mut raw: Raw, tag: &mut usize) -> Step {
        let mut at = from;
        let hold = loop {
            let found = find(text, at, |rest| match raw.escaped {
                Escaped::No => memchr::memchr(b'<', rest),
                Escaped::Once | Escaped::Twice => memchr::memchr2(b'<', b'>', rest),
            });
            let Some(found) = found else {
                let dashes = text
                    .get(from..)
                    .unwrap_or_default()
                    .iter()
                    .rev()
                    .take(2)
                    .take_while(|byte| **byte == b'-');
                break text.len().saturating_sub(if raw.escaped == Escaped::No { 0 } else { dashes.count() });
            };
            at = found.saturating_add(1);
            let rest = text.get(at..).unwrap_or_default();
            if text.get(found) == Some(&b'>') {
                if text.get(from..found).is_some_and(|before| before.ends_with(b"--")) {
                    raw.escaped = Escaped::No;
                }
                continue;
            }
            if let Some(name) = rest.strip_prefix(b"/") {
                match begins(name, raw.element) {
                    Some(true) if raw.escaped == Escaped::Twice => raw.escaped = Escaped::Once,
                    Some(true) => {
                        (*tag, self.place) = (found, Place::Tag(InTag::Name));
                        return Step::At(at.saturating_add(1));
                    }
                    Some(false) => {}
                    None => break found,
                }
            } else if rest.is_empty() {
                break found;
            } else if raw.element == b"script" {
                match raw.escaped {
                    Escaped::No if b"!--".starts_with(rest.get(..3).unwrap_or(rest)) => {
                        if rest.len() < 3 {
                            break found;
                        }
                        raw.escaped = Escaped::Once;
                    }
                    Escaped::Once => match begins(rest, b"script") {
                        Some(true) => raw.escaped = Escaped::Twice,
                        Some(false) => {}
                        None => break found,
                    },
                    Escaped::No | Escaped::Twice => {}
                }
            }
        };
        self.place = Place::Raw(raw);
        Step::Hold(hold)
    }

    /// Passes what belongs to a style sheet or an import map on its own way.
    fn inside(&mut self, pass: &mut Pass<'_>, from: usize, upto: usize) {
        let Some(inner) = &mut self.inner else { return };
        let sheet = pass.take(from, upto);
        inner.push(Bytes::copy_from_slice(sheet), &mut |piece| pass.written.extend_from_slice(&piece));
        if matches!(self.place, Place::Tag(_)) {
            inner.finish(&mut |piece| pass.written.extend_from_slice(&piece));
            self.inner = None;
        }
    }
}

impl<'t> Pass<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, written: Vec::new(), literal: 0, hit: None }
    }

    /// Whether a tag holds the needle elsewhere than behind the host of an absolute address, which is not looked at here.
    fn mentions(&mut self, needle: &Finder<'_>, start: usize, end: usize) -> bool {
        let mut from = start;
        loop {
            let hit = match self.hit {
                Some(hit) if hit >= from => hit,
                _ => find(self.text, from, |rest| needle.find(rest)).unwrap_or(self.text.len()),
            };
            self.hit = Some(hit);
            if hit >= end {
                return false;
            }
            let before = self.text.get(start..hit).unwrap_or_default();
            if !matches!(before, [.., host, b'/'] if host.is_ascii_alphanumeric() || *host == b']') {
                return true;
            }
            from = hit.saturating_add(1);
        }
    }

    fn replace(&mut self, from: usize, upto: usize, new: &[u8]) {
        if self.written.is_empty() {
            self.written.reserve(self.text.len());
        }
        self.take(from, upto);
        self.written.extend_from_slice(new);
    }

    /// Takes a range out of what is written as it is.
    fn take(&mut self, from: usize, upto: usize) -> &'t [u8] {
        self.written.extend_from_slice(self.text.get(self.literal..from).unwrap_or_default());
        self.literal = upto;
        self.text.get(from..upto).unwrap_or_default()
    }

    /// All up to `hold`, or the range of the text that is.
    fn finish(mut self, hold: usize) -> Result<Bytes, std::ops::Range<usize>> {
        if self.written.is_empty() {
            return Err(self.literal.min(hold)..hold);
        }
        self.written.extend_from_slice(self.text.get(self.literal..hold).unwrap_or_default());
        Ok(Bytes::from(self.written))
    }
}
