//! The gate's session and Plone's: what happens when they disagree.

use http::Method;
use serde_json::Value;

use crate::plone::{PASSWORD, Plone};
use crate::support::browser::Browser;

/// Plone sends a person who may not the same redirect as a stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so_and_stays_signed_in() {
    let plone = Plone::new();
    for hosting in ["", "virtual_hosting = \"rewrite\""] {
        let gate = plone.gate_with(hosting);
        for user in [plone.user(&["Member"]).await, "norole".to_owned()] {
            let mut browser = plone.signed_in(&gate, &user).await;
            for path in ["/managerspage", "/@@overview-controlpanel", "/docs/edit", "/docs/folder_contents"] {
                let answer = plone.checked(browser.get(path).await);
                assert_eq!(answer.status, 403, "{user} {path}: {:?}", answer.location());
            }
            assert_eq!(browser.get("/secretpage").await.status, 200, "{user} is still signed in");
        }
        let mut admin = plone.signed_in(&gate, "siteadmin").await;
        for path in ["/managerspage", "/@@overview-controlpanel", "/docs/folder_contents"] {
            let answer = plone.checked(admin.get(path).await);
            assert_eq!(answer.status, 200, "{hosting} {path}: {:?}", answer.location());
        }
    }
}

/// Plone's own session can end before the gate's: here the account is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_plone_no_longer_knows_must_sign_in_again() {
    let plone = Plone::new();
    let gate = plone.gate();
    let user = plone.user(&["Member"]).await;
    let mut browser = plone.signed_in(&gate, &user).await;
    assert_eq!(browser.get("/managerspage").await.status, 403);
    plone.api(Method::DELETE, &format!("@users/{user}"), Value::Null).await;
    let answer = plone.checked(browser.get("/managerspage?a=1").await);
    assert_eq!(
        (answer.status.as_u16(), answer.location().as_deref()),
        (302, Some("/_gate/login?next=/managerspage%3Fa%3D1&ended=1"))
    );
    // No loop: the session is gone here too, so the page to sign in stays.
    let (at, page) = browser.follow("/managerspage?a=1").await;
    assert!(at.starts_with("/_gate/login"), "{at}");
    assert_eq!(plone.checked(page).status, 200);
    assert_eq!(browser.sign_in(&user, PASSWORD).await.status, 403);
}

/// Signing out is the same for who has a session at both, and Plone's cookie is of no use to anybody afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_by_plones_own_link_leads_to_the_gates_page() {
    let plone = Plone::new();
    let gate = plone.gate();
    let user = plone.user(&["Member"]).await;
    let mut browser = plone.signed_in(&gate, &user).await;
    let page = plone.checked(browser.get("/docs").await);
    assert!(page.text().contains("/logout"), "Plone offers it");
    let (at, page) = browser.follow("/logout").await;
    assert_eq!((at.as_str(), page.status.as_u16()), ("/_gate/logout", 200));
    let answer = plone.checked(browser.submit("/_gate/logout", &[]).await);
    assert_eq!(answer.status, 200);
    assert_eq!(browser.get("/docs").await.status, 302);
}

/// Plone tells the browser of what was done in a cookie; it is none that signs anyone in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_that_sign_nobody_in_reach_the_browser() {
    let plone = Plone::new();
    let gate = plone.gate();
    let mut browser = plone.signed_in(&gate, "siteadmin").await;
    let answer =
        plone.checked(browser.get("/docs/holidays/content_status_modify?workflow_action=nothing").await);
    let (_, page) = browser.follow("/docs/holidays/edit").await;
    let (action, mut fields) = page.form_named("");
    fields.retain(|(name, _)| !name.starts_with("form.buttons."));
    fields.push(("form.buttons.cancel".to_owned(), "Cancel".to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let path = browser.path_of(&action);
    let cancelled = plone.checked(browser.post(&path, &fields).await);
    assert_eq!(cancelled.status, 302, "{} {}", answer.status, cancelled.text());
    assert!(browser.cookies.contains_key("statusmessages"), "{:?}", browser.cookies.keys());
    let (_, page) = browser.follow(&path_of(&cancelled.location().unwrap())).await;
    assert!(page.text().contains("cancelled"), "the message is shown");
    assert!(!browser.cookies.contains_key("statusmessages"), "and then taken away");
}

fn path_of(location: &str) -> String {
    location.strip_prefix(&format!("http://{}", crate::support::gate::HOST)).unwrap_or(location).to_owned()
}

/// Whoever knows the password sets another on the gate's page, and stays signed in there alone; Plone says what it thinks of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_changed_in_the_account_and_all_other_sessions_end() {
    const NEW: &str = "Nëw & \"100%\" {user}";
    let plone = Plone::new();
    for hosting in ["", "virtual_hosting = \"rewrite\""] {
        let gate = plone.gate_with(hosting);
        let user = plone.user(&["Member"]).await;
        let mut here = plone.signed_in(&gate, &user).await;
        let mut there = plone.browser(&gate);
        there.sign_in(&user, PASSWORD).await;
        let change = async |browser: &mut Browser, current: &str, new: &str| {
            let fields = [
                ("action", "change-password"),
                ("current_password", current),
                ("password", new),
                ("password_confirm", new),
            ];
            plone.checked(browser.submit("/_gate/account", &fields).await)
        };
        for (row, current, new, status, says) in [
            ("wrong", "Wrong1234!", NEW, 403, "not right"),
            ("too short for Plone", PASSWORD, "a", 422, "at least 8 characters"),
        ] {
            let answer = change(&mut here, current, new).await;
            assert_eq!(answer.status.as_u16(), status, "{hosting} {row}: {}", answer.text());
            assert!(answer.texts("[role=alert]").join(" ").contains(says), "{row}: {}", answer.text());
        }
        assert_eq!(there.get("/docs").await.status, 200, "nothing has happened yet");
        let done = change(&mut here, PASSWORD, NEW).await;
        assert!(done.texts("[role=status]").join(" ").contains("new password is set"), "{}", done.text());
        assert_eq!(here.get("/docs").await.status, 200);
        assert_eq!(there.get("/docs").await.status, 302, "signed out");
        assert_eq!(plone.browser(&gate).sign_in(&user, PASSWORD).await.status, 403);
        assert_eq!(plone.browser(&gate).sign_in(&user, NEW).await.status, 303);
    }
}
