//! MediaWiki: it has no reset links, only mails with a password for once.

use lychgate::cms::{KeptCookies, SignIn, SignOut, Verdict, WhoAmI};
use lychgate::secret::Secret;

use crate::sample::{PASSWORD, Sample, address, asker, signed_in, visitor};
use crate::support::journey::{nothing_shows, without_form};

fn wiki() -> Sample {
    Sample::named("MEDIAWIKI", "mediawiki")
}

#[tokio::test]
async fn signing_in_tells_right_from_wrong_and_learns_the_id() {
    let wiki = wiki();
    let backend = wiki.backend();
    let (signer, id) = wiki.user("Signer").await;
    for (row, user, password, right) in [
        ("right", &*signer, PASSWORD, true),
        ("its first letter small", &*signer.to_lowercase(), PASSWORD, true),
        ("blanks around", &*format!(" {signer} "), PASSWORD, true),
        ("other letters great", &*signer.to_uppercase(), PASSWORD, false),
        ("wrong password", &signer, "Secret-1234", false),
        ("unknown user", &format!("No {signer}"), PASSWORD, false),
        ("no name of a user", "a<b>[c]#d", PASSWORD, false),
        ("more fields", &format!("{signer}&wpPassword=x"), PASSWORD, false),
        ("a placeholder", "{password}", &signer, false),
        ("nothing", "", "", false),
    ] {
        for language in ["en", "de"] {
            let got = backend.sign_in(user, &Secret::new(password), &asker(1, language)).await;
            match got {
                SignIn::Ok { user_id, .. } if right => assert_eq!(user_id, Some(id.clone()), "{row}"),
                SignIn::Refused if !right => {}
                other => panic!("{row}, {language}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn too_many_attempts_are_no_wrong_password() {
    let wiki = wiki();
    let backend = wiki.backend();
    let (hasty, _) = wiki.user("Hasty").await;
    let mut refused = 0;
    // Five in five minutes.
    let last = loop {
        let got = backend.sign_in(&hasty, &Secret::new("wrong"), &asker(2, "fr")).await;
        match got {
            SignIn::Refused if refused < 10 => refused += 1,
            other => break other,
        }
    };
    assert!(matches!(last, SignIn::Unknown { .. }), "{last:?}");
    assert_eq!(refused, 5);
    let other = backend.sign_in(&hasty, &Secret::new(PASSWORD), &asker(3, "fr")).await;
    assert!(matches!(other, SignIn::Ok { .. }), "it counts by the visitor's address: {other:?}");
}

#[tokio::test]
async fn a_session_is_known_until_it_is_signed_out_and_not_after() {
    let wiki = wiki();
    let (leaver, id) = wiki.user("Leaver").await;
    wiki.knows_a_session_until_it_is_signed_out(&leaver, id, asker(4, "de")).await;
}

#[tokio::test]
async fn a_password_is_changed_by_whoever_knows_the_old_one() {
    let wiki = wiki();
    let backend = wiki.backend();
    let (changer, id) = wiki.user("Changer").await;
    let SignIn::Ok { mut cookies, .. } =
        backend.sign_in(&changer, &Secret::new(PASSWORD), &asker(10, "de")).await
    else {
        panic!("{changer} cannot sign in")
    };
    let new = "Nëwpass & \"100%\" {user}";
    for (row, old, new, verdict) in [
        ("wrong old one", "Secret-1234?", new, Verdict::Invalid),
        ("its own name", PASSWORD, &*changer, Verdict::Rejected),
        ("too common", PASSWORD, "password", Verdict::Rejected),
        ("right", PASSWORD, new, Verdict::Ok),
    ] {
        let (old, new) = (Secret::new(old), Secret::new(new));
        let got = backend.change_password(&mut cookies, &changer, &old, &new, &asker(10, "de")).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        assert_eq!(got.message.is_some(), verdict == Verdict::Rejected, "{row}: {:?}", got.message);
    }
    let user_id = Some(id);
    assert_eq!(backend.who_am_i(&cookies, &asker(10, "de")).await, WhoAmI::SignedIn { user_id });
    let got = backend.sign_in(&changer, &Secret::new(PASSWORD), &asker(10, "en")).await;
    assert!(matches!(got, SignIn::Refused), "{got:?}");
    let got = backend.sign_in(&changer, &Secret::new(new), &asker(10, "en")).await;
    assert!(matches!(got, SignIn::Ok { .. }), "{got:?}");
}

#[tokio::test]
async fn asking_for_a_mail_gets_the_verdict_of_every_row() {
    let wiki = wiki();
    let backend = wiki.backend();
    let (user, _) = wiki.user("Asker").await;
    for (row, typed, verdict, mails) in [
        ("known, its first letter small", &*user.to_lowercase(), Verdict::Ok, 1),
        // One a day.
        ("once more", &*user, Verdict::Ok, 1),
        ("unknown", "Nobody at all", Verdict::Ok, 1),
        ("no name of a user", "a<b", Verdict::NoAccount, 1),
        ("more fields", &format!("{user}&wpEmail=x@example.test"), Verdict::Ok, 1),
    ] {
        let got = backend.request_reset(typed, &asker(5, "de")).await;
        assert_eq!(got.verdict, verdict, "{row}: {}", got.evidence);
        // It sends them when it has answered, and before it answers the next.
        backend.who_am_i(&KeptCookies::default(), &asker(5, "de")).await;
        assert_eq!(wiki.mails_to(&user).len(), mails, "{row}");
    }
}

#[tokio::test]
async fn a_person_goes_as_far_as_the_wiki_lets_them() {
    let wiki = wiki();
    let (walker, _) = wiki.user("Walker").await;
    let typed = walker.to_lowercase();
    let gate = wiki.gate("forwarded");
    let mut browser = visitor(&gate, 6);
    assert_eq!(browser.get("/wiki/Main_Page").await.status, 302);
    let wrong = browser.sign_in(&typed, "wrong").await;
    let unknown = browser.sign_in("nobody-by-that-name", "wrong").await;
    assert_eq!(wrong.status, 403);
    assert_eq!(without_form(&wrong, &typed), without_form(&unknown, "nobody-by-that-name"));
    let mut browser = signed_in(browser, &typed, PASSWORD).await;
    let page = nothing_shows(browser.get("/wiki/Main_Page").await, wiki.internal());
    assert!(page.text().contains(&format!("\"wgUserName\":\"{walker}\"")), "the wiki does not know who asks");
    assert!(browser.cookies.keys().all(|name| !name.starts_with("wiki")), "{:?}", browser.cookies.keys());

    // The wiki's own doors are the gate's.
    for (path, leads) in [
        ("/wiki/Special:UserLogin", "/_gate/login"),
        ("/w/index.php?title=Special:UserLogin", "/_gate/login"),
        ("/w/index.php?title=special:userlogin&returnto=Main_Page", "/_gate/login"),
        ("/w/index.php?title=Special:UserLogout", "/_gate/logout"),
        ("/w/index.php?title=Special:PasswordReset", "/_gate/forgot-password"),
    ] {
        let location = browser.clone().get(path).await.location();
        assert!(location.as_ref().is_some_and(|to| to.starts_with(leads)), "{path}: {location:?}");
    }

    let mut stranger = visitor(&gate, 7);
    let known = stranger.submit("/_gate/forgot-password", &[("username", &typed)]).await;
    let unknown = stranger.submit("/_gate/forgot-password", &[("username", "nobody-by-that-name")]).await;
    assert_eq!(known.status, 200);
    assert_eq!(without_form(&known, &typed), without_form(&unknown, "nobody-by-that-name"));
    let text = wiki.mail_to(&walker).await;
    assert!(
        text.contains(&address(7).to_string()) && text.contains("http://www.example.test/wiki/"),
        "{text}"
    );
    let temporary = text.split("Temporary password:").nth(1).unwrap().split_whitespace().next().unwrap();
    // The wiki wants a new one at once, in a conversation that the gate does not lead.
    let answer = stranger.sign_in(&typed, temporary).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    signed_in(stranger, &typed, PASSWORD).await;

    let copy = browser.clone();
    assert_eq!(browser.submit("/_gate/logout", &[]).await.status, 200);
    for mut browser in [browser, copy] {
        assert_eq!(browser.get("/wiki/Main_Page").await.status, 302, "the session is over");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_the_inside() {
    let wiki = wiki();
    let (reader, _) = wiki.user("Reader").await;
    for (last, hosting) in [(8, "forwarded"), (9, "rewrite")] {
        let gate = wiki.gate(hosting);
        let mut browser = signed_in(visitor(&gate, last), &reader, PASSWORD).await;
        let starts = ["/", "/wiki/Main_Page", "/wiki/Special:RecentChanges", "/wiki/Special:Preferences"];
        wiki.crawl(&mut browser, &starts, 25).await;
        wiki.crawl(&mut browser, &["/w/api.php?action=query&meta=siteinfo&format=json"], 1).await;
        wiki.crawl(&mut browser, &["/w/api.php?action=rsd", "/w/rest.php/v1/search/page?q=main"], 2).await;
    }
}
