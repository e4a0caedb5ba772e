//! What is logged, and above all what is not. In a file of its own: a process has one log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, ask, get, post};

/// The log of this process, from the first call on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_token_query_password_or_cookie_is_ever_logged() {
    let log = Log::default();
    let writer = log.clone();
    let _ = tracing_subscriber::fmt()
        .with_env_filter("info,lychgate=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .try_init();
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "access.default = \"public\"");
    let token = "0123456789abcdef0123456789abcdef";
    let other = "123e4567-e89b-12d3-a456-426614174000";
    let encoded = format!("%30{}", &token[1..]);
    // As the links of other CMSs have them (base64url), and as the gate's own.
    const BASE64: &str = "Zx3_kQ9-vLr7TbN2mWc5Yp8HsJd4FgA6Ue1RiO0tXyB";
    let escaped = BASE64.replace('Z', "%5A").replace('x', "%78");
    let mut asked: Vec<Message> = Vec::new();
    for path in [
        format!("/passwordreset/{token}"),
        format!("/passwordreset/{encoded}"),
        format!("/passwordreset/{other}"),
        format!("/a/passwordreset/{token}/"),
        format!("/passwordreset?key={token}"),
        format!("/docs/{token}"),
        format!("/docs/{encoded}"),
        format!("/docs/{token}/../x"),
        format!("/docs/{encoded}/../x"),
        format!("/docs/{token}x%00"),
        format!("/a?secret={token}"),
        format!("/_gate/reset-password?key={token}"),
        format!("/_gate/{encoded}"),
        // Spellings that some reader takes for a reset link, and what none can read.
        format!("//passwordreset//{token}"),
        format!("/%70asswordreset/{encoded}"),
        format!("/%2570asswordreset/{}", encoded.replace('%', "%25")),
        format!("/passwordreset%2f{token}"),
        format!("/passwordreset\\{token}"),
        format!("/passwordreset;key={token}"),
        format!("/./passwordreset/./{token}"),
        format!("/passwordreset/{token}%"),
        format!("/passwordreset/{token}%ff"),
        format!("/passwordreset/{token}\u{1}"),
        format!("/pwreset_form?randomstring={token}"),
        format!("/a?b=/passwordreset/{token}"),
        format!("/passwordreset?{token}"),
        format!("/a#{token}"),
        format!("http://{HOST}/passwordreset/{token}"),
        format!("http://elsewhere.example//passwordreset/{encoded}"),
        format!("http://{HOST}:1x/passwordreset/{token}"),
        format!("ftp://{HOST}/passwordreset/{token}"),
        format!("passwordreset/{token}"),
        format!("*passwordreset/{token}"),
        format!("/passwordreset/{token} x"),
        format!("/_gate/reset-password?token={BASE64}"),
        format!("/_gate/reset-password/?token={escaped}"),
        format!("//_gate//reset-password?token={BASE64}"),
        format!("/_gate/reset-password/{BASE64}"),
        format!("/_gate/reset-password%3Ftoken={BASE64}"),
        format!("/_gate/reset-password;token={BASE64}"),
        format!("/user/reset/1/1700000000/{BASE64}"),
        format!("/user/reset/1/1700000000/{escaped}/login%00"),
        format!("//user/reset/1/1700000000/{BASE64}"),
        format!("/verify?user_id=1&timestamp=1&signature={BASE64}"),
        format!("/verify&signature={BASE64}"),
        format!("/wp-login.php?action=rp&key={BASE64}"),
        format!("/x/{BASE64}/../y%"),
    ] {
        asked.push(ask(gate.address, get(&path, &format!("Cookie: lychgate={token}\r\nX: {token}\r\n"))));
        asked.push(ask(gate.address, get(&path, "").replacen(HOST, "elsewhere.example", 1)));
        asked.push(ask(gate.address, get(&path, "Content-Length: x\r\n")));
        asked.push(ask(gate.address, get(&path, "").replacen("GET", "COPY", 1)));
        asked.push(ask(
            gate.address,
            get("/docs", &format!("Destination: {path}\r\nReferer: http://{HOST}{path}\r\n"))
                .replacen("GET", "COPY", 1),
        ));
    }
    let body = format!("username=jdoe&password={token}");
    asked.push(ask(
        gate.address,
        post("/_gate/login", "Content-Type: application/x-www-form-urlencoded\r\n", body),
    ));
    assert!(asked.iter().all(|answer| answer.status() >= 200));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("not_admitted"), "the log is there");
    // The middle of it, so that an encoded first digit hides nothing.
    for secret in [&token[4..28], &other[4..28], &BASE64[4..28]] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
