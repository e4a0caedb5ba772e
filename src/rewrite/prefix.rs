//! The path prefix of the site inside, in a text: where it stands, where it ends, and what the text behind it becomes when it goes.

use super::authority::Span;
use super::spelling::{Read, Sym, read, symbol};

/// How many characters behind a path that goes may be looked at for an at sign.
pub(super) const USER: usize = 32;

/// Whether the path prefix stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// It does: its first slash, and where it ends.
    Ends(Span, usize),
    No,
    More,
}

/// Whether a path prefix of these segments stands at `at` and ends there: `/Plone/x`, `/Plone?x`, but not `/Plonex`.
pub(super) fn prefix_at(prefix: &[Vec<u8>], text: &[u8], at: usize, end: bool) -> Prefix {
    let mut slash = None;
    let mut next = at;
    for segment in prefix {
        let len = match symbol(text, next, end, b'/') {
            Sym::Yes(len) => len,
            Sym::No => return Prefix::No,
            Sym::More => return Prefix::More,
        };
        let name = next.saturating_add(len);
        slash.get_or_insert((next, name));
        next = name.saturating_add(segment.len());
        if text.get(name..next) == Some(segment.as_slice()) {
            continue;
        }
        next = name;
        for &wanted in segment {
            match symbol(text, next, end, wanted) {
                Sym::Yes(len) => next = next.saturating_add(len),
                Sym::No => return Prefix::No,
                Sym::More => return Prefix::More,
            }
        }
    }
    let Some(slash) = slash else { return Prefix::No };
    match ends_prefix(text, next, end) {
        Sym::Yes(_) => Prefix::Ends(slash, next),
        Sym::No => Prefix::No,
        Sym::More => Prefix::More,
    }
}

/// Whether a path ends at `at`, or goes on with another segment. Nothing that could become part of the
/// authority when the prefix is gone ends it.
fn ends_prefix(text: &[u8], at: usize, end: bool) -> Sym {
    match read(text, at, end) {
        Read::More => Sym::More,
        Read::End => Sym::Yes(0),
        Read::Char(c, len) => match u8::try_from(c) {
            Ok(byte) if byte <= b' ' => Sym::Yes(0),
            Ok(b'.' | b':') => match read(text, at.saturating_add(len), end) {
                Read::More => Sym::More,
                Read::Char(next, _) if next > 0x20 && next != 0x22 && next != 0x3c => Sym::No,
                _ => Sym::Yes(0),
            },
            Ok(
                b'/' | b'?' | b'#' | b'&' | b'"' | b'\'' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'{'
                | b'}' | b'|' | b'\\' | b',' | b';' | b'`',
            ) => Sym::Yes(0),
            _ => Sym::No,
        },
    }
}

/// Whether what stands at `at`, behind a path that goes, is user information once it stands behind the host: `/Plone&@evil.example` is a path
/// of ours, `https://www.example.org&@evil.example` is another's host. What is too long to tell is taken for that. `None`: more bytes tell.
pub(super) fn becomes_user(text: &[u8], at: usize, end: bool) -> Option<bool> {
    let mut next = at;
    for _ in 0..USER {
        match read(text, next, end) {
            Read::More => return None,
            Read::Char(0x40, _) => return Some(true),
            // What ends an authority (WHATWG's URL standard, section 4.4), or the value that it stands in.
            Read::Char(0..=0x20 | 0x22 | 0x23 | 0x27 | 0x2f | 0x3c | 0x3e | 0x3f | 0x5c | 0x60, _)
            | Read::End => {
                return Some(false);
            }
            Read::Char(_, len) => next = next.saturating_add(len),
        }
    }
    Some(true)
}
