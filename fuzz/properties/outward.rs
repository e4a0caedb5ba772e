//! What comes back from the backend.

use super::{SECRET, origins, shown, sizes};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use lol_html::{HtmlRewriter, doc_comments, element};
use lychgate::rewrite::{BoxError, Coding, Map, Mode, Origins, Plan, RewriteBody, Stream, response_headers};
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Text: any split gives what the whole gives, holding back no more than an address can be long; twice is once; and a secret
/// name that stands by itself is replaced or counted.
pub fn text(data: &[u8]) {
    for origins in origins(Mode::Safety) {
        let map = origins.outward();
        let whole = map.rewrite(data).into_owned();
        let mut counted = 0;
        for size in sizes(data) {
            let (got, remaining) = streamed(map, data, size);
            assert_eq!(shown(&got), shown(&whole), "in pieces of {size}");
            let left = secrets(&got);
            assert!(left <= remaining, "{left} secret names left and {remaining} counted: {}", shown(&got));
            counted = remaining;
        }
        // What is no address of ours can become one when its neighbour is replaced: `10.0.0.5:10.0.0.5`.
        if counted == 0 {
            assert_eq!(shown(&map.rewrite(&whole)), shown(&whole), "twice is not once");
        }
    }
    for origins in origins(Mode::Full) {
        let whole = origins.inward().rewrite(data).into_owned();
        for size in sizes(data) {
            assert_eq!(shown(&streamed(origins.inward(), data, size).0), shown(&whole), "inwards");
        }
    }
}

/// A page of which paths are mapped: any split gives what the whole gives, and no tag or comment comes or goes.
pub fn html(data: &[u8]) {
    for origins in origins(Mode::Full) {
        for plan in [Plan::Html(None), Plan::Xhtml(None)] {
            let whole = body(origins, plan, data, data.len().max(1)).expect("plain text has no errors").0;
            for size in sizes(data) {
                let (got, remaining) = body(origins, plan, data, size).expect("plain text has no errors");
                assert_eq!(shown(&got), shown(&whole), "in pieces of {size}");
                assert!(secrets(&got) <= remaining, "secret names left: {}", shown(&got));
            }
        }
        // What it does to addresses may be in tags' very names; so it is asked of the links alone.
        let plain: Vec<u8> = data.iter().copied().filter(|byte| *byte != b':' && byte.is_ascii()).collect();
        let after = body(origins, Plan::Html(None), &plain, plain.len().max(1)).expect("no errors").0;
        assert_eq!(markup(&after), markup(&plain), "markup came or went: {}", shown(&after));
    }
}

/// A style sheet or XML, in which paths are mapped where they are links: any split gives what the whole gives.
pub fn styles(data: &[u8]) {
    for origins in origins(Mode::Full) {
        let whole = origins.styles().rewrite(data).into_owned();
        for size in sizes(data) {
            assert_eq!(
                shown(&streamed(origins.styles(), data, size).0),
                shown(&whole),
                "in pieces of {size}"
            );
        }
    }
}

/// An address is mapped however it is spelled: what is decoded of the encoded text rewritten is the text rewritten.
pub fn spelled(data: &[u8]) {
    let kept = |byte: &&u8| byte.is_ascii_alphanumeric() || b":/. -_?#=,(".contains(*byte);
    let mut data: Vec<u8> = data.iter().filter(kept).copied().collect();
    // A dot that begins a name (`Domain=.plone.internal`) is known behind plain bytes only.
    let mut before = 0;
    data.retain(|byte| std::mem::replace(&mut before, *byte).is_ascii_alphanumeric() || *byte != b'.');
    for origins in origins(Mode::Safety) {
        let plain = origins.rewrite(&data);
        for (name, encode, decode) in SPELLINGS {
            let spelled = encode(&data);
            let got = decode(&origins.rewrite(&spelled));
            assert_eq!(shown(&got), shown(&plain), "{name}: {}", shown(&spelled));
        }
    }
}

