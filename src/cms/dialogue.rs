//! The types of a dialogue file: how to speak with one CMS, as data.
//!
//! A dialogue is read once, when the configuration is; whatever it says is checked then, so that
//! running it cannot fail for a reason that lies in the file. It is trusted as much as `proxy.toml`
//! is: it may send passwords to any path below the backend's address, and to nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::cookies::CredentialRules;
use super::examine::Doctor;
use super::fields::{FieldRules, is_read_as};
use super::operation::{
    self, Ground, Operation, SignInVerdict, SignOutVerdict, WhoAmIVerdict, WrittenOperation,
};
use super::paths::{PathRules, Suffix, TokenRules};
use super::template::Placeholder;
use super::values::{HeaderKey, StatusSet};
use super::{TakenOver, Verdict};

/// How to speak with one CMS. See `deploy/dialogues/README.md` for the shape of the file.
#[derive(Clone, Debug)]
pub struct Dialogue {
    name: String,
    pub(super) credentials: CredentialRules,
    pub(super) challenge: Vec<Challenge>,
    pub(super) paths: PathRules,
    pub(super) fields: FieldRules,
    pub(super) requests: Requests,
    pub(super) sign_in: Option<Arc<Operation<SignInVerdict>>>,
    pub(super) sign_out: Option<Arc<Operation<SignOutVerdict>>>,
    pub(super) who_am_i: Option<Arc<Operation<WhoAmIVerdict>>>,
    pub(super) request_reset: Option<Arc<Operation<Verdict>>>,
    pub(super) open_link: Option<Arc<Operation<Verdict>>>,
    pub(super) redeem: Option<Arc<Operation<Verdict>>>,
    pub(super) change_password: Option<Arc<Operation<Verdict>>>,
    pub(super) doctor: Doctor,
}

/// Why a dialogue was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DialogueError {
    /// The byte of the text at which the mistake is; 0 if it concerns the dialogue as a whole.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

impl DialogueError {
    pub(super) fn of(message: String) -> Self {
        Self { offset: 0, message }
    }
}

/// The dialogues that come with the gate.
const BUILT_IN: &[(&str, &str)] = &[
    ("plone", include_str!("dialogues/plone.toml")),
    ("structr", include_str!("dialogues/structr.toml")),
    ("openacs", include_str!("dialogues/openacs.toml")),
    ("rest-registration", include_str!("dialogues/rest-registration.toml")),
    ("none", include_str!("dialogues/none.toml")),
];

/// A dialogue as it is written: in a file, in `[[cms]]` of `proxy.toml`, or there by the name of its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    name: Option<String>,
    file: Option<PathBuf>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    #[serde(default)]
    credentials: CredentialRules,
    #[serde(default)]
    challenge: Vec<Challenge>,
    #[serde(default)]
    paths: PathRules,
    #[serde(default)]
    fields: FieldRules,
    #[serde(default)]
    requests: Requests,
    sign_in: Option<WrittenOperation<SignInVerdict>>,
    sign_out: Option<WrittenOperation<SignOutVerdict>>,
    who_am_i: Option<WrittenOperation<WhoAmIVerdict>>,
    request_reset: Option<WrittenOperation<Verdict>>,
    open_link: Option<WrittenOperation<Verdict>>,
    redeem: Option<WrittenOperation<Verdict>>,
    change_password: Option<WrittenOperation<Verdict>>,
    #[serde(default)]
    doctor: Doctor,
}

impl Description {
    /// Reads a description from the text of a file.
    ///
    /// # Errors
    /// What is wrong, and where: a key, a value or a selector that makes no sense.
    pub fn from_toml(text: &str) -> Result<Self, DialogueError> {
        toml::from_str(text).map_err(|error| DialogueError {
            offset: error.span().map_or(0, |span| span.start),
            message: error.message().trim_end().to_owned(),
        })
    }

