//! To the backend and back: one exchange, with the connection pool, the retry and the deadlines around it.
//!
//! The gate decides and hands over an [`Outgoing`]; [`Upstream::exchange`] chooses a backend and gives back its response
//! or a [`Fault`] that says on whose side it broke. What the backend sends is checked before it is used: a
//! response that is delimited in two ways, or an upgrade nobody asked for, is a fault, and its connection is
//! never used again.
//!
//! Rules that follow from how waitress and ZServer behave (they close idle connections without a word, answer
//! `HEAD` with a body, and refuse chunked requests):
//! - A request that must not be sent twice travels on a new connection, so it cannot meet one that is just being
//!   closed. One that may be repeated uses the pool, and is sent again once when a *reused* connection died.
//! - Where a connection cannot be made nothing was sent, so any request goes to another backend then, once. Which are up, all
//!   workers know together: [`Standing`].
//! - `HEAD` travels on a connection of its own, which ends with it.
//! - An answer that breaks off right behind its head is a fault like one that has none: nothing of it was passed on yet.
//! - A body always has a `Content-Length`; one of unknown length is spooled first.
//! - The backends of a site work on so many requests at once, and on fewer of strangers: [`Load`].

mod body;
mod head;
mod load;
mod pace;
mod pool;
mod settings;
mod spool;
mod standing;
mod tunnel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};

use self::body::Progress;
pub use self::body::{BoxError, Inspect, RequestBody, ResponseBody};
pub use self::head::{Destination, Outgoing};
pub(crate) use self::load::RETRY_AFTER;
pub use self::load::{Bounds, Class, Entry, Load, Slot};
pub use self::pool::Security;
use self::pool::{Connection, Line};
pub use self::settings::{HealthCheck, HealthPath, Pause, Settings};
pub(crate) use self::spool::Memory;
pub use self::spool::{Strangers, UNREADABLE, spool};
pub(crate) use self::standing::Seat;
pub use self::standing::{Member, Standing, Whom};
pub use self::tunnel::{tunnel, upgrade_token};

