//! One reading of the path: what the policy decides on is what the backend gets.
//!
//! Proxies and backends that decode a path differently let a request in by one reading and serve it
//! by another (CVE-2026-40912, GHSA-j748-h363-wqj8 and their many relatives). Zope makes that worse:
//! a path may carry the public address of the whole site in `VirtualHostBase` segments, and with it
//! the host that goes into a reset mail. So a path is decoded once, what could be read in two ways
//! is refused, and what is left is written in one canonical spelling.

use std::fmt;

/// A path that has one reading: starts with `/`, no empty, `.` or `..` segment (a trailing `/` is kept),
/// no encoded separator, no control byte, every byte that needs it percent-encoded in upper case.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalPath {
    encoded: String,
    /// The same, percent-decoded, when that differs.
    decoded: Option<Vec<u8>>,
}

/// Why a path was refused. The texts are for the person who sent it; none repeats the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with `/`.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("the path has a percent sign that does not begin an encoded byte")]
    BadEncoding,
    /// A segment that is `.` or `..`, in any encoding.
    #[error("the path has a dot segment")]
    DotSegment,
    /// A slash or backslash that is encoded, or any backslash.
    #[error("the path has an encoded slash or a backslash")]
    Separator,
    /// A byte below 0x20, or 0x7F.
    #[error("the path has a control character")]
    Control,
    /// An encoded percent sign that would make one of the above, decoded once more.
    #[error("the path is encoded twice")]
    DoubleEncoding,
    /// UTF-8 in a longer form than needed, which some decoders turn into a slash or a dot.
    #[error("the path has overlong UTF-8")]
    Overlong,
    /// A segment by which Zope is told its public address.
    #[error("the path has a virtual-hosting segment")]
    VirtualHosting,
}

impl CanonicalPath {
    /// Reads the path of a request target, without query.
    ///
    /// Runs of slashes are one slash. The common path, which is canonical as it stands, costs one
    /// pass and one copy.
    ///
    /// # Errors
    /// Whatever has two readings, see [`PathError`].
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let mut encoded = String::with_capacity(raw.len());
        let mut decoded = Vec::new();
        let mut segments = raw.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                continue;
            }
            encoded.push('/');
            decoded.push(b'/');
            if is_plain(segment) {
                check_segment(segment.as_bytes())?;
                encoded.push_str(segment);
                decoded.extend_from_slice(segment.as_bytes());
            } else {
                let bytes = decode(segment)?;
                check_segment(&bytes)?;
                encode_into(&bytes, &mut encoded);
                decoded.extend_from_slice(&bytes);
            }
        }
        let decoded = (decoded != encoded.as_bytes()).then_some(decoded);
        Ok(Self { encoded, decoded })
    }

    /// The canonical spelling, as it goes to the backend.
    pub fn as_str(&self) -> &str {
        &self.encoded
    }

    /// The path with every encoding undone, as the policy reads it.
    pub fn decoded(&self) -> &[u8] {
        self.decoded.as_deref().unwrap_or(self.encoded.as_bytes())
    }

    /// The decoded segments, without empty ones.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.decoded().split(|byte| *byte == b'/').filter(|segment| !segment.is_empty())
    }

    /// What is left of the path below `prefix` (no slash at its end), if it lies there at all.
    /// Never empty: the prefix itself is `/` below itself.
    pub fn below(&self, prefix: &str) -> Option<&str> {
        match self.encoded.strip_prefix(prefix)? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

impl fmt::Debug for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded.fmt(f)
    }
}

/// Whether the segment is canonical as written: no encoding in it, and nothing that needs one.
fn is_plain(segment: &str) -> bool {
    segment.bytes().all(stays_plain)
}

/// RFC 3986 `pchar` without the percent sign.
fn stays_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

fn decode(segment: &str) -> Result<Vec<u8>, PathError> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match hex_pair(bytes.next(), bytes.next()).ok_or(PathError::BadEncoding)? {
                b'/' => return Err(PathError::Separator),
                byte => byte,
            },
            byte => byte,
        });
    }
    Ok(decoded)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Judges a decoded segment.
fn check_segment(segment: &[u8]) -> Result<(), PathError> {
    if segment.iter().any(u8::is_ascii_control) {
        return Err(PathError::Control);
    }
    if segment.contains(&b'\\') {
        return Err(PathError::Separator);
    }
    // Some servers cut `;parameters` off before they look at the dots.
    if matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b"..")) {
        return Err(PathError::DotSegment);
    }
    if std::str::from_utf8(segment).is_err() && has_overlong(segment) {
        return Err(PathError::Overlong);
    }
    if is_double_encoded(segment) {
        return Err(PathError::DoubleEncoding);
    }
    if is_virtual_hosting(segment) {
        return Err(PathError::VirtualHosting);
    }
    Ok(())
}

fn has_overlong(segment: &[u8]) -> bool {
    segment
        .windows(2)
        .any(|pair| matches!(pair, [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F] | [0xF0, 0x80..=0x8F]))
}

fn is_double_encoded(segment: &[u8]) -> bool {
    segment.windows(3).any(|window| match *window {
        [b'%', high, low] => {
            matches!(hex_pair(Some(high), Some(low)), Some(b'.' | b'/' | b'\\' | b'%' | 0..=0x1F | 0x7F))
        }
        _ => false,
    })
}

