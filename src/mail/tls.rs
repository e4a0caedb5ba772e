//! TLS on both sides of the relay: what the CMS is shown, and whom the gate believes to be the mail server.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::settings::Identity;
use crate::tls;

/// What the CMS is shown: a certificate, read anew when its files have changed.
pub(super) struct Shown {
    files: Identity,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    changed: Option<(SystemTime, SystemTime)>,
}

impl Shown {
    /// Reads the files.
    ///
    /// # Errors
    /// One sentence that names the file that cannot be used.
    pub(super) fn open(files: Identity) -> Result<Self, String> {
        let loaded = Loaded { changed: changed(&files), config: load(&files)? };
        Ok(Self { files, loaded: Mutex::new(loaded) })
    }

    /// For one conversation. A certificate that cannot be used leaves the last one in its place.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let now = changed(&self.files);
        if now.is_some() && now != loaded.changed {
            match load(&self.files) {
                Ok(config) => *loaded = Loaded { config, changed: now },
                Err(sentence) => {
                    tracing::error!("{sentence}; the certificate that was there before stays in use")
                }
            }
        }
        Arc::clone(&loaded.config).into()
    }
}

fn changed(files: &Identity) -> Option<(SystemTime, SystemTime)> {
    let changed = |file: &Path| std::fs::metadata(file).and_then(|file| file.modified()).ok();
    Some((changed(&files.certificate)?, changed(&files.key)?))
}

fn load(files: &Identity) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = (tls::read_certificates(&files.certificate)?, tls::read_key(&files.key)?);
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            let file = files.certificate.display();
            format!("the certificate {file} of [mail.relay] cannot be used: {error}; write the path of one that belongs to the key")
        })?;
    Ok(Arc::new(config))
}

/// A client that believes who has a certificate for its name from one of the authorities in `ca`, or else of this machine.
///
/// # Errors
/// One sentence, when there is no authority to believe.
pub(super) fn verifying(ca: Option<&Path>) -> Result<TlsConnector, String> {
    Ok(tls::client_config(ca)?.into())
}

/// A client that believes everyone: for where clear text would do too.
///
/// # Errors
/// Never, in fact: that is for the TLS library to say.
pub(super) fn unverifying() -> Result<TlsConnector, String> {
    let provider = tls::provider();
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Asks for no more than that the server has the key of the certificate it shows.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
