//! Health checks: every backend of a site is asked for a page from time to time (`[site.forward] health_check`), on the thread that
//! keeps house. What it says is remembered in the [`Standing`](crate::forward::Standing) that all workers choose by.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request};

use super::Site;
use crate::admit::ClientIp;
use crate::forward::{HealthCheck, Outgoing, Upstream};
use crate::state::Shared;

/// Begins all checks that are configured. They end with this thread's runtime.
pub fn begin(shared: &Arc<Shared>) {
    for site in &shared.sites {
        let Some(check) = &site.forward.health_check else { continue };
        // Each by itself: one that does not answer must not keep the others from being looked at.
        for at in 0..site.backends.members().len() {
            tokio::spawn(watch(Arc::clone(shared), Arc::clone(site), at, check.clone()));
        }
    }
}

async fn watch(shared: Arc<Shared>, site: Arc<Site>, at: usize, check: HealthCheck) {
    let every = check.every.span().as_duration();
    let limit = every.max(site.forward.connect_timeout.as_duration());
    let (path, query) = check
        .path
        .as_str()
        .split_once('?')
        .map_or((check.path.as_str(), None), |(path, query)| (path, Some(query)));
    let (parts, ()) = Request::new(()).into_parts();
    let client = ClientIp::resolve(IpAddr::V4(Ipv4Addr::LOCALHOST), &HeaderMap::new(), &[]);
    loop {
        // Anew each time, so that no connection is kept between two looks: a backend has few to spare.
        let upstream = Upstream::new(Arc::clone(&site.backends), site.forward.clone());
        let Ok(request_id) = HeaderValue::from_str(&shared.request_id()) else { return };
        let outgoing = Outgoing {
            parts: &parts,
            destination: &site.destination,
            path,
            query,
            client,
            request_id: &request_id,
            overrides: &[],
            upgrade: None,
        };
        upstream.check(at, &outgoing, limit).await;
        tokio::time::sleep(every).await;
    }
}
