//! The map as a whole: tables of what is and isn't ours.

mod inward;
mod leaks;
mod links;
mod oracle;
mod streaming;

use super::*;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use url::Url;

/// Backend, public address, internal names.
type Site = (&'static str, &'static str, &'static [&'static str]);

pub(super) const LOCAL: Site = ("http://localhost:8088/Plone", "https://public.example.org", &[]);
const NAMED: Site = ("http://plone.internal:8080/Plone", "https://www.example.org", &["10.0.0.5", "cms"]);
pub(super) const PORTS: Site = ("http://localhost:8088/Plone", "http://localhost:8080", &[]);
const BELOW: Site = ("http://example.org", "https://www.example.org", &[]);
const ABOVE: Site = ("http://plone.internal:8080", "https://plone.internal.example.com", &[]);
pub(super) const SCHEME: Site = ("http://p.example.org/Plone", "https://p.example.org", &[]);
const SIX: Site = ("http://[::1]:8088/Plone", "https://public.example.org", &["fd00::5"]);
pub(super) const UNDER: Site =
    ("http://localhost:8088/Plone", "https://public.example.org:8443/intranet", &["db.example.org"]);
pub(super) const ROOT: Site = ("http://cms.lan", "https://public.example.org/cms", &["cm.lan", "x"]);
const DASHED: Site = ("http://plone-1.internal:8080/Plone", "https://www.example.org", &["fd00::5"]);
const SINGLE: Site = ("http://plone:8080/Plone", "https://www.example.org", &[]);
const SITES: &[Site] = &[LOCAL, NAMED, PORTS, BELOW, ABOVE, SCHEME, SIX, UNDER, ROOT, DASHED, SINGLE];

pub(super) fn origins(site: Site, mode: Mode) -> Origins {
    let names: Vec<String> = site.2.iter().map(|name| (*name).to_owned()).collect();
    Origins::new(&Url::parse(site.0).unwrap(), &Url::parse(site.1).unwrap(), &names, mode).unwrap()
}

