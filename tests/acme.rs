//! Certificates from a real ACME server: Let's Encrypt's own test server (pebble), on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lychgate::clock::{Clock as _, SystemClock};
use rustls::RootCertStore;
use serde_json::Value;
use support::gate::{Gate, HOST};
use support::pebble::{Pebble, Setup, free_port, wait_for};
use support::pki::Authority;
use support::raw::{Backend, Wire, ask, get, post};
use support::secure::Client;

const DAY: Duration = Duration::from_secs(86_400);

/// A gate and the server it asks; the ports are known beforehand, for the server looks there.
struct World {
    gate: Gate,
    pebble: Pebble,
    setup: Setup,
}

impl World {
    /// Not asked for anything yet: the server does not run. `acme` are further keys of it, with a comma before; `sites` further tables.
    fn asleep(acme: &str, backend: &str, sites: &str) -> Self {
        let (pebble, plain, secure) = (Pebble::new(), free_port(), free_port());
        let toml = format!(
            "[server]\nlisten = [\"127.0.0.1:{plain}\"]\nworkers = 2\ndrain = \"5s\"\n[server.tls]\nlisten = [\"127.0.0.1:{secure}\"]\nacme = {{ {}{acme} }}\n[admin]\nlisten = \"127.0.0.1:0\"\n[[site]]\nname = \"intranet\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{backend}\"\naccess.default = \"public\"\n{sites}",
            pebble.toml()
        );
        let setup = Setup { plain, secure, validity: 90 * DAY, stale_nonces: 0, more: Value::Null };
        Self { gate: Gate::from_toml_at(&toml, SystemClock.now()), pebble, setup }
    }

    /// The server runs before the first attempt fails, or the clock is moved until the next one is made.
    fn awake(acme: &str, backend: &str, sites: &str) -> Self {
        let mut world = Self::asleep(acme, backend, sites);
        world.wake();
        world
    }

    fn wake(&mut self) {
        self.pebble.start(&self.setup);
        self.gate.clock.advance(Duration::from_secs(120));
    }

    fn secure(&self) -> SocketAddr {
        self.gate.tls.unwrap()
    }

    /// The certificate that is shown for a name, to who trusts the server's authority.
    fn shown(&self, name: &str) -> Option<Vec<u8>> {
        shown(self.secure(), name, self.pebble.roots())
    }

    fn certificate(&self, name: &str) -> Vec<u8> {
        wait_for("there is no certificate", || self.shown(name))
    }

    fn ready(&self) -> Value {
        serde_json::from_str(&self.told("/ready")).unwrap()
    }

    fn told(&self, path: &str) -> String {
        let request = get(path, "").replace(HOST, "localhost");
        String::from_utf8(ask(self.gate.admin.unwrap(), request).body).unwrap()
    }

    /// How many attempts there were for a name, by what became of them.
    fn orders(&self, name: &str, outcome: &str) -> f64 {
        let series = format!("lychgate_certificate_orders_total{{name=\"{name}\",outcome=\"{outcome}\"}} ");
        let text = self.told("/metrics");
        text.lines()
            .find_map(|line| line.strip_prefix(&series))
            .unwrap_or_else(|| panic!("{text}"))
            .parse()
            .unwrap()
    }

    /// Where everything of this server is kept.
    fn kept(&self) -> PathBuf {
        let mut folders = std::fs::read_dir(self.gate.folder().join("var/acme")).unwrap();
        folders.next().unwrap().unwrap().path()
    }
}

