//! From what a handler knows ([`Page`]) to what a template shows ([`Sheet`]): which template, which status, which words.
//!
//! The words of a script's JSON answer are taken from the same place, so page and API cannot drift apart.

use std::time::Duration;

use fluent_bundle::FluentValue;
use http::StatusCode;
use minijinja::{Value, context};

use super::catalogue::{Catalogue, Unsaid};
use super::page::{
    ChangeError, ChangeForm, DeadLink, ErrorKind, ForgotError, HeldLine, Page, ResetError, SessionLine,
    SignInError, SignInNotice,
};
use super::{Around, href};
use crate::password::Unfit;

/// All that is particular to one page, in the visitor's language.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) template: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: String,
    /// What happened, where the page is about that.
    pub(super) text: Option<String>,
    /// What a visitor should know before filling in the form.
    pub(super) notice: Option<String>,
    pub(super) alert: Option<Alert>,
    /// The field to start in; empty: none, or the alert if there is one.
    pub(super) focus: &'static str,
    /// `done` or `trouble`, for the look of it.
    pub(super) tone: &'static str,
    /// Whether a number to quote to the people who run the site helps.
    pub(super) quotable: bool,
    pub(super) retry_after: Option<Duration>,
    /// What only this template needs.
    pub(super) own: Value,
}

/// What went wrong with the last attempt.
#[derive(Debug, Default)]
pub(super) struct Alert {
    pub(super) text: String,
    /// The CMS's own words.
    pub(super) quote: Option<String>,
    /// The fields it is about.
    pub(super) fields: &'static [&'static str],
}

impl Sheet {
    /// What happened, as text, for an answer that is not a page.
    pub(super) fn detail(&self) -> String {
        match (&self.alert, &self.text) {
            (Some(Alert { text, quote: Some(quote), .. }), _) => format!("{text} {quote}"),
            (Some(Alert { text, .. }), _) | (None, Some(text)) => text.clone(),
            (None, None) => self.title.clone(),
        }
    }
}

/// "5 minutes": rounded up, so that nobody is told to come back too early, in the largest unit that is still exact enough.
pub(super) fn span(words: &Catalogue, time: Duration) -> Result<String, Unsaid> {
    let minutes = time.as_secs().div_ceil(60).max(1);
    let (id, count) = match minutes {
        ..=90 => ("span-minutes", minutes),
        91..=2880 => ("span-hours", minutes.div_ceil(60)),
        _ => ("span-days", minutes.div_ceil(1440)),
    };
    words.say(id, &[("count", FluentValue::from(count))])
}

/// One rendering: the words and the surroundings.
pub(super) struct View<'v> {
    pub(super) words: &'v Catalogue,
    pub(super) around: &'v Around<'v>,
}