/// A head with these fields.
pub(super) fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in rows {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check(site: Site, rows: &[(&str, &str, &str)]) {
    let origins = origins(site, Mode::Safety);
    for (row, input, want) in rows {
        let got = origins.rewrite(input.as_bytes());
        assert_eq!(text(&got), *want, "{row}: {input}");
        assert_eq!(
            matches!(got, Cow::Borrowed(_)),
            input == want,
            "{row}: copied without need, or the reverse"
        );
        assert_eq!(text(&origins.rewrite(&got)), *want, "{row}: twice is not once");
        assert_eq!(
            text(&origins.outward().rewrite_slowly(input.as_bytes())),
            *want,
            "{row}: the grammar alone"
        );
    }
}

#[test]
fn internal_origins_become_public_in_every_spelling() {
    check(
        LOCAL,
        &[
            (
                "plain",
                "<a href=\"http://localhost:8088/Plone/docs\">",
                "<a href=\"https://public.example.org/docs\">",
            ),
            ("site root", "\"http://localhost:8088/Plone\"", "\"https://public.example.org\""),
            ("site root with slash", "http://localhost:8088/Plone/", "https://public.example.org/"),
            ("query behind the root", "http://localhost:8088/Plone?x", "https://public.example.org?x"),
            ("fragment behind the root", "http://localhost:8088/Plone#x", "https://public.example.org#x"),
            (
                "without the prefix",
                "http://localhost:8088/robots.txt",
                "https://public.example.org/robots.txt",
            ),
            (
                "another path that begins alike",
                "http://localhost:8088/Plonex/",
                "https://public.example.org/Plonex/",
            ),
            ("https", "https://localhost:8088/Plone/x", "https://public.example.org/x"),
            ("upper case", "HTTP://LOCALHOST:8088/Plone/x", "https://public.example.org/x"),
            ("the path's case counts", "http://localhost:8088/plone/x", "https://public.example.org/plone/x"),
            ("without scheme", "src=//localhost:8088/Plone/x", "src=//public.example.org/x"),
            (
                "web socket",
                "new WebSocket('ws://localhost:8088/Plone/x')",
                "new WebSocket('wss://public.example.org/x')",
            ),
            ("another scheme", "svn://localhost:8088/Plone/x", "svn://public.example.org/x"),
            ("loopback address", "http://127.0.0.1:8088/Plone/x", "https://public.example.org/x"),
            ("trailing dot", "http://localhost.:8088/Plone/x", "https://public.example.org/x"),
            ("bare host and port", "see localhost:8088/Plone/x", "see public.example.org/x"),
            (
                "end of a sentence",
                "It is at http://localhost:8088. Go",
                "It is at https://public.example.org. Go",
            ),
            (
                "end of a sentence, with prefix",
                "at http://localhost:8088/Plone. Go",
                "at https://public.example.org. Go",
            ),
            (
                "user information",
                "http://user:pw@localhost:8088/Plone/x",
                "http://user:pw@public.example.org/x",
            ),
            ("json", r"http:\/\/localhost:8088\/Plone\/x", r"https:\/\/public.example.org\/x"),
            ("json in json", r"http:\\/\\/localhost:8088\\/Plone\\/x", r"https:\\/\\/public.example.org\\/x"),
            (
                "unicode",
                r"http:\u002f\u002flocalhost:8088\u002fPlone\u002fx",
                r"https:\u002f\u002fpublic.example.org\u002fx",
            ),
            (
                "unicode colon, upper",
                r"http\u003A\u002F\u002Flocalhost\u003A8088\u002FPlone",
                r"https\u003A\u002F\u002Fpublic.example.org",
            ),
            (
                "javascript hex",
                r"http\x3a\x2f\x2flocalhost\x3a8088\x2fPlone",
                r"https\x3a\x2f\x2fpublic.example.org",
            ),
            (
                "behind an escaped line feed",
                r#""see\nhttp://localhost:8088/Plone/x""#,
                r#""see\nhttps://public.example.org/x""#,
            ),
            ("bare behind an escaped line feed", r#""see\nlocalhost:8088""#, r#""see\npublic.example.org""#),
            (
                "percent",
                "?u=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx",
                "?u=https%3A%2F%2Fpublic.example.org%2Fx",
            ),
            (
                "percent, slashes safe",
                "?u=http%3A//localhost%3A8088/Plone/x&y",
                "?u=https%3A//public.example.org/x&y",
            ),
            (
                "percent, mixed case",
                "http%3a%2F%2flocalhost%3A8088%2fPlone",
                "https%3a%2F%2fpublic.example.org",
            ),
            (
                "percent twice",
                "http%253A%252F%252Flocalhost%253A8088%252FPlone%252Fx",
                "https%253A%252F%252Fpublic.example.org%252Fx",
            ),
            (
                "percent of json",
                "http%3A%5C%2F%5C%2Flocalhost%3A8088%5C%2FPlone",
                "https%3A%5C%2F%5C%2Fpublic.example.org",
            ),
            (
                "percent, query goes on",
                "u=http%3A%2F%2Flocalhost%3A8088%2FPlone%26x",
                "u=https%3A%2F%2Fpublic.example.org%26x",
            ),
            (
                "decimal entities",
                "http&#58;&#47;&#47;localhost&#58;8088&#47;Plone&#47;x",
                "https&#58;&#47;&#47;public.example.org&#47;x",
            ),
            (
                "hex entities",
                "http&#x3a;&#x2F;&#x02f;localhost&#X3A;8088&#x2f;Plone",
                "https&#x3a;&#x2F;&#x02f;public.example.org",
            ),
            (
                "named entities",
                "http&colon;&sol;&sol;localhost&colon;8088&sol;Plone",
                "https&colon;&sol;&sol;public.example.org",
            ),
            (
                "entities in a feed",
                "http&amp;#58;&amp;#47;&amp;#47;localhost:8088",
                "https&amp;#58;&amp;#47;&amp;#47;public.example.org",
            ),
            (
                "json in an attribute",
                "{&quot;u&quot;:&quot;http://localhost:8088/Plone&quot;}",
                "{&quot;u&quot;:&quot;https://public.example.org&quot;}",
            ),
            (
                "json in json in an attribute",
                r"\\&quot;http://localhost:8088/Plone\\&quot;",
                r"\\&quot;https://public.example.org\\&quot;",
            ),
            (
                "pattern options",
                "data-pat-livesearch=\"ajaxUrl:http://localhost:8088/Plone/@@ajax-search; x: 1\"",
                "data-pat-livesearch=\"ajaxUrl:https://public.example.org/@@ajax-search; x: 1\"",
            ),
            (
                "srcset",
                "http://localhost:8088/Plone/a 1x, http://localhost:8088/Plone/b 2x",
                "https://public.example.org/a 1x, https://public.example.org/b 2x",
            ),
            (
                "one after the other",
                "http://localhost:8088/Plone//localhost:8088/",
                "https://public.example.org//public.example.org/",
            ),
            ("a bare word", "localhost and 127.0.0.1 are words", "localhost and 127.0.0.1 are words"),
            (
                "loopback, default port",
                "http://localhost/x http://127.0.0.1:80/",
                "http://localhost/x http://127.0.0.1:80/",
            ),
        ],
    );
}

#[test]
fn other_origins_are_left_alone() {
    let rows = [
        "http://plone.internal:8080evil",
        "http://plone.internal.example.com/",
        "http://xplone.internal/",
        "http://www.plone.internal/",
        "http://plone.internal:80881/",
        "http://plone.internal:808/",
        "http://plone.internal:9999/",
        "http://plone.internal:8080@evil.example/",
        "http://plone.internal@evil.example/",
        "http://plone.internal%40evil.example/",
        "http://plone.internal&#64;evil.example/",
        "http://my-plone.internal/",
        "http://plone.internal-x/",
        "http://plone.internal_x/",
        "http://plone.internal:8080.example.com/",
        "http://a%2Eplone.internal/",
        "http://plone.internal%2Eexample.com/",
        "http://plone.internal&#46;example.com/",
        "plone.internals",
        "xplone.internal",
        "plone-internal",
        "/sites/plone.internal/x.html",
        "a cms, the cms.",
        "cms.example.org",
        "110.0.0.5",
        "10.0.0.55",
        "10.0.0.5.1",
        "http://www.example.org/Plone/x",
    ];
    check(NAMED, &rows.map(|row| (row, row, row)));
}

#[test]
fn secret_names_are_replaced_as_words_too() {
    check(
        NAMED,
        &[
            ("bare name", "mount plone.internal, please", "mount www.example.org, please"),
            ("mail address", "admin@plone.internal", "admin@www.example.org"),
            (
                "mail address and port",
                "x@plone.internal:8080",
                "x@www.example.org:8080".trim_end_matches(":8080"),
            ),
            ("without port", "http://plone.internal/Plone/x", "https://www.example.org/x"),
            ("default port", "http://plone.internal:80/Plone/x", "https://www.example.org/x"),
            (
                "listed address",
                "http://10.0.0.5:8080/Plone/x and 10.0.0.5.",
                "https://www.example.org/x and www.example.org.",
            ),
            (
                "listed label",
                "http://cms/Plone/x //cms:8080/ cms:8080",
                "https://www.example.org/x //www.example.org/ www.example.org",
            ),
            ("wildcard", "img-src *.plone.internal", "img-src *.www.example.org"),
            ("text, no tag", "<10.0.0.5 onclick=x>", "< www.example.org onclick=x>"),
            ("no end tag either", "</10.0.0.5:8080 a='>'", "</ www.example.org a='>'"),
            ("a tag before and after", "<cms onclick=x>", "<cms onclick=x>"),
            ("encoded dot", "http://plone&#46;internal/", "https://www&#46;example&#46;org/"),
            ("escaped dot", r"/plone\.internal:8080/", r"/www\.example\.org/"),
        ],
    );
}

#[test]
fn neighbours_of_the_public_address_are_told_apart() {
    check(
        PORTS,
        &[
            ("internal port", "http://localhost:8088/Plone/x", "http://localhost:8080/x"),
            ("json", r"http:\/\/127.0.0.1:8088\/Plone", r"http:\/\/localhost:8080"),
            ("percent", "http%3A%2F%2Flocalhost%3A8088", "http%3A%2F%2Flocalhost%3A8080"),
            (
                "the public one",
                "http://localhost:8080/Plone/x localhost:8080",
                "http://localhost:8080/Plone/x localhost:8080",
            ),
        ],
    );
    check(
        BELOW,
        &[
            ("internal", "http://example.org/x", "https://www.example.org/x"),
            ("public", "https://www.example.org/x", "https://www.example.org/x"),
            ("mail", "info@example.org", "info@example.org"),
            ("word", "example.org", "example.org"),
            ("word with port", "example.org:80", "www.example.org"),
        ],
    );
    check(
        ABOVE,
        &[
            (
                "internal",
                "http://plone.internal:8080/x plone.internal",
                "https://plone.internal.example.com/x plone.internal.example.com",
            ),
            ("public", "https://plone.internal.example.com/x", "https://plone.internal.example.com/x"),
        ],
    );
    check(
        SCHEME,
        &[
            ("internal", "http://p.example.org/Plone/x", "https://p.example.org/x"),
            ("public", "https://p.example.org/Plone/x", "https://p.example.org/Plone/x"),
            ("without scheme", "//p.example.org/Plone/x", "//p.example.org/Plone/x"),
            ("word", "p.example.org", "p.example.org"),
        ],
    );
    check(
        UNDER,
        &[
            ("prefixes", "http://localhost:8088/Plone/x", "https://public.example.org:8443/intranet/x"),
            ("json", r"http:\/\/localhost:8088\/Plone\/x", r"https:\/\/public.example.org:8443\/intranet\/x"),
            (
                "relative, percent",
                "%2F%2Flocalhost%3A8088%2FPlone",
                "%2F%2Fpublic.example.org%3A8443%2Fintranet",
            ),
            (
                "relative, unicode, no port",
                r"\u002F\u002Fdb.example.org\u002FPlone",
                r"\u002F\u002Fpublic.example.org\u003A8443\u002Fintranet",
            ),
            ("word", "db.example.org", "public.example.org"),
        ],
    );
    check(
        ROOT,
        &[
            (
                "adds its prefix",
                "http://cms.lan/x http://cm.lan:80 http://x:80/y",
                "https://public.example.org/cms/x https://public.example.org/cms https://public.example.org/cms/y",
            ),
            ("word", "cms.lan and cm.lan", "public.example.org and public.example.org"),
        ],
    );
}

#[test]
fn ipv6_addresses_are_found_in_brackets() {
    check(
        SIX,
        &[
            ("plain", "http://[::1]:8088/Plone/x", "https://public.example.org/x"),
            ("percent", "http%3A%2F%2F%5B%3A%3A1%5D%3A8088%2FPlone", "https%3A%2F%2Fpublic.example.org"),
            ("entities", "http://&#91;&colon;&colon;1&rsqb;:8088/", "https://public.example.org/"),
            ("listed", "http://[fd00::5]/Plone/x", "https://public.example.org/x"),
            ("another", "http://[::11]:8088/ http://[fd00::15]/", "http://[::11]:8088/ http://[fd00::15]/"),
        ],
    );
}

#[test]
fn an_address_is_found_in_each_of_its_texts() {
    check(
        SIX,
        &[
            ("in full", "http://[fd00:0:0:0:0:0:0:5]/Plone/x", "https://public.example.org/x"),
            (
                "with zeros",
                "http://[FD00:0000:0000:0000:0000:0000:0000:0005]:8088/Plone/x",
                "https://public.example.org/x",
            ),
            ("without brackets", "listens at fd00::5, port 80", "listens at public.example.org, port 80"),
            (
                "part of a longer one",
                "2001:db8:fd00::5 fd00::55 [fd00::5%eth0]",
                "2001:db8:fd00::5 fd00::55 [fd00::5%eth0]",
            ),
        ],
    );
    check(
        NAMED,
        &[
            ("IPv4 as IPv6", "http://[::ffff:10.0.0.5]/Plone/x", "https://www.example.org/x"),
            ("in groups", "http://[::ffff:a00:5]:8080/Plone/x", "https://www.example.org/x"),
            ("as a number", "http://167772165/Plone/x", "https://www.example.org/x"),
            (
                "in hexadecimal",
                "http://0x0a000005/ http://0xa000005:8080/Plone/x",
                "http://0x0a000005/ https://www.example.org/x",
            ),
            ("a number", "167772165 bytes", "167772165 bytes"),
        ],
    );
}

#[test]
fn a_host_without_a_dot_is_found_where_it_is_one() {
    check(
        SINGLE,
        &[
            ("its port", "http://plone:8080/Plone/x plone:8080", "https://www.example.org/x www.example.org"),
            (
                "a scheme is enough",
                "http://plone/Plone/x https://PLONE:443",
                "https://www.example.org/x https://www.example.org",
            ),
            (
                "a comment, a word, another",
                "//plone is a word, plone-x, http://plonex/",
                "//plone is a word, plone-x, http://plonex/",
            ),
        ],
    );
}

#[test]
fn a_name_is_found_however_its_letters_are_spelled() {
    check(
        DASHED,
        &[
            (
                "all but letters, in a script",
                r"http\u003A\u002F\u002Fplone\u002D1\u002Einternal\u003A8080\u002FPlone\u002Fx",
                r"https\u003A\u002F\u002Fwww\u002Eexample\u002Eorg\u002Fx",
            ),
            (
                "all but letters, in an attribute",
                "http&#x3a;&#x2f;&#x2f;plone&#x2d;1&#x2e;internal&#x3a;8080&#x2f;Plone&#x2f;x",
                "https&#x3a;&#x2f;&#x2f;www&#x2e;example&#x2e;org&#x2f;x",
            ),
            ("the dash alone", "http://plone%2D1.internal/Plone/x", "https://www.example.org/x"),
            (
                "all letters, as Markdown hides mail addresses",
                "&#97;&#64;&#112;&#108;&#111;&#110;&#101;&#45;&#49;&#46;&#105;&#110;&#116;&#101;&#114;&#110;&#97;&#108;\"",
                "&#97;&#64;www&#46;example&#46;org\"",
            ),
            (
                "all letters, percent-encoded",
                "http://%70%6c%6f%6e%65-1.internal:%38%30%38%30/%50%6c%6f%6e%65/x",
                "https://www.example.org/x",
            ),
            ("the first one", r"http:\/\/\u0070lone-1.internal\/Plone\/x", r"https:\/\/www.example.org\/x"),
            (
                "dots of Chinese and Japanese",
                "http://plone-1\u{3002}internal/Plone/x",
                "https://www.example.org/x",
            ),
            ("at the end of a sentence", "plone-1.internal\u{3002}Plone", "www.example.org\u{3002}Plone"),
            (
                "other hosts",
                "http://plone-2.internal/ http://plone%2d1%2einternal%2ecom/ &#112;lone-1.internal.com plone-1\u{3001}internal",
                "http://plone-2.internal/ http://plone%2d1%2einternal%2ecom/ &#112;lone-1.internal.com plone-1\u{3001}internal",
            ),
        ],
    );
}

#[test]
fn no_path_becomes_user_information() {
    check(
        LOCAL,
        &[
            (
                "ampersand",
                "http://localhost:8088/Plone&@evil.example/",
                "https://public.example.org/&@evil.example/",
            ),
            (
                "semicolon, words",
                "//localhost:8088/Plone;a=b@evil.example",
                "//public.example.org/;a=b@evil.example",
            ),
            (
                "percent",
                "http%3A%2F%2Flocalhost%3A8088%2FPlone%26%40evil.example",
                "https%3A%2F%2Fpublic.example.org%2F%26%40evil.example",
            ),
            (
                "entity",
                "http://localhost:8088/Plone&amp;x&#64;evil",
                "https://public.example.org/&amp;x&#64;evil",
            ),
            ("json", r"http:\/\/localhost:8088\/Plone,@evil", r"https:\/\/public.example.org\/,@evil"),
            (
                "further than is looked",
                "http://localhost:8088/Plone,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@evil",
                "https://public.example.org/,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@evil",
            ),
            (
                "a query goes on",
                "?u=http://localhost:8088/Plone&x=1\"",
                "?u=https://public.example.org&x=1\"",
            ),
            (
                "a sentence",
                "(http://localhost:8088/Plone), a@b.example",
                "(https://public.example.org), a@b.example",
            ),
            ("the value ends", "'http://localhost:8088/Plone'@", "'https://public.example.org'@"),
        ],
    );
}

#[test]
fn paths_in_style_sheets_and_dav_answers_are_links() {
    let full = origins(LOCAL, Mode::Full);
    for (input, want) in [
        ("a{background:url(/Plone/x.png)}", "a{background:url(/x.png)}"),
        ("a{background:URL( '/Plone/x.png' )}", "a{background:URL( '/x.png' )}"),
        ("style=\"b: url(&quot;/Plone/x.png&quot;)\"", "style=\"b: url(&quot;/x.png&quot;)\""),
        ("@import \"/Plone/x.css\";", "@import \"/x.css\";"),
        ("<D:href>/Plone/docs/</D:href>", "<D:href>/docs/</D:href>"),
        ("//# sourceMappingURL=/Plone/a.js.map", "//# sourceMappingURL=/a.js.map"),
        ("url(/Plonex/y)", "url(/Plonex/y)"),
        (
            "paths:list=\"/Plone/x\" value='/Plone/x' {\"rootPath\":\"/Plone\"}",
            "paths:list=\"/Plone/x\" value='/Plone/x' {\"rootPath\":\"/Plone\"}",
        ),
    ] {
        assert_eq!(text(&full.styles().rewrite(input.as_bytes())), want);
        assert_eq!(text(&full.styles().rewrite_slowly(input.as_bytes())), want);
        assert_eq!(text(&full.rewrite(input.as_bytes())), input, "left alone elsewhere");
        let safety = origins(LOCAL, Mode::Safety);
        assert_eq!(text(&safety.styles().rewrite(input.as_bytes())), want, "what people typed as well");
        let left = safety.with(&Settings { links: false, ..Settings::default() });
        assert_eq!(
            text(&left.styles().rewrite(input.as_bytes())),
            input,
            "unless a folder is named like that"
        );
    }
    let root = origins(ROOT, Mode::Full);
    for (row, input, want) in [
        ("only a public prefix", "b{c:url(/x.png) url('/')}", "b{c:url(/cms/x.png) url('/cms/')}"),
        ("import", "@import \"/a.css\";", "@import \"/cms/a.css\";"),
        ("dav", "<D:href>/docs</D:href><href>/</href>", "<D:href>/cms/docs</D:href><href>/cms/</href>"),
        ("other hosts", "url(//e/x) url(/\\e) url(x/y) a / b", "url(//e/x) url(/\\e) url(x/y) a / b"),
        (
            "with an address",
            "url(http://cms.lan/x)url(/y)",
            "url(https://public.example.org/cms/x)url(/cms/y)",
        ),
    ] {
        assert_eq!(text(&root.styles().rewrite(input.as_bytes())), want, "{row}");
        assert_eq!(text(&root.styles().rewrite_slowly(input.as_bytes())), want, "{row}, the grammar alone");
        let safety = origins(ROOT, Mode::Safety).styles().rewrite(b"url(/x)").into_owned();
        assert_eq!(text(&safety), "url(/x)", "nothing internal is in that");
    }
}

#[test]
fn what_belongs_to_another_site_of_the_gate_becomes_its_address() {
    let site = |backend, public| origins((backend, public, &[]), Mode::Safety);
    let intranet = ("http://cms.lan:8080/Intranet", "https://www.example.org/intra");
    let archive = ("http://cms.lan:8080/Plone/archive", "https://archive.example.org");
    let wiki = ("http://wiki.lan", "https://wiki.example.org");
    let others = || [intranet, archive, wiki].map(|(backend, public)| site(backend, public));
    let rows = [
        ("own", "http://cms.lan:8080/Plone/a", "https://www.example.org/a"),
        ("another on the host", "http://cms.lan:8080/Intranet/a", "https://www.example.org/intra/a"),
        (
            "another, encoded",
            "http%3A%2F%2Fcms.lan%3A8080%2FIntranet%2Fa",
            "https%3A%2F%2Fwww.example.org%2Fintra%2Fa",
        ),
        ("another, in json", r"http:\/\/cms.lan:8080\/Intranet", r"https:\/\/www.example.org\/intra"),
        ("another below", "http://cms.lan:8080/Plone/archive/a", "https://archive.example.org/a"),
        ("alike", "http://cms.lan:8080/Plone/archives", "https://www.example.org/archives"),
        ("nobody's", "http://cms.lan:8080/x", "https://www.example.org/x"),
        (
            "another host",
            "see http://wiki.lan/a and wiki.lan.",
            "see https://wiki.example.org/a and wiki.example.org.",
        ),
        (
            "public",
            "https://www.example.org/intra/a https://wiki.example.org",
            "https://www.example.org/intra/a https://wiki.example.org",
        ),
    ];
    let own = site("http://cms.lan:8080/Plone", "https://www.example.org").beside(&others());
    for (row, input, want) in rows {
        let got = own.rewrite(input.as_bytes());
        assert_eq!(text(&got), want, "{row}");
        assert_eq!(text(&own.outward().rewrite_slowly(input.as_bytes())), want, "{row}: the grammar alone");
        assert_eq!(text(&own.rewrite(&got)), want, "{row}: twice is not once");
    }
    // The same from below: all three see the same.
    let [intranet, archive, wiki] = others();
    let root = site("http://cms.lan:8080/Plone", "https://www.example.org");
    let below = archive.beside(&[root, intranet, wiki]);
    for (row, input, want) in rows.iter().filter(|(row, ..)| *row != "nobody's") {
        assert_eq!(text(&below.rewrite(input.as_bytes())), *want, "{row}, from below");
    }
}

/// A backend that was told its public address by fields: it writes the public host, but may not know that its path is another.
#[test]
fn a_backend_that_heeds_its_public_host_only_has_its_path_mapped() {
    let forwarded = origins(LOCAL, Mode::Forwarded);
    for (row, input, want) in [
        ("its own path", "https://public.example.org/Plone/x", "https://public.example.org/x"),
        ("site root", "\"https://public.example.org/Plone\"", "\"https://public.example.org\""),
        ("scheme not heeded", "http://public.example.org/Plone/x", "https://public.example.org/x"),
        ("json", r"https:\/\/public.example.org\/Plone\/x", r"https:\/\/public.example.org\/x"),
        ("percent", "https%3A%2F%2Fpublic.example.org%2FPlone%2Fx", "https%3A%2F%2Fpublic.example.org%2Fx"),
        ("in a text", "at public.example.org/Plone/x", "at public.example.org/x"),
        ("the internal host", "http://localhost:8088/Plone/x", "https://public.example.org/x"),
        ("public already", "https://public.example.org/x", "https://public.example.org/x"),
        ("another path", "https://public.example.org/Plonex", "https://public.example.org/Plonex"),
        ("another port", "https://public.example.org:81/Plone/x", "https://public.example.org:81/Plone/x"),
        ("the host alone", "public.example.org", "public.example.org"),
    ] {
        let got = forwarded.rewrite(input.as_bytes());
        assert_eq!(text(&got), want, "{row}");
        assert_eq!(
            text(&forwarded.outward().rewrite_slowly(input.as_bytes())),
            want,
            "{row}: the grammar alone"
        );
        assert_eq!(text(&forwarded.rewrite(&got)), want, "{row}: twice is not once");
        assert_eq!(forwarded.outward().remaining(&got), 0, "{row}: the public host is no leak");
    }
    let inwards =
        |value| forwarded.to_internal(&HeaderValue::from_static(value)).map(|value| text(value.as_bytes()));
    assert_eq!(
        inwards("https://public.example.org/x").as_deref(),
        Some("https://public.example.org/Plone/x")
    );
    assert_eq!(inwards("https://elsewhere.example/x"), None);

    // Its own path is none: one that heeds the public path writes it, one that does not writes `/x`.
    let root = origins(ROOT, Mode::Forwarded);
    for (row, input, want) in [
        ("not heeded", "/x", Some("/cms/x")),
        ("heeded", "/cms/x", None),
        ("heeded, the root", "/cms", None),
        ("alike", "/cmsx", Some("/cms/cmsx")),
        ("absolute", "https://public.example.org/cms/x", None),
    ] {
        let got = root.location(&HeaderValue::from_str(input).unwrap());
        assert_eq!(got.map(|value| text(value.as_bytes())).as_deref(), want, "{row}");
        let (sheet, want) = (format!("url({input})"), format!("url({})", want.unwrap_or(input)));
        assert_eq!(text(&root.styles().rewrite(sheet.as_bytes())), want, "{row}");
    }
    assert_eq!(root.to_internal(&HeaderValue::from_static("https://public.example.org/cms/x")), None);

    let same = ("http://localhost:8088/intranet", UNDER.1, UNDER.2);
    assert_eq!(origins(same, Mode::Forwarded).mode(), Mode::Safety, "one path, nothing to map");
}

#[test]
fn a_location_is_mapped_with_its_path_and_its_query() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("absolute", "http://localhost:8088/Plone/docs", Some("https://public.example.org/docs")),
        ("path", "/Plone/docs?x#y", Some("/docs?x#y")),
        ("path of the root", "/Plone", Some("/")),
        ("another path", "/Plonex", None),
        ("elsewhere", "https://sso.example.org/?came_from=1", None),
        (
            "Plone 6's challenge",
            "http://localhost:8088/Plone/login?came_from=/Plone/secretpage",
            Some("https://public.example.org/login?came_from=/secretpage"),
        ),
        (
            "Plone 4.3's challenge",
            "http://localhost:8088/Plone/login?came_from=http%3A//localhost%3A8088/Plone/x",
            Some("https://public.example.org/login?came_from=https%3A//public.example.org/x"),
        ),
        (
            "original_url",
            "/Plone/@@x?a=1&original_url=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx",
            Some("/@@x?a=1&original_url=https%3A%2F%2Fpublic.example.org%2Fx"),
        ),
        (
            "encoded path in the query",
            "/x?came_from=%2FPlone%2Fsecret&b=%2FPlone",
            Some("/x?came_from=%2Fsecret&b=%2FPlone"),
        ),
        ("paths as data", "/x?paths:list=/Plone/secret", None),
        ("never another host", "/Plone//evil.example", Some("/evil.example")),
        ("never another host, backslash", "/Plone/\\evil.example", None),
        ("never another host, backslash behind the prefix", "/Plone\\evil.example", None),
        ("never another host, tab", "/Plone/\t/evil.example", None),
        (
            "never user information",
            "http://localhost:8088/Plone;@evil.example",
            Some("https://public.example.org/;@evil.example"),
        ),
    ];
    for (row, value, want) in rows {
        for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
            let got = origins(LOCAL, mode).location(&HeaderValue::from_str(value).unwrap());
            assert_eq!(got.map(|value| text(value.as_bytes())).as_deref(), *want, "{row}, {mode:?}");
        }
    }
}

