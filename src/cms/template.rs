//! Texts with placeholders: `passwordreset/{token}`.
//!
//! A template is taken apart when the dialogue is read. Filling it in is one pass over the pieces, so
//! that a user who calls himself `{password}` is just called that; and what is filled in is escaped
//! for the place where it goes.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, de};

use super::paths::TokenRules;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    /// The name of the account, as typed.
    User,
    /// The password to sign in with, or the new one.
    Password,
    /// The password there is, where a new one takes its place.
    OldPassword,
    /// The token of a reset link.
    Token,
    /// One part of it, by its name in `paths.token`.
    TokenPart(String),
    /// What an earlier answer was asked to `keep`.
    Kept(String),
    /// A value of `[settings]`.
    Setting(String),
    /// The site's public address, without a slash at its end.
    PublicUrl,
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Password => f.write_str("password"),
            Self::OldPassword => f.write_str("old_password"),
            Self::Token => f.write_str("token"),
            Self::TokenPart(name) => write!(f, "token.{name}"),
            Self::Kept(name) => write!(f, "keep.{name}"),
            Self::Setting(name) => write!(f, "settings.{name}"),
            Self::PublicUrl => f.write_str("public_url"),
        }
    }
}

impl Placeholder {
    fn parse(name: &str) -> Option<Self> {
        match name.split_once('.') {
            None => match name {
                "user" => Some(Self::User),
                "password" => Some(Self::Password),
                "old_password" => Some(Self::OldPassword),
                "token" => Some(Self::Token),
                "public_url" => Some(Self::PublicUrl),
                _ => None,
            },
            Some(("token", part)) => Some(Self::TokenPart(part.to_owned())),
            Some(("keep", kept)) => Some(Self::Kept(kept.to_owned())),
            Some(("settings", setting)) => Some(Self::Setting(setting.to_owned())),
            Some(_) => None,
        }
    }
}

/// What is filled in.
#[derive(Clone, Default)]
pub(super) struct Filling<'a> {
    pub user: Option<&'a str>,
    pub password: Option<&'a Secret>,
    pub old_password: Option<&'a Secret>,
    pub token: Option<&'a Secret>,
    /// How the token is put together.
    pub token_rules: Option<&'a TokenRules>,
    pub public_url: &'a str,
    pub kept: BTreeMap<String, Secret>,
}

impl Filling<'_> {
    fn value(&self, placeholder: &Placeholder) -> &str {
        match placeholder {
            Placeholder::User => self.user,
            Placeholder::Password => self.password.map(Secret::expose),
            Placeholder::OldPassword => self.old_password.map(Secret::expose),
            Placeholder::Token => self.token.map(Secret::expose),
            Placeholder::TokenPart(name) => self.token_part(name),
            Placeholder::Kept(name) => self.kept.get(name).map(Secret::expose),
            Placeholder::Setting(_) => None, // replaced when the dialogue was read
            Placeholder::PublicUrl => Some(self.public_url),
        }
        .unwrap_or_default()
    }

    /// A part of the token.
    pub(super) fn token_part(&self, name: &str) -> Option<&str> {
        self.token_rules?.part(self.token?.expose(), name)
    }

    /// Takes every secret out of a text for the log: a path that the CMS redirects to may quote it.
    pub(super) fn mask(&self, mut text: String) -> String {
        let parts = self.token.map(|token| token.expose().split(TokenRules::BETWEEN)).into_iter().flatten();
        let secrets =
            [self.token, self.password, self.old_password].into_iter().flatten().map(Secret::expose);
        // What is this short (an account's number, say) is no secret, and would make holes everywhere.
        for secret in
            secrets.chain(parts).chain(self.kept.values().map(Secret::expose)).filter(|s| s.len() >= 4)
        {
            text = text.replace(secret, "[secret]");
        }
        text
    }
}

