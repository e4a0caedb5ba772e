//! `[server]` of `proxy.toml`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{crowd, tls};
use crate::config::values::{Span, deserialize_from_str};

/// Where the gate listens, and whom it believes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The addresses to listen on; `["127.0.0.1:8080"]`.
    pub listen: Vec<Address>,
    /// The path below which the gate's own pages live; `/_gate`.
    pub prefix: Prefix,
    /// Networks of proxies before this one, whose `X-Forwarded-For` is believed; nobody's.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections from those proxies begin with a PROXY header (version 1 or 2), and others are refused; no.
    pub proxy_protocol: bool,
    /// Whether who comes in clear text to a site whose `public_url` is https is sent there, once [`tls::Settings::listen`]
    /// names an address; yes. Trusted proxies are not: they speak TLS in the gate's place.
    pub redirect_to_https: bool,
    /// How many connections there may be at once.
    pub connections: crowd::Settings,
    /// How many threads serve requests; one a core.
    pub workers: Option<u16>,
    /// How long a client may take for the head of a request, and a connection may be idle; 30 s.
    pub header_timeout: Span,
    /// How long a client may leave an answer unread before it is given up; 1 min.
    pub write_timeout: Span,
    /// How long a request may take, from its head to the end of its answer; `"0"`, any time, which is the default: a CMS
    /// serves downloads too. Tunnels are not requests.
    pub request_timeout: Span,
    /// How long requests in flight may take after the gate was told to stop; 30 s.
    pub drain: Span,
    /// Whether a changed configuration is used without a signal; yes.
    pub reload_on_change: bool,
    /// TLS for visitors.
    pub tls: tls::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))],
            prefix: Prefix("/_gate".to_owned()),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            redirect_to_https: true,
            connections: crowd::Settings::default(),
            workers: None,
            header_timeout: Span::seconds(30),
            write_timeout: Span::minutes(1),
            request_timeout: Span::seconds(0),
            drain: Span::seconds(30),
            reload_on_change: true,
            tls: tls::Settings::default(),
        }
    }
}

/// One address to listen on: `"127.0.0.1:8080"`, `"[::]:80"`, `"unix:/run/lychgate.sock"` or `"fd:3"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port. Port 0 takes any that is free.
    Tcp(SocketAddr),
    /// A Unix socket. A socket that was left behind is replaced.
    Unix(PathBuf),
    /// A socket that a parent has opened and handed over as this file descriptor (systemd's `LISTEN_FDS`, from 3 on).
    Handed(usize),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("`unix:` needs a path behind it".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(number) = text.strip_prefix("fd:") {
            let number = number.parse().ok().filter(|number| *number >= 3);
            return number.map(Self::Handed).ok_or_else(|| {
                format!("`{text}` is no socket that a parent can hand over; the first is \"fd:3\"")
            });
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("`{text}` is no address to listen on; write \"127.0.0.1:8080\", \"[::]:80\", \"unix:/run/lychgate.sock\" or \"fd:3\"")
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Handed(number) => write!(f, "fd:{number}"),
        }
    }
}

/// The path of the gate's own pages: begins with a slash, does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/".contains(&byte);
        if text.len() > 1
            && text.starts_with('/')
            && !text.ends_with('/')
            && !text.contains("//")
            && text.bytes().all(plain)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is no prefix; write a path of letters, digits, `-` and `_` such as \"/_gate\", without a slash at its end"
            ))
        }
    }
}

deserialize_from_str!(Address, Prefix);
