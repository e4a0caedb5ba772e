//! What own pages show.

use super::*;

const HOSTILE: &[&str] = &[
    "\"><script>evil()</script>",
    "'><img src=x onerror=evil()>",
    "</title><script>evil()</script>",
    "--><script>evil()</script>",
    "javascript:evil()",
    "{{ 7*7 }}{% for x in y %}",
    "\" autofocus onfocus=\"evil()",
    "\u{0}<script>evil()</script>",
    "%3Cscript%3Eevil()%3C/script%3E",
    "\r\nSet-Cookie: evil=1\r\n\r\n<script>evil()</script>",
    "+ADw-script+AD4-evil()+ADw-/script+AD4-",
];

fn harmless(answer: &Answer, name: &str) {
    let page = scraper::Html::parse_document(&answer.text());
    for element in page.root_element().descendants().filter_map(scraper::ElementRef::wrap) {
        assert!(
            element.value().name() != "script"
                || element.value().attr("src").is_some_and(|src| src.starts_with("/_gate/")),
            "{name}: {}",
            element.html()
        );
        for (attribute, value) in element.value().attrs() {
            assert!(!attribute.starts_with("on"), "{name}: {}", element.html());
            let leads = matches!(attribute, "href" | "src" | "action" | "formaction");
            assert!(
                !leads || value.starts_with('/') || value.starts_with('#') || value.starts_with('?'),
                "{name}: {attribute}={value}"
            );
        }
    }
    assert!(
        !answer.text().contains("49{%")
            && answer.header("set-cookie").is_none_or(|cookie| !cookie.contains("evil")),
        "{name}"
    );
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{name}: no policy"));
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{name}: {policy}");
        for (field, wanted) in [
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(field), Some(wanted), "{name}");
        }
    }
}

#[tokio::test]
async fn nothing_that_a_client_says_becomes_part_of_a_page() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let signed_in = member(&gate).await;
    let stranger = Browser::new(gate.address, HOST);
    for hostile in HOSTILE {
        let value: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
        for path in ["login", "logout", "forgot-password", "reset-password", "account", "nothing"] {
            for (who, browser) in [("stranger", &stranger), ("member", &signed_in)] {
                let query = format!(
                    "next=/{value}&username={value}&userid={value}&lang={value}&ended={value}&token={value}&error={value}"
                );
                let name = format!("{who}, {path}, {hostile:?}");
                harmless(&browser.clone().get(&format!("/_gate/{path}?{query}")).await, &name);
                harmless(
                    &browser.clone().get(&format!("/_gate/{path}/{}", value.replace('+', "%20"))).await,
                    &name,
                );
            }
        }
        for path in ["/_gate/login", "/_gate/forgot-password"] {
            let fields =
                [("username", *hostile), ("password", *hostile), ("next", *hostile), ("csrf", *hostile)];
            let name = format!("posted to {path}: {hostile:?}");
            harmless(&stranger.clone().post(path, &fields).await, &name);
            harmless(&stranger.clone().submit(path, &fields[..3]).await, &name);
        }
    }
    for (field, value) in [
        ("referer", "javascript:evil()"),
        ("user-agent", "<script>evil()</script>"),
        ("accept-language", "\"><script>evil()</script>"),
        ("x-request-id", "<script>evil()</script>"),
        ("cookie", "lychgate_lang=\"><script>evil()</script>"),
    ] {
        for path in ["/_gate/login", "/_gate/account", "/_gate/nothing", "/docs%00"] {
            harmless(&signed_in.clone().with(field, value).get(path).await, field);
        }
    }
}

#[tokio::test]
async fn a_browsers_name_is_shown_as_text() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut browser =
        Browser::new(gate.address, HOST).without("user-agent").with("user-agent", "<script>evil()</script>");
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    let page = browser.get("/_gate/account").await;
    assert_eq!(page.status, 200);
    harmless(&page, "the list of sessions");
}
