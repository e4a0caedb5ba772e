//! The pages there are, as values: what a handler knows when it wants one shown.
//!
//! Nothing here needs to be escaped beforehand. `next` is a path of the same site that has been checked already.

use std::time::Duration;

use http::StatusCode;

use crate::password::Unfit;

/// One page of the gate, with all that it shows.
#[derive(Clone, Copy, Debug)]
pub enum Page<'a> {
    /// The form that asks for user name and password. Fields: `username password remember next csrf`.
    SignIn {
        /// What the user name field holds already.
        username: &'a str,
        /// Where to go afterwards.
        next: &'a str,
        /// The token that proves the form is ours.
        csrf: &'a str,
        /// What went wrong with the last attempt.
        error: Option<SignInError>,
        /// Whether to offer to be remembered, and whether the box is ticked; `None` hides it.
        remember: Option<bool>,
        /// Why it is shown, where that is not plain; said kindly above the form.
        notice: Option<SignInNotice>,
    },
    /// Asks before signing out. Fields: `next csrf`.
    SignOut {
        /// The token that proves the form is ours.
        csrf: &'a str,
        /// Where "stay signed in" leads.
        next: &'a str,
    },
    /// Says that the session is over.
    SignedOut,
    /// The form that asks for a reset mail. Fields: `username next csrf`.
    ForgotPassword {
        /// What the user name field holds already.
        username: &'a str,
        /// Where to go once signed in again.
        next: &'a str,
        /// The token that proves the form is ours.
        csrf: &'a str,
        /// What went wrong with the last attempt.
        error: Option<ForgotError>,
    },
    /// Says that a mail is on its way.
    ForgotPasswordSent {
        /// Where to go once signed in again.
        next: &'a str,
        /// `false`, the rule: "if an account has that name". `true`, with `disclose_accounts`: "is on its way".
        certain: bool,
    },
    /// The form a reset link leads to. Fields: `username password password_confirm csrf`.
    ResetPassword {
        /// What the user name field holds already.
        username: &'a str,
        /// The token that proves the form is ours.
        csrf: &'a str,
        /// What went wrong with the last attempt.
        error: Option<ResetError<'a>>,
    },
    /// Says that the new password is set.
    ResetDone {
        /// Where to go once signed in.
        next: &'a str,
    },
    /// Says that the reset link is of no use, and what to do instead.
    ResetDead {
        /// Why it is of no use.
        reason: DeadLink,
    },
    /// Who is signed in, and where.
    Account {
        /// Who.
        username: &'a str,
        /// The token for the sign-out form.
        csrf: &'a str,
        /// That user's sessions, this one included; an empty list is not shown.
        sessions: &'a [SessionLine<'a>],
        /// The form to change the password, for local users. Fields: `current_password password password_confirm csrf`.
        change: Option<ChangeForm<'a>>,
    },
    /// Offers forms that came after the session had run out. Sends to the line's `action`, discards with `id`; both with `csrf`.
    Held {
        /// The token that proves the forms are ours.
        csrf: &'a str,
        /// The forms, the oldest first.
        forms: &'a [HeldLine<'a>],
    },
    /// Says that there is no form to send (any more).
    HeldGone {
        /// Whether it is being sent at this moment.
        busy: bool,
    },
    /// An error that ends the request.
    Error {
        /// Which.
        kind: ErrorKind,
        /// The path to try again, where trying again is safe.
        retry: Option<&'a str>,
    },
}

/// Why a visitor is asked to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInNotice {
    /// They were signed in and no longer are.
    Ended,
    /// The form they sent is kept until they are signed in again.
    Kept,
    /// The form they sent could not be kept.
    Lost,
}

/// Why a sign-in did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInError {
    /// User name or password was left empty.
    Missing,
    /// The authority refused them: unknown user and wrong password alike.
    WrongCredentials,
    /// The authority did not answer; this says nothing about the password.
    Unreachable,
    /// The authority's answer was none that we know.
    NotConfirmed,
    /// Too many attempts.
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The form's token was missing, old or not ours.
    FormExpired,
    /// The password was right, but a session cannot be kept at present.
    NotKept,
}