/// An encoded body: garbage ends with an error or as it was; what is encoded well is rewritten inside, in any split.
pub fn coded(data: &[u8]) {
    // What looks like UTF-16 is read as that.
    if matches!(data, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, 0, _, ..] | [_, 0, _, 0, ..]) {
        return;
    }
    let origins = &origins(Mode::Full)[0];
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let plan = Plan::Text(Some(coding));
        let garbage = sizes(data)
            .map(|size| body(origins, plan, data, size).ok().map(|(got, _)| decoded(coding, &got)));
        for other in &garbage[1..] {
            assert_eq!(&garbage[0], other, "{coding:?}: a split changes what garbage is taken for");
        }
        let encoded = encoded(coding, data);
        let want = origins.rewrite(data);
        for size in sizes(&encoded) {
            let (got, _) = body(origins, plan, &encoded, size).expect("what is encoded can be decoded");
            let got = if data.is_empty() && got.is_empty() {
                Vec::new()
            } else {
                decoded(coding, &got).expect("it is encoded again")
            };
            assert_eq!(shown(&got), shown(&want), "{coding:?} in pieces of {size}");
        }
    }
}

/// Fields: a redirect leads to where it led or to the public address, and a second look finds nothing more.
pub fn headers(data: &[u8]) {
    const NAMES: [&str; 8] = [
        "location",
        "link",
        "refresh",
        "set-cookie",
        "content-security-policy",
        "content-disposition",
        "sourcemap",
        "x-any",
    ];
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    // A path may begin with the backend's prefix twice, and loses it once each time.
    let has_prefix = data.windows(5).any(|window| window == b"Plone");
    for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
        for origins in origins(mode) {
            for name in NAMES {
                let mut fields = HeaderMap::new();
                fields.insert(HeaderName::from_static(name), value.clone());
                let leaks = response_headers(origins, Plan::Pass, &mut fields);
                let once = fields.clone();
                if mode == Mode::Safety && leaks == 0 && !has_prefix {
                    response_headers(origins, Plan::Pass, &mut fields);
                    assert_eq!(fields, once, "{name}: twice is not once");
                }
                let left: usize = once.values().map(|value| secrets(value.as_bytes())).sum();
                assert!(left <= leaks, "{name}: a secret name is left in {fields:?}");
            }
        }
    }
}

fn streamed(map: &Arc<Map>, data: &[u8], size: usize) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut take = |bytes: Bytes| out.extend_from_slice(&bytes);
    let mut stream = Stream::new(map.clone());
    for piece in data.chunks(size) {
        stream.push(Bytes::copy_from_slice(piece), &mut take);
        assert!(stream.held() <= map.longest(), "{} bytes are held back", stream.held());
    }
    stream.finish(&mut take);
    (out, stream.remaining())
}

/// What comes out of a body that comes in pieces, and how many names the leak guard counted.
fn body(origins: &Arc<Origins>, plan: Plan, data: &[u8], size: usize) -> Result<(Vec<u8>, usize), BoxError> {
    let pieces = data.chunks(size).map(Bytes::copy_from_slice).collect();
    let mut body = RewriteBody::new(Pieces(pieces), origins, plan);
    let mut out = Vec::new();
    loop {
        match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(frame)) => out.extend_from_slice(frame?.data_ref().expect("no trailers")),
            Poll::Ready(None) => return Ok((out, body.leaked())),
            Poll::Pending => panic!("it waits for what is there"),
        }
    }
}

struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// How often the secret name stands by itself: nobody could say that it is part of another.
fn secrets(text: &[u8]) -> usize {
    let lower = text.to_ascii_lowercase();
    let ends = |byte: Option<&u8>| byte.is_none_or(|byte| b" \"'<>/?#".contains(byte));
    let places = lower.windows(SECRET.len()).enumerate().filter(|(_, window)| *window == SECRET.as_bytes());
    places
        .filter(|(at, _)| {
            ends(at.checked_sub(1).and_then(|at| lower.get(at))) && ends(lower.get(at + SECRET.len()))
        })
        .count()
}

