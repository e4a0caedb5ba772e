//! The worked examples in `deploy/dialogues`: each is read as an operator would have it read, and speaks with a stand-in that
//! answers as that CMS does. `tests/other_cms` has the first two speak with the real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lychgate::cms::{
    Backend, BackendSettings, KeptCookies, SignIn, SignOut, TakenOver, Trust, Verdict, WhoAmI,
};
use lychgate::config::Config;
use lychgate::secret::Secret;
use support::standin::{Canned, Recorded, StandIn, asker};
use url::Url;

const PASSWORD: &str = "Secret1234!";
const NEW: &str = "Nëw & 100%";

/// The dialogue that `proxy.toml` names by its file, before this CMS.
fn backend(name: &str, cms: &StandIn) -> Backend {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dialogues");
    let text = format!(
        "[[cms]]\nfile = \"{name}.toml\"\n[[site]]\nname = \"a\"\npublic_url = \"http://public.example.org\"\nbackend_url = \"http://127.0.0.1:1\"\ncms = \"{name}\"\n"
    );
    let (config, _) =
        Config::parse(Path::new("proxy.toml"), &text, folder).unwrap_or_else(|found| panic!("{found:?}"));
    let settings = BackendSettings {
        address: Url::parse(&cms.origin()).unwrap(),
        host: None,
        public_url: Url::parse("http://public.example.org").unwrap(),
        trust: Trust::default(),
        source_address: None,
        tls: None,
        lenient: false,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
    };
    Backend::new(Arc::new(config.dialogue(config.sites[0].as_ref()).unwrap()), settings).unwrap()
}

fn redirect(to: &str) -> Canned {
    Canned::html(302, "").header("location", to)
}

fn page(content: &str) -> Canned {
    Canned::html(200, format!("<html><body class=login>{content}</body></html>"))
}

fn json(status: u16, body: &str) -> Canned {
    Canned::html(status, body).header("content-type", "application/json")
}

fn query(recorded: &Recorded, name: &str) -> String {
    let query = recorded.target.split_once('?').map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map_or(String::new(), |(_, v)| v.into_owned())
}

fn has_cookie(recorded: &Recorded, cookie: &str) -> bool {
    recorded.header("cookie").is_some_and(|all| all.split("; ").any(|one| one == cookie))
}

