//! The gate under mixed load and faults, for as long as one likes: `deploy/soak [MINUTES]`.
//!
//! A gate in a process of its own stands before a CMS that does whatever each request tells it to, wrong things
//! included. Every request has a token and a user, which the CMS echoes in head and body; so an answer that reached
//! somebody else is seen, one that is missing, and one that is not true. Meanwhile the gate's memory, descriptors and
//! threads are watched, and its log is read. `SEED=N` repeats what every worker asks (not when).

#![allow(unreachable_pub, reason = "one program")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod ask;
mod backend;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod visitors;
mod watched;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ask::Random;
use report::Soak;
use support::pki::Authority;
use watched::{Process, Sample};

/// What a worker does.
type Work = fn(&Soak, &mut Random, &str);

/// Who works, and how many of each.
const WORKERS: &[(&str, usize, Work)] = &[
    ("h", 16, visitors::http1),
    ("m", 3, visitors::http2),
    ("s", 3, visitors::slow_reader),
    ("t", 3, visitors::tunnels),
    ("c", 1, visitors::comes_and_goes),
    ("o", 1, visitors::onlooker),
];

fn main() -> ExitCode {
    let minutes = std::env::args().nth(1).map_or(30.0, |text| text.parse::<f64>().expect("MINUTES"));
    let seed = std::env::var("SEED").ok().map(|text| text.parse().expect("SEED"));
    // Every hasher of the standard library is seeded anew.
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("soak: {minutes} minutes, SEED={seed}");

    // What goes wrong in a connection of the backend is the gate's to bear; it leaves unused ones open.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name().is_some() {
            usual(panic);
        }
    }));
    let (backend, authority) = (backend::start(), Authority::new());
    let soak = Soak::new(Process::start(&backend.url(), &authority), authority);
    // Once around, so that all that is opened once is open.
    visitors::sign_in(&soak, "first");
    let before = rest(&soak, 0);
    let under = load(&soak, seed, Duration::from_secs_f64(minutes * 60.0));
    let after = rest(&soak, before.descriptors);
    let held = soak.tell(before, &under, after);
    println!("soak: {}, SEED={seed}", if held { "everything held" } else { "FAILED" });
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Longer than the gate and the backend keep connections that are not used.
const REST: Duration = Duration::from_secs(75);

/// The gate with nothing to do: waits until it has no more than so many descriptors, but not for ever.
fn rest(soak: &Soak, descriptors: u64) -> Sample {
    let began = Instant::now();
    let patience = if descriptors == 0 { Duration::from_secs(8) } else { REST };
    loop {
        let sample = soak.gate.sample();
        if sample.descriptors <= descriptors || began.elapsed() > patience {
            return sample;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Lets all work, and samples the gate once a second.
fn load(soak: &Soak, seed: u64, time: Duration) -> Vec<Sample> {
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        let mut number = 0;
        for (name, count, work) in WORKERS {
            for worker in 0..*count {
                number += 1;
                let mut random = Random::new(seed, number);
                let user = format!("{name}{worker}");
                let thread = std::thread::Builder::new().name(user.clone());
                let work = move || {
                    // A wait that is too long panics, as everything does in tests; the worker then begins anew.
                    while soak.goes_on() {
                        let done = catch_unwind(AssertUnwindSafe(|| work(soak, &mut random, &user)));
                        if done.is_err() {
                            soak.violation(format!("{user}: LOST: it gave up; see above"));
                        }
                    }
                };
                thread.spawn_scoped(scope, work).unwrap();
            }
        }
        let began = Instant::now();
        while began.elapsed() < time {
            std::thread::sleep(Duration::from_secs(1));
            samples.push(soak.gate.sample());
        }
        soak.stop.store(true, Ordering::SeqCst);
    });
    samples
}
