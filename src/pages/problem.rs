//! What is wrong with an operator's templates, messages or assets: file, line, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// One finding about a file that the pages are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub file: PathBuf,
    /// The line, from 1, where there is one to name.
    pub line: Option<usize>,
    /// What is wrong and what would be right, as one sentence.
    pub what: String,
}

impl Problem {
    pub(super) fn new(file: &Path, line: Option<usize>, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl Problem {
    /// About a file as a whole.
    pub fn of_file(file: &Path, what: impl Into<String>) -> Self {
        Self::new(file, None, what)
    }

    /// About a template that cannot be read.
    pub fn of_template(error: &minijinja::Error, file: &Path) -> Self {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::new(file, error.line(), format!("the template cannot be used: {detail}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// Why the pages could not be made ready: all that was found, so that one run shows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// What was found, at least one.
    pub problems: Vec<Problem>,
}

impl From<Problem> for LoadError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// The line, from 1, on which byte `offset` of `text` stands.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
