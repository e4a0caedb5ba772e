//! Forms that only our own pages can send: tokens, and the headers that tell where a post comes from.
//!
//! Each browser gets a random cookie; each form carries a code over that cookie, the form's name and the
//! time. A page of another site knows neither and can make no token. Works before anyone is signed in,
//! which protects the sign-in form itself (a stranger signing a victim in as himself), and needs no memory.
//!
//! Called by the pages for every form they show and every post they take. Both checks must pass:
//! [`check_origin`] stops what a browser itself says comes from elsewhere, [`check`] all the rest.
//!
//! Defends against: login, logout and reset forged from another site (THREATS C10; LemonLDAP::NG
//! CVE-2024-52948). On http a sibling host can set our cookie; then there are two, and both are refused.
//! Does not defend against script on our own pages.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::random::{self, Random};
use crate::seal::Sealer;
use crate::session::cookie::{self, Name};

/// How long a form may lie open: as long as a session lasts by default, so over a working day.
pub const MAX_AGE: Duration = Duration::from_secs(12 * 3_600);

const PURPOSE: &str = "form token";
const COOKIE_BYTES: usize = 16;
const CODE_BYTES: usize = 32;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What marks a browser: 128 random bits, 22 characters of base64url in the cookie `lychgate-form`.
#[derive(Clone, PartialEq, Eq)]
pub struct FormCookie([u8; COOKIE_BYTES]);

impl FormCookie {
    /// A new one, for a browser that has none.
    pub fn random(random: &dyn Random) -> Self {
        Self(random::bytes(random))
    }

    /// The one a request carries; `None` if it has none, or several that differ.
    pub fn find(headers: &HeaderMap, names: &cookie::Names) -> Option<Self> {
        let mut found = cookie::values(headers, names.of(Name::Form)).map(Self::parse);
        let first = found.next()??;
        found.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// The Set-Cookie value that gives it to the browser; it lasts as long as the browser runs.
    pub fn set(&self, names: &cookie::Names) -> HeaderValue {
        cookie::set(Name::Form, names, &URL_SAFE_NO_PAD.encode(self.0), None)
    }

    /// What is stored in its place: the SHA-256 of it. No salt is needed: nobody can try 128 random bits.
    pub fn key(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    fn parse(value: &[u8]) -> Option<Self> {
        decode(value).map(Self)
    }
}

impl std::fmt::Debug for FormCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[form cookie]")
    }
}

/// The token for `form` as shown `now` to the browser with `cookie`: 54 characters of base64url.
pub fn token(sealer: &Sealer, cookie: &FormCookie, form: &str, now: Timestamp) -> String {
    let time = now.as_millis().to_be_bytes();
    let code = sealer.mac(PURPOSE, &signed(cookie, form, time));
    URL_SAFE_NO_PAD.encode([&time[..], &code].concat())
}

/// Whether `token` was made for `form` and the browser with `cookie`, no longer ago than [`MAX_AGE`].
///
/// # Errors
/// With the reason; show the form again in every case.
pub fn check(
    sealer: &Sealer,
    cookie: &FormCookie,
    form: &str,
    token: &str,
    now: Timestamp,
) -> Result<(), TokenError> {
    let bytes: [u8; 8 + CODE_BYTES] = decode(token.as_bytes()).ok_or(TokenError::Forged)?;
    let (time, code) = bytes.split_first_chunk().ok_or(TokenError::Forged)?;
    if !sealer.verify_mac(PURPOSE, &signed(cookie, form, *time), code) {
        return Err(TokenError::Forged);
    }
    let made = Timestamp::from_millis(i64::from_be_bytes(*time));
    // A clock set back leaves tokens from ahead; they age in both directions.
    if now.since(made) > MAX_AGE || made.since(now) > MAX_AGE {
        return Err(TokenError::Old);
    }
    Ok(())
}

/// Why a token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not made by this gate for this form and browser.
    #[error("the form was not shown to this browser by this gate")]
    Forged,
    /// Made by us, but too long ago.
    #[error("the form lay open for too long")]
    Old,
}

