//! The reset mails: who gets one, and what a stranger can write into it.

use std::io::{Read as _, Write as _};

use crate::plone::{PASSWORD, Plone, unique};
use crate::support::browser::{Answer, Browser};
use crate::support::gate::HOST;
use crate::support::journey::without_form;

const FORGOT: &str = "/_gate/forgot-password";

async fn forgot(browser: &mut Browser, user: &str) -> Answer {
    browser.submit(FORGOT, &[("username", user)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_names_the_public_address_and_where_it_was_asked_from() {
    let plone = Plone::new();
    let gate = plone.gate();
    for (what, forwarded, client) in [
        ("nobody before the gate", &[][..], "127.0.0.1"),
        ("a proxy before the gate", &["203.0.113.9"], "203.0.113.9"),
        ("a client that wrote some itself", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("in several lines", &["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("IPv6", &["[2001:db8::7]:4711"], "2001:db8::7"),
        ("free text", &["Please visit http://evil.example/phish now"], "127.0.0.1"),
        ("free text before an address", &["visit http://evil.example/phish, 203.0.113.9"], "203.0.113.9"),
        ("free text behind one", &["203.0.113.9, visit evil.example/phish"], "127.0.0.1"),
    ] {
        let user = plone.user(&["Member"]).await;
        let mut browser = plone.browser(&gate);
        for line in forwarded {
            browser = browser.with("x-forwarded-for", line);
        }
        let answer = plone.checked(forgot(&mut browser, &user).await);
        assert_eq!(answer.status, 200, "{what}");
        let mail = plone.mail_to(&user, 1);
        assert!(mail.link().starts_with(&format!("http://{HOST}/passwordreset/")), "{what}: {}", mail.link());
        assert_eq!(mail.asked_from(), format!("Request made from IP address {client}"), "{what}");
        for word in ["evil", "phish", &plone.authority, "/Plone"] {
            assert!(!mail.text.contains(word) && !mail.raw.contains(word), "{what}: {word} in {}", mail.raw);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_header_of_a_stranger_gets_into_a_mail() {
    let plone = Plone::new();
    let gate = plone.gate();
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-server", "evil.example"),
        ("x-forwarded-proto", "evil"),
        ("x-forwarded-port", "31337"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "for=evil.example;host=evil.example;proto=evil"),
        ("x-original-url", "http://evil.example/"),
        ("x-rewrite-url", "/evil"),
        ("x-http-host-override", "evil.example"),
        ("x-host", "evil.example"),
        ("x-real-ip", "evil.example"),
        ("client-ip", "evil.example"),
        ("true-client-ip", "evil.example"),
        ("user-agent", "evil"),
        ("via", "1.1 evil.example"),
        ("accept-language", "evil"),
        ("referer", "http://evil.example/"),
    ] {
        let user = plone.user(&["Member"]).await;
        let mut browser = plone.browser(&gate).without(name).with(name, value);
        let answer = plone.checked(forgot(&mut browser, &user).await);
        assert_eq!(answer.status, 200, "{name}");
        let mail = plone.mail_to(&user, 1);
        assert!(mail.link().starts_with(&format!("http://{HOST}/passwordreset/")), "{name}: {}", mail.link());
        assert!(!mail.raw.contains("evil"), "{name}: {}", mail.raw);
        // As a port: the digits alone may stand in a `Message-Id`.
        assert!(!mail.raw.contains(":31337"), "{name}: {}", mail.raw);
    }
}

/// A host that is not the gate's is refused, however it is named, and Plone hears nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_another_host_sends_no_mail() {
    let plone = Plone::new();
    let mut gate = plone.gate();
    let user = plone.user(&["Member"]).await;
    let mut browser = plone.browser(&gate);
    let page = browser.get(FORGOT).await;
    let token = page.form().into_iter().find(|(name, _)| name == "csrf").unwrap_or_default().1;
    let cookies: Vec<String> =
        browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let body = format!("csrf={token}&username={user}");
    let send = |target: &str, hosts: &[&str]| {
        let mut request = format!("POST {target} HTTP/1.1\r\n");
        for host in hosts {
            request += &format!("Host: {host}\r\n");
        }
        request += &format!(
            "Cookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        );
        let mut stream = std::net::TcpStream::connect(gate.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let absolute = format!("http://evil.example{FORGOT}");
    for (target, hosts, status) in [
        (FORGOT, &["evil.example"][..], "421"),
        (FORGOT, &[&plone.authority], "421"),
        (FORGOT, &["www.example.test.evil.example"], "421"),
        (FORGOT, &["www.example.test:31337"], "421"),
        (FORGOT, &["www.example.test@evil.example"], "400"),
        (FORGOT, &["www.example.test, evil.example"], "400"),
        (FORGOT, &[HOST, "evil.example"], "400"),
        (FORGOT, &[], "400"),
        (&absolute, &["evil.example"], "421"),
        (&absolute, &[HOST], "400"),
    ] {
        assert_eq!(send(target, hosts), status, "{target} {hosts:?}");
    }
    // What was left to do beside the answers is done when the gate has stopped.
    gate.restart();
    assert_eq!(plone.mails_to(&user).len(), 0);
}

/// Whatever becomes of the mail, the page is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_does_not_tell_whether_a_mail_was_sent() {
    let plone = Plone::new();
    let mut gate = plone.gate();
    let user = plone.user(&["Member"]).await;
    let mut browser = plone.browser(&gate);
    let known = without_form(&forgot(&mut browser, &user).await, &user);
    plone.mail_to(&user, 1);
    let before = plone.mails().len();
    let nobody = unique("nobody");
    for user in ["nomail", "badmail", "admin", "*", "\0", &nobody, "jdoe@example.org", "Administrators"] {
        let answer = plone.checked(forgot(&mut browser, user).await);
        assert_eq!(without_form(&answer, user), known, "{user:?}");
    }
    let other = plone.user(&["Member"]).await;
    plone.refuse_mail();
    let answer = plone.checked(forgot(&mut browser, &other).await);
    gate.restart();
    plone.accept_mail();
    assert_eq!(without_form(&answer, &other), known, "the mail server refuses");
    assert_eq!(plone.mails().len(), before, "none of these got a mail");
}

/// A user is known by the name they sign in with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_name_that_is_not_the_user_id_gets_its_mail() {
    let plone = Plone::new();
    let gate = plone.gate();
    let before = plone.mails_to("u1001").len();
    forgot(&mut plone.browser(&gate), " login.name ").await;
    assert!(plone.mail_to("u1001", before + 1).link().starts_with("http://"));
}

/// Plone 6 shows its page of success to a request that carries an identity, and sends nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_asked_for_as_nobody_whoever_is_signed_in() {
    let plone = Plone::new();
    let gate = plone.gate();
    let (user, other) = (plone.user(&["Member"]).await, plone.user(&["Member"]).await);

    let mut direct = plone.directly();
    let fields = [("__ac_name", user.as_str()), ("__ac_password", PASSWORD), ("buttons.login", "Log in")];
    assert_eq!(direct.post("/Plone/login", &fields).await.status, 302);
    let answer = direct.post("/Plone/mail_password", &[("userid", user.as_str())]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(plone.mails_to(&user).len(), 0, "the trap is there");

    let mut browser = plone.signed_in(&gate, &user).await;
    browser.cookies.insert("__ac".to_owned(), direct.cookies["__ac"].clone());
    for name in [&user, &other] {
        assert_eq!(plone.checked(forgot(&mut browser, name).await).status, 200);
        plone.mail_to(name, 1);
    }
    assert_eq!(browser.get("/docs").await.status, 200, "still signed in");
}
