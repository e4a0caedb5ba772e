//! `lychgate users`: the gate's own users, in the store that running gates share.
//!
//! Each change is there before the command ends, and a gate that runs looks each time somebody signs in; sessions that a change ends are over
//! at every gate within a second. Passwords come by prompt or standard input, never as arguments, which every process can read.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Format, audit, print};
use crate::account;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, SignIn};
use crate::identity::{UserName, known};
use crate::observe;
use crate::observe::audit::Kind;
use crate::password::{self, Hash, read_htpasswd};
use crate::random::SystemRandom;
use crate::secret::Secret;
use crate::session::moment;
use crate::store::{self, Everything, Groups, Known, NewUser, UserChange, UserRow};

/// What is done with users.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Adds a user; asks for the password
    Add {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
        /// Where reset links and notices go
        #[arg(long, value_parser = mail)]
        email: Option<String>,
        /// A group; more than once for several
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Sets none: the user asks for a link on the forgotten-password page
        #[arg(long)]
        no_password: bool,
    },
    /// Who there is
    List {
        /// Of this site only
        #[arg(long)]
        site: Option<String>,
        /// How they are printed
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Sets a password, which it asks for; ends the user's sessions
    Passwd {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Changes the mail address or the groups; other groups end the user's sessions
    Change {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
        /// Where reset links and notices go from now on; "" nowhere
        #[arg(long, value_parser = mail_or_none)]
        email: Option<String>,
        /// All groups, with commas between; "" none
        #[arg(long)]
        groups: Option<String>,
    },
    /// Lets nobody in by this name any more, and ends the user's sessions
    Disable {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Lets the user in again
    Enable {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Removes a user, and ends their sessions
    Remove {
        /// The name
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Takes over the users of an htpasswd file, with the passwords they have; who is there already stays as they are
    Import {
        /// The file; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Whose users.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The site whose user it is; may be left out if only one has users
    #[arg(long)]
    site: Option<String>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

fn mail(text: &str) -> Result<String, String> {
    let address = text.trim();
    let wrong = || format!("`{}` is no mail address", text.escape_default());
    address.parse::<lettre::Address>().map(|address| address.to_string()).map_err(|_| wrong())
}

fn mail_or_none(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Ok(String::new()) } else { mail(text) }
}

pub(super) fn users(file: &Path, command: Command) -> ExitCode {
    let done = super::runtime().and_then(|runtime| runtime.block_on(run(file, command)));
    done.err().map_or(ExitCode::SUCCESS, |sentence| print::failure(&sentence))
}

/// The configuration and the store.
struct Desk {
    config: Config,
    store: Arc<dyn Everything>,
}

async fn run(file: &Path, command: Command) -> Result<(), String> {
    let (config, _) = super::configuration(file)?;
    observe::start(&config.log);
    let store = store::open(&config.store.url, &config.folder).map_err(|error| error.to_string())?;
    let desk = Desk { config, store };
    match command {
        Command::List { site, format } => {
            let anywhere =
                site.is_none() && desk.config.sites.iter().any(|site| site.as_ref().sign_in == SignIn::Local);
            let site = if anywhere { None } else { Some(desk.owner(site.as_deref())?) };
            let users = desk.store.list_users(site).await.map_err(|error| error.to_string())?;
            show(&users, format);
            Ok(())
        }
        Command::Add { name, whose, email, groups, no_password } => {
            desk.add(&name, &whose, email, &groups, no_password).await
        }
        Command::Passwd { name, whose } => desk.set_password(&name, &whose).await,
        Command::Change { name, whose, email, groups } => desk.change(&name, &whose, email, groups).await,
        Command::Disable { name, whose } => {
            desk.apply(&name, &whose, UserChange::Disabled(true), "disabled").await
        }
        Command::Enable { name, whose } => {
            desk.apply(&name, &whose, UserChange::Disabled(false), "enabled").await
        }
        Command::Remove { name, whose } => desk.apply(&name, &whose, UserChange::Removed, "removed").await,
        Command::Import { file, whose } => desk.import(&file, &whose).await,
    }
}

impl Desk {
    /// The site that owns the users which `named`, or the only one, signs in.
    fn owner(&self, named: Option<&str>) -> Result<String, String> {
        let local = || {
            self.config.sites.iter().map(|site| site.as_ref()).filter(|site| site.sign_in == SignIn::Local)
        };
        let mut owners: Vec<&str> = local().map(|site| self.config.users_of(site)).collect();
        owners.sort_unstable();
        owners.dedup();
        match (named, owners.as_slice()) {
            (_, []) => {
                Err("no site has users of the gate's own; write sign_in = \"local\" in its [[site]]"
                    .to_owned())
            }
            (None, [only]) => Ok((*only).to_owned()),
            (None, _) => {
                Err(format!("several sites have users; name one with --site: {}", owners.join(", ")))
            }
            (Some(name), _) => {
                let site = local().find(|site| site.name.as_ref() == name);
                site.map(|site| self.config.users_of(site).to_owned()).ok_or_else(|| {
                    format!(
                        "there is no site `{}` with sign_in = \"local\"; there are: {}",
                        print::plain(name),
                        owners.join(", ")
                    )
                })
            }
        }
    }

    async fn find(&self, name: &str, whose: &Whose) -> Result<UserRow, String> {
        let site = self.owner(whose.site.as_deref())?;
        let found = self.store.find_user(site.clone(), Known::Name(account::canonical(name))).await;
        found.map_err(|error| error.to_string())?.ok_or_else(|| {
            format!("site {site} has no user `{}`; `lychgate users list` shows them", print::plain(name))
        })
    }

    fn hash(&self, password: &Secret, name: &str) -> Result<Hash, String> {
        let settings = &self.config.local_users;
        password::check(password, name, settings.shortest_password)
            .map_err(|unfit| format!("{unfit}; nothing was changed"))?;
        settings.costs()?.hash(password, &SystemRandom)
    }

    async fn add(
        &self,
        name: &str,
        whose: &Whose,
        email: Option<String>,
        groups: &[String],
        no_password: bool,
    ) -> Result<(), String> {
        let site = self.owner(whose.site.as_deref())?;
        let name: UserName = name.parse()?;
        let groups = Groups::new(groups.iter().map(String::as_str))?;
        let taken = || format!("site {site} has a user `{}` already", name.as_str());
        let known = Known::Name(name.canonical());
        if self.store.find_user(site.clone(), known).await.map_err(|error| error.to_string())?.is_some() {
            return Err(taken());
        }
        let hash = if no_password { None } else { Some(self.hash(&ask()?, name.as_str())?) };
        let user = NewUser {
            site: site.clone(),
            canonical: name.canonical(),
            name: name.as_str().to_owned(),
            mail: email,
            groups,
            password: hash.map(|hash| hash.text().clone()),
            created: SystemClock.now(),
        };
        if !self.store.add_user(user).await.map_err(|error| error.to_string())? {
            return Err(taken());
        }
        tracing::info!(site, user = name.as_str(), "user added by an operator");
        self.note(Kind::UserChange, &site, name.as_str(), "added").await;
        let user = self.find(name.as_str(), whose).await?;
        done(&user, "added", whose.format);
        Ok(())
    }

    async fn set_password(&self, name: &str, whose: &Whose) -> Result<(), String> {
        let user = self.find(name, whose).await?;
        let hash = self.hash(&ask()?, &user.name)?;
        let at = SystemClock.now();
        let change = UserChange::Password { hash: hash.text().clone(), at, except: None, version: None };
        self.apply(name, whose, change, "given a new password").await
    }

    async fn change(
        &self,
        name: &str,
        whose: &Whose,
        email: Option<String>,
        groups: Option<String>,
    ) -> Result<(), String> {
        if email.is_none() && groups.is_none() {
            return Err("nothing to change; name --email or --groups".to_owned());
        }
        if let Some(groups) = groups {
            let groups = Groups::new(groups.split(',').filter(|group| !group.trim().is_empty()))?;
            self.apply(name, whose, UserChange::Groups(groups), "given other groups").await?;
        }
        match email {
            Some(email) => {
                let email = Some(email).filter(|email| !email.is_empty());
                self.apply(name, whose, UserChange::Mail(email), "given another mail address").await
            }
            None => Ok(()),
        }
    }

    async fn apply(&self, name: &str, whose: &Whose, change: UserChange, said: &str) -> Result<(), String> {
        let user = self.find(name, whose).await?;
        let sites = self.config.sites_with_users_of(&user.site);
        let removed = matches!(change, UserChange::Removed);
        let sets_password = matches!(change, UserChange::Password { .. });
        let changed = self.store.change_user(user.id, change, SystemClock.now(), sites).await;
        if !changed.map_err(|error| error.to_string())? {
            return Err(format!("user `{}` is gone", user.name));
        }
        if sets_password || removed {
            self.forget_browsers(&user).await;
        }
        tracing::info!(site = user.site, user = user.name, change = said, "user changed by an operator");
        let kind = if sets_password { Kind::PasswordChange } else { Kind::UserChange };
        self.note(kind, &user.site, &user.name, said).await;
        let user = if removed { user } else { self.find(name, whose).await? };
        done(&user, said, whose.format);
        Ok(())
    }

    /// From now on no browser is known to the account: whoever sat there may have had the old password.
    async fn forget_browsers(&self, user: &UserRow) {
        let key = known::key(&user.site, &account::canonical(&user.name));
        if let Err(error) = self.store.revoke_browsers(key, SystemClock.now()).await {
            tracing::error!(site = user.site, user = user.name, %error, "known browsers cannot be forgotten in the store");
        }
    }

    /// Writes into the audit trail what was done.
    async fn note(&self, kind: Kind, site: &str, name: &str, said: &str) {
        let row = audit::by_operator(kind, site, name, &format!("{said} by an operator"));
        audit::note(self.store.as_ref(), vec![row]).await;
    }

    async fn import(&self, file: &Path, whose: &Whose) -> Result<(), String> {
        let site = self.owner(whose.site.as_deref())?;
        let text = if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(file)
        };
        let text = Secret::new(text.map_err(|error| format!("{} cannot be read: {error}", file.display()))?);
        let (entries, refused) = read_htpasswd(text.expose());
        let mut problems: Vec<String> = refused
            .iter()
            .map(|refused| format!("{}:{}: {}", file.display(), refused.line, refused.what))
            .collect();
        let mut imported = Vec::new();
        for entry in entries {
            let name: UserName = match entry.name.parse() {
                Ok(name) => name,
                Err(error) => {
                    problems.push(format!("{}: {error}", file.display()));
                    continue;
                }
            };
            let user = NewUser {
                site: site.clone(),
                canonical: name.canonical(),
                name: name.as_str().to_owned(),
                // Where names are addresses, they are where mail goes.
                mail: mail(name.as_str()).ok(),
                groups: Groups::default(),
                password: Some(entry.hash.text().clone()),
                created: SystemClock.now(),
            };
            if self.store.add_user(user).await.map_err(|error| error.to_string())? {
                tracing::info!(site, user = name.as_str(), "user imported by an operator");
                self.note(Kind::UserChange, &site, name.as_str(), "imported").await;
                imported.push(name.as_str().to_owned());
            } else {
                problems.push(format!(
                    "{}: site {site} has a user `{}` already, who stays as they are",
                    file.display(),
                    name.as_str()
                ));
            }
        }
        match whose.format {
            Format::Json => print::json(&serde_json::json!({ "imported": imported, "refused": problems })),
            Format::Human if imported.len() == 1 => print::line("1 user imported"),
            Format::Human => print::line(&format!("{} users imported", imported.len())),
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }
}

/// A password: typed twice at a terminal, or the first line of standard input.
fn ask() -> Result<Secret, String> {
    let unread = |error: std::io::Error| format!("the password cannot be read: {error}");
    if std::io::stdin().is_terminal() {
        let password = Secret::new(rpassword::prompt_password("Password: ").map_err(unread)?);
        let again = Secret::new(rpassword::prompt_password("Once more: ").map_err(unread)?);
        return if password == again {
            Ok(password)
        } else {
            Err("the two are not the same; nothing was changed".to_owned())
        };
    }
    let mut line = zeroize::Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut line).map_err(unread)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// A user as printed; the hash never is.
#[derive(Serialize)]
struct Shown<'a> {
    site: &'a str,
    name: &'a str,
    email: Option<&'a str>,
    groups: &'a [String],
    disabled: bool,
    has_password: bool,
    created: String,
    password_set: Option<String>,
}

impl<'a> Shown<'a> {
    fn of(user: &'a UserRow) -> Self {
        Self {
            site: &user.site,
            name: &user.name,
            email: user.mail.as_deref(),
            groups: user.groups.names(),
            disabled: user.disabled,
            has_password: user.password.is_some(),
            created: moment(user.created),
            password_set: user.password_set.map(moment),
        }
    }
}

fn done(user: &UserRow, said: &str, format: Format) {
    match format {
        Format::Json => print::json(&Shown::of(user)),
        Format::Human => print::line(&format!("{} at {}: {said}", print::plain(&user.name), user.site)),
    }
}

fn show(users: &[UserRow], format: Format) {
    let shown = users.iter().map(Shown::of);
    match format {
        Format::Json => print::json(&shown.collect::<Vec<_>>()),
        Format::Human => {
            let cells = |user: Shown<'_>| {
                let state = match (user.disabled, user.has_password) {
                    (true, _) => "disabled",
                    (false, false) => "no password",
                    (false, true) => "",
                };
                let email = user.email.unwrap_or_default().to_owned();
                [user.site.into(), user.name.into(), email, user.groups.join(","), state.into(), user.created]
            };
            let rows: Vec<_> = shown.map(cells).collect();
            print::table(["SITE", "NAME", "EMAIL", "GROUPS", "STATE", "ADDED"], &rows);
        }
    }
}
