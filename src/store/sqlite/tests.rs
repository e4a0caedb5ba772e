use tempfile::TempDir;

use super::*;

fn row(number: u8) -> SessionRow {
    SessionRow {
        key: SessionKey([number; 32]),
        site: "intranet".into(),
        user: "alice".into(),
        created: Timestamp::from_millis(1_000),
        seen: Timestamp::from_millis(1_000),
        expires: Timestamp::from_millis(9_000),
        remembered: number % 2 == 1,
        client: "2001:db8::1".parse().unwrap(),
        user_agent: "Browser".into(),
        kept: vec![number; 10],
        groups: Groups::default(),
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("var/gate.db");
    (folder, file)
}

async fn keys(store: &Sqlite) -> Vec<u8> {
    let mut keys: Vec<_> = store.load_sessions().await.unwrap().iter().map(|row| row.key.0[0]).collect();
    keys.sort_unstable();
    keys
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_put_in_comes_out_again_after_reopening() {
    let (_folder, file) = place();
    let store = Sqlite::open(file.clone()).unwrap();
    store.insert_session(row(1), None).await.unwrap();
    store.insert_session(row(2), None).await.unwrap();
    drop(store);
    let mut rows = Sqlite::open(file).unwrap().load_sessions().await.unwrap();
    rows.sort_by_key(|row| row.key);
    assert!(rows == [row(1), row(2)]);
}

#[tokio::test]
async fn a_new_session_can_take_the_place_of_another() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    store.insert_session(row(1), None).await.unwrap();
    store.insert_session(row(2), Some(row(1).key)).await.unwrap();
    assert_eq!(keys(&store).await, [2]);
    // The new one cannot be kept: the old one must not be gone.
    assert!(store.insert_session(row(2), Some(row(2).key)).await.is_ok());
    store.insert_session(row(3), None).await.unwrap();
    assert!(store.insert_session(row(3), Some(row(2).key)).await.is_err());
    assert_eq!(keys(&store).await, [2, 3]);
}

#[tokio::test]
async fn updates_move_seen_forward_only_and_the_end_where_they_say() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    store.insert_session(row(1), None).await.unwrap();
    let update = |seen, expires, kept| SessionUpdate {
        key: row(1).key,
        created: row(1).created,
        seen: Timestamp::from_millis(seen),
        expires: Timestamp::from_millis(expires),
        kept,
    };
    let gone = SessionUpdate { key: row(7).key, ..update(1, 1, None) };
    for (seen, expires, kept, expected) in [
        (2_000, 9_999, Some(vec![5]), (2_000, 9_999, vec![5])),
        (1_500, 8_000, None, (2_000, 8_000, vec![5])),
    ] {
        store.update_sessions(vec![gone.clone(), update(seen, expires, kept)]).await.unwrap();
        let rows = store.load_sessions().await.unwrap();
        let found = (rows[0].seen.as_millis(), rows[0].expires.as_millis(), rows[0].kept.clone());
        assert_eq!((rows.len(), found), (1, expected));
    }
}

#[tokio::test]
async fn a_sweep_takes_the_ended_and_the_idle_but_not_who_was_seen_elsewhere() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    for number in 1..=4 {
        let expires = Timestamp::from_millis(if number == 1 { 4_999 } else { 5_000 });
        store.insert_session(SessionRow { expires, ..row(number) }, None).await.unwrap();
    }
    let at = Timestamp::from_millis;
    let removed = store.sweep_sessions(vec![(row(2).key, at(1_000)), (row(3).key, at(999))], at(5_000));
    assert_eq!(removed.await.unwrap(), 2);
    assert_eq!(keys(&store).await, [3, 4]);
}

#[tokio::test]
async fn another_connection_is_noticed_and_our_own_is_not() {
    let (_folder, file) = place();
    let (ours, other) = (Sqlite::open(file.clone()).unwrap(), Sqlite::open(file).unwrap());
    let mut changes = ours.changes();
    let mut others = other.changes();
    ours.insert_session(row(1), None).await.unwrap();
    // The other's thread looks later than ours did, so once it has noticed, ours would have.
    tokio::time::timeout(Duration::from_secs(10), others.changed()).await.unwrap().unwrap();
    assert!(!changes.has_changed().unwrap(), "our own change is none");
    assert_eq!(other.remove_sessions(vec![row(1).key, row(2).key]).await.unwrap(), 1);
    tokio::time::timeout(Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
    assert!(keys(&ours).await.is_empty());
}

#[tokio::test]
async fn files_and_folders_are_for_their_owner_only() {
    let (_folder, file) = place();
    let store = Sqlite::open(file.clone()).unwrap();
    store.insert_session(row(1), None).await.unwrap();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_extension("db-wal")), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

/// The message of an open that must fail; it names the file.
fn refusal(file: &Path) -> String {
    match Sqlite::open_within(file.to_owned(), Duration::from_millis(20)) {
        Ok(_) => panic!("{} was opened", file.display()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&file.display().to_string()), "{text}");
            text
        }
    }
}