fn shown(address: SocketAddr, name: &str, roots: RootCertStore) -> Option<Vec<u8>> {
    let stream = Client { name, ..Client::trusting(roots) }.connect(address).ok()?;
    Some(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn page(address: SocketAddr, roots: RootCertStore) -> String {
    let mut wire = Wire::over(Client::trusting(roots).connect(address).unwrap());
    wire.send(get("/a", ""));
    let answer = wire.response();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn each_challenge_leads_to_a_certificate_that_visitors_are_served_with() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let backend = Backend::polite();
        let world = World::awake(&format!(", challenge = \"{challenge}\""), &backend.url(), "");
        world.certificate(HOST);
        assert_eq!(page(world.secure(), world.pebble.roots()), "ok", "{challenge}");
        assert_eq!(world.ready()["certificates"][HOST], "ok", "{challenge}");
        assert_eq!(world.orders(HOST, "issued"), 1.0, "{challenge}");
        let ends = format!("lychgate_certificate_expiry_timestamp_seconds{{name=\"{HOST}\"}} ");
        assert!(world.told("/metrics").contains(&ends), "{challenge}");
        let kept = world.kept();
        for folder in [&kept, &world.gate.folder().join("var/acme")] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
        for file in ["account.json", &format!("{HOST}.pem")] {
            assert_eq!(mode(&kept.join(file)), 0o600, "{file}");
        }
        assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 3, "and the lock: nothing lies about");
        let seen = backend.take();
        assert!(
            seen.iter().all(|seen| seen.target() == "/a"),
            "{challenge}: no challenge goes to the backend"
        );
    }
}

#[test]
fn a_server_that_is_down_keeps_no_site_from_being_served_and_is_asked_again() {
    let backend = Backend::polite();
    let other = format!(
        "[[site]]\nname = \"plain\"\npublic_url = \"http://plain.example.test\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
        backend.url()
    );
    let mut world = World::asleep("", &backend.url(), &other);
    let problem = wait_for("the first attempt has not failed", || {
        world.ready()["certificates"][HOST].as_str().filter(|said| *said != "none yet").map(str::to_owned)
    });
    assert!(problem.starts_with("none: localhost:") && problem.contains("cannot be asked: "), "{problem}");
    let request = get("/a", "").replace(HOST, "plain.example.test");
    assert_eq!(ask(world.gate.address, request).status(), 200, "the other site");
    assert_eq!(world.ready()["ready"], true, "or else nobody would be sent here, and no challenge");
    assert!(shown(world.secure(), HOST, RootCertStore::empty()).is_none(), "no certificate to click away");
    for _ in 0..2 {
        assert_eq!(world.orders(HOST, "failed"), 1.0, "not again before its time");
    }
    world.wake();
    world.certificate(HOST);
    assert_eq!(world.ready()["certificates"][HOST], "ok");
}

#[test]
fn a_restart_serves_at_once_and_asks_for_nothing() {
    let backend = Backend::polite();
    let mut world = World::awake("", &backend.url(), "");
    let first = world.certificate(HOST);
    let roots = world.pebble.roots();
    world.pebble.stop();
    world.gate.restart();
    assert_eq!(shown(world.secure(), HOST, roots.clone()), Some(first), "before anybody could be asked");
    assert_eq!(page(world.secure(), roots), "ok");
    assert_eq!((world.orders(HOST, "issued"), world.orders(HOST, "failed")), (0.0, 0.0));
    assert_eq!(world.ready()["certificates"][HOST], "ok");
}

#[test]
fn a_certificate_is_renewed_in_time_while_nobody_notices_and_never_in_a_loop() {
    let backend = Backend::polite();
    let mut world = World::asleep("", &backend.url(), "");
    world.setup.validity = DAY;
    world.wake();
    let first = world.certificate(HOST);
    let roots = world.pebble.roots();
    let mut standing = Wire::over(Client::trusting(roots.clone()).connect(world.secure()).unwrap());
    let key = std::fs::read(world.kept().join(format!("{HOST}.pem"))).unwrap();
    world.gate.clock.advance(DAY / 2);
    assert_eq!(page(world.secure(), roots.clone()), "ok");
    assert_eq!(world.shown(HOST).unwrap(), first, "half of its time is no reason");
    world.gate.clock.advance(DAY / 6);
    wait_for("it is not renewed", || {
        assert_eq!(page(world.secure(), roots.clone()), "ok", "all the while");
        Some(()).filter(|()| world.shown(HOST).unwrap() != first)
    });
    standing.send(get("/a", ""));
    assert_eq!(standing.response().status(), 200, "connections that stand are not touched");
    assert_ne!(std::fs::read(world.kept().join(format!("{HOST}.pem"))).unwrap(), key);
    // By the gate's clock, which was moved, two thirds of the new one's time are over as well.
    let told = world.ready()["certificates"][HOST].as_str().unwrap().to_owned();
    assert!(told.contains("see that this machine's clock is right"), "{told}");
    assert_eq!(world.orders(HOST, "issued"), 2.0);
}