impl Template {
    /// Filled in without any escaping, for a place that escapes the whole (a form's body).
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Secret {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Hole(hole) => filling.value(hole),
        });
        Secret::new(pieces.collect::<String>())
    }

    /// Filled in as a path: a value stays within its segment. `None` when a segment would be empty, `.` or `..`.
    pub(super) fn fill_path(&self, filling: &Filling<'_>) -> Option<Secret> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Hole(hole) => match filling.value(hole) {
                    "" => return None,
                    value => path.extend(utf8_percent_encode(value, UNRESERVED)),
                },
            }
        }
        is_sound(&path).then(|| Secret::new(path))
    }

    /// Filled in as a header's value. `None` when something in it is no visible ASCII and no blank: a header has no
    /// escaping that every CMS would undo.
    pub(super) fn fill_header(&self, filling: &Filling<'_>) -> Option<HeaderValue> {
        let text = self.fill(filling);
        let mut value = HeaderValue::from_str(text.expose()).ok().filter(|_| text.expose().is_ascii())?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Why the fixed parts cannot stand in a path, if they cannot.
    pub(super) fn unusable_as_path(&self) -> Option<&'static str> {
        let fixed = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Hole(_) => "x",
        });
        let fixed = fixed.collect::<String>();
        if !is_sound(&fixed) {
            return Some("write its segments with one slash between two and none at its beginning");
        }
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\' | '%');
        (!fixed.chars().all(plain)).then_some("only visible ASCII without ? # \\ % may stand there")
    }

    /// Puts the values of `[settings]` in their places.
    pub(super) fn settle(&mut self, settings: &BTreeMap<String, String>) -> Result<(), String> {
        for piece in &mut self.pieces {
            let Piece::Hole(Placeholder::Setting(name)) = piece else { continue };
            let Some(value) = settings.get(name) else {
                return Err(format!("`{}`: `[settings]` has no `{name}`", self.written));
            };
            *piece = Piece::Text(value.clone());
        }
        Ok(())
    }

    pub(super) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Hole(hole) => Some(hole),
        })
    }

    pub(super) fn written(&self) -> &str {
        &self.written
    }

    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = written;
        while let Some((text, after)) = rest.split_once('{') {
            pieces.push(Piece::Text(text.to_owned()));
            let (name, after) =
                after.split_once('}').ok_or_else(|| format!("`{written}`: a `{{` without its `}}`"))?;
            let hole = Placeholder::parse(name).ok_or_else(|| {
                format!("`{written}`: no placeholder is called {{{name}}}; there are {{user}}, {{password}}, {{old_password}}, {{token}}, {{token.PART}}, {{keep.NAME}}, {{settings.NAME}} and {{public_url}}")
            })?;
            pieces.push(Piece::Hole(hole));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { written: written.to_owned(), pieces })
    }
}

/// Whether no segment is empty, `.` or `..`; a slash may stand at the end.
fn is_sound(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    !path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(template: &str, token: &str) -> Option<String> {
        let token = Secret::new(token);
        let filling = Filling { token: Some(&token), ..Filling::default() };
        let path = Template::parse(template).unwrap().fill_path(&filling);
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
        let filling = Filling { user: Some("{password}"), password: Some(&password), ..Filling::default() };
        let filled = Template::parse("{user}:{password}").unwrap().fill(&filling);
        assert_eq!(filled.expose(), "{password}:s3cret");
    }

    #[test]
    fn unknown_placeholders_and_impossible_paths_are_refused() {
        for text in ["{pasword}", "{", "a{user", "{}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        for text in ["/a", "a//", "a//b", "../a", "a?b=1", "a b", "é", "a\\b", "%2e%2e/a", ""] {
            assert!(Template::parse(text).unwrap().unusable_as_path().is_some(), "{text}");
        }
    }

    #[test]
    fn a_value_never_leaves_its_header() {
        for (user, fits) in
            [("jdoe", true), ("j doe", true), ("j\r\nX: y", false), ("j\0", false), ("jö", false)]
        {
            let filling = Filling { user: Some(user), ..Filling::default() };
            assert_eq!(Template::parse("{user}").unwrap().fill_header(&filling).is_some(), fits, "{user:?}");
        }
    }

    #[test]
    fn no_secret_stays_in_a_text_for_the_log() {
        let (token, password) = (Secret::new("12~abcdef"), Secret::new("s3cret"));
        let filling = Filling { token: Some(&token), password: Some(&password), ..Filling::default() };
        assert_eq!(filling.mask("/12/abcdef s3cret 12~abcdef".to_owned()), "/12/[secret] [secret] [secret]");
    }
}
