//! Tunnels.

use super::*;

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_a_fault() {
    for (name, asked) in [
        ("no upgrade", ""),
        ("not announced", "Upgrade: websocket\r\n"),
        (
            "h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        ),
    ] {
        for protocol in ["websocket", "h2c"] {
            let switched = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            );
            let backend = Backend::answering(move |_| switched.clone());
            let gate = Gate::with(&backend.url(), "access.default = \"public\"");
            let mut wire = connect(gate.address);
            wire.send(get("/a", asked));
            let answer = wire.response();
            assert_eq!(answer.status(), 502, "{name}, {protocol}");
        }
    }
}

#[test]
fn an_upgrade_with_a_body_or_another_method_is_read_as_what_it_is() {
    let backend = Backend::polite();
    let gate = Gate::with(&backend.url(), "access.default = \"public\"");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n";
    let mut wire = connect(gate.address);
    wire.send(post("/a", upgrade, get("/smuggled", "")));
    wire.send(get("/b", ""));
    assert_eq!([wire.response().status(), wire.response().status()], [200, 200]);
    let seen: Vec<String> = backend.take().iter().map(|request| request.target().to_owned()).collect();
    assert_eq!(seen, ["/a", "/b"]);
}
