//! The gate before a real django-rest-registration. `deploy/test` starts two sample sites (`deploy/rest-registration`) and runs
//! this: one whose links work once and that says "not found" of unknown names, and a quiet one that does neither.
//!
//! Each test makes its own users, so any order will do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lychgate::cms::{
    Asker, Backend, BackendSettings, Description, KeptCookies, SignIn, SignOut, TakenOver, Trust, Verdict,
    WhoAmI,
};
use lychgate::secret::Secret;
use mail_parser::MessageParser;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use url::Url;

const PASSWORD: &str = "Secret1234!";

/// A sample site that `deploy/test` has started.
struct Site {
    url: String,
    mail: PathBuf,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run deploy/test, which starts the site and tells where it is")
    })
}

impl Site {
    fn strict() -> Self {
        Self {
            url: variable("LYCHGATE_REST_REGISTRATION_URL"),
            mail: variable("LYCHGATE_REST_REGISTRATION_MAIL").into(),
        }
    }

    fn quiet() -> Self {
        Self {
            url: variable("LYCHGATE_REST_REGISTRATION_QUIET_URL"),
            mail: variable("LYCHGATE_REST_REGISTRATION_QUIET_MAIL").into(),
        }
    }

    fn backend(&self) -> Backend {
        let settings = BackendSettings {
            address: Url::parse(&self.url).unwrap(),
            host: None,
            public_url: Url::parse(&format!("http://{HOST}")).unwrap(),
            trust: Trust::default(),
            source_address: None,
            lenient: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            tls: None,
        };
        let dialogue = Description::built_in("rest-registration").unwrap().unwrap();
        Backend::new(Arc::new(dialogue.dialogue(&BTreeMap::new()).unwrap()), settings).unwrap()
    }

    async fn ask(&self, path: &str) -> serde_json::Value {
        // reqwest takes the process's own; whoever is first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = client.get(format!("{}/{path}", self.url)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// Makes a user with the usual password; its id.
    async fn user(&self, name: &str) -> String {
        self.ask(&format!("make/{name}")).await["id"].to_string()
    }

    /// The token in a reset link, as if it had been asked for so many seconds ago.
    async fn token(&self, user: &str, ago: u64) -> Secret {
        let link = self.ask(&format!("link/{user}?ago={ago}")).await["link"].as_str().unwrap().to_owned();
        token_in(&self.backend(), &link)
    }

    /// The links in the mails to this user, in the order of their files.
    fn links_to(&self, user: &str) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&self.mail).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        let raw = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
        let to = format!("To: {user}@example.test\n");
        let links = raw.filter(|raw| raw.contains(&to)).map(|raw| {
            let mail = MessageParser::default().parse(raw.as_bytes()).unwrap();
            let text = mail.body_text(0).unwrap().into_owned();
            text.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
        });
        links.collect()
    }
}

fn token_in(backend: &Backend, link: &str) -> Secret {
    let url = Url::parse(link).unwrap();
    match backend.dialogue().paths().taken_over(url.path().split('/'), url.query()) {
        Some(TakenOver::ResetLink { token: Some(token), .. }) => token,
        other => panic!("{link} is taken for {other:?}"),
    }
}

fn asker(language: &str) -> Asker {
    Asker {
        client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        language: Some(language.to_owned()),
        user_agent: Some("Mozilla/5.0 (a browser)".to_owned()),
        request_id: "req-1".to_owned(),
        whom: None,
    }
}

