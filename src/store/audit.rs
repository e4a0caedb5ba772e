//! What the store keeps of what happened, and of browsers that are to be known no longer.

use std::net::IpAddr;

use super::Answer;
use crate::clock::Timestamp;

/// One thing that happened, as stored. What the texts mean is [`crate::observe::audit`]'s affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: String,
    /// At which site: `name` of its `[[site]]`.
    pub site: String,
    /// The account's canonical name, where it is known that there is one.
    pub account: Option<String>,
    /// The keyed hash of the canonical name, whether there is such an account or not.
    pub account_key: Option<String>,
    /// The keyed hash of the reset link's token.
    pub link_key: Option<String>,
    /// From where; from nowhere if an operator did it.
    pub client: Option<IpAddr>,
    /// What came of it.
    pub verdict: String,
    /// The request's id, which the log has too.
    pub request_id: String,
    /// What more there is to say.
    pub detail: String,
}

/// Which rows are wanted; all that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// At this site.
    pub site: Option<String>,
    /// Of this account.
    pub account: Option<AuditAccount>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// One of these events; none given: any.
    pub events: Vec<String>,
}

/// An account that is looked for.
#[derive(Clone, Debug)]
pub struct AuditAccount {
    /// Its canonical name.
    pub name: String,
    /// The keyed hashes it may be stored under: one for each secret and each site.
    pub keys: Vec<String>,
}

/// Keeps what happened.
pub trait AuditStore: Send + Sync + 'static {
    /// Adds rows, all or none.
    fn append_audit(&self, rows: Vec<AuditRow>) -> Answer<()>;

    /// The rows that a filter asks for, in the order in which they were added.
    fn list_audit(&self, filter: AuditFilter) -> Answer<Vec<AuditRow>>;

    /// Removes what is older than `before`; then, of more than `most` rows, those too many: first the oldest that did not
    /// come to `ok`, so that a flood of failures washes out failures. Says how many there were.
    fn prune_audit(&self, before: Timestamp, most: u64) -> Answer<usize>;
}

/// Remembers from when on the browsers of an account have to be made known anew.
pub trait KnownBrowserStore: Send + Sync + 'static {
    /// What was issued for `account` up to `at` is good no longer.
    fn revoke_browsers(&self, account: String, at: Timestamp) -> Answer<()>;

    /// The last such moment.
    fn browsers_revoked(&self, account: String) -> Answer<Option<Timestamp>>;

    /// Forgets such moments before `before`: whatever was issued then has expired by itself.
    fn prune_browsers(&self, before: Timestamp) -> Answer<usize>;
}
