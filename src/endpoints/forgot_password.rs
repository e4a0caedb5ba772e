//! `forgot-password`: asks for a name, and has the CMS send its reset mail.

use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use super::next_of;
use crate::cms::Verdict;
use crate::gate::Next;
use crate::pages::{ForgotError, Page};
use crate::recovery::{self, Asked};
use crate::visit::{Answer, Visit};

const FORM: &str = "forgot-password";

pub(super) fn show(visit: &Visit<'_>) -> Answer {
    let next = next_of(visit, visit.query("next").as_deref());
    page(visit, &visit.query("username").unwrap_or_default(), &next, None)
}

fn page(visit: &Visit<'_>, username: &str, next: &Next, error: Option<ForgotError>) -> Answer {
    let (csrf, cookie) = form::token(visit, FORM);
    visit
        .page(Page::ForgotPassword { username, next: next.as_str(), csrf: &csrf, error }, "own")
        .with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    let (form, fresh) = match Form::read(visit, FORM, body).await {
        Ok(form) => (form, true),
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(form)) => (form, false),
    };
    let next = next_of(visit, Some(&form.text("next")));
    let username = form.any(&["username", "userid", "login", "email"]);
    let wrong = |error| page(visit, &username, &next, Some(error));
    if !fresh {
        return wrong(ForgotError::FormExpired);
    }
    match recovery::request(visit, &username).await {
        Asked::Missing => wrong(ForgotError::Missing),
        Asked::Limited(retry_after) => wrong(ForgotError::Limited { retry_after }),
        Asked::Uniform => {
            visit.page(Page::ForgotPasswordSent { next: next.as_str(), certain: false }, "reset_requested")
        }
        Asked::Disclosed(verdict) => match verdict {
            Verdict::Ok => {
                visit.page(Page::ForgotPasswordSent { next: next.as_str(), certain: true }, "reset_requested")
            }
            Verdict::NoAccount => wrong(ForgotError::NoAccount),
            Verdict::NotSupported => wrong(ForgotError::NotSupported),
            Verdict::FailedToConnect | Verdict::ResetError => wrong(ForgotError::Failed),
            _ => wrong(ForgotError::CouldNotConfirm),
        },
    }
}
