//! One HTTP/1 head, byte by byte: RFC 9112 as it is written, without what it lets a recipient forgive.

use crate::admit::Refusal;

/// The largest head of a request, in bytes.
pub(in crate::listen) const LARGEST_HEAD: usize = 64 * 1024;
/// The most header fields of a request.
pub(in crate::listen) const MOST_FIELDS: usize = 100;

/// How the body behind a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// Where the head ends that begins with `bytes`: behind its empty line. `from` is where to go on looking; lines before it were
/// looked at already, and it is moved on.
///
/// # Errors
/// At the first line feed that stands alone, and when the head is too large.
pub(super) fn end(bytes: &[u8], from: &mut usize) -> Result<Option<usize>, Refusal> {
    while let Some(at) = bytes.get(*from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let feed = *from + at;
        let line_end = feed.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b'\r'));
        let Some(line_end) = line_end else { return Err(Refusal::Framing("a line feed alone")) };
        let ends = bytes.get(..line_end).is_some_and(|before| before.ends_with(b"\r\n"));
        *from = feed + 1;
        if ends {
            return if feed < LARGEST_HEAD { Ok(Some(feed + 1)) } else { Err(too_large(bytes)) };
        }
    }
    if bytes.len() > LARGEST_HEAD { Err(too_large(bytes)) } else { Ok(None) }
}

/// It may be the first line already.
fn too_large(bytes: &[u8]) -> Refusal {
    let begin = bytes.get(..LARGEST_HEAD).unwrap_or(bytes);
    if memchr::memchr(b'\n', begin).is_some() { Refusal::HeadTooLarge } else { Refusal::TargetTooLong }
}

/// Reads a head, with its empty line at the end, and says what follows it.
///
/// # Errors
/// What has two readings somewhere, or none.
pub(super) fn read(head: &[u8]) -> Result<Body, Refusal> {
    // Old browsers sent a line end behind a form; RFC 9112, section 2.2, wants one to be overlooked.
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut lines = head.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    let version = request_line(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked) = (None, false);
    let mut count = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        count += 1;
        if count > MOST_FIELDS {
            return Err(Refusal::HeadTooLarge);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(number(value)?).is_some() {
                return Err(Refusal::Framing("more than one Content-Length"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding")
            && (std::mem::replace(&mut chunked, true) || !value.eq_ignore_ascii_case(b"chunked"))
        {
            return Err(Refusal::Framing("a Transfer-Encoding other than chunked"));
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Refusal::Framing("both Transfer-Encoding and Content-Length")),
        (None, true) if version == Minor::Zero => Err(Refusal::Framing("Transfer-Encoding in HTTP/1.0")),
        (None, true) => Ok(Body::Chunked),
        (length, false) => Ok(Body::Length(length.unwrap_or(0))),
    }
}

#[derive(PartialEq, Eq)]
enum Minor {
    Zero,
    One,
}

/// Method, target and version, with one space between (RFC 9112, section 3).
fn request_line(line: &[u8]) -> Result<Minor, Refusal> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let minor = match version {
        Some(b"HTTP/1.1") => Minor::One,
        Some(b"HTTP/1.0") => Minor::Zero,
        _ => return Err(Refusal::Framing("a malformed request line")),
    };
    let method_is_one = method.is_some_and(|method| !method.is_empty() && method.iter().all(is_token));
    let target_is_one = target.is_some_and(|target| {
        !target.is_empty() && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
    });
    if method_is_one && target_is_one && words.next().is_none() {
        return Ok(minor);
    }
    Err(Refusal::Framing("a malformed request line"))
}

/// Name and value; no space before the colon, no line that goes on from the one before (RFC 9112, section 5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let malformed = Refusal::Framing("a malformed header field");
    let colon = memchr::memchr(b':', line).ok_or(malformed)?;
    let (name, rest) = line.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    let value_is_one = value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    if name.is_empty() || !name.iter().all(is_token) || !value_is_one {
        return Err(malformed);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    Ok((name, value.get(begin..end).unwrap_or_default()))
}

/// Digits and nothing else; 19 of them fit any machine.
fn number(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or(Refusal::Framing("a Content-Length that is no number"))
}

/// RFC 9110, section 5.6.2. Ranges: this is asked for every byte of every name.
pub(super) const fn is_token(byte: &u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_one_reading_or_none() {
        for (name, head, expected) in [
            ("no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Body::Length(0))),
            ("length", "POST / HTTP/1.1\r\nContent-Length:\t 12 \r\n\r\n", Some(Body::Length(12))),
            ("chunked", "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n", Some(Body::Chunked)),
            ("old", "GET / HTTP/1.0\r\n\r\n", Some(Body::Length(0))),
            ("no value", "GET / HTTP/1.1\r\nX:\r\n\r\n", Some(Body::Length(0))),
            ("bytes beyond ASCII in a value", "GET / HTTP/1.1\r\nX: \u{e9}\r\n\r\n", Some(Body::Length(0))),
            ("both", "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("equal lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", None),
            ("signed", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", None),
            ("20 digits", "POST / HTTP/1.1\r\nContent-Length: 00000000000000000001\r\n\r\n", None),
            ("chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("gzip, chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", None),
            ("folded", "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", None),
            ("space before the colon", "GET / HTTP/1.1\r\nX : a\r\n\r\n", None),
            ("no colon", "GET / HTTP/1.1\r\nX\r\n\r\n", None),
            ("no name", "GET / HTTP/1.1\r\n: a\r\n\r\n", None),
            ("carriage return alone", "GET / HTTP/1.1\r\nX: a\rY: b\r\n\r\n", None),
            ("NUL", "GET / HTTP/1.1\r\nX: a\0\r\n\r\n", None),
            ("two spaces", "GET  / HTTP/1.1\r\n\r\n", None),
            ("tab", "GET\t/ HTTP/1.1\r\n\r\n", None),
            ("no version", "GET /\r\n\r\n", None),
            ("another version", "GET / HTTP/1.2\r\n\r\n", None),
            ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", None),
            ("space at the end", "GET / HTTP/1.1 \r\n\r\n", None),
            ("fragment", "GET /#a HTTP/1.1\r\n\r\n", None),
        ] {
            assert_eq!(read(head.as_bytes()).ok(), expected, "{name}");
        }
    }

    #[test]
    fn the_end_is_found_wherever_reads_cut_it() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let mut from = 0;
        for cut in 0..bytes.len() {
            let expected = (cut >= bytes.len() - 4).then_some(bytes.len() - 4);
            let found = end(&bytes[..cut], &mut from);
            assert_eq!(found, Ok(expected), "{cut}");
            if expected.is_some() {
                return;
            }
        }
    }
}
