//! A CMS that is told nothing of its public address: what comes back is public, what goes in is internal.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::{Arc, LazyLock, Mutex};

use http::Method;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::standin::{Canned, Recorded, StandIn};

const FORM: &str = "application/x-www-form-urlencoded";

/// A gate with nothing but public pages.
fn gate(standin: &StandIn, hosting: &str, more: &str) -> Gate {
    let site = format!("virtual_hosting = \"{hosting}\"\n[site.access]\ndefault = \"public\"\n{more}");
    Gate::with(&standin.url(), &site)
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
    for hosting in ["zope", "forwarded"] {
        let standin = StandIn::plone60();
        let gate = gate(&standin, hosting, "");
        let destination = format!("http://{HOST}/docs/b");
        let mut browser =
            Browser::new(gate.address, HOST).with("destination", &destination).with("referer", &destination);
        let body = format!("u=http://{HOST}/x&came_from=/x");
        browser.send(Method::POST, "/docs?came_from=/x", Some((FORM, body.clone().into_bytes()))).await;
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
    standin.answer("/fine", Canned::html(200, format!("see {}", standin.address())));
    for hosting in ["zope", "rewrite"] {
        let logging = gate(&standin, hosting, "");
        let mut browser = Browser::new(logging.address, HOST);
        let (answer, log) = logged(async {
            browser.get("/head-leak?secret").await;
            browser.get("/leak?secret").await
        })
        .await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, leak.clone()), "{hosting}");
        // The body's line is written before its last byte goes.
        for place in ["headers", "body"] {
            let line = log.lines().find(|line| line.contains("holds internal names") && line.contains(place));
            let line = line.unwrap_or_else(|| panic!("{hosting}, {place}: {log}"));
            assert!(line.contains("leak") && line.contains("count=1"), "{line}");
            assert!(!line.contains("evil") && !line.contains("secret"), "{line}");
        }

        let blocking = gate(&standin, hosting, "[site.rewrite]\nleaks = \"block\"\n");
        let mut browser = Browser::new(blocking.address, HOST);
        for path in ["/leak", "/head-leak"] {
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
