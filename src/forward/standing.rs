//! How the backends of one site are doing, as all workers know it: who is in the way of how many requests, who failed, and which
//! one is next.
//!
//! The workers' [`Upstream`](super::Upstream)s and the conversations with the CMS's forms ask [`Standing::choose`] and report what
//! came of it. A backend that takes no connection, or breaks off before it answers, is left out for a time that doubles. That is a
//! preference and never a verdict: where none is left the one that failed longest ago is tried, so whoever can make a backend
//! break off closes no site by it. All of it is atomics: a request costs a handful of them and no lock.
//!
//! One that takes requests and is silent is told from one with a slow page by what it says to others: [`SILENCES`] requests in a row
//! that ran out of time, or whose visitor left after a long wait, and no answer to anybody in between, are a failure. Whatever it
//! answers begins the count anew, so a packing of the database that takes an hour leaves nobody out while pages are served beside it.
//! After its time it is on trial: it gets one request at a time until it answers one, since each may cost a visitor
//! `response_timeout`. A health check finds out sooner, and at no visitor's cost.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::Security;
use crate::account;
use crate::clock::{Clock, Timestamp};

/// How long a backend is left out after its first failure; twice as long after the next, and so on.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// And never longer than this: that long a backend that came back may go unnoticed.
const LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// So many requests in a row that it let go unanswered are a failure. One may be a slow page, and two its visitor's impatience.
const SILENCES: u32 = 3;
/// Who leaves sooner tells nothing of the backend.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// What visitors are told to wait at least when there is no backend.
const SHORTEST_WAIT: Duration = Duration::from_secs(10);

/// Where one backend is.
#[derive(Clone)]
pub struct Member {
    /// The host to connect to; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How to speak TLS with it, where its address is https.
    pub security: Option<Security>,
}

/// The backends of one site.
pub struct Standing {
    members: Vec<(Member, State)>,
    sticky: bool,
    checked: bool,
    /// Who is asked first among equals.
    turn: AtomicUsize,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    in_flight: AtomicUsize,
    /// Ejections since it last answered.
    failures: AtomicU32,
    /// In milliseconds, as [`Timestamp`]; 0 for never.
    failed_at: AtomicI64,
    out_until: AtomicI64,
    /// Requests it let go unanswered since it last answered one.
    silences: AtomicU32,
    /// What its last health check said.
    is_down: AtomicBool,
}

