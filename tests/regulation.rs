//! Guessing passwords, and who is kept out by it: whoever guesses, and nobody at a browser of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{StandIn, TokenState};

const COOKIE: &str = "lychgate-browser";
const RIGHT: &str = "Secret1234!";

/// With the limits that a gate has by default.
fn gate(backend: &StandIn) -> Gate {
    Gate::with(&backend.url(), "[limits]\n")
}

fn from(gate: &Gate, client: u8) -> Browser {
    Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
}

/// A browser that has signed in, and out again.
async fn known(gate: &Gate, client: u8, user: &str) -> Browser {
    let mut browser = from(gate, client);
    assert_eq!(browser.sign_in(user, RIGHT).await.status, 303);
    browser.cookies.remove("lychgate");
    assert!(browser.cookies.contains_key(COOKIE));
    browser
}

/// Strangers guess until the account has to wait, and the network of `client` too.
async fn guess(gate: &Gate, client: u8, user: &str) {
    for stranger in [client, 200, 201, 202] {
        for _ in 0..3 {
            from(gate, stranger).sign_in(user, "wrong").await;
        }
    }
    assert_eq!(from(gate, 203).sign_in(user, RIGHT).await.status, 429, "an unknown browser has to wait");
}

fn wait(answer: &Answer) -> u64 {
    answer.header("retry-after").map_or(0, |text| text.parse().unwrap())
}

#[tokio::test]
async fn waits_grow_from_wherever_and_however_the_name_is_spelled_and_the_cms_is_not_asked() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[limits]\nsign_in = { per_client = [], per_account = [] }\n");
    for client in 1..=3 {
        assert_eq!(from(&gate, client).sign_in("jdoe", "wrong").await.status, 403);
    }
    for (client, expected) in (4_u8..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
        let asked = backend.requests().len();
        let answer =
            from(&gate, client).sign_in(["jdoe", " JDOE", "ｊｄｏｅ"][usize::from(client % 3)], RIGHT).await;
        assert_eq!((answer.status.as_u16(), wait(&answer)), (429, expected));
        assert_eq!(backend.requests().len(), asked, "the CMS is not asked");
        gate.clock.advance(Duration::from_secs(expected));
        assert_eq!(from(&gate, client).sign_in("jdoe", "wrong").await.status, 403);
    }
    gate.clock.advance(Duration::from_secs(300));
    assert_eq!(from(&gate, 99).sign_in("jdoe", RIGHT).await.status, 303, "and then the right one passes");
}

#[tokio::test]
async fn no_stranger_locks_out_a_person_at_a_browser_that_the_account_knows() {
    let backend = StandIn::plone60();
    let gate = gate(&backend);
    let jdoe = known(&gate, 1, "jdoe").await;
    guess(&gate, 1, "jdoe").await;
    for client in 200..=230 {
        from(&gate, client).sign_in("jdoe", "wrong").await;
    }
    assert_eq!(jdoe.clone().sign_in("jdoe", RIGHT).await.status, 303);
    assert_eq!(jdoe.clone().sign_in(" JDoe", "wrong").await.status, 403, "however spelled");
    for (row, mut browser, user) in [
        ("another account", jdoe.clone(), "norole"),
        ("garbage", from(&gate, 9).with("cookie", &format!("{COOKIE}=AAAA.BBBB")), "jdoe"),
    ] {
        guess(&gate, 1, user).await;
        assert_eq!(browser.sign_in(user, RIGHT).await.status, 429, "{row} is not known");
    }
}

#[tokio::test]
async fn who_has_the_cookie_cannot_guess_for_ever_and_keeps_nobody_else_out() {
    let backend = StandIn::plone60();
    let gate = gate(&backend);
    let thief = known(&gate, 1, "jdoe").await;
    let other = known(&gate, 2, "jdoe").await;
    for _ in 0..3 {
        assert_eq!(thief.clone().sign_in("jdoe", "wrong").await.status, 403);
    }
    assert_eq!(thief.clone().sign_in("jdoe", RIGHT).await.status, 429);
    assert_eq!(other.clone().sign_in("jdoe", RIGHT).await.status, 303, "another browser");
    assert_eq!(from(&gate, 1).sign_in("jdoe", RIGHT).await.status, 303, "and one that is not known");
}

