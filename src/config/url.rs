//! Addresses of sites: `public_url` and `backend_url`.

use std::fmt;
use std::str::FromStr;

use super::values::{deserialize_from_str, without_user};
use crate::admit::PublicHost;

/// How a site is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Through TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The address of a site: scheme, host, port, and perhaps a path, without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct SiteUrl {
    scheme: Scheme,
    host: PublicHost,
    path: String,
}

impl SiteUrl {
    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port.
    pub const fn host(&self) -> &PublicHost {
        &self.host
    }

    /// The port, written or not.
    pub fn port(&self) -> u16 {
        self.host.port().unwrap_or(self.scheme.default_port())
    }

    /// Whether a client that names `host` means this address.
    pub fn is_at(&self, host: &PublicHost) -> bool {
        self.host.name() == host.name() && self.port() == host.port().unwrap_or(self.scheme.default_port())
    }

    /// The path, `""` for a site at the root; `/portal` otherwise.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host, and port where it is not the scheme's own: as it stands in a `Host` field.
    pub fn authority(&self) -> String {
        if self.port() == self.scheme.default_port() {
            self.host.name().to_owned()
        } else {
            format!("{}:{}", self.host.name(), self.port())
        }
    }

    /// Scheme and authority: as it stands in an `Origin` field.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl fmt::Display for SiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

impl fmt::Debug for SiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SiteUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!(
                "`{}` {what}; write it like \"https://www.example.org\" or \"http://127.0.0.1:8080/Plone\"",
                without_user(text)
            ))
        };
        let Some((scheme, rest)) = text.split_once("://") else { return wrong("has no scheme") };
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return wrong("is neither http nor https"),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return wrong("has a user in it, which does not belong here");
        }
        let Some(host) = PublicHost::parse(authority) else { return wrong("has no valid host and port") };
        let path = path.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/+@".contains(&byte);
        if !path.bytes().all(plain)
            || path.split('/').any(|segment| matches!(segment, "." | ".."))
            || path.contains("//")
        {
            return wrong("has a path, query or fragment that a site's address cannot have");
        }
        Ok(Self { scheme, host, path: path.to_owned() })
    }
}

deserialize_from_str!(SiteUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_written() {
        for (text, shown, authority, path) in [
            ("https://www.example.org", "https://www.example.org", "www.example.org", ""),
            ("https://www.example.org:443/", "https://www.example.org", "www.example.org", ""),
            ("http://localhost:8080/portal/", "http://localhost:8080/portal", "localhost:8080", "/portal"),
            ("http://[::1]:8088/Plone", "http://[::1]:8088/Plone", "[::1]:8088", "/Plone"),
        ] {
            let url: SiteUrl = text.parse().unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.authority().as_str(), url.path()),
                (shown, authority, path),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_sites_address_is_refused() {
        for text in [
            "",
            "www.example.org",
            "ftp://a",
            "http://",
            "http://a b",
            "http://u:p@a",
            "http://a/?q",
            "http://a/#f",
            "http://a/../b",
            "http://a//b",
            "http://a:99999",
        ] {
            assert!(text.parse::<SiteUrl>().is_err(), "{text:?} must be refused");
        }
    }
}
