//! Connections that stop being HTTP: WebSocket and other upgrades.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

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

/// Carries bytes both ways until one side ends, or `until` does (the session that opened the tunnel).
pub async fn tunnel(
    client: OnUpgrade,
    mut response: Response<ResponseBody>,
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
    tokio::select! {
        () = copy(client, backend) => {}
        () = until => tracing::debug!("a tunnel ends with its session"),
    }
}

async fn copy(client: Upgraded, backend: Upgraded) {
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "a tunnel broke");
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
