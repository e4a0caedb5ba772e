//! What has to outlive the process, in one place that several processes may share: the gate's sessions, its own users, the reset links it
//! issued to them, and what happened.
//!
//! [`Store`] and [`Accounts`] are what the rest of the gate knows; [`open`] gives the one that `[store] url` names, so far
//! SQLite. Nothing here knows what a session or a password means: [`crate::session`] and [`crate::identity`] decide, this keeps.
//! Every answer is a future, because a store may be far away; no request waits for one, only signing in
//! and out and setting passwords do.
//!
//! Defends against: losing a session that was promised (a change is durable before its future resolves),
//! and an operator left alone with an error number ([`StoreError`] names the file and the remedy).

mod accounts;
mod audit;
mod error;
mod health;
mod held;
mod rows;
mod sqlite;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::config::values::{SecretFile, SecretSource, schema_as, without_user};
use crate::seal::Secrets;

pub use self::accounts::{
    Accounts, IssuedReset, Known, NewReset, NewUser, Opening, Redemption, ResetKey, UserChange, UserRow,
};
pub use self::audit::{AuditAccount, AuditFilter, AuditRow, AuditStore, KnownBrowserStore};
pub use self::error::{Problem, StoreError};
pub use self::health::Health;
pub use self::held::{HeldClaim, HeldFate, HeldForms, HeldId, HeldLine, HeldOwner, HeldRoom, HeldRow};
pub use self::rows::{Groups, SessionKey, SessionRow, SessionUpdate};

/// The section `[store]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the store is; default `"sqlite:var/lychgate.db"`.
    #[serde(default = "default_url")]
    pub url: StoreUrl,
    /// What everything in the store is sealed with: one secret or several, of which the first seals and all
    /// open. At least 32 characters each. Default `{ file = "var/lychgate.secret" }`, made on first start.
    #[serde(default = "default_secret")]
    pub secret: Secrets,
}

impl Default for Settings {
    fn default() -> Self {
        Self { url: default_url(), secret: default_secret() }
    }
}

fn default_url() -> StoreUrl {
    StoreUrl::Sqlite("var/lychgate.db".into())
}

fn default_secret() -> Secrets {
    Secrets::one(SecretSource::File(SecretFile { file: "var/lychgate.secret".into() }))
}

/// The place of a store: `sqlite:PATH`, the path relative to the folder of `proxy.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A database file.
    Sqlite(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() && !path.starts_with(':') => {
                Ok(Self::Sqlite(path.into()))
            }
            _ => Err(format!(
                "`{}` is no store; write sqlite: and a path, such as \"sqlite:var/lychgate.db\"",
                without_user(text)
            )),
        }
    }
}

schema_as!(StoreUrl, String);

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Opens the store of `url`, making what does not exist yet; a relative path starts at `folder`.
///
/// # Errors
/// When the store cannot be used, with what to do about it.
pub fn open(url: &StoreUrl, folder: &Path) -> Result<Arc<dyn Everything>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => Ok(Arc::new(sqlite::Sqlite::open(folder.join(path))?)),
    }
}

/// All that one store keeps.
pub trait Everything: Store + Accounts + AuditStore + KnownBrowserStore {}

impl<S: Store + Accounts + AuditStore + KnownBrowserStore> Everything for S {}

/// What a store answers, once it has. The work goes on even if nobody waits for it.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// Keeps sessions, and forms that wait for theirs, for as long as it is told to; shared by every worker, and possibly by other processes.
///
/// A change is durable before its answer is there: it survives `kill -9` and, as far as the disk keeps its
/// word, a power cut.
pub trait Store: HeldForms {
    /// Keeps `row`; `instead_of` goes in the same instant, so that there is no moment with both or neither.
    fn insert_session(&self, row: SessionRow, instead_of: Option<SessionKey>) -> Answer<()>;

    /// Writes what changed in sessions, all or nothing; those that are gone stay gone.
    fn update_sessions(&self, updates: Vec<SessionUpdate>) -> Answer<()>;

    /// Removes sessions; says how many there were.
    fn remove_sessions(&self, keys: Vec<SessionKey>) -> Answer<usize>;

    /// Removes every session that ended before `now`, and each of `idle` unless it was seen after the
    /// moment given with it, which another gate may know of; says how many there were.
    fn sweep_sessions(&self, idle: Vec<(SessionKey, Timestamp)>, now: Timestamp) -> Answer<usize>;

    /// Every session there is.
    fn load_sessions(&self) -> Answer<Vec<SessionRow>>;

    /// How it is doing, as far as it has noticed: never waits. Once it has failed, it tries every two seconds whether it can
    /// write again.
    fn health(&self) -> Health;

    /// Counts up, within a second, whenever another process has changed something.
    fn changes(&self) -> watch::Receiver<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_has_defaults_and_refuses_what_it_does_not_know() {
        let settings: Settings = toml::from_str("").unwrap();
        assert_eq!(settings.url, StoreUrl::Sqlite("var/lychgate.db".into()));
        assert_eq!(settings.secret.iter().count(), 1);
        for (name, toml) in [
            ("unknown key", "urls = \"sqlite:x\""),
            ("unknown kind", "url = \"redis://127.0.0.1\""),
            ("no path", "url = \"sqlite:\""),
            ("in memory", "url = \"sqlite::memory:\""),
            ("no kind", "url = \"var/lychgate.db\""),
        ] {
            assert!(toml::from_str::<Settings>(toml).is_err(), "{name}");
        }
    }
}
