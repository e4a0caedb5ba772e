//! The one decision about a request, as a value: what is asked, and what the gate does about it.
//!
//! [`decide`] looks at nothing but its arguments, so the whole policy is one table in the tests.

use std::borrow::Cow;

use super::policy::Access;
use crate::cms::TakenOver;

/// One of the gate's own pages, by the path below its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// `login`
    SignIn,
    /// `logout`
    SignOut,
    /// `forgot-password`, also `mail_password`
    ForgotPassword,
    /// `reset-password`, also `password_reset`
    ResetPassword,
    /// `account`
    Account,
    /// `held`
    Held,
    /// `assets/…`
    Asset(&'a str),
    /// `health`
    Health,
    /// `auth`
    Auth,
    /// `api/…`
    Api(Api),
    /// Nothing that there is.
    NotFound,
}

/// The gate's own pages for scripts, by the path below `api/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `forgot-password`
    ForgotPassword,
    /// `reset-password`
    ResetPassword,
    /// `session`
    Session,
    /// `openapi.json`
    Description,
    /// Nothing that there is.
    NotFound,
}

impl Api {
    fn at(path: &str) -> Self {
        match path {
            "forgot-password" => Self::ForgotPassword,
            "reset-password" => Self::ResetPassword,
            "session" => Self::Session,
            "openapi.json" => Self::Description,
            _ => Self::NotFound,
        }
    }
}

impl<'a> Endpoint<'a> {
    /// Whether a request for it counts as use of the session. That a script looks whether there is one does not: it would go
    /// on for as long as a page stands open.
    pub fn extends_session(self) -> bool {
        !matches!(self, Self::Api(_))
    }

    /// The page at `path`, which begins with a slash and may end with one.
    pub fn at(path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.strip_suffix('/').unwrap_or(path) {
            "login" => Self::SignIn,
            "logout" => Self::SignOut,
            "forgot-password" | "mail_password" => Self::ForgotPassword,
            "reset-password" | "password_reset" => Self::ResetPassword,
            "account" => Self::Account,
            "held" => Self::Held,
            "health" => Self::Health,
            "auth" => Self::Auth,
            path => match path.split_once('/') {
                Some(("assets", name)) => Self::Asset(name),
                Some(("api", path)) => Self::Api(Api::at(path)),
                _ => Self::NotFound,
            },
        }
    }
}

/// What the gate does about a request.
#[derive(Debug, PartialEq)]
pub enum Decision<'a> {
    /// One of its own pages answers.
    Own(Endpoint<'a>),
    /// The CMS has a page for this, and the gate has its own in its place.
    TakenOver(TakenOver),
    /// It goes to the backend.
    Forward(Pass),
    /// Who asks must sign in first.
    SignIn,
    /// It is not allowed.
    Refuse(Reason),
}

/// As whom a request goes to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As whoever is signed in, or as nobody.
    Visitor,
    /// As nobody, whoever is signed in.
    Nobody,
    /// As nobody, and with the marks by which the CMS knows a trusted request.
    Trusted,
}

/// Why a request is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule of `[site.access]` says so.
    Rule,
    /// It reaches a part of the CMS by which the gate could be gone round.
    Closed,
    /// It carries a user name and password in its address, which would sign it in past the gate.
    Credentials,
}

/// What is asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// The path below the gate's own prefix, when it lies there.
    pub own: Option<&'a str>,
    /// What the CMS would take the path or the query for.
    pub taken_over: Option<TakenOver>,
    /// Whether the query has the fields of the CMS's login form.
    pub credentials: bool,
    /// Whether all marks of a trusted request are there.
    pub trusted: bool,
    /// What the rules ask for.
    pub access: Access,
    /// Whether somebody is signed in.
    pub signed_in: bool,
    /// Whether it is for the CMS's own reset form and nothing else, and the site lets that form serve.
    pub backend_reset_form: bool,
}

/// Decides.
pub fn decide<'a>(question: Question<'a>) -> Decision<'a> {
    if let Some(path) = question.own {
        return Decision::Own(Endpoint::at(path));
    }
    // A field in its address may lead a trusted request elsewhere, too; not to where nobody may go.
    if question.trusted && question.access != Access::Deny && question.taken_over != Some(TakenOver::Closed) {
        return Decision::Forward(Pass::Trusted);
    }
    match question.taken_over {
        Some(TakenOver::Closed) => return Decision::Refuse(Reason::Closed),
        // Plone would take an identity for the account that the link is for, or set no password at all (facts/plone.md, 3.4).
        Some(TakenOver::ResetLink { .. })
            if question.backend_reset_form && !question.credentials && question.access != Access::Deny =>
        {
            return Decision::Forward(Pass::Nobody);
        }
        Some(taken_over) => return Decision::TakenOver(taken_over),
        None => {}
    }
    match question.access {
        _ if question.credentials => Decision::Refuse(Reason::Credentials),
        Access::Deny => Decision::Refuse(Reason::Rule),
        Access::SignedIn if !question.signed_in => Decision::SignIn,
        Access::SignedIn | Access::Public => Decision::Forward(Pass::Visitor),
    }
}

/// The fields of a query or of a posted form, decoded. `;` separates as well: the `cgi` module that old Zopes read forms
/// with takes it so.
pub fn fields(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    text.split(|byte| matches!(byte, b'&' | b';')).map(field)
}

