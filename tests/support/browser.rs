//! A browser, as far as the gate can tell: cookies, forms, redirects one at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use http::{Method, StatusCode};
use scraper::{Html, Selector};

/// A browser with a cookie jar.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    host: String,
    client: reqwest::Client,
    /// The cookies it holds.
    pub cookies: BTreeMap<String, String>,
    /// Fields it sends with everything.
    pub headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Browser {
    /// A browser that takes `host` to be at `address`.
    pub fn new(address: SocketAddr, host: &str) -> Self {
        // reqwest takes the process's own; whoever is first sets it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("user-agent", "Mozilla/5.0 (test)"),
            ("accept", "text/html,*/*;q=0.8"),
            ("accept-language", "en"),
            ("sec-fetch-mode", "navigate"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Self { address, host: host.to_owned(), client, cookies: BTreeMap::new(), headers }
    }

    /// The same browser with one more field, as a script or a stranger would send it.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    /// Without a field it would send.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    /// Follows redirects to paths of the host, ten at most.
    pub async fn follow(&mut self, path: &str) -> (String, Answer) {
        let mut path = path.to_owned();
        for _ in 0..10 {
            let answer = self.get(&path).await;
            match answer.location() {
                Some(location) => path = self.path_of(&location),
                None => return (path, answer),
            }
        }
        panic!("{path}: redirected without end");
    }

    /// The path of an address of the host.
    pub fn path_of(&self, location: &str) -> String {
        let path = location.strip_prefix(&format!("http://{}", self.host)).unwrap_or(location);
        assert!(path.starts_with('/'), "{location} leads off the site");
        path.to_owned()
    }

    /// Posts fields as a form of the same site does.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(("application/x-www-form-urlencoded", body.into_bytes()))).await
    }

    /// Opens a page of the gate and submits its form with these fields filled in.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let form = page.form();
        let mut all: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| fields.iter().all(|(field, _)| field != name))
            .collect();
        all.extend_from_slice(fields);
        let path = path.split('?').next().unwrap();
        self.post(path, &all).await
    }

    /// Signs in on the gate's page.
    pub async fn sign_in(&mut self, username: &str, password: &str) -> Answer {
        self.submit("/_gate/login", &[("username", username), ("password", password)]).await
    }

    pub async fn send(&mut self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Answer {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.address))
            .headers(self.headers.clone())
            .header(HOST, &self.host);
        if !self.cookies.is_empty() {
            let cookies: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        let (status, headers) = (response.status(), response.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            self.take(cookie.to_str().unwrap());
        }
        let body = response.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default();
        Answer { status, headers, body }
    }

    fn take(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).unwrap();
        if parts.any(|attribute| attribute.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn location(&self) -> Option<String> {
        self.headers.get(LOCATION).map(|value| value.to_str().unwrap().to_owned())
    }

    /// The texts of the elements a selector finds.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        let page = Html::parse_document(&self.text());
        page.select(&Selector::parse(selector).unwrap())
            .map(|element| {
                element.text().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// Where the elements a selector finds lead.
    pub fn links(&self, selector: &str) -> Vec<String> {
        let page = Html::parse_document(&self.text());
        page.select(&Selector::parse(selector).unwrap())
            .flat_map(|element| ["href", "src", "action"].map(|name| element.value().attr(name)))
            .flatten()
            .map(str::to_owned)
            .collect()
    }

    /// The heading.
    pub fn heading(&self) -> String {
        self.texts("h1").join(" | ")
    }

    /// The address and the fields, as they stand, of the form that posts and has this name, id or class; of the first that
    /// posts, for `""`. No buttons.
    pub fn form_named(&self, name: &str) -> (String, Vec<(String, String)>) {
        let page = Html::parse_document(&self.text());
        let forms = Selector::parse("form").unwrap();
        let controls = Selector::parse("input[name], textarea[name], select[name]").unwrap();
        let chosen = Selector::parse("option[selected]").unwrap();
        let form = page.select(&forms).find(|form| {
            let attribute = |name| form.value().attr(name).unwrap_or_default();
            attribute("method").eq_ignore_ascii_case("post")
                && (name.is_empty()
                    || attribute("name") == name
                    || attribute("id") == name
                    || attribute("class").split(' ').any(|class| class == name))
        });
        let form = form.unwrap_or_else(|| panic!("no form {name} in {}", self.text()));
        let mut fields = Vec::new();
        for control in form.select(&controls) {
            let attribute = |name| control.value().attr(name);
            let kind = attribute("type").unwrap_or_default();
            let value = match control.value().name() {
                // A line break at the beginning is the page's own.
                "textarea" => {
                    let text: String = control.text().collect();
                    text.strip_prefix('\n').map(str::to_owned).unwrap_or(text)
                }
                "select" => {
                    let option = control.select(&chosen).next();
                    let Some(option) = option else { continue };
                    option.value().attr("value").unwrap_or_default().to_owned()
                }
                _ if matches!(kind, "submit" | "button" | "image" | "file" | "reset") => continue,
                _ if matches!(kind, "checkbox" | "radio") && attribute("checked").is_none() => continue,
                _ => attribute("value").unwrap_or_default().to_owned(),
            };
            fields.push((attribute("name").unwrap_or_default().to_owned(), value));
        }
        (form.value().attr("action").unwrap_or_default().to_owned(), fields)
    }

    /// The fields of the page's form that posts, as they stand.
    pub fn form(&self) -> Vec<(String, String)> {
        let page = Html::parse_document(&self.text());
        let inputs = Selector::parse("form[method=post] input[name]").unwrap();
        let attribute = |input: &scraper::ElementRef<'_>, name: &str| {
            input.value().attr(name).unwrap_or_default().to_owned()
        };
        page.select(&inputs)
            .filter(|input| attribute(input, "type") != "checkbox")
            .map(|input| (attribute(&input, "name"), attribute(&input, "value")))
            .collect()
    }
}
