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
    ] {
        asked.push(ask(gate.address, get(&path, &format!("Cookie: lychgate={token}\r\nX: {token}\r\n"))));
        asked.push(ask(gate.address, get(&path, "").replacen(HOST, "elsewhere.example", 1)));
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
    for secret in [&token[4..28], &other[4..28]] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
