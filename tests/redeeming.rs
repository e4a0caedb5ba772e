//! What using a reset link, and looking at one, make of answers that nobody expected: in every built-in dialogue.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lychgate::cms::{Backend, BackendSettings, Dialogue, Trust, Verdict};
use lychgate::secret::Secret;
use support::standin::{Canned, Fault, StandIn, asker};
use url::Url;

const NEW: &str = "Newpass1234!";
const PLONE_FORM: &str = "<form name=pwreset_action action='/passwordreset/0123456789abcdef0123456789abcdef'><input name=userid><input name=password></form>";

fn backend(dialogue: &str, cms: &StandIn, timeout: Duration) -> Backend {
    let settings = BackendSettings {
        address: Url::parse(&cms.origin()).unwrap(),
        host: None,
        public_url: Url::parse("https://public.example.org").unwrap(),
        trust: Trust::default(),
        source_address: None,
        tls: None,
        connect_timeout: Duration::from_secs(5),
        timeout,
        lenient: false,
    };
    Backend::new(Arc::new(Dialogue::built_in(dialogue).unwrap().unwrap()), settings).unwrap()
}

fn json(status: u16, body: &str) -> Canned {
    Canned::html(status, body).header("content-type", "application/json")
}

fn redirect(status: u16, to: &str) -> Canned {
    Canned::html(status, "").header("location", to)
}

/// A way to a new password, up to the answer that decides.
struct Way {
    name: &'static str,
    dialogue: &'static str,
    token: &'static str,
    /// The answers before it.
    before: Vec<(&'static str, Canned)>,
    /// What the deciding request's target holds.
    target: &'static str,
    ok: Canned,
    /// The page to set a password in, which is shown again if it did not work.
    form: String,
}

fn ways() -> Vec<Way> {
    const PLONE: &str = "0123456789abcdef0123456789abcdef";
    let plone_form = format!("<body class=template-passwordreset>{PLONE_FORM}");
    let plone = |name, ok| Way {
        name,
        dialogue: "plone",
        token: PLONE,
        before: vec![("passwordreset", Canned::html(200, plone_form.clone()))],
        target: "passwordreset",
        ok,
        form: plone_form.clone(),
    };
    let openacs_form = "<body><form id=reset action='/user/password-reset'><input type=hidden name='form:id' value=reset><input name=password_1 type=password></form>";
    let openacs = |name, ok| Way {
        name,
        dialogue: "openacs",
        token: "704~00112233445566778899AABBCCDDEEFF00112233",
        before: vec![("password-reset", Canned::html(200, openacs_form))],
        target: "password-reset",
        ok: Canned::html(200, ok),
        form: openacs_form.to_owned(),
    };
    vec![
        plone("Plone 3 to 5.1", redirect(302, "/pwreset_finish")),
        plone(
            "Plone 5.2 that signs in",
            redirect(302, "/docs").header("set-cookie", "__ac=abc; Path=/; HttpOnly"),
        ),
        plone(
            "Plone 5.2",
            Canned::html(200, "<html><body class='a template-pwreset_finish'><h1>Password set</h1>"),
        ),
        plone(
            "Plone 6",
            Canned::html(
                200,
                "<html><body class='template-passwordreset'><div id=content><h1>Set</h1><a href='/login?__ac_name=x'>Log in</a></div>",
            ),
        ),
        openacs(
            "OpenACS",
            "<html><body><p>You have successfully chosen a new password. <a href='/pvt/home'>Continue</a>",
        ),
        openacs("OpenACS in another language", "<html><body><p>Fertig. <a href='/pvt/home'>Weiter</a>"),
        Way {
            name: "Structr",
            dialogue: "structr",
            token: "00000000-0000-4000-8000-000000000001!1795246810123",
            before: vec![
                (
                    "reset-password",
                    redirect(302, "/reset-password").header("set-cookie", "JSESSIONID=a; Path=/"),
                ),
                ("rest/me", json(200, "{\"result\":{\"id\":\"u1\"}}")),
            ],
            target: "rest/me",
            ok: json(200, "{\"result\":[],\"result_count\":1}"),
            form: "<body><form action='/reset-password'><input type=password name=password></form>"
                .to_owned(),
        },
        Way {
            name: "rest-registration",
            dialogue: "rest-registration",
            token: "1~1795246810~PvoLi4Wh62abK-Ye6oMwK98_LIuVXJnw4HF9f_Te2Aw",
            before: Vec::new(),
            target: "reset-password",
            ok: json(200, "{\"detail\":\"Reset password successful\"}"),
            form: "<body><form action='/accounts/reset-password/'><input type=password name=password></form>"
                .to_owned(),
        },
    ]
}

fn gzipped(canned: &Canned) -> Canned {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&canned.body).unwrap();
    Canned { body: encoder.finish().unwrap(), ..canned.clone() }.header("content-encoding", "gzip")
}

fn with_body(canned: &Canned, body: impl Into<Vec<u8>>) -> Canned {
    Canned { body: body.into(), ..canned.clone() }
}

