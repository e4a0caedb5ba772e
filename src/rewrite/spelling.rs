//! The spellings in which one character of a URL travels, and reading them.
//!
//! A slash in a page is `/`, but in JSON it may be `\/` or `\u002f`, in a query `%2F` or (a URL inside a URL
//! inside a URL) `%252F`, in HTML `&#47;`, `&#x2f;` or `&sol;`, and these nest: `\\/` is JSON in JSON, `%5C%2F`
//! JSON in a query, `&amp;#47;` HTML in a feed. [`read`] knows them all, so that the grammar of an address
//! ([`super::grammar`]) is written once, in characters. [`respell`] writes a character the way another was
//! found, and [`left`] reads the character that stands before a position.
//!
//! Every function looks at a bounded number of bytes ([`LONGEST`]), which is what makes the streaming
//! rewriter's memory constant, and tells "no" from "not enough bytes yet", which is what makes its output
//! independent of where the input was cut.

/// The most bytes one character's spelling may take: `&amp;amp;#x0000000;` is 19, `%2525255C%2525252F` 18.
pub(super) const LONGEST: usize = 20;

/// How often an escape may be escaped again.
const DEPTH: usize = 3;

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// This character (a Unicode scalar or, unescaped, one byte), spelled in `len` bytes.
    Char(u32, usize),
    /// The bytes end before it is certain; more may come.
    More,
    /// The text ends here.
    End,
}

/// Whether a wanted character stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sym {
    /// Yes, spelled in so many bytes.
    Yes(usize),
    /// No.
    No,
    /// The bytes end before it is certain; more may come.
    More,
}

/// Reads the character at `at`. `end`: no more bytes will come after `text`.
#[inline]
pub(super) fn read(text: &[u8], at: usize, end: bool) -> Read {
    match text.get(at) {
        None if end => Read::End,
        None => Read::More,
        Some(b'%') => percent(text, at, end),
        Some(b'\\') => backslash(text, at, end),
        Some(b'&') => entity(text, at, end),
        Some(&byte) => Read::Char(u32::from(byte), 1),
    }
}

/// Whether `wanted` (not one of `%`, `\`, `&`) stands at `at` in any spelling.
#[inline]
pub(super) fn symbol(text: &[u8], at: usize, end: bool, wanted: u8) -> Sym {
    match text.get(at) {
        Some(&byte) if byte == wanted => Sym::Yes(1),
        Some(b'%' | b'\\' | b'&') | None => spelled(text, at, end, |c| c == u32::from(wanted)),
        Some(_) => Sym::No,
    }
}

/// The same for a letter, digit, dash or underscore of a host, in any case. Encoders that trust nothing spell a dash (`\u002D`), and those
/// that hide mail addresses from harvesters every letter (`&#112;&#108;…`).
#[inline]
pub(super) fn letter(text: &[u8], at: usize, end: bool, wanted: u8) -> Sym {
    match text.get(at) {
        Some(byte) if byte.eq_ignore_ascii_case(&wanted) => Sym::Yes(1),
        Some(b'%' | b'\\' | b'&') | None => {
            spelled(text, at, end, |c| u8::try_from(c).is_ok_and(|c| c.eq_ignore_ascii_case(&wanted)))
        }
        Some(_) => Sym::No,
    }
}

/// The same unspelled.
pub(super) fn unspelled(text: &[u8], at: usize, end: bool, wanted: u8) -> Sym {
    match text.get(at) {
        Some(byte) if byte.eq_ignore_ascii_case(&wanted) => Sym::Yes(1),
        None if !end => Sym::More,
        _ => Sym::No,
    }
}

/// The same for the letter or digit that a host begins with, spelled, in one of [`spellings`]: only those are looked for.
pub(super) fn first_letter(text: &[u8], at: usize, end: bool, wanted: u8) -> Sym {
    let sym = spelled(text, at, end, |c| c == u32::from(wanted));
    let Sym::Yes(len) = sym else { return sym };
    let is_known = match text.get(at..at.saturating_add(len)).unwrap_or_default() {
        [b'%', rest @ ..] => rest.len() == 2,
        [b'\\', b'u' | b'U' | b'x', ..] => true,
        [b'&', b'#', b'x' | b'X', digit, ..] | [b'&', b'#', digit, ..] => *digit != b'0',
        _ => false,
    };
    if is_known { sym } else { Sym::No }
}

