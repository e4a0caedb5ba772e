//! A walk through the site: wherever it leads, nothing of the inside shows.

use std::collections::{BTreeSet, VecDeque};

use crate::plone::{PASSWORD, Plone};
use crate::support::gate::HOST;

/// How many pages are looked at, for each who walks.
const PAGES: usize = 300;

async fn crawl(hosting: &str, user: &str, starts: &[&str]) {
    let plone = Plone::new();
    let gate = plone.gate_with(hosting);
    let mut browser = plone.browser(&gate);
    assert_eq!(browser.sign_in(user, PASSWORD).await.status, 303);
    let mut known: BTreeSet<String> = starts.iter().map(|path| (*path).to_owned()).collect();
    let mut waiting: VecDeque<String> = known.iter().cloned().collect();
    let (mut looked, mut wrong) = (0, Vec::new());
    while let Some(path) = waiting.pop_front() {
        if looked == PAGES {
            break;
        }
        looked += 1;
        let answer = plone.checked(browser.get(&path).await);
        if answer.status.is_server_error() {
            wrong.push(format!("{path}: {}", answer.status));
        }
        let links = answer.links("[href], [src], [action]").into_iter().chain(answer.location());
        for (name, value) in &answer.headers {
            // `Plone` itself may be named; the folder it lies in is nobody's business.
            if value.as_bytes().windows(7).any(|window| window == b"/Plone/") {
                wrong.push(format!("{path}: {name}: {value:?}"));
            }
        }
        for link in links {
            let below = link.strip_prefix(&format!("http://{HOST}")).unwrap_or(&link);
            if below == "/Plone" || below.starts_with("/Plone/") || below.starts_with("/Plone?") {
                wrong.push(format!("{path}: a link to {link}"));
            }
            let link = link.split('#').next().unwrap_or_default();
            let path = link.strip_prefix(&format!("http://{HOST}")).unwrap_or(link);
            // Not what signs out, asks for a mail, or does something.
            let leads = path.starts_with('/') && !path.starts_with("//");
            let acts =
                ["/_gate", "logout", "_authenticator", "delete", "object_", "workflow_action", "toggle"];
            if leads && !acts.iter().any(|act| path.contains(act)) && known.insert(path.to_owned()) {
                waiting.push_back(path.to_owned());
            }
        }
    }
    assert!(looked > 30, "{user} found only {looked} pages");
    assert!(wrong.is_empty(), "{user}: {}", wrong.join(", "));
}

const EDITORS: [&str; 12] = [
    "/",
    "/docs",
    "/docs/handbook/edit",
    "/docs/++add++Document",
    "/docs/folder_contents",
    "/docs/@@fc-contextInfo",
    "/docs/@@getVocabulary?name=plone.app.vocabularies.Catalog",
    "/@@overview-controlpanel",
    "/@@mail-controlpanel",
    "/docs/handbook/@@historyview",
    "/docs/handbook/@@sharing",
    "/docs/handbook/@@manage-portlets",
];

const READERS: [&str; 4] = ["/", "/docs", "/news", "/@@search?SearchableText=document"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_nothing_of_the_inside() {
    for hosting in ["", "virtual_hosting = \"rewrite\""] {
        crawl(hosting, "norole", &READERS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_sees_nothing_of_the_inside() {
    for hosting in ["", "virtual_hosting = \"rewrite\""] {
        crawl(hosting, "siteadmin", &EDITORS).await;
    }
}
