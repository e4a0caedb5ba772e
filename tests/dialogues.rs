//! The dialogues besides Plone's, against stand-ins made from what is known of each CMS; and every answer that is not the
//! expected one, for each of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use lychgate::cms::{
    Backend, BackendSettings, Dialogue, KeptCookies, SignIn, SignOut, TakenOver, Trust, Verdict, WhoAmI,
};
use lychgate::secret::Secret;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::standin::{Canned, Fault, StandIn, asker};
use url::Url;

const PASSWORD: &str = "Secret1234!";
const NEW: &str = "Nëw & \"100%\" {user}";

fn backend(dialogue: &str, cms: &StandIn) -> Backend {
    backend_of(Dialogue::built_in(dialogue).unwrap().unwrap(), cms)
}

fn backend_of(dialogue: Dialogue, cms: &StandIn) -> Backend {
    let settings = BackendSettings {
        address: Url::parse(&cms.origin()).unwrap(),
        host: None,
        public_url: Url::parse("https://public.example.org").unwrap(),
        trust: Trust::default(),
        source_address: None,
        tls: None,
        lenient: false,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
    };
    Backend::new(Arc::new(dialogue), settings).unwrap()
}

async fn sign_in(backend: &Backend, user: &str, password: &str) -> SignIn {
    backend.sign_in(user, &Secret::new(password), &asker()).await
}

async fn cookies(backend: &Backend, user: &str, password: &str) -> KeptCookies {
    match sign_in(backend, user, password).await {
        SignIn::Ok { cookies, .. } => cookies,
        other => panic!("{user} is not signed in: {other:?}"),
    }
}

/// The token that the gate reads in a link.
fn token(backend: &Backend, link: &str) -> Secret {
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    match backend.dialogue().paths().taken_over(path.split('/'), Some(query)) {
        Some(TakenOver::ResetLink { token: Some(token), .. }) => token,
        other => panic!("{link} is taken for {other:?}"),
    }
}

#[tokio::test]
async fn openacs_tells_right_from_wrong_in_every_mode() {
    for (by_email, authorities) in [(true, false), (false, false), (false, true)] {
        let (cms, site) = StandIn::openacs();
        site.lock().unwrap().switches.by_email = by_email;
        site.lock().unwrap().switches.authorities = authorities;
        let backend = backend("openacs", &cms);
        let name = |user: &str| if by_email { format!("{user}@example.org") } else { user.to_owned() };
        for (row, user, password, right) in [
            ("right", name("known"), PASSWORD, true),
            ("any Unicode", name("umlaut"), "Pässwörd1234!", true),
            ("another case", name("KNOWN"), PASSWORD, true),
            ("wrong password", name("known"), "Secret", false),
            ("unknown", name("nobody"), PASSWORD, false),
            ("of another authority", name("other"), PASSWORD, !authorities),
            ("markup", "<b>known</b>".to_owned(), PASSWORD, false),
            ("several @", "known@x@example.org".to_owned(), PASSWORD, false),
            ("mixed scripts", name("knоwn"), PASSWORD, false),
            ("a field smuggled in", "x&username=known&email=known@example.org".to_owned(), PASSWORD, false),
        ] {
            let got = sign_in(&backend, &user, password).await;
            let as_wanted = match &got {
                SignIn::Ok { cookies, user_id, .. } => right && !cookies.is_empty() && user_id.is_some(),
                SignIn::Refused => !right,
                _ => false,
            };
            assert!(as_wanted, "{row}, by e-mail: {by_email}, authorities: {authorities}: {got:?}");
        }
        let kept = cookies(&backend, &name("known"), PASSWORD).await;
        assert!(matches!(backend.who_am_i(&kept, &asker()).await, WhoAmI::SignedIn { .. }));
        assert_eq!(backend.who_am_i(&KeptCookies::default(), &asker()).await, WhoAmI::Anonymous);
        assert_eq!(backend.sign_out(&kept, &asker()).await, SignOut::Ok);
        assert!(cms.requests().iter().all(|request| request.header("upgrade-insecure-requests").is_none()));
    }
}

