//! `lychgate sessions`: who is signed in, and ends that, on the store that running gates share.
//!
//! It opens the store beside the gate that runs, without its secrets; the gate notices within a second. It makes nothing: a
//! store that is not there is a mistake in the configuration, not an empty one.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{Format, audit, print};
use crate::account;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::observe;
use crate::observe::audit::Kind;
use crate::session::Shown;
use crate::store::{self, Everything, SessionKey, SessionRow, StoreUrl};

/// What is done with sessions.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Who is signed in
    List {
        /// Of this user only, however spelled
        #[arg(long)]
        user: Option<String>,
        /// At this site only
        #[arg(long)]
        site: Option<String>,
        /// How they are printed
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Ends sessions, at once, on every gate
    Revoke {
        #[command(flatten)]
        which: Which,
        /// How the ended ones are printed
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
}

/// Which sessions are to end.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Which {
    /// The sessions' ids, as `list` shows them
    #[arg(value_name = "ID", value_parser = id, conflicts_with_all = ["user", "site", "all"])]
    ids: Vec<String>,
    /// Those of this user, however spelled
    #[arg(long)]
    user: Option<String>,
    /// Those at this site
    #[arg(long)]
    site: Option<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["user", "site"])]
    all: bool,
}

/// A session's id as [`SessionKey`] displays it.
fn id(text: &str) -> Result<String, String> {
    let id = text.to_ascii_lowercase();
    if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(id)
    } else {
        Err("an id is 16 hexadecimal digits; `lychgate sessions list` shows them".to_owned())
    }
}

pub(super) fn sessions(file: &Path, command: Command) -> ExitCode {
    let done = super::runtime().and_then(|runtime| runtime.block_on(run(file, command)));
    done.err().map_or(ExitCode::SUCCESS, |sentence| print::failure(&sentence))
}

async fn run(file: &Path, command: Command) -> Result<(), String> {
    let (config, _) = super::configuration(file)?;
    let store = open(&config)?;
    let rows = store.load_sessions().await.map_err(|error| error.to_string())?;
    match command {
        Command::List { user, site, format } => {
            known_site(&config, rows.iter().map(|row| row.site.as_str()), site.as_deref())?;
            let now = SystemClock.now();
            let mut rows: Vec<SessionRow> = rows
                .into_iter()
                .filter(|row| config.session.is_live(row, now))
                .filter(|row| is_of(row, user.as_deref(), site.as_deref()))
                .collect();
            rows.sort_by(|one, two| {
                (&one.site, &one.user, one.created).cmp(&(&two.site, &two.user, two.created))
            });
            show(&rows, format);
            Ok(())
        }
        Command::Revoke { which, format } => {
            known_site(&config, rows.iter().map(|row| row.site.as_str()), which.site.as_deref())?;
            observe::start(&config.log);
            revoke(store.as_ref(), rows, &which, format).await
        }
    }
}

/// The store, if there is one already.
pub(super) fn open(config: &Config) -> Result<Arc<dyn Everything>, String> {
    let StoreUrl::Sqlite(path) = &config.store.url;
    let path = config.folder.join(path);
    if !path.exists() {
        return Err(format!(
            "there is no store {}; start the gate once, or name its configuration with --config",
            path.display()
        ));
    }
    store::open(&config.store.url, &config.folder).map_err(|error| error.to_string())
}

/// Ends what was asked for: also sessions that are over but not swept yet, and those whose secret is lost.
async fn revoke(
    store: &dyn Everything,
    rows: Vec<SessionRow>,
    which: &Which,
    format: Format,
) -> Result<(), String> {
    if let Some(missing) = which.ids.iter().find(|id| !rows.iter().any(|row| row.key.to_string() == **id)) {
        return Err(format!("there is no session {missing}; nothing was ended"));
    }
    let ended: Vec<SessionRow> = rows
        .into_iter()
        .filter(|row| which.ids.is_empty() || which.ids.contains(&row.key.to_string()))
        .filter(|row| is_of(row, which.user.as_deref(), which.site.as_deref()))
        .collect();
    let keys: Vec<SessionKey> = ended.iter().map(|row| row.key).collect();
    if !keys.is_empty() {
        store.remove_sessions(keys).await.map_err(|error| error.to_string())?;
    }
    for row in &ended {
        tracing::info!(session = %row.key, site = row.site, user = row.user, "session revoked by an operator");
    }
    let revoked = |row: &SessionRow| {
        audit::by_operator(Kind::Revocation, &row.site, &row.user, "a session ended by an operator")
    };
    audit::note(store, ended.iter().map(revoked).collect()).await;
    match format {
        Format::Json => show(&ended, format),
        Format::Human if ended.len() == 1 => print::line("1 session ended"),
        Format::Human => print::line(&format!("{} sessions ended", ended.len())),
    }
    Ok(())
}

fn is_of(row: &SessionRow, user: Option<&str>, site: Option<&str>) -> bool {
    user.is_none_or(|user| account::canonical(user) == account::canonical(&row.user))
        && site.is_none_or(|site| site == row.site)
}

/// A site that neither the configuration nor any row knows is a slip of the pen; to find nothing there would hide it.
pub(super) fn known_site<'r>(
    config: &Config,
    mut rows: impl Iterator<Item = &'r str>,
    site: Option<&str>,
) -> Result<(), String> {
    let Some(site) = site else { return Ok(()) };
    let names: Vec<&str> = config.sites.iter().map(|site| site.as_ref().name.as_ref().as_str()).collect();
    if names.contains(&site) || rows.any(|row| row == site) {
        return Ok(());
    }
    Err(format!("there is no site `{}`; there are: {}", print::plain(site), names.join(", ")))
}

fn show(rows: &[SessionRow], format: Format) {
    let shown = rows.iter().map(Shown::from);
    match format {
        Format::Json => print::json(&shown.collect::<Vec<_>>()),
        Format::Human => {
            let cells = |row: Shown<'_>| {
                let [client, agent] = [row.client.to_string(), row.user_agent.to_owned()];
                [row.id, row.site.into(), row.user.into(), client, row.created, row.seen, row.expires, agent]
            };
            let rows: Vec<_> = shown.map(cells).collect();
            let head = ["ID", "SITE", "USER", "CLIENT", "SIGNED IN", "LAST USED", "ENDS", "USER-AGENT"];
            print::table(head, &rows);
        }
    }
}
