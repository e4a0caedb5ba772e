//! What `lychgate check` says of certificates.

use std::path::Path;

use super::Settings;
use crate::acme::Name;
use crate::admit::PublicHost;
use crate::clock::Timestamp;
use crate::tls::{self, Inspected};

/// What is odd about certificates that can be used: their time, names of `hosts` that none of them has, and those that `acme` is to
/// fetch as well.
pub(crate) fn warnings<'h>(
    settings: &Settings,
    folder: &Path,
    hosts: impl Iterator<Item = &'h PublicHost>,
    acme: &[Name],
    now: Timestamp,
) -> Vec<String> {
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
        for name in acme.iter().filter(|name| inspected.covers(name.as_str())) {
            warnings.push(format!(
                "the certificate {} has the name {name}, so acme fetches none for it; take the name out of one of the two",
                file.display()
            ));
        }
        all.push(inspected);
    }
    for host in hosts {
        let is_fetched = acme.iter().any(|name| name.as_str() == host.name());
        if !is_fetched && !all.iter().any(|inspected| inspected.covers(host.name())) {
            warnings.push(format!(
                "no certificate in [server.tls] has the name {}; browsers will refuse the site",
                host.name()
            ));
        }
    }
    warnings
}
