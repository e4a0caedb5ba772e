//! The forgotten-password process: a request, a mail, a link, a new password; and a password changed by who knows it.
//!
//! Two ways lead through it, and [`Way`] is where they part: the CMS sends its own mail and judges its own link; or the gate does both for
//! users of its own (`issued`). Limits, uniform answers, log lines and pages are the same for both.
//!
//! What it defends against: that a stranger learns which accounts exist (the answer is the same in bytes and time, and limits
//! are counted before anyone looks), that a mailbox is flooded, that a token is guessed or leaks from an address, that a link works twice,
//! and that an old session outlives the old password.

mod change;
mod issued;
mod look;
mod notice;
mod redeem;
mod request;
mod settings;
mod ticket;

pub use self::change::{Changing, change};
pub use self::issued::{Dead, open};
pub use self::look::look;
pub use self::redeem::{Redeeming, conclude, redeem};
pub use self::request::{Asked, request};
pub use self::settings::{FieldName, FieldValue, ForgottenUrl, Form, Settings, TrustHeader, TrustedRequests};
pub use self::ticket::Ticket;
use crate::config::SignIn;
use crate::gate::Site;

/// Who resets passwords at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The CMS: its mail, its link.
    Cms,
    /// The gate, for local users.
    Issued,
}

impl Way {
    /// The way at `site`.
    pub fn at(site: &Site) -> Self {
        match site.sign_in {
            SignIn::Backend => Self::Cms,
            SignIn::Local => Self::Issued,
        }
    }
}