#[test]
fn what_cannot_be_opened_is_refused_with_the_reason() {
    let (folder, file) = place();
    fs::write(folder.path().join("text"), "This is not a database, only some text. ".repeat(200)).unwrap();
    assert!(refusal(&folder.path().join("text")).contains("not a SQLite database"));
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(refusal(&folder.path().join("folder")).contains("cannot be opened"), "a folder");
    assert!(refusal(&folder.path().join("text/gate.db")).contains("cannot be opened"), "below a file");

    let foreign = folder.path().join("foreign");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(refusal(&foreign).contains("another program"));

    drop(Sqlite::open(file.clone()).unwrap());
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let known = format!("has format 99, this gate knows up to {}", MIGRATIONS.len());
    assert!(refusal(&file).contains(&known));
}

#[test]
fn a_locked_file_is_refused_after_a_while() {
    let (_folder, file) = place();
    drop(Sqlite::open(file.clone()).unwrap());
    let mut other = Connection::open(&file).unwrap();
    let _held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert!(refusal(&file).contains("locked by another process"));
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_room_ends_it() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    let limit = |pages: i64| {
        store.run(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        })
    };
    limit(5).await.unwrap();
    let big = SessionRow { kept: vec![0; 100_000], ..row(1) };
    let error = store.insert_session(big.clone(), None).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Full), "{error}");
    limit(10_000).await.unwrap();
    store.insert_session(big, None).await.unwrap();
}

#[tokio::test]
async fn a_read_only_store_is_an_error_that_says_so() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    store.run(|connection| connection.pragma_update(None, "query_only", true)).await.unwrap();
    let error = store.insert_session(row(1), None).await.unwrap_err();
    assert!(error.to_string().contains("is read-only"), "{error}");
}

