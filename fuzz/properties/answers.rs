//! What a CMS answers, and what operators write about it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lychgate::cms::probe::{Judged, judged};
use lychgate::cms::{Change, Description, Dialogue, KeptCookies};
use lychgate::config::{Config, Finding};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static BUILT_IN: LazyLock<Vec<Dialogue>> = LazyLock::new(|| {
    Dialogue::names()
        .map(|name| Dialogue::built_in(name).expect("it is there").expect("it is good"))
        .collect()
});

/// An answer (status, fields, an empty line, body) to every operation of every dialogue that comes with the gate: good news needs
/// evidence, a broken CMS is none, and what is passed on of it is one short line of text.
pub fn answer(data: &[u8]) {
    let (status, headers, body) = parsed(data);
    for dialogue in BUILT_IN.iter() {
        let whole = judged(dialogue, status, &headers, body);
        assert_eq!(judged(dialogue, status, &headers, body), whole, "another verdict the second time");
        whole.iter().for_each(one_line);
        // Who is asked for by the answer being empty cannot be told from nobody.
        let good = |judged: &Judged| matches!(judged.verdict, Some("ok")) && judged.operation != "who_am_i";
        if status.is_server_error() {
            assert!(!whole.iter().any(good), "good news of a broken CMS: {whole:?}");
        }
        let (none, plain) = (HeaderMap::new(), judged(dialogue, status, &HeaderMap::new(), body));
        assert!(!plain.iter().any(good), "good news of an answer that is nothing in particular: {plain:?}");
        let bare = judged(dialogue, status, &none, b"");
        assert!(!bare.iter().any(good), "good news of a mere status: {bare:?}");
    }
}

/// Lines of `Set-Cookie` of a CMS: what is kept of them is its sign-in and nothing else, goes back to it as it came, and survives
/// being stored.
pub fn kept(data: &[u8]) {
    for dialogue in BUILT_IN.iter() {
        let (rules, mut kept) = (dialogue.credentials(), KeptCookies::default());
        let lines = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
        for line in lines {
            let before = kept.clone();
            let change = kept.apply_set_cookie(rules, &line);
            assert!(change != Change::NotOurs || kept == before, "what is not kept changes something");
            let pair = line.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            let name = pair.split('=').next().unwrap_or_default().trim();
            assert!(change == Change::NotOurs || rules.is_credential_cookie(name), "{name} is no sign-in");
        }
        let bytes = kept.to_bytes();
        assert_eq!(KeptCookies::from_bytes(bytes.expose().as_bytes()), Some(kept.clone()));
        let Some(field) = kept.to_cookie_header() else {
            assert!(kept.is_empty(), "what is kept cannot be sent");
            continue;
        };
        assert!(field.is_sensitive());
        for pair in field.as_bytes().split(|byte| *byte == b';') {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
            let name = std::str::from_utf8(name).expect("text");
            assert!(rules.is_credential_cookie(name), "{name} was smuggled in");
        }
    }
}

fn one_line(judged: &Judged) {
    for text in judged.message.iter().chain(&judged.user_id).chain(&judged.evidence).chain(&judged.kept) {
        assert!(!text.chars().any(char::is_control), "{judged:?}");
    }
    let message = judged.message.as_deref();
    assert!(message.is_none_or(|text| (1..=300).contains(&text.chars().count())), "{judged:?}");
    let marks = ['\u{202e}', '\u{202a}', '\u{2066}', '\u{200f}'];
    assert!(message.is_none_or(|text| !text.contains(marks)), "{judged:?}");
    assert!(judged.user_id.iter().chain(&judged.kept).all(|id| (1..=4096).contains(&id.len())), "{judged:?}");
    assert!(judged.evidence.iter().all(|text| text.len() <= 2000), "{judged:?}");
}

fn parsed(data: &[u8]) -> (StatusCode, HeaderMap, &[u8]) {
    let end = data.windows(2).position(|window| window == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok());
    // What is only on the way to an answer is none.
    let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::OK);
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(&line[..colon]).ok()?, value))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(field).take(20) {
        headers.append(name, value);
    }
    (status, headers, body)
}

/// A dialogue file: refused with a place in it and a sentence, or it can be run, whatever comes back.
pub fn dialogue(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Description::from_toml(text).and_then(|described| described.dialogue(&BTreeMap::new()));
    match read {
        Err(error) => {
            assert!(!error.message.trim().is_empty(), "refused without a word");
            assert!(text.get(..error.offset).is_some(), "{} is no place in it", error.offset);
        }
        Ok(dialogue) => {
            assert!(!dialogue.name().is_empty());
            for answer in ANSWERS {
                let (status, headers, body) = parsed(answer.as_bytes());
                judged(&dialogue, status, &headers, body).iter().for_each(one_line);
            }
        }
    }
}

const ANSWERS: [&str; 4] = [
    "200\n\n",
    "302\nlocation: http://plone.internal:8080/Plone/login?came_from=x\nset-cookie: __ac=eHg6eXk=; Path=/\n\n",
    "200\ncontent-type: text/html\n\n<body class=\"template-login\"><form name=login action=\"/Plone/login\"><input type=hidden name=a value=b></form><p class=error>No.\u{202e}</p>",
    "400\ncontent-type: application/json\n\n{\"detail\": [\"No.\", {\"id\": 7}], \"id\": 7, \"result\": {\"id\": \"x\"}}",
];

/// `proxy.toml`: what is wrong with it is said in a sentence, at a line and column that are there; and a comment before all of it
/// changes nothing but the line.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // It may name files, and some have no end.
    if ["/dev", "/proc", "/sys", "\\"].iter().any(|word| text.contains(word)) {
        return;
    }
    let found = findings(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for finding in &found {
        assert!(!finding.message.trim().is_empty() && !finding.message.contains(['\n', '\r']), "{finding:?}");
        // What is said of a file that it names is about that file.
        if finding.file == Path::new(FILE) && finding.line > 0 {
            let line = lines.get(finding.line - 1).expect("a line that is there");
            assert!((1..=line.chars().count() + 1).contains(&finding.column), "{finding}");
        }
    }
    // What marks the beginning stays there.
    let (mark, rest) = text.split_at(if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 });
    let below = findings(&format!("{mark}# nothing\n{rest}"));
    assert_eq!(found.len(), below.len(), "{found:?} {below:?}");
    for (one, other) in found.iter().zip(&below) {
        assert_eq!((&one.message, one.severity), (&other.message, other.severity));
        let is_moved = other.line == one.line + 1 && other.column == one.column;
        // What is about no line in particular stands at the first.
        assert!(is_moved || one.line <= 1 || one.file != Path::new(FILE), "{one} {other}");
    }
}

const FILE: &str = "proxy.toml";

fn findings(text: &str) -> Vec<Finding> {
    let folder = PathBuf::from("/nowhere/at/all");
    match Config::parse(Path::new(FILE), text, folder) {
        Ok((_, warnings)) => {
            assert!(warnings.iter().all(|finding| !finding.is_error()));
            warnings
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(Finding::is_error), "{errors:?}");
            errors
        }
    }
}
