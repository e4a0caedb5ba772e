//! One exchange with the backend: connections, hygiene, and what becomes of a backend that breaks off, stalls or talks
//! nonsense. Bodies of requests are in `bodies.rs`, upgrades in `tunnel.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, ask, connect, get, ok, post};

const OPEN: &str = "access.default = \"public\"";

/// With deadlines that a test can wait for.
const HASTY: &str = "access.default = \"public\"\n[site.forward]\nconnect_timeout = \"500ms\"\nresponse_timeout = \"500ms\"\nidle_timeout = \"500ms\"\n";

/// A backend that answers every request on a connection with these bytes and then leaves it open.
fn saying(bytes: impl Into<Vec<u8>>) -> Backend {
    let bytes = bytes.into();
    Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            wire.send(&bytes);
        }
    })
}

/// A backend that answers with these bytes and closes.
fn saying_last(bytes: impl Into<Vec<u8>>) -> Backend {
    let bytes = bytes.into();
    Backend::scripted(move |wire, record| {
        if let Some(request) = wire.request() {
            record.note(&request);
            wire.send(&bytes);
        }
    })
}

/// The page for a backend that failed: for people, with the request's id on it, and nothing of the inside.
fn assert_problem(name: &str, answer: &Message, status: u16, inside: SocketAddr) {
    assert_eq!(answer.status(), status, "{name}: {}", answer.text());
    let id = answer.field("x-request-id").expect("an id");
    let page = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(page.contains("<html") && page.contains(&id), "{name}: {page}");
    assert!(!answer.text().contains(&inside.to_string()), "{name}: {page}");
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"), "{name}");
}

#[test]
fn connections_stay_open_on_both_sides() {
    let backend = Backend::answering(|request| ok(request.target()));
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    for path in ["/a", "/b", "/c"] {
        wire.send(get(path, ""));
        assert_eq!(wire.response().body, path.as_bytes());
    }
    assert_eq!(backend.connections(), 1);
    // Requests that are sent all at once are answered in their order.
    wire.send(["/d", "/e", "/f"].map(|path| get(path, "")).concat());
    for path in ["/d", "/e", "/f"] {
        assert_eq!(wire.response().body, path.as_bytes());
    }
    // Another visitor's request may use the same connection, and one that must not be sent twice gets its own.
    assert_eq!(ask(gate.address, get("/g", "")).body, b"/g");
    assert_eq!(backend.connections(), 1);
    assert_eq!(ask(gate.address, post("/h", "", "x")).body, b"/h");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn fields_of_one_connection_do_not_cross_it() {
    let backend = saying(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTrailer: X\r\nServer: Zope\r\nX-Powered-By: Zope\r\nVia: 1.1 inside\r\n\
         Bobo-Exception-Type: Unauthorized\r\nWWW-Authenticate: Basic realm=\"Zope\"\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok",
    );
    let gate = Gate::with(&backend.url(), OPEN);
    let lines = "Connection: keep-alive, X-Hop, Content-Type\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nUpgrade: foo\r\nContent-Type: text/plain\r\n";
    let answer = ask(gate.address, get("/a", lines));
    let seen = &backend.take()[0];
    for name in ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade", "connection"] {
        assert_eq!(seen.field(name), None, "request: {name}");
    }
    assert_eq!(seen.field("x-kept").as_deref(), Some("1"));
    assert_eq!(seen.field("content-type").as_deref(), Some("text/plain"), "what the gate judged by stays");
    for name in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "connection",
        "upgrade",
        "trailer",
        "server",
        "x-powered-by",
        "via",
        "bobo-exception-type",
        "www-authenticate",
    ] {
        assert_eq!(answer.field(name), None, "response: {name}");
    }
    assert_eq!((answer.field("x-kept").as_deref(), &answer.body[..]), (Some("1"), &b"ok"[..]));
}

#[test]
fn a_backend_cannot_take_away_how_its_answer_is_read() {
    let backend = saying(
        "HTTP/1.1 200 OK\r\nConnection: Content-Type, Content-Length, Set-Cookie\r\nSet-Cookie: a=b; Path=/\r\n\
         Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    );
    let gate = Gate::with(&backend.url(), OPEN);
    let answer = ask(gate.address, get("/a", ""));
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"ok"[..]));
    assert_eq!(answer.field("content-type").as_deref(), Some("text/plain"), "{}", answer.text());
}

