//! Sessions as a browser and a CMS see them: how they begin, last, and end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Canned, StandIn};

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

async fn signed_in(gate: &Gate) -> Browser {
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    browser
}

fn session_cookie(answer: &Answer) -> String {
    let all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
    all.into_iter()
        .find(|cookie| cookie.starts_with("lychgate=") || cookie.starts_with("__Host-lychgate="))
        .expect("a session cookie")
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_at_the_latest_after_its_lifetime() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());

    let mut idle = signed_in(&gate).await;
    gate.clock.advance(minutes(29));
    assert_eq!(idle.get("/docs").await.status, 200, "29 minutes of 30");
    gate.clock.advance(minutes(29));
    assert_eq!(idle.get("/docs").await.status, 200, "used in between");
    gate.clock.advance(minutes(31));
    let answer = idle.get("/docs").await;
    assert_eq!(
        (answer.status.as_u16(), answer.location().unwrap().contains("ended=1")),
        (302, true),
        "unused for 31 minutes"
    );

    let mut busy = signed_in(&gate).await;
    for _ in 0..(12 * 60 / 20 - 1) {
        gate.clock.advance(minutes(20));
        assert_eq!(busy.get("/docs").await.status, 200);
    }
    gate.clock.advance(minutes(21));
    assert_eq!(busy.get("/docs").await.status, 302, "12 hours are over, used or not");
}

#[tokio::test]
async fn files_that_pages_load_by_themselves_do_not_extend_a_session() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = signed_in(&gate).await;
    for _ in 0..3 {
        gate.clock.advance(minutes(9));
        assert_eq!(
            browser.get("/logo.png?x=/page").await.status,
            404,
            "a session is needed, and there is one"
        );
    }
    gate.clock.advance(minutes(4));
    assert_eq!(browser.get("/docs").await.status, 302);
}

#[tokio::test]
async fn who_asks_to_be_remembered_is_and_the_cookie_outlives_the_browser() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = Browser::new(gate.address, HOST);
    let answer = browser
        .submit("/_gate/login", &[("username", "jdoe"), ("password", "Secret1234!"), ("remember", "1")])
        .await;
    assert!(session_cookie(&answer).contains("; Max-Age=2592000"), "{}", session_cookie(&answer));
    gate.clock.advance(minutes(29 * 24 * 60));
    assert_eq!(browser.get("/docs").await.status, 200);
    gate.clock.advance(minutes(2 * 24 * 60));
    assert_eq!(browser.get("/docs").await.status, 302);
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let cookie = session_cookie(&Browser::new(gate.address, HOST).sign_in("jdoe", "Secret1234!").await);
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    for attribute in ["Domain", "Max-Age", "Expires", "Secure"] {
        assert!(!cookie.contains(attribute), "{cookie}");
    }
    let https = Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[[site]]\nname = \"s\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\n",
        backend.url()
    ));
    let cookie = session_cookie(&Browser::new(https.address, HOST).sign_in("jdoe", "Secret1234!").await);
    assert!(cookie.starts_with("__Host-lychgate=") && cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test]
async fn signing_in_begins_a_new_session_and_ends_the_old_one() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    // Session fixation (GHSA-f24x-5g9q-753f): an id that was there before must not become anyone's.
    let mut fixed = Browser::new(gate.address, HOST);
    fixed.cookies.insert("lychgate".to_owned(), "A".repeat(43));
    assert_eq!(fixed.sign_in("jdoe", "Secret1234!").await.status, 303);
    assert_ne!(fixed.cookies["lychgate"], "A".repeat(43));

    let mut old = fixed.clone();
    let page = Browser::new(gate.address, HOST).get("/_gate/login").await;
    assert_eq!(page.status, 200);
    // The form of a browser that is signed in already, as from another tab.
    let mut other = Browser::new(gate.address, HOST);
    let form = other.get("/_gate/login").await;
    let csrf = form.form().into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    fixed.cookies.extend(other.cookies.clone());
    let answer = fixed
        .post(
            "/_gate/login",
            &[("csrf", &csrf), ("username", "jdoe"), ("password", "Secret1234!"), ("next", "/docs")],
        )
        .await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(fixed.get("/docs").await.status, 200);
    assert_eq!(old.get("/docs").await.status, 302, "the old id is dead");
}

