//! What the store keeps of a session.

use std::fmt;
use std::net::IpAddr;

use crate::clock::Timestamp;

/// The name of a session in the store: the SHA-256 of its id. Knowing it does not help to get in, so it may
/// be shown to operators, written to logs, and compared without care.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub(crate) [u8; 32]);

/// The first 16 of its 64 hexadecimal digits: enough to tell sessions apart.
impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({self})")
    }
}

/// A session as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its name.
    pub key: SessionKey,
    /// The site it belongs to: `name` of its `[[site]]`.
    pub site: String,
    /// The user, as the authority that vouched for the password spells it.
    pub user: String,
    /// When it began.
    pub created: Timestamp,
    /// When it was last used, within the seconds by which touches are held back.
    pub seen: Timestamp,
    /// When it ends at the latest.
    pub expires: Timestamp,
    /// Whether the person asked to be remembered.
    pub remembered: bool,
    /// From where it began.
    pub client: IpAddr,
    /// The User-Agent it began with, cut to a length that a table can show.
    pub user_agent: String,
    /// What the gate keeps for the session (the CMS's cookies), sealed.
    pub kept: Vec<u8>,
}

/// What changed in a session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionUpdate {
    /// Which session.
    pub key: SessionKey,
    /// When it began, as the clock is set now.
    pub created: Timestamp,
    /// When it was last used; a later moment in the store stays.
    pub seen: Timestamp,
    /// When it ends at the latest.
    pub expires: Timestamp,
    /// What is kept from now on, sealed; `None` leaves it.
    pub kept: Option<Vec<u8>>,
}
