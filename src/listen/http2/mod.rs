//! One connection of HTTP/2, with every limit set.
//!
//! Only behind TLS, by ALPN; an upgrade in clear text (h2c) is neither offered nor passed on. What a connection can make the
//! gate hold is bounded by the product of the numbers below; what it can make it do, by [`Frames`]; how long, by [`Streams`].

mod streams;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::streams::{State, Streams};
use super::Stop;
use super::frames::Frames;
use super::parting::Parting;
use super::serve::told;
use super::strict::LARGEST_HEAD;
use crate::gate::{Arrival, Worker};

/// Requests at once on one connection: the least that RFC 9113, section 6.5.2, recommends, and what nginx allows is only a little more.
const MOST_STREAMS: u32 = 100;
/// Requests that were reset before the gate looked at them; one more ends the connection (CVE-2023-44487). h2's own default.
const MOST_PENDING_RESETS: usize = 20;
/// Streams that h2 itself had to reset for what the client sent on them; one more ends the connection ("MadeYouReset",
/// CVE-2025-8671). h2's default is 1,024, which is no number that an honest client reaches.
const MOST_LOCAL_RESETS: usize = 64;
/// What a client may send of one request body before the backend has taken any: 256 KiB, 10 MB/s at 25 ms.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all bodies of a connection together: what a connection can make the gate hold of bodies.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is held of one answer that the client does not read yet; with the streams above, 3 MiB for a connection, and no
/// longer than `server.write_timeout`.
const SEND_BUFFER: usize = 32 * 1024;
/// The dynamic table for header compression (RFC 7541, section 4.2); the protocol's default.
const HEADER_TABLE: u32 = 4096;
/// A frame; the protocol's least, since larger ones only make others wait.
const FRAME: u32 = 16 * 1024;
/// A client that may have gone without a word is asked after so long without a frame, and given so long to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// A client that was told to go, and has nothing to wait for, gets so long to say that it heard: some round trips, in which what
/// it was just asking may still arrive (RFC 9113, section 6.8).
const FAREWELL: Duration = Duration::from_secs(1);
/// How often streams are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Serves requests until the client or the gate has had enough.
pub(super) async fn serve<S>(
    stream: S,
    arrival: Arrival,
    worker: &Arc<Worker>,
    stopped: &mut watch::Receiver<Stop>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = worker.shared();
    let server = &shared.config.server;
    let streams =
        Arc::new(Streams::new(server.header_timeout.as_duration(), server.write_timeout.as_duration()));
    let answered = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (worker, streams) = (Arc::clone(worker), Arc::clone(&streams));
        async move {
            let asked = streams.begin();
            let answer = worker.handle(arrival, request).await;
            answer.map(|answer| answer.map(|body| Parting::new(asked.answer(body))))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_pending_accept_reset_streams(MOST_PENDING_RESETS)
        .max_local_error_reset_streams(MOST_LOCAL_RESETS)
        .max_header_list_size(LARGEST_HEAD as u32)
        .header_table_size(HEADER_TABLE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .serve_connection(TokioIo::new(Frames::new(stream, Arc::clone(&answered))), service);
    let mut connection = std::pin::pin!(connection);
    let mut ticks = tokio::time::interval(LOOK);
    let (mut told_to_go, mut stopping, mut quiet_since) = (false, false, None);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = told(stopped), if !stopping => {
                stopping = true;
                if !std::mem::replace(&mut told_to_go, true) {
                    answered.store(false, Ordering::Relaxed);
                    connection.as_mut().graceful_shutdown();
                }
            }
            now = ticks.tick() => {
                let state = streams.look();
                match state {
                    State::Stuck => return Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads no answer")),
                    State::Idle if !told_to_go => {
                        told_to_go = true;
                        answered.store(false, Ordering::Relaxed);
                        connection.as_mut().graceful_shutdown();
                    }
                    _ => {}
                }
                // hyper asks by a PING whether it was heard, and waits for the answer for ever. Who answers is there, and may still
                // be reading what hyper holds for it; so only who does not is left.
                if !told_to_go || state == State::Busy || answered.load(Ordering::Relaxed) {
                    quiet_since = None;
                } else if now - *quiet_since.get_or_insert(now) >= FAREWELL {
                    return Ok(());
                }
            }
        }
    }
}
