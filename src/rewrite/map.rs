//! One direction of a site's map of addresses: finding what [`Grammar`] describes, fast, and replacing it.
//!
//! Pages are searched for a three-byte fragment of each name's first label, in every case, with a vectorised
//! multi-pattern search (half a microsecond a page without a hit); around a hit the grammar decides. That the search
//! finds exactly what asking the grammar at every position would find is a property test.

use super::grammar::{BEFORE_HOST, CONTEXT, Found, Grammar, Paths, Step};
use super::spelling::spellings;
use aho_corasick::{AhoCorasick, MatchKind, packed};
use std::borrow::Cow;

/// A map of addresses in one direction.
#[derive(Debug)]
pub struct Map {
    grammar: Grammar,
    anchors: Vec<Anchor>,
    search: Search,
    /// Fragments that are spelled, and for which another search is faster: few texts have many of what they begin with.
    spelled: Vec<Vec<u8>>,
    starts: [bool; 256],
    longest: usize,
    /// What most addresses look like from the host on, and what replaces them: a short cut past the grammar.
    tails: Vec<Vec<u8>>,
    plain: Vec<u8>,
}

/// A fragment whose appearance may mean a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Anchor {
    /// Lower case.
    fragment: Vec<u8>,
    /// The first letters and digits of the name, if the fragment is part of them, and what must follow them in some spelling, unless they
    /// are the whole name.
    label: Vec<u8>,
    rest: Vec<u8>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The name begins so many bytes before the fragment.
    Host(usize),
    /// The name may begin anywhere in so many bytes before the fragment.
    Around(usize),
    /// The path prefix begins so many bytes before the fragment.
    Path(usize),
}

/// What a spelled letter begins with.
const SPELLS: [u8; 3] = [b'&', b'%', b'\\'];

/// What was found ahead, so that it is not looked for again.
#[derive(Default)]
struct Ahead {
    plain: Option<usize>,
    spelled: Option<usize>,
}

/// A search for any of a few short patterns, fast and many bytes at once.
#[derive(Debug)]
pub(super) enum Search {
    /// Nothing to look for.
    Nothing,
    Packed(packed::Searcher),
    /// Where the processor has no vector instructions, or there are too many names for them.
    General(AhoCorasick),
}

impl Search {
    pub(super) fn of(patterns: &[Vec<u8>]) -> Self {
        if patterns.is_empty() {
            return Self::Nothing;
        }
        match packed::Config::new().builder().extend(patterns).build() {
            Some(search) => Self::Packed(search),
            // The one that begins first, not the one that ends first.
            None => AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(patterns)
                .map_or(Self::Nothing, Self::General),
        }
    }

    /// Where the first of them begins, from a place on.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Packed(search) => {
                search.find_in(text, (from..text.len()).into()).map(|found| found.start())
            }
            Self::General(search) => {
                search.find(aho_corasick::Input::new(text).range(from..text.len())).map(|found| found.start())
            }
        }
    }
}

/// What came of scanning a piece of text.
pub(super) struct Scan {
    /// Everything before this position is decided; what follows needs more bytes.
    pub(super) upto: usize,
    /// Whether anything was replaced (and so written to the output).
    pub(super) changed: bool,
    /// How many internal names stay in what is decided, because they are no address of ours.
    pub(super) remaining: usize,
}

impl Map {
    pub(super) fn new(grammar: Grammar) -> Self {
        let anchors = anchors(&grammar);
        let is_spelled =
            |anchor: &&Anchor| anchor.fragment.first().is_some_and(|first| SPELLS.contains(first));
        let spelled: Vec<Vec<u8>> =
            anchors.iter().filter(is_spelled).map(|anchor| anchor.fragment.clone()).collect();
        let plain = anchors.iter().filter(|anchor| !is_spelled(anchor));
        let mut patterns: Vec<Vec<u8>> = plain.flat_map(|anchor| cases(&anchor.fragment)).collect();
        patterns.sort();
        patterns.dedup();
        let search = Search::of(&patterns);
        let (starts, longest) = (grammar.starts(), grammar.longest());
        let (tails, plain) = (grammar.plain_tails(), grammar.plain_target());
        Self { grammar, anchors, search, spelled, starts, longest, tails, plain }
    }

