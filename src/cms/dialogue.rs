//! The types of a dialogue file: how to speak with one CMS, as data.
//!
//! A dialogue is read once, when the configuration is; whatever it says is checked then, so that
//! running it cannot fail for a reason that lies in the file. It is trusted as much as `proxy.toml`
//! is: it may send passwords to any path below the backend's address, and to nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::condition::Case;
use super::examine::Doctor;
use super::paths::{FieldRules, PathRules, Suffix};
use super::template::{Placeholder, Template};
use super::values::{CssSelector, HeaderText, StatusSet};
use super::{Verdict, cookies::CredentialRules};

/// How to speak with one CMS. See the module's manual for the shape of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Dialogue {
    name: String,
    pub(super) credentials: CredentialRules,
    pub(super) challenge: Vec<Challenge>,
    pub(super) paths: PathRules,
    pub(super) fields: FieldRules,
    pub(super) sign_in: Option<Arc<Operation<SignInVerdict>>>,
    pub(super) sign_out: Option<Arc<Operation<SignOutVerdict>>>,
    pub(super) who_am_i: Option<Arc<Operation<WhoAmIVerdict>>>,
    pub(super) request_reset: Option<Arc<Operation<Verdict>>>,
    pub(super) redeem: Option<Arc<Operation<Verdict>>>,
    pub(super) doctor: Doctor,
}

/// Why a dialogue file was refused; the text names the line and what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DialogueError(String);

/// The dialogues that come with the gate.
const BUILT_IN: &[(&str, &str)] = &[("plone", include_str!("dialogues/plone.toml"))];

impl Dialogue {
    /// The names of the dialogues that come with the gate.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A dialogue that comes with the gate, by its name.
    pub fn built_in(name: &str) -> Option<Result<Self, DialogueError>> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| Self::from_toml(text))
    }

    /// Reads a dialogue from the text of a file.
    ///
    /// # Errors
    /// Any key, selector, placeholder or step that makes no sense, with its line where TOML knows it.
    pub fn from_toml(text: &str) -> Result<Self, DialogueError> {
        toml::from_str(text).map_err(|error| DialogueError(error.to_string().trim_end().to_owned()))
    }

    /// What the dialogue calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which cookies are the CMS's own credentials: they stay with the session, never with the browser.
    pub fn credentials(&self) -> &CredentialRules {
        &self.credentials
    }

    /// Which paths the gate answers itself.
    pub fn paths(&self) -> &PathRules {
        &self.paths
    }

    /// Whether a GET of this path, by its decoded segments, changes something at the CMS: keep away from it when crawling.
    pub fn acts_on_get(&self, segments: &[&str]) -> bool {
        self.doctor.avoids(segments)
    }

    /// Whether an answer is the CMS's way to say "sign in first". To someone who is signed in the same
    /// answer may mean "you may not"; ask [`super::Backend::who_am_i`] before sending anyone to sign in again.
    pub fn is_challenge(&self, status: http::StatusCode, location_path: Option<&str>) -> bool {
        self.challenge.iter().any(|challenge| challenge.holds(status, location_path))
    }

    /// Whether a field of this name, in the query or the body of any request, helps to sign that request in.
    pub fn is_credential_field(&self, name: &str) -> bool {
        let base = self.fields.base(name);
        self.credentials.fields.iter().any(|field| field == base || field == name)
    }

    /// Whether a body with this `Content-Type`, posted anywhere, chooses for itself what answers it.
    pub fn is_closed_type(&self, content_type: &[u8]) -> bool {
        self.fields.is_closed_type(content_type)
    }

    /// What a form field makes the CMS answer instead of the path it was sent to, as a path relative to it.
    /// The policy of that path must be asked too; [`PathRules::taken_over`] tells whether it is the gate's.
    pub fn redispatched<'a>(&self, name: &'a str, value: &'a str) -> Option<&'a str> {
        self.fields.redispatched(name, value)
    }

    /// Which of the gate's pages a form field leads to, if it makes the CMS answer with one of its own
    /// (`mail_password:method=1`); see [`Self::redispatched`].
    pub fn redispatch(&self, name: &str, value: &str) -> Option<super::TakenOver> {
        let target = self.redispatched(name, value)?;
        let raw = self.paths.taken_over(target.split('/'), None);
        raw.or_else(|| {
            let decoded = percent_encoding::percent_decode_str(target).decode_utf8_lossy();
            self.paths.taken_over(decoded.split('/'), None)
        })
    }
}

