use super::*;
use crate::store::{ResetKey, SessionRow, Store as _};

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn open() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("gate.db")).unwrap();
    (folder, store)
}

async fn add(store: &Sqlite, name: &str, mail: Option<&str>) -> UserRow {
    let user = NewUser {
        site: "intranet".into(),
        canonical: account::canonical(name),
        name: name.into(),
        mail: mail.map(str::to_owned),
        groups: Groups::new(["staff"]).unwrap(),
        password: Some(Secret::new("old")),
        created: NOW,
    };
    assert!(store.add_user(user.clone()).await.unwrap());
    assert!(!store.add_user(user).await.unwrap(), "there is one name once");
    find(store, name).await.unwrap()
}

async fn find(store: &Sqlite, name: &str) -> Option<UserRow> {
    store.find_user("intranet".into(), Known::Name(account::canonical(name))).await.unwrap()
}

fn session(number: u8, site: &str, user: &str) -> SessionRow {
    SessionRow {
        key: SessionKey([number; 32]),
        site: site.into(),
        user: user.into(),
        created: NOW,
        seen: NOW,
        expires: Timestamp::from_millis(9_000),
        remembered: false,
        client: [192, 0, 2, 1].into(),
        user_agent: String::new(),
        kept: Vec::new(),
        groups: Groups::default(),
    }
}

async fn sessions(store: &Sqlite) -> Vec<u8> {
    let mut all: Vec<u8> = store.load_sessions().await.unwrap().iter().map(|row| row.key.0[0]).collect();
    all.sort_unstable();
    all
}

async fn issue(store: &Sqlite, user: &UserRow, number: u8) {
    let reset = NewReset {
        key: ResetKey([number; 32]),
        user: user.clone(),
        requested: NOW,
        requested_from: [192, 0, 2, 1].into(),
        request_id: "r".into(),
        expires: Timestamp::from_millis(5_000),
        forget_before: Timestamp::from_millis(0),
    };
    store.issue_reset(reset).await.unwrap();
}

fn redemption(user: &UserRow, number: u8) -> Redemption {
    Redemption {
        key: ResetKey([number; 32]),
        user_id: user.id,
        password: Secret::new("new"),
        at: Timestamp::from_millis(2_000),
        from: [198, 51, 100, 7].into(),
        browser: None,
        sites: vec!["intranet".into(), "shop".into()],
    }
}

#[tokio::test]
async fn a_link_sets_the_password_once_and_keeps_both_addresses_and_times() {
    let (_folder, store) = open();
    let jane = add(&store, "jane", None).await;
    for row in [
        session(1, "intranet", "jane"),
        session(2, "shop", "jane"),
        session(3, "intranet", "bob"),
        session(4, "other", "jane"),
    ] {
        store.insert_session(row, None).await.unwrap();
    }
    issue(&store, &jane, 7).await;
    assert!(store.redeem_reset(redemption(&jane, 7)).await.unwrap());
    assert!(!store.redeem_reset(redemption(&jane, 7)).await.unwrap());
    let changed = find(&store, "jane").await.unwrap();
    assert_eq!((changed.password, changed.version), (Some(Secret::new("new")), jane.version + 1));
    assert_eq!(sessions(&store).await, [3, 4], "those of the user, where those users are");
    let kept = store.list_resets(NOW).await.unwrap().remove(0);
    assert_eq!((kept.requested, kept.used), (NOW, Some(Timestamp::from_millis(2_000))));
    assert_eq!(
        (kept.requested_from.to_string(), kept.used_from.unwrap().to_string()),
        ("192.0.2.1".into(), "198.51.100.7".into())
    );
}

#[tokio::test]
async fn what_makes_a_link_void_or_late_leaves_the_password_as_it_was() {
    let (_folder, store) = open();
    let (jane, bob) = (add(&store, "jane", None).await, add(&store, "bob", None).await);
    let late = |redemption| Redemption { at: Timestamp::from_millis(5_000), ..redemption };
    issue(&store, &jane, 1).await;
    assert!(!store.redeem_reset(late(redemption(&jane, 1))).await.unwrap(), "late");
    assert!(!store.redeem_reset(redemption(&bob, 1)).await.unwrap(), "somebody else's");
    assert!(!store.redeem_reset(redemption(&jane, 9)).await.unwrap(), "unknown");
    issue(&store, &jane, 2).await;
    assert!(!store.redeem_reset(redemption(&jane, 1)).await.unwrap(), "a newer one was issued");
    let sites = || vec!["intranet".to_owned()];
    for (number, change) in [
        (10, UserChange::Disabled(true)),
        (11, UserChange::Disabled(false)),
        (12, UserChange::Mail(Some("j@example.org".into()))),
        (13, UserChange::Groups(Groups::default())),
    ] {
        issue(&store, &jane, number).await;
        assert!(store.change_user(jane.id, change.clone(), NOW, sites()).await.unwrap());
        assert!(!store.redeem_reset(redemption(&jane, number)).await.unwrap(), "{change:?}");
    }
    store.change_user(jane.id, UserChange::Disabled(true), NOW, sites()).await.unwrap();
    issue(&store, &jane, 14).await;
    assert!(!store.redeem_reset(redemption(&jane, 14)).await.unwrap(), "nobody gets in by it");
    assert_eq!(find(&store, "jane").await.unwrap().password, Some(Secret::new("old")));
}

