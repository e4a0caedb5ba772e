//! Who vouches for a password, and how often it may be tried.
//!
//! Here the CMS's own login form is the judge. Limits are counted before it is asked; a refusal takes as long whoever is
//! refused, so that it does not tell an unknown name from a wrong password; a backend that is down is no refusal.

pub mod known;
mod regulation;

use std::time::Duration;

use self::regulation::Attempt;
use crate::cms::{KeptCookies, SignIn};
use crate::observe::audit::{Event, Kind, Origin};
use crate::secret::Secret;
use crate::visit::Visit;

/// What became of an attempt to sign in.
#[derive(Debug)]
pub enum Vouched {
    /// It is this person.
    Yes {
        /// The name of the account.
        user: String,
        /// The CMS's own sign-in.
        kept: KeptCookies,
    },
    /// Name or password is empty.
    Missing,
    /// Unknown name or wrong password.
    No,
    /// Nobody could be asked.
    Unreachable,
    /// The answer was none that is known.
    Unclear,
    /// Too many attempts; after so long there may be another.
    Limited(Duration),
}

/// A refusal takes this long, or twice, or three times … A CMS refuses an unknown name and a wrong password at slightly different
/// speeds, and Plone takes about 50 ms for either; five times that hides the difference in what it takes to answer at all. Only
/// a CMS that takes longer than a step for the one and not for the other can still be told by it.
const REFUSAL_STEP: Duration = Duration::from_millis(250);

/// Asks whether this is the account's password.
pub async fn vouch(visit: &Visit<'_>, username: &str, password: &Secret) -> Vouched {
    let user = username.trim();
    if user.is_empty() || password.expose().is_empty() {
        return Vouched::Missing;
    }
    let said = |verdict: &'static str, evidence: &str| {
        visit.site.metrics.sign_ins.count(verdict, "");
        let event = Event::new(Kind::SignIn, verdict).account(user, false).detail(evidence);
        visit.shared().audit.record(&Origin::of(visit), event);
    };
    // Only what fails is counted in the end.
    let attempt = match Attempt::begin(visit, user).await {
        Ok(attempt) => attempt,
        Err(wait) => {
            said("limited", "");
            return Vouched::Limited(wait);
        }
    };
    let began = tokio::time::Instant::now();
    let outcome = match visit.site.cms.sign_in(user, password, &visit.asker()).await {
        SignIn::Ok { user, cookies } => {
            attempt.forgive(true);
            visit.site.metrics.sign_ins.count("ok", "");
            return Vouched::Yes { user, kept: cookies };
        }
        SignIn::Refused => {
            attempt.fail();
            said("refused", "");
            Vouched::No
        }
        SignIn::Unknown { evidence } => {
            attempt.forgive(false);
            said("unknown", &evidence);
            Vouched::Unclear
        }
        SignIn::Unreachable { evidence } => {
            attempt.forgive(false);
            said("unreachable", &evidence);
            Vouched::Unreachable
        }
    };
    tokio::time::sleep_until(began + even(began.elapsed())).await;
    outcome
}

/// The end of the step that a refusal which took so long falls into.
fn even(took: Duration) -> Duration {
    let steps = took.as_nanos() / REFUSAL_STEP.as_nanos() + 1;
    REFUSAL_STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_end_with_a_step() {
        for (took, ends) in [(0, 250), (1, 250), (249, 250), (250, 500), (251, 500), (1_999, 2_000)] {
            assert_eq!(even(Duration::from_millis(took)), Duration::from_millis(ends), "{took}");
        }
    }
}
