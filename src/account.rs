//! One spelling for each account, so that counting and comparing cannot be dodged by another one.
//!
//! `John`, ` john` and `ＪＯＨＮ` may all reach the same account of a CMS; a limit kept for each spelling
//! would be no limit (Authelia CVE-2026-47203).
//!
//! Mail addresses are names like others: their domain is part of them, and nothing in them is left out. `a+b@x.org` and
//! `a.b@x.org` may or may not reach who has `ab@x.org`; only that mail server knows, and to take two people for one would let one
//! lock out the other. An account of a CMS that has a name and an address is counted once under each, for the gate cannot tell that they are
//! one; requests for a reset mail of one of the gate's own users are counted together, however they name it, and signing in takes their names alone.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// `name` in the spelling that accounts are counted and compared by: Unicode compatibility composition
/// (NFKC, UAX 15), lower case, no space around it. Never send it to a CMS: it is for comparing only.
pub fn canonical(name: &str) -> String {
    let lower: String = name.nfkc().flat_map(char::to_lowercase).collect();
    // Lower case can leave marks that compose again.
    let composed: String = lower.nfkc().collect();
    composed.trim().to_owned()
}

/// What attempts for `name` are counted by: one for all the spellings that some CMS takes for one account.
///
/// Databases that compare by collation (MySQL's `utf8mb4_unicode_ci`) see no marks on letters and nothing that has no width; WordPress
/// leaves out tags, `%41` and `&x;`; MediaWiki reads `_` as a blank. Each would be another count of guesses for the same account. That
/// `zoe` and `zoë`, or `jdoe` and `j_doe`, share theirs where they are two people is the lesser evil: a browser that is known to an
/// account has counts of its own. Never compare people by it.
pub fn counted(name: &str) -> String {
    let name = canonical(name);
    let plain: String = without_markup(&name).nfkd().flat_map(plain).collect();
    if plain.is_empty() { name } else { plain }
}

/// Whether two names share one count.
pub fn is_counted_alike(one: &str, other: &str) -> bool {
    counted(one) == counted(other)
}

/// The letter without its marks, or nothing.
fn plain(c: char) -> impl Iterator<Item = char> {
    let text = match c {
        'ß' => "s",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'æ' => "ae",
        'œ' => "oe",
        'ı' => "i",
        _ => "",
    };
    let is_nothing = is_combining_mark(c)
        || c.is_whitespace()
        || c.is_control()
        || matches!(c, '_' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}');
    text.chars().chain((text.is_empty() && !is_nothing).then_some(c))
}

/// Without `<…>`, `&…;` and `%hh`.
fn without_markup(name: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(name.len()), name);
    while let Some(at) = rest.find(['<', '&', '%']) {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        let end = match marked.as_bytes() {
            [b'<', ..] => marked.find('>').map(|end| end + 1),
            // At least one sign stands between.
            [b'&', ..] => marked.find(';').filter(|end| *end > 1).map(|end| end + 1),
            [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Some(3),
            _ => None,
        };
        let (mark, after) = marked.split_at(end.unwrap_or(1));
        if end.is_none() {
            out.push_str(mark);
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_some_cms_takes_for_one_account_is_counted_as_one() {
        for (name, spelling, expected) in [
            ("as it is", "jdoe", "jdoe"),
            ("marks", "jdöé", "jdoe"),
            ("a mark by itself", "jd\u{308}oe", "jdoe"),
            ("no width", "jd\u{200b}o\u{ad}e\u{feff}", "jdoe"),
            ("a letter with a stroke", "jdøe", "jdoe"),
            ("a tag", "jd<b>oe</b>", "jdoe"),
            ("an octet", "jd%0Aoe", "jdoe"),
            ("an entity", "jd&x;oe", "jdoe"),
            ("blanks within", "j_d oe", "jdoe"),
            ("an address", "J.Doe+x@Example.org", "j.doe+x@example.org"),
            ("no markup", "a<b & 5%", "a<b&5%"),
            ("no entity", "a&;b", "a&;b"),
            ("nothing else", "_\u{308}", "_\u{308}"),
            ("letters of its own", "иван", "иван"),
        ] {
            assert_eq!(counted(spelling), expected, "{name}");
        }
        assert_ne!(counted("jdoe"), counted("jdoe2"));
    }

    #[test]
    fn spellings_of_one_account_become_one() {
        for (name, spelling, expected) in [
            ("case", "JoHN", "john"),
            ("spaces around", " \tjohn\n", "john"),
            ("no-break space around", "\u{a0}john\u{3000}", "john"),
            ("full width", "ＪＯＨＮ", "john"),
            ("decomposed", "Zoe\u{308}", "zoë"),
            ("ligature", "ﬁona", "fiona"),
            ("Kelvin sign", "\u{212a}im", "kim"),
            ("space inside stays", "john  doe", "john  doe"),
            ("domain is part of it", "JOHN@Example.Org", "john@example.org"),
            ("empty", "  ", ""),
        ] {
            assert_eq!(canonical(spelling), expected, "{name}");
        }
        assert_ne!(canonical("john"), canonical("jоhn"), "a Cyrillic o is another letter");
    }

    proptest! {
        #[test]
        fn doing_it_twice_is_doing_it_once(name in "\\PC*") {
            prop_assert_eq!(canonical(&canonical(&name)), canonical(&name));
        }
    }
}
