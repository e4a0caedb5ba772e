//! Another configuration in a gate that runs: no connection notices, each request sees one configuration as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use support::gate::{Gate, HOST};
use support::raw::{Backend, connect, get, ok, post, sign_in};

const PUBLIC: &str = "access.default = \"public\"";
const DENIED: &str = "access.default = \"deny\"";

/// A backend that answers every request with `text`.
fn saying(text: &'static str) -> Backend {
    Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            wire.send(ok(text));
        }
    })
}

#[test]
fn a_connection_that_is_kept_has_the_new_rule_at_its_next_request() {
    let backend = Backend::polite();
    let mut gate = Gate::with(&backend.url(), PUBLIC);
    let mut wire = connect(gate.address);
    wire.send(get("/docs", ""));
    assert_eq!(wire.response().status(), 200);

    let told = gate.reload(|toml| toml.replace(PUBLIC, DENIED)).unwrap();
    assert!(told.is_empty(), "{told:?}");
    wire.send(get("/docs", ""));
    assert_eq!(wire.response().status(), 403, "by the new rule, on the connection that there was");

    gate.reload(|toml| toml.replace(DENIED, PUBLIC)).unwrap();
    wire.send(get("/docs", ""));
    assert_eq!(wire.response().status(), 200);
}

#[test]
fn a_request_in_flight_ends_by_the_configuration_it_began_with() {
    let (arrived, arrivals) = mpsc::channel();
    let (go, going) = mpsc::channel();
    let going = Mutex::new(going);
    let slow = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n0123456789");
            arrived.send(()).unwrap();
            going.lock().unwrap().recv().unwrap();
            wire.send("0123456789");
        }
    });
    let other = saying("other");
    let mut gate = Gate::with(&slow.url(), PUBLIC);
    let mut wire = connect(gate.address);
    wire.send(get("/long", ""));
    arrivals.recv().unwrap();

    let (from, to) = (slow.url(), other.url());
    gate.reload(|toml| toml.replace(&from, &to).replace(PUBLIC, DENIED)).unwrap();
    let mut second = connect(gate.address);
    second.send(get("/long", ""));
    assert_eq!(second.response().status(), 403, "the new one is in use");
    go.send(()).unwrap();
    let answer = wire.response();
    assert_eq!((answer.status(), answer.whole), (200, true));
    assert_eq!(answer.body, b"01234567890123456789");
    wire.send(get("/long", ""));
    assert_eq!(wire.response().status(), 403, "and its connection goes on by the new one");
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_named() {
    let backend = Backend::polite();
    let mut gate = Gate::with(&backend.url(), PUBLIC);
    let told = gate
        .reload(|toml| toml.replace(PUBLIC, "access.default = \"deny\"\npassword_reset.header = { name = \"X-Trust\", value = { file = \"nowhere\" } }"))
        .unwrap_err();
    assert!(told.contains("nowhere"), "{told}");
    let mut wire = connect(gate.address);
    wire.send(get("/docs", ""));
    assert_eq!(wire.response().status(), 200, "the old rule");
}

#[test]
fn a_site_that_is_added_is_served_and_one_that_is_removed_is_no_more() {
    let (one, two) = (saying("one"), saying("two"));
    let mut gate = Gate::with(&one.url(), PUBLIC);
    let ask = |gate: &Gate, host: &str| {
        let mut wire = connect(gate.address);
        wire.send(get("/", "").replace(HOST, host));
        let answer = wire.response();
        (answer.status(), answer.body == b"two")
    };
    assert_eq!(ask(&gate, "second.example.test").0, 421);
    let second = format!(
        "[[site]]\nname = \"second\"\npublic_url = \"http://second.example.test\"\nbackend_url = \"{}\"\n{PUBLIC}\n",
        two.url()
    );
    gate.reload(|toml| format!("{toml}{second}")).unwrap();
    assert_eq!(ask(&gate, "second.example.test"), (200, true));
    assert_eq!(ask(&gate, HOST), (200, false));
    gate.reload(|toml| toml.replace(&second, "")).unwrap();
    assert_eq!(ask(&gate, "second.example.test").0, 421);
    assert_eq!(ask(&gate, HOST), (200, false));
}

#[test]
fn who_is_signed_in_stays_so() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let session = sign_in(gate.address);
    let mut wire = connect(gate.address);
    wire.send(get("/docs", &session));
    assert_eq!(wire.response().status(), 200);
    gate.reload(|toml| toml.replace("drain = \"5s\"", "drain = \"6s\"")).unwrap();
    wire.send(get("/docs", &session));
    assert_eq!(wire.response().body, b"ok");
}

#[test]
fn a_shorter_session_holds_for_those_that_there_are() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let session = sign_in(gate.address);
    gate.clock.advance(std::time::Duration::from_secs(5 * 60));
    gate.reload(|toml| format!("{toml}\n[session]\nidle = \"4m\"\n")).unwrap();
    let mut wire = connect(gate.address);
    wire.send(get("/docs", &session));
    assert_eq!(wire.response().status(), 303);
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_used() {
    let backend = Backend::polite();
    let mut gate = Gate::with(&backend.url(), PUBLIC);
    let told = gate
        .reload(|toml| {
            toml.replace("127.0.0.1:0", "127.0.0.1:1").replace("workers = 1", "workers = 3").replace(PUBLIC, DENIED)
        })
        .unwrap();
    assert_eq!(told, ["server.listen", "server.workers"]);
    let mut wire = connect(gate.address);
    wire.send(get("/docs", ""));
    assert_eq!(wire.response().status(), 403);
}

#[test]
fn many_reloads_under_a_stream_of_requests_lose_none() {
    let (one, two) = (saying("one"), saying("two"));
    let mut gate = Gate::with(&one.url(), PUBLIC);
    let address = gate.address;
    let over = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                // One connection each, to the end: none is ever closed.
                let (mut wire, mut said) = (connect(address), [0, 0]);
                while !over.load(Ordering::Relaxed) || said.contains(&0) {
                    wire.send(get("/docs", ""));
                    let answer = wire.response();
                    assert_eq!((answer.status(), answer.whole), (200, true), "{}", answer.text());
                    match &answer.body[..] {
                        b"one" => said[0] += 1,
                        b"two" => said[1] += 1,
                        other => panic!("{other:?}"),
                    }
                }
                said
            })
        })
        .collect();
    let urls = [one.url(), two.url()];
    for round in 0..40 {
        let (from, to) = (&urls[round % 2], &urls[(round + 1) % 2]);
        gate.reload(|toml| toml.replace(from, to)).unwrap();
        let mut wire = connect(address);
        wire.send(get("/docs", ""));
        let want = if round % 2 == 0 { b"two" } else { b"one" };
        assert_eq!(wire.response().body, want, "each reload counts from the next request on");
    }
    gate.reload(|toml| toml.replace(&urls[0], &urls[1])).unwrap();
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
}
