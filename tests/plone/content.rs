//! Reading and writing through the gate: files, pages, search, feeds, and connections that stay in step.

use std::io::Read as _;

use http::Method;
use serde_json::{Value, json};

use crate::plone::{Plone, unique};
use crate::support::browser::{Answer, Browser};
use crate::support::gate::HOST;

/// The gate's two ways of keeping the inside in.
const HOSTINGS: [&str; 2] = ["", "virtual_hosting = \"rewrite\""];

const PUBLIC_ROBOTS: &str = "[site.access]\nrules = [{ path = \"/robots.txt\", access = \"public\" }]";

/// The site's picture, as deploy/plone/setup_site.py has it.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn picture() -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(PICTURE).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_as_they_are_and_in_parts() {
    let plone = Plone::new();
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let text = plone.checked(browser.get("/docs/file.txt/@@download/file").await);
        assert_eq!((text.status.as_u16(), text.text()), (200, "plain text\n".repeat(200)));
        assert!(text.header("content-disposition").unwrap().contains("file.txt"));
        let image = plone.checked(browser.get("/docs/picture.png/@@download/image").await);
        assert_eq!((image.status.as_u16(), image.header("content-type")), (200, Some("image/png")));
        assert_eq!(image.body, picture());
        assert_eq!(image.header("content-length"), Some(image.body.len().to_string().as_str()));

        let mut part = browser.clone().with("range", "bytes=1-3");
        let image = plone.checked(part.get("/docs/picture.png/@@download/image").await);
        assert_eq!((image.status.as_u16(), &*image.body), (206, &b"PNG"[..]));
        let total = picture().len();
        assert_eq!(image.header("content-range"), Some(format!("bytes 1-3/{total}").as_str()));
        // A part of a text cannot be looked through for addresses: the whole comes instead, as RFC 9110 allows.
        let text = plone.checked(part.get("/docs/file.txt/@@download/file").await);
        match text.status.as_u16() {
            206 => assert_eq!(text.text(), "lai"),
            200 => assert_eq!(text.text(), "plain text\n".repeat(200)),
            status => panic!("{status}"),
        }
        let head = browser.send(Method::HEAD, "/docs/picture.png/@@download/image", None).await;
        assert!(head.status.is_success() && head.body.is_empty(), "{}", head.status);
    }
}

