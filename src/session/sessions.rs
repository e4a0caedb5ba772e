//! All sessions of this gate: in memory for every request, in the store for every restart.
//!
//! Beginning and ending a session waits for the store. Using one does not: touches and refreshed CMS
//! cookies change memory at once and are written in batches by [`Sessions::keep_house`], each session
//! at most once in ten seconds; a killed process loses no more than those.
//!
//! Every live session is in memory: about half a KiB each beside what is kept for it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderMap;
use zeroize::Zeroizing;

use super::map::SessionMap;
use super::record::{KEPT, Kept, Session, State, TOUCHED};
use super::steady::Steady;
use super::{SessionId, Settings, cookie};
use crate::account;
use crate::clock::{Clock, Timestamp};
use crate::random::Random;
use crate::seal::Sealer;
use crate::store::{Answer, Groups, SessionKey, SessionRow, Store, StoreError};

/// Longer User-Agents are cut: enough for every browser, and for a table.
const USER_AGENT_BYTES: usize = 256;

/// More cookies of our name in one request than any accident explains.
const MOST_COOKIES: usize = 4;

pub(super) const PURPOSE: &str = "session kept";

/// What a session begins with.
pub struct NewSession<'a> {
    /// The site: `name` of its `[[site]]`.
    pub site: &'a str,
    /// The user, as the authority that vouched for the password spells it.
    pub user: &'a str,
    /// The CMS's own id of the account, if it was told. Kept with the contents, sealed.
    pub user_id: Option<&'a str>,
    /// Whether the person asked to be remembered; counts only if `[session] remember` allows it.
    pub remember: bool,
    /// From where the person signs in.
    pub client: IpAddr,
    /// With what; cut to 256 bytes.
    pub user_agent: &'a str,
    /// What to keep for the session, such as the CMS's cookies.
    pub kept: Vec<u8>,
    /// The groups of a local user.
    pub groups: Groups,
}

/// All sessions of this gate; shared by every worker.
pub struct Sessions {
    settings: ArcSwap<Settings>,
    pub(super) store: Arc<dyn Store>,
    pub(super) sealer: Sealer,
    pub(super) steady: Steady,
    random: Arc<dyn Random>,
    pub(super) live: SessionMap,
    /// What is to be written, each session once.
    pub(super) unwritten: Mutex<Vec<Arc<Session>>>,
    pub(super) notes: Mutex<Notes>,
    /// Held while writing in batches or loading, so that no load brings back what was just overwritten.
    pub(super) house: tokio::sync::Mutex<()>,
}

/// What must not be forgotten about sessions that begin and end here.
#[derive(Default)]
pub(super) struct Notes {
    /// Only while the store is being loaded: rows may have been read before these began or ended.
    pub(super) during_load: Option<Meanwhile>,
    /// Over, but the store could not be told so.
    pub(super) failed: HashSet<SessionKey>,
}

#[derive(Default)]
pub(super) struct Meanwhile {
    pub(super) begun: HashSet<SessionKey>,
    pub(super) ended: HashSet<SessionKey>,
}

