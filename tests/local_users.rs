//! Users of the gate's own: signing in, forgetting the password, getting back in, and changing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;


use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::local::{GOOD, OTHER, gate, mails, users};
use support::standin::StandIn;

const FORGOT: &str = "/_gate/forgot-password";
const RESET: &str = "/_gate/reset-password";

fn browser(gate: &Gate) -> Browser {
    Browser::new(gate.address, HOST)
}

/// Asks for a link and gives its path.
async fn link(gate: &Gate, user: &str) -> String {
    let before = mails(gate).len();
    let answer = browser(gate).submit(FORGOT, &[("username", user)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    loop {
        if let Some(mail) = mails(gate).get(before) {
            return mail.link();
        }
        tokio::task::yield_now().await;
    }
}

/// Opens a link and sets a password.
async fn redeem(browser: &mut Browser, link: &str, user: &str, password: &str) -> Answer {
    let (path, page) = browser.follow(link).await;
    assert_eq!((path.as_str(), page.status.as_u16()), (RESET, 200), "{}", page.text());
    browser
        .submit(RESET, &[("username", user), ("password", password), ("password_confirm", password)])
        .await
}

async fn signs_in(gate: &Gate, user: &str, password: &str) -> bool {
    let answer = browser(gate).sign_in(user, password).await;
    assert!(matches!(answer.status.as_u16(), 303 | 403), "{}", answer.text());
    answer.status == 303
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_of_a_person_who_forgets_the_password() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane.doe", "--email", "jane@example.org"], GOOD);
    let mut jane = browser(&gate);
    assert_eq!(jane.sign_in("Jane.Doe", GOOD).await.status, 303);
    assert_eq!(jane.get("/docs").await.status, 200);

    let link = link(&gate, "jane.doe").await;
    assert_eq!(jane.get("/docs").await.status, 200, "asking changes nothing");
    assert!(signs_in(&gate, "jane.doe", GOOD).await, "nor does it lock anyone out");

    let mut other = browser(&gate);
    let done = redeem(&mut other, &link, "jane.doe", OTHER).await;
    assert_eq!((done.status.as_u16(), done.heading().as_str()), (200, "Your new password is set"), "{}", done.text());
    assert_eq!(other.get("/docs").await.status, 302, "nobody is signed in by it");
    assert_eq!(jane.get("/docs").await.status, 302, "and whoever was is no longer");
    assert!(!signs_in(&gate, "jane.doe", GOOD).await);
    assert!(signs_in(&gate, "jane.doe", OTHER).await);
    let notice = mails(&gate).pop().unwrap();
    assert_eq!(notice.to, "jane@example.org");
    assert!(notice.subject.contains("was reset"), "{}", notice.subject);
}