/// How who spells all letters and digits spells this one, from its first byte on.
pub(super) fn spellings(letter: u8) -> [Vec<u8>; 5] {
    let hex = format!("{letter:x}");
    [
        format!("&#{letter}"),
        format!("&#x{hex}"),
        format!("%{hex}"),
        format!("\\u00{hex}"),
        format!("\\x{hex}"),
    ]
    .map(String::into_bytes)
}

/// The same for the dot between the labels of a host, for which browsers also take those of Chinese and Japanese (UTS #46, section 2.3).
#[inline]
pub(super) fn dot(text: &[u8], at: usize, end: bool) -> Sym {
    match text.get(at) {
        Some(b'.') => Sym::Yes(1),
        Some(0xe3 | 0xef) => {
            let seen = text.get(at..at.saturating_add(3).min(text.len())).unwrap_or_default();
            match WIDE_DOTS.iter().find(|(_, utf8)| utf8.starts_with(seen)) {
                Some(_) if seen.len() == 3 => Sym::Yes(3),
                Some(_) if !end => Sym::More,
                _ => Sym::No,
            }
        }
        Some(b'%' | b'\\' | b'&') | None => {
            spelled(text, at, end, |c| c == 0x2e || WIDE_DOTS.iter().any(|(wide, _)| *wide == c))
        }
        Some(_) => Sym::No,
    }
}

/// The other dots, and their UTF-8.
const WIDE_DOTS: [(u32, &[u8]); 3] =
    [(0x3002, b"\xe3\x80\x82"), (0xff0e, b"\xef\xbc\x8e"), (0xff61, b"\xef\xbd\xa1")];

fn spelled(text: &[u8], at: usize, end: bool, is_it: impl Fn(u32) -> bool) -> Sym {
    match read(text, at, end) {
        Read::Char(c, len) if is_it(c) => Sym::Yes(len),
        Read::Char(..) | Read::End => Sym::No,
        Read::More => Sym::More,
    }
}

/// `%2F`, `%252F` …, and the pair `%5C%2F` (an escaped backslash before an escaped slash).
fn percent(text: &[u8], at: usize, end: bool) -> Read {
    match percent_once(text, at, end) {
        Read::Char(0x5c, len) => {
            let next = at.saturating_add(len);
            let slash = match text.get(next) {
                Some(b'/') => Read::Char(0x2f, 1),
                Some(b'%') => percent_once(text, next, end),
                Some(_) => Read::End,
                None if end => Read::End,
                None => Read::More,
            };
            match slash {
                Read::Char(0x2f, more) => Read::Char(0x2f, len.saturating_add(more)),
                Read::More => Read::More,
                _ => Read::Char(0x5c, len),
            }
        }
        read => read,
    }
}

fn percent_once(text: &[u8], at: usize, end: bool) -> Read {
    let mut digits = at.saturating_add(1);
    for _ in 0..=DEPTH {
        let value = match hex(text, digits, 2, end) {
            Hex::Value(value) => value,
            Hex::More => return Read::More,
            // `%25` was read before this: a percent sign. Otherwise a lone one.
            Hex::No if digits > at.saturating_add(1) => return Read::Char(0x25, digits.saturating_sub(at)),
            Hex::No => return Read::Char(0x25, 1),
        };
        digits = digits.saturating_add(2);
        if value != 0x25 {
            return Read::Char(value, digits.saturating_sub(at));
        }
    }
    Read::Char(0x25, digits.saturating_sub(at))
}

