//! The small languages of `proxy.toml`: durations, sizes, rates, secrets.
//!
//! Each is a type of its own that is parsed when the file is read, so that a mistake is reported
//! with its line and nobody parses it again later.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

/// A length of time: `"250ms"`, `"30s"`, `"30m"`, `"12h"`, `"7d"`; `"0"` is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// A span of `seconds`.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of `minutes`.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// The same as a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Whether it is `"0"`, which switches most things off.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no duration; write a whole number and ms, s, m, h or d, such as \"30m\"");
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        // A century is longer than anything here can mean, and far from any overflow.
        let total = number.checked_mul(millis).filter(|total| *total <= 100 * 365 * 86_400_000);
        total
            .map(|total| Self(Duration::from_millis(total)))
            .ok_or_else(|| format!("`{text}` is too long; a century is the most"))
    }
}

/// A number of bytes: `"512 B"`, `"64 KiB"`, `"1 MiB"`, `"2 GiB"`; `"0"` is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// A size of `bytes`.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, as far as the machine can address them.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no size; write a whole number and B, KiB, MiB or GiB, such as \"1 MiB\"");
        if text == "0" {
            return Ok(Self(0));
        }
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        let factor: u64 = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

/// So many times in such a span: `"5/10m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often; at least once.
    pub count: u32,
    /// In what time; more than none.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no rate; write a count, a slash and a duration, such as \"5/10m\"");
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        let per = per.trim().parse::<Span>().ok().filter(|per| !per.is_zero()).ok_or_else(wrong)?;
        Ok(Self { count, per: per.as_duration() })
    }
}

/// One rate or several that all hold: `"5/10m"` or `["5/10m", "15/30m"]`; none switches the limit off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates(pub Vec<Rate>);

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> =
            one_or_many(deserializer, "write a rate such as \"5/10m\", or a list of rates")?;
        texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect::<Result<_, _>>().map(Self)
    }
}

/// Reads what may be written alone or as a list; `expected` is the answer to what is neither.
pub(crate) fn one_or_many<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &str,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }
    match OneOrMany::deserialize(deserializer) {
        Ok(OneOrMany::One(one)) => Ok(vec![one]),
        Ok(OneOrMany::Many(many)) => Ok(many),
        Err(_) => Err(de::Error::custom(expected)),
    }
}

/// Where a secret is to be found: in the file itself, in another file, or in the environment.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum SecretSource {
    /// Written out in `proxy.toml`.
    Text(String),
    /// The contents of a file, less the line ends at its end.
    File(SecretFile),
    /// An environment variable.
    Env(SecretEnv),
}

/// `{ file = "…" }`
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SecretFile {
    /// The path, relative to the folder of `proxy.toml`.
    pub file: PathBuf,
}

/// `{ env = "…" }`
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SecretEnv {
    /// The variable's name.
    pub env: String,
}

impl<'de> Deserialize<'de> for SecretSource {
    /// By hand, since a struct may also be read from a list, and then `["…"]` would be a secret taken for the name of a file.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Table(BTreeMap<String, String>),
        }
        let wrong = || de::Error::custom("write a text, { file = \"…\" } or { env = \"…\" }");
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Text(text) => Ok(Self::Text(text)),
            Written::Table(table) => {
                let mut entries = table.into_iter();
                match (entries.next(), entries.next()) {
                    (Some((key, value)), None) if key == "file" => {
                        Ok(Self::File(SecretFile { file: value.into() }))
                    }
                    (Some((key, env)), None) if key == "env" => Ok(Self::Env(SecretEnv { env })),
                    _ => Err(wrong()),
                }
            }
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("[secret]"),
            Self::File(file) => file.fmt(f),
            Self::Env(env) => env.fmt(f),
        }
    }
}

/// To the schema of `proxy.toml`, the type is this other one, or `one or many` of it, for that is how it is written.
macro_rules! schema_as {
    (@ $generator:ident, one or many $one:ty) => {{
        let one = $generator.subschema_for::<$one>();
        let many = $generator.subschema_for::<Vec<$one>>();
        ::schemars::json_schema!({ "anyOf": [one, many] })
    }};
    (@ $generator:ident, $written:ty) => {
        <$written>::json_schema($generator)
    };
    ($name:ty, $($written:tt)+) => {
        impl ::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                $crate::config::values::schema_as!(@ generator, $($written)+)
            }
        }
    };
}
pub(crate) use schema_as;

/// Reads a value that stands as a text in `proxy.toml` by its `FromStr`.
macro_rules! deserialize_from_str {
    ($($name:ty),+) => {$(
        $crate::config::values::schema_as!($name, String);

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as ::serde::Deserialize>::deserialize(deserializer)?.parse().map_err(::serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use deserialize_from_str;

deserialize_from_str!(Span, Size, Rate);
schema_as!(Rates, one or many String);

/// An address as a message may show it: without a user and password, should somebody have written them.
pub(crate) fn without_user(text: &str) -> Cow<'_, str> {
    match text.rsplit_once('@') {
        None => Cow::Borrowed(text),
        Some((before, rest)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
            Cow::Owned(format!("{}…@{rest}", scheme.unwrap_or_default()))
        }
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written_and_nothing_else_does() {
        for (text, millis) in [
            ("0", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("30m", 1_800_000),
            ("12h", 43_200_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(text.parse::<Span>().map(|span| span.as_duration().as_millis()), Ok(millis), "{text}");
        }
        for text in ["", "m", "30", "-1m", "1.5h", "30 min", "99999999999999d", "1w", "٣m"] {
            assert!(text.parse::<Span>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn sizes_read_as_written_and_nothing_else_does() {
        for (text, bytes) in
            [("0", 0), ("512 B", 512), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2 GiB", 2 << 30)]
        {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "1", "1 MB", "-1 B", "99999999999 GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn rates_need_a_count_and_a_span_above_zero() {
        assert_eq!("5/10m".parse(), Ok(Rate { count: 5, per: Duration::from_secs(600) }));
        for text in ["", "5", "0/10m", "5/0", "5/", "/10m", "5/10m/2"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} must be refused");
        }
    }
}
