//! An attempt to sign in, from before anybody is asked until it is known what came of it.

use std::time::Duration;

use super::known;
use crate::limits::SignInAttempt;
use crate::observe::audit::{Event, Kind, Origin};
use crate::visit::Visit;

/// An attempt that may be made. It counts as failed until it is said to be otherwise.
pub(super) struct Attempt<'a> {
    visit: &'a Visit<'a>,
    user: &'a str,
    /// The id of the browser, if the account knows it.
    browser: Option<String>,
}

impl<'a> Attempt<'a> {
    /// Counts it.
    ///
    /// # Errors
    /// The time until there may be one.
    pub(super) async fn begin(visit: &'a Visit<'a>, user: &'a str) -> Result<Self, Duration> {
        let attempt = Self { visit, user, browser: known::id(visit, user).await };
        match visit.shared().limits.begin_sign_in(&attempt.counted()) {
            Ok(()) => Ok(attempt),
            Err(wait) => Err(wait.as_duration()),
        }
    }

    /// It was no failure: the password was right, or, unless it `succeeded`, nobody can tell.
    pub(super) fn forgive(&self, succeeded: bool) {
        self.visit.shared().limits.forgive_sign_in(&self.counted(), succeeded);
    }

    /// It was one. What that begins to look like is written down.
    pub(super) fn fail(&self) {
        for suspicion in self.visit.shared().limits.failed_sign_in(&self.counted()) {
            let verdict = suspicion.as_str();
            tracing::warn!(id = self.visit.caller.request_id, site = self.visit.site.name, client = %self.visit.client.ip(), verdict, "failed sign-ins look like stolen passwords being tried");
            let event = Event::new(Kind::Suspicion, verdict).account(self.user, false);
            self.visit.shared().audit.record(&Origin::of(self.visit), event);
        }
    }

    fn counted(&self) -> SignInAttempt<'_> {
        SignInAttempt {
            // The same people may sign in at several sites; they are not to be guessed for at each anew.
            site: &self.visit.site.users,
            user: self.user,
            client: self.visit.client.ip(),
            browser: self.browser.as_deref(),
        }
    }
}
