//! Too much of everything: what a stranger, somebody who is signed in, and the sign-in page get when a bound is reached. Nothing here
//! waits for time to pass: backends hold requests until they are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::local::{self, GOOD};
use support::raw::{Backend, Message, Wire, ask, connect, get, login, ok, post, sign_in};
use support::standin::StandIn;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A backend that holds what comes to a path with `/held` in it, and says that it has it.
struct Holding {
    backend: Backend,
    begins: Receiver<()>,
    /// Each message lets one go; all go when it is dropped.
    release: Sender<()>,
}

fn holding() -> Holding {
    let (began, begins) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            if !request.whole {
                return;
            }
            record.note(&request);
            if request.field("upgrade").is_some() {
                wire.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                );
                wire.has_ended();
                return;
            }
            if request.target().contains("/held") {
                // Whoever holds one for a test that is over is told by nobody.
                let _ = began.send(());
                let _ = released.lock().unwrap().recv();
            }
            if request.target() == "/open/large" {
                wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 16777216\r\n\r\n");
                wire.send(vec![b'x'; 16 << 20]);
                return;
            }
            wire.send(login(&request).unwrap_or_else(|| ok("ok")));
        }
    });
    Holding { backend, begins, release }
}

/// A gate with this much of `[server]`, and of the site; below `/open` all is public.
fn gate(backend: &Backend, server: &str, more: &str) -> Gate {
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\ndrain = \"5s\"\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\naccess.rules = [{{ path = \"/open/**\", access = \"public\" }}]\n{more}\n",
        backend.url()
    ))
}

struct Scene {
    /// What fills the bound. Dropped first: the gate waits for what is in flight.
    wires: Vec<Wire>,
    gate: Gate,
    backend: Backend,
    begins: Receiver<()>,
    /// The cookie of who is signed in.
    session: String,
}

impl Scene {
    /// Sends a request whose answer is read later.
    fn send(&mut self, request: impl AsRef<[u8]>) {
        let mut wire = connect(self.gate.address);
        assert!(wire.send(request));
        self.wires.push(wire);
    }

    /// Has the backend hold so many requests.
    fn hold(&mut self, count: usize, path: &str, lines: &str) {
        for _ in 0..count {
            self.send(get(path, lines));
            self.begins.recv_timeout(PATIENCE).expect("it reaches the backend");
        }
    }

    fn strangers(&mut self, count: usize) {
        self.hold(count, "/open/held", "");
    }

    fn members(&mut self, count: usize) {
        let session = self.session.clone();
        self.hold(count, "/held", &session);
    }
}

/// Asks on this connection; `None` when it is closed without a word.
fn asked(wire: &mut Wire, request: impl AsRef<[u8]>) -> Option<Message> {
    wire.send(request);
    wire.response_to("GET")
}

/// The status; what says that it is not for now says when, and is the gate's own.
fn outcome(name: &str, answer: Option<Message>) -> u16 {
    let Some(answer) = answer else { return CLOSED };
    if matches!(answer.status(), 429 | 503) {
        assert!(answer.field("retry-after").is_some(), "{name}: {}", answer.text());
        assert!(!answer.text().contains("127.0.0.1"), "{name}: {}", answer.text());
    }
    answer.status()
}

/// In place of a status: the connection was closed.
const CLOSED: u16 = 0;

fn page(path: &str, lines: &str) -> Vec<u8> {
    get(path, lines).into_bytes()
}

/// A body of unknown length.
fn chunked(path: &str, lines: &str) -> Vec<u8> {
    let whole = [begun(path, lines), b"0\r\n\r\n".to_vec()].concat();
    assert!(whole.ends_with(b"hello\r\n0\r\n\r\n"));
    whole
}

/// One that has not come to its end.
fn begun(path: &str, lines: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n{lines}\r\n5\r\nhello\r\n").into_bytes()
}

