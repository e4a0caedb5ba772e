//! Every place where an address of a real Plone was seen to leak when the CMS is not told its public address, and every
//! place where rewriting was seen to break a site. Site: `http://localhost:8088/Plone`, also called `plone.internal`.

use super::super::coding::tests::{decoded, encoded};
use super::super::{Coding, Mode, Origins, Plan, RewriteBody, plan, response_headers};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use url::Url;

fn origins(mode: Mode) -> Arc<Origins> {
    let url = |text: &str| Url::parse(text).unwrap();
    let names = ["plone.internal".to_owned()];
    Arc::new(
        Origins::new(&url("http://localhost:8088/Plone"), &url("https://public.example.org"), &names, mode)
            .unwrap(),
    )
}

/// What becomes of an answer's body.
async fn body(mode: Mode, path: &str, media_type: &'static str, body: impl Into<Bytes>) -> Bytes {
    let origins = origins(mode);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(media_type));
    let plan = plan(&origins, path, &headers);
    RewriteBody::new(Full::new(body.into()), &origins, plan).collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn no_body_names_the_inside() {
    let rows: &[(&str, &str, &str, &str)] = &[
        (
            "error page of a redirect",
            "text/html",
            r#"<base href="http://localhost:8088/Plone/" />"#,
            r#"<base href="https://public.example.org/" />"#,
        ),
        (
            "4.3's redirect body",
            "text/plain",
            "http://localhost:8088/Plone/logged_out",
            "https://public.example.org/logged_out",
        ),
        (
            "dav href",
            "text/xml; charset=\"utf-8\"",
            "<d:href>/Plone/docs/</d:href>",
            "<d:href>/docs/</d:href>",
        ),
        (
            "link",
            "text/html",
            r#"<a href="http://localhost:8088/Plone/docs">"#,
            r#"<a href="https://public.example.org/docs">"#,
        ),
        (
            "link with a leading space",
            "text/html",
            r#"<a href=" http://localhost:8088/Plone/docs">"#,
            r#"<a href=" https://public.example.org/docs">"#,
        ),
        (
            "style sheet, script, image",
            "text/html",
            r#"<link href="http://localhost:8088/Plone/a.css"><script src="http://localhost:8088/Plone/a.js"></script><img src="http://localhost:8088/Plone/a.png">"#,
            r#"<link href="https://public.example.org/a.css"><script src="https://public.example.org/a.js"></script><img src="https://public.example.org/a.png">"#,
        ),
        (
            "form",
            "text/html",
            r#"<form action="http://localhost:8088/Plone/login">"#,
            r#"<form action="https://public.example.org/login">"#,
        ),
        (
            "graph",
            "text/html",
            r#"<meta property="og:url" content="http://localhost:8088/Plone">"#,
            r#"<meta property="og:url" content="https://public.example.org">"#,
        ),
        (
            "microdata",
            "text/html",
            r#"<span itemprop="url">http://localhost:8088/Plone/docs</span>"#,
            r#"<span itemprop="url">https://public.example.org/docs</span>"#,
        ),
        (
            "data on body",
            "text/html",
            r#"<body data-base-url="http://localhost:8088/Plone/docs" data-portal-url="http://localhost:8088/Plone">"#,
            r#"<body data-base-url="https://public.example.org/docs" data-portal-url="https://public.example.org">"#,
        ),
        (
            "more data on body",
            "text/html",
            r#"<body data-view-url="http://localhost:8088/Plone/docs/view" data-i18ncatalogurl="http://localhost:8088/Plone/plonejsi18n">"#,
            r#"<body data-view-url="https://public.example.org/docs/view" data-i18ncatalogurl="https://public.example.org/plonejsi18n">"#,
        ),
        (
            "select2",
            "text/html",
            r#"<input data-pat-select2='{"vocabularyUrl": "http://localhost:8088/Plone/@@getVocabulary?name=x"}'>"#,
            r#"<input data-pat-select2='{"vocabularyUrl": "https://public.example.org/@@getVocabulary?name=x"}'>"#,
        ),
        (
            "related items, paths stay",
            "text/html",
            r#"data-pat-relateditems="{&quot;rootUrl&quot;: &quot;http://localhost:8088/Plone&quot;, &quot;basePath&quot;: &quot;/Plone/docs&quot;}""#,
            r#"data-pat-relateditems="{&quot;rootUrl&quot;: &quot;https://public.example.org&quot;, &quot;basePath&quot;: &quot;/Plone/docs&quot;}""#,
        ),
        (
            "rich text, escaped twice",
            "text/html",
            r#"data-pat-textareamimetypeselector="{&quot;o&quot;: &quot;{\&quot;base&quot;: \&quot;http:\/\/localhost:8088\/Plone\&quot;}&quot;}""#,
            r#"data-pat-textareamimetypeselector="{&quot;o&quot;: &quot;{\&quot;base&quot;: \&quot;https:\/\/public.example.org\&quot;}&quot;}""#,
        ),
        (
            "4.3's editor",
            "text/html",
            r#"<textarea data-mce-config="{&quot;document_base_url&quot;: &quot;http://localhost:8088/Plone/docs/&quot;}"></textarea>"#,
            r#"<textarea data-mce-config="{&quot;document_base_url&quot;: &quot;https://public.example.org/docs/&quot;}"></textarea>"#,
        ),
        (
            "vocabulary, contents",
            "application/json; charset=utf-8",
            r#"{"results": [{"getURL": "http://localhost:8088/Plone/a", "path": "/Plone/a"}], "@@fc-contextInfo": "http:\/\/localhost:8088\/Plone"}"#,
            r#"{"results": [{"getURL": "https://public.example.org/a", "path": "/Plone/a"}], "@@fc-contextInfo": "https:\/\/public.example.org"}"#,
        ),
        (
            "rss 1.0's list, atom's self and logo",
            "application/rss+xml",
            r#"<rdf:li rdf:resource="http://localhost:8088/Plone/a"/><atom:link href="http://localhost:8088/Plone/rss.xml"/><logo>http://localhost:8088/Plone/logo</logo>"#,
            r#"<rdf:li rdf:resource="https://public.example.org/a"/><atom:link href="https://public.example.org/rss.xml"/><logo>https://public.example.org/logo</logo>"#,
        ),
        (
            "leading space and root-relative",
            "text/html",
            r#"<a href=" /Plone/docs"><link href="/Plone/a.css">"#,
            r#"<a href=" /docs"><link href="/a.css">"#,
        ),
        (
            "live search",
            "text/html",
            r#"data-pat-livesearch="ajaxUrl:http://localhost:8088/Plone/@@ajax-search""#,
            r#"data-pat-livesearch="ajaxUrl:https://public.example.org/@@ajax-search""#,
        ),
        (
            "toolbar",
            "text/html",
            r#"<script data-site-url="http://localhost:8088/Plone"></script>"#,
            r#"<script data-site-url="https://public.example.org"></script>"#,
        ),
        (
            "pattern json, paths stay",
            "text/html",
            r#"data-pat-structure="{&quot;u&quot;: &quot;http://localhost:8088/Plone/@@x&quot;, &quot;rootPath&quot;: &quot;/Plone&quot;}""#,
            r#"data-pat-structure="{&quot;u&quot;: &quot;https://public.example.org/@@x&quot;, &quot;rootPath&quot;: &quot;/Plone&quot;}""#,
        ),
        (
            "json in json",
            "text/html",
            r#"\\&quot;http://localhost:8088/Plone/x\\&quot;"#,
            r#"\\&quot;https://public.example.org/x\\&quot;"#,
        ),
        (
            "hidden came_from",
            "text/html",
            r#"<input type="hidden" name="came_from" value="http://localhost:8088/Plone/x">"#,
            r#"<input type="hidden" name="came_from" value="https://public.example.org/x">"#,
        ),
        (
            "referer in a link",
            "text/html",
            r#"<a href="x?referer=http%3A//localhost%3A8088/Plone/x">"#,
            r#"<a href="x?referer=https%3A//public.example.org/x">"#,
        ),
        (
            "4.3's inline import",
            "text/html",
            "<style><!-- @import url(http://localhost:8088/Plone/a.css); --></style>",
            "<style><!-- @import url(https://public.example.org/a.css); --></style>",
        ),
        (
            "4.3's script",
            "text/javascript;;charset=utf-8; charset=iso-8859-15",
            "var portal_url = 'http://localhost:8088/Plone';",
            "var portal_url = 'https://public.example.org';",
        ),
        (
            "comment in a merged script",
            "application/x-javascript",
            "// http://localhost:8088/Plone/a.js",
            "// https://public.example.org/a.js",
        ),
        (
            "comment in a merged style sheet",
            "text/css; charset=utf-8",
            "/* http://localhost:8088/Plone/a.css */",
            "/* https://public.example.org/a.css */",
        ),
        (
            "rss 1.0",
            "application/atom+xml; charset=iso-8859-15",
            r#"<item rdf:about="http://localhost:8088/Plone/a"><link>http://localhost:8088/Plone/a</link>"#,
            r#"<item rdf:about="https://public.example.org/a"><link>https://public.example.org/a</link>"#,
        ),
        (
            "rss guid",
            "application/rss+xml",
            "<guid>http://localhost:8088/Plone/a</guid>",
            "<guid>https://public.example.org/a</guid>",
        ),
        (
            "atom",
            "application/atom+xml",
            r#"<feed xml:base="http://localhost:8088/Plone"><icon>http://localhost:8088/Plone/favicon.ico</icon>"#,
            r#"<feed xml:base="https://public.example.org"><icon>https://public.example.org/favicon.ico</icon>"#,
        ),
        (
            "robots",
            "text/plain",
            "Sitemap: http://localhost:8088/Plone/sitemap.xml.gz",
            "Sitemap: https://public.example.org/sitemap.xml.gz",
        ),
        (
            "search as text",
            "text/plain",
            r#"[{"url": "http:\/\/localhost:8088\/Plone\/a"}]"#,
            r#"[{"url": "https:\/\/public.example.org\/a"}]"#,
        ),
        (
            "rest api",
            "application/json+hal+json",
            r#"{"@id": "http://localhost:8088/Plone/++api++/a"}"#,
            r#"{"@id": "https://public.example.org/++api++/a"}"#,
        ),
        (
            "live search reply",
            "text/xml",
            "<a href='http://localhost:8088/Plone/a'>",
            "<a href='https://public.example.org/a'>",
        ),
        (
            "calendar, folded",
            "text/calendar; charset=utf-8",
            "DESCRIPTION:see http://localhost:80\r\n 88/Plone/event\r\n",
            "DESCRIPTION:see https://public.example.org/event\r\n",
        ),
        (
            "calendar",
            "text/calendar",
            "URL:http://localhost:8088/Plone/event",
            "URL:https://public.example.org/event",
        ),
        (
            "drawing, by its path",
            "image/svg+xml",
            r#"<?xml version="1.0"?><svg><a xlink:href="/Plone/a"><image href="/Plone/b.png"/><rect fill="url(/Plone/c#d)"/></a></svg>"#,
            r#"<?xml version="1.0"?><svg><a xlink:href="/a"><image href="/b.png"/><rect fill="url(/c#d)"/></a></svg>"#,
        ),
        (
            "drawing",
            "image/svg+xml",
            r#"<a xlink:href="http://localhost:8088/Plone/a">"#,
            r#"<a xlink:href="https://public.example.org/a">"#,
        ),
    ];
    for (row, media_type, input, want) in rows {
        for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
            assert_eq!(body(mode, "/x", media_type, *input).await, *want, "{row}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn what_people_typed_is_mapped_in_every_mode() {
    for (row, input, want) in [
        ("relative", "//localhost:8088/Plone/a", "//public.example.org/a"),
        ("another name", "http://plone.internal/Plone/a", "https://public.example.org/a"),
        ("upper case", "HTTP://LocalHost:8088/Plone/a", "https://public.example.org/a"),
        ("encoded twice", "http%253A%252F%252Flocalhost%253A8088", "https%253A%252F%252Fpublic.example.org"),
        ("host in text", "The server is plone.internal.", "The server is public.example.org."),
        ("host and port in text", "localhost:8088", "public.example.org"),
        ("entities", "http&#58;&#47;&#47;localhost&#58;8088", "https&#58;&#47;&#47;public.example.org"),
        ("with a user", "http://admin@localhost:8088/Plone", "http://admin@public.example.org"),
        (
            "json",
            r#""http:\/\/localhost:8088" "\u002f\u002flocalhost:8088""#,
            r#""https:\/\/public.example.org" "\u002f\u002fpublic.example.org""#,
        ),
        ("json, colon too", r#""http\u003a//localhost\u003a8088""#, r#""https\u003a//public.example.org""#),
    ] {
        for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
            assert_eq!(body(mode, "/x", "text/html", input).await, want, "{row}");
        }
    }
}

#[tokio::test]
async fn compressed_text_files_are_rewritten_inside() {
    for (path, media_type) in
        [("/sitemap.xml.gz", "application/octet-stream"), ("/a/data.csv.gz", "application/gzip")]
    {
        let file = encoded(Coding::Gzip, b"<loc>http://localhost:8088/Plone/a</loc>");
        let got = body(Mode::Safety, path, media_type, file).await;
        assert_eq!(
            decoded(Coding::Gzip, &got).unwrap(),
            b"<loc>https://public.example.org/a</loc>",
            "{path}"
        );
    }
}

#[tokio::test]
async fn data_and_files_are_not_links() {
    for (row, media_type, input) in [
        ("paths in a form", "text/html", r#"<input name="paths:list" value="/Plone/secretpage">"#),
        (
            "4.3's search in this section",
            "text/html",
            r#"<input type="radio" name="path" value="/Plone/docs">"#,
        ),
        ("the editor", "text/html", "<textarea>&lt;a href=\"/Plone/docs\"&gt;</textarea>"),
        ("the site's title", "text/html", "<title>Plone</title><p>/Plone/docs</p><a href=\"/plone/\">"),
        ("pdf", "application/pdf", "%PDF /URI (http://localhost:8088/Plone/a)"),
        ("zip", "application/zip", "PK http://localhost:8088/Plone/a"),
        ("image", "image/png", "http://localhost:8088/Plone/a"),
        ("unknown", "application/octet-stream", "http://localhost:8088/Plone/a"),
    ] {
        for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
            assert_eq!(body(mode, "/x", media_type, input).await, input, "{row}, {mode:?}");
        }
    }
}

#[test]
fn no_redirect_names_the_inside() {
    for (row, name, value, want) in [
        ("redirect", "location", "http://localhost:8088/Plone", "https://public.example.org"),
        (
            "6.0's challenge",
            "location",
            "http://localhost:8088/Plone/acl_users/credentials_cookie_auth/require_login?came_from=/Plone/secretpage",
            "https://public.example.org/acl_users/credentials_cookie_auth/require_login?came_from=/secretpage",
        ),
        (
            "4.3's challenge",
            "location",
            "http://localhost:8088/Plone/require_login?came_from=http%3A//localhost%3A8088/Plone/x",
            "https://public.example.org/require_login?came_from=https%3A//public.example.org/x",
        ),
        (
            "original_url",
            "location",
            "http://localhost:8088/Plone/x?original_url=http%3A%2F%2Flocalhost%3A8088%2FPlone%2Fy",
            "https://public.example.org/x?original_url=https%3A%2F%2Fpublic.example.org%2Fy",
        ),
        (
            "content location",
            "content-location",
            "http://localhost:8088/Plone/docs/file",
            "https://public.example.org/docs/file",
        ),
    ] {
        for mode in [Mode::Safety, Mode::Forwarded, Mode::Full] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            response_headers(&origins(mode), Plan::Pass, &mut headers);
            assert_eq!(headers[name], want, "{row}, {mode:?}");
        }
    }
}
