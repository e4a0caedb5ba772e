//! HTTP/2 with visitors: the same strict reading as in HTTP/1, and floods that cost whoever sends them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame,
};
use support::gate::{Gate, HOST};
use support::pki::Authority;
use support::raw::{self, Backend, get, ok};
use support::secure::Client;

/// A gate that speaks HTTP/2, and who vouches for it.
struct Site {
    gate: Gate,
    authority: Authority,
    _folder: tempfile::TempDir,
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/a")];

impl Site {
    /// `server` are further lines of `[server]`.
    fn new(backend: &Backend, server: &str) -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.server(&[HOST]).write(folder.path(), "site");
        let gate = Gate::from_toml(&format!(
            "[server]\nlisten = []\nworkers = 1\ndrain = \"60s\"\n{server}\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n[[site]]\nname = \"a\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
            certificate.display(),
            key.display(),
            backend.url()
        ));
        Self { gate, authority, _folder: folder }
    }

    fn client(&self) -> Client<'_> {
        Client { protocols: &[b"h2"], ..Client::new(&self.authority) }
    }

    /// Frames by hand.
    fn wire(&self, settings: &[(u16, u32)]) -> frames::Wire {
        frames::Wire::new(self.client().connect(self.gate.tls.unwrap()).unwrap(), settings)
    }

    /// A proper client.
    async fn connect<B>(&self) -> SendRequest<B>
    where
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
    {
        let stream = tokio::net::TcpStream::connect(self.gate.tls.unwrap()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.client().config()));
        let stream = connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Whether somebody else is served.
    fn still_serves(&self) -> bool {
        let mut wire = self.wire(&[]);
        wire.ask(1, &GET);
        wire.end_of(1) == End::Status(200)
    }
}

fn request(path: &str) -> http::request::Builder {
    Request::builder().uri(format!("https://{HOST}{path}"))
}

#[tokio::test]
async fn a_request_arrives_as_one_of_http1_would() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    let mut client = site.connect().await;
    let request = request("/a?b=c").header("cookie", "a=b").header("cookie", "c=d").header("te", "trailers");
    let answer = client.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["strict-transport-security"].to_str().unwrap()),
        (200, "max-age=2592000")
    );
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    let seen = &backend.take()[0];
    assert_eq!((seen.target(), seen.line.ends_with("HTTP/1.1")), ("/a?b=c", true));
    assert_eq!(seen.field("cookie").as_deref(), Some("a=b; c=d"), "RFC 9113, section 8.2.3");
    assert_eq!(seen.field("x-forwarded-host").as_deref(), Some(HOST));
    assert_eq!((seen.field("te"), seen.field("content-length")), (None, None));
    assert_eq!(seen.field("host"), Some(backend.address().to_string()));
}

#[tokio::test]
async fn a_body_needs_no_length_and_trailers_are_no_fields() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    let mut client = site.connect().await;
    let trailers: HeaderMap = [("x-remote-user", "admin"), ("cookie", "a=b")]
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .into_iter()
        .collect();
    let pieces = ["hel", "lo"].map(|piece| Frame::data(Bytes::from(piece)));
    let body = Pieces(pieces.into_iter().chain([Frame::trailers(trailers)]).collect());
    let answer = client.send_request(request("/a").method("POST").body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let seen = &backend.take()[0];
    assert_eq!((seen.body.as_slice(), seen.field("content-length").as_deref()), (&b"hello"[..], Some("5")));
    for name in ["x-remote-user", "cookie", "trailer", "transfer-encoding"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
}

/// A body of these frames.
struct Pieces(std::collections::VecDeque<Frame<Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }
}

#[tokio::test]
async fn head_gets_no_body_from_the_backend_nor_from_the_gate_itself() {
    let backend = Backend::answering(|request| match request.target() {
        "/broken" => "garbage\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1234\r\n\r\n".to_owned(),
    });
    let site = Site::new(&backend, "");
    for (name, path, status) in [
        ("the backend's", "/a", 200),
        ("a page of the gate", "/_gate/login", 200),
        ("a page about a fault", "/broken", 502),
    ] {
        let mut client = site.connect().await;
        let request = request(path).method("HEAD").body(Empty::<Bytes>::new()).unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        // A body in spite of it is an error of the stream.
        let body = answer.into_body().collect().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(body.to_bytes(), "", "{name}");
    }
}

#[tokio::test]
async fn trailers_of_the_backend_stay_inside() {
    let backend = Backend::answering(|_| {
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTrailer: X-Where\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Where: plone.internal\r\n\r\n".to_owned()
    });
    let site = Site::new(&backend, "");
    let answer =
        site.connect().await.send_request(request("/a").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.headers().get("trailer"), None);
    let collected = answer.into_body().collect().await.unwrap();
    assert!(collected.trailers().is_none());
    assert_eq!(collected.to_bytes(), "ok");
}