fn wordpress(recorded: &Recorded) -> Canned {
    let (path, post) = (recorded.target.split('?').next().unwrap(), recorded.method == Method::POST);
    let field = |name: &str| recorded.field(name).unwrap_or_default();
    let signed_in = has_cookie(recorded, "wordpress_logged_in_ab12=jdoe%7C1");
    let mine = has_cookie(recorded, "wp-resetpass-ab12=jdoe%3Agoodkey");
    match (path, query(recorded, "action").as_str()) {
        ("/wp-admin/profile.php", _) if signed_in => {
            page("<form id=your-profile><input type=text name=user_login id=user_login value=jdoe disabled></form>")
        }
        ("/wp-admin/profile.php", _) => redirect("/wp-login.php?redirect_to=x&reauth=1"),
        ("/wp-login.php", "") if post && field("log") == "jdoe" && field("pwd") == PASSWORD => redirect("/wp-admin/")
            .header("set-cookie", "wordpress_ab12=jdoe%7C0; path=/wp-admin; HttpOnly")
            .header("set-cookie", "wordpress_logged_in_ab12=jdoe%7C1; path=/; HttpOnly"),
        ("/wp-login.php", "") if post => page("<div id=login_error>Unknown.</div><form id=loginform><input name=log></form>"),
        ("/wp-login.php", "logout") if query(recorded, "_wpnonce") == "n0" => redirect("/wp-login.php?loggedout=true").header(
            "set-cookie",
            "wordpress_logged_in_ab12=%20; expires=Thu, 21-Nov-2025 07:00:00 GMT; Max-Age=0; path=/",
        ),
        ("/wp-login.php", "logout") => {
            page("Do you really want to <a href='http://x/wp-login.php?action=logout&amp;_wpnonce=n0'>log out</a>?").with_status(403)
        }
        ("/wp-login.php", "lostpassword") if field("user_login") == "jdoe" => redirect("wp-login.php?checkemail=confirm"),
        ("/wp-login.php", "lostpassword") => {
            page("<div id=login_error>There is no account.</div><form id=lostpasswordform><input name=user_login></form>")
        }
        ("/wp-login.php", "rp") if !query(recorded, "key").is_empty() => {
            let value = format!("{}%3A{}", query(recorded, "login"), query(recorded, "key"));
            redirect("/wp-login.php?action=rp").header("set-cookie", &format!("wp-resetpass-ab12={value}; path=/wp-login.php"))
        }
        ("/wp-login.php", "rp" | "resetpass") if !mine => {
            let old = has_cookie(recorded, "wp-resetpass-ab12=jdoe%3Aoldkey");
            redirect(&format!("/wp-login.php?action=lostpassword&error={}", if old { "expiredkey" } else { "invalidkey" }))
        }
        ("/wp-login.php", "resetpass") if field("pass1") == NEW && field("pass2") == NEW && field("rp_key") == "goodkey" => {
            page("<p class='message reset-pass'>Your password has been reset. <a href='/wp-login.php'>Log in</a></p>")
        }
        ("/wp-login.php", _) => page(
            "<div id=login_error>Not <b>good</b>.</div><p class='message reset-pass'>Enter your new password</p><form id=resetpassform action='/wp-login.php?action=resetpass'><input type=hidden id=user_login value=jdoe><input name=pass1><input name=pass2><input type=hidden name=rp_key value=goodkey></form>",
        ),
        _ => Canned::html(404, ""),
    }
}

fn mediawiki(recorded: &Recorded) -> Canned {
    let (path, post) = (recorded.target.split('?').next().unwrap(), recorded.method == Method::POST);
    let field = |name: &str| recorded.field(name).unwrap_or_default();
    let signed_in = has_cookie(recorded, "wikiUserID=7");
    let session = has_cookie(recorded, "wiki_session=s1");
    let form = |error: &str| {
        page(&format!("<div id=mw-content-text>{error}<form name=userlogin action='/wiki/Special:UserLogin'><input name=wpName><input type=password name=wpPassword><input type=hidden name=wpLoginToken value='t+\\'></form></div>"))
            .header("set-cookie", "wiki_session=s1; path=/; HttpOnly")
    };
    let reset = |error: &str| {
        page(&format!(
            "<div id=mw-content-text>{error}<form action='/wiki/Special:PasswordReset'><input type=hidden name=wpEditToken value='e+\\'><input name=wpUsername><input name=wpEmail></form></div>"
        ))
    };
    match (path, query(recorded, "title").as_str()) {
        ("/w/api.php", _) if signed_in => {
            json(200, "{\"query\":{\"userinfo\":{\"id\":7,\"name\":\"Jdoe\"}}}")
        }
        ("/w/api.php", _) => {
            json(200, "{\"query\":{\"userinfo\":{\"id\":0,\"name\":\"127.0.0.1\",\"anon\":\"\"}}}")
        }
        ("/w/index.php", "Special:UserLogin") if !post => form(""),
        ("/w/index.php", "Special:UserLogin")
            if session
                && field("wpLoginToken") == "t+\\"
                && field("wpName") == "Jdoe"
                && field("wpPassword") == PASSWORD =>
        {
            redirect("/wiki/Main_Page")
                .header("set-cookie", "wiki_session=s2; path=/; HttpOnly")
                .header("set-cookie", "wikiUserID=7; path=/; HttpOnly")
                .header("set-cookie", "wikiUserName=Jdoe; path=/; HttpOnly")
        }
        ("/w/index.php", "Special:UserLogin") => {
            form("<div class='cdx-message cdx-message--error'>Incorrect.</div>")
        }
        ("/w/index.php", "Special:UserLogout") if post && field("wpEditToken") == "e+\\" => page("out")
            .header(
                "set-cookie",
                "wikiUserID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/",
            ),
        ("/w/index.php", "Special:UserLogout") => page(
            "<div id=mw-content-text><form method=post action='/wiki/Special:UserLogout'><input type=hidden name=wpEditToken value='e+\\'></form></div>",
        ),
        ("/w/index.php", "Special:PasswordReset")
            if post && field("wpEditToken") == "e+\\" && !field("wpUsername").contains('<') =>
        {
            page("<div id=mw-content-text><p>You have requested a password reset.</p></div>")
        }
        ("/w/index.php", "Special:PasswordReset") if post => {
            reset("<div class='oo-ui-flaggedElement-error'>You have not specified a valid username.</div>")
        }
        ("/w/index.php", "Special:PasswordReset") => reset(""),
        _ => Canned::html(404, ""),
    }
}