impl Sessions {
    /// Loads every session of the store.
    ///
    /// Sessions whose contents none of the secrets opens are left out, with a warning: they are of no use
    /// without the CMS's cookies, but another process may know their secret.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        settings: &Settings,
        store: Arc<dyn Store>,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let sessions = Self {
            settings: ArcSwap::from_pointee(settings.clone()),
            store,
            sealer,
            steady: Steady::new(clock),
            random,
            live: SessionMap::default(),
            unwritten: Mutex::default(),
            notes: Mutex::default(),
            house: tokio::sync::Mutex::default(),
        };
        sessions.reload().await?;
        Ok(sessions)
    }

    /// Goes by other settings from now on, for sessions that there are too: all but the end of those that have one already.
    pub fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    pub(super) fn settings(&self) -> arc_swap::Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Begins a session. Once this returns, it survives `kill -9`.
    ///
    /// # Errors
    /// When the store cannot keep it; then there is no session.
    pub async fn create(&self, new: NewSession<'_>) -> Result<(SessionId, Arc<Session>), StoreError> {
        self.begin(new, None).await
    }

    /// Begins a session in place of `old`, as signing in must for whoever is signed in already. The old id
    /// is dead from now on, whatever comes of the new one.
    ///
    /// # Errors
    /// When the store cannot keep the new one; then there is neither.
    pub async fn replace(
        &self,
        old: &Session,
        new: NewSession<'_>,
    ) -> Result<(SessionId, Arc<Session>), StoreError> {
        let begun = self.begin(new, Some(old.key)).await;
        if begun.is_err() {
            self.notes().failed.insert(old.key);
        }
        begun
    }

    async fn begin(
        &self,
        new: NewSession<'_>,
        instead_of: Option<SessionKey>,
    ) -> Result<(SessionId, Arc<Session>), StoreError> {
        let id = SessionId::random(&*self.random);
        let key = id.key();
        let now = self.steady.on_the_wall(self.steady.now());
        let remembered = new.remember && self.settings().can_remember();
        let kept = Kept::new(new.kept);
        let cut = (0..=USER_AGENT_BYTES).rev().find(|at| new.user_agent.is_char_boundary(*at));
        let row = SessionRow {
            key,
            site: new.site.to_owned(),
            user: new.user.to_owned(),
            created: now,
            seen: now,
            expires: now.after(self.settings().lifetime_limit(remembered)),
            remembered,
            client: new.client,
            user_agent: new.user_agent.get(..cut.unwrap_or(0)).unwrap_or_default().to_owned(),
            kept: self.seal(key, new.site, new.user, new.user_id, &kept),
            groups: new.groups,
        };
        let session = Arc::new(self.session(&row, Contents { kept, user_id: new.user_id.map(Into::into) }));
        self.take_leave(instead_of.as_slice(), || self.store.insert_session(row, instead_of)).await?;
        if let Some(load) = &mut self.notes().during_load {
            load.begun.insert(key);
        }
        self.live.insert(Arc::clone(&session));
        self.make_room(&session).await;
        Ok((id, session))
    }

    /// Ends what the user of `new` has beyond [`Settings::most_per_account`], what was used last last.
    async fn make_room(&self, new: &Session) {
        let most = self.settings().most_per_account;
        if most == 0 {
            return;
        }
        // Compared without regard for case as cheaply as can be: this looks at every session there is.
        let mut all = self.live.select(|session| {
            session.site() == new.site()
                && is_same(session, new, || session.user().eq_ignore_ascii_case(new.user()))
        });
        let surplus = all.len().saturating_sub(most);
        if surplus == 0 {
            return;
        }
        all.retain(|session| session.key != new.key);
        all.sort_by_key(|session| session.state.seen.load(Ordering::Relaxed));
        all.truncate(surplus);
        tracing::info!(
            site = new.site(),
            user = new.user(),
            surplus,
            "an account has too many sessions; the oldest are ended"
        );
        if let Err(error) = self.end_listed(all).await {
            tracing::error!(%error, "sessions cannot be ended in the store");
        }
    }

    /// The live session of `site` that a cookie's value names. Never waits: one hash, one look into a map.
    pub fn find(&self, site: &str, cookie_value: &[u8]) -> Option<Arc<Session>> {
        let session = self.live.get(&SessionId::parse(cookie_value)?.key())?;
        (session.site() == site && self.is_live(&session)).then_some(session)
    }

    /// The live session of `site` that a request's cookies name. A sibling host can add cookies of our name
    /// (cookie tossing): of up to four, exactly one may name a live session; otherwise there is none.
    pub fn find_in(&self, site: &str, names: &cookie::Names, headers: &HeaderMap) -> Option<Arc<Session>> {
        let mut found: Option<Arc<Session>> = None;
        for (count, value) in cookie::values(headers, names.of(cookie::Name::Session)).enumerate() {
            if count == MOST_COOKIES {
                return None;
            }
            let Some(session) = self.find(site, value) else { continue };
            if found.as_ref().is_some_and(|other| other.key != session.key) {
                return None;
            }
            found = Some(session);
        }
        found
    }

    /// Marks `session` as used now. Ask [`Settings::extends`] first.
    pub fn touch(&self, session: &Arc<Session>) {
        session.state.seen.store(self.steady.now().as_millis(), Ordering::Relaxed);
        self.write_later(session, TOUCHED);
    }

    /// Keeps `kept` for `session` from now on: the CMS has refreshed its cookies. In memory at once, in the
    /// store within ten seconds.
    pub fn update_kept(&self, session: &Arc<Session>, kept: Vec<u8>) {
        // Marked before, so that no load takes it back, and after, so that no batch misses it.
        self.write_later(session, KEPT);
        session.state.kept.store(Arc::new(Kept::new(kept)));
        self.write_later(session, KEPT);
    }

    /// Ends `session`. For this gate it is over when this is called, for the others within a second of its return.
    ///
    /// # Errors
    /// When the store cannot be written. The session is over here all the same, and
    /// [`Self::keep_house`] tries again until the store knows it too.
    pub async fn end(&self, session: &Session) -> Result<(), StoreError> {
        self.end_each(&[session.key]).await.map(|_| ())
    }

    /// Ends every session of an account at `site`: of whoever is called `user` or has that id, whichever way it is spelled, and of
    /// whoever has the same id under another name; says how many there were.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_all_of(&self, site: &str, user: &str) -> Result<usize, StoreError> {
        let named = account::canonical(user);
        let is = |name: &str| account::canonical(name) == named;
        let own = self.live.select(|session| {
            session.site() == site && (is(session.user()) || session.user_id().is_some_and(is))
        });
        let ids: HashSet<&str> = own.iter().filter_map(|session| session.user_id()).collect();
        let same = self
            .live
            .select(|session| session.site() == site && session.user_id().is_some_and(|id| ids.contains(id)));
        let keys: HashSet<SessionKey> = own.iter().chain(&same).map(|session| session.key).collect();
        self.end_each(&keys.into_iter().collect::<Vec<_>>()).await
    }

    /// Ends every session of the account with this id at `site`, whatever name it signed in by; says how many there were.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_all_with_id(&self, site: &str, id: &str) -> Result<usize, StoreError> {
        self.end_listed(self.live.select(|session| session.site() == site && session.user_id() == Some(id)))
            .await
    }

    /// Ends every session of the user of `session` at its site, except that one; says how many there were.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub async fn end_others(&self, session: &Session) -> Result<usize, StoreError> {
        let mut others = self.list_like(session);
        others.retain(|other| other.key != session.key);
        self.end_listed(others).await
    }

    /// The live sessions of the user of `session` at its site, whatever name each was begun with; in no order.
    pub fn list_like(&self, session: &Session) -> Vec<Arc<Session>> {
        let name = account::canonical(session.user());
        self.live.select(|other| {
            other.site() == session.site()
                && is_same(other, session, || account::canonical(other.user()) == name)
                && self.is_live(other)
        })
    }

    /// The live sessions of a site, of a user (however spelled), of both, or all; in no order.
    pub fn list(&self, site: Option<&str>, user: Option<&str>) -> Vec<Arc<Session>> {
        let user = user.map(account::canonical);
        self.live.select(|session| {
            site.is_none_or(|site| session.site() == site)
                && user.as_ref().is_none_or(|user| account::canonical(session.user()) == *user)
                && self.is_live(session)
        })
    }

    /// Whether the store takes changes: one that changes nothing.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn try_store(&self) -> Result<(), StoreError> {
        self.store.sweep_sessions(Vec::new(), crate::clock::Timestamp::from_millis(0)).await.map(drop)
    }

    async fn end_listed(&self, sessions: Vec<Arc<Session>>) -> Result<usize, StoreError> {
        let keys: Vec<_> = sessions.iter().map(|session| session.key).collect();
        self.end_each(&keys).await
    }

    pub(super) async fn end_each(&self, keys: &[SessionKey]) -> Result<usize, StoreError> {
        let outcome = self.take_leave(keys, || self.store.remove_sessions(keys.to_vec())).await;
        let mut notes = self.notes();
        for key in keys {
            if outcome.is_ok() {
                notes.failed.remove(key)
            } else {
                notes.failed.insert(*key)
            };
        }
        drop(notes);
        outcome
    }

    /// Takes sessions out of memory and tells the store, in an order that no load can undo: the notes are
    /// held until the store has its job, so a load either is noted or begins after it. All of this happens
    /// before the first wait; a caller that gives up waiting changes nothing.
    fn take_leave<T>(&self, keys: &[SessionKey], tell: impl FnOnce() -> Answer<T>) -> Answer<T> {
        let mut notes = self.notes();
        if let Some(load) = &mut notes.during_load {
            load.ended.extend(keys);
        }
        let answer = tell();
        for key in keys {
            self.live.remove(key);
        }
        answer
    }

    pub(super) fn write_later(&self, session: &Arc<Session>, part: u8) {
        if session.state.unwritten.fetch_or(part, Ordering::SeqCst) == 0 {
            lock(&self.unwritten).push(Arc::clone(session));
        }
    }

    /// Whether `session` has neither run out nor been ended: for what outlives the request it began with.
    pub fn lives(&self, session: &Session) -> bool {
        self.live.get(&session.key).is_some() && self.is_live(session)
    }

    fn is_live(&self, session: &Session) -> bool {
        session.is_live(self.steady.now(), self.settings().idle_limit(session.remembered))
    }

    pub(super) fn seal(
        &self,
        key: SessionKey,
        site: &str,
        user: &str,
        user_id: Option<&str>,
        kept: &Kept,
    ) -> Vec<u8> {
        let mut plain = Zeroizing::new(kept.to_vec());
        if let Some(id) = user_id {
            plain.push(BEFORE_ID);
            plain.extend_from_slice(id.as_bytes());
        }
        self.sealer.seal(PURPOSE, &place(key, site, user), &plain)
    }

    /// The present moment, on the line on which a session's moments lie.
    pub fn now(&self) -> Timestamp {
        self.steady.now()
    }

    /// What a clock on the wall would have shown at a moment of a session: for people and other programs.
    pub fn on_the_wall(&self, moment: Timestamp) -> Timestamp {
        self.steady.on_the_wall(moment)
    }

    /// A stored session, in memory.
    pub(super) fn session(&self, row: &SessionRow, Contents { kept, user_id }: Contents) -> Session {
        let moment = |stored| self.steady.off_the_wall(stored);
        Session {
            key: row.key,
            site: row.site.as_str().into(),
            user: row.user.as_str().into(),
            user_id,
            created: moment(row.created),
            remembered: row.remembered,
            client: row.client,
            user_agent: row.user_agent.as_str().into(),
            groups: row.groups.clone(),
            state: State {
                seen: AtomicI64::new(moment(row.seen).as_millis()),
                expires: AtomicI64::new(moment(row.expires).as_millis()),
                kept: ArcSwap::from_pointee(kept),
                unwritten: AtomicU8::new(0),
            },
        }
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }
}

