//! Who may sign in, with what, and as whom.

use crate::plone::{PASSWORD, Plone};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_passwords_mean_what_they_mean_to_plone() {
    let plone = Plone::new();
    let gate = plone.gate();
    let locked = plone.user(&["Member"]).await;
    for (what, name, password, status) in [
        ("plain", "siteadmin", PASSWORD, 303),
        ("letters beyond ASCII", "umlaut", "Pässwörd1234!", 303),
        ("the same letters in another form", "umlaut", "Pa\u{308}sswo\u{308}rd1234!", 403),
        ("without them", "umlaut", "Password1234!", 403),
        ("login name that is not the user id", "login.name", PASSWORD, 303),
        ("that user's id", "u1001", PASSWORD, 403),
        ("no role", "norole", PASSWORD, 303),
        ("another case", "SiteAdmin", PASSWORD, 403),
        ("spaces around the name", "  siteadmin ", PASSWORD, 303),
        ("spaces around the password", "siteadmin", " Secret1234! ", 403),
        ("the e-mail address", "jdoe@example.org", PASSWORD, 403),
        ("nobody", "nobody", PASSWORD, 403),
        ("a wildcard", "*", PASSWORD, 403),
        ("a group", "Administrators", PASSWORD, 403),
        ("line break in the name", "site\nadmin", PASSWORD, 403),
        ("line break after the name", "siteadmin\r\n", PASSWORD, 303),
        ("header in the name", "siteadmin\r\nX-Remote-User: admin", PASSWORD, 403),
        ("nothing in the name", "site\0admin", PASSWORD, 403),
        ("nothing in the password", "siteadmin", "Secret1234!\0", 403),
        ("fields in the name", "nobody&__ac_name=siteadmin", PASSWORD, 403),
        ("fields in the password", "siteadmin", "x&__ac_password=Secret1234!", 403),
        ("markup in the name", "<script>alert(1)</script>", PASSWORD, 403),
        ("emoji", "\u{1f600}", "\u{1f600}", 403),
        ("long name", &"x".repeat(2000), PASSWORD, 403),
        ("long password", &locked, &"x".repeat(20_000), 403),
    ] {
        let mut browser = plone.browser(&gate);
        let answer = plone.checked(browser.sign_in(name, password).await);
        assert_eq!(answer.status, status, "{what}: {}", answer.heading());
        assert!(!answer.text().contains("<script>alert"), "{what}: markup came back");
        assert_eq!(browser.get("/docs").await.status, if status == 303 { 200 } else { 302 }, "{what}");
    }
}

/// What Plone shows is what that very user sees, not just anyone who has signed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plone_takes_a_visitor_for_who_signed_in() {
    let plone = Plone::new();
    let gate = plone.gate();
    let jdoe = plone.user(&["Member"]).await;
    for (name, password, shown) in [
        ("siteadmin", PASSWORD, "Site Admin"),
        ("umlaut", "Pässwörd1234!", "Ümläut Müller"),
        ("login.name", PASSWORD, "Login Name"),
        (&jdoe, PASSWORD, &jdoe),
    ] {
        let mut browser = plone.browser(&gate);
        browser.sign_in(name, password).await;
        let page = plone.checked(browser.get("/docs").await);
        let names = page.texts("#personaltools-menulink, .personaltools-wrapper .toolbar-label");
        assert!(names.iter().any(|name| name.contains(shown)), "{name}: {names:?}");
    }
}

/// The root user is none of the site's, but Plone's own form lets them in as well; so does the gate, by the same form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_root_user_signs_in_where_plone_lets_them() {
    let plone = Plone::new();
    let gate = plone.gate();
    let mut direct = plone.directly();
    let fields = [("__ac_name", "admin"), ("__ac_password", "admin"), ("buttons.login", "Log in")];
    let plones = direct.post("/Plone/login", &fields).await.status == 302;
    let mut browser = plone.browser(&gate);
    let gates = browser.sign_in("admin", "admin").await.status == 303;
    assert_eq!(gates, plones);
    assert_eq!(plone.browser(&gate).sign_in("admin", "wrong").await.status, 403);
}

/// A script that offers a password in the way of HTTP, or in the form of any page, gets nowhere with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_goes_past_the_gates_own_page() {
    let plone = Plone::new();
    let gate = plone.gate_with("[site.access]\ndefault = \"public\"");
    let fields = [("__ac_name", "siteadmin"), ("__ac_password", PASSWORD)];
    let query = "__ac_name=siteadmin&__ac_password=Secret1234%21";

    let mut direct = plone.directly();
    let answer = direct.get(&format!("/Plone/docs?{query}")).await;
    assert!(answer.text().contains("userrole-manager"), "Plone itself takes it");

    let mut basic = plone.browser(&gate).with("authorization", "Basic c2l0ZWFkbWluOlNlY3JldDEyMzQh");
    let page = plone.checked(basic.get("/docs").await);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("userrole-anonymous"));
    let mut browser = plone.browser(&gate);
    let page = plone.checked(browser.get(&format!("/docs?{query}")).await);
    assert_eq!(page.status, 403);
    let page = plone.checked(browser.post("/docs", &fields).await);
    assert_eq!(page.status, 403);
    let page = plone.checked(browser.get("/docs").await);
    assert!(page.text().contains("userrole-anonymous"));
}

/// A cookie that Plone made is worth nothing at the gate, however it came to the browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plones_own_cookie_is_worth_nothing_at_the_gate() {
    let plone = Plone::new();
    let gate = plone.gate_with("[site.access]\ndefault = \"public\"");
    let mut direct = plone.directly();
    let fields = [("__ac_name", "siteadmin"), ("__ac_password", PASSWORD), ("buttons.login", "Log in")];
    direct.post("/Plone/login", &fields).await;
    let theirs = direct.cookies.get("__ac").expect("Plone's cookie").clone();
    assert!(direct.get("/Plone/docs").await.text().contains("userrole-manager"), "it is good");
    for name in ["__ac", " __ac", "\"__ac\"", "__ac "] {
        let mut browser = plone.browser(&gate);
        browser.cookies.insert(name.to_owned(), theirs.clone());
        let page = plone.checked(browser.get("/docs").await);
        assert!(!page.text().contains("userrole-manager"), "{name:?}");
    }
}
