//! A form sent after the session had run out is kept for its sender, and for nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, connect, login, ok, post};
use support::standin::{Canned, StandIn};

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundaryAbC1";

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A browser that says where its requests come from.
fn browser(gate: &Gate) -> Browser {
    Browser::new(gate.address, HOST).with("sec-fetch-site", "same-origin")
}

/// A browser whose session, of `jdoe`, has run out.
async fn ended(gate: &Gate) -> Browser {
    let mut browser = browser(gate);
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    gate.clock.advance(minutes(31));
    browser
}

async fn send(browser: &mut Browser, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
    browser.send(Method::POST, path, Some((kind, body.into()))).await
}

/// Sends a form for which there is no session; gives the address of the sign-in page.
async fn hold(browser: &mut Browser, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> String {
    let answer = send(browser, path, kind, body).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let location = answer.location().unwrap();
    assert!(location.contains("&kept=1"), "{location}");
    location
}

/// Signs in on a page that says that a form is kept; gives the page where it is offered.
async fn sign_in(browser: &mut Browser, location: &str, user: &str) -> Answer {
    let answer = browser.submit(location, &[("username", user), ("password", "Secret1234!")]).await;
    assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/_gate/held")));
    browser.get("/_gate/held").await
}

/// The address and body of the first form that sends, as a browser would submit it.
fn sending(page: &Answer) -> (String, String) {
    let (action, fields) = page.form_named("");
    (action, url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
}

async fn send_now(browser: &mut Browser, page: &Answer) -> Answer {
    let (action, body) = sending(page);
    send(browser, &action, FORM, body).await
}

/// What the backend got besides signing in.
fn received(backend: &Backend) -> Vec<Message> {
    backend.requests().into_iter().filter(|request| login(request).is_none()).collect()
}

/// Every byte there is, line ends of all kinds, and what looks like a boundary.
fn upload() -> Vec<u8> {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    [
        b"------WebKitFormBoundaryAbC1\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n\xc3\xa9t\xe9\r\n".as_slice(),
        b"------WebKitFormBoundaryAbC1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        &bytes,
        b"\r\n--\r\n------WebKitFormBoundary\n\r\n------WebKitFormBoundaryAbC1--\r\n",
    ]
    .concat()
}

#[tokio::test]
async fn what_was_posted_reaches_the_backend_byte_for_byte_after_signing_in_again() {
    for (name, kind, body) in [
        (
            "urlencoded",
            FORM,
            b"title=a%20b&text=%e9&_authenticator=0123abc&form.button.save:method=1".to_vec(),
        ),
        ("multipart with an upload", MULTIPART, upload()),
        ("text", "text/plain; charset=UTF-8", b"title=a b\r\ntext=\xc3\xa9\r\n".to_vec()),
        ("empty", FORM, Vec::new()),
    ] {
        let backend = Backend::polite();
        let gate = Gate::before(&backend.url());
        let origin = format!("http://{HOST}");
        let referer = format!("{origin}/docs/edit");
        let mut browser = ended(&gate).await.with("origin", &origin).with("referer", &referer);
        let location = hold(&mut browser, "/docs/edit?a=1&b=%20c", kind, body.clone()).await;
        assert!(received(&backend).is_empty(), "{name}: nothing was sent yet");
        // The gate's own pages name themselves to nobody.
        let mut browser = browser.without("referer").without("origin");
        let notice = browser.get(&location).await;
        assert!(notice.texts(".notice")[0].contains("is kept for an hour"), "{name}: {}", notice.text());
        let page = sign_in(&mut browser, &location, "jdoe").await;
        assert_eq!(page.texts(".held strong"), ["/docs/edit"], "{name}");
        assert!(received(&backend).is_empty(), "{name}: it asks first");

        let answer = send_now(&mut browser, &page).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "{name}");
        let all = received(&backend);
        let sent = &all[0];
        assert_eq!((all.len(), sent.method(), sent.target()), (1, "POST", "/docs/edit?a=1&b=%20c"), "{name}");
        assert!(sent.body == body, "{name}: the body is another");
        assert_eq!(sent.field("content-type").as_deref(), Some(kind), "{name}");
        assert_eq!(sent.field("content-length"), Some(body.len().to_string()), "{name}");
        assert_eq!(sent.field("referer").as_deref(), Some(referer.as_str()), "{name}");
        assert_eq!(sent.field("origin").as_deref(), Some(origin.as_str()), "{name}");
        let cookie = sent.field("cookie").unwrap();
        assert!(cookie.contains("__ac=sealed") && !cookie.contains("lychgate"), "{name}: {cookie}");
    }
}

#[tokio::test]
async fn what_is_sent_to_a_cms_that_has_forgotten_its_sender_is_kept_too() {
    const LIMIT: usize = 1 << 20;
    let large = |size: usize| [b"text=".as_slice(), &vec![b'a'; size - 5]].concat();
    let rows = [
        (
            "urlencoded",
            FORM,
            b"title=a%20b&text=%e9&form.button.save=1".to_vec(),
            "same-origin",
            Some("&kept=1"),
        ),
        ("an upload", MULTIPART, upload(), "same-origin", Some("&kept=1")),
        ("nothing in it", FORM, Vec::new(), "same-origin", Some("&kept=1")),
        ("as large as may be", FORM, large(LIMIT), "same-origin", Some("&kept=1")),
        ("larger", FORM, large(LIMIT + 1), "same-origin", Some("&kept=0")),
        ("a password", FORM, b"new_password=Secret1234!".to_vec(), "same-origin", Some("&kept=0")),
        ("no form", "application/octet-stream", b"a=b".to_vec(), "same-origin", Some("&ended=1")),
        ("of another site", FORM, b"a=b".to_vec(), "cross-site", None),
    ];
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let gate = Gate::before(&backend.url());
        for (name, kind, body, from, notice) in &rows {
            let mut browser = Browser::new(gate.address, HOST).with("sec-fetch-site", from);
            browser.sign_in("jdoe", "Secret1234!").await;
            backend.answer_once("/gone", Canned::html(200, "").header("set-cookie", "__ac=stale; Path=/"));
            browser.get("/gone").await;
            let answer = send(&mut browser, "/secretpage?a=b", kind, body.clone()).await;
            let location = answer.location().unwrap_or_default();
            let Some(notice) = notice else {
                assert!(!location.contains("&kept="), "{name}: {location}");
                continue;
            };
            assert_eq!(answer.status, 303, "{name}: {}", answer.text());
            assert!(location.ends_with(notice), "{name}: {location}");
            if *notice != "&kept=1" {
                continue;
            }
            let page = sign_in(&mut browser, &location, "jdoe").await;
            backend.forget_requests();
            let answer = send_now(&mut browser, &page).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            let sent = backend.requests();
            assert_eq!(sent.len(), 1, "{name}: once");
            assert!(sent[0].target.ends_with("/secretpage?a=b") && sent[0].body == *body, "{name}");
        }
    }
}

