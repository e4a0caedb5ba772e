//! The classes of bug that products like this one have shipped, C1 to C14, each as a table of named rows.
//!
//! What stands here is what no other file proves; `SECURITY.md` names, class by class, all the tests there are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, ask, connect, get, login, ok, post, sign_in};
use support::standin::{Canned, StandIn};

/// A browser that has signed in.
async fn member(gate: &Gate) -> Browser {
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    browser
}

/// The value of a field of a page's form.
fn hidden(page: &Answer, name: &str) -> String {
    page.form().into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
}

/// Who a client says it is.
mod c1 {
    use super::*;

    /// Every sign that some server folds into the `_` of a CGI variable.
    const SIGNS: &str = "-_.!#$%&'*+^`|~";

    /// Every spelling of a field that a backend could take for this one, with a value that tells.
    fn forged(name: &str) -> String {
        let words: Vec<&str> = name.split('-').collect();
        let mut lines = String::new();
        for sign in SIGNS.chars() {
            let all = words.join(&sign.to_string());
            let first = words.iter().skip(1).fold(words[0].to_owned(), |before, word| {
                format!("{before}{}{word}", if before.contains(sign) { '-' } else { sign })
            });
            for spelling in [&all, &first, &all.to_uppercase()] {
                lines.push_str(&format!("{spelling}: smuggled\r\n"));
            }
        }
        lines
    }

    const TOLD: &str = "identity_headers = { user = \"X-Remote-User\", groups = \"X-Staff-Groups\" }\naccess.rules = [{ path = \"/public/**\", access = \"public\" }]";

    fn backend() -> Backend {
        Backend::answering(|request| match request.target().split('?').next().unwrap() {
            _ if request.field("upgrade").is_some() => {
                "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "/public/broken" => "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            _ => ok("ok"),
        })
    }

    #[test]
    fn on_no_kind_of_request_does_a_client_say_who_it_is() {
        let backend = backend();
        let gate = Gate::to_the_street(&backend.url(), TOLD);
        let session = sign_in(gate.address);
        let page = ask(gate.address, get("/_gate/login", ""));
        let form_cookie = page.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let csrf =
            page.text().split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let form = format!("Content-Type: application/x-www-form-urlencoded\r\nCookie: {form_cookie}\r\n");
        let filled = format!("csrf={csrf}&username=jdoe&password=Secret1234!");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        let method = |name: &str, request: String| request.replacen("GET", name, 1).into_bytes();
        for name in ["X-Remote-User", "X-Staff-Groups"] {
            let lines = forged(name);
            let with = |more: &str| format!("{more}{lines}");
            for (kind, request, user) in [
                ("private, signed in", get("/docs", &with(&session)).into_bytes(), Some("jdoe")),
                ("private, nobody", get("/docs", &lines).into_bytes(), None),
                ("public, signed in", get("/public/a", &with(&session)).into_bytes(), Some("jdoe")),
                ("public, nobody", get("/public/a", &lines).into_bytes(), None),
                ("preflight", method("OPTIONS", get("/public/a", &lines)), None),
                ("preflight of a private path", method("OPTIONS", get("/docs", &lines)), None),
                ("HEAD", method("HEAD", get("/public/a", &lines)), None),
                ("WebDAV", method("PROPFIND", get("/public/a", &with("Depth: 0\r\n"))), None),
                ("a broken page", get("/public/broken", &lines).into_bytes(), None),
                ("upgrade", get("/public/a", &with(upgrade)).into_bytes(), None),
                (
                    "upgrade, signed in",
                    get("/docs", &with(&format!("{upgrade}{session}"))).into_bytes(),
                    Some("jdoe"),
                ),
                ("the sign-in page", get("/_gate/login", &lines).into_bytes(), None),
                ("a page of the gate that is not there", get("/_gate/nothing", &lines).into_bytes(), None),
                ("signing in", post("/_gate/login", &with(&form), &filled), None),
                (
                    "a form",
                    post("/public/a", &with("Content-Type: application/x-www-form-urlencoded\r\n"), "a=b"),
                    None,
                ),
            ] {
                backend.take();
                let kind = format!("{name}, {kind}");
                let answered = connect(gate.address);
                let mut wire = answered;
                wire.send(&request);
                let method = String::from_utf8_lossy(&request).split(' ').next().unwrap().to_owned();
                let answer = wire.response_to(&method).unwrap();
                assert_ne!(answer.status(), 431, "{kind}: the test sends too much");
                for seen in backend.take() {
                    assert!(!seen.text().contains("smuggled"), "{kind}: {}", seen.text());
                    assert_eq!(seen.field("x-remote-user").as_deref(), user, "{kind}");
                    assert_eq!(
                        seen.field("x-staff-groups"),
                        None,
                        "{kind}: who has no groups has no such field"
                    );
                }
            }
        }
    }

    #[test]
    fn what_the_gate_says_of_a_person_cannot_be_taken_away() {
        let backend = backend();
        let gate = Gate::to_the_street(&backend.url(), TOLD);
        let session = sign_in(gate.address);
        for (name, lines) in [
            ("nominated", "Connection: X-Remote-User\r\n"),
            ("nominated among others", "Connection: close, x-remote-user, Host, Cookie\r\n"),
            ("nominated and sent", "Connection: X-Remote-User\r\nX-Remote-User: admin\r\n"),
            ("nominated twice", "Connection: X-Remote-User\r\nConnection: X-Remote-User\r\n"),
            ("as a trailer", "TE: trailers\r\nTrailer: X-Remote-User\r\n"),
        ] {
            backend.take();
            assert_eq!(ask(gate.address, get("/docs", &format!("{lines}{session}"))).status(), 200, "{name}");
            assert_eq!(backend.take()[0].field("x-remote-user").as_deref(), Some("jdoe"), "{name}");
        }
    }
}

/// Where a client says it comes from.
mod c2 {
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
        for path in ["/docs", "/office/a", "/public/a", "/_gate/login", "/_gate/logout", "/login", "/nothing"]
        {
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
}

/// What a path means.
mod c3 {
    use super::*;

