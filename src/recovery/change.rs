//! Whoever is signed in and knows the password sets another: at the CMS, or with the gate for its own users.

use std::sync::Arc;
use std::time::Duration;

use super::Way;
use super::issued::notify;
use super::redeem::end_sessions;
use crate::account;
use crate::cms::{KeptCookies, Verdict};
use crate::identity;
use crate::limits::SignInAttempt;
use crate::mail::Kind;
use crate::observe::audit;
use crate::password::{self, Busy, Hash, Unfit, Verified};
use crate::secret::Secret;
use crate::session::Session;
use crate::store::{Known, StoreError, UserChange};
use crate::visit::Visit;

/// What an attempt to change a password came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Changing {
    /// It is changed; all other sessions have ended.
    Done,
    /// The current password is another.
    WrongCurrent,
    /// The gate's own rules are against the new one.
    Unfit(Unfit),
    /// The CMS does not take the new one.
    Rejected {
        /// The CMS's own word on it, as text. May be empty.
        reason: String,
    },
    /// The CMS does not change this person's password.
    NotSupported,
    /// The CMS did not say what became of it.
    NotConfirmed,
    /// Too many attempts; after so long there may be another.
    Limited(Duration),
    /// It could not be stored, and nothing is changed.
    Failed,
}

impl Changing {
    /// Its name in the log.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::WrongCurrent => "refused",
            Self::Unfit(_) | Self::Rejected { .. } => "rejected",
            Self::NotSupported => "not_supported",
            Self::NotConfirmed => "unknown",
            Self::Limited(_) => "limited",
            Self::Failed => "reset_error",
        }
    }
}

/// Changes the password of the user of `session`, ends their other sessions, and makes every browser unknown to the account.
/// Guesses at the current one count as those from a known browser do.
pub async fn change(visit: &Visit<'_>, session: &Arc<Session>, current: &Secret, new: &Secret) -> Changing {
    let (changing, evidence) = attempt(visit, session, current, new).await;
    let event = audit::Event::new(audit::Kind::PasswordChange, changing.as_str()).detail(&evidence);
    visit.shared().audit.record(&audit::Origin::of(visit), event.account(session.user(), true));
    if changing == Changing::Done {
        identity::known::forget_all(visit, session.user()).await;
    }
    changing
}

/// What it came to, and what was seen of the CMS.
async fn attempt(
    visit: &Visit<'_>,
    session: &Arc<Session>,
    current: &Secret,
    new: &Secret,
) -> (Changing, String) {
    // In counts of the session's own: strangers who guess for the account keep nobody from changing its password.
    let (limits, counted_by) = (&visit.shared().limits, session.key().to_string());
    let guess = SignInAttempt {
        site: &visit.site.users,
        user: session.user(),
        client: visit.client.ip(),
        browser: Some(&counted_by),
    };
    if let Err(wait) = limits.begin_sign_in(&guess) {
        return (Changing::Limited(wait.as_duration()), String::new());
    }
    let (changing, evidence) = match Way::at(visit.site) {
        Way::Cms => at_the_cms(visit, session, current, new).await,
        Way::Issued => (of_a_local_user(visit, session, current, new).await, String::new()),
    };
    if changing != Changing::WrongCurrent {
        limits.forgive_sign_in(&guess, false);
    }
    (changing, evidence)
}

async fn at_the_cms(
    visit: &Visit<'_>,
    session: &Arc<Session>,
    current: &Secret,
    new: &Secret,
) -> (Changing, String) {
    let Some(mut kept) = KeptCookies::from_bytes(&session.kept()) else {
        return (Changing::NotSupported, String::new());
    };
    let before = kept.to_bytes();
    let cms = &visit.site.cms;
    let redeemed = cms.change_password(&mut kept, session.user(), current, new, &visit.asker()).await;
    let after = kept.to_bytes();
    if after != before {
        visit.shared().sessions.update_kept(session, after.expose().as_bytes().to_vec());
    }
    let changing = match redeemed.verdict {
        Verdict::Ok => {
            end_others(visit, session).await;
            Changing::Done
        }
        Verdict::Invalid => Changing::WrongCurrent,
        Verdict::Rejected => Changing::Rejected { reason: redeemed.message.unwrap_or_default() },
        Verdict::NotSupported => Changing::NotSupported,
        _ => Changing::NotConfirmed,
    };
    (changing, redeemed.evidence)
}

async fn of_a_local_user(visit: &Visit<'_>, session: &Session, current: &Secret, new: &Secret) -> Changing {
    change_stored(visit, session, current, new).await.unwrap_or_else(|error| {
        tracing::error!(id = visit.caller.request_id, %error, "a new password cannot be stored");
        Changing::Failed
    })
}

async fn change_stored(
    visit: &Visit<'_>,
    session: &Session,
    current: &Secret,
    new: &Secret,
) -> Result<Changing, StoreError> {
    let (shared, name) = (visit.shared(), session.user());
    let known = Known::Name(account::canonical(name));
    let found = shared.accounts.find_user(visit.site.users.clone(), known).await?;
    let Some(user) = found.filter(|user| !user.disabled) else { return Ok(Changing::WrongCurrent) };
    let stored = user.password.as_ref().and_then(|hash| Hash::parse(hash.expose()));
    match shared.hasher.verify(stored, current).await {
        Err(Busy) => return Ok(Changing::Limited(Busy::RETRY_AFTER)),
        Ok(Verified::No) => return Ok(Changing::WrongCurrent),
        Ok(Verified::Yes | Verified::Outdated) => {}
    }
    if let Err(unfit) = password::check(new, &user.name, shared.hasher.shortest()) {
        return Ok(Changing::Unfit(unfit));
    }
    let Ok(hash) = shared.hasher.hash(new).await else { return Ok(Changing::Limited(Busy::RETRY_AFTER)) };
    let change = UserChange::Password {
        hash: hash.text().clone(),
        at: shared.clock.now(),
        except: Some(session.key()),
        version: Some(user.version),
    };
    let sites = visit.site.shared_with.clone();
    if !shared.accounts.change_user(user.id, change, shared.clock.now(), sites).await? {
        return Ok(Changing::WrongCurrent);
    }
    end_others(visit, session).await;
    for site in visit.site.shared_with.iter().filter(|site| *site != session.site()) {
        end_sessions(visit, site, &user.name, None).await;
    }
    notify(visit, &user, Kind::PasswordChanged);
    Ok(Changing::Done)
}

async fn end_others(visit: &Visit<'_>, session: &Session) {
    if let Err(error) = visit.shared().sessions.end_others(session).await {
        tracing::error!(id = visit.caller.request_id, %error, "sessions cannot be ended in the store");
    }
}
