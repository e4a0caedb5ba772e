//! Who is signed in: sessions, their lifetimes, and the cookie that names them.
//!
//! A session lives in the [store](crate::store) and, while it lives, in the memory of every gate. The
//! browser holds 256 random bits ([`SessionId`]) of which only the hash is stored; the CMS's own cookies
//! are kept with the session, sealed, and never reach the browser. [`Sessions`] is shared by all workers;
//! looking a session up costs one SHA-256 and one look into a map, and never waits.
//!
//! Called by the gate (find, touch), the pages (create, replace, end) and forwarding (kept, cookies).
//!
//! Defends against: fixation (a new id at sign-in, the old one dead), a stolen store (hashes and sealed
//! contents), sessions that never end and sessions that end too soon (idle and absolute limits, judged by a time that a clock which
//! is set does not change: `steady`), garbage and
//! tossed cookies (strict reading, ambiguity is refused), and a session of one site used at another.
//! Does not defend against a cookie stolen from the browser itself.

pub mod cookie;
mod id;
mod map;
mod record;
mod sessions;
mod shown;
mod steady;
mod upkeep;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::clock::Timestamp;
use crate::config::values::Span;
use crate::store::SessionRow;

pub use self::id::SessionId;
pub use self::record::{Kept, Session};
pub use self::sessions::{NewSession, Sessions};
pub use self::shown::{Shown, moment};

/// The section `[session]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long a session may lie unused; default `"30m"`, more than none.
    #[serde(default = "default_idle", deserialize_with = "more_than_none")]
    pub idle: Span,
    /// How long a session lasts at the most, used or not; default `"12h"`, more than none.
    #[serde(default = "default_lifetime", deserialize_with = "more_than_none")]
    pub lifetime: Span,
    /// How long a session lasts, used or not, when the person asks to be remembered; default `"30d"`.
    /// `"0"` hides the box.
    #[serde(default = "default_remember")]
    pub remember: Span,
    /// How many sessions an account may have at a site at once; default 100, for a name that a whole office shares. 0: any
    /// number. Another one ends the one that lay unused longest: who knows one password cannot fill the memory.
    #[serde(default = "default_most_per_account")]
    pub most_per_account: usize,
    /// Extensions of files whose requests do not extend a session, in any case, without the dot; by
    /// default style sheets, scripts, images and fonts, which pages load by themselves.
    #[serde(default = "default_untouched_by")]
    pub untouched_by: Vec<String>,
}

impl Settings {
    /// Whether a request for `path` (without query) extends the session: only the extension of the last
    /// segment counts, so `/a.css/view` does and `/view/a.CSS` does not.
    pub fn extends(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((_, extension)) = name.rsplit_once('.') else { return true };
        !self.untouched_by.iter().any(|listed| listed.eq_ignore_ascii_case(extension))
    }

    /// Whether a person can ask to be remembered.
    pub fn can_remember(&self) -> bool {
        !self.remember.is_zero()
    }

    /// Whether a stored session is neither over nor unused for too long: for who looks into the store without the secrets.
    pub fn is_live(&self, row: &SessionRow, now: Timestamp) -> bool {
        let ends = row.expires.min(row.created.after(self.lifetime_limit(row.remembered)));
        now < ends && now.since(row.seen) < self.idle_limit(row.remembered)
    }

    fn idle_limit(&self, remembered: bool) -> Duration {
        if remembered { self.remember.as_duration() } else { self.idle.as_duration() }
    }

    fn lifetime_limit(&self, remembered: bool) -> Duration {
        if remembered { self.remember.as_duration() } else { self.lifetime.as_duration() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: default_idle(),
            lifetime: default_lifetime(),
            remember: default_remember(),
            most_per_account: default_most_per_account(),
            untouched_by: default_untouched_by(),
        }
    }
}

fn default_idle() -> Span {
    Span::minutes(30)
}

fn default_lifetime() -> Span {
    Span::minutes(12 * 60)
}

fn default_remember() -> Span {
    Span::minutes(30 * 24 * 60)
}

fn default_most_per_account() -> usize {
    100
}

fn default_untouched_by() -> Vec<String> {
    ["css", "js", "kss", "gif", "jpg", "png", "svg", "ico", "woff2"].map(str::to_owned).into()
}

fn more_than_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.is_zero() {
        return Err(de::Error::custom(
            "a session of no length lets nobody in; write a duration such as \"30m\"",
        ));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_extension_of_the_last_segment_decides() {
        let settings: Settings = toml::from_str("untouched_by = [\"css\", \"JS\"]").unwrap();
        for (path, extends) in [
            ("/", true),
            ("/page", true),
            ("/style.css", false),
            ("/STYLE.CSS", false),
            ("/a/b.js", false),
            ("/style.css/view", true),
            ("/style.css/", true),
            ("/css", true),
            ("/a.cssx", true),
            ("/a.css.html", true),
            ("/.css", false),
            ("", true),
        ] {
            assert_eq!(settings.extends(path), extends, "{path}");
        }
    }

    #[test]
    fn the_section_has_defaults_and_refuses_sessions_of_no_length() {
        let settings: Settings = toml::from_str("").unwrap();
        assert_eq!(
            (settings.idle, settings.lifetime, settings.remember),
            (Span::minutes(30), Span::minutes(720), Span::minutes(43_200))
        );
        assert!(!settings.extends("/a.woff2") && settings.can_remember());
        assert!(!toml::from_str::<Settings>("remember = \"0\"").unwrap().can_remember());
        for toml in ["idle = \"0\"", "lifetime = \"0\"", "idles = \"1m\""] {
            assert!(toml::from_str::<Settings>(toml).is_err(), "{toml}");
        }
    }
}
