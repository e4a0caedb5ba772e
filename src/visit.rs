//! One request on its way through the gate, with all that is known of it: what the decision and the gate's own pages work on.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use crate::admit::ClientIp;
use crate::cms::Asker;
use crate::forward::{BoxError, Whom, full};
use crate::gate::policy::From;
use crate::gate::{Audience, Next, Site, fields};
use crate::pages::{Around, ErrorKind, LANGUAGE_COOKIE, LANGUAGE_PARAMETER, Language, Page, json_error};
use crate::session::{Session, cookie};
use crate::state::Shared;

/// The body of any answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An answer, and what the log says of it.
pub struct Answer {
    /// What the client gets.
    pub response: Response<Body>,
    /// What was decided, for the log.
    pub verdict: &'static str,
    /// How long the backend took, where it was asked.
    pub backend: Option<Duration>,
}

impl Answer {
    /// An answer of the gate's own.
    pub fn own(response: Response<Bytes>, verdict: &'static str) -> Self {
        Self {
            response: response.map(|bytes| full(bytes).map_err(|never| match never {}).boxed_unsync()),
            verdict,
            backend: None,
        }
    }

    /// With one more cookie.
    pub fn with_cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        if let Some(cookie) = cookie {
            self.response.headers_mut().append(SET_COOKIE, cookie);
        }
        self
    }
}

/// Who asks, before a site is known.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// What all workers share.
    pub shared: &'a Arc<Shared>,
    /// The request's head.
    pub parts: &'a Parts,
    /// The id that page, log and backend share.
    pub request_id: &'a str,
}

/// A request to a site.
pub struct Visit<'a> {
    /// Who asks.
    pub caller: Caller<'a>,
    /// The site.
    pub site: &'a Arc<Site>,
    /// The canonical path below the site's public address.
    pub path: &'a str,
    /// The client's address.
    pub client: ClientIp,
    /// Whether a certificate was shown that the gate trusts.
    pub certificate: bool,
    /// Who is signed in.
    pub session: Option<Arc<Session>>,
}

impl<'a> Caller<'a> {
    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.parts.headers
    }

    fn text(&self, name: http::HeaderName) -> Option<&'a str> {
        self.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The language of the visitor.
    pub fn language(&self) -> Language {
        let query = self.parts.uri.query().and_then(|query| field(query.as_bytes(), LANGUAGE_PARAMETER));
        let cookie =
            cookie::values(self.headers(), LANGUAGE_COOKIE).find_map(|value| std::str::from_utf8(value).ok());
        self.shared.pages.language(query.as_deref(), cookie, self.text(ACCEPT_LANGUAGE))
    }

    /// A page that says what is wrong, or the same as JSON.
    pub fn problem(
        &self,
        site: Option<&Site>,
        kind: ErrorKind,
        retry: Option<&str>,
        verdict: &'static str,
    ) -> Answer {
        let language = self.language();
        let prefix =
            site.map_or_else(|| self.shared.config.server.prefix.as_str(), |site| site.prefix.as_str());
        let around = Around {
            site_name: site.map(|site| site.name.as_str()),
            prefix,
            home: site.map_or("/", |site| site.home.as_str()),
            language: &language,
            request_id: self.request_id,
            here: None,
            forgot_password: false,
        };
        let page = Page::Error { kind, retry };
        let rendered = self.shared.pages.render(page, &around);
        if Audience::of(&self.parts.method, self.headers()) == Audience::Person {
            return Answer::own(rendered, verdict);
        }
        let mut json = json_error(
            rendered.status(),
            kind.code(),
            &self.shared.pages.detail(page, &around),
            self.request_id,
            [],
        );
        if let Some(wait) = rendered.headers().get(RETRY_AFTER) {
            json.headers_mut().insert(RETRY_AFTER, wait.clone());
        }
        Answer::own(json, verdict)
    }
}

