//! A request on its way to the backend, and the response on its way out: identity in, everything internal off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, COOKIE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH,
    IF_RANGE, LOCATION, ORIGIN, RANGE, REFERER, SET_COOKIE, UPGRADE, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::decide::Pass;
use super::hold::{self, Spare};
use super::inspect::inspection;
use super::leaks::Guard;
use super::named::{DESTINATION, IF};
use super::reset_form;
use crate::admit::{Framing, is_hop_by_hop, nominated};
use crate::cms::{Change, KeptCookies, WhoAmI};
use crate::config::SignIn;
use crate::config::values::Size;
use crate::forward::{
    self, Class, Entry, Fault, Outgoing, RequestBody, ResponseBody, Strangers, Upstream, Whom,
};
use crate::pages::ErrorKind;
use crate::rewrite::{self, Plan, Translation};
use crate::session::Session;
use crate::session::cookie::{self, Name};
use crate::visit::{Answer, Visit};

/// The most that is spooled for whoever has not signed in.
const STRANGERS_SPOOL: Size = Size::bytes(1 << 20);

/// When to come back where too many bodies are held.
const CROWDED: Duration = Duration::from_secs(30);

/// How often a tunnel asks whether its session still lives.
const TUNNEL_CHECK: Duration = Duration::from_secs(5);

/// The body of a request.
pub(super) enum SentBody {
    /// As the client sends it.
    Arriving(Incoming),
    /// As it was held.
    Held(Bytes),
}

/// What a client sent, besides the head.
pub(super) struct Sent {
    pub(super) body: SentBody,
    pub(super) framing: Framing,
    pub(super) upgrade: Option<OnUpgrade>,
    /// Where it copies or moves to, as it was judged.
    pub(super) destination: Option<HeaderValue>,
}

/// Forwards the request and turns the backend's response into an answer.
pub(super) async fn relay(visit: &Visit<'_>, pass: Pass, upstream: &Upstream, sent: Sent) -> Answer {
    let Sent { body, framing, upgrade, destination } = sent;
    let began = Instant::now();
    let session = visit.session.as_ref().filter(|_| pass == Pass::Visitor);
    let token = forward::upgrade_token(visit.headers());
    if token.is_some() && is_foreign(visit) {
        return visit.problem(ErrorKind::CrossSite, "cross_site");
    }
    let class = if visit.session.is_some() || pass == Pass::Trusted { Class::Known } else { Class::Stranger };
    let bounds = upstream.settings().requests;
    let entry = Entry::new(Arc::clone(&visit.site.load), bounds, class, visit.client.ip());
    if !entry.has_room() {
        return overloaded(visit, class);
    }
    let posted = match reset_form::Posted::of(visit, pass) {
        Ok(posted) => posted,
        Err(answer) => return *answer,
    };
    let copy = match &body {
        SentBody::Arriving(_) => Spare::of(visit, pass, framing),
        SentBody::Held(_) => None,
    };
    let copies = (copy.clone(), posted.as_ref());
    let (body, _place) = match request_body(visit, framing, pass, (upstream, &entry), (body, copies)).await {
        Ok(body) => body,
        Err(fault) => return broken(visit, upstream, &fault, began.elapsed()),
    };
    // One that streams enters when it has all passed.
    let slot = match (&body, entry) {
        (RequestBody::Stream(_), _) => None,
        (_, entry) => match entry.enter() {
            Ok(slot) => Some(slot),
            Err(_) => return overloaded(visit, class),
        },
    };
    let Ok(request_id) = HeaderValue::from_str(visit.caller.request_id) else {
        return visit.problem(ErrorKind::Internal, "internal");
    };
    let overrides = overrides(visit, pass, session, destination);
    let query = visit.caller.parts.uri.query();
    let translated = query.and_then(|query| visit.site.origins.query_to_internal(query));
    let outgoing = Outgoing {
        parts: visit.caller.parts,
        destination: &visit.site.destination,
        path: backend_path(visit),
        query: translated.as_deref().or(query),
        client: visit.client,
        request_id: &request_id,
        overrides: &overrides,
        upgrade: token.filter(|_| upgrade.is_some()),
    };
    let whom = session.map(|session| Whom::of(session.user()));
    let mut exchanged = upstream.exchange(&outgoing, body, whom).await;
    if exchanged.as_ref().is_ok_and(|response| is_part_of_text(visit, response)) {
        // A part of a text cannot be rewritten: where it begins and ends is counted in the backend's own bytes.
        let whole = [overrides.as_slice(), &[(RANGE, None)]].concat();
        let outgoing = Outgoing { overrides: &whole, ..outgoing };
        exchanged = upstream.exchange(&outgoing, RequestBody::Empty, whom).await;
    }
    drop(slot);
    let took = began.elapsed();
    let mut response = match exchanged {
        Ok(response) => response,
        Err(Fault::Overloaded) => return overloaded(visit, class),
        Err(fault) => return broken(visit, upstream, &fault, took),
    };
    if let Some(posted) = posted {
        posted.read(visit, &mut response).await;
    }
    if let Some(answer) = challenged(visit, pass, session, &response, copy).await {
        return Answer { backend: Some(took), ..answer };
    }
    take_cookies(visit, session, response.headers_mut()).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(visit, response, upgrade, took);
    }
    Answer { backend: Some(took), ..finish(visit, response).await }
}