/// `\/`, `\.`, `\:`, `\u002f`, `\x2f`, each behind one to four backslashes.
fn backslash(text: &[u8], at: usize, end: bool) -> Read {
    let rest = text.get(at..).unwrap_or_default();
    let count = rest.iter().take(DEPTH.saturating_add(1)).take_while(|&&byte| byte == b'\\').count();
    let after = at.saturating_add(count);
    let escaped = after.saturating_add(1);
    let (digits, len) = match text.get(after) {
        Some(&byte @ (b'/' | b'.' | b':')) => return Read::Char(u32::from(byte), count.saturating_add(1)),
        Some(b'u' | b'U') => (4, count.saturating_add(5)),
        Some(b'x') => (2, count.saturating_add(3)),
        None if !end => return Read::More,
        _ => return Read::Char(0x5c, 1),
    };
    match hex(text, escaped, digits, end) {
        Hex::Value(value) => Read::Char(value, len),
        Hex::More => Read::More,
        Hex::No => Read::Char(0x5c, 1),
    }
}

/// `&#47;`, `&#x2f;`, `&sol;`, each behind up to two further `amp;`.
fn entity(text: &[u8], at: usize, end: bool) -> Read {
    let mut rest = text.get(at.saturating_add(1)..).unwrap_or_default();
    let mut len = 1_usize;
    // What it is if nothing known follows: the ampersand, itself perhaps spelled `&amp;`.
    let mut plain = 1_usize;
    for _ in 1..DEPTH {
        let Some(inner) = rest.strip_prefix(b"amp;") else { break };
        rest = inner;
        len = len.saturating_add(4);
        plain = 5;
    }
    let plain = Read::Char(0x26, plain);
    if let Some(number) = rest.strip_prefix(b"#") {
        let (radix, digits, sign) = match number.first() {
            Some(b'x' | b'X') => (16, number.get(1..).unwrap_or_default(), 2_usize),
            _ => (10, number, 1),
        };
        let count = digits.iter().take(8).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let after = digits.get(count);
        if after.is_none() && !end && count < 8 {
            return Read::More;
        }
        if count == 0 || count > 7 {
            return plain;
        }
        let value = digits.iter().take(count).fold(0_u32, |value, byte| {
            value.saturating_mul(radix).saturating_add(char::from(*byte).to_digit(radix).unwrap_or(0))
        });
        let semicolon = usize::from(after == Some(&b';'));
        return Read::Char(value, len.saturating_add(sign).saturating_add(count).saturating_add(semicolon));
    }
    for (name, value) in NAMED {
        if let Some(rest) = rest.strip_prefix(name.as_bytes())
            && rest.first() == Some(&b';')
        {
            return Read::Char(*value, len.saturating_add(name.len()).saturating_add(1));
        }
    }
    if !end && is_start_of_entity(rest) { Read::More } else { plain }
}

/// The named entities that matter at the edges of an address (HTML, section 13.5).
const NAMED: &[(&str, u32)] = &[
    ("sol", 0x2f),
    ("colon", 0x3a),
    ("period", 0x2e),
    ("commat", 0x40),
    ("quot", 0x22),
    ("apos", 0x27),
    ("lt", 0x3c),
    ("gt", 0x3e),
    ("num", 0x23),
    ("quest", 0x3f),
    ("lowbar", 0x5f),
    ("lsqb", 0x5b),
    ("lbrack", 0x5b),
    ("rsqb", 0x5d),
    ("rbrack", 0x5d),
];

/// Whether more bytes could turn the end of the text into an entity that [`entity`] knows.
fn is_start_of_entity(rest: &[u8]) -> bool {
    let starts = |name: &str| name.as_bytes().starts_with(rest);
    rest.is_empty() || starts("amp;") || NAMED.iter().any(|(name, _)| rest == name.as_bytes() || starts(name))
}

enum Hex {
    Value(u32),
    No,
    More,
}

/// Exactly `count` hexadecimal digits at `at`.
fn hex(text: &[u8], at: usize, count: usize, end: bool) -> Hex {
    let mut value = 0_u32;
    for offset in 0..count {
        match text.get(at.saturating_add(offset)).map(|byte| char::from(*byte).to_digit(16)) {
            Some(Some(digit)) => value = value.saturating_mul(16).saturating_add(digit),
            None if !end => return Hex::More,
            _ => return Hex::No,
        }
    }
    Hex::Value(value)
}

