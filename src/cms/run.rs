//! Goes through the steps of an operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Asker;
use super::answer::{Answer, Form};
use super::body::{self, Body};
use super::client::{Client, NoAnswer, Outgoing, Turn};
use super::cookies::{self, CredentialRules, KeptCookies, SetCookie};
use super::operation::{Method, Named, Operation, Step};
use super::template::{Filling, Template};
use super::values::HeaderKey;
use crate::secret::Secret;

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
    /// The CMS's own id of the account, where the case says where it stands.
    pub user_id: Option<String>,
    pub evidence: String,
    /// The CMS's sign-in cookies, in the order in which the answers set and cleared them.
    pub credentials: Vec<SetCookie>,
    /// The steps that were gone.
    pub steps: Vec<StepTaken>,
}

/// Why an operation did not come to an end.
pub(super) struct Stopped {
    pub evidence: String,
    /// The steps that were gone before.
    pub steps: Vec<StepTaken>,
}

/// One step that was gone, for people: nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTaken {
    /// The method and the path as the dialogue writes it, placeholders and all.
    pub request: String,
    /// What was seen: no text, no value, no query.
    pub evidence: String,
    /// Which case held, as the dialogue counts them; `None`: none did.
    pub case: Option<String>,
    /// What followed: a verdict, or the name of the next step.
    pub outcome: String,
}

/// Sends the first step, and then whichever step the answers lead to.
pub(super) async fn run<V: Named>(
    operation: &Arc<Operation<V>>,
    call: Call<'_>,
) -> Result<Conclusion<V>, Stopped> {
    let Call { client, rules, mut filling, kept, trusted, asker } = call;
    let mut at = 0;
    // One conversation is had with one backend: what a step set there the next may need.
    let mut turn = Turn::of(filling.user, asker);
    let mut form: Option<Form> = None;
    let mut jar = Jar::new(kept);
    let mut steps = Vec::new();
    let unsent = |evidence: &str, jar: Jar, steps| Conclusion {
        verdict: None,
        message: None,
        user_id: None,
        evidence: evidence.to_owned(),
        credentials: jar.credentials,
        steps,
    };
    while let Some(step) = operation.steps.get(at) {
        let path = match destination(step, &filling, form.as_ref()) {
            Ok(path) => path,
            Err(why) => return Ok(unsent(why, jar, steps)),
        };
        let Some(headers) = headers(&step.headers, &filling) else {
            return Ok(unsent("not sent: no header may hold such a value", jar, steps));
        };
        let query = body::query(&step.query, &filling);
        let outgoing = Outgoing {
            method: step.method.into(),
            path: path.expose(),
            query: query.expose(),
            body: body_of(step, &filling, form.as_ref()),
            cookie: jar.header(step, &filling),
            headers,
            without: step.drop_headers.iter().map(HeaderKey::name).collect(),
            user_agent: step.user_agent.as_ref().map(|agent| agent.0.clone()),
            trusted,
            asker,
        };
        let request = format!("{} {}", outgoing.method, step.to.first().map_or("", Template::written));
        let answer = match client.send(&outgoing, &mut turn).await {
            Ok(answer) => answer,
            Err(why) => {
                let why = NoAnswer::as_str(why);
                let evidence = format!("step {}: {why}", at.saturating_add(1));
                steps.push(StepTaken {
                    request,
                    evidence: why.to_owned(),
                    case: None,
                    outcome: "no answer".to_owned(),
                });
                return Err(Stopped { evidence, steps });
            }
        };
        jar.take(&answer.set_cookies, rules);
        let judged = match judge(operation, at, answer, rules, &filling).await {
            Ok(judged) => judged,
            Err(evidence) => return Err(Stopped { evidence, steps }),
        };
        let evidence = filling.mask(judged.evidence);
        steps.push(StepTaken {
            request,
            evidence: evidence.clone(),
            case: judged.case,
            outcome: judged.outcome,
        });
        match judged.next {
            Some(next) => {
                filling.kept.extend(judged.kept);
                (at, form) = (next, judged.form);
            }
            None => {
                return Ok(Conclusion {
                    verdict: judged.verdict,
                    message: judged.message,
                    user_id: judged.user_id,
                    evidence,
                    credentials: jar.credentials,
                    steps,
                });
            }
        }
    }
    Ok(unsent("no step left", jar, steps))
}