#[tokio::test]
async fn openacs_says_what_became_of_a_request_for_a_mail() {
    use Verdict::{NoAccount, NotSupported, Ok, ResetError};
    let (cms, site) = StandIn::openacs();
    let backend = backend("openacs", &cms);
    let switch = |change: &dyn Fn(&mut support::standin::OpenAcs)| change(&mut site.lock().unwrap());
    type Row = (&'static str, &'static dyn Fn(&mut support::standin::OpenAcs), &'static str, Verdict, usize);
    let rows: [Row; 17] = [
        ("known", &|_| (), "known@example.org", Ok, 1),
        ("another case", &|_| (), "Known@Example.org", Ok, 1),
        ("unknown", &|_| (), "nobody@example.org", NoAccount, 0),
        ("no address", &|_| (), "known", NoAccount, 0),
        ("several @", &|_| (), "known@@example.org@x y", NoAccount, 0),
        ("German", &|s| s.switches.lang = "de", "known@example.org", Ok, 1),
        ("German, unknown", &|_| (), "nobody@example.org", NoAccount, 0),
        ("no mail server", &|s| s.switches.mail_server_up = false, "known@example.org", ResetError, 0),
        ("no mail server, unknown", &|_| (), "nobody@example.org", NoAccount, 0),
        ("by name", &|s| (s.switches.by_email, s.switches.mail_server_up) = (false, true), "known", Ok, 1),
        ("by name, another case", &|_| (), "KNOWN", ResetError, 0),
        ("by name, unknown", &|_| (), "nobody", NoAccount, 0),
        ("by name, markup", &|_| (), "<b>known", NoAccount, 0),
        ("an authority", &|s| s.switches.authorities = true, "known", Ok, 1),
        ("another authority", &|_| (), "other", NoAccount, 0),
        (
            "elsewhere",
            &|s| s.switches.forgotten_url = Some("https://sso.example.net/lost?u=x"),
            "known",
            NotSupported,
            0,
        ),
        ("switched off", &|s| s.switches.may_ask = false, "known", NotSupported, 0),
    ];
    for (row, change, user, verdict, mails) in rows {
        switch(change);
        let before = site.lock().unwrap().mails.len();
        let got = backend.request_reset(user, &asker()).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert_eq!(site.lock().unwrap().mails.len() - before, mails, "{row}");
    }
    let wrong = Dialogue::built_in("openacs").unwrap().unwrap();
    assert!(wrong.can_redeem() && wrong.can_request_reset());
}

#[tokio::test]
async fn openacs_authority_is_a_setting_and_a_wrong_one_is_no_refusal() {
    let (cms, site) = StandIn::openacs();
    site.lock().unwrap().switches.by_email = false;
    site.lock().unwrap().switches.authorities = true;
    let described = lychgate::cms::Description::built_in("openacs").unwrap().unwrap();
    for (authority, user, right) in [("7", "other", true), ("7", "known", false), ("999", "known", false)] {
        let dialogue = described.dialogue(&[("authority".to_owned(), authority.to_owned())].into()).unwrap();
        let got = sign_in(&backend_of(dialogue, &cms), user, PASSWORD).await;
        let as_wanted = match got {
            SignIn::Ok { .. } => right,
            SignIn::Refused => !right && authority != "999",
            SignIn::Unknown { .. } => authority == "999",
            SignIn::Unreachable { .. } => false,
        };
        assert!(as_wanted, "{authority}, {user}: {got:?}");
    }
    let unknown = described.dialogue(&[("autority".to_owned(), "7".to_owned())].into()).unwrap_err();
    assert!(unknown.message.contains("no setting `autority`; it has: authority"), "{unknown}");
}

#[tokio::test]
async fn openacs_sets_a_password_by_its_link_once_and_says_why_not() {
    for lang in ["en", "de"] {
        let (cms, site) = StandIn::openacs();
        site.lock().unwrap().switches.lang = lang;
        let backend = backend("openacs", &cms);
        let kept = cookies(&backend, "known@example.org", PASSWORD).await;
        let good = token(&backend, &site.lock().unwrap().link_of("known"));
        let (id, hash) = good.expose().split_once('~').unwrap();
        let long = "x".repeat(200);
        for (row, token, password, verdict) in [
            ("refused", good.expose().to_owned(), long.as_str(), Verdict::Rejected),
            ("bad hash", format!("{id}~BAD"), NEW, Verdict::Invalid),
            ("no such user", format!("99~{hash}"), NEW, Verdict::Invalid),
            ("no number", format!("x~{hash}"), NEW, Verdict::Invalid),
            ("no link at all", "..".to_owned(), NEW, Verdict::Invalid),
            ("good", good.expose().to_owned(), NEW, Verdict::Ok),
            ("used", good.expose().to_owned(), "Another1234!", Verdict::Invalid),
        ] {
            let got =
                backend.redeem(&Secret::new(token.as_str()), "known", &Secret::new(password), &asker()).await;
            assert_eq!(got.verdict, verdict, "{lang}, {row}: {}", got.evidence);
            assert!(!got.evidence.contains(hash), "{lang}, {row}: {}", got.evidence);
            let reason = (verdict == Verdict::Rejected).then(|| "New password not accepted".to_owned());
            assert_eq!(got.message, reason, "{lang}, {row}");
            assert_eq!(got.user_id.as_deref(), (verdict == Verdict::Ok).then_some("704"), "{lang}, {row}");
        }
        assert_eq!(site.lock().unwrap().password_of("known"), NEW);
        assert_eq!(backend.who_am_i(&kept, &asker()).await, WhoAmI::Anonymous);
    }
}

#[test]
fn openacs_paths_that_act_are_the_gates() {
    use TakenOver::{RequestReset, SignIn, SignOut};
    let dialogue = Dialogue::built_in("openacs").unwrap().unwrap();
    for (path, query, wanted) in [
        ("register", "", Some(SignIn)),
        ("register/", "return_url=/pvt/home", Some(SignIn)),
        ("register/index", "", Some(SignIn)),
        ("register/logout", "", Some(SignOut)),
        ("register/recover-password", "email=x@example.org", Some(RequestReset)),
        ("/register//recover-password", "", Some(RequestReset)),
        ("register/recover-password.tcl", "", Some(RequestReset)),
        ("subsite/register/recover-password", "username=x", Some(RequestReset)),
        ("register/user-new", "", None),
        ("pvt/home", "", None),
    ] {
        assert_eq!(dialogue.paths().taken_over(path.split('/'), Some(query)), wanted, "{path}");
    }
    for (query, token) in [
        ("password_hash=AB12&user_id=704", Some("704~AB12")),
        ("user_id=704&password_hash=AB12&password_1=x", Some("704~AB12")),
        ("user_id=704", None),
        ("user_id=7/4&password_hash=AB", None),
        ("user_id=7~4&password_hash=AB", None),
    ] {
        let link = dialogue.paths().taken_over("user/password-reset".split('/'), Some(query));
        assert_eq!(link, Some(TakenOver::ResetLink { token: token.map(Secret::new), user: None }), "{query}");
    }
}

#[tokio::test]
async fn structr_signs_in_asks_and_sets_a_password() {
    for lists in [false, true] {
        let (cms, site) = StandIn::structr();
        site.lock().unwrap().switches.lists = lists;
        let backend = backend("structr", &cms);
        for (row, user, password, right) in [
            ("right", "jdoe", PASSWORD, true),
            ("any Unicode", "umlaut", "Pässwörd1234!", true),
            ("wrong password", "jdoe", "Secret", false),
            ("unknown", "nobody", PASSWORD, false),
            ("JSON smuggled in", "nobody\",\"name\":\"jdoe", PASSWORD, false),
        ] {
            let got = sign_in(&backend, user, password).await;
            assert!(matches!(got, SignIn::Ok { user_id: Some(_), .. }) == right, "{row}: {got:?}");
            assert!(matches!(got, SignIn::Refused) != right, "{row}: {got:?}");
        }
        let kept = cookies(&backend, "jdoe", PASSWORD).await;
        let me = Some("aa11".to_owned());
        assert_eq!(backend.who_am_i(&kept, &asker()).await, WhoAmI::SignedIn { user_id: me.clone() });
        assert_eq!(backend.sign_out(&kept, &asker()).await, SignOut::Ok);
        assert_eq!(backend.who_am_i(&kept, &asker()).await, WhoAmI::Anonymous);

        for (row, user, mails) in [("known", " JDOE@example.org ", 1), ("unknown", "nobody@example.org", 0)] {
            let before = site.lock().unwrap().mails.len();
            let got = backend.request_reset(user, &asker()).await;
            assert_eq!(got.verdict, Verdict::Ok, "{row}: {}", got.evidence);
            assert_eq!(site.lock().unwrap().mails.len() - before, mails, "{row}");
        }
        let link = site.lock().unwrap().link_of("jdoe").unwrap();
        let good = token(&backend, &link);
        let got = backend.redeem(&good, "jdoe@example.org", &Secret::new(NEW), &asker()).await;
        assert_eq!((got.verdict, got.user_id), (Verdict::Ok, me), "{}", got.evidence);
        assert_eq!(site.lock().unwrap().password_of("jdoe"), NEW);
        let again = backend.redeem(&good, "jdoe@example.org", &Secret::new("Another1234!"), &asker()).await;
        assert_eq!(again.verdict, Verdict::Invalid, "{}", again.evidence);
        assert!(!again.evidence.contains("0000-4000"), "{}", again.evidence);

        backend.request_reset("jdoe@example.org", &asker()).await;
        let link = site.lock().unwrap().link_of("jdoe").unwrap();
        let weak = backend.redeem(&token(&backend, &link), "jdoe", &Secret::new("abc"), &asker()).await;
        assert_eq!(weak.verdict, Verdict::Invalid, "opening the link has used it up");
        assert_eq!(weak.message.as_deref(), Some("Unable to commit transaction, validation failed"));
    }
}

#[tokio::test]
async fn structr_is_read_in_trouble_too() {
    let (cms, site) = StandIn::structr();
    let backend = backend("structr", &cms);
    site.lock().unwrap().switches.mail_server_up = false;
    for (user, verdict) in [("jdoe@example.org", Verdict::ResetError), ("nobody@example.org", Verdict::Ok)] {
        assert_eq!(backend.request_reset(user, &asker()).await.verdict, verdict, "no mail server, {user}");
    }
    site.lock().unwrap().switches.granted = false;
    assert_eq!(backend.request_reset("jdoe@example.org", &asker()).await.verdict, Verdict::NotSupported);
    site.lock().unwrap().switches.granted = true;
    site.lock().unwrap().switches.mail_server_up = true;
    site.lock().unwrap().switches.autologin = false;
    backend.request_reset("jdoe@example.org", &asker()).await;
    let link = site.lock().unwrap().link_of("jdoe").unwrap();
    let got = backend.redeem(&token(&backend, &link), "jdoe", &Secret::new(NEW), &asker()).await;
    assert_eq!(got.verdict, Verdict::Invalid, "a link that signs nobody in: {}", got.evidence);
    assert_eq!(site.lock().unwrap().password_of("jdoe"), PASSWORD);
}

/// What the fixtures of facts/password-recovery-systems.md, section 7.1, look like for one dialogue.
struct Fixture {
    dialogue: &'static str,
    user: &'static str,
    /// What answers before the step that is tried, if anything does.
    before: Option<(&'static str, Canned)>,
    /// The part of the target that the step is sent to.
    target: &'static str,
    ok: Canned,
    /// The form, shown again as for an unknown account.
    again: Canned,
    again_is: Verdict,
    /// The form without any error: it proves nothing.
    form: &'static str,
}

fn fixtures() -> Vec<Fixture> {
    let json = |status, body: &str| Canned::html(status, body).header("content-type", "application/json");
    let recover = "<form id=recover action='/register/recover-password'><input type=hidden name='form:id' value=recover><input name=email></form>";
    vec![
        Fixture {
            dialogue: "openacs",
            user: "known@example.org",
            before: Some(("recover-password", Canned::html(200, recover))),
            target: "recover-password",
            ok: Canned::html(200, "<html><body><p>Request to Change Password: A token has been emailed"),
            again: Canned::html(
                200,
                recover.replace("</form>", "<span class=form-error>Could not find</span></form>"),
            ),
            again_is: Verdict::NoAccount,
            form: recover,
        },
        Fixture {
            dialogue: "structr",
            user: "jdoe@example.org",
            before: None,
            target: "reset-password",
            ok: json(200, "{\"result\":[],\"result_count\":0}"),
            again: json(422, "{\"code\":422,\"message\":\"No e-mail address given.\",\"errors\":[]}"),
            again_is: Verdict::NoAccount,
            form: "<form action='/structr/rest/reset-password'><input name=eMail></form>",
        },
        Fixture {
            dialogue: "rest-registration",
            user: "jdoe",
            before: None,
            target: "send-reset-password-link",
            ok: json(200, "{\"detail\":\"Reset link sent\"}"),
            again: json(400, "{\"detail\":\"User not found\"}"),
            again_is: Verdict::NoAccount,
            form: "<form action='/accounts/send-reset-password-link/'><input name=login></form>",
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

#[tokio::test]
async fn an_answer_that_is_not_the_expected_one_proves_nothing_in_any_dialogue() {
    for fixture in fixtures() {
        let Fixture { ok, form, .. } = &fixture;
        let html = |body: String| Canned::html(200, body);
        let text = String::from_utf8(ok.body.clone()).unwrap();
        let utf16: Vec<u8> =
            [0xfe_ff_u16].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let is_json = ok.headers.iter().any(|(_, value)| value.contains("json"));
        let redirect = |to: &str| Canned::html(302, "").header("location", to);
        let if_page = |verdict| if is_json { Verdict::Unknown } else { verdict };
        // Blanks are part of neither JSON nor text.
        let big = with_body(ok, format!("{}{}", " ".repeat(600_000), text));
        let huge = with_body(ok, format!("{}{}", " ".repeat(2 << 20), text));
        let rows = [
            ("ok", ok.clone(), Verdict::Ok),
            ("the form again", fixture.again.clone(), fixture.again_is),
            ("the form without an error", html(form.to_string()), Verdict::Unknown),
            ("the form without an error, in upper case", html(form.to_uppercase()), Verdict::Unknown),
            ("ok and the form", html(format!("{text}{form}")), Verdict::Unknown),
            ("the form at byte 0, then ok", html(format!("{form}{text}")), Verdict::Unknown),
            ("the form within a comment", html(format!("{text}<!-- {form} -->")), if_page(Verdict::Ok)),
            (
                "the form within a script",
                html(format!("{text}<script>x='{form}'</script>")),
                if_page(Verdict::Ok),
            ),
            ("ok within a comment", html(format!("<body><!-- {text} -->")), Verdict::Unknown),
            ("ok within a script", html(format!("<body><script>x='{text}'</script>")), Verdict::Unknown),
            ("ok within an attribute", html(format!("<body><p title='{text}'>")), Verdict::Unknown),
            (
                "upper-case tags",
                html(text.replace("<html>", "<HTML>").replace("body", "BODY")),
                if_page(Verdict::Ok),
            ),
            (
                "attributes in another order",
                html(text.replace("<body>", "<body id=x class=y dir=ltr>")),
                if_page(Verdict::Ok),
            ),
            ("UTF-16", with_body(ok, utf16), Verdict::Ok),
            (
                "latin-1",
                with_body(ok, [text.as_bytes(), if is_json { b"" } else { b"\xe4" }].concat()),
                Verdict::Ok,
            ),
            ("600 KB", big, Verdict::Ok),
            ("over 2 MiB", huge, Verdict::Unknown),
            ("gzip unasked", gzipped(ok), Verdict::Unknown),
            ("plain text", ok.clone().header("content-type", "text/plain"), Verdict::Unknown),
            ("unrelated", html("<body><h1>Back soon".to_owned()), Verdict::Unknown),
            (
                "unrelated JSON",
                html("{\"status\":\"up\"}".to_owned()).header("content-type", "application/json"),
                Verdict::Unknown,
            ),
            ("half of the JSON", with_body(ok, &text.as_bytes()[..text.len() / 2]), Verdict::Unknown),
            ("empty", html(String::new()), Verdict::Unknown),
            ("empty JSON", with_body(ok, ""), Verdict::Unknown),
            ("302 to the form", redirect("/register/recover-password"), Verdict::Unknown),
            ("302 to sign in", redirect("/login?next=/"), Verdict::Unknown),
            ("404", ok.clone().with_status(404), Verdict::Unknown),
            ("500", ok.clone().with_status(500), Verdict::ResetError),
            ("another 2xx", ok.clone().with_status(202), Verdict::Unknown),
        ];
        for (row, canned, verdict) in rows {
            let cms = StandIn::plone60();
            if let Some((target, before)) = &fixture.before {
                cms.answer_once(target, before.clone());
            }
            cms.answer(fixture.target, canned);
            let got = backend(fixture.dialogue, &cms).request_reset(fixture.user, &asker()).await;
            // Where a service says "no" by status, a page with that status says as much.
            let verdict = if row == "404" && is_json && got.verdict == Verdict::NotSupported {
                got.verdict
            } else {
                verdict
            };
            assert_eq!(got.verdict, verdict, "{}, {row}: {}", fixture.dialogue, got.evidence);
            assert!(
                !got.evidence.contains("Back soon") && !got.evidence.contains("next="),
                "{}",
                got.evidence
            );
        }
    }
}

#[tokio::test]
async fn a_backend_that_is_dead_slow_or_broken_is_unreachable_in_any_dialogue() {
    for fixture in fixtures() {
        for fault in [Fault::Close, Fault::Garbage, Fault::BrokenBody] {
            let cms = StandIn::plone60();
            cms.fail("", fault);
            let backend = backend(fixture.dialogue, &cms);
            let asked = backend.request_reset(fixture.user, &asker()).await;
            assert_eq!(
                asked.verdict,
                Verdict::FailedToConnect,
                "{}, {fault:?}: {}",
                fixture.dialogue,
                asked.evidence
            );
            let got = sign_in(&backend, fixture.user, PASSWORD).await;
            assert!(matches!(got, SignIn::Unreachable { .. }), "{}, {fault:?}: {got:?}", fixture.dialogue);
        }
    }
}

/// A link that the dialogue would take for one.
fn some_token(dialogue: &str) -> Secret {
    Secret::new(match dialogue {
        "openacs" => "704~00112233445566778899AABBCCDDEEFF00112233",
        "structr" => "00000000-0000-4000-8000-000000000001!1795246810123",
        "rest-registration" => "1~1795246810~PvoLi4Wh62abK-Ye6oMwK98_LIuVXJnw4HF9f_Te2Aw",
        _ => "0123456789abcdef0123456789abcdef",
    })
}

#[tokio::test]
async fn no_name_breaks_out_of_its_place_in_any_dialogue() {
    let long = "j".repeat(1 << 20);
    for fixture in fixtures() {
        let (cms, dialogue) = (StandIn::plone60(), fixture.dialogue);
        let backend = backend(dialogue, &cms);
        for user in ["", " ", "jdoe\r\nBcc: x", "jdoe\n", "jdoe\0", "jdoe\u{85}", "jdoe\u{7f}", &long] {
            assert!(matches!(sign_in(&backend, user, PASSWORD).await, SignIn::Refused), "{dialogue}");
            assert_eq!(backend.request_reset(user, &asker()).await.verdict, Verdict::NoAccount, "{dialogue}");
            let got = backend.redeem(&some_token(dialogue), user, &Secret::new(NEW), &asker()).await;
            assert_eq!(got.verdict, Verdict::Invalid, "{dialogue}");
        }
        assert_eq!(cms.requests().len(), 0, "{dialogue}: not sent at all");
        for user in
            ["a@b@c@example.org", "Аdmіn", "ﷺ\u{202e}x", "{token}{settings.api}", "a;b&c=d\"'\\<>%0d%0a"]
        {
            cms.forget_requests();
            sign_in(&backend, user, PASSWORD).await;
            backend.request_reset(user, &asker()).await;
            assert!(!cms.requests().is_empty());
            for request in cms.requests() {
                let heads: String =
                    request.headers.values().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
                assert!(
                    !heads.contains(user) && !request.target.contains("example.org"),
                    "{dialogue}: {request:?}"
                );
                if request.header("content-type").is_some_and(|kind| kind.contains("json")) {
                    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                    assert!(
                        body.as_object().unwrap().values().any(|value| value == user),
                        "{dialogue}: {body}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_cms_lacks_is_not_supported() {
    let cms = StandIn::plone60();
    let backend = backend("none", &cms);
    let (token, password) = (some_token("none"), Secret::new(NEW));
    assert_eq!(backend.request_reset("jdoe", &asker()).await.verdict, Verdict::NotSupported);
    assert_eq!(backend.open_link(&token, &asker()).await.verdict, Verdict::NotSupported);
    assert_eq!(backend.redeem(&token, "jdoe", &password, &asker()).await.verdict, Verdict::NotSupported);
    let mut kept = KeptCookies::default();
    let changed = backend.change_password(&mut kept, "jdoe", &password, &password, &asker()).await;
    assert_eq!(changed.verdict, Verdict::NotSupported);
    assert!(!backend.dialogue().can_sign_in() && !backend.dialogue().can_request_reset());
    assert_eq!(cms.requests().len(), 0);
}

#[tokio::test]
async fn what_a_cms_lacks_is_linked_from_nowhere_and_not_found() {
    let cms = StandIn::plone60();
    let gate = Gate::with(
        &cms.origin(),
        "cms = \"none\"\nvirtual_hosting = \"forwarded\"\n[site.access]\ndefault = \"public\"",
    );
    let mut browser = Browser::new(gate.address, HOST);
    assert!(!browser.get("/_gate/login").await.text().contains("forgot-password"));
    for path in
        ["/_gate/forgot-password", "/_gate/reset-password", "/_gate/mail_password", "/_gate/password_reset"]
    {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
        assert_eq!(browser.post(path, &[("username", "jdoe")]).await.status, 404, "{path}");
    }
    for path in ["/_gate/api/forgot-password", "/_gate/api/reset-password"] {
        assert_eq!(browser.post(path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(cms.requests().len(), 0);
    // A site of no accounts has no pages that would be the gate's.
    browser.get("/login?x=1").await;
    assert!(cms.requests()[0].target.ends_with("/login?x=1"), "{:?}", cms.requests());
}

#[tokio::test]
async fn a_page_elsewhere_helps_in_the_gates_place() {
    let (cms, site) = StandIn::openacs();
    let more = "cms = \"openacs\"\nvirtual_hosting = \"forwarded\"\n[site.password_reset]\nforgotten_password_url = \"https://sso.example.net/lost?u={username}\"";
    let gate = Gate::with(&cms.origin(), more);
    let mut browser = Browser::new(gate.address, HOST);
    assert!(browser.get("/_gate/login").await.text().contains("forgot-password"));
    for (query, wanted) in [
        ("", "https://sso.example.net/lost?u="),
        ("?username=known%40example.org", "https://sso.example.net/lost?u=known%40example.org"),
        (
            "?username=x%26u%3Dy%0D%0ASet-Cookie:a",
            "https://sso.example.net/lost?u=x%26u%3Dy%0D%0ASet-Cookie%3Aa",
        ),
    ] {
        let answer = browser.get(&format!("/_gate/forgot-password{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.location().as_deref()), (302, Some(wanted)), "{query}");
    }
    assert_eq!(
        browser.post("/_gate/forgot-password", &[("username", "known@example.org")]).await.status,
        404
    );
    assert_eq!(browser.post("/_gate/api/forgot-password", &[]).await.status, 404);
    // Nor does the CMS's own page, by GET or HEAD, send anything.
    let answer = browser.get("/register/recover-password?email=known@example.org").await;
    assert_eq!(answer.location().as_deref(), Some("/_gate/forgot-password?username=known%40example%2Eorg"));
    assert!(site.lock().unwrap().mails.is_empty());
}

#[tokio::test]
async fn a_person_goes_the_whole_way_to_openacs_and_back() {
    let (cms, site) = StandIn::openacs();
    let gate = Gate::with(&cms.origin(), "cms = \"openacs\"\nvirtual_hosting = \"forwarded\"");
    // Browsers send this with every page; OpenACS would redirect for ever.
    let mut browser = Browser::new(gate.address, HOST).with("upgrade-insecure-requests", "1");
    assert_eq!(browser.get("/pvt/home").await.status, 302);
    assert_eq!(browser.sign_in("known@example.org", "wrong").await.status, 403);
    assert_eq!(browser.sign_in("known@example.org", PASSWORD).await.status, 303);
    let page = browser.get("/pvt/home").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(!browser.cookies.keys().any(|name| name.starts_with("ad_")), "{:?}", browser.cookies.keys());

    let mut stranger = Browser::new(gate.address, HOST);
    stranger.submit("/_gate/forgot-password", &[("username", "known@example.org")]).await;
    while site.lock().unwrap().mails.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let link = site.lock().unwrap().link_of("known");
    assert_eq!(stranger.get(&link).await.location().as_deref(), Some("/_gate/reset-password"));
    let fields = [("username", "known@example.org"), ("password", NEW), ("password_confirm", NEW)];
    let answer = stranger.submit("/_gate/reset-password", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(site.lock().unwrap().password_of("known"), NEW);
    assert_eq!(browser.get("/pvt/home").await.status, 302, "the old session is over");
    assert_eq!(stranger.sign_in("known@example.org", NEW).await.status, 303);
}
