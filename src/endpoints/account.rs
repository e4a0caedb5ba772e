//! `account`: who is signed in, and where; signs out everywhere else.

use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use crate::observe::audit::{Event, Kind, Origin};
use crate::pages::{ErrorKind, Page, SessionLine};
use crate::visit::{Answer, Visit};

const FORM: &str = "account";

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    let shared = visit.shared();
    let now = shared.clock.now();
    let sessions = shared.sessions.list(Some(session.site()), Some(session.user()));
    let clients: Vec<String> = sessions.iter().map(|session| session.client().to_string()).collect();
    let lines: Vec<SessionLine<'_>> = sessions
        .iter()
        .zip(&clients)
        .map(|(other, client)| SessionLine {
            current: other.key() == session.key(),
            client,
            age: now.since(other.created()),
            idle: now.since(other.seen()),
        })
        .collect();
    let (csrf, cookie) = form::token(visit, FORM);
    visit
        .page(Page::Account { username: session.user(), csrf: &csrf, sessions: &lines }, "own")
        .with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    match Form::read(visit, FORM, body).await {
        Ok(_) => {}
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(_)) => return show(visit),
    }
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    match visit.shared().sessions.end_others(session).await {
        Ok(ended) => {
            let detail = format!("{ended} other sessions ended by their user");
            let event = Event::new(Kind::Revocation, "ok").account(session.user(), true).detail(&detail);
            visit.shared().audit.record(&Origin::of(visit), event);
            show(visit)
        }
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "sessions cannot be ended in the store");
            visit.problem(ErrorKind::Internal, "store_failed")
        }
    }
}