#[tokio::test]
async fn another_user_of_the_same_browser_never_sees_it() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await;
    let location = hold(&mut browser, "/private-path", FORM, "secret=text").await;
    let mut first = browser.clone();
    let page = sign_in(&mut first, &location, "jdoe").await;
    let (action, _) = sending(&page);

    let answer = browser.submit(&location, &[("username", "bob"), ("password", "Secret1234!")]).await;
    assert_eq!(answer.location().as_deref(), Some("/private-path"), "straight to where they wanted to go");
    let page = browser.get("/_gate/held").await;
    assert_eq!(page.status, 410);
    assert!(!page.text().contains("private-path"), "{}", page.text());
    // Nor does knowing its name help, with a token that is bob's own.
    gate.clock.advance(minutes(31));
    hold(&mut browser, "/bobs", FORM, "a=b").await;
    let page = sign_in(&mut browser, &location, "bob").await;
    let (_, body) = sending(&page);
    let answer = send(&mut browser, &action, FORM, body).await;
    assert_eq!(answer.status, 410);
    let csrf = page.form_named("").1[0].1.clone();
    let id = action.rsplit('=').next().unwrap().to_owned();
    browser.post("/_gate/held", &[("csrf", &csrf), ("id", &id)]).await;
    assert!(received(&backend).iter().all(|request| request.method() == "GET"));

    // It is still there for whom it belongs to.
    let mut again = browser.clone();
    again.cookies.remove("lychgate");
    let answer = again.submit("/_gate/login", &[("username", "jdoe"), ("password", "Secret1234!")]).await;
    assert_eq!(answer.location().as_deref(), Some("/_gate/held"));
}

