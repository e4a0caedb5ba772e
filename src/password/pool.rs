//! A few hashes at a time, off the threads that serve.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Costs, Hash, Settings, Verified};
use crate::random::Random;
use crate::secret::Secret;

/// How many may wait: at 20 ms a hash and two at once, for about two seconds.
const MOST_WAITING: usize = 200;

/// Hashes and compares; shared by every worker.
pub struct Hasher {
    costs: Costs,
    shortest: u32,
    random: Arc<dyn Random>,
    room: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    /// What an unknown user's password is compared with, so that it takes as long as a known one's.
    decoy: Arc<OnceLock<Hash>>,
}

/// More is waiting to be hashed than can be done soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Busy {
    /// When to try again.
    pub const RETRY_AFTER: Duration = Duration::from_secs(5);
}

impl Hasher {
    /// One that has hashed nothing yet.
    ///
    /// # Errors
    /// One sentence, when the costs cannot be met.
    pub fn new(settings: &Settings, random: Arc<dyn Random>) -> Result<Self, String> {
        let costs = settings.costs()?;
        let at_once = settings.hashing_at_once.clamp(1, 64);
        Ok(Self {
            costs,
            shortest: settings.shortest_password,
            random,
            room: Arc::new(Semaphore::new(at_once)),
            queue: Arc::new(Semaphore::new(at_once + MOST_WAITING)),
            decoy: Arc::default(),
        })
    }

    /// Makes the decoy, which costs one hash: for gates that have local users, before they serve.
    ///
    /// # Errors
    /// When the machine has not the memory.
    pub fn warm(&self) -> Result<(), String> {
        let secret = Secret::new(crate::random::token::<16>(&*self.random));
        self.decoy.set(self.costs.hash(&secret, &*self.random)?).ok();
        Ok(())
    }

    /// The shortest new password that is accepted.
    pub fn shortest(&self) -> u32 {
        self.shortest
    }

    /// A new hash of a password.
    ///
    /// # Errors
    /// When too much is waiting, or the machine has not the memory.
    pub async fn hash(&self, password: &Secret) -> Result<Hash, Busy> {
        let (costs, random, password) = (self.costs.clone(), Arc::clone(&self.random), password.clone());
        self.run(move || costs.hash(&password, &*random)).await?.map_err(|error| {
            tracing::error!(error, "a password cannot be hashed");
            Busy
        })
    }

    /// Compares a password with a hash; without one, with the decoy, which no password fits.
    ///
    /// # Errors
    /// When too much is waiting.
    pub async fn verify(&self, stored: Option<Hash>, password: &Secret) -> Result<Verified, Busy> {
        let (costs, password) = (self.costs.clone(), password.clone());
        let is_decoy = stored.is_none();
        let Some(stored) = stored.or_else(|| self.decoy.get().cloned()) else { return Ok(Verified::No) };
        let verified = self.run(move || stored.verify(&password, &costs)).await?;
        Ok(if is_decoy { Verified::No } else { verified })
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let queued = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| Busy)?;
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Busy)?;
        let held: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (queued, room);
        // The room is held by the work itself: whoever gives up waiting for it makes none.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(held);
            done
        });
        done.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Size;
    use crate::random::SystemRandom;

    #[tokio::test]
    async fn who_is_unknown_is_compared_with_a_decoy_that_nothing_fits() {
        let cheap = Settings { memory: Size::bytes(64 << 10), passes: 1, ..Settings::default() };
        let hasher = Hasher::new(&cheap, Arc::new(SystemRandom)).unwrap();
        let hash = hasher.hash(&Secret::new("correct horse")).await.unwrap();
        hasher.warm().unwrap();
        let verify = |stored, password: String| {
            let hasher = &hasher;
            async move { hasher.verify(stored, &Secret::new(password)).await }
        };
        assert_eq!(verify(Some(hash.clone()), "correct horse".to_owned()).await, Ok(Verified::Yes));
        assert_eq!(verify(Some(hash), "correct hors".to_owned()).await, Ok(Verified::No));
        assert_eq!(verify(None, "correct horse".to_owned()).await, Ok(Verified::No));
        let costs = |hash: &Hash| hash.text().expose().rsplit('$').nth(2).map(str::to_owned);
        let real = hasher.hash(&Secret::new("x")).await.unwrap();
        assert_eq!(costs(hasher.decoy.get().unwrap()), costs(&real), "the same work");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_are_hashed_at_once_so_many_wait_and_others_are_told_to_come_back() {
        let settings = Settings { hashing_at_once: 2, ..Settings::default() };
        let hasher = Arc::new(Hasher::new(&settings, Arc::new(SystemRandom)).unwrap());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let at_once = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let all: Vec<_> = (0..2 + MOST_WAITING)
            .map(|_| {
                let (hasher, held, at_once) = (Arc::clone(&hasher), Arc::clone(&held), Arc::clone(&at_once));
                tokio::spawn(async move {
                    let work = move || {
                        let others = at_once.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        let _ = held.lock().unwrap().recv();
                        at_once.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        others
                    };
                    hasher.run(work).await
                })
            })
            .collect();
        while hasher.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.run(|| ()).await, Err(Busy), "no room to wait");
        drop(release);
        for done in all {
            assert!(done.await.unwrap().unwrap() < 2, "two at once");
        }
        assert_eq!(hasher.run(|| ()).await, Ok(()), "there is room again");
    }
}