#[test]
fn requests_are_admitted_as_strictly_as_in_http1() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    let with = |change: &[(&'static str, &'static str)]| {
        let kept = GET.into_iter().filter(|(name, _)| change.iter().all(|(other, _)| name != other));
        let mut fields: Vec<_> = kept.collect();
        for field in change {
            let at = if field.0.starts_with(':') { 0 } else { fields.len() };
            fields.insert(at, *field);
        }
        fields
    };
    let refused = [End::Reset(1), End::Closed, End::Status(400)];
    for (name, fields, expected) in [
        ("as it should be", with(&[]), &[End::Status(200)][..]),
        ("the same host again", with(&[("host", HOST)]), &[End::Status(200)]),
        ("another host besides", with(&[("host", "evil.example")]), &refused),
        ("another host", with(&[(":authority", "evil.example")]), &[End::Status(421)]),
        ("user information", with(&[(":authority", "evil@www.example.test")]), &refused),
        ("another scheme", with(&[(":scheme", "http")]), &refused),
        ("connection", with(&[("connection", "close")]), &refused),
        ("chunked", with(&[("transfer-encoding", "chunked")]), &refused),
        ("upgrade", with(&[("upgrade", "websocket")]), &refused),
        ("keep-alive", with(&[("keep-alive", "5")]), &refused),
        ("proxy-connection", with(&[("proxy-connection", "close")]), &refused),
        ("te", with(&[("te", "gzip")]), &refused),
        ("an alias of a framing field", with(&[("transfer_encoding", "chunked")]), &refused),
        ("a length and no body", with(&[("content-length", "5")]), &refused),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "0")]), &refused),
        ("a name in capitals", with(&[("X-A", "b")]), &refused),
        ("a line end in a value", with(&[("x-a", "b\r\nx-remote-user: admin")]), &refused),
        ("a line end in the path", with(&[(":path", "/a HTTP/1.1\r\nX-Remote-User: admin")]), &refused),
        ("a space in the path", with(&[(":path", "/a b")]), &refused),
        ("no slash", with(&[(":path", "a")]), &refused),
        ("a path with two readings", with(&[(":path", "/a/%2e%2e%2fb")]), &refused),
        ("Zope's virtual hosting", with(&[(":path", "/VirtualHostBase/https/evil.example:443/a")]), &refused),
        ("an unknown field of the protocol", with(&[(":evil", "a")]), &refused),
        (
            "a field of the protocol at the end",
            with(&[("a", "b"), (":path", "/b")]).into_iter().rev().collect(),
            &refused,
        ),
        ("an unknown method", with(&[(":method", "BREW")]), &[End::Status(501)]),
        ("a method in small letters", with(&[(":method", "get")]), &[End::Status(501)]),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", HOST)],
            &[End::Status(501), End::Status(400), End::Reset(1)],
        ),
        (
            "WebSocket by extended CONNECT (RFC 8441), which is not offered",
            with(&[(":method", "CONNECT"), (":protocol", "websocket")]),
            &[End::Reset(1), End::Status(501), End::Closed],
        ),
    ] {
        backend.take();
        let mut wire = site.wire(&[]);
        wire.ask(1, &fields);
        let end = wire.end_of(1);
        assert!(expected.contains(&end), "{name}: {end:?}");
        assert_eq!(backend.take().len(), usize::from(end == End::Status(200)), "{name}");
    }
}

#[test]
fn the_gate_says_its_limits_and_holds_to_them() {
    let busy = Arc::new(AtomicBool::new(true));
    let waiting = Arc::clone(&busy);
    let backend = Backend::answering(move |request| {
        while request.target() == "/slow" && waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        ok("ok")
    });
    let site = Site::new(&backend, "");
    let mut wire = site.wire(&[]);
    let settings =
        std::iter::from_fn(|| wire.frame()).find(|frame| frame.kind == SETTINGS && frame.flags == 0).unwrap();
    let values: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|chunk| {
            (u16::from_be_bytes([chunk[0], chunk[1]]), u32::from_be_bytes(chunk[2..].try_into().unwrap()))
        })
        .collect();
    for expected in [(3, 100), (4, 256 * 1024), (6, 64 * 1024)] {
        assert!(values.contains(&expected), "{expected:?} in {values:?}");
    }
    assert!(!values.iter().any(|(id, value)| *id == 8 && *value == 1), "no extended CONNECT");
    let slow: Vec<_> =
        GET.into_iter().map(|(name, value)| (name, if name == ":path" { "/slow" } else { value })).collect();
    for number in 0..=100 {
        wire.ask(number * 2 + 1, &slow);
    }
    assert_eq!(wire.end_of(201), End::Reset(7), "REFUSED_STREAM: the client may ask again");
    busy.store(false, Ordering::SeqCst);
    assert_eq!(wire.end_of(199), End::Status(200));

    let large = "a".repeat(60 * 1024);
    let mut wire = site.wire(&[]);
    let send = |wire: &mut frames::Wire, stream: u32, count: usize| {
        let fields = [GET.to_vec(), vec![("x-large", large.as_str()); count]].concat();
        let block = frames::block(&fields);
        let mut pieces = block.chunks(16 * 1024);
        wire.send(frame(HEADERS, END_STREAM, stream, pieces.next().unwrap()));
        for piece in pieces.by_ref() {
            wire.send(frame(CONTINUATION, 0, stream, piece));
        }
        wire.send(frame(CONTINUATION, END_HEADERS, stream, &[]));
    };
    send(&mut wire, 1, 1);
    assert_eq!(wire.end_of(1), End::Status(200), "as much as in HTTP/1");
    send(&mut wire, 3, 2);
    assert!(matches!(wire.end_of(3), End::Status(431) | End::Reset(_) | End::Closed));
    assert!(site.still_serves());
}

