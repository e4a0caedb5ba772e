//! What is let in: raw bytes to a gate, the status that comes back, and whether anything reached the backend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use support::gate::{Gate, HOST};
use support::raw::{Backend, ask, connect, get, ok, sign_in};

const PUBLIC: &str = r#"access.rules = [
  { path = "/public/**", access = "public" },
  { path = "/robots.txt", access = "public" },
  { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
]"#;

/// Everything is public, so that only admission can refuse.
const OPEN: &str = "access.default = \"public\"";

/// One row: its name, the bytes, the status (0: whatever it is), and how many requests reach the backend.
type Row<'a> = (&'a str, String, u16, usize);

/// Sends each row on a connection of its own. What was refused may not have reached the backend, not even in part.
fn check(gate: &Gate, backend: &Backend, rows: Vec<Row<'_>>, closed: bool) {
    let mut wrong = Vec::new();
    for (name, bytes, status, reaching) in rows {
        backend.take();
        let mut wire = connect(gate.address);
        wire.send(&bytes);
        let answer = wire.response_to(bytes.split(' ').next().unwrap());
        let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
        let ended = !closed || wire.has_ended();
        let requests = backend.take();
        let smuggled = requests.iter().any(|request| request.line.contains("smuggled"));
        if answer.status() != status || requests.len() != reaching || !ended || smuggled {
            wrong.push(format!("{name}: {}; ended: {ended}; reached the backend: {requests:?}", answer.line));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_message_that_is_framed_in_two_ways_goes_nowhere_and_ends_its_connection() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let row = |name, lines: &str, body: &str| {
        (name, format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n{body}"), 400, 0)
    };
    let smuggled = format!("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let chunked = |name, line: &str| row(name, &format!("{line}\r\n"), &smuggled);
    let with_length = |name, line: &str| row(name, &format!("Content-Length: 5\r\n{line}\r\n"), &smuggled);
    let rows = vec![
        row("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        row("a list of lengths", "Content-Length: 5, 5\r\n", "hello"),
        row("signed length", "Content-Length: +5\r\n", "hello"),
        row("negative length", "Content-Length: -1\r\n", "hello"),
        row("hexadecimal length", "Content-Length: 0x5\r\n", "hello"),
        row("length with a word", "Content-Length: 5 bytes\r\n", "hello"),
        row("empty length", "Content-Length:\r\n", ""),
        row("length beyond any", "Content-Length: 184467440737095516160\r\n", "hello"),
        chunked("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        chunked("chunked twice in one line", "Transfer-Encoding: chunked, chunked"),
        chunked("comma first", "Transfer-Encoding: ,chunked"),
        chunked("comma last", "Transfer-Encoding: chunked,"),
        chunked("gzip too", "Transfer-Encoding: gzip, chunked"),
        chunked("identity", "Transfer-Encoding: identity"),
        chunked("unknown", "Transfer-Encoding: xchunked"),
        chunked("quoted", "Transfer-Encoding: \"chunked\""),
        chunked("with a parameter", "Transfer-Encoding: chunked;q=1"),
        chunked("vertical tab", "Transfer-Encoding: \x0bchunked"),
        chunked("space before the colon", "Transfer-Encoding : chunked"),
        chunked("folded", "Transfer-Encoding:\r\n chunked"),
        chunked("folded name", "X: y\r\n Transfer-Encoding: chunked"),
        with_length("underscore", "Transfer_Encoding: chunked"),
        with_length("dot", "Transfer.Encoding: chunked"),
        with_length("underscored length", "Content_Length: 0"),
        with_length("underscored host", "Host_: x\r\nContent.Length: 0"),
        with_length("NUL in a name", "Transfer\0-Encoding: chunked"),
        with_length("carriage return in a value", "X: y\rTransfer-Encoding: chunked"),
        (
            "chunked in HTTP/1.0",
            format!("POST /a HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"),
            400,
            0,
        ),
    ];
    check(&gate, &backend, rows, true);
}

#[test]
fn chunks_that_are_no_chunks_reach_nobody() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    for (name, body) in [
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("beyond any", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("too short", "3\r\nhello\r\n0\r\n\r\n"),
        ("bare line feed after the size", "5\nhello\n0\n\n"),
        ("broken off", "5\r\nhel"),
    ] {
        let mut wire = connect(gate.address);
        wire.send(format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
        wire.finish();
        let status = wire.response_to("POST").map(|answer| answer.status());
        assert!(matches!(status, None | Some(400 | 408)), "{name}: {status:?}");
        assert!(wire.has_ended(), "{name}");
        assert_eq!(backend.take().len(), 0, "{name}");
    }
}

#[test]
fn what_hyper_forgives_is_refused_before_it_sees_it() {
    // facts/stack.md: hyper ends lines at a line feed alone, drops a length beside chunks, folds equal lengths into one, cuts
    // off a fragment.
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let smuggled = format!("0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let post = |lines: &str, body: &str| format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n{body}");
    let rows = vec![
        ("line feeds alone", format!("GET /a HTTP/1.1\nHost: {HOST}\nX: y\n\n"), 400, 0),
        ("the first line's end", format!("GET /a HTTP/1.1\nHost: {HOST}\r\n\r\n"), 400, 0),
        ("one field's end", format!("GET /a HTTP/1.1\r\nX: y\nHost: {HOST}\r\n\r\n"), 400, 0),
        (
            "the empty line",
            format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\nGET /smuggled HTTP/1.1\r\n\r\n"),
            400,
            0,
        ),
        (
            "http-garden: a name and two line feeds",
            "GET /a HTTP/1.1\r\nUseless:\n\nGET /smuggled HTTP/1.1\r\n\r\n".to_owned(),
            400,
            0,
        ),
        (
            "a length, then chunks",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", &smuggled),
            400,
            0,
        ),
        (
            "chunks, then a length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", &smuggled),
            400,
            0,
        ),
        ("equal lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400, 0),
        ("a fragment", format!("GET /a#b HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400, 0),
        ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, 0),
        ("no version", "GET /a\r\n\r\n".to_owned(), 400, 0),
        ("two spaces", format!("GET  /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400, 0),
        ("a tab for a space", format!("GET\t/a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400, 0),
        ("form feed in a value", format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\nX: \x0c\r\n\r\n"), 400, 0),
        ("two empty lines first", format!("\r\n\r\nGET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), 400, 0),
    ];
    check(&gate, &backend, rows, true);
    let forgiven = vec![(
        "an empty line first (RFC 9112, section 2.2)",
        format!("\r\nGET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        200,
        1,
    )];
    check(&gate, &backend, forgiven, false);
}

#[test]
fn a_refused_head_is_answered_in_its_turn_and_nothing_behind_it_is_read() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let good = format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let bad = format!("GET /b HTTP/1.1\nHost: {HOST}\n\n");
    let mut wire = connect(gate.address);
    wire.send(format!("{good}{good}{bad}{good}"));
    let answers = [wire.response(), wire.response(), wire.response()];
    assert_eq!(answers.each_ref().map(|answer| answer.status()), [200, 200, 400]);
    let page = &answers[2];
    assert!(page.line.starts_with("HTTP/1.1 "), "{}", page.line);
    let id = page.field("x-request-id").unwrap();
    assert!(page.text().contains("<h1") && page.text().contains(&id), "a page of the gate: {}", page.text());
    assert!(wire.has_ended());
    assert_eq!(backend.take().len(), 2);
}

#[test]
fn heads_and_bodies_may_come_in_any_pieces() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let chunked = format!(
        "POST /a HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n"
    );
    let known = format!("POST /b HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
    let all = format!("{chunked}{known}{chunked}");
    for size in [1, 2, 7, 64, 4096] {
        let mut wire = connect(gate.address);
        for piece in all.as_bytes().chunks(size) {
            wire.send(piece);
        }
        assert_eq!(
            [wire.response().status(), wire.response().status(), wire.response().status()],
            [200; 3],
            "{size}"
        );
        let bodies: Vec<_> = backend.take().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies, [b"hello", b"hello", b"hello"], "{size}");
    }
}

#[test]
fn a_request_names_its_host_once_and_it_is_ours() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let host = |name, host: &str, status| {
        let reaches = usize::from(status == 200);
        (name, format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n"), status, reaches)
    };
    let target = |name, target: &str, status| {
        let reaches = usize::from(status == 200);
        (name, format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), status, reaches)
    };
    let closing = vec![
        ("no host", "GET /a HTTP/1.1\r\n\r\n".to_owned(), 400, 0),
        ("no host in HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n".to_owned(), 400, 0),
        ("two hosts", format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\n\r\n"), 400, 0),
        ("two equal hosts", format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n"), 400, 0),
        ("folded host", "GET /a HTTP/1.1\r\nHost:\r\n www.example.test\r\n\r\n".to_owned(), 400, 0),
        host("empty", "", 400),
        host("user information", "evil@www.example.test", 400),
        host("path", "www.example.test/x", 400),
        host("list", "www.example.test, evil.example", 400),
        host("port twice", "www.example.test:80:80", 400),
        host("port too large", "www.example.test:99999", 400),
        host("port of letters", "www.example.test:http", 400),
        host("encoded", "www%2eexample.test", 400),
        host("space inside", "www.example.test evil", 400),
        target("absolute, another host", "http://evil.example/a", 400),
        target("absolute, user information", "http://x@www.example.test/a", 400),
        target("absolute, other scheme", "gopher://www.example.test/a", 400),
        target("absolute, host with a port it does not say", "http://www.example.test:81/a", 400),
    ];
    check(&gate, &backend, closing, true);
    let answered = vec![
        host("as configured", HOST, 200),
        host("in capitals", "WWW.EXAMPLE.TEST", 200),
        host("with a dot at the end", "www.example.test.", 200),
        host("with its port", "www.example.test:80", 200),
        host("with another port", "www.example.test:8080", 421),
        host("unknown", "evil.example", 421),
        host("longer", "www.example.test.evil.example", 421),
        host("shorter", "example.test", 421),
        host("an address", "127.0.0.1", 421),
        target("absolute, the same host", "http://www.example.test/a", 200),
    ];
    check(&gate, &backend, answered, false);
}

#[test]
fn only_methods_with_a_meaning_pass() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let row = |method: &'static str, status| {
        let reaches = usize::from(status == 200);
        (method, format!("{method} /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), status, reaches)
    };
    let passing = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "LOCK"];
    check(&gate, &backend, passing.map(|method| row(method, 200)).to_vec(), false);
    let refused = ["get", "FOO", "TRACE", "TRACK", "DEBUG", "PRI", "PURGE", "BREW"];
    check(&gate, &backend, refused.map(|method| row(method, 501)).to_vec(), true);
    let connect = format!("CONNECT www.example.test:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let star = format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    check(&gate, &backend, vec![("CONNECT", connect, 501, 0)], true);
    check(&gate, &backend, vec![("OPTIONS *", star, 200, 1)], false);
    let expect = get("/a", "Expect: foo\r\n");
    check(&gate, &backend, vec![("an expectation that nobody knows", expect, 417, 0)], true);
}

#[test]
fn sizes_have_bounds() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let fields = |count| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    let of = |size| "a".repeat(size);
    check(
        &gate,
        &backend,
        vec![
            ("a long path", get(&format!("/{}", of(8 * 1024 - 1)), ""), 200, 1),
            ("a path too long", get(&format!("/{}", of(8 * 1024)), ""), 414, 0),
            ("a long query", get(&format!("/?{}", of(32 * 1024)), ""), 200, 1),
            ("a query too long", get(&format!("/?{}", of(32 * 1024 + 1)), ""), 414, 0),
            ("a target beyond any", get(&format!("/{}", of(70 * 1024)), ""), 414, 0),
            ("a hundred fields", get("/a", &fields(99)), 200, 1),
            ("a hundred and one", get("/a", &fields(100)), 431, 0),
            ("a large field", get("/a", &format!("X: {}\r\n", of(60 * 1024))), 200, 1),
            ("a field too large", get("/a", &format!("X: {}\r\n", of(500 * 1024))), 431, 0),
        ],
        false,
    );
}

#[test]
fn nobody_but_the_gate_tells_zope_its_public_address() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    for path in [
        "/VirtualHostBase/https/evil.example:443/Plone/VirtualHostRoot/mail_password",
        "/VirtualHostRoot/a",
        "/a/VirtualHostRoot/b",
        "/_vh_x/a",
        "/a/_vh_",
        "/++vh++https:evil.example:443/++/a",
        "/%56irtualHostBase/https/evil.example:443/a",
        "/VirtualHost%42ase/a",
        "/virtualhostbase/a",
        "/%5fvh_x/a",
        "/%2b%2bvh%2b%2bhttps:evil.example:443/",
        "/a;x/../VirtualHostRoot",
    ] {
        assert_eq!(ask(gate.address, get(path, "")).status(), 400, "{path}");
    }
    assert_eq!(backend.take().len(), 0);
}

/// Every spelling of a field that a backend could take for this one.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_ascii_uppercase(), name.to_ascii_lowercase()];
    for separator in ["_", "."] {
        all.push(name.replace('-', separator));
        all.push(name.replacen('-', separator, 1));
        all.push(name.to_ascii_uppercase().replace('-', separator));
    }
    all
}

#[test]
fn no_spelling_of_an_identity_or_forwarding_field_reaches_the_backend() {
    // C1: CVE-2025-64484 and its like, on every kind of request there is.
    let backend = Backend::answering(|request| match request.field("upgrade") {
        Some(_) => "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n".to_owned(),
        None => ok("ok"),
    });
    let gate = Gate::to_the_street(&backend.url(), PUBLIC);
    let session = sign_in(gate.address);
    let names = [
        "X-Remote-User",
        "Remote-User",
        "X-Remote-Group",
        "X-Auth-Request-User",
        "X-Webauth-User",
        "SSL-Client-S-DN",
        "X-SSL-Client-Cert",
        "X-Client-Cert",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-Uri",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-Host",
        "X-Original-URI",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Host",
        "X-Request-Id",
        "Proxy-Authorization",
        "X-Accel-Redirect",
        "X-URL-Scheme",
        "Front-End-Https",
        "Client-IP",
    ];
    let single = ["Forwarded", "Authorization", "Proxy", "Via"];
    for name in names.iter().chain(&single) {
        let smuggled: String = spellings(name).iter().map(|name| format!("{name}: smuggled\r\n")).collect();
        let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        for (kind, request) in [
            ("public", get("/public/a", &smuggled)),
            ("private, signed in", get("/docs", &format!("{session}{smuggled}"))),
            ("twice", get("/public/a", &smuggled.repeat(2))),
            ("nominated as hop-by-hop", get("/public/a", &format!("Connection: {name}\r\n{smuggled}"))),
            ("preflight", get("/public/a", &smuggled).replacen("GET", "OPTIONS", 1)),
            ("upgrade", get("/public/a", &format!("{websocket}{smuggled}"))),
        ] {
            backend.take();
            let status = ask(gate.address, request).status();
            let seen = backend.take();
            assert_eq!(seen.len(), 1, "{name}, {kind}: {status}");
            assert!(!seen[0].text().contains("smuggled"), "{name}, {kind}: {}", seen[0].text());
        }
        let status = ask(gate.address, get("/docs", &smuggled)).status();
        assert_eq!((status, backend.take().len()), (302, 0), "{name} opens nothing");
    }
}

#[test]
fn trailers_are_not_fields() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), OPEN);
    let head = format!("POST /a HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: X-Remote-User\r\n");
    let body =
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Remote-User: admin\r\nCookie: a=b\r\n\r\n";
    assert_eq!(ask(gate.address, format!("{head}{body}")).status(), 200);
    let seen = backend.take();
    assert_eq!((seen[0].body.as_slice(), seen[0].field("content-length")), (&b"hello"[..], Some("5".into())));
    for name in ["x-remote-user", "cookie", "te", "trailer", "transfer-encoding"] {
        assert_eq!(seen[0].field(name), None, "{name}");
    }
}

#[test]
fn a_connection_field_cannot_take_away_what_the_gate_writes() {
    let backend = Backend::polite();
    let gate = Gate::to_the_street(&backend.url(), PUBLIC);
    let session = sign_in(gate.address);
    backend.take();
    let nominated =
        "Connection: Cookie, Host, X-Forwarded-For, X-Forwarded-Host, X-Request-Id, Forwarded, close\r\n";
    assert_eq!(ask(gate.address, get("/docs", &format!("{nominated}{session}"))).status(), 200);
    let seen = &backend.take()[0];
    assert_eq!(
        seen.field("cookie").as_deref(),
        Some("__ac=sealed"),
        "the CMS's sign-in, and no cookie of ours"
    );
    assert_eq!(seen.field("host"), Some(backend.address().to_string()));
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-host").as_deref(), Some(HOST));
    assert_eq!(seen.field("connection"), None);
}

#[test]
fn only_a_trusted_proxy_says_who_the_client_is() {
    let backend = Backend::polite();
    let street = Gate::to_the_street(&backend.url(), PUBLIC);
    let behind = Gate::with(&backend.url(), PUBLIC);
    for (name, gate, lines, client) in [
        ("a stranger says", &street, "X-Forwarded-For: 10.1.1.1\r\n", "127.0.0.1"),
        ("a proxy says", &behind, "X-Forwarded-For: 10.1.1.1\r\n", "10.1.1.1"),
        ("the rightmost counts", &behind, "X-Forwarded-For: 10.1.1.1, 192.0.2.7\r\n", "192.0.2.7"),
        (
            "lines are a list",
            &behind,
            "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 192.0.2.7\r\n",
            "192.0.2.7",
        ),
        ("CVE-2024-47070: no address", &behind, "X-Forwarded-For: a\r\n", "127.0.0.1"),
        ("no address at the right", &behind, "X-Forwarded-For: 10.1.1.1, evil\r\n", "127.0.0.1"),
        ("empty", &behind, "X-Forwarded-For:\r\n", "127.0.0.1"),
        ("obfuscated", &behind, "X-Forwarded-For: unknown, _obf\r\n", "127.0.0.1"),
        ("mapped", &behind, "X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"),
        ("port", &behind, "X-Forwarded-For: [2001:db8::1]:1234\r\n", "2001:db8::1"),
        ("alias", &behind, "X_Forwarded_For: 10.1.1.1\r\n", "127.0.0.1"),
        ("another field", &behind, "X-Real-IP: 10.1.1.1\r\nForwarded: for=10.1.1.1\r\n", "127.0.0.1"),
    ] {
        backend.take();
        let lines = format!("{lines}X-Forwarded-Proto: evil\r\nX-Forwarded-Host: evil.example\r\n");
        assert_eq!(ask(gate.address, get("/public/a", &lines)).status(), 200, "{name}");
        let seen = &backend.take()[0];
        assert_eq!(seen.field("x-forwarded-for").as_deref(), Some(client), "{name}");
        assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("http"), "{name}");
        assert_eq!(seen.field("x-forwarded-host").as_deref(), Some(HOST), "{name}");
        assert_eq!(seen.field("forwarded").map(|line| line.matches("for=").count()), Some(1), "{name}");
        let office = ask(gate.address, get("/office/a", &lines)).status();
        assert_eq!(office == 200, client == "10.1.1.1", "{name}: {office}");
    }
}

/// What backends of all sorts might take a path for: decoded once or twice, with backslashes, parameters and ends cut off.
fn readings(path: &str) -> BTreeSet<String> {
    let mut readings = BTreeSet::new();
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let overlong = path.replace("%C0%AE", ".").replace("%C0%AF", "/").replace("%E0%80%AE", ".");
    for text in [path.to_owned(), decode(path), decode(&decode(path)), decode(&overlong)] {
        for text in
            [text.clone(), text.replace('\\', "/"), text.split(['\0', '#', '?']).next().unwrap().to_owned()]
        {
            for cut in [false, true] {
                let mut segments: Vec<&str> = Vec::new();
                for segment in text.split('/') {
                    let segment = if cut { segment.split(';').next().unwrap() } else { segment };
                    match segment {
                        "" | "." => {}
                        ".." => drop(segments.pop()),
                        segment => segments.push(segment),
                    }
                }
                readings.insert(format!("/{}", segments.join("/")).to_lowercase());
            }
        }
    }
    readings
}

/// Spellings by which some reader somewhere gets from the public to the private.
fn bypasses() -> Vec<String> {
    let dots = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "%252e%252e",
        "..;",
        "..;a=b",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "..%00",
        "..%20",
        "...",
        "..%0d%0a",
        "..%09",
        "%uff0e%uff0e",
        "%ef%bc%8e%ef%bc%8e",
        "..\\",
        "..%5c",
        "%2e%2e%2f",
        ".",
    ];
    let slashes = ["/", "%2f", "%2F", "%5c", "\\", "%252f", "//", "/./", "%c0%af", ";/", "%ef%bc%8f", "/;/"];
    let mut all = Vec::new();
    for start in ["/public", "//public", "/public/x", "/public;a=b", "/robots.txt"] {
        for dots in dots {
            for slash in slashes {
                all.push(format!("{start}{slash}{dots}{slash}private/secret"));
            }
        }
    }
    for (before, after) in
        [("", "?/public/"), ("", "%3f/public/"), ("", "%23/../public/a"), ("", "#/public/")]
    {
        all.push(format!("{before}/private/secret{after}"));
    }
    for other in [
        "/%70rivate/secret",
        "//private/secret",
        "/./private/secret",
        "/private//secret",
        "/private/secret/",
        "/private/secret;/public",
        "/private%2fsecret",
        "/PRIVATE/secret",
        "/private/secret%00/public",
        "/private/secret%20",
        "/private/./secret",
        "/%2fprivate/secret",
        "/public%2f..%2f..%2fprivate/secret",
        "/public/%2e%2e%3b/private/secret",
        "/robots.txt/private/secret",
        "/robots.txt;/private/secret",
        "/private/secret?path=/public/",
        "http://www.example.test/private/secret",
    ] {
        all.push(other.to_owned());
    }
    all
}

#[test]
fn no_spelling_of_a_private_url_gets_private_content() {
    // C3: CVE-2026-40912, CVE-2026-95811, GHSA-pxq7, Caddy #7941. The backend reads as leniently as any.
    let backend = Backend::answering(|request| {
        let path = request.target().split('?').next().unwrap().to_owned();
        let private = readings(&path).iter().any(|path| path.starts_with("/private"));
        ok(if private { "what only members may read" } else { "public" })
    });
    let gate = Gate::to_the_street(&backend.url(), PUBLIC);
    let all = bypasses();
    assert!(all.len() > 1000, "{}", all.len());
    let mut passed = 0;
    for path in all {
        backend.take();
        let answer = ask(gate.address, get(&path, ""));
        assert!(!answer.text().contains("only members"), "{path}: {}", answer.text());
        assert!(matches!(answer.status(), 200 | 302 | 400), "{path}: {}", answer.text());
        let seen = backend.take();
        assert_eq!(seen.len(), usize::from(answer.status() == 200), "{path}");
        for request in seen {
            passed += 1;
            let public =
                |path: &str| path.starts_with("/public/") || path == "/public" || path == "/robots.txt";
            let target = request.target();
            assert!(public(target), "{path} went on as {target}");
            assert!(readings(target).iter().all(|reading| public(reading)), "{path} went on as {target}");
        }
    }
    assert!(passed > 0, "some of them are harmless");
}
