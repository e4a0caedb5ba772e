//! Buckets by key: governor's arithmetic over a map that can take back and never outgrows its bound.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::config::values::Rate;

/// More keys than this are not kept for one rate: about 3 MiB.
pub(super) const MOST_KEYS: usize = 1 << 16;

/// One bucket a key for each of several rates; an attempt must fit into all.
pub(super) struct Buckets(Vec<Arc<Bucket>>);

impl Buckets {
    pub(super) fn new(rates: &[Rate], clock: &SteadyClock) -> Self {
        Self(rates.iter().filter_map(|rate| Bucket::new(*rate, clock)).map(Arc::new).collect())
    }

    /// For other rates: a bucket of a rate that there was goes on as it is (what it counted is told in the time since
    /// *it* began, and would lock people out of one that began later), one of a new rate begins with no counts.
    pub(super) fn renewed(&self, rates: &[Rate], clock: &SteadyClock) -> Self {
        let same = |rate: &Rate| self.0.iter().find(|bucket| bucket.rate == *rate).cloned();
        let bucket = |rate: &Rate| same(rate).or_else(|| Bucket::new(*rate, clock).map(Arc::new));
        Self(rates.iter().filter_map(bucket).collect())
    }

    /// Counts once for `key` in every bucket, or, if one is full, in none.
    ///
    /// # Errors
    /// The time until it fits into all.
    pub(super) fn count(&self, key: u128) -> Result<(), Duration> {
        let outcomes: Vec<_> = self.0.iter().map(|bucket| bucket.count(key)).collect();
        let Some(wait) = outcomes.iter().filter_map(|outcome| outcome.err()).max() else { return Ok(()) };
        for (bucket, _) in self.0.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            bucket.take_back(key);
        }
        Err(wait)
    }

    /// Undoes one [`Self::count`] that succeeded.
    pub(super) fn take_back(&self, key: u128) {
        for bucket in &self.0 {
            bucket.take_back(key);
        }
    }

    /// Forgets the keys whose buckets are empty.
    pub(super) fn sweep(&self) {
        for bucket in &self.0 {
            bucket.limiter.retain_recent();
        }
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.0.iter().map(|bucket| bucket.ledger.entries().len()).sum()
    }
}

struct Bucket {
    rate: Rate,
    limiter: RateLimiter<u128, Ledger, SteadyClock, NoOpMiddleware<Duration>>,
    ledger: Ledger,
    /// How long one attempt takes to leak out.
    leak: Duration,
}

impl Bucket {
    /// `None` for a rate beyond one a nanosecond, which is no limit.
    fn new(rate: Rate, clock: &SteadyClock) -> Option<Self> {
        let leak = rate.per.checked_div(rate.count)?;
        let quota = Quota::with_period(leak)?.allow_burst(NonZeroU32::new(rate.count)?);
        let ledger = Ledger::default();
        let limiter = RateLimiter::new(quota, ledger.clone(), clock.clone());
        Some(Self { rate, limiter, ledger, leak })
    }

    fn count(&self, key: u128) -> Result<(), Duration> {
        self.limiter
            .check_key(&key)
            .map_err(|until| until.wait_time_from(governor::clock::Clock::now(self.limiter.clock())))
    }

    fn take_back(&self, key: u128) {
        if let Some(empty_at) = self.ledger.entries().get_mut(&key) {
            *empty_at = empty_at.saturating_sub(self.leak.into());
        }
    }
}

/// For each key the moment at which its bucket will be empty. Ours rather than governor's own map, because
/// that one can neither take back nor be bounded.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<HashMap<u128, Nanos>>>);

impl Ledger {
    // A panic elsewhere cannot leave the map half changed, so poison says nothing.
    fn entries(&self) -> MutexGuard<'_, HashMap<u128, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Ledger {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut entries = self.entries();
        let (outcome, empty_at) = decide(entries.get(key).copied())?;
        if entries.len() >= MOST_KEYS && !entries.contains_key(key) {
            forget_half(&mut entries);
        }
        entries.insert(*key, empty_at);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u128> for Ledger {
    fn retain_recent(&self, drop_below: Nanos) {
        self.entries().retain(|_, empty_at| *empty_at > drop_below);
    }

    fn len(&self) -> usize {
        self.entries().len()
    }

    fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }
}

/// Makes room by forgetting the emptier half of the buckets: whoever floods the map with new keys, a count
/// of one each, pushes out those and not the keys that are being limited.
fn forget_half(entries: &mut HashMap<u128, Nanos>) {
    let mut all: Vec<(Nanos, u128)> = entries.iter().map(|(key, empty_at)| (*empty_at, *key)).collect();
    let middle = all.len() / 2;
    let (emptier, _, _) = all.select_nth_unstable(middle);
    for (_, key) in emptier {
        entries.remove(key);
    }
}

/// The gate's clock as governor wants it: the time that has elapsed. A clock that is set must neither lock people out nor
/// let them off.
#[derive(Clone)]
pub(super) struct SteadyClock(Arc<dyn Clock>);

impl SteadyClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }
}

impl governor::clock::Clock for SteadyClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