impl<'a> Visit<'a> {
    /// What all workers share.
    pub fn shared(&self) -> &'a Arc<Shared> {
        self.caller.shared
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.caller.headers()
    }

    /// Where the visitor comes from, for rules.
    pub fn from(&self) -> From {
        From { client: self.client.ip(), certificate: self.certificate }
    }

    /// Who reads the answer.
    pub fn audience(&self) -> Audience {
        Audience::of(&self.caller.parts.method, self.headers())
    }

    /// A field of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        self.caller.parts.uri.query().and_then(|query| field(query.as_bytes(), name))
    }

    /// Where the gate's own pages are shown.
    fn around<'l>(&'l self, language: &'l Language) -> Around<'l> {
        let here = (self.caller.parts.method == http::Method::GET)
            .then(|| self.caller.parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str))
            .flatten();
        Around {
            site_name: Some(&self.site.name),
            prefix: &self.site.prefix,
            home: &self.site.home,
            language,
            request_id: self.caller.request_id,
            here,
            forgot_password: self.site.offers_reset(),
        }
    }

    /// What a page says, for a script: its status, its words and its `Retry-After` with the name `code`, and what `extra` adds.
    pub fn outcome<'x>(
        &self,
        page: Page<'_>,
        code: &str,
        extra: impl IntoIterator<Item = (&'x str, serde_json::Value)>,
        verdict: &'static str,
    ) -> Answer {
        let (pages, language) = (&self.shared().pages, self.caller.language());
        let around = self.around(&language);
        let rendered = pages.render(page, &around);
        let detail = pages.detail(page, &around);
        let mut json = json_error(rendered.status(), code, &detail, self.caller.request_id, extra);
        if let Some(wait) = rendered.headers().get(RETRY_AFTER) {
            json.headers_mut().insert(RETRY_AFTER, wait.clone());
        }
        Answer::own(json, verdict)
    }

    /// One of the gate's own pages.
    pub fn page(&self, page: Page<'_>, verdict: &'static str) -> Answer {
        let language = self.caller.language();
        let around = self.around(&language);
        let asked = self.query(LANGUAGE_PARAMETER).and_then(|tag| self.shared().pages.asked_language(&tag));
        let cookie =
            asked.and_then(|language| HeaderValue::from_str(&language.cookie(self.site.is_secure())).ok());
        Answer::own(self.shared().pages.render(page, &around), verdict).with_cookie(cookie)
    }

    /// A page that says what is wrong, or the same as JSON.
    pub fn problem(&self, kind: ErrorKind, verdict: &'static str) -> Answer {
        let retry = (self.caller.parts.method == http::Method::GET).then(|| self.caller.parts.uri.path());
        self.caller.problem(Some(self.site), kind, retry, verdict)
    }

    /// Sends a browser to one of the gate's own pages.
    pub fn to_own(&self, status: StatusCode, page: &str, query: &str, verdict: &'static str) -> Answer {
        let question = if query.is_empty() { "" } else { "?" };
        self.redirect(status, &format!("{}/{page}{question}{query}", self.site.prefix), verdict)
    }

    /// Sends a browser to a path of the site.
    pub fn redirect(&self, status: StatusCode, path: &str, verdict: &'static str) -> Answer {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        if let Ok(location) = HeaderValue::from_str(path) {
            response.headers_mut().insert(LOCATION, location);
        }
        response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Answer::own(response, verdict)
    }

    /// Asks a visitor to sign in: a page for a person, a status for a script. `ended` says that there was a session until now.
    pub fn sign_in_first(&self, ended: bool) -> Answer {
        self.sign_in(if ended { "&ended=1" } else { "" })
    }

    /// The same, to a person who has sent a form: says whether it is kept.
    pub fn sign_in_to_send(&self, kept: bool) -> Answer {
        self.sign_in(if kept { "&kept=1" } else { "&kept=0" })
    }

    fn sign_in(&self, notice: &str) -> Answer {
        let mut target = format!("{}{}", self.site.public.path(), self.path);
        if let Some(query) = self.caller.parts.uri.query() {
            target.push('?');
            target.push_str(query);
        }
        let next = Next::parse(&target, self.site.public.path())
            .unwrap_or_else(|| Next::home(self.site.public.path()));
        let login = format!("{}/login?next={}{notice}", self.site.prefix, next.encoded());
        if self.audience() == Audience::Person {
            let get = self.caller.parts.method != http::Method::POST;
            return self.redirect(
                if get { StatusCode::FOUND } else { StatusCode::SEE_OTHER },
                &login,
                "sign_in",
            );
        }
        self.unauthorized(login)
    }

    /// Tells a script to sign in, and where.
    pub fn unauthorized(&self, login: String) -> Answer {
        let answer = json_error(
            StatusCode::UNAUTHORIZED,
            "sign_in",
            "Sign in first.",
            self.caller.request_id,
            [("login", login.into())],
        );
        Answer::own(answer, "sign_in")
    }

    /// On whose behalf the CMS is asked.
    pub fn asker(&self) -> Asker {
        Asker {
            client_ip: self.client.ip(),
            language: Some(self.caller.language().as_str().to_owned()),
            user_agent: self.caller.text(USER_AGENT).map(str::to_owned),
            whom: self.session.as_ref().map(|session| Whom::of(session.user())),
            request_id: self.caller.request_id.to_owned(),
        }
    }
}

/// The first field of that name in a query or a posted form.
pub fn field(text: &[u8], name: &str) -> Option<String> {
    fields(text).find(|(found, _)| found.as_ref() == name.as_bytes()).map(|(_, value)| match value {
        Cow::Borrowed(value) => String::from_utf8_lossy(value).into_owned(),
        Cow::Owned(value) => String::from_utf8(value)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    })
}
