//! Where a person goes after signing in: a path of this site, and nothing else.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::admit::CanonicalPath;

/// A path of the site, perhaps with query and fragment, fit for a `Location` field as it stands.
///
/// The gate's ancestor built addresses from this value and could be made to post passwords to a stranger; four advisories
/// of oauth2-proxy are about redirects that leave the site. So it is read as a path, by the same strict reading that a
/// request's path gets, and written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

/// More than this nobody typed: a longer one leads to the front page.
const LONGEST: usize = 4096;

/// What a path, as people type it, may have unencoded although it is not plain ASCII text.
const SPACE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// What stays out of a query or fragment as it is written in a `Location` field.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'#');

impl Next {
    /// Reads what a browser sent; `site` is the site's public path (`""` at the root).
    ///
    /// `None` for whatever is no path of the site.
    pub fn parse(text: &str, site: &str) -> Option<Self> {
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return None;
        }
        let (text, fragment) =
            text.split_once('#').map_or((text, None), |(rest, fragment)| (rest, Some(fragment)));
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        // Browsers read `//host` and `/\host` as another host; one that has them is no path, even where they would be folded.
        if path.starts_with("//") {
            return None;
        }
        let path = CanonicalPath::parse(&utf8_percent_encode(path, SPACE).to_string()).ok()?;
        path.below(site)?;
        let mut next = path.as_str().to_owned();
        for (mark, part) in [('?', query), ('#', fragment)] {
            if let Some(part) = part {
                next.push(mark);
                next.extend(utf8_percent_encode(part, UNSAFE));
            }
        }
        Some(Self(next))
    }

    /// The front page of a site.
    pub fn home(site: &str) -> Self {
        Self(format!("{site}/"))
    }

    /// As it stands in a `Location` field.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the value of a query parameter.
    pub fn encoded(&self) -> impl fmt::Display {
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        utf8_percent_encode(&self.0, KEPT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_of_the_site_are_kept_with_query_and_fragment() {
        for (text, next) in [
            ("/", "/"),
            ("/docs/a?x=1&y=2", "/docs/a?x=1&y=2"),
            ("/docs/a?x=1#top", "/docs/a?x=1#top"),
            ("/caf\u{e9}?q=\u{e9} b", "/caf%C3%A9?q=%C3%A9%20b"),
            ("/a?u=http://evil.example/", "/a?u=http://evil.example/"),
            ("/a b", "/a%20b"),
        ] {
            assert_eq!(Next::parse(text, "").map(|next| next.0).as_deref(), Some(next), "{text}");
        }
        assert_eq!(Next::parse("/docs?x=1&y=2", "").unwrap().encoded().to_string(), "/docs%3Fx%3D1%26y%3D2");
    }

    #[test]
    fn nothing_that_could_leave_the_site_is_kept() {
        for text in [
            "",
            "docs",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%5cevil.example",
            "/%2f/evil.example",
            "/%2Fevil.example",
            "https://evil.example/",
            "https:evil.example",
            "http:/evil.example",
            "javascript:alert(1)",
            "@evil.example/x",
            ".evil.example",
            "/\t/evil.example",
            "/\r\nSet-Cookie: a=b",
            "/\n",
            "\t//evil.example",
            " //evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "/%2e%2e//evil.example",
            "/;@evil.example/../..//x",
            "/a/../../b",
            "/VirtualHostBase/http/evil.example:80/",
            "/\u{0}",
            "/a\u{7f}",
            "?//evil",
            "#//evil",
        ] {
            assert_eq!(Next::parse(text, ""), None, "{text:?} must be dropped");
        }
        assert_eq!(Next::parse("/other/a", "/portal"), None, "another site's path");
        assert!(Next::parse("/portal/a", "/portal").is_some());
        assert_eq!(Next::parse(&format!("/{}", "a".repeat(LONGEST)), ""), None, "endless");
    }

    proptest! {
        #[test]
        fn a_browser_stays_on_the_host_whatever_was_sent(text in "[/\\\\.:@%25cCfF a?#;\\t\\u{ff0f}\\u{2024}e-]{0,30}") {
            if let Some(next) = Next::parse(&text, "") {
                let base: url::Url = "https://www.example.org/_gate/login".parse().unwrap();
                let landed = base.join(next.as_str()).unwrap();
                prop_assert_eq!(landed.origin(), base.origin(), "{}", next.as_str());
                prop_assert!(http::HeaderValue::from_str(next.as_str()).is_ok());
            }
        }
    }
}