    /// One that comes with the gate, by its name.
    pub fn built_in(name: &str) -> Option<Result<Self, DialogueError>> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| Self::from_toml(text))
    }

    /// What it calls itself.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The file in which the rest of it stands.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether it says anything besides the name of its file, and perhaps the name that stands in it.
    pub fn is_more_than_file(&self, in_file: &Self) -> bool {
        let operations = self.sign_in.is_some()
            || self.sign_out.is_some()
            || self.who_am_i.is_some()
            || self.request_reset.is_some()
            || self.open_link.is_some()
            || self.redeem.is_some()
            || self.change_password.is_some();
        operations
            || !self.settings.is_empty()
            || !self.challenge.is_empty()
            || (self.name.is_some() && self.name != in_file.name)
    }

    /// The dialogue, with some of its `[settings]` replaced.
    ///
    /// # Errors
    /// Whatever makes no sense in it: an unknown setting, a placeholder that nothing fills in, a step that leads nowhere.
    pub fn dialogue(&self, settings: &BTreeMap<String, String>) -> Result<Dialogue, DialogueError> {
        use Placeholder::{OldPassword, Password, Token, User};
        if self.file.is_some() {
            return Err(DialogueError::of("a dialogue within a file cannot be in another `file`".to_owned()));
        }
        let name = self.name.clone().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| DialogueError::of("it needs a `name`".to_owned()))?;
        if let Some(unknown) = settings.keys().find(|key| !self.settings.contains_key(*key)) {
            let known: Vec<&str> = self.settings.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(DialogueError::of(format!(
                "the dialogue `{name}` has no setting `{unknown}`; it has: {known}"
            )));
        }
        if self.challenge.iter().any(|c| c.status.is_none() && c.redirect.is_empty()) {
            return Err(DialogueError::of("a `challenge` needs `status` or `redirect`".to_owned()));
        }
        let token = self.paths.token.as_ref();
        token.map_or(Ok(()), TokenRules::check).map_err(DialogueError::of)?;
        let mut all = self.settings.clone();
        all.extend(settings.clone());
        let doctor = self.doctor.settled(&all).map_err(DialogueError::of)?;
        doctor.check().map_err(DialogueError::of)?;
        let ground = |title, allowed| Ground { title, allowed, settings: &all, token };
        Ok(Dialogue {
            name,
            credentials: self.credentials.clone(),
            challenge: self.challenge.clone(),
            paths: self.paths.settled(&all).map_err(DialogueError::of)?,
            fields: self.fields.clone(),
            requests: self.requests.clone(),
            sign_in: operation::checked(self.sign_in.as_ref(), &ground("sign_in", &[User, Password]))?,
            sign_out: operation::checked(self.sign_out.as_ref(), &ground("sign_out", &[]))?,
            who_am_i: operation::checked(self.who_am_i.as_ref(), &ground("who_am_i", &[]))?,
            request_reset: operation::checked(
                self.request_reset.as_ref(),
                &ground("request_reset", &[User]),
            )?,
            open_link: operation::checked(self.open_link.as_ref(), &ground("open_link", &[Token]))?,
            redeem: operation::checked(self.redeem.as_ref(), &ground("redeem", &[User, Password, Token]))?,
            change_password: operation::checked(
                self.change_password.as_ref(),
                &ground("change_password", &[User, Password, OldPassword]),
            )?,
            doctor,
        })
    }
}

impl Dialogue {
    /// The names of the dialogues that come with the gate.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A dialogue that comes with the gate, by its name, as it is.
    pub fn built_in(name: &str) -> Option<Result<Self, DialogueError>> {
        Description::built_in(name).map(|found| found.and_then(|found| found.dialogue(&BTreeMap::new())))
    }

    /// Reads a dialogue from the text of a file.
    ///
    /// # Errors
    /// Any key, selector, placeholder or step that makes no sense, with its place.
    pub fn from_toml(text: &str) -> Result<Self, DialogueError> {
        Description::from_toml(text)?.dialogue(&BTreeMap::new())
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
        self.credentials.fields.iter().any(|field| is_read_as(base, field) || is_read_as(name, field))
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
    pub fn redispatch(&self, name: &str, value: &str) -> Option<TakenOver> {
        let target = self.redispatched(name, value)?;
        let raw = self.paths.taken_over(target.split('/'), None);
        raw.or_else(|| {
            let decoded = percent_encoding::percent_decode_str(target).decode_utf8_lossy();
            self.paths.taken_over(decoded.split('/'), None)
        })
    }

    /// The headers of a visitor's request that the CMS must not see.
    pub fn dropped_headers(&self) -> impl Iterator<Item = http::HeaderName> + '_ {
        self.requests.drop_headers.iter().map(HeaderKey::name)
    }

    /// Whether people sign in there.
    pub fn can_sign_in(&self) -> bool {
        self.sign_in.is_some()
    }

    /// Whether it sends reset mails when the gate asks for one.
    pub fn can_request_reset(&self) -> bool {
        self.request_reset.is_some()
    }

    /// Whether the CMS tells if such a link is still good, without using it up.
    pub fn can_open_link(&self) -> bool {
        self.open_link.is_some()
    }

    /// Whether the gate can set a new password with the link in such a mail.
    pub fn can_redeem(&self) -> bool {
        self.redeem.is_some()
    }

    /// Whether whoever is signed in can change their password through the gate.
    pub fn can_change_password(&self) -> bool {
        self.change_password.is_some()
    }

    /// The fields of the CMS's own reset form that hold the name of the account.
    pub fn user_fields(&self) -> Vec<&str> {
        self.redeem.iter().flat_map(|operation| operation.fields_with(&Placeholder::User)).collect()
    }

    /// The fields of the CMS's own reset form that hold the new password.
    pub fn password_fields(&self) -> Vec<&str> {
        self.redeem.iter().flat_map(|operation| operation.fields_with(&Placeholder::Password)).collect()
    }

    /// Whether the CMS itself checks whose link it is: then the name that is typed is the account's.
    pub fn redeem_checks_user(&self) -> bool {
        self.redeem.as_ref().is_some_and(|operation| operation.names_user())
    }
}

/// What holds of every request that reaches the CMS through the gate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Requests {
    /// Headers of visitors that must not reach it.
    drop_headers: Vec<HeaderKey>,
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
        for name in Dialogue::names() {
            let dialogue =
                Dialogue::built_in(name).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(dialogue.name(), name);
        }
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
            ("unknown method", "method = \"POST\"", "method = \"PATCH\"", "PATCH"),
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
