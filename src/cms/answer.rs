//! What came back, in the few things that a case can ask about.
//!
//! Reading is defensive: the text of an answer is decoded whatever its charset claims to be, HTML is
//! parsed, never searched, and what is told about it in a log is neither its text nor any value.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use html5ever::driver::{ParseOpts, parse_document};
use html5ever::tendril::TendrilSink as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scraper::{ElementRef, Html, HtmlTreeSink};
use url::Url;

use super::values::CssSelector;

/// How much is parsed between two looks at the clock, in bytes.
const PIECE: usize = 4 << 10;

/// An answer of the CMS.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Where `Location` leads, if it redirects: read, never followed.
    redirect: Option<Url>,
    pub set_cookies: Vec<HeaderValue>,
    content_type: String,
    /// The text; `None` if it was too long or in a coding that was not asked for.
    pub body: Option<String>,
    /// What was asked for, to resolve the forms' actions.
    url: Url,
    /// The site's public host.
    public_host: String,
}

/// An answer with what was read in it.
pub(super) struct Seen<'a> {
    pub answer: &'a Answer,
    pub page: Option<Page>,
    pub json: Option<serde_json::Value>,
}

impl Answer {
    /// From the head and the raw body; `body` is `None` if it was longer than the cap.
    pub(super) fn new(
        url: Url,
        public_host: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let coded =
            text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let location = headers.get(header::LOCATION).filter(|_| status.is_redirection());
        Self {
            status,
            headers: headers.clone(),
            redirect: location
                .and_then(|location| url.join(&String::from_utf8_lossy(location.as_bytes())).ok()),
            set_cookies: headers.get_all(header::SET_COOKIE).iter().cloned().collect(),
            body: body.filter(|_| !coded).map(|body| decode(&body, &content_type)),
            content_type,
            url,
            public_host: public_host.to_owned(),
        }
    }

    /// The path that it redirects to.
    pub(super) fn redirect_path(&self) -> Option<&str> {
        self.redirect.as_ref().map(Url::path)
    }

    /// Whether it redirects to `host`: `here` is the CMS by either of its names, `elsewhere` any other.
    pub(super) fn redirects_to_host(&self, host: &str) -> bool {
        let Some(redirect) = &self.redirect else { return false };
        let to = redirect.host_str().unwrap_or_default();
        let here = Some(to) == self.url.host_str() || to.eq_ignore_ascii_case(&self.public_host);
        match host {
            "here" => here,
            "elsewhere" => !here,
            named => to.eq_ignore_ascii_case(named),
        }
    }

    /// Whether it redirects to an address whose query has this field, with this value (`*`: any).
    pub(super) fn redirects_with(&self, name: &str, value: &str) -> bool {
        let redirect = self.redirect.as_ref();
        redirect.is_some_and(|url| url.query_pairs().any(|(n, v)| n == name && (value == "*" || v == value)))
    }

