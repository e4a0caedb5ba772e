//! Several backends of one site, and what visitors notice when some or all of them are gone: nothing, or the truth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::raw::{Message, Unsteady, ask, connect, get, login, ok, post};

const SECOND: Duration = Duration::from_secs(1);

/// Keys of the site for whom everything is open.
const OPEN: &str = "access.default = \"public\"";

/// A gate in front of all of these, with an admin listener.
fn gate(backends: &[&Unsteady], more: &str) -> Gate {
    let urls: Vec<String> = backends.iter().map(|backend| format!("{:?}", backend.url())).collect();
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ndrain = \"5s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[limits]\nsign_in = {{ per_client = \"1000/1m\", per_account = \"1000/1m\" }}\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = [{}]\n{more}\n",
        urls.join(", ")
    ))
}

/// One that answers with its name.
fn named(name: &'static str) -> Unsteady {
    Unsteady::answering(move |_| ok(name))
}

fn body(answer: &Message) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    String::from_utf8(answer.body.clone()).unwrap()
}

/// Who answers each of so many requests.
fn who(gate: &Gate, count: usize) -> Vec<String> {
    (0..count).map(|_| body(&ask(gate.address, get("/a", "")))).collect()
}

/// What the admin listener says.
fn told(gate: &Gate, path: &str) -> Message {
    ask(gate.admin.unwrap(), format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// What the gauge says of each backend.
fn up(gate: &Gate) -> Vec<bool> {
    let text = String::from_utf8(told(gate, "/metrics").body).unwrap();
    let gauge = |at: usize| {
        let series = format!("lychgate_backend_up{{site=\"intranet\",backend=\"{at}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map(|value| value == "1")
    };
    assert!(!text.contains("127.77."), "addresses are nobody's business here");
    (0..).map_while(gauge).collect()
}

/// Waits for what a health check brings about.
fn until_up(gate: &Gate, want: &[bool]) {
    let patience = Instant::now() + SECOND * 60;
    while up(gate) != want {
        assert!(Instant::now() < patience, "it stays at {:?}", up(gate));
        std::thread::yield_now();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn sign_in(gate: &Gate, user: &str) -> (Browser, Answer) {
    let mut browser = Browser::new(gate.address, HOST);
    let answer = block_on(browser.sign_in(user, "Secret1234!"));
    (browser, answer)
}

#[test]
fn the_one_with_the_fewest_requests_in_flight_is_chosen() {
    let (began, begins) = mpsc::channel();
    let backend = |name: &'static str| {
        let began = began.clone();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let backend = Unsteady::answering(move |request| {
            if request.target() == "/slow" {
                began.send(name).unwrap();
                let _ = released.lock().unwrap().recv();
            }
            ok(name)
        });
        (backend, release)
    };
    let (one, two) = (backend("one"), backend("two"));
    let gate = gate(&[&one.0, &two.0], OPEN);
    let mut slow = connect(gate.address);
    slow.send(get("/slow", ""));
    let busy = begins.recv_timeout(SECOND * 60).unwrap();
    let free = if busy == "one" { "two" } else { "one" };
    assert_eq!(who(&gate, 6), vec![free; 6]);
    drop((one.1, two.1));
    assert_eq!(body(&slow.response()), busy);
    let both = who(&gate, 4);
    assert!(both.contains(&"one".to_owned()) && both.contains(&"two".to_owned()), "{both:?}");
}

#[test]
fn nobody_notices_that_one_of_two_is_gone() {
    let (mut one, two) = (named("one"), named("two"));
    let gate = gate(&[&one, &two], OPEN);
    // Both have been used, so that connections to both wait to be used again.
    who(&gate, 4);
    one.stop();
    two.take();
    for number in 0..6 {
        assert_eq!(body(&ask(gate.address, get("/a", ""))), "two");
        let path = format!("/post{number}");
        assert_eq!(body(&ask(gate.address, post(&path, "", "x=1"))), "two");
    }
    let posts: Vec<String> = two
        .take()
        .into_iter()
        .filter(|seen| seen.method() == "POST")
        .map(|seen| seen.target().to_owned())
        .collect();
    assert_eq!(posts, (0..6).map(|number| format!("/post{number}")).collect::<Vec<_>>());
    assert_eq!(up(&gate), [false, true]);
}

#[test]
fn a_form_that_may_have_arrived_is_not_sent_to_another() {
    let breaking = || {
        Unsteady::scripted(|wire, record| {
            let request = wire.request();
            request.iter().for_each(|request| record.note(request));
        })
    };
    let (one, two) = (breaking(), breaking());
    let gate = gate(&[&one, &two], OPEN);
    for number in 1..=4 {
        let answer = ask(gate.address, post("/pay", "", "amount=1"));
        assert_eq!(answer.status(), 502, "it is not said that nothing happened: {}", answer.text());
        let seen = one.take().len() + two.take().len();
        assert_eq!(seen, 1, "attempt {number}");
    }
    assert_eq!(up(&gate), [false, false], "both broke off");
}

#[test]
fn who_failed_is_left_out_until_its_time_is_over() {
    let (mut one, two) = (named("one"), named("two"));
    let gate = gate(&[&one, &two], OPEN);
    one.stop();
    who(&gate, 4);
    assert_eq!(up(&gate), [false, true]);
    one.start();
    assert_eq!(who(&gate, 6), vec!["two"; 6]);
    assert_eq!(one.connections(), 0, "it was not even tried");
    // Down once more when it is tried again: now it is left out for twice as long.
    one.stop();
    gate.clock.advance(SECOND);
    assert_eq!(up(&gate), [true, true]);
    assert_eq!(who(&gate, 4), vec!["two"; 4]);
    one.start();
    gate.clock.advance(SECOND);
    assert_eq!(who(&gate, 4), vec!["two"; 4]);
    gate.clock.advance(SECOND);
    assert!(who(&gate, 4).contains(&"one".to_owned()));
    assert_eq!(up(&gate), [true, true]);
}

#[test]
fn who_is_signed_in_keeps_the_backend_that_signed_them_in() {
    let mut backends = [named("one"), named("two")];
    let gate = gate(&[&backends[0], &backends[1]], "[site.forward]\nsticky = true");
    let mut homes = Vec::new();
    for number in 0..8 {
        let (mut browser, answer) = sign_in(&gate, &format!("user{number}"));
        assert_eq!(answer.status, 303, "{}", answer.text());
        let asked: Vec<bool> = backends.iter().map(|backend| !backend.take().is_empty()).collect();
        let home = match asked[..] {
            [true, false] => "one",
            [false, true] => "two",
            _ => panic!("one conversation, one backend: {asked:?}"),
        };
        for _ in 0..3 {
            let answer = block_on(browser.get("/a"));
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, home));
            assert!(!answer.headers.values().any(|value| value.to_str().unwrap_or_default().contains(home)));
        }
        backends.iter().for_each(|backend| drop(backend.take()));
        homes.push((browser, home));
    }
    assert!(["one", "two"].iter().all(|name| homes.iter().any(|(_, home)| home == name)));
    backends[0].stop();
    for (browser, _) in &mut homes {
        assert_eq!(block_on(browser.get("/a")).text(), "two");
    }
    backends[0].start();
    gate.clock.advance(SECOND);
    for (browser, home) in &mut homes {
        assert_eq!(block_on(browser.get("/a")).text(), *home);
    }
}

#[test]
fn with_all_gone_the_gate_says_so_and_its_sign_in_page_answers() {
    let (mut one, mut two) = (named("one"), named("two"));
    let gate = gate(&[&one, &two], OPEN);
    assert_eq!(told(&gate, "/ready").status(), 200);
    one.stop();
    assert_eq!(told(&gate, "/ready").status(), 200, "one will do");
    two.stop();
    for (name, request) in
        [("get", get("/a", "").into_bytes()), ("post", post("/a", "", "x")), ("again", post("/a", "", "x"))]
    {
        let answer = ask(gate.address, request);
        assert_eq!((answer.status(), answer.field("retry-after").as_deref()), (503, Some("10")), "{name}");
        let page = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(page.contains("closed for the moment") && page.contains("<html"), "{name}: {page}");
        assert!(!answer.text().contains("127.77."), "{name}: {page}");
    }
    let french = ask(gate.address, get("/a", "Accept-Language: fr\r\n"));
    assert!(String::from_utf8_lossy(&french.body).contains("fermé pour le moment"));
    let script = ask(gate.address, get("/a", "Accept: application/json\r\n"));
    let json: serde_json::Value = serde_json::from_slice(&script.body).unwrap();
    assert_eq!((script.status(), script.field("retry-after").as_deref()), (503, Some("10")));
    assert_eq!(json["status"], "maintenance");

    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(block_on(browser.get("/_gate/login")).status, 200);
    let (_, answer) = sign_in(&gate, "jdoe");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("could not be checked"), "{}", answer.text());

    let ready = told(&gate, "/ready");
    let said: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(ready.status(), 503);
    assert!(said["backends"]["intranet"].as_str().unwrap().starts_with("none of 2"), "{said}");

    // The one that is back is found by the next visitor, though its time is not over: nobody is turned away untried.
    two.start();
    let found = (0..2).map(|_| ask(gate.address, get("/a", "")).status()).collect::<Vec<_>>();
    assert!(found.contains(&200), "{found:?}");
    assert_eq!(who(&gate, 4), vec!["two"; 4]);
}

#[test]
fn people_sign_in_while_one_of_two_is_gone() {
    let mut backends = [named("one"), named("two")];
    for gone in 0..2 {
        let gate = gate(&[&backends[0], &backends[1]], "");
        backends[gone].stop();
        for user in ["jdoe", "mroe", "asmith"] {
            let (_, answer) = sign_in(&gate, user);
            assert_eq!(answer.status, 303, "{user}: {}", answer.text());
        }
        backends[gone].start();
    }
}

#[test]
fn who_takes_requests_and_never_answers_is_left_out_and_tried_by_one_at_a_time() {
    let hangs = Arc::new(AtomicBool::new(true));
    let (state, (began, begins)) = (Arc::clone(&hangs), mpsc::channel());
    let one = Unsteady::scripted(move |wire, _| {
        while let Some(request) = wire.request() {
            if state.load(Ordering::SeqCst) || request.target() == "/slow" {
                began.send(request.target().to_owned()).unwrap();
                // The gate gives up first.
                wire.has_ended();
                return;
            }
            wire.send(ok("one"));
        }
    });
    let two = named("two");
    let gate = gate(&[&one, &two], &format!("{OPEN}\n[site.forward]\nresponse_timeout = \"500ms\""));
    let mut silences = 0;
    while up(&gate) == [true, true] {
        let answer = ask(gate.address, get("/a", ""));
        silences += usize::from(answer.status() == 504);
        assert!(silences <= 3, "{}", answer.text());
    }
    assert_eq!((silences, up(&gate)), (3, vec![false, true]));
    assert_eq!(who(&gate, 6), vec!["two"; 6]);

    gate.clock.advance(SECOND);
    begins.try_iter().for_each(drop);
    let mut trials: Vec<_> = (0..2).map(|_| connect(gate.address)).collect();
    trials.iter_mut().for_each(|wire| assert!(wire.send(get("/trial", ""))));
    assert_eq!(begins.recv_timeout(SECOND * 60).unwrap(), "/trial");
    assert_eq!(who(&gate, 6), vec!["two"; 6], "while somebody tries it already");
    let mut statuses: Vec<u16> = trials.iter_mut().map(|wire| wire.response().status()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 504]);
    assert_eq!(up(&gate), [false, true], "and out once more");

    hangs.store(false, Ordering::SeqCst);
    gate.clock.advance(SECOND * 2);
    assert!(who(&gate, 4).contains(&"one".to_owned()));
    assert_eq!(up(&gate), [true, true]);
    // A page that is slow, asked for again and again, while others are answered.
    for _ in 0..5 {
        while ask(gate.address, get("/slow", "")).status() != 504 {}
        assert!(who(&gate, 4).contains(&"one".to_owned()));
        assert_eq!(up(&gate), [true, true]);
    }
}

