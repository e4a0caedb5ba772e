//! A path with another prefix: `/Plone/docs` → `/docs`, or the reverse. What comes of it is a path of the site, never another host, whatever
//! stood behind the prefix.

use super::prefix::{Prefix, prefix_at};
use super::spelling::{Read, Sym, read, symbol};

/// The path with another prefix, if it has that one. Both are segments.
pub(super) fn moved(path: &[u8], from: &[Vec<u8>], to: &[Vec<u8>]) -> Option<Vec<u8>> {
    let start = path.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let (space, path) = path.split_at_checked(start)?;
    // `%2FPlone` is a file's name; `&#47;Plone` in HTML is a path.
    path.first().filter(|byte| matches!(byte, b'/' | b'&'))?;
    // Neither an empty link, which means "here", nor `//`, which means another host.
    let mut rest = after_prefix(path, from)?;
    let mut slash = link_slash(rest);
    while let Some(tail) = slash.and_then(|length| rest.get(length..)) {
        let next = link_slash(tail);
        if next.is_none() {
            break;
        }
        (rest, slash) = (tail, next);
    }
    let slash: &[u8] = if slash.is_some() { b"" } else { b"/" };
    let mut link = Vec::with_capacity(path.len().saturating_add(64));
    link.extend_from_slice(space);
    for segment in to {
        link.push(b'/');
        link.extend_from_slice(segment);
    }
    link.extend_from_slice(slash);
    link.extend_from_slice(rest);
    if is_host(&link) { None } else { Some(link) }
}

fn after_prefix<'a>(path: &'a [u8], prefix: &[Vec<u8>]) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        let Sym::Yes(slash) = symbol(path, 0, true, b'/') else { return None };
        let is_host = matches!(read(path, slash, true), Read::Char(0x2f | 0x5c, _));
        return if is_host { None } else { Some(path) };
    }
    match prefix_at(prefix, path, 0, true) {
        Prefix::Ends(_, end) => path.get(end..),
        _ => None,
    }
}

/// Maps the paths that the query carries as return addresses. Other parameters may be paths as data
/// (`paths:list=/Plone/x`), which the backend needs as they are.
pub(super) fn return_address(link: &[u8], from: &[Vec<u8>], to: &[Vec<u8>]) -> Option<Vec<u8>> {
    let query = memchr::memchr(b'?', link)?.saturating_add(1);
    let mut out = link.get(..query)?.to_vec();
    let mut changed = false;
    for part in link.get(query..)?.split_inclusive(|byte| matches!(byte, b'&' | b';')) {
        let equals = part.iter().position(|byte| *byte == b'=');
        let (key, value) = part.split_at(equals.map_or(0, |at| at.saturating_add(1)));
        let key_name = key.strip_suffix(b"=").unwrap_or_default();
        let stripped = RETURN_ADDRESSES.contains(&key_name).then(|| after_prefix(value, from)).flatten();
        out.extend_from_slice(key);
        match stripped {
            Some(rest) => {
                let encoded = value.starts_with(b"%");
                for segment in to {
                    out.extend_from_slice(if encoded { b"%2F" } else { b"/" });
                    out.extend_from_slice(segment);
                }
                if !matches!(symbol(rest, 0, true, b'/'), Sym::Yes(_)) {
                    out.extend_from_slice(if encoded { b"%2F" } else { b"/" });
                }
                out.extend_from_slice(rest);
                changed = true;
            }
            None => out.extend_from_slice(value),
        }
    }
    changed.then_some(out)
}

/// Query parameters of CMSs that say where to go afterwards (Plone: facts of its login, challenge and editing).
pub(super) const RETURN_ADDRESSES: &[&[u8]] = &[
    b"came_from",
    b"original_url",
    b"referer",
    b"referrer",
    b"next",
    b"return_url",
    b"return_to",
    b"redirect",
    b"last_referer",
];

/// The length of the slash that a link begins with: a percent-encoded one separates nothing.
fn link_slash(link: &[u8]) -> Option<usize> {
    match symbol(link, 0, true, b'/') {
        Sym::Yes(length) if matches!(link.first(), Some(b'/' | b'&')) => Some(length),
        _ => None,
    }
}

/// Whether browsers take a link without a scheme for one to another host: they read `/\` and `/<tab>/` as `//`.
fn is_host(link: &[u8]) -> bool {
    let (mut at, mut slashes) = (0, 0);
    while slashes < 2 {
        let (c, length) = match (link.get(at), read(link, at, true)) {
            (Some(b'%'), _) => return false,
            (Some(b'\\'), _) => (0x5c, 1),
            (_, Read::Char(c, length)) => (c, length),
            _ => return false,
        };
        match c {
            0x2f | 0x5c => slashes += 1,
            0..=0x20 => {}
            _ => return false,
        }
        at = at.saturating_add(length);
    }
    true
}
