use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::HeaderValue;
use http::header::COOKIE;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

use super::*;
use crate::clock::{ManualClock, SystemClock, Timestamp};
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
async fn sessions_end_when_unused_and_when_old() {
    let (idle, lifetime, remember) = (30 * MINUTE, 12 * HOUR, 30 * DAY);
    let short = Duration::from_millis(1);
    for (name, new, use_every, uses, then, live) in [
        ("just not idle", new("a"), MINUTE, 1, idle - short, true),
        ("idle", new("a"), MINUTE, 1, idle, false),
        ("used, just not old", new("a"), 20 * MINUTE, 35, 20 * MINUTE - short, true),
        ("used, old", new("a"), 20 * MINUTE, 35, 20 * MINUTE, false),
        ("unused but remembered", remembered("a"), MINUTE, 0, remember - short, true),
        ("remembered, old", remembered("a"), MINUTE, 0, remember, false),
        ("remembered, used daily, old", remembered("a"), DAY, 29, DAY, false),
        ("remembered past the ordinary end", remembered("a"), MINUTE, 0, lifetime, true),
    ] {
        let gate = Gate::new().await;
        let (id, _) = gate.sessions.create(new).await.unwrap();
        for turn in 0..uses {
            gate.clock.advance(use_every);
            let session = gate.find(&id).unwrap_or_else(|| panic!("{name}: gone at use {turn}"));
            gate.sessions.touch(&session);
        }
        gate.clock.advance(then);
        assert_eq!(gate.live(&id), live, "{name}");
    }
}

#[tokio::test]
async fn remembering_counts_only_if_it_is_offered() {
    let gate = Gate::new().await;
    let settings = toml::from_str("remember = \"0\"").unwrap();
    let sealer = Sealer::new(&Secret::new(SECRET), &[], Arc::new(SystemRandom));
    let clock = Arc::new(gate.clock.clone());
    let store = Arc::clone(&gate.stub) as Arc<dyn Store>;
    let sessions = Sessions::open(&settings, store, sealer, clock, Arc::new(SystemRandom)).await.unwrap();
    let (_, session) = sessions.create(remembered("a")).await.unwrap();
    assert!(!session.remembered());
    assert_eq!(session.max_age(gate.clock.now()), None);
    let (_, offered) = gate.sessions.create(remembered("a")).await.unwrap();
    assert_eq!(offered.max_age(gate.clock.now()), Some(30 * DAY));
    assert_eq!(session.expires().since(session.created()), 12 * HOUR);
}

#[tokio::test]
async fn a_sweep_takes_what_is_over_from_memory_and_store() {
    let gate = Gate::new().await;
    let (old, _) = gate.sign_in("alice").await;
    gate.clock.advance(31 * MINUTE);
    let (young, _) = gate.sign_in("bob").await;
    gate.sessions.sweep().await.unwrap();
    assert_eq!((gate.live(&old), gate.live(&young), gate.stored().await), (false, true, 1));
}

#[tokio::test]
async fn an_idle_session_that_another_gate_saw_survives_our_sweep() {
    let ours = Gate::new().await;
    let (id, _) = ours.sign_in("alice").await;
    let other = ours.beside().await;
    ours.clock.advance(20 * MINUTE);
    other.sessions.touch(&other.find(&id).unwrap());
    other.sessions.flush().await.unwrap();
    ours.clock.advance(20 * MINUTE);
    ours.sessions.sweep().await.unwrap();
    assert!(!ours.live(&id), "we have not heard of it yet");
    ours.sessions.reload().await.unwrap();
    assert!(ours.live(&id));
}

