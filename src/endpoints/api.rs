//! `api/…`: forgotten passwords and the session, for scripts. `openapi.json` beside this file says what goes in and comes out.
//!
//! The same processes as behind the pages, the same limits, the same words. In the place of the forms' tokens stands what a page
//! of another site cannot send without asking first (and the gate allows nobody): a body in JSON, or the method DELETE.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::{allow, forgot_password, form, reset_password, sign_out};
use crate::clock::Timestamp;
use crate::cms::Verdict;
use crate::gate::{Api, Next};
use crate::pages::{ErrorKind, ForgotError, Page};
use crate::recovery::{self, Asked, Redeeming, Ticket};
use crate::secret::Secret;
use crate::visit::{Answer, Visit};

const DESCRIPTION: &str = include_str!("openapi.json");

/// The names a user name goes by: scripts were written for other gates, too.
const USERNAME: &[&str] = &["username", "userid", "login", "email", "eMail"];

pub(super) async fn answer(visit: &Visit<'_>, api: Api, body: Incoming) -> Answer {
    let (asks, redeems) = (visit.site.requests_reset(), visit.site.redeems());
    match (api, &visit.caller.parts.method) {
        (Api::ForgotPassword, &Method::POST) if asks => forgot(visit, body).await,
        (Api::ResetPassword, &Method::POST) if redeems => reset_by(visit, body).await,
        (Api::Session, &Method::GET | &Method::HEAD) => session(visit),
        (Api::Session, &Method::DELETE) => sign_out_now(visit).await,
        (Api::Description, &Method::GET | &Method::HEAD) => description(),
        (Api::ForgotPassword, _) if asks => not_with_this_method(visit, "POST"),
        (Api::ResetPassword, _) if redeems => not_with_this_method(visit, "POST"),
        (Api::Session, _) => not_with_this_method(visit, "GET, HEAD, DELETE"),
        (Api::Description, _) => not_with_this_method(visit, "GET, HEAD"),
        (Api::ForgotPassword | Api::ResetPassword | Api::NotFound, _) => {
            problem(visit, ErrorKind::NotFound, "own")
        }
    }
}

/// What is wrong, always as JSON.
pub(super) fn problem(visit: &Visit<'_>, kind: ErrorKind, verdict: &'static str) -> Answer {
    visit.outcome(Page::Error { kind, retry: None }, kind.code(), [], verdict)
}

/// Who is signed in.
pub(super) fn session(visit: &Visit<'_>) -> Answer {
    let Some(session) = &visit.session else {
        return visit.unauthorized(format!("{}/login", visit.site.prefix));
    };
    let page = Page::Account { username: session.user(), csrf: "", sessions: &[], change: None };
    let extra = [
        ("username", session.user().into()),
        ("site", session.site().into()),
        ("since", moment(visit.shared().sessions.on_the_wall(session.created()))),
        ("until", moment(visit.shared().sessions.on_the_wall(session.expires()))),
    ];
    visit.outcome(page, "ok", extra, "own")
}

async fn sign_out_now(visit: &Visit<'_>) -> Answer {
    if let Err((kind, verdict)) = form::own_origin(visit) {
        return problem(visit, kind, verdict);
    }
    match sign_out::end(visit).await {
        Ok(()) => sign_out::clear(visit, visit.outcome(Page::SignedOut, "ok", [], "signed_out")),
        Err(kind) => problem(visit, kind, "store_failed"),
    }
}

async fn forgot(visit: &Visit<'_>, body: Incoming) -> Answer {
    let mut input = match Input::read(visit, body).await {
        Ok(input) => input,
        Err(answer) => return *answer,
    };
    let username = input.text(USERNAME);
    if let Some(answer) = input.missing(visit) {
        return answer;
    }
    let asked = recovery::request(visit, username.expose()).await;
    match forgot_password::shown(&asked) {
        Ok(certain) => {
            let home = Next::home(visit.site.public.path());
            let page = Page::ForgotPasswordSent { next: home.as_str(), certain };
            visit.outcome(page, "ok", [], "reset_requested")
        }
        Err(error) => {
            let page = Page::ForgotPassword {
                username: "",
                next: visit.site.home.as_str(),
                csrf: "",
                error: Some(error),
            };
            let code = match (&asked, error) {
                (Asked::Disclosed(verdict), _) => verdict.as_str(),
                (_, ForgotError::Limited { .. }) => "limited",
                _ => ErrorKind::BadRequest.code(),
            };
            visit.outcome(page, code, [], "own")
        }
    }
}

