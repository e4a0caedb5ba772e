//! Who a client says it is.

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
                assert_eq!(seen.field("x-staff-groups"), None, "{kind}: who has no groups has no such field");
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
