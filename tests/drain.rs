//! The end of a gate: no new visitors, and every answer that was begun is given.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};

use support::gate::{Gate, HOST};
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

/// `lychgate run` in `folder`, with these sockets handed over as systemd does it; and what it says.
fn handed(folder: &Path, sockets: [&TcpListener; 2]) -> (Child, impl Iterator<Item = String> + use<>) {
    let [first, second] = sockets.map(|socket| Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    let mut gate = Command::new("sh")
        .args(["-c", "LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" run 3<&0 4>&1 0</dev/null 1>/dev/null"])
        .arg(assert_cmd::cargo::cargo_bin!("lychgate"))
        .current_dir(folder)
        .stdin(first)
        .stdout(second)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gate.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("listening")), "it does not start");
    (gate, lines)
}

#[test]
fn who_comes_while_a_gate_ends_waits_in_the_socket_for_its_successor() {
    let (backend, arrivals, go) = waiting();
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"fd:3\", \"fd:4\"]\nworkers = 2\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
        backend.url()
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap());

    let (mut old, mut says) = handed(folder.path(), sockets.each_ref());
    let mut begun = addresses.map(connect);
    for wire in &mut begun {
        wire.send(get("/slow", ""));
        arrivals.recv().unwrap();
    }
    let pid = rustix::process::Pid::from_child(&old);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(says.any(|line| line.contains("stopping")), "it has heard");
    let mut new: Vec<_> = (0..10).map(|number| connect(addresses[number % 2])).collect();
    new.iter_mut().for_each(|wire| assert!(wire.send(get("/quick", ""))));

    let (mut next, _said) = handed(folder.path(), sockets.each_ref());
    for wire in &mut new {
        assert_eq!(wire.response_to("GET").map(|answer| answer.status()), Some(200), "nobody is lost");
    }
    assert!(old.try_wait().unwrap().is_none(), "the old one still has something to end");
    for wire in &mut begun {
        go.send(()).unwrap();
        assert_eq!(wire.response().body, b"at last");
    }
    assert!(old.wait().unwrap().success());
    next.kill().unwrap();
    next.wait().unwrap();
}