    #[test]
    fn the_spellings_of_the_advisories_lead_to_nothing_private() {
        let backend = Backend::answering(|_| ok("private"));
        let rules = "access.rules = [{ path = \"/public/**\", access = \"public\" }, { path = \"/status\", access = \"public\" }]";
        let gate = Gate::to_the_street(&backend.url(), rules);
        for (name, path) in [
            ("GHSA-7rh7: a public path in the query", "/api/private?path=/status"),
            ("GHSA-7rh7, encoded", "/api/private?path=%2Fstatus"),
            ("GHSA-pxq7: an encoded fragment", "/private%23/public/x"),
            ("CVE-2026-40912: an encoded dot", "/api%2e/admin/secret"),
            ("Traefik 3.7.3: dots behind a name", "/api../foo"),
            ("Caddy #7941", "/public/..%2fadmin/secret"),
            ("CVE-2021-32637: NUL", "/status%00/../private"),
            ("case of the rule", "/PUBLIC/x"),
            ("Unicode case folding: Kelvin", "/%E2%84%AApublic/x"),
            ("Unicode case folding: long s", "/%C5%BFtatus"),
            ("full width", "/%EF%BC%B0ublic/x"),
            ("a public name below a private one", "/private/public/x"),
            ("matrix parameters", "/private;/public/x"),
            ("matrix parameters in front", "/;/status"),
        ] {
            let answer = ask(gate.address, get(path, ""));
            assert!(matches!(answer.status(), 302 | 400), "{name}: {}", answer.line);
            assert_eq!(backend.take().len(), 0, "{name}");
        }
        for method in ["get", "Get", "gET", "head", "OPTIONs"] {
            let answer = ask(gate.address, get("/private", "").replacen("GET", method, 1));
            assert_eq!((answer.status(), backend.take().len()), (501, 0), "{method}");
        }
    }
}

/// Where a client is sent.
mod c4 {
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
                let mut who = if path == "/_gate/logout" {
                    signed_in.clone()
                } else {
                    Browser::new(gate.address, HOST)
                };
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
}

/// Cookies that are none.
mod c5 {
    use super::*;