/// How many start tags and comments a page has.
fn markup(page: &[u8]) -> (usize, usize) {
    let (tags, comments) = (Cell::new(0), Cell::new(0));
    let settings = lol_html::Settings::new()
        .append_element_content_handler(element!("*", |_| {
            tags.set(tags.get() + 1);
            Ok(())
        }))
        .append_document_content_handler(doc_comments!(|_| {
            comments.set(comments.get() + 1);
            Ok(())
        }))
        .with_strict(false);
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(page).expect("it is read");
    rewriter.end().expect("it is read");
    (tags.get(), comments.get())
}

type Spelling = (&'static str, fn(&[u8]) -> Vec<u8>, fn(&[u8]) -> Vec<u8>);

const SPELLINGS: [Spelling; 7] = [
    (
        "all but letters and digits, in a script",
        |text| escaped(text, |byte| format!(r"\u{byte:04x}")),
        |text| unescaped(text, r"\u00", ""),
    ),
    (
        "all but letters and digits, in an attribute",
        |text| escaped(text, |byte| format!("&#x{byte:02x};")),
        |text| unescaped(text, "&#x", ";"),
    ),
    ("percent", percent, |text| percent_encoding::percent_decode(text).collect()),
    (
        "percent twice",
        |text| percent(&percent(text)),
        |text| {
            let once: Vec<u8> = percent_encoding::percent_decode(text).collect();
            percent_encoding::percent_decode(&once).collect()
        },
    ),
    ("json", |text| replaced(text, "/", r"\/"), |text| replaced(text, r"\/", "/")),
    ("json in json", |text| replaced(text, "/", r"\\/"), |text| replaced(text, r"\\/", "/")),
    (
        "entities",
        |text| replaced(&replaced(text, "/", "&#47;"), ":", "&#x3a;"),
        |text| {
            let spelled = [("&#47;", "/"), ("&#x2f;", "/"), ("&#x3a;", ":")];
            spelled.into_iter().fold(text.to_vec(), |text, (from, to)| replaced(&text, from, to))
        },
    ),
];

fn escaped(text: &[u8], escape: impl Fn(u8) -> String) -> Vec<u8> {
    let spell =
        |byte: &u8| if byte.is_ascii_alphanumeric() { vec![*byte] } else { escape(*byte).into_bytes() };
    text.iter().flat_map(spell).collect()
}

/// What stands for two hexadecimal digits between these.
fn unescaped(text: &[u8], before: &str, after: &str) -> Vec<u8> {
    (0x20..0x7f_u8).fold(text.to_vec(), |text, byte| {
        let plain = char::from(byte).to_string();
        replaced(&text, &format!("{before}{byte:02x}{after}"), &plain)
    })
}

fn percent(text: &[u8]) -> Vec<u8> {
    // As browsers encode a value.
    const SET: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::percent_encode(text, SET).to_string().into_bytes()
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(text).replace(from, to).into_bytes()
}

fn encoded(coding: Coding, data: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 1, 18).write_all(data).unwrap();
            out
        }
        Coding::Zstd => zstd::encode_all(data, 1).unwrap(),
    }
}

/// `None` where it is not encoded so.
fn decoded(coding: Coding, data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(data).read_to_end(&mut out),
        Coding::Deflate => flate2::read::ZlibDecoder::new(data).read_to_end(&mut out),
        Coding::Brotli => brotli::Decompressor::new(data, 4096).read_to_end(&mut out),
        Coding::Zstd => zstd::Decoder::new(data).and_then(|mut decoder| decoder.read_to_end(&mut out)),
    }
    .ok()
    .map(|_| out)
}
