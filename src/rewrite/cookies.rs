//! Cookies that the backend sets, put right for the public address.

use super::origins::Origins;
use http::HeaderValue;

/// Maps one `Set-Cookie` value: `Domain` is dropped (the cookie is for the public host alone, whatever the backend calls
/// itself), `Path` changes from the internal prefix to the public one, `Secure` is set exactly if the public address is
/// https, and `SameSite=None`, which browsers refuse without it, becomes `Lax` there. All else stays byte for byte, but for
/// internal addresses. `None` if there is no cookie in the value.
pub fn set_cookie(origins: &Origins, value: &HeaderValue) -> Option<HeaderValue> {
    let mut parts = value.as_bytes().split(|byte| *byte == b';');
    let pair = parts.next().filter(|pair| pair.contains(&b'='))?;
    let secure = origins.is_public_secure();
    let mut out = origins.rewrite(pair).into_owned();
    let mut has_secure = false;
    for part in parts {
        let (name, value) = match part.iter().position(|byte| *byte == b'=') {
            Some(equals) => part.split_at(equals),
            None => (part, [].as_slice()),
        };
        let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"domain" => continue,
            b"secure" if !secure || has_secure => continue,
            b"secure" => {
                has_secure = true;
                push(&mut out, part);
            }
            // Browsers take a quote for the beginning of a path that is none; old backends mean the path in it (RFC 2109).
            b"path" => match origins.cookie_path(unquoted(value)) {
                Some(path) => push(&mut out, &[b" Path=".as_slice(), &path].concat()),
                None => push(&mut out, part),
            },
            b"samesite" if !secure && value.eq_ignore_ascii_case(b"none") => push(&mut out, b" SameSite=Lax"),
            _ => push(&mut out, &origins.rewrite(part)),
        }
    }
    if secure && !has_secure {
        push(&mut out, b" Secure");
    }
    HeaderValue::from_bytes(&out).ok()
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

fn push(out: &mut Vec<u8>, attribute: &[u8]) {
    out.push(b';');
    out.extend_from_slice(attribute);
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{LOCAL, PORTS, UNDER, origins};
    use super::*;

    #[test]
    fn a_cookie_is_put_right_for_the_public_address() {
        for (row, site, value, want) in [
            (
                "Plone 6",
                LOCAL,
                "__ac=x9JH0/Yh; Path=/; HttpOnly; SameSite=Lax",
                "__ac=x9JH0/Yh; Path=/; HttpOnly; SameSite=Lax; Secure",
            ),
            ("Plone 4.3", LOCAL, "__ac=\"x9=\"; Path=/; HTTPOnly", "__ac=\"x9=\"; Path=/; HTTPOnly; Secure"),
            (
                "date untouched",
                LOCAL,
                "a=; Expires=Wed, 31-Dec-97 23:59:59 GMT; Max-Age=0",
                "a=; Expires=Wed, 31-Dec-97 23:59:59 GMT; Max-Age=0; Secure",
            ),
            ("domain", LOCAL, "a=1; domain = .localhost ;Path=/", "a=1;Path=/; Secure"),
            ("internal path", LOCAL, "a=1; path=/Plone/docs; secure", "a=1; Path=/docs; secure"),
            ("internal root", LOCAL, "a=1; Path=/Plone", "a=1; Path=/; Secure"),
            ("a path in quotes", LOCAL, "a=1; Version=1; Path=\"/Plone\"", "a=1; Version=1; Path=/; Secure"),
            ("another path", LOCAL, "a=1; Path=/Plonex", "a=1; Path=/Plonex; Secure"),
            (
                "address in the value",
                LOCAL,
                "a=http%3A%2F%2Flocalhost%3A8088%2FPlone; Path=/",
                "a=https%3A%2F%2Fpublic.example.org; Path=/; Secure",
            ),
            ("third-party", LOCAL, "a=1; SameSite=None", "a=1; SameSite=None; Secure"),
            ("plain http", PORTS, "a=1; Secure; SameSite=none; Path=/Plone", "a=1; SameSite=Lax; Path=/"),
            ("site below a path", UNDER, "a=1; Path=/Plone/x", "a=1; Path=/intranet/x; Secure"),
            ("site below a path, whole host", UNDER, "a=1; Path=/", "a=1; Path=/intranet; Secure"),
            ("secure twice", LOCAL, "a=1; Secure; secure", "a=1; Secure"),
        ] {
            let got = set_cookie(&origins(site, Mode::Safety), &HeaderValue::from_static(value)).unwrap();
            assert_eq!(got, want, "{row}");
        }
        assert_eq!(
            set_cookie(&origins(LOCAL, Mode::Safety), &HeaderValue::from_static("nonsense; Path=/")),
            None
        );
    }
}
