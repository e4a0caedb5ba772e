//! [`Links`] for pages whose tags need not be read: those of a backend that knows its public address, where a path with its own
//! prefix is what somebody typed; and those of one that does not, but writes its links with its host, as Plone does.
//!
//! Reading tags costs ten times what looking for the prefix does. So a page passes as it is, and is kept aside, up to a limit,
//! until something is seen that an edit may begin with; then the tags before it are read after all, to know what it stands in, and those
//! behind it until there is nothing more to be seen.
//! That the outcome is that of [`Links`] alone is a property test. It holds because every edit ([`super::links::edits`]) begins at the
//! prefix, at the name of an `integrity` attribute, or in a `srcdoc`, where either may be spelled; and nothing of that has passed.

use super::html::Links;
use super::links::Way;
use super::map::{Search, cases};
use super::spelling::{LONGEST, Left, left};
use bytes::Bytes;
use memchr::memmem::Finder;
use std::mem;
use std::sync::LazyLock;

/// How much of a page is kept aside before its tags are read, whatever is in it. Most pages are shorter.
const ASIDE: usize = 128 << 10;

/// In steps of how many bytes it is seen that there is nothing more to look for: Plone's pages have hashes in the head, and nothing after it.
const WINDOW: usize = 4 << 10;

/// Attributes at whose names an edit may begin, in any case, where hashes are dropped; and a place in each from which on three bytes are rare.
const NAMES: [(&[u8], usize); 2] = [(b"integrity", 4), (b"srcdoc", 2)];

/// Finds these three bytes of each of [`NAMES`].
static RARE: LazyLock<Search> = LazyLock::new(|| {
    let rare = NAMES.iter().filter_map(|(name, at)| name.get(*at..at.saturating_add(3)));
    Search::of(&rare.flat_map(cases).collect::<Vec<_>>())
});

pub(super) struct LazyLinks {
    links: Links,
    /// The first segment of the prefix; none if no path is mapped.
    prefix: Option<Finder<'static>>,
    drops_integrity: bool,
    is_awake: bool,
    /// What passed and was not read yet.
    aside: Vec<Bytes>,
    aside_length: usize,
    /// How many bytes were read and are held there, although they have passed here.
    ahead: usize,
    /// What may be the start of the prefix.
    held: Bytes,
}

impl LazyLinks {
    /// `None` if there is nothing to look for: nothing is mapped, or any path.
    pub(super) fn new(way: Way, xml: bool) -> Option<Self> {
        let prefix = way.first_segment().map(|segment| Finder::new(segment).into_owned());
        let drops_integrity = way.drops_any_integrity();
        if prefix.is_none() && (way.maps_paths() || !drops_integrity) {
            return None;
        }
        Some(Self {
            links: Links::new(way, xml),
            prefix,
            drops_integrity,
            is_awake: false,
            aside: Vec::new(),
            aside_length: 0,
            ahead: 0,
            held: Bytes::new(),
        })
    }

    /// Takes the next piece and gives back what is decided.
    pub(super) fn push(&mut self, chunk: Bytes) -> Bytes {
        let held = mem::take(&mut self.held);
        let mut text = if held.is_empty() { chunk } else { Bytes::from([held, chunk].concat()) };
        if !self.is_awake && !self.has_mark(&text) {
            let hold = self.hold(&text);
            return self.pass(&text, hold);
        }
        let mut decided = Vec::new();
        while !text.is_empty() {
            let window = text.split_to(text.len().min(WINDOW));
            decided.push(self.window(window));
        }
        match <[Bytes; 1]>::try_from(decided) {
            Ok([only]) => only,
            Err(several) => Bytes::from(several.concat()),
        }
    }

    /// Takes a few bytes of a piece in which there is something, though perhaps not in these.
    fn window(&mut self, window: Bytes) -> Bytes {
        let held = mem::take(&mut self.held);
        let text = if held.is_empty() { window } else { Bytes::from([held, window].concat()) };
        let has_mark = self.has_mark(&text);
        if !self.is_awake && !has_mark {
            let hold = self.hold(&text);
            return self.pass(&text, hold);
        }
        if !self.is_awake {
            self.read_aside();
            self.is_awake = true;
        } else if !has_mark && let Some(passed) = self.fall_asleep(&text) {
            return passed;
        }
        let out = self.links.push(text);
        self.fresh(out)
    }

