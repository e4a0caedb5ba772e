//! `lychgate audit list` and `lychgate recoveries list`: what the audit trail holds, and what became of requests for a reset.
//!
//! Both read the store beside the gate that runs. Names that were never confirmed stand there as keyed hashes (see
//! [`crate::observe::audit`]); with `--user` the store's secret is read to find those of that name, too.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::print;
use super::recoveries::{self, Recovery};
use super::sessions::{known_site, open};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::config::values::Span;
use crate::observe::audit::{Kind, Names};
use crate::random::SystemRandom;
use crate::seal::Sealer;
use crate::session::moment;
use crate::store::{AuditFilter, AuditRow, Everything};

/// What is done with the audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Everything that happened: sign-ins, failures, sign-outs, resets, revocations, what operators did to users
    List {
        #[command(flatten)]
        which: Which,
        /// Only events of this kind; may be given several times
        #[arg(long, value_parser = kind)]
        event: Vec<Kind>,
    },
}

/// What is done with requests for a reset.
#[derive(Debug, Subcommand)]
pub(super) enum Recoveries {
    /// Requests for a reset: when, for whom, from where, what came of it, used when and from where
    List {
        #[command(flatten)]
        which: Which,
    },
}

/// Which events, and how they are printed.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this user only, however spelled
    #[arg(long)]
    user: Option<String>,
    /// At this site only
    #[arg(long)]
    site: Option<String>,
    /// From then on: a span back from now (24h, 7d), a day (2026-03-01) or a moment (2026-03-01T12:00:00Z)
    #[arg(long, value_parser = since)]
    since: Option<Timestamp>,
    /// How they are printed
    #[arg(long, value_enum, default_value = "human")]
    format: ListFormat,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// A table
    Human,
    /// A JSON document
    Json,
    /// Comma-separated values (RFC 4180), safe to open as a spreadsheet
    Csv,
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::as_str).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| format!("there are: {}", names()))
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(SystemClock.now().before(span.as_duration()));
    }
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| Some(day()?.timestamp()));
    moment.map(|moment| Timestamp::from_millis(moment.as_millisecond())).ok_or_else(|| {
        "write a span such as 7d, a day such as 2026-03-01, or a moment such as 2026-03-01T12:00:00Z"
            .to_owned()
    })
}

pub(super) fn audit(file: &Path, command: Command) -> ExitCode {
    let Command::List { which, event } = command;
    print::outcome(list(file, &which).map(|all| {
        let rows = all
            .rows
            .iter()
            .filter(|row| event.is_empty() || event.iter().any(|kind| kind.as_str() == row.event));
        let rows: Vec<Shown<'_>> =
            rows.filter(|row| all.wants(row)).map(|row| Shown::of(row, &all.names)).collect();
        match which.format {
            ListFormat::Json => print::json(&rows),
            ListFormat::Csv => print::csv(HEAD, rows.iter().map(Shown::cells)),
            ListFormat::Human => print::table(HEAD, &rows.iter().map(Shown::cells).collect::<Vec<_>>()),
        }
    }))
}

pub(super) fn recoveries(file: &Path, command: Recoveries) -> ExitCode {
    let Recoveries::List { which } = command;
    print::outcome(list(file, &which).map(|all| {
        let rows: Vec<Recovery<'_>> = recoveries::joined(&all.rows)
            .into_iter()
            .filter(|recovery| all.wants(recovery.first()))
            .collect();
        recoveries::show(&rows, &all.names, which.format);
    }))
}

/// The rows of the sites and the time that were asked for, and how to tell those of the user.
struct Listed {
    rows: Vec<AuditRow>,
    /// The names of hashed accounts that some row knows.
    names: HashMap<String, String>,
    account: Option<crate::store::AuditAccount>,
}

