//! Mails and links.

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
            let evil =
                request.headers.values().any(|value| value.as_bytes().windows(4).any(|part| part == b"evil"));
            assert!(!evil && !request.target.contains("evil"), "{name}: {request:?}");
        }
        assert!(backend.mails().is_empty(), "{name}");
    }
}
