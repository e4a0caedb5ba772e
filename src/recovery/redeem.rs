//! The second half: the link's holder sets a new password.

use std::time::Duration;

use super::Ticket;
use crate::cms::{Redeemed, Verdict};
use crate::identity;
use crate::limits::Action;
use crate::observe::access::loggable_user;
use crate::observe::audit::{Event, Kind, Origin};
use crate::secret::Secret;
use crate::visit::Visit;

/// What an attempt to use a reset link came to.
#[derive(Debug)]
pub enum Redeeming {
    /// This client tried too often; after so long it may again.
    Limited(Duration),
    /// What the CMS said.
    Done(Redeemed),
}

/// Sets the new password at the CMS, and ends every session of the account. Nobody is signed in by it.
pub async fn redeem(visit: &Visit<'_>, ticket: &Ticket, username: &str, password: &Secret) -> Redeeming {
    let (shared, site, client) = (visit.shared(), visit.site.name.as_str(), visit.client.ip());
    let user = username.trim();
    let said = |verdict: Verdict, evidence: &str| {
        visit.site.metrics.resets.count("redeem", verdict.as_str());
        let event = Event::new(Kind::Redemption, verdict.as_str()).account(user, verdict == Verdict::Ok);
        shared.audit.record(&Origin::of(visit), event.link(&ticket.token).detail(evidence));
    };
    if let Err(wait) = shared.limits.check_client(Action::ResetAttempt, client) {
        said(Verdict::Limited, "client");
        return Redeeming::Limited(wait.as_duration());
    }
    let redeemed = visit.site.cms.redeem(&ticket.token, user, password, &visit.asker()).await;
    said(redeemed.verdict, &redeemed.evidence);
    if redeemed.verdict == Verdict::Ok {
        identity::known::forget_all(visit, user).await;
        match shared.sessions.end_all_of(site, user).await {
            Ok(ended) => tracing::info!(
                id = visit.caller.request_id,
                site,
                user,
                ended,
                "sessions ended with the old password"
            ),
            Err(error) => {
                tracing::error!(id = visit.caller.request_id, site, user = loggable_user(user), %error, "sessions cannot be ended in the store")
            }
        }
    }
    Redeeming::Done(redeemed)
}
