//! `/sessions`: who is signed in.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::{response, text};
use crate::session::Shown;
use crate::state::Shared;

/// Its name says that what is put in is escaped.
const PAGE: (&str, &str) = ("sessions.html", include_str!("sessions.html"));

pub(super) fn answer(shared: &Shared, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let sessions = shared.sessions.list(None, None);
    let mut shown: Vec<Shown<'_>> =
        sessions.iter().map(|session| Shown::of(session, &shared.sessions)).collect();
    shown.sort_by(|one, two| (one.site, one.user, &one.created).cmp(&(two.site, two.user, &two.created)));
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/html") {
        return match serde_json::to_vec(&shown) {
            Ok(json) => response(StatusCode::OK, "application/json", json),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the sessions cannot be shown\n"),
        };
    }
    match Environment::new().render_named_str(
        PAGE.0,
        PAGE.1,
        context! { sessions => Value::from(Serde(&shown)) },
    ) {
        Ok(page) => response(StatusCode::OK, "text/html; charset=utf-8", page),
        Err(error) => {
            tracing::error!(%error, "the page of sessions cannot be shown");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the sessions cannot be shown\n")
        }
    }
}