/// Why no reset mail was asked for. `NoAccount` and `NotSupported` are for `disclose_accounts = true` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgotError {
    /// The user name was left empty.
    Missing,
    /// Too many requests.
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The form's token was missing, old or not ours.
    FormExpired,
    /// The CMS knows no such account, or it has no usable address.
    NoAccount,
    /// The CMS does not reset this account's password by mail.
    NotSupported,
    /// The CMS did not answer.
    Failed,
    /// The CMS's answer was none that we know.
    CouldNotConfirm,
}

/// Why a new password was not set, where trying again with the same link makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetError<'a> {
    /// A field was left empty.
    Missing,
    /// The two passwords differ.
    Mismatch,
    /// The gate's own rules are against the new password.
    Unfit(Unfit),
    /// The CMS refused it.
    Rejected {
        /// The CMS's own reason, as text. May be empty.
        reason: &'a str,
    },
    /// The CMS did not answer, so nothing was changed.
    Unreachable,
    /// Too many attempts.
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The form's token was missing, old or not ours.
    FormExpired,
}

/// The form to change the password, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeForm<'a> {
    /// For the first time.
    Empty,
    /// Below the word that it is done.
    Done,
    /// Below what went wrong.
    Wrong(ChangeError<'a>),
}

/// Why a password was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeError<'a> {
    /// A field was left empty.
    Missing,
    /// The two new passwords differ.
    Mismatch,
    /// The current password is another.
    WrongCurrent,
    /// The gate's own rules are against the new password.
    Unfit(Unfit),
    /// The CMS refused the new password.
    Rejected {
        /// The CMS's own reason, as text. May be empty.
        reason: &'a str,
    },
    /// The CMS does not change this person's password.
    NotSupported,
    /// The CMS did not say what became of it.
    NotConfirmed,
    /// It could not be stored.
    Failed,
    /// Too many attempts.
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The form's token was missing, old or not ours.
    FormExpired,
}

/// Why a reset link is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLink {
    /// Unknown, used already, or for another user name: CMSs do not tell these apart.
    Invalid,
    /// Past its time.
    Expired,
    /// Used already. The gate's own links are told apart for who holds them.
    Used,
    /// A newer one was asked for, or the account has changed.
    Replaced,
    /// It was opened in another browser first.
    Elsewhere,
    /// The form was opened without a link, or so long after it that the gate has forgotten it.
    Missing,
    /// The CMS's answer was none that we know: the password may or may not have been changed.
    NotConfirmed,
}

/// One session on the account page.
#[derive(Clone, Copy, Debug)]
pub struct SessionLine<'a> {
    /// Whether it is the one that asks.
    pub current: bool,
    /// Where it comes from: the client address.
    pub client: &'a str,
    /// How long ago it began.
    pub age: Duration,
    /// How long ago it was last used.
    pub idle: Duration,
}

/// One form that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub struct HeldLine<'a> {
    /// Its name.
    pub id: &'a str,
    /// Where it was going, as people read it.
    pub path: &'a str,
    /// The address to send it to: a path of the site.
    pub action: &'a str,
    /// How long ago it came.
    pub age: Duration,
    /// Whether it may have been sent already.
    pub unclear: bool,
}

/// The errors that end a request, each with words of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: malformed or ambiguous.
    BadRequest,
    /// 403: a rule of the site denies it.
    Forbidden,
    /// 403: a rule of the site opens it to other networks only.
    ForbiddenNetwork,
    /// 403: a form sent by another site.
    CrossSite,
    /// 404: the gate has no such page.
    NotFound,
    /// 405: not with this method.
    MethodNotAllowed,
    /// 408: the request did not arrive in time.
    RequestTimeout,
    /// 413: the body is larger than allowed.
    ContentTooLarge,
    /// 415: a form in a format that the gate does not read.
    UnsupportedMediaType,
    /// 417: an expectation other than `100-continue`.
    ExpectationFailed,
    /// 414: the target is longer than allowed.
    UriTooLong,
    /// 421: no site of that name here.
    Misdirected,
    /// 429: too many requests from this client.
    TooManyRequests {
        /// How long to wait.
        retry_after: Duration,
    },
    /// 431: the header section is larger than allowed.
    HeadersTooLarge,
    /// 500: our own fault.
    Internal,
    /// 501: a method or transfer coding that the gate does not do.
    NotImplemented,
    /// 502: the backend cannot be reached, or its answer is broken.
    BadGateway,
    /// 503: the gate or the backend is busy or going down.
    Unavailable {
        /// How long to wait.
        retry_after: Duration,
    },
    /// 503: there is no backend at the moment, and nothing was sent to any.
    Maintenance {
        /// How long to wait.
        retry_after: Duration,
    },
    /// 504: the backend did not answer in time.
    GatewayTimeout,
}

