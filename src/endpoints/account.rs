//! `account`: who is signed in, and where; signs out everywhere else; changes the password.

use std::sync::Arc;

use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use crate::identity;
use crate::observe::audit::{Event, Kind, Origin};
use crate::pages::{ChangeError, ChangeForm, ErrorKind, Page, SessionLine};
use crate::recovery::{self, Changing};
use crate::session::Session;
use crate::visit::{Answer, Visit};

const FORM: &str = "account";

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    page(visit, ChangeForm::Empty)
}

fn page(visit: &Visit<'_>, change: ChangeForm<'_>) -> Answer {
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    let shared = visit.shared();
    let now = shared.sessions.now();
    let sessions = shared.sessions.list_like(session);
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
    let verdict = match change {
        ChangeForm::Empty => "own",
        ChangeForm::Done => "password_changed",
        ChangeForm::Wrong(_) => "password_not_changed",
    };
    let change = visit.site.changes_passwords().then_some(change);
    visit
        .page(Page::Account { username: session.user(), csrf: &csrf, sessions: &lines, change }, verdict)
        .with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    let (form, fresh) = match Form::read(visit, FORM, body).await {
        Ok(form) => (form, true),
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(form)) => (form, false),
    };
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    if form.text("action") == "change-password" && visit.site.changes_passwords() {
        return change(visit, session, &form, fresh).await;
    }
    if !fresh {
        return show(visit);
    }
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

async fn change(visit: &Visit<'_>, session: &Arc<Session>, form: &Form, fresh: bool) -> Answer {
    let (current, new) = (form.secret("current_password"), form.secret("password"));
    let wrong = |error: ChangeError<'_>| page(visit, ChangeForm::Wrong(error));
    if !fresh {
        return wrong(ChangeError::FormExpired);
    }
    if current.expose().is_empty() || new.expose().is_empty() {
        return wrong(ChangeError::Missing);
    }
    if new != form.secret("password_confirm") {
        return wrong(ChangeError::Mismatch);
    }
    match recovery::change(visit, session, &current, &new).await {
        Changing::Done => {
            // This browser is in the right hands.
            let known = identity::known::cookie(visit, session.user(), session.user());
            page(visit, ChangeForm::Done).with_cookie(known)
        }
        Changing::WrongCurrent => wrong(ChangeError::WrongCurrent),
        Changing::Unfit(unfit) => wrong(ChangeError::Unfit(unfit)),
        Changing::Rejected { reason } => wrong(ChangeError::Rejected { reason: &reason }),
        Changing::NotSupported => wrong(ChangeError::NotSupported),
        Changing::NotConfirmed => wrong(ChangeError::NotConfirmed),
        Changing::Limited(retry_after) => wrong(ChangeError::Limited { retry_after }),
        Changing::Failed => wrong(ChangeError::Failed),
    }
}
