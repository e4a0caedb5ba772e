//! A stand-in for the CMS: a small server on a loopback port that answers as Plone 4.3 or Plone 6.0 does,
//! as far as the facts of both were observed, and remembers what it was asked.
//!
//! ```ignore
//! let cms = StandIn::plone60();
//! cms.url();                                   // http://127.0.0.1:PORT/Plone
//! cms.address_for("https://public.example.org")// the same behind a virtual-hosting path
//! cms.switch(|s| s.autologin = false);         // the site's settings
//! cms.fail("mail_password", Fault::Status(503));
//! cms.answer("mail_password", Canned::html(200, "<p>maintenance"));
//! cms.answer_once("passwordreset", Canned::html(200, "…"));  // the next one only
//! cms.behave();                                // no fault, no answer of the test's own
//! let token = cms.issue_token("jdoe", TokenState::Good);
//! cms.mails(); cms.requests(); cms.password_of("jdoe");
//! ```
//! Accounts: `jdoe` (`Secret1234!`), `nomail`, `badmail`, `norole`, `siteadmin`, `umlaut` (`Pässwörd1234!`),
//! `login.name` (its id is `u1001`), and the root user `admin` (`admin`); the rest share jdoe's password.
//! Pages: the site's root, `news` and `docs/file.txt` for anyone; `secretpage` only for who is signed in.
//! It runs on a thread of its own, so any kind of test can use it, and stops when dropped.

mod openacs;
mod plone;
mod structr;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use lychgate::cms::Asker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub use openacs::OpenAcs;
pub use plone::{Mail, Switches, TokenState};
use plone::{Plone, Version};
pub use structr::Structr;

/// A visitor for whom a CMS is asked.
pub fn asker() -> Asker {
    Asker {
        client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
        language: Some("fr, en;q=0.5".to_owned()),
        user_agent: Some("Mozilla/5.0 (a browser)".to_owned()),
        request_id: "req-1".to_owned(),
        whom: None,
    }
}

/// A running stand-in.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Where it came from.
    pub peer: SocketAddr,
    pub method: Method,
    /// The target as it stood in the request line.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Recorded {
    /// A header as text; all lines of it, joined by `|`.
    pub fn header(&self, name: &str) -> Option<String> {
        let lines: Vec<_> =
            self.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        (!lines.is_empty()).then(|| lines.join("|"))
    }

    /// The body's urlencoded fields, in their order.
    pub fn fields(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reads the request and closes the connection.
    Close,
    /// Reads the request and never answers.
    Hang,
    /// Answers with this status and a page.
    Status(u16),
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Promises 4096 bytes and breaks off after some.
    BrokenBody,
    /// Sends a head and then, without end, nothing more.
    SlowBody,
}

/// An answer to give instead of the CMS's own.
#[derive(Clone, Debug)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Canned {
    pub fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), "text/html;charset=utf-8".to_owned())];
        Self { status, headers, body: body.into() }
    }

    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name || name == "set-cookie");
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What it stands in for besides the Plones: a function from requests to answers.
type Other = Box<dyn FnMut(&Recorded) -> Canned + Send>;

struct Shared {
    plone: Mutex<Plone>,
    other: Mutex<Option<Other>>,
    requests: Mutex<Vec<Recorded>>,
    faults: Mutex<Vec<(String, Fault)>>,
    canned: Mutex<Vec<(String, Canned)>>,
    once: Mutex<Vec<(String, Canned)>>,
    delays: Mutex<Vec<(String, Duration)>>,
}

impl StandIn {
    /// A Plone 4.3.
    pub fn plone43() -> Self {
        Self::start(Version::Plone43)
    }

    /// A Plone 6.0.
    pub fn plone60() -> Self {
        Self::start(Version::Plone60)
    }

    /// An OpenACS 5.10, and what can be changed about it.
    pub fn openacs() -> (Self, Arc<Mutex<OpenAcs>>) {
        let site = Arc::new(Mutex::new(OpenAcs::default()));
        let same = Arc::clone(&site);
        (Self::answering(move |recorded| same.lock().unwrap().answer(recorded)), site)
    }

    /// A Structr, and what can be changed about it.
    pub fn structr() -> (Self, Arc<Mutex<Structr>>) {
        let site = Arc::new(Mutex::new(Structr::default()));
        let same = Arc::clone(&site);
        (Self::answering(move |recorded| same.lock().unwrap().answer(recorded)), site)
    }

