use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::limits::Settings;
use crate::random::SystemRandom;

const RATES_OFF: &str = "sign_in = { per_client = [], per_account = [] }\n";

fn limits(toml: &str) -> (Limits, ManualClock) {
    let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
    let settings: Settings = toml::from_str(&format!("{RATES_OFF}{toml}")).unwrap();
    (Limits::new(&settings, Arc::new(clock.clone()), &SystemRandom), clock)
}

fn attempt(client: u8, user: &str) -> SignInAttempt<'_> {
    SignInAttempt { site: "s", user, client: [192, 0, 2, client].into(), browser: None }
}

/// Tries and fails; the wait in seconds, if it may not be tried.
fn fails(limits: &Limits, attempt: &SignInAttempt<'_>) -> Option<u64> {
    match limits.begin_sign_in(attempt) {
        Ok(()) => {
            limits.failed_sign_in(attempt);
            None
        }
        Err(wait) => Some(wait.as_duration().as_secs()),
    }
}

#[test]
fn each_failure_doubles_the_wait_up_to_the_longest_and_time_forgets_all() {
    let (limits, clock) = limits("");
    let jdoe = attempt(1, "jdoe");
    for _ in 0..3 {
        assert_eq!(fails(&limits, &jdoe), None);
    }
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        // From anywhere, in any spelling; and asking too early changes nothing.
        assert_eq!(fails(&limits, &attempt(2, " JDoe ")), Some(wait), "{wait}");
        assert_eq!(fails(&limits, &jdoe), Some(wait), "{wait}");
        clock.advance(Duration::from_secs(wait));
        // From a new client each time, so that it is the account that waits.
        assert_eq!(fails(&limits, &attempt(100 + u8::try_from(wait % 100).unwrap(), "jdoe")), None, "{wait}");
    }
    clock.advance(Duration::from_secs(3600));
    assert_eq!((fails(&limits, &jdoe), fails(&limits, &jdoe)), (None, None), "forgotten");
}

#[test]
fn signing_in_as_oneself_in_between_buys_a_client_no_further_guess() {
    let (limits, _) = limits("");
    for number in 0..10 {
        assert_eq!(fails(&limits, &attempt(1, &format!("user{number}"))), None);
        // Refused or not: whoever begins forgives only what was counted.
        if limits.begin_sign_in(&attempt(1, "mallory")).is_ok() {
            limits.forgive_sign_in(&attempt(1, "mallory"), true);
        }
    }
    assert_eq!(fails(&limits, &attempt(1, "another")), Some(1));
    assert_eq!(fails(&limits, &attempt(2, "another")), None, "other clients are not concerned");
}

#[test]
fn a_known_browser_is_kept_out_by_nobody_else_and_counts_for_itself() {
    let (limits, clock) = limits("stuffing = { accounts_per_client = 3 }");
    for number in 0..60 {
        fails(&limits, &attempt(number, "jdoe"));
        fails(&limits, &attempt(1, &format!("user{number}")));
        clock.advance(Duration::from_millis(10));
    }
    assert!(fails(&limits, &attempt(1, "jdoe")).is_some() && fails(&limits, &attempt(99, "jdoe")).is_some());
    let known = SignInAttempt { browser: Some("id"), ..attempt(1, "jdoe") };
    for _ in 0..3 {
        assert_eq!(fails(&limits, &known), None);
    }
    assert_eq!(fails(&limits, &known), Some(1), "it may not guess for ever either");
    assert_eq!(fails(&limits, &SignInAttempt { browser: Some("other"), ..known }), None);
    clock.advance(Duration::from_secs(1));
    limits.begin_sign_in(&known).unwrap();
    limits.forgive_sign_in(&known, true);
}

#[test]
fn one_client_failing_for_many_accounts_is_noticed_once_and_refused_until_they_are_fewer() {
    let (limits, clock) = limits(
        "sign_in_delay = { most = \"0\" }\nstuffing = { accounts_per_client = 5, clients_per_account = 0 }",
    );
    let noticed = |user: &str| {
        limits.begin_sign_in(&attempt(1, user)).unwrap();
        limits.failed_sign_in(&attempt(1, user))
    };
    for user in ["a", "b", "a", "c", "A", "d"] {
        assert_eq!(noticed(user), [], "{user}");
        clock.advance(Duration::from_secs(60));
    }
    // A person who mistypes and then signs in is no sign of anything.
    limits.begin_sign_in(&attempt(1, "c")).unwrap();
    limits.forgive_sign_in(&attempt(1, "c"), true);
    assert_eq!(noticed("e"), []);
    assert_eq!(noticed("f"), [Suspicion::ManyAccounts]);
    let wait = fails(&limits, &attempt(1, "g")).unwrap();
    assert_eq!(wait, 3600 - 5 * 60, "until the oldest failure is an hour old");
    assert_eq!(fails(&limits, &attempt(2, "g")), None);
    clock.advance(Duration::from_secs(wait));
    assert_eq!(noticed("g"), [Suspicion::ManyAccounts]);
}

#[test]
fn many_clients_failing_for_one_account_are_noticed_once() {
    let (limits, _) = limits("sign_in_delay = { most = \"0\" }\nstuffing = { clients_per_account = 5 }");
    let noticed: Vec<Vec<Suspicion>> = (1..=20)
        .map(|client| {
            limits.begin_sign_in(&attempt(client, "jdoe")).unwrap();
            limits.failed_sign_in(&attempt(client, "jdoe"))
        })
        .collect();
    assert_eq!(noticed.concat(), [Suspicion::ManyClients]);
    assert_eq!(noticed[4], [Suspicion::ManyClients]);
}

#[test]
fn what_is_kept_is_bounded_whoever_floods_it_and_who_waits_goes_on_waiting() {
    let clock: Arc<dyn crate::clock::Clock> = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
    let clock = SteadyClock::new(clock);
    let second = Duration::from_secs(1);
    let growth = Growth { after: 3, first: second, most: 60 * second, forget: 3600 * second };
    let (growing, spread) = (Growing::new(growth, &clock), Spread::new(3, 3600 * second, &clock));
    let most = u128::try_from(crate::limits::bucket::MOST_KEYS).unwrap();
    for other in 0..3 {
        growing.count(0).unwrap();
        spread.add(0, other);
    }
    for key in 1..most + 100 {
        growing.count(key).unwrap();
        spread.add(key, 0);
    }
    assert!(growing.len() <= crate::limits::bucket::MOST_KEYS && spread.len() <= 4096);
    assert_eq!(growing.count(0), Err(second));
    assert_eq!(spread.too_many(0), Some(3600 * second));
}
