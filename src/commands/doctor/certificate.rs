//! The certificate that visitors are shown, judged as their browsers do: by name, time, and the authorities this machine knows.

use std::io;
use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use super::Ward;
use super::report::{Level, Report};
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::url::Scheme;
use crate::tls::{self, Inspected};

const CHECK: &str = "certificate";
/// How long connecting and shaking hands may take, each.
const PATIENCE: Duration = Duration::from_secs(10);
/// Authorities of the internet give certificates for 90 days and less, and clients renew them when a third is left. With this much
/// left of any, nothing seems to renew it.
const SOON: Duration = Duration::from_secs(10 * 86_400);

pub(super) async fn examine(ward: &Ward<'_>, report: &mut Report) {
    let public = &ward.site.public;
    if public.scheme() == Scheme::Http {
        return;
    }
    let at = ward.arguments.public.as_ref();
    if at.is_some_and(|at| at.scheme() == "http") {
        let next = "--public https://… looks at it; `lychgate check` looks at the files of [server.tls]";
        return report.warn(CHECK, "not looked at: this speaks with the gate in clear", next);
    }
    let at = at.and_then(|at: &Url| Some((at.host_str()?.to_owned(), at.port_or_known_default()?)));
    let at = at.unwrap_or_else(|| (public.host().name().to_owned(), public.port()));
    match shown(&at, public.host().name()).await {
        Ok(Some(shown)) => judge(&shown, SystemClock.now(), report),
        Ok(None) => report.fail(CHECK, "none was shown", "see what listens there"),
        Err(error) => {
            let (found, next) = refused(&error, public.host().name());
            report.fail(CHECK, found, &next);
        }
    }
}

/// The certificate of who answers `at` when asked for `name`, if it is good.
async fn shown((host, port): &(String, u16), name: &str) -> io::Result<Option<Inspected>> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
    let connector = TlsConnector::from(tls::client_config(None).map_err(invalid)?);
    let plain = |name: &str| name.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(plain(name)).map_err(|error| invalid(error.to_string()))?;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connecting = TcpStream::connect((plain(host), *port));
    let stream = tokio::time::timeout(PATIENCE, connecting).await.map_err(late)??;
    let shaken = tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await.map_err(late)??;
    let (_, session) = shaken.get_ref();
    Ok(session.peer_certificates().and_then(|chain| Inspected::of(chain.first()?).ok()))
}

fn judge(shown: &Inspected, now: Timestamp, report: &mut Report) {
    let left = shown.ends.since(now);
    let found = format!("good for {} more days, for {}", left.as_secs() / 86_400, shown.names.join(", "));
    // One that is short-lived by intention is renewed when it is old by its own measure.
    if left < SOON && left < shown.ends.since(shown.begins) / 4 {
        let next = "renew it and the gate takes it by itself; if `acme` should have, /ready of [admin] and the log say why it did not";
        return report.add(Level::Warn, CHECK, found, next, Vec::new());
    }
    report.ok(CHECK, found);
}

/// What browsers would say, and what to do about it.
fn refused(error: &io::Error, name: &str) -> (String, String) {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (found, next) = match tls {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
                "expired, or one of its authority's is".to_owned(),
                "renew it; if `acme` should have, /ready of [admin] and the log say why it did not".to_owned(),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "not valid yet".to_owned(),
                "see that the clocks of this machine and of the one that made it are right".to_owned(),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (format!("not for {name}"), format!("have one made that has the name {name}, or correct public_url"))
            }
            // Another authority may have the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => (
                "of an authority that this machine does not know".to_owned(),
                "put the authority's intermediate certificates behind the site's own in the file; where the authority is your own, its certificate belongs among those of the system, here and at every visitor's".to_owned(),
            ),
            other => (other.to_string(), "browsers will refuse it; have another made".to_owned()),
        },
        Some(error) => (error.to_string(), "see that TLS 1.2 or 1.3 is spoken there, and the gate's log".to_owned()),
        None => (
            format!("no handshake: {error}"),
            "see that `lychgate run` runs with [server.tls], and that the public name leads to it".to_owned(),
        ),
    };
    (found, next)
}