/// The path as the backend is to get it. `/intra` and `/intra/` are two addresses; the backend says which one it means.
fn backend_path<'v>(visit: &Visit<'v>) -> &'v str {
    let is_bare = visit.path == "/" && !visit.caller.parts.uri.path().ends_with('/');
    if is_bare && !visit.site.destination.path_prefix.is_empty() { "" } else { visit.path }
}

/// Whether a request asks for one part, in the way that has one meaning. Several come in one body of their own type, in which texts
/// could not be told from the rest; and who asks for one otherwise than by `GET` would have it cut as they like (RFC 9110, section 14.2,
/// has a server ignore that; Zope does not).
fn is_one_range(method: &Method, headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) => *method == Method::GET && !range.as_bytes().contains(&b','),
        (range, _) => range.is_none(),
    }
}

fn is_part_of_text(visit: &Visit<'_>, response: &Response<ResponseBody>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let is_in_parts = kind.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"));
    response.status() == StatusCode::PARTIAL_CONTENT
        && visit.caller.parts.method == Method::GET
        && (is_in_parts || rewrite::plan(&visit.site.origins, visit.path, response.headers()) != Plan::Pass)
}

/// A WebSocket opened by a page of another site carries that site's `Origin`.
fn is_foreign(visit: &Visit<'_>) -> bool {
    visit.headers().get(ORIGIN).is_some_and(|origin| origin.as_bytes() != visit.site.origin.as_bytes())
}