/// waitress answers some `HEAD`s with a body, which on a shared connection is the beginning of somebody else's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_head_puts_another_visitors_answer_out_of_step() {
    let plone = Plone::new();
    let gate = plone.gate_with("[site.access]\ndefault = \"public\"");
    let mut tasks = Vec::new();
    for task in 0..6 {
        let mut browser = plone.browser(&gate);
        tasks.push(tokio::spawn(async move {
            for round in 0..15 {
                let head = ["/docs", "/nothing-here", "/docs/handbook", "/", "/docs/nothing/at/all"];
                let answer = browser.send(Method::HEAD, head[(task + round) % head.len()], None).await;
                assert!(answer.body.is_empty());
                match (task + round) % 4 {
                    0 => {
                        let answer = browser.get("/docs/handbook").await;
                        assert_eq!((answer.status.as_u16(), answer.heading().as_str()), (200, "Handbook"));
                    }
                    1 => {
                        let answer = browser.get("/docs/picture.png/@@download/image").await;
                        assert_eq!((answer.status.as_u16(), answer.body), (200, picture()));
                    }
                    2 => {
                        let answer = browser.post("/@@search", &[("SearchableText", "handbook")]).await;
                        assert!(
                            answer.status == 200 && answer.text().contains("/docs/handbook"),
                            "{} {:?} {}",
                            answer.status,
                            answer.headers,
                            answer.text()
                        );
                    }
                    _ => {
                        let answer = browser.send("PROPFIND".parse().unwrap(), "/docs", None).await;
                        assert_eq!(answer.status, 401);
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// A form as a browser posts it that uploads files.
fn multipart(fields: &[(String, String)], file: Option<(&str, &str, &[u8])>) -> (String, Vec<u8>) {
    let boundary = format!("----WebKitFormBoundary{}", unique("b").replace('-', ""));
    let mut body = Vec::new();
    for (name, value) in fields {
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(head.as_bytes());
    }
    if let Some((name, filename, bytes)) = file {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

async fn save(
    plone: &Plone,
    browser: &mut Browser,
    page: &Answer,
    changes: &[(&str, &str)],
    file: Option<(&str, &str, &[u8])>,
) -> Answer {
    let (action, mut fields) = page.form_named("form");
    assert!(fields.iter().any(|(name, _)| name == "_authenticator"), "Plone's own guard is there");
    for (name, value) in changes.iter().chain(&[("form.buttons.save", "Save")]) {
        fields.retain(|(known, _)| known != name);
        fields.push(((*name).to_owned(), (*value).to_owned()));
    }
    let (kind, body) = multipart(&fields, file);
    let path = browser.path_of(&action);
    plone.checked(browser.send(Method::POST, &path, Some((&kind, body))).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_edited_and_stored_as_it_was_written() {
    let plone = Plone::new();
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let page = unique("page");
        let document = json!({ "@type": "Document", "id": page, "title": "Before" });
        plone.api(Method::POST, "docs", document).await;
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let form = plone.checked(browser.get(&format!("/docs/{page}/edit")).await);
        assert_eq!(form.status, 200, "{hosting}");
        let text = format!(
            "<p>Ümläute, &amp; \"quotes\", a <a href=\"/docs\">path</a>, <a href=\"resolveuid/0123\">an id</a>,\r\nand __ac_name=x; login:method</p><p><input name=\"__ac_password\"/> {}</p>",
            unique("text")
        );
        let changes =
            [("form.widgets.IDublinCore.title", "After"), ("form.widgets.IRichTextBehavior.text", &text)];
        let saved = save(&plone, &mut browser, &form, &changes, None).await;
        assert_eq!(saved.status, 302, "{hosting}: {}", saved.text());
        let (_, shown) = browser.follow(&browser.path_of(&saved.location().unwrap())).await;
        let shown = plone.checked(shown);
        assert_eq!(shown.heading(), "After", "{hosting}");
        assert!(shown.texts("#content-core").join(" ").contains("Ümläute"), "{hosting}");
        let stored = plone.api(Method::GET, &format!("docs/{page}/@history"), Value::Null).await;
        assert!(stored.to_string().contains("siteadmin"), "{hosting}: it is known who did it");
        let form = plone.directly_as_admin(&format!("docs/{page}/edit")).await;
        let (_, fields) = form.form_named("form");
        let stored = fields.iter().find(|(name, _)| name == "form.widgets.IRichTextBehavior.text");
        assert_eq!(
            stored.map(|(_, text)| text.replace("\r\n", "\n")),
            Some(text.replace("\r\n", "\n")),
            "{hosting}"
        );
    }
}

/// What authors write: links of all kinds to the site by the address that the CMS knows, and what only looks like them.
fn written(plone: &Plone) -> String {
    let (url, authority) = (&plone.url, &plone.authority);
    let encoded = |text: &str| text.replace(':', "%3A").replace('/', "%2F");
    format!(
        "<p>\u{e9} &amp; \u{4e2d} <a href=\"{url}/docs\">absolute</a> <a href=\"//{authority}/Plone/news?a=b&amp;c#d\">relative</a> \
         <a href=\"/Plone/docs\">a path</a> <a href=\"/docs\">another</a> <a href=\"resolveuid/0123\">an id</a> \
         <img src='{url}/docs/picture.png' srcset=\"/Plone/a 1x, {url}/b 2x\"> <i style=\"background: url(/Plone/c.png)\">text {url}/d.</i> \
         {{\"u\": \"{json}\"}} {once} {twice} {url} {url}/ /Plone %2F + ; </p><pre>{url}/e?came_from=/Plone/f</pre>",
        json = url.replace('/', "\\/"),
        once = encoded(&format!("{url}/g")),
        twice = encoded(&format!("{url}/h")).replace('%', "%25"),
    )
}

/// Opened in its form, or by the service that scripts use, and saved without a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_opened_and_saved_is_stored_as_it_was() {
    let plone = Plone::new();
    let stored = |page: String| {
        let plone = &plone;
        async move {
            let form = plone.directly_as_admin(&format!("docs/{page}/edit")).await;
            let (_, fields) = form.form_named("form");
            let text = fields.into_iter().find(|(name, _)| name == "form.widgets.IRichTextBehavior.text");
            text.unwrap().1
        }
    };
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let page = unique("page");
        let written = written(&plone);
        let text = json!({ "data": written, "content-type": "text/html", "encoding": "utf-8" });
        let document = json!({ "@type": "Document", "id": page, "title": "Before", "text": text });
        plone.api(Method::POST, "docs", document).await;
        // The service that scripts use takes entities for what they stand for.
        let written = stored(page.clone()).await;
        assert!(written.matches(&plone.authority).count() > 8, "{written}");
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let form = plone.checked(browser.get(&format!("/docs/{page}/edit")).await);
        let saved = save(&plone, &mut browser, &form, &[], None).await;
        assert_eq!(saved.status, 302, "{hosting}: {}", saved.text());
        // A CMS that knows its public address is told by it what was internal: its page is the better for it.
        let public = written
            .replace(&plone.url, &format!("http://{HOST}"))
            .replace(&format!("//{}/Plone", plone.authority), &format!("//{HOST}"))
            .replace(&plone.url.replace('/', "\\/"), &format!("http:\\/\\/{HOST}"))
            .replace(&plone.url.replace(':', "%3A").replace('/', "%2F"), &format!("http%3A%2F%2F{HOST}"))
            .replace(
                &plone.url.replace(':', "%253A").replace('/', "%252F"),
                &format!("http%253A%252F%252F{HOST}"),
            );
        let want = if hosting.is_empty() { &public } else { &written };
        assert_eq!(&stored(page.clone()).await, want, "{hosting}");

        // One that nobody has opened: that would lock it.
        let page = unique("page");
        plone.api(Method::POST, "docs", json!({ "@type": "Document", "id": page, "title": "Before" })).await;
        let mut script = browser.clone().without("accept").with("accept", "application/json");
        let path = format!("/docs/{page}");
        let shown = plone.checked(script.get(&path).await);
        let shown: Value = serde_json::from_str(&shown.text()).unwrap();
        assert_eq!(shown["@id"], format!("http://{HOST}{path}"));
        let see = json!({ "description": format!("see {}", shown["@id"].as_str().unwrap()) });
        let sent = ("application/json", see.to_string().into_bytes());
        let answer = plone.checked(script.send(Method::PATCH, &path, Some(sent)).await);
        assert!(answer.status.is_success(), "{hosting}: {} {}", answer.status, answer.text());
        let after = plone.api(Method::GET, &path[1..], Value::Null).await;
        let base = if hosting.is_empty() { format!("http://{HOST}") } else { plone.url.clone() };
        assert_eq!(after["description"], format!("see {base}{path}"), "{hosting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_and_comes_back_as_it_was() {
    let plone = Plone::new();
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let form = plone.checked(browser.get("/docs/++add++File").await);
        assert_eq!(form.status, 200);
        // What a login page saved as a file holds, and what addresses look like: a file's own affair.
        let mut bytes: Vec<u8> =
            (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        bytes.extend_from_slice(b"<input name=\"__ac_name\">; name=\"mail_password:method\"\r\n\r\n");
        bytes.extend_from_slice(plone.url.as_bytes());
        let id = unique("upload");
        let changes =
            [("form.widgets.title", "A file of bytes"), ("form.widgets.IShortName.id", id.as_str())];
        let file = Some(("form.widgets.file", "data.bin", bytes.as_slice()));
        let saved = save(&plone, &mut browser, &form, &changes, file).await;
        assert_eq!(
            saved.status,
            302,
            "{hosting}: {:?} {}",
            saved.texts(".invalid-feedback"),
            saved.heading()
        );
        let back = browser.get(&format!("/docs/{id}/@@download/file")).await;
        assert_eq!(back.status, 200);
        plone.api(Method::DELETE, &format!("docs/{id}"), Value::Null).await;
        assert!(back.body == bytes, "{hosting}: {} bytes of {}", back.body.len(), bytes.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_and_feeds_name_the_public_address() {
    let plone = Plone::new();
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let public = format!("http://{HOST}/news/opening");
        for (path, link) in [
            ("/@@search?SearchableText=handbook", "/docs/handbook"),
            ("/@@ajax-search?SearchableText=handbook", "/docs/handbook"),
            ("/news/RSS", public.as_str()),
            ("/news/rss.xml", &public),
            ("/news/atom.xml", &public),
            ("/news/itunes.xml", ""),
            ("/docs/linked", "/docs/handbook"),
            ("/sitemap", "/docs/handbook"),
            ("/@@site-map", ""),
        ] {
            let answer = plone.checked(browser.get(path).await);
            assert!(answer.status == 200 || link.is_empty(), "{hosting} {path}: {}", answer.status);
            assert!(answer.text().contains(link), "{hosting} {path}: {}", answer.text());
        }
    }
}

/// The map for search engines comes compressed, as a file, and so without the type of a text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sitemap_for_search_engines_names_the_public_address() {
    let plone = Plone::new();
    plone.api(Method::PATCH, "@registry", json!({ "plone.enable_sitemap": true })).await;
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let answer = plone.checked(browser.get("/sitemap.xml.gz").await);
        assert_eq!(answer.status, 200);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*answer.body).read_to_string(&mut text).unwrap();
        assert!(!text.contains(&plone.authority), "{hosting}: {text}");
        assert!(text.contains(&format!("<loc>http://{HOST}/docs/handbook</loc>")), "{hosting}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_public_by_rule_needs_no_session_and_nothing_else_is() {
    let plone = Plone::new();
    for hosting in HOSTINGS {
        let gate = plone.gate_with(&format!("{hosting}\n{PUBLIC_ROBOTS}"));
        let mut browser = plone.browser(&gate);
        let robots = plone.checked(browser.get("/robots.txt").await);
        assert_eq!(robots.status, 200);
        assert!(
            robots.text().contains(&format!("Sitemap: http://{HOST}/sitemap.xml.gz")),
            "{}",
            robots.text()
        );
        for path in [
            "/",
            "/docs",
            "/robots.txt/",
            "/Robots.txt",
            "/docs/robots.txt",
            "/favicon.ico",
            "/robots.txt/docs",
        ] {
            let answer = plone.checked(browser.get(path).await);
            assert_eq!(answer.status, 302, "{path}");
            assert!(answer.location().unwrap().starts_with("/_gate/login"), "{path}");
        }
    }
}

/// Links that an author typed with the internal address, which no virtual hosting changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_links_that_an_author_typed_do_not_show() {
    let plone = Plone::new();
    assert!(plone.directly().get("/Plone/internal-links").await.text().matches(&plone.authority).count() > 3);
    for hosting in HOSTINGS {
        let gate = plone.gate_with(hosting);
        let mut browser = plone.signed_in(&gate, "siteadmin").await;
        let page = plone.checked(browser.get("/internal-links").await);
        assert_eq!(page.status, 200);
        let links = page.links("#content-core a");
        assert_eq!(links.len(), 3, "{hosting}: {links:?}");
        for link in links {
            let path = link.strip_prefix("http:").unwrap_or(&link);
            let path = path
                .strip_prefix("//")
                .map_or(path, |rest| rest.strip_prefix(HOST).expect("the public host"));
            let (_, linked) = browser.follow(path).await;
            assert_eq!(plone.checked(linked).heading(), "Documents", "{hosting}: {link}");
        }
    }
}
