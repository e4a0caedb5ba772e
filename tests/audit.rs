//! The audit trail: what is written down of a person's way through the gate, and how an operator reads it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::standin::{StandIn, TokenState};

fn lychgate(gate: &Gate, arguments: &[&str]) -> String {
    let output = gate.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn listed(gate: &Gate, arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&lychgate(gate, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The rows, once there are so many.
async fn listed_soon(gate: &Gate, arguments: &[&str], count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let rows = listed(gate, arguments);
        if rows.len() >= count || began.elapsed() > Duration::from_secs(20) {
            assert_eq!(rows.len(), count, "{rows:#?}");
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

fn from(gate: &Gate, client: u8) -> Browser {
    Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
}

/// Members of each row, in their order.
fn told(rows: &[Value], members: &[&str]) -> Vec<String> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    rows.iter().map(|row| members.iter().map(|name| text(row, name)).collect::<Vec<_>>().join(" ")).collect()
}

/// Opening a link asks nobody, so it costs nothing: as many as a stranger likes to make up would drive all else from the trail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_somebody_makes_up_do_not_fill_the_trail() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    let open = async |client: u8, link: usize| {
        let answer = from(&gate, client).get(&format!("/passwordreset/{link:032x}")).await;
        assert_eq!(answer.status, 303, "its holder goes on, whatever others do");
    };
    for link in 0..60 {
        open(1, link).await;
    }
    open(2, 61).await;
    let rows = listed_soon(&gate, &["audit", "list"], 32).await;
    let told = told(&rows, &["event", "verdict", "client"]);
    let count = |line: &str| told.iter().filter(|told| *told == line).count();
    assert_eq!(count("link_opened asked 192.0.2.1"), 30);
    assert_eq!(count("link_opened limited 192.0.2.1"), 1);
    assert_eq!(count("link_opened asked 192.0.2.2"), 1);
}

/// Asks for a mail, opens its link, sets a password, each from another address; two others fail.
async fn recovers(gate: &Gate, backend: &StandIn) -> String {
    const FORGOT: &str = "/_gate/forgot-password";
    assert_eq!(from(gate, 1).submit(FORGOT, &[("username", "jdoe")]).await.status, 200);
    assert_eq!(from(gate, 2).submit(FORGOT, &[("username", "my password")]).await.status, 200);
    listed_soon(gate, &["recoveries", "list"], 2).await;
    let token = backend.issue_token("jdoe", TokenState::Good);
    from(gate, 3).get(&format!("/passwordreset/{token}")).await;
    let mut browser = from(gate, 4);
    browser.get(&format!("/passwordreset/{token}")).await;
    let password = ("password", "Another1234!");
    let fields = [("username", "jdoe"), password, ("password_confirm", password.1)];
    assert_eq!(browser.submit("/_gate/reset-password", &fields).await.status, 200);
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_listed_with_its_use_and_both_addresses() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    let token = recovers(&gate, &backend).await;
    // The two requests were made beside their answers, so their order is not fixed.
    listed_soon(&gate, &["audit", "list", "--event", "redemption"], 1).await;
    let rows = listed(&gate, &["recoveries", "list", "--user", " JDOE"]);
    assert_eq!(
        told(&rows, &["user", "requested_from", "verdict", "opened_from", "used_from", "outcome"]),
        ["jdoe 192.0.2.1 ok 192.0.2.3 192.0.2.4 ok"]
    );
    for moment in ["requested", "opened", "used"] {
        assert!(rows[0][moment].as_str().unwrap().ends_with('Z'), "{moment}");
    }
    let rows = listed(&gate, &["recoveries", "list", "--user", "my password"]);
    assert_eq!(told(&rows, &["requested_from", "verdict", "used"]), ["192.0.2.2 no_account -"]);
    assert!(rows[0]["user"].as_str().unwrap().starts_with('#'), "what may be a password is not shown");
    for arguments in [vec!["--site", "intranet"], vec!["--since", "1h"], vec!["--since", "2023-01-01"]] {
        assert_eq!(
            listed(&gate, &[&["recoveries", "list"], &arguments[..]].concat()).len(),
            2,
            "{arguments:?}"
        );
    }
    assert!(listed(&gate, &["recoveries", "list", "--since", "2099-01-01T00:00:00Z"]).is_empty());

    let csv = lychgate(&gate, &["recoveries", "list", "--format", "csv"]);
    assert!(csv.starts_with("\"requested\",\"site\",\"user\",\"from\",\"verdict\""), "{csv}");
    assert_eq!(csv.lines().count(), 3);
    let table = lychgate(&gate, &["recoveries", "list"]);
    assert!(table.starts_with("REQUESTED"), "{table}");

    for name in ["lychgate.db", "lychgate.db-wal"] {
        let bytes = std::fs::read(gate.folder().join("var").join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for secret in [token.as_str(), "my password", "Another1234!"] {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_written_down_in_order_and_survives_a_stop() {
    let backend = StandIn::plone60();
    let mut gate = Gate::with_commands(&backend.url(), "");
    let mut browser = from(&gate, 1);
    browser.sign_in("jdoe", "wrong").await;
    browser.sign_in("somebody", "wrong").await;
    browser.sign_in("jdoe", "Secret1234!").await;
    let mut other = from(&gate, 2);
    other.sign_in("jdoe", "Secret1234!").await;
    browser.submit("/_gate/account", &[("action", "")]).await;
    browser.submit("/_gate/logout", &[]).await;
    browser.get("/passwordreset/bogus").await;
    gate.stop();
    let rows = listed(&gate, &["audit", "list"]);
    assert_eq!(
        told(&rows, &["event", "verdict", "client"]),
        [
            "sign_in refused 192.0.2.1",
            "sign_in refused 192.0.2.1",
            "sign_in ok 192.0.2.1",
            "sign_in ok 192.0.2.2",
            "revocation ok 192.0.2.1",
            "sign_out ok 192.0.2.1",
            "link_opened invalid 192.0.2.1",
        ]
    );
    assert_eq!(rows[0]["user"].as_str(), Some("jdoe"), "known by what came later");
    assert!(rows[1]["user"].as_str().unwrap().starts_with('#'));
    assert!(rows.iter().all(|row| !row["request_id"].as_str().unwrap().is_empty()));
    assert_eq!(listed(&gate, &["audit", "list", "--user", "JDOE"]).len(), 5);
    assert_eq!(listed(&gate, &["audit", "list", "--event", "sign_in", "--event", "sign_out"]).len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_revocation_is_written_down_without_an_address() {
    let backend = StandIn::plone60();
    let gate = Gate::with_commands(&backend.url(), "");
    from(&gate, 1).sign_in("jdoe", "Secret1234!").await;
    listed_soon(&gate, &["audit", "list"], 1).await;
    lychgate(&gate, &["sessions", "revoke", "--user", "jdoe"]);
    let rows = listed(&gate, &["audit", "list", "--event", "revocation", "--user", "jdoe"]);
    assert_eq!(told(&rows, &["user", "client", "verdict"]), ["jdoe - ok"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_another_program_holds_delays_answers_little_and_loses_nothing() {
    let backend = StandIn::plone60();
    let mut gate = Gate::with_commands(&backend.url(), "");
    let mut browser = from(&gate, 1);
    let page = browser.get("/_gate/login").await;
    assert_eq!(page.status, 200);
    let other = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    assert_eq!(browser.sign_in("jdoe", "wrong").await.status, 403);
    assert!(began.elapsed() < Duration::from_secs(4), "the lock would be waited for for five seconds");
    other.execute_batch("COMMIT").unwrap();
    gate.stop();
    assert_eq!(told(&listed(&gate, &["audit", "list"]), &["event", "verdict"]), ["sign_in refused"]);
}
