//! `a=b&c=d` on its way in: a query, or an urlencoded body. Names and values are decoded, mapped and encoded again as browsers
//! do; what separates them stays where it is.

use super::inward::Value;
use super::origins::Origins;
use std::sync::Arc;
use url::form_urlencoded::byte_serialize;

/// The longest name that is looked at; return addresses have shorter ones.
const LONGEST_NAME: usize = 32;

pub(super) struct Form {
    value: Value,
    /// The name of the field, as far as it matters.
    name: Vec<u8>,
    in_name: bool,
    /// The start of an escape (`%`, `%2`) that was cut.
    cut: Vec<u8>,
}

impl Form {
    pub(super) fn new(origins: Arc<Origins>) -> Self {
        Self { value: Value::new(origins), name: Vec::new(), in_name: true, cut: Vec::new() }
    }

    pub(super) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr3(b'&', b';', b'=', rest) {
            let (piece, tail) = rest.split_at(end);
            self.piece(piece, false, out);
            self.end_piece(out);
            let (separator, tail) = tail.split_at(1);
            out.extend_from_slice(separator);
            if separator != b"=" {
                self.name.clear();
                self.in_name = true;
            } else if self.in_name {
                self.in_name = false;
                self.value.begin(&self.name);
            }
            rest = tail;
        }
        self.piece(rest, true, out);
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_piece(out);
    }

    /// Whether anything was mapped.
    pub(super) fn has_changed(&self) -> bool {
        self.value.has_changed()
    }

    /// Some bytes between separators. `more`: they may go on.
    fn piece(&mut self, piece: &[u8], more: bool, out: &mut Vec<u8>) {
        let mut encoded = std::mem::take(&mut self.cut);
        encoded.extend(piece.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }));
        if more {
            let tail = encoded.len().saturating_sub(2);
            let cut = encoded.iter().skip(tail).position(|byte| *byte == b'%');
            self.cut = cut.map_or_else(Vec::new, |at| encoded.split_off(tail.saturating_add(at)));
        }
        let decoded: Vec<u8> = percent_encoding::percent_decode(&encoded).collect();
        self.decoded(&decoded, out);
    }

    fn end_piece(&mut self, out: &mut Vec<u8>) {
        let cut = std::mem::take(&mut self.cut);
        self.decoded(&cut, out);
        let mut mapped = Vec::new();
        self.value.finish(&mut mapped);
        encode(&mapped, out);
    }

    fn decoded(&mut self, decoded: &[u8], out: &mut Vec<u8>) {
        if decoded.is_empty() {
            return;
        }
        if self.in_name {
            let room = LONGEST_NAME.saturating_sub(self.name.len());
            self.name.extend(decoded.iter().take(room));
        }
        let mut mapped = Vec::new();
        self.value.push(decoded, &mut mapped);
        encode(&mapped, out);
    }
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for piece in byte_serialize(bytes) {
        out.extend_from_slice(piece.as_bytes());
    }
}
