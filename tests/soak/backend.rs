//! A CMS that does what each request tells it to do, wrong things included.

use std::time::Duration;

use crate::ask::{Ask, Kind};
use crate::support::raw::{Backend, Message, Record, Wire, ok};

/// Longer than the gate waits.
const STALL: Duration = Duration::from_secs(5);
/// What goes through a tunnel at a time, in bytes.
pub const PIECE: usize = 64;

pub fn start() -> Backend {
    Backend::scripted(|wire, _: &Record| while serve(wire).is_some() {})
}

/// Answers one request. `None` ends the connection.
fn serve(wire: &mut Wire) -> Option<()> {
    let head = wire.head()?;
    let length = head.field("content-length").map_or(0, |length| length.parse().unwrap());
    let body = wire.bytes(length);
    if body.len() < length {
        return None;
    }
    let cookies = head.field("cookie").unwrap_or_default();
    let signed_in = cookies.split("; ").find_map(|pair| pair.strip_prefix("__ac=")).unwrap_or("nobody");
    if head.line.contains("/login_form") {
        let fields: Vec<_> = url::form_urlencoded::parse(&body).collect();
        let name = fields.iter().find(|(name, _)| name == "__ac_name").map_or("", |(_, value)| value);
        return sent(wire.send(format!("HTTP/1.1 200 OK\r\nSet-Cookie: __ac={name}; Path=/\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n")));
    }
    if head.line.contains("/logout") {
        let gone = "HTTP/1.1 302 Found\r\nSet-Cookie: __ac=\"deleted\"; Path=/; Max-Age=0; Expires=Wed, 31 Dec 1997 23:59:59 GMT\r\nLocation: http://localhost/logged_out\r\nContent-Length: 0\r\n\r\n";
        return sent(wire.send(gone));
    }
    // The cookie that the CMS set and the field that the gate adds must name the same person.
    let told = head.field("x-remote-user").unwrap_or_else(|| "nobody".to_owned());
    let user =
        if told == signed_in { told } else { format!("{told} by the field, {signed_in} by the cookie") };
    if head.field("upgrade").is_some() {
        return tunnel(wire, &head, &user);
    }
    match Ask::told(&head, user) {
        Some(ask) => answer(wire, &ask, &format!("http://{}/Plone", head.field("host")?), &body),
        None => sent(wire.send(ok("nothing was asked"))),
    }
}

fn sent(sent: bool) -> Option<()> {
    sent.then_some(())
}

fn answer(wire: &mut Wire, ask: &Ask, site: &str, posted: &[u8]) -> Option<()> {
    let (media, body) = ask.answer(site, posted);
    let head = |framing: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nX-Soak-Token: {}\r\nX-Soak-User: {}\r\n{framing}\r\n",
            ask.token, ask.user
        )
        .into_bytes()
    };
    let length = format!("Content-Length: {}\r\n", body.len());
    let sized = head(&length);
    let whole = || if ask.kind == Kind::Head { sized.clone() } else { [&sized[..], &body].concat() };
    let half = &body[..body.len() / 2];
    let never = |wire: &mut Wire, bytes: &[u8]| {
        wire.send(bytes);
        std::thread::sleep(STALL);
        None
    };
    match ask.fault_name() {
        "closes before it answers" => None,
        "breaks off in the head" => ends(wire, &sized[..sized.len() / 2]),
        "answers garbage" => ends(wire, b"\x16\x03\x01\x02\0SSH-2.0-nothing\r\n\r\n"),
        "two framings" => ends(
            wire,
            &[&head(&format!("{length}Transfer-Encoding: chunked\r\n"))[..], b"0\r\n\r\n"].concat(),
        ),
        "two lengths" => ends(wire, &[&head(&format!("{length}Content-Length: 7\r\n"))[..], &body].concat()),
        "101 unasked" => ends(
            wire,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        "stalls before the head" => never(wire, b""),
        "breaks off in the body" => {
            ends(wire, &[&head(&format!("Content-Length: {}\r\n", body.len() + 10))[..], &body].concat())
        }
        "breaks off in a chunk" => {
            let chunk = format!("{:x}\r\n", body.len() + 10);
            ends(wire, &[&head("Transfer-Encoding: chunked\r\n")[..], chunk.as_bytes(), &body].concat())
        }
        "stalls in the body" => {
            let head = head(&format!("Content-Length: {}\r\n", body.len() + 10));
            never(wire, &[&head[..], half].concat())
        }
        "closes after the answer" => ends(wire, &whole()),
        "closes a moment later" => {
            wire.send(whole());
            std::thread::sleep(Duration::from_millis(2));
            None
        }
        // In one piece, so that it has come before the connection can be used again.
        "says more than announced" if body.len() < 20_000 => {
            let poison = b"HTTP/1.1 200 OK\r\nX-Soak-Token: poison\r\nX-Soak-User: poison\r\nContent-Length: 6\r\n\r\npoison";
            sent(wire.send([&whole()[..], poison].concat()))
        }
        "a body on HEAD" => sent(wire.send([&sized[..], &body].concat())),
        _ if ask.token.ends_with('7') && ask.kind != Kind::Head => {
            let mut bytes = head("Transfer-Encoding: chunked\r\n");
            for chunk in body.chunks(7001) {
                bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            sent(wire.send(bytes))
        }
        _ => sent(wire.send(whole())),
    }
}

fn ends(wire: &mut Wire, bytes: &[u8]) -> Option<()> {
    wire.send(bytes);
    None
}

/// Says back what it hears, and first of all to whom.
fn tunnel(wire: &mut Wire, head: &Message, user: &str) -> Option<()> {
    let token = head.field("x-soak-token")?;
    wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    wire.send(format!("{:<PIECE$}", format!("{user} {token}")));
    loop {
        let piece = wire.bytes(PIECE);
        if piece.len() < PIECE || !wire.send(&piece) {
            return None;
        }
    }
}
