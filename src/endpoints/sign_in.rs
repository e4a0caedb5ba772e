//! `login`: the form, and what it comes to.

use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use super::{go_on, held, next_of};
use crate::gate::Next;
use crate::held::LastUser;
use crate::identity::{self, Person, Vouched};
use crate::observe::audit::{Event, Kind, Origin};
use crate::pages::{Page, SignInError, SignInNotice};
use crate::session::NewSession;
use crate::session::cookie::{self, Name};
use crate::visit::{Answer, Visit};

const FORM: &str = "sign-in";

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    let next = next_of(visit, visit.query("next").as_deref());
    if visit.session.is_some() {
        return visit.redirect(http::StatusCode::FOUND, next.as_str(), "signed_in_already");
    }
    let notice = match visit.query("kept").as_deref() {
        Some("1") => Some(SignInNotice::Kept),
        Some(_) => Some(SignInNotice::Lost),
        None => visit.query("ended").map(|_| SignInNotice::Ended),
    };
    page(visit, &visit.query("username").unwrap_or_default(), &next, None, notice)
}

fn page(
    visit: &Visit<'_>,
    username: &str,
    next: &Next,
    error: Option<SignInError>,
    notice: Option<SignInNotice>,
) -> Answer {
    let (csrf, cookie) = form::token(visit, FORM);
    let remember = visit.shared().config.session.can_remember().then_some(false);
    let verdict = if error.is_some() { "not_signed_in" } else { "own" };
    visit
        .page(Page::SignIn { username, next: next.as_str(), csrf: &csrf, error, remember, notice }, verdict)
        .with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    let form = match Form::read(visit, FORM, body).await {
        Ok(form) => form,
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(form)) => {
            let next = next_of(visit, Some(&form.text("next")));
            return page(visit, &form.text("username"), &next, Some(SignInError::FormExpired), None);
        }
    };
    let next = next_of(visit, Some(&form.text("next")));
    let username = form.text("username");
    let wrong = |error| page(visit, &username, &next, Some(error), None);
    let error = match identity::vouch(visit, &username, &form.secret("password")).await {
        Vouched::Yes(person) => {
            let remember = !form.text("remember").is_empty();
            match begin(visit, &username, &person, remember, &next).await {
                Some(answer) => return answer,
                // Changed, disabled or removed while the password was being compared.
                None => SignInError::WrongCredentials,
            }
        }
        Vouched::Missing => SignInError::Missing,
        Vouched::No => SignInError::WrongCredentials,
        Vouched::Unreachable => SignInError::Unreachable,
        Vouched::Unclear => SignInError::NotConfirmed,
        Vouched::Limited(retry_after) => SignInError::Limited { retry_after },
    };
    wrong(error)
}

/// Begins a session, with a new id, and ends the one the browser had; `None` if nobody vouches for the person any more.
async fn begin(
    visit: &Visit<'_>,
    typed: &str,
    person: &Person,
    remember: bool,
    next: &Next,
) -> Option<Answer> {
    let (shared, user) = (visit.shared(), person.user.as_str());
    let new = NewSession {
        site: &visit.site.name,
        user,
        user_id: person.user_id.as_deref(),
        remember,
        client: visit.client.ip(),
        user_agent: visit
            .headers()
            .get(http::header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default(),
        kept: person.kept.to_bytes().expose().as_bytes().to_vec(),
        groups: person.groups.clone(),
    };
    let created = match &visit.session {
        Some(old) => shared.sessions.replace(old, new).await,
        None => shared.sessions.create(new).await,
    };
    Some(match created {
        Ok((_, session)) if !identity::still_vouches(visit, person).await => {
            if let Err(error) = shared.sessions.end(&session).await {
                tracing::error!(id = visit.caller.request_id, %error, "a session cannot be ended in the store");
            }
            return None;
        }
        Ok((id, session)) => {
            let event = Event::new(Kind::SignIn, "ok").account(user, true);
            shared.audit.record(&Origin::of(visit), event.detail(if remember { "remembered" } else { "" }));
            let answer = if held::offered(visit, user).await.is_empty() {
                go_on(visit, next, "signed_in")
            } else {
                visit.to_own(http::StatusCode::SEE_OTHER, "held", "", "signed_in")
            };
            let (names, max_age) = (&visit.site.cookies, session.max_age(shared.sessions.now()));
            let last = LastUser::seal(&shared.sealer, session.key(), &visit.site.name, user)
                .filter(|_| visit.site.hold_posts > 0)
                .map(|last| cookie::set(Name::Last, names, &last, max_age));
            answer
                .with_cookie(Some(cookie::set(Name::Session, names, id.text().expose(), max_age)))
                .with_cookie(last)
                .with_cookie(identity::known::cookie(visit, typed, user))
        }
        Err(error) => {
            shared
                .audit
                .record(&Origin::of(visit), Event::new(Kind::SignIn, "store_failed").account(user, true));
            tracing::error!(id = visit.caller.request_id, %error, "a session cannot be kept");
            page(visit, user, next, Some(SignInError::NotKept), None)
        }
    })
}