#[test]
fn an_answer_in_http_1_0_keeps_the_visitors_connection() {
    // ZServer answers every request in HTTP/1.0.
    let backend = saying("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok");
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    for _ in 0..2 {
        wire.send(get("/a", ""));
        let answer = wire.response();
        assert_eq!(
            (answer.line.as_str(), &answer.body[..]),
            ("HTTP/1.1 200 OK", &b"ok"[..]),
            "{}",
            answer.text()
        );
    }
    assert_eq!(backend.connections(), 1);
    // A page until the end of the connection is still a whole page, and tells its end.
    let backend = saying_last("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>to the end");
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    for _ in 0..2 {
        wire.send(get("/a", ""));
        let answer = wire.response();
        assert_eq!((answer.line.as_str(), &answer.body[..]), ("HTTP/1.1 200 OK", &b"<p>to the end"[..]));
    }
}

#[test]
fn visitors_in_http_1_0_are_answered() {
    let backend = saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    wire.send(format!("GET /a HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    let answer = wire.response();
    assert_eq!(
        (answer.status(), answer.field("transfer-encoding"), &answer.body[..]),
        (200, None, &b"ok"[..])
    );
    assert!(wire.has_ended());
}

#[test]
fn a_head_answered_with_a_body_disturbs_nobody() {
    // waitress does so (facts/plone.md, section 6); Caddy answered 19 of 36 following requests with 502.
    let backend = Backend::answering(|request| match request.method() {
        "HEAD" => ok(&"the body of a HEAD ".repeat(700)),
        _ => ok(&format!("{} {}", request.method(), request.target())),
    });
    let gate = Gate::with(&backend.url(), OPEN);
    std::thread::scope(|scope| {
        for visitor in 0..4 {
            let address = gate.address;
            scope.spawn(move || {
                let mut wire = connect(address);
                for round in 0..40 {
                    let path = format!("/{visitor}/{round}");
                    wire.send(get(&path, "").replacen("GET", "HEAD", 1));
                    assert_eq!(wire.response_to("HEAD").map(|answer| answer.status()), Some(200));
                    wire.send(get(&path, ""));
                    assert_eq!(wire.response().body, format!("GET {path}").as_bytes());
                    wire.send(post(&path, "", "x"));
                    assert_eq!(wire.response().body, format!("POST {path}").as_bytes());
                }
            });
        }
    });
}

#[test]
fn a_connection_that_died_in_the_pool_costs_no_visitor_an_answer() {
    // Every connection answers once, takes the next request, and is gone without a word.
    let backend = Backend::scripted(|wire, record| {
        let Some(first) = wire.request() else { return };
        record.note(&first);
        wire.send(ok("first"));
        if let Some(second) = wire.request() {
            record.note(&second);
        }
    });
    let gate = Gate::with(&backend.url(), OPEN);
    assert_eq!(ask(gate.address, get("/a", "")).status(), 200);
    for method in ["GET", "OPTIONS", "PROPFIND"] {
        backend.take();
        let answer = ask(gate.address, get("/b", "").replacen("GET", method, 1));
        assert_eq!(answer.status(), 200, "{method}");
        let seen: Vec<_> = backend.take().iter().map(|request| request.method().to_owned()).collect();
        assert_eq!(seen, [method, method], "the second time on a new connection");
    }
    for method in ["POST", "PUT", "DELETE", "HEAD"] {
        ask(gate.address, get("/a", ""));
        backend.take();
        let mut wire = connect(gate.address);
        wire.send(get("/b", "").replacen("GET", method, 1));
        assert_eq!(
            wire.response_to(method).unwrap().status(),
            200,
            "{method}: on a new connection from the start"
        );
        assert_eq!(backend.take().len(), 1, "{method}");
    }
}

#[test]
fn what_may_not_be_sent_twice_is_sent_once() {
    let backend = Backend::scripted(|wire, record| {
        if let Some(request) = wire.request() {
            record.note(&request);
        }
    });
    let gate = Gate::with(&backend.url(), OPEN);
    for (method, body) in
        [("POST", "x"), ("POST", ""), ("PUT", "x"), ("DELETE", ""), ("GET", "x"), ("GET", "")]
    {
        let request = String::from_utf8(post("/a", "", body)).unwrap().replacen("POST", method, 1);
        assert_eq!(ask(gate.address, request).status(), 502, "{method} with {body:?}");
        assert_eq!(backend.take().len(), 1, "{method} with {body:?}");
    }
}

#[test]
fn a_backend_that_is_not_there_gets_a_page() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::with(&format!("http://{nobody}/Plone"), OPEN);
    assert_problem("page", &ask(gate.address, get("/a", "")), 502, nobody);
    let answer = ask(gate.address, get("/a", "Accept: application/json\r\nSec-Fetch-Mode: cors\r\n"));
    assert_eq!(answer.field("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.status(), 502);
}

#[test]
fn a_backend_that_takes_no_connection_is_given_up() {
    // A listener whose queue is full: the kernel drops what comes.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue never fills");
    }
    let gate = Gate::with(&format!("http://{address}/Plone"), HASTY);
    assert_problem("connecting", &ask(gate.address, get("/a", "")), 504, address);
}

#[test]
fn a_backend_that_stalls_is_given_up_and_told_so() {
    let (ended, told) = mpsc::channel();
    let backend = Backend::scripted(move |wire, _| {
        let request = wire.request().expect("a request");
        if request.target() == "/body" {
            wire.send(
                "HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: 100\r\n\r\nthe beginning",
            );
        }
        ended.send(wire.has_ended()).unwrap();
    });
    let gate = Gate::with(&backend.url(), HASTY);
    assert_problem("no answer", &ask(gate.address, get("/a", "")), 504, backend.address());
    assert!(told.recv().unwrap(), "the connection is closed");
    let answer = ask(gate.address, get("/body", ""));
    assert_eq!((answer.status(), answer.whole, &answer.body[..]), (200, false, &b"the beginning"[..]));
    assert!(told.recv().unwrap(), "the connection is closed");
}

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let smuggled = "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for (name, answer) in [
        ("garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        ("nothing", String::new()),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-".to_owned()),
        ("HTTP/2", "HTTP/2 200\r\n\r\n".to_owned()),
        (
            "length and chunks",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"),
        ),
        (
            "chunks and length",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{smuggled}"),
        ),
        ("unknown coding", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: foo\r\n\r\n{smuggled}")),
        ("gzip, chunked", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{smuggled}")),
        (
            "chunked twice",
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"
            ),
        ),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".to_owned()),
        ("a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!".to_owned()),
        ("no number", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello".to_owned()),
        ("a signed number", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello".to_owned()),
        ("no length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello".to_owned()),
        ("folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length : 5\r\n\r\nhello".to_owned()),
        (
            "a switch nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nevil"
                .to_owned(),
        ),
    ] {
        let backend = saying_last(answer);
        let gate = Gate::with(&backend.url(), OPEN);
        assert_problem(name, &ask(gate.address, get("/a", "")), 502, backend.address());
        assert_problem(name, &ask(gate.address, post("/a", "", "x")), 502, backend.address());
        let mut wire = connect(gate.address);
        wire.send(get("/a", "").replacen("GET", "HEAD", 1));
        assert_eq!(wire.response_to("HEAD").expect("an answer").status(), 502, "{name}, to HEAD");
    }
}

#[test]
fn what_an_old_backend_says_in_its_own_way_is_read_where_it_is_said_to_and_only_that() {
    const LENIENT: &str = "access.default = \"public\"\nforward.danger_lenient_answers = true";
    let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello");
    for (name, answer, lenient) in [
        ("folded", head("X: a\r\n b\r\nContent-Length: 5\r\n"), 200),
        ("a space before the colon", head("X : a b\r\nContent-Length : 5\r\n"), 200),
        // What delimits a message is read as strictly as ever, in whichever spelling it came.
        ("two lengths", head("X: a b\r\nContent-Length : 5\r\nContent-Length: 6\r\n"), 502),
        ("length and chunks", head("Content-Length: 5\r\nTransfer-Encoding : chunked\r\n"), 502),
        ("a folded coding", head("Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n"), 502),
        ("no name", head(": a\r\nContent-Length: 5\r\n"), 502),
        ("no colon", head("X a\r\nContent-Length: 5\r\n"), 502),
    ] {
        let backend = saying_last(answer);
        let strict = Gate::with(&backend.url(), OPEN);
        assert_problem(name, &ask(strict.address, get("/a", "")), 502, backend.address());
        let gate = Gate::with(&backend.url(), LENIENT);
        let answer = ask(gate.address, get("/a", ""));
        assert_eq!(answer.status(), lenient, "{name}: {}", answer.text());
        if lenient == 200 {
            let value = answer.field("x").unwrap();
            assert_eq!(value.split_whitespace().collect::<Vec<_>>(), ["a", "b"], "{name}");
            assert!(!value.contains(['\r', '\n']), "{name}");
            assert_eq!(answer.body, b"hello", "{name}");
        }
    }
}

#[test]
fn no_reader_before_the_gate_is_told_another_length_in_another_spelling() {
    let lines = "Transfer_Encoding: chunked\r\nContent_Length: 50\r\nX_Page: 1\r\nContent-Length: 5\r\n";
    let backend = saying_last(format!("HTTP/1.1 200 OK\r\n{lines}\r\nhello"));
    let gate = Gate::with(&backend.url(), OPEN);
    let answer = ask(gate.address, get("/a", ""));
    assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"hello"[..]));
    for (field, expected) in [("transfer_encoding", None), ("content_length", None), ("x_page", Some("1"))] {
        assert_eq!(answer.field(field).as_deref(), expected, "{field}");
    }
}

#[test]
fn an_answer_that_never_has_a_body_is_read_as_strictly() {
    // Nobody reads a body by these fields, so the library that reads heads does not look at them; but caches do, and the next proxy.
    for (name, lines, passes) in [
        ("one length", "Content-Length: 5\r\n", true),
        ("two equal ones", "Content-Length: 5\r\nContent-Length: 5\r\n", true),
        ("a list of equal ones", "Content-Length: 5, 5\r\n", true),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", false),
        ("a list of lengths", "Content-Length: 5, 6\r\n", false),
        ("no number", "Content-Length: five\r\n", false),
        ("a signed number", "Content-Length: +5\r\n", false),
        ("beyond all numbers", "Content-Length: 18446744073709551616\r\n", false),
        ("length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", false),
        ("unknown coding", "Transfer-Encoding: foo\r\n", false),
    ] {
        for (method, status) in
            [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("HEAD", "304 Not Modified")]
        {
            let backend = saying_last(format!("HTTP/1.1 {status}\r\nContent-Type: image/gif\r\n{lines}\r\n"));
            let gate = Gate::with(&backend.url(), OPEN);
            let mut wire = connect(gate.address);
            wire.send(get("/a", "").replacen("GET", method, 1));
            let answer = wire.response_to(method).expect("an answer");
            let name = format!("{name}, {method}, {status}");
            if passes {
                assert!(status.starts_with(&answer.status().to_string()), "{name}: {}", answer.text());
                let length = answer.field("content-length");
                assert!(length.as_ref().is_none_or(|length| length == "5"), "{name}: {length:?}");
                assert!(method == "GET" || status != "200 OK" || length.is_some(), "{name}");
            } else {
                assert_eq!(answer.status(), 502, "{name}: {}", answer.text());
            }
        }
    }
    let backend = saying_last("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    wire.send(get("/a", "").replacen("GET", "HEAD", 1));
    assert_eq!(wire.response_to("HEAD").unwrap().status(), 502, "chunks in HTTP/1.0");
}

/// A backend that answers with these bytes and is gone, with or without a farewell.
fn gone_after(bytes: &[u8], is_reset: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, bytes) = (listener.local_addr().unwrap(), bytes.to_vec());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if is_reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while memchr::memmem::find(&request, b"\r\n\r\n").is_none() {
                match stream.read(&mut piece) {
                    Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(&bytes);
        }
    });
    address
}

