//! A sample site that `deploy/test` has started: spoken to directly, through the gate, and the mails it sends.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use lychgate::cms::{Asker, Backend, BackendSettings, KeptCookies, SignIn, SignOut, Trust, WhoAmI};
use lychgate::config::Config;
use lychgate::secret::Secret;
use mail_parser::MessageParser;
use url::Url;

use crate::support::browser::{Answer, Browser};
use crate::support::gate::{Gate, HOST};
use crate::support::journey::nothing_shows;

/// The password of everybody whom [`Sample::user`] makes.
pub const PASSWORD: &str = "Secret-1234!";

/// A site, and what it is to the gate.
pub struct Sample {
    pub url: String,
    mail: PathBuf,
    cms: &'static str,
}

impl Sample {
    /// The site that LYCHGATE_`variable`_URL and LYCHGATE_`variable`_MAIL name.
    pub fn named(variable: &str, cms: &'static str) -> Self {
        let read = |what: &str| {
            let name = format!("LYCHGATE_{variable}_{what}");
            std::env::var(&name).unwrap_or_else(|_| {
                panic!("{name} is not set: run deploy/test, which starts the site and tells where it is")
            })
        };
        Self { url: read("URL"), mail: read("MAIL").into(), cms }
    }

    /// Its own `host:port`, which must show nowhere.
    pub fn internal(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// The keys of `proxy.toml` that make a site of it, and the table that names its dialogue's file.
    fn keys(&self, hosting: &str) -> String {
        let (name, folder) = (self.cms, Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dialogues"));
        let file = folder.join(format!("{name}.toml"));
        format!(
            "cms = \"{name}\"\nvirtual_hosting = \"{hosting}\"\n[[cms]]\nfile = \"{}\"\n",
            file.to_str().unwrap()
        )
    }

    pub fn gate(&self, hosting: &str) -> Gate {
        Gate::with(&self.url, &self.keys(hosting))
    }

    /// Its dialogue, spoken without a gate.
    pub fn backend(&self) -> Backend {
        let text = format!(
            "[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\n{}",
            self.url,
            self.keys("forwarded")
        );
        let (config, _) = Config::parse(Path::new("proxy.toml"), &text, PathBuf::from("."))
            .unwrap_or_else(|found| panic!("{found:?}"));
        let settings = BackendSettings {
            address: Url::parse(&self.url).unwrap(),
            host: Some(HOST.parse().unwrap()),
            public_url: Url::parse(&format!("http://{HOST}")).unwrap(),
            trust: Trust::default(),
            source_address: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            lenient: false,
            tls: None,
        };
        Backend::new(Arc::new(config.dialogue(config.sites[0].as_ref()).unwrap()), settings).unwrap()
    }

    /// Makes a user with the usual password; its name, which begins like this, and its id.
    pub async fn user(&self, like: &str) -> (String, String) {
        let name = format!("{like}{:016x}", RandomState::new().build_hasher().finish());
        let id = self.ask(&format!("/make/{name}")).await["id"].to_string();
        (name, id)
    }

    /// Asks it for something that only a sample site has.
    pub async fn ask(&self, path: &str) -> serde_json::Value {
        // reqwest takes the process's own; whoever is first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = Url::parse(&self.url).unwrap().join(path).unwrap();
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// A user whom the CMS knows by `id` signs in, is known, signs out, and is known no more: by what the dialogue says.
    pub async fn knows_a_session_until_it_is_signed_out(&self, user: &str, id: String, asker: Asker) {
        let backend = self.backend();
        let SignIn::Ok { cookies, .. } = backend.sign_in(user, &Secret::new(PASSWORD), &asker).await else {
            panic!("{user} cannot sign in")
        };
        assert_eq!(backend.who_am_i(&cookies, &asker).await, WhoAmI::SignedIn { user_id: Some(id) });
        assert_eq!(backend.who_am_i(&KeptCookies::default(), &asker).await, WhoAmI::Anonymous);
        assert_eq!(backend.sign_out(&cookies, &asker).await, SignOut::Ok);
        assert_eq!(backend.who_am_i(&cookies, &asker).await, WhoAmI::Anonymous);
    }

    /// The address that a user has.
    pub fn address_of(&self, user: &str) -> String {
        format!("{}@example.test", user.replace(' ', ".").to_lowercase())
    }

    /// The mails to a user, raw, in the order in which they were sent.
    pub fn mails_to(&self, user: &str) -> Vec<String> {
        let address = self.address_of(user);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&self.mail).unwrap().map(|f| f.unwrap().path()).collect();
        // What is still being written begins with a dot.
        files.retain(|file| file.extension().is_some());
        files.sort();
        let raw = files.iter().map(|file| String::from_utf8(std::fs::read(file).unwrap()).unwrap());
        raw.filter(|raw| raw.lines().any(|line| line.starts_with("To: ") && line.contains(&address)))
            .collect()
    }

    /// Waits for a mail to a user and checks that it tells nothing of the inside. The newest one's text.
    pub async fn mail_to(&self, user: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        let raw = loop {
            match self.mails_to(user).pop() {
                Some(raw) => break raw,
                None => assert!(Instant::now() < deadline, "no mail to {user}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(!raw.contains(self.internal()), "{raw}");
        MessageParser::default().parse(raw.as_bytes()).unwrap().body_text(0).unwrap().into_owned()
    }

    /// Follows the links of a site from `starts`, so many pages, and looks for the inside in each.
    pub async fn crawl(&self, browser: &mut Browser, starts: &[&str], pages: usize) {
        let mut known: BTreeSet<String> = starts.iter().map(|path| (*path).to_owned()).collect();
        let mut waiting: VecDeque<String> = starts.iter().map(|path| (*path).to_owned()).collect();
        for looked in 0..pages {
            let path = waiting.pop_front().unwrap_or_else(|| panic!("found only {looked} pages"));
            let answer = nothing_shows(browser.get(&path).await, self.internal());
            assert!(!answer.status.is_server_error(), "{path}: {}", answer.status);
            for link in answer.links("[href], [src], [action]").into_iter().chain(answer.location()) {
                let link = link.split('#').next().unwrap_or_default();
                let path = link.strip_prefix(&format!("http://{HOST}")).unwrap_or(link);
                let leads = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/_gate");
                if leads && !path.contains("ogout") && known.insert(path.to_owned()) {
                    waiting.push_back(path.to_owned());
                }
            }
        }
    }
}

/// The address of one visitor, another in every run: a CMS counts by it what is tried too often, for an hour and more.
pub fn address(last: u8) -> Ipv4Addr {
    static RUN: LazyLock<u8> = LazyLock::new(|| RandomState::new().build_hasher().finish().to_le_bytes()[0]);
    Ipv4Addr::new(198, 18, *RUN, last)
}

/// Somebody at that address.
pub fn visitor(gate: &Gate, last: u8) -> Browser {
    Browser::new(gate.address, HOST).with("x-forwarded-for", &address(last).to_string())
}

/// The same who asks without a gate.
pub fn asker(last: u8, language: &str) -> Asker {
    Asker {
        client_ip: IpAddr::V4(address(last)),
        language: Some(language.to_owned()),
        user_agent: Some("Mozilla/5.0 (a browser)".to_owned()),
        request_id: "req-1".to_owned(),
        whom: None,
    }
}

/// Signs in on the gate's page.
pub async fn signed_in(mut browser: Browser, user: &str, password: &str) -> Browser {
    let answer: Answer = browser.sign_in(user, password).await;
    assert_eq!(answer.status, 303, "{user}: {}", answer.text());
    browser
}
