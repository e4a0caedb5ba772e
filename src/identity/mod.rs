//! Who vouches for a password, and how often it may be tried.
//!
//! Here the CMS's own login form is the judge. Limits are counted before it is asked; a refusal takes as long whoever is
//! refused, so that it does not tell an unknown name from a wrong password; a backend that is down is no refusal.

use std::time::Duration;

use crate::cms::{KeptCookies, SignIn};
use crate::limits::Action;
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

/// How long a refusal takes at least. A CMS refuses an unknown name and a wrong password at slightly different speeds, and
/// Plone takes about 50 ms for either; five times that hides the difference in what it takes to answer at all.
const REFUSAL_FLOOR: Duration = Duration::from_millis(250);

/// Asks whether this is the account's password.
pub async fn vouch(visit: &Visit<'_>, username: &str, password: &Secret) -> Vouched {
    let (limits, site, client) = (&visit.shared().limits, visit.site.name.as_str(), visit.client.ip());
    let user = username.trim();
    if user.is_empty() || password.expose().is_empty() {
        return Vouched::Missing;
    }
    let said = |verdict: &str, evidence: &str| {
        let event = Event::new(Kind::SignIn, verdict).account(user, false).detail(evidence);
        visit.shared().audit.record(&Origin::of(visit), event);
    };
    if let Err(wait) = limits
        .check_client(Action::SignIn, client)
        .and_then(|()| limits.check_account(Action::SignIn, site, user))
    {
        said("limited", "");
        return Vouched::Limited(wait.as_duration());
    }
    // Only what fails is counted in the end.
    let forgive = || {
        limits.forgive_client(Action::SignIn, client);
        limits.forgive_account(Action::SignIn, site, user);
    };
    let floor = tokio::time::Instant::now() + REFUSAL_FLOOR;
    let outcome = match visit.site.cms.sign_in(user, password, &visit.asker()).await {
        SignIn::Ok { user, cookies } => {
            forgive();
            return Vouched::Yes { user, kept: cookies };
        }
        SignIn::Refused => {
            said("refused", "");
            Vouched::No
        }
        SignIn::Unknown { evidence } => {
            forgive();
            said("unknown", &evidence);
            Vouched::Unclear
        }
        SignIn::Unreachable { evidence } => {
            forgive();
            said("unreachable", &evidence);
            Vouched::Unreachable
        }
    };
    tokio::time::sleep_until(floor).await;
    outcome
}