/// Reads an answer by the cases of the last step that sends something, which somebody else has sent.
pub(super) async fn read_last<V: Named>(
    operation: &Arc<Operation<V>>,
    answer: Answer,
    rules: &Arc<CredentialRules>,
    filling: &Filling<'_>,
) -> Result<Conclusion<V>, Stopped> {
    let at = operation.steps.iter().rposition(|step| step.method != Method::Get).unwrap_or_default();
    match judge(operation, at, answer, rules, filling).await {
        Err(evidence) => Err(Stopped { evidence, steps: Vec::new() }),
        Ok(judged) => Ok(Conclusion {
            verdict: judged.verdict,
            message: judged.message,
            user_id: judged.user_id,
            evidence: filling.mask(judged.evidence),
            credentials: Vec::new(),
            steps: Vec::new(),
        }),
    }
}

/// An answer, read.
pub(super) struct Judged<V> {
    pub(super) verdict: Option<V>,
    pub(super) message: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) evidence: String,
    case: Option<String>,
    outcome: String,
    pub(super) next: Option<usize>,
    pub(super) kept: BTreeMap<String, Secret>,
    form: Option<Form>,
}

async fn judge<V: Named>(
    operation: &Arc<Operation<V>>,
    at: usize,
    answer: Answer,
    rules: &Arc<CredentialRules>,
    filling: &Filling<'_>,
) -> Result<Judged<V>, String> {
    if answer.size() <= PARSE_HERE {
        return Ok(judge_now(operation, at, &answer, rules, filling, PARSE_TIME.0));
    }
    let (operation, rules) = (Arc::clone(operation), Arc::clone(rules));
    // All that reading an answer can need of it: parts of the token, what was kept.
    let (token, token_rules, kept) =
        (filling.token.cloned(), filling.token_rules.cloned(), filling.kept.clone());
    let elsewhere = tokio::task::spawn_blocking(move || {
        let filling =
            Filling { token: token.as_ref(), token_rules: token_rules.as_ref(), kept, ..Filling::default() };
        judge_now(&operation, at, &answer, &rules, &filling, PARSE_TIME.1)
    });
    elsewhere.await.map_err(|_| "reading the answer was given up".to_owned())
}

pub(super) fn judge_now<V: Named>(
    operation: &Operation<V>,
    at: usize,
    answer: &Answer,
    rules: &CredentialRules,
    filling: &Filling<'_>,
    limit: Duration,
) -> Judged<V> {
    let seen = answer.seen(limit);
    let mut judged = Judged {
        verdict: None,
        message: None,
        user_id: None,
        evidence: answer.evidence(seen.page.as_ref()),
        case: None,
        outcome: "unknown".to_owned(),
        next: None,
        kept: BTreeMap::new(),
        form: None,
    };
    let Some(step) = operation.steps.get(at) else { return judged };
    let Some((place, case)) = operation.cases(step).enumerate().find(|(_, case)| case.holds(&seen, rules))
    else {
        return judged;
    };
    judged.case = Some(operation.case_name(step, place));
    judged.verdict = case.verdict;
    judged.message = case.message.as_ref().and_then(|source| source.read(&seen));
    judged.user_id = case.user_id.as_ref().and_then(|from| from.take(&seen, rules, filling));
    if let Some(verdict) = case.verdict {
        judged.outcome = verdict.name().to_owned();
        return judged;
    }
    for (name, from) in &case.keep {
        let Some(value) = from.take(&seen, rules, filling) else {
            judged.evidence.push_str(&format!(", but no `{name}` to keep"));
            return judged;
        };
        judged.kept.insert(name.clone(), Secret::new(value));
    }
    let Some(next) = case.next.as_deref().and_then(|name| operation.position(name, at)) else {
        return judged;
    };
    let wanted =
        operation.steps.get(next).and_then(|step| step.form.as_ref().map(|css| (css, step.whole_form)));
    judged.form =
        seen.page.as_ref().zip(wanted).and_then(|(page, (css, whole))| answer.form(page, css, whole));
    judged.outcome = format!("next: {}", case.next.as_deref().unwrap_or_default());
    judged.next = Some(next);
    judged
}

