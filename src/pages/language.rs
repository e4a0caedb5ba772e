//! Which language a page speaks.
//!
//! The order is the visitor's: what the link asks for (`?lang=`), what was chosen before (the cookie), what the
//! browser prefers (`Accept-Language`, RFC 9110 section 12.5.4), and only then what the operator set. All three
//! come from outside and only ever pick one of the languages there are; nothing of them is echoed.

use std::fmt;
use std::sync::Arc;

/// The query parameter that asks for a language.
pub const LANGUAGE_PARAMETER: &str = "lang";

/// The cookie that remembers a language asked for. It is the gate's own: never send it to the backend.
pub const LANGUAGE_COOKIE: &str = "lychgate-lang";

/// How many language ranges of one `Accept-Language` are read. Browsers send a handful.
const RANGES_READ: usize = 32;

/// A language that the gate's pages can speak, such as `en` or `fr`. Made by [`super::Pages`] only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Language(Arc<str>);

impl Language {
    pub(super) fn new(tag: &str) -> Self {
        Self(Arc::from(tag))
    }

    /// The BCP 47 tag, as for `lang` and `Content-Language`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of a `Set-Cookie` header that remembers this language for a year, for the whole site because
    /// error pages can appear anywhere on it. `secure` is whether the site is reached by https.
    pub fn cookie(&self, secure: bool) -> String {
        let secure = if secure { "; Secure" } else { "" };
        format!("{LANGUAGE_COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}", self.0)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Picks one of `available` for a visitor; `None` if nothing asked for is there.
pub(super) fn negotiate<'l>(
    available: &'l [Language],
    query: Option<&str>,
    cookie: Option<&str>,
    accept_language: Option<&str>,
) -> Option<&'l Language> {
    let named = |tag: Option<&str>| tag.and_then(|tag| find(available, tag.trim()));
    named(query)
        .or_else(|| named(cookie))
        .or_else(|| accept_language.and_then(|list| preferred(available, list)))
}

/// The first of an `Accept-Language` list, by falling weight, that is there. `*` asks for nothing in particular.
fn preferred<'l>(available: &'l [Language], list: &str) -> Option<&'l Language> {
    let mut ranges: Vec<(u16, &str)> = list
        .split(',')
        .take(RANGES_READ)
        .filter_map(|item| {
            let (range, parameters) = item.split_once(';').unwrap_or((item, ""));
            Some((weight(parameters)?, range.trim()))
        })
        .filter(|(weight, _)| *weight > 0)
        .collect();
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    ranges.into_iter().find_map(|(_, range)| find(available, range))
}

/// `q=0.8` as thousandths; nothing stated is 1000; what is malformed is no wish at all.
fn weight(parameters: &str) -> Option<u16> {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some(1000);
    }
    let value: f32 =
        parameters.strip_prefix("q=").or_else(|| parameters.strip_prefix("Q="))?.trim().parse().ok()?;
    (0.0..=1.0).contains(&value).then_some((value * 1000.0) as u16)
}

/// The language of exactly this tag, or of its primary subtag: `fr-CA` finds `fr`. (`fr` does not find `fr-CA`: an
/// operator who adds a regional variant wants it only where it was asked for.)
fn find<'l>(available: &'l [Language], tag: &str) -> Option<&'l Language> {
    let is = |wanted: &str| available.iter().find(|language| language.as_str().eq_ignore_ascii_case(wanted));
    is(tag).or_else(|| is(tag.split(['-', '_']).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By query, by cookie, by `Accept-Language`.
    type Asked = Option<&'static str>;

    fn available() -> Vec<Language> {
        ["en", "fr", "pt-BR"].map(Language::new).to_vec()
    }

    #[test]
    fn the_visitors_wish_is_heard_in_order() {
        #[rustfmt::skip]
        let table: &[(&str, Asked, Asked, Asked, Option<&str>)] = &[
            ("nothing asked",                None,            None,       None,                          None),
            ("the query wins",               Some("fr"),      Some("en"), Some("en"),                    Some("fr")),
            ("the cookie is next",           None,            Some("fr"), Some("en"),                    Some("fr")),
            ("an unknown query falls back",  Some("tlh"),     Some("fr"), Some("en"),                    Some("fr")),
            ("an unknown cookie falls back", None,            Some("zz"), Some("fr"),                    Some("fr")),
            ("an empty query is none",       Some(""),        None,       Some("fr"),                    Some("fr")),
            ("a region finds its language",  Some("fr-CA"),   None,       None,                          Some("fr")),
            ("underscores as in locales",    Some("fr_CA"),   None,       None,                          Some("fr")),
            ("case does not matter",         Some("FR"),      None,       None,                          Some("fr")),
            ("a regional variant",           None,            None,       Some("pt-BR"),                 Some("pt-BR")),
            ("not unasked",                  None,            None,       Some("pt, fr;q=0.5"),          Some("fr")),
            ("a typical browser",            None,            None,       Some("fr-CA,fr;q=0.9,en;q=0.8"), Some("fr")),
            ("weights, not places",          None,            None,       Some("en;q=0.3, fr;q=0.7"),    Some("fr")),
            ("equal weights keep places",    None,            None,       Some("fr, en"),                Some("fr")),
            ("q=0 is a refusal",             None,            None,       Some("fr;q=0, en;q=0.1"),      Some("en")),
            ("only refusals",                None,            None,       Some("fr;q=0"),                None),
            ("the star wants nothing",       None,            None,       Some("*"),                     None),
            ("unknown ones are skipped",     None,            None,       Some("de, it;q=0.9, fr;q=0.1"), Some("fr")),
            ("a malformed weight is skipped", None,           None,       Some("fr;q=high, en;q=0.2"),   Some("en")),
            ("a weight out of range",        None,            None,       Some("fr;q=7, en;q=0.2"),      Some("en")),
            ("not a number",                 None,            None,       Some("fr;q=NaN, en;q=0.2"),    Some("en")),
            ("empty list",                   None,            None,       Some(""),                      None),
            ("hostile",                      Some("\"><script>"), Some("\r\n"), Some(";;;,,q=,\u{0}"),   None),
        ];
        let available = available();
        for (name, query, cookie, accept, expected) in table {
            let found = negotiate(&available, *query, *cookie, *accept).map(Language::as_str);
            assert_eq!(found, *expected, "{name}");
        }
    }

    #[test]
    fn the_cookie_is_plain_and_secure_on_https() {
        let french = Language::new("fr");
        assert_eq!(
            french.cookie(false),
            "lychgate-lang=fr; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
        );
        assert!(french.cookie(true).ends_with("; Secure"));
    }

    proptest! {
        #[test]
        fn any_header_gives_one_of_the_languages_or_none(list in ".*", cookie in ".*") {
            let available = available();
            if let Some(language) = negotiate(&available, None, Some(&cookie), Some(&list)) {
                prop_assert!(available.contains(language));
            }
        }
    }
}
