//! One session: facts that never change, and the few that do.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::store::{Groups, SessionKey};

/// What the gate keeps for a session: the CMS's cookies, in a form that forwarding chooses.
pub struct Kept(Zeroizing<Vec<u8>>);

impl Kept {
    pub(super) fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[kept]")
    }
}

/// A session in memory. It may have ended since it was found: a request that began in a session goes on in it.
#[derive(Debug)]
pub struct Session {
    pub(super) key: SessionKey,
    pub(super) site: Box<str>,
    pub(super) user: Box<str>,
    pub(super) user_id: Option<Box<str>>,
    pub(super) created: Timestamp,
    pub(super) remembered: bool,
    pub(super) client: IpAddr,
    pub(super) user_agent: Box<str>,
    pub(super) groups: Groups,
    pub(super) state: State,
}

impl Session {
    /// Its name, fit for logs and operators.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// The site it belongs to.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The user, as the authority that vouched for the password spells it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The CMS's own id of the account, where it was told: the name that is typed may be another.
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// When it began.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When it was last used.
    pub fn seen(&self) -> Timestamp {
        Timestamp::from_millis(self.state.seen.load(Ordering::Relaxed))
    }

    /// When it ends at the latest.
    pub fn expires(&self) -> Timestamp {
        Timestamp::from_millis(self.state.expires.load(Ordering::Relaxed))
    }

    /// Whether the person asked to be remembered: the cookie then outlives the browser.
    pub fn remembered(&self) -> bool {
        self.remembered
    }

    /// How long its cookie lasts from now on: as long as the browser runs (`None`), or, if the person asked
    /// to be remembered, as long as the session.
    pub fn max_age(&self, now: Timestamp) -> Option<Duration> {
        self.remembered.then(|| self.expires().since(now))
    }

    /// From where it began.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// The User-Agent it began with, cut to 256 bytes.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// The groups of a local user, as they were when it began; none of a CMS's.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What is kept for it at this moment.
    pub fn kept(&self) -> Arc<Kept> {
        self.state.kept.load_full()
    }

    /// Whether it is neither over nor unused for `idle` or longer.
    pub(super) fn is_live(&self, now: Timestamp, idle: Duration) -> bool {
        now < self.expires() && now.since(self.seen()) < idle
    }

    /// Puts right what a clock that was set back has left behind: use that lies ahead becomes use now, and
    /// no end lies further ahead than a session that begins now would have. So nobody is signed out by
    /// such a clock, and nobody stays for as long as it was set back. Says whether anything was wrong.
    pub(super) fn heed_clock(&self, now: Timestamp, lifetime: Duration) -> bool {
        let latest = now.after(lifetime);
        let ahead = self.seen() > now || self.expires() > latest;
        if ahead {
            self.state.seen.fetch_min(now.as_millis(), Ordering::Relaxed);
            self.state.expires.fetch_min(latest.as_millis(), Ordering::Relaxed);
        }
        ahead
    }
}

/// What changes in a session.
#[derive(Debug)]
pub(super) struct State {
    pub(super) seen: AtomicI64,
    /// Only ever becomes less.
    pub(super) expires: AtomicI64,
    pub(super) kept: ArcSwap<Kept>,
    /// What the store does not know yet: [`TOUCHED`], [`KEPT`]. Not zero while queued for writing.
    pub(super) unwritten: AtomicU8,
}

/// Use, or the end, has changed.
pub(super) const TOUCHED: u8 = 1;
/// What is kept has changed.
pub(super) const KEPT: u8 = 2;