#[test]
fn a_body_that_broke_off_inside_breaks_off_outside() {
    let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    for (name, answer) in [
        ("length", head("Content-Length: 4096\r\n") + "the beginning"),
        ("length, and nothing of it", head("Content-Length: 4096\r\n")),
        ("chunks", head("Transfer-Encoding: chunked\r\n") + "d\r\nthe beginning\r\n"),
        ("chunks, and none", head("Transfer-Encoding: chunked\r\n")),
        ("chunk without end", head("Transfer-Encoding: chunked\r\n") + "100\r\nthe beginning"),
        ("bad chunk", head("Transfer-Encoding: chunked\r\n") + "d\r\nthe beginning\r\nzz\r\n"),
        ("rewritten, length", head("Content-Type: text/html\r\nContent-Length: 4096\r\n") + "the beginning"),
        ("rewritten, and nothing of it", head("Content-Type: text/html\r\nContent-Length: 4096\r\n")),
        (
            "rewritten, chunks",
            head("Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n") + "d\r\nthe beginning\r\n",
        ),
    ] {
        for is_reset in [false, true] {
            let backend = gone_after(answer.as_bytes(), is_reset);
            let gate = Gate::with(&format!("http://{backend}/Plone"), OPEN);
            for round in 0..30 {
                let mut wire = connect(gate.address);
                wire.send(get("/a", ""));
                // A reset may overtake the head itself, on its way in. What there is never has a clean end, and always a beginning.
                let name = format!("{name}, reset: {is_reset}, round {round}");
                let answer =
                    wire.response_to("GET").unwrap_or_else(|| panic!("{name}: closed without a head"));
                if answer.status() == 502 {
                    assert!(answer.whole && answer.field("x-request-id").is_some(), "{name}: {answer:?}");
                    let nothing_came = !String::from_utf8_lossy(&answer.body).contains("the beginning");
                    assert!(nothing_came, "{name}");
                } else {
                    assert_eq!((answer.status(), answer.whole), (200, false), "{name}: {answer:?}");
                    assert!(wire.has_ended(), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_connection_that_nobody_uses_is_closed_in_time_though_nobody_asks() {
    let (ended, told) = mpsc::channel();
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            wire.send(ok("ok"));
        }
        ended.send(wire.number).unwrap();
    });
    let gate = Gate::with(&backend.url(), &format!("{OPEN}\n[site.forward]\nkeep_alive = \"300ms\""));
    for round in 0..2 {
        assert_eq!(ask(gate.address, get("/a", "")).status(), 200);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(round), "closed by itself");
    }
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_visitor_who_leaves_ends_the_work_for_them() {
    let (ended, told) = mpsc::channel();
    let (began, ready) = mpsc::channel();
    let backend = Backend::scripted(move |wire, _| {
        let request = wire.request().expect("a request");
        if request.target() == "/endless" {
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n");
            began.send(()).unwrap();
            while wire.send(format!("10000\r\n{}\r\n", "a".repeat(0x10000))) {}
            ended.send("sending failed").unwrap();
        } else {
            began.send(()).unwrap();
            assert!(wire.has_ended());
            ended.send("closed").unwrap();
        }
    });
    let gate = Gate::with(&backend.url(), OPEN);
    for (path, how) in [("/thinking", "closed"), ("/endless", "sending failed")] {
        let mut wire = connect(gate.address);
        wire.send(get(path, ""));
        ready.recv().unwrap();
        if path == "/endless" {
            assert_eq!(wire.head().map(|head| head.status()), Some(200));
            wire.bytes(100_000);
        }
        drop(wire);
        assert_eq!(told.recv(), Ok(how), "{path}");
    }
}

#[test]
fn interim_answers_and_answers_without_body_leave_no_trace() {
    let backend = Backend::answering(|request| match request.target() {
        "/hints" => "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".to_owned() + &ok("after the hints"),
        "/continue" => "HTTP/1.1 100 Continue\r\n\r\n".to_owned() + &ok("after continue"),
        "/204" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 4096\r\nETag: \"a\"\r\n\r\n".to_owned(),
        _ => ok("plain"),
    });
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    for (path, status, body) in [
        ("/hints", 200, "after the hints"),
        ("/continue", 200, "after continue"),
        ("/204", 204, ""),
        ("/304", 304, ""),
    ] {
        wire.send(get(path, ""));
        let answer = wire.response();
        assert_eq!((answer.status(), &answer.body[..]), (status, body.as_bytes()), "{path}");
        wire.send(get("/next", ""));
        assert_eq!(wire.response().body, b"plain", "after {path}");
    }
}

#[test]
fn what_a_backend_says_beyond_its_answer_belongs_to_nobody() {
    let backend = saying(ok("first") + &ok("evil"));
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    for _ in 0..5 {
        wire.send(get("/a", ""));
        assert_eq!(wire.response().body, b"first");
    }
}
