//! Both ends in bytes: a backend that records what it gets and answers by a script, and a client that sends what it is
//! told. Plain threads and sockets, and no HTTP library, so that nothing is tidied up on the way.
//!
//! Every read has a limit, so that a test fails rather than hangs; no test asserts how long something took.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::browser::Browser;
use super::gate::HOST;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A head as it stood on the wire, and the body behind it.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The request line or status line.
    pub line: String,
    /// The fields in their order, names as written.
    pub fields: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub whole: bool,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Message {
    fn parse(head: &[u8], connection: usize) -> Self {
        let head = String::from_utf8_lossy(head).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { line, fields, body: Vec::new(), whole: true, connection }
    }

    /// All values of a field, joined by `|`; `None` when it is not there. Names are compared as they are, but for case.
    pub fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join("|"))
    }

    /// Of a response.
    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Of a request.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The request target, less Zope's virtual-hosting segments.
    pub fn target(&self) -> &str {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        target.split_once("/VirtualHostRoot").map_or(target, |(_, path)| path)
    }

    /// Head and body as text.
    pub fn text(&self) -> String {
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        format!("{}\n{fields}\n{}", self.line, String::from_utf8_lossy(&self.body))
    }
}

/// What a connection goes through.
pub trait Stream: std::io::Read + std::io::Write + Send {
    /// Says that nothing more will come.
    fn finish(&mut self);
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for super::secure::Stream {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

/// One end of a connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// Which connection of the backend this is.
    pub number: usize,
}

impl Wire {
    fn new(stream: TcpStream, number: usize) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Box::new(stream), buffer: Vec::new(), number }
    }

    /// Over any stream; its reads must have a limit.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), number: 0 }
    }

    /// Sends bytes. That the other side no longer wants them is no error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more will come.
    pub fn finish(&mut self) {
        self.stream.finish();
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }

    /// Reads up to a mark and past it. `None` when the connection ended first.
    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, mark) {
                let found = self.buffer[..at].to_vec();
                self.buffer.drain(..at + mark.len());
                return Some(found);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Reads the next head. `None` when the connection ended first.
    pub fn head(&mut self) -> Option<Message> {
        let number = self.number;
        self.until(b"\r\n\r\n").map(|head| Message::parse(&head, number))
    }

    /// Reads so many bytes; fewer when the connection ended first.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.more() {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Counts the bytes up to so many, and keeps none.
    pub fn swallow(&mut self, count: u64) -> u64 {
        let mut seen = self.buffer.len() as u64;
        self.buffer.clear();
        let mut chunk = vec![0; 256 * 1024];
        while seen < count {
            match self.stream.read(&mut chunk) {
                Ok(read) if read > 0 => seen += read as u64,
                _ => break,
            }
        }
        seen
    }

    /// Waits for the end of the connection; `false` when something else comes first.
    pub fn has_ended(&mut self) -> bool {
        self.buffer.is_empty() && !self.more()
    }

    fn body(&mut self, message: &mut Message, bodiless: bool) {
        if bodiless {
            return;
        }
        if message.field("transfer-encoding").is_some() {
            message.whole = self.chunks(&mut message.body).is_some();
        } else if let Some(length) = message.field("content-length") {
            let length = length.parse().unwrap();
            message.body = self.bytes(length);
            message.whole = message.body.len() == length;
        } else if message.line.starts_with("HTTP/") {
            while self.more() {}
            message.body = std::mem::take(&mut self.buffer);
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let size =
                usize::from_str_radix(String::from_utf8(self.until(b"\r\n")?).ok()?.trim(), 16).ok()?;
            if size == 0 {
                while !self.until(b"\r\n")?.is_empty() {}
                return Some(());
            }
            let chunk = self.bytes(size);
            body.extend_from_slice(&chunk);
            self.until(b"\r\n")?;
        }
    }

    /// Reads a request with its body. `None` when the connection ended first.
    pub fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.body(&mut message, false);
        Some(message)
    }

    /// Reads a response with its body; `method` is that of the request.
    pub fn response_to(&mut self, method: &str) -> Option<Message> {
        let mut message = self.head()?;
        let status = message.status();
        self.body(&mut message, method == "HEAD" || status < 200 || matches!(status, 204 | 304));
        Some(message)
    }

    /// Reads a response with its body.
    pub fn response(&mut self) -> Message {
        self.response_to("GET").expect("an answer")
    }
}

/// Connects to a gate.
pub fn connect(address: SocketAddr) -> Wire {
    Wire::new(TcpStream::connect(address).expect("the gate listens"), 0)
}

/// Sends bytes on a connection of their own and reads the answer.
pub fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    let mut wire = connect(address);
    wire.send(request);
    wire.response()
}

/// A `GET` with these further lines (each ends in CRLF).
pub fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")
}

/// A `POST` of a body of known length, with these further lines.
pub fn post(path: &str, lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n{lines}\r\n");
    [head.as_bytes(), body].concat()
}

