//! Another configuration in a gate that runs: no connection notices, each request sees one configuration as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::mailer::Cms;
use support::mailsink::MailSink;
use support::raw::{Backend, Wire, connect, get, ok, sign_in};
use support::standin::StandIn;

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
    gate.clock.advance(Duration::from_secs(5 * 60));
    gate.reload(|toml| format!("{toml}\n[session]\nidle = \"4m\"\n")).unwrap();
    let mut wire = connect(gate.address);
    wire.send(get("/docs", &session));
    assert_eq!(wire.response().status(), 302, "to the sign-in page");
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_used() {
    let backend = Backend::polite();
    let mut gate = Gate::with(&backend.url(), PUBLIC);
    let told = gate
        .reload(|toml| {
            toml.replace("127.0.0.1:0", "127.0.0.1:1")
                .replace("workers = 1", "workers = 3")
                .replace(PUBLIC, DENIED)
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

#[tokio::test]
async fn a_form_that_is_held_waits_across_a_reload() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let mut browser = Browser::new(gate.address, HOST).with("sec-fetch-site", "same-origin");
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    gate.clock.advance(Duration::from_secs(31 * 60));
    let form = ("application/x-www-form-urlencoded", b"title=long".to_vec());
    let location = browser.send(Method::POST, "/docs/edit", Some(form)).await.location().unwrap();
    assert!(location.contains("&kept=1"), "{location}");

    gate.reload(|toml| toml.replace("drain = \"5s\"", "drain = \"6s\"")).unwrap();
    let answer = browser.submit(&location, &[("username", "jdoe"), ("password", "Secret1234!")]).await;
    assert_eq!(answer.location().as_deref(), Some("/_gate/held"));
    let page = browser.get("/_gate/held").await;
    assert_eq!(page.texts(".held strong"), ["/docs/edit"]);
}

#[tokio::test]
async fn who_has_to_wait_goes_on_waiting() {
    let backend = StandIn::plone60();
    let mut gate = Gate::with(&backend.url(), "[limits]\n");
    let from = |gate: &Gate, client: u8| {
        Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
    };
    for client in 1..=3 {
        assert_eq!(from(&gate, client).sign_in("jdoe", "wrong").await.status, 403);
    }
    assert_eq!(from(&gate, 4).sign_in("jdoe", "Secret1234!").await.status, 429);
    let with =
        |line: &'static str| move |toml: &str| toml.replace("[limits]\n", &format!("[limits]\n{line}\n"));
    assert!(gate.reload(with("reset_attempt = { per_client = \"7/1m\" }")).unwrap().is_empty());
    assert_eq!(from(&gate, 5).sign_in("jdoe", "Secret1234!").await.status, 429, "not let off by a reload");
    assert!(gate.reload(with("sign_in_delay = { most = \"0\" }")).unwrap().is_empty());
    assert_eq!(from(&gate, 6).sign_in("jdoe", "Secret1234!").await.status, 303, "but by the operator");
}

#[test]
fn mail_goes_by_the_new_configuration_too() {
    let (one, two) = (MailSink::start(), MailSink::start());
    let mut gate = Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[mail]\nsend = \"smtp://{}\"\n[mail.relay]\nlisten = \"127.0.0.1:0\"\n[[site]]\nname = \"www\"\npublic_url = \"https://www.example.org\"\nbackend_url = \"http://cms.internal:8080/Plone\"\n",
        one.address
    ));
    let link = "Subject: x\r\n\r\nhttp://cms.internal:8080/Plone/a\r\n";
    Cms::sends(&gate, link);
    let (from, to) = (one.address.to_string(), two.address.to_string());
    gate.reload(|toml| {
        toml.replace(&from, &to).replace("https://www.example.org", "https://www.example.org/new")
    })
    .unwrap();
    Cms::sends(&gate, link);
    let said = |sink: &MailSink| {
        let mails = sink.mails();
        let texts = mails.iter().map(|mail| String::from_utf8_lossy(&mail.content).into_owned());
        texts.map(|text| text.trim_end().rsplit("\r\n").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(&one), ["https://www.example.org/a"]);
    assert_eq!(said(&two), ["https://www.example.org/new/a"]);
}

/// `lychgate run`, with what it says.
struct Program {
    child: Child,
    said: mpsc::Receiver<Value>,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .arg("run")
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = say.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, said, folder }
    }

    /// The next line whose message begins like this.
    fn says(&self, start: &str) -> Value {
        loop {
            let line = self.said.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{start}"));
            if line["message"].as_str().is_some_and(|message| message.starts_with(start)) {
                return line;
            }
        }
    }

    fn write(&self, toml: &str) {
        let file = self.folder.path().join("proxy.toml");
        let next = Path::new(&file).with_extension("next");
        std::fs::write(&next, toml).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program_toml(backend: &Backend, server: &str, site: &str) -> String {
    format!(
        "[log]\nformat = \"json\"\n[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\n{server}\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\n{site}\n",
        backend.url()
    )
}

fn status(wire: &mut Wire) -> u16 {
    wire.send(get("/docs", ""));
    wire.response().status()
}

#[test]
fn a_signal_reloads_and_a_wrong_file_says_why_and_changes_nothing() {
    let backend = Backend::polite();
    let quiet = "reload_on_change = false";
    let mut program = Program::start(&program_toml(&backend, quiet, PUBLIC));
    let address = program.says("listening")["address"].as_str().unwrap().parse().unwrap();
    let mut wire = connect(address);
    assert_eq!(status(&mut wire), 200);

    program.write(&program_toml(&backend, &format!("{quiet}\nheader_timeout = \"29s\""), DENIED));
    program.signal(Signal::HUP);
    assert_eq!(program.says("reloaded")["sites"], "a");
    assert_eq!(status(&mut wire), 403);

    program.write(&program_toml(&backend, quiet, "acess.default = \"public\""));
    program.signal(Signal::HUP);
    let line = program.says("not reloaded: ");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("proxy.toml:") && message.contains("acess"), "{message}");
    assert_eq!(status(&mut wire), 403, "what was in use stays in use");

    program.write(&program_toml(&backend, quiet, PUBLIC).replace("workers = 2", "workers = 3"));
    program.signal(Signal::HUP);
    let line = program.says("server.workers has changed");
    assert!(line["message"].as_str().unwrap().ends_with("restart to use it"), "{line}");
    program.says("reloaded");
    assert_eq!(status(&mut wire), 200, "the same connection, to the end");

    program.signal(Signal::TERM);
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn a_changed_file_is_used_without_a_signal() {
    let backend = Backend::polite();
    let program = Program::start(&program_toml(&backend, "", PUBLIC));
    let address = program.says("listening")["address"].as_str().unwrap().parse().unwrap();
    let mut wire = connect(address);
    assert_eq!(status(&mut wire), 200);
    program.write(&program_toml(&backend, "", DENIED));
    program.says("reloaded");
    assert_eq!(status(&mut wire), 403);
    program.write(&program_toml(&backend, "", "access.default = 7"));
    program.says("not reloaded: ");
    assert_eq!(status(&mut wire), 403);
}

#[test]
fn a_site_that_a_changed_file_opens_is_named() {
    let rules =
        "[site.access]\nrules = [{ path = \"/a\", access = \"deny\" }, { path = \"/b\", access = \"deny\" }]";
    let fewer = "[site.access]\nrules = [{ path = \"/a\", access = \"deny\" }]";
    let backend = Backend::polite();
    for (name, from, to, warned) in [
        ("a rule less", rules, fewer, true),
        ("no rules", rules, "", true),
        ("a rule more", fewer, rules, false),
        ("a wider default", DENIED, "", true),
        ("a stricter default", PUBLIC, DENIED, false),
    ] {
        let quiet = "reload_on_change = false";
        let program = Program::start(&program_toml(&backend, quiet, from));
        program.says("listening");
        program.write(&program_toml(&backend, quiet, to));
        program.signal(Signal::HUP);
        let mut warnings = Vec::new();
        loop {
            let line = program.says("");
            match line["message"].as_str().unwrap() {
                "reloaded" => break,
                message if message.starts_with("the site has fewer rules") => {
                    warnings.push(line["site"].clone())
                }
                _ => {}
            }
        }
        assert_eq!(warnings, if warned { vec!["a"] } else { vec![] }, "{name}");
    }
}
