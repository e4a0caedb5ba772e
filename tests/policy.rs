//! Who reaches what: rules by path and network, what a visitor is told, requests that are trusted, and pages of the CMS
//! that are nobody's. What form fields do to it is in `fields.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::gate::Gate;
use support::raw::{Backend, Message, ask, get, ok, post, sign_in};

const RULES: &str = r#"access.rules = [
  { path = "/public/**", access = "public" },
  { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
  { path = "/office/**", access = "signed-in" },
  { path = "/manage**", networks = ["10.0.0.0/8"], access = "signed-in" },
  { path = "/old/**", access = "deny" },
]"#;

const SOCKET: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n";

fn backend() -> Backend {
    Backend::answering(|request| match request.field("upgrade") {
        Some(_) => "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_owned(),
        None => ok("from the backend"),
    })
}

/// How the gate treats somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Treatment {
    Passes,
    SignsInFirst,
    IsRefused,
}

fn treatment(answer: &Message, reached: usize) -> Treatment {
    match (answer.status(), reached) {
        (200 | 426, 1) => Treatment::Passes,
        (302 | 303 | 401, 0) => Treatment::SignsInFirst,
        (403, 0) => Treatment::IsRefused,
        (_, reached) => panic!("{reached} requests reached the backend: {}", answer.text()),
    }
}

#[test]
fn rules_hold_for_everyone_and_tell_everyone_in_their_own_way() {
    use Treatment::{IsRefused, Passes, SignsInFirst};
    let backend = backend();
    let gate = Gate::with(&backend.url(), RULES);
    let session = sign_in(gate.address);
    let (inside, outside) = ("X-Forwarded-For: 10.1.1.1\r\n", "X-Forwarded-For: 192.0.2.1\r\n");
    let audiences: [(&str, bool, &str); 5] = [
        ("person", false, "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"),
        ("form", true, "Sec-Fetch-Mode: navigate\r\nAccept: text/html\r\n"),
        ("script", false, "Sec-Fetch-Mode: cors\r\nAccept: */*\r\n"),
        ("script of long ago", true, "X-Requested-With: XMLHttpRequest\r\n"),
        ("WebSocket", false, SOCKET),
    ];
    for (path, network, stranger, member) in [
        ("/public/a", outside, Passes, Passes),
        ("/public", outside, Passes, Passes),
        ("/publicity", outside, SignsInFirst, Passes),
        ("/", outside, SignsInFirst, Passes),
        ("/docs", inside, SignsInFirst, Passes),
        ("/office/a", inside, Passes, Passes),
        ("/office/a", outside, SignsInFirst, Passes),
        ("/manage_main", inside, SignsInFirst, Passes),
        ("/manage_main", outside, IsRefused, IsRefused),
        ("/%6danage_main", outside, IsRefused, IsRefused),
        ("//manage", outside, IsRefused, IsRefused),
        ("/old/a", inside, IsRefused, IsRefused),
        ("/old", inside, IsRefused, IsRefused),
    ] {
        for (audience, posts, lines) in audiences {
            for (who, cookie, expected) in [("stranger", "", stranger), ("member", &*session, member)] {
                backend.take();
                let lines = format!("{network}{lines}{cookie}");
                let request = if posts { post(path, &lines, "a=b") } else { get(path, &lines).into_bytes() };
                let answer = ask(gate.address, request);
                let name = format!("{audience}, {who}, {path}");
                assert_eq!(treatment(&answer, backend.take().len()), expected, "{name}: {}", answer.text());
                let json = answer.field("content-type").as_deref() == Some("application/json");
                let location = answer.field("location");
                match (expected, audience) {
                    (Passes, _) => {}
                    (SignsInFirst, "person") => {
                        assert_eq!(answer.status(), 302, "{name}");
                        assert!(
                            location.is_some_and(|location| location.starts_with("/_gate/login?next=/")),
                            "{name}"
                        );
                    }
                    (SignsInFirst, "form") => {
                        assert_eq!(answer.status(), 303, "{name}");
                        assert!(
                            location.is_some_and(|location| location.starts_with("/_gate/login?next=/")),
                            "{name}"
                        );
                    }
                    (SignsInFirst, _) => {
                        assert_eq!((answer.status(), json, location), (401, true, None), "{name}");
                        assert!(answer.text().contains("/_gate/login?next=/"), "{name}");
                    }
                    (IsRefused, "person" | "form") => {
                        assert!(answer.text().contains("<h1"), "{name}: {}", answer.text())
                    }
                    (IsRefused, _) => assert!(json, "{name}: {}", answer.text()),
                }
            }
        }
    }
}

