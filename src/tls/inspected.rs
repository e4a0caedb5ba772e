//! What is in a certificate.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::clock::Timestamp;

/// What counts of a certificate, for choosing it by name, for renewing it in time, and for `lychgate check`.
pub struct Inspected {
    /// Its DNS names, lower-case, and its addresses as text.
    pub names: Vec<String>,
    /// From when on it is good.
    pub begins: Timestamp,
    /// How long.
    pub ends: Timestamp,
}

impl Inspected {
    /// Reads a certificate.
    ///
    /// # Errors
    /// One sentence, when it is none.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| "a certificate cannot be read".to_owned())?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        let moment = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let validity = certificate.validity();
        Ok(Self {
            names,
            begins: moment(validity.not_before.timestamp()),
            ends: moment(validity.not_after.timestamp()),
        })
    }

    /// Whether a browser that asks for `host` accepts it.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        self.names.iter().any(|name| name == host || Some(name) == wildcard.as_ref())
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let address = <[u8; 4]>::try_from(*bytes)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
