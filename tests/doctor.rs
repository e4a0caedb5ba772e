//! `lychgate doctor`, as a process of its own, in front of stand-ins and gates in every state they can be in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::pki::Authority;
use support::standin::{Canned, Fault, StandIn};

/// A `proxy.toml` in a folder of its own: the doctor needs nothing else of the gate.
fn folder(backend: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{backend}\"\n{more}\n"
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    folder
}

fn run(folder: &tempfile::TempDir, arguments: &[&str], input: &str) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .arg("doctor")
        .args(arguments)
        .current_dir(folder.path())
        .write_stdin(input)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap()
}

/// The findings, and whether the command said by its exit code that all is well.
fn findings(folder: &tempfile::TempDir, arguments: &[&str], input: &str) -> (bool, Vec<Value>) {
    let output = run(folder, &[&["--format", "json"], arguments].concat(), input);
    let findings = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code() == Some(0), findings)
}

fn examine(backend: &str, more: &str, gate: &Gate, arguments: &[&str]) -> (bool, Vec<Value>) {
    let public = format!("http://{}", gate.address);
    let folder = folder(backend, more);
    findings(&folder, &[&["--public", &public], arguments].concat(), "Secret1234!\n")
}

fn level<'f>(findings: &'f [Value], check: &str) -> &'f str {
    find(findings, check)["level"].as_str().unwrap()
}

fn find<'f>(findings: &'f [Value], check: &str) -> &'f Value {
    findings
        .iter()
        .find(|finding| finding["check"] == check)
        .unwrap_or_else(|| panic!("{check}: {findings:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_in_order_is_found_so_in_every_check_and_nothing_is_sent_to_it() {
    for (backend, product) in [(StandIn::plone43(), "Plone 3 or 4"), (StandIn::plone60(), "Plone 6")] {
        let gate = Gate::before(&backend.url());
        let (well, found) = examine(&backend.url(), "", &gate, &["--user", "jdoe"]);
        assert!(well, "{found:#?}");
        for check in [
            "backend",
            "CMS",
            "virtual hosting",
            "sign-in form",
            "mail-password form",
            "anonymity",
            "sign-in at the CMS",
            "public side",
            "public pages",
            "sign-in at the gate",
            "signed-in pages",
        ] {
            assert_eq!(level(&found, check), "ok", "{product}, {check}: {found:#?}");
        }
        assert_eq!(find(&found, "CMS")["found"].as_str(), Some(product));
        assert_eq!(level(&found, "mail"), "warn", "not tried is not in order");
        assert!(
            found.iter().all(|finding| finding["level"] == "ok" || finding["next"].is_string()),
            "{found:#?}"
        );
        assert!(backend.mails().is_empty());
        for request in backend.requests().iter().filter(|request| request.method != "GET") {
            assert!(request.target.ends_with("/login_form"), "{} {}", request.method, request.target);
        }
        // Afterwards nobody is signed in any more.
        let mut browser = Browser::new(gate.address, HOST);
        browser.sign_in("jdoe", "Secret1234!").await;
        assert_eq!(browser.get("/_gate/account").await.texts(".sessions li").len(), 1, "{product}");
    }
}

#[test]
fn people_get_a_table_with_the_next_step_and_the_password_shows_nowhere() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let folder = folder(&backend.url(), "");
    let public = format!("http://{}", gate.address);
    let output = run(&folder, &["--public", &public, "--user", "jdoe"], "Secret1234!\n");
    let table = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let first = table.lines().next().unwrap();
    assert_eq!(first, format!("intranet: http://{HOST} in front of {}", backend.url()));
    assert!(table.contains("\n  ok    sign-in form        found, in "), "{table}");
    assert!(table.contains("\n  warn  mail                not tried\n"), "{table}");
    assert!(table.contains("→  --mailbox USER has a real reset mail sent"), "{table}");
    assert!(
        !table.contains("Secret1234!") && !String::from_utf8_lossy(&output.stderr).contains("Secret1234!")
    );
}

