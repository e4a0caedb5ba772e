//! The gate's own pages at work: what each does with a request. How they look is `pages`' affair.
//!
//! Every form is posted with a token of its own and checked for where it comes from before anything in it is read.

mod account;
mod api;
mod assets;
mod auth;
mod forgot_password;
mod form;
mod held;
mod reset_password;
mod sign_in;
mod sign_out;

use http::{Method, StatusCode};
use hyper::body::Incoming;

use crate::gate::{Endpoint, Next};
use crate::pages::ErrorKind;
use crate::visit::{Answer, Visit};

pub(crate) use self::held::{confirmed, offer_after_sign_in};
pub(crate) use self::reset_password::capture;

/// The store cannot be written at present; it may be in a minute.
pub(crate) const STORE_FAILED: ErrorKind =
    ErrorKind::Unavailable { retry_after: std::time::Duration::from_secs(60) };

/// Answers a request to one of the gate's own pages, once what it says has happened is written down.
pub(crate) async fn answer(visit: &Visit<'_>, endpoint: Endpoint<'_>, body: Incoming) -> Answer {
    let answer = respond(visit, endpoint, body).await;
    visit.shared().audit.settled().await;
    answer
}

async fn respond(visit: &Visit<'_>, endpoint: Endpoint<'_>, body: Incoming) -> Answer {
    if let Endpoint::Api(api) = endpoint {
        return api::answer(visit, api, body).await;
    }
    let forms = matches!(
        endpoint,
        Endpoint::SignIn
            | Endpoint::SignOut
            | Endpoint::ForgotPassword
            | Endpoint::ResetPassword
            | Endpoint::Account
            | Endpoint::Held
    );
    match visit.caller.parts.method {
        Method::GET | Method::HEAD => match endpoint {
            Endpoint::SignIn => sign_in::show(visit),
            Endpoint::SignOut => sign_out::show(visit),
            Endpoint::ForgotPassword if visit.site.offers_reset() => forgot_password::show(visit),
            Endpoint::ResetPassword if visit.site.redeems() => reset_password::show(visit).await,
            Endpoint::Account => account::show(visit),
            Endpoint::Held => held::show(visit).await,
            Endpoint::Asset(name) => assets::show(visit, name),
            Endpoint::Health => assets::health(),
            Endpoint::Auth => auth::answer(visit),
            _ => visit.problem(ErrorKind::NotFound, "own"),
        },
        Method::POST if forms => match endpoint {
            Endpoint::SignIn => sign_in::submit(visit, body).await,
            Endpoint::SignOut => sign_out::submit(visit, body).await,
            Endpoint::ForgotPassword if visit.site.requests_reset() => {
                forgot_password::submit(visit, body).await
            }
            Endpoint::ResetPassword if visit.site.redeems() => reset_password::submit(visit, body).await,
            Endpoint::Account => account::submit(visit, body).await,
            Endpoint::Held => held::submit(visit, body).await,
            _ => visit.problem(ErrorKind::NotFound, "own"),
        },
        _ => {
            let allowed = if forms { "GET, HEAD, POST" } else { "GET, HEAD" };
            allow(visit.problem(ErrorKind::MethodNotAllowed, "own"), allowed)
        }
    }
}

/// The same answer, saying with which methods there would be another (RFC 9110, section 15.5.6).
fn allow(mut answer: Answer, methods: &'static str) -> Answer {
    answer.response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static(methods));
    answer
}

/// Where to go afterwards: what the browser brought along, if it is a path of the site, and not one of the gate's own pages.
fn next_of(visit: &Visit<'_>, text: Option<&str>) -> Next {
    let site = visit.site.public.path();
    let next = text
        .and_then(|text| Next::parse(text, site))
        .filter(|next| !is_sign_in_or_out(next.as_str(), &visit.site.prefix));
    next.unwrap_or_else(|| Next::home(site))
}

/// Whether a path is that of the gate's pages to sign in or out, which nobody wants to come to by signing in.
fn is_sign_in_or_out(path: &str, prefix: &str) -> bool {
    let own = path.split(['?', '#']).next().and_then(|path| path.strip_prefix(prefix));
    own.is_some_and(|own| matches!(own.trim_matches('/'), "login" | "logout"))
}

/// Sends the browser on after a form was posted.
fn go_on(visit: &Visit<'_>, next: &Next, verdict: &'static str) -> Answer {
    visit.redirect(StatusCode::SEE_OTHER, next.as_str(), verdict)
}
