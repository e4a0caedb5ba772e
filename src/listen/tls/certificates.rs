//! Which certificate a visitor gets.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Pair;
use crate::acme::{Acme, Found};
use crate::tls::{self, Inspected};

/// Certificates in files by the names in them; what they do not have is asked of [`Acme`].
pub(super) struct Certificates {
    /// Lower-case names; `*.example.org` stands for one label before it (RFC 6125, section 6.4.3).
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For who asks for no name, or for one that none has: the browser says what is wrong better than an alert does.
    first: Option<Arc<CertifiedKey>>,
    acme: Arc<Acme>,
}

impl Certificates {
    pub(super) fn load(pairs: &[Pair], folder: &Path, acme: Arc<Acme>) -> Result<Self, String> {
        let mut by_name = HashMap::new();
        let mut first = None;
        for pair in pairs {
            let certified = Arc::new(certified(pair, folder)?);
            let names = certified.cert.first().map(|leaf| Inspected::of(leaf)).transpose();
            for name in names.ok().flatten().map(|inspected| inspected.names).unwrap_or_default() {
                by_name.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
            first.get_or_insert(certified);
        }
        Ok(Self { by_name, first, acme })
    }

    /// The certificate in a file that has the name, in lower case.
    pub(super) fn in_files(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || name.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        self.by_name.get(name).or_else(wildcard)
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        if let Some(certificate) = self.in_files(&name) {
            return Some(Arc::clone(certificate));
        }
        match self.acme.find(&name) {
            Found::Certificate(certificate) => Some(certificate),
            // Another's would be one to click away; a refusal is none.
            Found::NotYet => {
                tracing::debug!(name, "a handshake for a name that has no certificate yet");
                None
            }
            Found::Unknown => self.first(),
        }
    }

    fn first(&self) -> Option<Arc<CertifiedKey>> {
        self.first.clone().or_else(|| self.acme.first())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().map_or_else(|| self.first(), |name| self.find(name))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

/// A certificate with its key and what is stapled to it.
fn certified(pair: &Pair, folder: &Path) -> Result<CertifiedKey, String> {
    let mut certified = tls::certified(&folder.join(&pair.certificate), &folder.join(&pair.key))?;
    if let Some(file) = &pair.ocsp {
        let file = folder.join(file);
        let response = std::fs::read(&file)
            .map_err(|error| format!("the OCSP response {} cannot be read: {error}", file.display()))?;
        certified.ocsp = Some(response);
    }
    Ok(certified)
}
