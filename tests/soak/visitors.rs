//! Those who ask: each worker has a thread and goes on until it is told to stop.

use std::net::TcpStream;
use std::sync::Arc;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;

use crate::ask::{Ask, Got, Kind, Random};
use crate::backend::PIECE;
use crate::report::Soak;
use crate::support::browser::Browser;
use crate::support::gate::HOST;
use crate::support::raw::{Wire, connect, get};
use crate::support::secure::Client;

/// Signs somebody in and gives the browser.
pub fn sign_in(soak: &Soak, user: &str) -> Browser {
    let mut browser = Browser::new(soak.gate.plain, HOST).with("sec-fetch-site", "same-origin");
    let answer = block_on(browser.sign_in(user, "Secret1234!"));
    assert_eq!(answer.status, 303, "{user} is not signed in: {}", answer.text());
    browser
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn cookie(browser: &Browser) -> String {
    browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

fn cookie_line(browser: &Browser) -> String {
    format!("Cookie: {}\r\n", cookie(browser))
}

fn tls(soak: &Soak) -> Wire {
    let stream = TcpStream::connect(soak.gate.tls).unwrap();
    let client = Client { protocols: &[b"http/1.1"], ..Client::new(&soak.authority) };
    Wire::over(client.over(stream).unwrap())
}

/// HTTP/1.1, connections kept and fresh, in clear text (as from a proxy that ended TLS) and through TLS; some go away.
pub fn http1(soak: &Soak, random: &mut Random, user: &str) {
    let cookies = cookie_line(&sign_in(soak, user));
    let (mut kept, mut serial): (Option<(Wire, usize)>, _) = (None, 0);
    while soak.goes_on() {
        serial += 1;
        let ask = Ask::any(random, user, serial);
        if random.below(30) == 0 {
            gone(soak, random, &ask, &cookies);
            continue;
        }
        if random.below(40) == 0 {
            refused(soak, &cookies);
            continue;
        }
        let (mut wire, used) = match kept.take() {
            Some(kept) if random.below(8) > 0 => kept,
            _ if random.below(2) == 0 => (connect(soak.gate.plain), 0),
            _ => (tls(soak), 0),
        };
        let began = Instant::now();
        wire.send(ask.bytes(&cookies));
        let Some(message) = wire.response_to(ask.kind.method()) else {
            let (path, fault) = (ask.path(), ask.fault_name());
            soak.violation(format!(
                "{} {path} (\"{fault}\", the connection's {used}.): LOST: no answer at all",
                ask.kind.method()
            ));
            continue;
        };
        let stays = message.whole && message.field("connection").is_none_or(|option| option != "close");
        soak.judged(ask.kind.name(), &ask, &message.into(), began.elapsed());
        kept = stays.then_some((wire, used + 1));
        std::thread::sleep(Duration::from_millis(random.below(20) as u64));
    }
}

/// Asks, and goes away in the middle of the request or of the answer.
fn gone(soak: &Soak, random: &mut Random, ask: &Ask, cookies: &str) {
    let began = Instant::now();
    let ask = Ask { fault: None, size: 1 << 20, ..ask.clone() };
    let bytes = ask.bytes(cookies);
    let mut wire = if random.below(2) == 0 { connect(soak.gate.plain) } else { tls(soak) };
    wire.send(&bytes[..random.below(bytes.len()) + 1]);
    if random.below(2) == 0 {
        wire.send(&bytes);
        wire.bytes(random.below(100_000));
    }
    drop(wire);
    soak.counted("goes away", "gone", began.elapsed());
}

/// A site whose backend takes no connections.
fn refused(soak: &Soak, cookies: &str) {
    let began = Instant::now();
    let mut wire = connect(soak.gate.plain);
    wire.send(get("/down/page", cookies));
    match wire.response_to("GET").map(Got::from) {
        Some(got) if got.status == 502 && got.token.is_none() && got.whole => {
            soak.explained(got.id);
            soak.counted("refused", "502, as it should", began.elapsed());
        }
        got => soak.violation(format!("a backend that is down: {:?}", got.map(|got| got.status))),
    }
}

/// Reads what is large as slowly as a bad line does.
pub fn slow_reader(soak: &Soak, random: &mut Random, user: &str) {
    let cookies = cookie_line(&sign_in(soak, user));
    let mut serial = 0;
    while soak.goes_on() {
        serial += 1;
        let token = format!("{user}-{serial}-{:x}-sized", random.next() >> 40);
        let ask = Ask { kind: Kind::File, fault: None, token, user: user.to_owned(), size: 12 << 20 };
        let began = Instant::now();
        let mut wire = if serial % 2 == 0 { connect(soak.gate.plain) } else { tls(soak) };
        wire.send(ask.bytes(&cookies));
        let Some(mut message) = wire.head() else {
            soak.violation(format!("{}: LOST: no answer at all", ask.path()));
            continue;
        };
        let length = message.field("content-length").map_or(0, |length| length.parse().unwrap());
        while message.body.len() < length {
            let piece = wire.bytes((256 << 10).min(length - message.body.len()));
            if piece.is_empty() {
                break;
            }
            message.body.extend_from_slice(&piece);
            std::thread::sleep(Duration::from_millis(40));
        }
        message.whole = length == message.body.len();
        soak.judged("slow reader", &ask, &message.into(), began.elapsed());
    }
}

/// WebSockets: tunnels that live for a while and say everything back.
pub fn tunnels(soak: &Soak, random: &mut Random, user: &str) {
    let cookies = cookie_line(&sign_in(soak, user));
    let mut serial = 0;
    while soak.goes_on() {
        serial += 1;
        let token = format!("{user}-{serial}-{:x}", random.next() >> 40);
        let began = Instant::now();
        let mut wire = if random.below(2) == 0 { connect(soak.gate.plain) } else { tls(soak) };
        wire.send(get("/docs/socket", &format!("{cookies}X-Soak-Token: {token}\r\nOrigin: https://{HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")));
        let status = wire.head().map_or(0, |head| head.status());
        let mut right =
            status == 101 && wire.bytes(PIECE) == format!("{:<PIECE$}", format!("{user} {token}")).as_bytes();
        for round in 0..random.below(200) {
            let piece = format!("{:<PIECE$}", format!("{token} {round}"));
            right = right && wire.send(&piece) && wire.bytes(PIECE) == piece.as_bytes();
        }
        if right {
            soak.counted("tunnel", "right", began.elapsed());
        } else {
            soak.violation(format!("tunnel {token}: status {status}, or not what was said into it"));
        }
        std::thread::sleep(Duration::from_millis(random.below(100) as u64));
    }
}

/// HTTP/2 through TLS: eight requests at once on a connection, and some streams that are reset.
pub fn http2(soak: &Soak, random: &mut Random, user: &str) {
    let cookies = cookie(&sign_in(soak, user));
    let mut serial = 0;
    while soak.goes_on() {
        block_on(async {
            let Ok(sender) = h2(soak).await else {
                return soak.violation("an HTTP/2 connection did not come about".to_owned());
            };
            for _ in 0..10 {
                let mut streams = tokio::task::JoinSet::new();
                for _ in 0..8 {
                    serial += 1;
                    let ask = Ask::any(random, user, serial);
                    let (sender, cookies, reset) = (sender.clone(), cookies.clone(), random.below(20) == 0);
                    streams.spawn(async move {
                        let began = Instant::now();
                        let got = h2_ask(sender, &ask, &cookies, reset).await;
                        (ask, got, began.elapsed())
                    });
                }
                for (ask, got, took) in streams.join_all().await {
                    match got {
                        Ok(Some(got)) => soak.judged("http/2", &ask, &got, took),
                        Ok(None) => soak.counted("http/2", "gone", took),
                        // The client forgets a head that is followed by a reset before it has looked.
                        Err(_) if ask.may_break_off() => {
                            soak.counted("http/2", "broken off, as it was", took)
                        }
                        Err(error) => soak.violation(format!(
                            "http/2 {} (\"{}\"): LOST: {error}",
                            ask.path(),
                            ask.fault_name()
                        )),
                    }
                }
            }
        });
    }
}

async fn h2(soak: &Soak) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error>> {
    let stream = tokio::net::TcpStream::connect(soak.gate.tls).await?;
    let client = Client { protocols: &[b"h2"], ..Client::new(&soak.authority) };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client.config()));
    let stream = connector.connect(ServerName::try_from(HOST)?, stream).await?;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn h2_ask(
    mut sender: SendRequest<Full<Bytes>>,
    ask: &Ask,
    cookies: &str,
    reset: bool,
) -> Result<Option<Got>, hyper::Error> {
    let mut request = Request::builder()
        .method(ask.kind.method())
        .uri(format!("https://{HOST}{}", ask.path()))
        .header("cookie", cookies);
    for (name, value) in ask.fields() {
        request = request.header(name, value);
    }
    if ask.kind.method() == "POST" {
        request = request.header("content-type", "application/octet-stream");
    }
    let answer = sender.send_request(request.body(Full::from(ask.body())).unwrap()).await?;
    let field = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut got = Got {
        status: answer.status().as_u16(),
        token: field("x-soak-token"),
        user: field("x-soak-user"),
        id: field("x-request-id"),
        body: Vec::new(),
        whole: true,
    };
    if reset && ask.fault.is_none() {
        return Ok(None);
    }
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                got.whole = false;
                break;
            }
        }
    }
    Ok(Some(got))
}

