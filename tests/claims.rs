//! What `SECURITY.md` and `README.md` claim is proven by tests, which they name: every one of them is there, and none of the tables is
//! forgotten.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks and names a test: a file, then modules, then the test.
fn claims(text: &str) -> Vec<(&str, Vec<&str>)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| {
            let mut parts = code.split("::");
            let file = parts.next().filter(|file| file.ends_with(".rs"))?;
            let names: Vec<&str> = parts.collect();
            (!names.is_empty()).then_some((file, names))
        })
        .collect()
}

/// The tests in a file, with the module of its own that each stands in (`""` for none).
fn tests(source: &str) -> BTreeSet<(&str, &str)> {
    let (mut module, mut is_test, mut all) = ("", false, BTreeSet::new());
    for line in source.lines() {
        let text = line.trim_start();
        let name =
            |start: &str| text.strip_prefix(start).and_then(|rest| rest.split(['(', ' ', '<', ';']).next());
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            module = name;
        } else if line == "}" {
            module = "";
        } else if text.starts_with("#[") {
            is_test |= text.starts_with("#[test]") || text.starts_with("#[tokio::test");
        } else if let Some(name) = name("fn ").or_else(|| name("async fn ")) {
            if is_test {
                all.insert((module, name));
            }
            is_test = false;
        }
    }
    all
}

#[test]
fn every_test_that_a_claim_names_is_there() {
    for (text, least) in [("SECURITY.md", 80), ("README.md", 40)] {
        are_there(text, least);
    }
}

fn are_there(text: &str, least: usize) {
    let written = read(text);
    let claims = claims(&written);
    assert!(claims.len() > least, "{text}: only {} claims were found", claims.len());
    let missing: Vec<String> = claims
        .iter()
        .filter(|(file, names)| {
            let source = read(file);
            let (name, modules) = names.split_last().unwrap();
            let module = modules.last().copied();
            !tests(&source).iter().any(|(at, test)| test == name && module.is_none_or(|module| module == *at))
        })
        .map(|(file, names)| format!("{file}::{}", names.join("::")))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "{text} names tests that are not there");
}

#[test]
fn every_class_of_threats_has_its_proof_and_no_table_is_forgotten() {
    let text = read("SECURITY.md");
    for class in 1..=14 {
        let heading = format!("**C{class} ");
        let line = text.lines().find(|line| line.contains(&heading)).unwrap_or_else(|| panic!("no C{class}"));
        assert!(!claims(line).is_empty(), "C{class} names no test");
    }
    let named: BTreeSet<(String, &str)> = claims(&text)
        .into_iter()
        .filter(|(file, _)| file.starts_with("tests/threats/"))
        .map(|(file, names)| (file.to_owned(), names[0]))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("tests/threats")).unwrap().map(|file| file.unwrap().file_name());
    let sources: Vec<(String, String)> = files
        .map(|file| format!("tests/threats/{}", file.to_str().unwrap()))
        .map(|file| (file.clone(), read(&file)))
        .collect();
    let there: BTreeSet<(String, &str)> = sources
        .iter()
        .flat_map(|(file, source)| tests(source).into_iter().map(|(_, test)| (file.clone(), test)))
        .collect();
    assert_eq!(named, there);
}

#[test]
fn a_claim_about_a_test_that_is_none_would_be_seen() {
    let source = "fn helper() {}\n#[test]\nfn a() {}\nmod c1 {\n    #[tokio::test]\n    async fn b() {\n    }\n    fn no() {}\n}\n#[test]\nfn c() {}\n";
    assert_eq!(tests(source), BTreeSet::from([("", "a"), ("c1", "b"), ("", "c")]));
    assert_eq!(claims("`x.rs::c1::b` and `y` and `src/lib.rs`"), [("x.rs", vec!["c1", "b"])]);
}

#[test]
fn every_crate_that_it_is_made_of_is_explained() {
    let text = read("SECURITY.md");
    let table = text.split("## What it is made of").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let used = manifest["dependencies"].as_table().unwrap();
    let missing: Vec<&String> = used.keys().filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "SECURITY.md does not say what these are for: {missing:?}");
    let others = ["Cargo.lock", "deploy/licences"];
    let gone: Vec<_> =
        named.iter().filter(|name| !used.contains_key(**name) && !others.contains(name)).collect();
    assert!(gone.is_empty(), "SECURITY.md explains what is not used: {gone:?}");
}
