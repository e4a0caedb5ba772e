//! The gate's JSON API and `auth`. Every answer is held against the description that the gate itself serves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::local::{self, GOOD, OTHER};
use support::standin::{Canned, Fault, StandIn, TokenState};

const FORGOT: &str = "/api/forgot-password";
const RESET: &str = "/api/reset-password";
const SESSION: &str = "/api/session";

fn script(gate: &Gate) -> Browser {
    Browser::new(gate.address, HOST)
        .without("sec-fetch-mode")
        .without("accept")
        .with("sec-fetch-mode", "cors")
        .with("sec-fetch-site", "same-origin")
}

/// Sends JSON and holds the answer against the description.
async fn call(browser: &mut Browser, method: Method, path: &str, body: Option<Value>) -> (Answer, Value) {
    let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
    raw(browser, method, path, body).await
}

async fn raw(
    browser: &mut Browser,
    method: Method,
    path: &str,
    body: Option<(&str, Vec<u8>)>,
) -> (Answer, Value) {
    let answer = browser.send(method.clone(), &format!("/_gate{path}"), body).await;
    let value = described(&method, path, &answer);
    (answer, value)
}

fn description() -> Value {
    serde_json::from_str(include_str!("../src/endpoints/openapi.json")).unwrap()
}

/// The answer's JSON, which is as the description says: status, headers, members, name.
fn described(method: &Method, path: &str, answer: &Answer) -> Value {
    let document = description();
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()));
    let operations = &document["paths"][path];
    let operation = match &operations[method.as_str().to_lowercase()] {
        // A method that there is not is described with those that there are.
        Value::Null => operations
            .as_object()
            .unwrap()
            .values()
            .find(|other| other["responses"]["405"].is_object())
            .unwrap(),
        operation => operation,
    };
    let response = &operation["responses"][answer.status.as_str()];
    assert!(response.is_object(), "{method} {path}: {} is not described: {value}", answer.status);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        assert!(header["required"] == json!(true) && answer.header(name).is_some(), "{path}: {name}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    for (name, expected) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")] {
        assert_eq!(answer.header(name), Some(expected), "{path}: {name}");
    }
    let mut known = Vec::new();
    conforms(&document, &response["content"]["application/json"]["schema"], &value, &mut known);
    for member in value.as_object().unwrap().keys() {
        assert!(known.contains(member), "{path}: {member} is not described");
    }
    value
}

/// As much of JSON Schema as the description uses.
fn conforms(document: &Value, schema: &Value, value: &Value, known: &mut Vec<String>) {
    if let Some(pointer) = schema["$ref"].as_str() {
        let target = document.pointer(pointer.trim_start_matches('#')).expect(pointer);
        return conforms(document, target, value, known);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(document, part, value, known);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(!value[name.as_str().unwrap()].is_null(), "{name} is missing: {value}");
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        known.push(name.clone());
        let found = &value[name];
        match member["type"].as_str() {
            _ if found.is_null() => {}
            Some("string") => assert!(found.is_string(), "{name}: {found}"),
            Some("array") => assert!(found.is_array(), "{name}: {found}"),
            Some(other) => panic!("the tests do not know {other}"),
            None => {}
        }
        if let Some(names) = member["enum"].as_array().filter(|_| !found.is_null() || name == "status") {
            assert!(names.contains(found), "{name}: {found} is none of {names:?}");
        }
    }
}

fn without_id(mut value: Value) -> Value {
    value.as_object_mut().unwrap().remove("request_id");
    value
}

#[tokio::test]
async fn a_reset_mail_is_asked_for_under_every_name_of_the_member_without_any_cookie() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    for (at, name) in ["username", "userid", "login", "email", "eMail"].into_iter().enumerate() {
        let mut script = script(&gate);
        let (answer, value) = call(&mut script, Method::POST, FORGOT, Some(json!({ name: "jdoe" }))).await;
        assert_eq!((answer.status.as_u16(), value["status"].as_str()), (200, Some("ok")), "{name}");
        assert_eq!(answer.headers.get("set-cookie"), None, "{name}");
        let request = backend.asked_for_mail(at + 1).await.pop().unwrap();
        assert_eq!(request.field("userid").as_deref(), Some("jdoe"), "{name}");
        assert_eq!(request.header("cookie"), None);
    }
}

