//! One certificate, from the order to the file: account, order, challenge, request, chain (RFC 8555, section 7).
//!
//! What the server says is believed as far as it goes: it decides whether there is a certificate, and nothing else. Its tokens are
//! looked at before they are shown, its chain before it takes the old one's place.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::certificate::Certificate;
use super::folder::Folder;
use super::http::{ASKED_TO_WAIT, Http};
use super::pending::Pending;
use super::settings::{Challenge, Name, Settings};
use crate::secret::Secret;

/// How long one attempt may take. Authorities answer within seconds, and look from several places within a minute.
const ATTEMPT: Duration = Duration::from_secs(5 * 60);
/// How often the server is asked how far it is: soon, then less and less often.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(200))
    .backoff(1.6)
    .timeout(Duration::from_secs(120));
/// How often an attempt is begun anew because the server has forgotten the numbers it gave out (RFC 8555, section 6.5).
const STALE_NONCES: u32 = 5;
/// How long to wait where the server says that it was asked too often, and not how long.
const TOO_OFTEN: Duration = Duration::from_secs(60 * 60);
/// What is said of an error is cut here, in characters.
const LONGEST_SENTENCE: usize = 600;

/// What certificates are ordered with.
pub(super) struct Orders {
    settings: Settings,
    base: PathBuf,
    challenge: Challenge,
    folder: Arc<Folder>,
    pending: Arc<Pending>,
    account: Mutex<Option<Account>>,
}

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failure {
    /// What happened, and what to do.
    pub(super) sentence: String,
    /// How long the server wants to be left alone, at least.
    pub(super) wait: Option<Duration>,
}

/// The same, before it is put into words.
enum Trouble {
    Acme(Error),
    Words(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Acme(error)
    }
}

impl From<String> for Trouble {
    fn from(sentence: String) -> Self {
        Self::Words(sentence)
    }
}

/// The account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    contact: Vec<String>,
    account: AccountCredentials,
}

impl Orders {
    pub(super) fn new(
        settings: &Settings,
        base: PathBuf,
        challenge: Challenge,
        folder: Arc<Folder>,
        pending: Arc<Pending>,
    ) -> Self {
        Self { settings: settings.clone(), base, challenge, folder, pending, account: Mutex::new(None) }
    }

    /// Gets a certificate for `name`, and keeps it.
    pub(super) async fn certificate(&self, name: &Name) -> Result<Certificate, Failure> {
        ASKED_TO_WAIT.scope(Cell::new(None), self.attempts(name)).await
    }

