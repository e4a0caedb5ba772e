use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::limits::bucket::MOST_KEYS;
use crate::random::SystemRandom;

const MINUTE: Duration = Duration::from_secs(60);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn limits(toml: &str) -> (Limits, ManualClock) {
    let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
    let settings: Settings = toml::from_str(toml).unwrap();
    (Limits::new(&settings, Arc::new(clock.clone()), &SystemRandom), clock)
}

/// How many attempts from `HERE` pass at this moment.
fn passing(limits: &Limits, action: Action) -> usize {
    std::iter::from_fn(|| limits.check_client(action, HERE).ok()).take(1_000).count()
}

#[test]
fn the_defaults_are_those_of_the_sample() {
    use Action::{ResetAttempt, ResetRequest, SignIn};
    let (limits, _) = limits("");
    for (action, client, account) in [(SignIn, 10, 5), (ResetRequest, 5, 3), (ResetAttempt, 10, 1_000)] {
        assert_eq!(passing(&limits, action), client, "{action:?}");
        let passing = std::iter::from_fn(|| limits.check_account(action, "s", "alice").ok()).take(1_000);
        assert_eq!(passing.count(), account, "{action:?}");
    }
}

#[test]
fn part_of_a_table_keeps_the_other_defaults_and_unknown_keys_are_refused() {
    let (limits, _) = limits("sign_in = { per_account = [] }");
    assert_eq!(passing(&limits, Action::SignIn), 10);
    assert!((0..100).all(|_| limits.check_account(Action::SignIn, "s", "a").is_ok()), "switched off");
    for toml in
        ["signin = {}", "sign_in = { per_user = \"1/1m\" }", "reset_attempt = { per_account = \"1/1m\" }"]
    {
        assert!(toml::from_str::<Settings>(toml).is_err(), "{toml}");
    }
}

#[test]
fn a_burst_passes_at_once_and_then_one_at_a_time() {
    let (limits, clock) = limits("sign_in = { per_client = \"5/10m\" }");
    assert_eq!(passing(&limits, Action::SignIn), 5);
    assert_eq!(limits.check_client(Action::SignIn, HERE).unwrap_err().as_duration().as_secs(), 120);
    clock.advance(Duration::from_millis(119_500));
    let wait = limits.check_client(Action::SignIn, HERE).unwrap_err();
    assert_eq!(wait.as_duration(), Duration::from_millis(500));
    clock.advance(Duration::from_millis(500));
    assert_eq!(passing(&limits, Action::SignIn), 1);
    clock.advance(10 * MINUTE);
    assert_eq!(passing(&limits, Action::SignIn), 5, "all of it comes back");
}

#[test]
fn several_rates_hold_together_and_what_is_refused_counts_in_none() {
    let (limits, clock) = limits("reset_request = { per_client = [\"5/10m\", \"6/60m\"] }");
    assert_eq!(passing(&limits, Action::ResetRequest), 5);
    // Refused by the first rate: the second must not be charged for it.
    for _ in 0..100 {
        assert!(limits.check_client(Action::ResetRequest, HERE).is_err());
    }
    clock.advance(2 * MINUTE);
    assert_eq!(passing(&limits, Action::ResetRequest), 1);
    clock.advance(2 * MINUTE);
    let wait = limits.check_client(Action::ResetRequest, HERE).unwrap_err();
    assert_eq!(
        wait.as_duration().as_secs(),
        6 * 60,
        "the longer wait counts: one leaks out every ten minutes"
    );
}

