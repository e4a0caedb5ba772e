//! PROXY headers, versions 1 and 2: believed from proxies we trust, and from nobody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Write as _;
use std::net::TcpStream;

use support::gate::{Gate, HOST};
use support::pki::Authority;
use support::raw::{Backend, Wire, connect, get};
use support::secure::Client;

/// A gate that wants PROXY headers from these networks; `more` are lines of `[server]`.
fn gate(backend: &Backend, trusted: &str, more: &str) -> Gate {
    Gate::from_toml(&format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ntrusted_proxies = [\"{trusted}\"]\nproxy_protocol = true\n{more}\n[[site]]\nname = \"a\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\naccess.rules = [{{ path = \"/office/**\", networks = [\"192.0.2.0/24\"], access = \"public\" }}]\n",
        backend.url()
    ))
}

fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, addresses].concat()
}

#[test]
fn the_client_is_who_the_proxy_says() {
    let backend = Backend::polite();
    let gate = gate(&backend, "127.0.0.1/32", "");
    let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 80, 1, 187]].concat();
    for (name, header, client) in [
        ("v1", b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n".to_vec(), "192.0.2.1"),
        ("v1, IPv6", b"PROXY TCP6 2001:db8::7 ::1 5000 80\r\n".to_vec(), "2001:db8::7"),
        ("v1, IPv4 in IPv6", b"PROXY TCP6 ::ffff:192.0.2.1 ::1 5000 80\r\n".to_vec(), "192.0.2.1"),
        ("v1, a health check", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("v2", binary(0x21, 0x11, &v4), "192.0.2.1"),
        ("v2, IPv6", binary(0x21, 0x21, &v6), "2001:db8::7"),
        ("v2, a health check", binary(0x20, 0, &[]), "127.0.0.1"),
    ] {
        backend.take();
        let mut wire = connect(gate.address);
        wire.send(header);
        for path in ["/a", "/office/a"] {
            wire.send(get(path, "X-Real-IP: 192.0.2.1\r\n"));
            let expected = if path == "/a" || client == "192.0.2.1" { 200 } else { 403 };
            assert_eq!(wire.response().status(), expected, "{name}, {path}");
        }
        assert_eq!(backend.take()[0].field("x-forwarded-for").as_deref(), Some(client), "{name}");
    }
}

#[test]
fn a_client_behind_the_proxy_cannot_say_who_it_is() {
    let backend = Backend::polite();
    let gate = gate(&backend, "127.0.0.1/32", "");
    let mut wire = connect(gate.address);
    wire.send("PROXY TCP4 198.51.100.1 10.0.0.1 5000 80\r\n");
    wire.send(get("/office/a", "X-Forwarded-For: 192.0.2.1\r\n"));
    assert_eq!(wire.response().status(), 403, "the header's client is no proxy of ours");
    wire.send("PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n");
    wire.send(get("/office/a", ""));
    assert_eq!(wire.response().status(), 400, "a second header is no request");
    assert!(wire.has_ended());
}

#[test]
fn what_does_not_begin_with_a_header_reaches_nobody() {
    let backend = Backend::polite();
    let gate = gate(&backend, "127.0.0.1/32", "header_timeout = \"300ms\"");
    let mut silent = connect(gate.address);
    let mut partial = connect(gate.address);
    partial.send("PROXY TCP4 192.0.2.1 10.0");
    let long = [&b"PROXY TCP4 "[..], &[b'1'; 4096]].concat();
    let longer = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 70_000]].concat();
    for (name, bytes) in [
        ("a request", get("/a", "").into_bytes()),
        ("a line without end", long),
        ("more than any header", longer),
        ("no address", b"PROXY TCP4 evil 10.0.0.1 5 80\r\nGET /a HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut wire = connect(gate.address);
        wire.send(bytes);
        assert!(wire.has_ended(), "{name}");
    }
    assert!(silent.has_ended() && partial.has_ended(), "who does not finish a header is not waited for");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_stranger_with_a_header_is_refused_like_one_without() {
    let backend = Backend::polite();
    let gate = gate(&backend, "192.0.2.0/24", "");
    for header in ["PROXY TCP4 192.0.2.1 10.0.0.1 5000 80\r\n", ""] {
        let mut wire = connect(gate.address);
        wire.send(format!("{header}{}", get("/a", "")));
        assert!(wire.has_ended(), "{header}");
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn the_header_comes_before_tls() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.server(&[HOST]).write(folder.path(), "site");
    let tls = format!(
        "[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"",
        certificate.display(),
        key.display()
    );
    let gate = gate(&backend, "127.0.0.1/32", &tls);
    let mut stream = TcpStream::connect(gate.tls.unwrap()).unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n").unwrap();
    let mut wire = Wire::over(Client::new(&authority).over(stream).unwrap());
    wire.send(get("/office/a", ""));
    assert_eq!(wire.response().status(), 200);
    assert!(Client::new(&authority).connect(gate.tls.unwrap()).is_err(), "and not without it");
}

#[test]
fn each_client_behind_the_proxy_has_its_own_places() {
    let backend = Backend::polite();
    let gate = gate(&backend, "127.0.0.1/32", "connections = { total = 0, per_client = 2 }");
    let come = |client: &str| {
        let mut wire = connect(gate.address);
        wire.send(format!("PROXY TCP4 {client} 10.0.0.1 5000 80\r\n{}", get("/a", "")));
        let answer = wire.response_to("GET").map(|answer| answer.status());
        (wire, answer)
    };
    let _held = [come("192.0.2.1"), come("192.0.2.1")];
    assert!(_held.iter().all(|(_, status)| *status == Some(200)));
    assert_eq!(come("192.0.2.1").1, None);
    assert_eq!(come("192.0.2.2").1, Some(200));
}
