//! `[site.forward]` of `proxy.toml`.

use std::path::PathBuf;
use std::str::FromStr;

use http::uri::PathAndQuery;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Bounds;
use crate::config::values::{Size, Span, deserialize_from_str};

/// How patient the gate is with the backend, what it sends there, and how it chooses where there are several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long connecting may take; 5 s.
    pub connect_timeout: Span,
    /// How long the backend may think, once it has the whole request; 2 min. Also how long a body being sent may stand still.
    pub response_timeout: Span,
    /// How long a response being received may stand still; 1 min.
    pub idle_timeout: Span,
    /// How long a tunnel (WebSocket) may be without a byte either way; 1 h. `"0"`: any time.
    pub tunnel_idle_timeout: Span,
    /// How long an unused connection is kept; 50 s. Below the backend's own limit (waitress: 120 s, ZServer: 60 s).
    pub keep_alive: Span,
    /// The largest request body; 4 GiB.
    pub body_limit: Size,
    /// How many bytes a second of a request body a client must send, once it has had 30 s; 500 B. `"0"` waits for any.
    pub body_rate: Size,
    /// The authorities by which an https backend's certificate is judged, PEM; those the system trusts.
    pub ca: Option<PathBuf>,
    /// How many requests the backends may work on at once; 1024, 256 of strangers, and 128 of one client among them.
    pub requests: Bounds,
    /// How much of a body of unknown length, or of one that is translated on its way, is held in memory before it goes to a file; 256 KiB.
    pub spool_above: Size,
    /// Whether who is signed in keeps their backend, of several, while it is up; no. For a CMS that remembers people in one process.
    pub sticky: bool,
    /// Whether answers of an old backend are read whose head has folded fields, or spaces before a colon; no: they are 502. What reads
    /// such a head otherwise than this gate may find another message in it (CVE-2019-16276).
    pub danger_lenient_answers: bool,
    /// Asks every backend for a page from time to time; off: a backend is judged by how it serves visitors.
    pub health_check: Option<HealthCheck>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Span::seconds(5),
            response_timeout: Span::minutes(2),
            idle_timeout: Span::minutes(1),
            tunnel_idle_timeout: Span::minutes(60),
            keep_alive: Span::seconds(50),
            body_limit: Size::bytes(4 << 30),
            body_rate: Size::bytes(500),
            ca: None,
            requests: Bounds::default(),
            spool_above: Size::bytes(256 << 10),
            sticky: false,
            danger_lenient_answers: false,
            health_check: None,
        }
    }
}

/// `{ path = "/", every = "10s" }`: which page, and how often.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// The path below the site; its front page. Any answer but a 5xx will do.
    pub path: HealthPath,
    /// How often; 10 s.
    pub every: Pause,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { path: HealthPath("/".to_owned()), every: Pause(Span::seconds(10)) }
    }
}

/// The path of a page that needs no encoding, perhaps with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPath(String);

impl HealthPath {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HealthPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_one = text.starts_with('/') && !text.contains('#') && text.parse::<PathAndQuery>().is_ok();
        let wrong = || format!("`{text}` is no path; write it like \"/\" or \"/@@ok\"");
        is_one.then(|| Self(text.to_owned())).ok_or_else(wrong)
    }
}

/// A span that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause(Span);

impl Pause {
    /// How long.
    pub const fn span(self) -> Span {
        self.0
    }
}

impl FromStr for Pause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: Span = text.parse()?;
        let never =
            || "without a pause nothing else would be done; write a duration such as \"10s\"".to_owned();
        (!span.is_zero()).then_some(Self(span)).ok_or_else(never)
    }
}

deserialize_from_str!(HealthPath, Pause);
