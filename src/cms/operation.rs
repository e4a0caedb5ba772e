//! An operation of a dialogue: its requests, and how each answer is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::Verdict;
use super::body::{Encoding, Json};
use super::condition::Case;
use super::dialogue::DialogueError;
use super::paths::TokenRules;
use super::template::{Placeholder, Template};
use super::values::{CssSelector, HeaderKey, HeaderText};

/// What the steps of an operation may be filled with, and are checked against.
pub(super) struct Ground<'a> {
    /// What the operation is called.
    pub title: &'static str,
    /// What is filled in.
    pub allowed: &'a [Placeholder],
    /// `[settings]`.
    pub settings: &'a BTreeMap<String, String>,
    /// `[paths.token]`.
    pub token: Option<&'a TokenRules>,
}

/// The steps that one thing takes, as they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct WrittenOperation<V> {
    /// The requests, in their order: the first is sent first, and a case may lead to a later one.
    #[serde(default = "Vec::new")]
    step: Vec<Spanned<Step<V>>>,
    /// Lists of cases that several steps share, by name.
    #[serde(default = "BTreeMap::new")]
    cases: BTreeMap<String, Vec<Case<V>>>,
}

/// The steps that one thing takes.
#[derive(Debug)]
pub(super) struct Operation<V> {
    pub steps: Vec<Step<V>>,
    cases: BTreeMap<String, Vec<Case<V>>>,
}

/// One request and how to read what it brings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct Step<V> {
    /// What `next` of an earlier case calls it.
    pub name: Option<String>,
    /// GET, unless it says otherwise.
    #[serde(default)]
    pub method: Method,
    /// The path below the backend's address. With `form`, several are allowed: the form's own action
    /// picks among them, and can never name another.
    #[serde(default)]
    pub to: Vec<Template>,
    /// Fields of the query.
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    /// The form in the answer before this step whose hidden fields are sent along.
    pub form: Option<CssSelector>,
    /// Whether its other fields are sent along too, as they are filled in; no.
    #[serde(default)]
    pub whole_form: bool,
    /// Fields to send in the body.
    #[serde(default)]
    pub fields: BTreeMap<String, Template>,
    /// How the fields are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// JSON to send in the body instead.
    pub json: Option<Json>,
    /// Headers to send besides, or instead of, those that the gate sends by itself.
    #[serde(default)]
    pub headers: BTreeMap<HeaderKey, Template>,
    /// Headers of the gate's own not to send.
    #[serde(default)]
    pub drop_headers: Vec<HeaderKey>,
    /// Cookies to send besides those that were set on the way.
    #[serde(default)]
    pub cookies: BTreeMap<String, Template>,
    /// Whether the sign-in that earlier answers of the same operation have set is sent along; no.
    #[serde(default)]
    pub credentials: bool,
    /// What to call ourselves in this step, whoever asks.
    pub user_agent: Option<HeaderText>,
    /// How to read the answer: the first case that holds decides; if none does, the verdict is `unknown`.
    #[serde(default = "Vec::new", rename = "case")]
    own_cases: Vec<Case<V>>,
    /// The name of a shared list that follows the step's own cases.
    #[serde(rename = "cases")]
    shared_cases: Option<String>,
}

/// How a step is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    #[default]
    Get,
    Post,
    Put,
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
        }
    }
}

impl<V> Operation<V> {
    /// The cases of a step: its own, then the shared ones.
    pub(super) fn cases<'a>(&'a self, step: &'a Step<V>) -> impl Iterator<Item = &'a Case<V>> {
        let shared = step.shared_cases.as_ref().and_then(|name| self.cases.get(name));
        step.own_cases.iter().chain(shared.into_iter().flatten())
    }

    /// What a case of a step is called by people: `case 2`, or `case 1 of cases.redeemed`.
    pub(super) fn case_name(&self, step: &Step<V>, at: usize) -> String {
        match at.checked_sub(step.own_cases.len()) {
            None => format!("case {}", at.saturating_add(1)),
            Some(at) => {
                let list = step.shared_cases.as_deref().unwrap_or_default();
                format!("case {} of cases.{list}", at.saturating_add(1))
            }
        }
    }

    /// The place of the step called `name` after the place `after`.
    pub(super) fn position(&self, name: &str, after: usize) -> Option<usize> {
        let later = self.steps.iter().enumerate().skip(after.saturating_add(1));
        later.filter(|(_, step)| step.name.as_deref() == Some(name)).map(|(at, _)| at).next()
    }

    /// Whether the CMS is told whose account it is.
    pub(super) fn names_user(&self) -> bool {
        self.steps.iter().any(|step| step.placeholders().contains(&&Placeholder::User))
    }

    /// The fields that hold this and nothing else.
    pub(super) fn fields_with(&self, what: &Placeholder) -> impl Iterator<Item = &str> {
        let fields = self.steps.iter().flat_map(|step| &step.fields);
        let wanted = format!("{{{what}}}");
        fields.filter(move |(_, text)| text.written() == wanted).map(|(name, _)| name.as_str())
    }

