//! Several sites on one gate, by host and by path: each its own backend, sign-in and cookies.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use http::Method;
use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::standin::{Canned, StandIn};

const PASSWORD: &str = "Secret1234!";
const MODES: [&str; 3] = ["zope", "forwarded", "rewrite"];

fn site(name: &str, public: &str, backend: &StandIn, hosting: &str) -> String {
    format!(
        "[[site]]\nname = \"{name}\"\npublic_url = \"{public}\"\nbackend_url = \"{}\"\nvirtual_hosting = \"{hosting}\"\n\
         [site.access]\nrules = [{{ path = \"/news\", access = \"public\" }}, {{ path = \"/page\", access = \"public\" }}]\n",
        backend.url()
    )
}

fn gate(sites: &[String]) -> Gate {
    let server = "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
                  [limits]\nsign_in = { per_client = \"1000/1m\", per_account = \"1000/1m\" }\n";
    Gate::from_toml(&format!("{server}{}", sites.concat()))
}

/// One site at the root of the host, one below a path, one on another host.
struct Three {
    main: StandIn,
    intra: StandIn,
    other: StandIn,
    gate: Gate,
}

fn three(hosting: &str) -> Three {
    let (main, intra, other) = (StandIn::plone60(), StandIn::plone43(), StandIn::plone60());
    // The shortest first: the longest wins all the same.
    let gate = gate(&[
        site("main", &format!("http://{HOST}"), &main, hosting),
        site("intra", &format!("http://{HOST}/intra"), &intra, hosting),
        site("other", "http://other.example.test/intra", &other, hosting),
    ]);
    Three { main, intra, other, gate }
}

/// Signs in at the site with this public path.
async fn sign_in(browser: &mut Browser, path: &str) -> Answer {
    browser.submit(&format!("{path}/_gate/login"), &[("username", "jdoe"), ("password", PASSWORD)]).await
}

async fn status(browser: &mut Browser, path: &str) -> u16 {
    browser.get(path).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_to_the_site_with_the_longest_path() {
    for hosting in MODES {
        let three = three(hosting);
        for (host, path, want) in [
            (HOST, "/news", Some((&three.main, "/news"))),
            (HOST, "/intra/news", Some((&three.intra, "/news"))),
            (HOST, "//intra//news", Some((&three.intra, "/news"))),
            (HOST, "/%69ntra/news", Some((&three.intra, "/news"))),
            (HOST, "/intranet/news", None),
            ("other.example.test", "/intra/news", Some((&three.other, "/news"))),
            ("other.example.test", "/news", None),
        ] {
            for standin in [&three.main, &three.intra, &three.other] {
                standin.forget_requests();
            }
            let mut browser = Browser::new(three.gate.address, host);
            let status = status(&mut browser, path).await;
            for (name, standin) in [("main", &three.main), ("intra", &three.intra), ("other", &three.other)] {
                let got = standin.requests().pop().map(|request| request.target);
                match want {
                    Some((wanted, end)) if std::ptr::eq(wanted, standin) => {
                        assert!(
                            got.as_deref().is_some_and(|got| got.ends_with(end)),
                            "{hosting} {host}{path}: {got:?}"
                        );
                    }
                    _ => assert_eq!(got, None, "{hosting} {host}{path} at {name}"),
                }
            }
            match want {
                Some(_) => assert_eq!(status, 200, "{hosting} {host}{path}"),
                // Another path of a site is to be signed in for; a path of none is nobody's.
                None => assert_eq!(status, if host == HOST { 302 } else { 421 }, "{hosting} {host}{path}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_and_out_at_one_site_leaves_the_other_alone() {
    for hosting in MODES {
        let three = three(hosting);
        let mut browser = Browser::new(three.gate.address, HOST);
        let answer = sign_in(&mut browser, "").await;
        assert_eq!(answer.status, 303, "{hosting}: {}", answer.text());
        assert_eq!(status(&mut browser, "/secretpage").await, 200, "{hosting}");
        let asked = browser.get("/intra/secretpage").await;
        assert_eq!(
            asked.location().as_deref(),
            Some("/intra/_gate/login?next=/intra/secretpage"),
            "{hosting}: not signed in there, and nothing has ended"
        );
        let answer = sign_in(&mut browser, "/intra").await;
        assert_eq!(
            (answer.status.as_u16(), answer.location().as_deref()),
            (303, Some("/intra/")),
            "{hosting}"
        );
        assert_eq!(status(&mut browser, "/intra/secretpage").await, 200, "{hosting}");
        assert_eq!(status(&mut browser, "/secretpage").await, 200, "{hosting}: still signed in here");
        for name in ["lychgate.main", "lychgate.intra", "lychgate-form.main", "lychgate-form.intra"] {
            assert!(browser.cookies.contains_key(name), "{hosting}: {name} in {:?}", browser.cookies.keys());
        }
        for standin in [&three.main, &three.intra] {
            for request in standin.requests() {
                let cookies = request.header("cookie").unwrap_or_default();
                assert!(!cookies.contains("lychgate"), "{hosting}: {}", request.target);
            }
        }

        let signed_out = browser.submit("/_gate/logout", &[]).await;
        assert_eq!(signed_out.status, 200, "{hosting}");
        assert_eq!(status(&mut browser, "/secretpage").await, 302, "{hosting}");
        assert_eq!(
            status(&mut browser, "/intra/secretpage").await,
            200,
            "{hosting}: signed in there for all that"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_one_site_never_opens_another() {
    let three = three("zope");
    let mut browser = Browser::new(three.gate.address, HOST);
    sign_in(&mut browser, "").await;
    let (session, form) =
        (browser.cookies["lychgate.main"].clone(), browser.cookies["lychgate-form.main"].clone());
    for name in ["lychgate", "lychgate.intra", "lychgate.main", "lychgate.INTRA", "__Host-lychgate.intra"] {
        let mut thief = Browser::new(three.gate.address, HOST);
        thief.cookies.insert(name.to_owned(), session.clone());
        assert_eq!(status(&mut thief, "/intra/secretpage").await, 302, "{name}");
    }
    let mut elsewhere = Browser::new(three.gate.address, "other.example.test");
    for name in ["lychgate", "lychgate.main", "lychgate.other"] {
        elsewhere.cookies.insert(name.to_owned(), session.clone());
    }
    assert_eq!(status(&mut elsewhere, "/intra/secretpage").await, 302, "alone on its host");
    elsewhere.cookies.clear();
    sign_in(&mut elsewhere, "/intra").await;
    assert!(elsewhere.cookies.contains_key("lychgate"), "who is alone on a host needs no longer name");

    // A form's token of one site signs nobody in at another.
    let page = browser.get("/intra/_gate/login").await;
    let csrf = page.form().into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let mut mixed = Browser::new(three.gate.address, HOST);
    mixed.cookies.insert("lychgate-form.intra".to_owned(), form);
    let fields = [("csrf", csrf.as_str()), ("username", "jdoe"), ("password", PASSWORD)];
    assert_eq!(mixed.post("/intra/_gate/login", &fields).await.heading(), page.heading(), "the form again");
    assert!(!mixed.cookies.contains_key("lychgate.intra"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_backend_sets_a_cookie_of_the_gates() {
    for hosting in MODES {
        let three = three(hosting);
        let page = Canned::html(200, "fine")
            .header("set-cookie", "lychgate.intra=tossed; Path=/")
            .header("set-cookie", "__Host-Lychgate-form.intra=tossed; Secure; Path=/")
            // A browser sends the value of one without a name as it stands.
            .header("set-cookie", "=lychgate.intra=tossed; Path=/")
            .header("set-cookie", " = lychgate-form=tossed")
            .header("set-cookie", "a=1; Path=/; HttpOnly")
            .header("set-cookie", "b=2; Path=/Plone/docs");
        three.main.answer("/page", page.clone());
        three.intra.answer("/page", page);
        let mut browser = Browser::new(three.gate.address, HOST);
        for (path, want) in [
            ("/page", ["a=1; Path=/; HttpOnly", "b=2; Path=/docs"]),
            ("/intra/page", ["a=1; Path=/intra; HttpOnly", "b=2; Path=/intra/docs"]),
        ] {
            let answer = browser.get(path).await;
            let cookies: Vec<_> =
                answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(cookies, want, "{hosting} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_a_site_below_a_path_stay_below_it() {
    for hosting in MODES {
        let three = three(hosting);
        let mut browser = Browser::new(three.gate.address, HOST);
        sign_in(&mut browser, "/intra").await;
        let page = browser.get("/intra/").await;
        assert_eq!(page.status, 200, "{hosting}");
        let text = page.text();
        assert!(
            !text.contains(&three.intra.address().to_string()) && !text.contains("/Plone"),
            "{hosting}: {text}"
        );
        for link in page
            .links("a, form, link, base")
            .iter()
            .filter(|link| link.contains(HOST) || link.starts_with('/'))
        {
            let path = browser.path_of(link);
            assert!(path == "/intra" || path.starts_with("/intra/"), "{hosting}: {link} leaves the site");
        }
        // The address without a slash is the backend's to judge.
        three.intra.forget_requests();
        browser.get("/intra").await;
        let target = three.intra.requests().pop().unwrap().target;
        let ends = ["/Plone", "/VirtualHostRoot/_vh_intra"];
        assert!(ends.iter().any(|end| target.ends_with(end)), "{hosting}: {target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_link_of_one_site_is_none_of_the_others() {
    let three = three("zope");
    let token = three.main.issue_token("jdoe", support::standin::TokenState::Good);
    let mut browser = Browser::new(three.gate.address, HOST);
    let opened = browser.get(&format!("/passwordreset/{token}")).await;
    assert_eq!(opened.location().as_deref(), Some("/_gate/reset-password"), "{}", opened.text());
    assert!(browser.cookies.contains_key("lychgate-reset.main"), "{:?}", browser.cookies.keys());
    let ticket = browser.cookies["lychgate-reset.main"].clone();
    browser.cookies.insert("lychgate-reset.intra".to_owned(), ticket);
    let elsewhere = browser.get("/intra/_gate/reset-password").await;
    assert!(elsewhere.texts("input[name=password]").is_empty(), "{}", elsewhere.text());
    let here = browser.get("/_gate/reset-password").await;
    assert_eq!(here.texts("input[name=password]").len(), 1, "{}", here.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sites_on_one_backend_share_neither_links_nor_sessions() {
    let standin = StandIn::plone60();
    for hosting in MODES {
        let gate = gate(&[
            site("a", &format!("http://{HOST}/a"), &standin, hosting),
            site("b", &format!("http://{HOST}/a/b"), &standin, hosting),
        ]);
        let mut browser = Browser::new(gate.address, HOST);
        sign_in(&mut browser, "/a/b").await;
        assert_eq!(status(&mut browser, "/a/b/secretpage").await, 200, "{hosting}");
        assert_eq!(status(&mut browser, "/a/secretpage").await, 302, "{hosting}");
        let moved = Browser::new(gate.address, HOST)
            .with("destination", &format!("http://{HOST}/a/news"))
            .send(Method::from_bytes(b"COPY").unwrap(), "/a/b/news", None)
            .await;
        assert_eq!(moved.status, 502, "{hosting}: from one site to the other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_from_one_site_to_another_leads_to_its_public_address() {
    for hosting in MODES {
        let three = three(hosting);
        let link = |standin: &StandIn| format!("{}/docs", standin.url());
        let page = format!("{} {} {}", link(&three.main), link(&three.intra), link(&three.other));
        for standin in [&three.main, &three.intra] {
            standin.answer("/page", Canned::html(200, page.clone()).header("location", &link(&three.other)));
        }
        let want =
            format!("http://{HOST}/docs http://{HOST}/intra/docs http://other.example.test/intra/docs");
        for path in ["/page", "/intra/page"] {
            let got = Browser::new(three.gate.address, HOST).get(path).await;
            assert_eq!(got.text(), want, "{hosting} {path}");
            assert_eq!(
                got.location().as_deref(),
                Some("http://other.example.test/intra/docs"),
                "{hosting} {path}"
            );
        }
    }
}