#[tokio::test]
async fn another_browser_of_the_same_user_never_sees_it() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut here = ended(&gate).await;
    let location = hold(&mut here, "/docs", FORM, "a=b").await;
    let mut there = browser(&gate);
    assert_eq!(there.sign_in("jdoe", "Secret1234!").await.location().as_deref(), Some("/"));
    assert_eq!(there.get("/_gate/held").await.status, 410);

    let page = sign_in(&mut here, &location, "jdoe").await;
    let (action, _) = sending(&page);
    let id = action.rsplit('=').next().unwrap();
    let mut there = ended(&gate).await;
    let other = hold(&mut there, "/other", FORM, "c=d").await;
    let page = sign_in(&mut there, &other, "jdoe").await;
    let (_, body) = sending(&page);
    let answer = send(&mut there, &format!("/docs?lychgate-held={id}"), FORM, body).await;
    assert_eq!(answer.status, 410);
    assert!(received(&backend).is_empty());
}

#[tokio::test]
async fn what_another_site_sends_is_never_held() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let ours = format!("http://{HOST}");
    for (name, fields) in [
        ("another site", &[("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")][..]),
        ("a sibling", &[("sec-fetch-site", "same-site"), ("origin", "http://other.example.test")]),
        ("an older browser", &[("origin", "http://evil.example")]),
        ("an older browser, hidden", &[("origin", "null")]),
        ("an old browser", &[("referer", "http://evil.example/")]),
        ("nothing said", &[]),
    ] {
        let before = ended(&gate).await.without("sec-fetch-site");
        let mut browser = fields.iter().fold(before, |browser, (name, value)| browser.with(name, value));
        let answer = send(&mut browser, "/docs", FORM, "a=b").await;
        let location = answer.location().unwrap();
        assert!(!location.contains("kept"), "{name}: {location}");
        let mut browser = Browser::new(gate.address, HOST);
        browser.cookies = before_cookies(&answer, browser.cookies.clone());
        let answer = browser.sign_in("jdoe", "Secret1234!").await;
        assert_eq!(answer.location().as_deref(), Some("/"), "{name}");
    }
    let mut old = ended(&gate).await.without("sec-fetch-site").with("referer", &format!("{ours}/docs"));
    hold(&mut old, "/docs", FORM, "a=b").await;
}

fn before_cookies(
    answer: &Answer,
    mut cookies: std::collections::BTreeMap<String, String>,
) -> std::collections::BTreeMap<String, String> {
    for line in answer.headers.get_all("set-cookie") {
        let pair = line.to_str().unwrap().split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        cookies.insert(name.to_owned(), value.to_owned());
    }
    cookies
}

#[tokio::test]
async fn what_cannot_be_kept_is_said_to_be_lost() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "hold_posts = \"4 KiB\"");
    let part = |name: &str| {
        format!(
            "------WebKitFormBoundaryAbC1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n------WebKitFormBoundaryAbC1--\r\n"
        )
    };
    for (name, kind, body) in [
        ("over the cap", FORM, format!("a={}", "x".repeat(4095))),
        ("far over the cap", FORM, format!("a={}", "x".repeat(3 << 20))),
        ("the CMS's credentials", FORM, "__ac_name=x&__ac_password=y".to_owned()),
        ("credentials in a part", MULTIPART, part("__ac_password")),
        ("a new password", FORM, "form.widgets.new_password=y".to_owned()),
        ("a new password in a part", MULTIPART, part("NewPassword")),
        ("a new password in text", "text/plain", "a=b\r\npwd=x\r\n".to_owned()),
        ("what leads to the CMS's own forms", FORM, "mail_password:method=1".to_owned()),
        ("a charset of its own", "application/x-www-form-urlencoded; charset=utf-7", "a=b".to_owned()),
    ] {
        let mut browser = ended(&gate).await;
        let answer = send(&mut browser, "/docs", kind, body).await;
        assert_eq!(answer.status, 303, "{name}");
        let location = answer.location().unwrap();
        assert!(location.contains("&kept=0"), "{name}: {location}");
        let page = browser.get(&location).await;
        assert!(page.texts(".notice")[0].contains("could not be kept"), "{name}");
        let answer = browser.submit(&location, &[("username", "jdoe"), ("password", "Secret1234!")]).await;
        assert_eq!(answer.location().as_deref(), Some("/docs"), "{name}");
    }
    let mut browser = ended(&gate).await;
    hold(&mut browser, "/docs", FORM, format!("a={}", "x".repeat(4094))).await;

    let off = Gate::with(&backend.url(), "hold_posts = \"0\"");
    let mut browser = ended(&off).await;
    assert!(!browser.cookies.contains_key("lychgate-last"));
    let answer = send(&mut browser, "/docs", FORM, "a=b").await;
    assert!(answer.location().unwrap().contains("&kept=0"));
}

