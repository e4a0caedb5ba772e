//! A case: what must hold of an answer, and what follows from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::answer::{Answer, Seen};
use super::cookies::{CookieName, CredentialRules};
use super::extract::Extraction;
use super::message::MessageSource;
use super::paths::Suffix;
use super::values::{AnyOf, CssSelector, HeaderKey, Pointer, Selectors, StatusSet};

/// Everything named must hold; of a list, one entry. What is not named does not matter.
///
/// Evidence is positive: a condition about the page, `absent` too, never holds of an answer that has no
/// readable HTML page, and one about JSON never of an answer that has none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct Case<V> {
    /// The status: numbers, or classes such as `"5xx"`.
    status: Option<StatusSet>,
    /// A redirect whose path ends in these segments, wherever it leads.
    #[serde(default = "Vec::new")]
    redirect: Vec<Suffix>,
    /// A redirect to one of these hosts; `"here"` is the CMS by its own or its public name, `"elsewhere"` is any other.
    #[serde(default = "Vec::new")]
    redirect_host: Vec<String>,
    /// A redirect whose query has these fields with these values (`"*"`: any).
    #[serde(default)]
    redirect_query: BTreeMap<String, String>,
    /// Headers with these values, in any case (`"*"`: any); all of them.
    #[serde(default)]
    header: BTreeMap<HeaderKey, String>,
    /// A cookie is set to a value.
    #[serde(default = "Vec::new")]
    cookie_set: Vec<CookieName>,
    /// A cookie is taken away.
    #[serde(default = "Vec::new")]
    cookie_cleared: Vec<CookieName>,
    /// A word in the class of `<body>`.
    #[serde(default = "Vec::new")]
    body_class: Vec<String>,
    /// An element that the page has; of a list, each.
    #[serde(default)]
    present: Selectors,
    /// An element that the page does not have; of a list, none.
    #[serde(default)]
    absent: Selectors,
    /// Texts of elements; all of them.
    #[serde(default = "Vec::new")]
    text: Vec<TextOf>,
    /// Values in JSON; all of them.
    #[serde(default = "Vec::new")]
    json: Vec<JsonAt>,
    /// The whole body, without the blanks around it.
    #[serde(default = "Vec::new")]
    body: Vec<String>,
    /// What follows: a verdict,
    pub verdict: Option<V>,
    /// or the name of a later step.
    pub next: Option<String>,
    /// Where the CMS's own reason for the verdict stands.
    pub message: Option<MessageSource>,
    /// Where the CMS's own id of the account stands.
    pub user_id: Option<Extraction>,
    /// What later steps need of this answer, by the name they call it by. If it is not there, nothing follows.
    #[serde(default)]
    pub keep: BTreeMap<String, Extraction>,
}

/// The text of an element.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextOf {
    /// The element: the first that has it.
    of: CssSelector,
    /// All of its text, blanks aside.
    equals: Option<AnyOf>,
    /// A part of it.
    contains: Option<AnyOf>,
}

/// A value in JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonAt {
    /// Where: a JSON pointer; `""` is the whole.
    at: Pointer,
    /// Whether there is anything but `null`.
    exists: Option<bool>,
    /// Its text (numbers, `true` and `false` as they are written).
    equals: Option<AnyOf>,
    /// A part of its text; of a list, of one of its texts.
    contains: Option<AnyOf>,
}

