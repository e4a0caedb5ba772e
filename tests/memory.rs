//! Large bodies go through at full speed and leave the memory as it was. In a file of its own, so that no other test shares
//! its process. `LYCHGATE_TEST_GIB=1` makes each body a GiB rather than 256 MiB.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::gate::{Gate, HOST};
use support::raw::{Backend, connect, get, ok, sign_in};

/// How much more memory than before a body may take on its way, at any time, in KiB.
const MOST: u64 = 64 << 10;

/// A line of `/proc/self/status`, in KiB: `VmRSS` is what is in use, `VmHWM` the most that ever was.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_gib_each_way_leaves_the_memory_flat() {
    let size: u64 = if std::env::var_os("LYCHGATE_TEST_GIB").is_some() { 1 << 30 } else { 256 << 20 };
    let backend = Backend::scripted(move |wire, _| {
        while let Some(head) = wire.head() {
            if head.method() == "POST" {
                let length: u64 = head.field("content-length").unwrap().parse().unwrap();
                let seen = wire.swallow(length);
                if head.target().contains("login") {
                    wire.send("HTTP/1.1 302 Found\r\nLocation: /\r\nSet-Cookie: __ac=jdoe; Path=/\r\nContent-Length: 0\r\n\r\n");
                    continue;
                }
                wire.send(ok(&wire_count(seen, length)));
                continue;
            }
            let (kind, length) =
                if head.target() == "/page" { ("text/html", size / 8) } else { ("video/mp4", size) };
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"));
            let zeros = vec![b'a'; 1 << 16];
            for _ in 0..length >> 16 {
                if !wire.send(&zeros) {
                    return;
                }
            }
        }
    });
    let gate = Gate::with(
        &backend.url(),
        &format!("access.default = \"public\"\n[site.forward]\nbody_limit = \"{} MiB\"\n", size >> 20),
    );
    let mut wire = connect(gate.address);
    wire.send(get("/warm", "").replacen("GET", "HEAD", 1));
    wire.response_to("HEAD").expect("an answer");
    let before = memory("VmRSS");

    wire.send(get("/film", ""));
    assert_eq!(wire.head().map(|head| head.status()), Some(200));
    assert_eq!(wire.swallow(size), size, "download");
    let after_download = memory("VmHWM");

    wire.send(get("/page", ""));
    assert_eq!(wire.head().map(|head| head.status()), Some(200));
    assert!(wire.swallow(size / 8) >= size / 8, "a page that is rewritten as it passes");
    drop(wire);
    let after_page = memory("VmHWM");

    let chunk = vec![b'a'; 1 << 16];
    for kind in ["video/mp4", "multipart/form-data; boundary=b"] {
        let mut wire = connect(gate.address);
        wire.send(format!(
            "POST /film HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
        ));
        (0..size >> 16).for_each(|_| assert!(wire.send(&chunk), "upload"));
        assert_eq!(wire.response().body, wire_count(size, size).as_bytes(), "upload as {kind}");
    }
    let after_upload = memory("VmHWM");

    let spooled = size / 8;
    let session = sign_in(gate.address);
    let mut wire = connect(gate.address);
    wire.send(format!(
        "POST /film HTTP/1.1\r\nHost: {HOST}\r\n{session}Content-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for _ in 0..spooled >> 16 {
        wire.send("10000\r\n");
        wire.send(&chunk);
        wire.send("\r\n");
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.response().body, wire_count(spooled, spooled).as_bytes(), "upload of unknown length");
    let after_spooled = memory("VmHWM");

    for (name, after) in [
        ("download", after_download),
        ("rewritten page", after_page),
        ("upload", after_upload),
        ("upload of unknown length", after_spooled),
    ] {
        assert!(after < before + MOST, "{name}: {before} KiB before, up to {after} KiB on the way");
    }
}

fn wire_count(seen: u64, promised: u64) -> String {
    format!("{seen} of {promised}")
}
