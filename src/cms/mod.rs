//! The conversation with the backend's forms: sign in, sign out, who is this, send a reset mail, use
//! a reset link.
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
//! [[sign_in.step]]                    # and the five operations, each a list of requests
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
//! A case names what must hold: `status`, `redirect` (the end of the path it leads to), `cookie_set`,
//! `cookie_cleared`, `body_class`, `present` and `absent` (CSS selectors), `body` (the whole text); and
//! what follows: a `verdict`, or the `next` step, to which `form` hands the hidden fields of the page.
//! An operation that is left out is one the CMS does not have. `[doctor]` says where `lychgate doctor` looks, see `examine`.
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
mod client;
mod condition;
mod cookies;
mod dialogue;
mod examine;
mod paths;
mod run;
mod template;
mod values;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

pub use cookies::{Change, CredentialRules, KeptCookies};
pub use dialogue::{Dialogue, DialogueError};
pub use examine::{Examined, FormVerdict};
pub use paths::{FieldRules, PathRules, TakenOver};

use crate::secret::Secret;
use client::Client;
use dialogue::{SignInVerdict, SignOutVerdict, WhoAmIVerdict};
use run::Call;
use template::Filling;

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
    pub tls: Option<Arc<rustls::ClientConfig>>,
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
    SignedIn,
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
    /// What was seen, for the log.
    pub evidence: String,
}

/// One site's backend, and how to speak with it. Cheap to share; it holds no connection open.
pub struct Backend {
    dialogue: Arc<Dialogue>,
    rules: Arc<CredentialRules>,
    client: Client,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("dialogue", &self.dialogue.name()).finish_non_exhaustive()
    }
}

impl Backend {
    /// The backend of one site.
    ///
    /// # Errors
    /// When an address or a header's value cannot be used, or the system has no TLS roots to verify with.
    pub fn new(dialogue: Arc<Dialogue>, settings: BackendSettings) -> Result<Self, BackendError> {
        let rules = Arc::new(dialogue.credentials().clone());
        Ok(Self { client: Client::new(settings)?, dialogue, rules })
    }

    /// The dialogue it is spoken with in.
    pub fn dialogue(&self) -> &Dialogue {
        &self.dialogue
    }

    /// Asks the CMS whether this is the account's password. A name that no account can have (control
    /// characters, over-long, empty) is refused without asking.
    pub async fn sign_in(&self, user: &str, password: &Secret, asker: &Asker) -> SignIn {
        let Some(operation) = &self.dialogue.sign_in else {
            return SignIn::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        if !could_be_user(user) || !could_be_password(password) {
            return SignIn::Refused;
        }
        let filling = Filling { user: Some(user), password: Some(password), token: None };
        match run::run(operation, self.call(filling, None, false, asker)).await {
            Err(stopped) => SignIn::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(SignInVerdict::Refused) => SignIn::Refused,
                Some(SignInVerdict::Ok) => {
                    let mut cookies = KeptCookies::default();
                    for cookie in end.credentials {
                        cookies.apply(cookie);
                    }
                    SignIn::Ok { user: user.to_owned(), cookies }
                }
                Some(SignInVerdict::Unknown) | None => SignIn::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Ends the sign-in at the CMS as far as it can be ended there: an old CMS only clears the cookie, and
    /// would still take it. That is why the browser never has it.
    pub async fn sign_out(&self, cookies: &KeptCookies, asker: &Asker) -> SignOut {
        let Some(operation) = &self.dialogue.sign_out else {
            return SignOut::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        match run::run(operation, self.call(Filling::default(), Some(cookies), false, asker)).await {
            Err(stopped) => SignOut::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(SignOutVerdict::Ok) => SignOut::Ok,
                Some(SignOutVerdict::Unknown) | None => SignOut::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Asks the CMS whether it still knows the holder of these cookies.
    pub async fn who_am_i(&self, cookies: &KeptCookies, asker: &Asker) -> WhoAmI {
        let Some(operation) = &self.dialogue.who_am_i else {
            return WhoAmI::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        match run::run(operation, self.call(Filling::default(), Some(cookies), false, asker)).await {
            Err(stopped) => WhoAmI::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(WhoAmIVerdict::SignedIn) => WhoAmI::SignedIn,
                Some(WhoAmIVerdict::Anonymous) => WhoAmI::Anonymous,
                Some(WhoAmIVerdict::Unknown) | None => WhoAmI::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Asks the CMS to mail a reset link to this account's owner: always anonymously, with the marks of
    /// [`Trust`], from the configured source address.
    pub async fn request_reset(&self, user: &str, asker: &Asker) -> Requested {
        let Some(operation) = &self.dialogue.request_reset else {
            return Requested { verdict: Verdict::NotSupported, evidence: NO_OPERATION.to_owned() };
        };
        if !could_be_user(user) {
            return Requested { verdict: Verdict::NoAccount, evidence: NOT_SENT.to_owned() };
        }
        let filling = Filling { user: Some(user), ..Filling::default() };
        match run::run(operation, self.call(filling, None, true, asker)).await {
            Err(stopped) => Requested { verdict: Verdict::FailedToConnect, evidence: stopped.evidence },
            Ok(end) => Requested { verdict: end.verdict.unwrap_or(Verdict::Unknown), evidence: end.evidence },
        }
    }

    /// Sets a new password with the token of a reset link, anonymously. If the CMS signs the person in on
    /// that occasion, its cookie is dropped.
    pub async fn redeem(&self, token: &Secret, user: &str, password: &Secret, asker: &Asker) -> Redeemed {
        let unasked =
            |verdict, evidence: &str| Redeemed { verdict, message: None, evidence: evidence.to_owned() };
        let Some(operation) = &self.dialogue.redeem else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        if !self.dialogue.paths().is_token(token.expose()) || !could_be_user(user) {
            return unasked(Verdict::Invalid, NOT_SENT);
        }
        if !could_be_password(password) {
            return unasked(Verdict::Rejected, NOT_SENT);
        }
        let filling = Filling { user: Some(user), password: Some(password), token: Some(token) };
        match run::run(operation, self.call(filling, None, true, asker)).await {
            Err(stopped) => {
                Redeemed { verdict: Verdict::FailedToConnect, message: None, evidence: stopped.evidence }
            }
            Ok(end) => {
                let verdict = end.verdict.unwrap_or(Verdict::Unknown);
                Redeemed { verdict, message: end.message, evidence: end.evidence }
            }
        }
    }

    fn call<'a>(
        &'a self,
        filling: Filling<'a>,
        kept: Option<&'a KeptCookies>,
        trusted: bool,
        asker: &'a Asker,
    ) -> Call<'a> {
        Call { client: &self.client, rules: &self.rules, filling, kept, trusted, asker }
    }
}

const NO_OPERATION: &str = "the dialogue has no such operation";
const NOT_SENT: &str = "not sent: no account, password or link can look like that";

fn could_be_user(user: &str) -> bool {
    !user.trim().is_empty() && user.len() <= USER_CAP && !user.chars().any(char::is_control)
}

fn could_be_password(password: &Secret) -> bool {
    !password.expose().is_empty() && password.expose().len() <= PASSWORD_CAP
}