#[tokio::test]
async fn every_outcome_is_the_same_unless_the_site_discloses_accounts() {
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let closed = Gate::before(&backend.url());
        let open = Gate::with(&backend.url(), "[site.password_reset]\ndisclose_accounts = true\n");
        let mut answers = Vec::new();
        for (user, status, code) in [
            ("jdoe", 200, "ok"),
            ("nobody", 422, "no_account"),
            ("nomail", 422, "no_account"),
            ("admin", 502, "reset_error"),
        ] {
            let input = Some(json!({ "username": user }));
            let began = Instant::now();
            let (answer, value) = call(&mut script(&closed), Method::POST, FORGOT, input.clone()).await;
            assert!(began.elapsed() >= Duration::from_millis(250), "{user}: the answer has a floor");
            let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            answers.push((user, answer.status, names, without_id(value)));
            let (answer, value) = call(&mut script(&open), Method::POST, FORGOT, input).await;
            assert_eq!((answer.status.as_u16(), value["status"].as_str()), (status, Some(code)), "{user}");
        }
        for (user, status, headers, value) in &answers {
            assert_eq!((status, headers, value), (&answers[0].1, &answers[0].2, &answers[0].3), "{user}");
        }
        let mut page = Browser::new(closed.address, HOST);
        let page = page.submit("/_gate/forgot-password", &[("username", "jdoe")]).await;
        let detail = answers[0].3["detail"].as_str().unwrap();
        assert!(page.texts("main").join(" ").contains(detail), "page and API say the same: {detail}");
        backend.fail("mail_password", Fault::Close);
        let (answer, value) =
            call(&mut script(&open), Method::POST, FORGOT, Some(json!({ "username": "jdoe" }))).await;
        assert_eq!((answer.status.as_u16(), value["status"].as_str()), (502, Some("failed_to_connect")));
    }
}

