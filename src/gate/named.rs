//! The other resources that a WebDAV request names: where it copies or moves to (`Destination`, RFC 4918, section 10.3), and what its
//! conditions are about (the tags of `If`, section 10.4).
//!
//! Zope looks at no host in a `Destination` and walks whatever stands behind it, `..` included, out of the site as well. So these are read
//! as strictly as the path of a request, judged by the same rules ([`super::question`]), and the destination is written anew.

use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};

use super::policy::Access;
use crate::admit::{CanonicalPath, PublicHost};
use crate::pages::ErrorKind;
use crate::visit::Visit;

pub(super) const DESTINATION: HeaderName = HeaderName::from_static("destination");
const DEPTH: HeaderName = HeaderName::from_static("depth");
pub(super) const IF: HeaderName = HeaderName::from_static("if");

/// What a request names besides its own path.
#[derive(Debug)]
pub(super) struct Named {
    /// What the rules ask for, at the strictest of them.
    pub(super) access: Access,
    /// Whether one of them is a page that the gate has taken over, its own, or closed.
    pub(super) is_closed: bool,
    /// The destination, with its public address.
    pub(super) destination: Option<HeaderValue>,
}

/// Why a request that names another resource is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misnamed {
    /// It cannot be read in one way.
    Malformed,
    /// It is on another host, or belongs to another site of this one (RFC 4918, section 9.8.5).
    Elsewhere,
}

impl Misnamed {
    pub(super) const fn kind(self) -> ErrorKind {
        match self {
            Self::Malformed => ErrorKind::BadRequest,
            Self::Elsewhere => ErrorKind::BadGateway,
        }
    }

    pub(super) const fn verdict(self) -> &'static str {
        match self {
            Self::Malformed => "destination_malformed",
            Self::Elsewhere => "destination_elsewhere",
        }
    }
}

/// Reads what a request names, whatever its method.
///
/// # Errors
/// Where it names what this site does not have.
pub(super) fn named(visit: &Visit<'_>) -> Result<Named, Misnamed> {
    let headers = visit.headers();
    let mut named = Named { access: Access::Public, is_closed: false, destination: None };
    let mut destinations = headers.get_all(DESTINATION).iter();
    if let Some(destination) = destinations.next() {
        let path = resource(visit, destination.as_bytes())?;
        if destinations.next().is_some() {
            return Err(Misnamed::Malformed);
        }
        named.judge(visit, &path);
        let address = format!("{}{}", visit.site.origin, path.as_str());
        named.destination = Some(HeaderValue::try_from(address).map_err(|_| Misnamed::Malformed)?);
    }
    for condition in headers.get_all(IF) {
        for tag in tags(condition.as_bytes()) {
            // A condition about something on another server can only fail.
            let path = resource(visit, tag).map_err(|_| Misnamed::Malformed)?;
            named.judge(visit, &path);
        }
    }
    Ok(named)
}

impl Named {
    fn judge(&mut self, visit: &Visit<'_>, path: &CanonicalPath) {
        let site = visit.site;
        let below = path.below(site.public.path()).unwrap_or("/");
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(below).collect();
        let text = String::from_utf8_lossy(&decoded);
        let own = below.strip_prefix(visit.shared().config.server.prefix.as_str());
        self.is_closed |= own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            || site.cms.dialogue().paths().taken_over(text.split('/'), None).is_some();
        self.access = self.access.max(site.access.access(&decoded, visit.from()));
        if takes_all_below(&visit.caller.parts.method, visit.headers()) {
            self.access = self.access.max(site.access.access_below(&decoded, visit.from()));
        }
    }
}

/// Whether a request does what it does to everything below its path too: always, or unless it says how deep (RFC 4918, sections 9.6, 9.8
/// and 9.9; 9.1 and 9.10.3). Listing one level is what a client does to show a folder; all levels show what a rule closes.
pub(super) fn takes_all_below(method: &Method, headers: &HeaderMap) -> bool {
    match method.as_str() {
        "COPY" | "MOVE" | "DELETE" => true,
        "PROPFIND" | "LOCK" => {
            let mut depths = headers.get_all(DEPTH).iter().map(HeaderValue::as_bytes);
            !matches!((depths.next(), depths.next()), (Some(b"0" | b"1"), None))
        }
        _ => false,
    }
}

/// The path of a resource of this site that a URL or an absolute path names.
fn resource(visit: &Visit<'_>, value: &[u8]) -> Result<CanonicalPath, Misnamed> {
    let text = std::str::from_utf8(value).map_err(|_| Misnamed::Malformed)?.trim();
    let public = &visit.site.public;
    let (host, path) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
            let host = PublicHost::parse(authority).ok_or(Misnamed::Malformed)?;
            if !scheme.eq_ignore_ascii_case(public.scheme().as_str()) {
                return Err(Misnamed::Elsewhere);
            }
            (host, path)
        }
        // Who reads it as a URL sees a host in `//host/a`, who reads it as a path sees none.
        _ if text.starts_with("//") => return Err(Misnamed::Malformed),
        _ => (public.host().clone(), text),
    };
    if path.contains(['?', '#']) {
        return Err(Misnamed::Malformed);
    }
    let path = CanonicalPath::parse(path).map_err(|_| Misnamed::Malformed)?;
    let owner = visit.shared().sites.iter().find(|site| site.path_of(&host, &path).is_some());
    let is_ours = owner.is_some_and(|owner| Arc::ptr_eq(owner, visit.site));
    if is_ours { Ok(path) } else { Err(Misnamed::Elsewhere) }
}

/// The resources that the lists of an `If` value are tagged with: what stands in angle brackets, but for the tokens in the lists.
pub(super) fn tags(condition: &[u8]) -> Vec<&[u8]> {
    let (mut tags, mut rest, mut in_list) = (Vec::new(), condition, false);
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'(' | b')' | b'<' | b'"')) {
        let Some((&mark, inside)) = rest.get(at..).and_then(<[u8]>::split_first) else { break };
        rest = inside;
        let close = match mark {
            b'(' | b')' => {
                in_list = mark == b'(';
                continue;
            }
            b'<' => b'>',
            quote => quote,
        };
        let end = inside.iter().position(|byte| *byte == close).unwrap_or(inside.len());
        let (tag, after) = inside.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        if mark == b'<' && !in_list {
            tags.push(tag);
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_of_a_condition_are_resources() {
        for (row, condition, want) in [
            ("untagged", "(<opaquelocktoken:1> [\"a\"]) (Not <DAV:no-lock>)", vec![]),
            ("tagged", "<http://h/a> (<opaquelocktoken:1>) </b> ([W/\"x\"])", vec!["http://h/a", "/b"]),
            ("a bracket in an entity tag", "([\"<x> ) (\"]) </b> (<t>)", vec!["/b"]),
            ("never closed", "</b", vec!["/b"]),
            ("a list in a list", "((<t>)) <c>", vec!["c"]),
            ("nothing", "", vec![]),
        ] {
            let got: Vec<_> =
                tags(condition.as_bytes()).into_iter().map(|tag| String::from_utf8_lossy(tag)).collect();
            assert_eq!(got, want, "{row}");
        }
    }
}
