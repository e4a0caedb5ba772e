//! The admin listener: what operators are told, and who is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;

use lychgate::config::Config;
use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::mailer::Cms;
use support::mailsink::MailSink;
use support::raw::{Backend, ask, connect, get, ok};
use support::standin::StandIn;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Asks the admin address; status, head and body.
fn asked_as(address: SocketAddr, line: &str, host: &str, more: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    answer(stream)
}

fn answer(mut stream: impl std::io::Read) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

fn told(gate: &Gate, path: &str) -> (u16, String, String) {
    asked_as(gate.admin.unwrap(), &format!("GET {path}"), "localhost:9180", "")
}

/// The samples of an exposition, each by its name and labels as written. Everything about its form is checked.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            assert!(matches!(words[0], "HELP" | "TYPE"), "{line}");
            if words[0] == "TYPE" {
                assert!(kinds.insert(words[1].to_owned(), words[2].to_owned()).is_none(), "twice: {line}");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let family = kinds.iter().find(|(family, _)| {
            name.strip_prefix(family.as_str())
                .is_some_and(|rest| ["", "_total", "_sum", "_count", "_bucket", "_info"].contains(&rest))
        });
        let (family, kind) = family.unwrap_or_else(|| panic!("of no family: {line}"));
        assert!(family.starts_with("lychgate_"), "{line}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        if let Some(labels) = series.split_once('{').map(|(_, labels)| labels.strip_suffix('}').unwrap()) {
            for label in labels.split("\",") {
                let (name, value) = label.split_once("=\"").unwrap();
                assert!(
                    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && !value.is_empty(),
                    "{line}"
                );
            }
        }
        assert!(samples.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_happens_is_counted_and_the_form_is_prometheus() {
    let backend = StandIn::plone60();
    let gate = Gate::with(
        &backend.url(),
        &format!(
            "{ADMIN}[limits]\nsign_in = {{ per_client = \"100/1m\", per_account = \"2/1m\" }}\nreset_request = {{ per_client = \"1/1m\", per_account = \"1/1m\" }}\n"
        ),
    );
    let mut browser = Browser::new(gate.address, HOST);
    for password in ["wrong", "wrong", "wrong"] {
        browser.sign_in("norole", password).await;
    }
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    for _ in 0..3 {
        assert_eq!(browser.get("/news").await.status, 200);
    }
    let mut elsewhere = Browser::new(gate.address, "elsewhere.example");
    assert_eq!(elsewhere.get("/").await.status, 421);
    let text = told(&gate, "/metrics").2;
    let samples = samples(&text);
    for (series, value) in [
        ("lychgate_requests_total{site=\"intranet\",verdict=\"forwarded\",status=\"2xx\"}", 3.0),
        ("lychgate_requests_total{site=\"intranet\",verdict=\"signed_in\",status=\"3xx\"}", 1.0),
        ("lychgate_requests_total{site=\"-\",verdict=\"misdirected\",status=\"4xx\"}", 1.0),
        ("lychgate_sign_ins_total{site=\"intranet\",verdict=\"ok\"}", 1.0),
        ("lychgate_sign_ins_total{site=\"intranet\",verdict=\"refused\"}", 2.0),
        ("lychgate_sign_ins_total{site=\"intranet\",verdict=\"limited\"}", 1.0),
        ("lychgate_limited_total{action=\"sign_in\",by=\"account\"}", 1.0),
        ("lychgate_sessions{site=\"intranet\"}", 1.0),
        ("lychgate_backend_duration_seconds_count{site=\"intranet\"}", 3.0),
        ("lychgate_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
    // Buckets rise to the count of all.
    let buckets: Vec<f64> = text
        .lines()
        .filter(|line| {
            line.starts_with("lychgate_request_duration_seconds_bucket{") && line.contains("intranet")
        })
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert!(buckets.len() > 10 && buckets.is_sorted(), "{buckets:?}");
    let all = samples["lychgate_request_duration_seconds_count{site=\"intranet\"}"];
    let requests: f64 = samples
        .iter()
        .filter(|(series, _)| series.starts_with("lychgate_requests_total{site=\"intranet\""))
        .map(|(_, value)| value)
        .sum();
    assert_eq!((buckets.last(), requests), (Some(&all), all));
    assert!(samples["lychgate_connections_total"] >= 2.0);
    assert!(samples["lychgate_connections_open"] <= samples["lychgate_connections_total"]);
}

#[tokio::test]
async fn what_a_client_sends_makes_no_new_series() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), ADMIN);
    let series = || samples(&told(&gate, "/metrics").2).into_keys().collect::<Vec<_>>();
    let ask_for = |number: usize| {
        ask(gate.address, get(&format!("/page-{number}"), &format!("User-Agent: agent-{number}\r\n")));
        let strange = format!("GET / HTTP/1.1\r\nHost: host-{number}.example\r\n\r\n");
        ask(gate.address, strange);
        ask(gate.address, format!("ODD{number} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    };
    ask_for(0);
    let before = series();
    (1..20).for_each(ask_for);
    assert_eq!(series(), before);
}

#[test]
fn leaks_and_mails_are_counted() {
    let backend = Backend::answering(|_| ok("plone.internal:9999evil plone.internal:9999evil"));
    let sink =
        MailSink::with(&[("MAIL FROM:<no@", "550 5.7.1 no"), ("MAIL FROM:<later@", "451 4.3.0 later")]);
    let gate = Gate::with(
        &backend.url(),
        &format!(
            "internal_names = [\"plone.internal\"]\naccess.default = \"public\"\n{ADMIN}[mail]\nsend = \"smtp://{}\"\n[mail.relay]\nlisten = \"127.0.0.1:0\"\n",
            sink.address
        ),
    );
    ask(gate.address, get("/x", ""));
    let mut cms = Cms::silent(gate.mail.unwrap());
    cms.hears("220");
    cms.says("EHLO a", "250");
    cms.says("MAIL FROM:<no@example.org>", "550");
    cms.says("MAIL FROM:<later@example.org>", "451");
    cms.says("MAIL FROM:<a@example.org>", "250");
    cms.says("RCPT TO:<a@example.org>", "250");
    cms.says("DATA", "354");
    cms.writes(format!("Subject: {}/x\r\n\r\nplone.internal\r\n.\r\n", backend.url()).as_bytes());
    cms.hears("250");
    let text = told(&gate, "/metrics").2;
    let samples = samples(&text);
    for (series, value) in [
        ("lychgate_leaks_total{site=\"intranet\",place=\"body\"}", 2.0),
        ("lychgate_mails_total{outcome=\"accepted\"}", 1.0),
        ("lychgate_mails_total{outcome=\"later\"}", 1.0),
        ("lychgate_mails_total{outcome=\"refused\"}", 1.0),
        ("lychgate_mail_addresses_total{outcome=\"replaced\"}", 2.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_in_is_shown_and_nothing_that_a_session_could_be_used_by() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), ADMIN);
    let mut browser = Browser::new(gate.address, HOST);
    browser.headers.insert("user-agent", "<script>alert(1)</script>".parse().unwrap());
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    let token = backend.issue_token("jdoe", support::standin::TokenState::Good);
    browser.get(&format!("/passwordreset/{token}")).await;
    let (status, head, json) = told(&gate, "/sessions");
    assert_eq!(status, 200, "{json}");
    assert!(
        head.contains("content-type: application/json") && head.contains("cache-control: no-store"),
        "{head}"
    );
    let sessions: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((sessions.as_array().unwrap().len(), &sessions[0]["user"]), (1, &"jdoe".into()));
    assert_eq!(sessions[0]["site"], "intranet");
    let page = asked_as(gate.admin.unwrap(), "GET /sessions", "127.0.0.1:9180", "Accept: text/html\r\n");
    assert!(page.1.contains("content-type: text/html"), "{}", page.1);
    assert!(page.2.contains("<td>jdoe</td>") && page.2.contains("&lt;script&gt;"), "{}", page.2);
    assert!(!page.2.contains("<script"), "{}", page.2);
    let all = [json, page.2, told(&gate, "/metrics").2, told(&gate, "/ready").2].concat();
    let kept: Vec<String> =
        browser.cookies.values().cloned().chain([token, "Secret1234!".to_owned()]).collect();
    assert!(kept.len() >= 3, "{kept:?}");
    for secret in kept {
        assert!(secret.len() > 5 && !all.contains(&secret), "{secret}: {all}");
    }
    assert!(!all.contains("__ac"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_addresses_have_nothing_in_common() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), ADMIN);
    let cookie = std::thread::spawn({
        let address = gate.address;
        move || support::raw::sign_in(address)
    });
    let cookie = cookie.join().unwrap();
    for path in
        ["/metrics", "/ready", "/sessions", "/health", "/_gate/metrics", "/_gate/ready", "/_gate/sessions"]
    {
        for lines in ["", cookie.as_str()] {
            let answer = ask(gate.address, get(path, lines)).text();
            for word in ["lychgate_", "\"ready\"", "\"store\"", "jdoe"] {
                assert!(!answer.contains(word), "{path}: {word}: {answer}");
            }
        }
    }
    let before = backend.requests().len();
    for path in [
        "/_gate/login",
        "/_gate/assets/style.css",
        "/_gate/api/session",
        "/news",
        "/login",
        "//metrics",
        "/metrics/x",
    ] {
        let (status, head, _) = asked_as(gate.admin.unwrap(), &format!("GET {path}"), "localhost", &cookie);
        assert_eq!(status, 404, "{path}");
        assert!(!head.contains("set-cookie"), "{path}");
    }
    assert_eq!(backend.requests().len(), before, "nothing is forwarded");
}

#[test]
fn only_this_machine_is_meant_and_nothing_is_changed() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), ADMIN);
    let admin = gate.admin.unwrap();
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:9180", 200),
        ("127.0.0.1:9180", 200),
        ("[::1]:9180", 200),
        ("rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("127.0.0.1.rebound.example:9180", 421),
        (HOST, 421),
        ("", 421),
        ("rebound.example@127.0.0.1", 421),
        ("rebound.example:9180@localhost:9180", 421),
        ("localhost\r\nHost: rebound.example", 421),
        ("localhost\r\nHost: localhost", 421),
    ] {
        assert_eq!(asked_as(admin, "GET /sessions", host, "").0, status, "{host}");
    }
    for method in ["POST", "DELETE", "PUT", "OPTIONS"] {
        let (status, head, _) =
            asked_as(admin, &format!("{method} /sessions"), "localhost", "Content-Length: 0\r\n");
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head") && !head.contains("access-control"), "{head}");
    }
    assert_eq!(told(&gate, "/health").2, "ok\n");
}

#[test]
fn danger_anywhere_lets_it_be_asked_by_any_name_and_at_any_address() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), &format!("{ADMIN}danger_anywhere = true\n"));
    for host in ["localhost", "gate.monitoring.example:9180", HOST] {
        assert_eq!(asked_as(gate.admin.unwrap(), "GET /health", host, "").0, 200, "{host}");
    }
    for (line, fine) in [("", false), ("danger_anywhere = false", false), ("danger_anywhere = true", true)] {
        let toml = format!(
            "[admin]\nlisten = \"0.0.0.0:9180\"\n{line}\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\n",
            backend.url()
        );
        let parsed = Config::parse(Path::new("proxy.toml"), &toml, std::env::temp_dir());
        assert_eq!(parsed.is_ok(), fine, "{line}");
    }
}

