//! One request to the CMS and its answer, with every surprise of an HTTP client switched off.
//!
//! No proxy from the environment (passwords would go there), no redirects (they are evidence, not
//! orders), no decompression, no reuse of connections (an old server's leftovers must not become
//! somebody's answer), a cap on every time and size.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rustls::ClientConfig;
use url::Url;

use super::answer::Answer;
use super::body::Body;
use super::{Asker, BackendError, BackendSettings};
use crate::forward::{Standing, Whom};
use crate::secret::Secret;
use crate::tls;

/// The most of an answer that is read, in bytes: a page of an old CMS is 10 to 100 KiB.
const ANSWER_CAP: usize = 2 << 20;

/// The way to one backend.
pub(super) struct Client {
    plain: reqwest::Client,
    trusted: reqwest::Client,
    address: Url,
    /// Where it really goes, where that is not for the address alone to say.
    backends: Option<Arc<Standing>>,
    standing: HeaderMap,
    public_scheme: &'static str,
    public_authority: String,
    public_host: String,
    public_url: String,
    mark: Option<HeaderValue>,
    mark_header: Option<(HeaderName, HeaderValue)>,
}

/// What is to be sent.
pub(super) struct Outgoing<'a> {
    pub method: Method,
    /// The path below the address, encoded.
    pub path: &'a str,
    /// The query, encoded; none, if it is empty.
    pub query: &'a str,
    pub body: Body,
    pub cookie: Option<HeaderValue>,
    /// Further headers, above those that every request has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers not to send.
    pub without: Vec<HeaderName>,
    /// Overrides every other `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// Whether to show the marks by which the CMS's own front door knows the gate.
    pub trusted: bool,
    pub asker: &'a Asker,
}

impl<'a> Outgoing<'a> {
    /// A GET with nothing but what every request has.
    pub(super) fn get(path: &'a str, asker: &'a Asker) -> Self {
        Self {
            method: Method::GET,
            path,
            query: "",
            body: Body::None,
            cookie: None,
            headers: Vec::new(),
            without: Vec::new(),
            user_agent: None,
            trusted: false,
            asker,
        }
    }
}

/// Which backend a conversation is had with.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    whom: Option<Whom>,
    at: Option<usize>,
}

impl Turn {
    /// Of a conversation about `user`, or else whoever asks.
    pub(super) fn of(user: Option<&str>, asker: &Asker) -> Self {
        Self { whom: user.map(Whom::of).or(asker.whom), at: None }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// No connection, or none in time: nothing was sent.
    Connect,
    /// Too slow.
    Timeout,
    /// It broke off, or was no HTTP.
    Broken,
}

impl NoAnswer {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Broken => "the answer broke off or was no HTTP",
        }
    }
}

impl Client {
    pub(super) fn new(settings: BackendSettings) -> Result<Self, BackendError> {
        let BackendSettings {
            address,
            host,
            public_url,
            trust,
            source_address,
            tls,
            lenient,
            connect_timeout,
            timeout,
        } = settings;
        let tls = tls.map_or_else(tls::trusting_nobody, Ok).map_err(BackendError::Client)?;
        if !matches!(address.scheme(), "http" | "https") || address.host_str().is_none() {
            return Err(BackendError::Address);
        }
        let public_scheme = if public_url.scheme() == "https" { "https" } else { "http" };
        let public_authority = match (public_url.host_str(), public_url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(BackendError::PublicUrl),
        };
        let mut standing = HeaderMap::new();
        standing.extend(host.map(|host| (header::HOST, host)));
        standing
            .insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        standing.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        standing.insert(header::CONNECTION, HeaderValue::from_static("close"));
        standing.insert("x-forwarded-proto", HeaderValue::from_static(public_scheme));
        standing.insert("x-forwarded-host", text(&public_authority).ok_or(BackendError::PublicUrl)?);
        let mark_header = trust.header.map(|(name, value)| {
            let mut value = text(value.expose()).ok_or(BackendError::TrustHeader)?;
            value.set_sensitive(true);
            Ok((name, value))
        });
        Ok(Self {
            plain: build(None, &tls, lenient, (connect_timeout, timeout))?,
            trusted: build(source_address, &tls, lenient, (connect_timeout, timeout))?,
            address,
            backends: None,
            standing,
            public_scheme,
            public_authority,
            public_host: public_url.host_str().unwrap_or_default().to_owned(),
            public_url: public_url.as_str().trim_end_matches('/').to_owned(),
            mark: trust.user_agent,
            mark_header: mark_header.transpose()?,
        })
    }

