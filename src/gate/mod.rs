//! Routes and policy: what is done with a request that was admitted.
//!
//! [`Worker::handle`] is the way of a request, top to bottom. What the gate decides is a value, [`Decision`], computed by
//! [`decide`] from nothing but its [`Question`]; acting on it is either one of the gate's own pages (`endpoints`) or a
//! forwarded request (`relay`).

mod audience;
mod challenge;
mod current;
mod deadline;
mod decide;
mod disposition;
pub mod health;
mod hold;
mod https;
mod inspect;
mod leaks;
mod members;
mod named;
mod next;
pub mod policy;
#[doc(hidden)]
pub mod probe;
mod relay;
mod reset_form;
mod site;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

pub use self::audience::Audience;
use self::current::Current;
pub use self::decide::{Api, Decision, Endpoint, Pass, Question, Reason, all_fields, decide, fields};
pub(crate) use self::hold::MARK;
pub use self::next::Next;
use self::policy::Access;
pub use self::site::Site;
use crate::admit::{self, Admitted, CanonicalPath, Refusal};
use crate::clock::Timestamp;
use crate::cms::TakenOver;
use crate::endpoints;
use crate::forward::Upstream;
use crate::observe::access;
use crate::pages::ErrorKind;
use crate::session::cookie::{self, Name};
use crate::state::{Live, Shared};
use crate::visit::{Answer, Body, Caller, Visit};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How a request came in: what its connection says of it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Who connected; the PROXY header's word for it, where one is believed.
    pub peer: IpAddr,
    /// What was spoken below HTTP.
    pub transport: Transport,
    /// Why its head could not be read; the request stands in the place of one that nobody saw.
    pub refused: Option<Refusal>,
}

/// What is spoken below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing.
    Plain,
    /// TLS.
    Tls {
        /// Until when the certificate is good that the visitor showed, and that was found good then. It is asked at every request:
        /// neither a connection nor a TLS session that is taken up again makes it last longer.
        certificate: Option<Timestamp>,
    },
}

impl Transport {
    /// Whether the visitor has shown a certificate that is good `now`.
    fn has_certificate(self, now: Timestamp) -> bool {
        matches!(self, Self::Tls { certificate: Some(ends) } if now < ends)
    }
}

/// What `HEAD` gets in place of a body, whose length the head has told. hyper leaves it out by itself in HTTP/1 only; in
/// HTTP/2 a client takes it for a broken stream (RFC 9110, section 9.3.2; RFC 9113, section 8.1.1).
fn bodiless(_: Body) -> Body {
    http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
}

/// One thread's share of the gate: what all share, and its own connections to the backends.
pub struct Worker {
    live: Arc<Live>,
    current: ArcSwap<Current>,
}

impl Worker {
    /// A worker without connections.
    pub fn new(live: Arc<Live>) -> Self {
        let current = ArcSwap::from_pointee(Current::new(live.load()));
        Self { live, current }
    }

    /// What all workers share, by the configuration that is in use now.
    pub fn shared(&self) -> Arc<Shared> {
        self.live.load()
    }

    /// The configuration that is in use now, with this worker's connections. Whoever has it keeps it to the end of a request:
    /// a reload in between changes nothing for that.
    fn current(&self) -> Arc<Current> {
        let current = self.current.load_full();
        if self.live.is(&current.shared) {
            return current;
        }
        let current = Arc::new(Current::new(self.live.load()));
        self.current.store(Arc::clone(&current));
        current
    }

