//! What costs the gate more than the client.

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
    // No client has more than a part of the places: these are many.
    let head = |client: usize| {
        format!(
            "POST /a HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 203.0.113.{client}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
    };
    // Heads that all came before: what follows on each is read only when there is a place.
    let mut waiting: Vec<_> = (0..300)
        .map(|number| {
            let mut wire = connect(gate.address);
            wire.send(head(number % 100));
            wire
        })
        .collect();
    let whole = format!("{}0\r\n\r\n", head(100));
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