    #[test]
    fn no_cookie_but_a_live_one_is_a_session_and_none_does_harm() {
        let backend = Backend::polite();
        let gate = Gate::to_the_street(&backend.url(), "");
        let other = Gate::to_the_street(&backend.url(), "");
        let (real, foreign) = (sign_in(gate.address), sign_in(other.address));
        let live = real.trim().split("lychgate=").nth(1).unwrap().split(';').next().unwrap().to_owned();
        backend.take();
        let mut flipped = live.clone().into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).unwrap();
        let line = |value: String| format!("Cookie: {value}\r\n");
        for (name, lines) in [
            ("none", String::new()),
            ("an empty field", line(String::new())),
            ("garbage", line("lychgate=garbage".to_owned())),
            ("no name", line("=x; =; ;;".to_owned())),
            ("no equals sign", line("lychgate".to_owned())),
            ("bytes beyond ASCII", line("lychgate=\u{e9}\u{20ac}".to_owned())),
            (
                "CVE-2024-24814: a count of chunks",
                line("lychgate_chunks=1000000; lychgate=1000000".to_owned()),
            ),
            ("chunks", line(format!("lychgate_0={}; lychgate_1={}", &live[..20], &live[20..]))),
            ("one letter changed", line(format!("lychgate={flipped}"))),
            ("cut", line(format!("lychgate={}", &live[..42]))),
            ("in capitals", line(format!("LYCHGATE={live}"))),
            ("with a prefix", line(format!("__Host-lychgate={live}"))),
            ("with another prefix", line(format!("__Secure-lychgate={live}"))),
            ("in another's value", line(format!("a=\"; lychgate={live}x"))),
            ("of another gate", foreign.clone()),
            ("of a form", line(format!("lychgate_form={live}"))),
            ("oversize", line(format!("lychgate={}", "A".repeat(50_000)))),
            ("thirty thousand", line("a=b;".repeat(15_000))),
            ("five of that name, one live", line(format!("{}lychgate={live}", "lychgate=x; ".repeat(5)))),
            ("ninety fields", line("lychgate=x".to_owned()).repeat(90)),
            ("a list", line(format!("lychgate={flipped},lychgate={live}"))),
        ] {
            let answer = ask(gate.address, get("/docs", &lines));
            assert_eq!(answer.status(), 302, "{name}: {}", answer.line);
            assert_eq!(backend.take().len(), 0, "{name}");
        }
        for (name, lines) in [
            ("as it is", real.clone()),
            ("tossed by a sibling host, first", line(format!("lychgate=planted; lychgate={live}"))),
            ("tossed by a sibling host, last", line(format!("lychgate={live}; lychgate=planted"))),
            ("twice the same", line(format!("lychgate={live}; lychgate={live}"))),
        ] {
            assert_eq!(ask(gate.address, get("/docs", &lines)).status(), 200, "{name}");
        }
    }
}

/// Guessing passwords and names.
mod c6 {
    use super::*;