#[test]
fn a_renewal_that_fails_leaves_the_certificate_in_use() {
    let backend = Backend::polite();
    let mut world = World::awake("", &backend.url(), "");
    let first = world.certificate(HOST);
    let roots = world.pebble.roots();
    world.pebble.stop();
    world.gate.clock.advance(62 * DAY);
    let told = wait_for("nothing was tried", || {
        world.ready()["certificates"][HOST].as_str().filter(|said| *said != "ok").map(str::to_owned)
    });
    assert!(told.starts_with("over in ") && told.contains("and not renewed: "), "{told}");
    assert_eq!(shown(world.secure(), HOST, roots), Some(first));
    // The server comes back without any memory: another account is made.
    world.wake();
    world.gate.clock.advance(DAY);
    wait_for("the account is not made anew", || {
        world.gate.clock.advance(Duration::from_secs(600));
        world.shown(HOST)
    });
}

#[test]
fn stale_nonces_are_no_failure() {
    let backend = Backend::polite();
    let mut world = World::asleep("", &backend.url(), "");
    wait_for("the first attempt has not failed", || {
        Some(()).filter(|()| world.orders(HOST, "failed") == 1.0)
    });
    world.setup.stale_nonces = 20;
    world.wake();
    world.certificate(HOST);
    assert_eq!((world.orders(HOST, "issued"), world.orders(HOST, "failed")), (1.0, 1.0));
}

#[test]
fn a_name_that_fails_hurts_no_other_and_the_log_says_what_to_do() {
    let backend = Backend::polite();
    for (challenge, port) in [("http-01", "80"), ("tls-alpn-01", "443")] {
        let names = format!(
            ", challenge = \"{challenge}\", names = [\"blocked.example.test\", \"lost.example.test\", \"{HOST}\"]"
        );
        let mut world = World::asleep(&names, &backend.url(), "");
        world.setup.more = serde_json::json!({ "domainBlocklist": ["blocked.example.test"] });
        world.pebble.start(&world.setup);
        world.pebble.lead_elsewhere("lost.example.test", "127.0.0.2");
        world.gate.clock.advance(Duration::from_secs(120));
        world.certificate(HOST);
        let said = |name: &str| world.ready()["certificates"][name].as_str().unwrap().to_owned();
        for (name, advice) in [
            (
                "blocked.example.test",
                "rejectedIdentifier); write in acme.names what this authority gives".to_owned(),
            ),
            (
                "lost.example.test",
                format!("see that lost.example.test is this gate's on the internet and that port {port} of"),
            ),
        ] {
            wait_for("there is no advice", || {
                world.gate.clock.advance(Duration::from_secs(30));
                Some(()).filter(|()| said(name).contains(&advice))
            });
            assert_eq!(world.shown(name), None, "{name}");
        }
        assert_eq!(page(world.secure(), world.pebble.roots()), "ok");
    }
}

