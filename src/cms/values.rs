//! The small values of a dialogue file, each checked when it is read.

use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, de};

use crate::config::values::one_or_many;

/// A CSS selector.
#[derive(Clone)]
pub(super) struct CssSelector {
    written: String,
    selector: scraper::Selector,
}

impl CssSelector {
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        match scraper::Selector::parse(written) {
            Ok(selector) => Ok(Self { selector, written: written.to_owned() }),
            Err(_) => Err(format!("`{written}` is no CSS selector")),
        }
    }

    pub(super) fn as_selector(&self) -> &scraper::Selector {
        &self.selector
    }
}

impl fmt::Debug for CssSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

impl<'de> Deserialize<'de> for CssSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// One selector or several.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors(pub Vec<CssSelector>);

impl<'de> Deserialize<'de> for Selectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = AnyOf::deserialize(deserializer)?.0;
        let all: Result<Vec<_>, String> = all.iter().map(|written| CssSelector::parse(written)).collect();
        all.map(Self).map_err(de::Error::custom)
    }
}

/// A text fit for a header's value.
#[derive(Clone, Debug)]
pub(super) struct HeaderText(pub HeaderValue);

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        HeaderValue::from_str(&text)
            .map(Self)
            .map_err(|_| de::Error::custom("a header's value holds visible ASCII and blanks only"))
    }
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeaderKey(String);

impl HeaderKey {
    pub(super) fn name(&self) -> HeaderName {
        HeaderName::from_bytes(self.0.as_bytes()).unwrap_or(http::header::UPGRADE)
    }
}

impl<'de> Deserialize<'de> for HeaderKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?.to_ascii_lowercase();
        let framing =
            ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer"];
        if HeaderName::from_bytes(text.as_bytes()).is_err() {
            return Err(de::Error::custom(format!("`{text}` is no name of a header")));
        }
        if framing.contains(&text.as_str()) {
            return Err(de::Error::custom(format!("the header `{text}` is the gate's own business")));
        }
        Ok(Self(text))
    }
}

/// One text, or a list of which any will do.
#[derive(Clone, Debug)]
pub(super) struct AnyOf(Vec<String>);

impl AnyOf {
    pub(super) fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|text| holds(text))
    }
}

impl<'de> Deserialize<'de> for AnyOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all: Vec<String> = one_or_many(deserializer, "a text or a list of texts")?;
        if all.is_empty() { Err(de::Error::custom("an empty list holds of nothing")) } else { Ok(Self(all)) }
    }
}

/// A JSON pointer (RFC 6901): `/detail`, `/errors/0`.
#[derive(Clone, Debug)]
pub(super) struct Pointer(String);

impl Pointer {
    pub(super) fn find<'v>(&self, value: &'v serde_json::Value) -> Option<&'v serde_json::Value> {
        value.pointer(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.is_empty() && !text.starts_with('/') {
            return Err(de::Error::custom(format!(
                "`{text}` is no JSON pointer; write it like \"/errors/0\""
            )));
        }
        Ok(Self(text))
    }
}

/// Statuses: `[200, "3xx"]`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StatusSet(Vec<Status>);

impl StatusSet {
    pub(super) fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|wanted| match wanted {
            Status::One(code) => *code == status.as_u16(),
            Status::Class(class) => *class == status.as_u16() / 100,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Status {
    One(u16),
    Class(u16),
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a status such as 302, or a class such as \"5xx\"")]
        enum Written {
            One(u16),
            Class(String),
        }
        match Written::deserialize(deserializer)? {
            Written::One(code) if (100..600).contains(&code) => Ok(Self::One(code)),
            Written::One(code) => Err(de::Error::custom(format!("no answer has the status {code}"))),
            Written::Class(text) => ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .iter()
                .zip(1..)
                .find(|(class, _)| **class == text)
                .map(|(_, class)| Self::Class(class))
                .ok_or_else(|| {
                    de::Error::custom(format!("`{text}` is no class of statuses, such as \"5xx\""))
                }),
        }
    }
}
