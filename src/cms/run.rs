//! Goes through the steps of an operation.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use url::form_urlencoded;

use super::Asker;
use super::answer::{Answer, Form};
use super::client::{Client, NoAnswer, Outgoing};
use super::cookies::{self, CredentialRules, KeptCookies, SetCookie};
use super::dialogue::{Method, Operation, Step};
use super::template::Filling;

/// Above this many bytes a page is parsed on a thread of its own, so that it holds up nobody else's request.
const PARSE_HERE: usize = 64 << 10;
/// How long parsing may take on the request's own thread, and how long elsewhere. A real page of 100 KiB takes
/// a few milliseconds.
const PARSE_TIME: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// What an operation is run with.
pub(super) struct Call<'a> {
    pub client: &'a Client,
    pub rules: &'a Arc<CredentialRules>,
    pub filling: Filling<'a>,
    /// Whose sign-in to show; none at all for what must be asked anonymously.
    pub kept: Option<&'a KeptCookies>,
    pub trusted: bool,
    pub asker: &'a Asker,
}

/// What an operation came to.
pub(super) struct Conclusion<V> {
    /// `None`: no case held.
    pub verdict: Option<V>,
    pub message: Option<String>,
    pub evidence: String,
    /// The CMS's sign-in cookies in the last answer.
    pub credentials: Vec<SetCookie>,
}

/// Why an operation did not come to an end.
pub(super) struct Stopped {
    pub evidence: String,
}

/// Sends the first step, and then whichever step the answers lead to.
pub(super) async fn run<V: Copy + Send + Sync + 'static>(
    operation: &Arc<Operation<V>>,
    call: Call<'_>,
) -> Result<Conclusion<V>, Stopped> {
    let mut at = 0;
    let mut form: Option<Form> = None;
    let mut jar = Jar::new(call.kept);
    while let Some(step) = operation.steps.get(at) {
        let Some(path) = destination(step, &call.filling, form.as_ref()) else {
            let evidence = "the form's action is none that the dialogue knows".to_owned();
            return Ok(Conclusion { verdict: None, message: None, evidence, credentials: Vec::new() });
        };
        let outgoing = Outgoing {
            path: path.expose(),
            form: (step.method == Method::Post).then(|| body(step, &call.filling, form.as_ref())),
            cookie: jar.header(),
            user_agent: step.user_agent.as_ref().map(|agent| agent.0.clone()),
            trusted: call.trusted,
            asker: call.asker,
        };
        let answer = call.client.send(outgoing).await.map_err(|why: NoAnswer| Stopped {
            evidence: format!("step {}: {}", at.saturating_add(1), why.as_str()),
        })?;
        jar.take(&answer.set_cookies, call.rules);
        let judged = judge(operation, at, answer, call.rules).await?;
        match judged.next {
            Some(next) => (at, form) = (next, judged.form),
            None => {
                let evidence = mask(judged.conclusion.evidence, &call.filling);
                return Ok(Conclusion { evidence, ..judged.conclusion });
            }
        }
    }
    let evidence = "no step left".to_owned();
    Ok(Conclusion { verdict: None, message: None, evidence, credentials: Vec::new() })
}

struct Judged<V> {
    conclusion: Conclusion<V>,
    next: Option<usize>,
    form: Option<Form>,
}

async fn judge<V: Copy + Send + Sync + 'static>(
    operation: &Arc<Operation<V>>,
    at: usize,
    answer: Answer,
    rules: &Arc<CredentialRules>,
) -> Result<Judged<V>, Stopped> {
    if answer.size() <= PARSE_HERE {
        return Ok(judge_now(operation, at, &answer, rules, PARSE_TIME.0));
    }
    let (operation, rules) = (Arc::clone(operation), Arc::clone(rules));
    let elsewhere =
        tokio::task::spawn_blocking(move || judge_now(&operation, at, &answer, &rules, PARSE_TIME.1));
    elsewhere.await.map_err(|_| Stopped { evidence: "reading the answer was given up".to_owned() })
}

