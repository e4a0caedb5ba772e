//! Attempts to sign in, regulated: rates, growing waits, and one hand at many accounts or many hands at one.
//!
//! An attempt from a browser that is [known](crate::identity::known) to the account has counts of its own and passes by all
//! others: whatever strangers do, from wherever, the person at that browser is not locked out by it. Everybody else is counted by
//! client network and by account, before anybody is asked and whether there is such an account or not.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bucket::SteadyClock;
use super::growing::{Growing, Growth};
use super::spread::Spread;
use super::{Action, Limits, RetryAfter, network};
use crate::config::values::Span;

/// `[limits] sign_in_delay`: each failure after some doubles the wait until the next attempt.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Delay {
    /// From how many failures for one account on; default 3, 0: never.
    pub per_account_after: u32,
    /// From how many failures from one client network on; default 10, 0: never.
    pub per_client_after: u32,
    /// The first wait; default `"1s"`.
    pub first: Span,
    /// The longest; default `"5m"`, `"0"`: none ever.
    pub most: Span,
    /// Without an attempt for so long, failures are forgotten; default `"1h"`.
    pub forget: Span,
}

impl Default for Delay {
    fn default() -> Self {
        Self {
            per_account_after: 3,
            per_client_after: 10,
            first: Span::seconds(1),
            most: Span::minutes(5),
            forget: Span::minutes(60),
        }
    }
}

impl Delay {
    fn growth(&self, after: u32) -> Growth {
        Growth {
            after,
            first: self.first.as_duration(),
            most: self.most.as_duration(),
            forget: self.forget.as_duration(),
        }
    }
}

/// `[limits] stuffing`: what looks like lists of stolen passwords being tried.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stuffing {
    /// For so many different accounts, a client network that fails is refused; default 20, 0: never. An account that it
    /// signs in to afterwards counts no more.
    pub accounts_per_client: u32,
    /// Of so many different client networks failing for one account operators are told; default 20, 0: never. (What such an
    /// account needs is done by the limits per account.)
    pub clients_per_account: u32,
    /// Within this time; default `"1h"`.
    pub within: Span,
}

impl Default for Stuffing {
    fn default() -> Self {
        Self { accounts_per_client: 20, clients_per_account: 20, within: Span::minutes(60) }
    }
}

/// Somebody tries to sign in.
#[derive(Clone, Copy, Debug)]
pub struct SignInAttempt<'a> {
    /// At this site.
    pub site: &'a str,
    /// As this user, however spelled.
    pub user: &'a str,
    /// From here.
    pub client: IpAddr,
    /// From this browser, which is known to that very account.
    pub browser: Option<&'a str>,
}

/// What failures look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// One client network fails for many accounts. It is refused until they are fewer.
    ManyAccounts,
    /// Many client networks fail for one account.
    ManyClients,
}

impl Suspicion {
    /// Its name in the audit trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ManyAccounts => "many_accounts",
            Self::ManyClients => "many_clients",
        }
    }
}

/// The counts for signing in beside the rates.
pub(super) struct Regulation {
    accounts: Growing,
    clients: Growing,
    accounts_of_client: Spread,
    clients_of_account: Spread,
}

impl Regulation {
    pub(super) fn new(delay: &Delay, stuffing: &Stuffing, clock: &SteadyClock) -> Self {
        let within = stuffing.within.as_duration();
        Self {
            accounts: Growing::new(delay.growth(delay.per_account_after), clock),
            clients: Growing::new(delay.growth(delay.per_client_after), clock),
            accounts_of_client: Spread::new(stuffing.accounts_per_client, within, clock),
            clients_of_account: Spread::new(stuffing.clients_per_account, within, clock),
        }
    }

