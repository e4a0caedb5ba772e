//! The conversation with the backend's forms: sign in, sign out, who is this, send a reset mail, open and use
//! a reset link, change a password.
//!
//! The sign-in pages and the recovery process call [`Backend`]; the gate asks the [`Dialogue`] which
//! cookies, fields and paths of the CMS are its own business. Everything that is particular to a CMS is
//! in its dialogue file, `dialogues/*.toml`; no Rust code knows any CMS.
//!
//! # A dialogue file
//! ```toml
//! name = "example"
//! [credentials]                       # what signs a request in at the CMS
//! cookies = ["sid"]
//! [[challenge]]                       # its way to say "sign in first"
//! redirect = ["login"]
//! [paths]                             # what the gate answers in its stead
//! sign_in = ["login"]
//! [[sign_in.step]]                    # and the seven operations, each a list of requests
//! method = "POST"
//! to = ["login"]
//! fields = { name = "{user}", password = "{password}" }
//! [[sign_in.step.case]]               # how to read the answer: the first case that holds decides
//! cookie_set = ["sid"]
//! verdict = "ok"
//! [[sign_in.step.case]]
//! status = [200]
//! present = "form#login .error"
//! verdict = "refused"
//! ```
//! A case names what must hold, and what follows: a verdict, or the next step. `deploy/dialogues/README.md` has all of the
//! language; an operator describes a CMS of their own in it (`[[cms]]` of `proxy.toml`). An operation that is left out is one
//! the CMS does not have. `[doctor]` says where `lychgate doctor` looks, see `examine`; `rehearse` goes through one live.
//!
//! # What it defends against
//! - A verdict is never a guess: what no case matches is `unknown`, and so is every page in the place of
//!   the expected one. `absent` alone proves nothing about an answer that is no page.
//! - Passwords and tokens go to paths below the configured address and nowhere else: no redirect is
//!   followed, no form's action is obeyed, no proxy of the environment is used.
//! - A reset is asked for and redeemed with no identity at all, and what sign-in the CMS hands out on the
//!   way is dropped.
//! - A dead or broken backend is `unreachable`, not a wrong password.
//! - Nothing that goes to a log holds a password, token, cookie value, query or text of a page.

mod answer;
mod backend;
mod body;
mod client;
mod condition;
mod cookies;
mod dialogue;
mod examine;
mod extract;
mod fields;
mod message;
mod operation;
mod paths;
#[doc(hidden)]
pub mod probe;
mod rehearse;
mod run;
mod template;
mod values;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

pub use backend::Backend;
pub use cookies::{Change, CredentialRules, KeptCookies};
pub use dialogue::{Description, Dialogue, DialogueError};
pub use examine::{Examined, FormVerdict};
pub use fields::FieldRules;
pub use paths::{PathRules, TakenOver};
pub use rehearse::{Rehearsal, Scene};
pub use run::StepTaken;

use crate::forward::Whom;
use crate::secret::Secret;

/// The longest name of an account that is sent to a CMS, in bytes; no CMS allows half of it.
pub const USER_CAP: usize = 512;
/// The longest password that is sent to a CMS, in bytes.
pub const PASSWORD_CAP: usize = 4096;

/// Where a backend is and how to come to it. Nothing in it is taken from a request.
#[derive(Clone, Debug)]
pub struct BackendSettings {
    /// What stands before every path, without a slash at its end: the backend's own address, or, where the
    /// CMS is told its public address by the path, that address with the whole prefix.
    pub address: Url,
    /// The `Host` to send; the address's own if none.
    pub host: Option<HeaderValue>,
    /// The site's public address, for `X-Forwarded-Proto`, `X-Forwarded-Host` and `Forwarded`.
    pub public_url: Url,
    /// How the CMS's own front door knows the gate when it asks for a reset.
    pub trust: Trust,
    /// The local address that reset requests are sent from.
    pub source_address: Option<IpAddr>,
    /// How the backend's certificate is judged, where its address is https; without it, none is good.
    pub tls: Option<std::sync::Arc<rustls::ClientConfig>>,
    /// Whether answers with folded fields, or spaces before a colon, are read (`forward.danger_lenient_answers`).
    pub lenient: bool,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a request and the whole of its answer may take, connection included.
    pub timeout: Duration,
}

/// Marks that only the gate's own reset requests carry. Both are kept out of everything else it sends.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// A header and its value.
    pub header: Option<(HeaderName, Secret)>,
}