    /// Replaces every address in a whole value. Without one, the value itself comes back.
    pub fn rewrite<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut out = Vec::new();
        if self.scan(bytes, 0, 0, true, &mut out).changed { Cow::Owned(out) } else { Cow::Borrowed(bytes) }
    }

    /// How many internal names a whole value holds that are no address; addresses, which should have been mapped, count as one.
    pub(super) fn remaining(&self, bytes: &[u8]) -> usize {
        let scan = self.scan(bytes, 0, 0, true, &mut Vec::new());
        scan.remaining.saturating_add(usize::from(scan.changed))
    }

    /// The most bytes that can be held back until it is clear whether they begin an address.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How many bytes before a position the decision at that position may depend on.
    pub(super) fn context(&self) -> usize {
        CONTEXT
    }

    /// Whether what follows `last` is decided as it would be at the start of a text.
    pub(super) fn is_fresh_after(&self, last: u8) -> bool {
        self.grammar.paths == Paths::Nowhere && matches!(last, b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'>')
    }

    pub(super) fn grammar(&self) -> &Grammar {
        &self.grammar
    }

    /// Replaces the addresses that start at or after `from`; what stands before is only looked at. `end`: no more
    /// bytes will follow. Only if something is replaced is `out` written to: all of `literal..upto`, rewritten.
    pub(super) fn scan(
        &self,
        text: &[u8],
        literal: usize,
        from: usize,
        end: bool,
        out: &mut Vec<u8>,
    ) -> Scan {
        let mut literal = literal;
        let mut cursor = from;
        let mut next = from;
        let mut changed = false;
        let mut remaining = Vec::new();
        let mut ahead = Ahead::default();
        while let Some(hit) = self.hit(text, next, &mut ahead) {
            next = hit.saturating_add(1);
            // Most fragments are parts of other words.
            if !self.anchors.iter().any(|anchor| anchor.is_at(text, hit)) {
                continue;
            }
            let plain = self.plain(text, hit, cursor);
            let step = if plain.is_some() { Step::No } else { self.around(text, hit, cursor, end) };
            let (start, stop) = match (plain, &step) {
                (Some(span), _) => span,
                (None, Step::Found(found)) => (found.start, found.end),
                (None, Step::No) => {
                    if self.remains(text, hit) {
                        remaining.push(hit);
                    }
                    continue;
                }
                (None, Step::More) => break,
            };
            if !changed {
                out.reserve(text.len().saturating_sub(literal).saturating_add(64));
            }
            out.extend_from_slice(text.get(literal..start).unwrap_or_default());
            match &step {
                Step::Found(found) => self.grammar.write(text, found, out),
                _ => out.extend_from_slice(&self.plain),
            }
            (literal, cursor, changed) = (stop, stop, true);
            next = next.max(stop);
        }
        let upto = if end { text.len() } else { self.first_open(text, cursor) };
        if changed {
            out.extend_from_slice(text.get(literal..upto).unwrap_or_default());
        }
        let remaining = remaining.iter().filter(|hit| **hit < upto).count();
        Scan { upto, changed, remaining }
    }

    /// Where the first fragment begins, from a place on.
    fn hit(&self, text: &[u8], from: usize, ahead: &mut Ahead) -> Option<usize> {
        let find = |seen: Option<usize>, look: &dyn Fn() -> Option<usize>| match seen {
            Some(hit) if hit >= from => hit,
            _ => look().unwrap_or(text.len()),
        };
        let plain = find(ahead.plain, &|| self.search.find(text, from));
        let spelled = find(ahead.spelled, &|| self.find_spelled(text, from));
        *ahead = Ahead { plain: Some(plain), spelled: Some(spelled) };
        Some(plain.min(spelled)).filter(|hit| *hit < text.len())
    }

    fn find_spelled(&self, text: &[u8], from: usize) -> Option<usize> {
        if self.spelled.is_empty() {
            return None;
        }
        let [one, two, three] = SPELLS;
        let tail = text.get(from..)?;
        let begins = |at: &usize| {
            let rest = tail.get(*at..).unwrap_or_default();
            // Most are `&quot;` and `100%`.
            matches!(rest.get(1), Some(b'#' | b'u' | b'U' | b'x' | b'X' | b'0'..=b'9'))
                && self.spelled.iter().any(|spelled| {
                    rest.get(..spelled.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(spelled))
                })
        };
        memchr::memchr3_iter(one, two, three, tail).find(begins).map(|at| from.saturating_add(at))
    }

    /// Whether a fragment that begins no address is part of an internal name nevertheless.
    fn remains(&self, text: &[u8], hit: usize) -> bool {
        self.anchors.iter().any(|anchor| match anchor.place {
            Place::Host(offset) if anchor.is_at(text, hit) => hit
                .checked_sub(offset)
                .is_some_and(|at| self.grammar.names.iter().any(|name| name.remains(text, at))),
            _ => false,
        })
    }

    /// The first position from `cursor` on at which an address might begin that isn't all there yet.
    fn first_open(&self, text: &[u8], cursor: usize) -> usize {
        let from = cursor.max(text.len().saturating_sub(self.longest));
        let tail = text.get(from..).unwrap_or_default();
        // No address holds one of these, and none is in doubt once one is seen behind it.
        let ended = tail.iter().rposition(|byte| matches!(byte, b' ' | b'\n' | b'"' | b'<' | b'>'));
        let from = from.saturating_add(ended.map_or(0, |at| at.saturating_add(1)));
        let tail = text.get(from..).unwrap_or_default();
        tail.iter()
            .zip(from..)
            .filter(|(byte, _)| self.can_start(**byte))
            .find(|(_, at)| self.grammar.at(text, *at, false) == Step::More)
            .map_or(text.len(), |(_, at)| at)
    }

    fn can_start(&self, byte: u8) -> bool {
        self.starts.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// The short cut: `http://` or `https://` and one of the tails, lower case and plain, and certainly at an end.
    #[inline]
    fn plain(&self, text: &[u8], hit: usize, cursor: usize) -> Option<(usize, usize)> {
        self.anchors.iter().find_map(|anchor| {
            let Place::Host(offset) = anchor.place else { return None };
            let host = hit.checked_sub(offset)?;
            let start = match text.get(cursor..host)? {
                [.., b'h', b't', b't', b'p', b':', b'/', b'/'] => host.checked_sub(7)?,
                [.., b'h', b't', b't', b'p', b's', b':', b'/', b'/'] => host.checked_sub(8)?,
                _ => return None,
            };
            let rest = text.get(host..)?;
            let tail = self.tails.iter().find(|tail| {
                rest.starts_with(tail)
                    && matches!(rest.get(tail.len()), Some(b'/' | b'"' | b'?' | b'#' | b'<'))
            })?;
            Some((start, host.saturating_add(tail.len())))
        })
    }

    /// Asks the grammar about the names that the fragment at `hit` may belong to.
    fn around(&self, text: &[u8], hit: usize, cursor: usize, end: bool) -> Step {
        for anchor in &self.anchors {
            if !anchor.is_at(text, hit) {
                continue;
            }
            let step = match anchor.place {
                Place::Host(offset) => match hit.checked_sub(offset) {
                    Some(host) => self.before_host(text, host, cursor, end),
                    None => Step::No,
                },
                Place::Around(width) => self.between(text, hit.saturating_sub(width).max(cursor), hit, end),
                Place::Path(offset) => match hit.checked_sub(offset) {
                    Some(start) if start >= cursor => self.grammar.path(text, start, end),
                    _ => Step::No,
                },
            };
            if step != Step::No {
                return step;
            }
        }
        Step::No
    }

    /// Asks the grammar at each place where the match of a host at `host` may start, the leftmost first.
    fn before_host(&self, text: &[u8], host: usize, cursor: usize, end: bool) -> Step {
        let before = text.get(cursor..host).unwrap_or_default();
        let step = match before {
            [start @ .., b':', b'/', b'/'] => match scheme_before(start) {
                0 => Step::No,
                scheme => self.grammar.at(text, host.saturating_sub(scheme).saturating_sub(3), end),
            },
            // What the spellings of a slash end with.
            [.., b'f' | b'F' | b'7' | b';' | b'/'] => {
                return self.between(text, host.saturating_sub(BEFORE_HOST).max(cursor), host, end);
            }
            _ => Step::No,
        };
        if step != Step::No {
            return step;
        }
        if before.ends_with(b"//") {
            match self.grammar.at(text, host.saturating_sub(2), end) {
                Step::No => {}
                step => return step,
            }
        }
        if host < cursor { Step::No } else { self.grammar.at(text, host, end) }
    }

    fn between(&self, text: &[u8], from: usize, upto: usize, end: bool) -> Step {
        for (byte, at) in text.get(from..=upto).unwrap_or_default().iter().zip(from..) {
            if self.can_start(*byte) {
                match self.grammar.at(text, at, end) {
                    Step::No => {}
                    step => return step,
                }
            }
        }
        Step::No
    }

    /// Every address in a whole text, and where there are internal names that are none.
    pub(super) fn finds(&self, text: &[u8]) -> (Vec<Found>, Vec<usize>) {
        let (mut cursor, mut next) = (0, 0);
        let (mut finds, mut remaining) = (Vec::new(), Vec::new());
        let mut ahead = Ahead::default();
        while let Some(hit) = self.hit(text, next, &mut ahead) {
            next = hit.saturating_add(1);
            match self.around(text, hit, cursor, true) {
                Step::Found(found) => {
                    cursor = found.end;
                    next = next.max(cursor);
                    finds.push(found);
                }
                _ if self.remains(text, hit) => remaining.push(hit),
                _ => {}
            }
        }
        (finds, remaining)
    }

    /// How surely a match is its site's own ([`Grammar::claim`]).
    pub(super) fn claim(&self, found: &Found) -> Option<usize> {
        self.grammar.claim(found)
    }

    /// What asking the grammar at every position finds: the truth that the search is tested against.
    #[cfg(test)]
    pub(super) fn rewrite_slowly(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < text.len() {
            match self.grammar.at(text, at, true) {
                Step::Found(found) => {
                    self.grammar.write(text, &found, &mut out);
                    at = found.end;
                }
                Step::No => {
                    out.push(text[at]);
                    at += 1;
                }
                Step::More => unreachable!("more than everything"),
            }
        }
        out
    }

    /// Matches at the very start of a value, for values that are one address.
    pub(super) fn at_start(&self, value: &[u8]) -> Option<Found> {
        match self.grammar.at(value, 0, true) {
            Step::Found(found) => Some(found),
            _ => None,
        }
    }
}

