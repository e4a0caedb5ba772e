//! What the store keeps of local users and of the reset links issued to them.

use std::fmt;
use std::net::IpAddr;

use super::{Answer, Groups, SessionKey};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// A local user as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// Never used twice.
    pub id: i64,
    /// The site whose users it is one of: `name` of its `[[site]]`.
    pub site: String,
    /// The name, as it was given.
    pub name: String,
    /// Where mail goes; without it there is no way back but the operator.
    pub mail: Option<String>,
    /// The groups.
    pub groups: Groups,
    /// The hash of the password, as `password::Hash` writes it; none until one is set.
    pub password: Option<Secret>,
    /// Counts up with every change that ends sessions.
    pub version: i64,
    /// Whether nobody gets in by it.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When its password was set.
    pub password_set: Option<Timestamp>,
}

/// A local user to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The site.
    pub site: String,
    /// The name, in the spelling of [`crate::account::canonical`].
    pub canonical: String,
    /// The name as given.
    pub name: String,
    /// Where mail goes.
    pub mail: Option<String>,
    /// The groups.
    pub groups: Groups,
    /// The hash of the password.
    pub password: Option<Secret>,
    /// Now.
    pub created: Timestamp,
}

/// By what a user is looked up.
#[derive(Clone, Debug)]
pub enum Known {
    /// The canonical name, and nothing else.
    Name(String),
    /// The canonical name; or the canonical mail address, if one user alone has it and nobody has it as a name.
    NameOrMail(String),
}

/// A change to a user. Each but the first two ends every session of the user and makes every reset link of theirs void.
#[derive(Clone, Debug)]
pub enum UserChange {
    /// The same password, hashed better; only if the user is still at this version.
    Rehashed {
        /// The version that was looked at.
        version: i64,
        /// The hash.
        hash: Secret,
    },
    /// Where mail goes. Makes reset links void, for they went elsewhere.
    Mail(Option<String>),
    /// A new password.
    Password {
        /// The hash.
        hash: Secret,
        /// Now.
        at: Timestamp,
        /// The session that goes on: the one in which it was changed.
        except: Option<SessionKey>,
        /// The version that was looked at, if the change depends on what was seen; another makes no change.
        version: Option<i64>,
    },
    /// Other groups.
    Groups(Groups),
    /// No way in, or one again.
    Disabled(bool),
    /// Gone.
    Removed,
}

/// What a reset link is stored under: the SHA-256 of its token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResetKey(pub(crate) [u8; 32]);

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[reset key]")
    }
}

/// A reset link to be issued.
#[derive(Clone, Debug)]
pub struct NewReset {
    /// What it is stored under.
    pub key: ResetKey,
    /// The user it is for.
    pub user: UserRow,
    /// When it was asked for.
    pub requested: Timestamp,
    /// From where.
    pub requested_from: IpAddr,
    /// The request's id, as the log has it.
    pub request_id: String,
    /// When it ends.
    pub expires: Timestamp,
    /// Older records are forgotten on the way.
    pub forget_before: Timestamp,
}

/// A reset link as stored, with both ends of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedReset {
    /// The site whose user it is for.
    pub site: String,
    /// The user's id.
    pub user_id: i64,
    /// The user's name.
    pub user: String,
    /// When it was asked for.
    pub requested: Timestamp,
    /// From where.
    pub requested_from: IpAddr,
    /// The id of the request that asked for it.
    pub request_id: String,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was first opened.
    pub opened: Option<Timestamp>,
    /// From where.
    pub opened_from: Option<IpAddr>,
    /// The mark of the browser that it is bound to.
    pub browser: Option<[u8; 32]>,
    /// When it was used.
    pub used: Option<Timestamp>,
    /// From where.
    pub used_from: Option<IpAddr>,
    /// When it lost its force unused: a newer one was issued, or the account has changed.
    pub void: Option<Timestamp>,
}

/// Somebody opens a reset link.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Which.
    pub key: ResetKey,
    /// Now.
    pub at: Timestamp,
    /// From where.
    pub from: IpAddr,
    /// The browser to bind it to, if it is bound to none yet.
    pub browser: Option<[u8; 32]>,
}

/// Somebody uses a reset link.
#[derive(Clone, Debug)]
pub struct Redemption {
    /// Which.
    pub key: ResetKey,
    /// The user it must be for.
    pub user_id: i64,
    /// The hash of the new password.
    pub password: Secret,
    /// Now.
    pub at: Timestamp,
    /// From where.
    pub from: IpAddr,
    /// The mark of the browser that uses it.
    pub browser: Option<[u8; 32]>,
    /// The sites that the user can be signed in to.
    pub sites: Vec<String>,
}

/// Keeps local users and their reset links. Every change is all or nothing, and durable before its answer is there.
pub trait Accounts: Send + Sync + 'static {
    /// Adds a user; `false` if there is one of that name.
    fn add_user(&self, user: NewUser) -> Answer<bool>;

    /// A user of `site`.
    fn find_user(&self, site: String, known: Known) -> Answer<Option<UserRow>>;

    /// The users of a site, or all, by site and name.
    fn list_users(&self, site: Option<String>) -> Answer<Vec<UserRow>>;

    /// Changes a user, and ends what the change ends: sessions at `sites`, reset links. `false` if there is no such user any
    /// more, or not at that version.
    fn change_user(&self, id: i64, change: UserChange, at: Timestamp, sites: Vec<String>) -> Answer<bool>;

    /// Issues a reset link; older ones of the user become void.
    fn issue_reset(&self, reset: NewReset) -> Answer<()>;

    /// Notes the first opening of a reset link, and binds it to the browser if it is bound to none; gives what is stored.
    fn open_reset(&self, opening: Opening) -> Answer<Option<IssuedReset>>;

    /// Uses a reset link and sets the password: in one step, which exactly one of any number at the same time takes. Ends the
    /// user's sessions. `false` if the link is used, void, over, somebody else's or bound to another browser.
    fn redeem_reset(&self, redemption: Redemption) -> Answer<bool>;

    /// The reset links that were asked for since a moment, the newest first.
    fn list_resets(&self, since: Timestamp) -> Answer<Vec<IssuedReset>>;
}