/// The steps that one thing takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct Operation<V> {
    /// The requests, in their order: the first is sent first, and a case may lead to a later one.
    #[serde(rename = "step")]
    pub steps: Vec<Step<V>>,
    /// Lists of cases that several steps share, by name.
    #[serde(default = "BTreeMap::new")]
    pub cases: BTreeMap<String, Vec<Case<V>>>,
}

/// One request and how to read what it brings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct Step<V> {
    /// What `next` of an earlier case calls it.
    pub name: Option<String>,
    /// GET unless it says POST.
    #[serde(default)]
    pub method: Method,
    /// The path below the backend's address. With `form`, several are allowed: the form's own action
    /// picks among them, and can never name another.
    pub to: Vec<Template>,
    /// The form in the answer before this step whose hidden fields are sent along.
    pub form: Option<CssSelector>,
    /// What to send, urlencoded, in the body.
    #[serde(default)]
    pub fields: BTreeMap<String, Template>,
    /// What to call ourselves in this step, whoever asks.
    pub user_agent: Option<HeaderText>,
    /// How to read the answer: the first case that holds decides; if none does, the verdict is `unknown`.
    #[serde(default = "Vec::new", rename = "case")]
    pub own_cases: Vec<Case<V>>,
    /// The name of a shared list that follows the step's own cases.
    #[serde(rename = "cases")]
    pub shared_cases: Option<String>,
}

/// How a step is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    /// Asks.
    #[default]
    Get,
    /// Sends the fields.
    Post,
}

impl<V> Operation<V> {
    /// The cases of a step: its own, then the shared ones.
    pub(super) fn cases<'a>(&'a self, step: &'a Step<V>) -> impl Iterator<Item = &'a Case<V>> {
        let shared = step.shared_cases.as_ref().and_then(|name| self.cases.get(name));
        step.own_cases.iter().chain(shared.into_iter().flatten())
    }

    /// The place of the step called `name` after the place `after`.
    pub(super) fn position(&self, name: &str, after: usize) -> Option<usize> {
        let later = self.steps.iter().enumerate().skip(after.saturating_add(1));
        later.filter(|(_, step)| step.name.as_deref() == Some(name)).map(|(at, _)| at).next()
    }

    /// Checks what serde cannot see: that steps lead somewhere, forward, and use what is there to use.
    fn check(&self, title: &str, allowed: &[Placeholder]) -> Result<(), String> {
        if self.steps.is_empty() {
            return Err(format!("`{title}` has no step; remove it if the CMS has no such thing"));
        }
        for (at, step) in self.steps.iter().enumerate() {
            let which = format!("step {} of `{title}`", at.saturating_add(1));
            match (step.to.len(), &step.form) {
                (0, _) => return Err(format!("{which} needs `to`, the path to send it to")),
                (1, _) | (_, Some(_)) => {}
                (_, None) => return Err(format!("{which} has several paths but no `form` to pick one")),
            }
            if at == 0 && step.form.is_some() {
                return Err(format!("{which} cannot have a `form`: no answer comes before it"));
            }
            if step.method == Method::Get && !step.fields.is_empty() {
                return Err(format!("{which} has `fields` but is no POST"));
            }
            if let Some(name) = &step.shared_cases
                && !self.cases.contains_key(name)
            {
                return Err(format!("{which} names the cases `{name}`, which `{title}` does not have"));
            }
            if self.cases(step).next().is_none() {
                return Err(format!("{which} has no case, so its answer could never mean anything"));
            }
            if let Some(wrong) =
                step.to.iter().find_map(|path| path.unusable_as_path().map(|why| (path.written(), why)))
            {
                return Err(format!("{which}: `{}` is no path below the backend: {}", wrong.0, wrong.1));
            }
            let templates = step.to.iter().chain(step.fields.values());
            if let Some(hole) =
                templates.flat_map(Template::placeholders).find(|hole| !allowed.contains(hole))
            {
                return Err(format!("{which}: there is no {{{}}} in `{title}`", hole.name()));
            }
            for case in self.cases(step) {
                case.check().map_err(|why| format!("{which}: {why}"))?;
                if let Some(next) = &case.next
                    && self.position(next, at).is_none()
                {
                    return Err(format!("{which}: no later step is called `{next}`"));
                }
            }
        }
        Ok(())
    }
}

