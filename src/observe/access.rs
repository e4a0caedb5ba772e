//! The access line.

use std::time::Duration;

use http::{Method, StatusCode};

/// What is said of one request, once it has been answered.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The id that page, log and backend share.
    pub id: &'a str,
    /// The site, if the host named one.
    pub site: &'a str,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// The method.
    pub method: &'a Method,
    /// The path without query, see [`loggable_path`].
    pub path: &'a str,
    /// The user, where one is signed in.
    pub user: Option<&'a str>,
    /// What was decided.
    pub verdict: &'a str,
    /// The status of the answer.
    pub status: StatusCode,
    /// From the request's head to the head of the answer.
    pub took: Duration,
    /// How much of that was the backend's.
    pub backend: Option<Duration>,
}

impl Entry<'_> {
    /// Writes the line.
    pub fn write(&self) {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            id = self.id,
            site = self.site,
            client = %self.client,
            method = %self.method,
            path = self.path,
            user = self.user.unwrap_or("-"),
            verdict = self.verdict,
            status = self.status.as_u16(),
            us = micros(self.took),
            backend_us = self.backend.map(micros),
            "request"
        );
    }
}

/// The path as it may be logged: a segment with a token in it is masked, whatever it is and however it is encoded. (The gate
/// masks what it knows to be a reset link by itself; this is for the ones it does not know, and for those in requests that were not
/// admitted.)
///
/// For a token goes a run of 20 or more hexadecimal digits, and one of letters and digits that no word, name or date is written
/// like: see [`is_random`]. What is encoded is decoded for that, twice over.
pub fn loggable_path(path: &str) -> std::borrow::Cow<'_, str> {
    let ends = |byte: char| matches!(byte, '/' | '\\' | '?' | '#' | ';' | '&' | '=');
    if !path.split(ends).any(is_token) {
        return path.into();
    }
    let pieces = path.split_inclusive(ends).map(|piece| {
        let (text, end) = match piece.char_indices().next_back() {
            Some((at, last)) if ends(last) => piece.split_at(at),
            _ => (piece, ""),
        };
        if is_token(text) { format!("[token]{end}") } else { piece.to_owned() }
    });
    pieces.collect::<String>().into()
}

/// The shortest run of characters that can be a token.
const SHORTEST: usize = 20;

fn is_token(piece: &str) -> bool {
    // The common piece is shorter than any token, decoded or not.
    if piece.len() < SHORTEST {
        return false;
    }
    let once = Vec::from_iter(percent_encoding::percent_decode_str(piece));
    let twice = Vec::from_iter(percent_encoding::percent_decode(&once));
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+".contains(byte);
    [once, twice].iter().any(|bytes| {
        bytes.split(|byte| !is_hex(byte)).any(|run| run.len() >= SHORTEST)
            || bytes.split(|byte| !is_base64(byte)).any(is_random)
    })
}

/// Whether 20 or more letters and digits look like chance. Between neighbours in chance the kind (small letter, capital, digit) changes
/// about every other time, in words and dates with a hyphen between them hardly ever; that a capital begins a word is no change.
/// Four of a thousand tokens of 43 characters pass for words (3944 of a million), and no file name that is meant to be read for a
/// token.
fn is_random(run: &[u8]) -> bool {
    let signs: Vec<u8> = run.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
    let changes = signs.windows(2).filter(|pair| match pair {
        [one, other] => {
            kind(*one) != kind(*other) && !(one.is_ascii_uppercase() && other.is_ascii_lowercase())
        }
        _ => false,
    });
    signs.len() >= SHORTEST && changes.count() * 4 >= signs.len()
}

/// A user name as it may be logged: whatever somebody typed, but not all 64 KiB of it. Control characters are the log's to
/// escape.
pub fn loggable_user(user: &str) -> &str {
    const LONGEST: usize = 128;
    user.char_indices().nth(LONGEST).map_or(user, |(end, _)| user.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_tokens_are_masked_and_names_are_not() {
        const BASE64: &str = "Zx3_kQ9-vLr7TbN2mWc5Yp8HsJd4FgA6Ue1RiO0tXyB";
        for (path, logged) in [
            ("/docs/page-1", "/docs/page-1"),
            ("/passwordreset/0123456789abcdef0123456789abcdef", "/passwordreset/[token]"),
            ("/passwordreset/123e4567-e89b-12d3-a456-426614174000", "/passwordreset/[token]"),
            ("/passwordreset/%30123456789abcdef0123456789abcde%66", "/passwordreset/[token]"),
            ("/passwordreset/0123456789abcdef0123456789abcdefx%00", "/passwordreset/[token]"),
            ("/%70asswordreset//0123456789abcdef0123456789abcdef/", "/%70asswordreset//[token]/"),
            ("/passwordreset/%2530123456789abcdef0123456789abcde%2566", "/passwordreset/[token]"),
            ("/passwordreset%2F0123456789abcdef0123456789abcdef", "/[token]"),
            ("/passwordreset\\0123456789abcdef0123456789abcdef", "/passwordreset\\[token]"),
            ("/passwordreset;key=0123456789abcdef0123456789abcdef", "/passwordreset;key=[token]"),
            (&format!("/user/reset/1/1700000000/{BASE64}"), "/user/reset/1/1700000000/[token]"),
            (&format!("/user/reset/1/1700000000/{BASE64}/login"), "/user/reset/1/1700000000/[token]/login"),
            (&format!("//user//reset/../{BASE64}=%00"), "//user//reset/../[token]=%00"),
            (&format!("/reset/{}", BASE64.replace('-', "%2D").replace('Z', "%5a")), "/reset/[token]"),
            ("/reset/uVpBoN2GyGEkWmY9oWDR", "/reset/[token]"),
            ("/reset/MTI/d0z3kq-8f4b1c9e7a2d6f5043b9", "/reset/MTI/[token]"),
            ("/a-page-with-quite-a-long-name.html", "/a-page-with-quite-a-long-name.html"),
            (
                "/2026-11-21-minutes-of-the-annual-meeting-2026",
                "/2026-11-21-minutes-of-the-annual-meeting-2026",
            ),
            ("/AnnualReportOfTheBoardOfTrustees2026", "/AnnualReportOfTheBoardOfTrustees2026"),
            ("/IMG_20261121_101112_Report_final-v2.JPG", "/IMG_20261121_101112_Report_final-v2.JPG"),
            ("/@@plone.app.dexterity.edit-form/widgets", "/@@plone.app.dexterity.edit-form/widgets"),
            (
                "/++unique++2026-11-02T10:12:13.123456/default.css",
                "/++unique++2026-11-02T10:12:13.123456/default.css",
            ),
            ("/++resource++plone/bundle.min.js", "/++resource++plone/bundle.min.js"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(loggable_path(path), logged);
        }
    }

    #[test]
    fn hardly_a_token_passes_for_words() {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        use sha2::{Digest as _, Sha256};
        // As good as chance, and the same every time: 38 of these are not seen.
        let tokens =
            (0_u32..10_000).map(|number| URL_SAFE_NO_PAD.encode(Sha256::digest(number.to_be_bytes())));
        let passing =
            tokens.map(|token| format!("/r/{token}")).filter(|path| loggable_path(path) == path.as_str());
        let passing = passing.count();
        assert!(passing < 50, "{passing} of 10000 tokens of 256 bits are not seen");
    }
}
