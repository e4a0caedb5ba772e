//! The properties that streaming rests on.

use super::super::{Map, Mode, Stream};
use super::{BELOW, LOCAL, NAMED, ROOT, SITES, UNDER, origins};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// All that comes out of a stream for these pieces.
fn streamed(map: &Arc<Map>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut take = |bytes: Bytes| {
        assert!(!bytes.is_empty());
        out.extend_from_slice(&bytes);
    };
    let mut stream = Stream::new(map.clone());
    for piece in pieces {
        stream.push(Bytes::copy_from_slice(piece), &mut take);
        assert!(stream.held() <= map.longest());
    }
    stream.finish(&mut take);
    out
}

#[test]
fn what_has_no_address_passes_uncopied_and_undelayed() {
    let map = origins(LOCAL, Mode::Safety).outward().clone();
    let mut stream = Stream::new(map);
    for text in ["<p>hello</p>\n".repeat(1000), "x".repeat(5000), "tail".to_owned()] {
        let chunk = Bytes::from(text);
        let mut got = Vec::new();
        stream.push(chunk.clone(), &mut |bytes| got.push(bytes));
        assert_eq!(got.concat(), chunk, "nothing is held that cannot begin an address");
        if chunk.len() == 13_000 {
            assert_eq!(got[0].as_ptr(), chunk.as_ptr(), "the same memory");
        }
        if chunk.len() == 5000 {
            assert!(
                got.iter().any(|piece| piece.len() == 5000 && piece.as_ptr() == chunk.as_ptr()),
                "the same memory"
            );
        }
    }
}

#[test]
fn only_what_may_begin_an_address_is_held_back() {
    let map = origins(LOCAL, Mode::Safety).outward().clone();
    for (chunk, held) in [
        ("data: x\n\n", 0),
        ("see http://", 7),
        ("see http://localhost:80", 19),
        ("see http://www.example.org/", 1),
        ("no", 0),
        ("<h", 1),
        ("a local", 5),
        ("alocal", 0),
        ("http://localhost:8088", 21),
        ("http://localhost:8088/Plon", 26),
        ("http://localhost:8088/x", 0),
    ] {
        let mut stream = Stream::new(map.clone());
        stream.push(Bytes::from_static(chunk.as_bytes()), &mut |_| {});
        assert_eq!(stream.held(), held, "{chunk}");
    }
}

#[test]
fn internal_names_that_stay_are_counted() {
    for (site, text, want) in [
        (NAMED, "http://plone.internal:9999/ /sites/plone.internal/ http://plone.internal@x/ 10.0.0.5:1", 4),
        (
            NAMED,
            "http://plone.internal:8080/ plone.internal http://www.plone.internal/ plone.internal.com xplone.internal",
            0,
        ),
        (LOCAL, "localhost 127.0.0.1 localhost:80 http://localhost:9999/", 0),
        (LOCAL, "localhost:8088evil http://localhost:8088@evil.example/", 2),
        (BELOW, "www.example.org example.org info@example.org", 0),
    ] {
        let map = origins(site, Mode::Safety).outward().clone();
        for size in [text.len(), 7, 1] {
            let mut stream = Stream::new(map.clone());
            text.as_bytes()
                .chunks(size)
                .for_each(|piece| stream.push(Bytes::copy_from_slice(piece), &mut |_| {}));
            stream.finish(&mut |_| {});
            assert_eq!(stream.remaining(), want, "{text} in pieces of {size}");
        }
    }
}

