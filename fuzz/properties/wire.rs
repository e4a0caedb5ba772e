//! What comes over the wire before anyone has read it.

use super::{shown, sizes};
use http_body_util::{BodyExt as _, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lychgate::listen::probe;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;
use std::{io, str};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// HTTP/1: any split gives the same verdicts; what passes is what came; and hyper reads what passes as it is written, request by
/// request, field by field.
pub fn http1(data: &[u8]) {
    let (whole, verdict) = strictly(data, data.len().max(1));
    for size in sizes(data) {
        let (pieces, other) = strictly(data, size);
        assert_eq!(other, verdict, "in pieces of {size}");
        // Before a body that breaks off, more may have passed of what came in small pieces.
        let same = pieces == whole || verdict == Verdict::Broken && pieces.starts_with(&whole);
        assert!(same, "in pieces of {size}: {} and not {}", shown(&pieces), shown(&whole));
    }
    const HARMLESS: &[u8] = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let passed = match verdict {
        Verdict::Refused(_) => whole.strip_suffix(HARMLESS).expect("a harmless head instead"),
        Verdict::Passed | Verdict::Broken => &whole,
    };
    assert!(data.starts_with(passed), "other bytes than came: {}", shown(passed));
    let written = written(passed);
    let (read, ended_well) = hyper_reads(data);
    assert!(read.len() <= written.len(), "hyper reads more requests than are there: {read:?}");
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(read.method, written.method);
        assert_eq!(read.fields, written.fields);
        let target = &read.target;
        // What hyper shows of `http://a` and `http://a?b` begins with a slash that nobody wrote.
        let is_added = written.target.contains("://") && (target == "/" || target.starts_with("/?"));
        assert!(written.target.ends_with(target) || is_added, "{target} and not {}", written.target);
        if let Some(body) = &read.body {
            assert_eq!(body, written.body.as_ref().expect("a body is whole to both or to none"));
        }
    }
    let closes = |request: &Asked| {
        request.version == "HTTP/1.0" || request.fields.iter().any(|(name, _)| name == "connection")
    };
    // Of trailers hyper reads only so many.
    let few = data.iter().filter(|byte| **byte == b'\n').count() <= 100;
    if ended_well && few && verdict == Verdict::Passed && !read.iter().any(closes) {
        let whole = written.iter().filter(|request| request.body.is_some()).count();
        assert!(read.len() >= whole, "hyper read {} of {whole} requests", read.len());
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// To the end of the stream.
    Passed,
    /// Which request was refused, and why.
    Refused((usize, String)),
    /// A body went wrong.
    Broken,
}

/// What passes of bytes that come in pieces.
fn strictly(data: &[u8], size: usize) -> (Vec<u8>, Verdict) {
    let (mut stream, verdicts) = probe::strict(Line::new(data, size));
    let (passed, end) = drained(&mut stream);
    let verdict = match end {
        Poll::Ready(Ok(())) => Verdict::Passed,
        Poll::Ready(Err(_)) => Verdict::Broken,
        Poll::Pending => {
            let refused =
                (0..=data.len()).find_map(|at| verdicts.refused().map(|why| (at, format!("{why:?}"))));
            Verdict::Refused(refused.expect("it waits for nothing that is to come"))
        }
    };
    (passed, verdict)
}

/// A request.
#[derive(Debug)]
struct Asked {
    method: String,
    target: String,
    version: String,
    fields: Vec<(String, Vec<u8>)>,
    /// If it was all there.
    body: Option<Vec<u8>>,
}

/// The requests as they stand there, in the plainest reading of RFC 9112.
fn written(mut bytes: &[u8]) -> Vec<Asked> {
    let mut all = Vec::new();
    loop {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let Some(end) = find(bytes, b"\r\n\r\n") else { return all };
        let (head, rest) = bytes.split_at(end);
        bytes = &rest[4..];
        let mut lines = str_lines(head);
        let line = lines.next().expect("a request line");
        let words: Vec<String> = line.split(|byte| *byte == b' ').map(shown_plainly).collect();
        let [method, target, version] = words.try_into().expect("three words");
        let mut fields: Vec<(String, Vec<u8>)> = lines
            .map(|line| {
                let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
                (shown_plainly(&line[..colon]).to_ascii_lowercase(), trimmed(&line[colon + 1..]).to_vec())
            })
            .collect();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        let body = if field("transfer-encoding").is_some() {
            unchunked(&mut bytes)
        } else {
            let length =
                field("content-length").map_or(0, |text| shown_plainly(text).parse().expect("digits"));
            let body = bytes.get(..length).map(<[u8]>::to_vec);
            bytes = bytes.get(length..).unwrap_or_default();
            body
        };
        let is_whole = body.is_some();
        all.push(Asked { method, target, version, fields, body });
        if !is_whole {
            return all;
        }
    }
}

/// A chunked body, if all of it is there.
fn unchunked(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = find(bytes, b"\r\n")?;
        let size = bytes[..end].split(|byte| *byte == b';').next().expect("the first");
        let size = usize::from_str_radix(&shown_plainly(size), 16).expect("a size");
        *bytes = &bytes[end + 2..];
        if size == 0 {
            loop {
                let end = find(bytes, b"\r\n")?;
                *bytes = &bytes[end + 2..];
                if end == 0 {
                    return Some(body);
                }
            }
        }
        body.extend_from_slice(bytes.get(..size)?);
        *bytes = bytes.get(size + 2..)?;
    }
}