#[test]
fn it_is_off_unless_it_is_wanted() {
    let backend = Backend::polite();
    assert_eq!(Gate::before(&backend.url()).admin, None);
}

#[test]
fn ready_is_who_has_a_store_and_a_backend_and_it_says_which_is_not() {
    let (up, down) = (Backend::polite(), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let second = format!(
        "{ADMIN}[[site]]\nname = \"wiki\"\npublic_url = \"http://wiki.example.test\"\nbackend_url = \"http://{down}/\"\n"
    );
    let gate = Gate::with(&up.url(), &second);
    let (status, _, body) = told(&gate, "/ready");
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &ready["ready"], &ready["store"]), (200, &true.into(), &"ok".into()), "{body}");
    assert_eq!(ready["backends"]["intranet"], "ok");
    assert!(ready["backends"]["wiki"].as_str().unwrap().starts_with("cannot connect: "), "{body}");
    let gate = Gate::with(&format!("http://{down}/Plone"), ADMIN);
    let (status, _, body) = told(&gate, "/ready");
    let ready: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &ready["ready"], &ready["store"]), (503, &false.into(), &"ok".into()), "{body}");
}

#[test]
fn a_gate_that_was_told_to_stop_is_not_ready_and_says_so_until_the_last_request_has_ended() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = Backend::scripted(move |wire, _| {
        if wire.request().is_some() {
            let _ = released.lock().unwrap().recv();
            wire.send(ok("late"));
        }
    });
    let mut gate = Gate::with(&backend.url(), &format!("access.default = \"public\"\n{ADMIN}"));
    let admin = gate.admin.unwrap();
    let mut wire = connect(gate.address);
    wire.send(get("/slow", ""));
    while backend.connections() == 0 {
        std::thread::yield_now();
    }
    let stopping = std::thread::spawn(move || gate.stop());
    loop {
        let (status, _, body) = asked_as(admin, "GET /ready", "localhost", "");
        if status == 503 {
            assert!(body.contains("\"stopping\":true"), "{body}");
            break;
        }
    }
    release.send(()).unwrap();
    assert_eq!(wire.response().status(), 200);
    drop(release);
    stopping.join().unwrap();
    assert!(TcpStream::connect(admin).is_err(), "nobody answers any more");
}

#[test]
fn a_unix_socket_is_for_its_owner_and_group() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "[admin]\nlisten = \"unix:admin.sock\"\n");
    let path = gate.folder().join("admin.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(answer(stream).2, "ok\n");
}
