//! [`Links`] for pages that hardly ever have anything to be mapped: those of a backend that knows its public address, where a path with
//! its own prefix is what somebody typed.
//!
//! Reading tags costs ten times what looking for the prefix does. So a page passes as it is, and is kept aside, up to a limit,
//! until the prefix is seen for the first time; then the tags before it are read after all, to know what it stands in. That the outcome is
//! that of [`Links`] alone is a property test. It holds because an edit begins where the prefix does ([`super::links::edits`]), and nothing of that
//! has passed.

use super::html::Links;
use super::links::Way;
use super::spelling::{LONGEST, Left, left};
use bytes::Bytes;
use memchr::memmem::Finder;
use std::mem;

/// How much of a page is kept aside before its tags are read, whatever is in it. Most pages are shorter.
const ASIDE: usize = 128 << 10;

pub(super) struct LazyLinks {
    links: Links,
    needle: Finder<'static>,
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
    /// `None` if there is no prefix to look for.
    pub(super) fn new(way: Way, xml: bool) -> Option<Self> {
        let needle = Finder::new(way.first_segment()?).into_owned();
        Some(Self {
            links: Links::new(way, xml),
            needle,
            is_awake: false,
            aside: Vec::new(),
            aside_length: 0,
            ahead: 0,
            held: Bytes::new(),
        })
    }

    /// Takes the next piece and gives back what is decided.
    pub(super) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.is_awake {
            let out = self.links.push(chunk);
            return self.fresh(out);
        }
        let held = mem::take(&mut self.held);
        let text = if held.is_empty() { chunk } else { Bytes::from([held, chunk].concat()) };
        if self.has_prefix(&text) {
            self.read_aside();
            self.is_awake = true;
            let out = self.links.push(text);
            return self.fresh(out);
        }
        let from = text.len().saturating_sub(LONGEST.saturating_add(self.needle.needle().len()));
        let tail = text.get(from..).unwrap_or_default();
        let open = tail.iter().position(|byte| matches!(byte, b'/' | b'&' | b'%' | b'\\'));
        let hold = open.map_or(text.len(), |at| from.saturating_add(at));
        self.held = text.slice(hold..);
        let out = text.slice(..hold);
        self.aside_length = self.aside_length.saturating_add(out.len());
        self.aside.push(out.clone());
        if self.aside_length > ASIDE {
            self.read_aside();
        }
        out
    }

    /// Ends the page.
    pub(super) fn finish(&mut self) -> Bytes {
        if !self.is_awake {
            return mem::take(&mut self.held);
        }
        let out = self.links.finish();
        self.fresh(out)
    }

    /// Whether the prefix begins a path anywhere; one behind a host is not looked at here.
    fn has_prefix(&self, text: &[u8]) -> bool {
        self.needle.find_iter(text).any(|hit| {
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
