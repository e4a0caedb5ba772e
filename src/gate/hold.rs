//! Keeping a form that came after its sender's session had run out, and sending it on when they are back.
//!
//! What is held is what a person sent by a page of this very site: a form in one of the three encodings that HTML has, which
//! the browser says (or, if it says nothing, the `Referer`) is no other site's, and which the site would take from whoever is
//! signed in. What holds a password is not held, whatever it is for. Deciding whether it may pass is left to the moment
//! in which it is sent, with the session there is then.
//!
//! The session that has run out may also be the CMS's own, of which the gate learns from the answer alone, when the form is gone. So
//! every form of somebody who is signed in there is copied as it passes ([`Spare`]): a copy in memory of at most `hold_posts` bytes,
//! within what the process spends on bodies, until the answer's head is there. It delays nothing: no byte waits for the copy.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, ORIGIN, REFERER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::decide::{Decision, Pass, Reason, decide};
use super::relay::{self, Sent, SentBody};
use super::{Audience, Current, question};
use super::{inspect, named};
use crate::admit::Framing;
use crate::config::SignIn;
use crate::csrf::{self, FormCookie};
use crate::endpoints;
use crate::forward::{Inspect, Memory, Upstream};
use crate::held::{Claim, Form, Head, LastUser, Owner};
use crate::pages::{ErrorKind, Page};
use crate::store::{HeldFate, HeldId};
use crate::visit::{Answer, Caller, Visit};

/// The field that a form on the gate's own page adds to the query of the address it goes to. That address is the one the held form
/// was for, so that links in what comes back lead where they should.
pub(crate) const MARK: &str = "lychgate-held";

/// What of a form's head is kept: what its body is, where it was filled in (a CMS may compare these with its own address), and
/// what kind of answer is wanted. Everything else is the later request's own.
const KEPT: [HeaderName; 4] = [CONTENT_TYPE, ORIGIN, REFERER, ACCEPT];

/// The longest of these that is kept, in bytes.
const LONGEST_FIELD: usize = 2048;

/// What of a body that is not kept is read all the same, in bytes: a browser that is still sending would never see the answer.
const DRAINED: usize = 16 << 20;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What became of a form.
pub(super) enum Holding {
    /// It was none, or nobody's who could be asked to send it again.
    NotAForm,
    /// It is kept, by the browser that this cookie marks (if it had none).
    Kept(Option<HeaderValue>),
    /// It could not be kept, and its sender should know.
    Lost,
}

/// Keeps the form of a person who has to sign in first.
pub(super) async fn hold(visit: &Visit<'_>, framing: Framing, mut body: Incoming) -> Holding {
    if !is_own_form(visit) {
        return Holding::NotAForm;
    }
    let kept = keep(visit, framing, &mut body).await;
    let (holding, verdict) = match kept {
        Ok(cookie) => (Holding::Kept(cookie), "kept"),
        Err(reason) => {
            let patience = visit.shared().config.server.header_timeout.as_duration();
            let _ = tokio::time::timeout(patience, drain(body)).await;
            (Holding::Lost, reason)
        }
    };
    tracing::info!(
        id = visit.caller.request_id,
        site = visit.site.name,
        verdict,
        "a form came after the session had run out"
    );
    holding
}

async fn keep(
    visit: &Visit<'_>,
    framing: Framing,
    body: &mut Incoming,
) -> Result<Option<HeaderValue>, &'static str> {
    let (shared, site, headers) = (visit.shared(), visit.site, visit.headers());
    let most = site.hold_posts;
    if most == 0 {
        return Err("switched off");
    }
    let user = LastUser::find(&shared.sealer, &site.name, headers, &site.cookies)
        .ok_or("nobody knows whose session it was")?;
    if matches!(framing, Framing::Length(length) if length > most) {
        return Err("too large");
    }
    let _leave = shared.held.read().ok_or("too many forms are being read")?;
    let reading = read(body, usize::try_from(most).unwrap_or(usize::MAX));
    let bytes = tokio::time::timeout(site.forward.response_timeout.as_duration(), reading)
        .await
        .map_err(|_| "the client is too slow")??;
    put(visit, &user, bytes).await
}