#[tokio::test]
async fn signing_in_tells_right_from_wrong_and_learns_the_id() {
    let site = Site::strict();
    let backend = site.backend();
    let id = site.user("signer").await;
    for (row, user, password, right) in [
        ("right", "signer", PASSWORD, true),
        ("any Unicode", "umlaut", "Pässwörd1234!", true),
        ("wrong password", "signer", "Secret1234", false),
        ("blanks", "signer", "   ", false),
        ("unknown user", "nobody", PASSWORD, false),
        ("several @", "a@b@c", PASSWORD, false),
        ("mixed scripts", "sіgner", PASSWORD, false),
        ("JSON in the name", "signer\",\"password\":\"x", PASSWORD, false),
        ("a placeholder", "{password}", "signer", false),
    ] {
        for language in ["en", "de", "fr"] {
            let got = backend.sign_in(user, &Secret::new(password), &asker(language)).await;
            match got {
                SignIn::Ok { user_id, cookies, .. } if right => {
                    assert!(!cookies.is_empty(), "{row}");
                    assert!(user_id.is_some(), "{row}");
                    assert!(user != "signer" || user_id == Some(id.clone()), "{row}: {user_id:?}");
                }
                SignIn::Refused if !right => {}
                other => panic!("{row}, {language}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_known_until_it_is_signed_out_and_not_after() {
    let site = Site::strict();
    let backend = site.backend();
    let id = site.user("leaver").await;
    let SignIn::Ok { cookies, .. } = backend.sign_in("leaver", &Secret::new(PASSWORD), &asker("en")).await
    else {
        panic!("leaver cannot sign in")
    };
    assert_eq!(backend.who_am_i(&cookies, &asker("de")).await, WhoAmI::SignedIn { user_id: Some(id) });
    assert_eq!(backend.who_am_i(&KeptCookies::default(), &asker("de")).await, WhoAmI::Anonymous);
    assert_eq!(backend.sign_out(&cookies, &asker("en")).await, SignOut::Ok);
    assert_eq!(backend.who_am_i(&cookies, &asker("en")).await, WhoAmI::Anonymous);
}

#[tokio::test]
async fn asking_for_a_mail_gets_the_verdict_of_every_row() {
    for (site, unknown) in [(Site::strict(), Verdict::NoAccount), (Site::quiet(), Verdict::Ok)] {
        let backend = site.backend();
        site.user("asker").await;
        for (row, user, verdict, mails) in [
            ("known", "asker", Verdict::Ok, 1),
            ("unknown", "nobody", unknown, 0),
            ("no mail address", "nomail", Verdict::Ok, 0),
            ("another case", "ASKER", unknown, 0),
            ("several @", "asker@example.test@x", unknown, 0),
            ("a second name smuggled in", "nobody\",\"login\":\"asker", unknown, 0),
            ("header injection", "asker\r\nBcc: x@example.test", Verdict::NoAccount, 0),
            ("NUL", "asker\0", Verdict::NoAccount, 0),
        ] {
            for language in ["en", "fr"] {
                let before = site.links_to("asker").len();
                let got = backend.request_reset(user, &asker(language)).await;
                assert_eq!(got.verdict, verdict, "{row}, {language}: {}", got.evidence);
                // The file's name has the moment in microseconds: two mails are two files.
                assert_eq!(site.links_to("asker").len() - before, mails, "{row}, {language}");
            }
        }
    }
}

#[tokio::test]
async fn a_link_gets_the_verdict_of_every_row_in_every_language() {
    let site = Site::strict();
    let backend = site.backend();
    for language in ["en", "de", "fr", "id", "pt-br"] {
        let user = format!("holder-{language}");
        let id = site.user(&user).await;
        let good = site.token(&user, 5).await;
        let (number, rest) = good.expose().split_once('~').unwrap();
        let others = format!("{}~{rest}", number.parse::<u64>().unwrap() - 1);
        let forged = format!("{}x", &good.expose()[..good.expose().len() - 1]);
        let nobody = format!("999999~{rest}");
        let old = site.token(&user, 90_000).await.expose().to_owned();
        for (row, token, password, verdict) in [
            ("too short", good.expose(), "abc", Verdict::Rejected),
            ("too like the name", good.expose(), user.as_str(), Verdict::Rejected),
            ("forged", &forged, "Newpass1234!", Verdict::Invalid),
            ("another account's", &others, "Newpass1234!", Verdict::Invalid),
            ("nobody's", &nobody, "Newpass1234!", Verdict::Invalid),
            ("expired", &old, "Newpass1234!", Verdict::Expired),
            ("good", good.expose(), "Nëwpass & \"100%\" {user}", Verdict::Ok),
            ("used", good.expose(), "Newpass1234!", Verdict::Invalid),
        ] {
            let got =
                backend.redeem(&Secret::new(token), &user, &Secret::new(password), &asker(language)).await;
            assert_eq!(got.verdict, verdict, "{row}, {language}: {}", got.evidence);
            assert_eq!(
                got.message.is_some(),
                verdict == Verdict::Rejected,
                "{row}, {language}: {:?}",
                got.message
            );
            assert_eq!(got.user_id, (verdict == Verdict::Ok).then(|| id.clone()), "{row}");
        }
        let signed =
            backend.sign_in(&user, &Secret::new("Nëwpass & \"100%\" {user}"), &asker(language)).await;
        assert!(matches!(signed, SignIn::Ok { .. }), "{language}: {signed:?}");
    }
}

#[tokio::test]
async fn a_password_is_changed_by_whoever_knows_the_old_one() {
    let site = Site::strict();
    let backend = site.backend();
    site.user("changer").await;
    let SignIn::Ok { mut cookies, .. } =
        backend.sign_in("changer", &Secret::new(PASSWORD), &asker("en")).await
    else {
        panic!("changer cannot sign in")
    };
    for (row, old, new, verdict) in [
        ("wrong old one", "Secret1234?", "Newpass1234!", Verdict::Invalid),
        ("weak new one", PASSWORD, "abc", Verdict::Rejected),
        ("right", PASSWORD, "Newpass1234!", Verdict::Ok),
    ] {
        let (old, new) = (Secret::new(old), Secret::new(new));
        let got = backend.change_password(&mut cookies, "changer", &old, &new, &asker("en")).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
    }
    let got = backend.sign_in("changer", &Secret::new("Newpass1234!"), &asker("en")).await;
    assert!(matches!(got, SignIn::Ok { .. }), "{got:?}");
}

#[tokio::test]
async fn a_person_goes_the_whole_way_through_the_gate() {
    let site = Site::strict();
    site.user("walker").await;
    let gate = Gate::with(&site.url, "cms = \"rest-registration\"\nvirtual_hosting = \"forwarded\"");
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(browser.get("/news").await.status, 302);
    assert_eq!(browser.sign_in("walker", "wrong").await.status, 403);
    assert_eq!(browser.sign_in("walker", PASSWORD).await.status, 303);
    let page = browser.get("/news").await;
    assert!(page.text().contains("walker"), "the site does not know who asks: {}", page.text());
    assert!(!browser.cookies.contains_key("sessionid"), "{:?}", browser.cookies.keys());
    // The site's own doors are the gate's.
    for path in ["/accounts/login/", "/accounts/send-reset-password-link/", "/accounts/reset-password/"] {
        let answer = browser.clone().post(path, &[("login", "walker"), ("password", PASSWORD)]).await;
        assert!(answer.location().is_some_and(|to| to.starts_with("/_gate/")), "{path}: {}", answer.status);
    }

    let mut stranger = Browser::new(gate.address, HOST);
    let answer = stranger.submit("/_gate/forgot-password", &[("username", "walker")]).await;
    assert_eq!(answer.status, 200);
    let link = loop {
        match site.links_to("walker").pop() {
            Some(link) => break link,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let path = stranger.path_of(&link);
    let answer = stranger.get(&path).await;
    assert_eq!(answer.location().as_deref(), Some("/_gate/reset-password"), "{link}");
    // Whose link it is the site knows; what is typed for a name it does not look at.
    site.user("bystander").await;
    let mut bystander = Browser::new(gate.address, HOST);
    assert_eq!(bystander.sign_in("bystander", PASSWORD).await.status, 303);
    let fields =
        [("username", "bystander"), ("password", "Newpass1234!"), ("password_confirm", "Newpass1234!")];
    let answer = stranger.submit("/_gate/reset-password", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(browser.get("/news").await.status, 302, "the old session is over");
    assert_eq!(bystander.get("/news").await.status, 200, "nobody else's is");
    assert_eq!(stranger.sign_in("walker", "Newpass1234!").await.status, 303);
}
