//! The time that sessions are judged by: it passes as the machine's own seconds do, whatever its clock is set to.
//!
//! In memory a session's moments lie on this line; it began as the wall clock's when the process started, and goes on by the
//! monotonic clock. So a clock that is set forward by a day signs nobody out, and one that is set back keeps nobody longer.
//! In the store they are written as the wall clock shows them at the moment of writing, for another process, or this one after a restart,
//! has nothing else to go by: there, the wall clock is believed, but for moments that lie ahead of it (see
//! [`Session::heed_clock`](super::Session)). Whoever notices a jump therefore writes all sessions anew ([`Steady::has_jumped`]).
//!
//! Not counted is the time for which a machine is suspended, on Linux.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, Timestamp};

/// Corrections below this are no jump: clocks are slewed by less all the time, in milliseconds.
const JUMP: i64 = 2_000;

/// The steady time, and how far the wall clock is from it.
pub(super) struct Steady {
    clock: Arc<dyn Clock>,
    /// What the wall clock showed when nothing had elapsed yet, in milliseconds.
    origin: i64,
    /// By how much the wall clock was ahead when last looked at.
    known_skew: AtomicI64,
}

impl Steady {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let origin = clock.now().as_millis().saturating_sub(elapsed(&*clock));
        Self { clock, origin, known_skew: AtomicI64::new(0) }
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.origin.saturating_add(elapsed(&*self.clock)))
    }

    /// What the wall clock would have shown then, set as it is now.
    pub(super) fn on_the_wall(&self, moment: Timestamp) -> Timestamp {
        Timestamp::from_millis(moment.as_millis().saturating_add(self.skew()))
    }

    /// The moment for which the wall clock, set as it is now, would have shown this.
    pub(super) fn off_the_wall(&self, shown: Timestamp) -> Timestamp {
        Timestamp::from_millis(shown.as_millis().saturating_sub(self.skew()))
    }

    /// By how many milliseconds the wall clock has been set since this was last asked, if it has.
    pub(super) fn has_jumped(&self) -> Option<i64> {
        let skew = self.skew();
        let jump = skew.saturating_sub(self.known_skew.load(Ordering::Relaxed));
        if jump.saturating_abs() < JUMP {
            return None;
        }
        self.known_skew.store(skew, Ordering::Relaxed);
        Some(jump)
    }

    fn skew(&self) -> i64 {
        self.clock.now().as_millis().saturating_sub(self.now().as_millis())
    }
}

fn elapsed(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX)
}
