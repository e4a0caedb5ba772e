//! Which new passwords are accepted.

use super::{common, normal};
use crate::account;
use crate::secret::Secret;

/// The longest password, in characters; longer ones only cost work. (ASVS 5.0, 6.2.9, asks for 64 at least.)
pub const LONGEST: u32 = 256;

/// Why a new password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Fewer characters than so many.
    TooShort {
        /// The fewest.
        minimum: u32,
    },
    /// More characters than so many.
    TooLong {
        /// The most.
        maximum: u32,
    },
    /// Nothing but spaces.
    Blank,
    /// One of those that everybody thinks of.
    Common,
    /// The user's name, or nearly.
    LikeName,
}

impl Unfit {
    /// Its name for scripts and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong { .. } => "too_long",
            Self::Blank => "blank",
            Self::Common => "common",
            Self::LikeName => "like_name",
        }
    }
}

/// For operators, in English; pages have words of their own.
impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { minimum } => write!(f, "the password needs at least {minimum} characters"),
            Self::TooLong { maximum } => write!(f, "the password may have {maximum} characters at most"),
            Self::Blank => f.write_str("the password is nothing but spaces"),
            Self::Common => f.write_str("the password is one of those that are guessed first"),
            Self::LikeName => f.write_str("the password is the user's name, or nearly"),
        }
    }
}

/// Whether `password` will do for `user`. Characters are Unicode scalar values of the normal form.
///
/// # Errors
/// Why not.
pub fn check(password: &Secret, user: &str, shortest: u32) -> Result<(), Unfit> {
    let password = normal(password);
    let text = password.expose();
    let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    if text.trim().is_empty() {
        return Err(if text.is_empty() { Unfit::TooShort { minimum: shortest } } else { Unfit::Blank });
    }
    if length < shortest {
        return Err(Unfit::TooShort { minimum: shortest });
    }
    if length > LONGEST {
        return Err(Unfit::TooLong { maximum: LONGEST });
    }
    if is_like(text, user) {
        return Err(Unfit::LikeName);
    }
    if common::is_common(text) { Err(Unfit::Common) } else { Ok(()) }
}

/// The name itself, backwards, twice, or with a few digits or signs around it; and the same of the part before an `@`.
fn is_like(password: &str, user: &str) -> bool {
    let user = account::canonical(user);
    let whole = account::canonical(password);
    let bare = whole.trim_matches(|c: char| !c.is_alphabetic());
    let local = user.split('@').next().unwrap_or_default();
    [user.as_str(), local].into_iter().filter(|name| name.chars().count() > 2).any(|name| {
        let bare_name = name.trim_matches(|c: char| !c.is_alphabetic());
        whole == name
            || (!bare.is_empty() && bare == bare_name)
            || whole.chars().rev().eq(name.chars())
            || whole == format!("{name}{name}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_counts_characters_and_forbids_what_is_guessed_first_and_nothing_else() {
        let long = |length| {
            (100..200)
                .flat_map(|n| format!("kv{n} ").into_bytes())
                .map(char::from)
                .take(length)
                .collect::<String>()
        };
        let short = Err(Unfit::TooShort { minimum: 8 });
        for (name, password, expected) in [
            ("empty", String::new(), short),
            ("seven", "kvq7nwz".to_owned(), short),
            ("eight", "kvq7nwzb".to_owned(), Ok(())),
            ("eight characters of two bytes", "éàüñçøåß".to_owned(), Ok(())),
            ("seven composed of fourteen", "e\u{301}".repeat(7), short),
            ("256", long(256), Ok(())),
            ("257", long(257), Err(Unfit::TooLong { maximum: 256 })),
            ("spaces", " ".repeat(12), Err(Unfit::Blank)),
            ("spaces of other kinds", "\u{3000}".repeat(12), Err(Unfit::Blank)),
            ("letters only", "wandelndenachtigall".to_owned(), Ok(())),
            ("digits only", "7302946158".to_owned(), Ok(())),
            ("emoji", "🦔🪵🧵🪑🧲🥁🪜🧯".to_owned(), Ok(())),
            ("a word everybody knows", "Password".to_owned(), Err(Unfit::Common)),
            ("with what is always added", "P@ssw0rd2024!".to_owned(), Err(Unfit::Common)),
            ("keys in a row", "qwertyuiop".to_owned(), Err(Unfit::Common)),
            ("digits in a row", "1234567890".to_owned(), Err(Unfit::Common)),
            ("one again and again", "aaaaaaaaaaaa".to_owned(), Err(Unfit::Common)),
            ("two again and again", "abcabcabcabc".to_owned(), Err(Unfit::Common)),
            ("French ones", "motdepasse1".to_owned(), Err(Unfit::Common)),
            ("the name", "Jane.Doe".to_owned(), Err(Unfit::LikeName)),
            ("the name and a year", "jane.doe1984".to_owned(), Err(Unfit::LikeName)),
            ("the name in full width", "ＪＡＮＥ．ＤＯＥ".to_owned(), Err(Unfit::LikeName)),
            ("the name backwards", "eod.enaj".to_owned(), Err(Unfit::LikeName)),
            ("the name within a sentence", "jane.doe reads at night".to_owned(), Ok(())),
        ] {
            assert_eq!(check(&Secret::new(password), "jane.doe", 8), expected, "{name}");
        }
        let local = check(&Secret::new("janedoe88"), "janedoe@example.org", 8);
        assert_eq!(local, Err(Unfit::LikeName), "the part of an address before the @");
    }
}
