//! The whole way of a person: signs in, reads, signs out, forgets the password, gets the mail, sets a new one, signs in with it.
//!
//! The same for every CMS, real or stand-in: what differs is how its mail is read.

use std::net::SocketAddr;

use super::browser::{Answer, Browser};

/// Where the way is walked.
pub struct Stage<'a> {
    pub address: SocketAddr,
    pub host: &'a str,
    /// The backend's own `host:port`, which must show nowhere.
    pub internal: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    /// What stands before the path in a reset mail's link: the public address, where the CMS knows it.
    pub linked: &'a str,
    /// Waits for the next reset mail and gives the link in it.
    pub link: &'a (dyn Fn() -> String + Sync),
}

impl Stage<'_> {
    fn checked(&self, answer: Answer) -> Answer {
        nothing_shows(answer, self.internal)
    }
}

/// Nothing of the inside may show, whatever was asked for, and however it is spelled. What spells is undone here by other means than the
/// gate's own; and the port alone is looked for too, whatever the host before it is called.
pub fn nothing_shows(answer: Answer, internal: &str) -> Answer {
    let port = internal.rsplit(':').next().unwrap_or_default();
    let place = |text: &str| {
        let plain = plainly(text);
        let is_port = |at: usize| !plain[at + 1 + port.len()..].starts_with(|c: char| c.is_ascii_digit());
        let ports = plain.match_indices(&format!(":{port}")).map(|(at, _)| at).find(|at| is_port(*at));
        let at = plain.find(internal).or(ports).or_else(|| plain.find("virtualhostbase"))?;
        Some(plain.chars().skip(plain[..at].chars().count().saturating_sub(80)).take(200).collect::<String>())
    };
    for (name, value) in &answer.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        assert_eq!(place(&value), None, "{name} shows the inside");
        assert!(!value.contains("__ac="), "{name} gives the CMS's sign-in away");
        assert!(
            !matches!(name.as_str(), "server" | "x-powered-by" | "via")
                && !name.as_str().starts_with("bobo-"),
            "{name} tells what stands behind"
        );
    }
    assert_eq!(place(&answer.text()), None, "the body shows the inside");
    answer
}

/// A text in lower case, with every spelling of what an address is made of undone: of URLs, of JSON and scripts, of HTML, and of one in
/// the other.
fn plainly(text: &str) -> String {
    const SIGNS: [(&str, u32, &[&str]); 5] = [
        (":", 0x3a, &["&colon;"]),
        ("/", 0x2f, &["&sol;", "\\/"]),
        (".", 0x2e, &["&period;", "\\."]),
        ("-", 0x2d, &[]),
        ("&", 0x26, &["&amp;"]),
    ];
    let mut plain = text.to_lowercase();
    for _ in 0..4 {
        let mut undone = percent_encoding::percent_decode_str(&plain).decode_utf8_lossy().into_owned();
        for (sign, code, names) in SIGNS {
            let spelled = [
                format!("\\u{code:04x}"),
                format!("\\x{code:02x}"),
                format!("&#{code};"),
                format!("&#x{code:x};"),
            ];
            for spelled in spelled.iter().map(String::as_str).chain(names.iter().copied()) {
                if undone.contains(spelled) {
                    undone = undone.replace(spelled, sign);
                }
            }
        }
        if undone == plain {
            break;
        }
        plain = undone;
    }
    plain
}

