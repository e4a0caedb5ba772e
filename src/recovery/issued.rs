//! Reset links of the gate's own, for local users.
//!
//! A link holds 256 random bits, of which the store has the SHA-256 alone. It works once, for a short time, and a newer one takes its
//! place. Asking for one changes nothing about the account; opening one neither. What counts is one statement in the store, which marks it
//! as used, and in the same transaction sets the password and ends the sessions: so of any number of attempts at the same time exactly one
//! succeeds, and a gate that is killed has done either all of it or nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::notice;
use super::redeem::{Redeeming, end_sessions};
use super::ticket::Ticket;
use crate::account;
use crate::clock::Timestamp;
use crate::cms::{Redeemed, Requested, Verdict};
use crate::gate::Site;
use crate::limits::Action;
use crate::mail::{Kind, Posted};
use crate::pages::Language;
use crate::password::{self, Busy};
use crate::random;
use crate::secret::Secret;
use crate::state::Shared;
use crate::store::{IssuedReset, Known, NewReset, Opening, Redemption, ResetKey, StoreError, UserRow};
use crate::visit::Visit;

/// How long records of reset links are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Who asks for a link.
pub(super) struct Applicant {
    pub(super) shared: Arc<Shared>,
    pub(super) client: IpAddr,
    pub(super) request_id: String,
    pub(super) language: Language,
}

impl Applicant {
    pub(super) fn of(visit: &Visit<'_>) -> Self {
        Self {
            shared: Arc::clone(visit.shared()),
            client: visit.client.ip(),
            request_id: visit.caller.request_id.to_owned(),
            language: visit.caller.language(),
        }
    }
}

/// Why a link of the gate's own is of no use. Whoever holds one may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// There is none such, or it is for somebody else.
    Unknown,
    /// Somebody has set a password with it.
    Used,
    /// A newer one was issued, or the account has changed.
    Replaced,
    /// Its time is over.
    Expired,
    /// It is bound to another browser.
    Elsewhere,
    /// The store does not answer.
    Store,
}

impl Dead {
    /// Its name in the log and for scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_link",
            Self::Used => "used",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Elsewhere => "other_browser",
            Self::Store => "store",
        }
    }

    /// The verdict, as in `CONTRACT.md`.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Expired => Verdict::Expired,
            Self::Store => Verdict::FailedToConnect,
            Self::Unknown | Self::Used | Self::Replaced | Self::Elsewhere => Verdict::Invalid,
        }
    }
}

/// What a stored link is good for at a moment, in this browser.
fn judge(reset: &IssuedReset, site: &str, now: Timestamp, browser: Option<[u8; 32]>) -> Result<(), Dead> {
    match reset {
        _ if reset.site != site => Err(Dead::Unknown),
        IssuedReset { used: Some(_), .. } => Err(Dead::Used),
        IssuedReset { void: Some(_), .. } => Err(Dead::Replaced),
        _ if now >= reset.expires => Err(Dead::Expired),
        IssuedReset { browser: Some(_), .. } if reset.browser != browser => Err(Dead::Elsewhere),
        _ => Ok(()),
    }
}

/// Issues a link to the account of that name or address, and mails it to the address that the account has. Comes with the
/// account's name, if there is one.
pub(super) async fn request(
    site: &Site,
    typed: &str,
    applicant: &Applicant,
    wait: bool,
) -> (Requested, Option<String>) {
    let shared = &applicant.shared;
    let known = Known::NameOrMail(account::canonical(typed));
    match shared.accounts.find_user(site.users.clone(), known).await {
        Ok(Some(user)) => (issue(site, typed, &user, applicant, wait).await, Some(user.name)),
        Ok(None) => (requested(Verdict::NoAccount, ""), None),
        Err(error) => (broken(applicant, &error), None),
    }
}

fn requested(verdict: Verdict, evidence: &str) -> Requested {
    Requested { verdict, message: None, evidence: evidence.to_owned() }
}

fn broken(applicant: &Applicant, error: &StoreError) -> Requested {
    tracing::error!(id = applicant.request_id, %error, "a reset link cannot be issued");
    requested(Verdict::ResetError, "store")
}

async fn issue(site: &Site, typed: &str, user: &UserRow, applicant: &Applicant, wait: bool) -> Requested {
    let shared = &applicant.shared;
    if user.disabled {
        return requested(Verdict::NoAccount, "disabled");
    }
    if user.mail.is_none() {
        return requested(Verdict::NoAccount, "no mail address");
    }
    // By its address the account was found that requests by its name are counted for; they are counted together.
    if !account::is_counted_alike(typed, &user.name)
        && shared.limits.check_account(Action::ResetRequest, &site.users, &user.name).is_err()
    {
        return requested(Verdict::Limited, "account");
    }
    // A link that cannot be sent must not take the place of one that was.
    if !shared.outgoing.has_room() {
        tracing::error!(id = applicant.request_id, "a reset link cannot be mailed; none is issued");
        return requested(Verdict::ResetError, "mail");
    }
    let (token, now) = (Secret::new(random::token::<32>(&*shared.random)), shared.clock.now());
    let lifetime = site.reset.link_lifetime.as_duration();
    let expires = now.after(lifetime);
    let reset = NewReset {
        key: key(&token),
        user: user.clone(),
        requested: now,
        requested_from: applicant.client,
        request_id: applicant.request_id.clone(),
        expires,
        forget_before: Timestamp::from_millis(
            now.as_millis().saturating_sub_unsigned(u64::try_from(KEPT.as_millis()).unwrap_or(0)),
        ),
    };
    if let Err(error) = shared.accounts.issue_reset(reset).await {
        return broken(applicant, &error);
    }
    let link = Secret::new(format!("{}{}/reset-password?token={}", site.origin, site.prefix, token.expose()));
    let posted = notice::post(site, applicant, user, Kind::ResetLink, &link, Some(lifetime), expires);
    let Some(posted) = posted else { return requested(Verdict::ResetError, "mail") };
    // Only who tells what came of it need know.
    match if wait { posted.await.ok() } else { Some(Posted::Sent) } {
        Some(Posted::Sent) => requested(Verdict::Ok, ""),
        Some(Posted::Waiting) => requested(Verdict::Unknown, "the mail server is away"),
        Some(Posted::Refused) | None => requested(Verdict::ResetError, "mail"),
    }
}

