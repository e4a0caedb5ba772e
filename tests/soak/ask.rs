//! What is asked, what the backend is to do about it, and which answers are true.

use std::fmt::Write as _;

use crate::support::gate::HOST;
use crate::support::raw::Message;

/// Where chance comes from: xorshift64*, so that a seed repeats what each worker asks.
pub struct Random(u64);

impl Random {
    /// One for each worker.
    pub fn new(seed: u64, worker: usize) -> Self {
        let mut random = Self((seed ^ (worker as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
        // Small seeds begin with small numbers.
        (0..8).for_each(|_| _ = random.next());
        random
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    /// One of them.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Text,
    Html,
    File,
    Post,
    Chunked,
    Head,
}

impl Kind {
    pub const fn method(self) -> &'static str {
        match self {
            Self::Post | Self::Chunked => "POST",
            Self::Head => "HEAD",
            _ => "GET",
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Html => "html",
            Self::File => "file",
            Self::Post => "post",
            Self::Chunked => "post, chunked",
            Self::Head => "head",
        }
    }

    fn of(name: &str) -> Self {
        [Self::Text, Self::Html, Self::File, Self::Post, Self::Chunked, Self::Head]
            .into_iter()
            .find(|kind| kind.name() == name)
            .unwrap_or(Self::Text)
    }
}

/// What a visitor gets to see of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing at all.
    Nothing,
    /// A page with this status.
    Status(u16),
    /// An answer that breaks off; or 502, where it broke off before anything of it was passed on.
    Broken,
}

/// What the backend may do wrong, whether it can do that to `HEAD`, and what comes of it.
pub const FAULTS: &[(&str, bool, Shown)] = &[
    ("closes before it answers", true, Shown::Status(502)),
    ("breaks off in the head", true, Shown::Status(502)),
    ("answers garbage", true, Shown::Status(502)),
    ("two framings", true, Shown::Status(502)),
    ("two lengths", true, Shown::Status(502)),
    ("101 unasked", true, Shown::Status(502)),
    ("stalls before the head", true, Shown::Status(504)),
    ("breaks off in the body", false, Shown::Broken),
    ("breaks off in a chunk", false, Shown::Broken),
    ("stalls in the body", false, Shown::Broken),
    ("closes after the answer", true, Shown::Nothing),
    ("closes a moment later", true, Shown::Nothing),
    ("says more than announced", false, Shown::Nothing),
    ("a body on HEAD", true, Shown::Nothing),
];

/// One request.
#[derive(Clone)]
pub struct Ask {
    pub kind: Kind,
    /// An index into [`FAULTS`].
    pub fault: Option<usize>,
    /// Nobody else's.
    pub token: String,
    /// Whom the CMS must take it to come from.
    pub user: String,
    /// Of the body that varies: the request's for `POST`, else the answer's.
    pub size: usize,
}

impl Ask {
    /// Any.
    pub fn any(random: &mut Random, user: &str, serial: usize) -> Self {
        let kind = random.of(&[
            Kind::Text,
            Kind::Text,
            Kind::Text,
            Kind::Html,
            Kind::Html,
            Kind::File,
            Kind::Post,
            Kind::Post,
            Kind::Chunked,
            Kind::Head,
        ]);
        // A stall keeps its worker for seconds, so it comes more rarely.
        let mut fault = (random.below(6) == 0).then(|| random.below(FAULTS.len()));
        fault = fault.filter(|fault| !FAULTS[*fault].0.starts_with("stalls") || random.below(6) == 0);
        fault = fault.filter(|fault| kind != Kind::Head || FAULTS[*fault].1);
        fault = fault.filter(|fault| FAULTS[*fault].0 != "a body on HEAD" || kind == Kind::Head);
        let size = match kind {
            Kind::Text | Kind::Head => random.of(&[0, 1, 10, 1000, 16 * 1024, 65_536]),
            Kind::Html => random.of(&[1000, 30_000, 200_000]),
            Kind::File => random.of(&[1 << 20, 3 << 20]),
            // A gate that knows already that it will fail need not read all that is still to come.
            Kind::Post | Kind::Chunked if fault.is_some() => random.of(&[0, 1, 4000]),
            Kind::Post | Kind::Chunked => {
                random.of(&[0, 1, 100, 4096, 65_535, 65_537, 262_144, 300_000, 1 << 20])
            }
        };
        let token = format!("{user}-{serial}-{:x}", random.next() >> 40);
        Self { kind, fault, token, user: user.to_owned(), size }
    }

    pub fn fault_name(&self) -> &'static str {
        self.fault.map_or("", |fault| FAULTS[fault].0)
    }

    fn shown(&self) -> Shown {
        self.fault.map_or(Shown::Nothing, |fault| FAULTS[fault].2)
    }

    pub fn path(&self) -> String {
        format!("/docs/{}", self.token)
    }

    /// The fields that tell the backend what to do.
    pub fn fields(&self) -> [(&'static str, String); 4] {
        [
            ("x-soak-kind", self.kind.name().to_owned()),
            ("x-soak-fault", self.fault_name().to_owned()),
            ("x-soak-token", self.token.clone()),
            ("x-soak-size", self.size.to_string()),
        ]
    }

    /// The body it is sent with.
    pub fn body(&self) -> Vec<u8> {
        if self.kind.method() == "POST" { filler(&self.token, self.size) } else { Vec::new() }
    }

    /// As bytes of HTTP/1.1, with the cookies of its user.
    pub fn bytes(&self, cookies: &str) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n{cookies}", self.kind.method(), self.path());
        for (name, value) in self.fields() {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = self.body();
        match self.kind {
            Kind::Post => {
                let _ = write!(
                    head,
                    "Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                [head.into_bytes(), body].concat()
            }
            Kind::Chunked => {
                head.push_str("Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
                let mut bytes = head.into_bytes();
                for chunk in body.chunks(10_000) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                bytes
            }
            _ => {
                head.push_str("\r\n");
                head.into_bytes()
            }
        }
    }

    /// What the backend reads in a request; `None` where there is nothing to read.
    pub fn told(head: &Message, user: String) -> Option<Self> {
        let fault = head.field("x-soak-fault").unwrap_or_default();
        Some(Self {
            kind: Kind::of(&head.field("x-soak-kind")?),
            fault: FAULTS.iter().position(|(name, ..)| *name == fault),
            token: head.field("x-soak-token")?,
            user,
            size: head.field("x-soak-size")?.parse().ok()?,
        })
    }

    /// Media type and body of the answer, with links to `site`; `posted` is the body that arrived.
    pub fn answer(&self, site: &str, posted: &[u8]) -> (&'static str, Vec<u8>) {
        match self.kind {
            Kind::Html => {
                let link = format!("<p><a href=\"{site}/docs/{}\">there</a></p>\n", self.token);
                let page = format!(
                    "<!DOCTYPE html>\n<html><body>\n{}</body></html>\n",
                    link.repeat(self.size / 64 + 1)
                );
                ("text/html; charset=utf-8", page.into_bytes())
            }
            Kind::File => ("application/octet-stream", filler(&self.token, self.size)),
            Kind::Post | Kind::Chunked => {
                let verdict = if posted == self.body() { "as it was sent" } else { "DIFFERENT" };
                (
                    "text/plain",
                    format!("{} {} bytes arrived {verdict}", self.token, posted.len()).into_bytes(),
                )
            }
            Kind::Text | Kind::Head => ("text/plain", filler(&self.token, self.size)),
        }
    }

    /// Whether what the backend does wrong shows as an answer that breaks off.
    pub fn may_break_off(&self) -> bool {
        self.shown() == Shown::Broken
    }

    /// Judges what came back.
    ///
    /// # Errors
    /// What is wrong with it, if it is not what the backend meant for this request, nor a true account of what it did.
    pub fn judge(&self, got: &Got) -> Result<&'static str, String> {
        let wrong = |what: &str| {
            Err(format!(
                "{} {} ({}, {} bytes, fault \"{}\"): {what}; status {}, token {:?}, user {:?}, {} bytes of body, whole: {}",
                self.kind.method(),
                self.path(),
                self.kind.name(),
                self.size,
                self.fault_name(),
                got.status,
                got.token,
                got.user,
                got.body.len(),
                got.whole,
            ))
        };
        if got.token.as_ref().is_some_and(|token| *token != self.token) {
            return wrong("CROSSED: somebody else's answer");
        }
        if got.user.as_ref().is_some_and(|user| *user != self.user) {
            return wrong("CROSSED: sent as somebody else");
        }
        if let Shown::Status(status) = self.shown() {
            let own = got.status == status && got.token.is_none() && got.whole;
            let words = if status == 502 { "502, as it should" } else { "504, as it should" };
            return if own { Ok(words) } else { wrong("a fault of the backend is not told") };
        }
        if self.shown() == Shown::Broken && got.status == 502 && got.token.is_none() && got.whole {
            return Ok("502, before anything of it was passed on");
        }
        if got.status != 200 || got.token.is_none() || got.user.is_none() {
            return wrong("LOST: not the backend's answer");
        }
        let (_, expected) = self.answer(&format!("https://{HOST}"), &self.body());
        let expected = if self.kind == Kind::Head { &[][..] } else { &expected[..] };
        match self.shown() {
            Shown::Broken if got.whole => wrong("an answer that broke off looks whole"),
            Shown::Broken if !expected.starts_with(&got.body) => wrong("wrong body before it broke off"),
            Shown::Broken => Ok("broken off, as it was"),
            _ if !got.whole => wrong("LOST: broken off"),
            _ if got.body != expected => wrong("wrong body"),
            _ => Ok("right"),
        }
    }
}

/// What came back.
pub struct Got {
    pub status: u16,
    /// Whose answer the backend says it is.
    pub token: Option<String>,
    /// Whom the backend took it to come from.
    pub user: Option<String>,
    pub id: Option<String>,
    pub body: Vec<u8>,
    pub whole: bool,
}

impl From<Message> for Got {
    fn from(message: Message) -> Self {
        Self {
            status: message.status(),
            token: message.field("x-soak-token"),
            user: message.field("x-soak-user"),
            id: message.field("x-request-id"),
            body: message.body,
            whole: message.whole,
        }
    }
}

/// So many bytes that are this token's alone.
pub fn filler(token: &str, size: usize) -> Vec<u8> {
    let mut bytes = format!("{token};").repeat(size / (token.len() + 1) + 1).into_bytes();
    bytes.truncate(size);
    bytes
}
