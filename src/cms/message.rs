//! The CMS's own reason for its verdict, as one short line of text.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::answer::Seen;
use super::values::{CssSelector, Pointer};

/// The longest message of the CMS that is passed on, in characters.
const MESSAGE_CAP: usize = 300;
/// How many texts are looked at.
const TEXTS: usize = 20;

/// Where a message stands.
#[derive(Clone, Debug)]
pub(super) enum MessageSource {
    /// The text of these elements.
    Page(CssSelector),
    /// These values: a text, or a list of texts. Markup in them is taken for what it looks like, its text.
    Json(Vec<Pointer>),
}

impl MessageSource {
    /// The texts, each once, as one line without control characters.
    pub(super) fn read(&self, seen: &Seen<'_>) -> Option<String> {
        match self {
            Self::Page(css) => join(seen.page.as_ref()?.texts(css)),
            Self::Json(pointers) => {
                let json = seen.json.as_ref()?;
                let found = pointers.iter().filter_map(|pointer| pointer.find(json));
                join(found.flat_map(texts))
            }
        }
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![without_markup(text)],
        Value::Array(list) => list.iter().take(TEXTS).flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Some put HTML into what should be text. It is read, and its text is what counts.
fn without_markup(text: &str) -> String {
    if !text.contains(['<', '&']) {
        return text.to_owned();
    }
    // Far more than is shown, and too little to keep a parser busy.
    let start: String = text.chars().take(8 * MESSAGE_CAP).collect();
    let html = scraper::Html::parse_fragment(&start);
    html.root_element().text().collect()
}

fn join(found: impl IntoIterator<Item = String>) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for text in found.into_iter().take(TEXTS) {
        let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
        let text = visible.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    let one: String = texts.join(" ").chars().take(MESSAGE_CAP).collect();
    Some(one).filter(|text| !text.is_empty())
}

/// Control characters that are no blank, and those that turn the direction of what stands around them (UAX #9).
fn is_invisible(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'de> Deserialize<'de> for MessageSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Places {
            json: Vec<Pointer>,
        }
        impl<'de> Visitor<'de> for Reader {
            type Value = MessageSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a CSS selector, or { json = [\"/pointer\"] }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MessageSource, E> {
                CssSelector::parse(text).map(MessageSource::Page).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MessageSource, A::Error> {
                Places::deserialize(MapAccessDeserializer::new(map))
                    .map(|places| MessageSource::Json(places.json))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_its_text() {
        for (written, read) in [
            ("Too short", "Too short"),
            ("<b>Too</b> short<script>alert(1)</script>", "Too shortalert(1)"),
            ("a &lt; b &amp; c", "a < b & c"),
            ("less than <5 & more", "less than <5 & more"),
            ("line\r\nend\u{202e}\u{7}", "line end"),
        ] {
            assert_eq!(join(texts(&Value::String(written.to_owned()))).as_deref(), Some(read), "{written}");
        }
        assert_eq!(join(texts(&serde_json::json!(["a", "b", "a", 1, {"x": "y"}]))).as_deref(), Some("a b"));
    }
}
