//! `reset-password`: where reset links land.
//!
//! The token does not stay in the address, where histories, logs and the next site's `Referer` would have it: the link
//! leads on to this page, and the token travels in a cookie that only the gate can read, for as long as it takes to fill in
//! the form. Opening the link asks the CMS nothing, so a mail scanner that follows it spoils nothing. Before the form is shown, a CMS
//! that tells without using the link up is asked whether it is still good, and a link of the gate's own is looked up: so its
//! holder learns that it is used or too old before they have thought of a password.

use http::{Method, StatusCode};
use hyper::body::Incoming;

use super::form::{self, Bad, Form};
use crate::cms::Verdict;
use crate::limits::Action;
use crate::observe::audit::{ASKED, Event, Kind, Origin};
use crate::pages::{DeadLink, Page, ResetError};
use crate::recovery::{self, Dead, Redeeming, Ticket, Way};
use crate::secret::Secret;
use crate::visit::{Answer, Visit};

const FORM: &str = "reset-password";

/// Takes the token out of a reset link's address and leads on to the form.
pub(crate) async fn capture(visit: &Visit<'_>, token: Option<Secret>, user: Option<String>) -> Answer {
    let counted = visit.shared().limits.check_client(Action::LinkOpening, visit.client.ip());
    let said = |event: Event<'_>| {
        let limited = Event::new(Kind::LinkOpened, Verdict::Limited.as_str());
        visit.shared().audit.record(&Origin::of(visit), if counted.is_ok() { event } else { limited });
    };
    let Some(token) = token else {
        said(Event::new(Kind::LinkOpened, Verdict::Invalid.as_str()));
        return visit.to_own(StatusCode::SEE_OTHER, "reset-password", "", "reset_link_bad");
    };
    // Who only looks whether a link leads anywhere has not opened it.
    if visit.caller.parts.method == Method::HEAD {
        return visit.to_own(StatusCode::SEE_OTHER, "reset-password", "", "reset_link");
    }
    let ticket = match Way::at(visit.site) {
        Way::Cms => Ticket { token, user, browser: None },
        Way::Issued => match recovery::open(visit, token.clone()).await {
            Ok(ticket) => ticket,
            Err(dead) => {
                let event = Event::new(Kind::LinkOpened, dead.verdict().as_str());
                said(event.link(&token).detail(dead.as_str()));
                return visit.page(Page::ResetDead { reason: reason(dead) }, "reset_link_dead");
            }
        },
    };
    said(match (Way::at(visit.site), &ticket.user) {
        (Way::Issued, Some(user)) => {
            Event::new(Kind::LinkOpened, Verdict::Ok.as_str()).link(&ticket.token).account(user, true)
        }
        // Anybody can write down what looks like a link of the CMS's, and a name in it. Nobody has looked at it yet: not `ok`, for such
        // events the trail keeps longest.
        _ => Event::new(Kind::LinkOpened, ASKED).link(&ticket.token),
    });
    visit.to_own(StatusCode::SEE_OTHER, "reset-password", "", "reset_link").with_cookie(ticket.cookie(visit))
}

pub(super) async fn show(visit: &Visit<'_>) -> Answer {
    if let Some(token) = visit.query("token").filter(|_| Way::at(visit.site) == Way::Issued) {
        return capture(visit, Some(Secret::new(token)), None).await;
    }
    let Some(ticket) = Ticket::of(visit) else {
        return visit.page(Page::ResetDead { reason: DeadLink::Missing }, "own");
    };
    let looked =
        if visit.caller.parts.method == Method::GET { recovery::look(visit, &ticket).await } else { None };
    match looked {
        None => page(visit, ticket.user.as_deref().unwrap_or_default(), None),
        Some(verdict) => {
            let reason = if verdict == Verdict::Expired { DeadLink::Expired } else { DeadLink::Invalid };
            let answer = visit.page(Page::ResetDead { reason }, "reset_link_dead");
            answer.with_cookie(Some(Ticket::clear(visit)))
        }
    }
}

fn page(visit: &Visit<'_>, username: &str, error: Option<ResetError<'_>>) -> Answer {
    let (csrf, cookie) = form::token(visit, FORM);
    visit.page(Page::ResetPassword { username, csrf: &csrf, error }, "own").with_cookie(cookie)
}

pub(super) async fn submit(visit: &Visit<'_>, body: Incoming) -> Answer {
    let (form, fresh) = match Form::read(visit, FORM, body).await {
        Ok(form) => (form, true),
        Err(Bad::Answer(answer)) => return *answer,
        Err(Bad::Expired(form)) => (form, false),
    };
    let username = form.any(&["username", "userid"]);
    let Some(ticket) = Ticket::of(visit) else {
        return visit.page(Page::ResetDead { reason: DeadLink::Missing }, "own");
    };
    if !fresh {
        return page(visit, &username, Some(ResetError::FormExpired));
    }
    let (password, again) = (form.secret("password"), form.secret("password_confirm"));
    if username.trim().is_empty() || password.expose().trim().is_empty() {
        return page(visit, &username, Some(ResetError::Missing));
    }
    if password != again {
        return page(visit, &username, Some(ResetError::Mismatch));
    }
    let dead = |reason| {
        visit.page(Page::ResetDead { reason }, "reset_failed").with_cookie(Some(Ticket::clear(visit)))
    };
    match shown(&recovery::redeem(visit, &ticket, &username, &password).await) {
        Shown::Done => {
            let home = crate::gate::Next::home(visit.site.public.path());
            visit
                .page(Page::ResetDone { next: home.as_str() }, "reset")
                .with_cookie(Some(Ticket::clear(visit)))
        }
        Shown::Wrong(error) => page(visit, &username, Some(error)),
        Shown::Dead(reason) => dead(reason),
    }
}

/// What a visitor is told of an attempt. Page and API say the same.
pub(super) enum Shown<'r> {
    /// The password is set.
    Done,
    /// It is not, and the link is still good.
    Wrong(ResetError<'r>),
    /// The link is of no use.
    Dead(DeadLink),
}

pub(super) fn shown(redeeming: &Redeeming) -> Shown<'_> {
    match redeeming {
        Redeeming::Limited(retry_after) => Shown::Wrong(ResetError::Limited { retry_after: *retry_after }),
        Redeeming::Unfit(unfit) => Shown::Wrong(ResetError::Unfit(*unfit)),
        Redeeming::Dead(Dead::Store) => Shown::Wrong(ResetError::Unreachable),
        Redeeming::Dead(dead) => Shown::Dead(reason(*dead)),
        Redeeming::Done(redeemed) => match redeemed.verdict {
            Verdict::Ok => Shown::Done,
            Verdict::Rejected => {
                let reason = redeemed.message.as_deref().unwrap_or_default();
                Shown::Wrong(ResetError::Rejected { reason })
            }
            Verdict::FailedToConnect => Shown::Wrong(ResetError::Unreachable),
            Verdict::Expired => Shown::Dead(DeadLink::Expired),
            Verdict::Invalid => Shown::Dead(DeadLink::Invalid),
            _ => Shown::Dead(DeadLink::NotConfirmed),
        },
    }
}

/// Why a link of the gate's own is of no use, for its holder.
fn reason(dead: Dead) -> DeadLink {
    match dead {
        Dead::Unknown => DeadLink::Invalid,
        Dead::Used => DeadLink::Used,
        Dead::Replaced => DeadLink::Replaced,
        Dead::Expired => DeadLink::Expired,
        Dead::Elsewhere => DeadLink::Elsewhere,
        Dead::Store => DeadLink::NotConfirmed,
    }
}
