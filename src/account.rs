//! One spelling for each account, so that counting and comparing cannot be dodged by another one.
//!
//! `John`, ` john` and `ＪＯＨＮ` may all reach the same account of a CMS; a limit kept for each spelling
//! would be no limit (Authelia CVE-2026-47203).
//!
//! Mail addresses are names like others: their domain is part of them, and nothing in them is left out. `a+b@x.org` and
//! `a.b@x.org` may or may not reach who has `ab@x.org`; only that mail server knows, and to take two people for one would let one
//! lock out the other. An account that has a name and an address is counted once under each.

use unicode_normalization::UnicodeNormalization as _;

/// `name` in the spelling that accounts are counted and compared by: Unicode compatibility composition
/// (NFKC, UAX 15), lower case, no space around it. Never send it to a CMS: it is for comparing only.
pub fn canonical(name: &str) -> String {
    let lower: String = name.nfkc().flat_map(char::to_lowercase).collect();
    // Lower case can leave marks that compose again.
    let composed: String = lower.nfkc().collect();
    composed.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
