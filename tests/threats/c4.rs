//! Where a client is sent.

use super::*;

const ELSEWHERE: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/%5cevil.example",
    "/%2fevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\r//evil.example",
    "/\n//evil.example",
    "%0d%0a//evil.example",
    "/%0d%0aLocation:%20//evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http:\\\\evil.example",
    "HTTPS://evil.example",
    "http://www.example.test@evil.example/",
    "http://www.example.test.evil.example/",
    "http://evil.example#www.example.test",
    "//www.example.test@evil.example",
    "@evil.example",
    ".evil.example",
    ":80@evil.example",
    "javascript:alert(1)",
    "data:text/html,evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/%2e%2e//evil.example",
    "/./\\evil.example",
    "/;@evil.example",
    "/\u{2215}evil.example",
    "\u{ff0f}\u{ff0f}evil.example",
    "//evil\u{3002}example",
    "/\u{0}/evil.example",
];

fn stays(location: Option<String>, name: &str) {
    let location = location.unwrap_or_else(|| panic!("{name}: no Location"));
    let base: url::Url = format!("http://{HOST}/_gate/login").parse().unwrap();
    assert_eq!(base.join(&location).unwrap().origin(), base.origin(), "{name}: {location}");
    assert!(location.starts_with('/') && !location.starts_with("//"), "{name}: {location}");
}

#[tokio::test]
async fn nothing_that_a_client_says_leads_elsewhere() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut signed_in = member(&gate).await;
    for elsewhere in ELSEWHERE {
        let value: String = url::form_urlencoded::byte_serialize(elsewhere.as_bytes()).collect();
        // To who is signed in already, the form answers with the way on; the CMS's own page with the gate's.
        for (name, path) in [
            ("next", format!("/_gate/login?next={value}")),
            ("came_from", format!("/login?came_from={value}")),
            ("next of the CMS", format!("/login_form?next={value}")),
            ("twice", format!("/_gate/login?next=/docs&next={value}")),
        ] {
            stays(signed_in.get(&path).await.location(), &format!("{name}: {elsewhere:?}"));
        }
        for path in ["/_gate/login", "/_gate/logout", "/_gate/forgot-password"] {
            let mut who =
                if path == "/_gate/logout" { signed_in.clone() } else { Browser::new(gate.address, HOST) };
            let page = who.get(&format!("{path}?next={value}")).await;
            for link in page.links("a, form, link, script, img") {
                stays(Some(link), &format!("a link of {path}: {elsewhere:?}"));
            }
        }
    }
    // What is posted is looked at again: a form may be filled in by anyone.
    for elsewhere in ELSEWHERE.iter().step_by(3) {
        let mut browser = Browser::new(gate.address, HOST).with("referer", "http://evil.example/");
        let fields = [("username", "jdoe"), ("password", "Secret1234!"), ("next", *elsewhere)];
        let answer = browser.submit("/_gate/login", &fields).await;
        assert_eq!(answer.status, 303, "{elsewhere:?}");
        stays(answer.location(), &format!("posted: {elsewhere:?}"));
    }
}