/// Why a connection ends (RFC 9113, section 7).
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn floods_end_the_connection_that_sends_them_and_no_other() {
    /// The frames of a round.
    type Flood<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    let headers = |stream: u32, flags: u8| frame(HEADERS, flags, stream, &frames::block(&GET));
    let whole = END_STREAM | END_HEADERS;
    let floods: [(&str, Flood<'_>); 10] = [
        ("rapid reset (CVE-2023-44487)", &|round| {
            let stream = round * 2 + 1;
            [headers(stream, whole), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        }),
        ("made to reset (CVE-2025-8671)", &|round| {
            let stream = round * 2 + 1;
            [headers(stream, END_HEADERS), frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
        }),
        ("SETTINGS (CVE-2019-9515)", &|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("PING (CVE-2019-9512)", &|_| frame(PING, 0, 0, &[7; 8])),
        ("PRIORITY (CVE-2019-9513)", &|round| frame(PRIORITY, 0, round * 2 + 1, &[0, 0, 0, 0, 16])),
        ("CONTINUATION (CVE-2024-24549)", &|round| match round {
            0 => headers(1, END_STREAM),
            _ => frame(CONTINUATION, 0, 1, &frames::block(&[("a", "b")])),
        }),
        ("empty CONTINUATION", &|round| match round {
            0 => headers(1, END_STREAM),
            _ => frame(CONTINUATION, 0, 1, &[]),
        }),
        ("empty DATA (CVE-2019-9518)", &|round| match round {
            0 => {
                frame(HEADERS, END_HEADERS, 1, &frames::block(&[(":method", "POST"), GET[1], GET[2], GET[3]]))
            }
            _ => frame(DATA, 0, 1, &[]),
        }),
        ("windows opened by one byte (CVE-2019-9511)", &|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("unknown frames", &|_| frame(0xfa, 0, 0, &[7; 8])),
    ];
    for (name, flood) in floods {
        backend.take();
        let before = backend.connections();
        let mut wire = site.wire(&[]);
        // Rounds until nothing more is taken. What the gate says meanwhile is read by another thread's worth of buffers.
        let rounds = (0..200_000).take_while(|round| wire.send(flood(*round))).count();
        assert!(rounds < 20_000, "{name}: taken without end");
        // A window opened by nothing is an error of the protocol whoever counts (RFC 9113, section 6.9).
        let reason = if name.starts_with("made to reset") { PROTOCOL_ERROR } else { ENHANCE_YOUR_CALM };
        assert_eq!(wire.goodbye(), Some(reason), "{name}");
        assert!(backend.connections() - before < 1_000, "{name}: the backend paid for it");
        assert!(site.still_serves(), "{name}");
    }
}

#[test]
fn an_answer_that_breaks_off_has_a_head_first() {
    for answer in [
        "Content-Length: 4096\r\n\r\n",
        "Content-Length: 4096\r\n\r\nthe beginning",
        "Transfer-Encoding: chunked\r\n\r\nzz",
    ] {
        let backend = Backend::scripted(move |wire, _| {
            if wire.request().is_some() {
                wire.send(format!("HTTP/1.1 200 OK\r\n{answer}"));
            }
        });
        let site = Site::new(&backend, "");
        for round in 0..20 {
            let mut wire = site.wire(&[]);
            wire.ask(1, &GET);
            let head = wire.end_of(1);
            assert!([End::Status(200), End::Status(502)].contains(&head), "{answer:?}, {round}: {head:?}");
            if head == End::Status(200) {
                assert_eq!(wire.end_of(1), End::Reset(2), "{answer:?}, {round}: INTERNAL_ERROR");
            }
        }
    }
}

#[test]
fn who_does_not_say_that_it_heard_is_not_waited_for() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    let (mut asked, silent) = (site.wire(&[]), site.wire(&[]));
    asked.ask(1, &GET);
    assert_eq!(asked.end_of(1), End::Status(200));
    let (stopped, stops) = std::sync::mpsc::channel();
    let stopping = std::thread::spawn(move || {
        drop(site);
        stopped.send(()).unwrap();
    });
    // The time to drain is a minute; what is awaited is the end of a short silence.
    assert_eq!(asked.goodbye(), Some(0), "NO_ERROR");
    drop(silent);
    stops.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
    stopping.join().unwrap();
}

#[test]
fn an_answer_that_nobody_reads_gives_its_backend_free_and_others_go_on() {
    let gone = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&gone);
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            if request.target() != "/large" {
                wire.send(ok("ok"));
                continue;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1073741824\r\n\r\n");
            while wire.send(vec![7; 64 * 1024]) {}
            seen.store(true, Ordering::SeqCst);
            return;
        }
    });
    let site = Site::new(&backend, "write_timeout = \"700ms\"");
    // A window of a kibibyte for each answer, which is never opened further (RFC 9113, section 6.9.2).
    let mut wire = site.wire(&[(4, 1024)]);
    let large: Vec<_> =
        GET.into_iter().map(|(name, value)| (name, if name == ":path" { "/large" } else { value })).collect();
    wire.ask(1, &large);
    assert_eq!(wire.end_of(1), End::Status(200));
    wire.ask(3, &GET);
    assert_eq!(wire.end_of(3), End::Status(200), "another answer on the same connection");
    let mut end = None;
    while let Some(frame) = wire.frame() {
        end = Some(frame.kind);
    }
    assert!(end.is_some(), "the connection is given up once nothing else is on it");
    while !gone.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    assert!(site.still_serves());
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_answer() {
    let backend = Backend::scripted(|wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 4194304\r\n\r\n");
            wire.send(vec![7; 4 << 20]);
        }
    });
    let site = Site::new(&backend, "");
    let mut client = site.connect().await;
    let slow = client.send_request(request("/a").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let quick = client.send_request(request("/b").body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(quick.into_body().collect().await.unwrap().to_bytes().len(), 4 << 20);
    assert_eq!(slow.into_body().collect().await.unwrap().to_bytes().len(), 4 << 20);
}

#[test]
fn a_connection_that_asks_for_nothing_is_told_to_go() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "header_timeout = \"400ms\"");
    let mut wire = site.wire(&[]);
    wire.ask(1, &GET);
    assert_eq!(wire.end_of(1), End::Status(200));
    assert_eq!(wire.goodbye(), Some(0), "NO_ERROR");
}