impl<V> Case<V> {
    /// Whether the case says what follows, and when.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.verdict.is_some() == self.next.is_some() {
            return Err("a case needs either `verdict` or `next`".to_owned());
        }
        let page = !self.body_class.is_empty()
            || !self.present.0.is_empty()
            || !self.absent.0.is_empty()
            || !self.text.is_empty();
        let cookies = !self.cookie_set.is_empty() || !self.cookie_cleared.is_empty();
        let redirect =
            !self.redirect.is_empty() || !self.redirect_host.is_empty() || !self.redirect_query.is_empty();
        let body = !self.body.is_empty() || !self.json.is_empty();
        if self.status.is_none() && !redirect && self.header.is_empty() && !cookies && !page && !body {
            return Err("a case needs a condition: what holds of any answer proves nothing".to_owned());
        }
        if self.text.iter().any(|text| text.equals.is_none() && text.contains.is_none()) {
            return Err("a `text` needs `equals` or `contains`".to_owned());
        }
        if self.json.iter().any(|at| at.exists.is_none() && at.equals.is_none() && at.contains.is_none()) {
            return Err("a `json` needs `exists`, `equals` or `contains`".to_owned());
        }
        if let Some(name) = self.keep.keys().find(|name| name.is_empty() || name.contains(['.', '{', '}'])) {
            return Err(format!("`{name}` in `keep` is no name that a placeholder could have"));
        }
        if !self.keep.is_empty() && self.next.is_none() {
            return Err("`keep` is for later steps, and needs `next`".to_owned());
        }
        self.user_id.iter().chain(self.keep.values()).try_for_each(Extraction::check)
    }

    /// Whether all of it holds.
    pub(super) fn holds(&self, seen: &Seen<'_>, rules: &CredentialRules) -> bool {
        let (answer, page) = (seen.answer, seen.page.as_ref());
        self.status.as_ref().is_none_or(|set| set.contains(answer.status))
            && (self.redirect.is_empty()
                || answer.redirect_path().is_some_and(|path| self.redirect.iter().any(|end| end.ends(path))))
            && (self.redirect_host.is_empty()
                || self.redirect_host.iter().any(|host| answer.redirects_to_host(host)))
            && self.redirect_query.iter().all(|(name, value)| answer.redirects_with(name, value))
            && self.header.iter().all(|(name, value)| header(answer, name, value))
            && (self.cookie_set.is_empty() || cookie(answer, rules, &self.cookie_set, true))
            && (self.cookie_cleared.is_empty() || cookie(answer, rules, &self.cookie_cleared, false))
            && (self.body_class.is_empty()
                || page.is_some_and(|page| self.body_class.iter().any(|token| page.has_body_class(token))))
            && self.present.0.iter().all(|css| page.is_some_and(|page| page.has(css)))
            && self.absent.0.iter().all(|css| page.is_some_and(|page| !page.has(css)))
            && self.text.iter().all(|text| {
                page.is_some_and(|page| {
                    page.any_text(&text.of, |found| {
                        text.equals.as_ref().is_none_or(|wanted| wanted.any(|wanted| found == wanted))
                            && text.contains.as_ref().is_none_or(|wanted| wanted.any(|w| found.contains(w)))
                    })
                })
            })
            && self.json.iter().all(|at| seen.json.as_ref().is_some_and(|json| at.holds(json)))
            && (self.body.is_empty()
                || answer.body.as_ref().is_some_and(|b| self.body.iter().any(|want| want == b.trim())))
    }
}

impl JsonAt {
    fn holds(&self, json: &Value) -> bool {
        let found = self.at.find(json).filter(|value| !value.is_null());
        self.exists.is_none_or(|exists| found.is_some() == exists)
            && self.equals.as_ref().is_none_or(|wanted| {
                found.and_then(scalar).is_some_and(|found| wanted.any(|wanted| wanted == found))
            })
            && self.contains.as_ref().is_none_or(|wanted| {
                let list = match found {
                    Some(Value::Array(list)) => list.as_slice(),
                    Some(one) => std::slice::from_ref(one),
                    None => &[],
                };
                list.iter().filter_map(scalar).any(|found| wanted.any(|wanted| found.contains(wanted)))
            })
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn header(answer: &Answer, name: &HeaderKey, wanted: &str) -> bool {
    answer
        .headers
        .get_all(name.name())
        .iter()
        .any(|value| wanted == "*" || value.as_bytes().trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The last word that an answer says about a cookie counts: some set what they have just cleared.
fn cookie(answer: &Answer, rules: &CredentialRules, names: &[CookieName], set: bool) -> bool {
    let mut last: BTreeMap<String, bool> = BTreeMap::new();
    for said in answer.set_cookies.iter().filter_map(|header| rules.read_any(header)) {
        last.insert(said.name, said.value.is_some());
    }
    last.iter().any(|(name, was_set)| *was_set == set && names.iter().any(|wanted| wanted.is(name)))
}
