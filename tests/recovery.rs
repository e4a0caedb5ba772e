//! Forgotten passwords: what the CMS is asked, and how little of it a stranger learns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Fault, StandIn, TokenState};

const FORGOT: &str = "/_gate/forgot-password";

fn shown(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.texts("main").join(" "))
}

#[tokio::test]
async fn the_cms_is_asked_as_nobody_with_the_marks_of_the_gate() {
    let backend = StandIn::plone60();
    let gate = Gate::with(
        &backend.url(),
        "[site.password_reset]\nuser_agent = \"Gate/1\"\nheader = { name = \"X-Mail-Password\", value = \"not a guess\" }\nsource_address = \"127.0.0.9\"\n",
    );
    let mut browser =
        Browser::new(gate.address, HOST).with("x-forwarded-for", "Please visit http://evil.example/");
    browser.sign_in("jdoe", "Secret1234!").await;
    let answer = browser.submit(FORGOT, &[("username", "jdoe")]).await;
    assert_eq!(answer.status, 200);
    let request = backend.asked_for_mail(1).await.remove(0);
    assert_eq!(request.field("userid").as_deref(), Some("jdoe"));
    assert_eq!(
        (request.header("cookie"), request.header("authorization")),
        (None, None),
        "whoever asks, the CMS must not know"
    );
    assert_eq!(
        (request.header("user-agent").as_deref(), request.header("x-mail-password").as_deref()),
        (Some("Gate/1"), Some("not a guess"))
    );
    assert_eq!(request.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(request.peer.ip().to_string(), "127.0.0.9");
    for other in backend.requests().iter().filter(|request| !request.target.ends_with("/mail_password")) {
        assert_ne!(other.header("user-agent").as_deref(), Some("Gate/1"), "{}", other.target);
        assert_eq!(other.header("x-mail-password"), None, "{}", other.target);
    }
}

#[tokio::test]
async fn every_outcome_looks_the_same_unless_the_site_discloses_accounts() {
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let (closed, open) = (
            Gate::before(&backend.url()),
            Gate::with(&backend.url(), "[site.password_reset]\ndisclose_accounts = true\n"),
        );
        let mut pages = Vec::new();
        for (name, user, status) in [
            ("known", "jdoe", 200),
            ("unknown", "nobody", 422),
            ("without a mail address", "nomail", 422),
            ("one the CMS breaks over", "admin", 502),
        ] {
            let mut browser = Browser::new(closed.address, HOST);
            pages.push((name, shown(&browser.submit(FORGOT, &[("username", user)]).await)));
            let mut browser = Browser::new(open.address, HOST);
            let answer = browser.submit(FORGOT, &[("username", user)]).await;
            assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.text());
        }
        backend.fail("mail_password", Fault::Close);
        let mut browser = Browser::new(closed.address, HOST);
        pages.push(("a dead CMS", shown(&browser.submit(FORGOT, &[("username", "jdoe")]).await)));
        for (name, page) in &pages {
            assert_eq!(page, &pages[0].1, "{name}");
        }
        assert!(pages[0].1.1.contains("If an account has that name"), "{:?}", pages[0]);
    }
}

#[tokio::test]
async fn getting_the_form_sends_nothing_and_a_form_of_another_site_neither() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = Browser::new(gate.address, HOST);
    let page = browser.get("/_gate/forgot-password?username=jdoe&userid=jdoe").await;
    assert_eq!(
        page.form().iter().find(|(name, _)| name == "username").map(|(_, value)| value.as_str()),
        Some("jdoe")
    );
    for (name, mut browser, fields, status) in [
        ("no token", browser.clone(), vec![("username", "jdoe")], 403),
        ("another's token", browser.clone(), vec![("username", "jdoe"), ("csrf", "AAAA")], 403),
        (
            "another site",
            browser.clone().with("sec-fetch-site", "cross-site"),
            vec![("username", "jdoe")],
            403,
        ),
        (
            "another origin",
            browser.clone().with("origin", "http://evil.example"),
            vec![("username", "jdoe")],
            403,
        ),
    ] {
        assert_eq!(browser.post(FORGOT, &fields).await.status, status, "{name}");
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
    assert!(backend.mails().is_empty());
}