struct Row {
    name: &'static str,
    server: &'static str,
    site: &'static str,
    fill: fn(&mut Scene),
    /// What a stranger, and somebody who is signed in, ask for.
    request: fn(&str, &str) -> Vec<u8>,
    /// What they get: a stranger who comes now, somebody who is signed in and here already, and the sign-in page who comes now.
    get: [u16; 3],
}

/// Connects until no more is let in.
fn connect_all(scene: &mut Scene) {
    loop {
        let mut wire = connect(scene.gate.address);
        match asked(&mut wire, page("/open/a", "")) {
            Some(answer) if answer.status() == 200 => scene.wires.push(wire),
            _ => return,
        }
    }
}

const SHARE: &str = "forward.requests = { total = 4, strangers = 2 }";
const ONE_CLIENT: &str = "forward.requests = { total = 8, strangers = 4, per_client = 2 }";
const BEHIND_A_PROXY: &str = "trusted_proxies = [\"127.0.0.1/32\"]";
const NO_BOUND: &str = "forward.requests = { total = 0 }";

const ROWS: &[Row] = &[
    Row {
        name: "connections, of all",
        server: "connections = { total = 6, per_client = 0 }",
        site: "",
        fill: connect_all,
        request: page,
        get: [503, 200, 503],
    },
    Row {
        name: "connections, of one client",
        server: "connections = { total = 0, per_client = 6 }",
        site: "",
        fill: connect_all,
        request: page,
        get: [CLOSED, 200, CLOSED],
    },
    Row {
        name: "requests, not quite the strangers' share",
        server: "",
        site: SHARE,
        fill: |scene| scene.strangers(1),
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "requests, the strangers' share",
        server: "",
        site: SHARE,
        fill: |scene| scene.strangers(2),
        request: page,
        get: [503, 200, 200],
    },
    Row {
        name: "requests, what one client may have of the strangers' share, as others get it",
        server: BEHIND_A_PROXY,
        site: ONE_CLIENT,
        fill: |scene| scene.hold(2, "/open/held", "X-Forwarded-For: 192.0.2.9\r\n"),
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "requests, what one client may have of the strangers' share, as it gets it itself",
        server: BEHIND_A_PROXY,
        site: ONE_CLIENT,
        fill: |scene| scene.strangers(2),
        request: page,
        get: [503, 200, 200],
    },
    Row {
        name: "requests, the strangers' share, with bodies of every kind",
        server: "",
        site: "forward.requests = { total = 6, strangers = 4 }",
        fill: |scene| {
            for request in [
                post("/open/held", "", ""),
                post("/open/held", "", "hello"),
                chunked("/open/held", ""),
                post("/open/held", "Content-Type: application/json\r\n", "{}"),
            ] {
                scene.send(request);
                scene.begins.recv_timeout(PATIENCE).expect("it reaches the backend");
            }
        },
        request: page,
        get: [503, 200, 200],
    },
    Row {
        name: "requests, the strangers' share, and some of the rest",
        server: "",
        site: SHARE,
        fill: |scene| {
            scene.strangers(2);
            scene.members(1);
        },
        request: page,
        get: [503, 200, 200],
    },
    Row {
        name: "requests, all",
        server: "",
        site: SHARE,
        fill: |scene| {
            scene.strangers(2);
            scene.members(2);
        },
        request: page,
        get: [503, 503, 200],
    },
    Row {
        name: "requests, all of them of who is signed in",
        server: "",
        site: SHARE,
        fill: |scene| scene.members(4),
        request: page,
        get: [503, 503, 200],
    },
    Row {
        name: "requests, those of one site are another's affair",
        server: "",
        site: "forward.requests = { total = 1 }\n[[site]]\nname = \"b\"\npublic_url = \"http://other.example.test\"\nbackend_url = \"BACKEND\"\naccess.default = \"public\"\nforward.requests = { total = 1 }",
        fill: |scene| {
            scene.send(get("/held", "").replace(HOST, "other.example.test"));
            scene.begins.recv_timeout(PATIENCE).unwrap();
        },
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "who sends slowly takes nobody's place",
        server: "",
        site: SHARE,
        fill: |scene| {
            let connections = scene.backend.connections();
            for _ in 0..10 {
                scene.send(begun("/open/a", ""));
                let whole = post("/open/a", "", "hello");
                scene.send(&whole[..whole.len() - 1]);
            }
            while scene.backend.connections() < connections + 10 {
                std::thread::yield_now();
            }
        },
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "who reads slowly takes nobody's place",
        server: "",
        site: SHARE,
        fill: |scene| {
            for _ in 0..10 {
                scene.send(get("/open/large", ""));
                assert_eq!(scene.wires.last_mut().unwrap().head().unwrap().status(), 200);
            }
        },
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "an open tunnel takes nobody's place",
        server: "",
        site: "forward.requests = { total = 1 }",
        fill: |scene| {
            let lines = format!("{}Connection: Upgrade\r\nUpgrade: websocket\r\n", scene.session);
            for _ in 0..3 {
                scene.send(get("/socket", &lines));
                assert_eq!(scene.wires.last_mut().unwrap().head().unwrap().status(), 101);
            }
        },
        request: page,
        get: [200, 200, 200],
    },
    Row {
        name: "held bodies, as many as strangers may have",
        server: "",
        site: NO_BOUND,
        // The gate has read them all when the next one is refused: whatever came before is before it in its queue, or refused itself.
        fill: |scene| {
            for _ in 0..300 {
                scene.send(begun("/open/a", ""));
            }
            while ask(scene.gate.address, chunked("/open/a", "")).status() == 200 {}
        },
        request: chunked,
        get: [503, 200, 200],
    },
    Row {
        name: "held bodies, all the memory: the rest goes to files",
        server: "",
        site: "forward.spool_above = \"1 GiB\"",
        fill: |scene| {
            let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
            let lines = scene.session.clone();
            scene.send(begun("/a", &lines));
            // More than the 64 MiB that there are, and than what the sockets hold on the way.
            for _ in 0..80 {
                assert!(scene.wires[0].send(&chunk));
            }
        },
        request: chunked,
        get: [200, 200, 200],
    },
    Row {
        name: "sessions, as many as an account may have: the one unused longest ends",
        server: "",
        site: "[session]\nmost_per_account = 1",
        fill: |scene| {
            let newer = sign_in(scene.gate.address);
            assert_eq!(ask(scene.gate.address, get("/a", &newer)).status(), 200);
        },
        request: page,
        get: [200, 302, 200],
    },
];

