//! One configuration, as one worker serves it: what all workers share of it, and this worker's connections to the backends.
//!
//! A request takes one at its beginning and keeps it to its end, so it never sees half of one configuration and half of the
//! next. A reload makes new ones, with new connections: an authority that vouches for a backend may have changed without any
//! key having done so. Exchanges in flight end on the connections they have.

use std::sync::Arc;

use super::Site;
use crate::admit::Admitted;
use crate::forward::Upstream;
use crate::session::Session;
use crate::state::Shared;

pub(super) struct Current {
    pub(super) shared: Arc<Shared>,
    /// In the order of [`Shared::sites`].
    upstreams: Vec<Upstream>,
}

impl Current {
    /// Without connections.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let upstreams = shared.sites.iter().map(|site| upstream(site)).collect();
        Self { shared, upstreams }
    }

    /// The site of a request: the first whose host and path it has; the longest paths come first.
    pub(super) fn site<'s>(
        &'s self,
        admitted: &'s Admitted,
    ) -> Option<(&'s Arc<Site>, &'s Upstream, &'s str)> {
        let sites = self.shared.sites.iter().zip(&self.upstreams);
        sites.into_iter().find_map(|(site, upstream)| {
            Some((site, upstream, site.path_of(&admitted.host, &admitted.path)?))
        })
    }

    /// Marks a session as used, if a request for `path` is a use of it.
    pub(super) fn touch(&self, session: &Arc<Session>, path: &str) {
        if self.shared.config.session.extends(path) {
            self.shared.sessions.touch(session);
        }
    }
}

fn upstream(site: &Site) -> Upstream {
    Upstream::new(Arc::clone(&site.backends), site.forward.clone())
}
