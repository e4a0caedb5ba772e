//! When a session is over: by its age, by the clock, or because somebody ended it.

use super::*;

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