#[test]
fn clients_are_counted_by_their_network() {
    for (name, one, other, same) in [
        ("one IPv4 address", "192.0.2.1", "192.0.2.1", true),
        ("neighbours in IPv4", "192.0.2.1", "192.0.2.2", false),
        ("one IPv6 network", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("neighbours in IPv6", "2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("IPv4 written as IPv6", "192.0.2.1", "::ffff:192.0.2.1", true),
        ("two such", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
    ] {
        let (limits, _) = limits("sign_in = { per_client = \"1/1m\" }");
        limits.check_client(Action::SignIn, one.parse().unwrap()).unwrap();
        assert_eq!(limits.check_client(Action::SignIn, other.parse().unwrap()).is_err(), same, "{name}");
    }
}

/// Authelia CVE-2026-47203: a ban kept for each spelling was none.
#[test]
fn accounts_are_counted_in_every_spelling_and_by_site() {
    let (limits, _) = limits("sign_in = { per_account = \"1/1m\" }");
    limits.check_account(Action::SignIn, "intranet", "john").unwrap();
    for spelling in ["john", "John", " john ", "JOHN\u{a0}", "ｊｏｈｎ"] {
        assert!(limits.check_account(Action::SignIn, "intranet", spelling).is_err(), "{spelling:?}");
    }
    for (name, site, user) in [
        ("another account", "intranet", "joan"),
        ("another site", "shop", "john"),
        ("a site that ends otherwise", "intrane", "tjohn"),
    ] {
        assert!(limits.check_account(Action::SignIn, site, user).is_ok(), "{name}");
    }
    assert!(limits.check_account(Action::ResetRequest, "intranet", "john").is_ok(), "another action");
}

#[test]
fn signing_in_properly_is_never_limited_and_forgives_nobody_else() {
    let (limits, _) = limits("");
    let fail = || limits.check_account(Action::SignIn, "s", "alice");
    for _ in 0..4 {
        fail().unwrap();
    }
    for turn in 0..1_000 {
        limits.check_client(Action::SignIn, HERE).unwrap();
        assert!(limits.check_account(Action::SignIn, "s", "alice").is_ok(), "sign-in {turn}");
        limits.forgive_account(Action::SignIn, "s", "Alice ");
        limits.forgive_client(Action::SignIn, HERE);
    }
    fail().unwrap();
    assert!(fail().is_err(), "five failures, whatever succeeded in between");
}

#[test]
fn guesses_made_at_the_same_time_are_all_counted() {
    let (limits, _) = limits("");
    // None has an outcome yet.
    let passed = (0..100).filter(|_| limits.check_account(Action::SignIn, "s", "alice").is_ok()).count();
    assert_eq!(passed, 5);
}

#[test]
fn a_stranger_locks_nobody_out_for_longer_than_he_goes_on() {
    let (limits, clock) = limits("");
    for _ in 0..100_000 {
        let _ = limits.check_account(Action::SignIn, "s", "alice");
    }
    assert_eq!(limits.check_account(Action::SignIn, "s", "alice").unwrap_err().as_duration().as_secs(), 60);
    clock.advance(MINUTE);
    assert!(limits.check_account(Action::SignIn, "s", "alice").is_ok());
}

#[test]
fn a_clock_set_back_locks_nobody_out() {
    let (limits, clock) = limits("");
    assert_eq!(passing(&limits, Action::SignIn), 10);
    clock.set(Timestamp::from_millis(0));
    assert_eq!(
        limits.check_client(Action::SignIn, HERE).unwrap_err().as_duration().as_secs(),
        30,
        "no more than before"
    );
    clock.advance(5 * MINUTE);
    assert_eq!(passing(&limits, Action::SignIn), 10);
}

#[test]
fn a_clock_set_forward_lets_nobody_off() {
    let (limits, clock) = limits("");
    assert_eq!(passing(&limits, Action::SignIn), 10);
    clock.set(clock.now().after(60 * MINUTE));
    assert_eq!(passing(&limits, Action::SignIn), 0);
}

#[test]
fn forgiving_what_was_never_counted_gives_no_credit() {
    let (limits, clock) = limits("");
    for _ in 0..100 {
        limits.forgive_client(Action::SignIn, HERE);
    }
    assert_eq!(passing(&limits, Action::SignIn), 10);
    clock.advance(60 * MINUTE);
    for _ in 0..100 {
        limits.forgive_client(Action::SignIn, HERE);
    }
    assert_eq!(passing(&limits, Action::SignIn), 10);
}

#[test]
fn counts_are_forgotten_when_they_limit_nobody_any_more() {
    let (limits, clock) = limits("");
    limits.check_client(Action::SignIn, HERE).unwrap();
    limits.sweep();
    assert_eq!(limits.sign_in.client.keys(), 1);
    clock.advance(10 * MINUTE);
    limits.sweep();
    assert_eq!(limits.sign_in.client.keys(), 0);
}

#[test]
fn a_flood_of_clients_costs_bounded_memory_and_frees_none_that_is_limited() {
    let (limits, _) = limits("");
    assert_eq!(passing(&limits, Action::SignIn), 10);
    for number in 0..3 * MOST_KEYS as u128 {
        let client = IpAddr::V6((0x2001_0db8_u128 << 96 | number << 64).into());
        limits.check_client(Action::SignIn, client).unwrap();
    }
    assert!(limits.sign_in.client.keys() <= MOST_KEYS);
    assert!(limits.check_client(Action::SignIn, HERE).is_err(), "still limited");
}

#[test]
fn other_settings_keep_what_was_counted_by_those_that_stay() {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let settings = |text: &str| toml::from_str::<Settings>(text).unwrap();
    let client = "192.0.2.1".parse().unwrap();
    let limits = Limits::new(
        &settings(
            "reset_request = { per_client = [\"9/10m\", \"2/1h\"] }\nreset_attempt = { per_client = \"1/1m\" }",
        ),
        Arc::new(clock),
        &SystemRandom,
    );
    for _ in 0..2 {
        limits.check_client(Action::ResetRequest, client).unwrap();
    }
    limits.check_client(Action::ResetAttempt, client).unwrap();
    let limits = limits.renewed(&settings(
        "reset_request = { per_client = \"2/1h\" }\nreset_attempt = { per_client = \"2/1m\" }",
    ));
    assert!(limits.check_client(Action::ResetRequest, client).is_err(), "the same rate, the same counts");
    for allowed in [true, true, false] {
        assert_eq!(
            limits.check_client(Action::ResetAttempt, client).is_ok(),
            allowed,
            "another rate begins anew"
        );
    }
    let limits = limits.renewed(&settings("reset_request = { per_client = [] }"));
    assert!(limits.check_client(Action::ResetRequest, client).is_ok(), "no rate, no limit");
}

/// A ledger under a limiter that began later would read what it holds as far in the future.
#[test]
fn the_same_settings_again_lock_nobody_out_however_long_the_gate_was_up() {
    let (limits, clock) = limits("");
    clock.advance(30 * 24 * 60 * MINUTE);
    limits.check_client(Action::SignIn, HERE).unwrap();
    limits.forgive_client(Action::SignIn, HERE);
    limits.check_account(Action::ResetRequest, "s", "alice").unwrap();
    let limits = limits.renewed(&toml::from_str("").unwrap());
    assert_eq!(passing(&limits, Action::SignIn), 10);
    assert_eq!(
        limits.check_account(Action::ResetRequest, "s", "alice").map_err(|wait| wait.as_duration()),
        Ok(())
    );
}
