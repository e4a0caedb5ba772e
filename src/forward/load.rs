//! How many requests the backends of one site work on at once, and who is turned away when they have enough.
//!
//! A Zope works on 4 to 8 requests, and what else comes waits in it in the order in which it came: whoever is signed in behind every
//! stranger. So strangers have a share of their own, beyond which no more of them get there; one client network may have half of that
//! share, so that one busy robot is not all the strangers there are; and all together have a bound ([`Bounds`]). What is beyond is answered by the gate at once; it neither waits nor reaches a backend.
//!
//! A request is counted from when it is whole to when its answer begins. That is when a thread of the CMS has to do with it: waitress
//! and ZServer take requests and pass answers on beside their threads. So who sends slowly, or reads slowly, takes nobody's place;
//! how many may do so is for [`crate::listen`]'s bounds on connections. A tunnel is not counted once it is open, nor are the gate's
//! own conversations with the CMS (signing in), nor health checks.
//!
//! The relay asks before it takes a body ([`Entry::has_room`]) and gets a [`Slot`] before it asks a backend; a body that streams gets
//! it with its last byte. All workers count at the same place: one atomic, exact, changed once before and once after. The count
//! belongs to the site and outlives a reload; the bounds are those of the configuration that a request goes by.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Fault;
use crate::limits::crowd::{Crowd, Slots};

/// When who was turned away may come back.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The log tells of those that were turned away no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// `[site.forward] requests`: how many the backends of the site, all of them together, may work on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "Written")]
pub struct Bounds {
    total: u32,
    strangers: u32,
    per_client: u32,
}

/// As it stands in `proxy.toml`. 0 switches a bound off.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Written {
    /// Of everybody; 1024: as many as wait to be accepted by waitress before it lets connections fail. Beyond, a request gets 503.
    total: Option<u32>,
    /// Of whoever is not signed in; a quarter of the total.
    strangers: Option<u32>,
    /// Of those, from one client network (an IPv4 address, or the first 64 bits of an IPv6 address); half of them, or 8 where that is more.
    per_client: Option<u32>,
}

const TOTAL: u32 = 1024;
/// A browser asks for 6 at once on HTTP/1.1; no client is given less by itself, if strangers have as many.
const ONE_BROWSER: u32 = 8;

impl TryFrom<Written> for Bounds {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let total = written.total.unwrap_or(TOTAL);
        // Not rounded to 0, which would be no bound.
        let share = if total == 0 { 0 } else { (total / 4).max(1) };
        let strangers = written.strangers.unwrap_or(share);
        if total > 0 && strangers > total {
            return Err(format!(
                "strangers = {strangers} is more than all together may have, total = {total}; write less, such as {share}"
            ));
        }
        let half = strangers.div_ceil(2).max(ONE_BROWSER).min(strangers);
        let per_client = written.per_client.unwrap_or(half);
        if strangers > 0 && per_client > strangers {
            return Err(format!(
                "per_client = {per_client} is more than all strangers together may have, strangers = {strangers}; write less, such as {half}"
            ));
        }
        Ok(Self { total, strangers, per_client })
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { total: TOTAL, strangers: TOTAL / 4, per_client: TOTAL / 8 }
    }
}

impl Bounds {
    /// Whether one more may come to those that `here` counts.
    fn admit(self, here: u64, class: Class) -> bool {
        below(self.total, all(here)) && (class == Class::Known || below(self.strangers, strangers(here)))
    }
}

/// Whether one more is within a bound; 0 is none.
fn below(bound: u32, count: u64) -> bool {
    bound == 0 || count < u64::from(bound)
}

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody's who is not signed in.
    Stranger,
    /// Somebody's who is, or that has the marks of a trusted request.
    Known,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stranger, Self::Known];

    /// Its name in the log and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Known => "signed_in",
        }
    }

    /// What one request adds to [`Load::here`].
    const fn one(self) -> u64 {
        match self {
            Self::Stranger => ONE_OF_ALL + 1,
            Self::Known => ONE_OF_ALL,
        }
    }
}

/// In the upper half of [`Load::here`] all are counted, in the lower the strangers among them. There are far fewer connections
/// than either can hold.
const ONE_OF_ALL: u64 = 1 << 32;

const fn all(here: u64) -> u64 {
    here >> 32
}

const fn strangers(here: u64) -> u64 {
    here & (ONE_OF_ALL - 1)
}

/// The requests that the backends of a site work on.
#[derive(Debug, Default)]
pub struct Load {
    here: AtomicU64,
    /// The strangers among them, by client. As many as 256 are here by default, so that two clients hardly ever meet in both slots.
    clients: Crowd<{ 1 << 12 }>,
    strangers_refused: AtomicU64,
    known_refused: AtomicU64,
    /// Turned away, and not in the log yet.
    untold: AtomicU64,
    /// From when on the log may tell again, in milliseconds of [`Clock::elapsed`](crate::clock::Clock::elapsed).
    tell_from: AtomicU64,
}

