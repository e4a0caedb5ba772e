//! The CMS's own reset form, used through the gate (`form = "backend"`): what the gate learns as it passes.
//!
//! The form is posted to the CMS as it is. The gate copies what was posted, and reads the CMS's answer by the dialogue as if it had
//! asked itself: so attempts are limited and written down, and a new password ends the account's sessions, whosever form it was set in.
//!
//! What it defends against: guessing links at the CMS's form, sessions that outlive the password, and a stranger who ends somebody
//! else's: nothing ends without the CMS's own word that a password was set, nor if anything was said twice.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Response};

use super::decide::{Pass, all_fields, field};
use crate::cms::{TakenOver, Verdict};
use crate::forward::{Inspect, ResponseBody};
use crate::limits::Action;
use crate::pages::ErrorKind;
use crate::recovery::{self, Redeeming};
use crate::secret::Secret;
use crate::visit::{Answer, Visit};

/// The longest form of which a copy is kept, in bytes: a few fields.
const LONGEST_FORM: usize = 64 << 10;
/// The longest page that is read, in bytes; as long as those of the gate's own conversations.
const LONGEST_PAGE: usize = 2 << 20;

/// A new password on its way to the CMS.
pub(super) struct Posted(Copy);

/// The form, as far as it has passed.
type Copy = Arc<Mutex<Vec<u8>>>;

impl Posted {
    /// If that is what this request is. It counts as an attempt to use a link.
    ///
    /// # Errors
    /// The answer to a client that had too many.
    pub(super) fn of(visit: &Visit<'_>, pass: Pass) -> Result<Option<Self>, Box<Answer>> {
        if pass != Pass::Nobody || !sets_password(visit) {
            return Ok(None);
        }
        let limits = &visit.shared().limits;
        limits.check_client(Action::ResetAttempt, visit.client.ip()).map_err(|wait| {
            let kind = ErrorKind::TooManyRequests { retry_after: wait.as_duration() };
            Box::new(visit.problem(kind, "limited"))
        })?;
        Ok(Some(Self(Copy::default())))
    }

    /// What copies a body as it is inspected, and has it inspected by `next`.
    pub(super) fn before(&self, next: Option<Box<dyn Inspect>>) -> Box<dyn Inspect> {
        Box::new(Copying { copy: Arc::clone(&self.0), next })
    }

    /// Reads what the CMS says, which then goes on to the visitor.
    pub(super) async fn read(self, visit: &Visit<'_>, response: &mut Response<ResponseBody>) {
        let body = response.body_mut().read_ahead(LONGEST_PAGE).await;
        let form = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let cms = &visit.site.cms;
        let (token, user) = who(visit, &form);
        let redeemed =
            cms.read_redeemed(token.as_ref(), visit.path, response.status(), response.headers(), body).await;
        if redeemed.verdict == Verdict::Ok && user.is_empty() && redeemed.user_id.is_none() {
            tracing::warn!(
                id = visit.caller.request_id,
                site = visit.site.name,
                "a password was set in the CMS's own form, and whose it is cannot be told: their sessions go on"
            );
        }
        recovery::conclude(visit, token.as_ref(), &user, &user, &Redeeming::Done(redeemed)).await;
        visit.shared().audit.settled().await;
    }
}

/// Whether a request for the CMS's reset form sets a password: some do it for a `GET`, too.
fn sets_password(visit: &Visit<'_>) -> bool {
    let query = visit.caller.parts.uri.query().unwrap_or_default();
    let names = visit.site.cms.dialogue().password_fields();
    visit.caller.parts.method == Method::POST
        || names.iter().any(|name| all_fields(query.as_bytes()).any(|(found, _)| found == name.as_bytes()))
}

/// Whose password is set with which link, as far as the address and the form say it once. What is said twice the CMS may read in
/// another way, and then another's sessions would end.
fn who(visit: &Visit<'_>, form: &[u8]) -> (Option<Secret>, String) {
    let dialogue = visit.site.cms.dialogue();
    let query = visit.caller.parts.uri.query();
    let texts = [query.unwrap_or_default().as_bytes(), form];
    let all: Vec<_> = texts
        .into_iter()
        .flat_map(|text| text.split(|byte| *byte == b'&'))
        .filter(|text| !text.is_empty())
        .map(field)
        .collect();
    let mut names: Vec<&[u8]> = all.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        return (None, String::new());
    }
    let users = dialogue.user_fields();
    let user = all.iter().find(|(name, _)| users.iter().any(|user| user.as_bytes() == name.as_ref()));
    let user = user.map(|(_, value)| String::from_utf8_lossy(value).trim().to_owned());
    let path = percent_encoding::percent_decode_str(visit.path).decode_utf8_lossy();
    let token_in = |query| match dialogue.paths().taken_over(path.split('/'), query) {
        Some(TakenOver::ResetLink { token, .. }) => token,
        _ => None,
    };
    let token = token_in(query).or_else(|| token_in(std::str::from_utf8(form).ok()));
    (token, user.unwrap_or_default())
}

struct Copying {
    copy: Copy,
    next: Option<Box<dyn Inspect>>,
}

impl Inspect for Copying {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        {
            let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
            if copy.len() + bytes.len() > LONGEST_FORM {
                return Err("no form for a new password is so long");
            }
            copy.extend_from_slice(bytes);
        }
        self.next.as_mut().map_or(Ok(()), |next| next.inspect(bytes))
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.next.as_mut().map_or(Ok(()), |next| next.finish())
    }
}
