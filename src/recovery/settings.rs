//! `[site.password_reset]` of `proxy.toml`.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::config::values::{SecretSource, Span};

/// How forgotten passwords are handled.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the gate offers it; yes. If not, the pages are not found and nothing links to them.
    pub enabled: bool,
    /// Whose form a reset link opens; the gate's.
    pub form: Form,
    /// Whether a visitor is told that an account does not exist; no.
    pub disclose_accounts: bool,
    /// The `User-Agent` by which the CMS recognises the gate's requests to its mail-password form.
    pub user_agent: FieldValue,
    /// A further header for the same end; none.
    pub header: Option<TrustHeader>,
    /// The local address these requests are sent from, for the backend's own allowlist; `""`, any.
    #[serde(deserialize_with = "address_or_empty")]
    pub source_address: Option<IpAddr>,
    /// Requests that may use the CMS's own forms without signing in; none.
    pub trusted_requests: Option<TrustedRequests>,
    /// How long a link that the gate issues to a local user works; `"10m"` (ASVS 5.0, 6.5.5), more than none.
    #[serde(deserialize_with = "more_than_none")]
    pub link_lifetime: Span,
    /// Whether such a link works only in the browser that opened it first; no: some mail servers open every link to look for
    /// malice, and the person would be left with a dead one.
    pub bind_to_browser: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            form: Form::Gate,
            disclose_accounts: false,
            user_agent: FieldValue(HeaderValue::from_static("Lychgate/1 (mail-password)")),
            header: None,
            source_address: None,
            trusted_requests: None,
            link_lifetime: Span::minutes(10),
            bind_to_browser: false,
        }
    }
}

/// Whose form a person sets a new password in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The gate's.
    Gate,
    /// The CMS's, through the gate.
    Backend,
}

/// A header that marks a request as trusted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustHeader {
    /// Its name.
    pub name: FieldName,
    /// Its value, which is a secret.
    pub value: SecretSource,
}

/// What a request must have to use the CMS's forms without a session. All that is given must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedRequests {
    /// Its `User-Agent`, to the letter.
    pub user_agent: Option<FieldValue>,
    /// Whether it must carry the trust header above with its value; no.
    #[serde(default)]
    pub header: bool,
    /// Where it must come from.
    pub networks: Vec<IpNet>,
    /// Which paths, directly below the site, it may ask for.
    pub paths: Vec<String>,
}

/// A field name (RFC 9110, section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

/// A field value: visible ASCII and spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue(pub HeaderValue);

impl std::str::FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.parse::<HeaderName>().ok().filter(|name| !name.as_str().contains(['_', '.']));
        name.map(Self).ok_or_else(|| format!("`{text}` is no header name; write letters, digits and `-`"))
    }
}

impl std::str::FromStr for FieldValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value =
            HeaderValue::from_str(text).ok().filter(|value| !value.is_empty() && value.to_str().is_ok());
        value
            .map(Self)
            .ok_or_else(|| format!("`{text}` cannot be sent in a header; write visible ASCII characters"))
    }
}

crate::config::values::deserialize_from_str!(FieldName, FieldValue);

fn more_than_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.is_zero() {
        return Err(de::Error::custom(
            "a link that works for no time is of no use; write a duration such as \"10m\"",
        ));
    }
    Ok(span)
}

fn address_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| de::Error::custom(format!("`{text}` is no IP address")))
}
