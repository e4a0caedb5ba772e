//! Steps left out, and what is filled in.

use super::*;

#[tokio::test]
async fn a_step_that_is_left_out_is_not_taken() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser = Browser::new(gate.address, HOST);
    let csrf = hidden(&browser.get("/_gate/login").await, "csrf");
    for (name, fields) in [
        ("CVE-2026-49443: nothing", vec![]),
        ("a token alone", vec![("csrf", csrf.as_str())]),
        ("no password", vec![("csrf", csrf.as_str()), ("username", "jdoe")]),
        ("an empty password", vec![("csrf", csrf.as_str()), ("username", "jdoe"), ("password", "")]),
        ("no name", vec![("csrf", csrf.as_str()), ("password", "Secret1234!")]),
        ("a name of spaces", vec![("csrf", csrf.as_str()), ("username", "  "), ("password", "Secret1234!")]),
        (
            "a wrong password, then the right one",
            vec![
                ("csrf", csrf.as_str()),
                ("username", "jdoe"),
                ("password", "wrong"),
                ("password", "Secret1234!"),
            ],
        ),
        (
            "another's name, then one's own",
            vec![
                ("csrf", csrf.as_str()),
                ("username", "siteadmin"),
                ("username", "jdoe"),
                ("password", "wrong"),
            ],
        ),
    ] {
        let answer = browser.post("/_gate/login", &fields).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.status);
        assert!(!browser.cookies.contains_key("lychgate"), "{name}");
    }
    for path in [
        "/_gate/reset-password",
        "/_gate/forgot-password",
        "/_gate/account",
        "/_gate/api/reset-password",
        "/_gate/api/forgot-password",
    ] {
        for (kind, body) in [
            ("application/x-www-form-urlencoded", ""),
            ("application/json", ""),
            ("application/json", "{}"),
            ("application/json", "null"),
            ("application/json", "[]"),
        ] {
            let answer = browser.send(http::Method::POST, path, Some((kind, body.as_bytes().to_vec()))).await;
            assert!(
                answer.status.is_client_error() || answer.status.is_redirection(),
                "{path} {kind} {body}: {}",
                answer.status
            );
        }
    }
    assert!(backend.mails().is_empty());
    assert_eq!(browser.get("/docs").await.status, 302);
}

#[tokio::test]
async fn what_looks_like_a_placeholder_or_a_second_address_is_a_name() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    for name in [
        "{password}",
        "{user}{token}",
        "{{password}}",
        "{settings.x}",
        "$password",
        "%(password)s",
        "a@evil.example@good.example",
        "jdoe&__ac_name=siteadmin",
        "jdoe;id",
        "$(id)",
        "`id`",
        "../../etc/passwd",
    ] {
        let before = backend.requests().len();
        let answer = Browser::new(gate.address, HOST).sign_in(name, "Secret1234!").await;
        assert_eq!(answer.status, 403, "{name}");
        for request in &backend.requests()[before..] {
            if let Some(sent) = request.field("__ac_name") {
                assert_eq!(sent, name, "as it was typed");
                assert_eq!(request.field("__ac_password").as_deref(), Some("Secret1234!"), "{name}");
                let names = request.fields().iter().filter(|(field, _)| field == "__ac_name").count();
                assert_eq!(names, 1, "{name}");
            }
        }
    }
}