    /// Answers one request.
    ///
    /// # Errors
    /// Never: what goes wrong becomes an answer.
    pub async fn handle(
        self: Arc<Self>,
        arrival: Arrival,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, std::convert::Infallible> {
        let began = Instant::now();
        let current = self.current();
        let shared = &current.shared;
        let request_id = shared.request_id();
        let (mut parts, body) = request.into_parts();
        admit::as_http1(&mut parts);
        let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let caller = Caller { shared, parts: &parts, request_id: &request_id };
        let trusted = &shared.config.server.trusted_proxies;
        let admitted = arrival.refused.map_or_else(|| admit::admit(&parts, arrival.peer, trusted), Err);
        let client = admitted.as_ref().map_or(arrival.peer, |admitted| admitted.client.ip());
        let path =
            if arrival.refused.is_some() { "-".into() } else { access::loggable_path(parts.uri.path()) };
        let mut entry = Logged { site: "-", user: None, path };
        let mut metrics = &shared.metrics.nowhere;
        let mut secure = false;
        let mut answer = match &admitted {
            Err(refusal) => refuse(&caller, *refusal),
            Ok(admitted) if let Some(token) = challenge::token(shared, arrival, admitted) => {
                entry.path = challenge::LOGGED.into();
                challenge::answer(&caller, admitted, token)
            }
            Ok(admitted) if let Some(site) = https::of(&current, arrival, admitted) => {
                entry.site = &site.name;
                metrics = &site.metrics;
                https::lead(&caller, site, admitted)
            }
            Ok(admitted) => match current.site(admitted) {
                None => caller.problem(None, ErrorKind::Misdirected, None, "misdirected"),
                Some((site, upstream, path)) => {
                    let session = shared.sessions.find_in(&site.name, &site.cookies, &parts.headers);
                    let certificate = arrival.transport.has_certificate(shared.clock.now());
                    let visit = Visit { caller, site, path, client: admitted.client, certificate, session };
                    secure = site.is_secure() && arrival.transport != Transport::Plain;
                    entry.site = &site.name;
                    metrics = &site.metrics;
                    entry.user = visit.session.as_ref().map(|session| session.user().to_owned());
                    let acting = act(&current, &visit, admitted, (upstream, body, upgrade), &mut entry);
                    in_time(&visit, acting).await
                }
            },
        };
        if secure {
            https::insist(shared.config.server.tls.hsts, answer.response.headers_mut());
        }
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            answer.response.headers_mut().insert(X_REQUEST_ID, id);
        }
        if parts.method == Method::HEAD {
            answer.response = answer.response.map(bodiless);
        }
        let (took, status) = (began.elapsed(), answer.response.status());
        metrics.request(answer.verdict, status, took, answer.backend);
        access::Entry {
            id: &request_id,
            site: entry.site,
            client,
            method: &parts.method,
            path: &entry.path,
            user: entry.user.as_deref(),
            verdict: answer.verdict,
            status,
            took,
            backend: answer.backend,
        }
        .write();
        Ok(answer.response)
    }

    /// Waits for what was left to do beside the answers.
    pub async fn finish(&self) {
        let shared = self.shared();
        shared.background.finish().await;
        shared.outgoing.finish().await;
    }
}

/// Holds `acting` and its answer to [`crate::listen::Settings::request_timeout`].
async fn in_time(visit: &Visit<'_>, acting: impl Future<Output = Answer>) -> Answer {
    let limit = visit.shared().config.server.request_timeout;
    if limit.is_zero() {
        return acting.await;
    }
    let end = tokio::time::Instant::now() + limit.as_duration();
    match tokio::time::timeout_at(end, acting).await {
        Ok(mut answer) => {
            answer.response = answer.response.map(|body| deadline::until(end, body));
            answer
        }
        Err(_) => visit.problem(ErrorKind::GatewayTimeout, "request_timeout"),
    }
}

/// Decides, and does it.
async fn act(
    current: &Current,
    visit: &Visit<'_>,
    admitted: &Admitted,
    (upstream, body, upgrade): (&Upstream, Incoming, Option<hyper::upgrade::OnUpgrade>),
    entry: &mut Logged<'_>,
) -> Answer {
    if let Some(id) = hold::asked(visit) {
        return hold::send_on(current, visit, upstream, id, body).await;
    }
    let named = match named::named(visit) {
        Ok(named) => named,
        Err(misnamed) => return visit.problem(misnamed.kind(), misnamed.verdict()),
    };
    let mut question = question(visit);
    question.access = question.access.max(named.access);
    if named.is_closed {
        question.taken_over = Some(TakenOver::Closed);
    }
    if matches!(question.taken_over, Some(TakenOver::ResetLink { .. })) {
        entry.path = "[reset link]".into();
    }
    match decide(question) {
        Decision::Own(endpoint) => {
            if let Some(session) = visit.session.as_ref().filter(|_| endpoint.extends_session()) {
                current.touch(session, visit.path);
            }
            endpoints::answer(visit, endpoint, body).await
        }
        Decision::TakenOver(taken_over) => take_over(visit, taken_over).await,
        Decision::SignIn => {
            let had = cookie::values(visit.headers(), visit.site.cookies.of(Name::Session)).next().is_some();
            hold::sign_in(visit, had, hold::hold(visit, admitted.body, body).await)
        }
        Decision::Refuse(reason) => refused(visit, reason),
        Decision::Forward(pass) => {
            if let Some(session) = &visit.session {
                current.touch(session, visit.path);
            }
            let framing = admitted.body.on_stream(visit.caller.parts.version, body.is_end_stream());
            let sent = relay::Sent {
                body: relay::SentBody::Arriving(body),
                framing,
                upgrade,
                destination: named.destination,
            };
            relay::relay(visit, pass, upstream, sent).await
        }
    }
}

