mod ends;
mod stored;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::HeaderValue;
use http::header::COOKIE;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::random::SystemRandom;
use crate::secret::Secret;
use crate::session::cookie;
use crate::store::{
    self, Groups, Health, HeldClaim, HeldFate, HeldForms, HeldId, HeldLine, HeldOwner, HeldRoom, HeldRow,
    Problem, SessionUpdate, StoreUrl,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A store on disk whose disk can fail and whose loads can be held up after the rows were read.
struct Stub {
    store: Arc<dyn Store>,
    failing: AtomicBool,
    loads: Arc<Semaphore>,
}

impl Stub {
    fn fails(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    fn answer<T: Send + 'static>(&self, answer: impl FnOnce() -> Answer<T>) -> Answer<T> {
        if self.failing.load(Ordering::SeqCst) {
            let error = StoreError { file: "stub".into(), problem: Problem::Full };
            return Box::pin(async move { Err(error) });
        }
        answer()
    }
}

impl Store for Stub {
    fn insert_session(&self, row: SessionRow, instead_of: Option<SessionKey>) -> Answer<()> {
        self.answer(|| self.store.insert_session(row, instead_of))
    }
    fn update_sessions(&self, updates: Vec<SessionUpdate>) -> Answer<()> {
        self.answer(|| self.store.update_sessions(updates))
    }
    fn remove_sessions(&self, keys: Vec<SessionKey>) -> Answer<usize> {
        self.answer(|| self.store.remove_sessions(keys))
    }
    fn sweep_sessions(&self, idle: Vec<(SessionKey, Timestamp)>, now: Timestamp) -> Answer<usize> {
        self.answer(|| self.store.sweep_sessions(idle, now))
    }
    fn load_sessions(&self) -> Answer<Vec<SessionRow>> {
        let (rows, loads) = (self.store.load_sessions(), Arc::clone(&self.loads));
        self.answer(|| {
            Box::pin(async move {
                let rows = rows.await;
                drop(loads.acquire().await);
                rows
            })
        })
    }
    fn health(&self) -> Health {
        self.store.health()
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.store.changes()
    }
}

impl HeldForms for Stub {
    fn insert_held(&self, row: HeldRow, room: HeldRoom) -> Answer<()> {
        self.store.insert_held(row, room)
    }
    fn list_held(&self, owner: HeldOwner, now: Timestamp) -> Answer<Vec<HeldLine>> {
        self.store.list_held(owner, now)
    }
    fn claim_held(
        &self,
        id: HeldId,
        owner: HeldOwner,
        now: Timestamp,
        stale: Timestamp,
    ) -> Answer<HeldClaim> {
        self.store.claim_held(id, owner, now, stale)
    }
    fn settle_held(&self, id: HeldId, fate: HeldFate) -> Answer<()> {
        self.store.settle_held(id, fate)
    }
    fn discard_held(&self, id: HeldId, owner: HeldOwner) -> Answer<bool> {
        self.store.discard_held(id, owner)
    }
    fn sweep_held(&self, now: Timestamp, ahead: Timestamp) -> Answer<usize> {
        self.store.sweep_held(now, ahead)
    }
}

/// A gate over a store of its own; [`Gate::beside`] makes another over the same.
struct Gate {
    folder: Arc<TempDir>,
    clock: ManualClock,
    stub: Arc<Stub>,
    sessions: Arc<Sessions>,
}

const SECRET: &str = "a secret that only this test knows";

impl Gate {
    async fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start(folder, ManualClock::at(Timestamp::from_millis(1_700_000_000_000)), SECRET).await
    }

    async fn beside(&self) -> Self {
        Self::start(Arc::clone(&self.folder), self.clock.clone(), SECRET).await
    }

    async fn start(folder: Arc<TempDir>, clock: ManualClock, secret: &str) -> Self {
        let stub = Arc::new(Stub {
            store: open_store(folder.path()),
            failing: AtomicBool::new(false),
            loads: Arc::new(Semaphore::new(1)),
        });
        let sealer = Sealer::new(&Secret::new(secret), &[], Arc::new(SystemRandom));
        let store = Arc::clone(&stub) as Arc<dyn Store>;
        let settings = Settings::default();
        let sessions =
            Sessions::open(&settings, store, sealer, Arc::new(clock.clone()), Arc::new(SystemRandom));
        Self { folder, clock, stub, sessions: Arc::new(sessions.await.unwrap()) }
    }

    async fn sign_in(&self, user: &str) -> (SessionId, Arc<Session>) {
        self.sessions.create(new(user)).await.unwrap()
    }

    fn live(&self, id: &SessionId) -> bool {
        self.find(id).is_some()
    }

    fn find(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.find("intranet", id.text().expose().as_bytes())
    }

    /// How many sessions the file holds.
    async fn stored(&self) -> usize {
        self.stub.store.load_sessions().await.unwrap().len()
    }
}

