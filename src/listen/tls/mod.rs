//! TLS for visitors: certificates by name, reloaded when their files change, and the handshake's deadline.
//!
//! One [`Tls`] serves all workers. The house thread asks it once a second whether a file has changed ([`Tls::refresh`]); what
//! cannot be used is logged and leaves the last good certificates in place. TLS 1.2 and 1.3 with rustls' own suites (forward
//! secrecy and AEAD, all of them); no early data, which could be replayed.

mod certificates;
mod inspect;
mod settings;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use self::certificates::Certificates;
pub(crate) use self::inspect::warnings;
pub(crate) use self::settings::{Pair, Settings};
use crate::acme::Acme;
use crate::tls;

/// The protocols a visitor may choose from, the better first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [H2, b"http/1.1"];
/// HTTP/2 (RFC 9113, section 3.2).
pub(in crate::listen) const H2: &[u8] = b"h2";

/// The visitors' side of TLS.
pub(super) struct Tls {
    settings: Settings,
    folder: PathBuf,
    acme: Arc<Acme>,
    loaded: ArcSwap<Loaded>,
    seen: Mutex<Vec<Seen>>,
}

/// What handshakes are done with.
pub(crate) struct Loaded {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

/// What a file looked like when it was last read. The inode is in it for files that are replaced within a second.
#[derive(PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Tls {
    /// Loads everything; `None` where nothing listens.
    ///
    /// # Errors
    /// One sentence that names the file that cannot be used.
    pub(super) fn open(settings: &Settings, folder: &Path, acme: Arc<Acme>) -> Result<Option<Self>, String> {
        if !settings.is_on() {
            return Ok(None);
        }
        let seen = Mutex::new(look(settings, folder));
        let loaded = ArcSwap::from_pointee(load(settings, folder, Arc::clone(&acme))?);
        Ok(Some(Self { settings: settings.clone(), folder: folder.to_owned(), acme, loaded, seen }))
    }

    /// Loads anew what has changed. Connections that stand keep what they have.
    pub(super) fn refresh(&self) {
        let now = look(&self.settings, &self.folder);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == now {
                return;
            }
            *seen = now;
        }
        match load(&self.settings, &self.folder, Arc::clone(&self.acme)) {
            Ok(loaded) => {
                self.loaded.store(Arc::new(loaded));
                tracing::info!("the certificates were read anew");
            }
            Err(sentence) => tracing::error!("{sentence}; the certificates read before stay in use"),
        }
    }

    /// Whether a file has a certificate for the name, in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.loaded.load().certificates.in_files(name).is_some()
    }

    /// The handshake.
    ///
    /// # Errors
    /// Any of rustls; `TimedOut` when the visitor takes longer than agreed; `ConnectionAborted` when it was a challenge, which was
    /// answered, and after which nothing is said (RFC 8737, section 3).
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.loaded.load().config);
        let handshake = async {
            if !self.acme.has_handshakes() {
                return TlsAcceptor::from(config).accept(stream).await;
            }
            let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let Some(challenge) = self.acme.handshake(&begun.client_hello()) else {
                return begun.into_stream(config).await;
            };
            begun.into_stream(challenge).await?.shutdown().await?;
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, "an ACME challenge was answered"))
        };
        let limit: Duration = self.settings.handshake_timeout.as_duration();
        tokio::time::timeout(limit, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Reads everything that `settings` points to, and tries it.
///
/// # Errors
/// One sentence that names the file.
pub(crate) fn load(settings: &Settings, folder: &Path, acme: Arc<Acme>) -> Result<Loaded, String> {
    let provider = tls::provider();
    let certificates = Arc::new(Certificates::load(&settings.pairs()?, folder, acme)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let file = folder.join(file);
            let roots = tls::read_authorities(&file)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("the client_ca {} cannot be used: {error}", file.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(&certificates) as _);
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    // Keys of this configuration alone: what a former client_ca vouched for is not resumed under a new one.
    config.ticketer =
        rustls::crypto::ring::Ticketer::new().map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(Loaded { config: Arc::new(config), certificates })
}

/// What all the files look like now.
fn look(settings: &Settings, folder: &Path) -> Vec<Seen> {
    use std::os::unix::fs::MetadataExt as _;
    let pairs = settings.pairs().unwrap_or_default();
    let files = pairs.into_iter().flat_map(|pair| [Some(pair.certificate), Some(pair.key), pair.ocsp]);
    files
        .chain([settings.client_ca.clone()])
        .flatten()
        .map(|file| match std::fs::metadata(folder.join(file)) {
            Ok(file) => Seen { modified: file.modified().ok(), length: file.len(), inode: file.ino() },
            Err(_) => Seen { modified: None, length: 0, inode: 0 },
        })
        .collect()
}
