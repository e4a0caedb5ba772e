//! `/ready`: whether the gate can serve. It can if its store takes changes and at least one site has a backend that takes connections, and if it
//! has not been told to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{response, text};
use crate::acme::Report;
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
    /// Of the certificates that the gate fetches, by name. They do not count for `ready`: who would be sent nobody until there is a
    /// certificate could not be asked by the authority, and would never have one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    certificates: BTreeMap<String, String>,
}

pub(super) async fn answer(shared: &Shared, stopping: bool) -> Response<Full<Bytes>> {
    let store = match tokio::time::timeout(PATIENCE, shared.sessions.try_store()).await {
        // What it can do at this moment is not all: a full disk lets through whatever adds nothing.
        Ok(Ok(())) => match shared.store.health() {
            Health::Well => OK.to_owned(),
            Health::Failing { problem, .. } => format!("the store {problem}"),
        },
        Ok(Err(error)) => error.to_string(),
        // It waits for another process, perhaps, and has found out before who that is.
        Err(_) => match shared.store.health() {
            Health::Well => "does not answer".to_owned(),
            Health::Failing { problem, .. } => format!("the store {problem}"),
        },
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
    match serde_json::to_vec(&Ready { ready, stopping, store, backends, certificates: certificates(shared) })
    {
        Ok(json) => response(status, "application/json", json),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "not ready\n"),
    }
}

fn certificates(shared: &Shared) -> BTreeMap<String, String> {
    let now = shared.clock.now();
    let said = |report: Report| {
        let hours = report.ends.map(|ends| ends.since(now).as_secs() / 3600);
        let said = match (hours, report.problem) {
            (Some(_), None) => OK.to_owned(),
            (Some(hours), Some(problem)) => format!("over in {hours} h, and not renewed: {problem}"),
            (None, Some(problem)) => format!("none: {problem}"),
            (None, None) => "none yet".to_owned(),
        };
        (report.name, said)
    };
    shared.acme.reports().into_iter().map(said).collect()
}

fn backend(site: &Site) -> impl Future<Output = String> + Send + 'static {
    let addresses: Vec<_> =
        site.backends.members().map(|member| (member.host.clone(), member.port)).collect();
    let patience = site.forward.connect_timeout.as_duration().min(PATIENCE);
    async move {
        let count = addresses.len();
        let mut asked = JoinSet::new();
        for address in addresses {
            asked.spawn(async move {
                match tokio::time::timeout(patience, TcpStream::connect(address)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(format!("cannot connect: {error}")),
                    Err(_) => Err("cannot connect: it takes too long".to_owned()),
                }
            });
        }
        // The first that answers will do; dropping the set gives the others up.
        let mut said = String::new();
        while let Some(asked) = asked.join_next().await {
            match asked {
                Ok(Ok(())) => return OK.to_owned(),
                Ok(Err(why)) => said = why,
                Err(_) => said = "cannot be asked".to_owned(),
            }
        }
        if count > 1 { format!("none of {count}; {said}") } else { said }
    }
}