#[test]
fn who_gets_what_when_a_bound_is_reached() {
    for Row { name, server, site, fill, request, get: expected } in ROWS {
        let Holding { backend, begins, release } = holding();
        let gate = gate(&backend, server, &site.replace("BACKEND", &backend.url()));
        let session = sign_in(gate.address);
        let mut here = connect(gate.address);
        let was = asked(&mut here, get("/a", &session)).unwrap();
        assert_eq!(was.status(), 200, "{name}: {}", was.text());
        let mut scene = Scene { gate, backend, begins, session: session.clone(), wires: Vec::new() };
        fill(&mut scene);
        // More than once: being refused fills nothing up, and being served frees nothing.
        for _ in 0..3 {
            let new = |request: Vec<u8>| asked(&mut connect(scene.gate.address), request);
            let got = [
                outcome(name, new(request("/open/a", ""))),
                outcome(name, asked(&mut here, request("/a", &session))),
                outcome(name, new(page("/_gate/login", ""))),
            ];
            assert_eq!(got, *expected, "{name}");
        }
        drop(release);
    }
}

fn scene(holding: Holding, more: &str) -> (Scene, Sender<()>) {
    let Holding { backend, begins, release } = holding;
    let gate = gate(&backend, "", more);
    let session = sign_in(gate.address);
    (Scene { gate, backend, begins, session, wires: Vec::new() }, release)
}