pub async fn walk(stage: &Stage<'_>) {
    let mut browser = Browser::new(stage.address, stage.host);

    // A stranger is sent to sign in, and remembers where to.
    let answer = stage.checked(browser.get("/docs?x=1&y=2").await);
    assert_eq!(
        (answer.status.as_u16(), answer.location().as_deref()),
        (302, Some("/_gate/login?next=/docs%3Fx%3D1%26y%3D2"))
    );
    let login = answer.location().unwrap();

    // A wrong password and an unknown user look the same.
    let wrong = browser.submit(&login, &[("username", stage.user), ("password", "not the password")]).await;
    let unknown = browser
        .submit(&login, &[("username", "nobody-by-that-name"), ("password", "not the password")])
        .await;
    assert_eq!(wrong.status, 403);
    assert_eq!(without_form(&wrong, stage.user), without_form(&unknown, "nobody-by-that-name"));

    // The right one leads on, query and all; the CMS's cookie stays behind.
    let answer = stage
        .checked(browser.submit(&login, &[("username", stage.user), ("password", stage.password)]).await);
    assert_eq!(
        (answer.status.as_u16(), answer.location().as_deref()),
        (303, Some("/docs?x=1&y=2")),
        "{}",
        answer.text()
    );
    let (_, page) = browser.follow("/docs").await;
    let page = stage.checked(page);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("userrole-authenticated"), "the CMS does not know who asks");
    assert!(!browser.cookies.contains_key("__ac"), "{:?}", browser.cookies.keys());

    // Signing out ends it here and for whoever copied the cookie.
    let copy = browser.clone();
    let answer = browser.submit("/_gate/logout", &[]).await;
    assert_eq!(answer.status, 200);
    for mut browser in [browser.clone(), copy] {
        assert_eq!(browser.get("/docs").await.status, 302, "the session is over");
    }

    // Forgotten: the same answer whoever it is for, and a mail with a public link.
    let known = browser.submit("/_gate/forgot-password", &[("username", stage.user)]).await;
    let link = (stage.link)();
    let unknown = browser.submit("/_gate/forgot-password", &[("username", "nobody-by-that-name")]).await;
    assert_eq!(known.status, 200);
    assert_eq!(without_form(&known, stage.user), without_form(&unknown, "nobody-by-that-name"));
    let path = link
        .strip_prefix(stage.linked)
        .unwrap_or_else(|| panic!("{link} does not begin with {}", stage.linked));
    assert!(path.starts_with("/passwordreset/"), "{path}");

    // Opening the link asks nothing of the CMS and takes the token out of the address.
    let answer = browser.get(path).await;
    assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (303, Some("/_gate/reset-password")));
    assert!(browser.cookies.values().all(|value| !path.ends_with(value.as_str())), "the token is sealed");
    browser.get(path).await;

    // The CMS refuses a short password in its own words; the link is still good.
    let answer = browser
        .submit(
            "/_gate/reset-password",
            &[("username", stage.user), ("password", "abc"), ("password_confirm", "abc")],
        )
        .await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(
        answer.text().contains("characters"),
        "the CMS's own reason is missing: {:?}",
        answer.texts("[role=alert]")
    );
    let answer = browser
        .submit(
            "/_gate/reset-password",
            &[("username", stage.user), ("password", "one thing 1"), ("password_confirm", "another 1")],
        )
        .await;
    assert_eq!(answer.status, 422);

    // Somebody is still signed in with the old password when the new one is set.
    let mut elsewhere = Browser::new(stage.address, stage.host);
    assert_eq!(elsewhere.sign_in(stage.user, stage.password).await.status, 303);
    let new = "A new pässword, 42!";
    let fields = [("username", stage.user), ("password", new), ("password_confirm", new)];
    let answer = stage.checked(browser.submit("/_gate/reset-password", &fields).await);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(browser.get("/docs").await.status, 302, "nobody is signed in by a reset");
    assert_eq!(elsewhere.get("/docs").await.status, 302, "old sessions end with the old password");

    // The link works once.
    let (_, answer) = browser.follow(path).await;
    assert_eq!(answer.status, 404, "{}", answer.heading());

    // The new password is the one.
    assert_eq!(browser.sign_in(stage.user, stage.password).await.status, 403);
    assert_eq!(browser.sign_in(stage.user, new).await.status, 303);
    let (_, page) = browser.follow("/docs").await;
    assert!(stage.checked(page).text().contains("userrole-authenticated"));
}

/// A page without what differs from one showing to the next: the form's token, the request's id, the name typed.
pub fn without_form(answer: &Answer, typed: &str) -> (u16, Vec<String>, String) {
    let mut text = answer.text().replace(typed, "NAME");
    for (_, value) in answer.form().iter().filter(|(name, _)| name == "csrf") {
        text = text.replace(value, "TOKEN");
    }
    if let Some(id) = answer.header("x-request-id") {
        text = text.replace(id, "ID");
    }
    let names = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
    (answer.status.as_u16(), names, text)
}
