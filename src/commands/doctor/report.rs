//! What was found, and what to do about it: for people and for programs.

use serde::Serialize;

use super::super::{Format, print};
use crate::config;

/// How many places a finding shows to people; programs get all.
const SHOWN: usize = 10;

/// How good or bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Not known, or not as good as it could be.
    Warn,
    /// It does not work, or something gets out.
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One finding.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    site: String,
    check: &'static str,
    level: Level,
    found: String,
    /// The next step to take; nothing where nothing needs to be done.
    next: Option<String>,
    /// Where.
    places: Vec<String>,
}

/// All findings, in the order they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    heads: Vec<(String, String)>,
    findings: Vec<Finding>,
}

impl Report {
    /// The findings from here on are of this site.
    pub(super) fn begin(&mut self, site: &config::Site) {
        let name = site.name.as_ref().clone();
        let head = format!("{name}: {} in front of {}", site.public_url.as_ref(), site.backend_url.as_ref());
        self.heads.push((name, head));
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(Level::Ok, check, found.into(), "", Vec::new());
    }

    pub(super) fn warn(&mut self, check: &'static str, found: impl Into<String>, next: &str) {
        self.add(Level::Warn, check, found.into(), next, Vec::new());
    }

    pub(super) fn fail(&mut self, check: &'static str, found: impl Into<String>, next: &str) {
        self.add(Level::Fail, check, found.into(), next, Vec::new());
    }

    /// A finding with the places where it was made.
    pub(super) fn add(
        &mut self,
        level: Level,
        check: &'static str,
        found: String,
        next: &str,
        places: Vec<String>,
    ) {
        let site = self.heads.last().map(|(name, _)| name.clone()).unwrap_or_default();
        let next = Some(next.to_owned()).filter(|next| !next.is_empty());
        self.findings.push(Finding { site, check, level, found, next, places });
    }

    /// Whether something is amiss.
    pub(super) fn is_failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Fail)
    }

    pub(super) fn print(&self, format: Format) {
        if format == Format::Json {
            return print::json(&self.findings);
        }
        for (name, head) in &self.heads {
            print::line(&print::plain(head));
            for finding in self.findings.iter().filter(|finding| finding.site == *name) {
                let line = format!("  {:<5} {:<19} {}", finding.level.as_str(), finding.check, finding.found);
                print::line(&print::plain(line));
                for place in finding.places.iter().take(SHOWN) {
                    print::line(&print::plain(format!("{:28}{place}", "")));
                }
                if finding.places.len() > SHOWN {
                    print::line(&format!(
                        "{:28}and {} more; --format json lists them",
                        "",
                        finding.places.len() - SHOWN
                    ));
                }
                if let Some(next) = &finding.next {
                    print::line(&print::plain(format!("{:25}→  {next}", "")));
                }
            }
        }
    }
}
