//! One connection of HTTP/1.

use std::io;
use std::sync::Arc;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Stop;
use super::parting::Parting;
use super::serve::told;
use super::strict::{LARGEST_HEAD, MOST_FIELDS, Strict, Watch};
use crate::gate::{Arrival, Worker};

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
    let header_timeout = worker.shared().config.server.header_timeout.as_duration();
    let watch = Arc::new(Watch::default());
    // hyper's own clock also runs while nothing is asked, and closes without a word. The layer's answers 408, so it is the faster.
    let stream = Strict::new(stream, Arc::clone(&watch), header_timeout.mul_f32(0.9));
    let service = service_fn(|request| {
        let arrival = Arrival { refused: watch.refused(), ..arrival };
        let (worker, watch) = (Arc::clone(worker), Arc::clone(&watch));
        Box::pin(async move {
            let answer = worker.handle(arrival, request).await;
            if matches!(&answer, Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS) {
                watch.open();
            }
            answer.map(|answer| answer.map(Parting::new))
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    ended.map_err(io::Error::other)
}
