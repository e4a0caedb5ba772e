//! Internal names in what the gate lets out. The same map finds them that should have replaced them, plus the bare names it leaves.

use std::io::Read as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::observe::access::loggable_path;
use crate::rewrite::{Origins, Stream};

/// The most of a packed file that is unpacked, in bytes.
const UNPACKED: u64 = 16 << 20;
/// How much of a place is shown, in characters.
const SHOWN: usize = 100;

/// An internal name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leak {
    /// `body`, or the field it is in.
    pub place: String,
    /// What is there, without query, at most some dozen characters.
    pub name: String,
}

/// What header section and body give away.
pub(super) fn in_answer(origins: &Origins, headers: &HeaderMap, body: &[u8]) -> Vec<Leak> {
    let mut found = Vec::new();
    for (name, value) in headers {
        if let Some(what) = tells(name) {
            found.push(Leak { place: format!("header {name}"), name: what.to_owned() });
        }
        for leak in in_text(origins, value.as_bytes()) {
            found.push(Leak { place: format!("header {name}"), ..leak });
        }
    }
    if body.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        let _ = flate2::read::GzDecoder::new(body).take(UNPACKED).read_to_end(&mut unpacked);
        found.extend(in_text(origins, &unpacked));
    } else {
        found.extend(in_text(origins, body));
    }
    found
}

/// What a text gives away, a finding for each line that does.
pub(super) fn in_text(origins: &Origins, text: &[u8]) -> Vec<Leak> {
    // As a whole first: what is found depends on what stands before, and most texts are clean.
    if !is_leaky(origins, text) {
        return Vec::new();
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| is_leaky(origins, line));
    let mut found: Vec<Leak> =
        lines.map(|line| Leak { place: "body".to_owned(), name: excerpt(origins, line) }).collect();
    if found.is_empty() {
        found.push(Leak { place: "body".to_owned(), name: excerpt(origins, text) });
    }
    found
}

fn is_leaky(origins: &Origins, text: &[u8]) -> bool {
    let mut stream = Stream::new(origins.outward().clone());
    let mut at = 0;
    let mut changed = false;
    let mut compare = |piece: Bytes| {
        let end = at + piece.len();
        changed |= text.get(at..end) != Some(&piece[..]);
        at = end;
    };
    stream.push(Bytes::copy_from_slice(text), &mut compare);
    stream.finish(&mut compare);
    changed || stream.remaining() > 0
}

/// The place that would be rewritten, from blank or quote to blank or quote, less query and tokens, cut short.
fn excerpt(origins: &Origins, line: &[u8]) -> String {
    let mapped = origins.rewrite(line);
    let at = line.iter().zip(mapped.iter()).take_while(|(one, other)| one == other).count();
    if at == line.len() && mapped.len() == line.len() {
        return "an internal name that is part of no address".to_owned();
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'<>()=?#".contains(byte);
    let (before, after) = line.split_at_checked(at).unwrap_or((line, b""));
    let start = before.iter().rev().take(SHOWN).take_while(|byte| !ends(byte)).count();
    let end = after.iter().take_while(|byte| !ends(byte)).count();
    let found = String::from_utf8_lossy(line.get(at - start..at + end).unwrap_or_default());
    // Masked first: half a token is no longer seen to be one.
    loggable_path(&found).chars().take(SHOWN).collect()
}

/// Fields that name what stands behind the gate.
fn tells(name: &HeaderName) -> Option<&'static str> {
    let name = name.as_str();
    (name == "x-powered-by" || name.starts_with("bobo-")).then_some("tells what stands behind the gate")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::Mode;
    use http::HeaderValue;

    fn origins() -> Origins {
        let url = |text: &str| text.parse().unwrap();
        Origins::new(
            &url("http://plone.internal:8088/Plone"),
            &url("https://www.example.org"),
            &["oldbox".to_owned()],
            Mode::Safety,
        )
        .unwrap()
    }

    #[test]
    fn internal_names_are_found_in_every_place_and_quoted_without_query() {
        let packed = {
            use std::io::Write as _;
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(b"<loc>http://plone.internal:8088/Plone/a</loc>").unwrap();
            packer.finish().unwrap()
        };
        for (row, body, expected) in [
            ("clean", &b"<a href='https://www.example.org/a'>x</a>"[..], None),
            (
                "link",
                b"<a href='http://plone.internal:8088/Plone/a?token=1'>",
                Some("http://plone.internal:8088/Plone/a"),
            ),
            (
                "escaped",
                b"{\"u\":\"http:\\/\\/plone.internal:8088\\/Plone\"}",
                Some("http:\\/\\/plone.internal:8088\\/Plone"),
            ),
            (
                "second line",
                b"x\nhttp://plone.internal:8088/Plone\n",
                Some("http://plone.internal:8088/Plone"),
            ),
            ("packed", &packed, Some("http://plone.internal:8088/Plone/a")),
            (
                "a token",
                b"http://plone.internal:8088/Plone/passwordreset/0123456789abcdef0123456789abcdef",
                Some("http://plone.internal:8088/Plone/passwordreset/[token]"),
            ),
        ] {
            let found = in_answer(&origins(), &HeaderMap::new(), body);
            assert_eq!(found.first().map(|leak| leak.name.as_str()), expected, "{row}: {found:?}");
        }
    }

    #[test]
    fn fields_are_looked_through_and_those_that_tell_of_the_backend_are_found() {
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("http://oldbox:8088/x"));
        headers.insert("x-powered-by", HeaderValue::from_static("something"));
        headers.insert("x-request-id", HeaderValue::from_static("1"));
        let mut places: Vec<String> =
            in_answer(&origins(), &headers, b"").into_iter().map(|leak| leak.place).collect();
        places.sort();
        assert_eq!(places, ["header location", "header x-powered-by"]);
    }
}
