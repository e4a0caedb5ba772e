//! A client that sends a body drop by drop is given up: it would hold a connection to the backend, which has few.
//!
//! Only the time that is spent waiting for the client counts, so a slow backend is not blamed on it. Deadlines for a body that
//! stands still altogether are elsewhere; this one needs no timer, since every drop wakes whoever waits for it.

use std::time::{Duration, Instant};

/// What every client has to itself.
const GRACE: Duration = Duration::from_secs(30);

/// How fast a body has come.
pub(super) struct Pace {
    /// Bytes a second; 0 is any.
    rate: u64,
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    pub(super) const fn new(rate: u64) -> Self {
        Self { rate, bytes: 0, waited: Duration::ZERO, since: None }
    }

    /// There is nothing yet.
    pub(super) fn wait(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// So many bytes have come; whether that is fast enough.
    pub(super) fn came(&mut self, bytes: usize) -> bool {
        self.waited += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.bytes += bytes as u64;
        self.keeps_up()
    }

    fn keeps_up(&self) -> bool {
        let owed = self.waited.saturating_sub(GRACE).as_secs().saturating_mul(self.rate);
        owed <= self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_must_come_at_the_rate_agreed() {
        for (name, rate, bytes, waited, keeps_up) in [
            ("grace", 500, 1, 30, true),
            ("a drop a second", 500, 60, 60, false),
            ("just fast enough", 500, 15_000, 60, true),
            ("too slow", 500, 14_999, 60, false),
            ("any", 0, 0, 100_000, true),
        ] {
            let pace = Pace { bytes, waited: Duration::from_secs(waited), ..Pace::new(rate) };
            assert_eq!(pace.keeps_up(), keeps_up, "{name}");
        }
    }
}