/// What went wrong with an exchange, and on whose side.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No connection to the backend.
    #[error("cannot connect to the backend: {0}")]
    Connect(#[source] std::io::Error),
    /// Connecting took too long.
    #[error("connecting to the backend took longer than {0:?}")]
    ConnectTimeout(Duration),
    /// The backend broke the exchange off before it answered.
    #[error("the backend broke off before it answered")]
    BrokenOff(#[source] hyper::Error),
    /// The backend broke off behind the head of its answer, before any of that was passed on.
    #[error("the backend broke off behind the head of its answer")]
    CutShort(#[source] hyper::Error),
    /// The backend did not answer in time.
    #[error("the backend did not answer within {0:?}")]
    ResponseTimeout(Duration),
    /// The backend's answer cannot be read in one way.
    #[error("the backend's response is malformed: {0}")]
    Malformed(&'static str),
    /// The request body is larger than the site takes.
    #[error("the request body is too large")]
    BodyTooLarge,
    /// The client broke off, or stalled, while it sent the body.
    #[error("the client did not send the whole body")]
    ClientBody,
    /// The body may not go to the backend; the inspection that found out says why.
    #[error("the request body is refused: {0}")]
    BodyRefused(&'static str),
    /// The body could not be kept until its length was known.
    #[error("cannot spool the request body: {0}")]
    Spool(#[source] std::io::Error),
    /// Too many bodies of strangers are held already.
    #[error("too many bodies of unknown length at once")]
    Crowded,
    /// The backends work on as many requests as they may.
    #[error("too many requests at once")]
    Overloaded,
    /// The request cannot be written down for the backend.
    #[error("the request cannot be forwarded: {0}")]
    Request(#[source] http::Error),
}

impl Fault {
    /// Its name in the log.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::Connect(_) => "backend_unreachable",
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) => "backend_timeout",
            Self::BrokenOff(_) | Self::CutShort(_) => "backend_broke_off",
            Self::Malformed(_) => "backend_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientBody => "client_broke_off",
            Self::BodyRefused(_) => "body_refused",
            Self::Spool(_) => "spool_failed",
            Self::Crowded => "spool_crowded",
            Self::Overloaded => "overloaded",
            Self::Request(_) => "not_forwardable",
        }
    }

    /// Whether there was no connection, so that nothing has been sent.
    pub const fn is_unsent(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::ConnectTimeout(_))
    }

    /// The status that answers it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Connect(_) | Self::BrokenOff(_) | Self::CutShort(_) | Self::Malformed(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientBody => StatusCode::REQUEST_TIMEOUT,
            Self::BodyRefused(_) => StatusCode::FORBIDDEN,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Spool(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Crowded | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The backends of a site as one worker sees them: with its own connections to each.
pub struct Upstream {
    lines: Vec<Line>,
    standing: Arc<Standing>,
    settings: Settings,
}

impl Upstream {
    /// Without connections.
    pub fn new(standing: Arc<Standing>, settings: Settings) -> Self {
        let lines = standing.members().map(|member| Line::new(member.clone(), settings.clone())).collect();
        Self { lines, standing, settings }
    }

    /// The settings of its site.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How its backends are doing.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Sends `outgoing` with `body` to one of the backends and waits for the head of the response.
    ///
    /// Where there is no connection to be had nothing has been sent, and another backend is tried, once. Dropping the future, or
    /// the body of the response, cancels the exchange at the backend.
    ///
    /// # Errors
    /// Any [`Fault`]; the connection is not used again after one.
    pub async fn exchange(
        &self,
        outgoing: &Outgoing<'_>,
        body: RequestBody,
        whom: Option<Whom>,
    ) -> Result<Response<ResponseBody>, Fault> {
        let repeatable = is_idempotent(outgoing.method()) && matches!(body, RequestBody::Empty);
        let may_pool = repeatable && *outgoing.method() != Method::HEAD && !outgoing.is_upgrade();
        let mut at = self.standing.choose(whom, None).unwrap_or(0);
        let mut seat = self.standing.enter(at);
        let idle = self.lines.get(at).filter(|_| may_pool).and_then(Line::take_idle);
        if let Some(connection) = idle {
            match self.attempt(connection, outgoing, RequestBody::Empty, seat).await {
                Err(Fault::BrokenOff(error)) => {
                    tracing::debug!(%error, "an idle connection had died; sending once more")
                }
                outcome => {
                    self.remember(at, &outcome);
                    return outcome;
                }
            }
            seat = self.standing.enter(at);
        }
        let mut connected = self.connect(at).await;
        if connected.is_err()
            && let Some(other) = self.standing.choose(whom, Some(at))
        {
            (at, seat) = (other, self.standing.enter(other));
            connected = self.connect(at).await;
        }
        let outcome = self.attempt(connected?, outgoing, body, seat).await;
        self.remember(at, &outcome);
        outcome
    }

    /// What came of an exchange says something of the backend.
    fn remember<T>(&self, at: usize, outcome: &Result<T, Fault>) {
        match outcome {
            Ok(_) | Err(Fault::CutShort(_)) => self.standing.worked(at),
            // Nonsense is an answer too: there is a backend, and the request may have been what it could not bear.
            Err(Fault::BrokenOff(error)) if !error.is_parse() && !error.is_user() => self.standing.failed(at),
            Err(Fault::ResponseTimeout(_)) => self.standing.was_silent(at),
            Err(_) => {}
        }
    }

    /// Asks one backend, on a connection of its own, whether it serves, and remembers what it says.
    pub async fn check(&self, at: usize, outgoing: &Outgoing<'_>, limit: Duration) {
        let asked = async {
            let connection = self.connect(at).await?;
            self.attempt(connection, outgoing, RequestBody::Empty, self.standing.enter(at)).await
        };
        let answered = tokio::time::timeout(limit, asked).await;
        let is_up = matches!(answered, Ok(Ok(response)) if !response.status().is_server_error());
        self.standing.checked(at, is_up);
    }

    async fn connect(&self, at: usize) -> Result<Connection, Fault> {
        let Some(line) = self.lines.get(at) else {
            return Err(Fault::Connect(std::io::ErrorKind::AddrNotAvailable.into()));
        };
        line.connect().await.inspect_err(|_| self.standing.failed(at))
    }

    async fn attempt(
        &self,
        mut connection: Connection,
        outgoing: &Outgoing<'_>,
        body: RequestBody,
        seat: Seat,
    ) -> Result<Response<ResponseBody>, Fault> {
        let progress = body.progress();
        let request = outgoing.request(body).map_err(Fault::Request)?;
        let vigil = Vigil { seat: Some(&seat), progress: &progress, since: Instant::now() };
        let response =
            progress.deadline(self.settings.response_timeout.as_duration(), connection.send(request)).await;
        vigil.over();
        progress.leave();
        if let Some(fault) = progress.fault() {
            return Err(fault);
        }
        let mut response = match response {
            None if progress.is_sending() => return Err(Fault::ClientBody),
            None => return Err(Fault::ResponseTimeout(self.settings.response_timeout.as_duration())),
            Some(Err(error)) => return Err(Fault::BrokenOff(error)),
            Some(Ok(response)) => response,
        };
        check_framing(&mut response, outgoing)?;
        let lease = connection.lease(outgoing.may_reuse(), seat);
        let (parts, body) = response.into_parts();
        let mut body = ResponseBody::new(body, lease, self.settings.idle_timeout.as_duration());
        body.begin().await.map_err(Fault::CutShort)?;
        Ok(Response::from_parts(parts, body))
    }
}

/// Waits for an answer; if it is dropped meanwhile, its visitor has left.
struct Vigil<'a> {
    seat: Option<&'a Seat>,
    progress: &'a Progress,
    since: Instant,
}

impl Vigil<'_> {
    fn over(mut self) {
        self.seat = None;
    }
}

impl Drop for Vigil<'_> {
    fn drop(&mut self) {
        // While the visitor was still sending, the backend owed nothing.
        if let Some(seat) = self.seat.filter(|_| !self.progress.is_sending()) {
            seat.was_left(self.since.elapsed());
        }
    }
}

/// RFC 9110, section 9.2.2, as far as a CMS keeps to it: `PUT` and `DELETE` of a workflow-driven CMS are left out.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH")
}

