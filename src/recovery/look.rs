//! Between the two halves: whether a link of the CMS's is any good, before its holder has thought of a password.
//!
//! Only a CMS whose dialogue has `open_link` can be asked: one that tells without using the link up. Nobody is asked for a `HEAD`, nor
//! before the gate's own form is about to be shown, which takes its cookie: what merely follows links in mails does not get so far.

use super::{Ticket, Way};
use crate::cms::Verdict;
use crate::limits::Action;
use crate::observe::audit::{Event, Kind, Origin};
use crate::visit::Visit;

/// Why the link is of no use, if the CMS says so: `Invalid` or `Expired`. Whatever else it says, or if it says nothing, the form
/// finds out. A dead link counts as an attempt; whoever had too many is told nothing here.
pub async fn look(visit: &Visit<'_>, ticket: &Ticket) -> Option<Verdict> {
    let (shared, cms, client) = (visit.shared(), &visit.site.cms, visit.client.ip());
    if Way::at(visit.site) != Way::Cms || !cms.dialogue().can_open_link() {
        return None;
    }
    shared.limits.check_client(Action::ResetAttempt, client).ok()?;
    let opened = cms.open_link(&ticket.token, &visit.asker()).await;
    let is_dead = matches!(opened.verdict, Verdict::Invalid | Verdict::Expired);
    if !is_dead {
        shared.limits.forgive_client(Action::ResetAttempt, client);
    }
    if is_dead || opened.verdict == Verdict::Ok {
        let event = Event::new(Kind::LinkOpened, opened.verdict.as_str()).link(&ticket.token);
        shared.audit.record(&Origin::of(visit), event.detail(&opened.evidence));
    }
    is_dead.then_some(opened.verdict)
}