fn judge_now<V: Copy>(
    operation: &Operation<V>,
    at: usize,
    answer: &Answer,
    rules: &CredentialRules,
    limit: Duration,
) -> Judged<V> {
    let page = answer.page(limit);
    let step = operation.steps.get(at);
    let case = step.and_then(|step| operation.cases(step).find(|c| c.holds(answer, page.as_ref(), rules)));
    let next = case.and_then(|case| case.next.as_deref()).and_then(|name| operation.position(name, at));
    let wanted = next.and_then(|next| operation.steps.get(next)).and_then(|step| step.form.as_ref());
    let message = case.and_then(|case| case.message.as_ref());
    Judged {
        next,
        form: page.as_ref().zip(wanted).and_then(|(page, css)| answer.form(page, css)),
        conclusion: Conclusion {
            verdict: case.and_then(|case| case.verdict),
            message: page.as_ref().zip(message).and_then(|(page, css)| page.message(css)),
            evidence: answer.evidence(page.as_ref()),
            credentials: answer.set_cookies.iter().filter_map(|header| rules.read(header)).collect(),
        },
    }
}

/// The path of a step. A form picks among the paths that the dialogue allows; it cannot add one.
fn destination<V>(
    step: &Step<V>,
    filling: &Filling<'_>,
    form: Option<&Form>,
) -> Option<crate::secret::Secret> {
    let mut paths = step.to.iter().filter_map(|path| path.fill_path(filling));
    if step.form.is_none() {
        return paths.next();
    }
    let action = format!("/{}", form?.action_path.trim_start_matches('/'));
    paths.find(|path| action.strip_suffix(path.expose()).is_some_and(|before| before.ends_with('/')))
}

/// The fields of a step, and below them the hidden ones of the form it answers.
fn body<V>(step: &Step<V>, filling: &Filling<'_>, form: Option<&Form>) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form.filter(|_| step.form.is_some()).into_iter().flat_map(|form| &form.hidden) {
        if !step.fields.contains_key(name) {
            body.append_pair(name, value);
        }
    }
    for (name, value) in &step.fields {
        body.append_pair(name, value.fill(filling).expose());
    }
    body.finish()
}

/// Takes the token out of a text for the log: a path that the CMS redirects to may quote it.
fn mask(text: String, filling: &Filling<'_>) -> String {
    match filling.token.map(|token| token.expose()).filter(|token| !token.is_empty()) {
        Some(token) => text.replace(token, "[secret]"),
        None => text,
    }
}

/// The cookies of one operation: what the session keeps, and what the steps set on the way (a load
/// balancer's mark, a form's own session), forgotten at the end.
struct Jar {
    kept: Option<HeaderValue>,
    passing: Vec<(String, String)>,
}

impl Jar {
    fn new(kept: Option<&KeptCookies>) -> Self {
        Self { kept: kept.and_then(KeptCookies::to_cookie_header), passing: Vec::new() }
    }

    fn take(&mut self, set: &[HeaderValue], rules: &CredentialRules) {
        for header in set {
            let Some((name, value, max_age)) = cookies::parse(header) else { continue };
            self.passing.retain(|(known, _)| *known != name);
            if !rules.is_credential_cookie(&name) && max_age.is_none_or(|age| age > 0) {
                self.passing.push((name, value));
            }
        }
    }

    fn header(&self) -> Option<HeaderValue> {
        let kept = self.kept.as_ref().and_then(|kept| kept.to_str().ok()).map(str::to_owned);
        let passing = self.passing.iter().map(|(name, value)| format!("{name}={value}"));
        let all = kept.into_iter().chain(passing).collect::<Vec<_>>().join("; ");
        let mut header = HeaderValue::from_str(&all).ok().filter(|header| !header.is_empty())?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cms::Dialogue;
    use crate::secret::Secret;

    proptest! {
        /// Every name and password arrives as it was typed, whatever it holds.
        #[test]
        fn a_body_says_what_was_filled_in_and_no_more(user: String, password: String) {
            let plone = Dialogue::built_in("plone").unwrap().unwrap();
            let step = &plone.sign_in.as_ref().unwrap().steps[0];
            let secret = Secret::new(password.as_str());
            let filling = Filling { user: Some(&user), password: Some(&secret), token: None };
            let body = body(step, &filling, None);
            prop_assert!(body.bytes().all(|byte| byte.is_ascii_graphic()));
            let fields: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            prop_assert_eq!(fields.len(), step.fields.len());
            prop_assert!(fields.contains(&("__ac_name".to_owned(), user)));
            prop_assert!(fields.contains(&("__ac_password".to_owned(), password)));
        }
    }
}
