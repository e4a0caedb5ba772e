//! How many connections there are, in all and from one client, counted without a lock.
//!
//! Every worker counts at the same place. A client is a network: one IPv4 address, or the /64 that one IPv6 customer has. The
//! counts stand in two tables, each with its own secret hash; a client is over its limit only when both of its counts are, so
//! strangers who happen to share one slot with a crowd are not turned away, and no list of clients grows.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;

/// `server.connections` of `proxy.toml`: how many there may be at once. 0 switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// In all; 10,000. Beyond, a new one gets 503 and is closed.
    pub total: usize,
    /// From one client; 500: an office behind one address, with six from every browser. Beyond, a new one is closed. Proxies
    /// in `trusted_proxies` count as the clients they name in a PROXY header, and not at all otherwise.
    pub per_client: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { total: 10_000, per_client: 500 }
    }
}

/// Slots of one table. With 1,000 clients at their limit, one in 270 others shares both slots with some of them.
const SLOTS: usize = 1 << 14;

/// The connections there are.
pub(super) struct Crowd {
    limits: Settings,
    total: AtomicUsize,
    turned_away: AtomicUsize,
    tables: [Table; 2],
}

struct Table {
    hash: RandomState,
    counts: Vec<AtomicUsize>,
}

impl Crowd {
    pub(super) fn new(limits: Settings) -> Arc<Self> {
        let table =
            || Table { hash: RandomState::new(), counts: (0..SLOTS).map(|_| AtomicUsize::new(0)).collect() };
        let zero = || AtomicUsize::new(0);
        Arc::new(Self { limits, total: zero(), turned_away: zero(), tables: [table(), table()] })
    }

    /// Counts a connection; `None` when there are as many as may be.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.place(Count::Total, self.limits.total)
    }

    /// Counts a connection of this client; `None` when it has as many as it may.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let network = network(client);
        let slots = self.tables.each_ref().map(|table| slot(&table.hash, network));
        self.place(Count::Client(slots), self.limits.per_client)
    }

    /// Counts a connection that is told there is no room; `None` when enough are being told.
    pub(super) fn turn_away(self: &Arc<Self>) -> Option<Place> {
        self.place(Count::TurnedAway, MOST_TURNED_AWAY)
    }

    fn place(self: &Arc<Self>, count: Count, most: usize) -> Option<Place> {
        // Counted first and looked at then: two workers at once cannot both take the last place.
        let before = self.counters(count).map(|counter| counter.fetch_add(1, Ordering::Relaxed)).min();
        let place = Place { crowd: Arc::clone(self), count };
        (most == 0 || before.is_some_and(|before| before < most)).then_some(place)
    }

    fn counters(&self, count: Count) -> impl Iterator<Item = &AtomicUsize> {
        let (single, slots) = match count {
            Count::Total => (Some(&self.total), None),
            Count::TurnedAway => (Some(&self.turned_away), None),
            Count::Client(slots) => (None, Some(slots)),
        };
        let tables = self.tables.iter().zip(slots.into_iter().flatten());
        single.into_iter().chain(tables.filter_map(|(table, slot)| table.counts.get(slot)))
    }
}

/// The most that are told at once that there is no room; others are just closed.
const MOST_TURNED_AWAY: usize = 64;

#[derive(Clone, Copy)]
enum Count {
    Total,
    TurnedAway,
    Client([usize; 2]),
}

/// A connection that is counted until this is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    count: Count,
}

impl Drop for Place {
    fn drop(&mut self) {
        for counter in self.crowd.counters(self.count) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn slot(hash: &RandomState, network: u128) -> usize {
    usize::try_from(hash.hash_one(network) % SLOTS as u64).unwrap_or(0)
}

/// One IPv4 address, or an IPv6 /64.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => Ipv6Addr::to_bits(address) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_one_ipv4_address_or_one_64_of_ipv6() {
        for (name, one, other, same) in [
            ("neighbours", "192.0.2.1", "192.0.2.2", false),
            ("mapped", "192.0.2.1", "::ffff:192.0.2.1", true),
            ("one customer", "2001:db8::1", "2001:db8::ffff:1", true),
            ("two customers", "2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(network(of(one)) == network(of(other)), same, "{name}");
        }
    }

    #[test]
    fn a_client_has_its_places_and_gets_them_back() {
        let crowd = Crowd::new(Settings { total: 0, per_client: 2 });
        let first = crowd.seat(of("192.0.2.1"));
        let second = crowd.seat(of("192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        for _ in 0..3 {
            assert!(crowd.seat(of("192.0.2.1")).is_none(), "and being refused takes no place");
        }
        assert!(crowd.seat(of("192.0.2.2")).is_some(), "another client has its own");
        drop(first);
        assert!(crowd.seat(of("192.0.2.1")).is_some());
    }

    #[test]
    fn no_limit_is_no_limit() {
        let crowd = Crowd::new(Settings { total: 0, per_client: 0 });
        let places: Vec<_> = (0..1000).map(|_| (crowd.enter(), crowd.seat(of("192.0.2.1")))).collect();
        assert!(places.iter().all(|(place, seat)| place.is_some() && seat.is_some()));
    }
}
