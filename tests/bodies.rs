//! Bodies of requests on their way to the backend: exact, with a length, bounded, and never waited for without end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::gate::{Gate, HOST};
use support::raw::{Backend, ask, connect, get, ok, post};

const OPEN: &str = "access.default = \"public\"";

const SMALL_MEMORY: &str =
    "access.default = \"public\"\n[site.forward]\nspool_above = \"64 KiB\"\nbody_limit = \"1 MiB\"\n";

const HASTY: &str = "access.default = \"public\"\n[site.forward]\nresponse_timeout = \"150ms\"\n";

/// Bytes that no two places have alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u32 / 4).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut all = format!(
        "POST /a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\n"
    );
    let mut wire = std::mem::take(&mut all).into_bytes();
    for chunk in body.chunks(size) {
        wire.extend_from_slice(format!("{:x};extension=1\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

#[test]
fn a_body_of_unknown_length_arrives_with_one_and_byte_for_byte() {
    // ZServer refuses chunks, NaviServer cuts them off (facts/plone.md, section 6).
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), SMALL_MEMORY);
    for (name, size, chunk) in [
        ("nothing", 0, 1),
        ("a few bytes", 20, 3),
        ("up to the edge of memory", 64 << 10, 1000),
        ("one more", (64 << 10) + 4, 1000),
        ("to the disk", 900 << 10, 10_000),
        ("to the disk in one chunk", 900 << 10, 1 << 20),
        ("up to the limit", 1 << 20, 1 << 16),
    ] {
        let body = bytes(size);
        let answer = ask(gate.address, chunked(&body, chunk));
        assert_eq!(answer.status(), 200, "{name}: {}", answer.text());
        let seen = &backend.take()[0];
        assert_eq!(seen.field("content-length"), Some(size.to_string()), "{name}");
        assert_eq!(seen.field("transfer-encoding"), None, "{name}");
        assert!(seen.body == body, "{name}: the bytes differ");
    }
}

#[test]
fn a_body_of_known_length_streams_byte_for_byte() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let body = bytes(3 << 20);
    for kind in [
        "image/png",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "application/json",
    ] {
        let answer = ask(gate.address, post("/a", &format!("Content-Type: {kind}\r\n"), &body));
        assert_eq!(answer.status(), 200, "{kind}: {}", answer.text());
        assert!(backend.take()[0].body == body, "{kind}: the bytes differ");
    }
    assert_eq!(ask(gate.address, post("/a", "", "")).status(), 200);
    assert_eq!(backend.take()[0].field("content-length").as_deref(), Some("0"), "a POST of nothing says so");
}

#[test]
fn an_expectation_is_met_by_the_gate_and_not_passed_on() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "access.rules = [{ path = \"/open/**\", access = \"public\" }]");
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut wire = connect(gate.address);
    wire.send(head("/open/a"));
    assert_eq!(wire.head().map(|head| head.status()), Some(100));
    wire.send("hello");
    assert_eq!(wire.response().status(), 200);
    let seen = &backend.take()[0];
    assert_eq!((seen.field("expect"), &seen.body[..]), (None, &b"hello"[..]));
    // Where the answer is clear without it, nobody is asked for the body.
    let mut wire = connect(gate.address);
    wire.send(head("/private"));
    assert_eq!(wire.head().map(|head| head.status()), Some(303));
}

#[test]
fn a_body_beyond_the_limit_is_refused_unread() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), SMALL_MEMORY);
    let mut wire = connect(gate.address);
    wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", (1 << 20) + 1));
    assert_eq!(wire.response().status(), 413, "before a byte of it was sent");
    assert!(wire.has_ended());
    let mut wire = connect(gate.address);
    wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n"));
    wire.send(bytes((1 << 20) + 4));
    assert_eq!(wire.response().status(), 413, "before its end");
    assert_eq!(backend.connections(), 0, "the backend hears nothing of either");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let backend = Backend::scripted(|wire, record| {
        while let Some(request) = wire.request() {
            if request.whole {
                record.note(&request);
                wire.send(ok("ok"));
            }
        }
    });
    let gate = Gate::with(&backend.url(), HASTY);
    for (name, lines, part) in [
        ("known length, nothing", "Content-Length: 100\r\n", ""),
        ("known length, a part", "Content-Length: 100\r\n", "hello"),
        ("chunks, nothing", "Transfer-Encoding: chunked\r\n", ""),
        ("chunks, a part", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("chunks, half a chunk", "Transfer-Encoding: chunked\r\n", "64\r\nhello"),
    ] {
        let mut wire = connect(gate.address);
        wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n{part}"));
        assert_eq!(wire.response().status(), 408, "{name}");
        assert!(wire.has_ended(), "{name}");
    }
    for lines in ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut wire = connect(gate.address);
        wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n5\r\nhello\r\n"));
        wire.finish();
        assert!(wire.response_to("POST").is_none_or(|answer| answer.status() >= 400), "broken off: {lines}");
    }
    assert_eq!(backend.take().len(), 0, "the backend never has a whole request");
    assert_eq!(ask(gate.address, get("/a", "")).status(), 200, "the next visitor is served");
}

#[test]
fn an_answer_that_comes_before_the_body_is_passed_on_at_once() {
    let backend = Backend::scripted(|wire, record| {
        let head = wire.head().expect("a head");
        record.note(&head);
        wire.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\ntoo much",
        );
        wire.swallow(u64::MAX);
    });
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", 1 << 20));
    wire.send(bytes(64 << 10));
    let answer = wire.response();
    assert_eq!((answer.status(), &answer.body[..]), (413, &b"too much"[..]), "{}", answer.text());
    assert_eq!(backend.take().len(), 1);
}

#[test]
fn what_follows_a_body_is_the_next_request_and_no_part_of_it() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let mut wire = connect(gate.address);
    wire.send([post("/a", "", "hello"), chunked(b"chunk", 2), get("/b", "").into_bytes()].concat());
    for _ in 0..3 {
        assert_eq!(wire.response().status(), 200);
    }
    let seen: Vec<_> =
        backend.take().into_iter().map(|request| (request.target().to_owned(), request.body)).collect();
    let body = |path: &str, body: &[u8]| (path.to_owned(), body.to_vec());
    assert_eq!(seen, [body("/a", b"hello"), body("/a", b"chunk"), body("/b", b"")]);
}
