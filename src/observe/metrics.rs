//! What is counted: requests, sign-ins, resets, leaks, mails, connections.
//!
//! Whoever counts holds the counter already, by its [`Site`](crate::gate::Site) or by [`Shared`](crate::state::Shared): one
//! request costs a handful of atomic additions, no lock and no allocation. How many different counts there can be is bounded by
//! the code and by `proxy.toml`, never by what clients send: a name that is counted under is a constant of the code.
//!
//! How they look outside is for [`crate::admin`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;

/// What is counted for the gate as a whole.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Requests that named no site.
    pub nowhere: SiteMetrics,
    /// The CMS's messages, by what became of them: accepted, later, refused.
    pub mails: Tally,
    /// Internal addresses in them: replaced, left.
    pub mail_addresses: Tally,
    /// Parts of them that were left alone: signed, unreadable.
    pub mail_parts: Tally,
    /// Connections of clients.
    pub connections: Arc<Level>,
    /// Connections that are tunnels: WebSockets.
    pub tunnels: Arc<Level>,
}

/// What is counted for one site.
#[derive(Debug, Default)]
pub struct SiteMetrics {
    /// Requests, by verdict and class of status.
    pub requests: Tally,
    /// From the head of the request to the head of the answer.
    pub took: Histogram,
    /// The backend's part of it.
    pub backend: Histogram,
    /// Internal names in what left, by place.
    pub leaks: Tally,
    /// Attempts to sign in, by verdict.
    pub sign_ins: Tally,
    /// Steps of the forgotten-password process, by step and verdict.
    pub resets: Tally,
}

impl SiteMetrics {
    /// Counts one request.
    pub fn request(
        &self,
        verdict: &'static str,
        status: StatusCode,
        took: Duration,
        backend: Option<Duration>,
    ) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.count(verdict, class);
        self.took.observe(took);
        if let Some(backend) = backend {
            self.backend.observe(backend);
        }
    }
}

/// Counts, each under two names. Names are found by their text, in a table that only grows.
#[derive(Debug)]
pub struct Tally {
    places: Box<[Place]>,
    /// What found no place: more names than anyone thought of.
    rest: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    names: OnceLock<Names>,
    count: AtomicU64,
}

type Names = (&'static str, &'static str);

/// Far more than there are verdicts, so that a name is found at the first look or the second.
const PLACES: usize = 128;
/// What the counts without a place are called.
const REST: Names = ("other", "other");

impl Default for Tally {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| Place::default()).collect(), rest: AtomicU64::new(0) }
    }
}

impl Tally {
    /// One more.
    pub fn count(&self, first: &'static str, second: &'static str) {
        self.add(first, second, 1);
    }

    /// `more` more.
    pub fn add(&self, first: &'static str, second: &'static str, more: usize) {
        let names = (first, second);
        let (before, from) = self.places.split_at(hash(names) % PLACES);
        let place = from.iter().chain(before).find(|place| *place.names.get_or_init(|| names) == names);
        place.map_or(&self.rest, |place| &place.count).fetch_add(more as u64, Ordering::Relaxed);
    }

    /// All that was counted, in no order.
    pub fn counts(&self) -> Vec<(Names, u64)> {
        let all = self
            .places
            .iter()
            .filter_map(|place| Some((*place.names.get()?, place.count.load(Ordering::Relaxed))));
        let rest = Some((REST, self.rest.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0);
        all.chain(rest).collect()
    }
}

/// FNV-1a: names are short.
fn hash((first, second): Names) -> usize {
    let bytes = first.bytes().chain([0]).chain(second.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize
}

/// Durations, counted by how long they are.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Upper bounds in microseconds: from what the gate answers itself to what a slow backend takes.
const BOUNDS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];

impl Histogram {
    /// One more.
    pub fn observe(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Upper bounds in seconds, the last infinite, and how many were in each, above the bound before.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    /// The sum of all, in seconds.
    pub fn seconds(&self) -> f64 {
        self.micros.load(Ordering::Relaxed) as f64 / 1e6
    }
}

/// How many there are of something, and have been.
#[derive(Debug, Default)]
pub struct Level {
    entered: AtomicU64,
    left: AtomicU64,
}

impl Level {
    /// One more, until what is given back is dropped.
    pub fn enter(self: &Arc<Self>) -> Inside {
        self.entered.fetch_add(1, Ordering::Relaxed);
        Inside(Arc::clone(self))
    }

    /// How many there are.
    pub fn now(&self) -> u64 {
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Relaxed).saturating_sub(left)
    }

    /// How many there have been.
    pub fn total(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }
}

/// One of a [`Level`].
#[derive(Debug)]
pub struct Inside(Arc<Level>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_are_all_there() {
        const NAMES: [&str; 5] = ["forwarded", "sign_in", "own", "denied", "leak_blocked"];
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| NAMES.iter().cycle().take(5000).for_each(|name| tally.count(name, "2xx")));
            }
        });
        let mut counts = tally.counts();
        counts.sort();
        let mut want: Vec<_> = NAMES.iter().map(|name| ((*name, "2xx"), 4000)).collect();
        want.sort();
        assert_eq!(counts, want);
    }

    #[test]
    fn more_names_than_places_are_counted_together() {
        let tally = Tally::default();
        for number in 0..PLACES + 10 {
            let name: &'static str = Box::leak(format!("name-{number}").into_boxed_str());
            tally.count(name, "");
        }
        let counts = tally.counts();
        assert_eq!(counts.len(), PLACES + 1);
        assert_eq!(counts.last(), Some(&(REST, 10)));
    }

    #[test]
    fn a_duration_is_counted_once_below_its_bound() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let filled: Vec<(f64, u64)> =
            histogram.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 2), (0.001, 1), (60.0, 1), (f64::INFINITY, 1)]);
        assert!((histogram.seconds() - 120.001_002).abs() < 1e-9);
    }

    #[test]
    fn who_has_left_is_no_longer_there() {
        let level = Arc::new(Level::default());
        let (one, two) = (level.enter(), level.enter());
        drop(one);
        assert_eq!((level.now(), level.total()), (1, 2));
        drop(two);
        assert_eq!((level.now(), level.total()), (0, 2));
    }
}
