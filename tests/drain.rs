//! The end of a gate: no new visitors, and every answer that was begun is given.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use support::gate::Gate;
use support::raw::{Backend, connect, get, ok};

/// A backend that says when it has a request, and answers when it is told to.
fn waiting() -> (Backend, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, arrivals) = mpsc::channel();
    let (go, going) = mpsc::channel();
    let going = Mutex::new(going);
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            if request.target() == "/quick" {
                wire.send(ok("quick"));
                continue;
            }
            if request.target() == "/halfway" {
                wire.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n0123456789",
                );
            }
            arrived.send(()).unwrap();
            going.lock().unwrap().recv().unwrap();
            wire.send(if request.target() == "/halfway" { "0123456789".to_owned() } else { ok("at last") });
        }
    });
    (backend, arrivals, go)
}

#[test]
fn a_gate_that_stops_ends_what_it_began_and_begins_nothing() {
    for path in ["/slow", "/halfway"] {
        let (backend, arrivals, go) = waiting();
        let gate = Gate::with(&backend.url(), "access.default = \"public\"");
        let address = gate.address;
        let mut idle = connect(address);
        idle.send(get("/quick", ""));
        assert_eq!(idle.response().status(), 200);
        let mut wire = connect(address);
        wire.send(get(path, ""));
        arrivals.recv().unwrap();

        let stopping = std::thread::spawn(move || drop(gate));
        assert!(idle.has_ended(), "a connection nobody uses ends at once");
        // The gate has heard of it; its port closes with the connections that nobody uses.
        while let Ok(stream) = TcpStream::connect(address) {
            drop(stream);
            std::thread::yield_now();
        }
        assert!(!stopping.is_finished(), "the request in flight is waited for");

        go.send(()).unwrap();
        let answer = wire.response();
        assert_eq!((answer.status(), answer.whole), (200, true), "{path}: {}", answer.text());
        assert_eq!(answer.body, if path == "/slow" { &b"at last"[..] } else { b"01234567890123456789" });
        assert!(wire.has_ended(), "{path}: and no further request on its connection");
        stopping.join().unwrap();
        assert_eq!(backend.requests().len(), 2, "{path}");
    }
}

#[test]
fn a_request_that_never_ends_is_not_waited_for_longer_than_agreed() {
    let (backend, arrivals, _go) = waiting();
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\ndrain = \"150ms\"\n[[site]]\nname = \"a\"\npublic_url = \"http://www.example.test\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
        backend.url()
    );
    let gate = Gate::from_toml(&toml);
    let mut wire = connect(gate.address);
    wire.send(get("/slow", ""));
    arrivals.recv().unwrap();
    drop(gate);
    assert!(wire.response_to("GET").is_none_or(|answer| !answer.whole || answer.status() >= 500));
    assert!(wire.has_ended());
}

#[test]
fn a_gate_that_starts_again_serves_who_was_signed_in() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let session = support::raw::sign_in(gate.address);
    gate.restart();
    let mut wire = connect(gate.address);
    wire.send(get("/docs", &session));
    assert_eq!(wire.response().body, b"ok");
}
