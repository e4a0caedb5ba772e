//! The small values of a dialogue file, each checked when it is read.

use std::fmt;

use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, de};

/// A CSS selector.
#[derive(Clone)]
pub(super) struct CssSelector {
    written: String,
    selector: scraper::Selector,
}

impl CssSelector {
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
        let written = String::deserialize(deserializer)?;
        match scraper::Selector::parse(&written) {
            Ok(selector) => Ok(Self { selector, written }),
            Err(_) => Err(de::Error::custom(format!("`{written}` is no CSS selector"))),
        }
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