#[tokio::test]
async fn a_clock_set_back_signs_nobody_out_and_keeps_nobody_longer() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    let start = session.created();
    gate.clock.set(Timestamp::from_millis(start.as_millis() - 365 * 86_400_000));
    assert!(gate.live(&id), "at once");
    gate.sessions.sweep().await.unwrap();
    gate.clock.advance(29 * MINUTE);
    assert!(gate.live(&id), "idle time counts from the jump");
    gate.clock.advance(2 * MINUTE);
    assert!(!gate.live(&id), "and ends");

    let (id, session) = gate.sign_in("bob").await;
    gate.clock.set(Timestamp::from_millis(session.created().as_millis() - 365 * 86_400_000));
    gate.sessions.sweep().await.unwrap();
    for _ in 0..35 {
        gate.clock.advance(20 * MINUTE);
        gate.sessions.touch(&gate.find(&id).unwrap());
    }
    gate.clock.advance(20 * MINUTE);
    assert!(!gate.live(&id), "used all the time, it ends a lifetime after the jump");
    gate.sessions.flush().await.unwrap();
    assert!(!gate.beside().await.live(&id), "after a restart too");
}

#[tokio::test]
async fn a_clock_set_forward_signs_nobody_out_and_keeps_nobody_longer() {
    for jump in [2 * HOUR, 13 * HOUR, 40 * DAY, 3650 * DAY] {
        let gate = Gate::new().await;
        let other = gate.beside().await;
        let (id, _) = gate.sign_in("alice").await;
        let (long, _) = gate.sessions.create(remembered("bob")).await.unwrap();
        other.sessions.reload().await.unwrap();
        gate.clock.set(gate.clock.now().after(jump));
        assert!(gate.live(&id) && gate.live(&long) && other.live(&id), "{jump:?}: at once");
        other.sessions.reload().await.unwrap();
        gate.sessions.sweep().await.unwrap();
        other.sessions.sweep().await.unwrap();
        assert_eq!(gate.stored().await, 2, "{jump:?}");
        gate.clock.advance(29 * MINUTE);
        assert!(gate.live(&id) && other.live(&id), "{jump:?}: idle time goes on as if nothing had been");
        let restarted = gate.beside().await;
        assert!(restarted.live(&id) && restarted.live(&long), "{jump:?}: after a restart too");
        gate.clock.advance(MINUTE);
        assert!(!gate.live(&id) && !other.live(&id) && !restarted.live(&id), "{jump:?}: and ends");
        gate.clock.advance(30 * DAY - 30 * MINUTE);
        assert!(!gate.live(&long) && !restarted.live(&long), "{jump:?}: an absolute end stays where it was");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_to_and_fro_changes_nothing() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    let start = gate.clock.now();
    for (turn, away) in [3 * DAY, 10 * DAY, HOUR, 400 * DAY].into_iter().enumerate() {
        let shown = gate.clock.now();
        gate.clock.set(if turn % 2 == 0 { shown.after(away) } else { shown.before(away) });
        gate.sessions.sweep().await.unwrap();
        gate.clock.advance(20 * MINUTE);
        gate.sessions.touch(&gate.find(&id).unwrap());
        gate.sessions.flush().await.unwrap();
        gate.sessions.reload().await.unwrap();
        assert!(gate.live(&id), "turn {turn}");
    }
    assert_eq!(session.expires().since(start), 12 * HOUR);
    assert_eq!(session.seen().since(start), 80 * MINUTE);
}

#[tokio::test]
async fn an_older_secret_can_be_given_up_once_everything_was_sealed_anew() {
    let (old, new) = ("an old secret that will be given up", "a new secret in its place, quite long");
    let gate = Gate::new().await;
    let open = async |first: &str, older: &[&str]| {
        let older: Vec<Secret> = older.iter().map(|secret| Secret::new(*secret)).collect();
        let sealer = Sealer::new(&Secret::new(first), &older, Arc::new(SystemRandom));
        let store = Arc::clone(&gate.stub) as Arc<dyn Store>;
        let clock = Arc::new(gate.clock.clone());
        Sessions::open(&Settings::default(), store, sealer, clock, Arc::new(SystemRandom)).await.unwrap()
    };
    let (id, _) = open(old, &[]).await.create(new_session()).await.unwrap();
    let live = |sessions: &Sessions| {
        sessions.find("intranet", id.text().expose().as_bytes()).map(|session| session.kept().to_vec())
    };
    let both = open(new, &[old]).await;
    assert_eq!(live(&both).as_deref(), Some(&b"__ac=abc"[..]));
    assert_eq!(live(&open(new, &[]).await), None, "not yet");
    both.flush().await.unwrap();
    assert_eq!(live(&open(new, &[]).await).as_deref(), Some(&b"__ac=abc"[..]));
}

fn new_session() -> NewSession<'static> {
    new("alice")
}