    /// Checks what serde cannot see of a step: that it leads somewhere, forward, and uses what is there to use.
    fn check(&self, at: usize, step: &Step<V>, ground: &Ground<'_>) -> Result<(), String> {
        match (step.to.len(), &step.form) {
            (0, _) => return Err("needs `to`, the path to send it to".to_owned()),
            (1, _) | (_, Some(_)) => {}
            (_, None) => return Err("has several paths but no `form` to pick one".to_owned()),
        }
        if at == 0 && step.form.is_some() {
            return Err("cannot have a `form`: no answer comes before it".to_owned());
        }
        if step.method == Method::Get && (!step.fields.is_empty() || step.json.is_some()) {
            return Err("has a body but is no POST; what a GET says goes into `query`".to_owned());
        }
        if step.json.is_some() && (!step.fields.is_empty() || step.form.is_some()) {
            return Err("has both `json` and a form; a body is one of them".to_owned());
        }
        if let Some(name) =
            step.cookies.keys().find(|name| !name.bytes().all(|b| b.is_ascii_graphic() && b != b'='))
        {
            return Err(format!("`{name}` is no name of a cookie"));
        }
        if let Some(name) = &step.shared_cases
            && !self.cases.contains_key(name)
        {
            return Err(format!("names the cases `{name}`, which `{}` does not have", ground.title));
        }
        if self.cases(step).next().is_none() {
            return Err("has no case, so its answer could never mean anything".to_owned());
        }
        if let Some(wrong) =
            step.to.iter().find_map(|path| path.unusable_as_path().map(|why| (path.written(), why)))
        {
            return Err(format!("`{}` is no path below the backend: {}", wrong.0, wrong.1));
        }
        let kept: BTreeSet<&String> =
            self.steps.iter().take(at).flat_map(|s| self.cases(s)).flat_map(|c| c.keep.keys()).collect();
        for hole in step.placeholders() {
            let there = match hole {
                Placeholder::PublicUrl => true,
                Placeholder::Kept(name) => kept.contains(name),
                Placeholder::TokenPart(name) => {
                    ground.allowed.contains(&Placeholder::Token)
                        && ground.token.is_some_and(|token| token.has_part(name))
                }
                hole => ground.allowed.contains(hole),
            };
            if !there {
                return Err(format!("there is no {{{hole}}} in `{}`", ground.title));
            }
        }
        for case in self.cases(step) {
            case.check()?;
            let parts = case.user_id.iter().chain(case.keep.values()).filter_map(|from| from.token_part());
            if let Some(part) =
                parts.into_iter().find(|part| !ground.token.is_some_and(|token| token.has_part(part)))
            {
                return Err(format!("`paths.token` has no part `{part}`"));
            }
            if let Some(next) = &case.next
                && self.position(next, at).is_none()
            {
                return Err(format!("no later step is called `{next}`"));
            }
        }
        Ok(())
    }
}

impl<V> Step<V> {
    fn templates(&mut self) -> impl Iterator<Item = &mut Template> {
        let maps = [&mut self.query, &mut self.fields, &mut self.cookies];
        self.to
            .iter_mut()
            .chain(maps.into_iter().flat_map(BTreeMap::values_mut))
            .chain(self.headers.values_mut())
    }

    fn placeholders(&self) -> Vec<&Placeholder> {
        let maps = [&self.query, &self.fields, &self.cookies];
        let all =
            self.to.iter().chain(maps.into_iter().flat_map(BTreeMap::values)).chain(self.headers.values());
        let mut holes: Vec<&Placeholder> = all.flat_map(Template::placeholders).collect();
        holes.extend(self.json.iter().flat_map(Json::placeholders));
        holes
    }
}

/// Makes an operation ready.
pub(super) fn checked<V: Clone>(
    written: Option<&WrittenOperation<V>>,
    ground: &Ground<'_>,
) -> Result<Option<Arc<Operation<V>>>, DialogueError> {
    let Some(written) = written else { return Ok(None) };
    let title = ground.title;
    if written.step.is_empty() {
        return Err(DialogueError::of(format!(
            "`{title}` has no step; remove it if the CMS has no such thing"
        )));
    }
    let wrong = |at: usize, why: String| {
        let offset = written.step.get(at).map_or(0, |step| step.span().start);
        DialogueError { offset, message: format!("step {} of `{title}`: {why}", at.saturating_add(1)) }
    };
    let mut operation = Operation {
        steps: written.step.iter().map(|step| step.as_ref().clone()).collect(),
        cases: written.cases.clone(),
    };
    for (at, step) in operation.steps.iter_mut().enumerate() {
        step.templates().try_for_each(|text| text.settle(ground.settings)).map_err(|why| wrong(at, why))?;
        step.json
            .iter_mut()
            .try_for_each(|json| json.settle(ground.settings))
            .map_err(|why| wrong(at, why))?;
    }
    for (at, step) in operation.steps.iter().enumerate() {
        operation.check(at, step, ground).map_err(|why| wrong(at, why))?;
    }
    Ok(Some(Arc::new(operation)))
}

/// A verdict has a name.
pub(super) trait Named: Copy + Send + Sync + 'static {
    fn name(self) -> &'static str;
}

impl Named for Verdict {
    fn name(self) -> &'static str {
        self.as_str()
    }
}

/// What a sign-in can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignInVerdict {
    Ok,
    Refused,
    Unknown,
}

impl Named for SignInVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What a sign-out can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignOutVerdict {
    Ok,
    Unknown,
}

impl Named for SignOutVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
        }
    }
}

/// Whom the CMS takes a cookie for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhoAmIVerdict {
    SignedIn,
    Anonymous,
    Unknown,
}

impl Named for WhoAmIVerdict {
    fn name(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::Anonymous => "anonymous",
            Self::Unknown => "unknown",
        }
    }
}
