//! What was seen, and what is said of it at the end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ask::{Ask, Got};
use crate::support::pki::Authority;
use crate::watched::{Process, Sample};

/// Memory may be so much more in the last third than in the first: a tenth, and 16 MiB for what an allocator keeps.
const MORE_RSS: fn(u64) -> u64 = |first| first + first / 10 + 16 * 1024;
/// So many more descriptors, typically, under the same load: what is in flight goes up and down with what else the machine
/// does, and so do unused connections to the backend (64 a worker at most). What leaks is seen at rest.
const MORE_DESCRIPTORS: u64 = 32;
/// So many more threads at any time: two workers' pools for blocking work, of 32 each, and the store's.
const MOST_MORE_THREADS: u64 = 72;
/// So many more of them at rest: those pools come and go.
const LEFT_THREADS: u64 = 2;
/// So many more at rest after the load than before it: connections of the store to its files.
const LEFT_DESCRIPTORS: u64 = 8;

/// All that the workers share.
pub struct Soak {
    pub gate: Process,
    pub authority: Authority,
    pub stop: AtomicBool,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    /// By kind of request: how it came out, and how long it took, in microseconds.
    kinds: BTreeMap<&'static str, (BTreeMap<&'static str, usize>, Vec<u32>)>,
    /// By fault.
    faults: BTreeMap<&'static str, usize>,
    /// Requests whose failure was to be, by the gate's id.
    explained: HashSet<String>,
    violations: Vec<String>,
}

impl Soak {
    pub fn new(gate: Process, authority: Authority) -> Self {
        Self { gate, authority, stop: AtomicBool::new(false), tally: Mutex::default() }
    }

    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Something that must not be.
    pub fn violation(&self, what: String) {
        eprintln!("VIOLATION {what}");
        self.tally.lock().unwrap().violations.push(what);
    }

    /// Something that came out.
    pub fn counted(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        let mut tally = self.tally.lock().unwrap();
        let (outcomes, times) = tally.kinds.entry(kind).or_default();
        *outcomes.entry(outcome).or_default() += 1;
        // What breaks off or stalls says nothing of how fast the gate is.
        if matches!(outcome, "right" | "502, as it should") {
            times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The gate may call this request failed.
    pub fn explained(&self, id: Option<String>) {
        self.tally.lock().unwrap().explained.extend(id);
    }

    /// An answer.
    pub fn judged(&self, kind: &'static str, ask: &Ask, got: &Got, took: Duration) {
        match ask.judge(got) {
            Err(wrong) => self.violation(wrong),
            Ok(outcome) => {
                self.counted(kind, outcome, took);
                if ask.fault.is_some() {
                    *self.tally.lock().unwrap().faults.entry(ask.fault_name()).or_default() += 1;
                    self.explained(got.id.clone());
                }
            }
        }
    }

    /// Prints all of it; `false` if something did not hold. `before` and `after` are at rest, `under` during the load.
    pub fn tell(&self, before: Sample, under: &[Sample], after: Sample) -> bool {
        let tally = self.tally.lock().unwrap();
        println!("\n{:<14} {:>8}  {:>8} {:>8} {:>8}  outcomes", "", "requests", "p50 ms", "p95 ms", "p99 ms");
        for (kind, (outcomes, times)) in &tally.kinds {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |part: usize| match times.len() {
                0 => "-".to_owned(),
                count => format!("{:.1}", f64::from(times[(count - 1) * part / 100]) / 1000.0),
            };
            let all: usize = outcomes.values().sum();
            let said: Vec<String> = outcomes.iter().map(|(name, count)| format!("{count} {name}")).collect();
            println!("{kind:<14} {all:>8}  {:>8} {:>8} {:>8}  {}", at(50), at(95), at(99), said.join("; "));
        }
        println!("\nfaults of the backend: {}", counts(&tally.faults));
        let log = self.gate.log.lock().unwrap();
        println!("said by the gate: {}", counts(&log.counts));

        let third = under.len() / 3;
        let (first, last) = (&under[..third.max(1)], &under[under.len() - third.max(1)..]);
        let (rss, descriptors) = (|sample: &Sample| sample.rss, |sample: &Sample| sample.descriptors);
        let threads = |sample: &Sample| sample.threads;
        println!("\n{:<24} {:>9} {:>11} {:>8}", "", "RSS, KiB", "descriptors", "threads");
        for (name, sample) in [
            ("before, at rest", before),
            (
                "first third, median",
                Sample {
                    rss: median(first, rss),
                    descriptors: median(first, descriptors),
                    threads: median(first, threads),
                },
            ),
            (
                "last third, median",
                Sample {
                    rss: median(last, rss),
                    descriptors: median(last, descriptors),
                    threads: median(last, threads),
                },
            ),
            ("after, at rest", after),
        ] {
            println!("{name:<24} {:>9} {:>11} {:>8}", sample.rss, sample.descriptors, sample.threads);
        }

        let unexplained: Vec<&String> = log.failed.difference(&tally.explained).collect();
        let crossed = tally.violations.iter().filter(|what| what.contains("CROSSED")).count();
        let lost = tally.violations.iter().filter(|what| what.contains("LOST")).count();
        let others = tally.violations.len() - crossed - lost;
        println!();
        [
            check(crossed == 0, format!("crossed responses: {crossed}")),
            check(lost == 0, format!("lost responses: {lost}")),
            check(others == 0, format!("other violations: {others}")),
            check(
                median(last, rss) <= MORE_RSS(median(first, rss)),
                format!("memory is flat: at most {} KiB in the last third", MORE_RSS(median(first, rss))),
            ),
            check(
                median(last, descriptors) <= median(first, descriptors) + MORE_DESCRIPTORS,
                format!("descriptors are flat: at most {MORE_DESCRIPTORS} more in the last third"),
            ),
            check(
                after.descriptors <= before.descriptors + LEFT_DESCRIPTORS,
                format!("descriptors are given back: at most {LEFT_DESCRIPTORS} more at rest than before"),
            ),
            check(
                under.iter().map(threads).max().unwrap_or(0) <= before.threads + MOST_MORE_THREADS,
                format!("threads are bounded: at most {MOST_MORE_THREADS} more at any time"),
            ),
            check(
                after.threads <= before.threads + LEFT_THREADS,
                format!("threads are given back: at most {LEFT_THREADS} more at rest than before"),
            ),
            check(
                unexplained.is_empty(),
                format!(
                    "failed exchanges that no fault explains: {} {:?}",
                    unexplained.len(),
                    unexplained.iter().take(5).collect::<Vec<_>>()
                ),
            ),
            check(
                log.others.is_empty(),
                format!(
                    "other errors in the log: {} {:?}",
                    log.others.len(),
                    log.others.iter().take(5).collect::<Vec<_>>()
                ),
            ),
        ]
        .iter()
        .all(|held| *held)
    }
}

fn check(held: bool, what: String) -> bool {
    println!("{}  {what}", if held { "ok  " } else { "FAIL" });
    held
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> u64 {
    let mut all: Vec<u64> = samples.iter().map(of).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

fn counts<K: std::fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    let all: Vec<String> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join("; ") }
}