async fn request_body(
    visit: &Visit<'_>,
    framing: Framing,
    pass: Pass,
    (upstream, entry): (&Upstream, &Entry),
    (body, (copy, posted)): (SentBody, (Option<Spare>, Option<&reset_form::Posted>)),
) -> Result<(RequestBody, Option<Strangers>), Fault> {
    let mut inspect = match pass {
        _ if framing == Framing::None => return Ok((RequestBody::Empty, None)),
        Pass::Visitor | Pass::Nobody => inspection(visit)?,
        // It is allowed to reach those forms: that is what it is trusted for.
        Pass::Trusted => None,
    };
    if let Some(copy) = copy {
        inspect = Some(copy.before(inspect));
    }
    if let Some(posted) = posted {
        inspect = Some(posted.before(inspect));
    }
    let translation = Translation::of(&visit.site.origins, visit.headers());
    let body = match body {
        SentBody::Arriving(body) => body,
        SentBody::Held(bytes) => {
            if let Some(inspect) = &mut inspect {
                inspect.inspect(&bytes).and_then(|()| inspect.finish()).map_err(Fault::BodyRefused)?;
            }
            return Ok((RequestBody::Full(forward::full(translated(translation, bytes)?)), None));
        }
    };
    match framing {
        Framing::None => Ok((RequestBody::Empty, None)),
        Framing::Length(length) if length > upstream.settings().body_limit.as_u64() => {
            Err(Fault::BodyTooLarge)
        }
        Framing::Length(length) if translation.is_none() => {
            let rate = upstream.settings().body_rate;
            Ok((RequestBody::stream(body, length, rate, inspect, entry.clone()), None))
        }
        // Its length, or the one it will have, is known only when all of it is there.
        Framing::Length(_) | Framing::Unknown => {
            let mut settings = upstream.settings().clone();
            let mut place = None;
            if visit.session.is_none() {
                // Whoever has not signed in must not fill the disk.
                place = Some(Strangers::enter(visit.client.ip())?);
                settings.body_limit = settings.body_limit.min(STRANGERS_SPOOL);
            }
            Ok((forward::spool(body, &settings, inspect, translation).await?, place))
        }
    }
}

fn translated(translation: Option<Translation>, bytes: Bytes) -> Result<Bytes, Fault> {
    let Some(mut translation) = translation else { return Ok(bytes) };
    let mut pieces = translation.push(bytes).map_err(|_| forward::UNREADABLE)?;
    pieces.extend(translation.finish().map_err(|_| forward::UNREADABLE)?);
    Ok(pieces.concat().into())
}

/// What the client may not say itself: who it is, and that it is trusted.
fn overrides(
    visit: &Visit<'_>,
    pass: Pass,
    session: Option<&Arc<Session>>,
    destination: Option<HeaderValue>,
) -> Vec<(HeaderName, Option<HeaderValue>)> {
    let (site, headers) = (visit.site, visit.headers());
    let mut overrides = Vec::with_capacity(6);
    overrides.push((COOKIE, cookies(visit, session)));
    if !is_one_range(&visit.caller.parts.method, headers) {
        overrides.push((RANGE, None));
    }
    // Bodies are rewritten as they pass, so they come as they are.
    overrides.push((ACCEPT_ENCODING, Some(HeaderValue::from_static("identity"))));
    overrides.extend(site.cms.dialogue().dropped_headers().map(|name| (name, None)));
    // A backend that knows only its own address checks these against it.
    let origins = &site.origins;
    for (name, internal) in [
        (REFERER, headers.get(REFERER).and_then(|url| origins.to_internal(url))),
        (ORIGIN, headers.get(ORIGIN).and_then(|origin| origins.origin_to_internal(origin))),
        (DESTINATION, destination.map(|url| origins.destination_to_internal(&url).unwrap_or(url))),
        (IF, headers.get(IF).and_then(|condition| origins.condition_to_internal(condition))),
        (IF_MATCH, headers.get(IF_MATCH).and_then(rewrite::tags_to_internal)),
        (IF_NONE_MATCH, headers.get(IF_NONE_MATCH).and_then(rewrite::tags_to_internal)),
        (IF_RANGE, headers.get(IF_RANGE).and_then(rewrite::tags_to_internal)),
    ] {
        if internal.is_some() {
            overrides.push((name, internal));
        }
    }
    overrides.extend(site.identity_headers.of(session.map(Arc::as_ref)));
    if pass != Pass::Trusted {
        if headers.get_all(USER_AGENT).iter().any(|agent| site.is_trusted_agent(agent)) {
            overrides.push((USER_AGENT, None));
        }
        if let Some((name, _)) = &site.trust {
            overrides.push((name.clone(), None));
        }
    }
    overrides
}

