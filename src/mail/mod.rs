//! Mail: the CMS's own on its way out, by a relay between the CMS's mail host and the real mail server; and the gate's own
//! (`templates`, `outgoing`), which goes the same way (`next`).
//!
//! A CMS that cannot be told its public address writes its internal one into every mail: password resets, registrations. No HTTP
//! proxy sees them. So the CMS is told to send its mail to the gate (`[mail.relay] listen`), which takes it from the networks
//! that are named and no others (`session`), makes links public (`message`, and below it `header`, `part`, `text`), and passes
//! it on to the real server *while the CMS waits* (`next`): what that server answers is what the CMS is answered, for each
//! recipient and for the message. There is no queue, and so nothing that can be lost between.
//!
//! It defends against internal names in mails; against SMTP smuggling (see `session`); against being an open relay; and against
//! mail that goes round in circles (`trace`).
//!
//! Both ways may be through TLS (`tls`): the CMS's by STARTTLS, the server's as `mail.send` says (`connect`).
//!
//! A DKIM signature that a change breaks is removed; with a key, messages are signed anew (`dkim`).
//!
//! What it does not do: look into parts that are signed or encrypted, which is said
//! in the log; rename mailboxes (`From: admin@plone.internal` is the operator's to change); or answer for names in `Received` fields
//! that servers before it wrote.

mod address;
mod connect;
mod dkim;
mod header;
mod links;
mod message;
mod next;
mod outgoing;
mod part;
#[doc(hidden)]
pub mod probe;
mod relay;
mod reply;
mod session;
mod settings;
mod templates;
mod text;
mod tls;
mod trace;

#[cfg(test)]
mod mutations;
#[cfg(test)]
mod tests;

pub use links::Links;
pub use message::{Outcome, TooDeep, rewrite};
pub use outgoing::{Letter, Outgoing, Posted};
pub use relay::{Bound, Handle, bind, check};
pub use settings::{Destination, Dkim, Identity, Relay, Sender, Server, Settings, Tls};
pub use templates::{Content, Kind, Mails, Values};
