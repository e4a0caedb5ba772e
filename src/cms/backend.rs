//! The operations of a dialogue, at work with one backend.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::client::Client;
use super::cookies::{CredentialRules, KeptCookies};
use super::dialogue::Dialogue;
use super::operation::{Named, Operation, SignInVerdict, SignOutVerdict, WhoAmIVerdict};
use super::run::{self, Call, Conclusion, Stopped};
use super::template::Filling;
use super::{
    Asker, BackendError, BackendSettings, PASSWORD_CAP, Redeemed, Requested, SignIn, SignOut, USER_CAP,
    Verdict, WhoAmI,
};
use crate::forward::Standing;
use crate::secret::Secret;

/// One site's backend, and how to speak with it. Cheap to share; it holds no connection open.
pub struct Backend {
    pub(super) dialogue: Arc<Dialogue>,
    pub(super) rules: Arc<CredentialRules>,
    pub(super) client: Client,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("dialogue", &self.dialogue.name()).finish_non_exhaustive()
    }
}

impl Backend {
    /// The backend of one site.
    ///
    /// # Errors
    /// When an address or a header's value cannot be used, or the system has no TLS roots to verify with.
    pub fn new(dialogue: Arc<Dialogue>, settings: BackendSettings) -> Result<Self, BackendError> {
        let rules = Arc::new(dialogue.credentials().clone());
        Ok(Self { client: Client::new(settings)?, dialogue, rules })
    }

    /// The same, at whichever of these backends is best, each in the place of the address's host and port.
    #[must_use]
    pub fn among(mut self, standing: Arc<Standing>) -> Self {
        self.client = self.client.among(standing);
        self
    }

    /// The dialogue it is spoken with in.
    pub fn dialogue(&self) -> &Dialogue {
        &self.dialogue
    }

