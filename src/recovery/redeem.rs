//! The second half: the link's holder sets a new password.

use std::time::Duration;

use super::{Dead, Ticket, Way, issued};
use crate::cms::{Redeemed, Verdict};
use crate::identity;
use crate::limits::Action;
use crate::observe::access::loggable_user;
use crate::observe::audit::{Event, Kind, Origin};
use crate::password::Unfit;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::visit::Visit;

/// What an attempt to use a reset link came to.
#[derive(Debug)]
pub enum Redeeming {
    /// This client tried too often, or too much is going on; after so long it may again.
    Limited(Duration),
    /// The gate's own rules are against the password; the link is still good.
    Unfit(Unfit),
    /// The gate's own link is of no use.
    Dead(Dead),
    /// What came of it.
    Done(Redeemed),
}

impl Redeeming {
    /// The verdict, as in `CONTRACT.md`.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Limited(_) => Verdict::Limited,
            Self::Unfit(_) => Verdict::Rejected,
            Self::Dead(dead) => dead.verdict(),
            Self::Done(redeemed) => redeemed.verdict,
        }
    }

    /// What was seen, for the log.
    fn evidence(&self) -> &str {
        match self {
            Self::Limited(_) => "",
            Self::Unfit(unfit) => unfit.as_str(),
            Self::Dead(dead) => dead.as_str(),
            Self::Done(redeemed) => &redeemed.evidence,
        }
    }
}

/// Sets the new password, and ends every session of the account. Nobody is signed in by it.
pub async fn redeem(visit: &Visit<'_>, ticket: &Ticket, username: &str, password: &Secret) -> Redeeming {
    let (shared, client) = (visit.shared(), visit.client.ip());
    let user = username.trim();
    // The gate's own links know whose they are.
    let account = ticket.user.as_deref().filter(|_| Way::at(visit.site) == Way::Issued).unwrap_or(user);
    if let Err(wait) = shared.limits.check_client(Action::ResetAttempt, client) {
        let limited = Redeeming::Limited(wait.as_duration());
        conclude(visit, Some(&ticket.token), account, user, &limited).await;
        return limited;
    }
    let redeeming = match Way::at(visit.site) {
        Way::Cms => {
            Redeeming::Done(visit.site.cms.redeem(&ticket.token, user, password, &visit.asker()).await)
        }
        Way::Issued => issued::redeem(visit, ticket, user, password).await,
    };
    conclude(visit, Some(&ticket.token), account, user, &redeeming).await;
    redeeming
}

/// What follows from an attempt, whoever made it: it is counted and written down as `account`'s; and if the password is set, no
/// browser is known to it any more, and every session of the account that `typed` names is over.
pub async fn conclude(
    visit: &Visit<'_>,
    token: Option<&Secret>,
    account: &str,
    typed: &str,
    redeeming: &Redeeming,
) {
    let verdict = redeeming.verdict();
    // A name that the CMS did not look at may be anybody's.
    let is_theirs = match redeeming {
        Redeeming::Done(redeemed) => {
            redeemed.user_id.is_none() || visit.site.cms.dialogue().redeem_checks_user()
        }
        _ => true,
    };
    let is_set = verdict == Verdict::Ok && is_theirs;
    visit.site.metrics.resets.count("redeem", verdict.as_str());
    let event = Event::new(Kind::Redemption, verdict.as_str()).detail(redeeming.evidence());
    let event = if account.is_empty() { event } else { event.account(account, is_set) };
    visit.shared().audit.record(&Origin::of(visit), token.map_or(event, |token| event.link(token)));
    if is_set && !account.is_empty() {
        identity::known::forget_all(visit, account).await;
    }
    // The gate's own way has ended its users' sessions already, together with the old password.
    if let (Redeeming::Done(redeemed), Way::Cms, Verdict::Ok) = (redeeming, Way::at(visit.site), verdict) {
        end_sessions(visit, &visit.site.name, typed, redeemed.user_id.as_deref()).await;
    }
}

/// Ends the sessions, at `site`, of the account whose password was set: by the id that the link or the CMS named, and by the name that was
/// typed, unless the CMS did not look at that name: then it may be anybody's.
pub(super) async fn end_sessions(visit: &Visit<'_>, site: &str, typed: &str, user_id: Option<&str>) {
    let (sessions, id) = (&visit.shared().sessions, visit.caller.request_id);
    let end = async || {
        let by_id = match user_id {
            Some(user_id) => sessions.end_all_with_id(site, user_id).await?,
            None => 0,
        };
        let is_theirs = user_id.is_none() || visit.site.cms.dialogue().redeem_checks_user();
        let by_name = if is_theirs { sessions.end_all_of(site, typed).await? } else { 0 };
        Ok::<_, StoreError>(by_id + by_name)
    };
    let user = loggable_user(typed);
    match end().await {
        Ok(ended) => tracing::info!(id, site, user, ended, "sessions ended with the old password"),
        Err(error) => tracing::error!(id, site, user, %error, "sessions cannot be ended in the store"),
    }
}
