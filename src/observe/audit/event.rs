//! One event, and what is kept of it.

use std::net::IpAddr;

use super::Names;
use crate::account;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::AuditRow;
use crate::visit::Visit;

/// What is said of a request for a reset before what came of it is known; an event of the same request says that later. And of a
/// CMS's reset link that somebody followed, before the CMS has said anything about it.
pub const ASKED: &str = "asked";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody signed in, or tried to.
    SignIn,
    /// Somebody signed out.
    SignOut,
    /// Somebody asked for a reset mail.
    ResetRequest,
    /// Somebody opened a reset link.
    LinkOpened,
    /// Somebody set a new password by a reset link, or tried to.
    Redemption,
    /// Somebody who was signed in changed their password, or tried to; or an operator set one.
    PasswordChange,
    /// Sessions were ended before their time, by their user or an operator.
    Revocation,
    /// An operator added, changed, disabled, enabled, imported or removed one of the gate's own users.
    UserChange,
    /// Failures that look like one hand trying many accounts, or many hands trying one.
    Suspicion,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::SignIn,
        Self::SignOut,
        Self::ResetRequest,
        Self::LinkOpened,
        Self::Redemption,
        Self::PasswordChange,
        Self::Revocation,
        Self::UserChange,
        Self::Suspicion,
    ];

    /// Its name in the log, the store and what the commands print.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::ResetRequest => "reset_request",
            Self::LinkOpened => "link_opened",
            Self::Redemption => "redemption",
            Self::PasswordChange => "password_change",
            Self::Revocation => "revocation",
            Self::UserChange => "user_change",
            Self::Suspicion => "suspicion",
        }
    }
}

/// Where an event comes from: site, client, request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `name` of the `[[site]]`.
    pub site: String,
    /// The client's address; none if an operator did it.
    pub client: Option<IpAddr>,
    /// The request's id; empty if there was none.
    pub request_id: String,
}

impl Origin {
    /// The origin of what happens in this request.
    pub fn of(visit: &Visit<'_>) -> Self {
        Self {
            site: visit.site.name.clone(),
            client: Some(visit.client.ip()),
            request_id: visit.caller.request_id.to_owned(),
        }
    }
}

/// An event to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    kind: Kind,
    verdict: &'a str,
    account: Option<&'a str>,
    exists: bool,
    link: Option<&'a Secret>,
    detail: &'a str,
}

/// Evidence and names are cut here: enough for every real one.
const LONGEST: usize = 200;

impl<'a> Event<'a> {
    /// It happened, and this came of it: `ok`, or another verdict of `CONTRACT.md`.
    pub fn new(kind: Kind, verdict: &'a str) -> Self {
        Self { kind, verdict, account: None, exists: false, link: None, detail: "" }
    }

    /// Concerning the account that goes by this name in whatever spelling. It `exists` if an authority has said so; only then is
    /// the name written out.
    pub fn account(self, name: &'a str, exists: bool) -> Self {
        Self { account: Some(name), exists, ..self }
    }

    /// By this reset link.
    pub fn link(self, token: &'a Secret) -> Self {
        Self { link: Some(token), ..self }
    }

    /// What was seen; never what somebody typed.
    pub fn detail(self, detail: &'a str) -> Self {
        Self { detail, ..self }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether nobody was asked, because there had been too many before.
    pub(super) fn is_refusal(&self) -> bool {
        self.verdict == "limited"
    }

    pub(super) fn row(&self, at: Timestamp, origin: &Origin, names: &Names) -> AuditRow {
        AuditRow {
            at,
            event: self.kind.as_str().to_owned(),
            site: origin.site.clone(),
            account: self.account.filter(|_| self.exists).map(|name| cut(&account::canonical(name))),
            account_key: self.account.map(|name| names.account_key(&origin.site, name)),
            link_key: self.link.map(|token| names.link_key(&origin.site, token)),
            client: origin.client,
            verdict: self.verdict.to_owned(),
            request_id: origin.request_id.clone(),
            detail: cut(self.detail),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
