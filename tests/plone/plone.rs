//! The Plone under test, spoken to directly, and the mails it sends.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode};
use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::support::browser::{Answer, Browser};
use crate::support::gate::{Gate, HOST};
use crate::support::journey::nothing_shows;

/// The password of everybody, if not said otherwise.
pub const PASSWORD: &str = "Secret1234!";

/// The Plone that `deploy/test` has started.
pub struct Plone {
    /// The site, such as `http://localhost:8088/Plone`.
    pub url: String,
    /// Its `host:port`, which must show nowhere.
    pub authority: String,
    mail: PathBuf,
    control: PathBuf,
}

/// A mail that it sent.
#[derive(Debug)]
pub struct Mail {
    /// All of it, as it came.
    pub raw: String,
    /// The address it went to.
    pub to: String,
    /// Its subject, decoded.
    pub subject: String,
    /// Its text, decoded.
    pub text: String,
}

impl Plone {
    pub fn new() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run deploy/test, which starts a Plone and tells where it is")
            })
        };
        let url = variable("LYCHGATE_PLONE_URL");
        // Plone switches its theme off for the host 127.0.0.1.
        assert!(!url.contains("127.0.0.1"), "LYCHGATE_PLONE_URL must name the host localhost, not {url}");
        let authority =
            url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let plone = Self {
            url,
            authority,
            mail: variable("LYCHGATE_PLONE_MAIL").into(),
            control: variable("LYCHGATE_PLONE_SINK_CONTROL").into(),
        };
        plone.accept_mail();
        plone
    }

    /// A gate in front of it that tells it its public address.
    pub fn gate(&self) -> Gate {
        Gate::before(&self.url)
    }

    /// A gate in front of it, with more settings.
    pub fn gate_with(&self, more: &str) -> Gate {
        Gate::with(&self.url, more)
    }

    /// A browser before that gate.
    pub fn browser(&self, gate: &Gate) -> Browser {
        Browser::new(gate.address, HOST)
    }

    /// A browser before that gate in which somebody is signed in.
    pub async fn signed_in(&self, gate: &Gate, user: &str) -> Browser {
        let mut browser = self.browser(gate);
        let answer = browser.sign_in(user, PASSWORD).await;
        assert_eq!(answer.status, 303, "{user} cannot sign in: {}", answer.heading());
        browser
    }

    /// An answer that came through the gate, in which nothing of the inside may show.
    pub fn checked(&self, answer: Answer) -> Answer {
        nothing_shows(answer, &self.authority)
    }

    /// A browser that goes past the gate.
    pub fn directly(&self) -> Browser {
        let address: Vec<std::net::SocketAddr> =
            std::net::ToSocketAddrs::to_socket_addrs(&self.authority.replace("localhost", "127.0.0.1"))
                .unwrap()
                .collect();
        Browser::new(address[0], &self.authority)
    }

    /// What Plone shows the site's manager, past the gate.
    pub async fn directly_as_admin(&self, path: &str) -> Answer {
        let mut browser = self.directly().with("authorization", "Basic c2l0ZWFkbWluOlNlY3JldDEyMzQh");
        browser.get(&format!("/Plone/{path}")).await
    }

    /// Asks its REST service as the root user, past the gate.
    pub async fn api(&self, method: Method, path: &str, body: Value) -> Value {
        // reqwest takes the process's own; whoever is first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let response = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .request(method, format!("{}/{path}", self.url))
            .header("authorization", HeaderValue::from_static("Basic YWRtaW46YWRtaW4="))
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        if status == StatusCode::NO_CONTENT { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// A user that nobody else uses, with [`PASSWORD`] and an e-mail address.
    pub async fn user(&self, roles: &[&str]) -> String {
        let name = unique("user");
        let user =
            json!({ "username": name, "email": address_of(&name), "password": PASSWORD, "roles": roles });
        self.api(Method::POST, "@users", user).await;
        name
    }

    /// Sets a user's password, past the gate.
    pub async fn set_password(&self, user: &str, password: &str) {
        self.api(Method::PATCH, &format!("@users/{user}"), json!({ "password": password })).await;
    }

    /// All mails, the oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.mail)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .collect();
        files.sort();
        files.iter().map(|file| read(&std::fs::read(file).unwrap())).collect()
    }

    /// The mails to a user.
    pub fn mails_to(&self, user: &str) -> Vec<Mail> {
        let address = address_of(user);
        self.mails().into_iter().filter(|mail| mail.to == address).collect()
    }

    /// Waits until a user has got so many mails, and gives the last.
    pub fn mail_to(&self, user: &str, count: usize) -> Mail {
        let began = Instant::now();
        loop {
            let mut mails = self.mails_to(user);
            if mails.len() >= count {
                return mails.remove(count - 1);
            }
            assert!(began.elapsed() < Duration::from_secs(20), "mail {count} to {user} does not come");
            // The sink is another process: there is nothing to wait on.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The path of the link in a reset mail for a user, asked for past the gate.
    pub async fn reset_link(&self, user: &str) -> String {
        let count = self.mails_to(user).len();
        let answer = self.directly().post("/Plone/mail_password", &[("userid", user)]).await;
        assert_eq!(answer.status, 200);
        let link = self.mail_to(user, count + 1).link();
        link.strip_prefix(&self.url).unwrap().to_owned()
    }

    /// Makes the mail server refuse everything.
    pub fn refuse_mail(&self) {
        std::fs::write(&self.control, "reject 550").unwrap();
    }

    /// Makes it accept everything again.
    pub fn accept_mail(&self) {
        std::fs::write(&self.control, "").unwrap();
    }
}

impl Mail {
    /// The reset link in it.
    pub fn link(&self) -> String {
        let mut links = self.text.split_whitespace().filter(|word| word.contains("/passwordreset/"));
        links.next().unwrap_or_else(|| panic!("no link in {}", self.text)).to_owned()
    }

    /// Its end, where it says what the request came from.
    pub fn asked_from(&self) -> &str {
        self.text.find("Request made").map_or("", |at| self.text[at..].trim())
    }
}

fn read(raw: &[u8]) -> Mail {
    let message = MessageParser::default().parse(raw).unwrap();
    let to = message.to().and_then(|to| to.first()).and_then(|to| to.address()).unwrap_or_default();
    Mail {
        raw: String::from_utf8_lossy(raw).into_owned(),
        to: to.to_owned(),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: message.body_text(0).unwrap_or_default().into_owned(),
    }
}

/// A name that nothing else has.
pub fn unique(kind: &str) -> String {
    format!("{kind}-{:016x}", RandomState::new().build_hasher().finish())
}

fn address_of(user: &str) -> String {
    format!("{user}@example.org")
}