#[test]
fn nothing_is_public_where_nothing_says_so() {
    let backend = backend();
    let gate = Gate::before(&backend.url());
    for path in
        ["/", "/robots.txt", "/favicon.ico", "/++resource++a.css", "/@@view", "/_gat", "/_gate2/login"]
    {
        assert_eq!(ask(gate.address, get(path, "")).status(), 302, "{path}");
    }
    for cookie in ["", "lychgate=", "lychgate=x; lychgate=y", "__ac=admin", "lychgate=0123456789abcdef"] {
        let answer = ask(gate.address, get("/docs", &format!("Cookie: {cookie}\r\n")));
        assert_eq!(answer.status(), 302, "{cookie}");
    }
    assert_eq!(backend.take().len(), 0);
}

/// The marks of a trusted request, and what each may be instead.
const AGENTS: [(&str, &str); 5] = [
    ("right", "User-Agent: Mail robot/1\r\n"),
    ("absent", ""),
    ("another", "User-Agent: Mozilla/5.0\r\n"),
    ("longer", "User-Agent: Mail robot/1 (x)\r\n"),
    ("in another case", "User-Agent: MAIL robot/1\r\n"),
];
const HEADERS: [(&str, &str); 5] = [
    ("right", "X-Mail-Password: open sesame\r\n"),
    ("absent", ""),
    ("wrong", "X-Mail-Password: open\r\n"),
    ("in another case", "X-Mail-Password: Open Sesame\r\n"),
    ("under another name", "X_Mail_Password: open sesame\r\n"),
];
const NETWORKS: [(&str, &str); 3] = [
    ("right", "X-Forwarded-For: 10.9.1.1\r\n"),
    ("absent", ""),
    ("another", "X-Forwarded-For: 10.9.1.1, 192.0.2.1\r\n"),
];
const PATHS: [(&str, &str); 7] = [
    ("right", "/mail_password"),
    ("right", "/mail_password?userid=jdoe"),
    ("below", "/docs/mail_password"),
    ("deeper", "/mail_password/x"),
    ("a slash more", "/mail_password/"),
    ("a view", "/@@mail_password"),
    ("another", "/mail_password_form"),
];

fn trusting(requests: &str) -> String {
    format!(
        "{RULES}\n[site.password_reset]\nuser_agent = \"Mail robot/1\"\nheader = {{ name = \"X-Mail-Password\", value = \"open sesame\" }}\ntrusted_requests = {{ {requests}, networks = [\"10.9.0.0/16\"], paths = [\"mail_password\"] }}"
    )
}

#[test]
fn a_request_is_trusted_only_with_every_mark() {
    let backend = backend();
    for (requests, needs_agent, needs_header) in [
        ("user_agent = \"Mail robot/1\", header = true", true, true),
        ("user_agent = \"Mail robot/1\"", true, false),
        ("header = true", false, true),
    ] {
        let gate = Gate::with(&backend.url(), &trusting(requests));
        let mut trusted = 0;
        for (agent, agent_line) in AGENTS {
            for (header, header_line) in HEADERS {
                for (network, network_line) in NETWORKS {
                    for (path, target) in PATHS {
                        backend.take();
                        let lines = format!("{agent_line}{header_line}{network_line}Cookie: a=b; __ac=x\r\n");
                        let name = format!(
                            "{requests}: agent {agent}, header {header}, network {network}, {target}"
                        );
                        let answer = ask(gate.address, get(target, &lines));
                        let all = (agent == "right" || !needs_agent)
                            && (header == "right" || !needs_header)
                            && network == "right"
                            && path == "right";
                        let seen = backend.take();
                        assert_eq!(seen.len(), usize::from(all), "{name}: {}", answer.text());
                        if all {
                            trusted += 1;
                            assert_eq!(answer.status(), 200, "{name}");
                            assert_eq!(seen[0].field("cookie").as_deref(), Some("a=b"), "{name}: as nobody");
                        } else {
                            assert_eq!(answer.status(), 302, "{name}: {}", answer.text());
                        }
                    }
                }
            }
        }
        assert!(trusted >= 2, "{requests}");
    }
}

