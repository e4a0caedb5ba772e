//! Browsers that are known to an account, because somebody has signed in with them (OWASP's "device cookie").
//!
//! Limits on guessing are limits on the account, too: who keeps guessing for it could keep its owner out. So a browser with which
//! somebody has signed in gets a cookie, and attempts with it are counted by themselves ([`crate::limits::SignInAttempt`]). The
//! cookie opens nothing: whoever steals it may guess like anybody else, in counts of its own. It holds, sealed, for each account
//! its names, a random id and when it was issued; it is good for that account at that site, for `[limits] known_browser`, and
//! until the account's password is set anew, on every gate of the store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::account;
use crate::clock::Timestamp;
use crate::random;
use crate::session::cookie::{self, Name};
use crate::visit::Visit;

const PURPOSE: &str = "known browser";
/// So many accounts can know one browser: a family's, or one person's at several sites of one host.
const MOST: usize = 4;
/// A longer entry is none of ours, and a longer name gets none.
const LONGEST: usize = 1024;
const LONGEST_NAME: usize = 128;

#[derive(Serialize, Deserialize)]
struct Entry {
    /// The name that was typed, in its canonical spelling.
    typed: String,
    /// The account's own name, likewise.
    account: String,
    /// What its attempts are counted by.
    id: String,
    issued: i64,
}

/// The id of this browser, if it is known to the account that goes by this name. Only a cookie that fits makes it ask the store,
/// so the time it takes tells nothing about accounts; a store that cannot answer knows no browser.
pub(super) async fn id(visit: &Visit<'_>, typed: &str) -> Option<String> {
    let entry = find(visit, typed)?;
    let revoked = visit.shared().browsers.browsers_revoked(key(&visit.site.users, &entry.account)).await;
    match revoked {
        Ok(revoked) => {
            revoked.is_none_or(|at| at <= Timestamp::from_millis(entry.issued)).then_some(entry.id)
        }
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "known browsers cannot be looked up in the store");
            None
        }
    }
}

/// The cookie by which this browser is known from now on to `account`, for which `typed` was typed, and to those it was before.
pub fn cookie(visit: &Visit<'_>, typed: &str, account: &str) -> Option<HeaderValue> {
    let shared = visit.shared();
    let lifetime = shared.config.limits.known_browser.as_duration();
    let (typed, account) = (account::canonical(typed), account::canonical(account));
    if lifetime.is_zero() || typed.len() > LONGEST_NAME || account.len() > LONGEST_NAME {
        return None;
    }
    let mut others: Vec<String> = entries(visit).collect();
    others.retain(|text| open(visit, text).is_none_or(|entry| entry.typed != typed));
    others.truncate(MOST - 1);
    let id = random::token::<16>(shared.random.as_ref());
    let entry = Entry { typed, account, id, issued: shared.clock.now().as_millis() };
    let plain = serde_json::to_vec(&entry).ok()?;
    let sealed = shared.sealer.seal(PURPOSE, visit.site.name.as_bytes(), &plain);
    others.insert(0, URL_SAFE_NO_PAD.encode(sealed));
    Some(cookie::set(Name::Browser, &visit.site.cookies, &others.join("."), Some(lifetime)))
}

/// From now on no browser is known to `account`: its password was set anew, perhaps because somebody else had it.
pub async fn forget_all(visit: &Visit<'_>, account: &str) {
    let (shared, account) = (visit.shared(), account::canonical(account));
    let key = key(&visit.site.users, &account);
    if let Err(error) = shared.browsers.revoke_browsers(key, shared.clock.now()).await {
        tracing::error!(id = visit.caller.request_id, %error, "known browsers cannot be forgotten in the store");
    }
}

fn find(visit: &Visit<'_>, typed: &str) -> Option<Entry> {
    let (shared, typed) = (visit.shared(), account::canonical(typed));
    let lifetime = shared.config.limits.known_browser.as_duration();
    let is_good = |entry: &Entry| {
        entry.typed == typed && shared.clock.now() < Timestamp::from_millis(entry.issued).after(lifetime)
    };
    entries(visit).filter_map(|text| open(visit, &text)).find(is_good)
}

/// What the browser brings, sealed; a sibling host may have added to it.
fn entries<'v>(visit: &'v Visit<'_>) -> impl Iterator<Item = String> + use<'v> {
    let values = cookie::values(visit.headers(), visit.site.cookies.of(Name::Browser));
    let texts = values.take(MOST).flat_map(|value| value.split(|byte| *byte == b'.').take(MOST));
    texts.filter(|text| text.len() <= LONGEST).filter_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        let ours = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        ours.then(|| text.to_owned())
    })
}

fn open(visit: &Visit<'_>, text: &str) -> Option<Entry> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let plain = visit.shared().sealer.open(PURPOSE, visit.site.name.as_bytes(), &bytes)?;
    serde_json::from_slice(&plain).ok()
}

/// What the store knows an account by, of which this is the canonical name, at whichever of the sites that share `users`. The name of
/// a site or of users has no slash, so no two are the same.
pub fn key(users: &str, account: &str) -> String {
    format!("{users}/{account}")
}
