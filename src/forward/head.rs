//! The head of a request as the backend gets it: written anew, from what may pass.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::Body as _;

use super::RequestBody;
use crate::admit::{ClientIp, may_pass, nominated};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a site's requests go, and what the backend is told of the public side. From `proxy.toml` alone: nothing
/// a client sends has a part in it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The `Host` field.
    pub host: HeaderValue,
    /// What stands before every path: the path of `backend_url`, or Zope's virtual-hosting segments.
    pub path_prefix: String,
    /// The public scheme.
    pub proto: HeaderValue,
    /// The public host, with its port where it is not the scheme's own.
    pub public_host: HeaderValue,
    /// The public port, written or not.
    pub public_port: HeaderValue,
    /// What the public path begins with in place of the backend's own, where the backend is to be told: `/intra`, or `/`.
    pub public_prefix: Option<HeaderValue>,
}

/// A request to be forwarded: the client's, and what the gate decided of it.
pub struct Outgoing<'a> {
    /// The client's request.
    pub parts: &'a Parts,
    /// Where it goes.
    pub destination: &'a Destination,
    /// The canonical path below the site's public address.
    pub path: &'a str,
    /// The query, as the backend is to get it.
    pub query: Option<&'a str>,
    /// Who sent it.
    pub client: ClientIp,
    /// The id that the page, the log and the backend's log share.
    pub request_id: &'a HeaderValue,
    /// Fields that are not the client's to write, with the gate's own value or none.
    pub overrides: &'a [(HeaderName, Option<HeaderValue>)],
    /// The protocol it asks to switch to.
    pub upgrade: Option<&'a HeaderValue>,
}

