//! Doors for `fuzz/properties` to how answers of a CMS are read. Nothing else calls them.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use url::Url;

use super::Dialogue;
use super::answer::Answer;
use super::operation::{Named, Operation};
use super::run::judge_now;
use super::template::Filling;
use crate::secret::Secret;

/// What an operation came to, whose every step had the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its name in the dialogue.
    pub operation: &'static str,
    /// The verdict by its name; `None`: no case held.
    pub verdict: Option<&'static str>,
    /// The CMS's own word on it.
    pub message: Option<String>,
    /// The CMS's own id of the account.
    pub user_id: Option<String>,
    /// What was seen, for the log: one text a step.
    pub evidence: Vec<String>,
    /// What was kept for later steps.
    pub kept: Vec<String>,
}

/// What each operation of the dialogue makes of an answer.
pub fn judged(dialogue: &Dialogue, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<Judged> {
    let Ok(url) = Url::parse("http://plone.internal:8080/Plone/asked") else { return Vec::new() };
    let answer = Answer::new(url, "www.example.org", status, headers, Some(body.to_vec()));
    let operations = [
        walked("sign_in", dialogue.sign_in.as_deref(), dialogue, &answer),
        walked("sign_out", dialogue.sign_out.as_deref(), dialogue, &answer),
        walked("who_am_i", dialogue.who_am_i.as_deref(), dialogue, &answer),
        walked("request_reset", dialogue.request_reset.as_deref(), dialogue, &answer),
        walked("open_link", dialogue.open_link.as_deref(), dialogue, &answer),
        walked("redeem", dialogue.redeem.as_deref(), dialogue, &answer),
        walked("change_password", dialogue.change_password.as_deref(), dialogue, &answer),
    ];
    operations.into_iter().flatten().collect()
}

fn walked<V: Named>(
    name: &'static str,
    operation: Option<&Operation<V>>,
    dialogue: &Dialogue,
    answer: &Answer,
) -> Option<Judged> {
    let operation = operation?;
    let token = Secret::new("0123456789abcdef0123456789abcdef");
    let token_rules = dialogue.paths().token.as_ref();
    let mut filling = Filling { token: Some(&token), token_rules, ..Filling::default() };
    let mut evidence = Vec::new();
    let mut at = 0;
    loop {
        let judged = judge_now(operation, at, answer, dialogue.credentials(), &filling, Duration::MAX);
        evidence.push(judged.evidence);
        filling.kept.extend(judged.kept);
        // Steps lead forward only, so this ends.
        match judged.next {
            Some(next) => at = next,
            None => {
                return Some(Judged {
                    operation: name,
                    verdict: judged.verdict.map(Named::name),
                    message: judged.message,
                    user_id: judged.user_id,
                    evidence,
                    kept: filling.kept.values().map(|kept| kept.expose().to_owned()).collect(),
                });
            }
        }
    }
}
