//! Looking at a CMS from outside: which it is, and whether the forms are there that the gate speaks to.
//!
//! For `lychgate doctor`. What is looked at stands in the dialogue's `[doctor]`: a page each, fetched once by GET, and cases as in
//! the operations. Nothing is sent to the CMS but these requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::client::{NoAnswer, Outgoing, Turn};
use super::condition::Case;
use super::paths::Pattern;
use super::template::{Filling, Template};
use super::{Asker, Backend, body};

/// How long a page may take to parse: as long as that of any other step on a thread of its own.
const PARSE_TIME: Duration = Duration::from_secs(5);

/// `[doctor]` of a dialogue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Doctor {
    /// Which CMS it is; a case's verdict is a name for people.
    product: Option<Probe<String>>,
    /// The form that `sign_in` posts to.
    sign_in_form: Option<Probe<FormVerdict>>,
    /// The form that `request_reset` posts to.
    reset_form: Option<Probe<FormVerdict>>,
    /// What a GET of changes something: a crawl keeps away from it.
    avoid: Vec<Pattern>,
}

/// One page, and how to read it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
struct Probe<V> {
    /// The path below the backend's address.
    to: Template,
    /// Fields of the query.
    #[serde(default)]
    query: BTreeMap<String, Template>,
    /// What to do when the page is not as it should be.
    #[serde(default)]
    advice: String,
    /// The first case that holds decides.
    #[serde(rename = "case")]
    cases: Vec<Case<V>>,
}

/// Whether a form is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormVerdict {
    /// It is.
    Found,
    /// The CMS wants people to sign in before they see it.
    Closed,
}

/// What a look at a page came to.
#[derive(Debug)]
pub enum Examined<V> {
    /// The dialogue does not say where to look.
    NotDescribed,
    /// The CMS said nothing.
    NoAnswer {
        /// What happened.
        evidence: &'static str,
    },
    /// It said something.
    Answer {
        /// What it means; `None`: no case held.
        verdict: Option<V>,
        /// What was seen, without any text of the page.
        evidence: String,
        /// The page itself.
        page: String,
        /// What to do if it is not as it should be.
        advice: String,
        /// How long it took.
        took: Duration,
    },
}

impl Doctor {
    /// With the values of `[settings]` in their places.
    pub(super) fn settled(&self, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut doctor = self.clone();
        doctor.product.iter_mut().try_for_each(|probe| probe.settle(settings))?;
        let forms = doctor.sign_in_form.iter_mut().chain(&mut doctor.reset_form);
        forms.into_iter().try_for_each(|probe| probe.settle(settings))?;
        Ok(doctor)
    }

    /// Checks what serde cannot see.
    pub(super) fn check(&self) -> Result<(), String> {
        check(self.product.as_ref(), "doctor.product")?;
        check(self.sign_in_form.as_ref(), "doctor.sign_in_form")?;
        check(self.reset_form.as_ref(), "doctor.reset_form")
    }

    /// Whether a GET of this path changes something.
    pub(super) fn avoids(&self, segments: &[&str]) -> bool {
        self.avoid.iter().any(|pattern| pattern.is_within(segments))
    }
}

impl<V> Probe<V> {
    fn settle(&mut self, settings: &BTreeMap<String, String>) -> Result<(), String> {
        std::iter::once(&mut self.to)
            .chain(self.query.values_mut())
            .try_for_each(|text| text.settle(settings))
    }
}

fn check<V>(probe: Option<&Probe<V>>, title: &str) -> Result<(), String> {
    let Some(probe) = probe else { return Ok(()) };
    if let Some(why) = probe.to.unusable_as_path() {
        return Err(format!("`{title}`: `{}` is no path below the backend: {why}", probe.to.written()));
    }
    if probe.query.values().chain([&probe.to]).any(|text| text.placeholders().next().is_some()) {
        return Err(format!("`{title}`: nothing can be filled in here"));
    }
    for case in &probe.cases {
        case.check().map_err(|why| format!("`{title}`: {why}"))?;
        if case.next.is_some() {
            return Err(format!("`{title}`: there is no `next` here; one page is all that is looked at"));
        }
    }
    Ok(())
}

impl Backend {
    /// Looks which CMS it is.
    pub async fn examine_product(&self, asker: &Asker) -> Examined<String> {
        self.examine(self.dialogue.doctor.product.as_ref(), false, asker).await
    }

    /// Looks for the form to sign in with.
    pub async fn examine_sign_in_form(&self, asker: &Asker) -> Examined<FormVerdict> {
        self.examine(self.dialogue.doctor.sign_in_form.as_ref(), false, asker).await
    }

    /// Looks for the form that sends reset mails, with the marks and from the address that are used to post it.
    pub async fn examine_reset_form(&self, asker: &Asker) -> Examined<FormVerdict> {
        self.examine(self.dialogue.doctor.reset_form.as_ref(), true, asker).await
    }

    async fn examine<V: Clone>(&self, probe: Option<&Probe<V>>, trusted: bool, asker: &Asker) -> Examined<V> {
        let path = probe.and_then(|probe| probe.to.fill_path(&Filling::default()));
        let (Some(probe), Some(path)) = (probe, path) else { return Examined::NotDescribed };
        let began = Instant::now();
        let outgoing = Outgoing::get(path.expose(), asker);
        let query = body::query(&probe.query, &Filling::default());
        let outgoing = Outgoing { query: query.expose(), trusted, ..outgoing };
        match self.client.send(&outgoing, &mut Turn::of(None, asker)).await {
            Err(why) => Examined::NoAnswer { evidence: NoAnswer::as_str(why) },
            Ok(answer) => {
                let seen = answer.seen(PARSE_TIME);
                let case = probe.cases.iter().find(|case| case.holds(&seen, &self.rules));
                Examined::Answer {
                    verdict: case.and_then(|case| case.verdict.clone()),
                    evidence: answer.evidence(seen.page.as_ref()),
                    page: answer.body.clone().unwrap_or_default(),
                    advice: probe.advice.clone(),
                    took: began.elapsed(),
                }
            }
        }
    }
}