impl Standing {
    /// All of them up. `settings` says whether they are chosen by who is signed in, and whether they are checked.
    pub fn new(members: Vec<Member>, settings: &super::Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            members: members.into_iter().map(|member| (member, State::default())).collect(),
            sticky: settings.sticky,
            checked: settings.health_check.is_some(),
            turn: AtomicUsize::new(0),
            clock,
        }
    }

    /// Takes over what `before`, of the same site in another configuration, knew of backends that there still are.
    pub(crate) fn resume(&self, before: &Self) {
        for (member, state) in &self.members {
            let same = |known: &&(Member, State)| known.0.host == member.host && known.0.port == member.port;
            let Some((_, known)) = before.members.iter().find(same) else { continue };
            state.failures.store(known.failures.load(Ordering::Relaxed), Ordering::Relaxed);
            state.failed_at.store(known.failed_at.load(Ordering::Relaxed), Ordering::Relaxed);
            state.out_until.store(known.out_until.load(Ordering::Relaxed), Ordering::Relaxed);
            state.silences.store(known.silences.load(Ordering::Relaxed), Ordering::Relaxed);
            // Without checks nobody would ever find it up again.
            let is_down = self.checked && known.is_down.load(Ordering::Relaxed);
            state.is_down.store(is_down, Ordering::Relaxed);
        }
    }

    /// Where they are, in the order of `backend_url`.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.iter().map(|(member, _)| member)
    }

    pub(crate) fn member(&self, at: usize) -> Option<&Member> {
        self.members.get(at).map(|(member, _)| member)
    }

    /// The backend for a request: the one that belongs to `whom`, if they are sticky, or else the one with the fewest requests in
    /// flight; of those that are up, or else the one that failed longest ago. Never `not`; so `None` where that is the only one.
    pub(crate) fn choose(&self, whom: Option<Whom>, not: Option<usize>) -> Option<usize> {
        let count = self.members.len();
        if count < 2 {
            return (count == 1 && not.is_none()).then_some(0);
        }
        let now = self.clock.now();
        let first = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(count)?;
        let others = || {
            let all = self.members.iter().enumerate();
            all.clone().skip(first).chain(all.take(first)).filter(move |(at, _)| Some(*at) != not)
        };
        let up = || others().filter(|(_, (_, state))| state.is_up(now));
        let chosen = match whom.filter(|_| self.sticky) {
            Some(whom) => up().max_by_key(|(at, _)| whom.weight(*at)),
            None => up().min_by_key(|(_, (_, state))| state.in_flight.load(Ordering::Relaxed)),
        };
        let chosen =
            chosen.or_else(|| others().min_by_key(|(_, (_, state))| state.failed_at.load(Ordering::Relaxed)));
        chosen.map(|(at, _)| at)
    }

    /// One more request in flight there, until what is given back is dropped.
    pub(crate) fn enter(self: &Arc<Self>, at: usize) -> Seat {
        if let Some((_, state)) = self.members.get(at) {
            state.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Seat { standing: Arc::clone(self), at }
    }

    /// It took no connection, or broke off before it answered.
    pub(crate) fn failed(&self, at: usize) {
        let Some((member, state)) = self.members.get(at) else { return };
        let now = self.clock.now();
        state.failed_at.store(now.as_millis(), Ordering::Relaxed);
        // Those that were on their way when it went away found out about the same failure.
        if state.out_for(now).is_some() {
            return;
        }
        let before = state.failures.fetch_add(1, Ordering::Relaxed);
        let span = FIRST_EJECTION.saturating_mul(1 << before.min(5)).min(LONGEST_EJECTION);
        state.out_until.store(now.after(span).as_millis(), Ordering::Relaxed);
        if self.members.len() > 1 {
            tracing::warn!(
                backend = at,
                host = member.host,
                port = member.port,
                ?span,
                "a backend failed and is left out"
            );
        }
    }

    /// A request got no answer in the time that it has.
    pub(crate) fn was_silent(&self, at: usize) {
        let Some((_, state)) = self.members.get(at) else { return };
        let before = state.silences.fetch_add(1, Ordering::Relaxed);
        if before.saturating_add(1) >= SILENCES {
            self.failed(at);
        }
    }

    /// Nobody waits any more for an answer that had not come after so long.
    fn was_left(&self, at: usize, waited: Duration) {
        if waited >= LONG_WAIT {
            self.was_silent(at);
        }
    }

    /// It answered.
    pub(crate) fn worked(&self, at: usize) {
        let Some((member, state)) = self.members.get(at) else { return };
        // Written only when it changes, so that workers do not take the line from each other at every request.
        if state.silences.load(Ordering::Relaxed) > 0 {
            state.silences.store(0, Ordering::Relaxed);
        }
        if state.failures.load(Ordering::Relaxed) > 0 {
            state.failures.store(0, Ordering::Relaxed);
            state.out_until.store(0, Ordering::Relaxed);
            if self.members.len() > 1 {
                tracing::info!(
                    backend = at,
                    host = member.host,
                    port = member.port,
                    "a backend answers again"
                );
            }
        }
    }

    /// What a health check found. One that is down stays so until a check finds it up.
    pub(crate) fn checked(&self, at: usize, is_up: bool) {
        let Some((member, state)) = self.members.get(at) else { return };
        let was_down = state.is_down.swap(!is_up, Ordering::Relaxed);
        if is_up {
            self.worked(at);
        } else {
            state.failed_at.store(self.clock.now().as_millis(), Ordering::Relaxed);
        }
        if was_down == is_up {
            tracing::warn!(
                backend = at,
                host = member.host,
                port = member.port,
                is_up,
                "the health check of a backend says otherwise now"
            );
        }
    }

    /// Whether a backend is chosen as long as others are, too.
    pub fn is_up(&self, at: usize) -> bool {
        let now = self.clock.now();
        self.members.get(at).is_some_and(|(_, state)| state.is_up(now))
    }

    /// How long to wait when all are known to be out. A single backend that nobody checks is known by trying alone: never.
    pub fn gone_for(&self) -> Option<Duration> {
        let now = self.clock.now();
        let is_gone = (self.members.len() > 1 || self.checked)
            && !self.members.iter().any(|(_, state)| state.is_up(now));
        let back = self.members.iter().filter_map(|(_, state)| state.out_for(now)).min();
        is_gone.then(|| back.unwrap_or_default().max(SHORTEST_WAIT))
    }
}