    #[tokio::test]
    async fn every_spelling_of_a_name_uses_up_the_same_guesses() {
        let spellings = [
            "jdoe",
            "JDOE",
            " jdoe",
            "jdoe ",
            "\u{ff4a}doe",
            "jDoE",
            "\tjdoe",
            "jdoe\u{a0}",
            // What databases and CMSs take for the same: letters with marks, signs without width, markup.
            "jdo\u{e9}",
            "jd\u{200b}oe",
            "jd<i>oe",
            "jd%41oe",
            "jd&x;oe",
            "j_doe",
        ];
        let backend = StandIn::plone60();
        let limits = "[limits]\nsign_in = { per_client = \"1000/5m\", per_account = \"3/5m\" }\n";
        let gate = Gate::with(&backend.url(), limits);
        let mut statuses = Vec::new();
        for spelling in spellings {
            let mut browser = Browser::new(gate.address, HOST);
            statuses.push(browser.sign_in(spelling, "wrong").await.status.as_u16());
        }
        assert_eq!(statuses[..3], [403; 3], "{spellings:?}");
        assert_eq!(statuses[3..], [429; 11], "{spellings:?}");
    }
}

/// Mails and links.
mod c7 {
    use super::*;

    #[tokio::test]
    async fn no_line_end_in_a_name_reaches_a_header_of_a_mail_or_of_a_request() {
        let backend = StandIn::plone60();
        let gate = Gate::before(&backend.url());
        for (name, user) in [
            ("CR LF", "jdoe\r\nBcc: evil@evil.example"),
            ("LF", "jdoe\nBcc: evil@evil.example"),
            ("CR", "jdoe\rBcc: evil@evil.example"),
            ("NUL", "jdoe\0evil"),
            ("line separator", "jdoe\u{2028}Bcc: evil@evil.example"),
            ("next line", "jdoe\u{85}Bcc: evil@evil.example"),
        ] {
            for path in ["/_gate/forgot-password", "/_gate/login"] {
                let mut browser = Browser::new(gate.address, HOST);
                let answer = browser.submit(path, &[("username", user), ("password", user)]).await;
                assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text());
            }
            for request in backend.requests() {
                let evil = request
                    .headers
                    .values()
                    .any(|value| value.as_bytes().windows(4).any(|part| part == b"evil"));
                assert!(!evil && !request.target.contains("evil"), "{name}: {request:?}");
            }
            assert!(backend.mails().is_empty(), "{name}");
        }
    }
}

/// Tunnels.
mod c9 {
    use super::*;

    #[test]
    fn a_switch_of_protocols_that_nobody_asked_for_is_a_fault() {
        for (name, asked) in [
            ("no upgrade", ""),
            ("not announced", "Upgrade: websocket\r\n"),
            (
                "h2c",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
        ] {
            for protocol in ["websocket", "h2c"] {
                let switched = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
                );
                let backend = Backend::answering(move |_| switched.clone());
                let gate = Gate::with(&backend.url(), "access.default = \"public\"");
                let mut wire = connect(gate.address);
                wire.send(get("/a", asked));
                let answer = wire.response();
                assert_eq!(answer.status(), 502, "{name}, {protocol}");
            }
        }
    }

    #[test]
    fn an_upgrade_with_a_body_or_another_method_is_read_as_what_it_is() {
        let backend = Backend::polite();
        let gate = Gate::with(&backend.url(), "access.default = \"public\"");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n";
        let mut wire = connect(gate.address);
        wire.send(post("/a", upgrade, get("/smuggled", "")));
        wire.send(get("/b", ""));
        assert_eq!([wire.response().status(), wire.response().status()], [200, 200]);
        let seen: Vec<String> = backend.take().iter().map(|request| request.target().to_owned()).collect();
        assert_eq!(seen, ["/a", "/b"]);
    }
}

/// Forms of other sites.
mod c10 {
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
}

/// Caches in between.
mod c11 {
    use super::*;