#[tokio::test]
async fn a_clock_set_back_while_stopped_is_heeded_at_the_start() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    gate.clock.set(Timestamp::from_millis(session.created().as_millis() - 365 * 86_400_000));
    let restarted = gate.beside().await;
    assert!(restarted.live(&id));
    gate.clock.advance(31 * MINUTE);
    assert!(!restarted.live(&id));
}

#[tokio::test]
async fn signing_in_again_kills_the_old_id() {
    let gate = Gate::new().await;
    let (old_id, old) = gate.sign_in("alice").await;
    let (new_id, _) = gate.sessions.replace(&old, new("bob")).await.unwrap();
    assert_ne!(old_id, new_id);
    assert_eq!((gate.live(&old_id), gate.live(&new_id), gate.stored().await), (false, true, 1));
    // What is still going on in the old session brings nothing back.
    gate.sessions.touch(&old);
    gate.sessions.update_kept(&old, b"late".to_vec());
    gate.sessions.flush().await.unwrap();
    gate.sessions.reload().await.unwrap();
    let restarted = gate.beside().await;
    assert_eq!((gate.live(&old_id), restarted.live(&old_id), restarted.live(&new_id)), (false, false, true));
}

#[tokio::test]
async fn if_a_session_cannot_be_replaced_there_is_neither() {
    let gate = Gate::new().await;
    let (id, old) = gate.sign_in("alice").await;
    gate.stub.fails(true);
    assert!(gate.sessions.replace(&old, new("bob")).await.is_err());
    assert!(!gate.live(&id));
    gate.stub.fails(false);
    gate.sessions.reload().await.unwrap();
    assert!(!gate.live(&id), "the row is still there, but it ended");
    gate.sessions.flush().await.unwrap();
    assert_eq!(gate.stored().await, 0);
}

#[tokio::test]
async fn ending_takes_one_the_others_or_all_of_a_user() {
    let gate = Gate::new().await;
    let (one, session) = gate.sign_in("alice").await;
    let (two, _) = gate.sign_in("Alice").await;
    let (three, _) = gate.sign_in(" ALICE").await;
    let (bob, _) = gate.sign_in("bob").await;
    let elsewhere = gate.sessions.create(NewSession { site: "shop", ..new("alice") }).await.unwrap().0;
    let live = || [&one, &two, &three, &bob].map(|id| gate.live(id));

    assert_eq!(gate.sessions.list(Some("intranet"), Some("aLice")).len(), 3);
    assert_eq!(gate.sessions.list(None, None).len(), 5);
    assert_eq!(gate.sessions.end_others(&session).await.unwrap(), 2);
    assert_eq!(live(), [true, false, false, true]);
    gate.sign_in("ALICE").await;
    assert_eq!(gate.sessions.end_all_of("intranet", "alice").await.unwrap(), 2);
    assert_eq!(live(), [false, false, false, true]);
    gate.sessions.end(&gate.find(&bob).unwrap()).await.unwrap();
    assert_eq!(live(), [false; 4]);
    assert!(gate.sessions.find("shop", elsewhere.text().expose().as_bytes()).is_some());
    assert_eq!(gate.stored().await, 1);
}

#[tokio::test]
async fn a_session_ended_on_a_full_disk_is_over_here_and_in_the_store_as_soon_as_there_is_room() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    gate.stub.fails(true);
    assert!(gate.sessions.end(&session).await.is_err());
    assert!(!gate.live(&id));
    assert!(gate.sessions.create(new("bob")).await.is_err());
    assert!(gate.sessions.list(None, None).is_empty(), "what is not stored does not begin");
    gate.stub.fails(false);
    gate.sessions.reload().await.unwrap();
    assert!(!gate.live(&id));
    gate.sessions.flush().await.unwrap();
    assert_eq!(gate.stored().await, 0);
}