#[tokio::test]
async fn who_had_no_session_signed_out_or_is_a_script_leaves_nothing() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut stranger = browser(&gate);
    let answer = send(&mut stranger, "/docs", FORM, "a=b").await;
    assert!(answer.location().unwrap().contains("&kept=0"), "nobody knows whose it would be");

    let mut signed_out = browser(&gate);
    signed_out.sign_in("jdoe", "Secret1234!").await;
    signed_out.submit("/_gate/logout", &[]).await;
    assert!(!signed_out.cookies.contains_key("lychgate-last"));
    let answer = send(&mut signed_out, "/docs", FORM, "a=b").await;
    assert!(answer.location().unwrap().contains("&kept=0"));

    // The name of another session's user does not fit this one.
    let mut swapped = ended(&gate).await;
    swapped.cookies.insert("lychgate-last".to_owned(), ended(&gate).await.cookies["lychgate-last"].clone());
    let answer = send(&mut swapped, "/docs", FORM, "a=b").await;
    assert!(answer.location().unwrap().contains("&kept=0"));

    let mut script = ended(&gate).await.without("sec-fetch-mode").with("sec-fetch-mode", "cors");
    assert_eq!(send(&mut script, "/docs", FORM, "a=b").await.status, 401);
    let mut json = ended(&gate).await;
    let answer = send(&mut json, "/docs", "application/json", "{}").await;
    assert!(!answer.location().unwrap().contains("kept"));

    // The gate's own pages, and those it takes over.
    for path in ["/_gate/account", "/_gate/held", "/login_form", "/mail_password"] {
        let mut browser = ended(&gate).await;
        let answer = send(&mut browser, path, FORM, "a=b").await;
        assert!(!answer.location().is_some_and(|location| location.contains("kept")), "{path}");
    }
}

#[tokio::test]
async fn it_is_offered_for_an_hour() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    for (wait, offered) in [(59, true), (61, false)] {
        let mut browser = ended(&gate).await;
        let location = hold(&mut browser, "/docs", FORM, "a=b").await;
        gate.clock.advance(minutes(wait));
        let answer = browser.submit(&location, &[("username", "jdoe"), ("password", "Secret1234!")]).await;
        let next = if offered { "/_gate/held" } else { "/docs" };
        assert_eq!(answer.location().as_deref(), Some(next), "after {wait} minutes");
    }
    let mut browser = ended(&gate).await;
    let location = hold(&mut browser, "/docs", FORM, "a=b").await;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    gate.clock.advance(minutes(29));
    browser.get("/docs").await;
    gate.clock.advance(minutes(29));
    browser.get("/docs").await;
    gate.clock.advance(minutes(3));
    assert_eq!(send_now(&mut browser, &page).await.status, 410, "the page stood open for too long");
    assert!(received(&backend).iter().all(|request| request.method() == "GET"));
}