#[test]
fn a_backend_in_trouble_is_told_with_what_to_do() {
    let healthy = StandIn::plone60();
    let gate = Gate::before(&healthy.url());
    let trouble = |backend: &StandIn, more: &str| examine(&backend.url(), more, &gate, &["--pages", "1"]);

    let nobody = "http://127.0.0.1:1/Plone";
    let (well, found) = examine(nobody, "", &gate, &["--pages", "1"]);
    assert!(!well);
    assert_eq!(find(&found, "backend")["found"], format!("{nobody}: no connection"));
    assert!(find(&found, "backend")["next"].as_str().unwrap().contains("listens at 127.0.0.1:1"));
    assert_eq!(level(&found, "public side"), "ok", "the other side is looked at all the same");

    let hanging = StandIn::plone60();
    hanging.fail("", Fault::Close);
    let (well, found) = trouble(&hanging, "");
    assert_eq!((well, level(&found, "backend")), (false, "fail"));

    let other = StandIn::plone60();
    other.answer("", Canned::html(200, "<title>Welcome to nginx!</title>"));
    let (well, found) = trouble(&other, "");
    assert_eq!((well, level(&found, "CMS"), level(&found, "sign-in form")), (false, "warn", "fail"));
    assert!(
        find(&found, "CMS")["next"].as_str().unwrap().contains("backend_url ends in the path"),
        "the dialogue's advice"
    );

    let closed = StandIn::plone60();
    let challenge = "http://x/acl_users/credentials_cookie_auth/require_login?came_from=/";
    closed.answer("login_form", Canned::html(302, "").header("location", challenge));
    closed.answer("mail_password_form", Canned::html(302, "").header("location", challenge));
    let (well, found) = trouble(&closed, "");
    assert!(!well);
    for check in ["sign-in form", "mail-password form"] {
        assert!(find(&found, check)["found"].as_str().unwrap().contains("sign in before"), "{found:#?}");
        assert!(find(&found, check)["next"].as_str().unwrap().contains("View"), "{found:#?}");
    }
    let (_, found) = trouble(&closed, "[site.password_reset]\nenabled = false");
    assert_eq!(level(&found, "mail-password form"), "ok", "switched off");

    let trusting = StandIn::plone60();
    trusting.answer("isAnonymousUser", Canned::html(204, ""));
    assert_eq!(level(&trouble(&trusting, "").1, "anonymity"), "fail");
}

#[test]
fn virtual_hosting_that_takes_no_effect_is_found() {
    let healthy = StandIn::plone60();
    let gate = Gate::before(&healthy.url());
    let hosting = |backend: &StandIn, more: &str| {
        let (well, found) = examine(&backend.url(), more, &gate, &["--pages", "1"]);
        (well, find(&found, "virtual hosting").clone())
    };
    // No VirtualHostMonster: the path that tells the public address leads nowhere.
    let without = StandIn::plone60();
    without.answer("VirtualHostBase", Canned::html(404, "<h1>Not Found</h1>"));
    let (well, found) = hosting(&without, "");
    assert_eq!((well, found["level"].as_str()), (false, Some("fail")), "{found}");
    assert!(found["found"].as_str().unwrap().contains("the CMS is not found"), "{found}");
    assert!(found["next"].as_str().unwrap().contains("VirtualHostMonster"), "{found}");
    // It answers, and writes internal addresses all the same.
    let deaf = StandIn::plone60();
    let page = format!("<body class=col-content data-portal-url='{0}'><a href='{0}/a?x=1'>a</a>", deaf.url());
    deaf.answer("VirtualHostBase", Canned::html(200, page));
    let (well, found) = hosting(&deaf, "");
    assert_eq!((well, found["level"].as_str()), (false, Some("fail")), "{found}");
    assert_eq!(found["places"][0].as_str(), Some(deaf.url().as_str()), "{found}");
    let forwarded = "virtual_hosting = \"forwarded\"";
    let (well, found) = hosting(&healthy, forwarded);
    assert_eq!(
        (well, found["level"].as_str()),
        (true, Some("warn")),
        "it follows Host, and keeps its path, which the gate maps: {found}"
    );
    assert!(found["found"].as_str().unwrap().contains("/Plone, its path inside"), "{found}");
    let following = StandIn::plone60();
    following.answer("/Plone/login_form", Canned::html(200, format!("<a href='http://{HOST}/a'>a</a>")));
    let (_, found) = hosting(&following, forwarded);
    assert_eq!(found["level"].as_str(), Some("ok"), "{found}");
    deaf.answer("/Plone/login_form", Canned::html(200, format!("<a href='{}/a'>a</a>", deaf.url())));
    let (well, found) = hosting(&deaf, forwarded);
    assert_eq!((well, found["level"].as_str()), (false, Some("fail")), "{found}");
    assert!(found["next"].as_str().unwrap().contains("X-Forwarded-*"), "{found}");
    let (well, found) = hosting(&healthy, "virtual_hosting = \"rewrite\"");
    assert_eq!((well, found["level"].as_str()), (true, Some("warn")), "mails name the inside: {found}");
}