/// What the access line says besides the answer.
struct Logged<'a> {
    site: &'a str,
    user: Option<String>,
    path: std::borrow::Cow<'a, str>,
}

fn refuse(caller: &Caller<'_>, refusal: Refusal) -> Answer {
    tracing::debug!(id = caller.request_id, reason = %refusal, "not admitted");
    let kind = match refusal {
        Refusal::TargetTooLong => ErrorKind::UriTooLong,
        Refusal::Method => ErrorKind::NotImplemented,
        Refusal::Expectation => ErrorKind::ExpectationFailed,
        Refusal::HeadTooLarge => ErrorKind::HeadersTooLarge,
        Refusal::HeadTimeout => ErrorKind::RequestTimeout,
        Refusal::Framing(_) | Refusal::Host | Refusal::Path(_) => ErrorKind::BadRequest,
    };
    let mut answer = caller.problem(None, kind, None, "not_admitted");
    // Where a message ends may be in doubt; nothing more is read from this connection.
    if !matches!(refusal, Refusal::Path(_)) {
        answer.response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Says that it is not allowed.
fn refused(visit: &Visit<'_>, reason: Reason) -> Answer {
    let verdict = match reason {
        Reason::Rule => "denied",
        Reason::Closed => "closed",
        Reason::Credentials => "credentials_in_address",
    };
    visit.problem(ErrorKind::Forbidden, verdict)
}

/// Puts the question that [`decide`] answers.
fn question<'a>(visit: &Visit<'a>) -> Question<'a> {
    let (site, path) = (visit.site, visit.path);
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let text = String::from_utf8_lossy(&decoded);
    let own = path
        .strip_prefix(visit.shared().config.server.prefix.as_str())
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let dialogue = site.cms.dialogue();
    let query = visit.caller.parts.uri.query();
    let mut taken_over = dialogue.paths().taken_over(text.split('/'), query).or_else(|| {
        let bare = policy::without_parameters(&decoded)?;
        dialogue.paths().taken_over(String::from_utf8_lossy(&bare).split('/'), query)
    });
    let kind = visit.headers().get(CONTENT_TYPE);
    if visit.caller.parts.method == Method::POST
        && kind.is_some_and(|kind| dialogue.is_closed_type(kind.as_bytes()))
    {
        taken_over = Some(TakenOver::Closed);
    }
    let from = visit.from();
    let mut access = site.access.access(&decoded, from);
    if named::takes_all_below(&visit.caller.parts.method, visit.headers()) {
        access = access.max(site.access.access_below(&decoded, from));
    }
    let (mut credentials, mut redispatches) = (false, 0);
    for (name, value) in query.into_iter().flat_map(|query| all_fields(query.as_bytes())) {
        let (name, value) = (field_name(&name), String::from_utf8_lossy(&value));
        if let Some(target) = redispatched(site, &decoded, &name, &value, from) {
            redispatches += 1;
            // The strictest of all counts: what is closed by one field no other opens.
            let closed = redispatches > MOST_REDISPATCHES || target.taken_over == Some(TakenOver::Closed);
            taken_over = if closed { Some(TakenOver::Closed) } else { taken_over.or(target.taken_over) };
            access = access.max(target.access);
            if closed {
                break;
            }
        }
        credentials |= dialogue.is_credential_field(&name);
    }
    Question {
        own,
        taken_over,
        credentials,
        trusted: site.trusts(visit.headers(), visit.client.ip(), path),
        access,
        signed_in: visit.session.is_some(),
        backend_reset_form: site.reset.enabled
            && site.reset.form == crate::recovery::Form::Backend
            && redispatches == 0
            && dialogue.paths().is_reset_page(text.split('/')),
    }
}

