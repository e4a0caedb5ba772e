//! Reset links, as people follow them out of their mail.

use crate::plone::{PASSWORD, Plone};
use crate::support::browser::{Answer, Browser};

const RESET: &str = "/_gate/reset-password";
const NEW: &str = "Another pässword 7";

async fn set(browser: &mut Browser, user: &str, password: &str) -> Answer {
    browser.submit(RESET, &[("username", user), ("password", password), ("password_confirm", password)]).await
}

fn token_of(path: &str) -> &str {
    path.strip_prefix("/passwordreset/").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_works_in_each_of_its_forms() {
    let plone = Plone::new();
    let gate = plone.gate();
    for form in [
        "/passwordreset/{token}",
        "/passwordreset/{token}/",
        "/@@passwordreset/{token}",
        "/docs/passwordreset/{token}",
        "/passwordreset?key={token}",
        "/passwordreset/{token}?userid={user}",
        "/passwordreset?key={token}&userid={user}",
        "/passwordreset/{token}?utm_source=mail#top",
    ] {
        let user = plone.user(&["Member"]).await;
        let link = plone.reset_link(&user).await;
        let path = form.replace("{token}", token_of(&link)).replace("{user}", &user);
        let mut browser = plone.browser(&gate);
        let answer = plone.checked(browser.get(&path).await);
        assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some(RESET)), "{path}");
        let page = plone.checked(browser.get(RESET).await);
        assert!(!page.text().contains(token_of(&link)), "{path}: the token shows");
        let named = page.form().iter().any(|(name, value)| name == "username" && *value == user);
        assert_eq!(named, form.contains("{user}"), "{path}: the name is filled in if the link holds it");
        let done = plone.checked(set(&mut browser, &user, NEW).await);
        assert_eq!(done.status, 200, "{path}: {}", done.text());
        assert!(!browser.cookies.contains_key("__ac"), "{path}: Plone signs in by itself");
        assert_eq!(browser.get("/docs").await.status, 302, "{path}: and the gate does not");
        assert_eq!(plone.browser(&gate).sign_in(&user, PASSWORD).await.status, 403, "{path}");
        assert_eq!(plone.browser(&gate).sign_in(&user, NEW).await.status, 303, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_link_says_so_and_changes_nothing() {
    let plone = Plone::new();
    let gate = plone.gate();
    let (user, other) = (plone.user(&["Member"]).await, plone.user(&["Member"]).await);
    let used = plone.reset_link(&user).await;
    let mut browser = plone.browser(&gate);
    browser.get(&used).await;
    assert_eq!(set(&mut browser, &user, NEW).await.status, 200);
    let theirs = plone.reset_link(&other).await;
    for (what, path) in
        [("used", used.as_str()), ("bogus", "/passwordreset/0123456789abcdef0123456789abcdef")]
    {
        let (_, page) = plone.browser(&gate).follow(path).await;
        assert_eq!(plone.checked(page).status, 404, "{what} is told before a password is thought of");
    }
    let mut browser = plone.browser(&gate);
    browser.get(&theirs).await;
    let answer = plone.checked(set(&mut browser, &user, "Not this one 9").await);
    assert_eq!(answer.status, 404, "somebody else's: {}", answer.text());
    for name in [&user, &other] {
        assert_eq!(plone.browser(&gate).sign_in(name, "Not this one 9").await.status, 403, "{name}");
    }
    let (_, page) = plone.browser(&gate).follow(&theirs).await;
    assert_eq!(plone.checked(page).status, 200, "neither looking nor trying has used it up");
    for path in ["/passwordreset", "/passwordreset/", "/passwordreset/short", "/passwordreset?key=<script>"] {
        let mut browser = plone.browser(&gate);
        let (_, page) = browser.follow(path).await;
        assert_eq!(plone.checked(page).status, 400, "{path}");
    }
}

/// What Plone has against a password, in its own words and the visitor's language; the link stays good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plones_own_reason_is_shown() {
    let plone = Plone::new();
    let gate = plone.gate();
    let user = plone.user(&["Member"]).await;
    let link = plone.reset_link(&user).await;
    for language in ["en", "fr"] {
        let mut browser = plone.browser(&gate).without("accept-language").with("accept-language", language);
        browser.get(&link).await;
        let answer = plone.checked(set(&mut browser, &user, "short").await);
        assert_eq!(answer.status, 422);
        let alert = answer.texts("[role=alert]").join(" ");
        assert!(alert.contains('8') && alert.to_lowercase().contains("char"), "{language}: {alert}");
    }
    let mut browser = plone.browser(&gate);
    browser.get(&link).await;
    assert_eq!(set(&mut browser, &user, NEW).await.status, 200);
}

/// The operator may leave the form to Plone; who is signed in at the gate is nobody there all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plones_own_form_works_through_the_gate() {
    let plone = Plone::new();
    let more = "[site.password_reset]\nform = \"backend\"";
    for (hosting, signed_in) in [("", false), ("", true), ("virtual_hosting = \"rewrite\"\n", false)] {
        let gate = plone.gate_with(&format!("{hosting}{more}"));
        let user = plone.user(&["Member"]).await;
        let mut browser =
            if signed_in { plone.signed_in(&gate, "siteadmin").await } else { plone.browser(&gate) };
        let mut elsewhere = plone.signed_in(&gate, &user).await;
        assert_eq!(elsewhere.get("/docs").await.status, 200);
        let link = plone.reset_link(&user).await;
        let page = plone.checked(browser.get(&link).await);
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("userrole-anonymous"), "it is asked for as nobody");
        let (action, mut fields) = page.form_named("pwreset_action");
        for (name, value) in [("userid", user.as_str()), ("password", NEW), ("password2", NEW)] {
            fields.retain(|(known, _)| known != name);
            fields.push((name.to_owned(), value.to_owned()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let path = browser.path_of(&action);
        let done = plone.checked(browser.post(&path, &fields).await);
        assert!(matches!(done.status.as_u16(), 200 | 302), "{}", done.text());
        assert!(!browser.cookies.contains_key("__ac"), "Plone's sign-in reaches the browser");
        assert_eq!(plone.browser(&gate).sign_in(&user, NEW).await.status, 303, "the new password is set");
        assert_eq!(
            elsewhere.get("/docs").await.status,
            302,
            "and what was signed in with the old one is over"
        );
        if signed_in {
            let page = plone.checked(browser.get("/docs").await);
            assert_eq!(page.status, 200);
            assert!(
                page.texts(".toolbar-label").join(" ").contains("Site Admin"),
                "it is another's session now"
            );
        }
    }
}

/// Zope looks variables of its own up by name, `BASE0` as well as a field of a form. What somebody else's link names so moves no link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_field_of_a_query_takes_the_place_of_a_variable_that_addresses_are_made_of() {
    let plone = Plone::new();
    const EVIL: &str = "http://evil.example";
    let names = [
        "BASE0",
        "BASE1",
        "BASE2",
        "BASEPATH0",
        "BASEPATH1",
        "URL",
        "URL0",
        "URL1",
        "URLPATH0",
        "SERVER_URL",
        "ACTUAL_URL",
        "VIRTUAL_URL",
        "VIRTUAL_URL_PARTS:list",
        "VirtualRootPhysicalPath:tuple",
        "HTTP_HOST",
        "HTTP_X_FORWARDED_HOST",
        "SCRIPT_NAME",
        "_script:list",
        "base:default",
        "BASE0:record",
        "SERVER_URL:required",
    ];
    for hosting in ["", "virtual_hosting = \"rewrite\""] {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        for path in ["/", "/docs/page", "/docs/folder_contents", "/search_rss"] {
            for name in names {
                let value = if name.contains(':') && !name.contains("SERVER") { "evil" } else { EVIL };
                let answer = browser.get(&format!("{path}?{name}={value}")).await;
                let text = answer.text();
                let place = answer.location().unwrap_or_default();
                assert!(!place.starts_with(EVIL), "{hosting} {path} {name}: {place}");
                for moved in [
                    format!("=\"{EVIL}"),
                    format!("='{EVIL}"),
                    format!(">{EVIL}"),
                    format!("\"{EVIL}"),
                    "/evil/".to_owned(),
                ] {
                    assert!(!text.contains(&moved), "{hosting} {path} {name}: {moved}");
                }
            }
        }
    }
}
