//! Bodies that come encoded (gzip, deflate, br, zstd): decoded, so that what is in them can be read, and encoded again.
//!
//! Memory is constant: a body is decoded a small step at a time, and each step's yield goes through before the next. A bomb
//! (megabytes out of a few bytes, or a large body out of very little) ends the answer: it is broken off, like a
//! body that is damaged or cut short.

use std::fmt;
use std::io::{self, Write};

/// How a body is encoded (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, also as a file.
    Gzip,
    /// `deflate`, in zlib's wrapping or, as some servers send it, without.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

impl Coding {
    /// The coding that `Content-Encoding` names.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// How many encoded bytes are decoded in one step.
pub(super) const STEP: usize = 256;
/// The most bytes that one step may give: more than 8000 for one.
const STEP_YIELD: usize = 2 << 20;
/// From how many decoded bytes on the ratio of the whole counts, and what it may be. Markup reaches 20, deflate at most 1032.
const RATIO_FROM: usize = 64 << 20;
const RATIO: usize = 200;

/// Takes encoded bytes and gives decoded ones.
pub(super) struct Decoder {
    coding: Coding,
    /// Made when the first byte is seen.
    inner: Option<Inner>,
    taken: usize,
    given: usize,
}

enum Inner {
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate {
        inner: flate2::Decompress,
        ended: bool,
    },
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd {
        inner: zstd::stream::raw::Decoder<'static>,
        ended: bool,
    },
    /// It is labelled wrongly: the bytes are plain.
    Plain,
}

/// What a step gave.
#[derive(Default)]
struct Sink(Vec<u8>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > STEP_YIELD {
            return Err(io::Error::other("a decompression bomb"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, inner: None, taken: 0, given: 0 }
    }

    /// Whether the first bytes showed that nothing is encoded at all.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.inner, Some(Inner::Plain))
    }

    /// Decodes one step, of at most [`STEP`] bytes.
    pub(super) fn push(&mut self, step: &[u8]) -> io::Result<Vec<u8>> {
        let Some(&first) = step.first() else { return Ok(Vec::new()) };
        if self.inner.is_none() {
            self.inner = Some(Inner::starting_with(self.coding, first)?);
        }
        let Some(inner) = &mut self.inner else { return Ok(Vec::new()) };
        let given = inner.step(step)?;
        self.taken = self.taken.saturating_add(step.len());
        self.given = self.given.saturating_add(given.len());
        if self.given > RATIO_FROM && self.given / RATIO > self.taken {
            return Err(io::Error::other("a decompression bomb"));
        }
        Ok(given)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// If it was cut short.
    pub(super) fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.inner.as_mut().map_or_else(|| Ok(Vec::new()), Inner::finish)
    }
}

impl Inner {
    fn starting_with(coding: Coding, first: u8) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip if first == 0x1f => Self::Gzip(flate2::write::MultiGzDecoder::new(Sink::default())),
            Coding::Zstd if matches!(first, 0x28 | 0x50..=0x5f) => {
                Self::Zstd { inner: zstd::stream::raw::Decoder::new()?, ended: false }
            }
            Coding::Gzip | Coding::Zstd => Self::Plain,
            // Zlib's header names the method, 8. A raw stream would begin so only with a stored block whose padding isn't zero.
            Coding::Deflate => {
                Self::Deflate { inner: flate2::Decompress::new(first & 15 == 8), ended: false }
            }
            Coding::Brotli => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Sink::default(), 4096))),
        })
    }

    fn step(&mut self, step: &[u8]) -> io::Result<Vec<u8>> {
        let mut sink = Sink::default();
        match self {
            Self::Gzip(inner) => {
                inner.write_all(step)?;
                inner.flush()?;
                return Ok(std::mem::take(&mut inner.get_mut().0));
            }
            Self::Brotli(inner) => {
                inner.write_all(step)?;
                return Ok(std::mem::take(&mut inner.get_mut().0));
            }
            Self::Deflate { inner, ended } => inflate(inner, ended, step, &mut sink),
            Self::Zstd { inner, ended } => unzstd(inner, ended, step, &mut sink),
            Self::Plain => sink.write_all(step),
        }?;
        Ok(sink.0)
    }

    fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(inner) => {
                inner.try_finish()?;
                Ok(std::mem::take(&mut inner.get_mut().0))
            }
            Self::Brotli(inner) => {
                inner.close()?;
                Ok(std::mem::take(&mut inner.get_mut().0))
            }
            Self::Deflate { ended: false, .. } | Self::Zstd { ended: false, .. } => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Self::Deflate { .. } | Self::Zstd { .. } | Self::Plain => Ok(Vec::new()),
        }
    }
}

fn inflate(inner: &mut flate2::Decompress, ended: &mut bool, step: &[u8], sink: &mut Sink) -> io::Result<()> {
    let mut rest = step;
    let mut block = [0; 4096];
    while !*ended {
        let (read, written) = (inner.total_in(), inner.total_out());
        let status = inner.decompress(rest, &mut block, flate2::FlushDecompress::None);
        let count = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(0);
        let (read, written) = (count(inner.total_in(), read), count(inner.total_out(), written));
        sink.write_all(block.get(..written).unwrap_or_default())?;
        rest = rest.get(read..).unwrap_or_default();
        match status.map_err(io::Error::other)? {
            flate2::Status::StreamEnd => *ended = true,
            _ if read == 0 && written == 0 => break,
            _ => {}
        }
    }
    Ok(())
}

