//! Local users: what is counted together, which browsers are known, and what operators do to them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::local::{GOOD, OTHER, gate, mails, run, toml, users};
use support::standin::StandIn;

const FORGOT: &str = "/_gate/forgot-password";

fn from(gate: &Gate, client: u8) -> Browser {
    Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
}

/// A gate with local users and the limits that a gate has by default.
fn limited(backend: &StandIn, more: &str) -> Gate {
    let toml = toml(backend, more);
    let (before, after) = toml.split_once("[limits]").unwrap();
    let toml = format!("{before}{}", &after[after.find("[server]").unwrap()..]);
    let gate = Gate::from_toml(&toml);
    gate.clock.set(lychgate::clock::Clock::now(&lychgate::clock::SystemClock));
    std::fs::write(gate.folder().join("proxy.toml"), toml).unwrap();
    gate
}

fn listed(gate: &Gate, arguments: &[&str], members: &[&str]) -> Vec<String> {
    let output = run(gate, &[arguments, &["--format", "json"]].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    rows.iter().map(|row| members.iter().map(|name| text(row, name)).collect::<Vec<_>>().join(" ")).collect()
}

/// The same, once there are so many.
async fn listed_soon(gate: &Gate, arguments: &[&str], members: &[&str], count: usize) -> Vec<String> {
    let began = Instant::now();
    loop {
        let rows = listed(gate, arguments, members);
        if rows.len() >= count || began.elapsed() > Duration::from_secs(20) {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

fn change(current: &str, new: &str) -> [(&'static str, String); 4] {
    [
        ("action", "change-password".to_owned()),
        ("current_password", current.to_owned()),
        ("password", new.to_owned()),
        ("password_confirm", new.to_owned()),
    ]
}

async fn changes(browser: &mut Browser, current: &str, new: &str) -> Answer {
    let fields = change(current, new);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
    browser.submit("/_gate/account", &fields).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_gets_no_more_mails_by_its_address_and_its_name_than_by_one_of_them() {
    let backend = StandIn::plone60();
    for disclosed in [false, true] {
        let gate = limited(&backend, &format!("password_reset = {{ disclose_accounts = {disclosed} }}"));
        users(&gate, &["add", "jane", "--email", "Jane@Example.org"], GOOD);
        let names = ["jane", "jane@example.org", "JANE@example.org", "jane@example.org", "Jane", "jane"];
        let mut pages = Vec::new();
        for (client, name) in (1..).zip(names) {
            let answer = from(&gate, client).submit(FORGOT, &[("username", name)]).await;
            pages.push((answer.status.as_u16(), answer.texts("main").join(" ")));
        }
        if !disclosed {
            assert!(pages.iter().all(|page| page == &pages[0] && page.0 == 200), "{pages:?}");
        }
        let list = ["audit", "list", "--event", "reset_request"];
        let rows = listed_soon(&gate, &list, &["verdict"], 9).await;
        let ok = rows.iter().filter(|verdict| *verdict == "ok").count();
        assert_eq!((ok, mails(&gate).len()), (3, 3), "{disclosed}: three an hour: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_by_address_is_listed_by_name_with_what_became_of_the_link() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let members = ["user", "requested_from", "verdict", "opened_from", "used_from", "outcome"];
    assert_eq!(from(&gate, 1).submit(FORGOT, &[("username", "jane@example.org")]).await.status, 200);
    let list = ["recoveries", "list", "--user", "jane"];
    let began = Instant::now();
    while listed(&gate, &list, &["verdict"]) != ["ok"] || mails(&gate).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", listed(&gate, &list, &members));
    }
    let link = mails(&gate)[0].link();
    let mut jane = from(&gate, 2);
    jane.get(&link).await;
    assert_eq!(listed(&gate, &list, &members), ["jane 192.0.2.1 ok 192.0.2.2 - -"], "opened, not used yet");
    let fields = [("username", "jane"), ("password", OTHER), ("password_confirm", OTHER)];
    assert_eq!(jane.submit("/_gate/reset-password", &fields).await.status, 200);
    assert_eq!(
        listed(&gate, &["recoveries", "list"], &members),
        ["jane 192.0.2.1 ok 192.0.2.2 192.0.2.2 ok"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_share_users_share_what_is_guessed() {
    let backend = StandIn::plone60();
    let shop = format!(
        "[[site]]\nname = \"shop\"\npublic_url = \"http://shop.example.test\"\nbackend_url = \"{}\"\nsign_in = \"local\"\nusers = \"intranet\"\n",
        backend.url()
    );
    let gate = limited(&backend, &shop);
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let there = |client: u8| {
        Browser::new(gate.address, "shop.example.test").with("x-forwarded-for", &format!("192.0.2.{client}"))
    };
    for client in 1..=3 {
        assert_eq!(from(&gate, client).sign_in("jane", "wrong").await.status, 403);
    }
    assert_eq!(there(4).sign_in("jane", GOOD).await.status, 429, "the wait holds at the other site, too");
    for client in 5..=8 {
        from(&gate, client).submit(FORGOT, &[("username", "jane")]).await;
        there(client).submit(FORGOT, &[("username", "jane")]).await;
    }
    let rows = listed_soon(&gate, &["audit", "list", "--event", "reset_request"], &["verdict"], 11).await;
    assert_eq!(rows.iter().filter(|verdict| *verdict == "ok").count(), 3, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_makes_browsers_unknown_but_not_the_one_it_was_set_in() {
    let backend = StandIn::plone60();
    let gate = limited(&backend, "");
    users(&gate, &["add", "jane"], GOOD);
    let (mut here, mut there) = (from(&gate, 1), from(&gate, 2));
    for browser in [&mut here, &mut there] {
        assert_eq!(browser.sign_in("jane", GOOD).await.status, 303);
    }
    // A stranger guesses all the while.
    for client in 100..110 {
        from(&gate, client).sign_in("jane", "wrong").await;
    }
    gate.clock.advance(Duration::from_millis(10));
    assert_eq!(changes(&mut here, "wrong", OTHER).await.status, 403, "and keeps nobody from changing it");
    let done = changes(&mut here, GOOD, OTHER).await;
    assert!(done.texts("[role=status]").join(" ").contains("new password is set"), "{}", done.text());
    for browser in [&mut here, &mut there] {
        browser.cookies.remove("lychgate");
    }
    assert_eq!(there.sign_in("jane", OTHER).await.status, 429, "known no longer");
    assert_eq!(here.sign_in("jane", OTHER).await.status, 303, "known still");
    here.cookies.remove("lychgate");
    gate.clock.advance(Duration::from_millis(10));
    users(&gate, &["passwd", "jane"], GOOD);
    gate.clock.set(lychgate::clock::Clock::now(&lychgate::clock::SystemClock));
    for client in 110..120 {
        from(&gate, client).sign_in("jane", "wrong").await;
    }
    assert_eq!(here.sign_in("jane", GOOD).await.status, 429, "an operator makes all of them unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_the_current_password_are_few_however_often_it_is_right() {
    let backend = StandIn::plone60();
    let gate = limited(&backend, "");
    users(&gate, &["add", "jane"], GOOD);
    let mut thief = from(&gate, 1);
    assert_eq!(thief.sign_in("jane", GOOD).await.status, 303);
    for _ in 0..3 {
        assert_eq!(changes(&mut thief, "wrong", OTHER).await.status, 403);
    }
    assert_eq!(changes(&mut thief, GOOD, OTHER).await.status, 429);
    assert_eq!(from(&gate, 2).sign_in("jane", GOOD).await.status, 303, "and nobody else is kept out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_do_to_users_is_written_down_with_no_address_and_no_secret() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    std::fs::write(gate.folder().join("htpasswd"), "apr:$apr1$abcdefgh$uKwRFhVF7xIEaribjYms4.\n").unwrap();
    users(&gate, &["add", "Jane", "--email", "jane@example.org"], GOOD);
    users(&gate, &["passwd", "jane"], OTHER);
    users(&gate, &["change", "jane", "--email", "else@example.org", "--groups", "editors"], "");
    users(&gate, &["disable", "jane"], "");
    users(&gate, &["enable", "jane"], "");
    users(&gate, &["remove", "jane"], "");
    users(&gate, &["import", "htpasswd"], "");
    assert!(!run(&gate, &["users", "disable", "nobody"], "").status.success());
    assert_eq!(
        listed(&gate, &["audit", "list"], &["event", "user", "client", "verdict", "detail"]),
        [
            "user_change jane - ok added by an operator",
            "password_change jane - ok given a new password by an operator",
            "user_change jane - ok given other groups by an operator",
            "user_change jane - ok given another mail address by an operator",
            "user_change jane - ok disabled by an operator",
            "user_change jane - ok enabled by an operator",
            "user_change jane - ok removed by an operator",
            "user_change apr - ok imported by an operator",
        ]
    );
    assert_eq!(
        listed(&gate, &["audit", "list", "--event", "user_change", "--user", "JANE"], &["user"]).len(),
        6
    );
    let all = String::from_utf8(run(&gate, &["audit", "list", "--format", "csv"], "").stdout).unwrap();
    for secret in [GOOD, OTHER, "@example.org", "$apr1$", "argon2"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_more_mails_can_wait_the_link_that_waits_stays_good() {
    let backend = StandIn::plone60();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let toml = toml(&backend, "").replace("dir:mail", &format!("smtp://{nobody}"));
    let gate = Gate::from_toml(&toml);
    gate.clock.set(lychgate::clock::Clock::now(&lychgate::clock::SystemClock));
    std::fs::write(gate.folder().join("proxy.toml"), toml).unwrap();
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let mut script = from(&gate, 1).without("sec-fetch-mode").without("accept");
        let body = br#"{"username":"jane"}"#.to_vec();
        asked.spawn(async move {
            let body = Some(("application/json", body));
            script.send(http::Method::POST, "/_gate/api/forgot-password", body).await.status
        });
    }
    assert!(asked.join_all().await.iter().all(|status| *status == 200), "they all look the same");
    let list = ["audit", "list", "--event", "reset_request"];
    let rows = listed_soon(&gate, &list, &["verdict"], 600).await;
    let store = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
    let count = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let issued = count("SELECT count(*) FROM issued_reset");
    assert!((256..300).contains(&issued), "{issued}");
    assert_eq!(count("SELECT count(*) FROM issued_reset WHERE void IS NULL"), 1);
    assert!(rows.iter().any(|verdict| verdict == "reset_error"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_link_and_no_password_can_be_read_in_the_store() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    assert_eq!(from(&gate, 1).submit(FORGOT, &[("username", "jane")]).await.status, 200);
    while mails(&gate).is_empty() {
        tokio::task::yield_now().await;
    }
    let link = mails(&gate)[0].link();
    let mut jane = from(&gate, 2);
    jane.get(&link).await;
    let fields = [("username", "jane"), ("password", OTHER), ("password_confirm", OTHER)];
    assert_eq!(jane.submit("/_gate/reset-password", &fields).await.status, 200);
    let token = link.split("token=").nth(1).unwrap();
    assert_eq!(token.len(), 43, "256 bits");
    let mut stored = Vec::new();
    for file in std::fs::read_dir(gate.folder().join("var")).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains("jane@example.org"), "the store was read");
    for secret in [token, GOOD, OTHER] {
        assert!(!stored.contains(secret));
    }
}