#[tokio::test]
async fn it_is_sent_once_however_often_the_button_is_pressed() {
    let (arrived, arrivals) = mpsc::channel();
    let (go, going) = mpsc::channel::<()>();
    let going = Arc::new(Mutex::new(going));
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            let answer = login(&request).unwrap_or_else(|| {
                arrived.send(()).unwrap();
                going.lock().unwrap().recv().unwrap();
                ok("saved")
            });
            wire.send(answer);
        }
    });
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await;
    let location = hold(&mut browser, "/docs", FORM, "a=b").await;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    let (mut once, again) = (browser.clone(), page);
    let (action, body) = sending(&again);
    let sent = tokio::spawn(async move { send(&mut once, &action, FORM, body).await });
    tokio::task::spawn_blocking(move || arrivals.recv().unwrap()).await.unwrap();
    let busy = send_now(&mut browser, &again).await;
    assert_eq!((busy.status.as_u16(), busy.heading().as_str()), (409, "The form is being sent"));
    go.send(()).unwrap();
    assert_eq!(sent.await.unwrap().text(), "saved");
    assert_eq!(send_now(&mut browser, &again).await.status, 410);
    assert_eq!(received(&backend).len(), 1);
    assert_eq!(browser.get("/_gate/held").await.status, 410);
}

#[tokio::test]
async fn a_restart_in_between_loses_nothing() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let mut before = ended(&gate).await;
    let location = hold(&mut before, "/docs", MULTIPART, upload()).await;
    gate.restart();
    let mut after = browser(&gate);
    after.cookies = before.cookies;
    let page = sign_in(&mut after, &location, "jdoe").await;
    gate.restart();
    let mut last = browser(&gate);
    last.cookies = after.cookies;
    assert_eq!(send_now(&mut last, &page).await.text(), "ok");
    assert!(received(&backend)[0].body == upload());
}

#[tokio::test]
async fn who_discards_it_comes_back_to_the_page_and_nothing_was_sent() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await.with("referer", &format!("http://{HOST}/docs/edit?x=1"));
    hold(&mut browser, "/docs/save", FORM, "a=b").await;
    let location = hold(&mut browser, "/docs/other", FORM, "c=d").await;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    assert_eq!(page.texts(".held li").len(), 2);
    let discard = async |browser: &mut Browser, page: &Answer| {
        let action = page.links(".held form").into_iter().find(|action| action == "/_gate/held").unwrap();
        let fields = page.form();
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).unwrap().1.clone();
        browser.post(&action, &[("csrf", &field("csrf")), ("id", &field("id"))]).await
    };
    let left = discard(&mut browser, &page).await;
    assert_eq!((left.status.as_u16(), left.texts(".held li").len()), (200, 1));
    assert_eq!(left.texts(".held strong"), ["/docs/other"], "the oldest went first");
    let answer = discard(&mut browser, &left).await;
    assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/docs/edit?x=1")));
    assert_eq!(browser.get("/_gate/held").await.status, 410);
    assert!(received(&backend).is_empty());
}

#[tokio::test]
async fn what_the_rules_now_forbid_is_not_sent_and_not_lost() {
    let backend = Backend::polite();
    let mut gate = Gate::before(&backend.url());
    let mut before = ended(&gate).await;
    let location = hold(&mut before, "/docs", FORM, "a=b").await;
    gate.change(|toml| format!("{toml}[site.access]\nrules = [{{ path = \"/docs\", access = \"deny\" }}]\n"));
    let mut browser = browser(&gate);
    browser.cookies = before.cookies;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    assert_eq!(send_now(&mut browser, &page).await.status, 403);
    assert!(received(&backend).is_empty());
    let page = browser.get("/_gate/held").await;
    assert_eq!(
        (page.status.as_u16(), page.texts(".held .notice").len()),
        (200, 0),
        "it certainly was not sent"
    );
}

#[tokio::test]
async fn when_the_backend_fails_it_is_offered_again_with_a_warning_if_need_be() {
    let breaks = Arc::new(Mutex::new(true));
    let broken = Arc::clone(&breaks);
    let backend = Backend::scripted(move |wire, record| {
        while let Some(request) = wire.request() {
            record.note(&request);
            match login(&request) {
                Some(answer) => wire.send(answer),
                None if *broken.lock().unwrap() => return,
                None => wire.send(ok("saved")),
            };
        }
    });
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await;
    let location = hold(&mut browser, "/docs", FORM, "a=b").await;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    assert_eq!(send_now(&mut browser, &page).await.status, 502);
    let page = browser.get("/_gate/held").await;
    assert!(page.texts(".held .notice")[0].contains("may have been sent already"), "{}", page.text());
    *breaks.lock().unwrap() = false;
    assert_eq!(send_now(&mut browser, &page).await.text(), "saved");
}