/// A response of the usual kind.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a [`Backend`] does with a connection; it ends when this returns.
type Script = dyn Fn(&mut Wire, &Record) + Send + Sync;

/// What a backend saw.
#[derive(Clone, Default)]
pub struct Record {
    requests: Arc<Mutex<Vec<Message>>>,
    connections: Arc<AtomicUsize>,
}

impl Record {
    /// Notes a request.
    pub fn note(&self, message: &Message) {
        self.requests.lock().unwrap().push(message.clone());
    }
}

/// A backend that can be stopped and started again at the same address. It has a loopback address to itself, so that nobody
/// else gets its port meanwhile.
pub struct Unsteady {
    address: SocketAddr,
    record: Record,
    script: Arc<Script>,
    serving: Option<Serving>,
}

struct Serving {
    going: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl Unsteady {
    /// One that runs, and does with each connection what the script says.
    pub fn scripted(script: impl Fn(&mut Wire, &Record) + Send + Sync + 'static) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let own = std::net::Ipv4Addr::new(127, 77, 0, NEXT.fetch_add(1, Ordering::SeqCst));
        let address = TcpListener::bind((own, 0)).unwrap().local_addr().unwrap();
        let mut backend =
            Self { address, record: Record::default(), script: Arc::new(script), serving: None };
        backend.start();
        backend
    }

    /// As [`Backend::answering`].
    pub fn answering(answer: impl Fn(&Message) -> String + Send + Sync + 'static) -> Self {
        Self::scripted(move |wire, record| {
            while let Some(request) = wire.request() {
                record.note(&request);
                wire.send(login(&request).unwrap_or_else(|| answer(&request)));
            }
        })
    }

    /// Listens again.
    pub fn start(&mut self) {
        let listener = TcpListener::bind(self.address).expect("its own address");
        let going = Arc::new(AtomicBool::new(true));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (goes, kept) = (Arc::clone(&going), Arc::clone(&streams));
        let (record, script) = (self.record.clone(), Arc::clone(&self.script));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !goes.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = record.connections.fetch_add(1, Ordering::SeqCst);
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                let (record, script) = (record.clone(), Arc::clone(&script));
                std::thread::spawn(move || {
                    let ended = stream.try_clone().unwrap();
                    script(&mut Wire::new(stream, number), &record);
                    let _ = ended.shutdown(Shutdown::Both);
                });
            }
        });
        self.serving = Some(Serving { going, streams, thread });
    }

    /// Ends all connections, and takes no more.
    pub fn stop(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        serving.going.store(false, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        serving.thread.join().unwrap();
        for stream in serving.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The site in it.
    pub fn url(&self) -> String {
        format!("http://{}/Plone", self.address)
    }

    /// Takes the requests so far; the next begin anew.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.record.requests.lock().unwrap())
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }
}

/// A backend on a loopback port.
pub struct Backend {
    address: SocketAddr,
    record: Record,
}

impl Backend {
    /// One that does with each connection what the script says.
    pub fn scripted(script: impl Fn(&mut Wire, &Record) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let record = Record::default();
        let (seen, script): (_, Arc<Script>) = (record.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, script) = (seen.clone(), Arc::clone(&script));
                let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                let Ok(stream) = stream else { continue };
                std::thread::spawn(move || script(&mut Wire::new(stream, number), &seen));
            }
        });
        Self { address, record }
    }

    /// One that answers every request by itself, on connections it keeps open. It also signs in whoever asks: a `POST`
    /// to the CMS's login form gets a cookie.
    pub fn answering(answer: impl Fn(&Message) -> String + Send + Sync + 'static) -> Self {
        Self::scripted(move |wire, record| {
            while let Some(request) = wire.request() {
                record.note(&request);
                wire.send(login(&request).unwrap_or_else(|| answer(&request)));
            }
        })
    }

    /// One that says `ok` to everything.
    pub fn polite() -> Self {
        Self::answering(|_| ok("ok"))
    }

    /// `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The site in it.
    pub fn url(&self) -> String {
        format!("http://{}/Plone", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.record.requests.lock().unwrap().clone()
    }

    /// Takes the requests so far; the next begin anew.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.record.requests.lock().unwrap())
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }
}

/// What the CMS says to a right password.
pub fn login(request: &Message) -> Option<String> {
    (request.method() == "POST" && request.line.contains("/login_form")).then(|| {
        "HTTP/1.1 200 OK\r\nSet-Cookie: __ac=sealed; Path=/\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"
            .to_owned()
    })
}

/// Signs in at a gate before a backend that takes any password, and gives the line with the cookie.
pub fn sign_in(address: SocketAddr) -> String {
    let mut browser = Browser::new(address, HOST);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(browser.sign_in("jdoe", "Secret1234!"));
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookies: Vec<String> =
        browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("Cookie: {}\r\n", cookies.join("; "))
}