/// What hyper reads of what the layer lets through, and whether it was content to the end.
fn hyper_reads(data: &[u8]) -> (Vec<Asked>, bool) {
    // The layer's shutdown waits a moment for what is still to come.
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    let _entered = RUNTIME.enter();
    let read = Arc::new(Mutex::new(Vec::new()));
    let (stream, verdicts) = probe::strict(Line::new(data, data.len().max(1)));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (read, is_refused) = (Arc::clone(&read), verdicts.refused().is_some());
        async move {
            let (head, body) = request.into_parts();
            let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
            for (name, value) in &head.headers {
                fields.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
            }
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            let path = head.uri.path_and_query().map(|path| path.as_str().to_owned());
            let asked = Asked {
                method: head.method.to_string(),
                target: path.unwrap_or_else(|| head.uri.to_string()),
                version: format!("{:?}", head.version),
                fields,
                body: None,
            };
            if !is_refused {
                read.lock().unwrap().push(asked);
                if let Ok(body) = body.collect().await {
                    let body = body.to_bytes().to_vec();
                    read.lock().unwrap().last_mut().expect("it was put there").body = Some(body);
                }
            }
            // Nothing that could open a tunnel.
            let answer = http::Response::builder().status(404).body(Empty::<bytes::Bytes>::new());
            Ok::<_, Infallible>(answer.expect("an answer"))
        }
    });
    let ended = {
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(64 * 1024)
            .max_headers(100)
            .serve_connection(TokioIo::new(stream), service);
        settled(pin!(connection))
    };
    let read = std::mem::take(&mut *read.lock().unwrap());
    (read, matches!(ended, Poll::Ready(Ok(()))))
}

/// HTTP/2 frames: any split passes as it came as long as the account is in order, and no split passes when it is overdrawn.
pub fn frames(data: &[u8]) {
    let Some((times, data)) = data.split_first() else { return };
    let data =
        [&[0xff; 24], data.repeat(usize::from(*times).min(16_384 / data.len().max(1))).as_slice()].concat();
    let owed = owed(&data[24..]);
    for size in sizes(&data) {
        let began = Instant::now();
        let (passed, end) = drained(&mut probe::frames(Line::new(&data, size)));
        let paid = u64::try_from(began.elapsed().as_millis()).unwrap() * probe::PER_SECOND / 1000;
        assert!(data.starts_with(&passed), "other bytes than came");
        match end {
            Poll::Ready(Ok(())) => {
                assert_eq!(passed.len(), data.len());
                assert!(owed <= probe::CREDIT + paid, "{owed} are owed, in pieces of {size}");
            }
            Poll::Ready(Err(_)) => assert!(owed > probe::CREDIT, "only {owed} are owed, in pieces of {size}"),
            Poll::Pending => panic!("it waits for what is there"),
        }
    }
}

