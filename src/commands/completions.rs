//! `lychgate completions`

use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Prints what a shell needs to complete this command line.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Arguments::command(), "lychgate", &mut script);
    // A reader that has gone away is no error.
    let _ = std::io::stdout().lock().write_all(&script);
    ExitCode::SUCCESS
}