/// One form of "sign in first": what is named must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Challenge {
    status: Option<StatusSet>,
    #[serde(default)]
    redirect: Vec<Suffix>,
}

impl Challenge {
    fn holds(&self, status: http::StatusCode, location_path: Option<&str>) -> bool {
        self.status.as_ref().is_none_or(|set| set.contains(status))
            && (self.redirect.is_empty()
                || status.is_redirection()
                    && location_path.is_some_and(|path| self.redirect.iter().any(|end| end.ends(path))))
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

/// What a sign-out can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignOutVerdict {
    Ok,
    Unknown,
}

/// Whom the CMS takes a cookie for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WhoAmIVerdict {
    SignedIn,
    Anonymous,
    Unknown,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    credentials: CredentialRules,
    #[serde(default)]
    challenge: Vec<Challenge>,
    #[serde(default)]
    paths: PathRules,
    #[serde(default)]
    fields: FieldRules,
    sign_in: Option<Operation<SignInVerdict>>,
    sign_out: Option<Operation<SignOutVerdict>>,
    who_am_i: Option<Operation<WhoAmIVerdict>>,
    request_reset: Option<Operation<Verdict>>,
    redeem: Option<Operation<Verdict>>,
    #[serde(default)]
    doctor: Doctor,
}

impl TryFrom<Written> for Dialogue {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        use Placeholder::{Password, Token, User};
        if let Some(nothing) = written.challenge.iter().find(|c| c.status.is_none() && c.redirect.is_empty())
        {
            return Err(format!("a `challenge` needs `status` or `redirect`, not {nothing:?}"));
        }
        written.doctor.check()?;
        Ok(Self {
            name: written.name,
            credentials: written.credentials,
            challenge: written.challenge,
            paths: written.paths,
            fields: written.fields,
            sign_in: checked(written.sign_in, "sign_in", &[User, Password])?,
            sign_out: checked(written.sign_out, "sign_out", &[])?,
            who_am_i: checked(written.who_am_i, "who_am_i", &[])?,
            request_reset: checked(written.request_reset, "request_reset", &[User])?,
            redeem: checked(written.redeem, "redeem", &[User, Password, Token])?,
            doctor: written.doctor,
        })
    }
}