    #[tokio::test]
    async fn what_was_for_one_person_or_one_network_is_no_caches_to_keep() {
        let backend = StandIn::plone60();
        let rules = "access.rules = [{ path = \"/office/**\", networks = [\"10.0.0.0/8\"], access = \"public\" }, { path = \"/public/**\", access = \"public\" }]";
        let gate = Gate::with(&backend.url(), rules);
        let mut member = member(&gate).await;
        let mut office = Browser::new(gate.address, HOST).with("x-forwarded-for", "10.1.1.1");
        let mut nobody = Browser::new(gate.address, HOST);
        for path in [
            "/private/x.css",
            "/private/x.js",
            "/private/profile/x.png",
            "/private/x.woff2?v=1",
            "/private/page",
        ] {
            let page = Canned::html(200, "x")
                .header("cache-control", "public, max-age=31536000, s-maxage=99")
                .header("surrogate-control", "max-age=99")
                .header("cdn-cache-control", "max-age=99")
                .header("cloudflare-cdn-cache-control", "max-age=99")
                .header("x-accel-expires", "99");
            backend.answer("x.", page.clone());
            backend.answer("page", page);
            for (name, browser, path) in [
                ("member", &mut member, path.to_owned()),
                ("network", &mut office, path.replace("private", "office")),
            ] {
                let answer = browser.get(&path).await;
                assert_eq!(answer.status, 200, "{name}, {path}");
                assert_eq!(
                    answer.header("cache-control"),
                    Some("private, max-age=31536000"),
                    "{name}, {path}"
                );
                for field in [
                    "surrogate-control",
                    "cdn-cache-control",
                    "cloudflare-cdn-cache-control",
                    "x-accel-expires",
                ] {
                    assert_eq!(answer.header(field), None, "{name}, {path}: {field}");
                }
            }
            // The deception itself: a stranger's copy must not be what a cache keeps, either.
            let answer = nobody.get(path).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 302 | 401), "{path}: {status}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            let public = nobody.get(&path.replace("private", "public")).await;
            assert_eq!(
                public.header("cache-control"),
                Some("public, max-age=31536000, s-maxage=99"),
                "what is public stays so"
            );
        }
    }

    #[tokio::test]
    async fn own_pages_are_kept_by_nobody() {
        let backend = StandIn::plone60();
        let gate = Gate::before(&backend.url());
        let mut member = member(&gate).await;
        let mut nobody = Browser::new(gate.address, HOST);
        for path in [
            "/_gate/login",
            "/_gate/forgot-password",
            "/_gate/account",
            "/_gate/logout",
            "/_gate/nothing",
            "/_gate/login/x.css",
            "/_gate/account/x.css",
            "/docs%00",
        ] {
            for browser in [&mut member, &mut nobody] {
                let answer = browser.get(path).await;
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}: {}", answer.status);
                if answer.location().is_none() {
                    assert!(answer.header("vary").unwrap().contains("Cookie"), "{path}");
                }
            }
        }
    }
}

/// What own pages show.
mod c12 {
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
            let policy =
                answer.header("content-security-policy").unwrap_or_else(|| panic!("{name}: no policy"));
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
        let mut browser = Browser::new(gate.address, HOST)
            .without("user-agent")
            .with("user-agent", "<script>evil()</script>");
        assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
        let page = browser.get("/_gate/account").await;
        assert_eq!(page.status, 200);
        harmless(&page, "the list of sessions");
    }
}

/// Steps left out, and what is filled in.
mod c13 {
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
            (
                "a name of spaces",
                vec![("csrf", csrf.as_str()), ("username", "  "), ("password", "Secret1234!")],
            ),
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
                let answer =
                    browser.send(http::Method::POST, path, Some((kind, body.as_bytes().to_vec()))).await;
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
}

/// What costs the gate more than the client.
mod c14 {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_bomb_of_the_backend_proves_nothing_and_stays_packed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&vec![b'a'; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let backend = StandIn::plone60();
        let gate = Gate::with(&backend.url(), "access.default = \"public\"");
        backend.answer("login_form", Canned::html(200, bomb.clone()).header("content-encoding", "gzip"));
        backend.answer("bomb", Canned::html(200, bomb.clone()).header("content-encoding", "gzip"));
        assert_eq!(
            Browser::new(gate.address, HOST).sign_in("jdoe", "Secret1234!").await.status,
            502,
            "proves nothing"
        );
        let answer = Browser::new(gate.address, HOST).get("/bomb").await;
        // It is looked through as it passes, and packed again.
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert!(answer.body.len() < 2 * bomb.len(), "{}: {} bytes", answer.status, answer.body.len());
    }

