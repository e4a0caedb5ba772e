//! TLS with visitors and with backends: who gets which certificate, what is refused, and what changes while the gate runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use lychgate::config::Config;
use support::browser::Browser;
use support::gate::{Gate, HOST};
use support::pki::{Authority, Signed};
use support::raw::{Backend, Wire, ask, connect, get, ok, post};
use support::secure::Client;
use support::standin::StandIn;

/// A gate with TLS at a free port, and one in clear text; `tls` are further lines of `[server.tls]`.
fn gate(folder: &Path, backend: &str, tls: &str, site: &str) -> Gate {
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (file("site.pem"), file("site.key"));
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 2\ndrain = \"5s\"\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n{tls}\n[[site]]\nname = \"intranet\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{backend}\"\naccess.default = \"public\"\n{site}\n"
    ))
}

fn folder_with(signed: &Signed) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    signed.write(folder.path(), "site");
    folder
}

/// The names in the certificate that a client is shown.
fn shown(gate: &Gate, client: &Client<'_>) -> std::io::Result<Vec<u8>> {
    let stream = client.connect(gate.tls.unwrap())?;
    Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

fn der(signed: &Signed) -> Vec<u8> {
    signed.parts().0[0].to_vec()
}

#[test]
fn a_site_is_served_through_both_versions_and_browsers_are_told_to_stay() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = folder_with(&authority.server(&[HOST]));
    let gate = gate(folder.path(), &backend.url(), "", "");
    for version in rustls::ALL_VERSIONS {
        let client = Client { versions: &[version], ..Client::new(&authority) };
        let mut wire = Wire::over(client.connect(gate.tls.unwrap()).unwrap());
        for _ in 0..2 {
            wire.send(get("/a", ""));
            let answer = wire.response();
            assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok"[..]), "{version:?}");
            assert_eq!(answer.field("strict-transport-security").as_deref(), Some("max-age=2592000"));
        }
        wire.send("GET /a HTTP/1.1\nHost: x\n\n");
        assert_eq!(wire.response().status(), 400, "read as strictly as in clear text");
    }
    let seen = &backend.take()[0];
    assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[test]
fn hsts_is_said_by_nobody_who_switched_it_off_nor_in_clear_text() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = folder_with(&authority.server(&[HOST]));
    let gate = gate(folder.path(), &backend.url(), "hsts = \"0\"", "");
    let mut wire = Wire::over(Client::new(&authority).connect(gate.tls.unwrap()).unwrap());
    wire.send(get("/a", ""));
    assert_eq!(wire.response().field("strict-transport-security"), None);
    assert_eq!(ask(gate.address, get("/a", "")).field("strict-transport-security"), None);
}

#[test]
fn a_visitor_gets_the_certificate_of_the_name_that_was_asked_for() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let first = authority.server(&[HOST]);
    let (second, wild) = (authority.server(&["other.example.test"]), authority.server(&["*.wild.test"]));
    let folder = folder_with(&first);
    second.write(folder.path(), "second");
    wild.write(folder.path(), "wild");
    let pair = |name: &str| {
        let file = |kind: &str| folder.path().join(format!("{name}.{kind}")).display().to_string();
        format!("{{ certificate = \"{}\", key = \"{}\" }}", file("pem"), file("key"))
    };
    let more = format!("certificates = [{}, {}]", pair("second"), pair("wild"));
    let gate = gate(folder.path(), &backend.url(), &more, "");
    for (name, expected) in [
        (HOST, &first),
        ("other.example.test", &second),
        ("OTHER.example.test", &second),
        ("a.wild.test", &wild),
    ] {
        let client = Client { name, ..Client::new(&authority) };
        assert!(shown(&gate, &client).unwrap() == der(expected), "{name}");
    }
    for name in ["a.b.wild.test", "wild.test", "unknown.test"] {
        let client = Client { name, ..Client::new(&authority) };
        assert!(shown(&gate, &client).is_err(), "{name}: the first one, which the visitor refuses");
    }
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_broken_one_never() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let (old, new) = (authority.server(&[HOST]), authority.server(&[HOST]));
    let folder = folder_with(&old);
    let gate = gate(folder.path(), &backend.url(), "", "");
    let client = Client::new(&authority);
    let mut standing = Wire::over(client.connect(gate.tls.unwrap()).unwrap());
    let becomes = |expected: &Signed| {
        let began = Instant::now();
        while shown(&gate, &client).unwrap() != der(expected) {
            assert!(began.elapsed() < Duration::from_secs(30), "the certificate did not change");
            std::thread::yield_now();
        }
    };
    // The new key is not there yet: half of a renewal.
    std::fs::write(folder.path().join("site.pem"), &new.certificate).unwrap();
    let third = authority.server(&[HOST]);
    third.write(folder.path(), "third");
    assert!(shown(&gate, &client).unwrap() == der(&old));
    std::fs::write(folder.path().join("site.key"), &new.key).unwrap();
    becomes(&new);
    std::fs::write(folder.path().join("site.key"), "no key at all").unwrap();
    let look_again = Instant::now();
    while look_again.elapsed() < Duration::from_millis(1500) {
        assert!(shown(&gate, &client).unwrap() == der(&new), "the last good one stays");
    }
    third.write(folder.path(), "site");
    becomes(&third);
    standing.send(get("/a", ""));
    assert_eq!(standing.response().status(), 200, "connections that stand are not touched");
}

