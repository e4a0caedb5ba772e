//! WebSocket and other upgrades: a tunnel opens only when both ends agreed on it, and ends with the session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::mpsc;

use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::raw::{Backend, connect, get, login, ok, sign_in};

const RULES: &str = "access.rules = [{ path = \"/open/**\", access = \"public\" }]";

const ASKED: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: Zope\r\n\r\n";

/// A backend that answers an upgrade with `answer`, and after a 101 says everything back.
fn echo(answer: &'static str) -> Backend {
    Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            if request.field("upgrade").is_none() {
                wire.send(login(&request).unwrap_or_else(|| ok("no upgrade")));
                continue;
            }
            wire.send(answer);
            if answer.contains(" 101 ") {
                loop {
                    let bytes = wire.bytes(5);
                    if bytes.is_empty() {
                        return;
                    }
                    wire.send(&bytes);
                }
            }
        }
    })
}

#[test]
fn a_tunnel_carries_bytes_both_ways_once_both_ends_agreed() {
    let backend = echo(SWITCHED);
    let gate = Gate::with(&backend.url(), RULES);
    let mut wire = connect(gate.address);
    wire.send(get("/open/socket", &format!("{ASKED}Origin: http://{HOST}\r\n")));
    let head = wire.head().expect("an answer");
    assert_eq!(head.status(), 101, "{}", head.text());
    assert_eq!(head.field("upgrade").as_deref(), Some("WebSocket"));
    assert_eq!(head.field("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.field("server"), None);
    for bytes in [&b"hello"[..], b"\x81\x85\0\0\0", b"GET /"] {
        wire.send(bytes);
        assert_eq!(wire.bytes(5), bytes);
    }
    let seen = &backend.take()[0];
    assert_eq!(seen.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(seen.field("upgrade").as_deref(), Some("websocket"));
    assert_eq!(seen.field("sec-websocket-key").as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    wire.finish();
    assert!(wire.has_ended(), "the tunnel ends when the visitor does");
}

#[test]
fn an_answer_other_than_the_asked_switch_opens_nothing() {
    // WebSocket smuggling: after 426 a lax proxy goes on as a tunnel, and the next request is read by the backend alone.
    for (name, answer, status) in [
        (
            "426",
            "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n",
            426,
        ),
        ("200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            502,
        ),
        ("no protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
    ] {
        let backend = echo(answer);
        let gate = Gate::with(&backend.url(), RULES);
        let mut wire = connect(gate.address);
        let smuggled = get("/private/smuggled", "");
        wire.send(get("/open/socket", ASKED) + &smuggled);
        assert_eq!(wire.response().status(), status, "{name}");
        if let Some(next) = wire.response_to("GET") {
            assert_eq!(next.status(), 302, "{name}: the next request is judged as any");
        }
        assert!(!backend.take().iter().any(|request| request.line.contains("smuggled")), "{name}");
    }
}

#[test]
fn what_is_not_asked_properly_is_no_upgrade() {
    let backend = echo(SWITCHED);
    let gate = Gate::with(&backend.url(), RULES);
    for (name, lines) in [
        (
            "h2c smuggling",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        ),
        ("h2c in capitals", "Connection: Upgrade\r\nUpgrade: H2C\r\n"),
        ("h2c with a version", "Connection: Upgrade\r\nUpgrade: h2c/1\r\n"),
        ("h2", "Connection: Upgrade\r\nUpgrade: h2\r\n"),
        ("h2c second", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"),
        ("h2c on a second line", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"),
        ("not announced", "Upgrade: websocket\r\n"),
        ("announced in another spelling", "Connection: Upgrade_\r\nUpgrade: websocket\r\n"),
        ("nothing to switch to", "Connection: Upgrade\r\n"),
    ] {
        let mut wire = connect(gate.address);
        wire.send(get("/open/socket", lines));
        let answer = wire.response();
        assert_eq!((answer.status(), &answer.body[..]), (200, &b"no upgrade"[..]), "{name}");
        let seen = &backend.take()[0];
        for field in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.field(field), None, "{name}");
        }
    }
    let mut wire = connect(gate.address);
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(wire.response_to("PRI").is_none_or(|answer| answer.status() >= 400), "HTTP/2 from the start");
    assert_eq!(backend.take().len(), 0);
}

#[test]
fn strangers_open_no_tunnel() {
    let backend = echo(SWITCHED);
    let gate = Gate::with(&backend.url(), RULES);
    let session = sign_in(gate.address);
    backend.take();
    for (name, path, lines, status) in [
        ("a page of another site", "/open/socket", "Origin: https://evil.example\r\n", 403),
        ("a page of nowhere", "/open/socket", "Origin: null\r\n", 403),
        ("a page of the site by another scheme", "/open/socket", "Origin: https://www.example.test\r\n", 403),
        ("a longer name", "/open/socket", "Origin: http://www.example.test.evil.example\r\n", 403),
        (
            "another site with the session",
            "/socket",
            &*format!("Origin: https://evil.example\r\n{session}"),
            403,
        ),
        ("nobody, where only members may", "/socket", "", 401),
        ("nobody, from a page of the site", "/socket", "Origin: http://www.example.test\r\n", 401),
    ] {
        let mut wire = connect(gate.address);
        wire.send(get(path, &format!("{ASKED}{lines}")));
        assert_eq!(wire.response().status(), status, "{name}");
        assert_eq!(backend.take().len(), 0, "{name}");
    }
}

#[test]
fn a_tunnel_ends_with_the_session_that_opened_it() {
    let (ended, told) = mpsc::channel();
    let backend = Backend::scripted(move |wire, _| {
        while let Some(request) = wire.request() {
            if request.field("upgrade").is_none() {
                let out = "HTTP/1.1 200 OK\r\nSet-Cookie: __ac=deleted; Max-Age=0; Path=/\r\nContent-Length: 0\r\n\r\n";
                wire.send(login(&request).unwrap_or_else(|| out.to_owned()));
                continue;
            }
            assert_eq!(request.field("cookie").as_deref(), Some("__ac=sealed"), "as who is signed in");
            wire.send(SWITCHED);
            ended.send(wire.has_ended()).unwrap();
            return;
        }
    });
    let gate = Gate::with(&backend.url(), RULES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(runtime.block_on(browser.sign_in("jdoe", "Secret1234!")).status, 303);
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut wire = connect(gate.address);
    wire.send(get("/socket", &format!("{ASKED}Cookie: {}\r\n", cookies.join("; "))));
    assert_eq!(wire.head().map(|head| head.status()), Some(101));
    assert_eq!(runtime.block_on(browser.submit("/_gate/logout", &[])).status, 200);
    assert!(wire.has_ended(), "the visitor's end");
    assert!(told.recv().unwrap(), "the backend's end");
}

#[test]
fn a_tunnel_in_which_nobody_says_anything_ends_whoever_opened_it() {
    let (ended, told) = mpsc::channel();
    let backend = Backend::scripted(move |wire, _| {
        if wire.request().is_some() {
            wire.send(SWITCHED);
            ended.send(wire.has_ended()).unwrap();
        }
    });
    let gate = Gate::with(&backend.url(), &format!("{RULES}\nforward.tunnel_idle_timeout = \"200ms\""));
    let mut wire = connect(gate.address);
    wire.send(get("/open/socket", ASKED));
    assert_eq!(wire.head().map(|head| head.status()), Some(101));
    assert!(wire.has_ended(), "the visitor's end");
    assert!(told.recv().unwrap(), "the backend's end");
}

#[test]
fn an_agreement_on_a_tunnel_tells_nothing_of_the_inside() {
    let backend = Backend::scripted(|wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            let inside = request.field("host").unwrap_or_default();
            let inside = if inside.contains(HOST) { "127.0.0.1:8080".to_owned() } else { inside };
            wire.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Location: ws://{inside}/Plone/open/socket\r\nSec-WebSocket-Origin: http://{inside}\r\n\
                 Set-Cookie: a=1; Domain={inside}; Path=/Plone/open\r\nSet-Cookie: =lychgate=tossed\r\n\
                 Set-Cookie: lychgate=tossed\r\n\r\n"
            ));
        }
    });
    let gate = Gate::with(&backend.url(), &format!("virtual_hosting = \"rewrite\"\n{RULES}"));
    let mut wire = connect(gate.address);
    wire.send(get("/open/socket", ASKED));
    let head = wire.head().expect("an answer");
    assert_eq!(head.status(), 101, "{}", head.text());
    assert!(!head.text().contains("127.0.0.1") && !head.text().contains("tossed"), "{}", head.text());
    assert_eq!(head.field("set-cookie").as_deref(), Some("a=1; Path=/open"));
    assert_eq!(head.field("sec-websocket-origin"), Some(format!("http://{HOST}")));
}
