//! What was promised survives a killed process, a disk that is full, and new secrets: with the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::raw::{Backend, ask, connect, get, login};
use support::standin::StandIn;

const FORM: &str = "application/x-www-form-urlencoded";

/// A gate in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts one with the `proxy.toml` in `folder`; `before` is what the shell does first.
    fn start(folder: &Path, before: &str) -> Self {
        let mut child = Command::new("bash")
            .args([
                "-c",
                &format!("{before} exec \"$0\" run"),
                assert_cmd::cargo::cargo_bin!("lychgate").to_str().unwrap(),
            ])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let line =
                lines.next().unwrap_or_else(|| panic!("it did not start: {}", log.lock().unwrap())).unwrap();
            let plain = plain(&line);
            log.lock().unwrap().push_str(&format!("{plain}\n"));
            if let Some((_, address)) = plain.split_once("listening address=") {
                break address.trim().parse().unwrap();
            }
        };
        let rest = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                rest.lock().unwrap().push_str(&format!("{}\n", plain(&line)));
            }
        });
        Self { child, address, log }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.address, HOST).with("sec-fetch-site", "same-origin")
    }

    /// `kill -9`
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without colours.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut escaped = false;
    for letter in line.chars() {
        match letter {
            '\u{1b}' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ => plain.push(letter),
        }
    }
    plain
}