/// The same, and those that a reader finds to whom `;` separates nothing, as it does not to Zope 5.
pub fn all_fields(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    let longer = text.split(|byte| *byte == b'&').filter(|field| field.contains(&b';'));
    fields(text).chain(longer.map(field))
}

/// One field, decoded.
pub(super) fn field(text: &[u8]) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    let equals = text.iter().position(|byte| *byte == b'=');
    let (name, value) = equals.map_or((text, &b""[..]), |at| {
        (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default())
    });
    (decode(name), decode(value))
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(change: impl FnOnce(&mut Question<'static>)) -> Decision<'static> {
        let mut question = Question {
            own: None,
            taken_over: None,
            credentials: false,
            trusted: false,
            access: Access::SignedIn,
            signed_in: false,
            backend_reset_form: false,
        };
        change(&mut question);
        decide(question)
    }

    #[test]
    fn nothing_is_public_unless_a_rule_says_so() {
        assert_eq!(ask(|_| ()), Decision::SignIn);
        assert_eq!(ask(|q| q.signed_in = true), Decision::Forward(Pass::Visitor));
        assert_eq!(ask(|q| q.access = Access::Public), Decision::Forward(Pass::Visitor));
        assert_eq!(ask(|q| (q.access, q.signed_in) = (Access::Deny, true)), Decision::Refuse(Reason::Rule));
    }

    #[test]
    fn what_the_gate_takes_over_no_rule_gives_back() {
        for access in [Access::Public, Access::SignedIn, Access::Deny] {
            assert_eq!(
                ask(|q| (q.access, q.signed_in, q.taken_over) = (access, true, Some(TakenOver::RequestReset))),
                Decision::TakenOver(TakenOver::RequestReset)
            );
            assert_eq!(
                ask(|q| (q.access, q.taken_over) = (access, Some(TakenOver::Closed))),
                Decision::Refuse(Reason::Closed)
            );
        }
    }

    #[test]
    fn the_cms_own_reset_form_is_used_as_nobody() {
        for signed_in in [false, true] {
            let link = TakenOver::ResetLink { token: None, user: None };
            let asked =
                ask(|q| (q.signed_in, q.taken_over, q.backend_reset_form) = (signed_in, Some(link), true));
            assert_eq!(asked, Decision::Forward(Pass::Nobody));
        }
        let asked = ask(|q| {
            let link = TakenOver::ResetLink { token: None, user: None };
            (q.credentials, q.taken_over, q.backend_reset_form) = (true, Some(link), true);
        });
        assert!(!matches!(asked, Decision::Forward(_)), "nor with a password in its address");
    }

    #[test]
    fn credentials_in_an_address_never_reach_the_backend() {
        for access in [Access::Public, Access::SignedIn] {
            assert_eq!(
                ask(|q| (q.access, q.signed_in, q.credentials) = (access, true, true)),
                Decision::Refuse(Reason::Credentials)
            );
        }
    }

    #[test]
    fn a_trusted_request_passes_the_forms_but_the_gates_own_pages_come_first() {
        assert_eq!(
            ask(|q| (q.trusted, q.taken_over) = (true, Some(TakenOver::RequestReset))),
            Decision::Forward(Pass::Trusted)
        );
        assert_eq!(ask(|q| (q.trusted, q.access) = (true, Access::Deny)), Decision::Refuse(Reason::Rule));
        assert_eq!(
            ask(|q| (q.trusted, q.taken_over) = (true, Some(TakenOver::Closed))),
            Decision::Refuse(Reason::Closed)
        );
        assert_eq!(ask(|q| (q.trusted, q.own) = (true, Some("/logout"))), Decision::Own(Endpoint::SignOut));
    }

    #[test]
    fn own_pages_are_found_under_all_their_names() {
        for (path, endpoint) in [
            ("/login", Endpoint::SignIn),
            ("/login/", Endpoint::SignIn),
            ("/logout", Endpoint::SignOut),
            ("/mail_password", Endpoint::ForgotPassword),
            ("/forgot-password/", Endpoint::ForgotPassword),
            ("/password_reset", Endpoint::ResetPassword),
            ("/assets/gate.css", Endpoint::Asset("gate.css")),
            ("/auth", Endpoint::Auth),
            ("/api/session", Endpoint::Api(Api::Session)),
            ("/api/session/", Endpoint::Api(Api::Session)),
            ("/api/session/x", Endpoint::Api(Api::NotFound)),
            ("/api", Endpoint::NotFound),
            ("/", Endpoint::NotFound),
            ("/login/x", Endpoint::NotFound),
        ] {
            assert_eq!(Endpoint::at(path), endpoint, "{path}");
        }
    }

    #[test]
    fn fields_are_read_as_the_backends_read_them() {
        let read = |text: &str| {
            fields(text.as_bytes())
                .map(|(name, value)| {
                    format!("{}|{}", String::from_utf8_lossy(&name), String::from_utf8_lossy(&value))
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(read("a=1&b=x%3Ay+z;c"), ["a|1", "b|x:y z", "c|"]);
        assert_eq!(read("mail%5Fpassword%3Amethod=x"), ["mail_password:method|x"]);
        let values: Vec<_> =
            all_fields(b":method=a;/../b&c=d").map(|(_, value)| value.into_owned()).collect();
        assert_eq!(values, [&b"a"[..], b"", b"d", b"a;/../b"]);
    }
}