#[tokio::test]
async fn what_is_no_session_cookie_leads_to_sign_in_and_nowhere_else() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let real = signed_in(&gate).await.cookies["lychgate"].clone();
    let long = "x".repeat(4000);
    for (name, value) in [
        ("empty", ""),
        ("garbage", "garbage"),
        ("oversize", long.as_str()),
        ("right length, unknown", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("quoted", &format!("\"{real}\"")),
        ("trailing", &format!("{real}x")),
        ("percent-encoded", &format!("%{:02x}{}", real.as_bytes()[0], &real[1..])),
    ] {
        let mut browser = Browser::new(gate.address, HOST).with("cookie", &format!("lychgate={value}"));
        let answer = browser.get("/docs").await;
        assert_eq!(answer.status, 302, "{name}");
    }
    // Cookie tossing: a sibling host plants a second cookie of our name.
    let mut tossed =
        Browser::new(gate.address, HOST).with("cookie", &format!("lychgate=planted; lychgate={real}"));
    assert_eq!(tossed.get("/docs").await.status, 200, "the one that lives counts");
    let second = signed_in(&gate).await.cookies["lychgate"].clone();
    let mut tossed =
        Browser::new(gate.address, HOST).with("cookie", &format!("lychgate={second}; lychgate={real}"));
    assert_eq!(tossed.get("/docs").await.status, 302, "two that live are ambiguous");
}

#[tokio::test]
async fn sessions_survive_a_restart() {
    let backend = StandIn::plone60();
    let mut gate = Gate::before(&backend.url());
    let browser = signed_in(&gate).await;
    gate.restart();
    let mut again = Browser::new(gate.address, HOST);
    again.cookies = browser.cookies;
    assert_eq!(again.get("/docs").await.status, 200);
    let asked = backend.requests().pop().unwrap();
    assert!(asked.header("cookie").unwrap().contains("__ac="), "and with them the CMS's own sign-in");
}

#[tokio::test]
async fn the_cms_gets_its_own_cookie_and_never_the_gates_nor_a_clients_copy() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser =
        signed_in(&gate).await.with("cookie", "__ac=forged; theme=\"dark\"; I18N_LANGUAGE=fr; __AC=x");
    browser.get("/docs").await;
    let cookie = backend.requests().pop().unwrap().header("cookie").unwrap();
    assert!(!cookie.contains("forged") && !cookie.contains("lychgate"), "{cookie}");
    assert!(cookie.contains("theme=\"dark\"; I18N_LANGUAGE=fr") && cookie.contains("__ac="), "{cookie}");
}

#[tokio::test]
async fn a_refreshed_cookie_of_the_cms_is_kept_and_other_cookies_pass() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = signed_in(&gate).await;
    let answer = Canned::html(200, "<p>ok</p>")
        .header("set-cookie", "__ac=refreshed; Path=/; HttpOnly")
        .header("set-cookie", "I18N_LANGUAGE=fr; Path=/Plone; Domain=localhost")
        .header("set-cookie", "statusmessages=abc; Path=/");
    backend.answer_once("/refresh", answer);
    let answer = browser.get("/refresh").await;
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(cookies, ["I18N_LANGUAGE=fr; Path=/", "statusmessages=abc; Path=/"]);
    browser.get("/docs").await;
    assert!(backend.requests().pop().unwrap().header("cookie").unwrap().contains("__ac=refreshed"));
}

