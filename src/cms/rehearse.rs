//! An operation gone through for people to watch: every request, what came back, and which case held.
//!
//! For `lychgate doctor --dialogue`. It is the real thing: what signs in has signed in, and a mail is sent.

use super::backend::cookies_of;
use super::cookies::KeptCookies;
use super::operation::Named;
use super::run::{Conclusion, StepTaken, Stopped};
use super::template::Filling;
use super::{Asker, Backend};
use crate::secret::Secret;

/// What is to be gone through.
#[derive(Debug)]
pub enum Scene<'a> {
    /// `sign_in`.
    SignIn {
        /// The name of the account.
        user: &'a str,
        /// Its password.
        password: &'a Secret,
    },
    /// `who_am_i`, with these cookies.
    WhoAmI(&'a KeptCookies),
    /// `sign_out` of these.
    SignOut(&'a KeptCookies),
    /// `request_reset` for this account: a real mail.
    RequestReset(&'a str),
}

/// What was seen.
#[derive(Debug)]
pub struct Rehearsal {
    /// The operation, as the dialogue calls it.
    pub operation: &'static str,
    /// The verdict by its name; `unknown` if no case held, `no_answer` if the CMS said nothing. `None`: the dialogue has no such
    /// operation.
    pub verdict: Option<&'static str>,
    /// The CMS's own words.
    pub message: Option<String>,
    /// The CMS's own id of the account, if it was told.
    pub user_id: Option<String>,
    /// The steps, in their order.
    pub steps: Vec<StepTaken>,
    /// The sign-in that came of it.
    pub cookies: KeptCookies,
}

impl Backend {
    /// Goes through an operation.
    pub async fn rehearse(&self, scene: Scene<'_>, asker: &Asker) -> Rehearsal {
        let (dialogue, filling) = (&self.dialogue, self.filling());
        match scene {
            Scene::SignIn { user, password } => match &dialogue.sign_in {
                None => lacking("sign_in"),
                Some(operation) => {
                    let filling = Filling { user: Some(user), password: Some(password), ..filling };
                    seen("sign_in", self.ask(operation, filling, None, false, asker).await)
                }
            },
            Scene::WhoAmI(cookies) => match &dialogue.who_am_i {
                None => lacking("who_am_i"),
                Some(operation) => {
                    seen("who_am_i", self.ask(operation, filling, Some(cookies), false, asker).await)
                }
            },
            Scene::SignOut(cookies) => match &dialogue.sign_out {
                None => lacking("sign_out"),
                Some(operation) => {
                    seen("sign_out", self.ask(operation, filling, Some(cookies), false, asker).await)
                }
            },
            Scene::RequestReset(user) => match &dialogue.request_reset {
                None => lacking("request_reset"),
                Some(operation) => {
                    let filling = Filling { user: Some(user), ..filling };
                    seen("request_reset", self.ask(operation, filling, None, true, asker).await)
                }
            },
        }
    }
}

fn lacking(operation: &'static str) -> Rehearsal {
    let cookies = KeptCookies::default();
    Rehearsal { operation, verdict: None, message: None, user_id: None, steps: Vec::new(), cookies }
}

fn seen<V: Named>(operation: &'static str, end: Result<Conclusion<V>, Stopped>) -> Rehearsal {
    match end {
        Err(stopped) => Rehearsal { verdict: Some("no_answer"), steps: stopped.steps, ..lacking(operation) },
        Ok(end) => Rehearsal {
            operation,
            verdict: Some(end.verdict.map_or("unknown", Named::name)),
            cookies: cookies_of(&end),
            message: end.message,
            user_id: end.user_id,
            steps: end.steps,
        },
    }
}
