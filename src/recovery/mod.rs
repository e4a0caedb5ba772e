//! The forgotten-password process: a request, the CMS's mail, a link, a new password.
//!
//! What it defends against: that a stranger learns which accounts exist (the answer is the same in bytes and time, and limits
//! are counted before anyone looks), that a mailbox is flooded, that a token is guessed or leaks from an address, and that an
//! old session outlives the old password.

mod redeem;
mod request;
mod settings;
mod ticket;

pub use self::redeem::{Redeeming, redeem};
pub use self::request::{Asked, request};
pub use self::settings::{FieldName, FieldValue, ForgottenUrl, Form, Settings, TrustHeader, TrustedRequests};
pub use self::ticket::Ticket;