fn open_store(folder: &Path) -> Arc<dyn Store> {
    store::open(&StoreUrl::Sqlite("gate.db".into()), folder).unwrap()
}

fn new(user: &str) -> NewSession<'_> {
    NewSession {
        site: "intranet",
        user,
        user_id: None,
        remember: false,
        client: [192, 0, 2, 1].into(),
        user_agent: "Browser",
        kept: b"__ac=abc".to_vec(),
        groups: Groups::default(),
    }
}

fn remembered(user: &str) -> NewSession<'_> {
    NewSession { remember: true, ..new(user) }
}

#[tokio::test]
async fn a_session_is_found_by_its_id_at_its_site_only() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    let found = gate.find(&id).unwrap();
    assert_eq!((found.user(), &**found.kept()), ("alice", &b"__ac=abc"[..]));
    let text = id.text();
    assert!(gate.sessions.find("shop", text.expose().as_bytes()).is_none());
    assert!(gate.sessions.find("intranet", b"").is_none());
    assert!(gate.sessions.find("intranet", session.key().to_string().as_bytes()).is_none());
    assert!(!gate.live(&SessionId::random(&SystemRandom)));
}

#[tokio::test]
async fn neither_ids_nor_what_is_kept_can_be_read_in_the_files() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    gate.sessions.update_kept(&session, b"__ac=refreshed".to_vec());
    gate.sessions.flush().await.unwrap();
    let raw: Vec<u8> = ["gate.db", "gate.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(gate.folder.path().join(name)).unwrap())
        .collect();
    let holds = |part: &[u8]| raw.windows(part.len()).any(|window| window == part);
    assert!(holds(b"alice") && holds(&session.key().0), "the test looks at the right files");
    assert!(!holds(id.text().expose().as_bytes()));
    assert!(!holds(b"__ac="));
    assert!(!format!("{session:?}").contains("__ac"));
}

