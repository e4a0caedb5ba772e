//! The gate's cookies: writing them, reading them strictly, and keeping them from the backend.
//!
//! Defends against: cookies of a sibling host (the `__Host-` prefix on https), scripts that read them
//! (HttpOnly), other sites that send them along (SameSite=Lax), a Cookie header that crashes its reader
//! (CVE-2023-28625, CVE-2024-24814), and a CMS that finds a cookie where the gate saw none (see [`strip`]).

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The cookies that are the gate's own. (The one that remembers a language is `pages`' affair, and no secret.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `lychgate`: who is signed in.
    Session,
    /// `lychgate-form`: which browser a form was shown to.
    Form,
    /// `lychgate-last`: whose session it was; see [`crate::held::LastUser`].
    Last,
    /// `lychgate-reset`: the token of a reset link that was opened.
    Reset,
    /// `lychgate-browser`: which accounts this browser is known to.
    Browser,
}

/// What the gate's cookies are called at one site.
///
/// Cookies belong to a host name: neither port nor scheme keeps them apart, and a path does so only downwards. So where several
/// sites have one host name, each one's cookies carry the site's name: `__Host-lychgate.intra`, `__Host-lychgate-form.intra`. A
/// `Path` in their place would cost the prefix, which forbids one, and with it the certainty that nobody but this host has
/// set the cookie; and the cookie of a site at `/` would still go to one at `/intra`. Names of sites have no dot in
/// them ([`crate::config`]), so no two cookies are called alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    secure: bool,
    session: String,
    form: String,
    last: String,
    reset: String,
    browser: String,
}

impl Names {
    /// For a site that browsers reach by https (`secure`) or by http; `site` is its name, if it shares its host with others.
    /// Browsers refuse a `__Host-` cookie that is not Secure, and nobody but this very host can set one.
    pub fn new(secure: bool, site: Option<&str>) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        let site = site.map(|site| format!(".{site}")).unwrap_or_default();
        let name = |kind: &str| format!("{prefix}lychgate{kind}{site}");
        Self {
            secure,
            session: name(""),
            form: name("-form"),
            last: name("-last"),
            reset: name("-reset"),
            browser: name("-browser"),
        }
    }

    /// The name of one of them.
    pub fn of(&self, name: Name) -> &str {
        match name {
            Name::Session => &self.session,
            Name::Form => &self.form,
            Name::Last => &self.last,
            Name::Reset => &self.reset,
            Name::Browser => &self.browser,
        }
    }
}

/// What a cookie's value may not hold (RFC 6265, section 4.1.1), and the sign that spells it.
const NOT_IN_VALUES: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b',').add(b';').add(b'\\').add(b'%');

/// A Set-Cookie value: HttpOnly, SameSite=Lax, Path=/, Secure if the site is; it lasts as long as the
/// browser runs, or for `max_age`. Bytes of `value` that a cookie cannot hold are percent-encoded.
#[expect(clippy::expect_used)] // Names and attributes are ASCII, and so is an encoded value.
pub fn set(name: Name, names: &Names, value: &str, max_age: Option<Duration>) -> HeaderValue {
    let value = utf8_percent_encode(value, NOT_IN_VALUES).to_string();
    let mut cookie = cookie::Cookie::build((names.of(name), value))
        .path("/")
        .http_only(true)
        .same_site(cookie::SameSite::Lax)
        .secure(names.secure)
        .build();
    cookie.set_max_age(
        max_age
            .map(|span| cookie::time::Duration::seconds(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))),
    );
    let mut header = HeaderValue::try_from(cookie.to_string()).expect("only ASCII");
    header.set_sensitive(true);
    header
}

/// A Set-Cookie value that makes the browser forget the cookie.
pub fn clear(name: Name, names: &Names) -> HeaderValue {
    set(name, names, "", Some(Duration::ZERO))
}

/// Every pair of every Cookie line, in order, without copying. What stands before the first `=` is the
/// name; a piece without `=` is a value without a name, as browsers send it.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(headers).map(|piece| match memchr::memchr(b'=', piece).and_then(|at| piece.split_at_checked(at)) {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii()),
        None => (&b""[..], piece.trim_ascii()),
    })
}

/// The values of every cookie with exactly this name, in order.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    pairs(headers).filter(move |(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// The Cookie header for the backend: without the gate's own cookies and without those whose name `drop`
/// likes, all others byte for byte and in order; several lines become one (RFC 9113, section 8.2.3).
/// `None` if nothing is left.
///
/// CMSs are laxer than browsers in what they take for the end of a cookie: Zope also splits at commas and
/// after quotes, Django trims more than spaces. So a piece goes if *anything* in it reads as `name=`.
pub fn strip(headers: &HeaderMap, drop: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let goes = |piece: &[u8]| names_within(piece).any(|name| is_ours(name) || drop(name));
    let mut lines = headers.get_all(COOKIE).iter();
    if let (Some(only), None) = (lines.next(), lines.next())
        && !pieces(headers).any(goes)
    {
        return Some(only.clone());
    }
    let mut left = Vec::new();
    for line in headers.get_all(COOKIE) {
        let mut first_of_line = true;
        for piece in line.as_bytes().split(|byte| *byte == b';').filter(|piece| !goes(piece)) {
            if left.is_empty() {
                left.extend_from_slice(piece.trim_ascii_start());
            } else if first_of_line {
                left.extend_from_slice(b"; ");
                left.extend_from_slice(piece.trim_ascii_start());
            } else {
                left.push(b';');
                left.extend_from_slice(piece);
            }
            first_of_line = false;
        }
    }
    if left.trim_ascii().is_empty() {
        return None;
    }
    let mut header = HeaderValue::from_bytes(&left).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn pieces(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
}

/// Whether a cookie of this name is the gate's own, at whichever site: `lychgate`, `lychgate-…`, `lychgate.…`, and all with the
/// prefix, in any case. No backend is told of one, and none may set one: it would be another site's just as well.
pub fn is_ours(name: &[u8]) -> bool {
    let name = match name.split_at_checked(b"__Host-".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"__Host-") => rest,
        _ => name,
    };
    match name.split_at_checked(b"lychgate".len()) {
        Some((base, rest)) => {
            base.eq_ignore_ascii_case(b"lychgate") && matches!(rest.first(), None | Some(b'-' | b'.'))
        }
        None => false,
    }
}

/// Whatever any reader could take for a name in a piece of a Cookie header: each run of token characters
/// (RFC 9110, section 5.6.2) before a `=`, and all that stands before the first.
fn names_within(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = memchr::memchr(b'=', piece).and_then(|at| piece.get(..at)).map(<[u8]>::trim_ascii);
    let runs = memchr::memchr_iter(b'=', piece).filter_map(|at| {
        let before = piece.get(..at)?.trim_ascii_end();
        let start = before.iter().rposition(|byte| !is_token(*byte)).map_or(0, |at| at + 1);
        before.get(start..)
    });
    runs.chain(whole)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