impl View<'_> {
    pub(super) fn sheet(&self, page: Page<'_>) -> Result<Sheet, Unsaid> {
        match page {
            Page::SignIn { username, next, csrf, error, remember, notice } => {
                let own =
                    context! { username, next, csrf, remember, password_words => self.password_words()? };
                let notice = notice.map(|notice| {
                    self.say(match notice {
                        SignInNotice::Ended => "sign-in-session-ended",
                        SignInNotice::Kept => "sign-in-form-kept",
                        SignInNotice::Lost => "sign-in-form-lost",
                    })
                });
                let notice = notice.transpose()?;
                let sheet = self.sign_in(error, username)?;
                Ok(Sheet { notice: notice.filter(|_| sheet.alert.is_none()), own, ..sheet })
            }
            Page::SignOut { csrf, next } => Ok(Sheet {
                template: "sign-out.html",
                title: self.say("sign-out-title")?,
                own: context! { csrf, next, stay => href::local(next) },
                ..Sheet::default()
            }),
            Page::SignedOut => {
                let again = self.way("sign-in-again", "login", "")?;
                self.message("done", "signed-out-title", "signed-out-text", None, &[again])
            }
            Page::ForgotPassword { username, next, csrf, error } => {
                Ok(Sheet { own: context! { username, next, csrf }, ..self.forgot_password(error)? })
            }
            Page::ForgotPasswordSent { next, certain } => {
                let text = if certain { "forgot-sent-sure" } else { "forgot-sent-if" };
                let back = self.way("back-to-sign-in", "login", next)?;
                self.message("done", "forgot-sent-title", text, Some("forgot-sent-hint"), &[back])
            }
            Page::ResetPassword { username, csrf, error } => {
                let own = context! { username, csrf, password_words => self.password_words()? };
                Ok(Sheet { own, ..self.reset_password(error, username)? })
            }
            Page::ResetDone { next } => {
                let sign_in = self.way("sign-in-button", "login", next)?;
                self.message("done", "reset-done-title", "reset-done-text", None, &[sign_in])
            }
            Page::ResetDead { reason } => self.dead_link(reason),
            Page::Account { username, csrf, sessions, change } => {
                let words = self.password_words()?;
                let own = context! {
                    username, csrf, sessions => self.sessions(sessions)?, change => change.is_some(), password_words => words,
                };
                Ok(Sheet { own, ..self.account(change)? })
            }
            Page::Held { csrf, forms } => {
                let forms = forms.iter().map(|form| self.held(form)).collect::<Result<Vec<_>, _>>()?;
                Ok(Sheet {
                    template: "held.html",
                    title: self.say("held-title")?,
                    own: context! { csrf, forms, held => href::own(self.around.prefix, "held", "") },
                    ..Sheet::default()
                })
            }
            Page::HeldGone { busy } => {
                let home =
                    context! { text => self.say("back-to-site")?, href => href::local(self.around.home) };
                let (status, title, text) = if busy {
                    (StatusCode::CONFLICT, "held-busy-title", "held-busy-text")
                } else {
                    (StatusCode::GONE, "held-gone-title", "held-gone-text")
                };
                let ways = if busy { vec![self.way("held-look", "held", "")?, home] } else { vec![home] };
                Ok(Sheet { status, ..self.message("trouble", title, text, None, &ways)? })
            }
            Page::Error { kind, retry } => self.error(kind, retry),
        }
    }

    fn held(&self, form: &HeldLine<'_>) -> Result<Value, Unsaid> {
        let age = self.span(form.age)?;
        let action = href::local(form.action);
        Ok(context! { id => form.id, path => form.path, action, age, unclear => form.unclear })
    }

    fn sign_in(&self, error: Option<SignInError>, username: &str) -> Result<Sheet, Unsaid> {
        const BOTH: &[&str] = &["username", "password"];
        let first_empty = if username.is_empty() { "username" } else { "password" };
        let form = |status, focus, alert| {
            let title = self.say("sign-in-title")?;
            Ok(Sheet { template: "sign-in.html", status, title, focus, alert, ..Sheet::default() })
        };
        match error {
            None => form(StatusCode::OK, first_empty, None),
            Some(SignInError::Missing) => {
                form(StatusCode::UNPROCESSABLE_ENTITY, first_empty, self.alert("sign-in-missing", BOTH)?)
            }
            Some(SignInError::WrongCredentials) => {
                form(StatusCode::FORBIDDEN, "password", self.alert("sign-in-wrong", BOTH)?)
            }
            Some(SignInError::Unreachable) => {
                let sheet = form(StatusCode::BAD_GATEWAY, "", self.alert("sign-in-unreachable", &[])?)?;
                Ok(Sheet { quotable: true, ..sheet })
            }
            Some(SignInError::NotConfirmed) => {
                let sheet = form(StatusCode::BAD_GATEWAY, "", self.alert("sign-in-not-confirmed", &[])?)?;
                Ok(Sheet { quotable: true, ..sheet })
            }
            Some(SignInError::NotKept) => {
                let sheet = form(StatusCode::SERVICE_UNAVAILABLE, "", self.alert("sign-in-not-kept", &[])?)?;
                Ok(Sheet { quotable: true, retry_after: Some(Duration::from_secs(60)), ..sheet })
            }
            Some(SignInError::Limited { retry_after }) => {
                self.limited(form(StatusCode::TOO_MANY_REQUESTS, "", None)?, retry_after)
            }
            Some(SignInError::FormExpired) => {
                form(StatusCode::FORBIDDEN, "", self.alert("form-expired", &[])?)
            }
        }
    }

    fn forgot_password(&self, error: Option<ForgotError>) -> Result<Sheet, Unsaid> {
        let form = |status, focus, alert| {
            let title = self.say("forgot-title")?;
            Ok(Sheet { template: "forgot-password.html", status, title, focus, alert, ..Sheet::default() })
        };
        let refused = |id| form(StatusCode::UNPROCESSABLE_ENTITY, "username", self.alert(id, &["username"])?);
        let broken = |id| {
            let sheet = form(StatusCode::BAD_GATEWAY, "", self.alert(id, &[])?)?;
            Ok(Sheet { quotable: true, ..sheet })
        };
        match error {
            None => form(StatusCode::OK, "username", None),
            Some(ForgotError::Missing) => refused("forgot-missing"),
            Some(ForgotError::NoAccount) => refused("forgot-no-account"),
            Some(ForgotError::NotSupported) => refused("forgot-not-supported"),
            Some(ForgotError::Failed) => broken("forgot-failed"),
            Some(ForgotError::CouldNotConfirm) => broken("forgot-not-confirmed"),
            Some(ForgotError::Limited { retry_after }) => {
                self.limited(form(StatusCode::TOO_MANY_REQUESTS, "", None)?, retry_after)
            }
            Some(ForgotError::FormExpired) => {
                form(StatusCode::FORBIDDEN, "", self.alert("form-expired", &[])?)
            }
        }
    }

    fn reset_password(&self, error: Option<ResetError<'_>>, username: &str) -> Result<Sheet, Unsaid> {
        const ALL: &[&str] = &["username", "password", "password_confirm"];
        const NEW: &[&str] = &["password", "password_confirm"];
        let first_empty = if username.is_empty() { "username" } else { "password" };
        let form = |status, focus, alert| {
            let title = self.say("reset-title")?;
            Ok(Sheet { template: "reset-password.html", status, title, focus, alert, ..Sheet::default() })
        };
        let refused = |focus, alert| form(StatusCode::UNPROCESSABLE_ENTITY, focus, alert);
        match error {
            None => form(StatusCode::OK, first_empty, None),
            Some(ResetError::Missing) => refused(first_empty, self.alert("reset-missing", ALL)?),
            Some(ResetError::Mismatch) => refused("password", self.alert("reset-mismatch", NEW)?),
            Some(ResetError::Unfit(unfit)) => {
                refused("password", Some(Alert { text: self.unfit(unfit)?, quote: None, fields: NEW }))
            }
            Some(ResetError::Rejected { reason }) => refused("password", Some(self.rejected(reason, NEW)?)),
            Some(ResetError::Unreachable) => {
                let sheet = form(StatusCode::BAD_GATEWAY, "", self.alert("reset-unreachable", &[])?)?;
                Ok(Sheet { quotable: true, ..sheet })
            }
            Some(ResetError::Limited { retry_after }) => {
                self.limited(form(StatusCode::TOO_MANY_REQUESTS, "", None)?, retry_after)
            }
            Some(ResetError::FormExpired) => {
                form(StatusCode::FORBIDDEN, "", self.alert("form-expired", &[])?)
            }
        }
    }

    /// Why the CMS does not accept a new password.
    fn rejected(&self, reason: &str, fields: &'static [&'static str]) -> Result<Alert, Unsaid> {
        let quote = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
        let id = if quote.is_some() { "reset-rejected" } else { "reset-rejected-why-unsaid" };
        Ok(Alert { text: self.say(id)?, quote, fields })
    }

    /// Why a new password is not accepted.
    fn unfit(&self, unfit: Unfit) -> Result<String, Unsaid> {
        match unfit {
            Unfit::TooShort { minimum } => {
                self.words.say("reset-too-short", &[("minimum", FluentValue::from(minimum))])
            }
            Unfit::TooLong { maximum } => {
                self.words.say("reset-too-long", &[("maximum", FluentValue::from(maximum))])
            }
            Unfit::Blank => self.say("reset-blank"),
            Unfit::Common => self.say("reset-common"),
            Unfit::LikeName => self.say("reset-like-name"),
        }
    }

    fn account(&self, change: Option<ChangeForm<'_>>) -> Result<Sheet, Unsaid> {
        const ALL: &[&str] = &["current_password", "password", "password_confirm"];
        const CURRENT: &[&str] = &["current_password"];
        const NEW: &[&str] = &["password", "password_confirm"];
        let form = |status, focus, alert| {
            let title = self.say("account-title")?;
            Ok(Sheet { template: "account.html", status, title, focus, alert, ..Sheet::default() })
        };
        let refused = |focus, alert| form(StatusCode::UNPROCESSABLE_ENTITY, focus, alert);
        match change {
            None | Some(ChangeForm::Empty) => form(StatusCode::OK, "", None),
            Some(ChangeForm::Done) => {
                let sheet = form(StatusCode::OK, "", None)?;
                Ok(Sheet { notice: Some(self.say("change-done")?), ..sheet })
            }
            Some(ChangeForm::Wrong(error)) => match error {
                ChangeError::Missing => refused("current_password", self.alert("change-missing", ALL)?),
                ChangeError::Mismatch => refused("password", self.alert("reset-mismatch", NEW)?),
                ChangeError::WrongCurrent => form(
                    StatusCode::FORBIDDEN,
                    "current_password",
                    self.alert("change-wrong-current", CURRENT)?,
                ),
                ChangeError::Unfit(unfit) => {
                    refused("password", Some(Alert { text: self.unfit(unfit)?, quote: None, fields: NEW }))
                }
                ChangeError::Rejected { reason } => refused("password", Some(self.rejected(reason, NEW)?)),
                ChangeError::NotSupported => {
                    form(StatusCode::FORBIDDEN, "", self.alert("change-not-supported", &[])?)
                }
                ChangeError::NotConfirmed => {
                    let sheet = form(StatusCode::BAD_GATEWAY, "", self.alert("change-not-confirmed", &[])?)?;
                    Ok(Sheet { quotable: true, ..sheet })
                }
                ChangeError::Failed => {
                    let sheet =
                        form(StatusCode::INTERNAL_SERVER_ERROR, "", self.alert("change-failed", &[])?)?;
                    Ok(Sheet { quotable: true, ..sheet })
                }
                ChangeError::Limited { retry_after } => {
                    self.limited(form(StatusCode::TOO_MANY_REQUESTS, "", None)?, retry_after)
                }
                ChangeError::FormExpired => form(StatusCode::FORBIDDEN, "", self.alert("form-expired", &[])?),
            },
        }
    }

    fn dead_link(&self, reason: DeadLink) -> Result<Sheet, Unsaid> {
        #[rustfmt::skip]
        let (status, title, text) = match reason {
            DeadLink::Invalid => (StatusCode::NOT_FOUND, "reset-invalid-title", "reset-invalid-text"),
            DeadLink::Used => (StatusCode::NOT_FOUND, "reset-used-title", "reset-used-text"),
            DeadLink::Replaced => (StatusCode::NOT_FOUND, "reset-replaced-title", "reset-replaced-text"),
            DeadLink::Elsewhere => (StatusCode::NOT_FOUND, "reset-elsewhere-title", "reset-elsewhere-text"),
            DeadLink::Expired => (StatusCode::GONE, "reset-expired-title", "reset-expired-text"),
            DeadLink::Missing => (StatusCode::BAD_REQUEST, "reset-no-link-title", "reset-no-link-text"),
            DeadLink::NotConfirmed => (StatusCode::BAD_GATEWAY, "reset-not-confirmed-title", "reset-not-confirmed-text"),
        };
        let mut ways = vec![self.way("sign-in-button", "login", "")?];
        if self.around.forgot_password {
            // Where the password may be set already, signing in is the first thing to try.
            let first = if reason == DeadLink::NotConfirmed { ways.len() } else { 0 };
            ways.insert(first, self.way("new-link", "forgot-password", "")?);
        }
        let quotable = reason == DeadLink::NotConfirmed;
        Ok(Sheet { status, quotable, ..self.message("trouble", title, text, None, &ways)? })
    }

    fn error(&self, kind: ErrorKind, retry: Option<&str>) -> Result<Sheet, Unsaid> {
        let (status, _, title, text) = kind.facts();
        let (text, retry_after) = match kind {
            ErrorKind::TooManyRequests { retry_after }
            | ErrorKind::Unavailable { retry_after }
            | ErrorKind::Maintenance { retry_after } => {
                (self.words.say(text, &[("wait", self.wait(retry_after)?.into())])?, Some(retry_after))
            }
            _ => (self.say(text)?, None),
        };
        Ok(Sheet {
            template: "error.html",
            status,
            title: self.say(title)?,
            tone: "trouble",
            quotable: true,
            retry_after,
            own: context! { retry => retry.map(href::local), status => status.as_u16() },
            text: Some(text),
            ..Sheet::default()
        })
    }

    fn message(
        &self,
        tone: &'static str,
        title: &str,
        text: &str,
        hint: Option<&str>,
        ways: &[Value],
    ) -> Result<Sheet, Unsaid> {
        let text = self.say(text)?;
        let hint = hint.map(|hint| self.say(hint)).transpose()?;
        Ok(Sheet {
            template: "message.html",
            title: self.say(title)?,
            own: context! { hint, ways },
            text: Some(text),
            tone,
            ..Sheet::default()
        })
    }

    /// A link to one of our own pages, taking `next` along.
    fn way(&self, id: &str, page: &str, next: &str) -> Result<Value, Unsaid> {
        Ok(context! { text => self.say(id)?, href => href::own(self.around.prefix, page, next) })
    }

    fn alert(&self, id: &str, fields: &'static [&'static str]) -> Result<Option<Alert>, Unsaid> {
        Ok(Some(Alert { text: self.say(id)?, quote: None, fields }))
    }

    /// The same form, saying how long to wait.
    fn limited(&self, form: Sheet, retry_after: Duration) -> Result<Sheet, Unsaid> {
        let text = self.words.say("limited", &[("wait", self.wait(retry_after)?.into())])?;
        let alert = Some(Alert { text, quote: None, fields: &[] });
        Ok(Sheet { alert, retry_after: Some(retry_after), ..form })
    }

    fn sessions(&self, sessions: &[SessionLine<'_>]) -> Result<Vec<Value>, Unsaid> {
        let line = |session: &SessionLine<'_>| {
            let (age, idle) = (self.span(session.age)?, self.span(session.idle)?);
            Ok(context! { current => session.current, client => session.client, age, idle })
        };
        sessions.iter().map(line).collect()
    }

    /// What the comfort script says beside a password field.
    fn password_words(&self) -> Result<Value, Unsaid> {
        let (show, hide, caps) =
            (self.say("show-password")?, self.say("hide-password")?, self.say("caps-lock")?);
        Ok(context! { show, hide, caps })
    }

    /// "in 5 minutes".
    fn wait(&self, time: Duration) -> Result<String, Unsaid> {
        self.words.say("in-span", &[("span", self.span(time)?.into())])
    }

    fn span(&self, time: Duration) -> Result<String, Unsaid> {
        span(self.words, time)
    }

    fn say(&self, id: &str) -> Result<String, Unsaid> {
        self.words.say(id, &[])
    }
}