impl Listed {
    fn wants(&self, row: &AuditRow) -> bool {
        self.account.as_ref().is_none_or(|account| {
            row.account.as_ref() == Some(&account.name)
                || row.account_key.as_ref().is_some_and(|key| account.keys.contains(key))
        })
    }
}

fn list(file: &Path, which: &Which) -> Result<Listed, String> {
    let runtime = super::runtime()?;
    let (config, _) = super::configuration(file)?;
    let store = open(&config)?;
    // Openings of links name nobody, so the user is looked for among what was read.
    let filter = AuditFilter { site: which.site.clone(), since: which.since, ..AuditFilter::default() };
    let rows = runtime.block_on(store.list_audit(filter)).map_err(|error| error.to_string())?;
    known_site(&config, rows.iter().map(|row| row.site.as_str()), which.site.as_deref())?;
    let account = match &which.user {
        None => None,
        Some(user) => {
            let sites: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.site.as_str()).collect();
            Some(names(&config)?.looked_for(user, sites))
        }
    };
    let known = rows.iter().filter_map(|row| Some((row.account_key.clone()?, row.account.clone()?)));
    Ok(Listed { names: known.collect(), rows, account })
}

/// The keys that names are hashed with. Makes no secret: one that is not there yet opens nothing.
fn names(config: &Config) -> Result<Names, String> {
    config.store.secret.check(&config.folder).map_err(|error| error.to_string())?;
    Sealer::open_secrets(&config.store.secret, &config.folder, Arc::new(SystemRandom))
        .map(Names::new)
        .map_err(|error| error.to_string())
}

const HEAD: [&str; 8] = ["TIME", "EVENT", "SITE", "USER", "CLIENT", "VERDICT", "REQUEST", "DETAIL"];

/// An event as it is printed.
#[derive(Serialize)]
struct Shown<'a> {
    time: String,
    event: &'a str,
    site: &'a str,
    user: Option<&'a str>,
    client: Option<IpAddr>,
    verdict: &'a str,
    request_id: &'a str,
    detail: &'a str,
}

impl<'a> Shown<'a> {
    fn of(row: &'a AuditRow, names: &'a HashMap<String, String>) -> Self {
        Self {
            time: moment(row.at),
            event: &row.event,
            site: &row.site,
            user: user(row, names),
            client: row.client,
            verdict: &row.verdict,
            request_id: &row.request_id,
            detail: &row.detail,
        }
    }

    fn cells(&self) -> [String; 8] {
        [
            self.time.clone(),
            self.event.to_owned(),
            self.site.to_owned(),
            self.user.unwrap_or_default().to_owned(),
            self.client.map(|client| client.to_string()).unwrap_or_default(),
            self.verdict.to_owned(),
            self.request_id.to_owned(),
            self.detail.to_owned(),
        ]
    }
}

/// What an operator has done to an account, for the audit trail: now, from no address, by no request.
pub(super) fn by_operator(kind: Kind, site: &str, user: &str, detail: &str) -> AuditRow {
    AuditRow {
        at: SystemClock.now(),
        event: kind.as_str().to_owned(),
        site: site.to_owned(),
        account: Some(crate::account::canonical(user)),
        account_key: None,
        link_key: None,
        client: None,
        verdict: "ok".to_owned(),
        request_id: String::new(),
        detail: detail.to_owned(),
    }
}

/// Writes such events down. What they tell of has happened; that it cannot be written must not look as if it had not.
pub(super) async fn note(store: &dyn Everything, rows: Vec<AuditRow>) {
    if let Err(error) = store.append_audit(rows).await {
        tracing::error!(%error, "what an operator did cannot be written to the audit trail");
    }
}

/// The name, if any row knows it; otherwise its hash.
pub(super) fn user<'a>(row: &'a AuditRow, names: &'a HashMap<String, String>) -> Option<&'a str> {
    let known = || row.account_key.as_ref().and_then(|key| names.get(key));
    row.account.as_ref().or_else(known).or(row.account_key.as_ref()).map(String::as_str)
}
