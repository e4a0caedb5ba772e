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
    if let Some(elsewhere) = visit.site.elsewhere() {
        let user = visit.query("username").unwrap_or_default();
        return visit.redirect(http::StatusCode::FOUND, &elsewhere.with(&user), "elsewhere");
    }
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
    let username = form.any(&["username", "userid", "login", "email", "eMail"]);
    let wrong = |error| page(visit, &username, &next, Some(error));
    if !fresh {
        return wrong(ForgotError::FormExpired);
    }
    let asked = recovery::request(visit, &username).await;
    match shown(&asked) {
        Ok(certain) => {
            visit.page(Page::ForgotPasswordSent { next: next.as_str(), certain }, "reset_requested")
        }
        Err(error) => wrong(error),
    }
}

/// What a visitor is told of it: that a mail is on its way, for certain or not, or what is wrong. Page and API say the same.
pub(super) fn shown(asked: &Asked) -> Result<bool, ForgotError> {
    match asked {
        Asked::Missing => Err(ForgotError::Missing),
        Asked::Limited(retry_after) => Err(ForgotError::Limited { retry_after: *retry_after }),
        Asked::Uniform => Ok(false),
        Asked::Disclosed(verdict) => match verdict {
            Verdict::Ok => Ok(true),
            // Enough mails are on their way.
            Verdict::Limited => Ok(false),
            Verdict::NoAccount => Err(ForgotError::NoAccount),
            Verdict::NotSupported => Err(ForgotError::NotSupported),
            Verdict::FailedToConnect | Verdict::ResetError => Err(ForgotError::Failed),
            _ => Err(ForgotError::CouldNotConfirm),
        },
    }
}