#[tokio::test]
async fn too_many_requests_are_limited_before_anyone_is_asked() {
    let backend = StandIn::plone60();
    let gate = Gate::with(
        &backend.url(),
        "[limits]\nreset_request = { per_client = \"6/10m\", per_account = \"2/1h\" }\n",
    );
    let from =
        |client: u8| Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"));
    let mut pages = Vec::new();
    for spelling in ["jdoe", "JDOE", " jdoe ", "jdoe"] {
        pages.push(shown(&from(1).submit(FORGOT, &[("username", spelling)]).await));
    }
    assert!(pages.iter().all(|page| page == &pages[0]), "over the account's limit looks like success");
    assert_eq!(
        backend.asked_for_mail(2).await.len(),
        2,
        "one account, however spelled, and two mails an hour"
    );
    for name in ["a", "b"] {
        assert_eq!(from(1).submit(FORGOT, &[("username", name)]).await.status, 200);
    }
    let answer = from(1).submit(FORGOT, &[("username", "c")]).await;
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(
        from(2).submit(FORGOT, &[("username", "c")]).await.status,
        200,
        "another client is not concerned"
    );
    gate.clock.advance(Duration::from_secs(600));
    assert_eq!(from(1).submit(FORGOT, &[("username", "c")]).await.status, 200, "and the time passes");
}

#[tokio::test]
async fn failed_sign_ins_are_limited_by_client_and_by_account_and_good_ones_are_not() {
    let backend = StandIn::plone60();
    let gate =
        Gate::with(&backend.url(), "[limits]\nsign_in = { per_client = \"4/5m\", per_account = \"3/5m\" }\n");
    let from =
        |client: u8| Browser::new(gate.address, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"));
    for _ in 0..10 {
        assert_eq!(from(1).sign_in("jdoe", "Secret1234!").await.status, 303);
    }
    for (client, spelling) in [(2, "jdoe"), (3, "JDoe"), (4, " jdoe")] {
        assert_eq!(from(client).sign_in(spelling, "wrong").await.status, 403, "{spelling:?}");
    }
    assert_eq!(
        from(5).sign_in("jdoe", "wrong").await.status,
        429,
        "the account's failures are used up, from wherever"
    );
    for name in ["a", "b", "c", "d"] {
        assert_eq!(from(6).sign_in(name, "wrong").await.status, 403);
    }
    let answer = from(6).sign_in("e", "wrong").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after").is_some()), (429, true));
    gate.clock.advance(Duration::from_secs(300));
    assert_eq!(from(6).sign_in("jdoe", "Secret1234!").await.status, 303);
}

#[tokio::test]
async fn a_backend_that_is_down_is_not_a_wrong_password() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    for (name, fault, heading) in [
        ("closes", Fault::Close, 502),
        ("an error page", Fault::Status(500), 502),
        ("no HTTP", Fault::Garbage, 502),
    ] {
        backend.fail("login", fault);
        let mut browser = Browser::new(gate.address, HOST);
        let answer = browser.sign_in("jdoe", "Secret1234!").await;
        assert_eq!(answer.status.as_u16(), heading, "{name}: {:?}", answer.texts("[role=alert]"));
        let told = answer.texts("[role=alert]").join(" ");
        assert!(!told.is_empty() && !told.contains("not right"), "{name}: {told}");
        backend.behave();
    }
}

#[tokio::test]
async fn a_reset_link_is_taken_out_of_the_address_in_every_spelling_and_asks_the_cms_nothing() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let token = backend.issue_token("jdoe", TokenState::Good);
    let token = token.as_str();
    for (path, user) in [
        (format!("/passwordreset/{token}"), ""),
        (format!("/passwordreset/{token}?userid=asmith"), "asmith"),
        (format!("/passwordreset?key={token}"), ""),
        (format!("/@@passwordreset/{token}"), ""),
    ] {
        let mut browser = Browser::new(gate.address, HOST);
        let answer = browser.get(&path).await;
        assert_eq!(answer.location().as_deref(), Some("/_gate/reset-password"), "{path}");
        assert!(!format!("{:?}", answer.headers).contains(token), "{path}: the token is sealed");
        assert!(backend.requests().is_empty(), "{path}: {:?}", backend.requests());
        let page = browser.get("/_gate/reset-password").await;
        assert_eq!(
            page.form().iter().find(|(name, _)| name == "username").map(|(_, value)| value.as_str()),
            Some(user),
            "{path}"
        );
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        backend.forget_requests();
        gate.clock.advance(Duration::from_secs(16 * 60));
        assert_eq!(
            browser.get("/_gate/reset-password").await.status,
            400,
            "the form stands open for 15 minutes"
        );
    }
    let mut browser = Browser::new(gate.address, HOST);
    browser.get("/passwordreset/bogus").await;
    assert_eq!(browser.get("/_gate/reset-password").await.status, 400, "what is no token opens no form");
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
}

