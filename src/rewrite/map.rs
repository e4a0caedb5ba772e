//! One direction of a site's map of addresses: finding what [`Grammar`] describes, fast, and replacing it.
//!
//! Pages are searched for a three-byte fragment of each name's first label, in every case, with a vectorised
//! multi-pattern search (half a microsecond a page without a hit); around a hit the grammar decides. That the search
//! finds exactly what asking the grammar at every position would find is a property test.

use super::grammar::{BEFORE_HOST, CONTEXT, Found, Grammar, Step};
use aho_corasick::{AhoCorasick, packed};
use std::borrow::Cow;

/// A map of addresses in one direction.
#[derive(Debug)]
pub struct Map {
    grammar: Grammar,
    anchors: Vec<Anchor>,
    search: Search,
    starts: [bool; 256],
    longest: usize,
}

/// A fragment whose appearance may mean a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Anchor {
    /// Lower case.
    fragment: Vec<u8>,
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

#[derive(Debug)]
enum Search {
    /// Nothing to look for.
    Nothing,
    Packed(packed::Searcher),
    /// Where the processor has no vector instructions, or there are too many names for them.
    General(AhoCorasick),
}

impl Search {
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
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
}

impl Map {
    pub(super) fn new(grammar: Grammar) -> Self {
        let anchors = anchors(&grammar);
        let mut patterns: Vec<Vec<u8>> = anchors.iter().flat_map(|anchor| cases(&anchor.fragment)).collect();
        patterns.sort();
        patterns.dedup();
        let packed = || packed::Config::new().builder().extend(&patterns).build();
        let search = if patterns.is_empty() {
            Search::Nothing
        } else if let Some(search) = packed() {
            Search::Packed(search)
        } else {
            AhoCorasick::new(&patterns).map_or(Search::Nothing, Search::General)
        };
        let (starts, longest) = (grammar.starts(), grammar.longest());
        Self { grammar, anchors, search, starts, longest }
    }

    /// Replaces every address in a whole value. Without one, the value itself comes back.
    pub fn rewrite<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut out = Vec::new();
        if self.scan(bytes, 0, 0, true, &mut out).changed { Cow::Owned(out) } else { Cow::Borrowed(bytes) }
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
        !self.grammar.paths && matches!(last, b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'<' | b'>')
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
        while let Some(hit) = self.search.find(text, next) {
            next = hit.saturating_add(1);
            match self.around(text, hit, cursor, end) {
                Step::No => {}
                Step::More => break,
                Step::Found(found) => {
                    if !changed {
                        out.reserve(text.len().saturating_sub(literal).saturating_add(64));
                    }
                    out.extend_from_slice(text.get(literal..found.start).unwrap_or_default());
                    self.grammar.write(text, &found, out);
                    (literal, cursor, changed) = (found.end, found.end, true);
                    next = next.max(found.end);
                }
            }
        }
        let upto = if end { text.len() } else { self.first_open(text, cursor) };
        if changed {
            out.extend_from_slice(text.get(literal..upto).unwrap_or_default());
        }
        Scan { upto, changed }
    }

    /// The first position from `cursor` on at which an address might begin that isn't all there yet.
    fn first_open(&self, text: &[u8], cursor: usize) -> usize {
        let from = cursor.max(text.len().saturating_sub(self.longest));
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

    /// Asks the grammar about the names that the fragment at `hit` may belong to.
    fn around(&self, text: &[u8], hit: usize, cursor: usize, end: bool) -> Step {
        for anchor in &self.anchors {
            let seen = text.get(hit..hit.saturating_add(anchor.fragment.len()));
            if !seen.is_some_and(|seen| seen.eq_ignore_ascii_case(&anchor.fragment)) {
                continue;
            }
            let step = match anchor.place {
                Place::Host(offset) => match hit.checked_sub(offset) {
                    Some(host) => self.before_host(text, host, cursor, end),
                    None => Step::No,
                },
                Place::Around(width) => self.between(text, hit.saturating_sub(width).max(cursor), hit, end),
                Place::Path(offset) => match hit.checked_sub(offset) {
                    Some(start) if start >= cursor => self.grammar.at(text, start, end),
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
        let label = name.host.split(|byte| *byte == b'.').next().unwrap_or_default();
        if label.first() == Some(&b'[') {
            // The last group of an IPv6 address, and what its bracket may be spelled with.
            let group = name.host.rsplit(|byte| *byte == b':').next().unwrap_or_default();
            let group = group.strip_suffix(b"]").unwrap_or(group);
            let width = grammar.longest();
            anchors.extend(
                spelled_with(group, b']').map(|fragment| Anchor { fragment, place: Place::Around(width) }),
            );
        } else if label.len() < 3 {
            anchors
                .extend(spelled_with(label, b'.').map(|fragment| Anchor { fragment, place: Place::Host(0) }));
            // A name that is one short label ends there.
            if label.len() == name.host.len() {
                anchors.push(Anchor { fragment: label.to_vec(), place: Place::Host(0) });
            }
        } else {
            let (offset, fragment) = rarest(label);
            anchors.push(Anchor { fragment, place: Place::Host(offset) });
        }
    }
    if let (true, Some(segment)) = (grammar.paths, grammar.prefix.first()) {
        let mut path = vec![b'/'];
        path.extend(segment.to_ascii_lowercase());
        let (offset, fragment) = if path.len() < 3 { (0, path) } else { rarest(&path) };
        anchors.push(Anchor { fragment, place: Place::Path(offset) });
    }
    anchors.dedup();
    anchors
}

/// `stem` with each byte that a spelling of `symbol` begins with.
fn spelled_with(stem: &[u8], symbol: u8) -> impl Iterator<Item = Vec<u8>> {
    [symbol, b'%', b'&', b'\\'].into_iter().map(move |byte| [stem, &[byte]].concat())
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
fn cases(fragment: &[u8]) -> Vec<Vec<u8>> {
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