#[test]
fn a_visitors_copy_of_what_makes_a_request_trusted_never_reaches_the_backend() {
    let backend = backend();
    let gate = Gate::with(&backend.url(), &trusting("user_agent = \"Mail robot/1\", header = true"));
    let session = sign_in(gate.address);
    for (name, lines) in [
        ("agent", "User-Agent: Mail robot/1\r\n"),
        ("agent in another case", "User-Agent: mail ROBOT/1\r\n"),
        ("agent with space around", "User-Agent: \t Mail robot/1 \t\r\n"),
        ("agent twice", "User-Agent: Mail robot/1\r\nUser-Agent: Mail robot/1\r\n"),
        ("agent second", "User-Agent: Mozilla/5.0\r\nUser-Agent: Mail robot/1\r\n"),
        ("agent first", "User-Agent: Mail robot/1\r\nUser-Agent: Mozilla/5.0\r\n"),
        ("agent under another name", "User_Agent: Mail robot/1\r\nUser.Agent: Mail robot/1\r\n"),
        ("header", "X-Mail-Password: open sesame\r\n"),
        ("header twice", "X-Mail-Password: a\r\nX-Mail-Password: open sesame\r\n"),
        ("header under another name", "X_Mail_Password: open sesame\r\nX.Mail.Password: open sesame\r\n"),
        ("header in capitals", "X-MAIL-PASSWORD: open sesame\r\n"),
        ("header of the connection", "Connection: X-Mail-Password\r\nX-Mail-Password: open sesame\r\n"),
        (
            "both from the right network",
            "User-Agent: Mail robot/1\r\nX-Mail-Password: open sesame\r\nX-Forwarded-For: 10.9.1.1\r\n",
        ),
    ] {
        for (kind, request) in [
            ("public", get("/public/a", lines)),
            ("a member", get("/docs", &format!("{lines}{session}"))),
            (
                "a member posting",
                String::from_utf8(post("/docs", &format!("{lines}{session}"), "a=b")).unwrap(),
            ),
            ("an upgrade", get("/public/a", &format!("{lines}{SOCKET}"))),
        ] {
            backend.take();
            let answer = ask(gate.address, request);
            let seen = backend.take();
            assert_eq!(seen.len(), 1, "{name}, {kind}: {}", answer.text());
            let text = seen[0].text().to_ascii_lowercase();
            assert!(!text.contains("mail robot/1") && !text.contains("sesame"), "{name}, {kind}: {text}");
        }
    }
    // The agent that requests are trusted by need not be the one that the gate itself uses.
    let gate =
        Gate::with(&backend.url(), &trusting("user_agent = \"Monitor/1\"").replace("header = {", "# {"));
    backend.take();
    ask(gate.address, get("/public/a", "User-Agent: Monitor/1\r\n"));
    assert_eq!(backend.take()[0].field("user-agent"), None);
}

#[test]
fn the_cms_machinery_is_nobodys() {
    let backend = backend();
    let gate = Gate::with(&backend.url(), "access.default = \"public\"");
    let session = sign_in(gate.address);
    for path in [
        "/portal_registration/mailPassword?login=jdoe",
        "/portal_registration",
        "/docs/portal_registration/mailPassword",
        "/portal_registration/mail_password_response",
        "/%70ortal_registration/mailPassword",
        "//portal_registration//mailPassword",
        "/portal_password_reset/requestReset",
        "/@users/jdoe/reset-password",
        "/++api++/@users/jdoe/reset-password",
        "/@login",
        "/@@requestReset",
    ] {
        for (who, cookie) in [("stranger", ""), ("member", &*session)] {
            for method in ["GET", "POST", "PUT", "HEAD", "PROPFIND"] {
                backend.take();
                let lines = format!("{cookie}Connection: close\r\n");
                let mut wire = support::raw::connect(gate.address);
                wire.send(get(path, &lines).replacen("GET", method, 1));
                let answer = wire.response_to(method).expect("an answer");
                assert_eq!((answer.status(), backend.take().len()), (403, 0), "{who}: {method} {path}");
            }
        }
    }
    for path in
        ["/mail_password", "/any/content/@@mail_password", "/++view++mail_password", "/login_form", "/logout"]
    {
        for (who, cookie) in [("stranger", ""), ("member", &*session)] {
            backend.take();
            let answer = ask(gate.address, get(path, cookie));
            let location = answer.field("location").unwrap_or_default();
            assert!(location.starts_with("/_gate/"), "{who}: {path}: {}", answer.text());
            assert_eq!(ask(gate.address, post(path, cookie, "userid=jdoe")).status(), 303, "{who}: {path}");
            assert_eq!(backend.take().len(), 0, "{who}: {path}");
        }
    }
}

