//! Forms of other sites.

use super::*;

#[tokio::test]
async fn what_the_gates_own_page_did_not_send_changes_nothing() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let (mut victim, mut elsewhere) = (member(&gate).await, member(&gate).await);
    let page = victim.get("/_gate/logout").await;
    let csrf = hidden(&page, "csrf");
    let mut attacker = Browser::new(gate.address, HOST);
    let theirs = hidden(&attacker.get("/_gate/login").await, "csrf");
    let login = hidden(&Browser::new(gate.address, HOST).get("/_gate/login").await, "csrf");
    let foreign = |name, value| victim.clone().with(name, value);
    for (name, mut browser, csrf) in [
        ("no token", victim.clone(), ""),
        ("another browser's token", victim.clone(), theirs.as_str()),
        ("another form's token", victim.clone(), login.as_str()),
        ("the right token from another site", foreign("sec-fetch-site", "cross-site"), csrf.as_str()),
        ("the right token from a sibling", foreign("sec-fetch-site", "same-site"), csrf.as_str()),
        ("the right token from another origin", foreign("origin", "http://evil.example"), csrf.as_str()),
        (
            "the right token, two origins",
            foreign("origin", &format!("http://{HOST}")).with("origin", "http://evil.example"),
            csrf.as_str(),
        ),
    ] {
        for path in ["/_gate/logout", "/_gate/account", "/_gate/login", "/_gate/forgot-password"] {
            let fields = [("csrf", csrf), ("username", "jdoe"), ("password", "Secret1234!")];
            let before = browser.cookies["lychgate"].clone();
            let answer = browser.post(path, &fields).await;
            // These show themselves again.
            let shown = matches!(path, "/_gate/account" | "/_gate/logout") && answer.status == 200;
            assert!(shown || answer.status.is_client_error(), "{name}, {path}: {}", answer.status);
            assert_eq!(browser.cookies.get("lychgate"), Some(&before), "{name}, {path}");
        }
        let text = browser
            .send(
                http::Method::POST,
                "/_gate/logout",
                Some(("text/plain", format!("csrf={csrf}").into_bytes())),
            )
            .await;
        assert!(text.status.is_client_error(), "{name}: a type that pages of other sites may send");
    }
    for path in ["/_gate/logout", "/_gate/logout?csrf=x", "/logout", "/_gate/account"] {
        victim.get(path).await;
    }
    assert_eq!(victim.get("/docs").await.status, 200, "still signed in");
    assert_eq!(elsewhere.get("/docs").await.status, 200, "and so in the other browser");
    assert_eq!(victim.submit("/_gate/logout", &[]).await.status, 200);
    assert_eq!(victim.get("/docs").await.status, 302, "the gate's own form does it");
    assert!(backend.mails().is_empty());
}
