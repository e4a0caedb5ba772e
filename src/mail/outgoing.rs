//! The gate's own mail on its way: built, sent beside the answer, tried again for a while when the mail server is away.
//!
//! There is no queue on disk: a reset link is worth minutes, and whoever gets no mail asks again. With one, links that the store knows
//! by their hashes alone would lie in it as they are, for the sake of a gate that is killed while the mail server is away. What
//! is given up is logged; what a lost notice would have told stands in the audit trail.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use tokio::sync::{Semaphore, oneshot, watch};

use super::next::Next;
use super::relay::stop;
use super::reply::Reply;
use super::templates::Content;
use super::trace::Trace;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::observe::access::loggable_user;
use crate::random::{self, Random};

/// How long the mail server may take for an answer. A mail that comes twice is a smaller harm than one that comes too late.
const REPLY: Duration = Duration::from_secs(60);
/// How many mails are under way or waiting, at most; more are given up.
const MOST: u32 = 256;
/// How many are handed over at the same time.
const AT_ONCE: usize = 4;
/// How long to wait before the second attempt; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a mail is tried at most: for half an hour.
const MOST_ATTEMPTS: u32 = 35;

/// Sends the gate's own mail; shared by every worker.
pub struct Outgoing {
    line: Arc<Line>,
    inner: Option<Arc<Inner>>,
}

struct Inner {
    from: Mailbox,
    next: Next,
    host: String,
    line: Arc<Line>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The mails under way: one line for all configurations that there are in a process's life.
struct Line {
    room: Semaphore,
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    mails: AtomicU64,
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    /// To whom.
    pub to: Address,
    /// What it says.
    pub content: Content,
    /// Until when it is worth anything.
    pub until: Timestamp,
    /// For the log: which kind of mail.
    pub kind: &'static str,
    /// For the log: the site.
    pub site: String,
    /// For the log: the user it is for.
    pub user: String,
    /// For the log: the request that caused it.
    pub request_id: String,
}

/// What became of the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The mail server has it.
    Sent,
    /// The mail server is away; it will be tried again.
    Waiting,
    /// It will not be sent: the mail server does not want it, or too many wait, or it cannot be built.
    Refused,
}