/// Writes `wanted` in the way `model`, the bytes of one read character, is spelled.
pub(super) fn respell(model: &[u8], wanted: u8, out: &mut Vec<u8>) {
    let lower = !model.iter().any(u8::is_ascii_uppercase);
    match model {
        [b'%', ..] => {
            let layers =
                model.get(1..).unwrap_or_default().chunks(2).take_while(|pair| pair == b"25").count();
            out.push(b'%');
            for _ in 0..layers {
                out.extend_from_slice(b"25");
            }
            push_hex(wanted, lower, out);
        }
        [b'\\', ..] => match model.iter().position(|byte| matches!(byte, b'u' | b'U' | b'x')) {
            Some(letter) => {
                out.extend_from_slice(model.get(..=letter).unwrap_or_default());
                if model.get(letter) != Some(&b'x') {
                    out.extend_from_slice(b"00");
                }
                push_hex(wanted, lower, out);
            }
            None if wanted == b'/' => out.extend_from_slice(model),
            None => out.push(wanted),
        },
        [b'&', ..] => {
            let layers =
                model.get(1..).unwrap_or_default().chunks(4).take_while(|four| four == b"amp;").count();
            out.push(b'&');
            for _ in 0..layers {
                out.extend_from_slice(b"amp;");
            }
            out.extend_from_slice(b"#x");
            push_hex(wanted, true, out);
            out.push(b';');
        }
        _ => out.push(wanted),
    }
}

fn push_hex(byte: u8, lower: bool, out: &mut Vec<u8>) {
    for nibble in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let digit = if lower { digit } else { digit.to_ascii_uppercase() };
        out.extend(u8::try_from(digit));
    }
}

/// Whether a byte may be part of a host name.
#[inline]
pub(super) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The same of a character read from some spelling.
#[inline]
pub(super) fn is_host_char(c: u32) -> bool {
    u8::try_from(c).is_ok_and(is_host_byte)
}

/// What stands to the left of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Something that cannot belong to a host name.
    Boundary,
    /// A slash: what follows is a path segment.
    Slash,
    /// An at sign: what follows is the host of a mail address or of a URL with user information.
    At,
    /// A character of a host name: what follows is its tail.
    Host,
}

/// The most bytes [`left`] looks back.
pub(super) const LEFT: usize = LONGEST;

/// Reads what stands before `at`. The start of the text is a boundary.
pub(super) fn left(text: &[u8], at: usize) -> Left {
    let before = text.get(..at).unwrap_or_default();
    match before {
        [.., b'/'] => Left::Slash,
        [.., b'@'] => Left::At,
        // `.plone.internal`, `*.plone.internal`: the leading dot of a cookie domain or a wildcard.
        [.., byte, b'.'] if is_host_byte(*byte) || *byte == b'.' => Left::Host,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => Left::Boundary,
        [.., b';'] => left_of_entity(before),
        [.., byte] if is_host_byte(*byte) => left_of_escape(before),
        _ => Left::Boundary,
    }
}

/// `before` ends with a host byte: the last digit of `%2F`, `%252F`, `\u002f`, `\x2f`, or just a letter.
fn left_of_escape(before: &[u8]) -> Left {
    for len in [3, 5, 7, 9, 4, 6] {
        let start = before.len().checked_sub(len);
        let Some(escape) = start.and_then(|start| before.get(start..)) else { continue };
        if matches!(escape.first(), Some(b'%' | b'\\'))
            && let Read::Char(c, read) = read(escape, 0, true)
            && read == len
        {
            return classify(c);
        }
    }
    Left::Host
}

fn left_of_entity(before: &[u8]) -> Left {
    let start = before.len().saturating_sub(LONGEST);
    let tail = before.get(start..).unwrap_or_default();
    for (at, _) in tail.iter().enumerate().filter(|(_, byte)| **byte == b'&') {
        if let Read::Char(c, len) = read(tail, at, true)
            && at.saturating_add(len) == tail.len()
        {
            return classify(c);
        }
    }
    Left::Boundary
}

