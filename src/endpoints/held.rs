//! `held`: the forms that waited for their sender to sign in. Sending one goes to the address it was for, with
//! [`MARK`](crate::gate::MARK) in its query; discarding it comes here.

use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::form::{self, Bad, Form};
use super::{STORE_FAILED, go_on};
use crate::csrf::FormCookie;
use crate::gate::{MARK, Next};
use crate::held::{Offer, Owner};
use crate::pages::{HeldLine, Page};
use crate::store::HeldId;
use crate::visit::{Answer, Visit};

const FORM: &str = "held";

/// The forms that are offered to this browser and `user`; none, if the store cannot say.
pub(super) async fn offered(visit: &Visit<'_>, user: &str) -> Vec<Offer> {
    let Some(browser) = FormCookie::find(visit.headers(), &visit.site.cookies) else { return Vec::new() };
    let owner = Owner { browser: &browser, site: &visit.site.name, user };
    visit.shared().held.offered(owner).await.unwrap_or_else(|error| {
        tracing::error!(id = visit.caller.request_id, %error, "held forms cannot be read");
        Vec::new()
    })
}

pub(super) async fn show(visit: &Visit<'_>) -> Answer {
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    let offers = offered(visit, session.user()).await;
    if offers.is_empty() {
        return visit.page(Page::HeldGone { busy: false }, "held_gone");
    }
    let texts: Vec<(String, String, String)> = offers.iter().map(texts).collect();
    let lines: Vec<HeldLine<'_>> = offers
        .iter()
        .zip(&texts)
        .map(|(offer, (id, path, action))| HeldLine {
            id,
            path,
            action,
            age: offer.age,
            unclear: offer.unclear,
        })
        .collect();
    let (csrf, cookie) = form::token(visit, FORM);
    visit.page(Page::Held { csrf: &csrf, forms: &lines }, "own").with_cookie(cookie)
}

/// Its id, the path to show, and the address to send it to.
fn texts(offer: &Offer) -> (String, String, String) {
    let id = offer.id.to_string();
    let joint = if offer.head.query.is_some() { '&' } else { '?' };
    let path = percent_encoding::percent_decode_str(&offer.head.address).decode_utf8_lossy().into_owned();
    let action =
        format!("{}{joint}{MARK}={}", offer.head.target(), utf8_percent_encode(&id, NON_ALPHANUMERIC));
    (id, path, action)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    let form = match Form::read(visit, FORM, body).await {
        Ok(form) => form,
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(_)) => return show(visit).await,
    };
    let Some(session) = &visit.session else { return visit.sign_in_first(false) };
    let offers = offered(visit, session.user()).await;
    let id = HeldId::parse(&form.text("id"));
    let browser = FormCookie::find(visit.headers(), &visit.site.cookies);
    let (Some(offer), Some(browser)) = (offers.iter().find(|offer| Some(offer.id) == id), browser) else {
        return show(visit).await;
    };
    let owner = Owner { browser: &browser, site: &visit.site.name, user: session.user() };
    if let Err(error) = visit.shared().held.discard(offer.id, owner).await {
        tracing::error!(id = visit.caller.request_id, %error, "a held form cannot be discarded");
        return visit.problem(STORE_FAILED, "store_failed");
    }
    if offers.len() > 1 {
        return show(visit).await;
    }
    go_on(visit, &filled_in_at(visit, offer), "held_discarded")
}

/// The page that the form was filled in at, if it said so, or the front page.
fn filled_in_at(visit: &Visit<'_>, offer: &Offer) -> Next {
    let site = visit.site.public.path();
    let path = offer.head.field("referer").and_then(|referer| referer.strip_prefix(&visit.site.origin));
    path.and_then(|path| Next::parse(path, site)).unwrap_or_else(|| Next::home(site))
}

/// Checks that the gate's own page asked for a form to be sent.
///
/// # Errors
/// The answer, if it did not, or too long ago.
pub(crate) async fn confirmed(visit: &Visit<'_>, body: Incoming) -> Result<(), Box<Answer>> {
    match Form::read(visit, FORM, body).await {
        Ok(_) => Ok(()),
        Err(Bad::Answer(answer)) => Err(answer),
        Err(Bad::Expired(_)) => Err(Box::new(show(visit).await)),
    }
}

/// Leads to the page of held forms by way of signing in.
pub(crate) fn offer_after_sign_in(visit: &Visit<'_>) -> Answer {
    let next = utf8_percent_encode(&format!("{}/held", visit.site.prefix), NON_ALPHANUMERIC).to_string();
    visit.to_own(http::StatusCode::SEE_OTHER, "login", &format!("next={next}&ended=1"), "sign_in")
}