fn drupal(recorded: &Recorded) -> Canned {
    let (path, post) = (recorded.target.split('?').next().unwrap(), recorded.method == Method::POST);
    let field = |name: &str| recorded.field(name).unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&recorded.body).unwrap_or_default();
    let signed_in = has_cookie(recorded, "SSESSab12=in");
    match path {
        "/user/login_status" => json(200, if signed_in { "1" } else { "0" }),
        "/user/login" if post && body["name"] == "jdoe" && body["pass"] == PASSWORD => {
            json(200, "{\"current_user\":{\"uid\":\"7\",\"name\":\"jdoe\"},\"csrf_token\":\"c\",\"logout_token\":\"l\"}")
                .header("set-cookie", "SSESSab12=in; path=/; secure; HttpOnly")
        }
        "/user/login" if post => json(400, "{\"message\":\"Sorry, unrecognized username or password.\"}"),
        "/user/logout" => redirect("/user/logout/confirm"),
        "/user/logout/confirm" if post && field("form_token") == "f1" => {
            redirect("/").header("set-cookie", "SSESSab12=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/")
        }
        "/user/logout/confirm" => page("<form id=user-logout-confirm action='/user/logout/confirm'><input type=hidden name=form_token value=f1></form>"),
        "/user/password" if post && field("form_id") == "user_pass" => redirect("/"),
        "/user/password" => page("<form id=user-pass action='/user/password'><input name=name><input type=hidden name=form_id value=user_pass></form>"),
        "/user/reset/7/1795246810/goodhash" => redirect("/user/reset/7").header("set-cookie", "SSESSab12=reset; path=/"),
        "/user/reset/7" if has_cookie(recorded, "SSESSab12=reset") => {
            page("<form id=user-pass-reset action='/user/reset/7/1795246810/goodhash/login'><input type=hidden name=form_id value=user_pass_reset></form>")
        }
        "/user/reset/7/1795246810/goodhash/login" if post && field("form_id") == "user_pass_reset" => {
            redirect("/user/7/edit?pass-reset-token=p1&check_logged_in=1").header("set-cookie", "SSESSab12=change; path=/")
        }
        "/user/7/edit" if !has_cookie(recorded, "SSESSab12=change") || query(recorded, "pass-reset-token") != "p1" => page("").with_status(403),
        // The form is refused unless all of it comes back.
        "/user/7/edit" if post && field("pass[pass1]") == NEW && field("mail") == "j@example.org" && field("timezone") == "UTC" && field("status").is_empty() => {
            redirect("/user/7")
        }
        "/user/7/edit" => page(
            "<div class='messages messages--error'>Too weak.</div><form id=user-form action='/user/7/edit?pass-reset-token=p1'><input type=email name=mail value='j@example.org'><input type=checkbox name=status value=1><select name=timezone><option value=''>-<option value=UTC selected>UTC</select><input type=password name='pass[pass1]'><input type=password name='pass[pass2]'><input type=hidden name=form_token value=f2></form>",
        ),
        path if path.starts_with("/user/reset/") => redirect("/user/password"),
        _ => Canned::html(404, ""),
    }
}

