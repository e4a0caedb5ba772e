//! WordPress: the whole way of a person, and what its own forms answer.

use lychgate::cms::{Backend, KeptCookies, SignIn, SignOut, TakenOver, Verdict, WhoAmI};
use lychgate::secret::Secret;
use url::Url;

use crate::sample::{PASSWORD, Sample, address, asker, signed_in, visitor};
use crate::support::browser::Browser;
use crate::support::gate::HOST;
use crate::support::journey::{nothing_shows, without_form};

fn site() -> Sample {
    Sample::named("WORDPRESS", "wordpress")
}

/// The link in the newest mail to a user.
async fn link_to(site: &Sample, user: &str) -> String {
    let text = site.mail_to(user).await;
    let link = text.split_whitespace().find(|word| word.contains("key=")).unwrap_or_else(|| panic!("{text}"));
    assert!(link.starts_with(&format!("http://{HOST}/wp-login.php?")), "{link}");
    link.to_owned()
}

fn token_in(backend: &Backend, link: &str) -> Secret {
    let url = Url::parse(link).unwrap();
    match backend.dialogue().paths().taken_over(url.path().split('/'), url.query()) {
        Some(TakenOver::ResetLink { token: Some(token), .. }) => token,
        other => panic!("{link} is taken for {other:?}"),
    }
}

