//! How it stands with one name: the certificate in use, what came of the last attempts, and when the next one is due.

use std::time::Duration;

use super::certificate::Certificate;
use super::folder::Seen;
use super::order::Failure;
use crate::clock::Timestamp;

/// How soon a failure is followed by another attempt; doubled with each one in a row.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// The longest such wait. Let's Encrypt asks for retries no more than a few times a day once something is lastingly wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) certificate: Option<Certificate>,
    /// What its file looked like when it was read.
    pub(super) seen: Seen,
    /// When it is to be renewed; meaningless without one.
    renew_at: Option<Timestamp>,
    /// What is wrong, until it is no more.
    pub(super) problem: Option<String>,
    pub(super) is_under_way: bool,
    /// In a row.
    failures: u32,
    /// On the clock that nobody sets.
    not_before: Duration,
    /// Since the start.
    pub(super) issued: u64,
    pub(super) failed: u64,
}

impl Standing {
    /// Takes a certificate into use. `luck` spreads its renewal.
    pub(super) fn take(&mut self, certificate: Certificate, seen: Seen, luck: u8) {
        self.renew_at = Some(certificate.renewal(luck));
        self.certificate = Some(certificate);
        self.seen = seen;
    }

    /// Whether it is time for an attempt.
    pub(super) fn is_due(&self, now: Timestamp, elapsed: Duration) -> bool {
        !self.is_under_way
            && elapsed >= self.not_before
            && (self.certificate.is_none() || self.renew_at.is_none_or(|due| now >= due))
    }

    /// An attempt went well, and its certificate was taken.
    pub(super) fn succeeded(&mut self, now: Timestamp, elapsed: Duration, luck: u8) {
        self.is_under_way = false;
        self.issued += 1;
        if self.renew_at.is_some_and(|due| now >= due) {
            // Or else it would be renewed without end.
            self.wait(elapsed, None, luck);
            self.problem = Some("a new certificate is over two thirds of its time already; see that this machine's clock is right".to_owned());
            return;
        }
        self.failures = 0;
        self.not_before = elapsed;
        self.problem = None;
    }

    /// An attempt failed. Gives how long the next one has to wait.
    pub(super) fn failed(&mut self, failure: Failure, elapsed: Duration, luck: u8) -> Duration {
        self.is_under_way = false;
        self.failed += 1;
        self.problem = Some(failure.sentence);
        self.wait(elapsed, failure.wait, luck)
    }

    fn wait(&mut self, elapsed: Duration, asked: Option<Duration>, luck: u8) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.max(asked.unwrap_or_default());
        // A tenth more or less luck, so that many names and gates do not come back together.
        let wait = wait + wait / 10 * u32::from(luck) / 255;
        self.not_before = elapsed.saturating_add(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(wait: Option<u64>) -> Failure {
        Failure { sentence: "no".to_owned(), wait: wait.map(Duration::from_secs) }
    }

    #[test]
    fn waits_double_from_a_minute_to_six_hours_and_are_as_long_as_the_server_asks() {
        let mut standing = Standing::default();
        let now = Timestamp::from_millis(0);
        let mut elapsed = Duration::ZERO;
        for minutes in [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360] {
            assert!(standing.is_due(now, elapsed));
            let wait = standing.failed(failure(None), elapsed, 0);
            assert_eq!(wait, Duration::from_secs(60 * minutes));
            elapsed += wait;
            assert!(!standing.is_due(now, elapsed - Duration::from_millis(1)));
        }
        assert_eq!(standing.failed(failure(Some(80_000)), elapsed, 0), Duration::from_secs(80_000));
        assert_eq!(
            standing.failed(failure(Some(5)), elapsed, 0),
            LONGEST_WAIT,
            "never sooner than by ourselves"
        );
        let late = standing.failed(failure(None), elapsed, 255);
        assert!(late > LONGEST_WAIT && late <= LONGEST_WAIT + LONGEST_WAIT / 10);
        assert_eq!(standing.failed, 14);
    }

    /// A certificate that is good for 90 days from the clock's zero on.
    fn certificate() -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = rcgen::date_time_ymd(1970, 4, 1);
        let signed = params.self_signed(&key).unwrap();
        std::fs::write(&file, format!("{}{}", key.serialize_pem(), signed.pem())).unwrap();
        Certificate::read(&file, &"a.example".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_time_are_over_or_a_little_earlier() {
        let day = |day: i64| Timestamp::from_millis(day * 86_400_000);
        for (luck, early, due) in [(0, 59, 60), (255, 58, 59)] {
            let mut standing = Standing::default();
            standing.take(certificate(), None, luck);
            standing.succeeded(day(0), Duration::ZERO, luck);
            assert!(!standing.is_due(day(early), Duration::ZERO), "{luck}");
            assert!(standing.is_due(day(due), Duration::ZERO), "{luck}");
            standing.is_under_way = true;
            assert!(!standing.is_due(day(due), Duration::ZERO), "{luck}: not twice at once");
        }
    }

    #[test]
    fn a_new_certificate_that_is_old_by_this_clock_is_not_renewed_at_once() {
        let mut standing = Standing::default();
        let now = Timestamp::from_millis(80 * 86_400_000);
        standing.take(certificate(), None, 0);
        standing.succeeded(now, Duration::ZERO, 0);
        assert!(standing.problem.as_ref().is_some_and(|said| said.contains("clock")));
        assert!(!standing.is_due(now, Duration::from_secs(59)));
        assert!(standing.is_due(now, FIRST_WAIT));
    }
}