#[tokio::test]
async fn a_link_that_is_opened_is_bound_once_and_its_opening_is_kept_once() {
    let (_folder, store) = open();
    let jane = add(&store, "jane", None).await;
    issue(&store, &jane, 1).await;
    let opening = |at, browser: Option<u8>| Opening {
        key: ResetKey([1; 32]),
        at: Timestamp::from_millis(at),
        from: [203, 0, 113, 1].into(),
        browser: browser.map(|number| [number; 32]),
    };
    let opened = |opening| async {
        store
            .open_reset(opening)
            .await
            .unwrap()
            .map(|reset| (reset.opened.unwrap().as_millis(), reset.browser))
    };
    assert_eq!(opened(opening(1_500, None)).await, Some((1_500, None)));
    assert_eq!(opened(opening(1_600, Some(5))).await, Some((1_500, Some([5; 32]))));
    assert_eq!(opened(opening(1_700, Some(6))).await, Some((1_500, Some([5; 32]))));
    assert!(
        !store.redeem_reset(Redemption { browser: Some([6; 32]), ..redemption(&jane, 1) }).await.unwrap()
    );
    assert!(!store.redeem_reset(redemption(&jane, 1)).await.unwrap());
    assert!(store.redeem_reset(Redemption { browser: Some([5; 32]), ..redemption(&jane, 1) }).await.unwrap());
    assert_eq!(store.open_reset(Opening { key: ResetKey([9; 32]), ..opening(1, None) }).await.unwrap(), None);
}

#[tokio::test]
async fn a_mail_address_finds_who_alone_has_it() {
    let (_folder, store) = open();
    let known = |text: &str| store.find_user("intranet".into(), Known::NameOrMail(account::canonical(text)));
    add(&store, "jane", Some("Jane@Example.org")).await;
    add(&store, "one", Some("both@example.org")).await;
    add(&store, "two", Some("both@example.org")).await;
    add(&store, "jane@example.org", None).await;
    add(&store, "max", Some("max@example.org")).await;
    for (row, text, found) in [
        ("by name", "JANE", Some("jane")),
        ("by address", " MAX@example.ORG ", Some("max")),
        ("a name comes first", "jane@example.org", Some("jane@example.org")),
        ("two have it", "both@example.org", None),
        ("nobody has it", "nobody@example.org", None),
    ] {
        assert_eq!(known(text).await.unwrap().map(|user| user.name).as_deref(), found, "{row}");
    }
    let elsewhere = store.find_user("shop".into(), Known::Name("jane".into())).await.unwrap();
    assert_eq!(elsewhere, None, "the users of one site are not another's");
}

#[tokio::test]
async fn a_change_that_comes_too_late_changes_nothing() {
    let (_folder, store) = open();
    let jane = add(&store, "jane", None).await;
    let apply = |change| store.change_user(jane.id, change, NOW, vec!["intranet".into()]);
    let password = |hash: &str, version, except| UserChange::Password {
        hash: Secret::new(hash),
        at: NOW,
        except,
        version,
    };
    store.insert_session(session(1, "intranet", "jane"), None).await.unwrap();
    store.insert_session(session(2, "intranet", "jane"), None).await.unwrap();
    assert!(apply(password("a", Some(jane.version), Some(SessionKey([2; 32])))).await.unwrap());
    assert_eq!(sessions(&store).await, [2], "the one in which it was changed goes on");
    assert!(!apply(password("b", Some(jane.version), None)).await.unwrap());
    let rehashed = |version| UserChange::Rehashed { version, hash: Secret::new("c") };
    assert!(!apply(rehashed(jane.version)).await.unwrap());
    assert!(apply(rehashed(jane.version + 1)).await.unwrap());
    let now = find(&store, "jane").await.unwrap();
    assert_eq!((now.password, now.version), (Some(Secret::new("c")), jane.version + 1));
    assert_eq!(sessions(&store).await, [2], "the same password ends nothing");
    assert!(apply(UserChange::Removed).await.unwrap());
    assert!(!apply(UserChange::Disabled(true)).await.unwrap());
    assert_eq!((find(&store, "jane").await, sessions(&store).await), (None, vec![]));
    let again = add(&store, "jane", None).await;
    assert_ne!(again.id, jane.id, "an id is never used twice");
}