#[test]
fn a_gate_that_stops_ends_what_it_began() {
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let (go, going) = std::sync::mpsc::channel::<()>();
    let going = std::sync::Mutex::new(going);
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            arrived.send(()).unwrap();
            going.lock().unwrap().recv().unwrap();
            wire.send(ok("at last"));
        }
    });
    let site = Site::new(&backend, "");
    let mut wire = site.wire(&[]);
    wire.ask(1, &GET);
    arrivals.recv().unwrap();
    let stopping = std::thread::spawn(move || drop(site));
    while wire.frame().unwrap().kind != frames::GOAWAY {}
    go.send(()).unwrap();
    assert_eq!(wire.end_of(1), End::Status(200));
    wire.goodbye();
    stopping.join().unwrap();
}

#[test]
fn only_tls_leads_to_http2() {
    let backend = Backend::polite();
    let site = Site::new(&backend, "");
    for (name, protocols, expected) in [
        ("both", &[&b"http/1.1"[..], b"h2"][..], Some(Some(&b"h2"[..]))),
        ("HTTP/1.1", &[b"http/1.1"], Some(Some(b"http/1.1"))),
        ("none", &[], Some(None)),
        ("one that is not spoken", &[b"spdy/3"], None),
    ] {
        let client = Client { protocols, ..Client::new(&site.authority) };
        let stream = client.connect(site.gate.tls.unwrap()).ok();
        let chosen = stream.as_ref().map(|stream| stream.conn.alpn_protocol());
        assert_eq!(chosen, expected, "{name}");
        let Some(stream) = stream.filter(|stream| stream.conn.alpn_protocol() != Some(b"h2")) else {
            continue;
        };
        let mut wire = raw::Wire::over(stream);
        // h2c smuggling: the upgrade is not answered and does not reach the backend.
        wire.send(get("/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"));
        assert_eq!(wire.response().status(), 200, "{name}");
        let seen = &backend.take()[0];
        assert_eq!((seen.field("upgrade"), seen.field("http2-settings")), (None, None));
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(wire.response().status(), 400, "{name}: with prior knowledge");
    }
}