/// Whether a post comes from our own pages, as far as the browser tells (Fetch Metadata; RFC 6454).
///
/// `public_origin` is the site's public URL as browsers serialise it: lower case, no default port, no
/// path. A browser that tells nothing passes: it is old, or no browser; the token decides. So does `Origin: null`,
/// which browsers send for the gate's own pages, because those name themselves to nobody (`Referrer-Policy:
/// no-referrer`): where browsers send `Sec-Fetch-Site`, on https and to localhost, that has told by then.
///
/// # Errors
/// With what the browser said.
pub fn check_origin(headers: &HeaderMap, public_origin: &str) -> Result<(), ForeignPost> {
    match only(headers, &SEC_FETCH_SITE) {
        Ok(None | Some(b"same-origin" | b"none")) => {}
        _ => return Err(ForeignPost::Site),
    }
    match only(headers, &ORIGIN) {
        Ok(None | Some(b"null")) => Ok(()),
        Ok(Some(origin)) if origin == public_origin.as_bytes() => Ok(()),
        _ => Err(ForeignPost::Origin),
    }
}

/// A post that another site has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignPost {
    /// Sec-Fetch-Site says so, or is sent twice.
    #[error("the browser says that another site has sent this form (Sec-Fetch-Site)")]
    Site,
    /// Origin is another one, hidden, or sent twice.
    #[error("the browser says that another origin has sent this form (Origin)")]
    Origin,
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
        _ => Err(()),
    }
}

/// Cookie and time have fixed lengths, so no two forms sign the same bytes.
fn signed(cookie: &FormCookie, form: &str, time: [u8; 8]) -> Vec<u8> {
    [&cookie.0[..], &time, form.as_bytes()].concat()
}

