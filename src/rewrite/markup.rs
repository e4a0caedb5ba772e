//! Where a piece of HTML's markup ends: a tag, a comment, a declaration. For [`super::html`], which knows what goes before.

use super::links::is_space;
use memchr::memmem;

/// Where in a tag the next byte stands (HTML, section 13.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InTag {
    Name,
    BeforeAttribute,
    Attribute,
    AfterAttribute,
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

pub(super) fn find(text: &[u8], from: usize, search: impl FnOnce(&[u8]) -> Option<usize>) -> Option<usize> {
    search(text.get(from..)?).map(|at| from.saturating_add(at))
}

/// Finds a byte that is mostly not far: setting up the search over many bytes would take longer than to look at a few.
#[inline]
pub(super) fn near(byte: u8, text: &[u8]) -> Option<usize> {
    const NEAR: usize = 32;
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let (head, tail) = text.split_at_checked(NEAR).unwrap_or((text, &[]));
    let (words, rest) = head.as_chunks::<8>();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        // Zero where the byte is. The lowest high bit of this shows the first zero.
        let differs = u64::from_le_bytes(*word) ^ u64::from_ne_bytes([byte; 8]);
        let zeros = differs.wrapping_sub(ONES) & !differs & HIGHS;
        if zeros != 0 {
            return Some(usize::try_from(zeros.trailing_zeros() / 8).unwrap_or(0).saturating_add(at));
        }
    }
    let looked_at = words.len().saturating_mul(8);
    match rest.iter().position(|seen| *seen == byte) {
        Some(at) => Some(at.saturating_add(looked_at)),
        None => memchr::memchr(byte, tail).map(|at| at.saturating_add(NEAR)),
    }
}

/// Where the tag ends that goes on at `from`; else the state at the end of the text.
pub(super) fn tag_end(text: &[u8], from: usize, state: InTag) -> Result<usize, InTag> {
    let (mut state, mut at) = (state, from);
    if state == InTag::Name {
        // Most tags are a name and attributes in double quotes.
        at = at.saturating_add(plain_name(text.get(at..).unwrap_or_default()));
        while let Some(length) = plain_attribute(text.get(at..).unwrap_or_default()) {
            (state, at) = (InTag::BeforeAttribute, at.saturating_add(length));
        }
        if text.get(at) == Some(&b'>') {
            return Ok(at.saturating_add(1));
        }
    }
    loop {
        // Most bytes are inside of names, and change nothing.
        if matches!(state, InTag::Name | InTag::Attribute) {
            let rest = text.get(at..).unwrap_or_default();
            let inside =
                rest.iter().position(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | b'/' | b'=' | b'>'));
            at = at.saturating_add(inside.unwrap_or(rest.len()));
        }
        let Some(&byte) = text.get(at) else { return Err(state) };
        at = at.saturating_add(1);
        state = match state {
            InTag::Quoted(quote) => match find(text, at.saturating_sub(1), |rest| near(quote, rest)) {
                Some(close) => {
                    at = close.saturating_add(1);
                    InTag::BeforeAttribute
                }
                None => return Err(state),
            },
            InTag::BeforeValue => match byte {
                b'"' | b'\'' => InTag::Quoted(byte),
                b'>' => return Ok(at),
                byte if is_space(byte) => state,
                _ => InTag::Unquoted,
            },
            InTag::Unquoted if byte == b'/' => state,
            InTag::AfterAttribute | InTag::Attribute if byte == b'=' => InTag::BeforeValue,
            _ => match byte {
                b'>' => return Ok(at),
                b'/' => InTag::BeforeAttribute,
                byte if is_space(byte) => match state {
                    InTag::Attribute | InTag::AfterAttribute => InTag::AfterAttribute,
                    _ => InTag::BeforeAttribute,
                },
                _ => match state {
                    InTag::Name | InTag::Unquoted => state,
                    _ => InTag::Attribute,
                },
            },
        };
    }
}

/// How many letters, digits and dashes a text begins with.
#[inline]
pub(super) fn plain_name(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count()
}

/// How long ` name="value"` is, if a text begins so.
#[inline]
fn plain_attribute(text: &[u8]) -> Option<usize> {
    let (b' ', rest) = text.split_first()? else { return None };
    let name = plain_name(rest);
    let value = rest.get(name..)?.strip_prefix(b"=\"").filter(|_| name > 0)?;
    Some(near(b'"', value)?.saturating_add(name).saturating_add(4))
}

/// Whether `text` begins with a tag's name, and that ends there; `None`: it may, with more bytes.
pub(super) fn begins(text: &[u8], name: &[u8]) -> Option<bool> {
    let seen = text.get(..name.len()).unwrap_or(text);
    if !name.get(..seen.len()).is_some_and(|name| name.eq_ignore_ascii_case(seen)) {
        return Some(false);
    }
    text.get(name.len()).map(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'))
}

pub(super) fn is_foreign(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"svg") || name.eq_ignore_ascii_case(b"math")
}

/// How long a comment is, or how many of the last bytes may be the start of its end.
pub(super) fn comment_end(text: &[u8]) -> Result<usize, usize> {
    for close in memchr::memchr_iter(b'>', text) {
        let before = text.get(..close).unwrap_or_default();
        if before.ends_with(b"--") || before.ends_with(b"--!") {
            return Ok(close.saturating_add(1));
        }
    }
    let ends = [b"--!".as_slice(), b"--", b"-"];
    Err(ends.iter().find(|end| text.ends_with(end)).map_or(0, |end| end.len()))
}

pub(super) fn cdata_end(text: &[u8]) -> Result<usize, usize> {
    let ends = [b"]]".as_slice(), b"]"];
    let open = ends.iter().find(|end| text.ends_with(end)).map_or(0, |end| end.len());
    memmem::find(text, b"]]>").map(|at| at.saturating_add(3)).ok_or(open)
}

pub(super) fn declaration_end(text: &[u8]) -> Result<usize, usize> {
    memchr::memchr(b'>', text).map(|at| at.saturating_add(1)).ok_or(0)
}