/// Signs in and out, over and over; every fourth time it is the operator who ends the session.
pub fn comes_and_goes(soak: &Soak, random: &mut Random, user: &str) {
    let mut serial = 0;
    while soak.goes_on() {
        serial += 1;
        let user = format!("{user}v{serial}");
        let began = Instant::now();
        let mut browser = sign_in(soak, &user);
        soak.counted("sign in", "right", began.elapsed());
        let cookies = cookie_line(&browser);
        for visit in 0..5 {
            let began = Instant::now();
            let ask = Ask { fault: None, ..Ask::any(random, &user, visit) };
            soak.judged("signed in", &ask, &alone(soak, &ask, &cookies), began.elapsed());
        }
        let began = Instant::now();
        let (what, patience) = if serial % 4 == 0 {
            soak.gate.revoke(&user);
            // The gate looks once a second.
            ("revoked", Duration::from_secs(5))
        } else {
            let answer = block_on(browser.submit("/_gate/logout", &[]));
            if answer.status != 200 {
                soak.violation(format!("signing out: {}", answer.status));
            }
            ("sign out", Duration::ZERO)
        };
        loop {
            let ask = Ask { kind: Kind::Text, fault: None, ..Ask::any(random, &user, 9) };
            let got = alone(soak, &ask, &cookies);
            if got.token.is_none() && matches!(got.status, 302 | 303 | 401 | 403) {
                soak.counted(what, "right", began.elapsed());
                break;
            }
            if began.elapsed() > patience {
                soak.violation(format!("{what}: {user} is still answered: {}", got.status));
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// On a connection of its own.
fn alone(soak: &Soak, ask: &Ask, cookies: &str) -> Got {
    let mut wire = connect(soak.gate.plain);
    wire.send(ask.bytes(cookies));
    wire.response_to(ask.kind.method()).unwrap_or_default().into()
}

/// How many go on working while others fail is seen from here: whether the gate's own page answers.
pub fn onlooker(soak: &Soak, _: &mut Random, _: &str) {
    while soak.goes_on() {
        let began = Instant::now();
        let mut wire = connect(soak.gate.plain);
        wire.send(get("/_gate/health", "Connection: close\r\n"));
        match wire.response_to("GET") {
            Some(answer) if answer.status() == 200 => soak.counted("health", "right", began.elapsed()),
            answer => soak.violation(format!("health: {:?}", answer.map(|answer| answer.line))),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