    async fn attempts(&self, name: &Name) -> Result<Certificate, Failure> {
        let attempts = async {
            for _ in 1..STALE_NONCES {
                match self.attempt(name).await {
                    Err(Trouble::Acme(Error::Api(problem))) if kind(&problem) == "badNonce" => {}
                    other => return other,
                }
            }
            self.attempt(name).await
        };
        let trouble = match tokio::time::timeout(ATTEMPT, attempts).await {
            Ok(Ok(certificate)) => return Ok(certificate),
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Words(format!("{} takes too long", self.settings.directory)),
        };
        // What it was had from may have moved.
        *self.account.lock().await = None;
        let mut wait = ASKED_TO_WAIT.with(Cell::get);
        let sentence = match &trouble {
            Trouble::Words(sentence) => sentence.clone(),
            Trouble::Acme(Error::Api(problem)) => {
                match kind(problem) {
                    "rateLimited" => wait = wait.or(Some(TOO_OFTEN)),
                    "accountDoesNotExist" => self.folder.forget_account(),
                    _ => {}
                }
                format!("{problem}{}", self.advice(name, kind(problem)))
            }
            Trouble::Acme(error) => error.to_string(),
        };
        // It is part of a log line and of a page, whoever has written it.
        let sentence =
            sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_SENTENCE).collect();
        Err(Failure { sentence, wait })
    }

    async fn attempt(&self, name: &Name) -> Result<Certificate, Trouble> {
        let account = self.account().await?;
        let identifiers = [Identifier::Dns(name.as_str().to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        if order.state().status == OrderStatus::Pending {
            self.prove(name, &mut order).await?;
        }
        let failed = |error: rcgen::Error| format!("a request for a certificate cannot be made: {error}");
        // A key of its own for every certificate, so that none grows old.
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(vec![name.as_str().to_owned()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(failed)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&POLLING).await?;
        Ok(self.folder.keep_certificate(name, &Secret::new(key.serialize_pem()), &chain)?)
    }

    /// Shows the server that the name leads here.
    async fn prove(&self, name: &Name, order: &mut Order) -> Result<(), Trouble> {
        let wanted = match self.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut shown = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization.challenge(wanted.clone()).ok_or_else(|| {
                let other = if self.challenge == Challenge::Http01 { "tls-alpn-01" } else { "http-01" };
                format!(
                    "{} does not offer this challenge for {name}; try challenge = \"{other}\"",
                    self.settings.directory
                )
            })?;
            shown.push(self.pending.show(
                self.challenge,
                name,
                &challenge.token,
                &challenge.key_authorization(),
            )?);
            challenge.set_ready().await?;
        }
        let ready = order.poll_ready(&POLLING).await;
        match ready {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) | Err(Error::Api(_)) => Err(match refused(order).await {
                Some(problem) => Error::Api(problem).into(),
                None => {
                    ready.err().map_or_else(|| "the order became invalid".to_owned().into(), Trouble::Acme)
                }
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// The account: the one in use, or the one that is kept, or a new one.
    async fn account(&self) -> Result<Account, Trouble> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let http = Box::new(Http::new(self.settings.ca.as_ref().map(|ca| self.base.join(ca)).as_deref())?);
        let builder = Account::builder_with_http(http);
        let contact: Vec<&str> = self.settings.contact.iter().map(super::settings::Contact::as_str).collect();
        let kept = match self.folder.account()? {
            None => None,
            Some(text) => Some(serde_json::from_str::<Kept>(text.expose()).map_err(|_| {
                let folder = self.folder.path().display();
                format!("account.json in {folder} is no ACME account; remove it, and another is made")
            })?),
        };
        let account = match kept {
            Some(kept) => {
                let is_told = kept.contact == contact;
                // Serialized before it is used up.
                let again = Secret::new(serde_json::to_string(&kept.account).map_err(Error::from)?);
                let account = builder.from_credentials(kept.account).await?;
                if !is_told {
                    account.update_contacts(&contact).await?;
                    self.keep(&contact, serde_json::from_str(again.expose()).map_err(Error::from)?)?;
                }
                account
            }
            None => {
                let binding = match &self.settings.eab {
                    None => None,
                    Some(eab) => Some(ExternalAccountKey::new(eab.kid.clone(), &eab.key(&self.base)?)),
                };
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: self.settings.terms_agreed,
                    only_return_existing: false,
                };
                let directory = self.settings.directory.as_str().to_owned();
                let (account, credentials) = builder.create(&new, directory, binding.as_ref()).await?;
                self.keep(&contact, credentials)?;
                tracing::info!(directory = %self.settings.directory, "there is an ACME account now");
                account
            }
        };
        *known = Some(account.clone());
        Ok(account)
    }

    fn keep(&self, contact: &[&str], account: AccountCredentials) -> Result<(), Trouble> {
        let kept = Kept { contact: contact.iter().map(|contact| (*contact).to_owned()).collect(), account };
        let text = Secret::new(serde_json::to_string(&kept).map_err(Error::from)?);
        Ok(self.folder.keep_account(&text)?)
    }

    /// What an operator can do about an error (RFC 8555, section 6.7).
    fn advice(&self, name: &Name, kind: &str) -> String {
        let port = match self.challenge {
            Challenge::Http01 => "port 80 of its address leads to a listener of [server] here",
            Challenge::TlsAlpn01 => {
                "port 443 of its address leads to a listener of [server.tls] here, unread"
            }
        };
        match kind {
            "connection" | "tls" | "unauthorized" | "incorrectResponse" => {
                format!("; see that {name} is this gate's on the internet and that {port}")
            }
            "dns" => format!("; see that {name} has an address in the DNS"),
            "caa" => format!("; see that the CAA records of {name} allow this authority"),
            "rejectedIdentifier" | "unsupportedIdentifier" => {
                "; write in acme.names what this authority gives certificates for".to_owned()
            }
            "externalAccountRequired" => "; write eab = { kid = \"…\", key_file = \"…\" } in acme".to_owned(),
            "userActionRequired" => {
                "; read what the authority asks for, such as new terms of service".to_owned()
            }
            "accountDoesNotExist" => "; another account is made at the next attempt".to_owned(),
            "invalidContact" | "unsupportedContact" => "; correct acme.contact".to_owned(),
            _ => String::new(),
        }
    }
}

/// What the authority found at the name, where it has said so.
async fn refused(order: &mut Order) -> Option<Problem> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Some(problem);
        }
    }
    None
}

/// The last part of a problem's type.
fn kind(problem: &Problem) -> &str {
    problem
        .r#type
        .as_deref()
        .and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:"))
        .unwrap_or_default()
}
