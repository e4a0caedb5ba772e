//! What goes in: forms, queries, text, headers of WebDAV, and that what was shown comes back as it was.

use super::super::coding::tests::{decoded, encoded};
use super::super::{Coding, Mode, Origins, RewriteBody, Translation, plan};
use super::{LOCAL, PORTS, SCHEME, Site, UNDER, origins};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use std::sync::Arc;

fn full(site: Site) -> Arc<Origins> {
    Arc::new(origins(site, Mode::Full))
}

fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
    let row = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    rows.iter().map(row).collect()
}

/// What becomes of a body that arrives in pieces of this size.
fn translated(origins: &Arc<Origins>, headers: &HeaderMap, body: &[u8], size: usize) -> Vec<u8> {
    let mut translation = Translation::of(origins, headers).expect("a type that is translated");
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend(translation.push(Bytes::copy_from_slice(piece)).unwrap());
    }
    out.extend(translation.finish().unwrap());
    out.concat()
}

#[track_caller]
fn check(site: Site, media_type: &str, rows: &[(&str, &str, &str)]) {
    let (origins, headers) = (full(site), headers(&[("content-type", media_type)]));
    for (row, body, want) in rows {
        for size in [usize::MAX, 7, 1] {
            let got = translated(&origins, &headers, body.as_bytes(), size);
            assert_eq!(String::from_utf8_lossy(&got), *want, "{row}, in pieces of {size}");
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn fields_of_forms_are_translated_value_by_value() {
    check(
        LOCAL,
        FORM,
        &[
            ("nothing of ours", "title=a+b%20c&x=%C3%A9", "title=a+b+c&x=%C3%A9"),
            (
                "markup",
                "text=%3Ca+href%3D%22https%3A%2F%2Fpublic.example.org%2Fdocs%22%3E",
                "text=%3Ca+href%3D%22http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fdocs%22%3E",
            ),
            (
                "sparingly encoded",
                "u=https://public.example.org/x?a=b&v",
                "u=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx%3Fa=b&v",
            ),
            (
                "a URL in a URL",
                "u=https%253A%252F%252Fpublic.example.org%252Fx",
                "u=http%253A%252F%252Flocalhost%253A8088%252FPlone%252Fx",
            ),
            (
                "json in a field",
                "j=%7B%22u%22%3A%22https%3A%5C%2F%5C%2Fpublic.example.org%5C%2Fx%22%7D",
                "j=%7B%22u%22%3A%22http%3A%5C%2F%5C%2Flocalhost%3A8088%5C%2FPlone%5C%2Fx%22%7D",
            ),
            (
                "host at the end",
                "u=https%3A%2F%2Fpublic.example.org&v=1",
                "u=http%3A%2F%2Flocalhost%3A8088%2FPlone&v=1",
            ),
            (
                "a path is data",
                "paths%3Alist=%2FPlone%2Fx&path=%2Fdocs",
                "paths%3Alist=%2FPlone%2Fx&path=%2Fdocs",
            ),
            ("a path to return to", "came_from=%2Fdocs%3Fx", "came_from=%2FPlone%2Fdocs%3Fx"),
            ("to the front page", "came_from=%2F&next=", "came_from=%2FPlone%2F&next="),
            ("one that is internal already", "came_from=/Plone/docs", "came_from=%2FPlone%2Fdocs"),
            ("never another host", "came_from=//evil.example/", "came_from=%2F%2Fevil.example%2F"),
            (
                "a URL to return to",
                "came_from=https%3A%2F%2Fpublic.example.org%2Fx",
                "came_from=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx",
            ),
            ("words are words", "t=at+public.example.org%2C+see", "t=at+public.example.org%2C+see"),
            ("old separator", "a=1;came_from=/x", "a=1;came_from=%2FPlone%2Fx"),
            ("broken escapes", "a=%zz%&b=%", "a=%25zz%25&b=%25"),
            ("nothing", "", ""),
        ],
    );
    check(
        UNDER,
        FORM,
        &[
            (
                "words behind the prefix",
                "t=https%3A%2F%2Fpublic.example.org%3A8443%2Fintranet+now",
                "t=http%3A%2F%2Flocalhost%3A8088%2FPlone+now",
            ),
            ("a path to return to", "next=%2Fintranet%2Fx", "next=%2FPlone%2Fx"),
            ("a path outside", "next=%2Fintranets", "next=%2Fintranets"),
        ],
    );
    check(
        PORTS,
        FORM,
        &[("ports", "u=http%3A%2F%2Flocalhost%3A8080%2Fx", "u=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx")],
    );
    check(
        SCHEME,
        FORM,
        &[
            ("public", "u=https%3A%2F%2Fp.example.org%2Fx", "u=http%3A%2F%2Fp.example.org%2FPlone%2Fx"),
            ("internal", "u=http%3A%2F%2Fp.example.org%2FPlone", "u=http%3A%2F%2Fp.example.org%2FPlone"),
        ],
    );
}

#[test]
fn fields_of_multipart_forms_are_translated_and_files_are_not() {
    let body = |link: &str, back: &str| {
        let file = "https://public.example.org/in-a-file";
        format!(
            "--xYz\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n<a href=\"{link}/x\">\r\n\
             --xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.html\"\r\nContent-Type: text/html\r\n\r\n{file}\r\n--xYzNot {file}\r\n\
             --xYz\r\ncontent-disposition: form-data; name=came_from\r\n\r\n{back}\r\n\
             --xYz\r\nContent-Disposition: form-data; name=\"json\"\r\nContent-Type: application/json\r\n\r\n{{\"u\": \"{link}\"}}\r\n\
             --xYz\r\nContent-Disposition: form-data; name=\"blob\"\r\nContent-Type: application/octet-stream\r\n\r\n{file}\r\n\
             --xYz\r\nContent-Disposition: form-data; name=\"b64\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}\r\n\
             --xYz\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n\
             --xYz--\r\nepilogue {file}\r\n"
        )
    };
    let (public, internal) =
        (body("https://public.example.org", "/x"), body("http://localhost:8088/Plone", "/Plone/x"));
    // What only begins like the boundary splits the file, and what follows is in no part that is a field.
    check(LOCAL, "multipart/form-data; boundary=xYz", &[("form", &public, &internal)]);
    check(LOCAL, "Multipart/Form-Data; charset=utf-8; boundary=\"xYz\"", &[("quoted", &public, &internal)]);
    let unix = (public.replace("\r\n", "\n"), internal.replace("\r\n", "\n"));
    check(LOCAL, "multipart/form-data; boundary=xYz", &[("line feeds", &unix.0, &unix.1)]);
    for odd in ["", "--xYz", "no boundary at all", "--xYz--", "\r\n--xYz\r\nname: x\r\n", "\n"] {
        check(LOCAL, "multipart/form-data; boundary=xYz", &[("broken", odd, odd)]);
    }
}

#[test]
fn scripts_and_editors_are_translated_too() {
    let json =
        r#"{"u": "https:\/\/public.example.org\/x", "v": "https://public.example.org/y", "p": "/docs"}"#;
    let want =
        r#"{"u": "http:\/\/localhost:8088\/Plone\/x", "v": "http://localhost:8088/Plone/y", "p": "/docs"}"#;
    for media_type in
        ["application/json", "application/json; charset=utf-8", "text/plain", "text/html", "application/xml"]
    {
        check(LOCAL, media_type, &[(media_type, json, want)]);
    }
}

#[test]
fn what_comes_encoded_is_translated_inside() {
    let (public, internal) =
        ("{\"u\": \"https://public.example.org/x\"}", "{\"u\": \"http://localhost:8088/Plone/x\"}");
    let origins = full(LOCAL);
    for (name, coding) in
        [("gzip", Coding::Gzip), ("deflate", Coding::Deflate), ("br", Coding::Brotli), ("ZSTD", Coding::Zstd)]
    {
        let headers = headers(&[("content-type", "application/json"), ("content-encoding", name)]);
        let sent = encoded(coding, public.as_bytes());
        for size in [1, 7, usize::MAX] {
            let got = decoded(coding, &translated(&origins, &headers, &sent, size)).unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), internal, "{name}, in pieces of {size}");
        }
        assert_eq!(translated(&origins, &headers, b"", 1), b"", "nothing stays nothing");
        let mut cut = Translation::of(&origins, &headers).unwrap();
        let ended = cut.push(Bytes::copy_from_slice(&sent[..sent.len() - 9])).and_then(|_| cut.finish());
        assert!(ended.is_err(), "{name}, cut short");
    }
}

#[test]
fn the_links_of_webdav_requests_are_translated() {
    let report = |path: &str| {
        format!(
            "<D:report xmlns:D=\"DAV:\"><D:href>{path}</D:href><D:owner><D:href>//e/x</D:href></D:owner><p>/docs</p></D:report>"
        )
    };
    for media_type in ["application/xml", "text/xml; charset=\"utf-8\"", "application/davmount+xml"] {
        check(LOCAL, media_type, &[("root", &report("/docs/"), &report("/Plone/docs/"))]);
        check(UNDER, media_type, &[("below a path", &report("/intranet/docs"), &report("/Plone/docs"))]);
    }
    check(LOCAL, "application/json", &[("not xml", &report("/docs/"), &report("/docs/"))]);
}

/// A file as an editor or a WebDAV client gets it, and puts it back.
#[test]
fn a_page_that_is_put_back_is_stored_as_it_was() {
    let wide = |text: &str| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let page = "<!DOCTYPE html><a href=\"/Plone/docs\" title='/docs'>http://localhost:8088/Plone/x</a> <a href=\"docs?came_from=/Plone/y\">\n\
        <img src=/Plone/a.png srcset=\"/Plone/a 1x, /Plone/b 2x\"><a href=\"//localhost:8088/Plone\"><input value=\"/Plone/x\">\
        <style>b{c:url(/Plone/d)}</style><i style=\"e:url('/Plone/f')\"><textarea><a href=\"/Plone/x\"></textarea>\
        <a href=\"https://elsewhere.example/Plone\"><script type=importmap>{\"a\": \"/Plone/a.js\"}</script><!-- /Plone/x -->\
        <meta http-equiv=refresh content=\"5;/Plone/x\"><iframe srcdoc=\"<a href='/Plone/x&#39;&gt;\"></iframe>\u{e9}";
    let sheet = "@import \"/Plone/a.css\"; b{c:url(/Plone/d.png)} /* http://localhost:8088/Plone/x */";
    let narrow = |text: &str| text.as_bytes().to_vec();
    type Encode<'a> = &'a dyn Fn(&str) -> Vec<u8>;
    for (media_type, text, file) in [
        ("text/html", page, &narrow as Encode<'_>),
        ("text/html; charset=utf-16", page, &wide),
        ("application/xhtml+xml", page, &narrow),
        ("text/css", sheet, &narrow),
        ("text/plain", page, &narrow),
        ("application/json", page, &narrow),
        ("image/svg+xml", page, &narrow),
    ] {
        for (site, mode) in
            [(LOCAL, Mode::Full), (LOCAL, Mode::Forwarded), (UNDER, Mode::Full), (UNDER, Mode::Forwarded)]
        {
            let origins = Arc::new(origins(site, mode));
            // What the backend calls itself.
            let public = site.1.trim_end_matches("/intranet");
            let address = if mode == Mode::Full { "http://localhost:8088" } else { public };
            let file = file(
                &text
                    .replace("http://localhost:8088", address)
                    .replace("//localhost:8088", address.split_at(address.find("//").unwrap()).1),
            );
            let mime = headers(&[("content-type", media_type)]);
            let plan = plan(&origins, "/a", &mime);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let body = RewriteBody::new(Full::from(file.clone()), &origins, plan).labelled(&mime);
            let shown = runtime.block_on(body.collect()).unwrap().to_bytes();
            assert_ne!(shown, file, "{media_type}");
            for size in [1, 7, usize::MAX] {
                let stored = translated(&origins, &mime, &shown, size);
                assert_eq!(
                    String::from_utf8_lossy(&stored),
                    String::from_utf8_lossy(&file),
                    "{media_type}, {site:?}, {mode:?}, {size}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_text_is_not_touched_and_nothing_is_where_the_backend_knows_its_address() {
    let translates = |mode, rows: &[(&'static str, &str)]| {
        Translation::of(&Arc::new(origins(LOCAL, mode)), &headers(rows)).is_some()
    };
    for (row, rows, want) in [
        ("form", &[("content-type", FORM)][..], true),
        ("no type", &[], false),
        ("image", &[("content-type", "image/png")], false),
        ("file", &[("content-type", "application/octet-stream")], false),
        ("no boundary", &[("content-type", "multipart/form-data")], false),
        ("mixed", &[("content-type", "multipart/mixed; boundary=x")], false),
        ("encoded", &[("content-type", FORM), ("content-encoding", "gzip")], true),
        ("encoded as nothing", &[("content-type", FORM), ("content-encoding", "Identity")], true),
        ("encoded otherwise", &[("content-type", FORM), ("content-encoding", "compress")], false),
        ("encoded twice", &[("content-type", FORM), ("content-encoding", "gzip, br")], false),
        ("part", &[("content-type", "text/plain"), ("content-range", "bytes 1-2/3")], false),
    ] {
        assert_eq!(translates(Mode::Full, rows), want, "{row}");
        assert!(!translates(Mode::Safety, rows), "{row}, with virtual hosting");
    }
    let safety = Arc::new(origins(LOCAL, Mode::Safety));
    let value = HeaderValue::from_static("https://public.example.org/x");
    assert_eq!(safety.query_to_internal("u=https://public.example.org/x"), None);
    assert_eq!((safety.destination_to_internal(&value), safety.condition_to_internal(&value)), (None, None));
}

#[test]
fn queries_destinations_and_conditions_are_translated() {
    let local = full(LOCAL);
    for (query, want) in [
        ("came_from=/docs&x=1", Some("came_from=%2FPlone%2Fdocs&x=1")),
        ("a&b=https%3A//public.example.org/", Some("a&b=http%3A%2F%2Flocalhost%3A8088%2FPlone%2F")),
        ("path=/docs&x=a%2Fb/c", None),
        ("", None),
    ] {
        assert_eq!(local.query_to_internal(query).as_deref(), want, "{query}");
    }
    for (value, want) in [
        ("https://public.example.org/a%20b", Some("http://localhost:8088/Plone/a%20b")),
        ("/a/b", Some("/Plone/a/b")),
        ("https://elsewhere.example/a", None),
        ("//elsewhere.example/a", None),
    ] {
        let got = local.destination_to_internal(&HeaderValue::from_static(value));
        assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), want, "{value}");
    }
    for (value, want) in [
        (
            "<https://public.example.org/x> (<opaquelocktoken:1-2> [\"/etag\"]) </y> (Not <DAV:no-lock>)",
            Some(
                "<http://localhost:8088/Plone/x> (<opaquelocktoken:1-2> [\"/etag\"]) </Plone/y> (Not <DAV:no-lock>)",
            ),
        ),
        ("(<opaquelocktoken:1>)", None),
        ("(<", None),
    ] {
        let got = local.condition_to_internal(&HeaderValue::from_static(value));
        assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), want, "{value}");
    }
}

/// What authors write, with the addresses that the CMS itself uses, in the spellings that come back as they were.
const WRITTEN: &[&str] = &[
    "http://localhost:8088/Plone/docs",
    "\"http://localhost:8088/Plone\"",
    "//localhost:8088/Plone/a?b=c&d#e",
    r"http:\/\/localhost:8088\/Plone\/x",
    "http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fx",
    "http%253A%252F%252Flocalhost%253A8088%252FPlone%252Fx",
    r"http:\u002f\u002flocalhost:8088\u002fPlone\u002fx",
    "http://localhost:8088/Plone?came_from=/Plone/x",
    "<a href=\"/Plone/docs\">",
    "<a href='http://localhost:8088/Plone/a'>",
    "<form action=\"/Plone/f\"><input value=\"/Plone/x\">",
    "<script>var a = '</Plone/x>';</script>",
    "<p style=\"background: url(/Plone/x.png)\">",
    "<style>@import '/Plone/x.css';</style>",
    "</textarea>",
    "<!-- /Plone/ -->",
    "/Plone/x",
    "/docs",
    "came_from=/docs",
    "https://elsewhere.example/Plone/x",
    " ",
    "\n",
    "\"",
    "'",
    "&",
    ";",
    "&amp;",
    "<",
    ">",
    "=",
    "+",
    "%",
    "a",
    "\u{e9}",
    "\u{4e2d}",
    "--b",
];

fn written() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WRITTEN), 0..20)
        .prop_map(|pieces| format!("x{}", pieces.concat()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The page as a browser gets it.
fn shown(origins: &Arc<Origins>, page: String) -> String {
    let plan = plan(origins, "/edit", &headers(&[("content-type", "text/html; charset=utf-8")]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = runtime.block_on(RewriteBody::new(Full::from(page), origins, plan).collect()).unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

proptest! {
    #[test]
    fn saving_what_was_shown_stores_what_was_written(text in written(), size in 1..40_usize) {
        let origins = full(LOCAL);
        let page = format!(
            "<html><body><form method=post action=\"/Plone/edit\"><textarea name=text>{0}</textarea><input name=title value=\"{0}\"></form>",
            escaped(&text)
        );
        let shown = shown(&origins, page);
        prop_assert!(!shown.contains("localhost"), "{shown}");
        let page = scraper::Html::parse_document(&shown);
        let one = |selector: &str| page.select(&scraper::Selector::parse(selector).unwrap()).next().unwrap();
        let area: String = one("textarea").text().collect();
        let title = one("input").value().attr("value").unwrap().to_owned();

        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("text", &area).append_pair("title", &title).finish();
        let stored = translated(&origins, &headers(&[("content-type", FORM)]), form.as_bytes(), size);
        let stored: Vec<String> = url::form_urlencoded::parse(&stored).map(|(_, value)| value.into_owned()).collect();
        prop_assert_eq!(&stored, &[text.clone(), text.clone()]);

        let part = |value: &str| format!("--b0b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n{value}\r\n--b0b--\r\n");
        let mime = headers(&[("content-type", "multipart/form-data; boundary=b0b")]);
        let stored = translated(&origins, &mime, part(&area).as_bytes(), size);
        prop_assert_eq!(String::from_utf8(stored).unwrap(), part(&text));

        let json = serde_json::json!({ "text": area }).to_string();
        let mime = headers(&[("content-type", "application/json")]);
        let stored = translated(&origins, &mime, json.as_bytes(), size);
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&stored).unwrap(), serde_json::json!({ "text": text }));
    }

    #[test]
    fn any_split_of_a_request_equals_the_whole(pieces in prop::collection::vec(prop::sample::select(&[
        "https://public.example.org/x", "https%3A%2F%2Fpublic.example.org", "came_from", "=", "&", ";", "%", "%2", "%2F", "/docs", "+",
        "\r\n--b\r\n", "\r\n", "\n--b", "--", "Content-Disposition: form-data; name=\"x\"", "; filename=\"y\"", "\r\n\r\n", "\n", "a",
    ][..]), 0..30), size in 1..20_usize) {
        let body = pieces.concat();
        for media_type in [FORM, "multipart/form-data; boundary=b", "text/plain"] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
            let origins = full(LOCAL);
            let whole = translated(&origins, &headers, body.as_bytes(), usize::MAX);
            prop_assert_eq!(translated(&origins, &headers, body.as_bytes(), size), whole, "{}", media_type);
        }
    }
}
