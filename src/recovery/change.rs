//! Whoever is signed in and knows the password sets another.

use std::time::Duration;

use super::issued::notify;
use super::redeem::end_sessions;
use crate::account;
use crate::limits::Action;
use crate::mail::Kind;
use crate::observe::audit;
use crate::password::{self, Busy, Hash, Unfit, Verified};
use crate::secret::Secret;
use crate::session::Session;
use crate::store::{Known, StoreError, UserChange};
use crate::visit::Visit;

/// What an attempt to change a password came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changing {
    /// It is changed; all other sessions have ended.
    Done,
    /// The current password is another.
    WrongCurrent,
    /// The gate's own rules are against the new one.
    Unfit(Unfit),
    /// Too many attempts; after so long there may be another.
    Limited(Duration),
    /// It could not be stored, and nothing is changed.
    Failed,
}

impl Changing {
    /// Its name in the log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::WrongCurrent => "refused",
            Self::Unfit(_) => "rejected",
            Self::Limited(_) => "limited",
            Self::Failed => "reset_error",
        }
    }
}

/// Changes the password of the local user of `session`. Guesses at the current one count as those at sign-in do.
pub async fn change(visit: &Visit<'_>, session: &Session, current: &Secret, new: &Secret) -> Changing {
    let changing = attempt(visit, session, current, new).await.unwrap_or_else(|error| {
        tracing::error!(id = visit.caller.request_id, %error, "a new password cannot be stored");
        Changing::Failed
    });
    let event = audit::Event::new(audit::Kind::PasswordChange, changing.as_str());
    visit.shared().audit.record(&audit::Origin::of(visit), event.account(session.user(), true));
    changing
}

async fn attempt(
    visit: &Visit<'_>,
    session: &Session,
    current: &Secret,
    new: &Secret,
) -> Result<Changing, StoreError> {
    let (shared, client, name) = (visit.shared(), visit.client.ip(), session.user());
    if let Err(wait) = shared
        .limits
        .check_client(Action::SignIn, client)
        .and_then(|()| shared.limits.check_account(Action::SignIn, session.site(), name))
    {
        return Ok(Changing::Limited(wait.as_duration()));
    }
    let known = Known::Name(account::canonical(name));
    let found = shared.accounts.find_user(visit.site.users.clone(), known).await?;
    let Some(user) = found.filter(|user| !user.disabled) else { return Ok(Changing::WrongCurrent) };
    let stored = user.password.as_ref().and_then(|hash| Hash::parse(hash.expose()));
    match shared.hasher.verify(stored, current).await {
        Err(Busy) => return Ok(Changing::Limited(Busy::RETRY_AFTER)),
        Ok(Verified::No) => return Ok(Changing::WrongCurrent),
        Ok(Verified::Yes | Verified::Outdated) => {
            shared.limits.forgive_client(Action::SignIn, client);
            shared.limits.forgive_account(Action::SignIn, session.site(), name);
        }
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
    if let Err(error) = shared.sessions.end_others(session).await {
        tracing::error!(id = visit.caller.request_id, %error, "sessions cannot be ended in the store");
    }
    for site in visit.site.shared_with.iter().filter(|site| *site != session.site()) {
        end_sessions(visit, site, &user.name, None).await;
    }
    notify(visit, &user, Kind::PasswordChanged);
    Ok(Changing::Done)
}
