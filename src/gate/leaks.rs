//! What is done about internal names that no rule maps (`[site.rewrite] leaks`): they are counted and logged, with the path they were
//! found at and never with what stood there; or the answer is withheld.

use std::sync::Arc;
use std::time::Duration;

use super::Site;
use crate::forward::ResponseBody;
use crate::observe::access::loggable_path;
use crate::rewrite::{Leaks, Plan, RewriteBody};
use crate::visit::Visit;

/// How much of an answer is read before its head is sent, so that a 502 can still take its place.
const READ_AHEAD: usize = 64 << 10;
/// And how long at most: an answer may be a stream of events that begins with nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// One answer's guard.
pub(super) struct Guard {
    id: String,
    path: String,
    site: Arc<Site>,
}

impl Guard {
    pub(super) fn of(visit: &Visit<'_>) -> Self {
        Self {
            id: visit.caller.request_id.to_owned(),
            path: loggable_path(visit.path).into_owned(),
            site: Arc::clone(visit.site),
        }
    }

    pub(super) fn blocks(&self) -> bool {
        self.site.origins.settings().leaks == Leaks::Block
    }

    /// Says that `count` internal names were found.
    pub(super) fn found(&self, place: &'static str, count: usize) {
        let blocked = self.blocks();
        self.site.metrics.leaks.add(place, "", count);
        tracing::warn!(
            id = self.id,
            site = self.site.name,
            path = self.path,
            place,
            count,
            blocked,
            "an answer holds internal names"
        );
    }

    /// Says that a text cannot be looked into.
    pub(super) fn cannot_look(&self) {
        let blocked = self.blocks();
        self.site.metrics.leaks.add("coding", "", 1);
        tracing::warn!(
            id = self.id,
            site = self.site.name,
            path = self.path,
            blocked,
            "an answer comes in a coding that nobody can look into"
        );
    }

    /// Rewrites a body under guard. `None` if it has begun with an internal name and must not be sent.
    pub(super) async fn rewrite(
        self,
        body: ResponseBody,
        plan: Plan,
        labelled: &http::HeaderMap,
    ) -> Option<RewriteBody<ResponseBody>> {
        let blocks = self.blocks();
        let mut body = RewriteBody::new(body, &self.site.origins, plan)
            .labelled(labelled)
            .blocking(blocks)
            .on_leak(move |count| self.found("body", count));
        if !blocks {
            return Some(body);
        }
        let ahead = tokio::time::timeout(PATIENCE, body.read_ahead(READ_AHEAD)).await;
        // Out of patience is no fault; another error is met again when the body is sent.
        if ahead.is_ok() && body.leaked() > 0 { None } else { Some(body) }
    }
}
