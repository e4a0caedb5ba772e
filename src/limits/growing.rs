//! Waits that grow: each further failure doubles the time until the next attempt.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;

use super::bucket::{MOST_KEYS, SteadyClock};

/// Failures by key, and when there may be another attempt.
pub(super) struct Growing {
    settings: Growth,
    clock: SteadyClock,
    entries: Mutex<HashMap<u128, Entry>>,
}

/// How waits grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// From this many failures on there is a wait; 0: never.
    pub(super) after: u32,
    /// The first wait.
    pub(super) first: Duration,
    /// The longest wait; none: never.
    pub(super) most: Duration,
    /// Without an attempt for so long, all is forgotten.
    pub(super) forget: Duration,
}

#[derive(Clone, Copy)]
struct Entry {
    failures: u32,
    /// The last attempt that was let through.
    last: Duration,
}

impl Growth {
    fn wait_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.after) {
            Some(further) if self.after > 0 => {
                let factor = 1_u32.checked_shl(further).unwrap_or(u32::MAX);
                self.first.saturating_mul(factor).min(self.most)
            }
            _ => Duration::ZERO,
        }
    }

    fn is_off(&self) -> bool {
        self.after == 0 || self.most.is_zero()
    }
}

impl Growing {
    pub(super) fn new(settings: Growth, clock: &SteadyClock) -> Self {
        Self { settings, clock: clock.clone(), entries: Mutex::default() }
    }

    /// Counts an attempt as failed until it is known not to be, so that guesses made at the same time do not all pass.
    ///
    /// # Errors
    /// How long there may be none.
    pub(super) fn count(&self, key: u128) -> Result<(), Duration> {
        if self.settings.is_off() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut entries = self.entries();
        let before = entries.get(&key).copied().filter(|entry| !self.is_over(entry, now));
        let failures = before.map_or(0, |entry| entry.failures);
        if let Some(entry) = before {
            let until = entry.last.saturating_add(self.settings.wait_after(failures));
            if until > now {
                return Err(until.saturating_sub(now));
            }
        }
        if entries.len() >= MOST_KEYS && !entries.contains_key(&key) {
            forget_half(&mut entries);
        }
        entries.insert(key, Entry { failures: failures.saturating_add(1), last: now });
        Ok(())
    }

    /// Undoes one [`Self::count`] that succeeded: it was no failure. What failed before stays counted, so that nobody
    /// can go on guessing for others by signing in as themselves in between.
    pub(super) fn take_back(&self, key: u128) {
        if let Some(entry) = self.entries().get_mut(&key) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }

    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        self.entries().retain(|_, entry| entry.failures > 0 && !self.is_over(entry, now));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    fn is_over(&self, entry: &Entry, now: Duration) -> bool {
        let wait = self.settings.wait_after(entry.failures).max(self.settings.forget);
        now >= entry.last.saturating_add(wait)
    }

    // A panic elsewhere cannot leave the map half changed, so poison says nothing.
    fn entries(&self) -> MutexGuard<'_, HashMap<u128, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room by forgetting the half with the fewest failures: a flood of new keys, with one failure each, pushes itself out.
fn forget_half(entries: &mut HashMap<u128, Entry>) {
    let mut all: Vec<(u32, Duration, u128)> =
        entries.iter().map(|(key, entry)| (entry.failures, entry.last, *key)).collect();
    let middle = all.len() / 2;
    let (fewer, _, _) = all.select_nth_unstable(middle);
    for (_, _, key) in fewer {
        entries.remove(key);
    }
}