/// Exactly `N` bytes in their only spelling.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // Longer text is not worth decoding: four characters make three bytes.
    if text.len() > N.div_ceil(3) * 4 {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::header::COOKIE;
    use proptest::prelude::*;

    use super::*;
    use crate::random::SystemRandom;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn sealer(secret: &str) -> Sealer {
        Sealer::new(&Secret::new(secret), &[], Arc::new(SystemRandom))
    }

    #[test]
    fn a_token_is_good_for_its_form_browser_and_time_only() {
        let ours = sealer("ours");
        let (cookie, other) = (FormCookie([1; 16]), FormCookie([2; 16]));
        let fresh = token(&ours, &cookie, "login", NOW);
        let flipped = format!("{}{}", &fresh[..53], if fresh.ends_with('A') { 'E' } else { 'A' });
        let millisecond = Duration::from_millis(1);
        let past = |span: Duration| {
            token(&ours, &cookie, "login", Timestamp::from_millis(NOW.as_millis() - span.as_millis() as i64))
        };
        let (forged, old) = (Err(TokenError::Forged), Err(TokenError::Old));
        for (name, cookie, form, token, outcome) in [
            ("fresh", &cookie, "login", fresh.clone(), Ok(())),
            ("another form", &cookie, "logout", fresh.clone(), forged),
            ("another browser", &other, "login", fresh.clone(), forged),
            ("another gate", &cookie, "login", token(&sealer("theirs"), &cookie, "login", NOW), forged),
            ("one bit off", &cookie, "login", flipped, forged),
            ("cut", &cookie, "login", fresh[..53].to_owned(), forged),
            ("longer", &cookie, "login", format!("{fresh}A"), forged),
            ("empty", &cookie, "login", String::new(), forged),
            ("huge", &cookie, "login", "A".repeat(1_000_000), forged),
            ("just not old", &cookie, "login", past(MAX_AGE), Ok(())),
            ("old", &cookie, "login", past(MAX_AGE + millisecond), old),
            (
                "clock set back a little",
                &cookie,
                "login",
                token(&ours, &cookie, "login", NOW.after(MAX_AGE)),
                Ok(()),
            ),
            (
                "clock set back a lot",
                &cookie,
                "login",
                token(&ours, &cookie, "login", NOW.after(MAX_AGE + millisecond)),
                old,
            ),
        ] {
            assert_eq!(check(&ours, cookie, form, &token, NOW), outcome, "{name}");
        }
        assert_eq!(fresh.len(), 54);
    }

    #[test]
    fn tokens_outlive_a_new_secret() {
        let cookie = FormCookie::random(&SystemRandom);
        let before = token(&sealer("old"), &cookie, "login", NOW);
        let both = Sealer::new(&Secret::new("new"), &[Secret::new("old")], Arc::new(SystemRandom));
        assert_eq!(check(&both, &cookie, "login", &before, NOW), Ok(()));
    }

    #[test]
    fn the_cookie_is_found_if_there_is_one_and_only_one() {
        let (http, https) = (cookie::Names::new(false, None), cookie::Names::new(true, None));
        let a = FormCookie([1; 16]).set(&http);
        let a = a.to_str().unwrap().split(';').next().unwrap().to_owned();
        let b = FormCookie([2; 16]).set(&http);
        let b = b.to_str().unwrap().split(';').next().unwrap().to_owned();
        for (name, line, found) in [
            ("one", a.clone(), true),
            ("among others", format!("x=1; {a}; lychgate=2"), true),
            ("the same twice", format!("{a}; {a}"), true),
            ("two", format!("{a}; {b}"), false),
            ("one and garbage", format!("{a}; lychgate-form=x"), false),
            ("garbage", "lychgate-form=x".to_owned(), false),
            ("none", "x=1".to_owned(), false),
            ("too long", format!("{a}A"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_str(&line).unwrap());
            assert_eq!(FormCookie::find(&headers, &http).is_some(), found, "{name}");
            assert_eq!(FormCookie::find(&headers, &https), None, "{name}, but https has its own");
        }
        assert_eq!(format!("{:?}", FormCookie([1; 16])), "[form cookie]");
    }

    #[test]
    fn what_browsers_say_of_a_post_is_believed() {
        const OURS: &str = "https://intranet.example";
        let (site, origin) = (Err(ForeignPost::Site), Err(ForeignPost::Origin));
        type Row = (&'static str, &'static [&'static str], &'static [&'static str], Result<(), ForeignPost>);
        let rows: &[Row] = &[
            ("our page", &["same-origin"], &[OURS], Ok(())),
            ("our page, which hides where it is", &["same-origin"], &["null"], Ok(())),
            ("typed or bookmarked", &["none"], &[], Ok(())),
            ("another site", &["cross-site"], &["https://evil.example"], site),
            ("another site, hidden", &["cross-site"], &["null"], site),
            ("a sibling host", &["same-site"], &["https://wiki.example"], site),
            ("something new", &["same-party"], &[OURS], site),
            ("other case", &["Same-Origin"], &[OURS], site),
            ("empty", &[""], &[OURS], site),
            ("contradiction", &["same-origin"], &["https://evil.example"], origin),
            ("vouched for twice", &["same-origin", "same-origin"], &[OURS], site),
            ("old browser, our page", &[], &[OURS], Ok(())),
            ("old browser, another site", &[], &["https://evil.example"], origin),
            (
                "old browser, or plain http: our page, or another, hidden: the token tells",
                &[],
                &["null"],
                Ok(()),
            ),
            ("no browser", &[], &[], Ok(())),
            ("http for https", &[], &["http://intranet.example"], origin),
            ("another port", &[], &["https://intranet.example:8443"], origin),
            ("a longer host", &[], &["https://intranet.example.evil.example"], origin),
            ("with a path", &[], &["https://intranet.example/"], origin),
            ("two origins", &[], &[OURS, "https://evil.example"], origin),
            ("a list", &[], &["https://intranet.example https://evil.example"], origin),
            ("empty origin", &[], &[""], origin),
        ];
        for (name, sites, origins, outcome) in rows {
            let mut headers = HeaderMap::new();
            for value in *sites {
                headers.append(SEC_FETCH_SITE, HeaderValue::from_static(value));
            }
            for value in *origins {
                headers.append(ORIGIN, HeaderValue::from_static(value));
            }
            assert_eq!(check_origin(&headers, OURS), *outcome, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_token_unless_it_was_made(text in "\\PC{0,60}") {
            prop_assert!(check(&sealer("ours"), &FormCookie([1; 16]), "login", &text, NOW).is_err());
        }
    }
}