#[test]
fn requests_are_mapped_inwards_only_where_the_backend_knows_no_better() {
    let full = origins(UNDER, Mode::Full);
    for (value, want) in [
        ("https://public.example.org:8443/intranet/docs?x", Some("http://localhost:8088/Plone/docs?x")),
        ("https://public.example.org:8443/intranet", Some("http://localhost:8088/Plone")),
        ("https://public.example.org/intranet", None),
        (
            "https://public.example.org:8443/intranet/login?came_from=https%3A%2F%2Fpublic.example.org%3A8443%2Fintranet%2Fx",
            Some("http://localhost:8088/Plone/login?came_from=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx"),
        ),
        ("https://elsewhere.example/", None),
    ] {
        let value = HeaderValue::from_static(value);
        assert_eq!(
            full.to_internal(&value).map(|value| text(value.as_bytes())).as_deref(),
            want,
            "{value:?}"
        );
        assert_eq!(origins(UNDER, Mode::Safety).to_internal(&value), None);
    }
    let local = origins(LOCAL, Mode::Full);
    let to_internal =
        |value| local.to_internal(&HeaderValue::from_static(value)).map(|value| text(value.as_bytes()));
    assert_eq!(to_internal("https://public.example.org/x").as_deref(), Some("http://localhost:8088/Plone/x"));
    assert_eq!(to_internal("write to public.example.org"), None);
    let origin = local.origin_to_internal(&HeaderValue::from_static("https://public.example.org"));
    assert_eq!(origin.unwrap(), "http://localhost:8088");
    assert_eq!(local.origin_to_internal(&HeaderValue::from_static("null")), None);
}

#[test]
fn what_is_no_host_is_refused() {
    let url = |text: &str| Url::parse(text).unwrap();
    let new = |backend, public, name: &str| {
        Origins::new(&url(backend), &url(public), &[name.to_owned()], Mode::Safety)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(new("ftp://a/", "http://b", "c").starts_with("ftp://a/: an address must begin with http://"));
    for name in ["http://c/", "c:d", "", "a b", "c/d"] {
        assert!(
            new("http://a/", "http://b", name).starts_with(&format!("{name}: an internal name is")),
            "{name}"
        );
    }
}