#[tokio::test]
async fn a_restart_loses_nobody_and_keeps_every_fact() {
    let gate = Gate::new().await;
    let (id, session) = gate.sessions.create(remembered("Alice")).await.unwrap();
    gate.clock.advance(MINUTE);
    gate.sessions.touch(&session);
    gate.sessions.update_kept(&session, b"__ac=new".to_vec());
    gate.sessions.flush().await.unwrap();
    let again = gate.beside().await.find(&id).unwrap();
    assert_eq!(format!("{:?}", again.kept()), "[kept]");
    assert_eq!(&**again.kept(), b"__ac=new");
    assert_eq!(
        (again.user(), again.created(), again.seen(), again.expires(), again.remembered(), again.client()),
        ("Alice", session.created(), session.seen(), session.expires(), true, session.client())
    );
    assert_eq!((again.user_agent(), again.seen().since(again.created())), ("Browser", MINUTE));
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_another_ends_the_one_unused_longest() {
    let gate = Gate::new().await;
    let most = Settings::default().most_per_account;
    let (other, _) = gate.sign_in("bob").await;
    let (first, session) = gate.sign_in("alice").await;
    let (second, _) = gate.sign_in("Alice").await;
    for _ in 2..most {
        gate.clock.advance(Duration::from_secs(1));
        gate.sign_in("alice").await;
    }
    gate.sessions.touch(&session);
    assert!(gate.live(&second), "there is room for {most}");
    gate.clock.advance(Duration::from_secs(1));
    let (newest, _) = gate.sign_in("alice").await;
    assert!(!gate.live(&second), "the one that was used last when the others were not there yet");
    for (name, id) in [("used meanwhile", &first), ("the new one", &newest), ("another's", &other)] {
        assert!(gate.live(id), "{name}");
    }
    assert_eq!(gate.sessions.list(None, Some("alice")).len(), most);
    assert_eq!(gate.stored().await, most + 1, "the store knows");
}

#[tokio::test]
async fn an_older_secret_can_be_given_up_once_everything_was_sealed_anew() {
    let (old, young) = ("an old secret that will be given up", "a new secret in its place, quite long");
    let gate = Gate::new().await;
    let open = async |first: &str, older: &[&str]| {
        let older: Vec<Secret> = older.iter().map(|secret| Secret::new(*secret)).collect();
        let sealer = Sealer::new(&Secret::new(first), &older, Arc::new(SystemRandom));
        let store = Arc::clone(&gate.stub) as Arc<dyn Store>;
        let clock = Arc::new(gate.clock.clone());
        Sessions::open(&Settings::default(), store, sealer, clock, Arc::new(SystemRandom)).await.unwrap()
    };
    let (id, _) = open(old, &[]).await.create(new("alice")).await.unwrap();
    let live = |sessions: &Sessions| {
        sessions.find("intranet", id.text().expose().as_bytes()).map(|session| session.kept().to_vec())
    };
    let both = open(young, &[old]).await;
    assert_eq!(live(&both).as_deref(), Some(&b"__ac=abc"[..]));
    assert_eq!(live(&open(young, &[]).await), None, "not yet");
    both.flush().await.unwrap();
    assert_eq!(live(&open(young, &[]).await).as_deref(), Some(&b"__ac=abc"[..]));
}

#[tokio::test]
async fn another_secret_leaves_sessions_out_and_does_not_remove_them() {
    let gate = Gate::new().await;
    let (id, _) = gate.sign_in("alice").await;
    let stranger =
        Gate::start(Arc::clone(&gate.folder), gate.clock.clone(), "another secret altogether, quite long")
            .await;
    assert!(!stranger.live(&id));
    stranger.sessions.sweep().await.unwrap();
    assert!(gate.beside().await.live(&id));
}

#[tokio::test]
async fn contents_moved_to_another_session_do_not_open() {
    let gate = Gate::new().await;
    let (alice, _) = gate.sign_in("alice").await;
    let (mallory, _) = gate.sign_in("mallory").await;
    let rows = gate.stub.store.load_sessions().await.unwrap();
    let kept_of = |id: &SessionId| rows.iter().find(|row| row.key == id.key()).unwrap().kept.clone();
    let update = SessionUpdate {
        key: mallory.key(),
        created: rows[0].created,
        seen: Timestamp::from_millis(0),
        expires: Timestamp::from_millis(i64::MAX),
        kept: Some(kept_of(&alice)),
    };
    gate.stub.store.update_sessions(vec![update]).await.unwrap();
    let restarted = gate.beside().await;
    assert_eq!((restarted.live(&alice), restarted.live(&mallory)), (true, false));
}

#[tokio::test]
async fn long_user_agents_are_cut_between_characters() {
    let gate = Gate::new().await;
    let long = format!("x{}", "é".repeat(1_000));
    let (_, session) = gate.sessions.create(NewSession { user_agent: &long, ..new("a") }).await.unwrap();
    assert_eq!(session.user_agent().len(), 255);
    assert!(long.starts_with(session.user_agent()));
}

#[tokio::test]
async fn of_several_cookies_exactly_one_may_be_a_live_session() {
    let gate = Gate::new().await;
    let (a, _) = gate.sign_in("alice").await;
    let (b, _) = gate.sign_in("bob").await;
    let (a, b) = (a.text(), b.text());
    let (a, b, dead) = (a.expose(), b.expose(), "A".repeat(43));
    for (name, lines, user) in [
        ("none", vec![], None),
        ("one", vec![format!("x=1; lychgate={a}; y=2")], Some("alice")),
        ("garbage before", vec![format!("lychgate=garbage; lychgate={a}")], Some("alice")),
        ("a dead one after", vec![format!("lychgate={a}; lychgate={dead}")], Some("alice")),
        ("on two lines", vec!["lychgate=".into(), format!("lychgate={a}")], Some("alice")),
        ("the same twice", vec![format!("lychgate={a}; lychgate={a}")], Some("alice")),
        ("two live ones", vec![format!("lychgate={a}; lychgate={b}")], None),
        ("the fourth", vec![format!("lychgate=; lychgate=; lychgate=; lychgate={a}")], Some("alice")),
        ("more than four", vec![format!("lychgate={a}{}", "; lychgate=".repeat(4))], None),
        ("a million", vec![format!("lychgate={a}{}", "; lychgate=x".repeat(1_000_000))], None),
        ("another name", vec![format!("lychgate2={a}; Lychgate={a}; lychgate-form={a}")], None),
        ("the name for https", vec![format!("__Host-lychgate={a}")], None),
        ("quoted", vec![format!("lychgate=\"{a}\"")], None),
    ] {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_str(&line).unwrap());
        }
        let found = gate.sessions.find_in("intranet", &cookie::Names::new(false, None), &headers);
        assert_eq!(found.as_deref().map(Session::user), user, "{name}");
    }
    let mut headers = HeaderMap::new();
    headers.append(COOKIE, HeaderValue::from_str(&format!("lychgate={b}; __Host-lychgate={a}")).unwrap());
    let found = gate.sessions.find_in("intranet", &cookie::Names::new(true, None), &headers);
    assert_eq!(found.as_deref().map(Session::user), Some("alice"), "https reads its own name only");
}