/// Keeps a form for `user`.
async fn put(visit: &Visit<'_>, user: &str, bytes: Bytes) -> Result<Option<HeaderValue>, &'static str> {
    let (shared, site, headers) = (visit.shared(), visit.site, visit.headers());
    let mut inspect = inspect::holding(visit).map_err(|_| "a body that is refused")?;
    inspect.inspect(&bytes).and_then(|()| inspect.finish()).map_err(|_| "a body that is refused")?;
    let (browser, cookie) = match FormCookie::find(headers, &site.cookies) {
        Some(browser) => (browser, None),
        None => {
            let browser = FormCookie::random(shared.random.as_ref());
            let cookie = browser.set(&site.cookies);
            (browser, Some(cookie))
        }
    };
    let head = Head {
        address: visit.caller.parts.uri.path().to_owned(),
        path: visit.path.to_owned(),
        query: visit.caller.parts.uri.query().map(str::to_owned),
        fields: kept_fields(headers),
    };
    let owner = Owner { browser: &browser, site: &site.name, user };
    shared.held.keep(owner, visit.client, &Form { head, body: bytes }, site.hold_posts).await.map_err(
        |error| {
            tracing::error!(id = visit.caller.request_id, %error, "a form cannot be kept");
            "the store failed"
        },
    )?;
    Ok(cookie)
}

/// A copy of a form on its way to the CMS, as far as it has passed.
#[derive(Clone)]
pub(super) struct Spare(Arc<Mutex<Copied>>);

struct Copied {
    memory: Memory,
    most: usize,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Passing,
    Whole,
    /// Larger than is kept, or than there is room for.
    GivenUp,
}

impl Spare {
    /// Of what a person sends who is signed in at the CMS, who may have forgotten it; `None` where it is no form.
    pub(super) fn of(visit: &Visit<'_>, pass: Pass, framing: Framing) -> Option<Self> {
        let at_the_cms =
            pass == Pass::Visitor && visit.session.is_some() && visit.site.sign_in != SignIn::Local;
        if !at_the_cms || !is_own_form(visit) {
            return None;
        }
        let most = visit.site.hold_posts;
        let progress = match framing {
            _ if most == 0 => Progress::GivenUp,
            Framing::None => Progress::Whole,
            Framing::Length(length) if length > most => Progress::GivenUp,
            _ => Progress::Passing,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Some(Self(Arc::new(Mutex::new(Copied { memory: Memory::default(), most, progress }))))
    }

    /// What copies a body as it is inspected, and has it inspected by `next`.
    pub(super) fn before(self, next: Option<Box<dyn Inspect>>) -> Box<dyn Inspect> {
        Box::new(Copying { copy: self, next })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Copied) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of it, if it has all passed.
    fn take(&self) -> Option<Bytes> {
        self.with(|copied| {
            let is_whole = copied.progress == Progress::Whole;
            is_whole.then(|| Bytes::from_owner(std::mem::take(&mut copied.memory)))
        })
    }
}

struct Copying {
    copy: Spare,
    next: Option<Box<dyn Inspect>>,
}

impl Inspect for Copying {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.copy.with(|copied| {
            if copied.progress == Progress::Passing
                && (copied.memory.len() + bytes.len() > copied.most || !copied.memory.add(bytes))
            {
                (copied.memory, copied.progress) = (Memory::default(), Progress::GivenUp);
            }
        });
        self.next.as_mut().map_or(Ok(()), |next| next.inspect(bytes))
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.copy.with(|copied| {
            if copied.progress == Progress::Passing {
                copied.progress = Progress::Whole;
            }
        });
        self.next.as_mut().map_or(Ok(()), |next| next.finish())
    }
}

/// The answer to `user`, whom the CMS has forgotten, with the form that was sent there for nothing.
pub(super) async fn forgotten(visit: &Visit<'_>, user: &str, copy: Option<Spare>) -> Answer {
    let Some(copy) = copy else { return sign_in(visit, true, Holding::NotAForm) };
    let kept = match copy.take() {
        Some(bytes) => put(visit, user, bytes).await,
        None => Err("too large, or no room, or not read by the CMS"),
    };
    let (holding, verdict) = match kept {
        Ok(cookie) => (Holding::Kept(cookie), "kept"),
        Err(reason) => (Holding::Lost, reason),
    };
    tracing::info!(
        id = visit.caller.request_id,
        site = visit.site.name,
        verdict,
        "a form came after the CMS's own session was over"
    );
    sign_in(visit, true, holding)
}

/// Whether it is a form that a person sent from a page of this site.
fn is_own_form(visit: &Visit<'_>) -> bool {
    visit.caller.parts.method == Method::POST
        && visit.audience() == Audience::Person
        && is_own(visit.headers(), &visit.site.origin)
        && is_form(visit.headers())
}

/// Whether a page of this site sent it: by Fetch Metadata, else by `Origin`, else by `Referer`; who says nothing is believed
/// nothing.
fn is_own(headers: &HeaderMap, origin: &str) -> bool {
    if csrf::check_origin(headers, origin).is_err() {
        return false;
    }
    let text = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
    match (text(&SEC_FETCH_SITE), text(&ORIGIN)) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(from)) if from != b"null" => from == origin.as_bytes(),
        _ => text(&REFERER)
            .and_then(|referer| referer.strip_prefix(origin.as_bytes()))
            .is_some_and(|path| path.starts_with(b"/")),
    }
}

