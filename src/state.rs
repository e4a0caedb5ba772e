//! What all workers share: the configuration made ready, the sessions, the limits, the pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::background::Background;
use crate::clock::Clock;
use crate::config::{Config, SignIn};
use crate::gate::Site;
use crate::held::Held;
use crate::limits::Limits;
use crate::mail::{Mails, Outgoing};
use crate::observe::audit::Audit;
use crate::observe::metrics::Metrics;
use crate::pages::Pages;
use crate::password::Hasher;
use crate::random::{self, Random};
use crate::seal::Sealer;
use crate::session::Sessions;
use crate::store::{self, Accounts, KnownBrowserStore, Store};

/// Everything but connections. Made once, at start.
pub struct Shared {
    /// What `proxy.toml` says.
    pub config: Config,
    /// The sites, the most specific public path first.
    pub sites: Vec<Arc<Site>>,
    /// Who is signed in.
    pub sessions: Sessions,
    /// What outlives the process: for who asks how it is doing.
    pub store: Arc<dyn Store>,
    /// Forms that wait for their sender to sign in.
    pub held: Held,
    /// Who tried too often.
    pub limits: Limits,
    /// What happened.
    pub audit: Audit,
    /// From when on browsers have to be made known anew.
    pub browsers: Arc<dyn KnownBrowserStore>,
    /// The gate's own users, and the reset links it issued.
    pub accounts: Arc<dyn Accounts>,
    /// What hashes their passwords.
    pub hasher: Hasher,
    /// The gate's own pages.
    pub pages: Pages,
    /// What the gate's own mails say.
    pub mails: Mails,
    /// The way they go.
    pub outgoing: Outgoing,
    /// What is sealed before it leaves the process.
    pub sealer: Sealer,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Work beside the answers.
    pub background: Background,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    request_prefix: String,
    requests: AtomicU64,
}

impl Shared {
    /// Opens and loads all that the configuration names.
    ///
    /// # Errors
    /// One sentence that says what cannot be used, and what to do.
    pub async fn open(
        config: Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, String> {
        let mut sites = config
            .sites
            .iter()
            .map(|site| Site::new(&config, site.as_ref(), Arc::clone(&clock)).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        sites.sort_by_key(|site| std::cmp::Reverse(site.public.path().len()));
        let pages = Pages::load(&config.pages).map_err(|error| error.to_string())?;
        for warning in pages.warnings() {
            tracing::warn!("{warning}");
        }
        let sealer = Sealer::open_secrets(&config.store.secret, &config.folder, Arc::clone(&random))
            .map_err(|error| error.to_string())?;
        let everything = store::open(&config.store.url, &config.folder).map_err(|error| error.to_string())?;
        let store: Arc<dyn Store> = Arc::clone(&everything) as _;
        let browsers: Arc<dyn KnownBrowserStore> = Arc::clone(&everything) as _;
        let accounts: Arc<dyn Accounts> = Arc::clone(&everything) as _;
        let audit = Audit::new(&config.audit, everything as _, sealer.clone(), Arc::clone(&clock));
        let hasher = Hasher::new(&config.local_users, Arc::clone(&random))?;
        if sites.iter().any(|site| site.sign_in == SignIn::Local) {
            hasher.warm()?;
        }
        let mails = Mails::load(&config.pages, &pages).map_err(|error| error.to_string())?;
        let outgoing = Outgoing::new(&config, Arc::clone(&clock), Arc::clone(&random))?;
        let held = Held::new(Arc::clone(&store), sealer.clone(), Arc::clone(&clock), Arc::clone(&random));
        let sessions = Sessions::open(
            &config.session,
            Arc::clone(&store),
            sealer.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
        )
        .await
        .map_err(|error| error.to_string())?;
        let limits = Limits::new(&config.limits, Arc::clone(&clock), random.as_ref());
        let request_prefix = random::token::<6>(random.as_ref());
        Ok(Self {
            config,
            sites,
            sessions,
            store,
            held,
            limits,
            audit,
            browsers,
            accounts,
            hasher,
            pages,
            mails,
            outgoing,
            sealer,
            metrics: Arc::default(),
            background: Background::default(),
            clock,
            random,
            request_prefix,
            requests: AtomicU64::new(0),
        })
    }

    /// An id for a request: random for the process, counted within it.
    pub fn request_id(&self) -> String {
        format!("{}-{:x}", self.request_prefix, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}