#[test]
fn a_real_mail_is_sent_only_when_a_mailbox_is_named() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let (well, found) = examine(&backend.url(), "", &gate, &["--pages", "1", "--mailbox", "jdoe"]);
    assert_eq!((well, level(&found, "mail")), (true, "ok"));
    assert!(find(&found, "mail")["next"].as_str().unwrap().contains(&format!("begins with http://{HOST}")));
    assert_eq!(backend.mails().len(), 1);
    for (user, verdict) in [("nobody", "no_account"), ("nomail", "no_account"), ("admin", "reset_error")] {
        let (well, found) = examine(&backend.url(), "", &gate, &["--pages", "1", "--mailbox", user]);
        assert_eq!((well, level(&found, "mail")), (false, "fail"), "{user}");
        assert!(find(&found, "mail")["found"].as_str().unwrap().starts_with(verdict), "{user}: {found:#?}");
    }
    assert_eq!(backend.mails().len(), 1);
}

#[test]
fn a_public_side_in_trouble_is_told_with_what_to_do() {
    let backend = StandIn::plone60();
    let gate = Gate::before(&backend.url());
    let folder = folder(&backend.url(), "");
    let (well, found) = findings(&folder, &["--public", "http://127.0.0.1:1"], "");
    assert_eq!((well, level(&found, "public side")), (false, "fail"));
    assert!(find(&found, "public side")["found"].as_str().unwrap().contains("refused"), "{found:#?}");
    // Something else listens there.
    let (_, found) = findings(&folder, &["--public", &format!("http://{}", backend.address())], "");
    assert!(
        find(&found, "public side")["found"].as_str().unwrap().contains("not as the gate does"),
        "{found:#?}"
    );
    // The gate listens there, but serves another name.
    let toml = std::fs::read_to_string(folder.path().join("proxy.toml")).unwrap();
    std::fs::write(folder.path().join("proxy.toml"), toml.replace(HOST, "other.example.test")).unwrap();
    let (_, found) = findings(&folder, &["--public", &format!("http://{}", gate.address)], "");
    assert!(
        find(&found, "public side")["found"].as_str().unwrap().contains("other.example.test"),
        "{found:#?}"
    );
    assert!(find(&found, "public side")["next"].as_str().unwrap().contains("Host"), "{found:#?}");
}

#[test]
fn internal_names_that_get_out_are_found_with_page_and_place() {
    let backend = StandIn::plone60();
    let links = "[site.access]\ndefault = \"public\"\n[site.rewrite]\nlinks = false\n";
    let gate = Gate::with(&backend.url(), links);
    // The gate was not told of this name; the doctor's configuration knows it.
    let more = "internal_names = [\"oldbox.internal\"]";
    let page = "<a href='/docs'>d</a> <a href='http://oldbox.internal/secret?key=1'>x</a> <a href='/Plone/news'>n</a>";
    backend.answer(
        "VirtualHostRoot/news",
        Canned::html(200, page).header("x-content", "http://oldbox.internal/y"),
    );
    let (well, found) = examine(&backend.url(), more, &gate, &[]);
    let finding = find(&found, "public pages");
    assert_eq!((well, finding["level"].as_str()), (false, Some("fail")), "{found:#?}");
    let places: Vec<&str> =
        finding["places"].as_array().unwrap().iter().map(|place| place.as_str().unwrap()).collect();
    assert_eq!(
        places,
        ["/news: body: http://oldbox.internal/secret", "/news: header x-content: http://oldbox.internal/y"]
    );
    let prefixed = found
        .iter()
        .find(|finding| finding["found"].as_str().unwrap().contains("begin with /Plone,"))
        .unwrap();
    let places = prefixed["places"].as_array().unwrap();
    assert!(prefixed["level"] == "warn" && places.contains(&"/news: /Plone/news".into()), "{prefixed}");
}

#[test]
fn the_crawl_keeps_to_its_number_and_away_from_what_acts() {
    let backend = StandIn::plone60();
    let gate = Gate::with(&backend.url(), "[site.access]\ndefault = \"public\"\n");
    let dangers = [
        "/docs/object_cut",
        "/docs/content_status_modify",
        "/docs?workflow_action=retract",
        "/logout",
        "/mail_password?userid=jdoe",
        "/manage_main",
        "//evil.example/x",
        "http://evil.example/y",
    ];
    let harmless: Vec<String> = (0..100).map(|n| format!("/page-{n}")).collect();
    let links: String = dangers
        .iter()
        .copied()
        .chain(harmless.iter().map(String::as_str))
        .map(|to| format!("<a href=\"{to}\">x</a>"))
        .collect();
    backend.answer("VirtualHostRoot/news", Canned::html(200, links));
    let (_, found) = examine(&backend.url(), "", &gate, &["--pages", "30"]);
    assert!(find(&found, "public pages")["found"].as_str().unwrap().starts_with("30 "), "{found:#?}");
    let asked: Vec<String> = backend.requests().into_iter().map(|request| request.target).collect();
    assert!(asked.iter().any(|target| target.ends_with("/page-3")), "{asked:?}");
    for target in &asked {
        for danger in [
            "object_cut",
            "content_status_modify",
            "workflow_action",
            "logout",
            "userid",
            "manage_main",
            "evil",
        ] {
            assert!(!target.contains(danger), "{target}");
        }
    }
}