/// `VirtualHostBase`, `VirtualHostRoot`, `_vh_…` (Zope's VirtualHostMonster) and `++vh++…` (zope.app's).
fn is_virtual_hosting(segment: &[u8]) -> bool {
    let starts =
        |prefix: &[u8]| segment.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    segment.eq_ignore_ascii_case(b"VirtualHostBase")
        || segment.eq_ignore_ascii_case(b"VirtualHostRoot")
        || starts(b"_vh_")
        || starts(b"++vh++")
}

fn encode_into(bytes: &[u8], encoded: &mut String) {
    use fmt::Write as _;
    for byte in bytes {
        if stays_plain(*byte) {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_spelling_of_a_path_has_one_canonical_form() {
        for (name, raw, canonical) in [
            ("root", "/", "/"),
            ("plain", "/docs/page-1", "/docs/page-1"),
            ("trailing slash stays", "/docs/", "/docs/"),
            ("slashes are one", "//docs///a//", "/docs/a/"),
            ("needless encoding is undone", "/%64ocs/%7Ea", "/docs/~a"),
            ("hex in upper case", "/caf%c3%a9", "/caf%C3%A9"),
            ("latin-1 bytes of an old site pass", "/caf%e9", "/caf%E9"),
            (
                "zope's punctuation stays",
                "/++resource++a/@@view/b:c,d;e=1",
                "/++resource++a/@@view/b:c,d;e=1",
            ),
            ("a space stays encoded", "/a%20b", "/a%20b"),
            ("a literal percent sign", "/100%25", "/100%25"),
            ("question mark and hash", "/a%3Fb%23c", "/a%3Fb%23c"),
            ("three dots are a name", "/.../a", "/.../a"),
            ("dots in names", "/a..b/.htaccess", "/a..b/.htaccess"),
        ] {
            assert_eq!(
                CanonicalPath::parse(raw).map(|path| path.encoded),
                Ok(canonical.to_owned()),
                "{name}"
            );
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        use PathError::*;
        for (name, raw, error) in [
            ("no slash", "docs", NotAbsolute),
            ("asterisk", "*", NotAbsolute),
            ("bare percent", "/a%", BadEncoding),
            ("half an encoding", "/a%2", BadEncoding),
            ("not hexadecimal", "/a%zz", BadEncoding),
            ("IIS's unicode", "/a%u002e", BadEncoding),
            ("dot dot", "/docs/../manage", DotSegment),
            ("dot dot at the end", "/docs/..", DotSegment),
            ("dot", "/docs/./manage", DotSegment),
            ("encoded dots", "/docs/%2e%2e/manage", DotSegment),
            ("half encoded dots", "/docs/.%2E/manage", DotSegment),
            ("dots with parameters", "/docs/..;/manage", DotSegment),
            ("encoded slash, Caddy #7941", "/public/..%2fadmin", Separator),
            ("encoded slash alone", "/a%2Fb", Separator),
            ("backslash", "/docs\\manage", Separator),
            ("encoded backslash", "/docs%5cmanage", Separator),
            ("NUL, CVE-2021-32637", "/a%00b", Control),
            ("line feed", "/a%0Ab", Control),
            ("delete", "/a%7f", Control),
            ("twice encoded slash", "/a%252fb", DoubleEncoding),
            ("twice encoded dots", "/%252e%252e/manage", DoubleEncoding),
            ("thrice encoded", "/a%25252f", DoubleEncoding),
            ("overlong slash", "/a%c0%afb", Overlong),
            ("overlong dot", "/%c0%ae%c0%ae/a", Overlong),
            ("overlong slash in three bytes", "/a%e0%80%afb", Overlong),
            (
                "VirtualHostBase",
                "/VirtualHostBase/https/evil.example:443/Plone/VirtualHostRoot/mail_password",
                VirtualHosting,
            ),
            ("VirtualHostRoot", "/a/VirtualHostRoot/b", VirtualHosting),
            ("encoded VirtualHostRoot", "/a/Virtual%48ostRoot/b", VirtualHosting),
            ("any case", "/virtualhostbase/x", VirtualHosting),
            ("_vh_", "/_vh_evil/a", VirtualHosting),
            ("++vh++", "/++vh++https:evil.example:443/++/a", VirtualHosting),
        ] {
            assert_eq!(CanonicalPath::parse(raw).map(|path| path.encoded), Err(error), "{name}");
        }
    }

    #[test]
    fn below_a_prefix_means_below_a_whole_segment() {
        let path = |raw| CanonicalPath::parse(raw).unwrap();
        assert_eq!(path("/_gate/login").below("/_gate"), Some("/login"));
        assert_eq!(path("/_gate").below("/_gate"), Some("/"));
        assert_eq!(path("/_gates").below("/_gate"), None);
        assert_eq!(path("/a").below(""), Some("/a"));
    }

    proptest! {
        #[test]
        fn canonicalising_twice_is_canonicalising_once(raw in "/([a-zA-Z0-9%/.;@+_~ -]|%[0-9a-fA-F]{2}){0,40}") {
            if let Ok(once) = CanonicalPath::parse(&raw) {
                let twice = CanonicalPath::parse(once.as_str()).unwrap();
                prop_assert_eq!(&once, &twice);
            }
        }

        #[test]
        fn no_accepted_path_climbs_however_often_it_is_decoded(raw in "/(%2[0-9a-fA-F]|%5[cC]|%25|[./\\\\;a]){0,24}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                let mut bytes = path.as_str().as_bytes().to_vec();
                for _ in 0..4 {
                    prop_assert!(bytes.split(|b| matches!(b, b'/' | b'\\')).all(|s| s != b".." && s != b"."));
                    bytes = percent_encoding::percent_decode(&bytes).collect();
                }
            }
        }
    }
}