#[test]
fn who_comes_in_clear_text_is_led_to_https_if_we_know_the_host() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = folder_with(&authority.server(&[HOST]));
    let gate = gate(folder.path(), &backend.url(), "", "");
    for (name, request, status, location) in [
        ("GET", get("/a?b=c", ""), 301, Some("https://www.example.test/a?b=c")),
        ("HEAD", get("/a", "").replacen("GET", "HEAD", 1), 301, Some("https://www.example.test/a")),
        (
            "another port",
            get("/a", "").replace(HOST, "www.example.test:8080"),
            301,
            Some("https://www.example.test/a"),
        ),
        ("says a proxy", get("/a", "X-Forwarded-Proto: https\r\n"), 301, Some("https://www.example.test/a")),
        ("two slashes", get("//evil.example/a", ""), 301, Some("https://www.example.test/evil.example/a")),
        ("another host", get("/a", "").replace(HOST, "evil.example"), 421, None),
        ("POST", String::from_utf8(post("/a", "", "a=b")).unwrap(), 421, None),
    ] {
        let mut wire = connect(gate.address);
        wire.send(&request);
        let answer = wire.response_to(request.split(' ').next().unwrap()).unwrap();
        assert_eq!((answer.status(), answer.field("location").as_deref()), (status, location), "{name}");
    }
    assert_eq!(backend.take().len(), 0);
}

#[test]
fn rules_can_ask_for_a_visitors_certificate() {
    let (authority, visitors, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let backend = Backend::polite();
    let folder = folder_with(&authority.server(&[HOST]));
    std::fs::write(folder.path().join("clients.pem"), &visitors.pem).unwrap();
    let ca = format!("client_ca = \"{}\"", folder.path().join("clients.pem").display());
    let rules = "access.rules = [{ path = \"/inside/**\", client_certificate = true, access = \"public\" }]";
    let gate = gate(folder.path(), &backend.url(), &ca, rules);
    let known = visitors.client();
    for (name, certificate, path, status) in [
        ("none, elsewhere", None, "/a", 200),
        ("none", None, "/inside/a", 403),
        ("one", Some(&known), "/inside/a", 200),
    ] {
        let client = Client { certificate, ..Client::new(&authority) };
        let mut wire = Wire::over(client.connect(gate.tls.unwrap()).unwrap());
        wire.send(get(path, ""));
        assert_eq!(wire.response().status(), status, "{name}");
    }
    for certificate in [strangers.client(), visitors.server(&["visitor.example.test"])] {
        let client = Client { certificate: Some(&certificate), ..Client::new(&authority) };
        let read = client.connect(gate.tls.unwrap()).and_then(|mut stream| stream.read(&mut [0; 16]));
        assert!(
            read.is_err() || read.is_ok_and(|count| count == 0),
            "a stranger's certificate ends the connection"
        );
    }
}

#[test]
fn a_handshake_that_is_none_or_never_ends_is_cut_off_and_others_go_on() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = folder_with(&authority.server(&[HOST]));
    let gate = gate(folder.path(), &backend.url(), "handshake_timeout = \"300ms\"", "");
    let mut silent = connect(gate.tls.unwrap());
    let mut plain = connect(gate.tls.unwrap());
    plain.send(get("/a", ""));
    plain.bytes(64);
    assert!(plain.has_ended(), "HTTP in clear text");
    let old = TcpStream::connect(gate.tls.unwrap()).unwrap();
    // A ClientHello of TLS 1.0: record, version 3.1, handshake, version 3.1, no extensions.
    let hello = [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1][..], &[7; 32], &[0, 0, 2, 0, 47, 1, 0]].concat();
    std::io::Write::write_all(&mut &old, &hello).unwrap();
    let mut alert = Vec::new();
    old.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = (&old).read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&21), "TLS 1.0 gets an alert: {alert:?}");
    assert!(silent.has_ended(), "who says nothing");
    let mut wire = Wire::over(Client::new(&authority).connect(gate.tls.unwrap()).unwrap());
    wire.send(get("/a", ""));
    assert_eq!(wire.response().status(), 200);
}

