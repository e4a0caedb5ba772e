//! Connections that stop being HTTP: WebSocket and other upgrades.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ResponseBody;

/// The protocol a request asks to switch to, when it asks properly (RFC 9110, section 7.8): one `Upgrade` with one
/// protocol, announced in `Connection`. Never HTTP/2 in clear text, by which a client would speak past the gate
/// (h2c smuggling).
pub fn upgrade_token(headers: &HeaderMap) -> Option<&HeaderValue> {
    let announced = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let mut lines = headers.get_all(UPGRADE).iter();
    let token = lines.next().filter(|_| announced && lines.next().is_none())?;
    let text = token.as_bytes();
    let plain =
        !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(byte));
    let http2 = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
        || text.eq_ignore_ascii_case(b"h2");
    (plain && !http2).then_some(token)
}

/// Carries bytes both ways until one side ends, none come either way for `silence` (zero: any time), or `until` does (the
/// session that opened the tunnel).
pub async fn tunnel(
    client: OnUpgrade,
    mut response: Response<ResponseBody>,
    silence: Duration,
    until: impl Future<Output = ()>,
) {
    // The response keeps the connection alive until it is a tunnel.
    let backend = hyper::upgrade::on(&mut response);
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return;
        }
    };
    let heard = Heard::default();
    tokio::select! {
        () = copy(client, backend, &heard) => {}
        () = heard.nothing_for(silence) => tracing::debug!("a tunnel ends in which nobody says anything"),
        () = until => tracing::debug!("a tunnel ends with its session"),
    }
}

async fn copy(client: Upgraded, backend: Upgraded, heard: &Heard) {
    let listening = |end| Listening { end: TokioIo::new(end), heard: heard.clone() };
    let (mut client, mut backend) = (listening(client), listening(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "a tunnel broke");
    }
}

/// Whether anything has come since it was last asked.
#[derive(Clone, Default)]
struct Heard(Arc<AtomicBool>);

impl Heard {
    /// Returns after a whole `silence` without a byte, at the latest after two.
    async fn nothing_for(&self, silence: Duration) {
        if silence.is_zero() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(silence).await;
            if !self.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// An end of a tunnel that notes what is read from it.
struct Listening {
    end: TokioIo<Upgraded>,
    heard: Heard,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.end).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.heard.0.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Listening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.end).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_properly_asked_upgrade_is_one() {
        for (name, connection, upgrades, expected) in [
            ("websocket", "Upgrade", &["websocket"][..], true),
            ("among options", "keep-alive, upgrade", &["websocket"], true),
            ("not announced", "keep-alive", &["websocket"], false),
            ("none", "upgrade", &[], false),
            ("two lines", "upgrade", &["websocket", "h2c"], false),
            ("list", "upgrade", &["websocket, h2c"], false),
            ("h2c smuggling", "upgrade, http2-settings", &["h2c"], false),
            ("h2c in capitals", "upgrade", &["H2C"], false),
            ("h2c with a version", "upgrade", &["h2c/1"], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, connection.parse().unwrap());
            upgrades.iter().for_each(|upgrade| {
                headers.append(UPGRADE, upgrade.parse().unwrap());
            });
            assert_eq!(upgrade_token(&headers).is_some(), expected, "{name}");
        }
    }
}