impl State {
    fn is_up(&self, now: Timestamp) -> bool {
        !self.is_down.load(Ordering::Relaxed) && self.out_for(now).is_none() && !self.is_being_tried()
    }

    /// Whether it was silent, and somebody waits already to see whether it still is.
    fn is_being_tried(&self) -> bool {
        self.silences.load(Ordering::Relaxed) >= SILENCES && self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// How long it is still left out. More than the longest time means that the clock was set back: then it is not.
    fn out_for(&self, now: Timestamp) -> Option<Duration> {
        let left = Timestamp::from_millis(self.out_until.load(Ordering::Relaxed)).since(now);
        (!left.is_zero() && left <= LONGEST_EJECTION).then_some(left)
    }
}

/// One request in flight at a backend.
pub(crate) struct Seat {
    standing: Arc<Standing>,
    at: usize,
}

impl Seat {
    /// Whoever was served here waits no more.
    pub(super) fn was_left(&self, waited: Duration) {
        self.standing.was_left(self.at, waited);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((_, state)) = self.standing.members.get(self.at) {
            state.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// For whom a request is, as far as a sticky choice needs it: a hash of the account. It is the account and not the session, so
/// that the conversation that signs somebody in has the backend that will know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whom(u64);

impl Whom {
    /// Of an account, however its name was typed.
    pub fn of(user: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        account::canonical(user).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Each backend has a weight for each account and the heaviest wins (rendezvous hashing): when one is out, only its own move.
    fn weight(self, at: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0, at).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::forward::Settings;

    fn standing(count: u16, settings: &Settings) -> (Arc<Standing>, ManualClock) {
        let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
        let members = (0..count).map(|port| Member { host: "h".to_owned(), port, security: None });
        (Arc::new(Standing::new(members.collect(), settings, Arc::new(clock.clone()))), clock)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_fewest_requests_in_flight_are_chosen_and_equals_take_turns() {
        let (standing, _) = standing(3, &Settings::default());
        let turns: Vec<_> = (0..3).filter_map(|_| standing.choose(None, None)).collect();
        assert_eq!(turns, [0, 1, 2]);
        let seats = [standing.enter(0), standing.enter(2)];
        assert!((0..6).all(|_| standing.choose(None, None) == Some(1)));
        drop(seats);
        assert!((0..3).any(|_| standing.choose(None, None) == Some(0)));
    }

    #[test]
    fn a_backend_is_left_out_for_a_time_that_doubles_up_to_half_a_minute() {
        let (standing, clock) = standing(2, &Settings::default());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            standing.failed(0);
            standing.failed(0);
            clock.advance(SECOND * seconds - Duration::from_millis(1));
            assert!(!standing.is_up(0), "{seconds}");
            assert!((0..4).all(|_| standing.choose(None, None) == Some(1)));
            clock.advance(Duration::from_millis(1));
            assert!(standing.is_up(0), "{seconds}");
        }
        standing.worked(0);
        standing.failed(0);
        clock.advance(SECOND);
        assert!(standing.is_up(0), "an answer makes it begin anew");
    }

    #[test]
    fn a_reload_forgets_no_failure_and_leaves_nobody_out_for_good() {
        let checked: Settings = toml::from_str("health_check = { path = \"/ok\" }").unwrap();
        for (settings, down_stays) in [(&checked, true), (&Settings::default(), false)] {
            let (before, clock) = standing(3, &checked);
            before.failed(0);
            before.checked(1, false);
            let members = [2, 1, 0, 3].map(|port| Member { host: "h".to_owned(), port, security: None });
            let after = Standing::new(members.into(), settings, Arc::new(clock));
            after.resume(&before);
            let up: Vec<bool> = (0..4).map(|at| after.is_up(at)).collect();
            assert_eq!(up, [true, !down_stays, false, true]);
        }
    }

    #[test]
    fn a_clock_set_back_leaves_nobody_out() {
        let (standing, clock) = standing(2, &Settings::default());
        standing.failed(0);
        clock.set(Timestamp::from_millis(1_600_000_000_000));
        assert!(standing.is_up(0));
    }

    #[test]
    fn with_all_out_the_one_that_failed_longest_ago_is_tried() {
        let (standing, clock) = standing(3, &Settings::default());
        for at in [1, 2, 0] {
            standing.failed(at);
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(standing.choose(None, None), Some(1));
        assert_eq!(standing.choose(None, Some(1)), Some(2));
        assert_eq!(standing.gone_for(), Some(SHORTEST_WAIT));
        clock.advance(SECOND);
        assert_eq!(standing.gone_for(), None);
    }

    #[test]
    fn who_lets_requests_go_unanswered_is_left_out_unless_somebody_is_answered() {
        use Event::{Answer, Left, Silence};
        enum Event {
            Silence,
            Left(u64),
            Answer,
        }
        for (name, events, is_up) in [
            ("a slow page", &[Silence][..], true),
            ("and somebody who tries it again", &[Silence, Silence], true),
            ("nothing at all", &[Silence, Silence, Silence], false),
            (
                "slow pages beside others",
                &[Silence, Silence, Answer, Silence, Silence, Answer, Silence],
                true,
            ),
            ("visitors who wait in vain", &[Left(10), Silence, Left(60)], false),
            ("visitors who change their mind", &[Left(9), Left(1), Left(0), Left(9)], true),
        ] {
            let (standing, _) = standing(2, &Settings::default());
            for event in events {
                match event {
                    Silence => standing.was_silent(0),
                    Left(seconds) => standing.was_left(0, SECOND * u32::try_from(*seconds).unwrap()),
                    Answer => standing.worked(0),
                }
            }
            assert_eq!(standing.is_up(0), is_up, "{name}");
        }
    }

    #[test]
    fn who_was_silent_gets_one_request_at_a_time_until_it_answers() {
        let (standing, clock) = standing(2, &Settings::default());
        let other = |standing: &Arc<Standing>| (0..4).all(|_| standing.choose(None, None) == Some(1));
        (0..SILENCES).for_each(|_| standing.was_silent(0));
        assert!(other(&standing));
        clock.advance(SECOND);
        assert!(!other(&standing), "it is tried again");
        let trial = standing.enter(0);
        assert!(other(&standing), "by one alone");
        drop(trial);
        standing.was_silent(0);
        clock.advance(SECOND);
        assert!(other(&standing), "one silence more is enough now, and it is out for twice as long");
        clock.advance(SECOND);
        assert!(!other(&standing));
        let _trial = standing.enter(0);
        standing.worked(0);
        let _other = [standing.enter(1), standing.enter(1)];
        assert_eq!(standing.choose(None, None), Some(0), "it answered, and has its share again");
    }

    #[test]
    fn a_single_backend_is_always_tried_and_never_twice() {
        let (standing, _) = standing(1, &Settings::default());
        standing.failed(0);
        assert_eq!((standing.choose(None, None), standing.choose(None, Some(0))), (Some(0), None));
        assert_eq!(standing.gone_for(), None);
    }

    #[test]
    fn who_is_sticky_moves_only_while_their_own_backend_is_out() {
        let settings = Settings { sticky: true, ..Settings::default() };
        let (standing, clock) = standing(3, &settings);
        let people: Vec<Whom> = (0..60).map(|number| Whom::of(&format!("user{number}"))).collect();
        let homes: Vec<_> = people.iter().map(|whom| standing.choose(Some(*whom), None)).collect();
        assert!((0..3).all(|at| homes.contains(&Some(at))), "all of them have somebody");
        assert_eq!(Whom::of(" USER1 "), Whom::of("user1"));
        standing.failed(1);
        for (whom, home) in people.iter().zip(&homes) {
            let now = standing.choose(Some(*whom), None);
            assert_eq!(now == *home, *home != Some(1));
        }
        clock.advance(SECOND);
        let back: Vec<_> = people.iter().map(|whom| standing.choose(Some(*whom), None)).collect();
        assert_eq!(back, homes);
    }

    #[test]
    fn what_a_check_found_down_is_out_until_a_check_finds_it_up() {
        let (standing, clock) = standing(2, &Settings::default());
        standing.checked(0, false);
        clock.advance(SECOND * 3600);
        standing.worked(0);
        assert!(!standing.is_up(0));
        standing.checked(0, true);
        assert!(standing.is_up(0));
    }
}