#[test]
fn the_challenges_path_gives_nothing_away_and_leads_nowhere() {
    let backend = Backend::polite();
    let secret = "access.rules = [{ path = \"/private/**\", access = \"signed-in\" }]\n";
    let world = World::awake(", challenge = \"http-01\"", &backend.url(), secret);
    world.certificate(HOST);
    backend.take();
    let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    for (name, request, status) in [
        ("unknown", get(&format!("/.well-known/acme-challenge/{token}"), ""), 404),
        ("none", get("/.well-known/acme-challenge/", ""), 404),
        (
            "another host",
            get(&format!("/.well-known/acme-challenge/{token}"), "").replace(HOST, "evil.example"),
            404,
        ),
        ("up again", get("/.well-known/acme-challenge/../../private/a", ""), 400),
        ("up again, encoded", get("/.well-known/acme-challenge/%2e%2e/%2e%2e/private/a", ""), 400),
        ("below", get(&format!("/.well-known/acme-challenge/{token}/private/a"), ""), 404),
        (
            "sent",
            String::from_utf8(post(&format!("/.well-known/acme-challenge/{token}"), "", "a=b")).unwrap(),
            404,
        ),
        ("beside", get("/.well-known/acme-challenges", ""), 301),
        ("above", get("/.well-known/acme-challenge", ""), 301),
    ] {
        let answer = ask(world.gate.address, request);
        assert_eq!(answer.status(), status, "{name}: {}", answer.text());
        assert!(!answer.text().contains(token), "{name}");
    }
    assert_eq!(backend.take().len(), 0, "nothing of it was forwarded");
}

#[test]
fn a_handshake_of_a_challenge_carries_nothing_and_no_visitors_word_orders_a_certificate() {
    let backend = Backend::polite();
    let world = World::awake("", &backend.url(), "");
    world.certificate(HOST);
    for (row, name, protocols) in [
        ("a challenge that nobody asked", HOST, [&b"acme-tls/1"[..]].as_slice()),
        ("for a name that is none of ours", "evil.example.test", &[b"acme-tls/1"]),
        ("a visitor for such a name", "evil.example.test", &[b"http/1.1"]),
    ] {
        let client = Client { name, protocols, ..Client::trusting(world.pebble.roots()) };
        assert!(client.connect(world.secure()).is_err(), "{row}");
    }
    let certificates = world.ready()["certificates"].clone();
    assert_eq!(certificates.as_object().unwrap().len(), 1, "{certificates}");
    assert_eq!(world.orders(HOST, "issued"), 1.0);
    assert_eq!(backend.take().len(), 0);
}

