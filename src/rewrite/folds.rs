//! Calendars and address cards, in which a long line is folded: broken anywhere, also inside an address, and gone on with behind a blank
//! (RFC 5545, section 3.1; RFC 6350, section 3.2).
//!
//! A line that is folded is joined and looked at as a whole. If that changes it, it is folded anew; else it keeps its very bytes. What
//! is not folded passes, and is left to who comes after, as is a line that is longer than anything that is no picture.

use super::map::Map;
use bytes::Bytes;
use std::mem;
use std::sync::Arc;

/// The longest line, with its folds, that is looked at.
const LONGEST_LINE: usize = 64 << 10;

/// The longest line before it is folded, in bytes, without its end.
const WIDTH: usize = 75;

/// A text on its way.
#[derive(Debug)]
pub(super) struct Folds {
    map: Arc<Map>,
    /// A line, until it is known where it ends.
    held: Vec<u8>,
    /// Whether the line that goes on is too long, and has begun to pass.
    passing: bool,
}

impl Folds {
    pub(super) fn new(map: Arc<Map>) -> Self {
        Self { map, held: Vec::new(), passing: false }
    }

    /// Takes the next piece and gives back what is decided. `end`: no more will come.
    pub(super) fn push(&mut self, chunk: &[u8], end: bool) -> Bytes {
        let mut text = mem::take(&mut self.held);
        // All of it but its end has been looked through.
        let mut seen = text.len().saturating_sub(1);
        text.extend_from_slice(chunk);
        let mut out = Vec::with_capacity(text.len());
        let mut start = 0;
        while let Some(length) = line_end(&text, start.max(seen), end) {
            let line = text.get(start..length).unwrap_or_default();
            let is_whole = !mem::take(&mut self.passing) && line.len() <= LONGEST_LINE;
            let joined = if is_whole { joined_line(line, |line| self.map(line)) } else { None };
            out.extend_from_slice(joined.as_deref().unwrap_or(line));
            (start, seen) = (length, length);
        }
        let rest = text.get(start..).unwrap_or_default();
        if rest.len() > LONGEST_LINE || self.passing {
            // Up to what may be its end.
            let kept = rest.len().saturating_sub(2);
            let (passed, rest) = rest.split_at(if end { rest.len() } else { kept });
            out.extend_from_slice(passed);
            self.passing = true;
            self.held = rest.to_vec();
        } else if end {
            let joined = joined_line(rest, |line| self.map(line));
            out.extend_from_slice(joined.as_deref().unwrap_or(rest));
        } else {
            self.held = rest.to_vec();
        }
        Bytes::from(out)
    }

    /// A joined line with what is found in it mapped, or where a name stays, so that it is seen.
    fn map(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mapped = self.map.rewrite(line);
        (*mapped != *line || self.map.remaining(line) > 0).then(|| mapped.into_owned())
    }
}

/// A line of several, if `map` changes what it says; it is folded as it was.
pub(crate) fn joined_line(line: &[u8], map: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let fold = fold_of(line)?;
    let content = line.trim_ascii_end();
    let (content, end) = line.split_at(content.len());
    let mut joined = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = next_fold(rest) {
        let (before, after) = rest.split_at(at);
        joined.extend_from_slice(before.strip_suffix(b"\r").unwrap_or(before));
        rest = after.get(2..).unwrap_or_default();
    }
    joined.extend_from_slice(rest);
    // What then begins with a blank would be the rest of the line before.
    if joined.first().is_some_and(|byte| is_blank(*byte)) {
        return None;
    }
    let mapped = map(&joined)?;
    let mut out = Vec::with_capacity(mapped.len().saturating_add(mapped.len() / 16));
    let mut room = WIDTH;
    let mut rest = mapped.as_slice();
    while rest.len() > room {
        // Not inside a character.
        let at =
            (1..=room).rev().find(|at| rest.get(*at).is_none_or(|byte| *byte & 0xc0 != 0x80)).unwrap_or(room);
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(fold);
        rest = after;
        room = WIDTH.saturating_sub(1);
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(end);
    Some(out)
}

/// The lines of a text, each with those it goes on in.
pub(crate) fn folded_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let end = line_end(text, start, true).unwrap_or(text.len());
        start = end;
        rest.get(..end.saturating_sub(text.len().saturating_sub(rest.len())))
    })
}