impl Anchor {
    fn of(fragment: Vec<u8>, place: Place) -> Self {
        Self { fragment, label: Vec::new(), rest: Vec::new(), place }
    }

    /// Whether it is more than a coincidence that its fragment stands at `hit`.
    #[inline]
    fn is_at(&self, text: &[u8], hit: usize) -> bool {
        let (start, seen) = match self.place {
            Place::Host(offset) if !self.label.is_empty() => match hit.checked_sub(offset) {
                Some(start) => (start, &self.label),
                None => return false,
            },
            _ => (hit, &self.fragment),
        };
        let end = start.saturating_add(seen.len());
        let rest = text.get(start..end.min(text.len())).unwrap_or_default();
        if !seen.get(..rest.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(rest)) {
            return false;
        }
        let Some(&next) = self.rest.first() else { return true };
        match text.get(end) {
            None | Some(b'%' | b'&' | b'\\') => true,
            // The first byte of other dots in UTF-8.
            Some(0xe3 | 0xef) => next == b'.',
            Some(byte) if *byte != next => false,
            // Up to the next dot, most names are plain.
            Some(_) => {
                let tail = text.get(end..).unwrap_or_default();
                let plain = |byte: &u8| !matches!(byte, b'.' | b'%' | b'&' | b'\\' | 0xe3 | 0xef);
                self.rest
                    .iter()
                    .zip(tail)
                    .take_while(|(_, seen)| plain(seen))
                    .all(|(rest, seen)| rest.eq_ignore_ascii_case(seen))
            }
        }
    }
}

