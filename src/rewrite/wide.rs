//! Text in UTF-16, the one encoding on the web in which ASCII is not ASCII: narrowed, so that the same search sees it, and widened
//! again. Nothing is lost on the way, not even what is no valid text: each unit becomes one to three bytes by itself, and that
//! unit again. (ISO-2022-JP and Shift_JIS need none of it: an address stands in them in ASCII.)

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use http::header::{CONTENT_TYPE, HeaderMap};
use std::mem;

/// So many bytes of ASCII alone are no UTF-16, whatever the label: in Chinese that happens once in many thousand texts.
const SURE: usize = 8;

/// The order of the bytes in a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// One body on its way, there and back.
#[derive(Debug)]
pub(super) struct Wide {
    state: State,
    /// Half a unit, on the way in.
    half: Vec<u8>,
    /// A part of a unit's bytes, on the way out.
    part: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes tell; else it is as labelled.
    Undecided(Option<Order>),
    Wide(Order),
    /// Any other encoding.
    Narrow,
}

impl Order {
    /// The order that the charset of a `Content-Type` names.
    pub(super) fn labelled(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?.to_ascii_lowercase();
        let label = value.split(';').find_map(|part| part.trim().strip_prefix("charset="))?;
        let encoding = Encoding::for_label(label.trim_matches(['"', '\'', ' ']).as_bytes())?;
        if encoding == UTF_16LE { Some(Self::Little) } else { (encoding == UTF_16BE).then_some(Self::Big) }
    }

    fn unit(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn bytes(self, unit: u16) -> [u8; 2] {
        match self {
            Self::Little => unit.to_le_bytes(),
            Self::Big => unit.to_be_bytes(),
        }
    }
}

impl Wide {
    pub(super) fn new(labelled: Option<Order>) -> Self {
        Self { state: State::Undecided(labelled), half: Vec::new(), part: Vec::new() }
    }

    /// The next piece, in bytes of which the ASCII ones are ASCII. `end`: no more will come.
    pub(super) fn narrow(&mut self, chunk: Bytes, end: bool) -> Bytes {
        if self.state == State::Narrow || (chunk.is_empty() && !end) {
            return chunk;
        }
        let mut text = mem::take(&mut self.half);
        text.extend_from_slice(&chunk);
        if let State::Undecided(labelled) = self.state {
            self.state = match text.as_slice() {
                // In no other encoding is every other byte zero; one zero alone is a fault, or somebody's trick to hide names behind.
                [0xff, 0xfe, ..] | [b'\t'..=b'~', 0, b'\t'..=b'~', 0, ..] => State::Wide(Order::Little),
                [0xfe, 0xff, ..] | [0, b'\t'..=b'~', 0, b'\t'..=b'~', ..] => State::Wide(Order::Big),
                [] | [_] | [_, 0] | [0, _] | [_, 0, _] | [0, _, 0] if !end => self.state,
                text if labelled.is_some() => {
                    let start = text.get(..SURE).unwrap_or(text);
                    match (start.iter().all(|byte| matches!(byte, 1..=0x7f)), end || start.len() == SURE) {
                        // A label can be wrong, and then all the names in it would get out.
                        (true, true) => State::Narrow,
                        (true, false) => self.state,
                        (false, _) => labelled.map_or(State::Narrow, State::Wide),
                    }
                }
                _ => State::Narrow,
            };
        }
        match self.state {
            State::Narrow => Bytes::from(text),
            State::Undecided(_) => {
                self.half = text;
                Bytes::new()
            }
            State::Wide(order) => {
                let mut out = Vec::with_capacity(text.len());
                let (units, half) = text.as_chunks::<2>();
                units.iter().for_each(|unit| narrow(order.unit(*unit), &mut out));
                self.half = half.to_vec();
                Bytes::from(out)
            }
        }
    }

    /// The way back.
    pub(super) fn widen(&mut self, narrowed: Bytes) -> Bytes {
        let State::Wide(order) = self.state else { return narrowed };
        let mut text = mem::take(&mut self.part);
        text.extend_from_slice(&narrowed);
        let mut out = Vec::with_capacity(text.len().saturating_mul(2));
        let mut rest = text.as_slice();
        while let Some((unit, tail)) = widen(rest) {
            out.extend_from_slice(&order.bytes(unit));
            rest = tail;
        }
        self.part = rest.to_vec();
        Bytes::from(out)
    }