/// The pieces that documents are made of: addresses, what resembles them, and what stands around them.
const PIECES: &[&str] = &[
    "http",
    "https",
    "HTTP",
    "ws",
    "wss",
    ":",
    "/",
    "//",
    "://",
    r":\/\/",
    r"\/",
    r"\\/",
    r"\u002f",
    r"\u003a",
    r"\x2f",
    "%3A",
    "%2F",
    "%2f",
    "%253A",
    "%252F",
    "%25",
    "%5C",
    "%",
    "%2",
    "&#47;",
    "&#x2f;",
    "&sol;",
    "&colon;",
    "&amp;",
    "&amp;#47;",
    "&",
    "&#",
    "&#4",
    "&quot;",
    "localhost",
    "LocalHost",
    "127.0.0.1",
    "plone.internal",
    "plone",
    ".internal",
    "&#46;",
    "%2E",
    r"\.",
    "[::1]",
    "%5B::1%5D",
    "[",
    "]",
    "::",
    "1",
    "10.0.0.5",
    "cms",
    "cms.lan",
    "cm.lan",
    "cm",
    "x",
    "fd00::5",
    "example.org",
    "www.",
    "public.example.org",
    "p.example.org",
    "www.example.org",
    ":8088",
    ":8080",
    ":80",
    ":443",
    "8088",
    "80",
    "8",
    "/Plone",
    "/Plone/",
    "Plone",
    "/Plonex",
    "/intranet",
    "/cms",
    ".",
    "-",
    "_",
    "@",
    "user:pw@",
    "?",
    "#",
    "\"",
    "'",
    " ",
    "\n",
    r"\n",
    r"\",
    "<",
    ">",
    "(",
    ")",
    ";",
    "url(",
    "@import ",
    "href>",
    "=",
    ",",
    "\u{e9}",
    "evil",
    "local",
    "host",
    "/x",
    "http://localhost:8088/Plone/docs",
    "http%3A%2F%2Flocalhost%3A8088%2FPlone",
    "http://plone.internal:8080/Plone",
    "http:\\/\\/cms.lan\\/",
    "&#108;ocalhost",
    "&#x70;&#108;&#111;n&#101;",
    "%6cocal%68ost",
    r"\u0070lone",
    r"\x63ms",
    "&#112;lone-1",
    "plone-1",
    r"plone\u002d1",
    "plone&#45;",
    "&#56;",
    "%30",
    "/%50lone",
    "\u{3002}internal",
    "\u{ff0e}",
    "&#12290;",
    "[fd00:0:0:0:0:0:0:5]",
    "[::ffff:10.0.0.5]",
    "167772165",
    "0xa000005",
    "&@",
    "/Plone&@",
    "/Plone;x",
    "sourceMappingURL=",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

static MAPS: LazyLock<Vec<Arc<Map>>> = LazyLock::new(|| {
    let modes = [Mode::Safety, Mode::Full];
    let outward = SITES.iter().flat_map(|site| modes.map(|mode| origins(*site, mode).styles().clone()));
    outward
        .chain([LOCAL, UNDER, ROOT].iter().flat_map(|site| {
            let (forwarded, full) = (origins(*site, Mode::Forwarded), origins(*site, Mode::Full));
            [
                forwarded.styles().clone(),
                full.style_paths(false).clone(),
                full.strings(false).clone(),
                full.inward_styles().clone(),
            ]
        }))
        .chain([beside()])
        .chain([origins(LOCAL, Mode::Full).inward().clone(), origins(UNDER, Mode::Full).inward().clone()])
        .collect()
});

/// Several sites on one gate.
fn beside() -> Arc<Map> {
    let others = [UNDER, ROOT, NAMED].map(|site| origins(site, Mode::Safety));
    origins(LOCAL, Mode::Safety).beside(&others).outward().clone()
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
        1 => (200..900_usize).prop_map(|len| vec![b'.'; len]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_equals_the_whole(text in document(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        for map in MAPS.iter() {
            let whole = map.rewrite(&text);
            prop_assert_eq!(streamed(map, &pieces), whole.as_ref());
        }
    }

    #[test]
    fn byte_by_byte_equals_the_whole(text in document()) {
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        for map in MAPS.iter() {
            prop_assert_eq!(streamed(map, &bytes), map.rewrite(&text).into_owned());
        }
    }

    #[test]
    fn the_search_finds_what_the_grammar_means(text in document()) {
        for map in MAPS.iter() {
            prop_assert_eq!(map.rewrite(&text).into_owned(), map.rewrite_slowly(&text));
        }
    }

    #[test]
    fn rewriting_twice_is_rewriting_once(text in document()) {
        for site in SITES {
            let map = origins(*site, Mode::Safety);
            let once = map.rewrite(&text).into_owned();
            prop_assert_eq!(map.rewrite(&once).into_owned(), once.clone(), "{:?}", site);
        }
    }

    #[test]
    fn any_bytes_pass_without_panic(text in prop::collection::vec(any::<u8>(), 0..600)) {
        for map in MAPS.iter() {
            map.rewrite(&text);
        }
    }
}
