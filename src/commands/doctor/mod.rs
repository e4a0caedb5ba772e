//! `lychgate doctor`: speaks with the live backend as the gate does, and with the gate as a visitor does, and says what it finds
//! and what to do about it.
//!
//! It sends nothing but GETs, except where it is told to: `--user` signs in (and out again), `--mailbox` has a real mail sent.
//! What is to be found at a CMS stands in its dialogue. The crawl looks for the one thing a gate must not let out: internal names.

mod backend;
mod certificate;
mod crawl;
mod dialogue;
mod leaks;
mod links;
mod public;
mod report;
mod visitor;

use std::io::{BufRead as _, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use self::report::Report;
use super::{Format, print};
use crate::clock::SystemClock;
use crate::cms::Asker;
use crate::config::{self, Config};
use crate::gate::Site;
use crate::secret::Secret;

/// What is to be looked at.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// This site only; all, if left out
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Where to speak with the gate, for when its public address does not lead there from this machine; the site's public host
    /// is named all the same
    #[arg(long, value_name = "URL", value_parser = public_address)]
    public: Option<url::Url>,
    /// Signs in as this user, with the password from standard input, and looks at what is shown then. Best an account that may
    /// read and change nothing
    #[arg(long)]
    user: Option<String>,
    /// Has a real reset mail sent to this account; nobody's password changes by that
    #[arg(long, value_name = "USER")]
    mailbox: Option<String>,
    /// Goes through this dialogue with the site's backend instead, step by step: signs in as --user, asks for a mail to --mailbox
    #[arg(long, value_name = "NAME")]
    dialogue: Option<String>,
    /// How many public pages to look through, and how many signed-in ones
    #[arg(long, default_value_t = 50, value_name = "N")]
    pages: usize,
    /// How findings are printed
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Ward<'_> {
    /// The site's path at the backend, where that is none of its public path: then no link may show it.
    fn inside(&self) -> Option<&str> {
        let inside = self.written.backend_url.as_ref().first().path();
        (!inside.is_empty() && !self.site.public.path().starts_with(inside)).then_some(inside)
    }
}

fn public_address(text: &str) -> Result<url::Url, String> {
    let wrong = || format!("`{text}` is no address; write it like http://127.0.0.1:8080");
    let url: url::Url = text.parse().map_err(|_| wrong())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/" {
        Ok(url)
    } else {
        Err(wrong())
    }
}

/// An account to look at the site with.
struct Account {
    user: String,
    password: Secret,
}

/// What every look at one site needs.
struct Ward<'a> {
    arguments: &'a Arguments,
    config: &'a Config,
    written: &'a config::Site,
    site: Site,
    account: Option<&'a Account>,
    asker: Asker,
}

pub(super) fn doctor(file: &Path, arguments: &Arguments) -> ExitCode {
    let config = match super::configuration(file) {
        Ok((config, _)) => config,
        Err(sentences) => return print::failure(&sentences),
    };
    let sites: Vec<&config::Site> = config
        .sites
        .iter()
        .map(toml::Spanned::as_ref)
        .filter(|site| arguments.site.as_ref().is_none_or(|name| name == site.name.as_ref()))
        .collect();
    let one = arguments.dialogue.is_some()
        || arguments.public.is_some()
        || arguments.user.is_some()
        || arguments.mailbox.is_some();
    if sites.is_empty() || (one && sites.len() > 1) {
        let names: Vec<&str> = config.sites.iter().map(|site| site.as_ref().name.as_ref().as_str()).collect();
        print::failure(&format!("say which site with --site NAME; there are: {}", names.join(", ")));
        return ExitCode::from(2);
    }
    let account = match arguments.user.as_deref().map(account).transpose() {
        Ok(account) => account,
        Err(sentence) => return print::failure(&sentence),
    };
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(sentence) => return print::failure(&sentence),
    };
    let mut report = Report::default();
    for written in sites {
        report.begin(written);
        let mut written = written.clone();
        if let Some(name) = arguments.dialogue.as_ref().filter(|name| *name != written.cms.as_ref()) {
            // The settings are those of the site's own dialogue.
            written.cms_settings.clear();
            *written.cms.as_mut() = name.clone();
        }
        let written = &written;
        match Site::new(&config, written, Arc::new(SystemClock)) {
            Ok(site) => {
                let account = account.as_ref();
                let ward = Ward { arguments, config: &config, written, site, account, asker: asker() };
                runtime.block_on(async {
                    if arguments.dialogue.is_some() {
                        return dialogue::rehearse(&ward, &mut report).await;
                    }
                    backend::examine(&ward, &mut report).await;
                    certificate::examine(&ward, &mut report).await;
                    public::examine(&ward, &mut report).await;
                });
            }
            Err(sentence) => {
                report.fail("configuration", sentence, "correct proxy.toml; `lychgate check` shows where")
            }
        }
    }
    report.print(arguments.format);
    if report.is_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn account(user: &str) -> Result<Account, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("password of {} (it shows as you type): ", print::plain(user));
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    let password = Secret::new(line);
    let text = password.expose().trim_end_matches(['\r', '\n']);
    match read {
        Ok(_) if !text.is_empty() => Ok(Account { user: user.to_owned(), password: Secret::new(text) }),
        _ => Err("--user needs the password on standard input".to_owned()),
    }
}

/// On whose behalf the CMS is asked: the operator's, on this machine.
fn asker() -> Asker {
    Asker {
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        language: None,
        user_agent: None,
        request_id: "doctor".to_owned(),
        whom: None,
    }
}
