//! How commands print: tables, JSON, and the sentence they fail with.
//!
//! What is printed may come from the internet (a user name, a User-Agent), so control characters, with which a terminal can be
//! made to do things, are shown as `?`. A reader that has gone away (`lychgate … | head`) is no error.

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

/// Prints a line, or several.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a JSON document.
pub(super) fn json(value: &impl Serialize) {
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    line(&escaped(&json));
}

/// JSON leaves as they are the controls beyond ASCII, one of which begins a command to a terminal, and what turns text around.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_misleading(c) && !c.is_ascii() {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether it steers a terminal, or has a line look like another: controls, separators of lines, what has no width or turns the
/// direction of writing (CVE-2021-42574).
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Prints a table, columns two blanks apart, and nothing at all if there are no rows.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() {
        return;
    }
    let rows = std::iter::once(head.map(str::to_owned)).chain(rows.iter().map(|row| row.clone().map(plain)));
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = [0; N];
    for (width, cell) in rows.iter().flat_map(|row| row.iter().enumerate()) {
        if let Some(widest) = widths.get_mut(width) {
            *widest = cell.chars().count().max(*widest);
        }
    }
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        line(cells.join("  ").trim_end());
    }
}

/// Prints comma-separated values with a head (RFC 4180). A cell that a spreadsheet would take for a formula begins with `'`
/// (CWE-1236): what stands there may have been typed by a stranger.
pub(super) fn csv<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let row = |cells: [String; N]| cells.map(|text| cell(&text)).join(",") + "\r";
    line(&row(head.map(|name| name.to_ascii_lowercase().replace(' ', "_"))));
    for cells in rows {
        line(&row(cells));
    }
}

fn cell(text: &str) -> String {
    let formula =
        text.trim_start().starts_with(['=', '+', '-', '@', '|', '%']) || text.starts_with(['\t', '\r', '\n']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", plain(text).replace('"', "\"\""))
}

/// The end of a command.
pub(super) fn outcome(done: Result<(), String>) -> ExitCode {
    done.err().map_or(ExitCode::SUCCESS, |sentence| failure(&sentence))
}

/// The sentence a command fails with.
pub(super) fn failure(sentence: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "lychgate: {sentence}");
    ExitCode::FAILURE
}

/// Fit for a terminal.
pub(super) fn plain(text: impl AsRef<str>) -> String {
    text.as_ref().chars().map(|c| if is_misleading(c) { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_out() {
        for (text, expected) in [
            ("jdoe", "\"jdoe\""),
            ("", "\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'?=1\""),
            ("  =1", "\"'  =1\""),
            ("a,\"b\"\r\n=c", "\"a,\"\"b\"\"??=c\""),
            ("#0123456789abcdef", "\"#0123456789abcdef\""),
        ] {
            assert_eq!(cell(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_stranger_typed_cannot_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n\u{9b}c"), "a?[2Jb???c");
        assert_eq!(plain("nimda\u{202e}x\u{200b}"), "nimda?x?");
        assert_eq!(
            escaped("{\n  \"user\": \"é\u{9b}2J\u{202e}\"\n}"),
            "{\n  \"user\": \"é\\u009b2J\\u202e\"\n}"
        );
    }
}
