//! Goes from page to page of the public side and looks for what must not get out.
//!
//! Whoever is signed in can do things by following links, so it is careful: GET alone, no link with a query, nothing that the
//! dialogue says acts on a GET, and none of the CMS's pages that the gate has its own for.

use std::collections::{BTreeSet, VecDeque};

use url::Url;

use super::Ward;
use super::leaks;
use super::links::links;
use super::report::{Level, Report};
use super::visitor::{Answer, Visitor};

/// What was seen.
#[derive(Default)]
struct Seen {
    pages: usize,
    leaks: BTreeSet<String>,
    /// Links that begin with the path of the site at the backend.
    prefixed: BTreeSet<String>,
    broken: BTreeSet<String>,
}

pub(super) async fn crawl(ward: &Ward<'_>, visitor: &mut Visitor, signed_in: bool, report: &mut Report) {
    let Ok(root) = format!("{}/", ward.site.public).parse::<Url>() else { return };
    let mut queue: VecDeque<String> = VecDeque::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for path in starts(ward) {
        known.insert(path.clone());
        queue.push_back(path);
    }
    let mut seen = Seen::default();
    while let Some(path) = queue.pop_front() {
        if seen.pages == ward.arguments.pages {
            break;
        }
        seen.pages += 1;
        let answer = match visitor.get(&path).await {
            Ok(answer) => answer,
            Err(why) => {
                seen.broken.insert(format!("{path}: {why}"));
                continue;
            }
        };
        if answer.status.is_server_error() {
            seen.broken.insert(format!("{path}: {}", answer.status));
        }
        for leak in leaks::in_answer(&ward.site.origins, &answer.headers, &answer.body) {
            seen.leaks.insert(format!("{path}: {}: {}", leak.place, leak.name));
        }
        for next in further(ward, &root, &path, &answer, &mut seen) {
            if known.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    tell(ward, &seen, signed_in, report);
}

/// Where it begins: the front page, what robots are told, the gate's own pages, and one that is not there.
fn starts(ward: &Ward<'_>) -> Vec<String> {
    let (public, prefix) = (ward.site.public.path(), &ward.site.prefix);
    let mut starts = vec![ward.site.home.clone()];
    starts.extend(["robots.txt", "sitemap.xml.gz", "no-such-page"].map(|name| format!("{public}/{name}")));
    starts.extend(
        ["login", "forgot-password", "account", "api/session"].map(|name| format!("{prefix}/{name}")),
    );
    starts
}

/// The paths an answer leads to.
fn further(ward: &Ward<'_>, root: &Url, path: &str, answer: &Answer, seen: &mut Seen) -> Vec<String> {
    let Ok(page) = root.join(path) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(target) = answer.location().and_then(|location| page.join(location).ok()) {
        found.extend(wanted(ward, root, &target, false));
    }
    if answer.is_html() {
        let (base, links) = links(&answer.body, &page);
        for link in links {
            let Ok(target) = base.join(&link.written) else { continue };
            if is_prefixed(ward, root, &target) {
                seen.prefixed.insert(format!("{path}: {}", target.path()));
            }
            found.extend(wanted(ward, root, &target, link.is_part));
        }
    }
    found
}

/// The path to fetch, if it is of this site and no harm can come of it.
fn wanted(ward: &Ward<'_>, root: &Url, target: &Url, is_part: bool) -> Option<String> {
    let path = target.path();
    let below = path.strip_prefix(ward.site.public.path()).filter(|rest| rest.starts_with('/'))?;
    let own = path
        .strip_prefix(ward.site.prefix.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if target.origin() != root.origin() || own || (target.query().is_some() && !is_part) {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(below).decode_utf8_lossy();
    let segments: Vec<&str> = decoded.split('/').filter(|segment| !segment.is_empty()).collect();
    let dialogue = ward.site.cms.dialogue();
    let harmless = !dialogue.acts_on_get(&segments)
        && dialogue.paths().taken_over(segments.iter().copied(), None).is_none();
    harmless.then(|| path.to_owned())
}

/// Whether a link of this site begins with the site's path at the backend, which says how things are inside.
fn is_prefixed(ward: &Ward<'_>, root: &Url, target: &Url) -> bool {
    let Some(inside) = ward.inside() else { return false };
    let below = target.path().strip_prefix(inside);
    target.origin() == root.origin() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn tell(ward: &Ward<'_>, seen: &Seen, signed_in: bool, report: &mut Report) {
    let check = if signed_in { "signed-in pages" } else { "public pages" };
    let pages = seen.pages;
    if seen.leaks.is_empty() {
        report.ok(check, format!("{pages} looked through, no internal name in them"));
    } else {
        let found = format!("{pages} looked through; places with an internal name: {}", seen.leaks.len());
        let next = "name hosts that are missing in internal_names; if all are there, the rewriter has missed them: please report it";
        report.add(Level::Fail, check, found, next, seen.leaks.iter().cloned().collect());
    }
    if !seen.prefixed.is_empty() {
        let inside = ward.inside().unwrap_or_default();
        let found =
            format!("links that begin with {inside}, the site's path inside: {}", seen.prefixed.len());
        let next = "correct them in the CMS, or let the gate: links = true in [site.rewrite]";
        report.add(Level::Warn, check, found, next, seen.prefixed.iter().cloned().collect());
    }
    if !seen.broken.is_empty() {
        let found = format!("{} could not be shown", seen.broken.len());
        let next = "see the gate's log, and the CMS's";
        report.add(Level::Warn, check, found, next, seen.broken.iter().cloned().collect());
    }
}