#[tokio::test]
async fn a_new_password_is_set_by_the_links_token_and_every_verdict_has_a_name() {
    for (backend, version) in [(StandIn::plone43(), "4.3"), (StandIn::plone60(), "6.0")] {
        let gate = Gate::before(&backend.url());
        let mut signed_in = Browser::new(gate.address, HOST);
        signed_in.sign_in("jdoe", "Secret1234!").await;
        for (row, state, user, password, status, code) in [
            ("short", TokenState::Good, "jdoe", "abc", 422, "rejected"),
            ("not his", TokenState::Good, "nobody", "Newpass1234!", 404, "invalid"),
            ("used", TokenState::Used, "jdoe", "Newpass1234!", 404, "invalid"),
            ("expired", TokenState::Expired, "jdoe", "Newpass1234!", 410, "expired"),
            ("good", TokenState::Good, "jdoe", "Nëw \"pass\" & 100%", 200, "ok"),
        ] {
            let token = backend.issue_token("jdoe", state);
            let input = json!({ "token": token, "username": user, "password": password });
            let (answer, value) = call(&mut script(&gate), Method::POST, RESET, Some(input)).await;
            assert_eq!(
                (answer.status.as_u16(), value["status"].as_str()),
                (status, Some(code)),
                "{version}, {row}"
            );
            assert!(!answer.text().contains(&token) && !answer.text().contains(password), "{version}, {row}");
            assert_eq!(answer.headers.get("set-cookie"), None, "{version}, {row}: nobody is signed in by it");
            if code == "rejected" {
                let detail = value["detail"].as_str().unwrap();
                assert!(detail.contains("must contain at least"), "the CMS's own reason: {detail}");
            }
        }
        assert_eq!(backend.password_of("jdoe").as_deref(), Some("Nëw \"pass\" & 100%"), "{version}");
        assert_eq!(signed_in.get("/docs").await.status, 302, "{version}: the old sessions are over");

        let token = backend.issue_token("jdoe", TokenState::Good);
        let input = json!({ "token": token, "username": "jdoe", "password": "Another1234!" });
        backend.answer("passwordreset", Canned::html(200, "<p>maintenance"));
        let (answer, value) = call(&mut script(&gate), Method::POST, RESET, Some(input.clone())).await;
        assert_eq!((answer.status.as_u16(), value["status"].as_str()), (502, Some("unknown")));
        backend.fail("passwordreset", Fault::Close);
        let (answer, value) = call(&mut script(&gate), Method::POST, RESET, Some(input)).await;
        assert_eq!((answer.status.as_u16(), value["status"].as_str()), (502, Some("failed_to_connect")));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_fields_it_lacks_and_asks_nobody() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let kind = "application/json; charset=utf-8";
    for (row, path, body, fields) in [
        ("empty object", FORGOT, "{}", json!(["username"])),
        ("blank", FORGOT, "{\"username\": \"  \"}", json!(["username"])),
        ("no text", FORGOT, "{\"username\": 5}", json!(["username"])),
        ("null", FORGOT, "{\"username\": null}", json!(["username"])),
        ("a list", FORGOT, "{\"username\": [\"jdoe\"]}", json!(["username"])),
        ("no object", FORGOT, "[\"jdoe\"]", json!([])),
        ("broken", FORGOT, "{\"username\": \"jdoe\"", json!([])),
        ("nothing", FORGOT, "", json!([])),
        ("a form", FORGOT, "username=jdoe", json!([])),
        ("too deep", FORGOT, &"[".repeat(10_000), json!([])),
        ("nothing at all", RESET, "{}", json!(["token", "username", "password"])),
        ("no password", RESET, "{\"token\": \"a\", \"login\": \"jdoe\"}", json!(["password"])),
    ] {
        let (answer, value) =
            raw(&mut script(&gate), Method::POST, path, Some((kind, body.as_bytes().to_vec()))).await;
        assert_eq!((answer.status.as_u16(), &value["fields"]), (400, &fields), "{row}");
    }
    let good = b"{\"username\":\"jdoe\"}".to_vec();
    for (row, kind, body, status) in [
        ("form", "application/x-www-form-urlencoded", b"username=jdoe".to_vec(), 415),
        ("text, as a form of another site can send it", "text/plain", good.clone(), 415),
        (
            "large",
            "application/json",
            format!("{{\"username\":\"{}\"}}", "j".repeat(70_000)).into_bytes(),
            413,
        ),
    ] {
        let (answer, _) = raw(&mut script(&gate), Method::POST, FORGOT, Some((kind, body))).await;
        assert_eq!(answer.status.as_u16(), status, "{row}");
    }
    for (path, method, allowed) in [
        (FORGOT, Method::GET, "POST"),
        (FORGOT, Method::OPTIONS, "POST"),
        (RESET, Method::PUT, "POST"),
        (SESSION, Method::POST, "GET, HEAD, DELETE"),
    ] {
        let (answer, _) = raw(&mut script(&gate), method.clone(), path, None).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
}

#[tokio::test]
async fn a_page_of_another_site_can_use_none_of_it() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut victim = Browser::new(gate.address, HOST);
    victim.sign_in("jdoe", "Secret1234!").await;
    backend.forget_requests();
    let victim = victim.without("sec-fetch-mode").with("sec-fetch-mode", "cors");
    for (row, name, value) in [
        ("another site", "sec-fetch-site", "cross-site"),
        ("a sibling", "sec-fetch-site", "same-site"),
        ("another origin", "origin", "https://evil.example"),
    ] {
        let mut page = victim.clone().with(name, value);
        for (method, path, body) in [
            (Method::POST, FORGOT, Some(json!({ "username": "jdoe" }))),
            (Method::POST, RESET, Some(json!({ "token": "a", "username": "jdoe", "password": "b" }))),
            (Method::DELETE, SESSION, None),
        ] {
            let (answer, value) = call(&mut page, method, path, body).await;
            assert_eq!(
                (answer.status.as_u16(), value["status"].as_str()),
                (403, Some("cross_site")),
                "{row}"
            );
        }
    }
    assert!(backend.requests().is_empty(), "{:?}", backend.requests());
    assert_eq!(victim.clone().get("/_gate/api/session").await.status, 200, "still signed in");
}

#[tokio::test]
async fn too_many_are_told_when_to_come_back() {
    let backend = StandIn::plone60();
    let gate = Gate::with(
        &backend.url(),
        "[limits]\nreset_request = { per_client = \"2/10m\", per_account = \"1/1h\" }\nreset_attempt = { per_client = \"1/1m\" }\n",
    );
    let mut same = Vec::new();
    for _ in 0..2 {
        let (_, value) =
            call(&mut script(&gate), Method::POST, FORGOT, Some(json!({ "username": "jdoe" }))).await;
        same.push(without_id(value));
    }
    assert_eq!(same[0], same[1], "over the account's limit looks like success");
    assert_eq!(backend.asked_for_mail(1).await.len(), 1);
    let (answer, value) =
        call(&mut script(&gate), Method::POST, FORGOT, Some(json!({ "username": "other" }))).await;
    assert_eq!((answer.status.as_u16(), value["status"].as_str()), (429, Some("limited")));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    let input = json!({ "token": "0".repeat(32), "username": "jdoe", "password": "Newpass1234!" });
    let (first, _) = call(&mut script(&gate), Method::POST, RESET, Some(input.clone())).await;
    let (second, _) = call(&mut script(&gate), Method::POST, RESET, Some(input)).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (404, 429));
}

