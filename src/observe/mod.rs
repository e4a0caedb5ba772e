//! What the gate says of itself: one line a request, and what went wrong.
//!
//! No line ever holds a password, token, cookie or query: a request is logged by its path with reset tokens masked,
//! see [`access`]. What concerns accounts is also kept, see [`audit`].

pub mod access;
pub mod audit;
pub mod metrics;

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// `[log]` of `proxy.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How lines look; for people.
    pub format: Format,
    /// How much is said; `info`.
    pub level: Level,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Human, level: Level::Info }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What must be seen to.
    Error,
    /// And what may have to be.
    Warn,
    /// And every request.
    Info,
    /// And why each was decided as it was.
    Debug,
}

/// Sends the log to standard error for the rest of the process.
pub fn start(settings: &Settings) {
    let level = match settings.level {
        // The audit trail is part of it at any level.
        Level::Error => "error,audit=info",
        Level::Warn => "warn,audit=info",
        Level::Info => "info",
        // The libraries' own debug lines show headers, and headers hold secrets.
        Level::Debug => "info,lychgate=debug",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(std::io::stderr)
        // Colours are for people; in a file or journal they are noise that no search expects.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false);
    // A log that was started before stays: that is so only in tests.
    let _ = match settings.format {
        Format::Human => builder.try_init(),
        // With the target, by which the events of the audit trail can be told from the rest.
        Format::Json => builder.json().flatten_event(true).with_target(true).try_init(),
    };
}
