//! A CMS that is told nothing of its public address: what comes back is public, what goes in is internal.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use http::Method;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::raw;
use support::standin::{Canned, Recorded, StandIn};

const FORM: &str = "application/x-www-form-urlencoded";

/// A gate with nothing but public pages.
fn gate(standin: &StandIn, hosting: &str, more: &str) -> Gate {
    let site = format!("virtual_hosting = \"{hosting}\"\n[site.access]\ndefault = \"public\"\n{more}");
    Gate::with(&standin.url(), &site)
}

/// The same with its public address below a path.
fn gate_at(path: &str, standin: &StandIn, hosting: &str, more: &str) -> Gate {
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}{path}\"\n\
         backend_url = \"{}\"\nvirtual_hosting = \"{hosting}\"\n[site.access]\ndefault = \"public\"\n{more}",
        standin.url()
    ))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap()
}

fn gunzip(file: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn last(standin: &StandIn) -> Recorded {
    standin.requests().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_page_is_stored_as_its_author_wrote_it() {
    let standin = StandIn::plone60();
    let gate = gate(&standin, "rewrite", "");
    let mut browser = Browser::new(gate.address, HOST);
    let url = standin.url();
    let written = format!(
        "<p><a href=\"{url}/docs\">docs</a> <a href=\"/Plone/news\">news</a> <img src='//{}/Plone/a.png'>\n\
         <i style=\"background:url(/Plone/b.png)\">{{\"u\": \"{}\"}}</i> \u{e9} &amp; %2F + ;</p>",
        standin.address(),
        url.replace('/', "\\/"),
    );
    let escaped = written.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let page = format!(
        "<form method=\"post\" action=\"/Plone/docs/edit\"><input name=\"text\" value=\"{escaped}\">\
         <input name=\"paths:list\" value=\"/Plone/docs\"><input name=\"came_from\" value=\"{url}/docs\"></form>"
    );
    standin.answer("docs/edit", Canned::html(200, page));

    let shown = browser.get("/docs/edit").await;
    assert!(!shown.text().contains(&standin.address().to_string()), "{}", shown.text());
    assert!(shown.text().contains("action=\"/docs/edit\""), "{}", shown.text());
    let form = shown.form();
    assert!(form[0].1.contains(&format!("http://{HOST}/docs")), "the editor works with public addresses");

    let fields: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut browser = browser
        .with("origin", &format!("http://{HOST}"))
        .with("referer", &format!("http://{HOST}/docs/edit?x"));
    assert_eq!(browser.post("/docs/edit", &fields).await.status, 200);
    let stored = last(&standin);
    assert_eq!(stored.target, "/Plone/docs/edit");
    assert_eq!(
        stored.fields(),
        [
            ("text".to_owned(), written),
            ("paths:list".to_owned(), "/Plone/docs".to_owned()),
            ("came_from".to_owned(), format!("{url}/docs"))
        ]
    );
    assert_eq!(stored.header("content-length"), Some(stored.body.len().to_string()));
    assert_eq!(stored.header("origin"), Some(format!("http://{}", standin.address())));
    assert_eq!(stored.header("referer"), Some(format!("{url}/docs/edit?x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_body_and_query_comes_back_translated() {
    let standin = StandIn::plone43();
    let gate = gate(&standin, "rewrite", "");
    let mut browser = Browser::new(gate.address, HOST);
    let (public, internal) = (format!("http://{HOST}/x"), format!("{}/x", standin.url()));
    let part = |link: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n{link}\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\
             Content-Type: text/plain\r\n\r\nin a file: {public}\r\n--b--\r\n"
        )
    };
    let large = |link: &str| format!("{{\"pad\": \"{}\", \"u\": \"{link}\"}}", "x".repeat(600 << 10));
    for (row, media_type, body, want) in [
        ("multipart", "multipart/form-data; boundary=b", part(&public), part(&internal)),
        (
            "json",
            "application/json",
            format!("{{\"u\": \"{public}\"}}"),
            format!("{{\"u\": \"{internal}\"}}"),
        ),
        ("json past the memory set aside", "application/json", large(&public), large(&internal)),
        ("a text that is put", "text/plain; charset=utf-8", public.clone(), internal.clone()),
        ("a file that is put", "application/octet-stream", public.clone(), public.clone()),
        ("nothing to translate", FORM, "a=b&c=%2F".to_owned(), "a=b&c=%2F".to_owned()),
    ] {
        browser.send(Method::PUT, "/docs/file.txt", Some((media_type, body.into_bytes()))).await;
        let got = last(&standin);
        assert!(
            got.body == want.as_bytes(),
            "{row}: {}",
            String::from_utf8_lossy(&got.body[..got.body.len().min(500)])
        );
        assert_eq!(got.header("content-length"), Some(want.len().to_string()), "{row}");
        assert_eq!(got.header("transfer-encoding"), None, "{row}");
    }
    let mut gzipped = browser.clone().with("content-encoding", "gzip");
    gzipped.send(Method::PUT, "/docs/a.txt", Some(("text/plain", gzip(&public)))).await;
    let got = last(&standin);
    assert_eq!(got.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(gunzip(&got.body), internal);
    assert_eq!(got.header("content-length"), Some(got.body.len().to_string()));
    standin.forget_requests();
    let cut = gzip(&public)[..15].to_vec();
    let broken = gzipped.send(Method::PUT, "/docs/a.txt", Some(("text/plain", cut))).await;
    assert_eq!((broken.status.as_u16(), standin.requests().len()), (403, 0), "it cannot be read");
    browser.get("/docs?came_from=/news&u=http%3A//www.example.test/news&path=/docs").await;
    let address = standin.address().to_string().replace(':', "%3A");
    assert_eq!(
        last(&standin).target,
        format!("/Plone/docs?came_from=%2FPlone%2Fnews&u=http%3A%2F%2F{address}%2FPlone%2Fnews&path=%2Fdocs")
    );
    let mut browser = browser
        .with("destination", &format!("http://{HOST}/docs/b"))
        .with("if", &format!("<http://{HOST}/docs> (<opaquelocktoken:1>)"));
    browser.send(Method::from_bytes(b"MOVE").unwrap(), "/docs/a", None).await;
    let moved = last(&standin);
    assert_eq!(moved.header("destination"), Some(format!("{}/docs/b", standin.url())));
    assert_eq!(moved.header("if"), Some(format!("<{}/docs> (<opaquelocktoken:1>)", standin.url())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_knows_its_public_address_gets_what_was_sent() {
    for (hosting, path) in [("zope", ""), ("zope", "/intra"), ("forwarded", "/Plone")] {
        let standin = StandIn::plone60();
        let gate = gate_at(path, &standin, hosting, "");
        let destination = format!("http://{HOST}{path}/docs/b");
        let mut browser =
            Browser::new(gate.address, HOST).with("destination", &destination).with("referer", &destination);
        let body = format!("u=http://{HOST}{path}/x&came_from=/x");
        let asked = format!("{path}/docs?came_from=/x");
        browser.send(Method::POST, &asked, Some((FORM, body.clone().into_bytes()))).await;
        let got = last(&standin);
        assert_eq!(String::from_utf8(got.body.clone()).unwrap(), body, "{hosting}");
        assert!(got.target.ends_with("/docs?came_from=/x"), "{}", got.target);
        assert_eq!(
            (got.header("destination"), got.header("referer")),
            (Some(destination.clone()), Some(destination))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_posted_may_not_be_posted_in_a_body_that_is_translated() {
    let standin = StandIn::plone60();
    let gate = gate(&standin, "rewrite", "[site.forward]\nbody_limit = \"1 KiB\"\n");
    let mut browser = Browser::new(gate.address, HOST);
    standin.forget_requests();
    assert_eq!(
        browser.post("/docs", &[("__ac_name", "jdoe"), ("__ac_password", "Secret1234!")]).await.status,
        403
    );
    let pad = "x".repeat(2000);
    assert_eq!(browser.post("/docs", &[("pad", &pad)]).await.status, 413);
    assert_eq!(standin.requests().len(), 0);
}

/// A cookie that holds an address is public in the browser, and comes back as it was set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_comes_back_as_it_was_set() {
    let standin = StandIn::plone60();
    let value = format!("http%3A%2F%2F{}%2FPlone%2Fnews", standin.address().to_string().replace(':', "%3A"));
    standin.answer("/set", Canned::html(200, "").header("set-cookie", &format!("back={value}; Path=/Plone")));
    let gate = gate(&standin, "rewrite", "");
    let mut browser = Browser::new(gate.address, HOST);
    let set = browser.get("/set").await;
    assert_eq!(set.header("set-cookie"), Some("back=http%3A%2F%2Fwww.example.test%2Fnews; Path=/"));
    browser.get("/docs").await;
    assert_eq!(last(&standin).header("cookie"), Some(format!("back={value}")));
}

/// Fields are not all that an answer says: there are the words behind its status, and a body may come without a type.
#[test]
fn no_part_of_an_answer_names_the_inside() {
    let backend = raw::Backend::answering(|request| {
        let inside = request.field("host").unwrap();
        let body = format!("<a href=\"http://{inside}/Plone/x\">");
        let types = match request.target().trim_start_matches("/Plone") {
            "/untyped" => "",
            "/two-types" => "Content-Type: image/png\r\nContent-Type: text/html\r\n",
            "/trailers" => {
                return format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x};at=\"{inside}\"\r\n{body}\r\n0\r\nX-Sum: http://{inside}/Plone\r\n\r\n",
                    body.len()
                );
            }
            "/early" => {
                return format!(
                    "HTTP/1.1 103 Early Hints\r\nLink: <http://{inside}/Plone/a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
            _ => "Content-Type: text/html\r\n",
        };
        format!("HTTP/1.1 500 Broken at {inside}\r\n{types}Content-Length: {}\r\n\r\n{body}", body.len())
    });
    let inside = backend.address().to_string();
    let port = backend.address().port().to_string();
    for hosting in ["zope", "forwarded", "rewrite"] {
        let more = format!("virtual_hosting = \"{hosting}\"\n[site.access]\ndefault = \"public\"\n");
        let gate = Gate::with(&backend.url(), &more);
        for path in ["/page", "/untyped", "/two-types", "/trailers", "/early"] {
            let answer = raw::ask(gate.address, raw::get(path, "TE: trailers\r\n"));
            let said = format!("{answer:?} {}", answer.text());
            assert!(!said.contains(&inside) && !said.contains(&port), "{hosting} {path}: {said}");
            assert!(answer.text().contains(&format!("http://{HOST}/x")), "{hosting} {path}: {said}");
        }
    }
}

/// What the gate writes to its log while `work` runs.
async fn logged<T>(work: impl Future<Output = T>) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LINES: LazyLock<Lines> = LazyLock::new(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        lines
    });
    LazyLock::force(&LINES);
    let outcome = work.await;
    (outcome, String::from_utf8(LINES.0.lock().unwrap().clone()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_name_that_no_rule_maps_is_logged_or_blocked() {
    let standin = StandIn::plone60();
    let leak = format!("see {}evil", standin.address());
    standin.answer("/leak", Canned::html(200, leak.clone()));
    standin.answer("/late-leak", Canned::html(200, format!("{}{leak}", "x".repeat(200 << 10))));
    standin.answer("/head-leak", Canned::html(200, "fine").header("etag", &format!("\"{leak}\"")));
    standin.answer("/sealed", Canned::html(200, gzip(&leak)).header("content-encoding", "gzip, x-odd"));
    standin.answer("/fine", Canned::html(200, format!("see {}", standin.address())));
    for hosting in ["zope", "rewrite"] {
        let logging = gate(&standin, hosting, "");
        let mut browser = Browser::new(logging.address, HOST);
        let (answer, log) = logged(async {
            browser.get("/head-leak?secret").await;
            assert_eq!(browser.get("/sealed").await.status, 200);
            browser.get("/leak?secret").await
        })
        .await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, leak.clone()), "{hosting}");
        assert!(log.lines().any(|line| line.contains("look into") && line.contains("/sealed")), "{log}");
        // The body's line is written before its last byte goes.
        for place in ["headers", "body"] {
            let line = log.lines().find(|line| line.contains("holds internal names") && line.contains(place));
            let line = line.unwrap_or_else(|| panic!("{hosting}, {place}: {log}"));
            assert!(line.contains("leak") && line.contains("count=1"), "{line}");
            assert!(!line.contains("evil") && !line.contains("secret"), "{line}");
        }

        let blocking = gate(&standin, hosting, "[site.rewrite]\nleaks = \"block\"\n");
        let mut browser = Browser::new(blocking.address, HOST);
        for path in ["/leak", "/head-leak", "/sealed"] {
            let answer = browser.get(path).await;
            assert_eq!(answer.status, 502, "{hosting} {path}");
            assert!(!answer.text().contains("evil"), "{}", answer.text());
        }
        let late = browser.get("/late-leak").await;
        assert!(late.body.is_empty() && !late.text().contains("evil"), "the browser sees it break off");
        assert_eq!(browser.get("/fine").await.text(), format!("see {HOST}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_types_and_attributes_are_rewritten_as_configured() {
    let standin = StandIn::plone60();
    let link = format!("see {}/news", standin.url());
    let mut odd = Canned::html(200, link.clone()).header("content-type", "application/x-odd");
    standin.answer("/odd", odd.clone());
    odd.body = b"<i data-target=\"/Plone/x\">".to_vec();
    standin.answer("/page", odd.header("content-type", "text/html"));
    let plain = gate(&standin, "rewrite", "");
    assert_eq!(Browser::new(plain.address, HOST).get("/odd").await.text(), link);
    let more = "[site.rewrite]\ntypes = [\"Application/X-Odd\"]\nattributes = [\"data-target\"]\n";
    let told = gate(&standin, "rewrite", more);
    let mut browser = Browser::new(told.address, HOST);
    assert_eq!(browser.get("/odd").await.text(), format!("see http://{HOST}/news"));
    assert_eq!(browser.get("/page").await.text(), "<i data-target=\"/x\">");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_told_host_port_and_path_by_fields() {
    let standin = StandIn::plone60();
    for (hosting, path, prefix) in [
        ("forwarded", "", Some("/")),
        ("forwarded", "/intra", Some("/intra")),
        ("forwarded", "/Plone", Some("/Plone")),
        ("zope", "/intra", None),
        ("rewrite", "/intra", None),
    ] {
        let gate = gate_at(path, &standin, hosting, "");
        let mut browser = Browser::new(gate.address, HOST);
        for (name, value) in
            [("host", "evil"), ("port", "666"), ("prefix", "/evil"), ("proto", "evil"), ("server", "evil")]
        {
            browser = browser.with(&format!("x-forwarded-{name}"), value);
        }
        browser.get(&format!("{path}/news")).await;
        let got = last(&standin);
        let field = |name: &str| got.header(&format!("x-forwarded-{name}"));
        assert_eq!(field("host").as_deref(), Some(HOST), "{hosting} {path}");
        assert_eq!(
            (field("proto").as_deref(), field("port").as_deref()),
            (Some("http"), Some("80")),
            "{hosting} {path}"
        );
        assert_eq!(field("prefix").as_deref(), prefix, "{hosting} {path}");
        assert_eq!(field("server"), None);
        assert_eq!(got.header("host").as_deref() == Some(HOST), hosting == "forwarded", "{hosting}");
    }
}

/// This stand-in heeds the host it is told, as Zope does, and knows nothing of a path: it writes `http://www.example.test/Plone/…`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_told_its_host_only_shows_no_path_of_its_own() {
    for path in ["", "/intra"] {
        let standin = StandIn::plone60();
        let gate = gate_at(path, &standin, "forwarded", "");
        let mut browser = Browser::new(gate.address, HOST);
        let page = browser.get(&format!("{path}/")).await;
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("/Plone"), "{path}: {}", page.text());
        assert!(page.text().contains(&format!("http://{HOST}{path}/")), "{path}: {}", page.text());

        let body = format!(
            "<a href=\"/Plone/a\"><input value=\"/Plone/b\"><i style=\"b:url(/Plone/c)\">{0} {0}/d http://{HOST}/Plone/e",
            standin.url()
        );
        let page = Canned::html(200, body).header("location", "/Plone/f?came_from=/Plone/g");
        standin.answer("/page", page.header("set-cookie", "a=1; Path=/Plone"));
        let shown = browser.get(&format!("{path}/page")).await;
        let public = format!("http://{HOST}{path}");
        assert_eq!(
            shown.text(),
            format!(
                "<a href=\"{path}/a\"><input value=\"/Plone/b\"><i style=\"b:url({path}/c)\">{public} {public}/d {public}/e"
            )
        );
        assert_eq!(shown.location(), Some(format!("{path}/f?came_from={path}/g")));
        let root = if path.is_empty() { "/" } else { "/intra/" };
        assert_eq!(shown.header("set-cookie"), Some(format!("a=1; Path={root}").as_str()));

        // And what was shown comes back as it was.
        let mut browser =
            browser.with("referer", &format!("{public}/page")).with("origin", &format!("http://{HOST}"));
        browser
            .post(
                &format!("{path}/save"),
                &[("text", &format!("see {public}/e")), ("came_from", &format!("{path}/g"))],
            )
            .await;
        let saved = last(&standin);
        assert_eq!(saved.target, "/Plone/save");
        assert_eq!(saved.field("text"), Some(format!("see http://{HOST}/Plone/e")));
        assert_eq!(saved.field("came_from").as_deref(), Some("/Plone/g"));
        assert_eq!(saved.header("referer"), Some(format!("http://{HOST}/Plone/page")));
        assert_eq!(saved.header("origin"), Some(format!("http://{HOST}")));
    }
}

/// facts of other proxies: eight spellings on a page and six files, of which virtual hosting alone lets all through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_typed_does_not_get_out_in_any_mode() {
    let standin = StandIn::plone60();
    let (address, url) = (standin.address().to_string(), standin.url());
    let typed = |address: &str, site: &str, name: &str, path: &str| {
        let encoded = |text: &str| text.replace(':', "%3A").replace('/', "%2F");
        format!(
            "<a href=\"{site}/a\"> //{address}/x http://{name}/y {twice} HTTP://{upper}/ {name} {address} \
             <a href=\"{path}/docs\"><img src='{path}/a.png'><i style=\"b:url({path}/c)\"><form action={path}/f>\
             \u{e9} <input name=\"paths:list\" value=\"/Plone/x\"><textarea><a href=\"/Plone/x\"></textarea><a href=\"/Plonex\">",
            twice = encoded(&encoded(&format!("http://{address}/z"))).replace("%2525", "%25"),
            upper = name.to_uppercase(),
        )
    };
    let page = typed(&address, &url, "plone.internal", "/Plone");
    let json = format!(
        "{{\"a\": \"{}\", \"b\": \"http:\\u002f\\u002f{address}\\u002fx\"}}",
        url.replace('/', "\\/")
    );
    let files = [
        ("typed.html", "text/html;charset=utf-8", page.clone().into_bytes()),
        ("typed.json", "application/json", json.into_bytes()),
        ("typed.txt", "text/plain", format!("see {url}/a").into_bytes()),
        ("typed.ics", "text/calendar", format!("URL:{url}/a").into_bytes()),
        ("typed.svg", "image/svg+xml", format!("<a xlink:href=\"{url}/a\">").into_bytes()),
        ("typed.css", "text/css", format!("@import url({url}/a.css); b{{c:url(/Plone/x.png)}}").into_bytes()),
        ("typed.csv.gz", "application/gzip", gzip(&format!("a;{url}/a\n"))),
        ("sitemap.xml.gz", "application/octet-stream", gzip(&format!("<loc>{url}/a</loc>"))),
        ("typed.pdf", "application/pdf", format!("%PDF /URI ({url}/a)").into_bytes()),
        ("typed.zip", "application/zip", format!("PK{url}/a").into_bytes()),
    ];
    for (name, media_type, body) in &files {
        standin.answer(name, Canned::html(200, body.clone()).header("content-type", media_type));
    }
    for hosting in ["zope", "forwarded", "rewrite"] {
        for path in ["", "/intra"] {
            let gate = Gate::from_toml(&format!(
                "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}{path}\"\n\
                 backend_url = \"{url}\"\nvirtual_hosting = \"{hosting}\"\ninternal_names = [\"plone.internal\"]\n[site.access]\ndefault = \"public\"\n"
            ));
            let mut browser = Browser::new(gate.address, HOST);
            for (name, media_type, body) in &files {
                let row = format!("{hosting} {path}/{name}");
                let got = browser.get(&format!("{path}/{name}")).await;
                if matches!(*media_type, "application/pdf" | "application/zip") {
                    assert_eq!(&got.body, body, "{row}: files are not altered");
                    continue;
                }
                let text = if name.ends_with(".gz") { gunzip(&got.body) } else { got.text() };
                assert!(
                    !text.contains(&address) && !text.to_lowercase().contains("plone.internal"),
                    "{row}: {text}"
                );
                assert!(text.contains(&format!("{HOST}{path}")) || text.contains(HOST), "{row}: {text}");
                if *name == "typed.css" {
                    assert_eq!(
                        text,
                        format!("@import url(http://{HOST}{path}/a.css); b{{c:url({path}/x.png)}}"),
                        "{row}"
                    );
                }
                if *name == "typed.html" {
                    for part in [
                        format!("<a href=\"http://{HOST}{path}/a\">"),
                        format!("<a href=\"{path}/docs\"><img src='{path}/a.png'><i style=\"b:url({path}/c)\"><form action={path}/f>"),
                        "<input name=\"paths:list\" value=\"/Plone/x\"><textarea><a href=\"/Plone/x\"></textarea><a href=\"/Plonex\">".to_owned(),
                    ] {
                        assert!(text.contains(&part), "{row}: {part} in {text}");
                    }
                }
            }
        }
    }
}

/// nginx and Apache by type skip answers that are no 200: whole error pages got out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_any_status_is_rewritten() {
    let standin = StandIn::plone60();
    for status in [200, 201, 203, 302, 307, 403, 404, 410, 500, 503] {
        let page = Canned::html(
            status,
            format!("<!DOCTYPE html><meta http-equiv=\"x\"><base href=\"{}/\">", standin.url()),
        );
        standin.answer("/page", page.header("location", &format!("{}/news", standin.url())));
        for hosting in ["zope", "forwarded", "rewrite"] {
            let gate = gate(&standin, hosting, "");
            let got = Browser::new(gate.address, HOST).get("/page").await;
            let want = format!("<!DOCTYPE html><meta http-equiv=\"x\"><base href=\"http://{HOST}/\">");
            assert_eq!((got.status.as_u16(), got.text()), (status, want), "{hosting}");
            assert_eq!(got.location(), Some(format!("http://{HOST}/news")), "{hosting} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_public_is_left_alone() {
    let standin = StandIn::plone60();
    let page = format!("<a href=\"/Plone/x\"><a href=\"http://{HOST}/Plone/y\">");
    standin.answer("/page", Canned::html(200, page.clone()).header("location", "/Plone/z"));
    let other = format!(
        "[[site]]\nname = \"other\"\npublic_url = \"http://{HOST}/Plone\"\nbackend_url = \"{}\"\n",
        standin.url()
    );
    for (row, more) in
        [("it says so", "[site.rewrite]\nlinks = false\n"), ("another site is there", other.as_str())]
    {
        let gate = gate_at("", &standin, "zope", more);
        let got = Browser::new(gate.address, HOST).get("/page").await;
        assert_eq!((got.text(), got.location().as_deref()), (page.clone(), Some("/Plone/z")), "{row}");
    }
    let gate = gate(&standin, "zope", "");
    let got = Browser::new(gate.address, HOST).get("/page").await;
    assert_eq!(
        got.text(),
        format!("<a href=\"/x\"><a href=\"http://{HOST}/Plone/y\">"),
        "only what has no host can mean the inside"
    );
}

/// Zope cuts parts out of files for any method, and takes the last of several `Range` lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_range_cuts_an_internal_name_into_parts_that_nobody_knows() {
    let standin = StandIn::answering(|request| {
        let text = format!("see http://{}/Plone/a", request.header("x-inside").unwrap_or_default());
        let Some(range) = request.headers.get_all("range").iter().next_back() else {
            return Canned {
                status: 200,
                headers: vec![("content-type".into(), "text/plain".into())],
                body: text.into(),
            };
        };
        let range = range.to_str().unwrap();
        if range.contains(',') || request.target.contains("always") {
            let part = format!("--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--b--\r\n");
            let kind = ("content-type".into(), "multipart/byteranges; boundary=b".into());
            return Canned { status: 206, headers: vec![kind], body: part.into() };
        }
        let ends: Vec<usize> =
            range.trim_start_matches("bytes=").split('-').map(|end| end.parse().unwrap()).collect();
        let body = text.as_bytes()[ends[0]..=ends[1].min(text.len() - 1)].to_vec();
        let whole = format!("bytes {}-{}/{}", ends[0], ends[1], text.len());
        let headers = vec![("content-type".into(), "text/plain".into()), ("content-range".into(), whole)];
        Canned { status: 206, headers, body }
    });
    let inside = standin.address().to_string();
    let gate = gate(&standin, "rewrite", "");
    for (name, method, path, ranges) in [
        ("one part", Method::GET, "/a.txt", &["bytes=0-15"][..]),
        ("two lines", Method::GET, "/a.txt", &["bytes=0-1", "bytes=0-1,4-50"]),
        ("two lines, one part each", Method::GET, "/a.txt", &["bytes=0-1", "bytes=4-15"]),
        ("several parts", Method::GET, "/a.txt", &["bytes=0-1,4-50"]),
        ("one part, answered with several", Method::GET, "/always", &["bytes=4-50"]),
        ("by POST", Method::POST, "/a.txt", &["bytes=4-15"]),
        ("by POST, the other half", Method::POST, "/a.txt", &["bytes=16-60"]),
        ("by REPORT", Method::from_bytes(b"REPORT").unwrap(), "/a.txt", &["bytes=4-15"]),
    ] {
        let mut browser = Browser::new(gate.address, HOST).with("x-inside", &inside);
        for range in ranges {
            browser = browser.with("range", range);
        }
        let body = (method == Method::POST).then(|| (FORM, b"a=b".to_vec()));
        let answer = browser.send(method, path, body).await;
        let text = answer.text();
        assert!(
            !text.contains("127.0") && !text.contains(&inside[6..]) && !text.contains(&inside[10..]),
            "{name}: {} {text}",
            answer.status
        );
    }
}