impl ErrorKind {
    /// Its HTTP status.
    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    /// Its name for scripts (the `status` of a JSON answer) and logs.
    pub const fn code(self) -> &'static str {
        self.facts().1
    }

    /// Status, name, and the ids of title and text.
    pub(super) const fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        macro_rules! fact {
            ($status:ident, $code:literal, $id:literal) => {
                (
                    StatusCode::$status,
                    $code,
                    concat!("error-", $id, "-title"),
                    concat!("error-", $id, "-text"),
                )
            };
        }
        match self {
            Self::BadRequest => fact!(BAD_REQUEST, "bad_request", "bad-request"),
            Self::Forbidden => fact!(FORBIDDEN, "forbidden", "forbidden"),
            Self::ForbiddenNetwork => fact!(FORBIDDEN, "forbidden_network", "forbidden-network"),
            Self::CrossSite => fact!(FORBIDDEN, "cross_site", "cross-site"),
            Self::NotFound => fact!(NOT_FOUND, "not_found", "not-found"),
            Self::MethodNotAllowed => fact!(METHOD_NOT_ALLOWED, "method_not_allowed", "method"),
            Self::RequestTimeout => fact!(REQUEST_TIMEOUT, "request_timeout", "timeout"),
            Self::ContentTooLarge => fact!(PAYLOAD_TOO_LARGE, "content_too_large", "content-too-large"),
            Self::UnsupportedMediaType => {
                fact!(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "not-implemented")
            }
            Self::ExpectationFailed => fact!(EXPECTATION_FAILED, "expectation_failed", "not-implemented"),
            Self::UriTooLong => fact!(URI_TOO_LONG, "uri_too_long", "uri-too-long"),
            Self::Misdirected => fact!(MISDIRECTED_REQUEST, "misdirected_request", "misdirected"),
            Self::TooManyRequests { .. } => fact!(TOO_MANY_REQUESTS, "limited", "too-many"),
            Self::HeadersTooLarge => {
                fact!(REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "headers-too-large")
            }
            Self::Internal => fact!(INTERNAL_SERVER_ERROR, "internal_error", "internal"),
            Self::NotImplemented => fact!(NOT_IMPLEMENTED, "not_implemented", "not-implemented"),
            Self::BadGateway => fact!(BAD_GATEWAY, "bad_gateway", "bad-gateway"),
            Self::Unavailable { .. } => fact!(SERVICE_UNAVAILABLE, "unavailable", "unavailable"),
            Self::Maintenance { .. } => fact!(SERVICE_UNAVAILABLE, "maintenance", "maintenance"),
            Self::GatewayTimeout => fact!(GATEWAY_TIMEOUT, "gateway_timeout", "gateway-timeout"),
        }
    }
}