/// Somebody opens a link: it stays good. Gives what the form goes on with.
///
/// # Errors
/// Why the link is of no use.
pub async fn open(visit: &Visit<'_>, token: Secret) -> Result<Ticket, Dead> {
    let binds = visit.site.reset.bind_to_browser;
    // Who comes back to a link with the browser that it is bound to brings the mark along.
    let before = Ticket::of(visit).filter(|ticket| ticket.token == token).and_then(|ticket| ticket.browser);
    let random = || Secret::new(random::token::<16>(&*visit.shared().random));
    let browser = before.or_else(|| binds.then(random));
    let reset = find(visit, &token, browser.as_ref()).await?;
    Ok(Ticket { token, user: Some(reset.user), browser })
}

async fn find(visit: &Visit<'_>, token: &Secret, browser: Option<&Secret>) -> Result<IssuedReset, Dead> {
    let (shared, browser) = (visit.shared(), browser.map(hash_of));
    let now = shared.clock.now();
    let opening = Opening { key: key(token), at: now, from: visit.client.ip(), browser };
    match shared.accounts.open_reset(opening).await {
        Ok(Some(reset)) => judge(&reset, &visit.site.users, now, browser).map(|()| reset),
        Ok(None) => Err(Dead::Unknown),
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "a reset link cannot be looked up");
            Err(Dead::Store)
        }
    }
}

/// Uses a link.
pub(super) async fn redeem(visit: &Visit<'_>, ticket: &Ticket, typed: &str, password: &Secret) -> Redeeming {
    let shared = visit.shared();
    let reset = match find(visit, &ticket.token, ticket.browser.as_ref()).await {
        Ok(reset) => reset,
        Err(dead) => return Redeeming::Dead(dead),
    };
    let known = Known::NameOrMail(account::canonical(typed));
    let user = match shared.accounts.find_user(visit.site.users.clone(), known).await {
        Ok(Some(user)) if user.id == reset.user_id => user,
        Ok(_) => return Redeeming::Dead(Dead::Unknown),
        Err(error) => return failed(visit, &error),
    };
    if let Err(unfit) = password::check(password, &user.name, shared.hasher.shortest()) {
        return Redeeming::Unfit(unfit);
    }
    let Ok(hash) = shared.hasher.hash(password).await else {
        return Redeeming::Limited(Busy::RETRY_AFTER);
    };
    let redemption = Redemption {
        key: key(&ticket.token),
        user_id: user.id,
        password: hash.text().clone(),
        at: shared.clock.now(),
        from: visit.client.ip(),
        browser: ticket.browser.as_ref().map(hash_of),
        sites: visit.site.shared_with.clone(),
    };
    match shared.accounts.redeem_reset(redemption).await {
        Ok(true) => {}
        // Another was faster; the store knows why this one is of no use.
        Ok(false) => {
            let now = find(visit, &ticket.token, ticket.browser.as_ref()).await;
            return Redeeming::Dead(now.err().unwrap_or(Dead::Unknown));
        }
        Err(error) => return failed(visit, &error),
    }
    // In the store they have ended already; here they are in memory.
    for site in &visit.site.shared_with {
        end_sessions(visit, site, &user.name, None).await;
    }
    notify(visit, &user, Kind::PasswordReset);
    Redeeming::Done(Redeemed { verdict: Verdict::Ok, message: None, user_id: None, evidence: String::new() })
}

/// Tells the user that there is a new password.
pub(super) fn notify(visit: &Visit<'_>, user: &UserRow, kind: Kind) {
    const WORTH: Duration = Duration::from_secs(24 * 3600);
    let applicant = Applicant::of(visit);
    let link = Secret::new(format!("{}{}/forgot-password", visit.site.origin, visit.site.prefix));
    let until = applicant.shared.clock.now().after(WORTH);
    notice::post(visit.site, &applicant, user, kind, &link, None, until);
}

fn failed(visit: &Visit<'_>, error: &StoreError) -> Redeeming {
    tracing::error!(id = visit.caller.request_id, %error, "a new password cannot be stored");
    Redeeming::Done(Redeemed {
        verdict: Verdict::FailedToConnect,
        user_id: None,
        message: None,
        evidence: "store".to_owned(),
    })
}

fn key(token: &Secret) -> ResetKey {
    ResetKey(hash_of(token))
}

fn hash_of(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}
