//! What all workers share: the configuration made ready, the sessions, the limits, the pages.
//!
//! [`Shared`] is one configuration and never changes; a reload makes another, in which whatever carries state (sessions, held
//! forms, counts, the audit trail, mails under way) is the same as before. [`Live`] says which one is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::acme::Acme;
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

/// Everything but connections: made at start, and anew by every reload.
pub struct Shared {
    /// What `proxy.toml` says.
    pub config: Config,
    /// The sites, the most specific public path first.
    pub sites: Vec<Arc<Site>>,
    /// Certificates that the gate fetches by itself.
    pub acme: Arc<Acme>,
    /// Who is signed in.
    pub sessions: Arc<Sessions>,
    /// What outlives the process: for who asks how it is doing.
    pub store: Arc<dyn Store>,
    /// Forms that wait for their sender to sign in.
    pub held: Arc<Held>,
    /// Who tried too often.
    pub limits: Arc<Limits>,
    /// What happened.
    pub audit: Arc<Audit>,
    /// From when on browsers have to be made known anew.
    pub browsers: Arc<dyn KnownBrowserStore>,
    /// The gate's own users, and the reset links it issued.
    pub accounts: Arc<dyn Accounts>,
    /// What hashes their passwords.
    pub hasher: Arc<Hasher>,
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
    request_ids: Arc<RequestIds>,
}

/// Random for the process, counted within it.
struct RequestIds {
    prefix: String,
    next: AtomicU64,
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
        let sites = sites(&config, &clock, &[])?;
        let (pages, mails) = pages(&config)?;
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
        let acme = Acme::new(&config, Arc::clone(&clock), Arc::clone(&random))?;
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
        let request_ids = RequestIds { prefix: random::token::<6>(random.as_ref()), next: AtomicU64::new(0) };
        Ok(Self {
            config,
            sites,
            acme: Arc::new(acme),
            sessions: Arc::new(sessions),
            store,
            held: Arc::new(held),
            limits: Arc::new(limits),
            audit: Arc::new(audit),
            browsers,
            accounts,
            hasher: Arc::new(hasher),
            pages,
            mails,
            outgoing,
            sealer,
            metrics: Arc::default(),
            background: Background::default(),
            clock,
            random,
            request_ids: Arc::new(request_ids),
        })
    }

    /// The same gate by another configuration. What that says of state that goes on is not applied yet: [`Live::change`] does.
    fn reconfigured(&self, config: Config) -> Result<Self, String> {
        let sites = sites(&config, &self.clock, &self.sites)?;
        let (pages, mails) = pages(&config)?;
        let hasher = if config.local_users == self.config.local_users {
            Arc::clone(&self.hasher)
        } else {
            Arc::new(Hasher::new(&config.local_users, Arc::clone(&self.random))?)
        };
        if sites.iter().any(|site| site.sign_in == SignIn::Local) {
            hasher.warm()?;
        }
        let outgoing = self.outgoing.renewed(&config, Arc::clone(&self.clock), Arc::clone(&self.random))?;
        let limits = Arc::new(self.limits.renewed(&config.limits));
        Ok(Self {
            config,
            sites,
            acme: Arc::clone(&self.acme),
            sessions: Arc::clone(&self.sessions),
            store: Arc::clone(&self.store),
            held: Arc::clone(&self.held),
            limits,
            audit: Arc::clone(&self.audit),
            browsers: Arc::clone(&self.browsers),
            accounts: Arc::clone(&self.accounts),
            hasher,
            pages,
            mails,
            outgoing,
            sealer: self.sealer.clone(),
            metrics: Arc::clone(&self.metrics),
            background: self.background.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            request_ids: Arc::clone(&self.request_ids),
        })
    }

    /// An id for a request: random for the process, counted within it.
    pub fn request_id(&self) -> String {
        let RequestIds { prefix, next } = self.request_ids.as_ref();
        format!("{prefix}-{:x}", next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The sites, the most specific public path first. What is known of one `before`, by its name, stays known.
fn sites(config: &Config, clock: &Arc<dyn Clock>, before: &[Arc<Site>]) -> Result<Vec<Arc<Site>>, String> {
    let made = config.sites.iter().map(|site| {
        let mut site = Site::new(config, site.as_ref(), Arc::clone(clock))?;
        if let Some(same) = before.iter().find(|before| before.name == site.name) {
            site.metrics = Arc::clone(&same.metrics);
            site.pace = Arc::clone(&same.pace);
            site.load = Arc::clone(&same.load);
            site.backends.resume(&same.backends);
        }
        Ok(Arc::new(site))
    });
    let mut sites = made.collect::<Result<Vec<_>, String>>()?;
    sites.sort_by_key(|site| std::cmp::Reverse(site.public.path().len()));
    Ok(sites)
}

fn pages(config: &Config) -> Result<(Pages, Mails), String> {
    let pages = Pages::load(&config.pages).map_err(|error| error.to_string())?;
    for warning in pages.warnings() {
        tracing::warn!("{warning}");
    }
    let mails = Mails::load(&config.pages, &pages).map_err(|error| error.to_string())?;
    Ok((pages, mails))
}

/// The configuration in use. Every worker looks here once a request; whoever has taken one keeps it until done.
pub struct Live(ArcSwap<Shared>);

impl Live {
    /// With the one that the gate starts with.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self(ArcSwap::new(shared))
    }

    /// The one in use.
    pub fn load(&self) -> Arc<Shared> {
        self.0.load_full()
    }

    /// Whether `shared` is the one in use.
    pub fn is(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.0.load(), shared)
    }

    /// Makes `config` ready and has `also` make ready what else there is, which gives back how to put that in use. Then, and only
    /// if all of it could be made, puts it in use. Gives the keys that have changed and need a restart: they stay as they were.
    ///
    /// # Errors
    /// One sentence, when something cannot be made; then nothing has changed.
    pub fn change<P: FnOnce()>(
        &self,
        mut config: Config,
        also: impl FnOnce(&Shared) -> Result<P, String>,
    ) -> Result<Vec<&'static str>, String> {
        let before = self.load();
        let fixed = config.keep_fixed(&before.config);
        let next = before.reconfigured(config)?;
        let put = also(&next)?;
        next.sessions.set(next.config.session.clone());
        next.audit.set(next.config.audit.clone());
        self.0.store(Arc::new(next));
        put();
        Ok(fixed)
    }
}