fn checked<V>(
    operation: Option<Operation<V>>,
    title: &str,
    allowed: &[Placeholder],
) -> Result<Option<Arc<Operation<V>>>, String> {
    operation.map(|operation| operation.check(title, allowed).map(|()| Arc::new(operation))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "example"
[credentials]
cookies = ["sid"]
[[challenge]]
redirect = ["login"]
[paths]
sign_in = ["login"]
[[sign_in.step]]
method = "POST"
to = ["login"]
fields = { name = "{user}", password = "{password}" }
[[sign_in.step.case]]
cookie_set = ["sid"]
verdict = "ok"
[[redeem.step]]
to = ["reset/{token}"]
[[redeem.step.case]]
present = "form"
next = "set"
[[redeem.step]]
name = "set"
method = "POST"
form = "form"
to = ["reset/{token}", "reset"]
cases = "set"
[[redeem.cases.set]]
status = [200, "3xx"]
verdict = "ok"
[doctor.sign_in_form]
to = "login"
[[doctor.sign_in_form.case]]
present = "input#sid"
verdict = "found"
"#;

    #[test]
    fn what_comes_with_the_gate_can_be_read() {
        assert_eq!(Dialogue::built_in("plone").unwrap().unwrap().name(), "plone");
        assert!(Dialogue::built_in("nothing").is_none());
        let example = Dialogue::from_toml(GOOD).unwrap();
        assert!(example.redeem.is_some() && example.request_reset.is_none());
    }

    #[test]
    fn a_mistake_is_refused_and_named() {
        for (row, good, bad, named) in [
            (
                "unknown key",
                "method = \"POST\"\nto = [\"login\"]",
                "methd = \"POST\"\nto = [\"login\"]",
                "methd",
            ),
            ("unknown condition", "present = \"form\"", "presnt = \"form\"", "presnt"),
            ("unknown method", "method = \"POST\"", "method = \"PUT\"", "PUT"),
            (
                "a verdict of another operation",
                "cookie_set = [\"sid\"]\nverdict = \"ok\"",
                "cookie_set = [\"sid\"]\nverdict = \"expired\"",
                "expired",
            ),
            ("unknown placeholder", "{password}", "{pasword}", "{pasword}"),
            ("placeholder of another operation", "{password}", "{token}", "no {token} in `sign_in`"),
            ("no selector", "present = \"form\"", "present = \"form[\"", "`form[` is no CSS selector"),
            ("no status", "\"3xx\"", "\"9xx\"", "9xx"),
            ("no such status", "[200,", "[20,", "20"),
            ("out of the site", "to = [\"login\"]", "to = [\"../login\"]", "../login"),
            ("another host", "to = [\"login\"]", "to = [\"//evil.example\"]", "//evil.example"),
            ("a query", "to = [\"login\"]", "to = [\"login?a=b\"]", "login?a=b"),
            ("nowhere to go", "to = [\"login\"]", "to = []", "needs `to`"),
            ("several paths, no form", "to = [\"login\"]", "to = [\"login\", \"signin\"]", "no `form`"),
            ("fields in a GET", "method = \"POST\"\nto = [\"login\"]", "to = [\"login\"]", "no POST"),
            ("a step that is not there", "next = \"set\"", "next = \"sett\"", "sett"),
            ("neither verdict nor next", "next = \"set\"", "", "either `verdict` or `next`"),
            ("a case that always holds", "status = [200, \"3xx\"]\n", "", "needs a condition"),
            ("cases that are not there", "cases = \"set\"", "cases = \"st\"", "`st`"),
            (
                "a form before any answer",
                "method = \"POST\"\nto = [\"login\"]",
                "method = \"POST\"\nform = \"form\"\nto = [\"login\"]",
                "no answer comes before",
            ),
            (
                "a challenge without a sign",
                "[[challenge]]\nredirect = [\"login\"]",
                "[[challenge]]",
                "challenge",
            ),
            ("a probe with a name to fill in", "to = \"login\"", "to = \"{user}\"", "doctor.sign_in_form"),
            ("a probe of another host", "to = \"login\"", "to = \"//evil.example\"", "//evil.example"),
            ("a probe that leads on", "verdict = \"found\"", "next = \"set\"", "no `next` here"),
            ("a form that is something else", "verdict = \"found\"", "verdict = \"ok\"", "ok"),
            ("an empty segment", "sign_in = [\"login\"]", "sign_in = [\"/login\"]", "/login"),
        ] {
            assert!(GOOD.contains(good), "{row}: nothing to spoil");
            let error =
                Dialogue::from_toml(&GOOD.replacen(good, bad, 1)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(named), "{row}: {error}");
        }
    }

    #[test]
    fn steps_lead_forward_only() {
        let back = GOOD.replace(
            "next = \"set\"",
            "next = \"set\"\n[[redeem.step.case]]\nstatus = [404]\nnext = \"open\"",
        );
        let back = back.replace("[[redeem.step]]\nto", "[[redeem.step]]\nname = \"open\"\nto");
        assert!(Dialogue::from_toml(&back).unwrap_err().to_string().contains("no later step"));
    }
}
