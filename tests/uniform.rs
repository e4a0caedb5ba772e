//! What a stranger can tell about an account from the gate's answers: nothing, byte for byte (ASVS 6.3.8).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Canned, Fault, StandIn};

/// Status, every header, and the body, without what differs between any two answers: the request's id, the time, the form's
/// token and cookie, and the name that was typed, where the form shows it again.
fn bytes(answer: &Answer, typed: &str) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap().to_owned();
    let token = answer
        .text()
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned());
    let plain = |text: &str| {
        let text = text.replace(&id, "[id]").replace(&format!("value=\"{typed}\""), "value=\"[typed]\"");
        token.iter().fold(text, |text, token| text.replace(token, "[token]"))
    };
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| match name.as_str() {
            "set-cookie" => (name.to_string(), value.to_str().unwrap().split('=').next().unwrap().to_owned()),
            _ => (name.to_string(), plain(value.to_str().unwrap())),
        })
        .collect();
    headers.sort();
    // The length is that of the body, in which the name may stand.
    headers.retain(|(name, _)| name != "content-length");
    (answer.status.as_u16(), headers, plain(&answer.text()))
}

fn from(gate: SocketAddr, client: usize) -> Browser {
    Browser::new(gate, HOST).with("x-forwarded-for", &format!("192.0.2.{client}"))
}

async fn by_page(gate: SocketAddr, client: usize, user: &str) -> Answer {
    from(gate, client).submit("/_gate/forgot-password", &[("username", user)]).await
}

async fn by_script(gate: SocketAddr, client: usize, user: &str) -> Answer {
    let body = serde_json::json!({ "username": user }).to_string().into_bytes();
    let mut script = from(gate, client).without("sec-fetch-mode").without("accept");
    script.send(Method::POST, "/_gate/api/forgot-password", Some(("application/json", body))).await
}

#[tokio::test]
async fn a_reset_request_is_answered_the_same_for_every_account_in_every_state_of_the_cms_and_its_mail() {
    let floor = Duration::from_millis(250);
    for backend in [StandIn::plone43(), StandIn::plone60()] {
        let gate = Gate::before(&backend.url());
        let first = (
            bytes(&by_page(gate.address, 1, "jdoe").await, ""),
            bytes(&by_script(gate.address, 1, "jdoe").await, ""),
        );
        assert_eq!((first.0.0, first.1.0), (200, 200));
        for state in [
            "well",
            "no mail server",
            "asks nobody",
            "closes",
            "breaks",
            "is slow",
            "is another page",
            "hangs",
        ] {
            backend.behave();
            backend.switch(|switches| {
                switches.mail_server_up = state != "no mail server";
                switches.anonymous_may_ask = state != "asks nobody";
            });
            match state {
                "closes" => backend.fail("mail_password", Fault::Close),
                "breaks" => backend.fail("mail_password", Fault::Status(500)),
                "is slow" => backend.fail("mail_password", Fault::SlowBody),
                "hangs" => backend.fail("mail_password", Fault::Hang),
                "is another page" => backend.answer("mail_password", Canned::html(200, "<p>maintenance")),
                _ => {}
            }
            let users = [
                "jdoe",
                "nobody",
                "nomail",
                "badmail",
                "admin",
                "JDOE",
                "a@b@c",
                "\u{440}\u{443}",
                "x\r\nBcc: y",
            ];
            let address = gate.address;
            let asked = users.map(|user| {
                tokio::spawn(async move {
                    let began = Instant::now();
                    let page = by_page(address, 1, user).await;
                    let between = Instant::now();
                    let script = by_script(address, 1, user).await;
                    (user, page, between - began, script, between.elapsed())
                })
            });
            for asked in asked {
                let (user, page, one, script, two) = asked.await.unwrap();
                assert!(one >= floor && two >= floor, "{state}, {user:?}: the floor");
                assert_eq!(bytes(&page, user), first.0, "{state}, {user:?}");
                assert_eq!(bytes(&script, user), first.1, "{state}, {user:?}");
            }
        }
    }
}

#[tokio::test]
async fn over_the_accounts_limit_is_success_and_over_the_clients_is_429_for_every_account() {
    let backend = StandIn::plone60();
    let gate = Gate::with(
        &backend.url(),
        "[limits]\nreset_request = { per_client = \"6/10m\", per_account = \"2/1h\" }\n",
    );
    let mut series = Vec::new();
    for (client, user) in [(1, "jdoe"), (2, "nobody"), (3, "nomail")] {
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(bytes(&by_page(gate.address, client, user).await, user));
        }
        let statuses: Vec<u16> = answers.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429, 429], "{user}");
        assert!(answers[..6].iter().all(|answer| answer == &answers[0]), "{user}");
        series.push(answers);
    }
    assert!(series.iter().all(|answers| answers == &series[0]), "{series:#?}");
}

#[tokio::test]
async fn failed_sign_ins_go_the_same_way_for_every_account_and_so_does_the_right_password_once_it_has_to_wait()
 {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[limits]\nknown_browser = \"180d\"\n");
    let mut series = Vec::new();
    for (client, user) in [(1, "jdoe"), (2, "nobody"), (3, "norole"), (4, "u1001")] {
        let mut answers = Vec::new();
        for attempt in 0..8 {
            let password = if attempt < 3 { "wrong" } else { "Secret1234!" };
            let began = Instant::now();
            let answer = from(gate.address, client).sign_in(user, password).await;
            if attempt < 3 {
                assert!(began.elapsed() >= Duration::from_millis(250), "{user}: a refusal has a floor");
            }
            answers.push(bytes(&answer, user));
        }
        let statuses: Vec<u16> = answers.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [403, 403, 403, 429, 429, 429, 429, 429], "{user}");
        series.push(answers);
    }
    assert!(series.iter().all(|answers| answers == &series[0]), "{series:#?}");
}
