//! How long a refusal takes, so that its time does not tell an unknown name from a wrong password.
//!
//! A CMS may look longer at a password than at a name that it does not know, and so does a hash taken over from elsewhere. So every
//! refusal takes as long as the slowest of late, on to the end of a step that hides what it takes to answer at all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// Plone takes about 50 ms for either answer; five times that hides their difference.
const STEP: Duration = Duration::from_millis(250);

/// For how long a slow refusal slows others; up to twice that.
const PERIOD: Duration = Duration::from_secs(3_600);

/// A slower one is an accident, and slows no others.
const MOST: Duration = Duration::from_secs(5);

/// The pace of a site's refusals.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Slowest>);

#[derive(Debug, Default)]
struct Slowest {
    began: Option<Timestamp>,
    here: Duration,
    before: Duration,
}

impl Pace {
    /// How long a refusal is to take that took `took` until `now`.
    pub(super) fn of(&self, took: Duration, now: Timestamp) -> Duration {
        let mut slowest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = slowest.began.map_or(Duration::MAX, |began| now.since(began));
        if age >= PERIOD {
            let before = if age < PERIOD * 2 { slowest.here } else { Duration::ZERO };
            *slowest = Slowest { began: Some(now), here: Duration::ZERO, before };
        }
        if took <= MOST {
            slowest.here = slowest.here.max(took);
        }
        even(took.max(slowest.here).max(slowest.before))
    }
}

/// The end of the step that so long a time falls into.
pub(super) fn even(took: Duration) -> Duration {
    let steps = took.as_nanos() / STEP.as_nanos() + 1;
    STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX))
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

    #[test]
    fn a_refusal_takes_as_long_as_the_slowest_of_the_last_hour_or_two() {
        let pace = Pace::default();
        let minutes = |minutes: i64| Timestamp::from_millis(1_700_000_000_000 + minutes * 60_000);
        for (what, at, took, ends) in [
            ("the first", 0, 5, 250),
            ("a slow one", 1, 400, 500),
            ("a quick one after it", 2, 5, 500),
            ("an accident takes its own time", 3, 6_000, 6_250),
            ("and slows no other", 4, 5, 500),
            ("in the next hour", 61, 5, 500),
            ("when it is long ago", 122, 5, 250),
            ("after a night without any", 900, 5, 250),
        ] {
            let got = pace.of(Duration::from_millis(took), minutes(at));
            assert_eq!(got, Duration::from_millis(ends), "{what}");
        }
    }
}
