//! Keeping memory and store at one, beside the requests: writing what was held back, removing what is
//! over, taking over what other processes changed.
//!
//! Run by one task, [`Sessions::keep_house`]; its three jobs are public so that stopping can write once
//! more and tests need not wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::record::{KEPT, Session, TOUCHED};
use super::sessions::{Contents, Meanwhile, PURPOSE, Sessions, lock, place};
use crate::store::{SessionKey, SessionRow, SessionUpdate, StoreError};

/// How long touches are held back before they are written.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// An idle session is removed only when no gate can still hold back a touch of it.
const GRACE: Duration = Duration::from_secs(20);

impl Sessions {
    /// Keeps memory and store at one: writes what was touched, removes what is over, takes over what
    /// other processes changed. Never returns; spawn it once. Before stopping, call [`Self::flush`].
    pub async fn keep_house(&self) {
        let mut changes = self.store.changes();
        let mut tick = tokio::time::interval(WRITE_EVERY);
        let mut behind = false;
        loop {
            let written = tokio::select! {
                Ok(()) = changes.changed() => { behind = true; Ok(()) }
                _ = tick.tick() => match self.flush().await {
                    Ok(()) => self.sweep().await,
                    failed => failed,
                },
            };
            if let Err(error) = written {
                tracing::error!(%error, "sessions cannot be written; trying again in ten seconds");
            }
            if behind {
                match self.reload().await {
                    Ok(()) => behind = false,
                    Err(error) => {
                        tracing::error!(%error, "sessions cannot be read; trying again in ten seconds")
                    }
                }
            }
        }
    }

    /// Writes everything that was held back, and ends in the store what could not be ended there before.
    ///
    /// # Errors
    /// When the store cannot be written; it is all held back again.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _house = self.house.lock().await;
        let failed: Vec<_> = self.notes().failed.iter().copied().collect();
        if !failed.is_empty() {
            self.end_each(&failed).await?;
        }