    #[test]
    fn a_compressed_form_is_refused_as_it_stands() {
        let backend = Backend::polite();
        let gate = Gate::with(&backend.url(), "access.default = \"public\"");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(b"__ac_name=admin&__ac_password=admin").unwrap();
        let body = encoder.finish().unwrap();
        for (kind, coding, status) in [
            ("application/x-www-form-urlencoded", "gzip", 403),
            ("application/x-www-form-urlencoded", "identity, gzip", 403),
            ("multipart/form-data; boundary=b", "deflate", 403),
            ("application/x-www-form-urlencoded", "identity", 200),
            ("application/octet-stream", "gzip", 200),
        ] {
            let lines = format!("Content-Type: {kind}\r\nContent-Encoding: {coding}\r\n");
            let answer = ask(gate.address, post("/a", &lines, &body));
            assert_eq!(answer.status(), status, "{kind}, {coding}");
            assert_eq!(backend.take().len(), usize::from(status == 200), "{kind}, {coding}");
        }
    }

    #[test]
    fn what_is_large_within_the_limits_is_answered_like_any() {
        let backend = Backend::answering(|request| login(request).unwrap_or_else(|| ok("ok")));
        let rules = "access.rules = [{ path = \"**a**a**a**a**a**b\", access = \"public\" }]";
        let gate = Gate::to_the_street(&backend.url(), rules);
        for (name, request) in [
            ("a path that rules search long", get(&format!("/{}", "a".repeat(8_000)), "")),
            ("a path of slashes", get(&format!("/{}", "a/".repeat(4_000)), "")),
            ("fields of a query", get(&format!("/?{}", "a&".repeat(16_000)), "")),
            ("fields that choose the page", get(&format!("/?{}", "x:method=1&".repeat(2_900)), "")),
            ("cookies", get("/", &format!("Cookie: {}\r\n", "lychgate=x;".repeat(5_000)))),
            ("nominations", get("/", &format!("Connection: {}\r\n", "a,".repeat(25_000)))),
            ("languages", get("/", &format!("Accept-Language: {}\r\n", "en;q=0.1,".repeat(6_000)))),
            ("conditions", get("/", &format!("If: {}\r\n", "</a> (<t>) ".repeat(5_000)))),
        ] {
            let status = ask(gate.address, request).status();
            assert!(matches!(status, 302 | 403), "{name}: {status}");
            assert_eq!(backend.take().len(), 0, "{name}");
        }
    }

    #[test]
    fn strangers_can_have_so_many_bodies_held_and_what_is_left_is_given_back() {
        let backend = Backend::polite();
        let gate = Gate::with(&backend.url(), "access.default = \"public\"");
        let head =
            format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        // Heads that all came before: what follows on each is read only when there is a place.
        let mut waiting: Vec<_> = (0..300)
            .map(|_| {
                let mut wire = connect(gate.address);
                wire.send(&head);
                wire
            })
            .collect();
        let whole = format!("{head}0\r\n\r\n");
        let refused = ask(gate.address, &whole);
        assert_eq!(refused.status(), 503, "{}", refused.text());
        assert!(refused.field("retry-after").is_some());
        assert_eq!(backend.requests().len(), 0);
        assert_eq!(
            ask(gate.address, post("/a", "", "a=b")).status(),
            200,
            "whose length is known needs no place"
        );
        let mut served = 0;
        for wire in &mut waiting {
            wire.send("0\r\n\r\n");
            served += usize::from(wire.response().status() == 200);
        }
        assert_eq!(served, 256);
        drop(waiting);
        assert_eq!(ask(gate.address, &whole).status(), 200, "there are places again");
    }
}