#[test]
fn what_zope_finds_elsewhere_is_judged_as_what_it_is() {
    use Treatment::{IsRefused, Passes, SignsInFirst};
    let backend = backend();
    let rules = |default: &str| {
        format!(
            "[site.access]\ndefault = \"{default}\"\nrules = [{{ path = \"/public/**\", access = \"public\" }}, \
             {{ path = \"/board/**\", access = \"signed-in\" }}, {{ path = \"/old/**\", access = \"deny\" }}, \
             {{ path = \"/ledger\", access = \"deny\" }}]"
        )
    };
    for default in ["public", "signed-in"] {
        let gate = Gate::with(&backend.url(), &rules(default));
        let session = sign_in(gate.address);
        // Zope looks for each name in all the folders above: seen on a real Plone 6.0 with every one of these.
        for (path, stranger, member) in [
            ("/public/a", Passes, Passes),
            ("/public/board", SignsInFirst, Passes),
            ("/public/board/a", SignsInFirst, Passes),
            ("/public/any/board/a", SignsInFirst, Passes),
            ("/public/old/a", IsRefused, IsRefused),
            ("/Plone/old/a", IsRefused, IsRefused),
            ("/Plone/Plone/public/old/a", IsRefused, IsRefused),
            ("/++etc++site/old/a", IsRefused, IsRefused),
            ("/++api++/old/a", IsRefused, IsRefused),
            ("/portal_url/board/old/a", IsRefused, IsRefused),
            ("/public/ledger", IsRefused, IsRefused),
            ("/public/x?old/a:method=1", IsRefused, IsRefused),
            // Servers in Java cut these off.
            ("/old;x=1/a", IsRefused, IsRefused),
            ("/;/old/a", IsRefused, IsRefused),
            ("/public/a;b", Passes, Passes),
        ] {
            for (who, cookie, want) in [("stranger", "", stranger), ("member", &*session, member)] {
                backend.take();
                let answer = ask(gate.address, get(path, cookie));
                assert_eq!(treatment(&answer, backend.take().len()), want, "{default}: {who} at {path}");
            }
        }
    }
}

#[test]
fn what_opens_styles_or_a_folder_opens_no_page() {
    let backend = backend();
    let gate = Gate::with(
        &format!("{}/Plone", backend.url()),
        "access.rules = [{ path = \"/++webresource++**\", access = \"public\" }, { path = \"/news/**\", access = \"public\" }]",
    );
    for (path, reached) in [
        ("/++webresource++hash/++theme++barceloneta/css/a.css", 1),
        ("/++webresource++hash/++plone++static/a.js", 1),
        ("/++webresource++x/docs/handbook", 0),
        ("/++webresource++x/%2B%2Bapi++/docs/handbook", 0),
        ("/++webresource++x/docs/++theme++barceloneta", 0),
        ("/++webresource++x", 0),
        ("/news/a", 1),
        ("/news/Plone/@@view", 0),
        ("/news/Plone/@@GET_application_json_@search?fullobjects=1", 0),
        ("/news?Plone/@@view:method=1", 0),
    ] {
        backend.take();
        ask(gate.address, get(path, ""));
        assert_eq!(backend.take().len(), reached, "{path}");
    }
}

#[test]
fn a_cms_that_acquires_nothing_has_its_rules_where_they_say() {
    let backend = backend();
    let rules = "cms = \"none\"\n[site.access]\ndefault = \"public\"\nrules = [{ path = \"/old/**\", access = \"deny\" }]";
    let gate = Gate::with(&backend.url(), rules);
    for (path, want) in [("/public/old/a", 200), ("/old/a", 403), ("/old;x/a", 403)] {
        assert_eq!(ask(gate.address, get(path, "")).status(), want, "{path}");
    }
}

#[test]
fn no_site_shows_another_one_of_the_same_zope_by_its_own_rules() {
    let backend = backend();
    let site = |name: &str, path: &str, access: &str| {
        format!(
            "[[site]]\nname = \"{name}\"\npublic_url = \"http://{name}.example.test\"\nbackend_url = \"http://{}{path}\"\n\
             [site.access]\ndefault = \"{access}\"\n",
            backend.address()
        )
    };
    let gate = Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n{}{}{}",
        site("open", "/Open", "public"),
        site("closed", "/folder/Closed", "signed-in"),
        site("within", "/Open/part", "signed-in"),
    ));
    for (host, path, status) in [
        ("open", "/docs", 200),
        ("open", "/Open/docs", 200),
        ("open", "/folder/docs", 200),
        ("open", "/part/docs", 200),
        ("open", "/folder/Closed", 403),
        ("open", "/folder/Closed/docs", 403),
        ("open", "/news/folder/Closed/docs", 403),
        ("open", "/Open/folder/x/Closed/docs", 403),
        ("open", "/docs?folder/Closed/docs:method=1", 403),
        ("closed", "/Open/docs", 403),
    ] {
        let request = get(path, "").replace(support::gate::HOST, &format!("{host}.example.test"));
        backend.take();
        let answer = ask(gate.address, request);
        assert_eq!(
            (answer.status(), backend.take().len()),
            (status, usize::from(status == 200)),
            "{host}: {path}"
        );
    }
}