/// Answers in the place of `ok`, and whether each still says that a password is set.
fn rows(way: &Way) -> Vec<(&'static str, Canned, bool)> {
    let (ok, form) = (&way.ok, &way.form);
    let text = String::from_utf8(ok.body.clone()).unwrap();
    let html = |body: String| Canned::html(200, body);
    let (by_head, is_json) = (ok.status == 302, text.starts_with('{'));
    let utf16: Vec<u8> =
        [0xfe_ff_u16].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let all = vec![
        ("ok", ok.clone(), true),
        ("UTF-16", with_body(ok, utf16), true),
        ("600 KB", with_body(ok, format!("{}{text}", " ".repeat(600_000))), true),
        ("over 2 MiB", with_body(ok, format!("{}{text}", " ".repeat(2 << 20))), by_head),
        ("gzip unasked", gzipped(ok), by_head),
        ("plain text", ok.clone().header("content-type", "text/plain"), by_head),
        ("the form again", html(form.clone()), false),
        ("the form again, in upper case", html(form.to_uppercase()), false),
        ("ok, and the form", html(format!("{text}{form}")), false),
        ("the form, then ok", html(format!("{form}{text}")), false),
        ("ok, and the form in a comment", html(format!("{text}<!-- {form} -->")), !by_head && !is_json),
        ("ok in a comment", html(format!("<body><!-- {text} -->")), false),
        ("ok in a script", html(format!("<body><script>x=`{text}`</script>")), false),
        (
            "upper-case tags",
            html(text.replace("html", "HTML").replace("<body", "<BODY")),
            !by_head && !is_json,
        ),
        ("unrelated", html("<body><h1>Back soon".to_owned()), false),
        ("unrelated JSON", json(200, "{\"status\":\"up\"}"), false),
        ("half of it", with_body(ok, &text.as_bytes()[..text.len() / 3]), by_head),
        ("empty", html(String::new()), false),
        ("302 to sign in", redirect(302, "/login?came_from=/pwreset_finish"), false),
        ("302 to the mail form", redirect(302, "/mail_password_form"), false),
        ("302 elsewhere", redirect(302, "https://elsewhere.example/?x=/pwreset_finish"), false),
        ("302 to nowhere", Canned::html(302, ""), false),
        ("401", ok.clone().with_status(401), false),
        ("403", ok.clone().with_status(403), false),
        ("404", ok.clone().with_status(404), false),
        ("500", ok.clone().with_status(500), false),
        ("503", ok.clone().with_status(503), false),
    ];
    all
}

#[tokio::test]
async fn a_password_is_said_to_be_set_on_positive_evidence_only_in_every_dialogue() {
    for way in ways() {
        for (row, canned, is_set) in rows(&way) {
            let cms = StandIn::plone60();
            for (target, answer) in &way.before {
                cms.answer_once(target, answer.clone());
            }
            cms.answer(way.target, canned);
            let backend = backend(way.dialogue, &cms, Duration::from_secs(20));
            let got = backend.redeem(&Secret::new(way.token), "jdoe", &Secret::new(NEW), &asker()).await;
            assert_eq!(
                got.verdict == Verdict::Ok,
                is_set,
                "{}, {row}: {:?} {}",
                way.name,
                got.verdict,
                got.evidence
            );
            if matches!(row, "unrelated" | "unrelated JSON" | "empty" | "302 elsewhere" | "302 to nowhere") {
                assert_eq!(got.verdict, Verdict::Unknown, "{}, {row}: {}", way.name, got.evidence);
            }
            assert!(!got.evidence.contains(way.token) && !got.evidence.contains(NEW), "{}, {row}", way.name);
        }
        for fault in [Fault::Close, Fault::Garbage, Fault::Hang, Fault::SlowBody] {
            let cms = StandIn::plone60();
            cms.fail("", fault);
            let backend = backend(way.dialogue, &cms, Duration::from_millis(300));
            let got = backend.redeem(&Secret::new(way.token), "jdoe", &Secret::new(NEW), &asker()).await;
            assert_eq!(got.verdict, Verdict::FailedToConnect, "{}, {fault:?}: {}", way.name, got.evidence);
        }
    }
}

#[tokio::test]
async fn a_link_is_said_to_be_dead_on_positive_evidence_only() {
    const HEADING: &str = "<div id=content><h1>Sorry</h1></div>";
    let token = Secret::new("0123456789abcdef0123456789abcdef");
    let page = |class: &str, rest: &str| Canned::html(200, format!("<body class='{class}'>{rest}"));
    for (row, canned, verdict) in [
        ("the form", page("template-passwordreset", PLONE_FORM), Verdict::Ok),
        ("the form of 4", page("template-pwreset_form", PLONE_FORM), Verdict::Ok),
        ("dead in 6", page("template-passwordreset", HEADING), Verdict::Invalid),
        ("dead in 4", page("template-pwreset_invalid", HEADING), Verdict::Invalid),
        ("too old in 4", page("template-pwreset_expired", HEADING), Verdict::Expired),
        (
            "a broken page",
            page("template-default_error_message template-passwordreset", HEADING),
            Verdict::Unknown,
        ),
        ("as somebody", page("userrole-authenticated template-pwreset_invalid", HEADING), Verdict::Unknown),
        ("another page", page("template-document_view", HEADING), Verdict::Unknown),
        ("in a comment", page("", "<!-- <body class=template-pwreset_invalid> -->"), Verdict::Unknown),
        ("empty", Canned::html(200, ""), Verdict::Unknown),
        ("404", page("template-pwreset_invalid", HEADING).with_status(404), Verdict::Unknown),
        ("500", page("template-pwreset_invalid", HEADING).with_status(500), Verdict::ResetError),
        ("302", redirect(302, "/pwreset_invalid"), Verdict::Unknown),
        (
            "sign in first",
            redirect(302, "/acl_users/credentials_cookie_auth/require_login"),
            Verdict::NotSupported,
        ),
    ] {
        let cms = StandIn::plone60();
        cms.answer("passwordreset", canned);
        let got = backend("plone", &cms, Duration::from_secs(20)).open_link(&token, &asker()).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert!(cms.requests().iter().all(|request| request.method == "GET"), "{row}");
    }
    for dialogue in ["openacs", "structr", "rest-registration", "none"] {
        assert!(
            !Dialogue::built_in(dialogue).unwrap().unwrap().can_open_link(),
            "{dialogue} acts, or does not tell"
        );
    }
}
