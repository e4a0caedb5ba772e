//! What a request carries to a backend that cannot be told its public address.

use super::{origins, shown, sizes};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use lychgate::rewrite::{Mode, Origins, Translation};
use std::sync::Arc;

/// `a=b&c=d`: any split gives what the whole gives; the fields stay as many, and where nothing is public each says what it said.
pub fn form(data: &[u8]) {
    for origins in origins(Mode::Full) {
        let whole = every_split(origins, "application/x-www-form-urlencoded", data);
        let fields = |form: &[u8]| -> Vec<Vec<u8>> {
            form.split(|byte| b"&;=".contains(byte))
                .map(|piece| {
                    let spaces: Vec<u8> =
                        piece.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
                    percent_encoding::percent_decode(&spaces).collect()
                })
                .collect()
        };
        let (before, after) = (fields(data), fields(&whole));
        assert_eq!(before.len(), after.len(), "fields came or went: {}", shown(&whole));
        if !is_public(&before.concat()) {
            assert_eq!(before, after, "{}", shown(&whole));
        }
        if let Ok(query) = std::str::from_utf8(data)
            && let Some(mapped) = origins.query_to_internal(query)
        {
            assert_eq!(shown(mapped.as_bytes()), shown(&whole), "a query is read otherwise than a body");
        }
    }
}

/// Parts behind the boundary `b`: any split gives what the whole gives, and where nothing is public not a byte changes.
pub fn multipart(data: &[u8]) {
    for origins in origins(Mode::Full) {
        let whole = every_split(origins, "multipart/form-data; boundary=b", data);
        if !is_public(data) {
            assert_eq!(shown(&whole), shown(data));
        }
    }
}

/// Whether anything in it can be a public address, or a path to return to.
fn is_public(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    // The names of return addresses end so, or are one of the others.
    has("example") || ["from", "url", "refer", "next", "return", "redirect"].into_iter().any(has)
}

fn every_split(origins: &Arc<Origins>, kind: &'static str, data: &[u8]) -> Vec<u8> {
    let whole = translated(origins, kind, data, data.len().max(1));
    for size in sizes(data) {
        assert_eq!(shown(&translated(origins, kind, data, size)), shown(&whole), "in pieces of {size}");
    }
    whole
}

fn translated(origins: &Arc<Origins>, kind: &'static str, data: &[u8], size: usize) -> Vec<u8> {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let mut translation = Translation::of(origins, &headers).expect("forms are translated");
    let mut out = Vec::new();
    for piece in data.chunks(size) {
        out.extend(translation.push(Bytes::copy_from_slice(piece)).expect("it is not encoded"));
    }
    out.extend(translation.finish().expect("it is not encoded"));
    out.concat()
}
