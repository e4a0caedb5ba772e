//! Entity tags of what is rewritten (RFC 9110, section 8.8.3).
//!
//! What goes out is another representation than the backend's, so it has a tag of its own, and a weak one, for a
//! strong tag promises bytes: `"x"` becomes `W/"x-g"`. An editor that saves only what it has read (`If-Match`) sends that back, and the backend
//! knows nothing of it; so the mark comes off again. A weak tag of the backend's is left as it is: it promises no bytes, and is never
//! matched strongly.

use http::HeaderValue;

/// Stands at the end of a tag whose representation was rewritten.
const MARK: &[u8] = b"-g";

/// The tag of what is made of the representation that `tag` stands for; `None` if that stays as it is.
pub fn tag_of_rewritten(tag: &HeaderValue) -> Option<HeaderValue> {
    let inner = tag.as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    HeaderValue::from_bytes(&[b"W/\"".as_slice(), inner, MARK, b"\""].concat()).ok()
}

/// `If-Match`, `If-None-Match`, `If-Range` and `If` with the backend's own tags; `None` if nothing changes.
pub fn tags_to_internal(condition: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&internal(condition.as_bytes())?).ok()
}

pub(super) fn internal(condition: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(condition.len());
    let mut rest = condition;
    let mut changed = false;
    while let Some(open) = memchr::memchr(b'"', rest) {
        let (head, tag) = rest.split_at_checked(open)?;
        let tag = tag.get(1..)?;
        let Some(close) = memchr::memchr(b'"', tag) else { break };
        let (inner, tail) = tag.split_at_checked(close)?;
        let own = head.strip_suffix(b"W/").zip(inner.strip_suffix(MARK));
        let (head, inner) = own.unwrap_or((head, inner));
        changed |= own.is_some();
        for piece in [head, b"\"", inner, b"\""] {
            out.extend_from_slice(piece);
        }
        rest = tail.get(1..)?;
    }
    out.extend_from_slice(rest);
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_as_the_backend_gave_it() {
        for (tag, public) in [
            ("\"x\"", Some("W/\"x-g\"")),
            ("\"\"", Some("W/\"-g\"")),
            ("W/\"x\"", None),
            ("x", None),
            ("\"", None),
        ] {
            let rewritten = tag_of_rewritten(&HeaderValue::from_static(tag));
            assert_eq!(rewritten.as_ref().map(|tag| tag.to_str().unwrap()), public, "{tag}");
            if let Some(rewritten) = rewritten {
                assert_eq!(tags_to_internal(&rewritten).unwrap(), tag);
            }
        }
        for (row, condition, want) in [
            ("a list", "W/\"a-g\", \"b\", W/\"c\", W/\"d-g\"", Some("\"a\", \"b\", W/\"c\", \"d\"")),
            ("any", "*", None),
            ("a strong tag that looks marked", "\"a-g\"", None),
            ("a condition of WebDAV", "</a> ([W/\"x-g\"] <t>)", Some("</a> ([\"x\"] <t>)")),
            ("a date", "Sat, 01 Jan 2000 00:00:00 GMT", None),
            ("never closed", "W/\"a-g\", W/\"b-g", Some("\"a\", W/\"b-g")),
        ] {
            let got = tags_to_internal(&HeaderValue::from_static(condition));
            assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), want, "{row}");
        }
    }
}
