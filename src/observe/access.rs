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

/// The path as it may be logged: a segment with 20 or more hexadecimal digits in a row is masked, whatever it is and
/// however it is encoded. (The gate masks what it knows to be a token by itself; this is for the ones it does not know,
/// and for those in requests that were not admitted.)
pub fn loggable_path(path: &str) -> std::borrow::Cow<'_, str> {
    if !path.split('/').any(is_token) {
        return path.into();
    }
    path.split('/')
        .map(|segment| if is_token(segment) { "[token]" } else { segment })
        .collect::<Vec<_>>()
        .join("/")
        .into()
}

fn is_token(segment: &str) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    // The common segment is shorter than any token, decoded or not.
    segment.len() >= 20
        && Vec::from_iter(percent_encoding::percent_decode_str(segment))
            .split(|byte| !is_digit(byte))
            .any(|run| run.len() >= 20)
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
        for (path, logged) in [
            ("/docs/page-1", "/docs/page-1"),
            ("/passwordreset/0123456789abcdef0123456789abcdef", "/passwordreset/[token]"),
            ("/passwordreset/123e4567-e89b-12d3-a456-426614174000", "/passwordreset/[token]"),
            ("/passwordreset/%30123456789abcdef0123456789abcde%66", "/passwordreset/[token]"),
            ("/passwordreset/0123456789abcdef0123456789abcdefx%00", "/passwordreset/[token]"),
            ("/a-page-with-quite-a-long-name.html", "/a-page-with-quite-a-long-name.html"),
            ("/++resource++plone/bundle.min.js", "/++resource++plone/bundle.min.js"),
            ("/", "/"),
        ] {
            assert_eq!(loggable_path(path), logged);
        }
    }
}
