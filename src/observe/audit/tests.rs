use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::random::SystemRandom;
use crate::store::{Answer, AuditFilter, Problem};

/// A store that can be made to fail.
#[derive(Default)]
struct Fake {
    rows: Mutex<Vec<AuditRow>>,
    fails: AtomicBool,
    batches: AtomicUsize,
}

impl AuditStore for Fake {
    fn append_audit(&self, rows: Vec<AuditRow>) -> Answer<()> {
        self.batches.fetch_add(1, Ordering::SeqCst);
        let outcome = if self.fails.load(Ordering::SeqCst) {
            Err(StoreError { file: "x".into(), problem: Problem::Full })
        } else {
            self.rows.lock().unwrap().extend(rows);
            Ok(())
        };
        Box::pin(std::future::ready(outcome))
    }

    fn list_audit(&self, _: AuditFilter) -> Answer<Vec<AuditRow>> {
        Box::pin(std::future::ready(Ok(self.rows.lock().unwrap().clone())))
    }

    fn prune_audit(&self, _: Timestamp, _: u64) -> Answer<usize> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

fn trail(toml: &str) -> (Audit, Arc<Fake>, ManualClock) {
    let (store, clock) = (Arc::new(Fake::default()), ManualClock::at(Timestamp::from_millis(1_000_000)));
    let sealer = Sealer::new(&Secret::new("one"), &[Secret::new("old")], Arc::new(SystemRandom));
    let settings: Settings = toml::from_str(toml).unwrap();
    (Audit::new(&settings, Arc::clone(&store) as _, sealer, Arc::new(clock.clone())), store, clock)
}

fn origin(client: u8) -> Origin {
    Origin { site: "s".to_owned(), client: Some([192, 0, 2, client].into()), request_id: "r-1".to_owned() }
}

fn event(verdict: &str) -> Event<'_> {
    Event::new(Kind::SignIn, verdict)
}

#[tokio::test]
async fn a_name_is_written_out_only_if_the_account_exists_and_can_be_found_all_the_same() {
    let (audit, store, _) = trail("");
    audit.record(&origin(1), event("refused").account("Hunter2! my password", false));
    audit.record(&origin(1), event("ok").account(" JDoe ", true));
    audit.record(&origin(1), event("refused").account("jdoe", false));
    audit.flush().await.unwrap();
    let rows = store.rows.lock().unwrap().clone();
    assert_eq!(rows[1].account.as_deref(), Some("jdoe"));
    assert_eq!((&rows[0].account, &rows[2].account), (&None, &None));
    assert!(!format!("{rows:?}").to_lowercase().contains("hunter2"), "{rows:?}");
    assert_eq!(rows[1].account_key, rows[2].account_key, "one account, however spelled");
    assert_ne!(rows[0].account_key, rows[1].account_key);
    let wanted = audit.names.looked_for("JDOE", ["other", "s"]);
    assert_eq!(wanted.keys.len(), 4, "each site under each secret");
    assert!(wanted.keys.contains(rows[2].account_key.as_ref().unwrap()));
    let before = Names::new(Sealer::new(&Secret::new("old"), &[], Arc::new(SystemRandom)));
    assert!(wanted.keys.contains(&before.account_key("s", "jdoe")), "under an older secret too");
}

#[tokio::test]
async fn while_the_store_fails_events_wait_in_order_and_those_too_many_are_counted() {
    let (audit, store, _) = trail("");
    store.fails.store(true, Ordering::SeqCst);
    for number in 0..MOST_WAITING + 3 {
        audit.record(&origin(1), event("refused").detail(&number.to_string()));
    }
    assert!(audit.flush().await.is_err());
    assert_eq!(audit.backlog(), (MOST_WAITING, 3));
    store.fails.store(false, Ordering::SeqCst);
    audit.flush().await.unwrap();
    assert_eq!(audit.backlog(), (0, 3));
    let details: Vec<String> = store.rows.lock().unwrap().iter().map(|row| row.detail.clone()).collect();
    assert!(details.iter().enumerate().all(|(at, detail)| *detail == at.to_string()), "none twice, in order");
    assert_eq!(details.len(), MOST_WAITING);
}

#[tokio::test]
async fn what_waits_for_the_trail_goes_on_once_all_is_stored_and_not_before() {
    let (audit, store, _) = trail("");
    audit.settled().await;
    audit.record(&origin(1), event("refused"));
    let mut settled = std::pin::pin!(audit.settled());
    tokio::select! {
        biased;
        () = &mut settled => panic!("nothing is stored yet"),
        () = std::future::ready(()) => {}
    }
    audit.flush().await.unwrap();
    settled.await;
    assert_eq!(store.rows.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_store_that_is_known_not_to_write_until_it_does() {
    let (audit, store, _) = trail("");
    let waited = async |audit: &Audit| {
        let began = tokio::time::Instant::now();
        audit.settled().await;
        began.elapsed()
    };
    audit.record(&origin(1), event("refused"));
    assert_eq!(waited(&audit).await, PATIENCE, "nobody writes");
    assert_eq!(waited(&audit).await, Duration::ZERO);
    audit.flush().await.unwrap();
    audit.record(&origin(1), event("refused"));
    assert_eq!(waited(&audit).await, PATIENCE, "it wrote again");
    audit.flush().await.unwrap();
    store.fails.store(true, Ordering::SeqCst);
    audit.record(&origin(1), event("refused"));
    let _ = tokio::join!(audit.settled(), audit.flush());
    assert_eq!(waited(&audit).await, Duration::ZERO);
    assert_eq!(audit.backlog(), (1, 0));
}

#[tokio::test]
async fn the_same_refusal_is_written_once_a_minute_and_nothing_else_is_left_out() {
    let (audit, store, clock) = trail("");
    for (verdict, client) in [("limited", 1), ("limited", 1), ("limited", 2), ("refused", 1), ("refused", 1)]
    {
        audit.record(&origin(client), event(verdict));
    }
    audit.flush().await.unwrap();
    assert_eq!(store.rows.lock().unwrap().len(), 4);
    clock.advance(Duration::from_secs(60));
    audit.record(&origin(1), event("limited"));
    audit.flush().await.unwrap();
    assert_eq!(store.rows.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn kept_for_no_time_nothing_reaches_the_store() {
    let (audit, store, _) = trail("keep = \"0\"");
    audit.record(&origin(1), event("ok"));
    audit.flush().await.unwrap();
    assert_eq!(store.batches.load(Ordering::SeqCst), 0);
}

/// What is logged while `work` runs.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter("error,audit=info")
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn each_event_is_a_line_of_the_log_whatever_becomes_of_the_store_and_its_level() {
    let (audit, store, _) = trail("");
    store.fails.store(true, Ordering::SeqCst);
    let token = Secret::new("0123456789abcdef0123456789abcdef");
    let log = logged(|| {
        audit.record(&origin(1), event("refused").account("Hunter2! my password", false));
        audit.record(&origin(2), Event::new(Kind::Redemption, "ok").account("jdoe", true).link(&token));
    });
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for (member, value) in [
        ("target", "audit"),
        ("id", "r-1"),
        ("event", "redemption"),
        ("site", "s"),
        ("user", "jdoe"),
        ("client", "192.0.2.2"),
        ("verdict", "ok"),
    ] {
        assert_eq!(lines[1][member].as_str(), Some(value), "{member}");
    }
    assert!(!log.contains("unter2") && !log.contains(token.expose()), "{log}");
}