    /// The same counts under other settings.
    pub(super) fn renewed(&self, delay: &Delay, stuffing: &Stuffing) -> Self {
        let within = stuffing.within.as_duration();
        Self {
            accounts: self.accounts.renewed(delay.growth(delay.per_account_after)),
            clients: self.clients.renewed(delay.growth(delay.per_client_after)),
            accounts_of_client: self.accounts_of_client.renewed(stuffing.accounts_per_client, within),
            clients_of_account: self.clients_of_account.renewed(stuffing.clients_per_account, within),
        }
    }

    pub(super) fn sweep(&self) {
        self.accounts.sweep();
        self.clients.sweep();
        self.accounts_of_client.sweep();
        self.clients_of_account.sweep();
    }
}

impl Limits {
    /// Counts an attempt as failed, unless it is one too many; what is refused is not counted. Follow it with exactly one of
    /// [`Self::forgive_sign_in`] and [`Self::failed_sign_in`].
    ///
    /// # Errors
    /// When there may be another attempt.
    pub fn begin_sign_in(&self, attempt: &SignInAttempt<'_>) -> Result<(), RetryAfter> {
        let (regulation, client, account) =
            (&self.regulation, network(attempt.client), self.account_of(attempt));
        let account_counts = || {
            self.counts(Action::SignIn).account.count(account)?;
            regulation
                .accounts
                .count(account)
                .inspect_err(|_| self.counts(Action::SignIn).account.take_back(account))
        };
        if attempt.browser.is_some() {
            return account_counts().map_err(|wait| self.refuse(Action::SignIn, "browser", wait));
        }
        if let Some(wait) = regulation.accounts_of_client.too_many(client) {
            return Err(self.refuse(Action::SignIn, "stuffing", wait));
        }
        // The client first, so that one client alone cannot use up the allowances of many accounts.
        self.check_client(Action::SignIn, attempt.client)?;
        let counted = regulation.clients.count(client).map_err(|wait| ("client", wait)).and_then(|()| {
            account_counts()
                .inspect_err(|_| regulation.clients.take_back(client))
                .map_err(|wait| ("account", wait))
        });
        counted.map_err(|(by, wait)| {
            self.forgive_client(Action::SignIn, attempt.client);
            self.refuse(Action::SignIn, by, wait)
        })
    }

    /// Takes back what [`Self::begin_sign_in`] has counted: the password was right, or nobody can tell. `succeeded` also
    /// clears the client and the account of having failed for each other.
    pub fn forgive_sign_in(&self, attempt: &SignInAttempt<'_>, succeeded: bool) {
        let (client, account) = (network(attempt.client), self.account_of(attempt));
        self.counts(Action::SignIn).account.take_back(account);
        self.regulation.accounts.take_back(account);
        if attempt.browser.is_none() {
            self.forgive_client(Action::SignIn, attempt.client);
            self.regulation.clients.take_back(client);
            if succeeded {
                self.regulation.accounts_of_client.remove(client, account);
                self.regulation.clients_of_account.remove(account, client);
            }
        }
    }

    /// Lets what [`Self::begin_sign_in`] has counted stand; says what it has just begun to look like.
    pub fn failed_sign_in(&self, attempt: &SignInAttempt<'_>) -> Vec<Suspicion> {
        if attempt.browser.is_some() {
            return Vec::new();
        }
        let (client, account) = (network(attempt.client), self.account_of(attempt));
        let accounts = self.regulation.accounts_of_client.add(client, account);
        let clients = self.regulation.clients_of_account.add(account, client);
        let all = [(accounts, Suspicion::ManyAccounts), (clients, Suspicion::ManyClients)];
        all.into_iter().filter_map(|(is, suspicion)| is.then_some(suspicion)).collect()
    }

    /// The key of the account, or of the account at that browser.
    fn account_of(&self, attempt: &SignInAttempt<'_>) -> u128 {
        match attempt.browser {
            // Nobody types this name: the browser's id is secret.
            Some(browser) => self.account(attempt.site, &format!("{}\0{browser}", attempt.user)),
            None => self.account(attempt.site, attempt.user),
        }
    }
}

#[cfg(test)]
mod tests;