    /// What is left at the end: half a unit, which is no text.
    pub(super) fn finish(&mut self) -> Bytes {
        Bytes::from(mem::take(&mut self.half))
    }
}

/// A unit as UTF-8 has its value, a lone surrogate too.
fn narrow(unit: u16, out: &mut Vec<u8>) {
    let [high, low] = unit.to_be_bytes();
    match unit {
        0..0x80 => out.push(low),
        0x80..0x800 => out.extend([0xc0 | (high << 2) | (low >> 6), 0x80 | (low & 0x3f)]),
        _ => out.extend([0xe0 | (high >> 4), 0x80 | ((high << 2) & 0x3f) | (low >> 6), 0x80 | (low & 0x3f)]),
    }
}

/// The first unit, and what follows it; `None` if it isn't all there.
fn widen(text: &[u8]) -> Option<(u16, &[u8])> {
    let bits = |byte: u8| u16::from(byte & 0x3f);
    match text {
        [byte @ 0..0x80, rest @ ..] => Some((u16::from(*byte), rest)),
        [first @ 0..0xe0, second, rest @ ..] => Some(((u16::from(first & 0x1f) << 6) | bits(*second), rest)),
        [first, second, third, rest @ ..] => {
            Some(((u16::from(*first) << 12) | (bits(*second) << 6) | bits(*third), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn the_label_of_utf_16_is_understood() {
        for (value, want) in [
            ("text/html; charset=utf-16", Some(Order::Little)),
            ("text/html;charset=\"UTF-16BE\"", Some(Order::Big)),
            ("text/html; a=b; charset=utf-16le; c", Some(Order::Little)),
            ("text/html; charset=utf-8", None),
            ("text/html; charset=nonsense", None),
            ("text/html", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(Order::labelled(&headers), want, "{value}");
        }
    }

    fn through(labelled: Option<Order>, bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let mut wide = Wide::new(labelled);
        let (mut seen, mut out) = (Vec::new(), Vec::new());
        let pieces = bytes.chunks(size).map(|piece| (Bytes::copy_from_slice(piece), false));
        for (piece, end) in pieces.chain([(Bytes::new(), true)]) {
            let narrowed = wide.narrow(piece, end);
            seen.extend_from_slice(&narrowed);
            for byte in narrowed {
                out.extend_from_slice(&wide.widen(Bytes::from(vec![byte])));
            }
        }
        out.extend_from_slice(&wide.finish());
        (seen, out)
    }

    #[test]
    fn what_is_wide_is_seen_narrow() {
        let big: Vec<u8> = "\u{feff}a\u{e9}\u{4e2d}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little: Vec<u8> = "\u{feff}a\u{e9}\u{4e2d}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for labelled in [None, Some(Order::Little), Some(Order::Big)] {
            for size in [1, 2, 3, 100] {
                assert_eq!(through(labelled, &big, size).0, "\u{feff}a\u{e9}\u{4e2d}".as_bytes());
                assert_eq!(through(labelled, &little, size).0, "\u{feff}a\u{e9}\u{4e2d}".as_bytes());
            }
        }
        assert_eq!(through(Some(Order::Big), b"\0a\0b", 1).0, b"ab", "without a mark, as labelled");
        assert_eq!(through(None, b"<\0a\0", 1).0, b"<a", "or as XML begins");
        assert_eq!(through(None, b"<ab", 1).0, b"<ab");
        for size in [1, 3, 100] {
            assert_eq!(through(None, b"s\0e\0e\0", size).0, b"see", "labelled as something else");
            assert_eq!(
                through(Some(Order::Big), b"http://localhost", size).0,
                b"http://localhost",
                "labelled wrongly"
            );
            assert_eq!(through(Some(Order::Little), b"<p>", size).0, b"<p>", "labelled wrongly, and short");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back_as_they_were(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..9_usize, mark in 0..4_usize) {
            let marks: [&[u8]; 4] = [b"", b"\xff\xfe", b"\xfe\xff", b"<"];
            let bytes = [marks[mark], &bytes].concat();
            for labelled in [None, Some(Order::Little), Some(Order::Big)] {
                prop_assert_eq!(&through(labelled, &bytes, size).1, &bytes);
            }
        }
    }
}
