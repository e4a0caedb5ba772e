//! How long the gate takes to answer about accounts that exist and about accounts that do not, as distributions.
//!
//! `cargo test --test answer_times` asks 200 of each, in turns, before a stand-in that takes its own time over them, and prints
//! minimum, median, 95th percentile and maximum in milliseconds, and the p of a Mann-Whitney test: how likely so different an
//! order is by chance, if both come from the same distribution. A report rather than a test: a busy machine is no defect, and p
//! alone is small in one of twenty runs by its definition.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an experiment"
)]
#![allow(missing_docs, reason = "an experiment")]

mod support;

use std::time::{Duration, Instant};

use http::Method;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::standin::StandIn;

/// Of each kind.
const ACCOUNTS: usize = 200;
/// Asked at the same time.
const AT_ONCE: usize = 8;

#[derive(Clone, Copy, Debug)]
enum What {
    ResetRequest,
    WrongPassword,
}

fn main() {
    // Millis that the stand-in takes over accounts that exist, and over others.
    let delays = [(0, 0), (60, 5), (400, 5)];
    println!("{:34} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "", "min", "p50", "p95", "max", "p");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for what in [What::ResetRequest, What::WrongPassword] {
        for (known, unknown) in delays {
            let times = runtime.block_on(measure(what, known, unknown));
            report(&format!("{what:?}, CMS {known}/{unknown} ms"), &times);
        }
    }
}

/// The times for accounts that exist, and for others.
async fn measure(what: What, known: u64, unknown: u64) -> [Vec<Duration>; 2] {
    let backend = StandIn::plone60();
    for number in 0..ACCOUNTS {
        backend.add_user(&format!("known{number}"));
    }
    backend.delay("=known", Duration::from_millis(known));
    backend.delay("=other", Duration::from_millis(unknown));
    let gate = Gate::before(&backend.url());
    // Made once: making one takes longer than what is measured.
    let browser = Browser::new(gate.address, HOST);
    let mut times = [Vec::new(), Vec::new()];
    let all: Vec<(usize, String)> = (0..ACCOUNTS)
        .flat_map(|number| [(0, format!("known{number}")), (1, format!("other{number}"))])
        .collect();
    for some in all.chunks(AT_ONCE) {
        let asked = some.iter().map(|(kind, user)| {
            let (kind, user, browser) = (*kind, user.clone(), browser.clone());
            tokio::spawn(async move { (kind, ask(browser, what, &user).await) })
        });
        for answer in asked.collect::<Vec<_>>() {
            let (kind, took) = answer.await.unwrap();
            times[kind].push(took);
        }
    }
    times.map(|mut times| {
        times.sort();
        times
    })
}

async fn ask(mut browser: Browser, what: What, user: &str) -> Duration {
    match what {
        What::ResetRequest => {
            let body = format!("{{\"username\":\"{user}\"}}").into_bytes();
            let began = Instant::now();
            let path = "/_gate/api/forgot-password";
            let answer = browser.send(Method::POST, path, Some(("application/json", body))).await;
            assert_eq!(answer.status, 200);
            began.elapsed()
        }
        What::WrongPassword => {
            let csrf = browser.get("/_gate/login").await.form();
            let csrf = csrf.iter().find(|(name, _)| name == "csrf").unwrap().1.clone();
            let fields = [("username", user), ("password", "wrong"), ("csrf", csrf.as_str())];
            let began = Instant::now();
            assert_eq!(browser.post("/_gate/login", &fields).await.status, 403);
            began.elapsed()
        }
    }
}

fn report(title: &str, times: &[Vec<Duration>; 2]) {
    let p = mann_whitney(&times[0], &times[1]);
    for (name, times) in ["known", "unknown"].iter().zip(times) {
        let at = |part: f64| {
            let last = times.len() - 1;
            times[(last as f64 * part).round() as usize].as_secs_f64() * 1000.0
        };
        let p = if *name == "known" { String::new() } else { format!("{p:.3}") };
        println!(
            "{title:34} {name:>7} {:8.1} {:8.1} {:8.1} {:8.1} {p:>8}",
            at(0.0),
            at(0.5),
            at(0.95),
            at(1.0)
        );
    }
}

/// The two-sided p of the Mann-Whitney U test by its normal approximation. (Times in nanoseconds hardly ever tie.)
fn mann_whitney(one: &[Duration], two: &[Duration]) -> f64 {
    let below = |time: &Duration| two.partition_point(|other| other < time) as f64;
    let tied = |time: &Duration| (two.partition_point(|other| other <= time) as f64) - below(time);
    let u: f64 = one.iter().map(|time| below(time) + tied(time) / 2.0).sum();
    let (n, m) = (one.len() as f64, two.len() as f64);
    let z = (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt();
    complementary_error(z.abs() / std::f64::consts::SQRT_2)
}

/// erfc, to seven digits: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
fn complementary_error(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t) * (-x * x).exp()
}
