//! What is in a certificate, for choosing it by name and for `lychgate check`.

use std::net::IpAddr;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Settings;
use crate::admit::PublicHost;
use crate::clock::Timestamp;
use crate::tls;

/// What counts of a certificate.
pub(super) struct Inspected {
    /// Its DNS names, lower-case, and its addresses as text.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    begins: i64,
    ends: i64,
}

impl Inspected {
    /// Reads a certificate.
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| "a certificate cannot be read".to_owned())?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
        let validity = certificate.validity();
        Ok(Self { names, begins: validity.not_before.timestamp(), ends: validity.not_after.timestamp() })
    }

    /// Whether a browser that asks for `host` accepts it.
    fn covers(&self, host: &str) -> bool {
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

/// What is odd about certificates that can be used: their time, and names of `hosts` that none of them has.
pub(crate) fn warnings<'h>(
    settings: &Settings,
    folder: &Path,
    hosts: impl Iterator<Item = &'h PublicHost>,
    now: Timestamp,
) -> Vec<String> {
    let now = now.as_millis().div_euclid(1000);
    let mut all = Vec::new();
    let mut warnings = Vec::new();
    for pair in settings.pairs().unwrap_or_default() {
        let file = folder.join(&pair.certificate);
        let leaf = tls::read_certificates(&file).ok().and_then(|chain| chain.into_iter().next());
        let Some(inspected) = leaf.and_then(|leaf| Inspected::of(&leaf).ok()) else { continue };
        if inspected.ends <= now {
            warnings.push(format!("the certificate {} is expired; renew it", file.display()));
        } else if inspected.begins > now {
            warnings.push(format!(
                "the certificate {} is not valid yet; see that this machine's clock is right",
                file.display()
            ));
        }
        all.push(inspected);
    }
    for host in hosts {
        if !all.iter().any(|inspected| inspected.covers(host.name())) {
            warnings.push(format!(
                "no certificate in [server.tls] has the name {}; browsers will refuse the site",
                host.name()
            ));
        }
    }
    warnings
}