#[test]
fn check_says_what_is_wrong_with_certificates() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (authority.server(&[HOST]), authority.server(&[HOST]));
    good.write(folder.path(), "good");
    authority.expired(&[HOST]).write(folder.path(), "expired");
    authority.server(&["other.example.test"]).write(folder.path(), "misnamed");
    std::fs::write(folder.path().join("mismatch.pem"), &good.certificate).unwrap();
    std::fs::write(folder.path().join("mismatch.key"), &other.key).unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    std::fs::write(folder.path().join("empty.key"), "").unwrap();
    std::fs::write(folder.path().join("keyless.pem"), &good.certificate).unwrap();
    std::fs::write(folder.path().join("keyless.key"), &good.certificate).unwrap();
    for (name, code, expected) in [
        ("good", 0, "fine"),
        ("expired", 0, "warning: the certificate expired.pem is expired; renew it"),
        ("misnamed", 0, "warning: no certificate in [server.tls] has the name www.example.test"),
        (
            "mismatch",
            1,
            "error: the private key mismatch.key does not belong to the certificate mismatch.pem",
        ),
        ("empty", 1, "error: empty.pem holds no certificate"),
        ("keyless", 1, "error: keyless.key holds no private key"),
        ("missing", 1, "error: the certificate missing.pem cannot be read"),
    ] {
        let toml = format!(
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{name}.pem\"\nkey = \"{name}.key\"\n[[site]]\nname = \"a\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"http://127.0.0.1:1\"\n"
        );
        std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
        let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .arg("check")
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{name}: {text}");
        assert!(text.contains(expected), "{name}: {text}");
        assert!(!text.contains("PRIVATE KEY-----"), "{name}: {text}");
    }
}

/// Carries bytes between clients that speak TLS and a backend that does not; ends with the test.
fn behind_tls(backend: std::net::SocketAddr, signed: &Signed) -> std::net::SocketAddr {
    let (chain, key) = signed.parts();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut inner = tokio::net::TcpStream::connect(backend).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
                });
            }
        });
    });
    address
}

/// `proxy.toml` for a gate before a backend that speaks TLS.
fn before_tls(backend: &str, ca: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{backend}\"\naccess.default = \"public\"\n{ca}\n"
    )
}

#[test]
fn a_backend_is_believed_if_its_certificate_is_of_the_authority_named_and_has_its_name() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let ca = format!("[site.forward]\nca = \"{}\"", file.display());
    for (name, signed, ca, status) in [
        ("ours", authority.server(&["localhost"]), ca.as_str(), 200),
        ("a stranger's", strangers.server(&["localhost"]), ca.as_str(), 502),
        ("another name", authority.server(&["other.test"]), ca.as_str(), 502),
        ("expired", authority.expired(&["localhost"]), ca.as_str(), 502),
        ("ours, and the system does not know us", authority.server(&["localhost"]), "", 502),
    ] {
        let backend = Backend::answering(|_| ok("through TLS"));
        let address = behind_tls(backend.address(), &signed);
        let gate = Gate::from_toml(&before_tls(&format!("https://localhost:{}", address.port()), ca));
        for _ in 0..2 {
            let answer = ask(gate.address, get("/a", ""));
            assert_eq!(answer.status(), status, "{name}: {}", answer.text());
        }
        assert_eq!(backend.take().len(), if status == 200 { 2 } else { 0 }, "{name}");
    }
}

#[tokio::test]
async fn the_gates_own_requests_to_the_cms_go_through_tls_too() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let cms = StandIn::plone43();
    for (signed, status) in [(authority.server(&["localhost"]), 303), (strangers.server(&["localhost"]), 502)]
    {
        let address = behind_tls(cms.address(), &signed);
        let ca = format!("[site.forward]\nca = \"{}\"", file.display());
        let backend = format!("https://localhost:{}/Plone", address.port());
        let gate = Gate::from_toml(&before_tls(&backend, &ca));
        let answer = Browser::new(gate.address, HOST).sign_in("jdoe", "Secret1234!").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[test]
fn a_ca_for_a_backend_in_clear_text_is_odd() {
    let toml = before_tls("http://127.0.0.1:1", "[site.forward]\nca = \"ca.pem\"");
    let (_, warnings) = Config::parse(Path::new("proxy.toml"), &toml, "".into()).unwrap();
    assert!(warnings.iter().any(|warning| warning.to_string().contains("nobody shows a certificate")));
}
