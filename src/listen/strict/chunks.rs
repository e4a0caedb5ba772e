//! Where a chunked body ends (RFC 9112, section 7.1), read strictly: CR LF and nothing else ends a line.

use super::head::is_token;

/// How far a chunked body has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of size lines' extensions and of trailers, which nobody needs; all of them together have a bound.
    idle: usize,
}

/// The most of extensions and trailers in one body, in bytes (CVE-2023-39326: a kibibyte of extension for each byte).
const MOST_IDLE: usize = 16 * 1024;

#[derive(Clone, Copy, Debug)]
enum At {
    /// In the digits of a size: how many there were, and what they say.
    Size(u8, u64),
    /// Behind a semicolon.
    Extension(u64),
    /// Behind the carriage return of a size line.
    SizeEnd(u64),
    Data(u64),
    DataEnd,
    DataEndFeed,
    /// At the beginning of a trailer line, or of the empty one.
    Trailer,
    /// In the name of a trailer field.
    TrailerName,
    /// In its value.
    InTrailer,
    TrailerEnd,
    LastFeed,
}

impl Default for At {
    fn default() -> Self {
        Self::Size(0, 0)
    }
}

/// What is known after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// There is more to come.
    More,
    /// The body ended after so many of them.
    Ended(usize),
}

impl Chunks {
    /// Reads on.
    ///
    /// # Errors
    /// Where the body is malformed.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Read, ()> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let At::Data(left) = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
                continue;
            }
            at += 1;
            if self.step(*byte)? {
                return Ok(Read::Ended(at));
            }
        }
        Ok(Read::More)
    }

    /// One byte outside the data; `true` at the end.
    fn step(&mut self, byte: u8) -> Result<bool, ()> {
        self.at = match (self.at, byte) {
            // Sixteen digits would overflow with the first of them above 7; nobody sends 15 honestly.
            (At::Size(digits @ 0..=14, size), _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).ok_or(())?;
                At::Size(digits + 1, size << 4 | u64::from(digit))
            }
            (At::Size(1.., size), b'\r') => At::SizeEnd(size),
            (At::Size(1.., size), b';') => At::Extension(size),
            (At::Extension(size), b'\r') => At::SizeEnd(size),
            (At::Extension(size), b'\t' | b' '..=b'~') => self.idle(At::Extension(size))?,
            (At::SizeEnd(0), b'\n') => At::Trailer,
            (At::SizeEnd(size), b'\n') => At::Data(size),
            (At::DataEnd, b'\r') => At::DataEndFeed,
            (At::DataEndFeed, b'\n') => At::default(),
            (At::Trailer, b'\r') => At::LastFeed,
            // Trailers are dropped, but who would not take them for fields sees another end, or none: a line that goes on
            // from the one before, one without a colon.
            (At::Trailer | At::TrailerName, _) if is_token(&byte) => self.idle(At::TrailerName)?,
            (At::TrailerName, b':') => self.idle(At::InTrailer)?,
            (At::InTrailer, b'\t' | b' '..=b'~' | 0x80..) => self.idle(At::InTrailer)?,
            (At::InTrailer, b'\r') => At::TrailerEnd,
            (At::TrailerEnd, b'\n') => At::Trailer,
            (At::LastFeed, b'\n') => return Ok(true),
            _ => return Err(()),
        };
        Ok(false)
    }

    fn idle(&mut self, then: At) -> Result<At, ()> {
        self.idle += 1;
        if self.idle > MOST_IDLE { Err(()) } else { Ok(then) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_it_says_and_nowhere_else() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(MOST_IDLE + 1));
        for (name, body, rest) in [
            ("two chunks", "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", Some("next")),
            ("nothing", "0\r\n\r\n", Some("next")),
            ("extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", Some("next")),
            ("trailers", "0\r\nX: y\r\nZ: \r\n\r\n", Some("next")),
            ("zeros", "00005\r\nhello\r\n000\r\n\r\n", Some("next")),
            ("line feed alone after a size", "5\nhello\r\n0\r\n\r\n", None),
            ("line feed alone after data", "5\r\nhello\n0\r\n\r\n", None),
            ("line feed alone in an extension (CVE-2025-22871)", "5;a\nb\r\nhello\r\n0\r\n\r\n", None),
            ("line feed alone at the end", "0\r\n\n", None),
            ("line feed alone in a trailer", "0\r\nX: y\nZ: a\r\n\r\n", None),
            ("a trailer whose name is none", "0\r\ncame_from=X: y\r\n\r\n", None),
            ("a trailer without a name", "0\r\n: y\r\n\r\n", None),
            ("a trailer without a colon", "0\r\nX\r\n\r\n", None),
            ("a trailer that goes on", "0\r\nX: y\r\n z\r\n\r\n", None),
            ("data too long", "3\r\nhello\r\n0\r\n\r\n", None),
            ("no size", "\r\nhello\r\n0\r\n\r\n", None),
            ("sign", "+5\r\nhello\r\n0\r\n\r\n", None),
            ("prefix", "0x5\r\nhello\r\n0\r\n\r\n", None),
            ("space before", " 5\r\nhello\r\n0\r\n\r\n", None),
            ("space behind", "5 \r\nhello\r\n0\r\n\r\n", None),
            ("too many digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", None),
            ("extensions without end", &long, None),
        ] {
            for size in [1, 3, 4096] {
                let whole = format!("{body}next");
                let (mut chunks, mut at, mut ended) = (Chunks::default(), 0, None);
                for piece in whole.as_bytes().chunks(size) {
                    match chunks.read(piece) {
                        Ok(Read::More) => at += piece.len(),
                        Ok(Read::Ended(count)) => ended = Some(&whole[at + count..]),
                        Err(()) => break,
                    }
                    if ended.is_some() {
                        break;
                    }
                }
                assert_eq!(ended, rest, "{name} in pieces of {size}");
            }
        }
    }
}
