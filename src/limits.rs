//! How often somebody may try: to sign in, to ask for a reset mail, to use a reset link.
//!
//! Two counts for each: one per client network (an IPv4 address, or the /64 that an IPv6 customer gets at
//! least), and one per account, by what all its [spellings](account::counted) share, whether it exists or not.
//! The arithmetic is governor's (GCRA, a leaky bucket): `"5/10m"` lets five through at once and then one
//! every two minutes. So never more than five at once, and never more than ten in any ten minutes.
//!
//! Called by the pages before anything is looked up. Counting comes first and is taken back when the
//! attempt turns out not to be a failure ([`Limits::forgive_account`]): counting afterwards would let any
//! number of guesses through that are made at the same time. So whoever signs in properly is never limited,
//! nor is an office behind one address.
//!
//! Defends against: guessing passwords from one place or for one account, mail bombs, and the same under
//! other spellings (Authelia CVE-2026-47203). What it keeps is bounded, whatever comes from outside.
//! Signing in is counted in three more ways, see [`regulation`]: waits that grow, one client failing for many accounts, many
//! clients failing for one; and a browser that is known to an account has counts of its own.
//! Does not defend against many clients guessing once each for many accounts; and a stranger who keeps failing for an account
//! can keep its allowance used up while he goes on, no longer than that, for browsers that the account does not know.

mod bucket;
pub(crate) mod crowd;
mod growing;
mod regulation;
mod spread;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use self::bucket::{Buckets, SteadyClock};
use self::regulation::Regulation;
pub use self::regulation::{Delay, SignInAttempt, Stuffing, Suspicion};
use crate::account;
use crate::clock::Clock;
use crate::config::values::{Rate, Rates, Span};
use crate::observe::metrics::Tally;
use crate::random::{self, Random};

/// The section `[limits]`. An empty list of rates switches a limit off.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Signing in; what succeeds is not counted.
    pub sign_in: SignIn,
    /// Waits between failures to sign in.
    pub sign_in_delay: Delay,
    /// Failures across accounts.
    pub stuffing: Stuffing,
    /// How long a browser is known to an account after somebody has signed in with it; default `"180d"`. `"0"`: none is.
    pub known_browser: Span,
    /// Asking for a reset mail.
    pub reset_request: ResetRequest,
    /// Setting a new password by a reset link.
    pub reset_attempt: ResetAttempt,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sign_in: SignIn::default(),
            sign_in_delay: Delay::default(),
            stuffing: Stuffing::default(),
            known_browser: Span::minutes(180 * 24 * 60),
            reset_request: ResetRequest::default(),
            reset_attempt: ResetAttempt::default(),
        }
    }
}

/// `[limits] sign_in`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignIn {
    /// Failures from one client network; default `"10/5m"`.
    pub per_client: Rates,
    /// Failures for one account, from anywhere; default `"5/5m"`.
    pub per_account: Rates,
}

impl Default for SignIn {
    fn default() -> Self {
        Self { per_client: rates(&[(10, 5)]), per_account: rates(&[(5, 5)]) }
    }
}

/// `[limits] reset_request`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResetRequest {
    /// Requests from one client network; default `["5/10m", "15/30m"]`.
    pub per_client: Rates,
    /// Requests for one account, from anywhere; default `"3/1h"`.
    pub per_account: Rates,
}

impl Default for ResetRequest {
    fn default() -> Self {
        Self { per_client: rates(&[(5, 10), (15, 30)]), per_account: rates(&[(3, 60)]) }
    }
}

/// `[limits] reset_attempt`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResetAttempt {
    /// Attempts from one client network; default `"10/1m"`.
    pub per_client: Rates,
}

impl Default for ResetAttempt {
    fn default() -> Self {
        Self { per_client: rates(&[(10, 1)]) }
    }
}

/// Rates given as count and minutes.
fn rates(rates: &[(u32, u64)]) -> Rates {
    Rates(
        rates
            .iter()
            .map(|&(count, minutes)| Rate { count, per: Duration::from_secs(minutes * 60) })
            .collect(),
    )
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Signing in with a password.
    SignIn,
    /// Asking for a reset mail.
    ResetRequest,
    /// Setting a new password by a reset link; has no limit per account, for the link names none.
    ResetAttempt,
    /// Opening a reset link. It is never refused, but what goes beyond 30 a minute from one client is not written down one by one: a
    /// stranger who makes up links would drive everything else from the audit trail.
    LinkOpening,
}

/// [`Action::LinkOpening`], for each client. An office behind one address, and the scanner of its mail server, stay below.
const OPENINGS: &[(u32, u64)] = &[(30, 1)];

impl Action {
    /// Its name in metrics, and in `[limits]` where it can be set there.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::ResetRequest => "reset_request",
            Self::ResetAttempt => "reset_attempt",
            Self::LinkOpening => "link_opening",
        }
    }
}

/// All counts of this process; shared by every worker.
pub struct Limits {
    sign_in: Counts,
    regulation: Regulation,
    reset_request: Counts,
    reset_attempt: Counts,
    link_opening: Counts,
    limited: Arc<Tally>,
    clock: SteadyClock,
    /// Accounts are kept under a hash that means nothing outside this process: what people type into the
    /// name's field is now and then their password.
    account_key: Zeroizing<[u8; 32]>,
}