#[tokio::test]
async fn the_files_as_a_killed_process_leaves_them_hold_every_answered_session() {
    let (folder, file) = place();
    let store = Sqlite::open(file.clone()).unwrap();
    for number in 1..=20 {
        store.insert_session(row(number), None).await.unwrap();
    }
    store.remove_sessions(vec![row(20).key]).await.unwrap();
    // Copied while the store is open and its log is not merged: what kill -9 would leave.
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let name = |file: &Path| PathBuf::from(format!("{}{suffix}", file.display()));
        fs::copy(name(&file), name(&copy)).unwrap();
    }
    assert_eq!(keys(&Sqlite::open(copy).unwrap()).await, (1..=19).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_of_an_older_gate_opens_with_its_sessions() {
    for format in 1..MIGRATIONS.len() {
        let (_folder, file) = place();
        make_if_missing(&file).unwrap();
        let old = Connection::open(&file).unwrap();
        for migration in &MIGRATIONS[..format] {
            old.execute_batch(migration).unwrap();
        }
        old.pragma_update(None, "user_version", i64::try_from(format).unwrap()).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.execute_batch(
            "INSERT INTO session (id_hash, site, user, created, seen, expires, remembered, client, user_agent, kept)
             VALUES (zeroblob(32), 'intranet', 'alice', 1, 2, 3, 0, '192.0.2.1', 'B', x'00')",
        )
        .unwrap();
        drop(old);
        let rows = Sqlite::open(file).unwrap().load_sessions().await.unwrap();
        let session = (rows.len(), rows[0].user.as_str(), rows[0].groups.is_empty());
        assert_eq!(session, (1, "alice", true), "format {format}");
    }
}

/// Waits until the store's own thread has noticed.
async fn until(store: &Sqlite, wanted: impl Fn(&Health) -> bool) -> Health {
    let began = Instant::now();
    loop {
        let health = store.health();
        if wanted(&health) {
            return health;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{health:?}");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

fn says(health: &Health, words: &str) -> bool {
    matches!(health, Health::Failing { problem, .. } if problem.contains(words))
}

#[tokio::test]
async fn a_full_store_says_so_until_there_is_room_whatever_else_it_can_do() {
    let (_folder, file) = place();
    let store = Sqlite::open(file).unwrap();
    assert_eq!(store.health(), Health::Well);
    let limit = |pages: i64| {
        store.run(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        })
    };
    limit(5).await.unwrap();
    store.insert_session(SessionRow { kept: vec![0; 100_000], ..row(1) }, None).await.unwrap_err();
    assert!(says(&store.health(), "make room"), "{:?}", store.health());
    store.load_sessions().await.unwrap();
    store.sweep_sessions(Vec::new(), Timestamp::from_millis(0)).await.unwrap();
    assert!(says(&store.health(), "make room"), "that some of it works does not make it well");
    limit(10_000).await.unwrap();
    until(&store, |health| *health == Health::Well).await;
}

#[tokio::test]
async fn a_read_only_and_a_locked_store_say_so_and_recover() {
    let (_folder, file) = place();
    let store = Sqlite::open_within(file.clone(), Duration::from_millis(20)).unwrap();
    let only = |on: bool| store.run(move |connection| connection.pragma_update(None, "query_only", on));
    only(true).await.unwrap();
    store.insert_session(row(1), None).await.unwrap_err();
    assert!(says(&store.health(), "is read-only; let the gate's user write"));
    only(false).await.unwrap();
    until(&store, |health| *health == Health::Well).await;

    let mut other = Connection::open(&file).unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    store.insert_session(row(1), None).await.unwrap_err();
    assert!(says(&store.health(), "locked by another process; end that process"));
    drop(held);
    until(&store, |health| *health == Health::Well).await;
    store.insert_session(row(1), None).await.unwrap();
}

#[tokio::test]
async fn a_damaged_store_says_so() {
    let (_folder, file) = place();
    let store = Sqlite::open(file.clone()).unwrap();
    for number in 1..=9 {
        store.insert_session(SessionRow { kept: vec![7; 5_000], ..row(number) }, None).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&file).unwrap();
    // All but the first page, which says that it is a database of ours.
    bytes[4096..].fill(0xEE);
    fs::write(&file, bytes).unwrap();
    // It can be written to, which does not make it well.
    let mut connection = connect(&file, Duration::from_secs(5)).unwrap();
    let failed = probe(&mut connection).map_err(Problem::from);
    assert!(matches!(failed, Err(Problem::Damaged)), "{failed:?}");
    drop(connection);
    let store = Sqlite::open(file).unwrap();
    let Err(error) = store.load_sessions().await else { panic!("it was read") };
    assert!(matches!(error.problem, Problem::Damaged), "{error}");
    assert!(says(&store.health(), "is damaged; stop the gate and move it away"), "{:?}", store.health());
}

#[tokio::test]
async fn a_store_that_is_moved_away_promises_nothing_until_it_is_back() {
    let (folder, file) = place();
    let store = Sqlite::open(file.clone()).unwrap();
    let elsewhere = folder.path().join("elsewhere.db");
    fs::rename(&file, &elsewhere).unwrap();
    until(&store, |health| says(health, "was moved, deleted or replaced")).await;
    assert!(store.insert_session(row(1), None).await.is_err(), "it would be gone after a restart");
    fs::rename(&elsewhere, &file).unwrap();
    until(&store, |health| *health == Health::Well).await;
    store.insert_session(row(1), None).await.unwrap();
    drop(store);
    assert_eq!(keys(&Sqlite::open(file).unwrap()).await, [1]);
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_with_the_remedy() {
    let (_folder, file) = place();
    let within = file.parent().unwrap();
    fs::create_dir(within).unwrap();
    for (mode, fine) in [
        (0o777, false),
        (0o1777, false),
        (0o770, false),
        (0o2770, false),
        (0o702, false),
        (0o700, true),
        (0o750, true),
        (0o755, true),
        (0o2755, true),
    ] {
        fs::set_permissions(within, fs::Permissions::from_mode(mode)).unwrap();
        match Sqlite::open(file.clone()) {
            Ok(_) => assert!(fine, "{mode:o}"),
            Err(error) => {
                let remedy = format!("run: chmod go-w {}", within.display());
                assert!(!fine && error.to_string().contains(&remedy), "{mode:o}: {error}");
                assert!(!file.exists(), "{mode:o}: nothing is made there");
            }
        }
    }
}