#[tokio::test]
async fn what_could_not_be_written_is_written_later() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    gate.clock.advance(MINUTE);
    gate.sessions.touch(&session);
    gate.sessions.update_kept(&session, b"new".to_vec());
    gate.stub.fails(true);
    assert!(gate.sessions.flush().await.is_err());
    gate.stub.fails(false);
    gate.sessions.flush().await.unwrap();
    let other = gate.beside().await.find(&id).unwrap();
    assert_eq!((other.seen(), &**other.kept()), (session.seen(), &b"new"[..]));
}

#[tokio::test]
async fn many_touches_are_written_once() {
    let gate = Gate::new().await;
    let (_, session) = gate.sign_in("alice").await;
    for _ in 0..1_000 {
        gate.clock.advance(Duration::from_millis(1));
        gate.sessions.touch(&session);
    }
    assert_eq!(lock(&gate.sessions.unwritten).len(), 1);
    gate.sessions.flush().await.unwrap();
    assert_eq!(lock(&gate.sessions.unwritten).len(), 0);
    let rows = gate.stub.store.load_sessions().await.unwrap();
    assert_eq!(rows[0].seen, session.seen());
}

#[tokio::test]
async fn gates_over_one_store_learn_of_each_other() {
    let ours = Gate::new().await;
    let other = ours.beside().await;
    let (id, session) = ours.sign_in("alice").await;
    assert!(!other.live(&id));
    other.sessions.reload().await.unwrap();
    let theirs = other.find(&id).unwrap();

    ours.clock.advance(MINUTE);
    ours.sessions.touch(&session);
    ours.sessions.update_kept(&session, b"fresh".to_vec());
    ours.sessions.flush().await.unwrap();
    other.sessions.reload().await.unwrap();
    assert_eq!((theirs.seen(), &**theirs.kept()), (session.seen(), &b"fresh"[..]));

    ours.sessions.end(&session).await.unwrap();
    other.sessions.reload().await.unwrap();
    assert!(!other.live(&id));
}

#[tokio::test]
async fn a_load_does_not_take_back_what_was_refreshed_here() {
    let ours = Gate::new().await;
    let (_, session) = ours.sign_in("alice").await;
    ours.sessions.update_kept(&session, b"newer".to_vec());
    ours.sessions.reload().await.unwrap();
    assert_eq!(&**session.kept(), b"newer");
}

/// What begins and ends between the reading of the rows and their arrival.
#[tokio::test]
async fn a_slow_load_neither_revives_the_ended_nor_drops_the_new() {
    let gate = Gate::new().await;
    let (ended_id, ended) = gate.sign_in("alice").await;
    let (replaced_id, replaced) = gate.sign_in("bob").await;
    let held = gate.stub.loads.acquire().await.unwrap();
    let loading = tokio::spawn({
        let sessions = Arc::clone(&gate.sessions);
        async move { sessions.reload().await }
    });
    while gate.sessions.notes().during_load.is_none() {
        tokio::task::yield_now().await;
    }
    gate.sessions.end(&ended).await.unwrap();
    let (new_id, _) = gate.sign_in("carol").await;
    let (newer_id, _) = gate.sessions.replace(&replaced, new("bob")).await.unwrap();
    drop(held);
    loading.await.unwrap().unwrap();
    let live = [&ended_id, &replaced_id, &new_id, &newer_id].map(|id| gate.live(id));
    assert_eq!(live, [false, false, true, true]);
}

#[tokio::test]
async fn whoever_gives_up_waiting_for_an_end_has_ended_it_all_the_same() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    let mut ending = Box::pin(gate.sessions.end(&session));
    assert!(futures_poll(&mut ending).is_none(), "the store has not answered yet");
    drop(ending);
    assert!(!gate.live(&id));
    assert_eq!(gate.stored().await, 0);
}

