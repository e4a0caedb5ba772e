//! `/ready`: whether the gate can serve. It can if its store takes changes and at least one backend takes connections, and if it
//! has not been told to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::net::TcpStream;

use super::{response, text};
use crate::gate::Site;
use crate::state::Shared;
use crate::store::Health;

/// How long the store may take; also the most that a backend may.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is said of what works.
const OK: &str = "ok";

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    stopping: bool,
    store: String,
    /// By the site's name.
    backends: BTreeMap<&'a str, String>,
}

pub(super) async fn answer(shared: &Shared, stopping: bool) -> Response<Full<Bytes>> {
    let store = match tokio::time::timeout(PATIENCE, shared.sessions.try_store()).await {
        // What it can do at this moment is not all: a full disk lets through whatever adds nothing.
        Ok(Ok(())) => match shared.store.health() {
            Health::Well => OK.to_owned(),
            Health::Failing { problem, .. } => format!("the store {problem}"),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => "does not answer".to_owned(),
    };
    // All at once: a backend that is not there must not keep the others waiting.
    let asked: Vec<_> = shared.sites.iter().map(|site| (site, tokio::spawn(backend(site)))).collect();
    let mut backends = BTreeMap::new();
    for (site, asked) in asked {
        let said = asked.await.unwrap_or_else(|_| "cannot be asked".to_owned());
        backends.insert(site.name.as_str(), said);
    }
    let ready = !stopping && store == OK && backends.values().any(|said| said == OK);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_vec(&Ready { ready, stopping, store, backends }) {
        Ok(json) => response(status, "application/json", json),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "not ready\n"),
    }
}

fn backend(site: &Site) -> impl Future<Output = String> + Send + 'static {
    let address = site.backend.clone();
    let patience = site.forward.connect_timeout.as_duration().min(PATIENCE);
    async move {
        match tokio::time::timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => OK.to_owned(),
            Ok(Err(error)) => format!("cannot connect: {error}"),
            Err(_) => "cannot connect: it takes too long".to_owned(),
        }
    }
}
