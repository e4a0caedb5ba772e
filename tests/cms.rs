//! The conversation with the CMS, against stand-ins of Plone 4.3 and Plone 6.0: every row of what was
//! observed about signing in and about forgotten passwords, and every way a backend can misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use lychgate::cms::{
    Asker, Backend, BackendSettings, Dialogue, KeptCookies, SignIn, SignOut, Trust, Verdict, WhoAmI,
};
use lychgate::secret::Secret;
use support::standin::{Canned, Fault, StandIn, TokenState, asker};
use url::Url;

const AGENT: &str = "Lychgate/1 (mail-password)";
const PUBLIC: &str = "https://public.example.org";

fn settings(address: &str) -> BackendSettings {
    BackendSettings {
        address: Url::parse(address).unwrap(),
        host: None,
        public_url: Url::parse(PUBLIC).unwrap(),
        trust: Trust {
            user_agent: Some(HeaderValue::from_static(AGENT)),
            header: Some((HeaderName::from_static("leocornus-header"), Secret::new("trust-me"))),
        },
        source_address: Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1))),
        tls: None,
        lenient: false,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
    }
}

fn plone() -> Arc<Dialogue> {
    Arc::new(Dialogue::built_in("plone").unwrap().unwrap())
}

/// A backend that may not keep the test waiting.
fn hasty(cms: &StandIn) -> Backend {
    let settings =
        BackendSettings { timeout: Duration::from_millis(300), ..settings(&cms.address_for(PUBLIC)) };
    Backend::new(plone(), settings).unwrap()
}

fn backend(cms: &StandIn) -> Backend {
    Backend::new(plone(), settings(&cms.address_for(PUBLIC))).unwrap()
}

