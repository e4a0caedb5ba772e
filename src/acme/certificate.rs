//! One certificate with its key, and when it is to be renewed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;

use super::settings::Name;
use crate::clock::Timestamp;
use crate::tls::{self, Inspected};

/// A certificate that can be used.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) certified: Arc<CertifiedKey>,
    begins: Timestamp,
    pub(super) ends: Timestamp,
}

impl Certificate {
    /// Reads chain and key from one file.
    ///
    /// # Errors
    /// One sentence, when it is none, does not belong together, or is for another name.
    pub(super) fn read(file: &Path, name: &Name) -> Result<Self, String> {
        let certified = tls::certified(file, file)?;
        let leaf = certified.cert.first().ok_or("there is no certificate")?;
        let inspected = Inspected::of(leaf)?;
        if !inspected.names.iter().any(|found| found == name.as_str()) {
            return Err(format!("the certificate {} is not for {name}", file.display()));
        }
        Ok(Self { begins: inspected.begins, ends: inspected.ends, certified: Arc::new(certified) })
    }

    /// When to renew it: when two thirds of its time are over, and up to a fiftieth of it earlier, so that not all gates come on
    /// the same day. `luck` is from 0 to 255.
    pub(super) fn renewal(&self, luck: u8) -> Timestamp {
        let lifetime = self.ends.since(self.begins);
        let earlier = lifetime / 50 * u32::from(luck) / 255;
        self.begins.after((lifetime / 3 * 2).saturating_sub(earlier))
    }

    /// How much of its time is left.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        self.ends.since(now)
    }

    /// Whether it is so old that somebody has to look after it: a sixth of its time is left.
    pub(super) fn is_urgent(&self, now: Timestamp) -> bool {
        self.left(now) < self.ends.since(self.begins) / 6
    }
}