/// The visitor's cookies, less the gate's own and what only looks like the CMS's sign-in, and with the CMS's sign-in that the
/// session keeps.
fn cookies(visit: &Visit<'_>, session: Option<&Arc<Session>>) -> Option<HeaderValue> {
    let rules = visit.site.cms.dialogue().credentials();
    let is_credential =
        |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| rules.is_credential_cookie(name));
    let theirs = cookie::strip(visit.headers(), is_credential);
    let theirs = theirs.map(|theirs| visit.site.origins.cookies_to_internal(&theirs).unwrap_or(theirs));
    let kept = session.and_then(|session| KeptCookies::cookie_header(&session.kept()));
    match (theirs, kept) {
        (Some(theirs), Some(kept)) => {
            let mut both =
                HeaderValue::from_bytes(&[theirs.as_bytes(), b"; ", kept.as_bytes()].concat()).ok();
            both.iter_mut().for_each(|both| both.set_sensitive(true));
            both
        }
        (theirs, kept) => theirs.or(kept),
    }
}

/// What the backend answers to somebody it does not know. Where we hold a session, it is asked whether it still knows it: it
/// says the same to who is not allowed.
async fn challenged(
    visit: &Visit<'_>,
    pass: Pass,
    session: Option<&Arc<Session>>,
    response: &Response<ResponseBody>,
    copy: Option<Spare>,
) -> Option<Answer> {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let path = location.map(|location| location.split(['?', '#']).next().unwrap_or_default());
    if !visit.site.cms.dialogue().is_challenge(response.status(), path) {
        return None;
    }
    let Some(session) = session else {
        let as_nobody = pass != Pass::Visitor;
        // Who was sent as nobody need not sign in: it would change nothing.
        return Some(if as_nobody {
            visit.problem(ErrorKind::Forbidden, "not_allowed_by_cms")
        } else {
            visit.sign_in_first(false)
        });
    };
    // Who signs in here is not the CMS's to know or forget: what it refuses, it refuses this person.
    if visit.site.sign_in == SignIn::Local {
        return Some(visit.problem(ErrorKind::Forbidden, "not_allowed_by_cms"));
    }
    let kept = KeptCookies::from_bytes(&session.kept())?;
    match visit.site.cms.who_am_i(&kept, &visit.asker()).await {
        WhoAmI::Anonymous => {
            tracing::info!(
                id = visit.caller.request_id,
                site = visit.site.name,
                user = session.user(),
                "the CMS's own session is over"
            );
            if let Err(error) = visit.shared().sessions.end(session).await {
                tracing::error!(id = visit.caller.request_id, %error, "a session cannot be ended in the store");
            }
            let answer = hold::forgotten(visit, session.user(), copy).await;
            Some(answer.with_cookie(Some(cookie::clear(Name::Session, &visit.site.cookies))))
        }
        WhoAmI::SignedIn { .. } => Some(visit.problem(ErrorKind::Forbidden, "not_allowed_by_cms")),
        WhoAmI::Unknown { evidence } | WhoAmI::Unreachable { evidence } => {
            tracing::warn!(
                id = visit.caller.request_id,
                site = visit.site.name,
                evidence,
                "the CMS does not say whether it knows the session"
            );
            Some(visit.problem(ErrorKind::BadGateway, "backend_unclear"))
        }
    }
}

/// Keeps the CMS's own sign-in from the browser.
async fn take_cookies(visit: &Visit<'_>, session: Option<&Arc<Session>>, headers: &mut HeaderMap) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let rules = visit.site.cms.dialogue().credentials();
    let mut kept = session.and_then(|session| KeptCookies::from_bytes(&session.kept())).unwrap_or_default();
    let mut changed = false;
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        // Set by one site's backend, it would sign the browser in or out at another on the same host. One without a name comes back as
        // its value alone, which can be `lychgate=…` (RFC 6265bis, section 5.5).
        let name = set_name(&cookie);
        if name.is_empty() || cookie::is_ours(name) {
            continue;
        }
        match kept.apply_set_cookie(rules, &cookie) {
            Change::Updated | Change::Cleared => changed = true,
            Change::NotOurs => {
                headers.append(SET_COOKIE, cookie);
            }
        }
    }
    if let Some(session) = session.filter(|_| changed) {
        visit.shared().sessions.update_kept(session, kept.to_bytes().expose().as_bytes().to_vec());
    }
}