fn status(gate: &Gate, lines: &str) -> u16 {
    ask(gate.address, get("/open/a", lines)).status()
}

#[test]
fn who_was_let_in_is_served_and_makes_room() {
    let (mut scene, release) = scene(holding(), SHARE);
    scene.strangers(2);
    scene.members(2);
    assert_eq!([status(&scene.gate, ""), status(&scene.gate, &scene.session)], [503, 503]);
    assert_eq!(scene.backend.requests().iter().filter(|seen| seen.target() == "/open/a").count(), 0);
    drop(release);
    for wire in &mut scene.wires {
        assert_eq!(wire.response().status(), 200);
    }
    assert_eq!([status(&scene.gate, ""), status(&scene.gate, &scene.session)], [200, 200]);
}

#[test]
fn who_leaves_makes_room() {
    let (mut scene, _release) = scene(holding(), SHARE);
    scene.strangers(2);
    assert_eq!(status(&scene.gate, ""), 503);
    scene.wires.clear();
    // The gate learns of it when it is told.
    while status(&scene.gate, "") != 200 {
        std::thread::yield_now();
    }
}

#[test]
fn a_reload_changes_the_bound_and_keeps_the_count() {
    let (mut scene, release) = scene(holding(), SHARE);
    scene.strangers(2);
    for (now, expected) in [
        ("forward.requests = { total = 4, strangers = 3 }", 200),
        ("forward.requests = { total = 0, strangers = 2 }", 503),
        ("forward.requests = { total = 0 }", 200),
        ("forward.requests = { total = 4, strangers = 1 }", 503),
    ] {
        let lines =
            |line: &str| if line.starts_with("forward.requests") { now } else { line }.to_owned() + "\n";
        scene.gate.reload(|toml| toml.lines().map(lines).collect()).unwrap();
        assert_eq!(status(&scene.gate, ""), expected, "{now}");
    }
    drop(release);
    for wire in &mut scene.wires {
        assert_eq!(wire.response().status(), 200);
    }
    assert_eq!(status(&scene.gate, ""), 200, "those that came before are counted down, too");
}