        let waiting = std::mem::take(&mut *lock(&self.unwritten));
        if waiting.is_empty() {
            return Ok(());
        }
        let mut parts = Vec::with_capacity(waiting.len());
        let mut updates = Vec::with_capacity(waiting.len());
        for session in &waiting {
            // Cleared before reading: whatever changes from here on is queued again.
            let part = session.state.unwritten.swap(0, Ordering::SeqCst);
            let kept = (part & KEPT != 0).then(|| {
                self.seal(session.key, session.site(), session.user(), session.user_id(), &session.kept())
            });
            updates.push(SessionUpdate {
                key: session.key,
                created: self.steady.on_the_wall(session.created),
                seen: self.steady.on_the_wall(session.seen()),
                expires: self.steady.on_the_wall(session.expires()),
                kept,
            });
            parts.push(part);
        }
        let outcome = self.store.update_sessions(updates).await;
        if outcome.is_err() {
            for (session, part) in waiting.iter().zip(parts) {
                self.write_later(session, part);
            }
        }
        outcome
    }

    /// Removes sessions that are over from memory and store; and writes all anew when the clock was set.
    ///
    /// # Errors
    /// When the store cannot be written; what is over stays over.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        if let Some(jump) = self.steady.has_jumped() {
            tracing::warn!(
                seconds = jump / 1000,
                "the machine's clock was set; sessions last as long as they would have"
            );
            for session in self.live.select(|_| true) {
                self.write_later(&session, TOUCHED);
            }
            // First, or the store would judge them by the new time.
            self.flush().await?;
        }
        let now = self.steady.now();
        let over = self.live.select(|session| {
            !session.is_live(now, self.settings.idle_limit(session.remembered).saturating_add(GRACE))
        });
        for session in &over {
            self.live.remove(&session.key);
        }
        let wall = |moment| self.steady.on_the_wall(moment);
        let over = over.iter().map(|session| (session.key, wall(session.seen()))).collect();
        self.store.sweep_sessions(over, wall(now)).await.map(|_| ())
    }

    /// Takes over what other processes changed in the store: sessions begun, used, refreshed and ended.
    ///
    /// # Errors
    /// When the store cannot be read; memory stays as it is.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _house = self.house.lock().await;
        self.notes().during_load = Some(Meanwhile::default());
        let rows = self.store.load_sessions().await;
        let outcome = match rows {
            Ok(rows) => {
                self.take_over(rows).await;
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.notes().during_load = None;
        outcome
    }

    async fn take_over(&self, rows: Vec<SessionRow>) {
        let present: HashSet<SessionKey> = rows.iter().map(|row| row.key).collect();
        let mut closed = 0_usize;
        for (count, row) in rows.iter().enumerate() {
            // Unsealing many is work; requests on this thread come in between.
            if count % 256 == 255 {
                tokio::task::yield_now().await;
            }
            match self.live.get(&row.key) {
                Some(session) => self.merge(&session, row),
                None => closed += usize::from(!self.adopt(row)),
            }
        }
        for session in self.live.select(|session| !present.contains(&session.key)) {
            // Held while removing, so that what begins meanwhile is either seen here or put in after.
            let notes = self.notes();
            if !notes.during_load.as_ref().is_some_and(|load| load.begun.contains(&session.key)) {
                self.live.remove(&session.key);
            }
        }
        if closed > 0 {
            tracing::warn!(
                sessions = closed,
                "stored sessions left out: no secret in [store] opens them; was a secret lost?"
            );
        }
    }

    /// Brings a stored session into memory, unless it has ended here; `false` if no secret opens it.
    fn adopt(&self, row: &SessionRow) -> bool {
        let Some(contents) = self.unseal(row) else { return false };
        let session = Arc::new(self.session(row, contents));
        // A limit that was made shorter since holds for sessions that have begun before, too.
        let latest = session.created.after(self.settings.lifetime_limit(row.remembered));
        session.state.expires.fetch_min(latest.as_millis(), Ordering::Relaxed);
        if self.heed_clock(&session) {
            self.write_later(&session, TOUCHED);
        }
        // So that an older secret can be given up once every session that it sealed was written anew.
        if !self.sealer.is_newest(&row.kept) {
            self.write_later(&session, KEPT);
        }
        // Held while inserting, so that an ending is either seen here or removes what is inserted.
        let notes = self.notes();
        let ended = notes.failed.contains(&row.key)
            || notes.during_load.as_ref().is_some_and(|load| load.ended.contains(&row.key));
        if !ended {
            self.live.insert(session);
        }
        true
    }

    /// Takes over what another gate knows of a session that both have.
    fn merge(&self, session: &Session, row: &SessionRow) {
        // Not so its end: every gate knows that by itself, and a row that was written before the clock was set has a wrong one.
        let seen = self.steady.off_the_wall(row.seen);
        session.state.seen.fetch_max(seen.as_millis(), Ordering::Relaxed);
        self.heed_clock(session);
        // Read before the mark, which is set before what it marks: so either the mark is seen, or the swap
        // fails. What was refreshed here meanwhile is newer than the row.
        let current = session.state.kept.load();
        if session.state.unwritten.load(Ordering::SeqCst) & KEPT != 0 {
            return;
        }
        if let Some(contents) = self.unseal(row).filter(|contents| *contents.kept != ***current) {
            session.state.kept.compare_and_swap(&*current, Arc::new(contents.kept));
        }
    }

    fn heed_clock(&self, session: &Session) -> bool {
        session.heed_clock(self.steady.now(), self.settings.lifetime_limit(session.remembered))
    }

    fn unseal(&self, row: &SessionRow) -> Option<Contents> {
        let plain = self.sealer.open(PURPOSE, &place(row.key, &row.site, &row.user), &row.kept)?;
        Some(Contents::parse(&plain))
    }
}
