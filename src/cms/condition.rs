//! A case: what must hold of an answer, and what follows from it.

use serde::Deserialize;

use super::answer::{Answer, Page};
use super::cookies::CredentialRules;
use super::paths::Suffix;
use super::values::{CssSelector, StatusSet};

/// Everything named must hold; of a list, one entry. What is not named does not matter.
///
/// Evidence is positive: a condition about the page, `absent` too, never holds of an answer that has no
/// readable HTML page.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound = "V: Deserialize<'de>")]
pub(super) struct Case<V> {
    /// The status: numbers, or classes such as `"5xx"`.
    status: Option<StatusSet>,
    /// A redirect whose path ends in these segments, wherever it leads.
    #[serde(default = "Vec::new")]
    redirect: Vec<Suffix>,
    /// One of the CMS's sign-in cookies is set to a value.
    #[serde(default = "Vec::new")]
    cookie_set: Vec<String>,
    /// One of the CMS's sign-in cookies is taken away.
    #[serde(default = "Vec::new")]
    cookie_cleared: Vec<String>,
    /// A word in the class of `<body>`.
    #[serde(default = "Vec::new")]
    body_class: Vec<String>,
    /// An element that the page has.
    present: Option<CssSelector>,
    /// An element that the page does not have.
    absent: Option<CssSelector>,
    /// The whole body, without the blanks around it.
    #[serde(default = "Vec::new")]
    body: Vec<String>,
    /// What follows: a verdict,
    pub verdict: Option<V>,
    /// or the name of a later step.
    pub next: Option<String>,
    /// The elements whose text is the CMS's own reason for the verdict.
    pub message: Option<CssSelector>,
}

impl<V> Case<V> {
    /// Whether the case says what follows, and when.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.verdict.is_some() == self.next.is_some() {
            return Err("a case needs either `verdict` or `next`".to_owned());
        }
        let page = !self.body_class.is_empty() || self.present.is_some() || self.absent.is_some();
        let cookies = !self.cookie_set.is_empty() || !self.cookie_cleared.is_empty();
        if self.status.is_none() && self.redirect.is_empty() && !cookies && !page && self.body.is_empty() {
            return Err("a case needs a condition: what holds of any answer proves nothing".to_owned());
        }
        Ok(())
    }

    /// Whether all of it holds.
    pub(super) fn holds(&self, answer: &Answer, page: Option<&Page>, rules: &CredentialRules) -> bool {
        self.status.as_ref().is_none_or(|set| set.contains(answer.status))
            && (self.redirect.is_empty()
                || answer
                    .redirect_path
                    .as_deref()
                    .is_some_and(|path| self.redirect.iter().any(|end| end.ends(path))))
            && (self.cookie_set.is_empty() || self.cookie(answer, rules, &self.cookie_set, true))
            && (self.cookie_cleared.is_empty() || self.cookie(answer, rules, &self.cookie_cleared, false))
            && (self.body_class.is_empty()
                || page.is_some_and(|page| self.body_class.iter().any(|token| page.has_body_class(token))))
            && self.present.as_ref().is_none_or(|css| page.is_some_and(|page| page.has(css)))
            && self.absent.as_ref().is_none_or(|css| page.is_some_and(|page| !page.has(css)))
            && (self.body.is_empty()
                || answer.body.as_ref().is_some_and(|b| self.body.iter().any(|want| want == b.trim())))
    }

    /// The last word that an answer says about a cookie counts: some set what they have just cleared.
    fn cookie(&self, answer: &Answer, rules: &CredentialRules, names: &[String], set: bool) -> bool {
        names.iter().any(|name| {
            let said = answer.set_cookies.iter().filter_map(|header| rules.read(header));
            said.filter(|cookie| cookie.name == *name).last().is_some_and(|last| last.value.is_some() == set)
        })
    }
}
