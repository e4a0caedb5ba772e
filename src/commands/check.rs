//! `lychgate check`

use std::path::Path;
use std::process::ExitCode;

use super::Format;
use crate::config::{Config, Finding};

pub(super) fn check(file: &Path, format: Format) -> ExitCode {
    let findings = match Config::read(file) {
        Ok((config, mut findings)) => {
            findings.extend(config.try_files(file));
            findings
        }
        Err(findings) => findings,
    };
    match format {
        Format::Human => findings.iter().for_each(|finding| println!("{finding}")),
        Format::Json => println!("{}", serde_json::to_string_pretty(&findings).unwrap_or_default()),
    }
    if findings.iter().any(Finding::is_error) {
        return ExitCode::FAILURE;
    }
    if format == Format::Human {
        println!("{}: fine", file.display());
    }
    ExitCode::SUCCESS
}
