//! The first half: somebody says which account is theirs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Way, issued};
use crate::cms::Verdict;
use crate::gate::Site;
use crate::limits::Action;
use crate::observe::audit::{ASKED, Event, Kind, Origin};
use crate::visit::Visit;

/// What a request for a reset mail came to, as far as the visitor is told.
#[derive(Debug)]
pub enum Asked {
    /// No name was given.
    Missing,
    /// This client asked too often; after so long it may again.
    Limited(Duration),
    /// The request is taken; what came of it is nobody's business.
    Uniform,
    /// What came of it, for sites that tell.
    Disclosed(Verdict),
}

/// How long the uniform answer takes at least, so that even what is refused before anyone is asked looks like the rest.
const FLOOR: Duration = Duration::from_millis(250);

/// Has a reset mail sent: by the CMS, anonymously and in the gate's own name, whoever asks; or by the gate itself.
///
/// Unless the site discloses accounts, that happens beside the answer, so that its time does not show in ours.
pub async fn request(visit: &Visit<'_>, username: &str) -> Asked {
    let floor = Instant::now() + FLOOR;
    let (limits, site, client) = (&visit.shared().limits, Arc::clone(visit.site), visit.client.ip());
    let user = username.trim().to_owned();
    if user.is_empty() {
        return Asked::Missing;
    }
    let (shared, origin) = (Arc::clone(visit.shared()), Origin::of(visit));
    let asked = Event::new(Kind::ResetRequest, ASKED).account(&user, false);
    let said = {
        let (shared, origin) = (Arc::clone(&shared), origin.clone());
        move |site: &Site, user: &str, verdict: Verdict, evidence: &str| {
            site.metrics.resets.count("request", verdict.as_str());
            let event =
                Event::new(Kind::ResetRequest, verdict.as_str()).account(user, verdict == Verdict::Ok);
            shared.audit.record(&origin, event.detail(evidence));
        }
    };
    if let Err(wait) = limits.check_client(Action::ResetRequest, client) {
        said(&site, &user, Verdict::Limited, "client");
        return Asked::Limited(wait.as_duration());
    }
    let disclose = site.reset.disclose_accounts;
    if let Err(wait) = limits.check_account(Action::ResetRequest, &site.users, &user) {
        said(&site, &user, Verdict::Limited, "account");
        tokio::time::sleep_until(floor).await;
        // Unless the site tells, it is one mail more that is already on its way.
        return if disclose { Asked::Limited(wait.as_duration()) } else { Asked::Uniform };
    }
    shared.audit.record(&origin, asked);
    let asker = visit.asker();
    let applicant = issued::Applicant::of(visit);
    let ask = async move {
        // A gate that is killed meanwhile has asked, and a mail may be on its way.
        shared.audit.settled().await;
        let (requested, account) = match Way::at(&site) {
            Way::Cms => (site.cms.request_reset(&user, &asker).await, None),
            Way::Issued => issued::request(&site, &user, &applicant, disclose).await,
        };
        // Who was named by their address goes down by their name, as in all that follows.
        said(&site, account.as_deref().unwrap_or(&user), requested.verdict, &requested.evidence);
        requested.verdict
    };
    if disclose {
        return Asked::Disclosed(ask.await);
    }
    visit.shared().background.spawn(ask);
    tokio::time::sleep_until(floor).await;
    Asked::Uniform
}