#[tokio::test]
async fn a_script_learns_who_is_signed_in_and_signs_out_without_keeping_the_session_alive() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let (answer, value) = call(&mut script(&gate), Method::GET, SESSION, None).await;
    assert_eq!((answer.status.as_u16(), value["login"].as_str()), (401, Some("/_gate/login")));

    let mut browser = Browser::new(gate.address, HOST);
    browser.sign_in("jdoe", "Secret1234!").await;
    let (answer, value) = call(&mut browser, Method::GET, SESSION, None).await;
    assert_eq!(answer.status, 200);
    assert_eq!((value["username"].as_str(), value["site"].as_str()), (Some("jdoe"), Some("intranet")));
    assert_eq!(value["until"].as_str(), Some("2023-11-15T10:13:20Z"), "twelve hours after the test's moment");
    for _ in 0..2 {
        gate.clock.advance(Duration::from_secs(16 * 60));
        call(&mut browser, Method::GET, SESSION, None).await;
    }
    assert_eq!(browser.get("/docs").await.status, 302, "asking is no use");

    browser.sign_in("jdoe", "Secret1234!").await;
    let mut copy = browser.clone();
    let (answer, _) = call(&mut browser, Method::DELETE, SESSION, None).await;
    assert_eq!(answer.status, 200);
    assert!(!browser.cookies.contains_key("lychgate"));
    assert!(backend.requests().iter().any(|request| request.target.ends_with("/logout")), "at the CMS too");
    for browser in [&mut browser, &mut copy] {
        assert_eq!(call(browser, Method::GET, SESSION, None).await.0.status, 401);
    }
    assert_eq!(call(&mut copy, Method::DELETE, SESSION, None).await.0.status, 200, "twice does no harm");
}