#[test]
fn what_cannot_be_looked_at_is_said_before_anything_is() {
    let backend = StandIn::plone60();
    let site = |name: &str| {
        format!(
            "[[site]]\nname = \"{name}\"\npublic_url = \"http://{name}.example.test\"\nbackend_url = \"{}\"\n",
            backend.url()
        )
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), [site("a"), site("b")].concat()).unwrap();
    for (row, arguments, code, said) in [
        ("no such site", &["--site", "c"][..], 2, "there are: a, b"),
        ("which one", &["--user", "jdoe"], 2, "say which site"),
        ("no password", &["--site", "a", "--user", "jdoe"], 1, "password on standard input"),
        ("no address", &["--site", "a", "--public", "here"], 2, "no address"),
        ("no file", &["--config", "no.toml"], 1, "cannot be read"),
    ] {
        let output = run(&folder, arguments, "");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{row}: {told}");
        assert!(told.contains(said), "{row}: {told}");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn a_dialogue_is_gone_through_step_by_step_and_nothing_secret_is_shown() {
    let (cms, _) = StandIn::openacs();
    let folder = folder(&cms.origin(), "virtual_hosting = \"forwarded\"");
    let arguments =
        ["--dialogue", "openacs", "--user", "known@example.org", "--mailbox", "known@example.org"];
    let output = run(&folder, &arguments, "Secret1234!\n");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "who_am_i            anonymous, nobody asks",
        "step 1: GET pvt/home: status 302, redirect to …/register",
        "sign_in             ok, the account's id is 704",
        "step 1: GET register/: status 200",
        "case 2 → next: by e-mail",
        "step 2: POST register/: status 302, redirect to …/home",
        "case 3 of cases.signed → ok",
        "sign_out            ok",
        "request_reset       ok",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("Secret1234!") && !text.contains("d1d1d1"), "{text}");

    let (well, found) = findings(&folder, &["--dialogue", "structr"], "");
    assert!(!well);
    assert_eq!(find(&found, "who_am_i")["found"], "unknown, nobody asks");
    let (well, found) = findings(&folder, &["--dialogue", "none"], "");
    assert!(well, "{found:#?}");
    assert_eq!(find(&found, "who_am_i")["found"], "the dialogue has no such operation: not_supported");
    let (well, found) = findings(&folder, &["--dialogue", "openac"], "");
    assert!(
        !well && find(&found, "configuration")["found"].as_str().unwrap().contains("did you mean `openacs`?")
    );
}

#[test]
fn the_certificate_is_judged_as_browsers_do_it() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let backend = StandIn::plone60();
    let soon = jiff::Zoned::now().saturating_add(jiff::Span::new().days(6));
    let soon = (i32::from(soon.year()), soon.month() as u8, soon.day() as u8);
    for (name, signed, expected, says) in [
        ("in order", known.server(&[HOST]), "ok", HOST),
        ("nearly over", known.server_until(&[HOST], soon), "warn", "more days"),
        ("over", known.expired(&[HOST]), "fail", "expired"),
        ("of another name", known.server(&["other.example.test"]), "fail", "not for www.example.test"),
        ("of nobody's authority", unknown.server(&[HOST]), "fail", "does not know"),
    ] {
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = signed.write(files.path(), "site");
        let trusted = files.path().join("known.pem");
        std::fs::write(&trusted, &known.pem).unwrap();
        let site = format!(
            "[[site]]\nname = \"intranet\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\n",
            backend.url()
        );
        let gate = Gate::from_toml(&format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n{site}",
            certificate.display(),
            key.display()
        ));
        std::fs::write(files.path().join("proxy.toml"), &site).unwrap();
        let examine = |scheme: &str, at: std::net::SocketAddr| -> Vec<Value> {
            let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
                .args(["doctor", "--format", "json", "--pages", "1", "--public", &format!("{scheme}://{at}")])
                .current_dir(files.path())
                .env("SSL_CERT_FILE", &trusted)
                .timeout(Duration::from_secs(60))
                .output()
                .unwrap();
            serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
        };
        let found = examine("https", gate.tls.unwrap());
        let finding = find(&found, "certificate");
        assert_eq!(finding["level"], expected, "{name}: {found:#?}");
        assert!(finding["found"].as_str().unwrap().contains(says), "{name}: {finding}");
        assert_eq!(finding["next"].is_string(), expected != "ok", "{name}: {finding}");
        assert_eq!(level(&found, "public side"), if expected == "fail" { "fail" } else { "ok" }, "{name}");
        // In clear there is none to be seen, which is said.
        assert_eq!(level(&examine("http", gate.address), "certificate"), "warn", "{name}");
    }
}