    /// Whatever answers like this.
    pub fn answering(answer: impl FnMut(&Recorded) -> Canned + Send + 'static) -> Self {
        let standin = Self::start(Version::Plone60);
        *standin.shared.other.lock().unwrap() = Some(Box::new(answer));
        standin
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            plone: Mutex::new(Plone::new(version)),
            other: Mutex::default(),
            requests: Mutex::default(),
            faults: Mutex::default(),
            canned: Mutex::default(),
            once: Mutex::default(),
            delays: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop) }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The site as the backend knows itself.
    pub fn url(&self) -> String {
        format!("http://{}/Plone", self.address)
    }

    /// The site behind a virtual-hosting path that makes it write links of `public` (with its port, as Zope needs).
    pub fn address_for(&self, public: &str) -> String {
        let public = url::Url::parse(public).unwrap();
        let (host, port) = (public.host_str().unwrap(), public.port_or_known_default().unwrap());
        let scheme = public.scheme();
        format!("http://{}/VirtualHostBase/{scheme}/{host}:{port}/Plone/VirtualHostRoot", self.address)
    }

    /// Everything it was asked so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// What it was asked for mails, once that is so many times.
    pub async fn asked_for_mail(&self, times: usize) -> Vec<Recorded> {
        let began = Instant::now();
        loop {
            let mut requests = self.requests();
            requests.retain(|request| request.target.ends_with("/mail_password"));
            if requests.len() >= times {
                return requests;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "asked {} times, not {times}", requests.len());
            tokio::task::yield_now().await;
        }
    }

    /// Forgets what it was asked.
    pub fn forget_requests(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// The mails it sent.
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.plone.lock().unwrap().mails.clone()
    }

    /// Changes the site's settings.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.shared.plone.lock().unwrap().switches);
    }

    /// Makes requests whose target contains `part` (all of them, if it is empty) go wrong.
    pub fn fail(&self, part: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().push((part.to_owned(), fault));
    }

    /// Makes requests whose target contains `part` get this answer.
    pub fn answer(&self, part: &str, canned: Canned) {
        let mut all = self.shared.canned.lock().unwrap();
        all.retain(|(known, _)| known != part);
        all.push((part.to_owned(), canned));
    }

    /// Makes the next request whose target contains `part`, and only that, get this answer.
    pub fn answer_once(&self, part: &str, canned: Canned) {
        self.shared.once.lock().unwrap().push((part.to_owned(), canned));
    }

    /// Behaves well again.
    pub fn behave(&self) {
        self.shared.faults.lock().unwrap().clear();
        self.shared.canned.lock().unwrap().clear();
        self.shared.once.lock().unwrap().clear();
        self.shared.delays.lock().unwrap().clear();
    }

    /// Takes so long over requests whose body contains `part`; the first that fits counts.
    pub fn delay(&self, part: &str, by: Duration) {
        self.shared.delays.lock().unwrap().push((part.to_owned(), by));
    }

    /// One more account, with jdoe's password.
    pub fn add_user(&self, login: &str) {
        self.shared.plone.lock().unwrap().add_user(login);
    }

    /// A token of a reset link for this login name, without any mail.
    pub fn issue_token(&self, login: &str, state: TokenState) -> String {
        self.shared.plone.lock().unwrap().issue_token(login, state)
    }

    /// The password that this login name has now.
    pub fn password_of(&self, login: &str) -> Option<String> {
        self.shared.plone.lock().unwrap().password_of(login)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed()
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((mut stream, peer)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        if shared.faults.lock().unwrap().iter().any(|(_, fault)| *fault == Fault::Garbage) {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n").await;
            });
            continue;
        }
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(move |request| handle(peer, request, Arc::clone(&shared)));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn handle(
    peer: SocketAddr,
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let recorded =
        Recorded { peer, method: head.method, target: head.uri.to_string(), headers: head.headers, body };
    shared.requests.lock().unwrap().push(recorded.clone());
    let target = recorded.target.clone();
    let fault = shared.faults.lock().unwrap().iter().find(|(part, _)| target.contains(part)).map(|(_, f)| *f);
    match fault {
        None | Some(Fault::Garbage) => {}
        Some(Fault::Close) => return Err(std::io::Error::other("closed on purpose")),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status)) => {
            let builder = Response::builder().status(status).header("content-type", "text/html");
            return Ok(builder.body(full("<html><body class='down'><h1>Down for maintenance</h1>")).unwrap());
        }
        Some(Fault::BrokenBody) => return Ok(promising(true)),
        Some(Fault::SlowBody) => return Ok(promising(false)),
    }
    let delay = {
        let text = String::from_utf8_lossy(&recorded.body);
        let delays = shared.delays.lock().unwrap();
        delays.iter().find(|(part, _)| text.contains(part.as_str())).map(|(_, by)| *by)
    };
    if let Some(by) = delay {
        tokio::time::sleep(by).await;
    }
    let once = {
        let mut once = shared.once.lock().unwrap();
        once.iter().position(|(part, _)| target.contains(part)).map(|at| once.remove(at).1)
    };
    let always = shared.canned.lock().unwrap();
    let canned =
        once.or_else(|| always.iter().find(|(part, _)| target.contains(part)).map(|(_, c)| c.clone()));
    drop(always);
    let canned = match canned {
        Some(canned) => canned,
        None => match shared.other.lock().unwrap().as_mut() {
            Some(answer) => answer(&recorded),
            None => shared.plone.lock().unwrap().answer(&recorded),
        },
    };
    let mut builder = Response::builder().status(canned.status);
    for (name, value) in &canned.headers {
        builder = builder.header(name, value.as_bytes());
    }
    Ok(builder.body(full(canned.body)).unwrap())
}

/// An answer that breaks off in the middle of its body, or stands still there.
fn promising(breaks: bool) -> Response<Body> {
    let builder = Response::builder().header("content-type", "text/html").header("content-length", "4096");
    builder.body(Unfinished { started: false, breaks }.boxed()).unwrap()
}

struct Unfinished {
    started: bool,
    breaks: bool,
}

impl hyper::body::Body for Unfinished {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let start = Bytes::from_static(b"<html><body class='template-mail_password_response'>");
        match (std::mem::replace(&mut self.started, true), self.breaks) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(start)))),
            (true, true) => Poll::Ready(Some(Err(std::io::Error::other("broken on purpose")))),
            (true, false) => Poll::Pending,
        }
    }
}
