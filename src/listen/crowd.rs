//! How many connections there are, in all and from one client, counted without a lock.
//!
//! Every worker counts at the same place.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::limits::crowd::{self, Slots};

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

/// With 1,000 clients at their limit, one in 270 others shares both slots with some of them.
type Clients = crowd::Crowd<{ 1 << 14 }>;

/// The connections there are.
pub(super) struct Crowd {
    limits: Settings,
    total: AtomicUsize,
    turned_away: AtomicUsize,
    clients: Clients,
}

impl Crowd {
    pub(super) fn new(limits: Settings) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self { limits, total: zero(), turned_away: zero(), clients: Clients::default() })
    }

    /// Counts a connection; `None` when there are as many as may be.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.place(Count::Total, self.limits.total)
    }

    /// Counts a connection of this client; `None` when it has as many as it may.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        self.place(Count::Client(self.clients.slots(client)), self.limits.per_client)
    }

    /// Counts a connection that is told there is no room; `None` when enough are being told.
    pub(super) fn turn_away(self: &Arc<Self>) -> Option<Place> {
        self.place(Count::TurnedAway, MOST_TURNED_AWAY)
    }

    fn place(self: &Arc<Self>, count: Count, most: usize) -> Option<Place> {
        // Counted first and looked at then: two workers at once cannot both take the last place.
        let before = match count {
            Count::Total => self.total.fetch_add(1, Ordering::Relaxed),
            Count::TurnedAway => self.turned_away.fetch_add(1, Ordering::Relaxed),
            Count::Client(slots) => self.clients.enter(slots),
        };
        let place = Place { crowd: Arc::clone(self), count };
        (most == 0 || before < most).then_some(place)
    }
}

/// The most that are told at once that there is no room; others are just closed.
const MOST_TURNED_AWAY: usize = 64;

#[derive(Clone, Copy)]
enum Count {
    Total,
    TurnedAway,
    Client(Slots),
}

/// A connection that is counted until this is dropped.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    count: Count,
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.count {
            Count::Total => drop(self.crowd.total.fetch_sub(1, Ordering::Relaxed)),
            Count::TurnedAway => drop(self.crowd.turned_away.fetch_sub(1, Ordering::Relaxed)),
            Count::Client(slots) => self.crowd.clients.leave(slots),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        text.parse().unwrap()
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
