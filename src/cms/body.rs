//! What a step sends: fields of a form, or JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::form_urlencoded;

use super::answer::Form;
use super::template::{Filling, Placeholder, Template};
use crate::secret::Secret;

/// How the fields of a form are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Urlencoded,
    /// `multipart/form-data` (RFC 7578).
    Multipart,
}

/// A body that is ready to be sent.
pub(super) enum Body {
    /// None at all.
    None,
    /// As it is, with its `Content-Type`.
    Text(&'static str, Secret),
    /// Fields, each a part of its own.
    Multipart(Vec<(String, Secret)>),
}

/// Fields, and below them the hidden ones of the form that they answer.
pub(super) fn fields(
    written: &BTreeMap<String, Template>,
    encoding: Encoding,
    form: Option<&Form>,
    filling: &Filling<'_>,
) -> Body {
    let hidden = form.into_iter().flat_map(|form| &form.hidden);
    let hidden = hidden.filter(|(name, _)| !written.contains_key(name));
    let hidden = hidden.map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    let own = written.iter().map(|(name, value)| (name.clone(), value.fill(filling)));
    let all = hidden.chain(own);
    match encoding {
        Encoding::Multipart => Body::Multipart(all.collect()),
        Encoding::Urlencoded => {
            let mut body = form_urlencoded::Serializer::new(String::new());
            for (name, value) in all {
                body.append_pair(&name, value.expose());
            }
            Body::Text("application/x-www-form-urlencoded", Secret::new(body.finish()))
        }
    }
}

/// A query: the same escaping as a form's.
pub(super) fn query(written: &BTreeMap<String, Template>, filling: &Filling<'_>) -> Secret {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in written {
        query.append_pair(name, value.fill(filling).expose());
    }
    Secret::new(query.finish())
}

/// A JSON value with placeholders in its texts. What is filled in stays within its text.
#[derive(Clone, Debug)]
pub(super) enum Json {
    Text(Template),
    Plain(Value),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// The body.
    pub(super) fn body(&self, filling: &Filling<'_>) -> Body {
        Body::Text("application/json", Secret::new(self.value(filling).to_string()))
    }

    fn value(&self, filling: &Filling<'_>) -> Value {
        match self {
            Self::Text(text) => Value::String(text.fill(filling).expose().to_owned()),
            Self::Plain(value) => value.clone(),
            Self::List(list) => list.iter().map(|value| value.value(filling)).collect(),
            Self::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), value.value(filling))).collect()
            }
        }
    }

    pub(super) fn placeholders(&self) -> Vec<&Placeholder> {
        match self {
            Self::Text(text) => text.placeholders().collect(),
            Self::Plain(_) => Vec::new(),
            Self::List(list) => list.iter().flat_map(Self::placeholders).collect(),
            Self::Object(object) => object.values().flat_map(Self::placeholders).collect(),
        }
    }

    pub(super) fn settle(&mut self, settings: &BTreeMap<String, String>) -> Result<(), String> {
        match self {
            Self::Text(text) => text.settle(settings),
            Self::Plain(_) => Ok(()),
            Self::List(list) => list.iter_mut().try_for_each(|value| value.settle(settings)),
            Self::Object(object) => {
                let mut settled = BTreeMap::new();
                for (name, mut value) in std::mem::take(object) {
                    value.settle(settings)?;
                    let mut name = Template::parse(&name)?;
                    name.settle(settings)?;
                    if name.placeholders().next().is_some() {
                        return Err(format!(
                            "`{}`: a member's name holds no placeholder but {{settings.NAME}}",
                            name.written()
                        ));
                    }
                    settled.insert(name.fill(&Filling::default()).expose().to_owned(), value);
                }
                *object = settled;
                Ok(())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts, numbers, true, false, lists and tables of them")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json, E> {
        Template::parse(text).map(Json::Text).map_err(E::custom)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Plain(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            values.insert(name, value);
        }
        Ok(Json::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is filled in stays a value: it opens no field, no part, no member.
        #[test]
        fn what_is_filled_in_is_a_value_and_no_more(user: String) {
            let filling = Filling { user: Some(&user), ..Filling::default() };
            let written = BTreeMap::from([("name".to_owned(), Template::parse("{user}").unwrap())]);
            let Body::Text(_, form) = fields(&written, Encoding::Urlencoded, None, &filling) else { panic!() };
            let query = query(&written, &filling);
            for text in [form.expose(), query.expose()] {
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
                let read: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
                prop_assert_eq!(&read, &vec![("name".to_owned(), user.clone())]);
            }
            let json: Json = serde_json::from_str(r#"{"a":{"name":["{user}",1,true]}}"#).unwrap();
            let Body::Text(_, text) = json.body(&filling) else { panic!() };
            let read: Value = serde_json::from_str(text.expose()).unwrap();
            prop_assert_eq!(read, serde_json::json!({"a":{"name":[user,1,true]}}));
        }
    }
}
