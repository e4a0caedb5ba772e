//! The CMS's own reset form, shown through the gate (`form = "backend"`), and what the gate does about it; and links of the CMS's that are
//! dead before anybody has typed a password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Fault, StandIn, TokenState};

const RESET: &str = "/_gate/reset-password";
const RIGHT: &str = "Secret1234!";
const NEW: &str = "Another1234!";
const OWN_FORM: &str = "[site.password_reset]\nform = \"backend\"\n";
const FORM: &str = "application/x-www-form-urlencoded";

fn from(gate: &Gate, client: u8) -> Browser {
    Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
}

async fn signed_in(gate: &Gate, user: &str) -> Browser {
    let mut browser = from(gate, 9);
    assert_eq!(browser.sign_in(user, RIGHT).await.status, 303);
    browser
}

async fn is_in(browser: &mut Browser) -> bool {
    browser.get("/secretpage").await.status == 200
}

/// Posts the CMS's form as a browser does, with these in the place of what stands in it.
async fn fill_in(gate: &Gate, link: &str, fields: &[(&str, &str)]) -> Answer {
    let mut browser = from(gate, 5);
    let page = browser.get(link).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (action, mut all) = page.form_named("pwreset_action");
    all.retain(|(name, _)| fields.iter().all(|(field, _)| field != name));
    all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
    let path = browser.path_of(&action);
    browser.post(&path, &all).await
}

/// What the trail says of uses of links: verdict, account, client, whether by a link that is known.
fn written(gate: &Gate) -> Vec<String> {
    let store = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
    let sql = "SELECT verdict || ' ' || coalesce(account, '-') || ' ' || client FROM audit WHERE event = 'redemption' ORDER BY id";
    let mut rows = store.prepare(sql).unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_password_that_is_set_in_the_cms_own_form_ends_all_sessions_of_that_person_and_no_other() {
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let gate = Gate::with(&backend.url(), OWN_FORM);
        let (mut jdoe, mut other) = (signed_in(&gate, "jdoe").await, signed_in(&gate, "norole").await);
        assert!(is_in(&mut jdoe).await && is_in(&mut other).await);
        let link = format!("/passwordreset/{}", backend.issue_token("jdoe", TokenState::Good));
        let done = fill_in(&gate, &link, &[("userid", "jdoe"), ("password", NEW), ("password2", NEW)]).await;
        assert!(matches!(done.status.as_u16(), 200 | 302), "{}", done.text());
        assert!(!done.text().contains("pwreset_action") || done.status == 302, "{}", done.text());
        assert_eq!(backend.password_of("jdoe").as_deref(), Some(NEW));
        assert_eq!((is_in(&mut jdoe).await, is_in(&mut other).await), (false, true));
        assert_eq!(written(&gate), ["ok jdoe 192.0.2.5"]);
        assert_eq!(from(&gate, 9).sign_in("jdoe", NEW).await.status, 303);
    }
}

#[tokio::test]
async fn nobody_ends_anothers_session_by_the_cms_own_form() {
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let gate = Gate::with(&backend.url(), OWN_FORM);
        let mut jdoe = signed_in(&gate, "jdoe").await;
        let good = format!("/passwordreset/{}", backend.issue_token("norole", TokenState::Good));
        for (row, fields) in [
            ("another's name", vec![("userid", "jdoe"), ("password", NEW), ("password2", NEW)]),
            ("passwords that differ", vec![("userid", "jdoe"), ("password", NEW), ("password2", RIGHT)]),
            ("no password", vec![("userid", "jdoe"), ("password", ""), ("password2", "")]),
        ] {
            fill_in(&gate, &good, &fields).await;
            assert!(is_in(&mut jdoe).await, "{row}");
        }
        let verdicts = written(&gate);
        assert!(verdicts.len() == 3 && verdicts.iter().all(|row| !row.starts_with("ok")), "{verdicts:?}");
        // A page of success, whatever was said: as if the CMS had read it in a way of its own.
        let token = backend.issue_token("norole", TokenState::Good);
        for (row, query, body) in [
            ("two names", "", format!("userid=jdoe&userid=norole&password={NEW}&password2={NEW}")),
            ("one here, one there", "?userid=jdoe", format!("userid=norole&password={NEW}&password2={NEW}")),
            (
                "one spelled otherwise",
                "?%75serid=jdoe",
                format!("userid=norole&password={NEW}&password2={NEW}"),
            ),
        ] {
            let body = format!("{body}&randomstring={token}&form.submitted=1").into_bytes();
            let path = format!("/passwordreset/{token}{query}");
            from(&gate, 5).send(http::Method::POST, &path, Some((FORM, body))).await;
            assert!(is_in(&mut jdoe).await, "{row}");
        }
    }
}

#[tokio::test]
async fn attempts_at_the_cms_own_form_are_limited_and_what_is_no_form_is_refused() {
    let backend = StandIn::plone60();
    let more = format!("{OWN_FORM}[limits]\nreset_attempt = {{ per_client = \"2/1m\" }}\n");
    let gate = Gate::with(&backend.url(), &more);
    let link = format!("/passwordreset/{}", backend.issue_token("jdoe", TokenState::Good));
    let fields = [("userid", "norole"), ("password", NEW), ("password2", NEW)];
    for _ in 0..2 {
        assert_eq!(fill_in(&gate, &link, &fields).await.status, 200);
    }
    let limited = fill_in(&gate, &link, &fields).await;
    assert_eq!((limited.status.as_u16(), limited.header("retry-after").is_some()), (429, true));
    let asked = backend.requests().len();
    let body = vec![b'a'; 1 << 20];
    let answer = from(&gate, 6).send(http::Method::POST, &link, Some((FORM, body))).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert!(backend.requests().len() <= asked + 1 && backend.password_of("jdoe").as_deref() == Some(RIGHT));
}

