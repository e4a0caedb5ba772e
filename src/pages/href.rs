//! Links on the gate's pages: paths of the same site and nothing else.
//!
//! Every caller hands in paths that were checked already. These functions still let nothing through that could
//! leave the site, start a script or break out of an attribute, so that one forgotten check is not a hole.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::language::LANGUAGE_PARAMETER;

/// What may not stand in a path and query as it is. `%` may: the path is encoded already.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What is encoded inside a query value: everything but the unreserved characters of RFC 3986 and `/`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// `path` as a link to this very host; `/` if it is anything else than one path.
pub(super) fn local(path: &str) -> Cow<'_, str> {
    let mut start = path.chars();
    match (start.next(), start.next()) {
        (Some('/'), Some('/' | '\\' | '\t' | '\n' | '\r')) => Cow::Borrowed("/"),
        (Some('/'), _) => utf8_percent_encode(path, UNSAFE).into(),
        _ => Cow::Borrowed("/"),
    }
}

/// One of the gate's own pages, taking `next` along if there is one.
pub(super) fn own(prefix: &str, page: &str, next: &str) -> String {
    let prefix = local(prefix);
    let prefix = prefix.trim_end_matches('/');
    if next.is_empty() {
        format!("{prefix}/{page}")
    } else {
        format!("{prefix}/{page}?next={}", utf8_percent_encode(next, VALUE))
    }
}

/// `here` again, in another language; everything else of its query is kept as it was.
pub(super) fn in_language(here: &str, language: &str) -> String {
    let here = local(here);
    let here = here.split_once('#').map_or(&*here, |(before, _)| before);
    let (path, query) = here.split_once('?').unwrap_or((here, ""));
    let asks = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == LANGUAGE_PARAMETER;
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !asks(pair)).collect();
    let wanted = format!("{LANGUAGE_PARAMETER}={language}");
    pairs.push(&wanted);
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_paths_of_this_host_become_links() {
        #[rustfmt::skip]
        let table = [
            ("/", "/"),
            ("/a/b?c=d&e=%20#f", "/a/b?c=d&e=%20#f"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a\"><script>", "/a%22%3E%3Cscript%3E"),
            ("/a\r\nSet-Cookie: x", "/a%0D%0ASet-Cookie:%20x"),
            ("", "/"), ("a", "/"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("\\\\evil.example", "/"),
            ("/\t/evil.example", "/"), ("javascript:alert(1)", "/"), ("https://evil.example/", "/"), (" /a", "/"),
        ];
        for (path, expected) in table {
            assert_eq!(local(path), expected, "{path:?}");
        }
    }

    #[test]
    fn next_travels_percent_encoded() {
        #[rustfmt::skip]
        let table = [
            ("", "/_gate/login"),
            ("/a/b", "/_gate/login?next=/a/b"),
            ("/a?b=c&d=\u{e9}#f", "/_gate/login?next=/a%3Fb%3Dc%26d%3D%C3%A9%23f"),
            ("/%2e", "/_gate/login?next=/%252e"),
            ("/\"'><&\r\n", "/_gate/login?next=/%22%27%3E%3C%26%0D%0A"),
        ];
        for (next, expected) in table {
            assert_eq!(own("/_gate", "login", next), expected, "{next:?}");
        }
        assert_eq!(own("/", "login", ""), "/login", "at the root");
    }

    #[test]
    fn the_language_link_keeps_the_rest() {
        #[rustfmt::skip]
        let table = [
            ("/_gate/login", "/_gate/login?lang=fr"),
            ("/_gate/login?next=/a%3Fb%3Dc", "/_gate/login?next=/a%3Fb%3Dc&lang=fr"),
            ("/_gate/login?lang=en&next=/a", "/_gate/login?next=/a&lang=fr"),
            ("/_gate/login?lang&next=/a&lang=", "/_gate/login?next=/a&lang=fr"),
            ("/_gate/login?language=x#top", "/_gate/login?language=x&lang=fr"),
            ("//evil.example/?a", "/?lang=fr"),
        ];
        for (here, expected) in table {
            assert_eq!(in_language(here, "fr"), expected, "{here:?}");
        }
    }

    proptest! {
        #[test]
        fn links_never_leave_the_host(path in "[/\\\\:?#a-z\t\r\n@.%]{0,12}") {
            let base = url::Url::parse("https://public.example/").expect("base");
            for link in [local(&path).into_owned(), in_language(&path, "fr"), own(&path, "login", &path)] {
                let joined = base.join(&link).expect("a link");
                prop_assert_eq!(joined.origin(), base.origin(), "{} from {:?}", link, path);
            }
        }
    }
}
