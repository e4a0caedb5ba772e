//! The CMS's own mail.

use super::{origins, shown};
use lychgate::mail::{Links, rewrite};
use lychgate::rewrite::{Mode, Sites};
use mail_parser::MessageParser;
use std::sync::LazyLock;

pub(super) static ALL: LazyLock<Sites> =
    LazyLock::new(|| Sites::new(origins(Mode::Full).iter().map(AsRef::as_ref)));

/// A message in which nothing is internal stays byte for byte; in one that changes, no part comes or goes, no line gets longer than lines may be, and a second look finds nothing more.
pub fn mail(data: &[u8]) {
    let Ok(done) = rewrite(&ALL, &Links::default(), data) else { return };
    let Some(after) = done.message else {
        assert_eq!(done.replaced, 0, "replaced, and yet not");
        return;
    };
    assert!(done.replaced > 0, "changed although nothing was replaced: {}", shown(&after));
    if longest_line(data) <= 998 {
        assert!(longest_line(&after) <= 998, "a line of {} bytes: {}", longest_line(&after), shown(&after));
    }
    assert_eq!(parts(data), parts(&after), "{}", shown(&after));
    let again = rewrite(&ALL, &Links::default(), &after).expect("it has not become deeper");
    assert_eq!(
        again.replaced,
        0,
        "twice is not once: {}\n{}",
        shown(&after),
        shown(&again.message.unwrap_or_default())
    );
}

fn longest_line(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).len())
        .max()
        .unwrap_or(0)
}

/// How many parts there are.
fn parts(raw: &[u8]) -> usize {
    let message = MessageParser::new().with_mime_headers().default_header_raw().parse(raw);
    message.map_or(0, |message| message.parts.len())
}
