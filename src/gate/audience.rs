//! Who reads the answer: a person before a browser, or a script.

use http::header::{ACCEPT, UPGRADE};
use http::{HeaderMap, Method};

/// Who reads the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A person: gets pages and redirects.
    Person,
    /// A script, an image tag, a WebSocket: gets a status and JSON. Redirecting those to a sign-in page is what users of other
    /// gates complain of most (facts/peers.md, A.2).
    Script,
}

impl Audience {
    /// Tells by what a browser says of the request (Fetch Metadata), else by what it accepts.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).map(|value| value.as_bytes());
        if headers.contains_key(UPGRADE) || !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
            return Self::Script;
        }
        if let Some(mode) = text("sec-fetch-mode") {
            return if mode == b"navigate" { Self::Person } else { Self::Script };
        }
        if text("x-requested-with").is_some() {
            return Self::Script;
        }
        let accept = headers.get(ACCEPT).map_or(&b"*/*"[..], |accept| accept.as_bytes());
        let names = |kind: &[u8]| memchr::memmem::find(accept, kind).is_some();
        if names(b"text/html") || names(b"application/xhtml+xml") || (names(b"*/*") && !names(b"json")) {
            Self::Person
        } else {
            Self::Script
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_will_see_gets_a_page() {
        use Audience::{Person, Script};
        for (name, method, fields, audience) in [
            ("navigation", "GET", &[("sec-fetch-mode", "navigate"), ("accept", "text/html")][..], Person),
            ("form", "POST", &[("sec-fetch-mode", "navigate")], Person),
            ("fetch", "GET", &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Script),
            ("image", "GET", &[("sec-fetch-mode", "no-cors"), ("accept", "image/*")], Script),
            ("old browser", "GET", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], Person),
            ("jquery", "GET", &[("x-requested-with", "XMLHttpRequest"), ("accept", "*/*")], Script),
            ("api", "GET", &[("accept", "application/json")], Script),
            ("axios", "GET", &[("accept", "application/json, text/plain, */*")], Script),
            ("curl", "GET", &[("accept", "*/*")], Person),
            ("nothing said", "GET", &[], Person),
            ("websocket", "GET", &[("upgrade", "websocket"), ("connection", "upgrade")], Script),
            ("webdav", "PROPFIND", &[("accept", "text/html")], Script),
        ] {
            let headers =
                fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(Audience::of(&method.parse().unwrap(), &headers), audience, "{name}");
        }
    }
}