/// Whether the body is one that an HTML form sends.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"application/x-www-form-urlencoded"[..], b"multipart/form-data", b"text/plain"]
        .iter()
        .any(|form| essence.eq_ignore_ascii_case(form))
}

fn kept_fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = KEPT.iter().filter_map(|name| {
        let value = headers.get(name)?.to_str().ok().filter(|value| value.len() <= LONGEST_FIELD)?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    kept.collect()
}

/// The whole body, if it is no longer than `most`; never more of it in memory.
async fn read(body: &mut Incoming, most: usize) -> Result<Bytes, &'static str> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| "the client broke off")?.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err("too large");
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn drain(mut body: Incoming) {
    let mut left = DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return };
        left = less;
    }
}

/// The held form that a request asks to be sent.
pub(super) fn asked(visit: &Visit<'_>) -> Option<HeldId> {
    if visit.caller.parts.method != Method::POST {
        return None;
    }
    visit.query(MARK).and_then(|id| HeldId::parse(&id))
}

/// Sends a held form on, as the person who is signed in now, if it is theirs.
pub(super) async fn send_on(
    current: &Current,
    visit: &Visit<'_>,
    upstream: &Upstream,
    id: HeldId,
    body: Incoming,
) -> Answer {
    let Some(session) = &visit.session else { return endpoints::offer_after_sign_in(visit) };
    if let Err(answer) = endpoints::confirmed(visit, body).await {
        return *answer;
    }
    let shared = visit.shared();
    let gone = |busy| visit.page(Page::HeldGone { busy }, "held_gone");
    let Some(browser) = FormCookie::find(visit.headers(), &visit.site.cookies) else { return gone(false) };
    let owner = Owner { browser: &browser, site: &visit.site.name, user: session.user() };
    let (form, sending) = match shared.held.claim(id, owner).await {
        Ok(Claim::Yours(form, sending)) => (form, sending),
        Ok(Claim::Busy) => return gone(true),
        Ok(Claim::Gone) => return gone(false),
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "a held form cannot be taken from the store");
            return visit.problem(endpoints::STORE_FAILED, "store_failed");
        }
    };
    current.touch(session, &form.head.path);
    let answer = match again(visit, &form) {
        Ok(parts) => {
            let caller = Caller { parts: &parts, ..visit.caller };
            let again = Visit {
                caller,
                site: visit.site,
                path: &form.head.path,
                client: visit.client,
                certificate: visit.certificate,
                session: visit.session.clone(),
            };
            forward(&again, upstream, form.body).await
        }
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "a held form cannot be written as a request");
            visit.problem(ErrorKind::Internal, "internal")
        }
    };
    let fate = fate(answer.verdict, answer.response.status());
    tracing::info!(
        id = visit.caller.request_id,
        site = visit.site.name,
        user = session.user(),
        ?fate,
        "a held form was sent on"
    );
    if let Err(error) = sending.settle(fate).await {
        tracing::error!(id = visit.caller.request_id, %error, "what came of a held form cannot be written down");
    }
    answer
}

