//! How many different accounts one client fails for, and how many different clients fail for one account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;

use super::bucket::SteadyClock;

/// More keys than this are not kept: with 20 others each about 3 MiB.
const MOST_KEYS: usize = 4096;

/// By key, the others and when they were last seen.
type Others = HashMap<u128, Vec<(u128, Duration)>>;

/// For each key the others it was seen with lately.
pub(super) struct Spread {
    /// So many others are too many; 0: any number is fine.
    limit: usize,
    within: Duration,
    clock: SteadyClock,
    /// The others, the longest ago first; never more than `limit`.
    entries: Arc<Mutex<Others>>,
}

impl Spread {
    pub(super) fn new(limit: u32, within: Duration, clock: &SteadyClock) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, within, clock: clock.clone(), entries: Arc::default() }
    }

    /// The same others under other settings.
    pub(super) fn renewed(&self, limit: u32, within: Duration) -> Self {
        Self { entries: Arc::clone(&self.entries), ..Self::new(limit, within, &self.clock) }
    }

    /// How long `key` will still have been seen with too many others; `None` if it has not.
    pub(super) fn too_many(&self, key: u128) -> Option<Duration> {
        let now = self.clock.now();
        let entries = self.entries();
        let others = entries.get(&key).filter(|_| self.limit > 0)?;
        let recent = others.iter().filter(|(_, at)| self.is_recent(*at, now)).count();
        let (_, oldest) = others.iter().find(|(_, at)| self.is_recent(*at, now))?;
        (recent >= self.limit).then(|| oldest.saturating_add(self.within).saturating_sub(now))
    }

    /// Notes that `key` was seen with `other`; says whether they have just become too many.
    pub(super) fn add(&self, key: u128, other: u128) -> bool {
        if self.limit == 0 {
            return false;
        }
        let now = self.clock.now();
        let mut entries = self.entries();
        if entries.len() >= MOST_KEYS && !entries.contains_key(&key) {
            forget_half(&mut entries);
        }
        let others = entries.entry(key).or_default();
        others.retain(|(_, at)| self.is_recent(*at, now));
        let before = others.len();
        others.retain(|(known, _)| *known != other);
        // Of what was kept under a larger limit, all that is too much.
        let too_many = (others.len() + 1).saturating_sub(self.limit);
        others.drain(..too_many);
        others.push((other, now));
        before < self.limit && others.len() >= self.limit
    }

    /// Forgets that `key` was seen with `other`: it has turned out well.
    pub(super) fn remove(&self, key: u128, other: u128) {
        if let Some(others) = self.entries().get_mut(&key) {
            others.retain(|(known, _)| *known != other);
        }
    }

    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.entries().retain(|_, others| others.last().is_some_and(|(_, at)| self.is_recent(*at, now)));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    fn is_recent(&self, at: Duration, now: Duration) -> bool {
        now.saturating_sub(at) < self.within
    }

    // A panic elsewhere cannot leave the map half changed in a way that matters, so poison says nothing.
    fn entries(&self) -> MutexGuard<'_, Others> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room by forgetting the half with the fewest others.
fn forget_half(entries: &mut Others) {
    let mut all: Vec<(usize, u128)> = entries.iter().map(|(key, others)| (others.len(), *key)).collect();
    let middle = all.len() / 2;
    let (fewer, _, _) = all.select_nth_unstable(middle);
    for (_, key) in fewer {
        entries.remove(key);
    }
}
