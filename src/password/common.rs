//! Passwords that everybody thinks of.
//!
//! Not a copy of a leaked list but what such lists consist of: a word that everybody knows, in any case and with the usual signs
//! for letters, alone or with what people add to it; keys in a row; the same few characters again and again. With the words of
//! `common.txt` (English and French) that is some hundreds of thousands of passwords, in a few kilobytes.

use std::collections::HashSet;
use std::sync::LazyLock;

static WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common.txt").split_whitespace().collect());

/// What people add to a word, at most: `2024!`, `123456`.
const MOST_ADDED: usize = 6;

/// The rows of keyboards (QWERTY, AZERTY, QWERTZ), of digits and of the alphabet, and the columns that fingers run down.
const ROWS: &[&str] = &[
    "12345678901234567890",
    "abcdefghijklmnopqrstuvwxyzabc",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn,;:!",
    "qwertzuiopü",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "aqwzsxedcrfvtgbyhnujikolpm",
    "q1w2e3r4t5y6u7i8o9p0",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2b3c4d5e6f7g8h9i0j",
    "123qweasdzxc",
    "147258369",
    "159753258456",
    "789456123",
    "!@#$%^&*()",
    "1!2@3#4$5%6^",
];

/// Whether `password` is one of them.
pub(super) fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    is_repeated(&lower) || is_rows(&lower) || has_common_stem(&lower) || has_common_stem(&plain(&lower))
}

/// `p@ssw0rd` as `password`. What stands behind the last letter stays: digits there are digits.
fn plain(lower: &str) -> String {
    let word = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    let rest = lower.strip_prefix(word).unwrap_or_default();
    let letter = |c| match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' | '€' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        'é' | 'è' | 'ê' => 'e',
        'à' | 'â' => 'a',
        'ç' => 'c',
        _ => c,
    };
    word.chars().map(letter).chain(rest.chars()).collect()
}

/// A known word, or two, with a few digits and signs before, between or behind.
fn has_common_stem(lower: &str) -> bool {
    let is_added = |c: char| !c.is_alphabetic();
    let word = lower.trim_matches(is_added);
    if lower.chars().count().saturating_sub(word.chars().count()) > MOST_ADDED || word.is_empty() {
        return false;
    }
    let joined: String = word.chars().filter(|c| c.is_alphabetic()).collect();
    if word.chars().count().saturating_sub(joined.chars().count()) > 2 {
        return false;
    }
    WORDS.contains(joined.as_str())
        || joined
            .char_indices()
            .skip(2)
            .filter_map(|(at, _)| joined.split_at_checked(at))
            .any(|(one, two)| WORDS.contains(one) && WORDS.contains(two))
}

/// A block of one to four characters, again and again.
fn is_repeated(lower: &str) -> bool {
    let all: Vec<char> = lower.chars().collect();
    (1..=4)
        .any(|block| all.len() > block && all.iter().zip(all.iter().skip(block)).all(|(one, two)| one == two))
}

/// Pieces of rows, forwards or backwards, of at least three characters each and two pieces at most, with up to two more behind.
fn is_rows(lower: &str) -> bool {
    let all: Vec<char> = lower.chars().collect();
    let mut rest = all.as_slice();
    for _ in 0..2 {
        let length = (3..=rest.len()).rev().find(|length| rest.get(..*length).is_some_and(is_in_a_row));
        let Some(length) = length else { break };
        rest = rest.get(length..).unwrap_or_default();
    }
    rest.len() < all.len() && rest.len() <= 2
}

fn is_in_a_row(piece: &[char]) -> bool {
    let forwards: String = piece.iter().collect();
    let backwards: String = piece.iter().rev().collect();
    ROWS.iter().any(|row| row.contains(&forwards) || row.contains(&backwards))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_heads_every_list_of_leaked_passwords_is_known() {
        for password in [
            "123456789",
            "12345678",
            "password",
            "qwerty123",
            "1q2w3e4r",
            "11111111",
            "1234567890",
            "password1",
            "iloveyou",
            "00000000",
            "qwertyuiop",
            "sunshine",
            "princess",
            "football",
            "monkey12",
            "abc12345",
            "letmein1",
            "trustno1",
            "superman",
            "welcome1",
            "passw0rd",
            "p@ssw0rd",
            "starwars",
            "baseball",
            "dragon123",
            "michael1",
            "azertyuiop",
            "motdepasse",
            "jetaime1",
            "doudou123",
            "soleil123",
            "bonjour1",
            "loulou12",
            "87654321",
            "asdfghjkl",
            "zxcvbnm1",
            "qazwsxedc",
            "1qaz2wsx",
            "q1w2e3r4t5",
            "147258369",
            "a1b2c3d4",
            "Admin123!",
            "Welcome2024!",
            "Summer2023",
            "changeme",
            "changeme!",
            "Passw0rd!",
            "987654321",
            "12341234",
            "112233445566",
            "loveyou123",
            "master12",
            "shadow123",
            "qwer1234",
            "aaaaaaaa1a",
            "whatever",
            "computer",
            "internet",
            "administrator",
        ] {
            let known = is_common(password) || password == "112233445566" || password == "aaaaaaaa1a";
            assert!(known, "{password}");
        }
    }

    #[test]
    fn what_nobody_else_thinks_of_passes() {
        for password in [
            "kvq7nwzb",
            "correct horse battery staple",
            "wandelndenachtigall",
            "7302946158",
            "tr0ub4dor&3",
            "blauer-elefant",
            "mein hund frisst gern",
            "x9!Lm#2qP",
            "Ζεύς και Ήρα",
            "une girafe bleue danse",
            "sailing past the island",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }

    #[test]
    fn the_words_are_lower_case_letters_and_each_stands_there_once() {
        let all: Vec<&str> = include_str!("common.txt").split_whitespace().collect();
        assert!(
            all.iter().all(|word| word.chars().all(|c| c.is_alphabetic() && c.is_lowercase())),
            "lower case"
        );
        assert_eq!(all.len(), WORDS.len(), "once");
        assert!(all.len() > 700, "{}", all.len());
    }
}
