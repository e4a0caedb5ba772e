//! The commands for operators, as processes of their own beside a gate that runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::standin::StandIn;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn listed(gate: &Gate, arguments: &[&str]) -> Vec<Value> {
    let output = gate.command(&[&["sessions", "list", "--format", "json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn signed_in(gate: &Gate, user: &str) -> Browser {
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(browser.sign_in(user, "Secret1234!").await.status, 303);
    browser
}

/// Whether the gate sends this browser to sign in, within the second that is promised and some for a busy machine.
async fn is_signed_out_soon(browser: &mut Browser) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        if browser.get("/docs").await.status == 302 {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_beside_the_gate_that_runs() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    assert_eq!(listed(&gate, &[]), Vec::<Value>::new());
    let jdoe = signed_in(&gate, "jdoe").await;
    signed_in(&gate, "norole").await;

    let all = listed(&gate, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0]["user"].as_str(), all[1]["user"].as_str()), (Some("jdoe"), Some("norole")));
    for (key, value) in [("site", "intranet"), ("client", "127.0.0.1"), ("user_agent", "Mozilla/5.0 (test)")]
    {
        assert_eq!(all[0][key].as_str(), Some(value), "{key}");
    }
    let ends: jiff::Timestamp = all[0]["expires"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        ends.as_second()
            - all[0]["created"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second(),
        12 * 3600
    );
    assert_eq!(listed(&gate, &["--user", " JDOE"]).len(), 1, "however spelled");
    assert_eq!(listed(&gate, &["--user", "nobody"]).len(), 0);
    assert_eq!(listed(&gate, &["--site", "intranet"]).len(), 2);

    let table = text(&gate.command(&["sessions", "list"]).stdout);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("ID                SITE      USER    CLIENT "), "{table}");
    assert!(table.contains(all[0]["id"].as_str().unwrap()), "{table}");
    let everything = format!("{table}{}", serde_json::to_string(&all).unwrap());
    assert!(!everything.contains(&jdoe.cookies["lychgate"]), "no command shows what signs a person in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_ends_at_the_gate_that_runs_and_nothing_else_does() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    let (mut one, mut two) = (signed_in(&gate, "jdoe").await, signed_in(&gate, "jdoe").await);
    let (mut other, mut last) = (signed_in(&gate, "norole").await, signed_in(&gate, "siteadmin").await);

    let id = listed(&gate, &["--user", "norole"])[0]["id"].as_str().unwrap().to_owned();
    let output = gate.command(&["sessions", "revoke", &id]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "1 session ended\n"),
        "{}",
        text(&output.stderr)
    );
    let log = text(&output.stderr);
    assert!(log.contains("session revoked by an operator") && log.contains(&id), "{log}");
    assert!(is_signed_out_soon(&mut other).await, "by id");
    assert_eq!(one.get("/docs").await.status, 200);

    let output = gate.command(&["sessions", "revoke", "--user", "JDoe", "--format", "json"]);
    let ended: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ended.len(), 2);
    assert!(is_signed_out_soon(&mut one).await && is_signed_out_soon(&mut two).await, "by user");
    assert_eq!(last.get("/docs").await.status, 200);

    let output = gate.command(&["sessions", "revoke", "--all"]);
    assert_eq!(text(&output.stdout), "1 session ended\n");
    assert!(is_signed_out_soon(&mut last).await, "all");
    assert_eq!(listed(&gate, &[]).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slip_in_what_to_revoke_ends_nothing() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    let mut browser = signed_in(&gate, "jdoe").await;
    let id = listed(&gate, &[])[0]["id"].as_str().unwrap().to_owned();
    for (name, arguments, code, said) in [
        ("nothing named", &["revoke"][..], 2, "required"),
        ("no id", &["revoke", "jdoe"], 2, "16 hexadecimal digits"),
        ("an id and all", &["revoke", &id, "--all"], 2, "cannot be used with"),
        ("a user and all", &["revoke", "--user", "jdoe", "--all"], 2, "cannot be used with"),
        ("an unknown id", &["revoke", &id, "0123456789abcdef"], 1, "there is no session 0123456789abcdef"),
        (
            "an unknown site",
            &["revoke", "--site", "intrant"],
            1,
            "there is no site `intrant`; there are: intranet",
        ),
        ("the same when listing", &["list", "--site", "intrant"], 1, "there is no site `intrant`"),
    ] {
        let output = gate.command(&[&["sessions"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {told}");
        assert!(told.contains(said), "{name}: {told}");
    }
    let output = gate.command(&["sessions", "revoke", "--user", "nobody"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "0 sessions ended\n"));
    assert_eq!(browser.get("/docs").await.status, 200);
}

#[test]
fn a_store_that_is_not_there_is_said_to_be_missing_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "[[site]]\nname = \"a\"\npublic_url = \"http://www.example.test\"\nbackend_url = \"http://127.0.0.1:1/Plone\"\n";
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    for command in [&["sessions", "list"][..], &["sessions", "revoke", "--all"]] {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .args(command)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains("there is no store var/lychgate.db"),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but proxy.toml");
}

#[test]
fn each_shell_gets_completions_that_know_every_command() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(assert_cmd::cargo::cargo_bin!("lychgate")).args(arguments).output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    let (_, help) = run(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"doctor") && commands.contains(&"sessions"), "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        for command in &commands {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(run(&["completions", "dos"]).0, Some(2));
}

/// A core file would hold passwords on their way to the CMS.
#[test]
fn a_gate_that_runs_can_leave_no_core_file() {
    let limits = of_a_gate_that_runs(|gate| std::fs::read_to_string(gate.join("limits")).unwrap());
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
}

/// What a thread gave up before it started others, they have given up too; Landlock asks for this first.
#[test]
fn no_thread_of_a_gate_that_runs_can_gain_rights() {
    let threads = of_a_gate_that_runs(|gate| {
        let tasks = std::fs::read_dir(gate.join("task")).unwrap();
        let states = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
        states.collect::<Vec<_>>()
    });
    assert!(threads.len() > 2, "{}", threads.len());
    for thread in threads {
        assert!(thread.contains("NoNewPrivs:\t1\n"), "{thread}");
    }
}

/// What `/proc` says of a gate that serves.
fn of_a_gate_that_runs<T>(look: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"http://127.0.0.1:9\"\n"
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let mut gate = std::process::Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .arg("run")
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = std::io::BufReader::new(gate.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "the gate has started");
    }
    let seen = look(&Path::new("/proc").join(gate.id().to_string()));
    gate.kill().unwrap();
    gate.wait().unwrap();
    seen
}