async fn reset_by(visit: &Visit<'_>, body: Incoming) -> Answer {
    let mut input = match Input::read(visit, body).await {
        Ok(input) => input,
        Err(answer) => return *answer,
    };
    let (token, username, password) =
        (input.text(&["token"]), input.text(USERNAME), input.text(&["password"]));
    if let Some(answer) = input.missing(visit) {
        return answer;
    }
    let ticket = Ticket { token, user: None, browser: None };
    let redeeming = recovery::redeem(visit, &ticket, username.expose(), &password).await;
    let code = match redeeming.verdict() {
        // Whether an account exists is not for the holder of any odd link to learn.
        Verdict::NoAccount => Verdict::Unknown.as_str(),
        verdict => verdict.as_str(),
    };
    let reason = match &redeeming {
        Redeeming::Unfit(unfit) => Some(unfit.as_str()),
        Redeeming::Dead(dead) => Some(dead.as_str()),
        Redeeming::Limited(_) | Redeeming::Done(_) => None,
    };
    let home = Next::home(visit.site.public.path());
    let (page, verdict) = match reset_password::shown(&redeeming) {
        reset_password::Shown::Done => (Page::ResetDone { next: home.as_str() }, "reset"),
        reset_password::Shown::Wrong(error) => {
            (Page::ResetPassword { username: "", csrf: "", error: Some(error) }, "own")
        }
        reset_password::Shown::Dead(reason) => (Page::ResetDead { reason }, "reset_failed"),
    };
    visit.outcome(page, code, reason.map(|reason| ("reason", reason.into())), verdict)
}

fn description() -> Answer {
    let mut response = Response::new(Bytes::from_static(DESCRIPTION.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    Answer::own(response, "own")
}

fn not_with_this_method(visit: &Visit<'_>, allowed: &'static str) -> Answer {
    allow(problem(visit, ErrorKind::MethodNotAllowed, "own"), allowed)
}

/// What a script has sent: an object, whose members are taken out one by one.
struct Input {
    members: Map<String, Value>,
    missing: Vec<&'static str>,
}

impl Input {
    async fn read(visit: &Visit<'_>, body: Incoming) -> Result<Self, Box<Answer>> {
        let body = form::read_body(visit, b"application/json", body)
            .await
            .map_err(|(kind, verdict)| Box::new(problem(visit, kind, verdict)))?;
        match serde_json::from_slice(&body) {
            Ok(members) => Ok(Self { members, missing: Vec::new() }),
            Err(_) => Err(Box::new(bad_request(visit, &[]))),
        }
    }

    /// A text under the first of these names that has one; not there, empty or no text, its first name is noted as missing.
    fn text(&mut self, names: &[&'static str]) -> Secret {
        let found = names.iter().find_map(|name| match self.members.remove(*name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            _ => None,
        });
        if found.is_none() {
            self.missing.extend(names.first());
        }
        Secret::new(found.unwrap_or_default())
    }

    /// The answer to a body that lacks something.
    fn missing(&self, visit: &Visit<'_>) -> Option<Answer> {
        (!self.missing.is_empty()).then(|| bad_request(visit, &self.missing))
    }
}

/// Names the members that are missing or no text; none, if the body is no object at all.
fn bad_request(visit: &Visit<'_>, fields: &[&'static str]) -> Answer {
    let kind = ErrorKind::BadRequest;
    let page = Page::Error { kind, retry: None };
    visit.outcome(page, kind.code(), [("fields", Value::from(fields.to_vec()))], "bad_form")
}

/// In UTC, to the second (RFC 3339).
fn moment(time: Timestamp) -> Value {
    jiff::Timestamp::from_second(time.as_millis().div_euclid(1000)).map(|time| time.to_string()).ok().into()
}
