//! Where a client says it comes from.

use super::*;

/// What proxies write, in the words of somebody who is none.
const LIES: &[&str] = &[
    "X-Forwarded-For: 10.0.0.1",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Server: evil.example",
    "X-Forwarded-Proto: evil_protocol",
    "X-Forwarded-Scheme: evil_protocol",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Uri: /public/a",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Path: /public/a",
    "X-Original-URL: /public/a",
    "X-Original-URI: /public/a",
    "X-Original-Host: evil.example",
    "X-Rewrite-URL: /public/a",
    "X-Host: evil.example",
    "X-HTTP-Host-Override: evil.example",
    "X-HTTP-Method-Override: OPTIONS",
    "X-Real-IP: 10.0.0.1",
    "X-Client-IP: 10.0.0.1",
    "True-Client-IP: 10.0.0.1",
    "CF-Connecting-IP: 10.0.0.1",
    "Forwarded: for=10.0.0.1;host=evil.example;proto=evil_protocol",
    "Base-Url: http://evil.example/",
    "X-Script-Name: /evil",
];

#[test]
fn a_strangers_word_changes_nothing() {
    let backend = Backend::polite();
    let rules = "access.rules = [{ path = \"/public/**\", access = \"public\" }, { path = \"/office/**\", networks = [\"10.0.0.0/8\"], access = \"public\" }]";
    let gate = Gate::to_the_street(&backend.url(), rules);
    let gist = |answer: &Message| {
        let cookie = answer.field("set-cookie").map(|cookie| {
            let (pair, attributes) = cookie.split_once(';').unwrap();
            format!("{};{attributes}", pair.split('=').next().unwrap())
        });
        (answer.status(), answer.field("location"), cookie)
    };
    for path in ["/docs", "/office/a", "/public/a", "/_gate/login", "/_gate/logout", "/login", "/nothing"] {
        let plain = ask(gate.address, get(path, ""));
        for lie in LIES.iter().map(|lie| (*lie).to_owned()).chain([LIES.join("\r\n")]) {
            for line in [lie.clone(), lie.replace('-', "_"), lie.to_lowercase()] {
                let answer = ask(gate.address, get(path, &format!("{line}\r\n")));
                assert_eq!(gist(&answer), gist(&plain), "{path} with {line}");
                let text = answer.text();
                assert!(!text.contains("evil"), "{path} with {line}: {text}");
            }
        }
    }
}

#[test]
fn every_address_a_stranger_invents_has_the_same_limit() {
    let backend = StandIn::plone60();
    let limits = "[limits]\nsign_in = { per_client = \"3/5m\", per_account = \"1000/5m\" }\n";
    let gate = Gate::to_the_street(&backend.url(), limits);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let statuses = (0..5).map(|number| {
        let mut browser = Browser::new(gate.address, HOST)
            .with("x-forwarded-for", &format!("198.51.100.{number}"))
            .with("forwarded", &format!("for=198.51.100.{number}"))
            .with("x-real-ip", &format!("198.51.100.{number}"));
        runtime.block_on(browser.sign_in(&format!("user{number}"), "wrong")).status.as_u16()
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [403, 403, 403, 429, 429]);
}

#[test]
fn what_a_proxy_passes_on_unread_counts_for_nothing() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "access.default = \"public\"");
    let hops = |count| vec!["127.0.0.1"; count].join(", ");
    for (name, value, client) in [
        ("CVE-2024-47070", "a".to_owned(), "127.0.0.1"),
        ("empty", String::new(), "127.0.0.1"),
        ("commas", ",,,,".to_owned(), "127.0.0.1"),
        ("garbage at the right", "1.2.3.4, evil".to_owned(), "127.0.0.1"),
        ("unknown", "unknown".to_owned(), "127.0.0.1"),
        ("obfuscated", "_obf".to_owned(), "127.0.0.1"),
        ("mapped", "::ffff:1.2.3.4".to_owned(), "1.2.3.4"),
        ("brackets and port", "[::1]:1234".to_owned(), "::1"),
        ("octal", "010.0.0.1".to_owned(), "127.0.0.1"),
        ("a number", "167772161".to_owned(), "127.0.0.1"),
        ("short", "10.1".to_owned(), "127.0.0.1"),
        ("a zone", "fe80::1%eth0".to_owned(), "127.0.0.1"),
        ("quoted", "\"10.0.0.1\"".to_owned(), "127.0.0.1"),
        ("thousands of hops, all of them proxies", hops(4_000), "127.0.0.1"),
        ("an address behind thousands of hops", format!("10.0.0.1, {}", hops(4_000)), "127.0.0.1"),
    ] {
        backend.take();
        let lines = format!("X-Forwarded-For: {value}\r\nX-Forwarded-Proto: evil_protocol\r\n");
        assert_eq!(ask(gate.address, get("/a", &lines)).status(), 200, "{name}");
        let seen = &backend.take()[0];
        assert_eq!(seen.field("x-forwarded-for").as_deref(), Some(client), "{name}");
        assert!(!seen.text().contains("evil"), "{name}: {}", seen.text());
    }
}