    /// The site's public address, without a slash at its end.
    /// An answer that somebody else was given for this path below the site.
    pub(super) fn answer_from(
        &self,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Option<Answer> {
        let url = Url::parse(&format!("{}{path}", self.public_url)).ok()?;
        Some(Answer::new(url, &self.public_host, status, headers, body))
    }

    pub(super) fn public_url(&self) -> &str {
        &self.public_url
    }

    pub(super) fn among(self, standing: Arc<Standing>) -> Self {
        Self { backends: Some(standing), ..self }
    }

    /// Sends one request and reads its answer. Where no connection is to be had nothing was sent, and another backend is tried,
    /// once; the conversation goes on there.
    pub(super) async fn send(&self, outgoing: &Outgoing<'_>, turn: &mut Turn) -> Result<Answer, NoAnswer> {
        let mut url = self.url(outgoing.path).ok_or(NoAnswer::Connect)?;
        url.set_query(Some(outgoing.query).filter(|query| !query.is_empty()));
        let Some(backends) = &self.backends else { return self.ask(&url, url.clone(), outgoing).await };
        let at = turn.at.or_else(|| backends.choose(turn.whom, None)).unwrap_or(0);
        turn.at = Some(at);
        let answer = self.ask_at(backends, at, &url, outgoing).await;
        let Err(NoAnswer::Connect) = answer else { return answer };
        let Some(other) = backends.choose(turn.whom, Some(at)) else { return answer };
        turn.at = Some(other);
        self.ask_at(backends, other, &url, outgoing).await
    }

    async fn ask_at(
        &self,
        backends: &Arc<Standing>,
        at: usize,
        url: &Url,
        outgoing: &Outgoing<'_>,
    ) -> Result<Answer, NoAnswer> {
        let mut to = url.clone();
        let member = backends.member(at).ok_or(NoAnswer::Connect)?;
        let host = if member.host.contains(':') { format!("[{}]", member.host) } else { member.host.clone() };
        to.set_host(Some(&host)).map_err(|_| NoAnswer::Connect)?;
        to.set_port(Some(member.port)).map_err(|()| NoAnswer::Connect)?;
        let _seat = backends.enter(at);
        let answer = self.ask(url, to, outgoing).await;
        match &answer {
            Ok(_) => backends.worked(at),
            Err(NoAnswer::Connect) => backends.failed(at),
            Err(NoAnswer::Timeout | NoAnswer::Broken) => {}
        }
        answer
    }

    /// Sends to `to` what is meant for `url`: by that the CMS calls itself, wherever it is.
    async fn ask(&self, url: &Url, to: Url, outgoing: &Outgoing<'_>) -> Result<Answer, NoAnswer> {
        let client = if outgoing.trusted { &self.trusted } else { &self.plain };
        let headers = self.headers(outgoing);
        let request = client.request(outgoing.method.clone(), to);
        let request = match &outgoing.body {
            Body::None => request,
            Body::Text(kind, text) => {
                request.header(header::CONTENT_TYPE, *kind).body(text.expose().to_owned())
            }
            Body::Multipart(fields) => {
                let form = fields.iter().fold(reqwest::multipart::Form::new(), |form, (name, value)| {
                    form.text(name.clone(), value.expose().to_owned())
                });
                request.multipart(form)
            }
        };
        let mut response = request.headers(headers).send().await.map_err(|error| why(&error))?;
        let mut body = Some(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| why(&error))? {
            let Some(read) = body.as_mut().filter(|read| read.len() + chunk.len() <= ANSWER_CAP) else {
                body = None;
                break;
            };
            read.extend_from_slice(&chunk);
        }
        Ok(Answer::new(url.clone(), &self.public_host, response.status(), response.headers(), body))
    }

    /// The address and the path below it; `None` if the sum is not below the address.
    fn url(&self, path: &str) -> Option<Url> {
        let prefix = self.address.path().trim_end_matches('/');
        let whole = Secret::new(format!("{prefix}/{path}"));
        let mut url = self.address.clone();
        url.set_path(whole.expose());
        (url.path() == whole.expose()).then_some(url)
    }

    fn headers(&self, outgoing: &Outgoing<'_>) -> HeaderMap {
        let asker = outgoing.asker;
        let mut headers = self.standing.clone();
        let client = asker.client_ip.to_canonical();
        let node = match client {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        let forwarded = format!("for={node};host=\"{}\";proto={}", self.public_authority, self.public_scheme);
        headers.extend(text(&client.to_string()).map(|ip| (HeaderName::from_static("x-forwarded-for"), ip)));
        headers.extend(text(&forwarded).map(|value| (header::FORWARDED, value)));
        headers.extend(text(&asker.request_id).map(|id| (HeaderName::from_static("x-request-id"), id)));
        let language = asker.language.as_deref().and_then(text);
        headers.extend(language.map(|language| (header::ACCEPT_LANGUAGE, language)));
        headers.extend(outgoing.cookie.clone().map(|cookie| (header::COOKIE, cookie)));
        if outgoing.trusted
            && let Some((name, value)) = &self.mark_header
        {
            headers.insert(name, value.clone());
        }
        headers.insert(header::USER_AGENT, self.user_agent(outgoing));
        for name in &outgoing.without {
            headers.remove(name);
        }
        for (name, value) in &outgoing.headers {
            headers.insert(name, value.clone());
        }
        headers
    }

    /// The step's own, or the gate's mark, or the browser's, unless that is a copy of the mark.
    fn user_agent(&self, outgoing: &Outgoing<'_>) -> HeaderValue {
        let mark = self.mark.as_ref();
        let browser = outgoing.asker.user_agent.as_deref().and_then(text);
        let browser = browser.filter(|agent| {
            mark.is_none_or(|mark| !agent.as_bytes().trim_ascii().eq_ignore_ascii_case(mark.as_bytes()))
        });
        outgoing
            .user_agent
            .clone()
            .or_else(|| mark.filter(|_| outgoing.trusted).cloned())
            .or(browser)
            .unwrap_or(HeaderValue::from_static(concat!("Lychgate/", env!("CARGO_PKG_VERSION"))))
    }
}

fn build(
    source: Option<IpAddr>,
    tls: &ClientConfig,
    lenient: bool,
    (connect, total): (Duration, Duration),
) -> Result<reqwest::Client, BackendError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only()
        .http1_allow_obsolete_multiline_headers_in_responses(lenient)
        .http1_allow_spaces_after_header_name_in_responses(lenient)
        .pool_max_idle_per_host(0)
        .connect_timeout(connect)
        .timeout(total)
        .local_address(source)
        .build()
        .map_err(|error| BackendError::Client(error.without_url().to_string()))
}

fn text(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text).ok()
}

/// The kind of an error; its text is left behind, for it quotes the address, and that may hold a token.
fn why(error: &reqwest::Error) -> NoAnswer {
    if error.is_connect() {
        NoAnswer::Connect
    } else if error.is_timeout() {
        NoAnswer::Timeout
    } else {
        NoAnswer::Broken
    }
}