#[tokio::test]
async fn when_the_cms_has_forgotten_who_it_is_the_person_signs_in_again_without_a_loop() {
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let gate = Gate::before(&backend.url());
        let mut browser = signed_in(&gate).await;
        // The CMS's own sign-in runs out: the next page is its challenge.
        backend.answer_once("/gone", Canned::html(200, "").header("set-cookie", "__ac=stale; Path=/"));
        browser.get("/gone").await;
        let answer = browser.get("/secretpage").await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.location().as_deref(), Some("/_gate/login?next=/secretpage&ended=1"));
        let page = browser.get(&answer.location().unwrap()).await;
        assert_eq!(page.status, 200, "the form, not another redirect");
        let answer = browser
            .submit("/_gate/login?next=/secretpage", &[("username", "jdoe"), ("password", "Secret1234!")])
            .await;
        assert_eq!(answer.location().as_deref(), Some("/secretpage"));
        assert_eq!(browser.get("/secretpage").await.status, 200);
    }
}

#[tokio::test]
async fn who_may_not_see_a_page_is_told_so_and_stays_signed_in() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = signed_in(&gate).await;
    let challenge = Canned::html(302, "").header(
        "location",
        "http://backend/Plone/acl_users/credentials_cookie_auth/require_login?came_from=/Plone/x",
    );
    backend.answer_once("/x", challenge);
    assert_eq!(browser.get("/x").await.status, 403);
    assert_eq!(browser.get("/docs").await.status, 200);
}

#[tokio::test]
async fn the_account_page_lists_sessions_and_ends_the_others() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let (mut here, mut there) = (signed_in(&gate).await, signed_in(&gate).await);
    let page = here.get("/_gate/account").await;
    assert_eq!((page.status.as_u16(), page.texts(".sessions li").len()), (200, 2));
    let page = here.submit("/_gate/account", &[("action", "")]).await;
    assert_eq!(page.texts(".sessions li").len(), 1);
    assert_eq!(there.get("/docs").await.status, 302);
    assert_eq!(here.get("/docs").await.status, 200);
    assert_eq!(Browser::new(gate.address, HOST).get("/_gate/account").await.status, 302);
}

#[tokio::test]
async fn what_is_shown_to_one_person_is_kept_from_caches() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = signed_in(&gate).await;
    for (given, expected) in [
        (None, "private"),
        (Some("public, max-age=60"), "private, max-age=60"),
        (Some("s-maxage=9, no-transform"), "private, no-transform"),
    ] {
        let page = Canned::html(200, "x");
        backend.answer_once(
            "/cached",
            given.into_iter().fold(page, |page, value| page.header("cache-control", value)),
        );
        assert_eq!(browser.get("/cached").await.header("cache-control"), Some(expected), "{given:?}");
    }
}

/// To Plone `jdoe` and `JDOE` are two people, and where people register by themselves one of them may be anybody.
#[tokio::test]
async fn whoever_has_nearly_the_same_name_neither_sees_nor_ends_a_session() {
    let backend = StandIn::plone60();
    backend.add_user("JDOE");
    let gate = Gate::with(&backend.url(), "[session]\nmost_per_account = 2\n");
    let mut victim = Browser::new(gate.address, HOST).with("x-forwarded-for", "192.0.2.77");
    assert_eq!(victim.sign_in("jdoe", "Secret1234!").await.status, 303);
    let mut other = Browser::new(gate.address, HOST).with("x-forwarded-for", "198.51.100.9");
    assert_eq!(other.sign_in("JDOE", "Secret1234!").await.status, 303);
    let page = other.get("/_gate/account").await.text();
    assert!(page.contains("198.51.100.9") && !page.contains("192.0.2.77"), "{page}");
    assert_eq!(other.submit("/_gate/account", &[("action", "elsewhere")]).await.status, 200);
    for _ in 0..3 {
        let mut again = Browser::new(gate.address, HOST);
        assert_eq!(again.sign_in("JDOE", "Secret1234!").await.status, 303);
    }
    assert_eq!(victim.get("/docs").await.status, 200, "the session of somebody else is still there");
}