#[tokio::test]
async fn a_new_password_and_time_make_every_browser_unknown_and_a_restart_does_not() {
    let backend = StandIn::plone60();
    let mut gate = gate(&backend);
    let jdoe = known(&gate, 1, "jdoe").await;
    let norole = known(&gate, 1, "norole").await;
    gate.restart();
    let at = |browser: &Browser, gate: &Gate| {
        let mut moved = Browser::new(gate.address, HOST).with("x-forwarded-for", "192.0.2.1");
        moved.cookies.clone_from(&browser.cookies);
        moved
    };
    guess(&gate, 1, "jdoe").await;
    assert_eq!(
        at(&jdoe, &gate).sign_in("jdoe", RIGHT).await.status,
        303,
        "sealed, so a restart changes nothing"
    );

    gate.clock.advance(Duration::from_secs(3600));
    let token = backend.issue_token("jdoe", TokenState::Good);
    let mut browser = from(&gate, 5);
    browser.get(&format!("/passwordreset/{token}")).await;
    let fields = [("username", "jdoe"), ("password", "Another1234!"), ("password_confirm", "Another1234!")];
    assert_eq!(browser.submit("/_gate/reset-password", &fields).await.status, 200);
    gate.restart();
    guess(&gate, 1, "jdoe").await;
    assert_eq!(at(&jdoe, &gate).sign_in("jdoe", "Another1234!").await.status, 429, "known no longer");
    guess(&gate, 1, "norole").await;
    assert_eq!(at(&norole, &gate).sign_in("norole", RIGHT).await.status, 303, "of another account it is");

    gate.clock.advance(Duration::from_secs(181 * 24 * 3600));
    guess(&gate, 1, "norole").await;
    assert_eq!(at(&norole, &gate).sign_in("norole", RIGHT).await.status, 429, "half a year is over");
}

#[tokio::test]
async fn a_browser_is_known_to_several_accounts_and_its_cookie_is_sealed_and_out_of_reach() {
    let backend = StandIn::plone60();
    let gate = gate(&backend);
    let mut browser = from(&gate, 1);
    for user in ["jdoe", "norole", "umlaut", "siteadmin", "login.name", "jdoe"] {
        browser.cookies.remove("lychgate");
        let password = if user == "umlaut" { "Pässwörd1234!" } else { RIGHT };
        let answer = browser.sign_in(user, password).await;
        let cookies: Vec<&str> =
            answer.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap()).collect();
        let cookie = cookies.iter().find(|cookie| cookie.starts_with(COOKIE)).expect(user);
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=15552000"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(
            cookie.split(['=', ';']).nth(1).unwrap().split('.').count() <= 4 && cookie.len() < 1500,
            "{cookie}"
        );
    }
    browser.get("/docs").await;
    let seen = backend.requests().iter().filter_map(|request| request.header("cookie")).collect::<String>();
    assert!(!seen.contains(COOKIE), "the CMS does not see it: {seen}");
    browser.cookies.remove("lychgate");
    guess(&gate, 1, "login.name").await;
    assert_eq!(browser.sign_in("login.name", RIGHT).await.status, 303);
    let off = Gate::with(&backend.url(), "[limits]\nknown_browser = \"0\"\n");
    let mut unknown = from(&off, 1);
    unknown.sign_in("jdoe", RIGHT).await;
    assert!(!unknown.cookies.contains_key(COOKIE));
}

#[tokio::test]
async fn one_network_that_fails_for_many_accounts_is_refused_and_written_down() {
    let backend = StandIn::plone60();
    let mut gate = Gate::with(
        &backend.url(),
        "[limits]\nsign_in = { per_client = [] }\nsign_in_delay = { per_client_after = 0 }\nstuffing = { accounts_per_client = 5, clients_per_account = 3 }\n",
    );
    for number in 0..5 {
        assert_eq!(from(&gate, 1).sign_in(&format!("user{number}"), "wrong").await.status, 403);
    }
    let asked = backend.requests().len();
    let answer = from(&gate, 1).sign_in("jdoe", RIGHT).await;
    assert_eq!((answer.status.as_u16(), wait(&answer)), (429, 3600));
    assert_eq!(backend.requests().len(), asked);
    for client in 2..=4 {
        assert_eq!(from(&gate, client).sign_in("norole", "wrong").await.status, 403);
    }
    gate.stop();
    let store = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
    let mut rows =
        store.prepare("SELECT verdict || ' ' || client FROM audit WHERE event = 'suspicion'").unwrap();
    let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows, ["many_accounts 192.0.2.1", "many_clients 192.0.2.4"]);
}
