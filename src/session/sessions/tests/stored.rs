//! What memory and store owe each other: when the store fails, when several gates share it, when a gate is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::clock::SystemClock;

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
        .args(["--exact", "session::sessions::tests::stored::victim", "--nocapture"])
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