impl Load {
    /// Counts one that was turned away. Gives how many have been since this last gave a number, if that is long ago at `now`
    /// ([`Clock::elapsed`](crate::clock::Clock::elapsed)): a flood of requests is no flood of the log.
    pub(crate) fn refused(&self, class: Class, now: Duration) -> Option<u64> {
        self.refusals_of(class).fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (now, next) = (millis(now), millis(now.saturating_add(TELL_EVERY)));
        let due = |from| (from <= now).then_some(next);
        self.tell_from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).ok()?;
        Some(self.untold.swap(0, Ordering::Relaxed))
    }

    /// How many are there now.
    pub fn in_flight(&self, class: Class) -> u64 {
        let here = self.here.load(Ordering::Relaxed);
        match class {
            Class::Stranger => strangers(here),
            Class::Known => all(here).saturating_sub(strangers(here)),
        }
    }

    /// How many have been turned away.
    pub fn refusals(&self, class: Class) -> u64 {
        self.refusals_of(class).load(Ordering::Relaxed)
    }

    fn refusals_of(&self, class: Class) -> &AtomicU64 {
        match class {
            Class::Stranger => &self.strangers_refused,
            Class::Known => &self.known_refused,
        }
    }
}

/// The way in for one request.
#[derive(Clone, Debug)]
pub struct Entry {
    load: Arc<Load>,
    bounds: Bounds,
    class: Class,
    /// Where a stranger is counted.
    at: Option<Slots>,
}

impl Entry {
    /// For `client`, to the backends that `load` counts for.
    pub fn new(load: Arc<Load>, bounds: Bounds, class: Class, client: IpAddr) -> Self {
        let at = (class == Class::Stranger && bounds.per_client > 0).then(|| load.clients.slots(client));
        Self { load, bounds, class, at }
    }

    /// Whether there is room at present.
    pub fn has_room(&self) -> bool {
        let count = |at| self.load.clients.count(at) as u64;
        self.at.is_none_or(|at| below(self.bounds.per_client, count(at)))
            && self.bounds.admit(self.load.here.load(Ordering::Relaxed), self.class)
    }

    /// Counts it, until the slot is dropped.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when there are as many as may be.
    pub fn enter(self) -> Result<Slot, Fault> {
        let Self { load, bounds, class, at } = self;
        // Dropped where it turns out that there is no room, which takes it back.
        let client = at.map(|at| Seat { load: Arc::clone(&load), at });
        if client
            .as_ref()
            .is_some_and(|seat| !below(bounds.per_client, seat.load.clients.enter(seat.at) as u64))
        {
            return Err(Fault::Overloaded);
        }
        let more = |here| bounds.admit(here, class).then_some(here.wrapping_add(class.one()));
        match load.here.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Slot { load, class, _client: client }),
            Err(_) => Err(Fault::Overloaded),
        }
    }

    /// The same for one whose body the backend has nearly all of. Who is signed in is let in at any rate: an upload that took an hour
    /// is not to be thrown away. Strangers are not, for as many as there are connections could come to their end at once.
    pub(super) fn enter_late(self) -> Result<Slot, Fault> {
        match self.class {
            Class::Stranger => self.enter(),
            Class::Known => Self { bounds: Bounds { total: 0, strangers: 0, per_client: 0 }, ..self }.enter(),
        }
    }
}

/// One request that the backends of a site work on.
#[derive(Debug)]
pub struct Slot {
    load: Arc<Load>,
    class: Class,
    _client: Option<Seat>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.load.here.fetch_sub(self.class.one(), Ordering::Relaxed);
    }
}

