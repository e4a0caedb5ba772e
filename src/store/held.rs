//! What the store keeps of a form that waits for its sender to sign in; [`crate::held`] says what it means.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Answer;
use crate::clock::Timestamp;
use crate::random::{self, Random};

/// The name of a held form: 128 random bits, 22 characters of base64url in an address. It opens nothing by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldId(pub(crate) [u8; 16]);

impl HeldId {
    /// A new one.
    pub fn random(random: &dyn Random) -> Self {
        Self(random::bytes(random))
    }

    /// Reads what [`fmt::Display`] wrote; there is one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for HeldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Whose a held form is: all three must be right, or it is not there.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldOwner {
    /// The SHA-256 of what marks the browser.
    pub browser: [u8; 32],
    /// The site: `name` of its `[[site]]`.
    pub site: String,
    /// The user, as the authority that vouched for the password spells it.
    pub user: String,
}

/// A held form as it is stored.
pub struct HeldRow {
    /// Its name.
    pub id: HeldId,
    /// Whose it is.
    pub owner: HeldOwner,
    /// The client's network, as limits count them.
    pub network: u128,
    /// When it came.
    pub created: Timestamp,
    /// When it goes.
    pub expires: Timestamp,
    /// Where it was going, sealed.
    pub head: Vec<u8>,
    /// What was in it, sealed.
    pub body: Vec<u8>,
}

/// How much may be held; the oldest make room.
#[derive(Clone, Copy, Debug)]
pub struct HeldRoom {
    /// Forms of one client network.
    pub network_count: u64,
    /// Bytes of one client network.
    pub network_bytes: u64,
    /// Forms of all.
    pub total_count: u64,
    /// Bytes of all.
    pub total_bytes: u64,
}

/// A held form, less what was in it.
pub struct HeldLine {
    /// Its name.
    pub id: HeldId,
    /// When it came.
    pub created: Timestamp,
    /// Where it was going, sealed.
    pub head: Vec<u8>,
    /// Whether it was sent on without a clear end.
    pub unclear: bool,
}

/// What came of taking a form to send it.
pub enum HeldClaim {
    /// It is the caller's to send; nobody else gets it until [`HeldForms::settle_held`].
    Yours {
        /// Where it was going, sealed.
        head: Vec<u8>,
        /// What was in it, sealed.
        body: Vec<u8>,
    },
    /// Somebody else is sending it.
    Busy,
    /// There is none, or it is another's.
    Gone,
}

/// What came of sending a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldFate {
    /// The backend has it: it is kept no longer.
    Sent,
    /// The backend never had it: as if nothing had happened.
    NotSent,
    /// Nobody can tell: it is offered again, and that is said.
    Unclear,
}

/// Keeps forms until their senders have signed in. As durable as everything in a [`super::Store`].
pub trait HeldForms: Send + Sync + 'static {
    /// Keeps a form; the oldest go where `room` asks for it.
    fn insert_held(&self, row: HeldRow, room: HeldRoom) -> Answer<()>;

    /// The forms of `owner` that have not run out, the oldest first.
    fn list_held(&self, owner: HeldOwner, now: Timestamp) -> Answer<Vec<HeldLine>>;

    /// Takes a form of `owner` to be sent, unless it was taken after `stale` and not settled since.
    fn claim_held(&self, id: HeldId, owner: HeldOwner, now: Timestamp, stale: Timestamp)
    -> Answer<HeldClaim>;

    /// Says what came of sending a form.
    fn settle_held(&self, id: HeldId, fate: HeldFate) -> Answer<()>;

    /// Removes a form of `owner`; says whether there was one.
    fn discard_held(&self, id: HeldId, owner: HeldOwner) -> Answer<bool>;

    /// Removes the forms that have run out `now`, and those that claim to have come after `ahead`: from a clock that
    /// has been set back since. Says how many there were.
    fn sweep_held(&self, now: Timestamp, ahead: Timestamp) -> Answer<usize>;
}
