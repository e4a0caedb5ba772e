//! The CMS's own sign-in cookies: kept on this side, never handed to the browser.

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderValue;
use serde::{Deserialize, Deserializer, de};

use crate::secret::Secret;

/// Which cookies and fields sign a request in at the CMS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialRules {
    /// Names of the cookies that are someone's sign-in; `*` at one end stands for anything.
    cookies: Vec<CookieName>,
    /// Values that a cookie gets when it is taken away. An empty value, `Max-Age=0` and an `Expires` long past always mean it.
    #[serde(default)]
    cleared: Vec<String>,
    /// Names of fields that sign in any request that has them, in its query or its body.
    #[serde(default)]
    pub(super) fields: Vec<String>,
    /// Names of members that, all of them in one JSON object, sign in any request whose body that is.
    #[serde(default)]
    members: Vec<String>,
}

impl CredentialRules {
    /// Whether a cookie of this name, coming from a browser, must not reach the CMS. That includes the names
    /// of the fields: a CMS that reads fields, query and cookies as one takes a cookie for the field. And every spelling that
    /// some CMS takes for one: PHP decodes `%` in names (before 8.0), reads `.`, blanks and `[` as `_` and not at all what is before or behind (see
    /// [`super::fields::is_read_as`]); ASP.NET minds no case.
    pub fn is_credential_cookie(&self, name: &str) -> bool {
        let folded = folded(name);
        self.cookies.iter().any(|cookie| cookie.folded().is(&folded))
            || self.fields.iter().any(|field| self::folded(field) == folded)
    }

    /// The names of the fields that sign in any request that has them.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The names of the members that together sign in any request whose body is an object in JSON that has them.
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Reads a `Set-Cookie` of the CMS, if it is about one of its sign-in cookies.
    pub(super) fn read(&self, header: &HeaderValue) -> Option<SetCookie> {
        self.read_any(header).filter(|cookie| self.is_own(&cookie.name))
    }

    /// The same of any cookie.
    pub(super) fn read_any(&self, header: &HeaderValue) -> Option<SetCookie> {
        let (name, value, gone) = parse(header)?;
        let bare = value.trim_matches('"');
        let cleared = gone || bare.is_empty() || self.cleared.iter().any(|c| c == bare);
        Some(SetCookie { name, value: (!cleared).then(|| Secret::new(value)) })
    }

    fn is_own(&self, name: &str) -> bool {
        self.cookies.iter().any(|cookie| cookie.is(name))
    }
}

fn folded(name: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let plain = decoded.trim_start_matches(' ').split('\0').next().unwrap_or_default();
    plain.to_ascii_lowercase().replace(['.', ' ', '['], "_")
}

/// The name of a cookie, or its beginning or end, where the CMS makes the rest up (`SSESS*`, `*_session`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CookieName {
    Whole(String),
    Begins(String),
    Ends(String),
}

