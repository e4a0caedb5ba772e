//! Who vouches for a password, and how often it may be tried.
//!
//! The CMS's own login form is the judge, or the gate itself, which then has users of its own (`local`). Limits are counted before
//! either is asked; a refusal takes as long whoever is refused, so that it does not tell an unknown name from a wrong password; a
//! backend that is down is no refusal.

mod headers;
pub mod known;
mod local;
mod pace;
mod regulation;

use std::time::Duration;

pub use self::headers::Headers;
pub use self::local::UserName;
pub use self::pace::Pace;
use self::regulation::Attempt;
use crate::cms::{KeptCookies, SignIn};
use crate::config;
use crate::observe::audit::{Event, Kind, Origin};
use crate::secret::Secret;
use crate::store::Groups;
use crate::visit::Visit;

/// What became of an attempt to sign in.
#[derive(Debug)]
pub enum Vouched {
    /// It is this person.
    Yes(Person),
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

/// Somebody who is vouched for.
#[derive(Debug)]
pub struct Person {
    /// The name of the account, as the authority spells it.
    pub user: String,
    /// The CMS's own id of it, if it was told.
    pub user_id: Option<String>,
    /// The CMS's own sign-in; none of a local user.
    pub kept: KeptCookies,
    /// The groups of a local user.
    pub groups: Groups,
    stamp: Option<Stamp>,
}

/// Which local user was vouched for, and in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    id: i64,
    version: i64,
}

/// Whether what was said of a person still holds, once a session of theirs is in the store: from then on a change ends it.
pub async fn still_vouches(visit: &Visit<'_>, person: &Person) -> bool {
    match &person.stamp {
        Some(stamp) => local::is_unchanged(visit, &person.user, stamp).await,
        None => true,
    }
}

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
    let (outcome, evidence) = match visit.site.sign_in {
        config::SignIn::Backend => ask_cms(visit, user, password).await,
        config::SignIn::Local => {
            let (outcome, evidence) = local::vouch(visit, user, password).await;
            (outcome, evidence.to_owned())
        }
    };
    match &outcome {
        Vouched::Yes(_) => {
            attempt.forgive(true);
            visit.site.metrics.sign_ins.count("ok", "");
            return outcome;
        }
        Vouched::No => {
            attempt.fail();
            said("refused", &evidence);
            let until = visit.site.pace.of(began.elapsed(), visit.shared().sessions.now());
            tokio::time::sleep_until(began + until).await;
            return outcome;
        }
        other => {
            attempt.forgive(false);
            let verdict = match other {
                Vouched::Unclear => "unknown",
                Vouched::Limited(_) => "limited",
                _ => "unreachable",
            };
            said(verdict, &evidence);
        }
    }
    tokio::time::sleep_until(began + pace::even(began.elapsed())).await;
    outcome
}

async fn ask_cms(visit: &Visit<'_>, user: &str, password: &Secret) -> (Vouched, String) {
    match visit.site.cms.sign_in(user, password, &visit.asker()).await {
        SignIn::Ok { user, user_id, cookies } => {
            let person = Person { user, user_id, kept: cookies, groups: Groups::default(), stamp: None };
            (Vouched::Yes(person), String::new())
        }
        SignIn::Refused => (Vouched::No, String::new()),
        SignIn::Unknown { evidence } => (Vouched::Unclear, evidence),
        SignIn::Unreachable { evidence } => (Vouched::Unreachable, evidence),
    }
}
