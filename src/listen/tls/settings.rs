//! `[server.tls]` of `proxy.toml`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::super::settings::Address;
use crate::acme;
use crate::config::values::Span;

/// Where visitors come in through TLS, and with which certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The addresses to listen on; none.
    pub listen: Vec<Address>,
    /// The certificate chain, PEM, the site's own first.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM, not encrypted.
    pub key: Option<PathBuf>,
    /// A stapled OCSP response for it, DER (RFC 6066, section 8), if there is one.
    pub ocsp: Option<PathBuf>,
    /// Further certificates, chosen by the name the visitor asks for.
    pub certificates: Vec<Pair>,
    /// Certificates that the gate fetches and renews by itself; none. For a name that a file has, the file is used.
    #[schemars(with = "Option<acme::Settings>")]
    pub acme: Option<Spanned<acme::Settings>>,
    /// The authorities of visitors' certificates, PEM. A visitor may then show one; rules ask for it with `client_certificate = true`.
    pub client_ca: Option<PathBuf>,
    /// How long browsers are to insist on https (RFC 6797); 30 d. `"0"` does not say.
    ///
    /// On by default, since a gate takes passwords; a month, since it cannot be taken back before it is over.
    pub hsts: Span,
    /// How long a handshake may take; 10 s.
    pub handshake_timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            certificate: None,
            key: None,
            ocsp: None,
            certificates: Vec::new(),
            acme: None,
            client_ca: None,
            hsts: Span::minutes(30 * 24 * 60),
            handshake_timeout: Span::seconds(10),
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The chain, PEM, the site's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM, not encrypted.
    pub key: PathBuf,
    /// A stapled OCSP response, DER.
    #[serde(default)]
    pub ocsp: Option<PathBuf>,
}

impl Settings {
    /// Whether visitors can come in through TLS.
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }

    /// Every certificate; the first serves who asks for no name that another has.
    ///
    /// # Errors
    /// What is missing.
    pub fn pairs(&self) -> Result<Vec<Pair>, String> {
        let first = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(Pair { certificate: certificate.clone(), key: key.clone(), ocsp: self.ocsp.clone() })
            }
            (None, None) if self.ocsp.is_none() => None,
            (None, None) => {
                return Err("[server.tls] has `ocsp` but no `certificate`; name it too".to_owned());
            }
            (Some(_), None) => {
                return Err("[server.tls] has a `certificate` but no `key`; name it too".to_owned());
            }
            (None, Some(_)) => {
                return Err("[server.tls] has a `key` but no `certificate`; name it too".to_owned());
            }
        };
        let pairs: Vec<Pair> = first.into_iter().chain(self.certificates.iter().cloned()).collect();
        if pairs.is_empty() && self.acme.is_none() && self.is_on() {
            return Err(
                "[server.tls] listens but has no certificate; write certificate = \"…\" and key = \"…\", or acme = { directory = \"https://…\" }"
                    .to_owned(),
            );
        }
        Ok(pairs)
    }
}
