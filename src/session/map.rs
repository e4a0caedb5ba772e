//! All live sessions, by key, in parts that are locked one at a time and briefly.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::record::Session;
use crate::store::SessionKey;

/// Locks are held for a few machine instructions, so parts only keep cores off each other's cache lines.
#[derive(Default)]
pub(super) struct SessionMap {
    first: Part,
    others: [Part; 15],
}

#[derive(Default)]
struct Part(RwLock<HashMap<SessionKey, Arc<Session>>>);

impl SessionMap {
    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.part(key).read().get(key).map(Arc::clone)
    }

    pub(super) fn insert(&self, session: Arc<Session>) {
        self.part(&session.key).write().insert(session.key, session);
    }

    pub(super) fn remove(&self, key: &SessionKey) {
        self.part(key).write().remove(key);
    }

    /// Every session that `choose` likes.
    pub(super) fn select(&self, choose: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut chosen = Vec::new();
        for part in std::iter::once(&self.first).chain(&self.others) {
            chosen.extend(part.read().values().filter(|session| choose(session)).map(Arc::clone));
        }
        chosen
    }

    /// Keys are hashes, so any of their bits spread them evenly.
    fn part(&self, key: &SessionKey) -> &Part {
        let [byte, ..] = key.0;
        self.others.get(usize::from(byte % 16)).unwrap_or(&self.first)
    }
}

impl Part {
    // A panic elsewhere cannot leave a map half changed, so poison says nothing here.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<SessionKey, Arc<Session>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<SessionKey, Arc<Session>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
