//! Certificates that the gate fetches and renews by itself, from an ACME server (RFC 8555): `acme = { … }` in `[server.tls]`.
//!
//! ```text
//!  keeper      once a second, on the house thread: which names, what is due, what came of it
//!    └── order       one certificate: account · order · challenge · request · chain
//!          ├── http        the requests, bounded
//!          ├── pending     what is being proven: answered by gate (http-01) and listen::tls (tls-alpn-01)
//!          └── folder      account.json and NAME.pem, 0600, put in place whole; one gate at a time
//! ```
//! One certificate for each name, so that a name which fails hurts no other. The names are the operator's, never a visitor's: what
//! somebody asks for in a handshake orders nothing. Until there is a certificate for a name its handshakes are refused: nobody is
//! shown one that they would have to click away. A certificate that cannot be renewed stays in use.
//!
//! What it defends against: a way round authentication through the challenge's path (only a token that is being proven, at the
//! name it is for, is answered, and nothing there is ever forwarded); a server that is slow, endless or false (every time and
//! size is bounded, a chain that does not fit is not used); keys that others can read; two gates in one folder; being shut
//! out by the authority for asking too often.

mod certificate;
mod folder;
mod http;
mod keeper;
mod order;
mod pending;
mod settings;
mod standing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use self::folder::Folder;
pub(crate) use self::keeper::keep;
use self::order::Orders;
use self::pending::Pending;
pub use self::settings::{Binding, Challenge, Contact, Directory, Name, Settings};
use self::standing::Standing;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::random::{self, Random, SystemRandom};

/// All that is known of the gate's own certificates; shared by everything that shows or makes them. Without `acme` there are none.
pub struct Acme {
    on: Option<On>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

struct On {
    folder: Arc<Folder>,
    pending: Arc<Pending>,
    orders: Arc<Orders>,
    /// What handshakes look at.
    shown: ArcSwap<Shown>,
    names: Mutex<BTreeMap<Name, Standing>>,
}

/// The names, each with its certificate if there is one.
type Shown = BTreeMap<String, Option<Arc<CertifiedKey>>>;

/// What there is for a name.
pub(crate) enum Found {
    /// This.
    Certificate(Arc<CertifiedKey>),
    /// It is one of ours, and has none yet.
    NotYet,
    /// It is none of ours.
    Unknown,
}

/// How it stands with one name, for operators.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: String,
    /// Until when its certificate is good, if there is one.
    pub(crate) ends: Option<Timestamp>,
    /// What is wrong.
    pub(crate) problem: Option<String>,
    /// Certificates had since the start.
    pub(crate) issued: u64,
    /// Attempts that failed since the start.
    pub(crate) failed: u64,
}

impl Acme {
    /// By what `config` says. Reads nothing of the folder yet: [`Acme::follow`] does.
    ///
    /// # Errors
    /// One sentence, when a file that `acme` names cannot be used.
    pub fn new(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, String> {
        let Some(settings) = &config.server.tls.acme else { return Ok(Self { on: None, clock, random }) };
        let settings = settings.as_ref();
        settings.try_files(&config.folder)?;
        let folder = Arc::new(Folder::of(&config.acme_folder().unwrap_or_default(), &settings.directory));
        let pending = Arc::new(Pending::default());
        let challenge = settings.challenge_for(&config.server);
        let orders = Orders::new(
            settings,
            config.folder.clone(),
            challenge,
            Arc::clone(&folder),
            Arc::clone(&pending),
        );
        let on = On {
            folder,
            pending,
            orders: Arc::new(orders),
            shown: ArcSwap::default(),
            names: Mutex::default(),
        };
        Ok(Self { on: Some(on), clock, random })
    }

    /// Without `acme`.
    pub(crate) fn off() -> Self {
        Self { on: None, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }

    /// Keeps certificates for `names` from now on, and for no others. What is kept of them is read at once.
    pub(crate) fn follow(&self, names: &[Name]) {
        let Some(on) = &self.on else { return };
        let mut standings = on.standings();
        if standings.keys().eq(names) {
            return;
        }
        standings.retain(|name, _| names.contains(name));
        for name in names {
            if !standings.contains_key(name) {
                let mut standing = Standing::default();
                self.read(on, name, &mut standing);
                standings.insert(name.clone(), standing);
            }
        }
        on.show(&standings);
    }

    /// Reads the kept certificate, if its file is another than was read last. One that cannot be used leaves the last in use.
    fn read(&self, on: &On, name: &Name, standing: &mut Standing) -> bool {
        let seen = on.folder.seen(name);
        if seen == standing.seen {
            return false;
        }
        match on.folder.certificate(name) {
            Ok(Some(certificate)) => {
                standing.take(certificate, seen, self.luck());
                standing.problem = None;
                return true;
            }
            Ok(None) => {}
            Err(sentence) => {
                tracing::error!(%name, "{sentence}; it is not used");
                standing.problem = Some(sentence);
            }
        }
        standing.seen = seen;
        false
    }

    /// The certificate to show for a name, in lower case.
    pub(crate) fn find(&self, name: &str) -> Found {
        let Some(on) = &self.on else { return Found::Unknown };
        match on.shown.load().get(name) {
            Some(Some(certificate)) => Found::Certificate(Arc::clone(certificate)),
            Some(None) => Found::NotYet,
            None => Found::Unknown,
        }
    }

    /// Any certificate, for who asks for no name that there is.
    pub(crate) fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.on.as_ref()?.shown.load().values().flatten().next().cloned()
    }

    /// Whether handshakes have to be looked at for being challenges at the moment.
    pub(crate) fn has_handshakes(&self) -> bool {
        self.on.as_ref().is_some_and(|on| on.pending.has_handshakes())
    }

    /// The handshake that answers a challenge, if this is one.
    pub(crate) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.on.as_ref()?.pending.handshake(hello)
    }

    /// The token that a path in clear text names: it is nobody's but the gate's, whatever the token is.
    pub(crate) fn token<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.on.as_ref().and_then(|_| path.strip_prefix(pending::PLACE))
    }

    /// The page that answers a challenge, if that token is being proven for that host.
    pub(crate) fn page(&self, host: &str, token: &str) -> Option<String> {
        self.on.as_ref()?.pending.page(host, token)
    }

    /// How it stands with each name.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let Some(on) = &self.on else { return Vec::new() };
        let report = |(name, standing): (&Name, &Standing)| Report {
            name: name.to_string(),
            ends: standing.certificate.as_ref().map(|certificate| certificate.ends),
            problem: standing.problem.clone(),
            issued: standing.issued,
            failed: standing.failed,
        };
        on.standings().iter().map(report).collect()
    }

    fn luck(&self) -> u8 {
        let [luck] = random::bytes::<1>(&*self.random);
        luck
    }
}

impl On {
    fn standings(&self) -> MutexGuard<'_, BTreeMap<Name, Standing>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has handshakes see what there is now.
    fn show(&self, standings: &BTreeMap<Name, Standing>) {
        let shown = standings.iter().map(|(name, standing)| {
            let certificate = standing.certificate.as_ref();
            (name.to_string(), certificate.map(|certificate| Arc::clone(&certificate.certified)))
        });
        self.shown.store(Arc::new(shown.collect()));
    }
}