/// The name of the cookie that a `Set-Cookie` value sets.
fn set_name(cookie: &HeaderValue) -> &[u8] {
    let pair = cookie.as_bytes().split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
    pair.trim_ascii()
}

/// Headers and body, internal to public.
async fn finish(visit: &Visit<'_>, response: Response<ResponseBody>) -> Answer {
    let (mut parts, body) = response.into_parts();
    // The backend's version is its own; in ZServer's HTTP/1.0 every browser would have to connect anew for every request.
    parts.version = Version::HTTP_11;
    // The words behind its status are the backend's own, too, and nobody reads them.
    parts.extensions = http::Extensions::new();
    // Those of the backend's connection are not the client's.
    let nominated = nominated(&parts.headers);
    let hops: Vec<HeaderName> = parts
        .headers
        .keys()
        .filter(|name| is_hop_by_hop(name) || nominated.contains(name))
        .cloned()
        .collect();
    for name in hops {
        parts.headers.remove(name);
    }
    // Whoever answers a password dialog of the browser would type it for nothing: the gate forwards none.
    parts.headers.remove(WWW_AUTHENTICATE);
    let path: Vec<u8> = percent_encoding::percent_decode_str(visit.path).collect();
    if visit.session.is_some() || visit.site.access.depends_on_place(&path) {
        keep_private(&mut parts.headers);
    }
    let origins = &visit.site.origins;
    let plan = match rewrite::plan(origins, visit.path, &parts.headers) {
        // There is nothing to be looked at.
        Plan::Unnamed(_) if matches!(parts.status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) => {
            Plan::Pass
        }
        plan => plan,
    };
    let guard = Guard::of(visit);
    let leaks = rewrite::response_headers(origins, plan, &mut parts.headers);
    if parts.status == StatusCode::NOT_MODIFIED
        && let Some(held) = parts.headers.get(ETAG).and_then(rewrite::tag_of_rewritten)
        && visit.headers().get_all(IF_NONE_MATCH).iter().any(|tags| holds(tags.as_bytes(), held.as_bytes()))
    {
        // What the visitor holds was rewritten, although this answer, without a type, does not show it.
        parts.headers.insert(ETAG, held);
    }
    if leaks > 0 {
        guard.found("headers", leaks);
        if guard.blocks() {
            return visit.problem(ErrorKind::BadGateway, "leak_blocked");
        }
    }
    if plan == Plan::Pass && rewrite::is_sealed(origins, &parts.headers) {
        guard.cannot_look();
        if guard.blocks() {
            return visit.problem(ErrorKind::BadGateway, "leak_blocked");
        }
    }
    let body = match plan {
        Plan::Pass => body.boxed_unsync(),
        _ => match guard.rewrite(body, plan, &parts.headers).await {
            Some(body) => body.boxed_unsync(),
            None => return visit.problem(ErrorKind::BadGateway, "leak_blocked"),
        },
    };
    Answer { response: Response::from_parts(parts, body), verdict: "forwarded", backend: None }
}

fn holds(tags: &[u8], tag: &[u8]) -> bool {
    memchr::memmem::find(tags, tag).is_some()
}

/// What caches of one maker believe instead of `Cache-Control`: content networks (RFC 9213), Varnish and its like, nginx.
const CACHES_OWN: &[&str] = &[
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "edge-control",
    "surrogate-control",
    "x-accel-expires",
];