/// The path of a step. A form picks among the paths that the dialogue allows; it cannot add one.
fn destination<V>(
    step: &Step<V>,
    filling: &Filling<'_>,
    form: Option<&Form>,
) -> Result<Secret, &'static str> {
    let mut paths = step.to.iter().filter_map(|path| path.fill_path(filling));
    if step.form.is_none() {
        return paths.next().ok_or("not sent: no path may hold such a value");
    }
    let Some(form) = form else { return Err("the form that was to be sent is not there") };
    let action = format!("/{}", form.action_path.trim_start_matches('/'));
    paths
        .find(|path| action.strip_suffix(path.expose()).is_some_and(|before| before.ends_with('/')))
        .ok_or("the form's action is none that the dialogue knows")
}

fn body_of<V>(step: &Step<V>, filling: &Filling<'_>, form: Option<&Form>) -> Body {
    if let Some(json) = &step.json {
        return json.body(filling);
    }
    if step.method == Method::Get {
        return Body::None;
    }
    body::fields(&step.fields, step.encoding, form.filter(|_| step.form.is_some()), filling)
}

fn headers(
    written: &BTreeMap<HeaderKey, Template>,
    filling: &Filling<'_>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    written.iter().map(|(name, value)| Some((name.name(), value.fill_header(filling)?))).collect()
}

/// The cookies of one operation: what the session keeps, and what the steps set on the way (a load
/// balancer's mark, a form's own session), forgotten at the end.
struct Jar {
    kept: KeptCookies,
    passing: Vec<(String, String)>,
    credentials: Vec<SetCookie>,
}

impl Jar {
    fn new(kept: Option<&KeptCookies>) -> Self {
        Self { kept: kept.cloned().unwrap_or_default(), passing: Vec::new(), credentials: Vec::new() }
    }

    fn take(&mut self, set: &[HeaderValue], rules: &CredentialRules) {
        self.credentials.extend(set.iter().filter_map(|header| rules.read(header)));
        for header in set {
            let Some((name, value, gone)) = cookies::parse(header) else { continue };
            self.passing.retain(|(known, _)| *known != name);
            if !rules.is_credential_cookie(&name) && !gone {
                self.passing.push((name, value));
            }
        }
    }

    fn header<V>(&self, step: &Step<V>, filling: &Filling<'_>) -> Option<HeaderValue> {
        let mut own = self.kept.clone();
        for cookie in self.credentials.iter().filter(|_| step.credentials) {
            own.apply(cookie.clone());
        }
        let own = Some(own.to_bytes().expose().to_owned()).filter(|own| !own.is_empty());
        let passing = self.passing.iter().filter(|(name, _)| !step.cookies.contains_key(name));
        let passing = passing.map(|(name, value)| format!("{name}={value}"));
        let added =
            step.cookies.iter().map(|(name, value)| format!("{name}={}", value.fill(filling).expose()));
        let all = own.into_iter().chain(passing).chain(added).collect::<Vec<_>>().join("; ");
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

    #[test]
    fn a_step_shows_the_newest_sign_in_and_no_older_one_beside_it() {
        let plone = Dialogue::built_in("plone").unwrap().unwrap();
        let mut kept = KeptCookies::default();
        kept.apply_set_cookie(plone.credentials(), &HeaderValue::from_static("__ac=old"));
        let mut jar = Jar::new(Some(&kept));
        jar.take(
            &[HeaderValue::from_static("__ac=new"), HeaderValue::from_static("lb=1")],
            plone.credentials(),
        );
        let mut step = plone.sign_in.as_ref().unwrap().steps[0].clone();
        step.cookies.clear();
        for (credentials, sent) in [(true, "__ac=new; lb=1"), (false, "__ac=old; lb=1")] {
            step.credentials = credentials;
            assert_eq!(jar.header(&step, &Filling::default()).unwrap(), sent);
        }
    }

    proptest! {
        /// Every name and password arrives as it was typed, whatever it holds.
        #[test]
        fn a_body_says_what_was_filled_in_and_no_more(user: String, password: String) {
            let plone = Dialogue::built_in("plone").unwrap().unwrap();
            let step = &plone.sign_in.as_ref().unwrap().steps[0];
            let secret = Secret::new(password.as_str());
            let filling = Filling { user: Some(&user), password: Some(&secret), ..Filling::default() };
            let Body::Text(_, body) = body_of(step, &filling, None) else { panic!("a form is text") };
            let body = body.expose();
            prop_assert!(body.bytes().all(|byte| byte.is_ascii_graphic()));
            let fields: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            prop_assert_eq!(fields.len(), step.fields.len());
            prop_assert!(fields.contains(&("__ac_name".to_owned(), user)));
            prop_assert!(fields.contains(&("__ac_password".to_owned(), password)));
        }
    }
}
