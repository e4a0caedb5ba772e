//! The command line, one file a command.

mod audit;
mod check;
mod completions;
mod confine;
mod doctor;
mod mail;
mod print;
mod recoveries;
mod reload;
mod run;
mod schema;
mod sessions;
mod users;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::Runtime;

use crate::config::{Config, Finding};

/// An authenticating reverse proxy that stands in front of a legacy CMS.
#[derive(Debug, Parser)]
#[command(name = "lychgate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "proxy.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves (also without a command). SIGTERM and SIGINT finish the requests in flight and stop; SIGHUP reloads
    Run,
    /// Reads the configuration and everything it points to, and says what is wrong with it
    Check {
        /// How findings are printed
        #[arg(long, value_enum, default_value = "human")]
        format: Format,
    },
    /// Speaks with the live backend and with the gate's public side, and says what is amiss and what to do
    Doctor(doctor::Arguments),
    /// Who is signed in; ends sessions, at once, on every gate
    Sessions {
        #[command(subcommand)]
        command: sessions::Command,
    },
    /// Who asked for a reset, and what came of it
    Recoveries {
        #[command(subcommand)]
        command: audit::Recoveries,
    },
    /// Who signed in, failed to, signed out, set a password; when and from where
    Audit {
        #[command(subcommand)]
        command: audit::Command,
    },
    /// The gate's own users, for sites with sign_in = "local"; a gate that runs notices at once
    Users {
        #[command(subcommand)]
        command: users::Command,
    },
    /// The gate's own mails
    Mail {
        #[command(subcommand)]
        command: mail::Command,
    },
    /// Prints the JSON Schema of proxy.toml, for editors
    Schema,
    /// Prints what a shell needs to complete these commands
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each
    Human,
    /// A JSON document
    Json,
}

/// Runs the command that the process was started with. Exit codes: 0 done, 1 cannot, 2 wrong usage.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&arguments.config),
        Command::Check { format } => check::check(&arguments.config, format),
        Command::Doctor(doctor) => doctor::doctor(&arguments.config, &doctor),
        Command::Schema => schema::schema(),
        Command::Completions { shell } => completions::completions(shell),
        Command::Recoveries { command } => audit::recoveries(&arguments.config, command),
        Command::Audit { command } => audit::audit(&arguments.config, command),
        Command::Sessions { command } => sessions::sessions(&arguments.config, command),
        Command::Users { command } => users::users(&arguments.config, command),
        Command::Mail { command } => mail::mail(&arguments.config, &command),
    }
}

/// The configuration, for a command that can do nothing without it, and what is odd about it.
///
/// # Errors
/// A line for each mistake in it.
fn configuration(file: &Path) -> Result<(Config, Vec<Finding>), String> {
    Config::read(file)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// What a command waits for the store and the backend on.
///
/// # Errors
/// One sentence, when the system has none to give.
fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
}