fn classify(c: u32) -> Left {
    match c {
        0x2f => Left::Slash,
        0x40 => Left::At,
        0x2e => Left::Host,
        c if is_host_char(c) => Left::Host,
        _ => Left::Boundary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_slash_is_read_whole() {
        for spelling in [
            "/",
            "\\/",
            "\\\\/",
            "\\\\\\/",
            "\\u002f",
            "\\u002F",
            "\\\\u002f",
            "\\x2f",
            "%2F",
            "%2f",
            "%252F",
            "%25252f",
            "%5C/",
            "%5C%2F",
            "%255C%252F",
            "&#47;",
            "&#047;",
            "&#x2f;",
            "&#X2F;",
            "&#x002F;",
            "&sol;",
            "&amp;#47;",
            "&amp;sol;",
            "&amp;amp;#x2f;",
        ] {
            assert_eq!(read(spelling.as_bytes(), 0, true), Read::Char(0x2f, spelling.len()), "{spelling}");
            let followed = format!("{spelling}zz");
            assert_eq!(read(followed.as_bytes(), 0, false), Read::Char(0x2f, spelling.len()), "{followed}");
            for cut in 1..spelling.len() {
                // Cut short, it is either still open or already certain not to be shorter.
                assert_eq!(
                    symbol(&spelling.as_bytes()[..cut], 0, false, b'/'),
                    Sym::More,
                    "{spelling} cut at {cut}"
                );
            }
            assert!(spelling.len() <= LONGEST);
        }
    }

    #[test]
    fn what_only_resembles_an_escape_is_itself() {
        for (text, c) in [
            ("%", 0x25),
            ("%zz", 0x25),
            ("%2", 0x25),
            ("\\q", 0x5c),
            ("\\u00", 0x5c),
            ("&", 0x26),
            ("&x;", 0x26),
        ] {
            assert_eq!(read(text.as_bytes(), 0, true), Read::Char(c, 1), "{text}");
        }
        assert_eq!(read(b"&amp;x", 0, true), Read::Char(0x26, 5));
        assert_eq!(read(b"%25", 0, true), Read::Char(0x25, 3));
        assert_eq!(read(b"&#47localhost", 0, true), Read::Char(0x2f, 4));
        assert_eq!(read(b"&#99999999999;", 0, true), Read::Char(0x26, 1));
    }

    #[test]
    fn a_colon_is_written_the_way_a_slash_was_found() {
        for (model, want) in [
            ("/", ":"),
            ("\\/", ":"),
            ("\\u002f", "\\u003a"),
            ("\\\\u002F", "\\\\u003A"),
            ("\\x2f", "\\x3a"),
            ("%2F", "%3A"),
            ("%2f", "%3a"),
            ("%252F", "%253A"),
            ("&#47;", "&#x3a;"),
            ("&amp;sol;", "&amp;#x3a;"),
        ] {
            let mut out = Vec::new();
            respell(model.as_bytes(), b':', &mut out);
            assert_eq!(String::from_utf8_lossy(&out), want, "{model}");
        }
    }

    #[test]
    fn the_left_side_is_read_through_escapes() {
        for (before, want) in [
            ("", Left::Boundary),
            (" ", Left::Boundary),
            ("\"", Left::Boundary),
            ("x", Left::Host),
            ("x.", Left::Host),
            ("*.", Left::Boundary),
            (" .", Left::Boundary),
            ("/", Left::Slash),
            ("%2F", Left::Slash),
            ("%252f", Left::Slash),
            ("%20", Left::Boundary),
            ("%41", Left::Host),
            ("a%2E", Left::Host),
            ("\\n", Left::Boundary),
            ("\\u0022", Left::Boundary),
            ("\\u002f", Left::Slash),
            ("@", Left::At),
            ("%40", Left::At),
            ("&#64;", Left::At),
            ("&quot;", Left::Boundary),
            ("&sol;", Left::Slash),
            ("-", Left::Host),
            ("\u{e9}", Left::Boundary),
        ] {
            assert_eq!(left(before.as_bytes(), before.len()), want, "{before:?}");
        }
    }
}