/// Why no conversation with a backend can be set up.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The address is not http or https, or has no host.
    #[error("the backend's address must be http:// or https:// and have a host")]
    Address,
    /// The public address has no host that a header could name.
    #[error("the public address has no host")]
    PublicUrl,
    /// The trust header's value cannot be sent.
    #[error("the value of the trust header holds characters that no header may have")]
    TrustHeader,
    /// The HTTP client does not start.
    #[error("the HTTP client does not start: {0}")]
    Client(String),
}

/// On whose behalf the gate asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The client's address: the one and only in `X-Forwarded-For`. An old CMS copies it into its mails.
    pub client_ip: IpAddr,
    /// The browser's `Accept-Language`, or the language chosen on the gate's page: the CMS writes its mail in it.
    pub language: Option<String>,
    /// The browser's `User-Agent`.
    pub user_agent: Option<String>,
    /// Who is signed in, where a site's backends are chosen by that; whose name is typed counts more.
    pub whom: Option<Whom>,
    /// The id that the log knows this request by.
    pub request_id: String,
}

/// What a sign-in came to.
#[derive(Debug)]
pub enum SignIn {
    /// The CMS vouches for the person.
    Ok {
        /// The name of the account, as typed.
        user: String,
        /// The CMS's own id of the account, where its dialogue can tell.
        user_id: Option<String>,
        /// The CMS's sign-in, to be kept with the session.
        cookies: KeptCookies,
    },
    /// The CMS said no.
    Refused,
    /// The CMS said something that is neither.
    Unknown {
        /// What was seen, for the log.
        evidence: String,
    },
    /// The CMS said nothing.
    Unreachable {
        /// What happened, for the log.
        evidence: String,
    },
}

/// What a sign-out came to. The gate's own session ends whatever it is.
#[derive(Debug, PartialEq, Eq)]
pub enum SignOut {
    /// The CMS took its sign-in away.
    Ok,
    /// It cannot be told; or the CMS has no such thing.
    Unknown {
        /// What was seen, for the log.
        evidence: String,
    },
    /// The CMS said nothing.
    Unreachable {
        /// What happened, for the log.
        evidence: String,
    },
}

/// Whom the CMS takes the holder of some cookies for.
#[derive(Debug, PartialEq, Eq)]
pub enum WhoAmI {
    /// Somebody.
    SignedIn {
        /// The CMS's own id of the account, where its dialogue can tell.
        user_id: Option<String>,
    },
    /// Nobody: the CMS's session is over.
    Anonymous,
    /// It cannot be told; or the CMS has no way to ask.
    Unknown {
        /// What was seen, for the log.
        evidence: String,
    },
    /// The CMS said nothing.
    Unreachable {
        /// What happened, for the log.
        evidence: String,
    },
}

/// What a step of password recovery came to, as in `CONTRACT.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done, on positive evidence.
    Ok,
    /// There is no such account, or it cannot be mailed to.
    NoAccount,
    /// The CMS does not do this, or not for this person.
    NotSupported,
    /// The CMS did not want the new password (or another input), and the link is still good.
    Rejected,
    /// The link is unknown or used, or not this account's.
    Invalid,
    /// The link is too old.
    Expired,
    /// Too many requests. The gate's own verdict; no dialogue gives it.
    Limited,
    /// The CMS broke over it.
    ResetError,
    /// The CMS said nothing. What it did is not known, if a connection came about at all.
    FailedToConnect,
    /// The CMS said something that cannot be read.
    Unknown,
}

impl Verdict {
    /// Its name in answers, logs, metrics and the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoAccount => "no_account",
            Self::NotSupported => "not_supported",
            Self::Rejected => "rejected",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Limited => "limited",
            Self::ResetError => "reset_error",
            Self::FailedToConnect => "failed_to_connect",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a request for a reset mail ended.
#[derive(Debug)]
pub struct Requested {
    /// The verdict.
    pub verdict: Verdict,
    /// The CMS's own word on it: text, one line, at most 300 characters. It may tell whether the account exists.
    pub message: Option<String>,
    /// What was seen, for the log.
    pub evidence: String,
}

/// How the use of a reset link ended.
#[derive(Debug)]
pub struct Redeemed {
    /// The verdict.
    pub verdict: Verdict,
    /// The CMS's own reason: text, one line, at most 300 characters. Escape it like any other text.
    pub message: Option<String>,
    /// The CMS's own id of the account whose password it was, where its dialogue can tell.
    pub user_id: Option<String>,
    /// What was seen, for the log.
    pub evidence: String,
}