/// What stands between what is kept and the account's id in sealed contents: no header field can hold it.
const BEFORE_ID: u8 = 0;

/// What is sealed.
pub(super) struct Contents {
    pub kept: Kept,
    pub user_id: Option<Box<str>>,
}

impl Contents {
    pub(super) fn parse(plain: &[u8]) -> Self {
        let parts =
            plain.iter().position(|byte| *byte == BEFORE_ID).and_then(|at| plain.split_at_checked(at));
        let (kept, id) = parts.unwrap_or((plain, &[]));
        let id = std::str::from_utf8(id.get(1..).unwrap_or_default()).ok().filter(|id| !id.is_empty());
        Self { kept: Kept::new(kept.to_vec()), user_id: id.map(Into::into) }
    }
}

/// What sealed contents are tied to: moved to another session, site or user, they do not open.
pub(super) fn place(key: SessionKey, site: &str, user: &str) -> Vec<u8> {
    [&key.0[..], site.as_bytes(), b"\0", user.as_bytes()].concat()
}

/// Whether two sessions are one person's. Where the CMS has told the ids of both, these say so, for to it `jdoe` and `JDoe` may be
/// two people; else the names do.
fn is_same(one: &Session, other: &Session, has_same_name: impl FnOnce() -> bool) -> bool {
    match (one.user_id(), other.user_id()) {
        (Some(one), Some(other)) => one == other,
        _ => has_same_name(),
    }
}

/// A panic elsewhere cannot leave these half changed, so poison says nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
