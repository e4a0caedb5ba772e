//! The sample `proxy.toml` and the schema cannot drift from the code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use lychgate::config::{Config, Finding};
use serde_json::Value;

const SAMPLE: &str = include_str!("../proxy.toml");

fn parse(text: &str) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    Config::parse(Path::new("proxy.toml"), text, PathBuf::new())
}

#[test]
fn the_sample_names_every_key_with_its_default() {
    let (sample, warnings) = parse(SAMPLE).unwrap();
    assert_eq!(warnings, []);
    // Uncommented, each default must be what the code does without it. What has no default is an example, and is left out.
    let examples: [&[&str]; 18] = [
        &["# workers ="],
        &["# listen = [\"127.0.0.1:8443\"]", "# certificate =", "# key =", "# ocsp ="],
        &["# certificates ="],
        &["# listen = [\"127.0.0.1:8443\"]", "# acme ="],
        &["# client_ca ="],
        &["# listen = \"127.0.0.1:9180\""],
        &["# listen = \"127.0.0.1:2525\""],
        // A name and a password belong together, and with a server that shows who it is.
        &["# username =", "# password =", "# ca ="],
        &["# tls ="],
        &["# dkim ="],
        &["# templates ="],
        &["# header ="],
        &["# forgotten_password_url ="],
        &["# trusted_requests ="],
        &["# from ="],
        &["# identity_headers ="],
        &["# ca = \"tls/backend-ca.pem\""],
        &["# health_check ="],
    ];
    let uncommented: String = SAMPLE
        .lines()
        .filter(|line| !examples.concat().iter().any(|example| line.starts_with(example)))
        .map(|line| {
            line.strip_prefix("# ").filter(|rest| rest.split(' ').nth(1) == Some("=")).unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let (defaults, _) = parse(&uncommented).unwrap_or_else(|findings| panic!("{findings:?}"));
    // Where a value stands in the file is no part of it.
    let plain = |config: &Config| {
        format!("{config:#?}")
            .lines()
            .filter(|line| !line.trim().starts_with("span: "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(plain(&sample), plain(&defaults));
    for example in examples {
        let sample =
            SAMPLE.replace("# send = \"smtp://127.0.0.1:25\"", "send = \"smtps://mail.example.org\"");
        let all: String = sample
            .lines()
            .map(|line| {
                let chosen = example.iter().any(|example| line.starts_with(example));
                if chosen { line.trim_start_matches("# ") } else { line }
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let findings = parse(&all).err().unwrap_or_default();
        assert_eq!(findings, [], "{example:?}");
    }
}

#[test]
fn the_schema_knows_the_keys_of_the_sample_and_no_others() {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate")).arg("schema").output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Each key by itself, for some exclude each other; a few values go on in the next lines.
    let (mut section, mut key, mut text) = (String::new(), String::new(), String::new());
    let mut seen = BTreeSet::new();
    for line in SAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if text.is_empty() {
            if let Some((name, _)) =
                line.trim_start_matches('[').split_once(']').filter(|_| line.starts_with('['))
            {
                section = name.to_owned();
            }
            let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) else {
                continue;
            };
            key = name.to_owned();
        }
        text.push_str(&format!("{line}\n"));
        if let Ok(toml) = text.parse::<toml::Table>() {
            let path = section.split('.').filter(|name| !name.is_empty()).chain([key.as_str()]);
            mark(&schema, &path.collect::<Vec<_>>(), &toml[&key], &mut seen);
            text.clear();
        }
    }
    assert_eq!(text, "", "this ends nowhere");
    let mut all = BTreeSet::new();
    every_key("", &schema, &mut all);
    // A few are in its explanations only.
    let is_told = |key: &str| SAMPLE.contains(&format!("{} = ", key.rsplit('.').next().unwrap()));
    let missing: Vec<_> = all.difference(&seen).filter(|key| !is_told(key) && *key != ".cms").collect();
    assert!(missing.is_empty(), "proxy.toml says nothing of {missing:?}");
}

/// Notes the keys that `path` leads through, and those of `value` there.
fn mark(schema: &Value, path: &[&str], value: &toml::Value, seen: &mut BTreeSet<String>) {
    let mut at = String::new();
    let end = path.iter().fold(schema, |schema, key| {
        at = format!("{at}.{key}");
        seen.insert(at.clone());
        &properties(schema).unwrap_or_else(|| panic!("{at}"))[key]
    });
    mark_below(&at, end, value, seen);
}

fn mark_below(at: &str, schema: &Value, value: &toml::Value, seen: &mut BTreeSet<String>) {
    assert!(schema.is_object(), "the schema knows no {at}");
    match value {
        toml::Value::Table(table) => {
            let Some(known) = properties(schema) else { return };
            for (key, value) in table {
                let at = format!("{at}.{key}");
                seen.insert(at.clone());
                mark_below(&at, &known[key], value, seen);
            }
        }
        toml::Value::Array(all) => all.iter().for_each(|one| mark_below(at, schema, one, seen)),
        _ => {}
    }
}

/// The keys of a table, wherever the schema says that there may be one.
fn properties(schema: &Value) -> Option<&Value> {
    let own = schema.get("properties").or_else(|| properties(schema.get("items")?));
    let any = || {
        ["anyOf", "oneOf"].iter().filter_map(|of| schema.get(of)?.as_array()).flatten().find_map(properties)
    };
    own.or_else(any)
}

fn every_key(at: &str, schema: &Value, all: &mut BTreeSet<String>) {
    for (key, schema) in properties(schema).and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}.{key}");
        every_key(&at, schema, all);
        all.insert(at);
    }
}

#[test]
fn what_acme_leaves_out_is_what_the_sample_says() {
    let acme = |more: &str| {
        let toml = format!(
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = {{ directory = \"https://acme.example/dir\", terms_agreed = true{more} }}\n{}",
            "[[site]]\nname = \"a\"\npublic_url = \"https://www.example.org\"\nbackend_url = \"http://10.0.0.5:8080/Plone\"\n"
        );
        parse(&toml).unwrap().0.server.tls.acme.unwrap().into_inner()
    };
    assert!(SAMPLE.contains("#   contact = [] ") && SAMPLE.contains("#   names = [] "));
    assert_eq!(acme(""), acme(", contact = [], names = []"));
}
