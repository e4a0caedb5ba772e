//! A visitor of the public side: one who names the public host, keeps cookies, and follows nothing by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::config::url::SiteUrl;
use crate::tls;

/// The most of an answer that is read, in bytes. What is longer is a file, and what is a file is passed on as it is.
const LARGEST: usize = 4 << 20;
/// How long an answer may take, all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A visitor.
pub(super) struct Visitor {
    client: reqwest::Client,
    /// Where connections go to, with the public name where that is a name.
    to: Url,
    host: String,
    cookies: BTreeMap<String, String>,
}

/// What came back.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// As much of it as was read.
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn is_html(&self) -> bool {
        self.header(&CONTENT_TYPE).is_some_and(|kind| kind.contains("html"))
    }

    pub(super) fn location(&self) -> Option<&str> {
        self.header(&LOCATION)
    }
}

impl Visitor {
    /// A visitor of `public`, connecting to `at` if that is given.
    pub(super) fn new(public: &SiteUrl, at: Option<&Url>) -> Result<Self, String> {
        let mut to: Url =
            public.origin().parse().map_err(|error| format!("{public} is no address: {error}"))?;
        let trust = if to.scheme() == "https" || at.is_some_and(|at| at.scheme() == "https") {
            tls::client_config(None)?
        } else {
            tls::trusting_nobody()?
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured((*trust).clone())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .connect_timeout(Duration::from_secs(10))
            .timeout(PATIENCE);
        if let Some(at) = at {
            let name = public.host().name();
            let is_name = name.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
            let (to_host, port) =
                (at.host_str().unwrap_or_default(), at.port_or_known_default().unwrap_or(80));
            if is_name {
                // So that a certificate is asked for, and checked, by the public name.
                let found: Vec<SocketAddr> = (to_host.trim_matches(['[', ']']), port)
                    .to_socket_addrs()
                    .map_err(|error| format!("no address is known for {to_host}: {error}"))?
                    .collect();
                builder = builder.resolve_to_addrs(name, &found);
                let changed = to.set_scheme(at.scheme()).is_ok() && to.set_port(Some(port)).is_ok();
                debug_assert!(changed, "http and https can be changed for each other");
            } else {
                to = at.clone();
            }
        }
        let client = builder.build().map_err(|error| format!("cannot speak HTTP: {error}"))?;
        Ok(Self { client, to, host: public.authority(), cookies: BTreeMap::new() })
    }

    /// Whether what it sends can be read on the way, though the public address promises that it cannot.
    pub(super) fn is_overheard(&self, public: &SiteUrl, at: Option<&Url>) -> bool {
        let loopback = at.is_some_and(|at| match at.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        });
        self.to.scheme() == "http" && public.scheme().as_str() == "https" && !loopback
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request; a form, if there are fields.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        fields: Option<&[(&str, &str)]>,
    ) -> Result<Answer, String> {
        let target = self.to.join(path).map_err(|error| format!("{path} is no path: {error}"))?;
        let mut request = self
            .client
            .request(method, target)
            .header(HOST, &self.host)
            .header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(ACCEPT_ENCODING, "identity");
        if !self.cookies.is_empty() {
            let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
            request = request.header(COOKIE, pairs.collect::<Vec<_>>().join("; "));
        }
        if let Some(fields) = fields {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let mut response = request.send().await.map_err(|error| why(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        headers.get_all(SET_COOKIE).iter().for_each(|cookie| self.keep(cookie.as_bytes()));
        let mut body = Vec::new();
        while body.len() < LARGEST {
            match response.chunk().await.map_err(|error| why(&error))? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => break,
            }
        }
        Ok(Answer { status, headers, body })
    }

    fn keep(&mut self, cookie: &[u8]) {
        let Ok(cookie) = cookie::Cookie::parse(String::from_utf8_lossy(cookie)) else { return };
        if cookie.max_age().is_some_and(|age| !age.is_positive()) {
            self.cookies.remove(cookie.name());
        } else {
            self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        }
    }
}

/// Why there is no answer, down to the cause: it is the operator who reads it.
fn why(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = next.to_string();
        cause = next.source();
    }
    text
}