/// Polls once.
fn futures_poll<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_revocation_by_another_process_is_noticed_within_a_second() {
    let gate = Gate::new().await;
    let (id, session) = gate.sign_in("alice").await;
    let house = tokio::spawn({
        let sessions = Arc::clone(&gate.sessions);
        async move { sessions.keep_house().await }
    });
    let mut changes = gate.stub.changes();
    // A connection of its own, as `lychgate sessions revoke` has.
    let command = open_store(gate.folder.path());
    let asked = std::time::Instant::now();
    assert_eq!(command.remove_sessions(vec![session.key()]).await.unwrap(), 1);
    tokio::time::timeout(Duration::from_secs(10), async {
        changes.changed().await.unwrap();
        while gate.live(&id) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // The promise is a second; a machine that runs many tests at once gets some more.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    house.abort();
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

const VICTIM: &str = "LYCHGATE_TEST_VICTIM";

/// Not a test: what the next one starts as another process and kills. Prints each id once it is promised.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let sealer = Sealer::new(&Secret::new(SECRET), &[], Arc::new(SystemRandom));
        let store = open_store(Path::new(&folder));
        let sessions = Sessions::open(
            &Settings::default(),
            store,
            sealer,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        )
        .await
        .unwrap();
        loop {
            let (ended, session) = sessions.create(new("mallory")).await.unwrap();
            sessions.end(&session).await.unwrap();
            let (id, _) = sessions.create(new("alice")).await.unwrap();
            println!("\npromised {} {}", id.text().expose(), ended.text().expose());
        }
    });
}

#[tokio::test]
async fn kill_9_loses_no_session_and_revives_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "session::sessions::tests::victim", "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut promised: Vec<(String, String)> = Vec::new();
    for line in lines {
        if let Some((id, ended)) = line.strip_prefix("promised ").and_then(|ids| ids.split_once(' ')) {
            promised.push((id.to_owned(), ended.to_owned()));
            if promised.len() == 25 {
                // SIGKILL, in the midst of the next ones; what was printed meanwhile is read to its end.
                victim.kill().unwrap();
            }
        }
    }
    victim.wait().unwrap();
    // The last line may be cut off.
    promised.retain(|(_, ended)| ended.len() == 43);
    assert!(promised.len() >= 25);

    let sealer = Sealer::new(&Secret::new(SECRET), &[], Arc::new(SystemRandom));
    let store = open_store(folder.path());
    let sessions =
        Sessions::open(&Settings::default(), store, sealer, Arc::new(SystemClock), Arc::new(SystemRandom))
            .await
            .unwrap();
    for (id, ended) in promised {
        assert!(sessions.find("intranet", id.as_bytes()).is_some());
        assert!(sessions.find("intranet", ended.as_bytes()).is_none());
    }
}

/// A person who signs in by a name and by an address has one account; its password is reset under either, or under its id.
#[tokio::test]
async fn all_sessions_of_an_account_end_under_any_of_its_names() {
    for name in ["login.name", "LOGIN.name", "login@example.org", "u1001"] {
        let gate = Gate::new().await;
        let begin = async |gate: &Gate, user: &'static str, user_id: Option<&'static str>| {
            gate.sessions.create(NewSession { user_id, ..new(user) }).await.unwrap().0
        };
        let mine = [
            begin(&gate, "login.name", Some("u1001")).await,
            begin(&gate, "login@example.org", Some("u1001")).await,
            begin(&gate, "Login.Name", Some("u1001")).await,
        ];
        let other = begin(&gate, "login.name2", Some("u1002")).await;
        let nobody = begin(&gate, "someone", None).await;
        // The id is known to every gate.
        let gate = gate.beside().await;
        assert_eq!(gate.find(&mine[0]).unwrap().user_id(), Some("u1001"));
        assert_eq!(gate.find(&mine[0]).unwrap().kept().to_vec(), b"__ac=abc");
        assert_eq!(gate.sessions.end_all_of("shop", name).await.unwrap(), 0, "{name} elsewhere");
        assert_eq!(gate.sessions.end_all_of("intranet", name).await.unwrap(), 3, "{name}");
        assert!(gate.live(&other) && gate.live(&nobody), "{name}");
        assert_eq!(gate.sessions.end_all_with_id("intranet", "u1002").await.unwrap(), 1);
        assert!(!gate.live(&other) && gate.live(&nobody), "{name}");
    }
}
