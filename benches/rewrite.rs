//! What rewriting costs: a 30 KiB page with 150 internal links, whole, in pieces as they come from a socket, as HTML,
//! and without a hit. Prints microseconds of CPU a page, the best of many rounds. `cargo bench --bench rewrite`.

#![expect(clippy::expect_used, reason = "a benchmark that cannot start has nothing to say")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use lychgate::rewrite::{Mode, Origins, Plan, RewriteBody, Stream};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// A page like Plone's: links with some markup and text between them.
fn page(link: &str) -> Bytes {
    let mut page = String::from(
        "<!DOCTYPE html><html><head><title>A page</title></head><body class=\"plone-toolbar\">\n",
    );
    for number in 0..150 {
        page.push_str(&format!(
            "<li class=\"nav-item plone-item-{number}\"><a href=\"{link}/folder/page-{number}\" title=\"x\">"
        ));
        page.push_str(
            "Some words about it</a></li>\n<p>The quick brown fox, and so on.</p>\n<div data-x=\"y\"></div>",
        );
    }
    while page.len() < 30 * 1024 {
        page.push_str("<p>The rest of the page.</p>\n");
    }
    Bytes::from(page)
}

fn measure(what: &str, mut work: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..40 {
        let start = Instant::now();
        for _ in 0..100 {
            work();
        }
        best = best.min(start.elapsed() / 100);
    }
    println!("{what:<44} {:>8.2} us", best.as_secs_f64() * 1e6);
}

fn main() {
    let url = |text: &str| Url::parse(text).expect("a URL");
    let origins = |mode| {
        let (backend, public) = (url("http://localhost:8088/Plone"), url("https://public.example.org"));
        Arc::new(Origins::new(&backend, &public, &["plone.internal".to_owned()], mode).expect("origins"))
    };
    let (safety, full) = (origins(Mode::Safety), origins(Mode::Full));
    let (internal, public) = (page("http://localhost:8088/Plone"), page("https://public.example.org"));
    println!("page of {} bytes", internal.len());
    measure("150 links, whole", || {
        black_box(safety.rewrite(black_box(&internal)));
    });
    measure("no link, whole", || {
        black_box(safety.rewrite(black_box(&public)));
    });
    for (what, page) in [("150 links", &internal), ("no link", &public)] {
        for size in [8192, 1460] {
            measure(&format!("{what}, in pieces of {size}"), || {
                let mut stream = Stream::new(safety.outward().clone());
                let mut take = |bytes: Bytes| {
                    black_box(bytes);
                };
                let mut rest = page.clone();
                while !rest.is_empty() {
                    stream.push(rest.split_to(size.min(rest.len())), &mut take);
                }
                stream.finish(&mut take);
            });
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let paths = page("/Plone");
    let hashed = Bytes::from(
        [b"<script src=\"x.js\" integrity=\"sha384-x\"></script>".as_slice(), &internal].concat(),
    );
    for (what, page, origins, plan) in [
        ("150 links, as a body", &internal, &safety, Plan::Text(None)),
        ("150 links, as a body of HTML", &internal, &full, Plan::Html(None)),
        ("150 links and a hash, as a body of HTML", &hashed, &full, Plan::Html(None)),
        ("150 paths, as a body of HTML", &paths, &full, Plan::Html(None)),
        ("no link, as a body of HTML", &public, &full, Plan::Html(None)),
        ("no link, virtual hosting", &public, &safety, Plan::Html(None)),
        ("150 links, virtual hosting", &internal, &safety, Plan::Html(None)),
        ("150 paths, virtual hosting", &paths, &safety, Plan::Html(None)),
    ] {
        measure(what, || {
            let body = RewriteBody::new(Full::new(page.clone()), origins, plan);
            black_box(runtime.block_on(body.collect()).map(|body| body.to_bytes())).expect("a body");
        });
    }
}
