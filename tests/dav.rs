//! WebDAV through the gate: what a request names besides its own path is judged by the same rules, and conditions hold.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use http::Method;
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Canned, StandIn};

const MODES: [&str; 3] = ["zope", "forwarded", "rewrite"];

fn gate(standin: &StandIn, hosting: &str) -> Gate {
    let site = format!(
        "virtual_hosting = \"{hosting}\"\n[site.access]\ndefault = \"public\"\n\
         rules = [{{ path = \"/closed/**\", access = \"deny\" }}, {{ path = \"/members/**\", access = \"signed-in\" }}]\n"
    );
    Gate::with(&standin.url(), &site)
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).unwrap()
}

async fn send(gate: &Gate, verb: &str, fields: &[(&str, &str)]) -> Answer {
    let browser = Browser::new(gate.address, HOST);
    let mut browser = fields.iter().fold(browser, |browser, (name, value)| browser.with(name, value));
    browser.send(method(verb), "/docs/a", None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_is_judged_like_the_path() {
    let standin = StandIn::plone60();
    let at_host = |path: &str| format!("http://{HOST}{path}");
    for hosting in MODES {
        let gate = gate(&standin, hosting);
        for (row, destination, want) in [
            ("denied by a rule", at_host("/closed/a"), 403),
            ("denied, as a path", "/closed/a".to_owned(), 403),
            ("denied, spelled", at_host("/%63losed/a"), 403),
            ("denied, doubled slash", at_host("//closed//a"), 403),
            ("to be signed in for", at_host("/members/a"), 401),
            ("the gate's own", at_host("/_gate/login"), 403),
            ("a page the gate has taken over", at_host("/login"), 403),
            ("climbing", at_host("/docs/../closed/a"), 400),
            ("climbing, spelled", at_host("/docs/%2e%2e/closed/a"), 400),
            ("climbing out", at_host("/docs/..%2f..%2fother/a"), 400),
            (
                "another virtual host",
                at_host("/VirtualHostBase/http/evil.example:80/Plone/VirtualHostRoot/a"),
                400,
            ),
            ("a query", at_host("/docs/b?x"), 400),
            ("a fragment", at_host("/docs/b#x"), 400),
            ("no path", "docs/b".to_owned(), 400),
            ("nothing", String::new(), 400),
            ("no host", "http:///docs/b".to_owned(), 400),
            ("a host without a scheme", format!("//{HOST}/docs/b"), 400),
            ("another host", "http://elsewhere.example/docs/b".to_owned(), 502),
            ("another scheme", format!("https://{HOST}/docs/b"), 502),
            ("another port", format!("http://{HOST}:81/docs/b"), 502),
            ("a user", format!("http://jdoe@{HOST}/docs/b"), 400),
            ("the inside", format!("{}/docs/b", standin.url()), 502),
        ] {
            for verb in ["MOVE", "COPY"] {
                standin.forget_requests();
                let answer = send(&gate, verb, &[("destination", &destination)]).await;
                assert_eq!(answer.status.as_u16(), want, "{hosting}, {verb}, {row}: {}", answer.text());
                assert_eq!(standin.requests().len(), 0, "{hosting}, {verb}, {row}");
            }
        }
        let twice = [("destination", "/docs/b"), ("destination", "/docs/c")];
        assert_eq!(send(&gate, "MOVE", &twice).await.status, 400, "{hosting}: two of them");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_a_whole_folder_is_judged_by_all_that_is_in_it() {
    let standin = StandIn::plone60();
    let site = "[site.access]\ndefault = \"public\"\nrules = [{ path = \"/docs/a/closed/**\", access = \"deny\" }, { path = \"/b/members/**\", access = \"signed-in\" }, { path = \"**/manage**\", access = \"deny\" }]\n";
    let gate = Gate::with(&standin.url(), site);
    // `send` asks for /docs/a.
    for (verb, depth, is_refused) in [
        ("COPY", "infinity", true),
        ("COPY", "0", true),
        ("MOVE", "infinity", true),
        ("DELETE", "infinity", true),
        ("GET", "infinity", false),
        ("PROPFIND", "infinity", true),
        ("PROPFIND", "", true),
        ("PROPFIND", "1,infinity", true),
        ("PROPFIND", "1", false),
        ("PROPFIND", "0", false),
        ("LOCK", "infinity", true),
        ("LOCK", "0", false),
    ] {
        standin.forget_requests();
        let answer = send(&gate, verb, &[("destination", "/c"), ("depth", depth)]).await;
        assert_eq!(answer.status == 403, is_refused, "{verb} {depth}: {}", answer.status);
        assert_eq!(standin.requests().is_empty(), is_refused, "{verb} {depth}");
    }
    assert_eq!(send(&gate, "PROPFIND", &[]).await.status, 403, "not said, it is all of it");
    // What is moved there takes the place of all that is there.
    let mut browser = Browser::new(gate.address, HOST).with("destination", "/b");
    assert_eq!(browser.send(method("MOVE"), "/docs/x", None).await.status, 401);
    let mut browser = Browser::new(gate.address, HOST).with("destination", "/c");
    assert_ne!(browser.send(method("MOVE"), "/docs/x", None).await.status, 403, "nothing below is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_arrives_as_the_backend_reads_it() {
    let standin = StandIn::plone60();
    for (hosting, want) in [
        ("zope", format!("http://{HOST}/docs/b%20c")),
        ("forwarded", format!("http://{HOST}/Plone/docs/b%20c")),
        ("rewrite", format!("{}/docs/b%20c", standin.url())),
    ] {
        let gate = gate(&standin, hosting);
        for destination in [
            format!("http://{HOST}/docs//b%20c"),
            format!("HTTP://{HOST}:80/docs/b%20c"),
            "/docs/%62%20c".to_owned(),
        ] {
            send(&gate, "MOVE", &[("destination", &destination)]).await;
            let got = standin.requests().pop().unwrap();
            assert_eq!(got.header("destination"), Some(want.clone()), "{hosting}: {destination}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resources_in_a_condition_are_judged_like_the_path() {
    let standin = StandIn::plone60();
    for hosting in MODES {
        let gate = gate(&standin, hosting);
        for (row, condition, want) in [
            ("denied", format!("<http://{HOST}/closed/a> (<opaquelocktoken:1>)"), 403),
            ("denied, second", format!("</docs/a> (<t>) <http://{HOST}/closed/a> (<t>)"), 403),
            ("denied, behind an entity tag", "([\"(<x\"]) </closed/a> (<t>)".to_owned(), 403),
            ("to be signed in for", "</members/a> (<t>)".to_owned(), 401),
            ("elsewhere", "<http://elsewhere.example/a> (<t>)".to_owned(), 400),
            ("climbing", "</docs/../closed> (<t>)".to_owned(), 400),
        ] {
            standin.forget_requests();
            let answer = send(&gate, "LOCK", &[("if", &condition)]).await;
            assert_eq!(answer.status.as_u16(), want, "{hosting}, {row}: {}", answer.text());
            assert_eq!(standin.requests().len(), 0, "{hosting}, {row}");
        }
        send(&gate, "LOCK", &[("if", "</docs/a> (<opaquelocktoken:/closed/a> [\"x\"])")]).await;
        assert_eq!(standin.requests().len(), 1, "{hosting}: tokens are no resources");
        standin.forget_requests();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_saved_under_its_condition() {
    let standin = StandIn::plone60();
    standin.answer("/docs/a", Canned::html(200, "<p>text").header("etag", "\"v1\""));
    standin.answer(
        "/docs/a.png",
        Canned::html(200, "png").header("etag", "\"v1\"").header("content-type", "image/png"),
    );
    for hosting in MODES {
        let gate = gate(&standin, hosting);
        let mut browser = Browser::new(gate.address, HOST);
        let read = browser.get("/docs/a").await;
        let tag = read.header("etag").unwrap().to_owned();
        assert!(tag.starts_with("W/\"") && tag != "W/\"v1\"", "{hosting}: weak and its own: {tag}");
        for (name, value, want) in [
            ("if-match", tag.clone(), "\"v1\"".to_owned()),
            ("if-none-match", format!("\"other\", {tag}"), "\"other\", \"v1\"".to_owned()),
            ("if-range", tag.clone(), "\"v1\"".to_owned()),
            ("if", format!("(<opaquelocktoken:1> [{tag}])"), "(<opaquelocktoken:1> [\"v1\"])".to_owned()),
        ] {
            let mut editor = Browser::new(gate.address, HOST).with(name, &value);
            editor.send(Method::PUT, "/docs/a", Some(("text/html", b"<p>new".to_vec()))).await;
            assert_eq!(standin.requests().pop().unwrap().header(name), Some(want), "{hosting}: {name}");
        }
        standin.answer_once(
            "/docs/a",
            Canned { status: 304, headers: vec![("etag".into(), "\"v1\"".into())], body: vec![] },
        );
        let again = Browser::new(gate.address, HOST).with("if-none-match", &tag).get("/docs/a").await;
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, Some(tag.as_str())), "{hosting}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_in_webdav_bodies_go_in_and_out() {
    let standin = StandIn::plone60();
    let answer = "<D:multistatus xmlns:D=\"DAV:\"><D:response><D:href>/Plone/docs/a</D:href></D:response></D:multistatus>";
    standin
        .answer("/docs/a", Canned::html(207, answer).header("content-type", "text/xml; charset=\"utf-8\""));
    for (hosting, inward) in
        [("forwarded", "/Plone/docs/a"), ("rewrite", "/Plone/docs/a"), ("zope", "/docs/a")]
    {
        let gate = gate(&standin, hosting);
        let body =
            |path: &str| format!("<D:version-tree xmlns:D=\"DAV:\"><D:href>{path}</D:href></D:version-tree>");
        let mut browser = Browser::new(gate.address, HOST);
        let got =
            browser.send(method("REPORT"), "/docs/a", Some(("text/xml", body("/docs/a").into_bytes()))).await;
        assert!(got.text().contains("<D:href>/docs/a</D:href>"), "{hosting}: {}", got.text());
        let sent = standin.requests().pop().unwrap();
        assert_eq!(String::from_utf8(sent.body).unwrap(), body(inward), "{hosting}");
    }
}