/// What one person, or one network, was shown, no cache between may keep for the next.
fn keep_private(headers: &mut HeaderMap) {
    for name in CACHES_OWN {
        headers.remove(*name);
    }
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<String> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|directive| directive.trim().to_owned())
        .collect();
    let shared = |directive: &String| {
        let name = directive.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("public")
            || name.eq_ignore_ascii_case("s-maxage")
            || name.eq_ignore_ascii_case("private")
    };
    let mut kept: Vec<String> =
        directives.into_iter().filter(|directive| !directive.is_empty() && !shared(directive)).collect();
    kept.insert(0, "private".to_owned());
    if let Ok(value) = HeaderValue::from_str(&kept.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
}

/// Joins the two ends of an upgraded connection, for as long as the session lives.
fn switch(
    visit: &Visit<'_>,
    response: Response<ResponseBody>,
    upgrade: Option<OnUpgrade>,
    took: Duration,
) -> Answer {
    let Some(client) = upgrade else { return visit.problem(ErrorKind::BadGateway, "unsolicited_upgrade") };
    let mut switched = Response::new(
        http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync(),
    );
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in response.headers() {
        let ours = name.as_str().starts_with("sec-websocket-") || *name == UPGRADE || *name == SET_COOKIE;
        if ours {
            switched.headers_mut().append(name, value.clone());
        }
    }
    let guard = Guard::of(visit);
    let leaks = rewrite::response_headers(&visit.site.origins, Plan::Pass, switched.headers_mut());
    if leaks > 0 {
        guard.found("headers", leaks);
        if guard.blocks() {
            return visit.problem(ErrorKind::BadGateway, "leak_blocked");
        }
    }
    switched.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("upgrade"));
    let (session, shared) = (visit.session.clone(), Arc::clone(visit.shared()));
    let open = shared.metrics.tunnels.enter();
    let silence = visit.site.forward.tunnel_idle_timeout.as_duration();
    tokio::spawn(forward::tunnel(client, response, silence, async move {
        let _open = open;
        match session {
            None => std::future::pending().await,
            Some(session) => {
                while shared.sessions.lives(&session) {
                    tokio::time::sleep(TUNNEL_CHECK).await;
                }
            }
        }
    }));
    Answer { response: switched, verdict: "tunnel", backend: Some(took) }
}

/// Says that there are too many requests at once.
fn overloaded(visit: &Visit<'_>, class: Class) -> Answer {
    if let Some(refused) = visit.site.load.refused(class, visit.shared().clock.elapsed()) {
        tracing::warn!(
            site = visit.site.name,
            refused,
            now = class.as_str(),
            "more requests at once than site.forward.requests lets the backends work on"
        );
    }
    visit.problem(ErrorKind::Unavailable { retry_after: forward::RETRY_AFTER }, Fault::Overloaded.verdict())
}

/// The page for an exchange that did not come about.
fn broken(visit: &Visit<'_>, upstream: &Upstream, fault: &Fault, took: Duration) -> Answer {
    // Only what certainly had no effect is called maintenance: whoever sent a form may send it again.
    let gone = upstream.standing().gone_for().filter(|_| fault.is_unsent());
    let kind = match fault.status() {
        _ if let Some(retry_after) = gone => ErrorKind::Maintenance { retry_after },
        StatusCode::BAD_GATEWAY => ErrorKind::BadGateway,
        StatusCode::GATEWAY_TIMEOUT => ErrorKind::GatewayTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::ContentTooLarge,
        StatusCode::REQUEST_TIMEOUT => ErrorKind::RequestTimeout,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::BAD_REQUEST => ErrorKind::BadRequest,
        StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Unavailable { retry_after: CROWDED },
        _ => ErrorKind::Internal,
    };
    if fault.status().is_server_error() {
        let cause = std::error::Error::source(fault).map(ToString::to_string).unwrap_or_default();
        tracing::error!(id = visit.caller.request_id, site = visit.site.name, %fault, cause, "the exchange with the backend failed");
    } else {
        tracing::debug!(id = visit.caller.request_id, site = visit.site.name, %fault, "the request was not forwarded");
    }
    Answer { backend: Some(took), ..visit.problem(kind, fault.verdict()) }
}
