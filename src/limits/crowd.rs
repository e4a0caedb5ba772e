//! How many of something each client has at once, counted without a lock: connections ([`crate::listen`]), requests that a backend
//! works on and bodies that are kept ([`crate::forward`]).
//!
//! A client is a [`network`]. The counts stand in two tables, each with its own secret hash; a client is over its limit only when
//! both of its counts are, so strangers who happen to share one slot with a crowd are not turned away, and no list of clients grows.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::network;

/// The counts of all clients, in two tables of so many slots.
#[derive(Debug)]
pub(crate) struct Crowd<const SLOTS: usize> {
    tables: [Table; 2],
}

#[derive(Debug)]
struct Table {
    hash: RandomState,
    counts: Vec<AtomicUsize>,
}

/// Where one client is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots([usize; 2]);

impl<const SLOTS: usize> Default for Crowd<SLOTS> {
    fn default() -> Self {
        let counts = || (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        Self { tables: [(); 2].map(|()| Table { hash: RandomState::new(), counts: counts() }) }
    }
}

impl<const SLOTS: usize> Crowd<SLOTS> {
    /// Where this client is counted.
    pub(crate) fn slots(&self, client: IpAddr) -> Slots {
        let network = network(client);
        Slots(
            self.tables
                .each_ref()
                .map(|table| usize::try_from(table.hash.hash_one(network) % SLOTS as u64).unwrap_or(0)),
        )
    }

    /// How many there are.
    pub(crate) fn count(&self, at: Slots) -> usize {
        self.counters(at).map(|counter| counter.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Counts one, and gives how many there were before: counted first and looked at then, so that two at once cannot both take the
    /// last place. Whoever finds too many takes it back.
    pub(crate) fn enter(&self, at: Slots) -> usize {
        self.counters(at).map(|counter| counter.fetch_add(1, Ordering::Relaxed)).min().unwrap_or(0)
    }

    /// Takes one back.
    pub(crate) fn leave(&self, at: Slots) {
        for counter in self.counters(at) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn counters(&self, at: Slots) -> impl Iterator<Item = &AtomicUsize> {
        self.tables.iter().zip(at.0).filter_map(|(table, slot)| table.counts.get(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_one_ipv4_address_or_one_64_of_ipv6() {
        let of = |text: &str| network(text.parse().unwrap());
        for (name, one, other, same) in [
            ("neighbours", "192.0.2.1", "192.0.2.2", false),
            ("mapped", "192.0.2.1", "::ffff:192.0.2.1", true),
            ("one customer", "2001:db8::1", "2001:db8::ffff:1", true),
            ("two customers", "2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(of(one) == of(other), same, "{name}");
        }
    }

    #[test]
    fn a_client_that_shares_one_slot_with_many_is_not_taken_for_them() {
        let crowd = Crowd::<64>::default();
        let slots = |number: u32| crowd.slots(IpAddr::from(number.to_be_bytes()));
        let full = slots(0);
        let near = (1..100_000)
            .map(slots)
            .find(|at| at.0[0] == full.0[0] && at.0[1] != full.0[1])
            .expect("one in 64 shares the first slot");
        for before in 0..5 {
            assert_eq!(crowd.enter(full), before);
        }
        assert_eq!((crowd.count(full), crowd.count(near)), (5, 0));
        (0..5).for_each(|_| crowd.leave(full));
        assert_eq!(crowd.count(full), 0);
    }
}