#[tokio::test]
async fn a_link_that_is_dead_says_so_before_anybody_has_thought_of_a_password() {
    for (backend, expired) in [(StandIn::plone43(), "expired"), (StandIn::plone60(), "invalid")] {
        let gate = Gate::with(&backend.url(), "");
        let token = |state| backend.issue_token("jdoe", state);
        let unknown = "0123456789abcdef0123456789abcdef".to_owned();
        for (row, token, status) in [
            ("good", token(TokenState::Good), 200),
            ("expired", token(TokenState::Expired), if expired == "expired" { 410 } else { 404 }),
            ("unknown", unknown, 404),
        ] {
            let mut browser = from(&gate, 1);
            backend.forget_requests();
            browser.get(&format!("/passwordreset/{token}")).await;
            browser.send(http::Method::HEAD, RESET, None).await;
            assert!(backend.requests().is_empty(), "{row}: nothing is asked by who only follows the link");
            let page = browser.get(RESET).await;
            assert_eq!(page.status.as_u16(), status, "{row}: {}", page.text());
            let asked = backend.requests();
            assert!(
                asked.len() == 1 && asked[0].method == "GET" && asked[0].header("cookie").is_none(),
                "{row}: {asked:?}"
            );
            assert_eq!(page.text().contains("type=\"password\""), status == 200, "{row}");
        }
        let store = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
        let sql = "SELECT verdict FROM audit WHERE event = 'link_opened' ORDER BY id";
        let mut rows = store.prepare(sql).unwrap();
        let rows: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, ["asked", "ok", "asked", expired, "asked", "invalid"]);
    }
}

#[tokio::test]
async fn a_cms_that_does_not_say_and_a_client_that_asked_too_often_get_the_form() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[limits]\nreset_attempt = { per_client = \"2/1m\" }\n");
    let token = backend.issue_token("jdoe", TokenState::Good);
    for fault in [Fault::Close, Fault::Status(500), Fault::Garbage] {
        backend.fail("passwordreset", fault);
        let mut browser = from(&gate, 1);
        assert_eq!(browser.follow(&format!("/passwordreset/{token}")).await.1.status, 200, "{fault:?}");
        backend.behave();
    }
    for (turn, status) in [404, 404, 200].into_iter().enumerate() {
        let dead = "0123456789abcdef0123456789abcdef";
        let page = from(&gate, 1).follow(&format!("/passwordreset/{dead}")).await.1;
        assert_eq!(page.status.as_u16(), status, "{turn}");
    }
    let asked = backend.requests().len();
    assert_eq!(from(&gate, 1).follow(&format!("/passwordreset/{token}")).await.1.status, 200);
    assert_eq!(backend.requests().len(), asked, "and the CMS is left alone");
    gate.clock.advance(Duration::from_secs(60));
    let fields = [("username", "jdoe"), ("password", NEW), ("password_confirm", NEW)];
    let mut browser = from(&gate, 1);
    browser.get(&format!("/passwordreset/{token}")).await;
    assert_eq!(browser.submit(RESET, &fields).await.status, 200, "looking uses nothing up");
}

/// OpenACS knows people by numbers, which stand in the form, and acts on a `GET` as well.
#[tokio::test]
async fn a_password_that_is_set_in_the_form_of_openacs_by_post_or_get_ends_that_persons_sessions() {
    for by_get in [false, true] {
        let (cms, site) = StandIn::openacs();
        let more = format!("cms = \"openacs\"\nvirtual_hosting = \"forwarded\"\n{OWN_FORM}");
        let gate = Gate::with(&cms.origin(), &more);
        let mut known = from(&gate, 9);
        assert_eq!(known.sign_in("known@example.org", RIGHT).await.status, 303);
        assert_eq!(known.get("/pvt/home").await.status, 200);
        from(&gate, 1).submit("/_gate/forgot-password", &[("username", "known@example.org")]).await;
        while site.lock().unwrap().mails.is_empty() {
            tokio::task::yield_now().await;
        }
        let link = site.lock().unwrap().link_of("known");
        let mut holder = from(&gate, 5);
        let page = holder.get(&link).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(known.get("/pvt/home").await.status, 200, "the form alone ends nothing");
        let (action, mut all) = page.form_named("reset");
        all.retain(|(name, _)| !name.starts_with("password_") || name == "password_hash");
        all.extend(["password_1", "password_2"].map(|name| (name.to_owned(), NEW.to_owned())));
        let path = holder.path_of(&action);
        let path = path.split('?').next().unwrap();
        let done = if by_get {
            let query: String =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&all).finish();
            holder.get(&format!("{path}?{query}")).await
        } else {
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
            holder.post(path, &all).await
        };
        assert_eq!(done.status, 200, "{by_get}: {}", done.text());
        assert_eq!(site.lock().unwrap().password_of("known"), NEW, "{by_get}: {}", done.text());
        assert_eq!(known.get("/pvt/home").await.status, 302, "{by_get}: the old session is over");
        assert_eq!(written(&gate), ["ok - 192.0.2.5"], "{by_get}");
    }
}