/// How long the scheme at the end of `before` is, if there is one.
fn scheme_before(before: &[u8]) -> usize {
    let ends = |scheme: &[u8]| {
        let tail = before.len().checked_sub(scheme.len()).and_then(|at| before.get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(scheme))
    };
    [b"https".as_slice(), b"http", b"wss", b"ws"]
        .into_iter()
        .find(|scheme| ends(scheme))
        .map_or(0, <[u8]>::len)
}

fn anchors(grammar: &Grammar) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    for name in &grammar.names {
        if name.host.first() == Some(&b'[') {
            // The last group of an IPv6 address, and what its bracket may be spelled with.
            let group = name.host.rsplit(|byte| *byte == b':').next().unwrap_or_default();
            let group = group.strip_suffix(b"]").unwrap_or(group);
            let width = grammar.longest();
            anchors
                .extend(spelled_with(group, b']').map(|fragment| Anchor::of(fragment, Place::Around(width))));
            continue;
        }
        let (label, rest) = name.label();
        match rest.first() {
            _ if label.len() >= 3 => {
                let (offset, fragment) = rarest(label);
                let place = Place::Host(offset);
                anchors.push(Anchor { fragment, label: label.to_vec(), rest: rest.to_vec(), place });
            }
            Some(symbol) => {
                anchors.extend(
                    spelled_with(label, *symbol).map(|fragment| Anchor::of(fragment, Place::Host(0))),
                );
            }
            // A name that is one short label ends there.
            None => anchors.push(Anchor::of(label.to_vec(), Place::Host(0))),
        }
        // All letters may be spelled.
        let spelled = label.first().filter(|first| first.is_ascii_lowercase()).map(|first| spellings(*first));
        let spelled = spelled.into_iter().flatten();
        anchors.extend(spelled.map(|fragment| Anchor::of(fragment, Place::Host(0))));
    }
    if grammar.paths != Paths::Nowhere {
        let mut path = vec![b'/'];
        path.extend(grammar.prefix.first().map(|segment| segment.to_ascii_lowercase()).unwrap_or_default());
        let (offset, fragment) = if path.len() < 3 { (0, path) } else { rarest(&path) };
        anchors.push(Anchor::of(fragment, Place::Path(offset)));
    }
    anchors.dedup();
    anchors
}

