//! The name of a field in a `multipart/form-data` body, in every reading that a backend may have of it: as Python's `cgi` reads
//! the head of a part (Zope up to 4), as `multipart` does (Zope 5), and as it stands.

/// What Python's `\s` and `strip` take for space, in Latin-1.
fn is_space(byte: u8) -> bool {
    matches!(byte, 9..=13 | 0x1C..=0x20 | 0x85 | 0xA0)
}

/// Everything that any reader could take for the name of the field whose head this is. The `name` in `filename` counts as
/// well, and so does one in any other line.
pub(super) fn names(head: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let lines = unfold(head);
    let names: Vec<_> = lines.split(|byte| matches!(byte, b'\r' | b'\n')).flat_map(names_in).collect();
    names.into_iter()
}

/// A line that begins with a space continues the one before; `multipart` joins the two without the space between.
fn unfold(head: &[u8]) -> Vec<u8> {
    let mut unfolded: Vec<u8> = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            let end =
                unfolded.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
            unfolded.truncate(end);
            unfolded.extend_from_slice(trim_start(line));
        } else {
            unfolded.extend_from_slice(line);
        }
    }
    unfolded
}

fn names_in(line: &[u8]) -> Vec<Vec<u8>> {
    let lower = line.to_ascii_lowercase();
    let ends = memchr::memmem::find_iter(&lower, b"name").map(|at| at + b"name".len());
    ends.flat_map(|end| {
        let rest = trim_start(line.get(end..).unwrap_or_default());
        rest.strip_prefix(b"=").map(|rest| readings(trim_start(rest))).unwrap_or_default()
    })
    .collect()
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// The value of a parameter, as each reader reads it.
fn readings(rest: &[u8]) -> Vec<Vec<u8>> {
    // cgi: to the first `;` outside quotes, and without the quotes around all of it.
    let whole = rest.get(..parameter_end(rest)).unwrap_or(rest);
    let end = whole.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    let whole = whole.get(..end).unwrap_or(whole);
    let inner = whole.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(whole);
    let mut readings = vec![inner.to_vec(), unescape(inner)];
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        // multipart: to the first quote that is not escaped, or if there is none, to the first.
        let to = |end: Option<usize>| quoted.get(..end.unwrap_or(quoted.len())).unwrap_or(quoted);
        let text = to(unescaped_quote(quoted));
        // What looks like a path of Windows is cut down to what stands behind the last backslash.
        let last = text.rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
        let first = to(memchr::memchr(b'"', quoted));
        readings.extend([text.to_vec(), unescape(text), last.to_vec(), first.to_vec()]);
    } else {
        const SPECIAL: &[u8] = b"()<>@,;:\"\\/[]?={} \t";
        let end = rest.iter().position(|byte| SPECIAL.contains(byte)).unwrap_or(rest.len());
        readings.push(rest.get(..end).unwrap_or(rest).to_vec());
    }
    // Mostly they are all the same.
    readings.sort_unstable();
    readings.dedup();
    readings
}

/// Where `cgi` ends a parameter: at a `;` before which quotes are closed, counting those that are not escaped.
fn parameter_end(rest: &[u8]) -> usize {
    let mut is_open = false;
    let mut before = 0;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'"' if before != b'\\' => is_open = !is_open,
            b';' if !is_open => return at,
            _ => {}
        }
        before = *byte;
    }
    rest.len()
}

fn unescaped_quote(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })
}

/// As both do: `\\` is one backslash, and then `\"` one quote.
fn unescape(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.replace("\\\\", "\\").replace("\\\"", "\"").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readers_reading_is_among_them() {
        for (value, name) in [
            (&b" form-data; name=\"a\""[..], "a"),
            (b"form-data; name=a", "a"),
            (b"form-data;NAME = \"a\" ; filename=\"b\"", "a"),
            (b"form-data; filename=\"b\"; name=\"a\"", "a"),
            (b"form-data; name=\"a;b\"", "a;b"),
            (b"form-data; name=\"a\\\"b\"", "a\"b"),
            (b"form-data; name=\"a\"b\"", "a\"b"),
            (b"form-data; name=\"a\"b\"; x=\"y\"", "a\"b\"; x=\"y"),
            (b"form-data; name=a b", "a"),
            (b"form-data; name=\xa0\"a\"", "a"),
            (b"form-data; name=\"a\"\x0b; x", "a"),
            (b"form-data; name=\"a\\\\\"b\"", "a\\"),
            (b"form-data; name=\"\\\\host\\a\"", "a"),
            (b"form-data; name=\"C:\\a\"", "a"),
            (b"form-data; name=\"a\r\n b\"", "ab"),
            (b"form-data; na\r\n\tme=\"a\"\r\nX: y", "a"),
            (b"form-data; name=\"never closed", "never closed"),
        ] {
            let found: Vec<_> =
                names(value).map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
            assert!(found.iter().any(|found| found == name), "{name} in {found:?}");
        }
    }
}
