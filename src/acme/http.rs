//! Requests to the ACME server, with every surprise of an HTTP client switched off: https alone, the authorities we are told, no
//! redirects, no proxy from the environment, and a bound for every time and size. A server that is not what it should be costs
//! an attempt, and not the gate.

use std::cell::Cell;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::clock::{Clock as _, SystemClock};
use crate::tls;

const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(30);
/// The most of an answer that is read, in bytes: a directory is 1 KiB, a chain of certificates 10 KiB.
const LARGEST: usize = 256 << 10;
/// The longest wait that a server is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

tokio::task_local! {
    /// How long the server asked this attempt to wait, when it last refused something.
    pub(super) static ASKED_TO_WAIT: Cell<Option<Duration>>;
}

pub(super) struct Http(reqwest::Client);

impl Http {
    /// With the authorities in `ca`, or else those that this machine trusts.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, String> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(ca)?.as_ref().clone())
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .build()
            .map(Self)
            .map_err(|error| format!("the ACME client cannot be set up: {}", root(&error)))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let host = parts.uri.authority().map(ToString::to_string).unwrap_or_default();
            let failed = |error: &reqwest::Error| other(format!("{host} cannot be asked: {}", root(error)));
            let sent = client
                .request(parts.method, parts.uri.to_string())
                .headers(parts.headers)
                .body(body.to_bytes())
                .send();
            let mut got = sent.await.map_err(|error| failed(&error))?;
            let mut read = BytesMut::new();
            while let Some(chunk) = got.chunk().await.map_err(|error| failed(&error))? {
                if read.len() + chunk.len() > LARGEST {
                    return Err(other(format!("{host} answers with more than {} KiB", LARGEST >> 10)));
                }
                read.extend_from_slice(&chunk);
            }
            let mut response = Response::new(Full::new(read.freeze()));
            *response.status_mut() = got.status();
            *response.headers_mut() = std::mem::take(got.headers_mut());
            let wait = bound_wait(response.headers_mut());
            if response.status().is_client_error() || response.status().is_server_error() {
                // Outside an attempt nobody waits.
                let _ = ASKED_TO_WAIT.try_with(|asked| asked.set(wait));
            }
            Ok(BytesResponse::from(response))
        })
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3), and leaves a number of seconds that nothing overflows with.
fn bound_wait(headers: &mut HeaderMap) -> Option<Duration> {
    let value = headers.remove(RETRY_AFTER)?;
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse().map(Duration::from_secs) {
        Ok(wait) => wait,
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let now = SystemClock.now().as_millis();
            Duration::from_millis(u64::try_from(until.as_millisecond().saturating_sub(now)).unwrap_or(0))
        }
    };
    let wait = wait.min(LONGEST_WAIT);
    headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    Some(wait)
}

fn other(sentence: String) -> Error {
    Error::Other(sentence.into())
}

/// What lies at the bottom of an error: what is above says only that a request failed.
fn root(error: &reqwest::Error) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(source) = root.source() {
        root = source;
    }
    if error.is_timeout() { "it takes too long".to_owned() } else { root.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_that_a_server_asks_for_is_longer_than_a_day() {
        for (text, expected) in [
            ("120", Some(120)),
            ("18446744073709551615", Some(86_400)),
            ("Fri, 01 Jan 2100 00:00:00 GMT", Some(86_400)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            let wait = bound_wait(&mut headers);
            assert_eq!(wait.map(|wait| wait.as_secs()), expected, "{text}");
            let left = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(left, expected.map(|seconds| seconds.to_string()), "{text}");
        }
    }
}