/// What hyper's client lets through and a gate must not (facts: unknown or doubled `Transfer-Encoding`, both
/// framings at once, an unsolicited 101; and of answers that never have a body, to `HEAD` or 304, any lengths at all).
fn check_framing<B>(response: &mut Response<B>, outgoing: &Outgoing<'_>) -> Result<(), Fault> {
    let mut encodings = response.headers().get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some() {
            return Err(Fault::Malformed("a Transfer-Encoding other than chunked"));
        }
        if response.headers().contains_key(CONTENT_LENGTH) {
            return Err(Fault::Malformed("both Transfer-Encoding and Content-Length"));
        }
        if response.version() == Version::HTTP_10 {
            return Err(Fault::Malformed("a Transfer-Encoding in HTTP/1.0"));
        }
    }
    if let Some(length) = one_length(response.headers())? {
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !outgoing.asked_for(response.headers()) {
        return Err(Fault::Malformed("a switch of protocols that was not asked for"));
    }
    Ok(())
}

/// The one value of several equal lengths, to be written instead of them (RFC 9110, section 8.6); `None` where nothing is to change.
fn one_length(headers: &HeaderMap) -> Result<Option<HeaderValue>, Fault> {
    let mut first: Option<(&[u8], u64)> = None;
    let mut is_repeated = false;
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    for text in lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')) {
        let text = text.trim_ascii();
        let digits =
            std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(length) = digits.and_then(|digits| digits.parse().ok()) else {
            return Err(Fault::Malformed("a Content-Length that is no number"));
        };
        is_repeated |= first.is_some();
        if first.get_or_insert((text, length)).1 != length {
            return Err(Fault::Malformed("two different lengths"));
        }
    }
    Ok(first.filter(|_| is_repeated).and_then(|(text, _)| HeaderValue::from_bytes(text).ok()))
}

/// One frame of a body with nothing in it but `bytes`.
pub(crate) fn full(bytes: impl Into<Bytes>) -> http_body_util::Full<Bytes> {
    http_body_util::Full::new(bytes.into())
}
