//! Which host a request is for: only names that `proxy.toml` lists.

use std::fmt;

use http::uri::Authority;

/// A host as a client names it: lower-case, without a dot at the end, with the port if one is written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicHost {
    name: String,
    port: Option<u16>,
}

impl PublicHost {
    /// Reads a `Host` header's value or the authority of a URL.
    ///
    /// `None` for user information, an empty or over-long name, characters no host has, a port that is no number.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            return None;
        }
        let authority: Authority = text.parse().ok()?;
        let port = match authority.port() {
            Some(port) => Some(port.as_str().parse().ok().filter(|port| *port > 0)?),
            // `host:` is legal and the same as none; `Authority` also gives no port for `host:99999`.
            None if text.len() == authority.host().len() => None,
            None if text.strip_suffix(':').is_some_and(|rest| rest.len() == authority.host().len()) => None,
            None => return None,
        };
        let name = authority.host();
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_address = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            });
        (is_address || is_name).then_some(Self { name, port })
    }

    /// The name or address, without port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one is written.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Debug for PublicHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_one_host() {
        for text in ["www.example.org", "WWW.Example.ORG", "www.example.org.", "www.example.org:"] {
            let host = PublicHost::parse(text).unwrap_or_else(|| panic!("{text} must be read"));
            assert_eq!((host.name(), host.port()), ("www.example.org", None), "{text}");
        }
        assert_eq!(PublicHost::parse("[::1]:8080").map(|host| host.port()), Some(Some(8080)));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "evil@www.example.org",
            "www.example.org@evil",
            "a/b",
            "a b",
            "a:b",
            "a:80:90",
            "a:99999",
            "a:0",
            "a:-1",
            "[::1",
            "[zz]",
            "a\\b",
            "a?b",
            "a#b",
            "a,b",
            "::1",
            "a%2eb",
        ] {
            assert!(PublicHost::parse(text).is_none(), "{text:?} must be refused");
        }
    }
}