/// Who can set a cookie in a visitor's browser must not choose which link the visitor's new password goes to.
#[tokio::test]
async fn of_two_reset_tickets_none_is_taken_unless_they_are_one() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut tickets = Vec::new();
    for user in ["asmith", "jdoe"] {
        let token = backend.issue_token(user, TokenState::Good);
        let answer =
            Browser::new(gate.address, HOST).get(&format!("/passwordreset/{token}?userid={user}")).await;
        let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        let ticket =
            cookies.filter_map(|cookie| cookie.split(';').next()).find(|pair| pair.contains("reset"));
        tickets.push(ticket.unwrap().to_owned());
    }
    let (one, other) = (&tickets[0], &tickets[1]);
    for (name, cookies, status) in [
        ("one", one.clone(), 200),
        ("the same twice", format!("{one}; {one}"), 200),
        ("two", format!("{one}; {other}"), 400),
        ("two, the other way", format!("{other}; {one}"), 400),
        ("what is no ticket before", format!("{}=x; {one}", one.split_once('=').unwrap().0), 400),
        ("what is no ticket behind", format!("{one}; {}=x", one.split_once('=').unwrap().0), 400),
    ] {
        let page =
            Browser::new(gate.address, HOST).with("cookie", &cookies).get("/_gate/reset-password").await;
        assert_eq!(page.status, status, "{name}");
        assert_eq!(page.text().contains("name=\"password\""), status == 200, "{name}");
    }
}

#[tokio::test]
async fn switched_off_there_is_no_page_no_link_and_no_way_to_the_cms() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[site.password_reset]\nenabled = false\n");
    let mut browser = Browser::new(gate.address, HOST);
    for path in [
        FORGOT,
        "/_gate/reset-password",
        "/mail_password_form",
        "/passwordreset/0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    assert!(!browser.get("/_gate/login").await.text().contains("forgot-password"));
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_call_of_xml_rpc_names_its_page_in_the_body_and_is_closed() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[site.access]\ndefault = \"public\"\n");
    for kind in ["text/xml", "Text/XML; charset=utf-16", "application/x; text/xml"] {
        let body = b"<methodCall><methodName>mail&#95;password</methodName></methodCall>".to_vec();
        let mut browser = Browser::new(gate.address, HOST);
        let answer = browser.send(http::Method::POST, "/docs", Some((kind, body))).await;
        assert_eq!(answer.status, 403, "{kind}");
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn the_cms_own_reset_form_opens_nothing_but_itself() {
    let backend = StandIn::plone43();
    let gate = Gate::with(
        &backend.url(),
        "[site.access]\nrules = [ { path = \"/closed/**\", access = \"deny\" } ]\n[site.password_reset]\nform = \"backend\"\n",
    );
    let token = "0123456789abcdef0123456789abcdef";
    for path in [
        "/passwordreset?../docs/secret:method=1".to_owned(),
        "/passwordreset?../mail_password:method=1&userid=jdoe".to_owned(),
        "/passwordreset?:method=../../VirtualHostBase/https/evil.example:443/Plone/VirtualHostRoot/mail_password&userid=jdoe".to_owned(),
        "/pwreset_form/mail_password?userid=jdoe".to_owned(),
        "/pwreset_form/docs/secret.txt".to_owned(),
        "/pwreset_form/secretpage".to_owned(),
        format!("/passwordreset/{token}/secretpage"),
        "/closed/pwreset_form".to_owned(),
    ] {
        Browser::new(gate.address, HOST).get(&path).await;
        assert!(backend.requests().is_empty(), "{path} reached the backend");
    }
    for path in
        [format!("/passwordreset/{token}"), "/pwreset_form".to_owned(), format!("/fr/passwordreset/{token}")]
    {
        Browser::new(gate.address, HOST).get(&path).await;
        assert_eq!(backend.requests().len(), 1, "{path} is the form");
        backend.forget_requests();
    }
}