/// Where the line ends that goes on at `from`: behind a line feed that no blank follows.
fn line_end(text: &[u8], from: usize, end: bool) -> Option<usize> {
    memchr::memchr_iter(b'\n', text.get(from..)?).map(|at| from.saturating_add(at).saturating_add(1)).find(
        |next| match text.get(*next) {
            Some(byte) => !is_blank(*byte),
            None => end,
        },
    )
}

/// How a line is folded, as far as it is: a line end, and a blank.
fn fold_of(line: &[u8]) -> Option<&[u8]> {
    let at = next_fold(line)?;
    let start =
        if at > 0 && line.get(at.saturating_sub(1)) == Some(&b'\r') { at.saturating_sub(1) } else { at };
    line.get(start..at.saturating_add(2))
}

/// Where the next line feed stands behind which the line goes on.
fn next_fold(line: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', line)
        .find(|at| line.get(at.saturating_add(1)).is_some_and(|byte| is_blank(*byte)))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, origins};
    use super::*;
    use proptest::prelude::*;

    fn through(text: &str, size: usize) -> String {
        let mut folds = Folds::new(origins(LOCAL, Mode::Safety).outward().clone());
        let mut out: Vec<u8> =
            text.as_bytes().chunks(size).flat_map(|piece| folds.push(piece, false)).collect();
        out.extend_from_slice(&folds.push(b"", true));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_address_is_found_across_the_folds_of_a_line() {
        let long = "and so on, ".repeat(9);
        let rows = [
            (
                "in the host",
                "A:1\r\nURL:http://loc\r\n alhost:8088/Plone/x\r\nB:2\r\n".to_owned(),
                "A:1\r\nURL:https://public.example.org/x\r\nB:2\r\n".to_owned(),
            ),
            (
                "in the port, the prefix, with a tab, at the end",
                "URL:http://localhost:80\n\t88/Plo\n ne/x".to_owned(),
                "URL:https://public.example.org/x".to_owned(),
            ),
            (
                "folded anew",
                format!("D:{long}\r\n http://localho\r\n st:8088/Plone/\u{e9}\r\n{long}\r\n"),
                format!(
                    "D:{}\r\n {}https://public.example.org/\u{e9}\r\n{long}\r\n",
                    &long[..73],
                    &long[73..]
                ),
            ),
            (
                "nothing in it",
                format!("D:{long}\r\n {long}\r\nURL:http://elsewhere\r\n .example/\r\n"),
                format!("D:{long}\r\n {long}\r\nURL:http://elsewhere\r\n .example/\r\n"),
            ),
            (
                "not folded: for who comes after",
                "URL:http://localhost:8088/\nX:loc\nalhost:8088\n".to_owned(),
                "URL:http://localhost:8088/\nX:loc\nalhost:8088\n".to_owned(),
            ),
            (
                "a name that stays is shown",
                "X:localhost:80\n 88evil\n".to_owned(),
                "X:localhost:8088evil\n".to_owned(),
            ),
            (
                "too long to be looked at",
                format!("P:{}\n {}\n", "A".repeat(70 << 10), "B".repeat(9)),
                format!("P:{}\n {}\n", "A".repeat(70 << 10), "B".repeat(9)),
            ),
        ];
        for (row, text, want) in rows {
            for size in [1, 7, usize::MAX] {
                assert_eq!(through(&text, size.min(text.len())), want, "{row}, in pieces of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_equals_the_whole_and_says_the_same(
            pieces in prop::collection::vec(prop::sample::select(&[
                "http://localhost:8088/Plone", "\n ", "\r\n ", "\n\t", "\n", "\r\n", "loc", "alhost:80", "88/", "a", " ", "\u{e9}",
                "a long piece of text without anything in it that is to be replaced", "\n\n",
            ][..]), 0..20),
            size in 1..9_usize,
        ) {
            let text = pieces.concat();
            let whole = through(&text, text.len().max(1));
            prop_assert_eq!(&through(&text, size), &whole);
            prop_assert_eq!(folded_lines(text.as_bytes()).collect::<Vec<_>>().concat(), text.as_bytes());
            let unfolded = |text: &str| text.replace("\r\n ", "").replace("\r\n\t", "").replace("\n ", "").replace("\n\t", "");
            let map = origins(LOCAL, Mode::Safety);
            let want = map.rewrite(unfolded(&text).as_bytes()).into_owned();
            let got = map.rewrite(unfolded(&whole).as_bytes()).into_owned();
            prop_assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(want).unwrap());
        }
    }
}