async fn walk(name: &str, answer: fn(&Recorded) -> Canned, user: &str, id: &str) {
    let cms = StandIn::answering(answer);
    let backend = backend(name, &cms);
    for (user, password, right) in [
        (user, PASSWORD, true),
        (user, "wrong", false),
        ("nobody", PASSWORD, false),
        ("a&b=c\"d@e@f", PASSWORD, false),
    ] {
        let got = backend.sign_in(user, &Secret::new(password), &asker()).await;
        let id = Some(id.to_owned());
        assert!(
            matches!(&got, SignIn::Ok { user_id, .. } if *user_id == id) == right,
            "{name}, {user}: {got:?}"
        );
        assert!(matches!(got, SignIn::Refused) != right, "{name}, {user}: {got:?}");
    }
    let SignIn::Ok { cookies, .. } = backend.sign_in(user, &Secret::new(PASSWORD), &asker()).await else {
        panic!()
    };
    assert!(matches!(backend.who_am_i(&cookies, &asker()).await, WhoAmI::SignedIn { .. }), "{name}");
    assert_eq!(backend.who_am_i(&KeptCookies::default(), &asker()).await, WhoAmI::Anonymous, "{name}");
    assert_eq!(backend.sign_out(&cookies, &asker()).await, SignOut::Ok, "{name}");
    let asked = backend.request_reset(user, &asker()).await;
    assert_eq!(asked.verdict, Verdict::Ok, "{name}: {}", asked.evidence);
    // What is no answer of that CMS is none to its dialogue.
    for canned in [
        page("<h1>Back soon</h1>"),
        Canned::html(200, ""),
        json(200, "{}"),
        redirect("https://elsewhere.example/"),
    ] {
        cms.answer("", canned);
        let got = backend.request_reset(user, &asker()).await;
        assert_eq!(got.verdict, Verdict::Unknown, "{name}: {}", got.evidence);
        let got = backend.sign_in(user, &Secret::new(PASSWORD), &asker()).await;
        assert!(matches!(got, SignIn::Unknown { .. }), "{name}: {got:?}");
    }
}

fn link(backend: &Backend, link: &str) -> Secret {
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    match backend.dialogue().paths().taken_over(path.split('/'), Some(query)) {
        Some(TakenOver::ResetLink { token: Some(token), .. }) => token,
        other => panic!("{link} is taken for {other:?}"),
    }
}

async fn redeem(backend: &Backend, token: &Secret, password: &str) -> (Verdict, Option<String>) {
    let got = backend.redeem(token, "jdoe", &Secret::new(password), &asker()).await;
    assert!(!got.evidence.contains("goodkey") && !got.evidence.contains("goodhash"), "{}", got.evidence);
    (got.verdict, got.message)
}

#[tokio::test]
async fn wordpress_goes_the_whole_way() {
    walk("wordpress", wordpress, "jdoe", "jdoe").await;
    let cms = StandIn::answering(wordpress);
    let backend = backend("wordpress", &cms);
    let unknown = backend.request_reset("nobody", &asker()).await;
    assert_eq!(
        (unknown.verdict, unknown.message.as_deref()),
        (Verdict::NoAccount, Some("There is no account."))
    );
    let good = link(&backend, "/wp-login.php?login=jdoe&key=goodkey&action=rp&wp_lang=en_US");
    assert_eq!(redeem(&backend, &good, "weak").await, (Verdict::Rejected, Some("Not good.".to_owned())));
    assert_eq!(redeem(&backend, &good, NEW).await.0, Verdict::Ok);
    let old = link(&backend, "/wp-login.php?action=rp&key=oldkey&login=jdoe");
    assert_eq!(redeem(&backend, &old, NEW).await.0, Verdict::Expired);
    let used = link(&backend, "/wp-login.php?action=rp&key=usedkey&login=jdoe");
    assert_eq!(redeem(&backend, &used, NEW).await.0, Verdict::Invalid);
    for (query, wanted) in [
        ("", TakenOver::SignIn),
        ("redirect_to=%2F", TakenOver::SignIn),
        ("action=logout&_wpnonce=x", TakenOver::SignOut),
        ("action=lostpassword", TakenOver::RequestReset),
        ("action=LostPassword", TakenOver::RequestReset),
        ("action=%72p", TakenOver::ResetLink { token: None, user: None }),
    ] {
        let taken = backend.dialogue().paths().taken_over(["wp-login.php"], Some(query));
        assert_eq!(taken, Some(wanted), "{query}");
    }
}