#[test]
fn an_account_elsewhere_is_bound_to_where_the_server_wants_one() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let backend = Backend::polite();
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("eab.key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let eab = format!(", eab = {{ kid = \"kid-1\", key_file = \"{}\" }}", file.display());
    for (acme, is_bound) in [(eab.as_str(), true), ("", false)] {
        let mut world = World::asleep(acme, &backend.url(), "");
        world.setup.more = serde_json::json!({
            "externalAccountBindingRequired": true,
            "externalAccountMACKeys": { "kid-1": key },
        });
        world.wake();
        if is_bound {
            world.certificate(HOST);
            continue;
        }
        wait_for("nothing is said of it", || {
            world.gate.clock.advance(Duration::from_secs(30));
            let ready = world.ready();
            let said = ready["certificates"][HOST].as_str()?;
            assert!(!said.contains(key));
            Some(()).filter(|()| said.contains("write eab = { kid"))
        });
    }
}

#[test]
fn two_gates_with_one_folder_do_not_both_ask() {
    let backend = Backend::polite();
    let folder = tempfile::tempdir().unwrap();
    let acme = format!(", folder = \"{}\"", folder.path().display());
    let world = World::awake(&acme, &backend.url(), "");
    let first = world.certificate(HOST);
    let second = Gate::from_toml_at(
        &format!(
            "[server]\nlisten = []\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = {{ {}{acme} }}\n[[site]]\nname = \"a\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n[[site]]\nname = \"b\"\npublic_url = \"https://b.example.test\"\nbackend_url = \"{}\"\n",
            world.pebble.toml(),
            backend.url(),
            backend.url()
        ),
        SystemClock.now(),
    );
    let roots = world.pebble.roots();
    assert_eq!(shown(second.tls.unwrap(), HOST, roots.clone()), Some(first), "what is there is used by both");
    assert_eq!(shown(second.tls.unwrap(), "b.example.test", roots), None, "and only one asks for more");
}

#[test]
fn a_site_that_a_reload_adds_gets_its_certificate_without_a_restart() {
    let backend = Backend::polite();
    let mut world = World::awake("", &backend.url(), "");
    world.certificate(HOST);
    let more = format!(
        "[[site]]\nname = \"more\"\npublic_url = \"https://more.example.test\"\nbackend_url = \"{}\"\n",
        backend.url()
    );
    let mut standing = Wire::over(Client::trusting(world.pebble.roots()).connect(world.secure()).unwrap());
    assert!(world.gate.reload(|toml| format!("{toml}{more}")).unwrap().is_empty());
    world.certificate("more.example.test");
    world.gate.reload(|toml| toml.replace(&more, "")).unwrap();
    wait_for("the name is still there", || {
        Some(()).filter(|()| world.ready()["certificates"].as_object().unwrap().len() == 1)
    });
    assert_eq!(world.shown("more.example.test"), None);
    standing.send(get("/a", ""));
    assert_eq!(standing.response().status(), 200);
}

#[test]
fn a_kept_certificate_that_others_could_read_is_not_used_and_another_takes_its_place() {
    let backend = Backend::polite();
    let mut world = World::awake("", &backend.url(), "");
    let first = world.certificate(HOST);
    let file = world.kept().join(format!("{HOST}.pem"));
    world.gate.stop();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    world.gate.restart();
    let second = world.certificate(HOST);
    assert_ne!(first, second, "another has taken its place");
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_false_server_costs_an_attempt_and_no_more() {
    let backend = Backend::polite();
    for (row, head, endless, said) in [
        ("an answer without end", "HTTP/1.1 200 OK\r\n\r\n", true, "answers with more than 256 KiB"),
        (
            "a redirect",
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
            "JSON",
        ),
        (
            "a wait that overflows",
            "HTTP/1.1 503 Wait\r\nRetry-After: 18446744073709551615\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            false,
            "JSON",
        ),
        ("no HTTP", "220 mail.example.test ESMTP\r\n", false, "cannot be asked"),
    ] {
        let world = World::asleep("", &backend.url(), "");
        wait_for("the first attempt has not failed", || {
            Some(()).filter(|()| world.orders(HOST, "failed") == 1.0)
        });
        let impostor = world.pebble.impostor(head, endless);
        world.gate.clock.advance(Duration::from_secs(120));
        wait_for(row, || Some(()).filter(|()| world.orders(HOST, "failed") == 2.0));
        let told = world.ready()["certificates"][HOST].as_str().unwrap().to_owned();
        assert!(told.contains(said), "{row}: {told}");
        assert_eq!(ask(world.gate.address, get("/a", "")).status(), 301, "{row}: it serves");
        drop(impostor);
    }
}

#[test]
fn names_that_are_written_are_changed_by_a_reload_too() {
    let backend = Backend::polite();
    let mut world = World::awake(&format!(", names = [\"{HOST}\"]"), &backend.url(), "");
    world.certificate(HOST);
    let names = format!("names = [\"{HOST}\"");
    let fixed =
        world.gate.reload(|toml| toml.replace(&names, &format!("{names}, \"more.example.test\""))).unwrap();
    assert!(fixed.is_empty(), "{fixed:?}");
    world.certificate("more.example.test");
}

#[test]
fn a_file_that_has_a_name_is_used_for_it_and_nobody_is_asked() {
    let backend = Backend::polite();
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let signed = authority.server(&[HOST, "*.wild.test"]);
    let (certificate, key) = signed.write(folder.path(), "own");
    let acme = format!(", names = [\"{HOST}\", \"a.wild.test\", \"more.example.test\"] }}\n#");
    let files = format!("certificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let world = World::awake(&format!("{acme}\n{files}#"), &backend.url(), "");
    world.certificate("more.example.test");
    assert_eq!(shown(world.secure(), HOST, authority.roots()), Some(signed.parts().0[0].to_vec()));
    assert_eq!(world.ready()["certificates"].as_object().unwrap().len(), 1);
}

#[test]
fn check_tries_what_acme_points_to() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, file) = (Authority::new(), |name: &str| folder.path().join(name));
    authority.server(&[HOST]).write(folder.path(), "own");
    std::fs::write(file("ca.pem"), &authority.pem).unwrap();
    for (name, text, mode) in
        [("good", "zWNDZM6eQGHWpSRT\n", 0o600), ("open", "zWND", 0o640), ("odd", "a+/b=c", 0o600)]
    {
        std::fs::write(file(name), text).unwrap();
        std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let eab = |name: &str| format!("eab = {{ kid = \"a\", key_file = \"{name}\" }}");
    let own = "names = []\n}\ncertificate = \"own.pem\"\nkey = \"own.key\"\n#";
    for (row, code, acme, expected) in [
        ("good", 0, format!("ca = \"ca.pem\", {}", eab("good")), "fine"),
        ("no authority", 1, "ca = \"none.pem\"".to_owned(), "error: the certificate none.pem cannot be read"),
        ("no key", 1, eab("none"), "error: the key none of acme.eab is not there; save what"),
        (
            "a key for all",
            1,
            eab("open"),
            "open holds a key and may be read by others (mode 640); run: chmod 600 open",
        ),
        ("a key that is none", 1, eab("odd"), "error: the key odd of acme.eab is no base64url text"),
        (
            "both",
            0,
            own.to_owned(),
            "warning: the certificate own.pem has the name www.example.test, so acme fetches none for it",
        ),
    ] {
        let toml = format!(
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = {{ directory = \"https://acme.example/dir\", terms_agreed = true, {acme} }}\n[[site]]\nname = \"a\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"http://127.0.0.1:1\"\n"
        );
        std::fs::write(file("proxy.toml"), toml).unwrap();
        let mut check = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("lychgate"));
        let output = check.arg("check").current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{row}: {text}");
        assert!(text.contains(expected), "{row}: {text}");
        assert!(!text.contains("zWND"), "{row}: {text}");
    }
    assert!(!file("var").exists(), "nothing is made");
}

/// As an operator starts it: by the machine's clock, and kept to its own folders.
#[test]
fn the_program_itself_gets_a_certificate_and_keeps_it_where_it_was_told() {
    let backend = Backend::polite();
    let (mut pebble, plain, secure) = (Pebble::new(), free_port(), free_port());
    pebble.start(&Setup { plain, secure, validity: 90 * DAY, stale_nonces: 0, more: Value::Null });
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:{plain}\"]\n[server.tls]\nlisten = [\"127.0.0.1:{secure}\"]\nacme = {{ {}, folder = \"keys\" }}\n[[site]]\nname = \"intranet\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n",
        pebble.toml(),
        backend.url()
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let mut gate = Program(
        std::process::Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .arg("run")
            .current_dir(folder.path())
            .spawn()
            .unwrap(),
    );
    let (address, roots) = (SocketAddr::from(([127, 0, 0, 1], secure)), pebble.roots());
    wait_for("there is no certificate", || {
        assert!(gate.0.try_wait().unwrap().is_none(), "it has stopped");
        shown(address, HOST, roots.clone())
    });
    assert_eq!(page(address, roots), "ok");
    let kept = std::fs::read_dir(folder.path().join("keys")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&kept.join(format!("{HOST}.pem"))), 0o600);
}

/// One that is killed in the end.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