#[test]
fn operators_see_it_and_scripts_can_read_it() {
    let (mut scene, _release) = scene(holding(), SHARE);
    scene.strangers(2);
    scene.members(1);
    let refused =
        ask(scene.gate.address, get("/open/a", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"));
    assert_eq!((refused.status(), refused.field("retry-after").as_deref()), (503, Some("10")));
    assert!(refused.text().contains("Not available just now"), "{}", refused.text());
    let script = ask(scene.gate.address, get("/open/a", "Accept: application/json\r\n"));
    let json: serde_json::Value = serde_json::from_slice(&script.body).unwrap();
    assert_eq!((script.status(), script.field("retry-after").as_deref()), (503, Some("10")));
    assert_eq!(json["status"], "unavailable");
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let told = ask(scene.gate.admin.unwrap(), metrics).text();
    for series in [
        "lychgate_requests_in_flight{site=\"a\",who=\"stranger\"} 2",
        "lychgate_requests_in_flight{site=\"a\",who=\"signed_in\"} 1",
        "lychgate_overload_refusals_total{site=\"a\",who=\"stranger\"} 2",
        "lychgate_overload_refusals_total{site=\"a\",who=\"signed_in\"} 0",
        "lychgate_requests_total{site=\"a\",verdict=\"overloaded\",status=\"5xx\"} 2",
    ] {
        assert!(told.lines().any(|line| line == series), "{series}\n{told}");
    }
}

#[test]
fn an_upload_that_ends_in_a_full_house_is_a_strangers_or_it_is_let_in() {
    let (mut scene, _release) = scene(holding(), "forward.requests = { total = 2, strangers = 1 }");
    for lines in [String::new(), scene.session.clone()] {
        let connections = scene.backend.connections();
        let whole = post("/open/upload", &lines, "hello");
        scene.send(&whole[..whole.len() - 1]);
        while scene.backend.connections() == connections {
            std::thread::yield_now();
        }
    }
    let mut uploads: Vec<Wire> = std::mem::take(&mut scene.wires);
    scene.strangers(1);
    scene.members(1);
    let ends: Vec<u16> = uploads
        .iter_mut()
        .map(|wire| {
            wire.send("o");
            wire.response().status()
        })
        .collect();
    assert_eq!(ends, [503, 200]);
    let seen = scene.backend.requests().into_iter().filter(|seen| seen.target() == "/open/upload");
    assert_eq!(seen.count(), 1, "the stranger's never became a whole one");
}

/// A sign-in as a form sends it, for which `form` and `cookies` were given out.
fn attempt(form: &[(String, String)], cookies: &str, user: &str) -> Vec<u8> {
    let others = form.iter().filter(|(name, _)| !matches!(name.as_str(), "username" | "password"));
    let fields = others.map(|(name, value)| (name.as_str(), value.as_str()));
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .extend_pairs([("username", user), ("password", "not the password")])
        .finish();
    let lines = format!(
        "Cookie: {cookies}\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n"
    );
    post("/_gate/login", &lines, body)
}

#[tokio::test]
async fn with_more_passwords_than_can_be_hashed_everybody_is_told_to_wait_and_nobody_that_theirs_is_wrong() {
    // One hash at a time, dear enough that the 201 that may wait are not done before the others have come.
    let backend = StandIn::plone60();
    let toml = local::toml(&backend, "access.default = \"public\"")
        .replace("memory = \"64 KiB\"\npasses = 1", "memory = \"1 MiB\"\npasses = 60\nhashing_at_once = 1")
        .replace("[limits]\n", "[limits]\nsign_in_delay = { most = \"0\" }\nstuffing = { accounts_per_client = 0, clients_per_account = 0 }\n");
    let gate = Gate::from_toml(&toml);
    std::fs::write(gate.folder().join("proxy.toml"), &toml).unwrap();
    local::users(&gate, &["add", "jane.doe"], GOOD);
    let mut member = Browser::new(gate.address, HOST);
    assert_eq!(member.sign_in("jane.doe", GOOD).await.status, 303);

    let mut visitor = Browser::new(gate.address, HOST);
    let form = visitor.get("/_gate/login").await.form();
    let cookies: Vec<String> =
        visitor.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (answered, answers) = mpsc::channel();
    for number in 0..240 {
        let user = ["jane.doe", "nobody.x"][number % 2];
        let (request, answered) = (attempt(&form, &cookies.join("; "), user), answered.clone());
        let address = gate.address;
        std::thread::spawn(move || {
            let mut wire = connect(address);
            wire.send(request);
            if let Some(answer) = wire.response_to("POST") {
                let _ = answered.send((user, answer));
            }
        });
    }
    let mut busy: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    while busy.len() < 2 || count < 10 {
        let (user, answer) = answers.recv_timeout(PATIENCE).unwrap();
        if answer.status() == 200 || answer.status() == 401 {
            continue; // compared with, and wrong
        }
        assert_eq!((answer.status(), answer.field("retry-after").as_deref()), (429, Some("5")), "{user}");
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        let alert = scraper::Html::parse_document(&page);
        let alert: String = alert
            .select(&scraper::Selector::parse(".error, [role=alert]").unwrap())
            .flat_map(|element| element.text().collect::<Vec<_>>())
            .collect();
        assert!(alert.contains("wait and try again"), "{user}: {alert} in {page}");
        busy.entry(user).or_default().insert(alert);
        count += 1;
    }
    assert_eq!(busy["jane.doe"], busy["nobody.x"]);
    assert_eq!(busy["jane.doe"].len(), 1, "{busy:?}");
    assert_eq!(visitor.get("/news").await.status, 200, "a stranger");
    assert_eq!(member.get("/news").await.status, 200, "somebody who is signed in");
    assert_eq!(visitor.get("/_gate/login").await.status, 200, "the sign-in page");
}