impl Outgoing<'_> {
    /// The method.
    pub const fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(super) const fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Whether a connection may serve another request after this one: not after `HEAD`, which waitress answers with a body.
    pub(super) fn may_reuse(&self) -> bool {
        *self.method() != Method::HEAD && !self.is_upgrade()
    }

    /// Whether a response switches to the protocol that was asked for.
    pub(super) fn asked_for(&self, response: &HeaderMap) -> bool {
        self.upgrade.is_some_and(|asked| {
            response.get(UPGRADE).is_some_and(|given| given.as_bytes().eq_ignore_ascii_case(asked.as_bytes()))
        })
    }

    /// Writes the request. Called once more when an idle connection had died.
    ///
    /// # Errors
    /// When path and query are no request target, which admission rules out.
    pub(super) fn request(&self, body: RequestBody) -> Result<Request<RequestBody>, http::Error> {
        let query = self.query;
        let mut target = String::with_capacity(
            self.destination.path_prefix.len() + self.path.len() + query.map_or(0, |query| query.len() + 1),
        );
        target.push_str(&self.destination.path_prefix);
        target.push_str(self.path);
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = Uri::try_from(target)?;
        let length = request.body().size_hint().exact().unwrap_or(0);
        let expects_body = length > 0 || matches!(*self.method(), Method::POST | Method::PUT | Method::PATCH);
        let headers = request.headers_mut();
        headers.reserve(self.parts.headers.len() + 8);
        headers.insert(HOST, self.destination.host.clone());
        let nominated = nominated(&self.parts.headers);
        for (name, value) in &self.parts.headers {
            if may_pass(name)
                && !matches!(*name, HOST | CONTENT_LENGTH | EXPECT)
                && !nominated.contains(name)
                && !self.is_overridden(name)
            {
                headers.append(name, value.clone());
            }
        }
        for (name, value) in self.overrides {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        if expects_body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(X_REQUEST_ID, self.request_id.clone());
        self.forwarded(headers)?;
        if let Some(protocol) = self.upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, protocol.clone());
        } else if !self.may_reuse() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(request)
    }

    fn is_overridden(&self, name: &HeaderName) -> bool {
        self.overrides.iter().any(|(overridden, _)| overridden == name)
    }

    /// One set of `X-Forwarded-*` and `Forwarded` (RFC 7239), of the gate's own making: Plone copies the first into its
    /// reset mails as it stands, so it is an address and nothing else.
    fn forwarded(&self, headers: &mut HeaderMap) -> Result<(), http::Error> {
        let client = self.client.ip();
        let node = match client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let (proto, host) = (&self.destination.proto, &self.destination.public_host);
        let mut forwarded = Vec::with_capacity(64);
        for part in [b"for=", node.as_bytes(), b";host=\"", host.as_bytes(), b"\";proto=", proto.as_bytes()] {
            forwarded.extend_from_slice(part);
        }
        headers.insert(FORWARDED, HeaderValue::try_from(forwarded)?);
        headers.insert(X_FORWARDED_FOR, HeaderValue::try_from(client.to_string())?);
        headers.insert(X_FORWARDED_PROTO, proto.clone());
        headers.insert(X_FORWARDED_HOST, host.clone());
        headers.insert(X_FORWARDED_PORT, self.destination.public_port.clone());
        if let Some(prefix) = &self.destination.public_prefix {
            headers.insert(X_FORWARDED_PREFIX, prefix.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination {
            host: HeaderValue::from_static("plone.internal:8080"),
            path_prefix: "/VirtualHostBase/https/www.example.org:443/Plone/VirtualHostRoot".to_owned(),
            proto: HeaderValue::from_static("https"),
            public_host: HeaderValue::from_static("www.example.org"),
            public_port: HeaderValue::from_static("443"),
            public_prefix: None,
        }
    }

    fn write(
        fields: &[(&str, &str)],
        client: &str,
        overrides: &[(HeaderName, Option<HeaderValue>)],
    ) -> Request<RequestBody> {
        let builder = Request::get("http://evil.example/raw?a=b%20c").header("host", "evil.example");
        let (parts, ()) = fields
            .iter()
            .fold(builder, |builder, (name, value)| builder.header(*name, *value))
            .body(())
            .unwrap()
            .into_parts();
        let id = HeaderValue::from_static("id1");
        let trusted: Vec<ipnet::IpNet> = vec![];
        let client = ClientIp::resolve(client.parse().unwrap(), &HeaderMap::new(), &trusted);
        let destination = destination();
        let outgoing = Outgoing {
            parts: &parts,
            destination: &destination,
            path: "/docs",
            query: parts.uri.query(),
            client,
            request_id: &id,
            overrides,
            upgrade: None,
        };
        outgoing.request(RequestBody::Empty).unwrap()
    }

    #[test]
    fn target_and_host_come_from_the_configuration() {
        let request = write(&[], "192.0.2.1", &[]);
        assert_eq!(
            request.uri(),
            "/VirtualHostBase/https/www.example.org:443/Plone/VirtualHostRoot/docs?a=b%20c"
        );
        assert_eq!(request.headers()["host"], "plone.internal:8080");
    }

    #[test]
    fn there_is_one_set_of_forwarding_fields_and_it_is_ours() {
        let fields = [
            ("x-forwarded-for", "Please visit http://evil.example/"),
            ("x_forwarded_for", "1.2.3.4"),
            ("forwarded", "for=evil"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-port", "666"),
            ("x-forwarded-prefix", "//evil.example"),
        ];
        let request = write(&fields, "2001:db8::7", &[]);
        let all: Vec<_> = request
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str().contains("forwarded"))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            all,
            [
                ("forwarded", "for=\"[2001:db8::7]\";host=\"www.example.org\";proto=https"),
                ("x-forwarded-for", "2001:db8::7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "www.example.org"),
                ("x-forwarded-port", "443"),
            ]
        );
    }

    #[test]
    fn an_overridden_field_never_carries_the_clients_value() {
        let overrides = [
            (HeaderName::from_static("x-trust"), None),
            (HeaderName::from_static("cookie"), Some(HeaderValue::from_static("__ac=ours"))),
        ];
        let request = write(
            &[("x-trust", "yes"), ("cookie", "__ac=theirs"), ("accept", "*/*")],
            "192.0.2.1",
            &overrides,
        );
        assert_eq!(request.headers().get("x-trust"), None);
        assert_eq!(request.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["__ac=ours"]);
        assert_eq!(request.headers()["accept"], "*/*");
    }
}