    /// The parsed JSON, if the answer says that it is some.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim();
        let json = essence == "application/json" || essence.ends_with("+json");
        self.body.as_deref().filter(|_| json).and_then(|body| serde_json::from_str(body).ok())
    }

    /// What can be read in it, if reading takes no longer than `limit`.
    pub(super) fn seen(&self, limit: Duration) -> Seen<'_> {
        Seen { answer: self, page: self.page(limit), json: self.json() }
    }

    /// The parsed page, if the answer is one that can be parsed within `limit`.
    fn page(&self, limit: Duration) -> Option<Page> {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim();
        let html = matches!(essence, "text/html" | "application/xhtml+xml");
        let body = self.body.as_deref().filter(|body| html && !body.trim().is_empty())?;
        Page::parse(body, limit)
    }

    /// How much text there is to parse, in bytes.
    pub(super) fn size(&self) -> usize {
        self.body.as_ref().map_or(0, String::len)
    }

    /// What was seen, for the log: no text, no values, no query.
    pub(super) fn evidence(&self, page: Option<&Page>) -> String {
        let mut seen = format!("status {}", self.status.as_u16());
        if let Some(path) = self.redirect_path() {
            let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let away = if self.redirects_to_host("elsewhere") { " of another host" } else { "" };
            seen.push_str(&format!(", redirect to …/{}{away}", plain(last, 80)));
        }
        seen.push_str(&format!(", type {}", plain(&self.content_type, 60)));
        let names =
            self.set_cookies.iter().filter_map(super::cookies::parse).map(|(name, ..)| plain(&name, 40));
        let names: Vec<String> = names.take(10).collect();
        if !names.is_empty() {
            seen.push_str(&format!(", sets {}", names.join(" ")));
        }
        match (&self.body, page) {
            (None, _) => seen.push_str(", body not readable"),
            (Some(_), None) => seen.push_str(", no page"),
            (Some(_), Some(page)) => {
                seen.push_str(&format!(", body class \"{}\"", plain(&page.body_class, 300)))
            }
        }
        seen
    }

    /// The form that `css` finds, with its hidden fields, or with the whole of what a browser would send of it untouched.
    pub(super) fn form(&self, page: &Page, css: &CssSelector, whole: bool) -> Option<Form> {
        let form = page.html.select(css.as_selector()).next()?;
        let action = self.url.join(form.attr("action").unwrap_or_default()).ok()?;
        let controls = form.descendants().filter_map(ElementRef::wrap);
        let controls = controls.filter(|control| control.attr("disabled").is_none());
        let fields = controls.filter_map(|control| {
            let is_hidden = control.attr("type").is_some_and(|kind| kind.eq_ignore_ascii_case("hidden"));
            let wanted = whole || control.value().name() == "input" && is_hidden;
            let value = if wanted { value_of(control) } else { None };
            Some((control.attr("name")?.to_owned(), value?))
        });
        Some(Form { action_path: action.path().to_owned(), hidden: fields.collect() })
    }
}

/// What a control contributes to its form when nobody touches it (HTML, section 4.10.22.4), buttons and files aside.
fn value_of(control: ElementRef<'_>) -> Option<String> {
    let kind = control.attr("type").unwrap_or_default().to_ascii_lowercase();
    let value = control.attr("value");
    match (control.value().name(), kind.as_str()) {
        ("input", "submit" | "button" | "image" | "reset" | "file") => None,
        ("input", "checkbox" | "radio") if control.attr("checked").is_none() => None,
        ("input", "checkbox" | "radio") => Some(value.unwrap_or("on").to_owned()),
        ("input", _) => Some(value.unwrap_or_default().to_owned()),
        ("textarea", _) => Some(control.text().collect()),
        ("select", _) => {
            let options = || {
                let all = control.descendants().filter_map(ElementRef::wrap);
                all.filter(|option| option.value().name() == "option")
            };
            let chosen =
                options().find(|option| option.attr("selected").is_some()).or_else(|| options().next())?;
            Some(chosen.attr("value").map_or_else(|| chosen.text().collect(), str::to_owned))
        }
        _ => None,
    }
}

/// A form of the CMS.
pub(super) struct Form {
    /// Where it wants to be sent: only compared, never used.
    pub action_path: String,
    pub hidden: Vec<(String, String)>,
}

/// A parsed page.
pub(super) struct Page {
    html: Html,
    body_class: String,
}