fn both() -> [(&'static str, StandIn); 2] {
    [("4.3", StandIn::plone43()), ("6.0", StandIn::plone60())]
}

async fn signed_in(backend: &Backend, user: &str, password: &str) -> KeptCookies {
    match backend.sign_in(user, &Secret::new(password), &asker()).await {
        SignIn::Ok { cookies, .. } => cookies,
        other => panic!("{user} is not signed in: {other:?}"),
    }
}

#[tokio::test]
async fn signing_in_tells_right_from_wrong_on_both_versions() {
    for (version, cms) in both() {
        let backend = backend(&cms);
        for (row, user, password, right) in [
            ("right", "jdoe", "Secret1234!", true),
            ("any Unicode", "umlaut", "Pässwörd1234!", true),
            ("login name that is not the id", "login.name", "Secret1234!", true),
            ("the id in its place", "u1001", "Secret1234!", false),
            ("wrong password", "jdoe", "Secret1234", false),
            ("unknown user", "nobody", "Secret1234!", false),
            ("another case", "JDOE", "Secret1234!", false),
            ("a plus is no blank", "jdoe", "Secret1234!+", false),
            ("a field smuggled in", "nobody&__ac_name=jdoe", "Secret1234!", false),
            ("line ends in the password", "jdoe", "Secret1234!\r\n", false),
            ("a placeholder as name", "{password}", "jdoe", false),
        ] {
            let got = backend.sign_in(user, &Secret::new(password), &asker()).await;
            let as_wanted = match &got {
                SignIn::Ok { cookies, user: named, user_id } => {
                    // 6.0's cookie tells whose it is, which need not be the name that was typed.
                    let id = if user == "login.name" { "u1001" } else { user };
                    let known = (version == "6.0").then(|| id.to_owned());
                    right && !cookies.is_empty() && named == user && *user_id == known
                }
                SignIn::Refused => !right,
                _ => false,
            };
            assert!(as_wanted, "{version}, {row}: {got:?}");
        }
    }
}

#[tokio::test]
async fn what_no_account_can_be_called_is_refused_without_asking() {
    let cms = StandIn::plone60();
    let backend = backend(&cms);
    let (long, password) = ("j".repeat(1 << 20), Secret::new("Secret1234!"));
    for user in ["", "  ", "jdoe\r\nBcc: x", "jdoe\0", "jdoe\u{85}", &long] {
        assert!(matches!(backend.sign_in(user, &password, &asker()).await, SignIn::Refused));
        assert_eq!(backend.request_reset(user, &asker()).await.verdict, Verdict::NoAccount);
        let token = Secret::new(cms.issue_token("jdoe", TokenState::Good));
        assert_eq!(backend.redeem(&token, user, &password, &asker()).await.verdict, Verdict::Invalid);
    }
    for token in ["", "..", "VirtualHostRoot", "a/b", "0123", "0123456789abcdef0123456789abcde/"] {
        let redeemed = backend.redeem(&Secret::new(token), "jdoe", &password, &asker()).await;
        assert_eq!(redeemed.verdict, Verdict::Invalid, "{token}");
    }
    let empty = Secret::new("");
    assert!(matches!(backend.sign_in("jdoe", &empty, &asker()).await, SignIn::Refused));
    assert_eq!(cms.requests().len(), 0);
}

#[tokio::test]
async fn a_session_is_known_to_the_cms_until_it_is_signed_out() {
    for (version, cms) in both() {
        let backend = backend(&cms);
        let mut cookies = signed_in(&backend, "jdoe", "Secret1234!").await;
        assert_eq!(
            backend.who_am_i(&cookies, &asker()).await,
            WhoAmI::SignedIn { user_id: None },
            "{version}"
        );
        assert_eq!(backend.who_am_i(&KeptCookies::default(), &asker()).await, WhoAmI::Anonymous, "{version}");
        let tampered = HeaderValue::from_static("__ac=AAAA; Path=/");
        cookies.apply_set_cookie(backend.dialogue().credentials(), &tampered);
        assert_eq!(backend.who_am_i(&cookies, &asker()).await, WhoAmI::Anonymous, "{version}");
        assert_eq!(backend.sign_out(&cookies, &asker()).await, SignOut::Ok, "{version}");
    }
}

#[tokio::test]
async fn asking_for_a_mail_gets_the_verdict_of_every_row() {
    let everywhere = |verdict| [verdict, verdict];
    for (at, (version, cms)) in both().into_iter().enumerate() {
        let backend = backend(&cms);
        for (row, user, verdicts, mails) in [
            ("known", "jdoe", everywhere(Verdict::Ok), [1, 1]),
            ("no roles", "norole", everywhere(Verdict::Ok), [1, 1]),
            ("login name", "login.name", everywhere(Verdict::Ok), [1, 1]),
            ("id", "u1001", [Verdict::NoAccount, Verdict::Ok], [0, 1]),
            ("unknown", "nobody", everywhere(Verdict::NoAccount), [0, 0]),
            ("another case", "JDoe", everywhere(Verdict::NoAccount), [0, 0]),
            ("blanks around", " jdoe ", everywhere(Verdict::NoAccount), [0, 0]),
            ("no mail address", "nomail", everywhere(Verdict::NoAccount), [0, 0]),
            ("a bad mail address", "badmail", everywhere(Verdict::NoAccount), [0, 0]),
            ("root user", "admin", everywhere(Verdict::ResetError), [0, 0]),
            ("a second name smuggled in", "nobody&userid=jdoe", everywhere(Verdict::NoAccount), [0, 0]),
        ] {
            let before = cms.mails().len();
            let got = backend.request_reset(user, &asker()).await;
            assert_eq!(got.verdict, verdicts[at], "{version}, {row}: {}", got.evidence);
            assert_eq!(cms.mails().len() - before, mails[at], "{version}, {row}");
        }
        cms.switch(|site| site.lang = "de");
        assert_eq!(backend.request_reset("jdoe", &asker()).await.verdict, Verdict::Ok, "{version}, German");
        cms.switch(|site| site.mail_server_up = false);
        let down = backend.request_reset("jdoe", &asker()).await.verdict;
        // 4.3 shows the page of success whatever its mail server says: nothing can be told from outside.
        assert_eq!(down, [Verdict::Ok, Verdict::ResetError][at], "{version}, no mail server");
        cms.switch(|site| site.anonymous_may_ask = false);
        for user in ["jdoe", "nobody"] {
            let got = backend.request_reset(user, &asker()).await.verdict;
            assert_eq!(got, Verdict::NotSupported, "{version}, switched off, {user}");
        }
    }
}

#[tokio::test]
async fn a_mail_has_a_public_link_and_one_true_address() {
    for (version, cms) in both() {
        let backend = backend(&cms);
        backend.request_reset("jdoe", &asker()).await;
        let mapped = IpAddr::V6(Ipv4Addr::new(198, 51, 100, 7).to_ipv6_mapped());
        backend.request_reset("jdoe", &Asker { client_ip: mapped, ..asker() }).await;
        let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
        backend.request_reset("jdoe", &Asker { client_ip: six, ..asker() }).await;
        let from: Vec<_> = cms.mails().iter().map(|mail| mail.asked_from.clone()).collect();
        assert_eq!(from, ["203.0.113.9", "198.51.100.7", "::1"], "{version}");
        assert!(
            cms.mails().iter().all(|mail| mail.link.starts_with("https://public.example.org/passwordreset/"))
        );
    }
}

#[tokio::test]
async fn a_link_gets_the_verdict_of_every_row() {
    for (version, cms) in both() {
        let backend = backend(&cms);
        let least = if version == "6.0" { "8" } else { "5" };
        for (row, state, user, password, verdict) in [
            ("short", TokenState::Good, "jdoe", "abc", Verdict::Rejected),
            ("wrong user", TokenState::Good, "norole", "Newpass1234!", Verdict::Invalid),
            ("unknown user", TokenState::Good, "nobody", "Newpass1234!", Verdict::Invalid),
            ("used", TokenState::Used, "jdoe", "Newpass1234!", Verdict::Invalid),
            ("expired", TokenState::Expired, "jdoe", "Newpass1234!", Verdict::Expired),
            ("good", TokenState::Good, "jdoe", "Nëwpass & 100% + {user}", Verdict::Ok),
        ] {
            let before = cms.password_of("jdoe");
            let token = Secret::new(cms.issue_token("jdoe", state));
            let got = backend.redeem(&token, user, &Secret::new(password), &asker()).await;
            assert_eq!(got.verdict, verdict, "{version}, {row}: {}", got.evidence);
            assert!(!got.evidence.contains(token.expose()), "{version}, {row}: the token is in the log");
            match verdict {
                Verdict::Ok => {
                    assert_eq!(cms.password_of("jdoe").as_deref(), Some(password), "{version}, {row}")
                }
                _ => assert_eq!(cms.password_of("jdoe"), before, "{version}, {row}"),
            }
            let reason = format!("Your password must contain at least {least} characters.");
            assert_eq!(got.message, (verdict == Verdict::Rejected).then_some(reason), "{version}, {row}");
        }
        let unknown = Secret::new("ffffffffffffffffffffffffffffffff");
        let got = backend.redeem(&unknown, "jdoe", &Secret::new("Newpass1234!"), &asker()).await;
        assert_eq!(got.verdict, Verdict::Invalid, "{version}, never made");
        cms.switch(|site| site.autologin = false);
        let token = Secret::new(cms.issue_token("jdoe", TokenState::Good));
        let got = backend.redeem(&token, "jdoe", &Secret::new("Another1234!"), &asker()).await;
        assert_eq!(got.verdict, Verdict::Ok, "{version}, without auto-login: {}", got.evidence);
        signed_in(&backend, "jdoe", "Another1234!").await;
    }
}

/// The account's owner signed in on the way is nobody's business: C7, and decision 8 of the design.
#[tokio::test]
async fn resets_are_anonymous_and_carry_the_marks_and_nothing_else_does() {
    for (version, cms) in both() {
        let backend = backend(&cms);
        let cookies = signed_in(&backend, "jdoe", "Secret1234!").await;
        backend.who_am_i(&cookies, &asker()).await;
        let copycat = Asker { user_agent: Some(AGENT.to_ascii_uppercase()), ..asker() };
        backend.who_am_i(&cookies, &copycat).await;
        for request in cms.requests() {
            assert_ne!(
                request.header("user-agent").unwrap().to_lowercase(),
                AGENT.to_lowercase(),
                "{version}"
            );
            assert_eq!(request.header("leocornus-header"), None, "{version}");
            assert_eq!(request.field("came_from"), None, "{version}");
        }
        cms.forget_requests();
        backend.request_reset("jdoe", &asker()).await;
        let token = Secret::new(cms.issue_token("jdoe", TokenState::Good));
        backend.redeem(&token, "jdoe", &Secret::new("Newpass1234!"), &asker()).await;
        assert_eq!(cms.requests().len(), 3, "{version}");
        for request in cms.requests() {
            assert_eq!(request.header("user-agent").as_deref(), Some(AGENT), "{version}");
            assert_eq!(request.header("leocornus-header").as_deref(), Some("trust-me"), "{version}");
            for absent in ["cookie", "authorization", "transfer-encoding", "referer", "origin"] {
                assert_eq!(request.header(absent), None, "{version}, {absent}");
            }
        }
    }
}

#[tokio::test]
async fn every_request_says_who_asks_and_for_which_site() {
    let cms = StandIn::plone60();
    backend(&cms).sign_in("jdoe", &Secret::new("Secret1234!"), &asker()).await;
    let request = cms.requests().remove(0);
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "public.example.org"),
        ("forwarded", "for=203.0.113.9;host=\"public.example.org\";proto=https"),
        ("accept-language", "fr, en;q=0.5"),
        ("accept-encoding", "identity"),
        ("x-request-id", "req-1"),
        ("connection", "close"),
    ] {
        assert_eq!(request.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(request.header("user-agent").unwrap().starts_with("Mozilla/5.0"));
    assert_eq!(
        request.target,
        "/VirtualHostBase/https/public.example.org:443/Plone/VirtualHostRoot/login_form"
    );
}

#[tokio::test]
async fn the_configured_host_is_sent_and_links_follow_it() {
    let cms = StandIn::plone43();
    let host = Some(HeaderValue::from_static("public.example.org"));
    let backend = Backend::new(plone(), BackendSettings { host, ..settings(&cms.url()) }).unwrap();
    backend.request_reset("jdoe", &asker()).await;
    assert_eq!(cms.requests()[0].header("host").as_deref(), Some("public.example.org"));
    assert!(cms.mails()[0].link.starts_with("http://public.example.org/Plone/passwordreset/"));
}

/// The fixture list of facts/password-recovery-systems.md, section 7.1.
#[tokio::test]
async fn an_answer_that_is_not_the_expected_one_proves_nothing() {
    let ok = "<html><body class=\"template-mail_password_response userrole-anonymous\"><h1>Sent</h1>";
    let form = "<form name=\"mail_password\" action=\"mail_password\"><input name=\"userid\"></form>";
    let utf16 = ok.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let with_bom = [&[0xff, 0xfe], utf16.as_slice()].concat();
    let latin1 =
        [b"<html lang=de><body class='\xe4 template-mail_password_response'>Best\xe4tigt".as_slice()]
            .concat();
    let long = format!("{ok}{}", "<p>x</p>".repeat(300_000));
    let big = format!("{ok}{}", "<p>x</p>".repeat(100_000));
    let redirect = |to: &str| Canned::html(302, "").header("location", to);
    for (row, canned, verdict) in [
        ("success", Canned::html(200, ok), Verdict::Ok),
        (
            "upper-case tags",
            Canned::html(200, "<HTML><BODY CLASS='template-mail_password_response'>"),
            Verdict::Ok,
        ),
        (
            "attributes in another order",
            Canned::html(200, "<body dir=ltr class='a template-mail_password_response b' id=x>"),
            Verdict::Ok,
        ),
        ("UTF-16", Canned::html(200, with_bom), Verdict::Ok),
        ("latin-1", Canned::html(200, latin1), Verdict::Ok),
        ("a page of 0.8 MB", Canned::html(200, big), Verdict::Ok),
        ("a form within a comment", Canned::html(200, format!("{ok}<!-- {form} -->")), Verdict::Ok),
        (
            "a form within a script",
            Canned::html(200, format!("{ok}<script>var x='{form}'</script>")),
            Verdict::Ok,
        ),
        ("success and the form", Canned::html(200, format!("{ok}{form}")), Verdict::NoAccount),
        ("the form at byte 0", Canned::html(200, form), Verdict::NoAccount),
        (
            "the form in upper case",
            Canned::html(200, "<FORM METHOD=post NAME='mail_password'>"),
            Verdict::NoAccount,
        ),
        ("302 to the form", redirect("/mail_password_form"), Verdict::NoAccount),
        (
            "302 to the form elsewhere",
            redirect("https://evil.example/mail_password_form?x"),
            Verdict::NoAccount,
        ),
        ("302 to log in", redirect("https://public.example.org/login"), Verdict::Unknown),
        (
            "302 challenge",
            redirect("/acl_users/credentials_cookie_auth/require_login?came_from=/mail_password_form"),
            Verdict::NotSupported,
        ),
        (
            "success for someone signed in",
            Canned::html(200, ok.replace("anonymous", "authenticated")),
            Verdict::Unknown,
        ),
        (
            "the marker as text",
            Canned::html(200, "<body><p>class=\"template-mail_password_response\""),
            Verdict::Unknown,
        ),
        (
            "the marker on another element",
            Canned::html(200, "<body><div class='template-mail_password_response'>"),
            Verdict::Unknown,
        ),
        (
            "the marker within another word",
            Canned::html(200, "<body class='template-mail_password_response2'>"),
            Verdict::Unknown,
        ),
        (
            "unrelated page",
            Canned::html(200, "<body class='template-maintenance'><h1>Back soon"),
            Verdict::Unknown,
        ),
        ("empty", Canned::html(200, ""), Verdict::Unknown),
        ("plain text", Canned::html(200, ok).header("content-type", "text/plain"), Verdict::Unknown),
        ("compressed unasked", Canned::html(200, ok).header("content-encoding", "gzip"), Verdict::Unknown),
        ("over 2 MiB", Canned::html(200, long), Verdict::Unknown),
        ("success with another status", Canned::html(203, ok), Verdict::Unknown),
        ("404", Canned::html(404, "<body class='template-mail_password_response'>"), Verdict::Unknown),
        ("500", Canned::html(500, ok), Verdict::ResetError),
        (
            "500 of the server itself",
            Canned::html(500, "Internal Server Error (generated by waitress)")
                .header("content-type", "text/plain"),
            Verdict::ResetError,
        ),
        (
            "an error page with status 200",
            Canned::html(200, "<body class='template-error_message-pt'>"),
            Verdict::ResetError,
        ),
    ] {
        let cms = StandIn::plone60();
        cms.answer("mail_password", canned);
        let got = backend(&cms).request_reset("jdoe", &asker()).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert!(!got.evidence.contains("came_from") && !got.evidence.contains("Back soon"), "{row}");
    }
}

#[tokio::test]
async fn a_sign_in_that_proves_nothing_is_neither_right_nor_wrong() {
    let login = "<body class='template-login'><form id=LoginForm><input name=__ac_password>";
    for (row, canned) in [
        ("500 with a cookie", Canned::html(500, "").header("set-cookie", "__ac=x; Path=/")),
        ("login page without any sign", Canned::html(200, login)),
        (
            "cleared, but no login page",
            Canned::html(200, "<body>").header("set-cookie", "__ac=deleted; Max-Age=0"),
        ),
        ("redirect without a cookie", Canned::html(302, "").header("location", "/")),
        (
            "someone else's cookie",
            Canned::html(302, "").header("location", "/").header("set-cookie", "sid=1"),
        ),
        (
            "set and taken away again",
            Canned::html(302, "").header("set-cookie", "__ac=x").header("set-cookie", "__ac=deleted"),
        ),
        ("login failed in the text", Canned::html(200, "<body>Login failed template-login_failed")),
        ("404", Canned::html(404, "<body class=template-login_failed>")),
    ] {
        let cms = StandIn::plone60();
        cms.answer("login_form", canned);
        let got = backend(&cms).sign_in("jdoe", &Secret::new("Secret1234!"), &asker()).await;
        assert!(matches!(got, SignIn::Unknown { .. }), "{row}: {got:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_dead_slow_or_broken_is_unreachable() {
    let password = Secret::new("Secret1234!");
    for fault in [Fault::Close, Fault::Hang, Fault::Garbage, Fault::BrokenBody, Fault::SlowBody] {
        let cms = StandIn::plone60();
        let token = Secret::new(cms.issue_token("jdoe", TokenState::Good));
        cms.fail("", fault);
        let backend = hasty(&cms);
        let signed = backend.sign_in("jdoe", &password, &asker()).await;
        assert!(matches!(signed, SignIn::Unreachable { .. }), "{fault:?}: {signed:?}");
        let who = backend.who_am_i(&KeptCookies::default(), &asker()).await;
        assert!(matches!(who, WhoAmI::Unreachable { .. }), "{fault:?}: {who:?}");
        let out = backend.sign_out(&KeptCookies::default(), &asker()).await;
        assert!(matches!(out, SignOut::Unreachable { .. }), "{fault:?}: {out:?}");
        let asked = backend.request_reset("jdoe", &asker()).await;
        assert_eq!(asked.verdict, Verdict::FailedToConnect, "{fault:?}: {}", asked.evidence);
        let redeemed = backend.redeem(&token, "jdoe", &password, &asker()).await;
        assert_eq!(redeemed.verdict, Verdict::FailedToConnect, "{fault:?}: {}", redeemed.evidence);
        assert!(!redeemed.evidence.contains(token.expose()), "{fault:?}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let backend = Backend::new(plone(), settings(&format!("http://{nobody}/Plone"))).unwrap();
    assert!(matches!(backend.sign_in("jdoe", &password, &asker()).await, SignIn::Unreachable { .. }));
}

/// Decision 1 of the design: a form's action may be anything; the password goes where the file says.
#[tokio::test]
async fn a_hostile_form_cannot_move_the_password() {
    let evil = StandIn::plone60();
    for (row, action, verdict) in [
        ("another host, same path", format!("{}/passwordreset/TOKEN", evil.url()), Verdict::Ok),
        ("another host, another path", format!("{}/collect", evil.url()), Verdict::Unknown),
        ("another path here", "/collect".to_owned(), Verdict::Unknown),
        ("a longer name", "/xpwreset_form".to_owned(), Verdict::Unknown),
        ("a script", "javascript:alert(1)".to_owned(), Verdict::Unknown),
    ] {
        let cms = StandIn::plone60();
        let token = cms.issue_token("jdoe", TokenState::Good);
        let action = action.replace("TOKEN", &token);
        // The form comes from the canned answer; what is posted to the real path is answered honestly.
        let page = format!(
            "<form name=pwreset_action action='{action}'><input name=password><input type=hidden name=extra value=1><input type=hidden name=password2 value=evil></form>"
        );
        cms.answer_once("passwordreset", Canned::html(200, page));
        let got =
            backend(&cms).redeem(&Secret::new(token), "jdoe", &Secret::new("Newpass1234!"), &asker()).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        let posts: Vec<_> = cms.requests().into_iter().filter(|request| request.method == "POST").collect();
        assert_eq!(posts.len(), usize::from(verdict == Verdict::Ok), "{row}");
        for post in posts {
            assert_eq!(post.field("extra").as_deref(), Some("1"), "{row}: hidden fields go along");
            assert_eq!(post.field("password2").as_deref(), Some("Newpass1234!"), "{row}: but not above ours");
        }
    }
    assert_eq!(evil.requests().len(), 0);
}

#[tokio::test]
async fn redirects_are_read_and_never_followed() {
    let evil = StandIn::plone60();
    let cms = StandIn::plone60();
    cms.answer("", Canned::html(307, "").header("location", &format!("{}/login_form", evil.url())));
    let backend = backend(&cms);
    backend.sign_in("jdoe", &Secret::new("Secret1234!"), &asker()).await;
    backend.request_reset("jdoe", &asker()).await;
    assert_eq!(evil.requests().len(), 0);
}

#[tokio::test]
async fn a_reason_is_passed_on_as_one_short_line_of_text() {
    let cms = StandIn::plone60();
    let token = Secret::new(cms.issue_token("jdoe", TokenState::Good));
    let long = "x".repeat(1000);
    let page = format!(
        "<form name=pwreset_action action='passwordreset/{}'><div class='field error'><label>L</label><div>Too\n  <b>weak</b>\u{202e} &lt;script&gt;\u{7}</div><div class=formHelp>Help</div></div><div class='field error'><div>{long}</div></div><input name=password></form>",
        token.expose()
    );
    cms.answer("passwordreset", Canned::html(200, page));
    let got = backend(&cms).redeem(&token, "jdoe", &Secret::new("abc"), &asker()).await;
    let message = got.message.unwrap();
    assert_eq!(got.verdict, Verdict::Rejected);
    assert!(message.starts_with("Too weak <script> xxx"), "{message}");
    assert_eq!(message.chars().count(), 300);
}

#[test]
fn challenges_are_known_by_status_and_path() {
    let plone = plone();
    for (status, path, is) in [
        (302, Some("/acl_users/credentials_cookie_auth/require_login"), true),
        (302, Some("/require_login"), true),
        (401, None, true),
        (302, Some("/news"), false),
        (302, None, false),
        (200, Some("/require_login"), false),
        (403, None, false),
    ] {
        let status = http::StatusCode::from_u16(status).unwrap();
        assert_eq!(plone.is_challenge(status, path), is, "{status} {path:?}");
    }
}
