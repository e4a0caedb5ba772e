//! What is wrong with `proxy.toml`, where, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing found: `proxy.toml:12:3: error: what, and what to do`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The line, from 1; 0 when it concerns the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when it concerns the file as a whole.
    pub column: usize,
    /// Whether the gate can start all the same.
    pub severity: Severity,
    /// What is wrong, and what to do.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The gate cannot start.
    Error,
    /// It can, and should not be left so.
    Warning,
}

impl Finding {
    /// An error at byte `offset` of `text`.
    pub fn error(file: &Path, text: &str, offset: usize, message: String) -> Self {
        Self::at(file, text, offset, Severity::Error, message)
    }

    /// A warning at byte `offset` of `text`.
    pub fn warning(file: &Path, text: &str, offset: usize, message: String) -> Self {
        Self::at(file, text, offset, Severity::Warning, message)
    }

    fn at(file: &Path, text: &str, offset: usize, severity: Severity, message: String) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let (line, column) = if text.is_empty() {
            (0, 0)
        } else {
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            (before.matches('\n').count() + 1, before.get(start..).unwrap_or_default().chars().count() + 1)
        };
        // One finding is one line, whatever the value was that it quotes.
        let message = message.replace(['\r', '\n'], " ");
        Self { file: file.to_owned(), line, column, severity, message }
    }

    /// Whether the gate cannot start.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {severity}: {}", self.message)
    }
}

/// The message for an operator: what the TOML reader said of `place`, in words of ours, with what to write instead. A value of the wrong
/// type is not repeated: it may be a secret.
pub(super) fn explain(message: &str, place: &str) -> String {
    let message = message.trim_end();
    let mut words = message.split('`');
    let (what, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    match what {
        "unknown field " => format!("there is no key `{word}` here; {}", nearest(word, &known)),
        "unknown variant " => format!("there is no choice `{word}` here; {}", nearest(word, &known)),
        "missing field " => format!("`{word}` is missing here; write {word} = …"),
        "duplicate key" if !place.is_empty() => format!("`{place}` is there twice; keep one"),
        "invalid IP address syntax" => format!(
            "`{}` is no network; write it like \"192.0.2.0/24\", \"192.0.2.7/32\" or \"2001:db8::/32\"",
            place.trim_matches(['"', '\''])
        ),
        _ => match wanted(message) {
            None => message.to_owned(),
            Some("a sequence") if place.starts_with('[') && !place.starts_with("[[") => {
                format!("there may be several of these, so each begins with two brackets: [{place}]")
            }
            Some("a sequence") if place.starts_with("[[") => {
                "there is only one of these, so it has one bracket on either side".to_owned()
            }
            Some("a sequence") => "a list belongs here; write it in brackets, such as [\"…\"]".to_owned(),
            Some("a string") => "a text belongs here; write it in quotes".to_owned(),
            Some("a boolean") => "write true or false here, without quotes".to_owned(),
            Some("u16") => "a whole number from 0 to 65535 belongs here, without quotes".to_owned(),
            Some("u32" | "u64" | "usize") => "a whole number belongs here, without quotes".to_owned(),
            Some(table) if table == "a map" || table.starts_with("struct ") => {
                "a table belongs here; write it in braces, such as { … = … }".to_owned()
            }
            Some(wanted) => format!("{wanted} belongs here"),
        },
    }
}

/// What a value of the wrong kind should have been; what it was is left out.
fn wanted(message: &str) -> Option<&str> {
    let (found, wanted) = message.split_once(", expected ")?;
    ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|kind| found.starts_with(kind))
        .then_some(wanted)
}

/// `did you mean …?` where one of `known` is near, else the whole list.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(word, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 2.max(word.len() / 3) => format!("did you mean `{name}`?"),
        _ => format!(
            "known are {}",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}