#[tokio::test]
async fn another_proxy_learns_who_is_signed_in_from_the_cookie_and_from_nothing_else() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = Browser::new(gate.address, HOST);
    browser.sign_in("umlaut", "Pässwörd1234!").await;
    let (answer, value) = call(&mut browser, Method::GET, "/auth", None).await;
    assert_eq!(
        (answer.header("x-remote-user"), value["username"].as_str()),
        (Some("umlaut"), Some("umlaut"))
    );

    for (row, name, value) in [
        ("no cookie", "accept", "*/*"),
        ("an identity of its own", "x-remote-user", "jdoe"),
        ("a public path", "x-original-url", "/robots.txt"),
        ("another path", "x-forwarded-uri", "/_gate/login"),
        ("a password", "authorization", "Basic amRvZTpTZWNyZXQxMjM0IQ=="),
        ("the CMS's cookie", "cookie", "__ac=c2lnbmVkOmpkb2U%3D"),
        ("a forged cookie", "cookie", "lychgate=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        // As a person's navigation: a sub-request never redirects.
        let mut stranger = Browser::new(gate.address, HOST).with(name, value);
        let (answer, _) = call(&mut stranger, Method::GET, "/auth", None).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-remote-user")), (401, None), "{row}");
    }
    let mut spoofing = browser.clone().with("x-remote-user", "siteadmin");
    let (answer, _) = call(&mut spoofing, Method::GET, "/auth", None).await;
    assert_eq!(answer.headers.get_all("x-remote-user").iter().count(), 1);
    assert_eq!(answer.header("x-remote-user"), Some("umlaut"));
    assert!(
        backend.requests().iter().all(|request| !request.target.contains("auth")),
        "{:?}",
        backend.requests()
    );
    // It counts as use: behind that other proxy nothing else does.
    for _ in 0..3 {
        gate.clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(call(&mut browser, Method::GET, "/auth", None).await.0.status, 200);
    }
}

#[tokio::test]
async fn the_description_is_served_and_what_is_switched_off_or_not_there_is_not_found() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let answer = script(&gate).get("/_gate/api/openapi.json").await;
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), description());
    let off = Gate::with(&backend.url(), "[site.password_reset]\nenabled = false\n");
    for path in [FORGOT, RESET] {
        let (answer, value) =
            call(&mut script(&off), Method::POST, path, Some(json!({ "username": "jdoe" }))).await;
        assert_eq!((answer.status.as_u16(), value["status"].as_str()), (404, Some("not_found")), "{path}");
    }
    for path in ["/_gate/api/nothing", "/_gate/api/session/x"] {
        let answer = Browser::new(gate.address, HOST).get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, Some("application/json")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_of_the_gates_own_is_used_once_and_what_it_is_good_for_has_a_reason() {
    let backend = StandIn::plone60();
    let gate = local::gate(&backend, "");
    local::users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let (answer, _) =
        call(&mut script(&gate), Method::POST, FORGOT, Some(json!({ "email": "Jane@Example.org" }))).await;
    assert_eq!(answer.status, 200);
    let mail = loop {
        if let Some(mail) = local::mails(&gate).pop() {
            break mail;
        }
        tokio::task::yield_now().await;
    };
    let token = mail.link().split_once("token=").unwrap().1.to_owned();
    for (row, token, user, password, status, code, reason) in [
        ("no such token", "AAAA", "jane", OTHER, 404, "invalid", Some("unknown_link")),
        ("another's", token.as_str(), "nobody", OTHER, 404, "invalid", Some("unknown_link")),
        ("too short", token.as_str(), "jane", "kvq7nwz", 422, "rejected", Some("too_short")),
        ("common", token.as_str(), "jane", "Password123", 422, "rejected", Some("common")),
        ("good", token.as_str(), "jane", OTHER, 200, "ok", None),
        ("once more", token.as_str(), "jane", OTHER, 404, "invalid", Some("used")),
    ] {
        let input = json!({ "token": token, "username": user, "password": password });
        let (answer, value) = call(&mut script(&gate), Method::POST, RESET, Some(input)).await;
        let told = (answer.status.as_u16(), value["status"].as_str(), value["reason"].as_str());
        assert_eq!(told, (status, Some(code), reason), "{row}");
    }
}