/// What the frames cost that begin there.
fn owed(mut frames: &[u8]) -> u64 {
    let mut owed = 0;
    while let Some(([a, b, c, kind, flags, ..], rest)) = frames.split_first_chunk::<9>() {
        let length = usize::from(*a) * 65_536 + usize::from(*b) * 256 + usize::from(*c);
        owed += match kind {
            0 if length > 0 || flags % 2 == 1 => 0,
            1 => 0,
            3 => 10,
            _ => 1,
        };
        frames = rest.get(length..).unwrap_or_default();
    }
    owed
}

/// The PROXY protocol: what is read is what the specification says, byte for byte and none of what follows; any split is one.
pub fn proxy(data: &[u8]) {
    let whole = proxied(data, data.len().max(1));
    for size in sizes(data) {
        assert_eq!(proxied(data, size), whole, "in pieces of {size}");
    }
    let expected = if data.starts_with(b"\r\n\r\n\0\r\nQUIT\n") { binary(data) } else { text(data) };
    match expected {
        Some(expected) => assert_eq!(whole, Ok(expected), "it is a header"),
        None => assert!(whole.is_err(), "{whole:?} of no header"),
    }
}

/// The client, and how much was read.
fn proxied(data: &[u8], size: usize) -> Result<(Option<IpAddr>, usize), io::ErrorKind> {
    let mut line = Line::new(data, size);
    let read = settled(pin!(probe::proxy_header(&mut line)));
    let Poll::Ready(read) = read else { panic!("it waits for what is there") };
    read.map(|client| (client, line.at)).map_err(|error| error.kind())
}

/// Version 1, as its specification has it.
fn text(data: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let end = find(data, b"\r\n").filter(|end| *end <= 105)?;
    if data[..end].contains(&b'\n') {
        return None;
    }
    if &data[..end] == b"PROXY UNKNOWN" || data[..end].starts_with(b"PROXY UNKNOWN ") {
        return Some((None, end + 2));
    }
    let line = str::from_utf8(&data[..end]).ok()?;
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port.to_string() == text);
    let (client, to, ports) = match line.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "TCP4", from, to, one, other] => (
            from.parse::<Ipv4Addr>().ok().map(IpAddr::from)?,
            to.parse::<Ipv4Addr>().is_ok(),
            port(one) && port(other),
        ),
        ["PROXY", "TCP6", from, to, one, other] => (
            from.parse::<Ipv6Addr>().ok().map(IpAddr::from)?,
            to.parse::<Ipv6Addr>().is_ok(),
            port(one) && port(other),
        ),
        _ => return None,
    };
    (to && ports).then_some((Some(client), end + 2))
}

/// Version 2, likewise.
fn binary(data: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let length = usize::from(u16::from_be_bytes(data.get(14..16)?.try_into().unwrap()));
    let addresses = data.get(16..16 + length).filter(|_| length <= 2048)?;
    let client = match (data[12], data[13]) {
        (0x20, _) => None,
        (0x21, 0x00) => None,
        (0x21, 0x31) if length >= 216 => None,
        (0x21, 0x11) => Some(<[u8; 4]>::try_from(addresses.get(..12)?.get(..4)?).unwrap().into()),
        (0x21, 0x21) => Some(<[u8; 16]>::try_from(addresses.get(..36)?.get(..16)?).unwrap().into()),
        _ => return None,
    };
    // Extensions may follow, which are nobody's business.
    Some((client, 16 + length))
}

/// Bytes that arrive in pieces; what is written to it is gone.
struct Line {
    bytes: Vec<u8>,
    size: usize,
    at: usize,
}

impl Line {
    fn new(bytes: &[u8], size: usize) -> Self {
        Self { bytes: bytes.to_vec(), size, at: 0 }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.size.min(buffer.remaining()).min(self.bytes.len() - self.at);
        buffer.put_slice(&self.bytes[self.at..][..count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// All that comes, and how it ends.
fn drained(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, Poll<io::Result<()>>) {
    let (mut all, mut room) = (Vec::new(), vec![0; 8 * 1024]);
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let end = Pin::new(&mut *stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        match end {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => all.extend_from_slice(buffer.filled()),
            end => return (all, end),
        }
    }
}

/// What a future comes to that waits for nobody but itself.
fn settled<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    struct Woken(AtomicBool);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&woken));
    while woken.0.swap(false, Ordering::Relaxed) {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Poll::Ready(value);
        }
    }
    Poll::Pending
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn str_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn shown_plainly(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn trimmed(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    &value[begin..end]
}
