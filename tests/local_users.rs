//! Users of the gate's own: signing in, forgetting the password, getting back in, and changing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::local::{self, GOOD, OTHER, gate, mails, run, users};
use support::standin::StandIn;

const FORGOT: &str = "/_gate/forgot-password";
const RESET: &str = "/_gate/reset-password";

fn browser(gate: &Gate) -> Browser {
    Browser::new(gate.address, HOST)
}

/// Asks for a link and gives its path.
async fn link(gate: &Gate, user: &str) -> String {
    let before = mails(gate).len();
    let answer = browser(gate).submit(FORGOT, &[("username", user)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    loop {
        // A notice of what went before may come in between.
        let mut new = mails(gate).into_iter().skip(before);
        if let Some(mail) = new.find(|mail| mail.text.contains("reset-password?token=")) {
            return mail.link();
        }
        tokio::task::yield_now().await;
    }
}

/// Opens a link and sets a password.
async fn redeem(browser: &mut Browser, link: &str, user: &str, password: &str) -> Answer {
    let (path, page) = browser.follow(link).await;
    assert_eq!((path.as_str(), page.status.as_u16()), (RESET, 200), "{}", page.text());
    browser.submit(RESET, &[("username", user), ("password", password), ("password_confirm", password)]).await
}

async fn signs_in(gate: &Gate, user: &str, password: &str) -> bool {
    let answer = browser(gate).sign_in(user, password).await;
    assert!(matches!(answer.status.as_u16(), 303 | 403), "{}", answer.text());
    answer.status == 303
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_of_a_person_who_forgets_the_password() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane.doe", "--email", "jane@example.org"], GOOD);
    let mut jane = browser(&gate);
    assert_eq!(jane.sign_in("Jane.Doe", GOOD).await.status, 303);
    assert_eq!(jane.get("/docs").await.status, 200);

    let link = link(&gate, "jane.doe").await;
    assert_eq!(jane.get("/docs").await.status, 200, "asking changes nothing");
    assert!(signs_in(&gate, "jane.doe", GOOD).await, "nor does it lock anyone out");

    let mut other = browser(&gate);
    let done = redeem(&mut other, &link, "jane.doe", OTHER).await;
    assert_eq!(
        (done.status.as_u16(), done.heading().as_str()),
        (200, "Your new password is set"),
        "{}",
        done.text()
    );
    assert_eq!(other.get("/docs").await.status, 302, "nobody is signed in by it");
    assert_eq!(jane.get("/docs").await.status, 302, "and whoever was is no longer");
    assert!(!signs_in(&gate, "jane.doe", GOOD).await);
    assert!(signs_in(&gate, "jane.doe", OTHER).await);
    let notice = mails(&gate).pop().unwrap();
    assert_eq!(notice.to, "jane@example.org");
    assert!(notice.subject.contains("was reset"), "{}", notice.subject);
}

/// Opens a link that is dead; what the page says.
async fn dead(gate: &Gate, link: &str) -> String {
    let (_, page) = browser(gate).follow(link).await;
    assert!(matches!(page.status.as_u16(), 404 | 410), "{}", page.text());
    page.heading()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn used_replaced_expired_and_unknown_links_are_told_apart_for_who_holds_them() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let first = link(&gate, "jane").await;
    let second = link(&gate, "jane").await;
    assert_eq!(dead(&gate, &first).await, "This link is no longer good");
    for _ in 0..2 {
        let head = browser(&gate).send(http::Method::HEAD, &second, None).await;
        assert_eq!(head.status, 303, "looking at it spoils nothing");
        assert_eq!(browser(&gate).follow(&second).await.1.status, 200);
    }
    let wrong = redeem(&mut browser(&gate), &second, "jane", "password1").await;
    assert_eq!(wrong.status, 422, "nor does a password that will not do");
    assert_eq!(redeem(&mut browser(&gate), &second, "jane", OTHER).await.status, 200);
    assert_eq!(dead(&gate, &second).await, "This link has been used");
    let third = link(&gate, "jane").await;
    gate.clock.advance(Duration::from_secs(10 * 60));
    assert_eq!(dead(&gate, &third).await, "This link has expired");
    assert_eq!(dead(&gate, "/_gate/reset-password?token=AAAA").await, "This link does not work");
    let fourth = link(&gate, "jane").await;
    users(&gate, &["change", "jane", "--email", "jane@elsewhere.example"], "");
    assert_eq!(dead(&gate, &fourth).await, "This link is no longer good", "it went to the old address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_that_use_one_link_at_the_same_time_one_succeeds() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let link = link(&gate, "jane").await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (mut browser, link) = (browser(&gate), link.clone());
        attempts.spawn(async move {
            browser.follow(&link).await;
            let page = browser.get(RESET).await;
            // The form may be shown no more: another was faster.
            if page.status != 200 {
                return (number, page.heading());
            }
            let csrf = page.form().into_iter().find(|(name, _)| name == "csrf").unwrap().1;
            let password = format!("{OTHER} {number}");
            let fields = [
                ("csrf", csrf.as_str()),
                ("username", "jane"),
                ("password", &password),
                ("password_confirm", &password),
            ];
            (number, browser.post(RESET, &fields).await.heading())
        });
    }
    let outcomes = attempts.join_all().await;
    let winners: Vec<usize> = outcomes
        .iter()
        .filter(|(_, page)| page == "Your new password is set")
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(
        outcomes.iter().all(|(number, page)| *number == winners[0]
            || ["This link has been used", "Please open the link again"].contains(&page.as_str())),
        "{outcomes:?}"
    );
    assert!(signs_in(&gate, "jane", &format!("{OTHER} {}", winners[0])).await);
    assert!(!signs_in(&gate, "jane", GOOD).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_account_cannot_be_told_from_who_has_one() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    users(&gate, &["add", "mailless"], GOOD);
    users(&gate, &["add", "gone", "--email", "gone@example.org"], GOOD);
    users(&gate, &["disable", "gone"], "");
    let mut pages = Vec::new();
    for user in ["jane", "nobody", "mailless", "gone", "jane@example.org", "nobody@example.org"] {
        let began = std::time::Instant::now();
        let answer = browser(&gate).submit(FORGOT, &[("username", user)]).await;
        assert!(began.elapsed() >= Duration::from_millis(250), "{user}: the answer has a floor");
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        pages.push((user, answer.status, names, answer.text()));
    }
    for (user, status, headers, page) in &pages {
        assert_eq!((status, headers, page), (&pages[0].1, &pages[0].2, &pages[0].3), "{user}");
    }
    let mut refusals = Vec::new();
    for (user, password) in
        [("jane", "not it at all"), ("nobody", GOOD), ("gone", GOOD), ("jane@example.org", GOOD)]
    {
        let answer = browser(&gate).sign_in(user, password).await;
        refusals.push((answer.status, answer.texts("main").join(" ")));
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0] && refusal.0 == 403), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_discloses_accounts_says_what_came_of_it() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "[site.password_reset]\ndisclose_accounts = true\n");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    for (user, status) in [("jane", 200), ("nobody", 422)] {
        assert_eq!(
            browser(&gate).submit(FORGOT, &[("username", user)]).await.status.as_u16(),
            status,
            "{user}"
        );
    }
    assert_eq!(mails(&gate).len(), 1, "it is there before the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_requester_sends_stands_in_the_mail_but_their_address() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "Zoe\u{308} \"Z\" <b>", "--email", "zoe@example.org"], GOOD);
    let mut stranger = browser(&gate)
        .with("x-forwarded-for", "203.0.113.9, ::ffff:198.51.100.7")
        .with("referer", "http://evil.example/ref")
        .with("x-original-url", "http://evil.example/original")
        .without("user-agent")
        .with("user-agent", "EvilAgent/1.0")
        .without("accept-language")
        .with("accept-language", "fr, evil-language;q=0.9");
    let typed = "  ZO\u{cb} \"z\" <B> ";
    let page = stranger.get("/_gate/forgot-password?next=/evilnext&username=evilquery").await;
    let csrf = page.form().into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    let fields = [
        ("csrf", csrf.as_str()),
        ("username", typed),
        ("next", "/evilnext"),
        ("link", "http://evil.example/link"),
        ("site", "evilsite"),
        ("email", "evil@example.org"),
        ("user_name", "evilname"),
    ];
    assert_eq!(stranger.post(FORGOT, &fields).await.status, 200);
    let mail = loop {
        if let Some(mail) = mails(&gate).pop() {
            break mail;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((mail.to.as_str(), mail.from.as_str()), ("zoe@example.org", "noreply@example.org"));
    for (part, name) in [(&mail.text, "Zo\u{eb} \"Z\" <b>"), (&mail.html, "Zo\u{eb} &quot;Z&quot; &lt;b&gt;")]
    {
        assert!(part.contains(name), "as stored: {part}");
        assert!(part.contains("198.51.100.7") && !part.contains("ffff"), "as the gate sees it: {part}");
        assert!(part.contains("10 minutes"), "{part}");
    }
    let everything = format!("{}{}{}{}", mail.raw, mail.text, mail.html, mail.subject).to_lowercase();
    assert!(!everything.contains("evil"), "{everything}");
    assert!(!everything.contains("203.0.113.9"), "{everything}");
    assert!(
        mail.subject.starts_with("Un nouveau mot de passe"),
        "in the language of the page: {}",
        mail.subject
    );
    assert!(
        mail.raw.contains("Auto-Submitted: auto-generated") && mail.raw.contains("Message-ID: <"),
        "{}",
        mail.raw
    );
    let other = Browser::new(gate.address, "evil.example").get(FORGOT).await;
    assert_eq!(other.status, 421, "and no other host is ever linked to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_can_be_bound_to_the_browser_that_opens_it_first() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "[site.password_reset]\nbind_to_browser = true\n");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let link = link(&gate, "jane").await;
    let mut first = browser(&gate);
    assert_eq!(first.follow(&link).await.1.status, 200);
    assert_eq!(dead(&gate, &link).await, "This link was opened in another browser");
    let token = link.split_once("token=").unwrap().1;
    let input = serde_json::json!({ "token": token, "username": "jane", "password": OTHER }).to_string();
    let script = browser(&gate)
        .send(http::Method::POST, "/_gate/api/reset-password", Some(("application/json", input.into_bytes())))
        .await;
    assert_eq!(script.status, 404, "{}", script.text());
    assert_eq!(
        redeem(&mut first, &link, "jane", OTHER).await.status,
        200,
        "it comes back to it as often as it likes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_changed_by_who_knows_it_and_all_other_sessions_end() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let (mut here, mut there) = (browser(&gate), browser(&gate));
    here.sign_in("jane", GOOD).await;
    there.sign_in("jane", GOOD).await;
    for (row, current, new, again, status, says) in [
        ("empty", "", OTHER, OTHER, 422, "all three"),
        ("mismatch", GOOD, OTHER, GOOD, 422, "not the same"),
        ("wrong", "not it at all", OTHER, OTHER, 403, "not right"),
        ("common", GOOD, "password123", "password123", 422, "guessed first"),
        ("short", GOOD, "kvq7nwz", "kvq7nwz", 422, "at least 8"),
        ("the name", GOOD, "jane1234", "jane1234", 422, "like the user name"),
    ] {
        let fields = [
            ("action", "change-password"),
            ("current_password", current),
            ("password", new),
            ("password_confirm", again),
        ];
        let answer = here.submit("/_gate/account", &fields).await;
        assert_eq!(answer.status.as_u16(), status, "{row}: {}", answer.text());
        assert!(answer.texts("[role=alert]").join(" ").contains(says), "{row}: {}", answer.text());
        assert!(
            !answer.text().contains(OTHER) && !answer.text().contains(GOOD),
            "{row}: no password is shown"
        );
    }
    assert_eq!(there.get("/docs").await.status, 200, "nothing has happened yet");
    let fields = [
        ("action", "change-password"),
        ("current_password", GOOD),
        ("password", OTHER),
        ("password_confirm", OTHER),
    ];
    let done = here.submit("/_gate/account", &fields).await;
    assert!(done.texts("[role=status]").join(" ").contains("new password is set"), "{}", done.text());
    assert_eq!(
        (here.get("/docs").await.status, there.get("/docs").await.status.as_u16()),
        (http::StatusCode::OK, 302)
    );
    assert!(signs_in(&gate, "jane", OTHER).await && !signs_in(&gate, "jane", GOOD).await);
    while mails(&gate).is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(mails(&gate)[0].subject.contains("was changed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_is_told_who_is_signed_in_by_the_gate_alone() {
    let backend = StandIn::plone60();
    let gate = gate(
        &backend,
        "identity_headers = { user = \"X-Remote-User\", groups = \"X-Roles\" }\naccess.default = \"public\"\n",
    );
    users(&gate, &["add", "jane", "--group", "staff", "--group", "editors"], GOOD);
    let forged = |browser: Browser| {
        ["x-remote-user", "x_remote_user", "x.remote.user", "x-roles", "x_roles"]
            .into_iter()
            .fold(browser, |browser, name| browser.with(name, "admin"))
    };
    let mut nobody = forged(browser(&gate));
    let mut jane = browser(&gate);
    assert_eq!(jane.sign_in("JANE", GOOD).await.status, 303);
    let mut jane = forged(jane);
    assert_eq!(
        (nobody.get("/docs?1").await.status, jane.get("/docs?2").await.status),
        (http::StatusCode::OK, http::StatusCode::OK)
    );
    let asked =
        |query: &str| backend.requests().into_iter().find(|request| request.target.ends_with(query)).unwrap();
    let (anonymous, signed_in) = (asked("?1"), asked("?2"));
    assert_eq!((anonymous.header("x-remote-user"), anonymous.header("x-roles")), (None, None));
    assert_eq!(signed_in.header("x-remote-user").as_deref(), Some("jane"));
    assert_eq!(signed_in.header("x-roles").as_deref(), Some("editors,staff"));
    for request in [anonymous, signed_in] {
        assert!(!request.headers.values().any(|value| value == "admin"), "{:?}", request.headers);
    }
    let auth = jane.get("/_gate/auth").await;
    assert_eq!(
        (auth.header("x-remote-user"), auth.header("x-remote-groups")),
        (Some("jane"), Some("editors,staff"))
    );

    // What a session may do is settled when it begins: other groups end it.
    users(&gate, &["change", "jane", "--groups", "readers"], "");
    signed_out_soon(&mut jane).await;
}

/// Waits, within the second that is promised and some for a busy machine, until the browser is nobody.
async fn signed_out_soon(browser: &mut Browser) {
    let began = std::time::Instant::now();
    while browser.get("/_gate/api/session").await.status != 401 {
        assert!(began.elapsed() < Duration::from_secs(5), "still signed in");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_changes_holds_at_the_gate_that_runs() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    users(&gate, &["add", "bob", "--no-password"], "");
    assert!(!signs_in(&gate, "bob", GOOD).await, "nobody gets in without a password being set");
    let mut jane = browser(&gate);
    jane.sign_in("jane", GOOD).await;
    let link = link(&gate, "jane").await;

    users(&gate, &["disable", "JANE"], "");
    signed_out_soon(&mut jane).await;
    assert!(!signs_in(&gate, "jane", GOOD).await);
    assert_eq!(dead(&gate, &link).await, "This link is no longer good");
    users(&gate, &["enable", "jane"], "");
    assert!(signs_in(&gate, "jane", GOOD).await);

    jane.sign_in("jane", GOOD).await;
    users(&gate, &["passwd", "jane"], OTHER);
    signed_out_soon(&mut jane).await;
    assert!(signs_in(&gate, "jane", OTHER).await && !signs_in(&gate, "jane", GOOD).await);

    jane.sign_in("jane", OTHER).await;
    users(&gate, &["remove", "jane"], "");
    signed_out_soon(&mut jane).await;
    assert!(!signs_in(&gate, "jane", OTHER).await);
    users(&gate, &["add", "jane", "--email", "other@example.org"], OTHER);
    assert_eq!(dead(&gate, &link).await, "This link is no longer good", "of somebody else with that name");

    let listed: serde_json::Value =
        serde_json::from_str(&users(&gate, &["list", "--format", "json"], "")).unwrap();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["has_password"].as_bool()), (Some("bob"), Some(false)));
    assert_eq!(
        (listed[1]["name"].as_str(), listed[1]["email"].as_str()),
        (Some("jane"), Some("other@example.org"))
    );
    assert!(!listed.to_string().contains("argon2"), "no hash is shown");
    let table = users(&gate, &["list"], "");
    assert!(table.starts_with("SITE ") && table.contains("no password"), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slip_of_an_operator_changes_nothing_and_is_told() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane"], GOOD);
    for (row, arguments, input, code, says) in [
        ("there already", &["add", "Jane "][..], GOOD, 1, "has a user `Jane` already"),
        ("no password", &["add", "bob"], "", 1, "at least 8 characters"),
        ("a common password", &["add", "bob"], "Password1!", 1, "guessed first"),
        ("no mail address", &["add", "bob", "--email", "bob"], GOOD, 2, "is no mail address"),
        ("no group", &["add", "bob", "--group", "a,b"], GOOD, 1, "is no name for a group"),
        ("no name", &["add", "a\u{202e}b"], GOOD, 1, "is no user name"),
        ("a password as argument", &["add", "bob", GOOD], GOOD, 2, "unexpected argument"),
        ("nobody", &["disable", "nobody"], "", 1, "has no user `nobody`"),
        ("no site", &["disable", "jane", "--site", "shop"], "", 1, "there is no site `shop`"),
        ("nothing to change", &["change", "jane"], "", 1, "nothing to change"),
    ] {
        let output = run(&gate, &[&["users"], arguments].concat(), input);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{row}: {told}");
        assert!(told.contains(says), "{row}: {told}");
        assert!(!told.contains("Password1!"), "{row}: {told}");
    }
    assert!(signs_in(&gate, "jane", GOOD).await);
    assert_eq!(users(&gate, &["list"], "").lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_an_htpasswd_file_sign_in_and_get_better_hashes() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    let file = "apr:$apr1$abcdefgh$uKwRFhVF7xIEaribjYms4.\nsha@example.org:$5$abcdefgh$5trO9qTaLlR3B5F0SFWD25qek6wuypUgQsCdjQ8/IcC\nold:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
    std::fs::write(gate.folder().join("htpasswd"), file).unwrap();
    let output = run(&gate, &["users", "import", "htpasswd"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
        (Some(1), "2 users imported\n"),
        "{told}"
    );
    assert!(told.contains("htpasswd:3: `old`") && told.contains("SHA-1"), "{told}");
    for user in ["apr", "sha@example.org"] {
        assert!(!signs_in(&gate, user, "Tr0ub4dor&4").await);
        for _ in 0..2 {
            assert!(signs_in(&gate, user, "Tr0ub4dor&3").await, "{user}");
        }
    }
    let store = std::fs::read(gate.folder().join("var/lychgate.db")).unwrap();
    let log = std::fs::read(gate.folder().join("var/lychgate.db-wal")).unwrap_or_default();
    let stored = String::from_utf8_lossy(&[store, log].concat()).into_owned();
    assert!(stored.contains("$argon2id$v=19$m=64,t=1,p=1$"), "hashed anew");
    let again = run(&gate, &["users", "import", "htpasswd"], "");
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("0 users"), "who is there stays as they are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cms_can_neither_sign_in_nor_out_who_is_the_gates_own() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane"], GOOD);
    let mut jane = browser(&gate);
    jane.sign_in("jane", GOOD).await;
    let refused = jane.get("/secretpage").await;
    assert_eq!(refused.status, 403, "what the CMS closes to strangers stays closed: {}", refused.text());
    assert_eq!(jane.get("/docs").await.status, 200, "and that ends no session");
    for (path, leads_to) in
        [("/login_form", "/_gate/login"), ("/mail_password_form", FORGOT), ("/logout", "/_gate/logout")]
    {
        let location = browser(&gate).get(path).await.location().unwrap();
        assert!(location.starts_with(leads_to), "{path}: {location}");
    }
    assert_eq!(
        dead(&gate, "/passwordreset/0123456789abcdef0123456789abcdef").await,
        "This link does not work"
    );
    assert!(
        browser(&gate).sign_in("jdoe", "Secret1234!").await.status == 403,
        "the CMS's users are not the gate's"
    );
    let answer = jane.submit("/_gate/logout", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(
        !backend.requests().iter().any(|request| request.target.contains("logout")),
        "nobody to sign out there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_the_server_does_not_take_now_is_sent_when_it_does() {
    use support::mailsink::MailSink;
    let backend = StandIn::plone60();
    // Free now, and taken again below.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let toml = local::toml(&backend, "").replace("dir:mail", &format!("smtp://127.0.0.1:{port}"));
    let gate = Gate::from_toml(&toml);
    gate.clock.set(lychgate::clock::Clock::now(&lychgate::clock::SystemClock));
    std::fs::write(gate.folder().join("proxy.toml"), toml).unwrap();
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let answer = browser(&gate).submit(FORGOT, &[("username", "jane")]).await;
    assert_eq!(answer.status, 200, "the page is the same");
    let sink = MailSink::at(port);
    let began = std::time::Instant::now();
    while sink.mails().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30), "no mail came");
        tokio::task::yield_now().await;
    }
    let mail = &sink.mails()[0];
    assert!(mail.from.starts_with("MAIL FROM:<noreply@example.org>"), "{}", mail.from);
    assert_eq!(mail.to, ["RCPT TO:<jane@example.org>"]);
    let link = local::Mail::parse(&mail.content).link();
    assert_eq!(redeem(&mut browser(&gate), &link, "jane", OTHER).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_is_told_and_leaves_everything_as_it_was() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    users(&gate, &["add", "jane", "--email", "jane@example.org"], GOOD);
    let link = link(&gate, "jane").await;
    let mut jane = browser(&gate);
    jane.sign_in("jane", GOOD).await;
    let mut holder = browser(&gate);
    assert_eq!(holder.follow(&link).await.1.status, 200);
    let store = rusqlite::Connection::open(gate.folder().join("var/lychgate.db")).unwrap();
    store.execute_batch("ALTER TABLE local_user RENAME TO away").unwrap();
    let refused = browser(&gate).sign_in("jane", GOOD).await;
    assert_eq!(refused.status, 502, "nobody says that the password is wrong: {}", refused.text());
    let asked = browser(&gate).submit(FORGOT, &[("username", "jane")]).await;
    assert_eq!(asked.status, 200, "as for everybody: {}", asked.text());
    let fields = [("username", "jane"), ("password", OTHER), ("password_confirm", OTHER)];
    let answer = holder.submit(RESET, &fields).await;
    assert_eq!(answer.status, 502);
    assert!(answer.texts("[role=alert]").join(" ").contains("was not changed"), "{}", answer.text());
    store.execute_batch("ALTER TABLE away RENAME TO local_user").unwrap();
    assert_eq!(jane.get("/docs").await.status, 200, "nothing has ended");
    assert!(signs_in(&gate, "jane", GOOD).await);
    assert_eq!(holder.submit(RESET, &fields).await.status, 200, "the link is as good as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_share_users_only_where_they_are_told_to() {
    let backend = StandIn::plone60();
    let shop = format!(
        "[[site]]\nname = \"shop\"\npublic_url = \"http://shop.example.test\"\nbackend_url = \"{}\"\nsign_in = \"local\"\n",
        backend.url()
    );
    let shared = gate(&backend, &format!("{shop}users = \"intranet\"\n"));
    let apart = gate(&backend, &shop);
    users(&shared, &["add", "jane", "--email", "jane@example.org"], GOOD);
    users(&apart, &["add", "jane", "--site", "intranet"], GOOD);
    for (gate, status) in [(&shared, 303), (&apart, 403)] {
        let mut there = Browser::new(gate.address, "shop.example.test");
        assert_eq!(there.sign_in("jane", GOOD).await.status.as_u16(), status);
    }
    let ambiguous = run(&apart, &["users", "disable", "jane"], "");
    let told = String::from_utf8_lossy(&ambiguous.stderr).into_owned();
    assert!(told.contains("name one with --site: intranet, shop"), "{told}");

    let mut there = Browser::new(shared.address, "shop.example.test");
    there.sign_in("jane", GOOD).await;
    let link = link(&shared, "jane").await;
    assert_eq!(redeem(&mut browser(&shared), &link, "jane", OTHER).await.status, 200);
    assert_eq!(there.get("/docs").await.status, 302, "the sessions at both sites end");
}

/// At each further site that shares its users, an account could be guessed for, and mailed to, as often again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_that_share_users_count_for_them_together() {
    let backend = StandIn::plone60();
    let shop = format!(
        "[[site]]\nname = \"shop\"\npublic_url = \"http://shop.example.test\"\nbackend_url = \"{}\"\nsign_in = \"local\"\n",
        backend.url()
    );
    let shared = gate(&backend, &format!("{shop}users = \"intranet\"\n"));
    let apart = gate(&backend, &shop);
    for (gate, status) in [(&shared, 429), (&apart, 403)] {
        users(gate, &["add", "jane", "--email", "jane@example.org", "--site", "intranet"], GOOD);
        for _ in 0..3 {
            assert_eq!(browser(gate).sign_in("jane", "wrong").await.status, 403);
        }
        let mut there = Browser::new(gate.address, "shop.example.test");
        assert_eq!(there.sign_in("jane", "wrong").await.status.as_u16(), status, "the fourth guess");
    }
}

#[test]
fn every_mail_can_be_looked_at_in_every_language() {
    let backend = StandIn::plone60();
    let gate = gate(&backend, "");
    for (arguments, says) in [
        (&["reset-link"][..], "Subject: A new password for intranet"),
        (&["reset-link", "--language", "fr"], "Subject: Un nouveau mot de passe pour intranet"),
        (&["password-reset", "--site", "intranet"], "From: Example Intranet <noreply@example.org>"),
        (&["password-changed", "--language", "fr"], "http://www.example.test/_gate/forgot-password"),
    ] {
        let output = run(&gate, &[&["mail", "preview"], arguments].concat(), "");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && shown.contains(says), "{arguments:?}: {shown}");
    }
    for arguments in
        [&["reset-link", "--language", "tlh"][..], &["reset-link", "--site", "shop"], &["newsletter"]]
    {
        assert!(
            !run(&gate, &[&["mail", "preview"], arguments].concat(), "").status.success(),
            "{arguments:?}"
        );
    }
}
