//! Which certificate a visitor gets.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Pair;
use super::inspect::Inspected;
use crate::tls;

/// Certificates by the names in them.
pub(super) struct Certificates {
    /// Lower-case names; `*.example.org` stands for one label before it (RFC 6125, section 6.4.3).
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For who asks for no name, or for one that none has: the browser says what is wrong better than an alert does.
    first: Arc<CertifiedKey>,
}

impl Certificates {
    pub(super) fn load(pairs: &[Pair], folder: &Path, provider: &CryptoProvider) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        let mut first = None;
        for pair in pairs {
            let certified = Arc::new(certified(pair, folder, provider)?);
            let names = certified.cert.first().map(|leaf| Inspected::of(leaf)).transpose();
            for name in names.ok().flatten().map(|inspected| inspected.names).unwrap_or_default() {
                by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            first.get_or_insert(certified);
        }
        let first =
            first.ok_or("[server.tls] has no certificate; write certificate = \"…\" and key = \"…\"")?;
        Ok(Self { by_name, first })
    }

    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        let name = name.to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        self.by_name.get(&name).or_else(wildcard).unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(hello.server_name().map_or(&self.first, |name| self.find(name))))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

/// A certificate with its key, which must be the one it was made for.
fn certified(pair: &Pair, folder: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let (certificate, key) = (folder.join(&pair.certificate), folder.join(&pair.key));
    let chain = tls::read_certificates(&certificate)?;
    let signer = provider.key_provider.load_private_key(tls::read_key(&key)?).map_err(|_| {
        format!("the private key {} is of no kind that is supported; use ECDSA P-256 or P-384, Ed25519, or RSA from 2048 bits", key.display())
    })?;
    let mut certified = CertifiedKey::new(chain, signer);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "the private key {} does not belong to the certificate {}; name the key it was made with",
            key.display(),
            certificate.display()
        ),
        error => format!("the certificate {} cannot be used: {error}", certificate.display()),
    })?;
    if let Some(file) = &pair.ocsp {
        let file = folder.join(file);
        let response = std::fs::read(&file)
            .map_err(|error| format!("the OCSP response {} cannot be read: {error}", file.display()))?;
        certified.ocsp = Some(response);
    }
    Ok(certified)
}