fn folder(backend: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[limits]\nsign_in = {{ per_client = \"1000/1m\", per_account = \"1000/1m\" }}\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{backend}\"\n"
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    folder
}

#[tokio::test]
async fn kill_9_right_after_an_answer_loses_no_session_and_no_held_form() {
    let backend = Backend::polite();
    let folder = folder(&backend.url());
    let mut signed_in = Vec::new();
    let mut with_a_form = Vec::new();
    for round in 0..4 {
        let gate = Process::start(folder.path(), "");
        // Who was signed in before the kill still is.
        for cookies in &signed_in {
            let mut browser = gate.browser();
            browser.cookies = std::clone::Clone::clone(cookies);
            assert_eq!(browser.get("/docs").await.status, 200, "round {round}");
        }
        let mut person = gate.browser();
        assert_eq!(person.sign_in("jdoe", "Secret1234!").await.status, 303);
        let mut other = gate.browser();
        assert_eq!(other.sign_in("bob", "Secret1234!").await.status, 303);
        // The operator ends it; the person notices when the form is sent.
        let lychgate = assert_cmd::cargo::cargo_bin!("lychgate");
        let ended = Command::new(lychgate)
            .args(["sessions", "revoke", "--user", "bob"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(ended.status.success());
        let began = Instant::now();
        while other.get("/docs").await.status == 200 {
            assert!(began.elapsed() < Duration::from_secs(30), "a revocation is noticed");
        }
        let body = format!("round={round}").into_bytes();
        let answer = other.send(Method::POST, "/save", Some((FORM, body))).await;
        assert!(answer.location().unwrap().contains("&kept=1"), "{:?}", answer.location());
        gate.kill();
        signed_in.push(person.cookies);
        with_a_form.push((round, other.cookies));
    }
    let gate = Process::start(folder.path(), "");
    for (round, cookies) in with_a_form {
        let mut browser = gate.browser();
        browser.cookies = cookies;
        assert_eq!(browser.sign_in("bob", "Secret1234!").await.location().as_deref(), Some("/_gate/held"));
        let page = browser.get("/_gate/held").await;
        let (action, fields) = page.form_named("");
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(browser.post(&action, &fields).await.text(), "ok");
        let sent = backend.requests().into_iter().rfind(|request| login(request).is_none()).unwrap();
        assert_eq!((sent.target(), &sent.body), ("/save", &format!("round={round}").into_bytes()));
    }
}

#[tokio::test]
async fn kill_9_right_after_an_answer_loses_no_event_of_the_audit_trail() {
    let backend = StandIn::plone60();
    let folder = folder(&backend.url());
    let mut told = Vec::new();
    for _ in 0..3 {
        for (event, verdict) in
            [("sign_in", "refused"), ("sign_in", "ok"), ("sign_out", "ok"), ("reset_request", "asked")]
        {
            let gate = Process::start(folder.path(), "");
            let mut browser = gate.browser();
            let answer = match (event, verdict) {
                ("sign_in", "refused") => browser.sign_in("jdoe", "wrong").await,
                ("sign_in", _) => browser.sign_in("jdoe", "Secret1234!").await,
                ("sign_out", _) => {
                    told.push("sign_in ok".to_owned());
                    browser.sign_in("jdoe", "Secret1234!").await;
                    browser.submit("/_gate/logout", &[]).await
                }
                _ => {
                    // What the CMS says to it comes after the gate's answer.
                    backend.delay("userid=", Duration::from_secs(60));
                    browser.submit("/_gate/forgot-password", &[("username", "jdoe")]).await
                }
            };
            gate.kill();
            assert!([200, 303, 403].contains(&answer.status.as_u16()), "{event}: {}", answer.status);
            told.push(format!("{event} {verdict}"));
        }
    }
    let lychgate = assert_cmd::cargo::cargo_bin!("lychgate");
    let list = ["audit", "list", "--format", "json"];
    let listed = Command::new(lychgate).args(list).current_dir(folder.path()).output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let kept: Vec<_> =
        rows.iter().map(|row| format!("{} {}", text(row, "event"), text(row, "verdict"))).collect();
    assert_eq!(kept, told);
}

#[tokio::test]
async fn on_a_full_disk_nobody_can_sign_in_everybody_stays_and_room_ends_it() {
    let backend = Backend::polite();
    let folder = folder(&backend.url());
    // Files may grow to so many KiB; the write that would go further fails, as on a full disk.
    let gate = Process::start(folder.path(), "trap '' XFSZ; ulimit -S -f 400;");
    let mut early = gate.browser();
    assert_eq!(early.sign_in("early", "Secret1234!").await.status, 303);
    let mut late = None;
    for number in 0..2_000 {
        let mut browser = gate.browser();
        let answer = browser.sign_in(&format!("user{number}"), "Secret1234!").await;
        if answer.status != 303 {
            late = Some((browser, answer));
            break;
        }
    }
    let (mut late, answer) = late.expect("the disk is full at some time");
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(answer.texts(".alert")[0].contains("we cannot sign you in right now"), "{}", answer.text());
    assert_eq!(early.get("/docs").await.status, 200, "who is signed in stays so");
    assert_eq!(late.get("/docs").await.status, 302);
    assert!(gate.log.lock().unwrap().contains("lychgate.db cannot "), "{}", gate.log.lock().unwrap());

    let room = Command::new("prlimit")
        .args(["--pid", &gate.child.id().to_string(), "--fsize=unlimited"])
        .output()
        .unwrap();
    assert!(room.status.success(), "{}", String::from_utf8_lossy(&room.stderr));
    assert_eq!(late.sign_in("late", "Secret1234!").await.status, 303, "without a restart");
    let began = Instant::now();
    while !gate.log.lock().unwrap().contains("the store works again") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", gate.log.lock().unwrap());
        tokio::task::yield_now().await;
    }
    let (early, late) = (early.cookies, late.cookies);
    gate.kill();
    let gate = Process::start(folder.path(), "");
    for cookies in [early, late] {
        let mut browser = gate.browser();
        browser.cookies = cookies;
        assert_eq!(browser.get("/docs").await.status, 200);
    }
}

#[test]
fn on_a_full_disk_an_upload_is_refused_whole_and_all_else_goes_on() {
    let backend = Backend::polite();
    let folder = folder(&backend.url());
    let file = folder.path().join("proxy.toml");
    let toml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, format!("{toml}access.default = \"public\"\n")).unwrap();
    let gate = Process::start(folder.path(), "trap '' XFSZ; ulimit -S -f 400;");
    // Of unknown length, so that all of it has to be there before the backend is asked; more than is held in memory.
    let upload = |size: usize| {
        let head = format!(
            "POST /save HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n"
        );
        [head.into_bytes(), vec![b'x'; size], b"\r\n0\r\n\r\n".to_vec()].concat()
    };
    for _ in 0..3 {
        let mut wire = connect(gate.address);
        wire.send(upload(700 << 10));
        let answer = wire.response_to("POST").expect("an answer");
        assert_eq!(answer.status(), 500, "{}", answer.text());
        assert!(answer.field("x-request-id").is_some());
        assert!(backend.take().is_empty(), "half a file is none");
        assert_eq!(ask(gate.address, get("/a", "")).status(), 200);
        assert_eq!(backend.take().len(), 1);
    }
    let mut wire = connect(gate.address);
    wire.send(upload(300 << 10));
    assert_eq!(wire.response_to("POST").expect("an answer").status(), 200, "what there is room for");
    assert_eq!(backend.take()[0].body.len(), 300 << 10);
    let log = gate.log.lock().unwrap();
    assert!(log.contains("spool_failed") && !log.contains("panicked"), "{log}");
}

/// What happened to a database, and what ends it.
struct Mishap {
    name: &'static str,
    /// What is done to the file; what it gives is held until it is over.
    befalls: fn(&Path) -> Box<dyn std::any::Any>,
    /// What `/ready` says of the store.
    says: &'static str,
    /// What an operator does about it while the gate runs. The copy was made when the first person had signed in.
    ends: fn(&Path),
    /// Whether what came after the copy is gone.
    loses: bool,
}

/// Writes the copy into the file that is there.
fn write_copy(file: &Path) {
    std::fs::write(file, std::fs::read(file.with_extension("copy")).unwrap()).unwrap();
}

#[tokio::test]
async fn whatever_befalls_the_database_is_told_and_nobody_who_is_signed_in_notices() {
    let mishaps = [
        Mishap {
            name: "locked for a long time",
            befalls: |file| {
                let other = rusqlite::Connection::open(file).unwrap();
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                Box::new(other)
            },
            says: "locked by another process",
            ends: |_| {},
            loses: false,
        },
        Mishap {
            name: "deleted",
            befalls: |file| Box::new(std::fs::rename(file, file.with_extension("elsewhere"))),
            says: "was moved, deleted or replaced",
            ends: |file| std::fs::rename(file.with_extension("elsewhere"), file).unwrap(),
            loses: false,
        },
        Mishap {
            name: "something else in its place",
            befalls: |file| {
                std::fs::rename(file, file.with_extension("elsewhere")).unwrap();
                Box::new(std::fs::write(file, "something else"))
            },
            says: "was moved, deleted or replaced",
            ends: |file| std::fs::rename(file.with_extension("elsewhere"), file).unwrap(),
            loses: false,
        },
        Mishap {
            name: "deleted, and a copy put in its place",
            befalls: |file| Box::new(std::fs::remove_file(file)),
            says: "was moved, deleted or replaced",
            ends: |file| std::fs::rename(file.with_extension("copy"), file).unwrap(),
            loses: true,
        },
        Mishap {
            name: "truncated, and a copy written over it",
            befalls: |file| Box::new(std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0)),
            says: "was overwritten",
            ends: write_copy,
            loses: true,
        },
        Mishap {
            name: "garbage of its own size, and a copy written over it",
            befalls: |file| {
                Box::new(std::fs::write(file, vec![0xEE; std::fs::metadata(file).unwrap().len() as usize]))
            },
            says: "was overwritten",
            ends: write_copy,
            loses: true,
        },
        Mishap {
            name: "garbage of its own size, and a copy put in its place",
            befalls: |file| {
                Box::new(std::fs::write(file, vec![0xEE; std::fs::metadata(file).unwrap().len() as usize]))
            },
            says: "was overwritten",
            ends: |file| std::fs::rename(file.with_extension("copy"), file).unwrap(),
            loses: true,
        },
    ];
    for Mishap { name, befalls, says, ends, loses } in mishaps {
        let backend = Backend::polite();
        let mut gate = Gate::with(&backend.url(), "[admin]\nlisten = \"127.0.0.1:0\"");
        let file = gate.folder().join("var/lychgate.db");
        let ready = |gate: &Gate| {
            let request = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let answer = ask(gate.admin.unwrap(), request);
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            (answer.status(), said["store"].as_str().unwrap().to_owned())
        };
        let mut person = Browser::new(gate.address, HOST);
        assert_eq!(person.sign_in("jdoe", "Secret1234!").await.status, 303, "{name}");
        let copied = format!("VACUUM INTO '{}'", file.with_extension("copy").display());
        rusqlite::Connection::open(&file).unwrap().execute_batch(&copied).unwrap();
        let mut after = Browser::new(gate.address, HOST);
        assert_eq!(after.sign_in("after", "Secret1234!").await.status, 303, "{name}");
        let befallen = befalls(&file);
        let began = Instant::now();
        let refused = loop {
            let mut browser = Browser::new(gate.address, HOST);
            let answer = browser.sign_in("late", "Secret1234!").await;
            if answer.status != 303 {
                break answer;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: nobody notices");
        };
        assert_eq!(refused.status, 503, "{name}: {}", refused.text());
        assert!(refused.header("retry-after").is_some(), "{name}");
        let (status, said) = ready(&gate);
        assert!(status == 503 && said.contains(says), "{name}: {status} {said}");
        assert_eq!(person.get("/docs").await.status, 200, "{name}: who is signed in stays so");
        drop(befallen);
        ends(&file);
        let began = Instant::now();
        while ready(&gate) != (200, "ok".to_owned()) {
            assert!(began.elapsed() < Duration::from_secs(60), "{name}: {:?}", ready(&gate));
        }
        let mut last = Browser::new(gate.address, HOST);
        assert_eq!(last.sign_in("last", "Secret1234!").await.status, 303, "{name}");
        // What the gate now has is what is in the file: also for one that is started on it.
        for started in [false, true] {
            if started {
                gate.restart();
            }
            for (whose, cookies, gone) in [
                ("before", &person.cookies, false),
                ("after", &after.cookies, loses),
                ("since", &last.cookies, false),
            ] {
                let mut again = Browser::new(gate.address, HOST);
                again.cookies = cookies.clone();
                let expected = if gone { 302 } else { 200 };
                let began = Instant::now();
                // Other sessions are in use as soon as the file is; that they are the only ones a moment later.
                while again.get("/docs").await.status != expected {
                    assert!(began.elapsed() < Duration::from_secs(60), "{name}, {started}: {whose}");
                }
            }
        }
        gate.stop();
        let whole: String = rusqlite::Connection::open(&file)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok", "{name}");
    }
}

#[test]
fn a_store_that_cannot_be_used_keeps_the_gate_from_starting_and_says_what_to_do() {
    let backend = Backend::polite();
    type Spoil = fn(&Path);
    let rows: [(&str, Spoil, &str); 3] = [
        (
            "no database",
            |file| std::fs::write(file, "text ".repeat(1000)).unwrap(),
            "is not a SQLite database; move it away",
        ),
        ("a folder", |file| std::fs::create_dir(file).unwrap(), "check that"),
        (
            "a truncated database",
            |file| {
                let mut head = b"SQLite format 3\0".to_vec();
                head.resize(3000, 0xEE);
                std::fs::write(file, head).unwrap();
            },
            "move it away",
        ),
    ];
    for (name, spoil, says) in rows {
        let folder = folder(&backend.url());
        std::fs::create_dir(folder.path().join("var")).unwrap();
        spoil(&folder.path().join("var/lychgate.db"));
        let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("lychgate.db") && said.contains(says), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_new_secret_signs_nobody_out_and_the_old_one_can_be_given_up() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let secrets = |list: &str| format!("[store]\nsecret = {list}\n");
    let (old, new) =
        ("\"the old secret, long enough to be one\"", "\"the new secret, long enough to be one\"");
    gate.change(|toml| format!("{}{toml}", secrets(old)));
    let browser = |gate: &Gate| Browser::new(gate.address, HOST).with("sec-fetch-site", "same-origin");
    let mut person = browser(&gate);
    assert_eq!(person.sign_in("jdoe", "Secret1234!").await.status, 303);
    let mut poster = browser(&gate);
    poster.sign_in("bob", "Secret1234!").await;
    let form = poster.get("/_gate/login").await;
    assert_eq!(form.status, 302, "signed in");

    gate.change(|toml| toml.replace(old, &format!("[{new}, {old}]")));
    let mut again = browser(&gate);
    again.cookies = person.cookies.clone();
    assert_eq!(again.get("/docs").await.status, 200);
    let cookie = backend.requests().pop().unwrap().field("cookie").unwrap();
    assert!(cookie.contains("__ac=sealed"), "and the CMS still knows them: {cookie}");
    // Whose session it was is known under the old secret as well.
    gate.clock.advance(Duration::from_secs(31 * 60));
    let mut late = browser(&gate);
    late.cookies = poster.cookies.clone();
    let answer = late.send(Method::POST, "/save", Some((FORM, b"a=b".to_vec()))).await;
    assert!(answer.location().unwrap().contains("&kept=1"));
    let mut fresh = browser(&gate);
    fresh.sign_in("jdoe", "Secret1234!").await;

    gate.change(|toml| toml.replace(&format!("[{new}, {old}]"), new));
    let mut last = browser(&gate);
    last.cookies = late.cookies;
    assert_eq!(last.sign_in("bob", "Secret1234!").await.location().as_deref(), Some("/_gate/held"));
    let mut last = browser(&gate);
    last.cookies = fresh.cookies;
    assert_eq!(last.get("/docs").await.status, 200);
}
