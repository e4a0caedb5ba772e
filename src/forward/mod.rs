//! To the backend and back: one exchange, with the connection pool, the retry and the deadlines around it.
//!
//! The gate decides and hands over an [`Outgoing`]; [`Upstream::exchange`] gives back the backend's response
//! or a [`Fault`] that says on whose side it broke. What the backend sends is checked before it is used: a
//! response that is delimited in two ways, or an upgrade nobody asked for, is a fault, and its connection is
//! never used again.
//!
//! Rules that follow from how waitress and ZServer behave (they close idle connections without a word, answer
//! `HEAD` with a body, and refuse chunked requests):
//! - A request that must not be sent twice travels on a new connection, so it cannot meet one that is just being
//!   closed. One that may be repeated uses the pool, and is sent again once when a *reused* connection died.
//! - `HEAD` travels on a connection of its own, which ends with it.
//! - A body always has a `Content-Length`; one of unknown length is spooled first.

mod body;
mod head;
mod pace;
mod pool;
mod spool;
mod tunnel;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Response, StatusCode};
use serde::Deserialize;

pub use self::body::{BoxError, Inspect, RequestBody, ResponseBody};
pub use self::head::{Destination, Outgoing};
pub use self::pool::{Security, Upstream};
pub use self::spool::{Strangers, spool};
pub use self::tunnel::{tunnel, upgrade_token};
use crate::config::values::{Size, Span};

/// `[site.forward]` of `proxy.toml`: how patient the gate is with the backend, and what it sends there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long connecting may take; 5 s.
    pub connect_timeout: Span,
    /// How long the backend may think, once it has the whole request; 2 min. Also how long a body being sent may stand still.
    pub response_timeout: Span,
    /// How long a response being received may stand still; 1 min.
    pub idle_timeout: Span,
    /// How long a tunnel (WebSocket) may be without a byte either way; 1 h. `"0"`: any time.
    pub tunnel_idle_timeout: Span,
    /// How long an unused connection is kept; 50 s. Below the backend's own limit (waitress: 120 s, ZServer: 60 s).
    pub keep_alive: Span,
    /// The largest request body; 4 GiB.
    pub body_limit: Size,
    /// How many bytes a second of a request body a client must send, once it has had 30 s; 500 B. `"0"` waits for any.
    pub body_rate: Size,
    /// The authorities by which an https backend's certificate is judged, PEM; those the system trusts.
    pub ca: Option<PathBuf>,
    /// How much of a body of unknown length, or of one that is translated on its way, is held in memory before it goes to a file; 256 KiB.
    pub spool_above: Size,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Span::seconds(5),
            response_timeout: Span::minutes(2),
            idle_timeout: Span::minutes(1),
            tunnel_idle_timeout: Span::minutes(60),
            keep_alive: Span::seconds(50),
            body_limit: Size::bytes(4 << 30),
            body_rate: Size::bytes(500),
            ca: None,
            spool_above: Size::bytes(256 << 10),
        }
    }
}

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
            Self::BrokenOff(_) => "backend_broke_off",
            Self::Malformed(_) => "backend_malformed",
            Self::BodyTooLarge => "body_too_large",
            Self::ClientBody => "client_broke_off",
            Self::BodyRefused(_) => "body_refused",
            Self::Spool(_) => "spool_failed",
            Self::Crowded => "spool_crowded",
            Self::Request(_) => "not_forwardable",
        }
    }

    /// The status that answers it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Connect(_) | Self::BrokenOff(_) | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout(_) | Self::ResponseTimeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientBody => StatusCode::REQUEST_TIMEOUT,
            Self::BodyRefused(_) => StatusCode::FORBIDDEN,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Spool(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Upstream {
    /// Sends `outgoing` with `body` and waits for the head of the response.
    ///
    /// Dropping the future, or the body of the response, cancels the exchange at the backend.
    ///
    /// # Errors
    /// Any [`Fault`]; the connection is not used again after one.
    pub async fn exchange(
        &self,
        outgoing: &Outgoing<'_>,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, Fault> {
        let repeatable = is_idempotent(outgoing.method()) && matches!(body, RequestBody::Empty);
        if !repeatable || *outgoing.method() == Method::HEAD || outgoing.is_upgrade() {
            let connection = self.connect().await?;
            return self.attempt(connection, outgoing, body).await;
        }
        if let Some(connection) = self.take_idle() {
            match self.attempt(connection, outgoing, RequestBody::Empty).await {
                Err(Fault::BrokenOff(error)) => {
                    tracing::debug!(%error, "an idle connection had died; sending once more")
                }
                outcome => return outcome,
            }
        }
        let connection = self.connect().await?;
        self.attempt(connection, outgoing, RequestBody::Empty).await
    }

    async fn attempt(
        &self,
        mut connection: pool::Connection,
        outgoing: &Outgoing<'_>,
        body: RequestBody,
    ) -> Result<Response<ResponseBody>, Fault> {
        let progress = body.progress();
        let request = outgoing.request(body).map_err(Fault::Request)?;
        let response =
            progress.deadline(self.settings().response_timeout.as_duration(), connection.send(request)).await;
        if let Some(fault) = progress.fault() {
            return Err(fault);
        }
        let response = match response {
            None if progress.is_sending() => return Err(Fault::ClientBody),
            None => return Err(Fault::ResponseTimeout(self.settings().response_timeout.as_duration())),
            Some(Err(error)) => return Err(Fault::BrokenOff(error)),
            Some(Ok(response)) => response,
        };
        check_framing(&response, outgoing)?;
        let lease = self.lease(connection, outgoing.may_reuse());
        Ok(response.map(|body| ResponseBody::new(body, lease, self.settings().idle_timeout.as_duration())))
    }
}

/// RFC 9110, section 9.2.2, as far as a CMS keeps to it: `PUT` and `DELETE` of a workflow-driven CMS are left out.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH")
}

/// What hyper's client lets through and a gate must not (facts: unknown or doubled `Transfer-Encoding`, both
/// framings at once, an unsolicited 101).
fn check_framing<B>(response: &Response<B>, outgoing: &Outgoing<'_>) -> Result<(), Fault> {
    let mut encodings = response.headers().get_all(TRANSFER_ENCODING).iter();
    if let Some(encoding) = encodings.next() {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some() {
            return Err(Fault::Malformed("a Transfer-Encoding other than chunked"));
        }
        if response.headers().contains_key(CONTENT_LENGTH) {
            return Err(Fault::Malformed("both Transfer-Encoding and Content-Length"));
        }
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !outgoing.asked_for(response.headers()) {
        return Err(Fault::Malformed("a switch of protocols that was not asked for"));
    }
    Ok(())
}

/// One frame of a body with nothing in it but `bytes`.
pub(crate) fn full(bytes: impl Into<Bytes>) -> http_body_util::Full<Bytes> {
    http_body_util::Full::new(bytes.into())
}
