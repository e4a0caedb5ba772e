//! Texts with placeholders: `passwordreset/{token}`.
//!
//! A template is taken apart when the dialogue is read. Filling it in is one pass over the pieces, so
//! that a user who calls himself `{password}` is just called that; and what is filled in is escaped
//! for the place where it goes.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, de};

use crate::secret::Secret;

/// What a segment of a path shows as it is: the unreserved characters of RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text with holes.
#[derive(Clone, Debug)]
pub(super) struct Template {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Hole(Placeholder),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The name of the account, as typed.
    User,
    /// The password to sign in with, or the new one.
    Password,
    /// The token of a reset link.
    Token,
}

impl Placeholder {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Password => "password",
            Self::Token => "token",
        }
    }
}

/// What is filled in.
#[derive(Clone, Copy, Default)]
pub(super) struct Filling<'a> {
    pub user: Option<&'a str>,
    pub password: Option<&'a Secret>,
    pub token: Option<&'a Secret>,
}

impl Filling<'_> {
    fn value(&self, placeholder: Placeholder) -> &str {
        match placeholder {
            Placeholder::User => self.user,
            Placeholder::Password => self.password.map(Secret::expose),
            Placeholder::Token => self.token.map(Secret::expose),
        }
        .unwrap_or_default()
    }
}

impl Template {
    /// Filled in without any escaping, for a place that escapes the whole (a form's body).
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Secret {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Hole(hole) => filling.value(*hole),
        });
        Secret::new(pieces.collect::<String>())
    }

    /// Filled in as a path: a value stays within its segment. `None` when a segment would be empty, `.` or `..`.
    pub(super) fn fill_path(&self, filling: &Filling<'_>) -> Option<Secret> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Hole(hole) => path.extend(utf8_percent_encode(filling.value(*hole), UNRESERVED)),
            }
        }
        let path = Secret::new(path);
        let sound = !path.expose().split('/').any(|segment| matches!(segment, "" | "." | ".."));
        sound.then_some(path)
    }

    /// Why the fixed parts cannot stand in a path, if they cannot.
    pub(super) fn unusable_as_path(&self) -> Option<&'static str> {
        let fixed = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Hole(_) => "x",
        });
        let fixed = fixed.collect::<String>();
        if fixed.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Some("write its segments with one slash between two and none at the ends");
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '%');
        (!fixed.chars().all(plain)).then_some("only visible ASCII without ? # \\ % may stand there")
    }

    pub(super) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Hole(hole) => Some(*hole),
        })
    }

    pub(super) fn written(&self) -> &str {
        &self.written
    }

    fn parse(written: String) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = written.as_str();
        while let Some((text, after)) = rest.split_once('{') {
            pieces.push(Piece::Text(text.to_owned()));
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("`{written}`: a `{{` without its `}}`"))?;
            let known = [Placeholder::User, Placeholder::Password, Placeholder::Token];
            let hole = known.into_iter().find(|hole| hole.name() == name).ok_or_else(|| {
                format!("`{written}`: no placeholder is called {{{name}}}; there are {{user}}, {{password}} and {{token}}")
            })?;
            pieces.push(Piece::Hole(hole));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { written, pieces })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, token: &str) -> Option<String> {
        let token = Secret::new(token);
        let filling = Filling { token: Some(&token), ..Filling::default() };
        let path = Template::parse(template.to_owned()).unwrap().fill_path(&filling);
        path.map(|path| path.expose().to_owned())
    }

    #[test]
    fn a_value_never_leaves_its_segment() {
        for (token, wanted) in [
            ("abc", Some("reset/abc")),
            ("a/b", Some("reset/a%2Fb")),
            ("a?b#c", Some("reset/a%3Fb%23c")),
            ("ä\r\n", Some("reset/%C3%A4%0D%0A")),
            ("{user}", Some("reset/%7Buser%7D")),
            ("%2e", Some("reset/%252e")),
            ("", None),
            (".", None),
            ("..", None),
        ] {
            assert_eq!(path("reset/{token}", token).as_deref(), wanted, "{token:?}");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let password = Secret::new("s3cret");
        let filling = Filling { user: Some("{password}"), password: Some(&password), token: None };
        let filled = Template::parse("{user}:{password}".to_owned()).unwrap().fill(&filling);
        assert_eq!(filled.expose(), "{password}:s3cret");
    }

    #[test]
    fn unknown_placeholders_and_impossible_paths_are_refused() {
        for text in ["{pasword}", "{", "a{user", "{}"] {
            assert!(Template::parse(text.to_owned()).is_err(), "{text}");
        }
        for text in ["/a", "a/", "a//b", "../a", "a?b=1", "a b", "é", "a\\b", "%2e%2e/a", ""] {
            assert!(Template::parse(text.to_owned()).unwrap().unusable_as_path().is_some(), "{text}");
        }
    }
}