#[test]
fn a_health_check_takes_a_backend_out_and_back_in() {
    let ill = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&ill);
    let one = Unsteady::answering(move |request| {
        if request.target() == "/@@ok?deep=1" && state.load(Ordering::SeqCst) {
            return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        ok("one")
    });
    let two = named("two");
    let gate = gate(
        &[&one, &two],
        "access.default = \"public\"\n[site.forward]\nhealth_check = { path = \"/@@ok?deep=1\", every = \"10ms\" }",
    );
    until_up(&gate, &[true, true]);
    ill.store(true, Ordering::SeqCst);
    until_up(&gate, &[false, true]);
    assert_eq!(who(&gate, 6), vec!["two"; 6]);
    ill.store(false, Ordering::SeqCst);
    until_up(&gate, &[true, true]);
    assert!(who(&gate, 4).contains(&"one".to_owned()));
}

#[test]
fn the_address_of_no_backend_gets_out_and_all_are_told_the_same_host() {
    let addresses = Arc::new(Mutex::new(Vec::new()));
    let linking = || {
        let addresses = Arc::clone(&addresses);
        Unsteady::answering(move |request| {
            login(request).unwrap_or_else(|| {
                let links: Vec<String> =
                    addresses.lock().unwrap().iter().map(|url| format!("<a href=\"{url}/news\">")).collect();
                ok(&links.concat()).replace("text/plain", "text/html")
            })
        })
    };
    let (one, two) = (linking(), linking());
    let alias = format!("http://localhost:{}/Plone", two.address().port());
    addresses.lock().unwrap().extend([one.url(), two.url(), alias]);
    for hosting in ["zope", "forwarded", "rewrite"] {
        let gate = gate(&[&one, &two], &format!("{OPEN}\nvirtual_hosting = \"{hosting}\""));
        for _ in 0..4 {
            let page = body(&ask(gate.address, get("/a", "")));
            assert!(!page.contains("127.77.") && !page.contains("localhost"), "{hosting}: {page}");
            assert_eq!(page.matches(&format!("http://{HOST}/news")).count(), 3, "{hosting}: {page}");
        }
        let (one, two) = (one.take(), two.take());
        assert!(!one.is_empty() && !two.is_empty());
        let host = one[0].field("host");
        assert!(one.iter().chain(&two).all(|seen| seen.field("host") == host), "{hosting}");
    }
}