impl Outgoing {
    /// Connects to nothing yet. Without `[mail] from` nothing is ever sent.
    ///
    /// # Errors
    /// One sentence that names the file or secret that cannot be used.
    pub fn new(config: &Config, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, String> {
        let line = Line {
            room: Semaphore::new(AT_ONCE),
            places: Arc::new(Semaphore::new(MOST as usize)),
            stopping: watch::Sender::new(false),
            mails: AtomicU64::new(0),
        };
        Self::on(Arc::new(line), config, clock, random)
    }

    /// The same by another configuration. What is under way goes on by the old one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renewed(
        &self,
        config: &Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, String> {
        Self::on(Arc::clone(&self.line), config, clock, random)
    }

    fn on(
        line: Arc<Line>,
        config: &Config,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, String> {
        let Some(from) = &config.mail.from else { return Ok(Self { line, inner: None }) };
        let public: Vec<String> =
            config.sites.iter().map(|site| site.as_ref().public_url.as_ref().to_string()).collect();
        let host = Trace::of(&public).name().to_owned();
        let next = Next::new(stop(config, &host)?, REPLY);
        let inner = Inner { from: from.0.clone(), next, host, line: Arc::clone(&line), clock, random };
        Ok(Self { line, inner: Some(Arc::new(inner)) })
    }

    /// Whether a mail that is posted now would be tried: who would destroy something for it should look before.
    pub fn has_room(&self) -> bool {
        self.inner.is_some() && self.line.places.available_permits() > 0
    }

    /// Sends a mail beside whatever goes on. What comes back tells, once, what became of the first attempt; nobody need wait.
    pub fn post(&self, letter: Letter) -> oneshot::Receiver<Posted> {
        let (told, first) = oneshot::channel();
        let place = Arc::clone(&self.line.places).try_acquire_owned().ok();
        let (Some(inner), Some(place)) = (&self.inner, place) else {
            letter.given_up(if self.inner.is_some() {
                "too many mails wait"
            } else {
                "[mail] has no `from`"
            });
            let _ = told.send(Posted::Refused);
            return first;
        };
        let inner = Arc::clone(inner);
        tokio::spawn(async move {
            inner.send(letter, told).await;
            drop(place);
        });
        first
    }

    /// Has what waits tried once more, and waits for the end of it.
    pub async fn finish(&self) {
        self.line.stopping.send_replace(true);
        let _all = self.line.places.acquire_many(MOST).await;
    }
}

impl Letter {
    fn given_up(&self, why: impl fmt::Display) {
        let (id, site, user, mail) =
            (self.request_id.as_str(), self.site.as_str(), loggable_user(&self.user), self.kind);
        tracing::error!(id, site, user, mail, %why, "a mail is given up; its recipient must ask again");
    }
}

impl Inner {
    async fn send(&self, letter: Letter, told: oneshot::Sender<Posted>) {
        let (id, site, mail) = (letter.request_id.as_str(), letter.site.as_str(), letter.kind);
        let message = match self.build(&letter) {
            Ok(message) => message,
            Err(error) => {
                letter.given_up(error);
                let _ = told.send(Posted::Refused);
                return;
            }
        };
        let mut told = Some(told);
        let mut tell = |posted| told.take().map(|told| told.send(posted));
        let mut stopping = self.line.stopping.subscribe();
        let mut wait = FIRST_WAIT;
        for attempt in 1..=MOST_ATTEMPTS {
            let last = *stopping.borrow();
            let reply = self.hand_over(&letter, &message).await;
            if reply.is_ok() {
                tell(Posted::Sent);
                tracing::info!(id, site, user = loggable_user(&letter.user), mail, attempt, "mail sent");
                return;
            }
            let why = reply.to_string().trim_end().replace("\r\n", " ");
            // The server has judged: it would judge so again (RFC 5321, section 4.2.1).
            if reply.code >= 500 {
                letter.given_up(why);
                tell(Posted::Refused);
                return;
            }
            tell(Posted::Waiting);
            if last || attempt == MOST_ATTEMPTS || self.clock.now().after(wait) >= letter.until {
                letter.given_up(why);
                return;
            }
            tracing::warn!(
                id,
                site,
                mail,
                attempt,
                why,
                seconds = wait.as_secs(),
                "the mail server does not take a mail; trying again"
            );
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    async fn hand_over(&self, letter: &Letter, message: &Message) -> Reply {
        let Ok(_room) = self.line.room.acquire().await else { return Reply::later("4.3.2 stopping") };
        let from = letter.content.from.as_ref().unwrap_or(&self.from);
        let is_ascii = |address: &Address| address.to_string().is_ascii();
        let utf8 = !is_ascii(&from.email) || !is_ascii(&letter.to);
        let (mut delivery, _) = match self.next.begin(&format!("<{}>", from.email), utf8).await {
            Ok(begun) => begun,
            Err(reply) => return reply,
        };
        let reply = delivery.recipient(&format!("<{}>", letter.to)).await;
        if !reply.is_ok() {
            delivery.abandon().await;
            return reply;
        }
        let mut bytes = message.formatted();
        if !bytes.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        let number = self.line.mails.fetch_add(1, Ordering::Relaxed);
        let unique: [u8; 4] = random::bytes(&*self.random);
        let file =
            format!("{}-own-{:08x}-{number:x}", self.clock.now().as_millis(), u32::from_be_bytes(unique));
        delivery.message(bytes, &file).await
    }

    fn build(&self, letter: &Letter) -> Result<Message, String> {
        let content = &letter.content;
        let now = Duration::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap_or(0));
        // An answering machine must not answer (RFC 3834, section 5).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(content.from.clone().unwrap_or_else(|| self.from.clone()))
            .to(Mailbox::new(None, letter.to.clone()))
            .subject(content.subject.as_str())
            .date(SystemTime::UNIX_EPOCH + now)
            .message_id(Some(format!("<{}@{}>", random::token::<16>(&*self.random), self.host)))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(content.text.clone(), content.html.clone()))
            .map_err(|error| format!("it cannot be built: {error}"))
    }
}