fn unzstd(
    inner: &mut zstd::stream::raw::Decoder<'static>,
    ended: &mut bool,
    step: &[u8],
    sink: &mut Sink,
) -> io::Result<()> {
    use zstd::stream::raw::Operation as _;
    let mut rest = step;
    let mut block = [0; 4096];
    loop {
        let status = inner.run_on_buffers(rest, &mut block)?;
        sink.write_all(block.get(..status.bytes_written).unwrap_or_default())?;
        rest = rest.get(status.bytes_read..).unwrap_or_default();
        // The end of a frame; another may follow.
        *ended = status.remaining == 0;
        let is_idle = status.bytes_read == 0 && status.bytes_written == 0;
        if is_idle || (rest.is_empty() && status.bytes_written < block.len()) {
            return Ok(());
        }
        if *ended && rest.is_empty() {
            return Ok(());
        }
        if *ended {
            inner.reinit()?;
        }
    }
}

/// Takes plain bytes and gives encoded ones.
pub(super) enum Encoder {
    /// The body was plain after all.
    Plain,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    /// Levels that cost little time: the point is to keep the backend's choice, not to better it.
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        let level = flate2::Compression::new(4);
        Ok(match coding {
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20))),
            Coding::Zstd => {
                let mut inner = zstd::stream::write::Encoder::new(Vec::new(), 2)?;
                inner.include_checksum(true)?;
                Self::Zstd(Box::new(inner))
            }
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => return Ok(bytes.to_vec()),
            Self::Gzip(inner) => inner.write_all(bytes),
            Self::Deflate(inner) => inner.write_all(bytes),
            Self::Brotli(inner) => inner.write_all(bytes),
            Self::Zstd(inner) => inner.write_all(bytes),
        }?;
        Ok(self.take())
    }

    /// Gives all that was pushed so far, so that nothing waits in here for bytes that are long in coming.
    pub(super) fn flush(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(()),
            Self::Gzip(inner) => inner.flush(),
            Self::Deflate(inner) => inner.flush(),
            Self::Brotli(inner) => inner.flush(),
            Self::Zstd(inner) => inner.flush(),
        }?;
        Ok(self.take())
    }

    /// Ends the body.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(inner) => inner.finish(),
            Self::Deflate(inner) => inner.finish(),
            Self::Brotli(inner) => Ok(inner.into_inner()),
            Self::Zstd(inner) => inner.finish(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        let sink = match self {
            Self::Plain => return Vec::new(),
            Self::Gzip(inner) => inner.get_mut(),
            Self::Deflate(inner) => inner.get_mut(),
            Self::Brotli(inner) => inner.get_mut(),
            Self::Zstd(inner) => inner.get_mut(),
        };
        std::mem::take(sink)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ALL: [Coding; 4] =
        [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    pub(in super::super) fn encoded(coding: Coding, plain: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut out = encoder.push(plain).unwrap();
        out.extend(encoder.finish().unwrap());
        out
    }

    pub(in super::super) fn decoded(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::new(coding);
        let mut out = Vec::new();
        for step in bytes.chunks(STEP) {
            out.extend(decoder.push(step)?);
        }
        out.extend(decoder.finish()?);
        Ok(out)
    }

    fn text() -> Vec<u8> {
        (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for coding in ALL {
            for plain in [b"".as_slice(), b"hello", &text()] {
                let bytes = encoded(coding, plain);
                assert!(decoded(coding, &bytes).unwrap() == plain, "{coding:?}");
            }
        }
    }

    #[test]
    fn a_body_cut_short_is_an_error() {
        for coding in ALL {
            let bytes = encoded(coding, &text());
            assert!(decoded(coding, &bytes[..bytes.len() / 2]).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn a_damaged_body_is_an_error() {
        for coding in ALL {
            let mut bytes = encoded(coding, &text());
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].fill(0xff);
            assert!(decoded(coding, &bytes).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn a_bomb_is_an_error() {
        let zeros = vec![0; 1 << 20];
        for coding in ALL {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut bytes = Vec::new();
            for _ in 0..80 {
                bytes.extend(encoder.push(&zeros).unwrap());
            }
            bytes.extend(encoder.finish().unwrap());
            let error = decoded(coding, &bytes).unwrap_err();
            assert!(error.to_string().contains("bomb"), "{coding:?}: {error}");
        }
    }

    #[test]
    fn raw_deflate_and_wrong_labels_are_understood() {
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(4));
        raw.write_all(b"hello hello").unwrap();
        assert_eq!(decoded(Coding::Deflate, &raw.finish().unwrap()).unwrap(), b"hello hello");
        assert_eq!(decoded(Coding::Gzip, b"<html>").unwrap(), b"<html>");
        assert_eq!(decoded(Coding::Zstd, b"<html>").unwrap(), b"<html>");
    }
}
