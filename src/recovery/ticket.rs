//! A reset token between its link and the form: in a cookie that only the gate can read.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::session::cookie::{self, Name};
use crate::visit::Visit;

/// A reset link that somebody has opened.
#[derive(Debug)]
pub struct Ticket {
    /// The token.
    pub token: Secret,
    /// The account, where the link names it.
    pub user: Option<String>,
    /// The mark of the browser that the gate's own link is bound to.
    pub browser: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    token: String,
    user: Option<String>,
    #[serde(default)]
    browser: Option<String>,
    until: i64,
}

/// How long the form may stand open.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
const PURPOSE: &str = "reset-ticket";

impl Ticket {
    /// The cookie that carries it; gone with the browser.
    pub fn cookie(&self, visit: &Visit<'_>) -> Option<HeaderValue> {
        let shared = visit.shared();
        let until = shared.clock.now().after(LIFETIME).as_millis();
        let browser = self.browser.as_ref().map(|mark| mark.expose().to_owned());
        let sealed =
            Sealed { token: self.token.expose().to_owned(), user: self.user.clone(), browser, until };
        let plain = Secret::new(serde_json::to_string(&sealed).ok()?);
        let sealed = shared.sealer.seal(PURPOSE, visit.site.name.as_bytes(), plain.expose().as_bytes());
        Some(cookie::set(Name::Reset, &visit.site.cookies, &URL_SAFE_NO_PAD.encode(sealed), None))
    }

    /// The one that the visitor brings, if it is ours and its time is not over; `None` also for several that differ: one of them was
    /// set by somebody else.
    pub fn of(visit: &Visit<'_>) -> Option<Self> {
        let shared = visit.shared();
        let mut values = cookie::values(visit.headers(), visit.site.cookies.of(Name::Reset));
        let value = values.next()?;
        if values.any(|other| other != value) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let plain = shared.sealer.open(PURPOSE, visit.site.name.as_bytes(), &bytes)?;
        let sealed: Sealed = serde_json::from_slice(&plain).ok()?;
        let live = shared.clock.now() < Timestamp::from_millis(sealed.until);
        let browser = sealed.browser.map(Secret::new);
        live.then(|| Self { token: Secret::new(sealed.token), user: sealed.user, browser })
    }

    /// The cookie that takes it away.
    pub fn clear(visit: &Visit<'_>) -> HeaderValue {
        cookie::clear(Name::Reset, &visit.site.cookies)
    }
}