/// Every page in every state, with harmless values: what an operator's templates are tried on before they serve
/// anyone. `text` stands wherever a value from outside would.
pub(super) fn specimens<'a>(
    text: &'a str,
    sessions: &'a [SessionLine<'a>],
    forms: &'a [HeldLine<'a>],
) -> Vec<Page<'a>> {
    let retry_after = Duration::from_secs(300);
    let sign_in = |error, remember, notice| Page::SignIn {
        username: text,
        next: text,
        csrf: text,
        error,
        remember,
        notice,
    };
    let forgot = |error| Page::ForgotPassword { username: text, next: text, csrf: text, error };
    let reset = |error| Page::ResetPassword { username: text, csrf: text, error };
    let account = |sessions, change| Page::Account { username: text, csrf: text, sessions, change };
    let error = |kind| Page::Error { kind, retry: None };
    vec![
        sign_in(None, None, None),
        sign_in(None, Some(false), Some(SignInNotice::Ended)),
        sign_in(None, Some(false), Some(SignInNotice::Kept)),
        sign_in(None, Some(false), Some(SignInNotice::Lost)),
        sign_in(Some(SignInError::Missing), Some(true), None),
        sign_in(Some(SignInError::WrongCredentials), Some(false), None),
        sign_in(Some(SignInError::Unreachable), None, None),
        sign_in(Some(SignInError::NotConfirmed), None, None),
        sign_in(Some(SignInError::Limited { retry_after }), None, None),
        sign_in(Some(SignInError::FormExpired), None, None),
        sign_in(Some(SignInError::NotKept), None, None),
        Page::SignOut { csrf: text, next: text },
        Page::SignedOut,
        forgot(None),
        forgot(Some(ForgotError::Missing)),
        forgot(Some(ForgotError::Limited { retry_after })),
        forgot(Some(ForgotError::FormExpired)),
        forgot(Some(ForgotError::NoAccount)),
        forgot(Some(ForgotError::NotSupported)),
        forgot(Some(ForgotError::Failed)),
        forgot(Some(ForgotError::CouldNotConfirm)),
        Page::ForgotPasswordSent { next: text, certain: false },
        Page::ForgotPasswordSent { next: text, certain: true },
        reset(None),
        reset(Some(ResetError::Missing)),
        reset(Some(ResetError::Mismatch)),
        reset(Some(ResetError::Unfit(Unfit::TooShort { minimum: 8 }))),
        reset(Some(ResetError::Unfit(Unfit::TooLong { maximum: 256 }))),
        reset(Some(ResetError::Unfit(Unfit::Blank))),
        reset(Some(ResetError::Unfit(Unfit::Common))),
        reset(Some(ResetError::Unfit(Unfit::LikeName))),
        reset(Some(ResetError::Rejected { reason: text })),
        reset(Some(ResetError::Rejected { reason: "" })),
        reset(Some(ResetError::Unreachable)),
        reset(Some(ResetError::Limited { retry_after })),
        reset(Some(ResetError::FormExpired)),
        Page::ResetDone { next: text },
        Page::ResetDead { reason: DeadLink::Invalid },
        Page::ResetDead { reason: DeadLink::Expired },
        Page::ResetDead { reason: DeadLink::Used },
        Page::ResetDead { reason: DeadLink::Replaced },
        Page::ResetDead { reason: DeadLink::Elsewhere },
        Page::ResetDead { reason: DeadLink::Missing },
        Page::ResetDead { reason: DeadLink::NotConfirmed },
        account(&[], None),
        account(sessions, None),
        account(sessions, Some(ChangeForm::Empty)),
        account(sessions, Some(ChangeForm::Done)),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Missing))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Mismatch))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::WrongCurrent))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Unfit(Unfit::Common)))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Rejected { reason: text }))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::NotSupported))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::NotConfirmed))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Failed))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::Limited { retry_after }))),
        account(sessions, Some(ChangeForm::Wrong(ChangeError::FormExpired))),
        Page::Held { csrf: text, forms },
        Page::HeldGone { busy: false },
        Page::HeldGone { busy: true },
        error(ErrorKind::BadRequest),
        error(ErrorKind::Forbidden),
        error(ErrorKind::ForbiddenNetwork),
        error(ErrorKind::CrossSite),
        error(ErrorKind::NotFound),
        error(ErrorKind::MethodNotAllowed),
        error(ErrorKind::RequestTimeout),
        error(ErrorKind::ContentTooLarge),
        error(ErrorKind::UriTooLong),
        error(ErrorKind::Misdirected),
        error(ErrorKind::TooManyRequests { retry_after }),
        error(ErrorKind::HeadersTooLarge),
        error(ErrorKind::Internal),
        error(ErrorKind::NotImplemented),
        error(ErrorKind::UnsupportedMediaType),
        error(ErrorKind::ExpectationFailed),
        Page::Error { kind: ErrorKind::BadGateway, retry: Some(text) },
        error(ErrorKind::Unavailable { retry_after }),
        Page::Error { kind: ErrorKind::Maintenance { retry_after }, retry: Some(text) },
        Page::Error { kind: ErrorKind::GatewayTimeout, retry: Some(text) },
    ]
}