    /// Asks the CMS whether this is the account's password. A name that no account can have (control
    /// characters, over-long, empty) is refused without asking.
    pub async fn sign_in(&self, user: &str, password: &Secret, asker: &Asker) -> SignIn {
        let Some(operation) = &self.dialogue.sign_in else {
            return SignIn::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        if !could_be_user(user) || !could_be_password(password) {
            return SignIn::Refused;
        }
        let filling = Filling { user: Some(user), password: Some(password), ..self.filling() };
        match self.ask(operation, filling, None, false, asker).await {
            Err(stopped) => SignIn::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(SignInVerdict::Refused) => SignIn::Refused,
                Some(SignInVerdict::Ok) => {
                    let cookies = cookies_of(&end);
                    SignIn::Ok { user: user.to_owned(), user_id: end.user_id, cookies }
                }
                Some(SignInVerdict::Unknown) | None => SignIn::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Ends the sign-in at the CMS as far as it can be ended there: an old CMS only clears the cookie, and
    /// would still take it. That is why the browser never has it.
    pub async fn sign_out(&self, cookies: &KeptCookies, asker: &Asker) -> SignOut {
        let Some(operation) = &self.dialogue.sign_out else {
            return SignOut::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        match self.ask(operation, self.filling(), Some(cookies), false, asker).await {
            Err(stopped) => SignOut::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(SignOutVerdict::Ok) => SignOut::Ok,
                Some(SignOutVerdict::Unknown) | None => SignOut::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Asks the CMS whether it still knows the holder of these cookies.
    pub async fn who_am_i(&self, cookies: &KeptCookies, asker: &Asker) -> WhoAmI {
        let Some(operation) = &self.dialogue.who_am_i else {
            return WhoAmI::Unknown { evidence: NO_OPERATION.to_owned() };
        };
        match self.ask(operation, self.filling(), Some(cookies), false, asker).await {
            Err(stopped) => WhoAmI::Unreachable { evidence: stopped.evidence },
            Ok(end) => match end.verdict {
                Some(WhoAmIVerdict::SignedIn) => WhoAmI::SignedIn { user_id: end.user_id },
                Some(WhoAmIVerdict::Anonymous) => WhoAmI::Anonymous,
                Some(WhoAmIVerdict::Unknown) | None => WhoAmI::Unknown { evidence: end.evidence },
            },
        }
    }

    /// Asks the CMS to mail a reset link to this account's owner: always anonymously, with the marks of
    /// [`super::Trust`], from the configured source address.
    pub async fn request_reset(&self, user: &str, asker: &Asker) -> Requested {
        let unasked =
            |verdict, evidence: &str| Requested { verdict, message: None, evidence: evidence.to_owned() };
        let Some(operation) = &self.dialogue.request_reset else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        if !could_be_user(user) {
            return unasked(Verdict::NoAccount, NOT_SENT);
        }
        let filling = Filling { user: Some(user), ..self.filling() };
        let end = anonymous(self.ask(operation, filling, None, true, asker).await);
        Requested { verdict: end.verdict, message: end.message, evidence: end.evidence }
    }

    /// Asks the CMS whether a reset link is still good, where it tells without using the link up. `Ok`: it is.
    pub async fn open_link(&self, token: &Secret, asker: &Asker) -> Redeemed {
        let Some(operation) = &self.dialogue.open_link else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        if !self.dialogue.paths().is_token(token.expose()) {
            return unasked(Verdict::Invalid, NOT_SENT);
        }
        let filling = Filling { token: Some(token), ..self.filling() };
        anonymous(self.ask(operation, filling, None, true, asker).await)
    }

    /// Sets a new password with the token of a reset link, anonymously. If the CMS signs the person in on
    /// that occasion, its cookie is dropped.
    pub async fn redeem(&self, token: &Secret, user: &str, password: &Secret, asker: &Asker) -> Redeemed {
        let Some(operation) = &self.dialogue.redeem else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        if !self.dialogue.paths().is_token(token.expose()) || !could_be_user(user) {
            return unasked(Verdict::Invalid, NOT_SENT);
        }
        if !could_be_password(password) {
            return unasked(Verdict::Rejected, NOT_SENT);
        }
        let filling =
            Filling { user: Some(user), password: Some(password), token: Some(token), ..self.filling() };
        anonymous(self.ask(operation, filling, None, true, asker).await)
    }

    /// Reads the answer to the CMS's own reset form, which somebody has sent to `path` themselves, as if [`Self::redeem`] had sent it.
    /// `body` is none if it was too long.
    pub async fn read_redeemed(
        &self,
        token: Option<&Secret>,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<Bytes>,
    ) -> Redeemed {
        let Some(operation) = &self.dialogue.redeem else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        let filling = Filling { token, ..self.filling() };
        let answer = self.client.answer_from(path, status, headers, body.map(|body| body.to_vec()));
        let Some(answer) = answer else { return unasked(Verdict::Unknown, "the address cannot be read") };
        anonymous(run::read_last(operation, answer, &self.rules, &filling).await)
    }

    /// Sets a new password for whoever these cookies sign in, with the old one. `Invalid`: the old one is wrong. Where the CMS gives
    /// out another sign-in on that occasion, `cookies` are that one.
    pub async fn change_password(
        &self,
        cookies: &mut KeptCookies,
        user: &str,
        old: &Secret,
        new: &Secret,
        asker: &Asker,
    ) -> Redeemed {
        let Some(operation) = &self.dialogue.change_password else {
            return unasked(Verdict::NotSupported, NO_OPERATION);
        };
        if !could_be_user(user) || !could_be_password(old) {
            return unasked(Verdict::Invalid, NOT_SENT);
        }
        if !could_be_password(new) {
            return unasked(Verdict::Rejected, NOT_SENT);
        }
        let filling =
            Filling { user: Some(user), password: Some(new), old_password: Some(old), ..self.filling() };
        let end = self.ask(operation, filling, Some(&*cookies), false, asker).await;
        for cookie in end.iter().flat_map(|end| &end.credentials) {
            cookies.apply(cookie.clone());
        }
        anonymous(end)
    }

    pub(super) fn filling(&self) -> Filling<'_> {
        let token_rules = self.dialogue.paths().token.as_ref();
        Filling { public_url: self.client.public_url(), token_rules, ..Filling::default() }
    }

    pub(super) async fn ask<'a, V: Named>(
        &'a self,
        operation: &Arc<Operation<V>>,
        filling: Filling<'a>,
        kept: Option<&'a KeptCookies>,
        trusted: bool,
        asker: &'a Asker,
    ) -> Result<Conclusion<V>, Stopped> {
        let call = Call { client: &self.client, rules: &self.rules, filling, kept, trusted, asker };
        run::run(operation, call).await
    }
}

const NO_OPERATION: &str = "the dialogue has no such operation";
const NOT_SENT: &str = "not sent: no account, password or link can look like that";

fn could_be_user(user: &str) -> bool {
    !user.trim().is_empty() && user.len() <= USER_CAP && !user.chars().any(char::is_control)
}

fn could_be_password(password: &Secret) -> bool {
    !password.expose().is_empty() && password.expose().len() <= PASSWORD_CAP
}

fn unasked(verdict: Verdict, evidence: &str) -> Redeemed {
    Redeemed { verdict, message: None, user_id: None, evidence: evidence.to_owned() }
}

fn anonymous(end: Result<Conclusion<Verdict>, Stopped>) -> Redeemed {
    match end {
        Err(stopped) => unasked(Verdict::FailedToConnect, &stopped.evidence),
        Ok(end) => Redeemed {
            verdict: end.verdict.unwrap_or(Verdict::Unknown),
            message: end.message,
            user_id: end.user_id,
            evidence: end.evidence,
        },
    }
}

pub(super) fn cookies_of<V>(end: &Conclusion<V>) -> KeptCookies {
    let mut cookies = KeptCookies::default();
    for cookie in &end.credentials {
        cookies.apply(cookie.clone());
    }
    cookies
}
