//! What a request says about itself.

use super::shown;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use lychgate::admit::{CanonicalPath, PublicHost};
use lychgate::gate::Next;
use lychgate::session::cookie;

/// A path: canonical is canonical again, and names the same page to who decodes the path as it came, as Zope does.
pub fn path(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let again = CanonicalPath::parse(path.as_str()).expect("what is canonical is a path");
    assert_eq!(again.as_str(), path.as_str(), "twice is not once");
    assert!(
        path.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{}|?#[]".contains(&byte)),
        "{path:?}"
    );
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path.as_str()).collect();
    assert_eq!(shown(&decoded), shown(path.decoded()), "decided on other bytes than are forwarded");
    let (ours, came) = (zope(path.as_str()), zope(raw));
    assert_eq!(ours, came, "Zope would have found another page");
    assert_eq!(
        ours,
        path.segments().map(shown).collect::<Vec<_>>(),
        "Zope finds another page than was decided on"
    );
}

/// The way Zope takes: decoded once, cut at slashes, without empty segments and dots, back at two dots.
fn zope(path: &str) -> Vec<String> {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(path).collect();
    let mut way = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                way.pop();
            }
            segment => way.push(shown(segment)),
        }
    }
    way
}

/// Where to go after signing in: a browser that follows it stays on the host, and in the site; read again it is the same.
pub fn next(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for (site, page) in [
        ("", "https://www.example.org/_gate/login"),
        ("/portal", "https://www.example.org/portal/_gate/login"),
    ] {
        let Some(next) = Next::parse(text, site) else { continue };
        let page: url::Url = page.parse().unwrap();
        let landed = page.join(next.as_str()).expect("an address");
        assert_eq!(landed.origin(), page.origin(), "{next:?}");
        assert!((landed.username(), landed.password()) == ("", None), "{next:?}");
        assert!(landed.path() == site || landed.path().starts_with(&format!("{site}/")), "{next:?}");
        assert!(HeaderValue::from_str(next.as_str()).is_ok(), "{next:?}");
        // As it comes back from the sign-in form; it may have become too long by being encoded.
        if let Some(again) = Next::parse(next.as_str(), site) {
            assert_eq!(again, next);
        }
    }
}

/// A host: what is read of it reads the same again, and as any reader of URLs reads it.
pub fn host(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(host) = PublicHost::parse(text) else { return };
    let written = format!("{host:?}");
    assert_eq!(PublicHost::parse(&written).as_ref(), Some(&host), "{written} is not read as it is written");
    assert!(
        host.name().bytes().all(|byte| byte.is_ascii_graphic() && !b"/@?#%\\ \"<>".contains(&byte)),
        "{written}"
    );
    assert_eq!(host.name(), host.name().to_ascii_lowercase());
    if let Ok(url) = url::Url::parse(&format!("http://{text}/")) {
        assert_eq!(url.port_or_known_default(), Some(host.port().unwrap_or(80)), "{written}");
        if let Some(url::Host::Domain(name)) = url.host() {
            // Punycode that means nothing is refused, and numbers are addresses: neither is a domain here.
            assert_eq!(name.strip_suffix('.').unwrap_or(name), host.name());
        }
    }
}

/// A Cookie field: what is stripped for the backend holds no cookie of the gate's and none that signs in, however it is cut; and
/// is as it came if there was none.
pub fn cookie(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let fields = HeaderMap::from_iter([(COOKIE, value.clone())]);
    let is_sign_in = |name: &[u8]| name.eq_ignore_ascii_case(b"__ac");
    let Some(stripped) = cookie::strip(&fields, is_sign_in) else { return };
    let kept = HeaderMap::from_iter([(COOKIE, stripped.clone())]);
    assert_eq!(cookie::strip(&kept, is_sign_in).as_ref(), Some(&stripped), "twice is not once");
    for name in ["lychgate", "__Host-lychgate", "lychgate-form", "__ac"] {
        assert!(
            cookie::values(&kept, name).next().is_none(),
            "{name} is left in {}",
            shown(stripped.as_bytes())
        );
        assert!(
            !zope_reads(stripped.as_bytes(), name),
            "Zope finds {name} in {}",
            shown(stripped.as_bytes())
        );
    }
    let text = data.to_ascii_lowercase();
    let has = |word: &str| text.windows(word.len()).any(|window| window == word.as_bytes());
    if !has("lychgate") && !has("__ac") {
        assert_eq!(stripped, value, "nothing was to be stripped");
    }
}

/// Whether `name=` begins at the start, or behind anything that some version of Zope or Python takes for the end of a cookie.
fn zope_reads(text: &[u8], name: &str) -> bool {
    text.split(|byte| b";, \t\"".contains(byte)).any(|piece| {
        let (found, rest) = piece.split_at(piece.iter().position(|byte| *byte == b'=').unwrap_or(0));
        !rest.is_empty() && found.eq_ignore_ascii_case(name.as_bytes())
    })
}
