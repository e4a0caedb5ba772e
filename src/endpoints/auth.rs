//! `auth`: another proxy asks, before each of its own requests, whether whoever sent it is signed in here (`auth_request` of
//! nginx, `forwardAuth` of Traefik, `forward_auth` of Caddy).
//!
//! It trusts the gate's cookie and nothing else: neither `X-Original-URL`, nor `X-Forwarded-Uri`, nor any other field in which
//! such proxies say what was asked for, since anybody can send those. So it answers *who*, never *whether they may*. That is the
//! other proxy's to decide, and so is to drop a client's own copy of [`IDENTITY`] (Traefik CVE-2026-39858 and its kind).

use http::{HeaderName, HeaderValue};

use super::api;
use crate::pages::ErrorKind;
use crate::visit::{Answer, Visit};

/// Who is signed in, in UTF-8.
const IDENTITY: HeaderName = HeaderName::from_static("x-remote-user");

/// The groups of a local user, `a,b`.
const GROUPS: HeaderName = HeaderName::from_static("x-remote-groups");

pub(super) fn answer(visit: &Visit<'_>) -> Answer {
    let mut answer = api::session(visit);
    let Some(session) = &visit.session else { return answer };
    // A name that no header can carry is nobody's: half an identity would be worse than none.
    let Ok(user) = HeaderValue::from_bytes(session.user().as_bytes()) else {
        return api::problem(visit, ErrorKind::Internal, "bad_user_name");
    };
    answer.response.headers_mut().insert(IDENTITY, user);
    if let Ok(groups) = HeaderValue::from_str(&session.groups().to_text())
        && !groups.is_empty()
    {
        answer.response.headers_mut().insert(GROUPS, groups);
    }
    answer
}
