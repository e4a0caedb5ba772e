//! `logout`: asks, then ends the session here and at the CMS.

use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use super::next_of;
use crate::cms::{KeptCookies, SignOut};
use crate::config::SignIn;
use crate::observe::audit::{Event, Kind, Origin};
use crate::pages::{ErrorKind, Page};
use crate::session::cookie::{self, Name};
use crate::visit::{Answer, Visit};

const FORM: &str = "sign-out";

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    if visit.session.is_none() {
        return visit.page(Page::SignedOut, "own");
    }
    let next = next_of(visit, visit.query("next").as_deref());
    let (csrf, cookie) = form::token(visit, FORM);
    visit.page(Page::SignOut { csrf: &csrf, next: next.as_str() }, "own").with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    match Form::read(visit, FORM, body).await {
        Ok(_) => {}
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(_)) => return show(visit),
    }
    match end(visit).await {
        Ok(()) => clear(visit, visit.page(Page::SignedOut, "signed_out")),
        Err(kind) => visit.problem(kind, "store_failed"),
    }
}

/// Takes the session's cookies away.
pub(super) fn clear(visit: &Visit<'_>, answer: Answer) -> Answer {
    let clear = |name| Some(cookie::clear(name, &visit.site.cookies));
    answer.with_cookie(clear(Name::Session)).with_cookie(clear(Name::Last))
}

/// Ends the session, if there is one, here and at the CMS.
pub(super) async fn end(visit: &Visit<'_>) -> Result<(), ErrorKind> {
    let Some(session) = &visit.session else { return Ok(()) };
    if let Err(error) = visit.shared().sessions.end(session).await {
        tracing::error!(id = visit.caller.request_id, %error, "a session cannot be ended in the store");
        return Err(ErrorKind::Internal);
    }
    let event = Event::new(Kind::SignOut, "ok").account(session.user(), true);
    visit.shared().audit.record(&Origin::of(visit), event);
    // A local user may have no sign-in there that could be ended.
    let kept = KeptCookies::from_bytes(&session.kept())
        .filter(|kept| visit.site.sign_in == SignIn::Backend || !kept.is_empty());
    if let Some(kept) = kept {
        match visit.site.cms.sign_out(&kept, &visit.asker()).await {
            SignOut::Ok => {}
            SignOut::Unknown { evidence } | SignOut::Unreachable { evidence } => {
                tracing::warn!(
                    id = visit.caller.request_id,
                    site = visit.site.name,
                    evidence,
                    "the CMS did not confirm the sign-out; its cookie is gone from here all the same"
                );
            }
        }
    }
    Ok(())
}