    /// Lets what is held there and this text pass, if nothing to look for is in them.
    fn fall_asleep(&mut self, text: &Bytes) -> Option<Bytes> {
        let open = self.links.open().filter(|open| open.len() <= WINDOW)?;
        let seen = open.len();
        if seen == 0 {
            self.is_awake = false;
            let hold = self.hold(text);
            return Some(self.pass(text, hold));
        }
        let joined = Bytes::from([open, text].concat());
        let hold = self.hold(&joined).checked_sub(seen).filter(|_| !self.has_mark(&joined))?;
        self.is_awake = false;
        let passed = mem::replace(&mut self.ahead, seen);
        self.pass(text, hold);
        Some(joined.slice(passed.min(seen)..seen.saturating_add(hold)))
    }

    /// Lets a text pass up to `hold`.
    fn pass(&mut self, text: &Bytes, hold: usize) -> Bytes {
        self.held = text.slice(hold..);
        let out = text.slice(..hold);
        self.aside_length = self.aside_length.saturating_add(out.len());
        self.aside.push(out.clone());
        if self.aside_length > ASIDE {
            self.read_aside();
        }
        out
    }

    /// Whether an edit may begin anywhere in a text.
    fn has_mark(&self, text: &[u8]) -> bool {
        self.has_prefix(text) || (self.drops_integrity && has_name(text))
    }

    /// Ends the page.
    pub(super) fn finish(&mut self) -> Bytes {
        if !self.is_awake {
            return mem::take(&mut self.held);
        }
        let out = self.links.finish();
        self.fresh(out)
    }

    /// Where what may be the start of something to look for begins.
    fn hold(&self, text: &[u8]) -> usize {
        let mut hold = text.len();
        if let Some(prefix) = &self.prefix {
            let from = text.len().saturating_sub(LONGEST.saturating_add(prefix.needle().len()));
            let tail = text.get(from..).unwrap_or_default();
            let open = tail.iter().position(|byte| matches!(byte, b'/' | b'&' | b'%' | b'\\'));
            hold = open.map_or(hold, |at| from.saturating_add(at));
        }
        if self.drops_integrity {
            let longest = NAMES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            let from = text.len().saturating_sub(longest);
            let open = (from..text.len()).find(|at| {
                let tail = text.get(*at..).unwrap_or_default();
                let begins = |name: &[u8]| {
                    name.get(..tail.len()).is_some_and(|start| start.eq_ignore_ascii_case(tail))
                };
                NAMES.iter().any(|(name, _)| begins(name))
            });
            hold = hold.min(open.unwrap_or(hold));
        }
        hold
    }

    /// Whether the prefix begins a path anywhere; one behind a host is not looked at here.
    fn has_prefix(&self, text: &[u8]) -> bool {
        let Some(prefix) = &self.prefix else { return false };
        prefix.find_iter(text).any(|hit| {
            let before = text.get(..hit).unwrap_or_default();
            left(text, hit) == Left::Slash
                && !matches!(before, [.., host, b'/'] if host.is_ascii_alphanumeric() || *host == b']')
        })
    }

    fn read_aside(&mut self) {
        for piece in self.aside.drain(..) {
            self.ahead = self.ahead.saturating_add(piece.len());
            // Without the prefix nothing changes.
            self.ahead = self.ahead.saturating_sub(self.links.push(piece).len());
        }
        self.aside_length = 0;
    }

    /// Without what has passed already.
    fn fresh(&mut self, mut out: Bytes) -> Bytes {
        let passed = self.ahead.min(out.len());
        self.ahead = self.ahead.saturating_sub(passed);
        out.split_off(passed)
    }
}

/// Whether one of [`NAMES`] stands anywhere.
fn has_name(text: &[u8]) -> bool {
    let mut next = 0;
    while let Some(hit) = RARE.find(text, next) {
        let is = |(name, at): &(&[u8], usize)| {
            let rest = hit.checked_sub(*at).and_then(|start| text.get(start..)).unwrap_or_default();
            rest.get(..name.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(name))
        };
        if NAMES.iter().any(is) {
            return true;
        }
        next = hit.saturating_add(1);
    }
    false
}