/// More fields than this that choose the page no form has; each is judged by the rules.
const MOST_REDISPATCHES: usize = 8;

/// The page that a form field makes the CMS answer with, instead of the one at the path.
struct Redispatched {
    taken_over: Option<TakenOver>,
    access: Access,
}

/// The name of a field as text. Zope finds the types at its end by a pattern that also fits before a line feed, which is then
/// no part of the name.
fn field_name(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace('\n', "")
}

/// What a form field, sent to `path` (decoded), makes of the request it is in.
fn redispatched(
    site: &Site,
    path: &[u8],
    name: &str,
    value: &str,
    from: policy::From,
) -> Option<Redispatched> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/');
    let dialogue = site.cms.dialogue();
    let target = dialogue.redispatched(name, value)?;
    let unclear = Redispatched { taken_over: Some(TakenOver::Closed), access: Access::Deny };
    // The value names the page, and a further type may be a charset in which it is to be read.
    if name.strip_prefix(':').is_some_and(|types| types.contains([':', '.'])) {
        return Some(unclear);
    }
    let folder = path.strip_suffix(b"/").unwrap_or(path);
    let whole = [folder, b"/", target.as_bytes()].concat();
    // Zope walks `..` and `VirtualHostBase` here as well as in any path, out of the site and into another's name.
    let Ok(page) = CanonicalPath::parse(&percent_encode(&whole, KEPT).to_string()) else {
        return Some(unclear);
    };
    // What is taken over may be several segments: some in the path, and some here.
    let whole = || dialogue.paths().taken_over(String::from_utf8_lossy(page.decoded()).split('/'), None);
    let taken_over = dialogue.redispatch(name, value).or_else(whole);
    Some(Redispatched { taken_over, access: site.access.access(page.decoded(), from) })
}

/// Leads from a page of the CMS to the gate's own in its place.
async fn take_over(visit: &Visit<'_>, taken_over: TakenOver) -> Answer {
    if visit.audience() == Audience::Script {
        return visit.problem(ErrorKind::Forbidden, "taken_over");
    }
    let see = if matches!(visit.caller.parts.method, Method::GET | Method::HEAD) {
        http::StatusCode::FOUND
    } else {
        http::StatusCode::SEE_OTHER
    };
    match taken_over {
        TakenOver::SignIn => {
            let names = visit.site.cms.dialogue().paths().next_query();
            let came_from = names.iter().find_map(|name| visit.query(name)).unwrap_or_default();
            // The CMS writes the whole public address; the path behind it is what counts.
            let path = came_from.strip_prefix(&visit.site.origin).unwrap_or(&came_from);
            let next = Next::parse(path, visit.site.public.path())
                .unwrap_or_else(|| Next::home(visit.site.public.path()));
            visit.to_own(see, "login", &format!("next={}", next.encoded()), "taken_over")
        }
        TakenOver::SignOut => visit.to_own(see, "logout", "", "taken_over"),
        TakenOver::ChangePassword => visit.to_own(see, "account", "", "taken_over"),
        TakenOver::RequestReset if visit.site.offers_reset() => {
            let names = visit.site.cms.dialogue().paths().user_query();
            let user = names.iter().find_map(|name| visit.query(name)).unwrap_or_default();
            let user = percent_encoding::utf8_percent_encode(&user, percent_encoding::NON_ALPHANUMERIC);
            visit.to_own(see, "forgot-password", &format!("username={user}"), "taken_over")
        }
        TakenOver::ResetLink { token, user } if visit.site.redeems() => {
            endpoints::capture(visit, token, user).await
        }
        TakenOver::RequestReset | TakenOver::ResetLink { .. } => {
            visit.problem(ErrorKind::NotFound, "taken_over")
        }
        TakenOver::Closed => visit.problem(ErrorKind::Forbidden, "closed"),
    }
}