impl CookieName {
    fn folded(&self) -> Self {
        match self {
            Self::Whole(whole) => Self::Whole(folded(whole)),
            Self::Begins(start) => Self::Begins(folded(start)),
            Self::Ends(end) => Self::Ends(folded(end)),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Self::Whole(whole) => whole == name,
            Self::Begins(start) => name.starts_with(start.as_str()),
            Self::Ends(end) => name.ends_with(end.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for CookieName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let fixed = written.trim_matches('*');
        let token = !fixed.is_empty()
            && fixed.bytes().all(|b| b.is_ascii_graphic() && !b"*()<>@,;:\\\"/[]?={}".contains(&b));
        match (token, written.strip_suffix('*'), written.strip_prefix('*')) {
            (true, None, None) => Ok(Self::Whole(written)),
            (true, Some(start), None) if start == fixed => Ok(Self::Begins(start.to_owned())),
            (true, None, Some(end)) if end == fixed => Ok(Self::Ends(end.to_owned())),
            _ => Err(de::Error::custom(format!(
                "`{written}` is no name of a cookie; `*` may stand at its beginning or at its end"
            ))),
        }
    }
}

/// A sign-in cookie of the CMS in an answer: its value, or none when it was cleared.
#[derive(Clone, Debug)]
pub(super) struct SetCookie {
    pub name: String,
    pub value: Option<Secret>,
}

/// Before this moment (September 2001, the billionth second) no cookie is meant to be kept: an `Expires` there takes it away.
const LONG_PAST: i64 = 1_000_000_000;

/// The name, the value as written (quotes and all: they are part of what the CMS wants back) and whether `Max-Age` or `Expires`
/// of a `Set-Cookie` takes it away (RFC 6265, section 5.2; the first has precedence).
pub(super) fn parse(header: &HeaderValue) -> Option<(String, String, bool)> {
    let text = header.to_str().ok()?;
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let attribute = |wanted: &str| {
        parts.clone().rev().find_map(|part| {
            let (key, value) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let max_age = attribute("max-age").and_then(|age| age.parse::<i64>().ok());
    let expires = || {
        let date = attribute("expires")?;
        let parsed = cookie::Cookie::parse(format!("x=; Expires={date}")).ok()?;
        parsed.expires_datetime().map(|moment| moment.unix_timestamp())
    };
    let gone = match max_age {
        Some(age) => age <= 0,
        None => expires().is_some_and(|moment| moment < LONG_PAST),
    };
    let name = name.trim();
    (!name.is_empty()).then(|| (name.to_owned(), value.trim().to_owned(), gone))
}

/// The CMS's sign-in cookies of one session. Values are never shown; the bytes are for sealing only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeptCookies(BTreeMap<String, Secret>);

/// What a `Set-Cookie` did to the kept cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The CMS set or refreshed its sign-in: store it again, keep it from the browser.
    Updated,
    /// The CMS took its sign-in away.
    Cleared,
    /// Some other cookie: the browser may have it.
    NotOurs,
}

impl KeptCookies {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a `Cookie` header that hands all of them back, marked as sensitive; `None` if there are none.
    pub fn to_cookie_header(&self) -> Option<HeaderValue> {
        Self::cookie_header(self.to_bytes().expose().as_bytes())
    }

    /// The same from what [`Self::to_bytes`] made, which costs no parsing: it happens with every request.
    pub fn cookie_header(bytes: &[u8]) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_bytes(bytes).ok().filter(|header| !header.is_empty())?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Takes in what an answer of the CMS sets or clears.
    pub fn apply_set_cookie(&mut self, rules: &CredentialRules, header: &HeaderValue) -> Change {
        match rules.read(header) {
            Some(set) => self.apply(set),
            None => Change::NotOurs,
        }
    }

    pub(super) fn apply(&mut self, set: SetCookie) -> Change {
        match set.value {
            Some(value) => {
                self.0.insert(set.name, value);
                Change::Updated
            }
            None => {
                self.0.remove(&set.name);
                Change::Cleared
            }
        }
    }

    /// As bytes, to be sealed and stored: `name=value; name=value`, as a `Cookie` header has them.
    pub fn to_bytes(&self) -> Secret {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={}", value.expose()));
        Secret::new(pairs.collect::<Vec<_>>().join("; "))
    }

    /// From [`Self::to_bytes`]; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let pairs = text.split("; ").filter(|pair| !pair.is_empty());
        let pair =
            |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), Secret::new(value)));
        pairs.map(pair).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Debug for KeptCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> CredentialRules {
        CredentialRules {
            cookies: vec![CookieName::Whole("__ac".to_owned())],
            cleared: vec!["deleted".to_owned()],
            fields: vec!["__ac_name".to_owned()],
            ..CredentialRules::default()
        }
    }

    #[test]
    fn the_own_cookie_is_told_from_others_and_from_its_own_removal() {
        for (name, header, change) in [
            ("6.0 signed in", "__ac=x9JH0K%2Babc; Path=/; HttpOnly; SameSite=Lax", Change::Updated),
            ("4.3 signed in", "__ac=\"NmE2NDZm\"; Path=/; HTTPOnly", Change::Updated),
            ("refresh", "__ac=y; Path=/; Max-Age=7200", Change::Updated),
            (
                "6.0 signed out",
                "__ac=deleted; Path=/; Max-Age=0; Expires=Wed, 31 Dec 1997 23:59:59 GMT",
                Change::Cleared,
            ),
            (
                "4.3 signed out",
                "__ac=\"deleted\"; Path=/; Expires=Wed, 31-Dec-97 23:59:59 GMT; Max-Age=0",
                Change::Cleared,
            ),
            ("4.3 without Max-Age", "__ac=\"deleted\"; Path=/", Change::Cleared),
            ("long past", "__ac=x; Expires=Tue, 01-Jan-1980 01:00:00 GMT; Path=/", Change::Cleared),
            ("far ahead", "__ac=x; Expires=Fri, 01 Jan 2035 01:00:00 GMT; Path=/", Change::Updated),
            ("Max-Age counts", "__ac=x; Expires=Tue, 01 Jan 1980 01:00:00 GMT; Max-Age=60", Change::Updated),
            ("empty", "__ac=; Path=/", Change::Cleared),
            ("empty and quoted", "__ac=\"\"", Change::Cleared),
            ("another cookie", "statusmessages=deleted; Path=/", Change::NotOurs),
            ("a longer name", "__ac_name=jdoe", Change::NotOurs),
            ("another case", "__AC=x", Change::NotOurs),
            ("no pair", "__ac", Change::NotOurs),
        ] {
            let mut kept = KeptCookies::default();
            kept.apply(SetCookie { name: "__ac".to_owned(), value: Some(Secret::new("old")) });
            let was = kept.apply_set_cookie(&rules(), &HeaderValue::from_str(header).unwrap());
            assert_eq!(was, change, "{name}");
            assert_eq!(kept.is_empty(), change == Change::Cleared, "{name}");
        }
    }

    #[test]
    fn quotes_go_back_as_they_came_and_the_value_is_never_shown() {
        let mut kept = KeptCookies::default();
        kept.apply_set_cookie(&rules(), &HeaderValue::from_static("__ac=\"NmE2=\"; Path=/"));
        assert_eq!(kept.to_cookie_header().unwrap().to_str().unwrap(), "__ac=\"NmE2=\"");
        assert!(kept.to_cookie_header().unwrap().is_sensitive());
        assert_eq!(format!("{kept:?}"), "[\"__ac\"]");
        assert_eq!(KeptCookies::from_bytes(kept.to_bytes().expose().as_bytes()), Some(kept));
        assert_eq!(KeptCookies::from_bytes(b"nonsense"), None);
        assert_eq!(KeptCookies::default().to_cookie_header(), None);
    }

    #[test]
    fn a_cookie_named_like_a_credential_field_is_a_credential_too() {
        let rules = rules();
        assert!(rules.is_credential_cookie("__ac") && rules.is_credential_cookie("__ac_name"));
        assert!(!rules.is_credential_cookie("I18N_LANGUAGE"));
        for spelling in ["__AC", "%20__ac", "__ac%00x", "%5F_ac", "_.ac", "_ ac", "_[ac", "__ac%5fname"] {
            assert!(rules.is_credential_cookie(spelling), "{spelling}");
        }
    }

    #[test]
    fn a_star_stands_for_what_the_cms_makes_up() {
        #[derive(Deserialize)]
        struct Written {
            name: CookieName,
        }
        let name = |written: &str| toml::from_str::<Written>(&format!("name = '{written}'")).map(|w| w.name);
        for (written, cookie, is) in [
            ("SSESS*", "SSESS0123", true),
            ("SSESS*", "XSSESS0123", false),
            ("*_session", "wiki_session", true),
            ("*_session", "wiki_session2", false),
            ("sid", "sid", true),
            ("sid", "sid2", false),
        ] {
            assert_eq!(name(written).unwrap().is(cookie), is, "{written} {cookie}");
        }
        for wrong in ["", "*", "**", "a*b", "*a*", "a b", "a=b"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