impl Limits {
    /// No counts yet.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        let clock = SteadyClock::new(clock);
        let counts = |client: &Rates, account: &[Rate]| Counts {
            client: Buckets::new(&client.0, &clock),
            account: Buckets::new(account, &clock),
        };
        let Settings { sign_in, reset_request, reset_attempt, .. } = settings;
        Self {
            sign_in: counts(&sign_in.per_client, &sign_in.per_account.0),
            regulation: Regulation::new(&settings.sign_in_delay, &settings.stuffing, &clock),
            reset_request: counts(&reset_request.per_client, &reset_request.per_account.0),
            reset_attempt: counts(&reset_attempt.per_client, &[]),
            link_opening: counts(&rates(OPENINGS), &[]),
            limited: Arc::default(),
            clock,
            account_key: Zeroizing::new(random::bytes(random)),
        }
    }

    /// By other settings. Whoever has to wait goes on waiting, as long as these say: what is counted stays counted, except for
    /// rates that there were not before, which begin at nothing.
    pub fn renewed(&self, settings: &Settings) -> Self {
        let counts = |counts: &Counts, client: &Rates, account: &[Rate]| Counts {
            client: counts.client.renewed(&client.0, &self.clock),
            account: counts.account.renewed(account, &self.clock),
        };
        let Settings { sign_in, reset_request, reset_attempt, .. } = settings;
        Self {
            sign_in: counts(&self.sign_in, &sign_in.per_client, &sign_in.per_account.0),
            regulation: self.regulation.renewed(&settings.sign_in_delay, &settings.stuffing),
            reset_request: counts(
                &self.reset_request,
                &reset_request.per_client,
                &reset_request.per_account.0,
            ),
            reset_attempt: counts(&self.reset_attempt, &reset_attempt.per_client, &[]),
            link_opening: counts(&self.link_opening, &rates(OPENINGS), &[]),
            limited: Arc::clone(&self.limited),
            clock: self.clock.clone(),
            account_key: self.account_key.clone(),
        }
    }

    /// Counts an attempt from `client`, unless that is one too many; what is refused is not counted.
    ///
    /// # Errors
    /// When the client may try again.
    pub fn check_client(&self, action: Action, client: IpAddr) -> Result<(), RetryAfter> {
        let counted = self.counts(action).client.count(network(client));
        counted.map_err(|wait| self.refuse(action, "client", wait))
    }

    /// Counts an attempt for `user` at `site`, unless that is one too many; what is refused is not counted.
    /// Call it after [`Self::check_client`] has passed, so that one client alone cannot use up the
    /// allowances of many accounts.
    ///
    /// # Errors
    /// When there may be another attempt.
    pub fn check_account(&self, action: Action, site: &str, user: &str) -> Result<(), RetryAfter> {
        let counted = self.counts(action).account.count(self.account(site, user));
        counted.map_err(|wait| self.refuse(action, "account", wait))
    }

    /// Takes back what [`Self::check_client`] has counted: it was no failure, or nobody can tell.
    pub fn forgive_client(&self, action: Action, client: IpAddr) {
        self.counts(action).client.take_back(network(client));
    }

    /// Takes back what [`Self::check_account`] has counted: the password was right, or the backend gave no
    /// verdict. What others failed at for the same account stays counted.
    pub fn forgive_account(&self, action: Action, site: &str, user: &str) {
        self.counts(action).account.take_back(self.account(site, user));
    }

    /// Forgets what no longer limits anybody; call it every minute or so.
    pub fn sweep(&self) {
        for counts in [&self.sign_in, &self.reset_request, &self.reset_attempt, &self.link_opening] {
            counts.client.sweep();
            counts.account.sweep();
        }
        self.regulation.sweep();
    }

    /// How often something was one too many, by action and by what was limited.
    pub fn limited(&self) -> &Arc<Tally> {
        &self.limited
    }

    fn refuse(&self, action: Action, by: &'static str, wait: Duration) -> RetryAfter {
        self.limited.count(action.as_str(), by);
        RetryAfter(wait)
    }

    fn counts(&self, action: Action) -> &Counts {
        match action {
            Action::SignIn => &self.sign_in,
            Action::ResetRequest => &self.reset_request,
            Action::ResetAttempt => &self.reset_attempt,
            Action::LinkOpening => &self.link_opening,
        }
    }

    #[expect(clippy::expect_used)] // RFC 2104: a key of any length will do.
    fn account(&self, site: &str, user: &str) -> u128 {
        let code = Hmac::<Sha256>::new_from_slice(&*self.account_key)
            .expect("any key fits")
            .chain_update(site)
            .chain_update([0])
            .chain_update(account::counted(user))
            .finalize()
            .into_bytes();
        // Half of it is still far from any collision.
        code.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
    }
}

struct Counts {
    client: Buckets,
    account: Buckets,
}

/// The client's network, as everything here counts: an IPv4 address, or the first 64 bits of an IPv6 address. The two do not meet: IPv4 is written into the
/// lower half, which is zero in the other.
pub fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(client) => client.to_ipv6_mapped().to_bits(),
        IpAddr::V6(client) => client.to_bits() >> 64 << 64,
    }
}

/// How long until there may be another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// As a span.
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests;