impl Page {
    /// In pieces, with an eye on the clock: 100 KiB of nothing but opening tags, each within the one before,
    /// cost a parser of HTML seconds, and the cost grows with the square.
    fn parse(text: &str, limit: Duration) -> Option<Self> {
        let started = Instant::now();
        let mut parser = parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
        let mut rest = text;
        while !rest.is_empty() {
            if started.elapsed() > limit {
                return None;
            }
            let end = (PIECE..rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            parser.process(piece.into());
            rest = after;
        }
        let html = parser.finish();
        let body = html.root_element().child_elements().find(|element| element.value().name() == "body");
        let body_class = body.and_then(|body| body.attr("class")).unwrap_or_default().to_owned();
        Some(Self { html, body_class })
    }

    pub(super) fn has_body_class(&self, token: &str) -> bool {
        self.body_class.split_ascii_whitespace().any(|class| class == token)
    }

    pub(super) fn has(&self, css: &CssSelector) -> bool {
        self.html.select(css.as_selector()).next().is_some()
    }

    /// The texts of what `css` finds.
    pub(super) fn texts(&self, css: &CssSelector) -> Vec<String> {
        self.html.select(css.as_selector()).take(20).map(visible_text).collect()
    }

    /// Whether the text of something that `css` finds, without the blanks around and between, is as wanted.
    pub(super) fn any_text(&self, css: &CssSelector, wanted: impl Fn(&str) -> bool) -> bool {
        self.html.select(css.as_selector()).any(|element| {
            let text = visible_text(element);
            wanted(&text.split_whitespace().collect::<Vec<_>>().join(" "))
        })
    }

    /// An attribute of the first that `css` finds, or its text.
    pub(super) fn value(&self, css: &CssSelector, attribute: Option<&str>) -> Option<String> {
        let element = self.html.select(css.as_selector()).next()?;
        match attribute {
            Some(name) => element.attr(name).map(str::to_owned),
            None => Some(visible_text(element)),
        }
    }
}

/// The text of an element, without that of scripts and the like.
fn visible_text(element: ElementRef<'_>) -> String {
    const UNSEEN: [&str; 4] = ["script", "style", "template", "noscript"];
    let is_unseen = |name: &str| UNSEEN.contains(&name);
    let unseen: HashSet<_> = element
        .descendants()
        .filter(|node| node.value().as_element().is_some_and(|element| is_unseen(element.name())))
        .flat_map(|node| node.children().map(|child| child.id()))
        .collect();
    let pieces = element.descendants().filter(|node| !unseen.contains(&node.id()));
    pieces.filter_map(|node| node.value().as_text().map(|text| text.text.to_string())).collect()
}

/// Fit for one line of a log.
fn plain(text: &str, cap: usize) -> String {
    text.chars().take(cap).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The text of a body: by its byte order mark, the charset it names, or what it looks like.
fn decode(body: &[u8], content_type: &str) -> String {
    let named = content_type
        .split(';')
        .filter_map(|part| part.trim().strip_prefix("charset="))
        .find_map(|label| Encoding::for_label(label.trim_matches(['"', '\'', ' ']).as_bytes()));
    let encoding = Encoding::for_bom(body)
        .map(|(bom, _)| bom)
        .or(named)
        .unwrap_or_else(|| if std::str::from_utf8(body).is_ok() { UTF_8 } else { WINDOWS_1252 });
    encoding.decode(body).0.into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(body: Vec<u8>, content_type: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        headers.insert(header::LOCATION, HeaderValue::from_bytes(b"/p\xe4th?token=1").unwrap());
        let url = Url::parse("http://127.0.0.1/Plone/x").unwrap();
        Answer::new(url, "www.example.org", StatusCode::FOUND, &headers, Some(body))
    }

    #[test]
    fn a_page_that_would_take_minutes_is_given_up() {
        let started = Instant::now();
        let deep = answer("<div>".repeat(400_000).into_bytes(), "text/html");
        assert!(deep.page(Duration::from_millis(50)).is_none());
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn pieces_do_not_change_the_page() {
        let page = format!("<body class='{} ä'>{}<i id=last>", "é".repeat(5000), "<p>ü</p>".repeat(5000));
        let page = answer(page.into_bytes(), "text/html; charset=utf-8").page(Duration::MAX).unwrap();
        assert!(page.has_body_class("ä") && page.has_body_class(&"é".repeat(5000)));
        assert_eq!(page.html.select(&scraper::Selector::parse("p + i#last").unwrap()).count(), 1);
    }

    #[test]
    fn nothing_a_visitor_must_not_see_is_in_the_evidence() {
        let page = answer(b"<body class='a\nb'>text".to_vec(), "text/html");
        let evidence = page.evidence(page.page(Duration::MAX).as_ref());
        assert_eq!(
            evidence,
            "status 302, redirect to \u{2026}/p%EF%BF%BDth, type text/html, body class \"a?b\""
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body: Vec<u8>, kind in 0..4_usize) {
            let kinds = ["text/html", "text/html; charset=utf-16", "text/html;;charset=nonsense; charset=iso-8859-15", ""];
            let read = answer(body, kinds[kind]);
            let page = read.page(Duration::MAX);
            let evidence = read.evidence(page.as_ref());
            prop_assert!(evidence.chars().all(|c| !c.is_control()));
        }
    }
}
