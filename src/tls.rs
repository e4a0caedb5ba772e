//! What TLS is made of, towards visitors and towards backends: ring for the cryptography, named here and nowhere left to chance,
//! TLS 1.2 and 1.3 and nothing older; and the reading of PEM files, whose errors name the file and what to do.

mod inspected;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

pub use self::inspected::Inspected;

/// The cryptography that every connection uses.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// How a backend's certificate is judged: by the authorities in `ca` and no others, or else by those the system trusts.
///
/// # Errors
/// One sentence that names the file, when it cannot be used.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match ca {
        Some(ca) => read_authorities(ca)?,
        None => {
            let mut roots = RootCertStore::empty();
            // What the system cannot read of its own store it does not trust.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    if roots.is_empty() {
        return Err("this machine knows no certificate authorities; install them (ca-certificates), or name a file of your own in `ca`".to_owned());
    }
    config(roots)
}

/// For clients that never speak TLS but want to be told how.
///
/// # Errors
/// None that can happen: the cryptography knows TLS 1.2 and 1.3.
pub fn trusting_nobody() -> Result<Arc<ClientConfig>, String> {
    config(RootCertStore::empty())
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The authorities in a PEM file.
///
/// # Errors
/// One sentence that names the file.
pub fn read_authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|error| {
            format!("{} holds a certificate that is no authority's: {error}", file.display())
        })?;
    }
    Ok(roots)
}

/// The certificates in a PEM file, in its order; at least one.
///
/// # Errors
/// One sentence that names the file.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("certificate", file, &error))?;
    if certificates.is_empty() {
        return Err(format!(
            "{} holds no certificate; it must be PEM, with -----BEGIN CERTIFICATE----- in it",
            file.display()
        ));
    }
    Ok(certificates)
}

/// The private key in a PEM file.
///
/// # Errors
/// One sentence that names the file.
pub fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => format!(
            "{} holds no private key; it must be PEM, with PRIVATE KEY in its first line, and not be encrypted",
            file.display()
        ),
        error => unreadable("private key", file, &error),
    })
}

/// A certificate chain with its key, which must be the one it was made for. Both may be in one file.
///
/// # Errors
/// One sentence that names the file.
pub fn certified(certificate: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let chain = read_certificates(certificate)?;
    let signer = provider().key_provider.load_private_key(read_key(key)?).map_err(|_| {
        format!("the private key {} is of no kind that is supported; use ECDSA P-256 or P-384, Ed25519, or RSA from 2048 bits", key.display())
    })?;
    let certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "the private key {} does not belong to the certificate {}; name the key it was made with",
            key.display(),
            certificate.display()
        ),
        error => format!("the certificate {} cannot be used: {error}", certificate.display()),
    })?;
    Ok(certified)
}

fn unreadable(what: &str, file: &Path, error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("the {what} {} cannot be read: {error}", file.display()),
        // Other errors may quote the file, and that may be a key.
        _ => format!("the {what} {} is no valid PEM file", file.display()),
    }
}
