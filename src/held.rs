//! Held forms: what a person posted after the session had run out, kept until they have signed in again.
//!
//! The gate decides what is held and sends it on ([`crate::gate`]), the pages offer it ([`crate::pages`]); this keeps it, sealed,
//! in the [store](crate::store).
//!
//! A form is its owner's alone: of the *browser* it came from (what marks it, [`FormCookie`], is stored hashed) and of the
//! *user* whose session had run out. The gate knows the user by [`LastUser`], a sealed cookie that stands beside the
//! session's and opens with no other; where it is missing, nothing is held, for nobody could say whom to show it to.
//! Which of several tabs or which page within the site does not matter.
//!
//! A CMS's own tokens against forged forms come along as they were. Plone's `_authenticator` is bound to the user and the
//! site's secret, not to the session, so it is still good for the same user; where a CMS binds its tokens to its session, it
//! will ask the person to confirm, or refuse the form, as it would have done anyway.
//!
//! Defends against: another user of the same browser, another browser of the same user, a stolen store, a store filled up by
//! forms (only for who had a session; bounded for one client network and for all; the oldest go). Sending is claimed in the
//! store first, so that clicking twice sends once. Does not defend against a backend that acts and breaks off before it
//! answers: then the form is offered again, with a warning.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::admit::ClientIp;
use crate::clock::Clock;
use crate::csrf::FormCookie;
use crate::limits;
use crate::random::Random;
use crate::seal::Sealer;
use crate::session::SessionId;
use crate::session::cookie::{self, Name, Names};
use crate::store::{
    HeldClaim, HeldFate, HeldId, HeldOwner, HeldRoom, HeldRow, SessionKey, Store, StoreError,
};

/// How long a form is kept: long enough to find a forgotten password by mail.
pub const LIFETIME: Duration = Duration::from_secs(3_600);

/// How long a form that is being sent is nobody else's: longer than a backend has to answer by default.
const CLAIM: Duration = Duration::from_secs(300);

/// Forms that are read at once; each may take as much memory as `hold_posts` says.
const READING: usize = 32;

/// Full-sized forms that one client network may have, and a quarter of how many of any size.
const NETWORK_BODIES: u64 = 16;

/// The same for all together.
const TOTAL_BODIES: u64 = 128;

/// A longer user name has no cookie's room.
const LONGEST_USER: usize = 512;

const HEAD: &str = "held form head";
const BODY: &str = "held form body";
const LAST_USER: &str = "last user";

/// All held forms; shared by every worker.
pub struct Held {
    store: Arc<dyn Store>,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    reading: Semaphore,
}

/// A form: where it was going, and what was in it, exactly as it was first sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Where it was going.
    pub head: Head,
    /// What was in it.
    pub body: Bytes,
}

/// Where a form was going.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The path as it was asked for, with the site's own.
    pub address: String,
    /// The canonical path below the site.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The fields that tell what the body is and where it was filled in.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The path and query, as they were asked for.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.address),
            None => self.address.clone(),
        }
    }

    /// A field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whose a form is.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// What marks the browser.
    pub browser: &'a FormCookie,
    /// The site's name.
    pub site: &'a str,
    /// The user, as the authority that vouched for the password spells it.
    pub user: &'a str,
}

impl Owner<'_> {
    fn stored(&self) -> HeldOwner {
        HeldOwner { browser: self.browser.key(), site: self.site.to_owned(), user: self.user.to_owned() }
    }
}

/// A form that is offered.
pub struct Offer {
    /// Its name.
    pub id: HeldId,
    /// Where it was going.
    pub head: Head,
    /// How long ago it came.
    pub age: Duration,
    /// Whether it was sent on without a clear end.
    pub unclear: bool,
}

/// A form that is being sent. Dropped unsettled, it is offered again with a warning.
pub struct Sending<'h> {
    held: &'h Held,
    id: HeldId,
    settled: bool,
}

/// What came of taking a form to send it.
pub enum Claim<'h> {
    /// Here it is.
    Yours(Form, Sending<'h>),
    /// It is being sent already.
    Busy,
    /// It is not there, or not this owner's.
    Gone,
}

impl Held {
    /// Over `store`.
    pub fn new(
        store: Arc<dyn Store>,
        sealer: Sealer,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { store, sealer, clock, random, reading: Semaphore::new(READING) }
    }

