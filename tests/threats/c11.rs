//! Caches in between.

use super::*;

#[tokio::test]
async fn what_was_for_one_person_or_one_network_is_no_caches_to_keep() {
    let backend = StandIn::plone60();
    let rules = "access.rules = [{ path = \"/office/**\", networks = [\"10.0.0.0/8\"], access = \"public\" }, { path = \"/public/**\", access = \"public\" }]";
    let gate = Gate::with(&backend.url(), rules);
    let mut member = member(&gate).await;
    let mut office = Browser::new(gate.address, HOST).with("x-forwarded-for", "10.1.1.1");
    let mut nobody = Browser::new(gate.address, HOST);
    for path in
        ["/private/x.css", "/private/x.js", "/private/profile/x.png", "/private/x.woff2?v=1", "/private/page"]
    {
        let page = Canned::html(200, "x")
            .header("cache-control", "public, max-age=31536000, s-maxage=99")
            .header("surrogate-control", "max-age=99")
            .header("cdn-cache-control", "max-age=99")
            .header("cloudflare-cdn-cache-control", "max-age=99")
            .header("x-accel-expires", "99");
        backend.answer("x.", page.clone());
        backend.answer("page", page);
        for (name, browser, path) in [
            ("member", &mut member, path.to_owned()),
            ("network", &mut office, path.replace("private", "office")),
        ] {
            let answer = browser.get(&path).await;
            assert_eq!(answer.status, 200, "{name}, {path}");
            assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000"), "{name}, {path}");
            for field in
                ["surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control", "x-accel-expires"]
            {
                assert_eq!(answer.header(field), None, "{name}, {path}: {field}");
            }
        }
        // The deception itself: a stranger's copy must not be what a cache keeps, either.
        let answer = nobody.get(path).await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 302 | 401), "{path}: {status}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        let public = nobody.get(&path.replace("private", "public")).await;
        assert_eq!(
            public.header("cache-control"),
            Some("public, max-age=31536000, s-maxage=99"),
            "what is public stays so"
        );
    }
}

#[tokio::test]
async fn own_pages_are_kept_by_nobody() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let mut member = member(&gate).await;
    let mut nobody = Browser::new(gate.address, HOST);
    for path in [
        "/_gate/login",
        "/_gate/forgot-password",
        "/_gate/account",
        "/_gate/logout",
        "/_gate/nothing",
        "/_gate/login/x.css",
        "/_gate/account/x.css",
        "/docs%00",
    ] {
        for browser in [&mut member, &mut nobody] {
            let answer = browser.get(path).await;
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}: {}", answer.status);
            if answer.location().is_none() {
                assert!(answer.header("vary").unwrap().contains("Cookie"), "{path}");
            }
        }
    }
}