/// The same, as it is counted for its client.
#[derive(Debug)]
struct Seat {
    load: Arc<Load>,
    at: Slots,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.clients.leave(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn bounds(text: &str) -> Result<Bounds, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    #[test]
    fn strangers_have_a_quarter_and_one_client_half_of_it_unless_it_is_said() {
        for (text, expected) in [
            ("", Ok((1024, 256, 128))),
            ("total = 100", Ok((100, 25, 13))),
            ("total = 40", Ok((40, 10, 8))),
            ("total = 2", Ok((2, 1, 1))),
            ("strangers = 40", Ok((1024, 40, 20))),
            ("strangers = 40\nper_client = 40", Ok((1024, 40, 40))),
            ("per_client = 0", Ok((1024, 256, 0))),
            ("total = 40\nstrangers = 40", Ok((40, 40, 20))),
            ("strangers = 0", Ok((1024, 0, 0))),
            ("strangers = 0\nper_client = 5", Ok((1024, 0, 5))),
            ("total = 0", Ok((0, 0, 0))),
            ("total = 0\nstrangers = 9", Ok((0, 9, 8))),
            ("strangers = 40\nper_client = 41", Err("per_client = 41 is more than all strangers together")),
            ("total = 40\nstrangers = 41", Err("strangers = 41 is more than all together may have")),
        ] {
            match (bounds(text), expected) {
                (Ok(bounds), Ok(three)) => {
                    assert_eq!((bounds.total, bounds.strangers, bounds.per_client), three, "{text}");
                }
                (Err(error), Err(says)) => assert!(error.contains(says), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
        assert_eq!(bounds(""), Ok(Bounds::default()));
    }

    #[test]
    fn strangers_leave_the_rest_to_who_is_signed_in() {
        use Class::{Known, Stranger};
        for (name, text, come, expected) in [
            ("within", "total = 4\nstrangers = 2", &[Stranger, Stranger, Known][..], [false, true]),
            ("the share is not reserved", "total = 3\nstrangers = 2", &[Known, Known], [true, true]),
            ("all", "total = 3\nstrangers = 2", &[Known, Known, Known], [false, false]),
            ("all, of both", "total = 3\nstrangers = 2", &[Stranger, Stranger, Known], [false, false]),
            ("no total", "total = 0\nstrangers = 1", &[Stranger, Known, Known, Known], [false, true]),
            ("no share", "total = 3\nstrangers = 0", &[Stranger, Stranger], [true, true]),
            ("nothing", "total = 0", &[Stranger; 9], [true, true]),
        ] {
            let (bounds, load) = (bounds(text).unwrap(), Arc::new(Load::default()));
            let entry = |class| Entry::new(Arc::clone(&load), bounds, class, ONE);
            let slots: Vec<Slot> = come.iter().map(|class| entry(*class).enter().unwrap()).collect();
            assert_eq!([Stranger, Known].map(|class| entry(class).has_room()), expected, "{name}");
            assert_eq!([Stranger, Known].map(|class| entry(class).enter().is_ok()), expected, "{name}");
            let count = |class| come.iter().filter(|one| **one == class).count() as u64;
            assert_eq!(
                Class::ALL.map(|class| load.in_flight(class)),
                Class::ALL.map(count),
                "{name}: who was refused is not counted"
            );
            drop(slots);
            assert_eq!(Class::ALL.map(|class| load.in_flight(class)), [0, 0], "{name}");
        }
    }

    #[test]
    fn one_client_leaves_room_to_other_strangers_and_has_it_again_afterwards() {
        use Class::{Known, Stranger};
        let (bounds, load) = (bounds("strangers = 4\nper_client = 2").unwrap(), Arc::new(Load::default()));
        let entry =
            |class, client: &str| Entry::new(Arc::clone(&load), bounds, class, client.parse().unwrap());
        for round in 0..3 {
            let one = [(); 2].map(|()| entry(Stranger, "2001:db8::1").enter().unwrap());
            for _ in 0..9 {
                assert!(
                    !entry(Stranger, "2001:db8::2").has_room(),
                    "{round}: its neighbour is the same client"
                );
                assert!(
                    entry(Stranger, "2001:db8::2").enter().is_err(),
                    "{round}: and refusals count for nothing"
                );
            }
            assert!(
                entry(Known, "2001:db8::1").enter().is_ok(),
                "{round}: who is signed in there is no stranger"
            );
            let other = [(); 2].map(|()| entry(Stranger, "192.0.2.1").enter().unwrap());
            assert!(
                entry(Stranger, "192.0.2.2").enter().is_err(),
                "{round}: all strangers have what they may"
            );
            drop(other);
            assert!(entry(Stranger, "192.0.2.2").enter().is_ok(), "{round}");
            drop(one);
        }
    }

    #[test]
    fn an_upload_of_who_is_signed_in_is_let_in_at_its_end() {
        let (bounds, load) = (bounds("total = 1").unwrap(), Arc::new(Load::default()));
        let entry = |class| Entry::new(Arc::clone(&load), bounds, class, ONE);
        let _full = entry(Class::Known).enter().unwrap();
        assert!(entry(Class::Known).enter_late().is_ok());
        assert!(entry(Class::Stranger).enter_late().is_err());
    }

    #[test]
    fn no_more_come_in_than_may_from_however_many_threads() {
        let (bounds, load) = (bounds("total = 5\nstrangers = 3").unwrap(), Arc::new(Load::default()));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let load = &load;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let slot = Entry::new(Arc::clone(load), bounds, Class::ALL[number % 2], ONE).enter();
                        assert!(load.in_flight(Class::Stranger) <= 3);
                        assert!(all(load.here.load(Ordering::Relaxed)) <= 5);
                        drop(slot);
                    }
                });
            }
        });
        assert_eq!(load.here.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_log_tells_of_a_flood_once_in_a_while_and_of_all_of_it() {
        let load = Load::default();
        let told: Vec<u64> = (0..2_500)
            .filter_map(|tenth| load.refused(Class::Stranger, Duration::from_millis(100 * tenth)))
            .collect();
        assert_eq!(told.len(), 25);
        assert_eq!((told[0], told[1], load.refusals(Class::Stranger)), (1, 100, 2_500));
        assert_eq!(load.refusals(Class::Known), 0);
    }
}