    /// Leave to read a form into memory; `None` when many are being read.
    pub fn read(&self) -> Option<SemaphorePermit<'_>> {
        self.reading.try_acquire().ok()
    }

    /// Keeps a form. Once this returns, it survives `kill -9`. `most` is the largest body the site holds, in bytes.
    ///
    /// # Errors
    /// When the store cannot keep it.
    pub async fn keep(
        &self,
        owner: Owner<'_>,
        client: ClientIp,
        form: &Form,
        most: u64,
    ) -> Result<(), StoreError> {
        let (id, owner, now) = (HeldId::random(&*self.random), owner.stored(), self.clock.now());
        let place = place(id, &owner);
        let head = serde_json::to_vec(&form.head).unwrap_or_default();
        let row = HeldRow {
            id,
            network: limits::network(client.ip()),
            created: now,
            expires: now.after(LIFETIME),
            head: self.sealer.seal(HEAD, &place, &head),
            body: self.sealer.seal(BODY, &place, &form.body),
            owner,
        };
        // What sealing adds is not the sender's to pay.
        let most = most.saturating_add(crate::seal::OVERHEAD as u64);
        let room = HeldRoom {
            network_count: NETWORK_BODIES * 4,
            network_bytes: most.saturating_mul(NETWORK_BODIES),
            total_count: TOTAL_BODIES * 4,
            total_bytes: most.saturating_mul(TOTAL_BODIES),
        };
        self.store.insert_held(row, room).await
    }

    /// The forms of `owner`, the oldest first. One that no secret opens any more is left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn offered(&self, owner: Owner<'_>) -> Result<Vec<Offer>, StoreError> {
        let (owner, now) = (owner.stored(), self.clock.now());
        let lines = self.store.list_held(owner.clone(), now).await?;
        let offer = |line: crate::store::HeldLine| {
            let head = self.open_head(line.id, &owner, &line.head)?;
            Some(Offer { id: line.id, head, age: now.since(line.created), unclear: line.unclear })
        };
        Ok(lines.into_iter().filter_map(offer).collect())
    }

    /// Takes a form of `owner` to send it.
    ///
    /// # Errors
    /// When the store cannot be written: what cannot be claimed must not be sent, or it might be twice.
    pub async fn claim(&self, id: HeldId, owner: Owner<'_>) -> Result<Claim<'_>, StoreError> {
        let (owner, now) = (owner.stored(), self.clock.now());
        let claimed = self.store.claim_held(id, owner.clone(), now, now.before(CLAIM)).await?;
        let (head, body) = match claimed {
            HeldClaim::Busy => return Ok(Claim::Busy),
            HeldClaim::Gone => return Ok(Claim::Gone),
            HeldClaim::Yours { head, body } => (head, body),
        };
        let sending = Sending { held: self, id, settled: false };
        let opened = self.open_head(id, &owner, &head).zip(self.sealer.open(BODY, &place(id, &owner), &body));
        Ok(opened.map_or(Claim::Gone, |(head, body)| {
            Claim::Yours(Form { head, body: Bytes::copy_from_slice(&body) }, sending)
        }))
    }

    /// Removes a form of `owner`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn discard(&self, id: HeldId, owner: Owner<'_>) -> Result<bool, StoreError> {
        self.store.discard_held(id, owner.stored()).await
    }

    /// Removes what has run out.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        self.store.sweep_held(now, now.after(LIFETIME)).await
    }

    fn open_head(&self, id: HeldId, owner: &HeldOwner, sealed: &[u8]) -> Option<Head> {
        serde_json::from_slice(&self.sealer.open(HEAD, &place(id, owner), sealed)?).ok()
    }
}

impl Sending<'_> {
    /// Says what came of it.
    ///
    /// # Errors
    /// When the store cannot be written; the form then stays claimed for a while.
    pub async fn settle(mut self, fate: HeldFate) -> Result<(), StoreError> {
        self.settled = true;
        self.held.store.settle_held(self.id, fate).await
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.settled {
            // The store has its job at once; nobody waits for the answer.
            drop(self.held.store.settle_held(self.id, HeldFate::Unclear));
        }
    }
}

/// What sealed contents are tied to.
fn place(id: HeldId, owner: &HeldOwner) -> Vec<u8> {
    [&id.0[..], &owner.browser, owner.site.as_bytes(), b"\0", owner.user.as_bytes()].concat()
}

/// Whose session it was, long after it is forgotten: the cookie `lychgate-last`, sealed, set and taken away with the session's
/// own. It opens only beside the id of that very session, so it proves nothing by itself, and nobody can swap it.
pub struct LastUser;

impl LastUser {
    /// The cookie's value for a session that begins; `None` for a name of unheard-of length.
    pub fn seal(sealer: &Sealer, session: SessionKey, site: &str, user: &str) -> Option<String> {
        let sealed = sealer.seal(LAST_USER, &Self::place(session, site), user.as_bytes());
        (user.len() <= LONGEST_USER).then(|| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The user whose session the cookies of a request name, whether or not it is still there; `None` if that is not
    /// certain: no session, more than one, or no cookie that fits it.
    pub fn find(sealer: &Sealer, site: &str, headers: &HeaderMap, names: &Names) -> Option<String> {
        let mut sessions = cookie::values(headers, names.of(Name::Session)).map(SessionId::parse);
        let (session, None) = (sessions.next()??, sessions.next()) else { return None };
        let place = Self::place(session.key(), site);
        let open = |value: &[u8]| {
            let longest = (LONGEST_USER + crate::seal::OVERHEAD).div_ceil(3) * 4;
            let value = Some(value).filter(|value| value.len() <= longest)?;
            let user = sealer.open(LAST_USER, &place, &URL_SAFE_NO_PAD.decode(value).ok()?)?;
            String::from_utf8(user.to_vec()).ok()
        };
        cookie::values(headers, names.of(Name::Last)).take(4).find_map(open)
    }

    fn place(session: SessionKey, site: &str) -> Vec<u8> {
        [&session.0[..], site.as_bytes()].concat()
    }
}