/// The head of the request that the form was first sent with.
fn again(visit: &Visit<'_>, form: &Form) -> Result<http::request::Parts, http::Error> {
    let mut parts = visit.caller.parts.clone();
    parts.uri = Uri::try_from(form.head.target())?;
    for name in KEPT {
        parts.headers.remove(&name);
        if let Some(value) = form.head.field(name.as_str()) {
            parts.headers.insert(name, HeaderValue::from_str(value)?);
        }
    }
    // What another resource is named by was not judged here, and no form has it.
    for name in [TRANSFER_ENCODING, named::DESTINATION, named::IF] {
        parts.headers.remove(name);
    }
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(form.body.len()));
    Ok(parts)
}

/// Decides anew, and does it.
async fn forward(visit: &Visit<'_>, upstream: &Upstream, body: Bytes) -> Answer {
    match decide(question(visit)) {
        // Nobody but the visitor sends a held form.
        Decision::Forward(Pass::Visitor) => {
            let framing = if body.is_empty() { Framing::None } else { Framing::Length(body.len() as u64) };
            let sent = Sent { body: SentBody::Held(body), framing, upgrade: None, destination: None };
            relay::relay(visit, Pass::Visitor, upstream, sent).await
        }
        Decision::SignIn => visit.sign_in_first(true),
        Decision::Refuse(reason) => super::refused(visit, reason),
        Decision::Forward(_) | Decision::Own(_) | Decision::TakenOver(_) => {
            super::refused(visit, Reason::Closed)
        }
    }
}

/// Whether the backend has had it.
fn fate(verdict: &str, status: StatusCode) -> HeldFate {
    match verdict {
        "forwarded" if !status.is_server_error() => HeldFate::Sent,
        "sign_in"
        | "denied"
        | "closed"
        | "credentials_in_address"
        | "body_refused"
        | "backend_unreachable"
        | "overloaded"
        | "not_allowed_by_cms"
        | "internal" => HeldFate::NotSent,
        _ => HeldFate::Unclear,
    }
}

/// The answer to who has to sign in before their form is sent.
pub(super) fn sign_in(visit: &Visit<'_>, had_session: bool, holding: Holding) -> Answer {
    match holding {
        Holding::NotAForm => visit.sign_in_first(had_session),
        Holding::Lost => visit.sign_in_to_send(false),
        Holding::Kept(cookie) => visit.sign_in_to_send(true).with_cookie(cookie),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_page_of_the_site_sent_is_held() {
        for (name, fields, own) in [
            (
                "a modern browser",
                &[("sec-fetch-site", "same-origin"), ("origin", "https://a.example")][..],
                true,
            ),
            (
                "a page that names itself to nobody",
                &[("sec-fetch-site", "same-origin"), ("origin", "null")],
                true,
            ),
            ("another site", &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false),
            ("a sibling host", &[("sec-fetch-site", "same-site"), ("origin", "https://b.example")], false),
            ("no page at all", &[("sec-fetch-site", "none")], false),
            (
                "two that contradict",
                &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
                false,
            ),
            ("an older browser", &[("origin", "https://a.example")], true),
            ("an older browser, another site", &[("origin", "https://evil.example")], false),
            ("an older browser, hidden", &[("origin", "null")], false),
            ("an old browser", &[("referer", "https://a.example/form")], true),
            (
                "an old browser, another site",
                &[("referer", "https://evil.example/https://a.example/")],
                false,
            ),
            ("an old browser, a longer host", &[("referer", "https://a.example.evil.example/")], false),
            ("nothing said", &[], false),
        ] {
            let headers =
                fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(is_own(&headers, "https://a.example"), own, "{name}");
        }
    }

    #[test]
    fn a_form_is_given_up_only_when_the_backend_has_answered_it() {
        for (verdict, status, expected) in [
            ("forwarded", 200, HeldFate::Sent),
            ("forwarded", 302, HeldFate::Sent),
            ("forwarded", 404, HeldFate::Sent),
            ("forwarded", 503, HeldFate::Unclear),
            ("backend_unreachable", 502, HeldFate::NotSent),
            ("backend_timeout", 504, HeldFate::Unclear),
            ("backend_broke_off", 502, HeldFate::Unclear),
            ("overloaded", 503, HeldFate::NotSent),
            ("denied", 403, HeldFate::NotSent),
            ("body_refused", 403, HeldFate::NotSent),
            ("leak_blocked", 502, HeldFate::Unclear),
        ] {
            assert_eq!(fate(verdict, StatusCode::from_u16(status).unwrap()), expected, "{verdict} {status}");
        }
    }
}