#[tokio::test]
async fn signing_in_tells_right_from_wrong_and_learns_the_id() {
    let site = site();
    let backend = site.backend();
    let (signer, _) = site.user("signer").await;
    for (row, user, password, right) in [
        ("right", &*signer, PASSWORD, true),
        ("another case", &*signer.to_uppercase(), PASSWORD, true),
        ("by the address", &*site.address_of(&signer), PASSWORD, true),
        ("wrong password", &signer, "Secret-1234", false),
        ("password in another case", &signer, "secret-1234!", false),
        ("unknown user", "nobody", PASSWORD, false),
        ("several @", "a@b@c", PASSWORD, false),
        ("more fields", &format!("{signer}&pwd=x"), PASSWORD, false),
        ("markup", &format!("<b>{signer}</b>"), "x", false),
        ("a placeholder", "{password}", &signer, false),
        ("nothing", "", "", false),
    ] {
        for language in ["en", "de"] {
            let got = backend.sign_in(user, &Secret::new(password), &asker(1, language)).await;
            match got {
                SignIn::Ok { user_id, .. } if right => {
                    assert_eq!(user_id.as_deref(), Some(&*signer), "{row}")
                }
                SignIn::Refused if !right => {}
                other => panic!("{row}, {language}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_known_until_it_is_signed_out_and_not_after() {
    let site = site();
    let (leaver, _) = site.user("leaver").await;
    site.knows_a_session_until_it_is_signed_out(&leaver, leaver.clone(), asker(2, "de")).await;
}

#[tokio::test]
async fn a_password_is_changed_by_whoever_knows_the_old_one() {
    let site = site();
    let backend = site.backend();
    let (changer, _) = site.user("changer").await;
    let SignIn::Ok { mut cookies, .. } =
        backend.sign_in(&changer, &Secret::new(PASSWORD), &asker(10, "de")).await
    else {
        panic!("{changer} cannot sign in")
    };
    let new = "Nëwpass & \"100%\" {user}";
    for (row, old, new, verdict) in [
        ("wrong old one", "Secret-1234?", new, Verdict::Invalid),
        ("blanks alone", PASSWORD, "   ", Verdict::Rejected),
        ("a character that it does not allow", PASSWORD, "back\\slash", Verdict::Rejected),
        ("right", PASSWORD, new, Verdict::Ok),
    ] {
        let (old, new) = (Secret::new(old), Secret::new(new));
        let got = backend.change_password(&mut cookies, &changer, &old, &new, &asker(10, "de")).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert_eq!(
            got.message.is_some(),
            verdict == Verdict::Rejected && row != "blanks alone",
            "{row}: {:?}",
            got.message
        );
    }
    let user_id = Some(changer.clone());
    assert_eq!(backend.who_am_i(&cookies, &asker(10, "de")).await, WhoAmI::SignedIn { user_id });
    let got = backend.sign_in(&changer, &Secret::new(PASSWORD), &asker(10, "en")).await;
    assert!(matches!(got, SignIn::Refused), "{got:?}");
    let got = backend.sign_in(&changer, &Secret::new(new), &asker(10, "en")).await;
    assert!(matches!(got, SignIn::Ok { .. }), "{got:?}");
}

#[tokio::test]
async fn asking_for_a_mail_gets_the_verdict_of_every_row() {
    let site = site();
    let backend = site.backend();
    let (user, _) = site.user("asker").await;
    let (unreachable, _) = site.user("unreachable").await;
    for (row, typed, verdict, mails) in [
        ("known", &*user, Verdict::Ok, 1),
        ("another case", &*user.to_uppercase(), Verdict::Ok, 1),
        ("by the address", &*site.address_of(&user), Verdict::Ok, 1),
        ("unknown", "nobody", Verdict::NoAccount, 0),
        ("no name of a user", "a<b", Verdict::NoAccount, 0),
        ("more fields", &format!("{user}&redirect_to=http://elsewhere.example"), Verdict::NoAccount, 0),
        (
            "header injection",
            &format!("{}\r\nBcc: x@example.test", site.address_of(&user)),
            Verdict::NoAccount,
            0,
        ),
        ("nothing", "", Verdict::NoAccount, 0),
        ("known, but the mail server refuses", &*unreachable, Verdict::ResetError, 0),
    ] {
        let before = site.mails_to(&user).len();
        let got = backend.request_reset(typed, &asker(3, "en")).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert_eq!(site.mails_to(&user).len() - before, mails, "{row}");
    }
}

#[tokio::test]
async fn a_link_gets_the_verdict_of_every_row() {
    let site = site();
    let backend = site.backend();
    for like in ["holder", "Mary Jane "] {
        let (name, _) = site.user(like).await;
        let name = name.as_str();
        assert_eq!(backend.request_reset(name, &asker(4, "en")).await.verdict, Verdict::Ok, "{name}");
        let good = token_in(&backend, &link_to(&site, name).await);
        let (login, key) = good.expose().split_once('~').unwrap();
        assert_eq!(login, name);
        let new = "Nëwpass & \"100%\" {user}";
        for (row, token, password, verdict) in [
            ("bent", &format!("{login}~x{key}"), new, Verdict::Invalid),
            ("another account's", &format!("admin~{key}"), new, Verdict::Invalid),
            ("nobody's", &format!("nobody~{key}"), new, Verdict::Invalid),
            ("nothing but blanks", &format!("{login}~{key}"), "   ", Verdict::Rejected),
            ("good", &format!("{login}~{key}"), new, Verdict::Ok),
            ("used", &format!("{login}~{key}"), new, Verdict::Invalid),
        ] {
            let got = backend
                .redeem(&Secret::new(token.as_str()), name, &Secret::new(password), &asker(4, "en"))
                .await;
            assert_eq!(got.verdict, verdict, "{name}, {row}: {}", got.evidence);
            assert_eq!(
                got.message.is_some(),
                verdict == Verdict::Rejected,
                "{name}, {row}: {:?}",
                got.message
            );
            assert_eq!(got.user_id, (verdict == Verdict::Ok).then(|| name.to_owned()), "{name}, {row}");
        }
        let old = backend.sign_in(name, &Secret::new(PASSWORD), &asker(4, "en")).await;
        assert!(matches!(old, SignIn::Refused), "{name}: {old:?}");
        let signed = backend.sign_in(name, &Secret::new(new), &asker(4, "en")).await;
        assert!(matches!(signed, SignIn::Ok { .. }), "{name}: {signed:?}");
    }
}

#[tokio::test]
async fn a_link_that_is_too_old_is_told_from_one_that_never_was() {
    let site = site();
    let backend = site.backend();
    let (late, _) = site.user("late").await;
    assert_eq!(backend.request_reset(&late, &asker(11, "en")).await.verdict, Verdict::Ok);
    let token = token_in(&backend, &link_to(&site, &late).await);
    site.ask(&format!("/age/{late}")).await;
    let got = backend.redeem(&token, &late, &Secret::new("Newpass-1234!"), &asker(11, "en")).await;
    assert_eq!(got.verdict, Verdict::Expired, "{}", got.evidence);
}

#[tokio::test]
async fn the_sites_own_form_changes_a_password_and_the_session_goes_on() {
    let site = site();
    let (owner, _) = site.user("owner").await;
    let gate = site.gate("forwarded");
    let mut browser = signed_in(visitor(&gate, 12), &owner, PASSWORD).await;
    let mut elsewhere = signed_in(visitor(&gate, 13), &owner, PASSWORD).await;
    let page = browser.get("/wp-admin/profile.php").await;
    let (action, mut fields) = page.form_named("your-profile");
    fields.retain(|(name, _)| !name.starts_with("pass"));
    for name in ["pass1", "pass2"] {
        fields.push((name.to_owned(), "Newpass-1234!".to_owned()));
    }
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let path = browser.path_of(&action);
    let answer = nothing_shows(browser.post(&path, &fields).await, site.internal());
    assert!(answer.location().is_some_and(|to| to.contains("updated=1")), "{}", answer.text());
    assert!(
        browser.cookies.keys().all(|name| !name.starts_with("wordpress_")),
        "{:?}",
        browser.cookies.keys()
    );
    assert!(
        is_signed_in(&mut browser, &site, &owner).await,
        "the site gave out another sign-in, which the gate has"
    );
    // The site ends its other sessions; the gate learns of it by the site's own question.
    assert!(!is_signed_in(&mut elsewhere, &site, &owner).await);
}

async fn is_signed_in(browser: &mut Browser, site: &Sample, name: &str) -> bool {
    let page = nothing_shows(browser.get("/wp-admin/profile.php").await, site.internal());
    page.status == 200 && page.text().contains(&format!("value=\"{name}\""))
}

#[tokio::test]
async fn a_person_goes_the_whole_way_through_the_gate() {
    let site = site();
    let (walker, _) = site.user("walker").await;
    let (other, _) = site.user("bystander").await;
    let gate = site.gate("forwarded");
    let mut browser = visitor(&gate, 5);
    assert_eq!(browser.get("/").await.status, 302);
    let wrong = browser.sign_in(&walker, "wrong").await;
    let unknown = browser.sign_in("nobody-by-that-name", "wrong").await;
    assert_eq!(wrong.status, 403);
    assert_eq!(without_form(&wrong, &walker), without_form(&unknown, "nobody-by-that-name"));
    // By a name that it takes for the same.
    let mut browser = signed_in(browser, &site.address_of(&walker).to_uppercase(), PASSWORD).await;
    assert!(is_signed_in(&mut browser, &site, &walker).await, "the site does not know who asks");
    assert!(
        browser.cookies.keys().all(|name| !name.starts_with("wordpress_")),
        "{:?}",
        browser.cookies.keys()
    );

    // The site's own doors are the gate's.
    for (path, leads) in [
        ("/wp-login.php", "/_gate/login"),
        ("/wp-login.php?redirect_to=/x&reauth=1", "/_gate/login"),
        ("/wp-login.php?action=logout&_wpnonce=x", "/_gate/logout"),
        ("/wp-login.php?action=lostpassword", "/_gate/forgot-password"),
    ] {
        let location = browser.clone().get(path).await.location();
        assert!(location.as_ref().is_some_and(|to| to.starts_with(leads)), "{path}: {location:?}");
    }
    assert_eq!(browser.get("/xmlrpc.php").await.status, 403);

    let mut stranger = visitor(&gate, 6);
    let known = stranger.submit("/_gate/forgot-password", &[("username", &walker)]).await;
    let unknown = stranger.submit("/_gate/forgot-password", &[("username", "nobody-by-that-name")]).await;
    assert_eq!(known.status, 200);
    assert_eq!(without_form(&known, &walker), without_form(&unknown, "nobody-by-that-name"));
    let link = link_to(&site, &walker).await;
    assert!(site.mail_to(&walker).await.contains(&address(6).to_string()), "it says who asked");
    let path = stranger.path_of(&link);
    let answer = stranger.get(&path).await;
    assert_eq!(answer.location().as_deref(), Some("/_gate/reset-password"), "{link}");
    let mut bystander = signed_in(visitor(&gate, 7), &other, PASSWORD).await;
    let new = "A new pässword, 42!";
    let fields = [("username", &*walker), ("password", new), ("password_confirm", new)];
    let answer = nothing_shows(stranger.submit("/_gate/reset-password", &fields).await, site.internal());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(browser.get("/").await.status, 302, "the old session is over, whatever name it began by");
    assert_eq!(bystander.get("/").await.status, 200, "nobody else's is");
    stranger.get(&path).await;
    let answer = stranger.submit("/_gate/reset-password", &fields).await;
    assert_eq!(answer.status, 404, "the link works once: {}", answer.heading());
    assert_eq!(stranger.sign_in(&walker, PASSWORD).await.status, 403);
    let mut stranger = signed_in(stranger, &walker, new).await;
    assert!(is_signed_in(&mut stranger, &site, &walker).await);

    let copy = stranger.clone();
    assert_eq!(stranger.submit("/_gate/logout", &[]).await.status, 200);
    for mut browser in [stranger, copy] {
        assert_eq!(browser.get("/").await.status, 302, "the session is over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_the_inside() {
    let site = site();
    let (reader, _) = site.user("reader").await;
    for (last, hosting) in [(8, "forwarded"), (9, "rewrite")] {
        let gate = site.gate(hosting);
        let mut browser = signed_in(visitor(&gate, last), &reader, PASSWORD).await;
        site.crawl(&mut browser, &["/", "/wp-admin/profile.php", "/wp-admin/"], 25).await;
        site.crawl(&mut browser, &["/?rest_route=/", "/?rest_route=/wp/v2/posts", "/?feed=rss2"], 3).await;
    }
}
