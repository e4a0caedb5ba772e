//! `[site.password_reset]` of `proxy.toml`.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::config::values::{SecretSource, Span};

/// How forgotten passwords are handled.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the gate offers it; yes. If not, the pages are not found and nothing links to them.
    pub enabled: bool,
    /// A page elsewhere that helps with forgotten passwords, in the place of the gate's; none.
    pub forgotten_password_url: Option<ForgottenUrl>,
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
            forgotten_password_url: None,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The gate's.
    Gate,
    /// The CMS's, through the gate.
    Backend,
}

/// A header that marks a request as trusted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustHeader {
    /// Its name.
    pub name: FieldName,
    /// Its value, which is a secret.
    pub value: SecretSource,
}

/// What a request must have to use the CMS's forms without a session. All that is given must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedRequests {
    /// Its `User-Agent`, to the letter.
    pub user_agent: Option<FieldValue>,
    /// Whether it must carry the trust header above with its value; no.
    #[serde(default)]
    pub header: bool,
    /// Where it must come from.
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Which paths, directly below the site, it may ask for.
    pub paths: Vec<String>,
}

/// The address of a page elsewhere, with a place for the name of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenUrl(String);

impl ForgottenUrl {
    const HOLE: &str = "{username}";

    /// The address for this account; its name is percent-encoded, whatever it holds.
    pub fn with(&self, username: &str) -> String {
        const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        self.0.replace(Self::HOLE, &utf8_percent_encode(username, KEPT).to_string())
    }
}

impl std::str::FromStr for ForgottenUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why| {
            format!(
                "`{text}` {why}; write it like \"https://accounts.example.org/forgotten?user={{username}}\""
            )
        };
        let url =
            url::Url::parse(&text.replace(Self::HOLE, "x")).map_err(|_| wrong("is no complete address"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("is no address of a web page"));
        }
        // The name must not choose the host.
        let host = text
            .split_once("://")
            .map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if host.contains(['{', '}', '@', '\\']) {
            return Err(wrong("has a placeholder, a name or a backslash in its host"));
        }
        if text.replace(Self::HOLE, "").contains(['{', '}']) {
            return Err(wrong("has a placeholder other than {username}"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("has characters that no address may have"));
        }
        Ok(Self(text.to_owned()))
    }
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

crate::config::values::deserialize_from_str!(FieldName, FieldValue, ForgottenUrl);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name_in_a_foreign_address() {
        let url: ForgottenUrl = "https://a.example.org/forgotten/{username}?u={username}".parse().unwrap();
        for (name, written) in [
            ("jdoe", "jdoe"),
            ("", ""),
            ("a/b?c#d&e=f", "a%2Fb%3Fc%23d%26e%3Df"),
            ("x\r\nSet-Cookie: y", "x%0D%0ASet-Cookie%3A%20y"),
            ("{username}", "%7Busername%7D"),
            ("jö@x@y", "j%C3%B6%40x%40y"),
        ] {
            assert_eq!(url.with(name), format!("https://a.example.org/forgotten/{written}?u={written}"));
        }
        for wrong in [
            "/forgotten",
            "javascript:alert({username})",
            "https://{username}.example.org/",
            "https://{username}@example.org/",
            "https://a.example.org\\@b/",
            "https://a.example.org/{user}",
            "https://a.example.org/ä",
            "",
        ] {
            assert!(wrong.parse::<ForgottenUrl>().is_err(), "{wrong}");
        }
    }
}