#[tokio::test]
async fn only_the_gates_own_page_sends_it() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await;
    let location = hold(&mut browser, "/docs", FORM, "a=b").await;
    let page = sign_in(&mut browser, &location, "jdoe").await;
    let (action, body) = sending(&page);
    let mut forged = browser.clone().without("sec-fetch-site").with("sec-fetch-site", "cross-site");
    assert_eq!(send(&mut forged, &action, FORM, body.clone()).await.status, 403);
    let no_token = send(&mut browser, &action, FORM, "csrf=x").await;
    assert_eq!((no_token.status.as_u16(), no_token.heading().as_str()), (200, "Send your form?"));
    assert!(received(&backend).is_empty());
    // Signed out in between: first in, then on.
    gate.clock.advance(minutes(31));
    let answer = send(&mut browser, &action, FORM, body).await;
    assert_eq!(answer.status, 303);
    let page = sign_in(&mut browser, &answer.location().unwrap(), "jdoe").await;
    assert_eq!(send_now(&mut browser, &page).await.status, 200);
    assert_eq!(received(&backend).len(), 1);
}

#[tokio::test]
async fn one_network_cannot_fill_the_store() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "hold_posts = \"512 B\"");
    let mut browser = ended(&gate).await;
    let mut location = String::new();
    for number in 0..70 {
        gate.clock.advance(Duration::from_millis(1));
        location = hold(&mut browser, &format!("/form-{number}"), FORM, "a=b").await;
    }
    let page = sign_in(&mut browser, &location, "jdoe").await;
    let forms = page.texts(".held strong");
    assert_eq!(
        (forms.len(), forms[0].as_str(), forms[63].as_str()),
        (64, "/form-6", "/form-69"),
        "the oldest went"
    );
    // And not by bytes either: sixteen of the largest.
    let mut browser = ended(&gate).await;
    for number in 0..20 {
        gate.clock.advance(Duration::from_millis(1));
        location = hold(&mut browser, &format!("/large-{number}"), FORM, "x".repeat(512)).await;
    }
    let page = sign_in(&mut browser, &location, "jdoe").await;
    assert_eq!(page.texts(".held strong").len(), 16);
}

#[tokio::test]
async fn neither_body_nor_target_can_be_read_in_the_store() {
    let backend = Backend::polite();
    let gate = Gate::before(&backend.url());
    let mut browser = ended(&gate).await;
    hold(&mut browser, "/a-telling-path?query=telling", FORM, "field=confidential-words").await;
    let mark = browser.cookies["lychgate-form"].clone();
    let folder = gate.folder().join("var");
    let all: Vec<u8> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let holds = |part: &str| memchr::memmem::find(&all, part.as_bytes()).is_some();
    assert!(holds("jdoe"), "the test looks at the right files");
    for secret in ["telling", "confidential", mark.as_str()] {
        assert!(!holds(secret), "{secret}");
    }
}

#[test]
fn a_body_that_never_ends_is_not_waited_for_in_memory() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "hold_posts = \"4 KiB\"");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cookies = runtime.block_on(ended(&gate)).cookies;
    let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let lines = format!(
        "Cookie: {}\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nContent-Type: {FORM}\r\n",
        cookies.join("; ")
    );
    // Chunked, and 20 MiB of it: more than is read of any body that is not kept.
    let mut wire = connect(gate.address);
    wire.send(format!("POST /docs HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n{lines}\r\n"));
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let sent = (0..20).take_while(|_| wire.send(&chunk)).count();
    assert!(sent >= 15, "what a browser still sends is read, or it would never see the answer: {sent}");
    if let Some(answer) = wire.response_to("POST") {
        assert!(answer.field("location").unwrap().contains("&kept=0"));
    }
    // Of a length that says so, nothing is kept either.
    let answer = support::raw::ask(gate.address, post("/docs", &lines, vec![b'x'; 5000]));
    assert!(answer.field("location").unwrap().contains("&kept=0"));
}
