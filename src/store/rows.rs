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
    /// The groups of a local user, as they were when it began; a change of them ends the session.
    pub groups: Groups,
}

/// The groups of a local user. A name is 1 to 64 ASCII letters, digits, `-`, `_`, `.` and `:`, so a header can carry a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups(Vec<String>);

impl Groups {
    /// Takes names, sorted and each once.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, String> {
        let mut groups: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if let Some(wrong) =
            groups.iter().find(|name| !(1..=64).contains(&name.len()) || !name.bytes().all(plain))
        {
            return Err(format!(
                "`{}` is no name for a group; write at most 64 letters, digits, `-`, `_`, `.` and `:`",
                wrong.escape_default()
            ));
        }
        groups.sort();
        groups.dedup();
        Ok(Self(groups))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// `a,b`, as headers have it.
    pub fn to_text(&self) -> String {
        self.0.join(",")
    }

    /// From [`Self::to_text`]; what is no name is left out.
    pub fn of_text(text: &str) -> Self {
        Self::new(text.split(',').filter(|name| !name.is_empty())).unwrap_or_default()
    }
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