/// `stem` with each byte that a spelling of `symbol` begins with.
fn spelled_with(stem: &[u8], symbol: u8) -> impl Iterator<Item = Vec<u8>> {
    let wide: &[u8] = if symbol == b'.' { &[0xe3, 0xef] } else { &[] };
    [symbol, b'%', b'&', b'\\']
        .into_iter()
        .chain(wide.iter().copied())
        .map(move |byte| [stem, &[byte]].concat())
}

/// The three bytes of a label that are least common in text, and where they stand.
fn rarest(label: &[u8]) -> (usize, Vec<u8>) {
    // Letters in the order of their frequency in English; what isn't a letter is rarer still.
    let rank =
        |byte: &u8| b"etaoinsrhldcumfpgwybvkxjqz".iter().position(|letter| letter == byte).unwrap_or(26);
    let score = |fragment: &[u8]| fragment.iter().map(rank).sum::<usize>();
    label
        .windows(3)
        .enumerate()
        .max_by_key(|(offset, fragment)| (score(fragment), usize::MAX.saturating_sub(*offset)))
        .map_or((0, label.to_vec()), |(offset, fragment)| (offset, fragment.to_vec()))
}

/// Every mixture of upper and lower case.
pub(super) fn cases(fragment: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for byte in fragment {
        let mut cases = vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        cases.dedup();
        all = all
            .iter()
            .flat_map(|start| {
                cases.iter().map(|byte| {
                    let mut longer = start.clone();
                    longer.push(*byte);
                    longer
                })
            })
            .collect();
    }
    all
}
