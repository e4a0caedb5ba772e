//! How many connections there may be, and what becomes of those that stand still.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::TcpStream;
use std::time::Duration;

use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, Wire, connect, get, ok, post, sign_in};

fn gate(backend: &Backend, server: &str, site: &str) -> Gate {
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\ndrain = \"5s\"\n{server}\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\n{site}\n",
        backend.url()
    ))
}

/// A request on this connection, and what came back; `None` when it was closed without a word.
fn asked(wire: &mut Wire, lines: &str) -> Option<Message> {
    wire.send(get("/a", lines));
    wire.response_to("GET")
}

/// Connects until it gets this answer: the gate learns of a closed connection when it is told.
fn comes_in(gate: &Gate, status: u16) {
    while asked(&mut connect(gate.address), "").is_none_or(|answer| answer.status() != status) {
        std::thread::yield_now();
    }
}

#[test]
fn beyond_the_total_new_visitors_are_told_so_and_those_inside_go_on() {
    let backend = Backend::polite();
    let gate = gate(&backend, "connections = { total = 4, per_client = 0 }", "");
    let session = sign_in(gate.address);
    comes_in(&gate, 302);
    let mut inside: Vec<Wire> = Vec::new();
    while inside.len() < 4 {
        let mut wire = connect(gate.address);
        if asked(&mut wire, &session).is_some_and(|answer| answer.status() == 200) {
            inside.push(wire);
        }
    }
    for _ in 0..10 {
        let mut wire = connect(gate.address);
        let answer = asked(&mut wire, &session).expect("an answer");
        assert_eq!((answer.status(), answer.whole), (503, true), "{}", answer.text());
        assert_eq!(answer.field("retry-after").as_deref(), Some("10"));
        assert!(wire.has_ended());
        for wire in &mut inside {
            assert_eq!(asked(wire, &session).unwrap().status(), 200);
        }
    }
    drop(inside.pop());
    comes_in(&gate, 302);
}

#[test]
fn a_client_with_too_many_connections_gets_no_more_and_others_do() {
    let backend = Backend::polite();
    let gate = gate(&backend, "connections = { total = 0, per_client = 3 }", "access.default = \"public\"");
    let mut held: Vec<Wire> = (0..3).map(|_| connect(gate.address)).collect();
    for wire in &mut held {
        assert_eq!(asked(wire, "").unwrap().status(), 200);
    }
    for _ in 0..5 {
        assert!(asked(&mut connect(gate.address), "").is_none(), "closed, whichever worker has it");
    }
    // All of 127.0.0.0/8 is loopback, so another client is one that binds to another of its addresses.
    let other = from("127.0.0.3", gate.address);
    assert_eq!(asked(&mut Wire::over(other), "").unwrap().status(), 200);
    for wire in &mut held {
        assert_eq!(asked(wire, "").unwrap().status(), 200, "what it has goes on");
    }
    drop(held.pop());
    comes_in(&gate, 200);
}

fn from(local: &str, to: std::net::SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let local: std::net::SocketAddr = format!("{local}:0").parse().unwrap();
    socket.bind(&local.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    socket.into()
}

#[test]
fn a_trusted_proxy_is_not_one_client() {
    let backend = Backend::polite();
    let server = "trusted_proxies = [\"127.0.0.1/32\"]\nconnections = { total = 0, per_client = 1 }";
    let gate = gate(&backend, server, "access.default = \"public\"");
    let mut held: Vec<Wire> = (0..5).map(|_| connect(gate.address)).collect();
    for wire in &mut held {
        assert_eq!(asked(wire, "").unwrap().status(), 200);
    }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let backend = Backend::polite();
    let gate = gate(&backend, "header_timeout = \"400ms\"", "access.default = \"public\"");
    let mut silent = connect(gate.address);
    let mut slow = connect(gate.address);
    slow.send("GET /a HTTP/1.1\r\nHost: www.exam");
    let mut second = connect(gate.address);
    assert_eq!(asked(&mut second, "").unwrap().status(), 200);
    second.send("GET /b HT");
    let answer = slow.response();
    assert_eq!(answer.status(), 408, "{}", answer.text());
    assert!(answer.field("x-request-id").is_some() && slow.has_ended());
    assert!(silent.has_ended(), "without a word: there was none to answer");
    assert!(second.response_to("GET").is_none_or(|answer| answer.status() == 408));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_request_that_takes_too_long_is_ended_wherever_it_is() {
    let backend = Backend::scripted(|wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            if request.target() == "/drip" {
                wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n");
            }
            while request.target() != "/quick" && wire.send("x") {
                std::thread::sleep(Duration::from_millis(20));
            }
            wire.send(ok("quick"));
        }
    });
    let gate = gate(&backend, "request_timeout = \"500ms\"", "access.default = \"public\"");
    let mut wire = connect(gate.address);
    wire.send(get("/drip", ""));
    let answer = wire.response();
    assert_eq!((answer.status(), answer.whole), (200, false), "broken off");
    let mut wire = connect(gate.address);
    wire.send(post("/quick", "", "hello"));
    assert_eq!(wire.response().status(), 200);
    let mut wire = connect(gate.address);
    wire.send(format!("POST /quick HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhel"));
    assert_eq!(wire.response().status(), 504, "a body that does not come");
}

#[test]
fn a_socket_that_the_parent_opened_is_served() {
    let backend = Backend::polite();
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"fd:3\"]\nworkers = 2\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
        backend.url()
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Asked before anyone listens: it waits in the socket.
    let mut early = connect(address);
    early.send(get("/a", ""));
    let mut gate = std::process::Command::new("sh")
        .args(["-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" run 3<&0 0</dev/null"])
        .arg(assert_cmd::cargo::cargo_bin!("lychgate"))
        .current_dir(folder.path())
        .stdin(std::process::Stdio::from(std::os::fd::OwnedFd::from(listener)))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let statuses = [early.response().status(), asked(&mut connect(address), "").unwrap().status()];
    gate.kill().unwrap();
    gate.wait().unwrap();
    assert_eq!(statuses, [200, 200]);
}