#[tokio::test]
async fn mediawiki_goes_as_far_as_it_can() {
    walk("mediawiki", mediawiki, "Jdoe", "7").await;
    let cms = StandIn::answering(mediawiki);
    let backend = backend("mediawiki", &cms);
    assert_eq!(backend.request_reset("No<body", &asker()).await.verdict, Verdict::NoAccount);
    assert!(!backend.dialogue().can_redeem());
    let paths = backend.dialogue().paths();
    for (path, query, wanted) in [
        ("wiki/Special:UserLogin", "", Some(TakenOver::SignIn)),
        ("wiki/special:userlogin", "", Some(TakenOver::SignIn)),
        ("w/index.php", "title=Special:UserLogout", Some(TakenOver::SignOut)),
        ("w/index.php", "title=special:passwordreset", Some(TakenOver::RequestReset)),
        ("w/api.php", "action=clientlogin", Some(TakenOver::Closed)),
        ("w/api.php", "action=query", None),
        ("w/index.php", "title=Main_Page", None),
    ] {
        assert_eq!(paths.taken_over(path.split('/'), Some(query)), wanted, "{path}?{query}");
    }
}

#[tokio::test]
async fn drupal_goes_the_whole_way() {
    walk("drupal", drupal, "jdoe", "7").await;
    let cms = StandIn::answering(drupal);
    let backend = backend("drupal", &cms);
    for (path, wanted) in [("USER/Login", TakenOver::SignIn), ("User/PASSWORD", TakenOver::RequestReset)] {
        assert_eq!(backend.dialogue().paths().taken_over(path.split('/'), None), Some(wanted), "/{path}");
    }
    assert_eq!(link(&backend, "/User/RESET/7/1700000000/aB3dEf").expose(), "7~1700000000~aB3dEf");
    let good = link(&backend, "/user/reset/7/1795246810/goodhash");
    assert_eq!(good.expose(), "7~1795246810~goodhash");
    assert_eq!(redeem(&backend, &good, "weak").await, (Verdict::Rejected, Some("Too weak.".to_owned())));
    assert_eq!(redeem(&backend, &good, NEW).await.0, Verdict::Ok);
    let used = link(&backend, "/user/reset/7/1795246810/usedhash/login");
    assert_eq!(redeem(&backend, &used, NEW).await.0, Verdict::Invalid);
}

#[test]
fn passwords_are_tried_by_the_gates_page_alone() {
    let cms = StandIn::answering(|_| page(""));
    for (name, fields) in
        [("drupal", &["pass"][..]), ("mediawiki", &["wpPassword", "lgpassword", "logintoken"])]
    {
        let backend = backend(name, &cms);
        for field in fields {
            assert!(backend.dialogue().is_credential_field(field), "{name}: {field}");
            // PHP reads these as the field, too.
            for spelled in [format!("  {field}"), format!("{field}\0x")] {
                assert!(backend.dialogue().is_credential_field(&spelled), "{name}: {spelled:?}");
            }
        }
        assert!(!backend.dialogue().is_credential_field("pass[pass1]"), "{name}: a new password is none");
    }
}
