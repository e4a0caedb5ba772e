//! `[mail]` of `proxy.toml`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::config::values::{Size, Span, deserialize_from_str};

/// Where mail goes, and whose is taken.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The next mail server, or a folder; `smtp://127.0.0.1:25`.
    pub send: Destination,
    /// Whom the gate's own mail comes from; none: it sends none.
    pub from: Option<Sender>,
    /// Where the CMS hands its mail to the gate.
    pub relay: Relay,
}

/// The relay for the CMS's own mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// The address to listen on; none: no mail is taken.
    pub listen: Option<SocketAddr>,
    /// The networks whose mail is taken; this machine's own addresses.
    pub accept_from: Vec<IpNet>,
    /// The largest message; 50 MiB.
    pub message_limit: Size,
    /// The most recipients of one message; 1000 (RFC 5321, section 4.5.3.1.8, asks for 100 at least).
    pub recipient_limit: usize,
    /// The most connections at once, each of which may hold a message in memory; 16.
    pub connection_limit: usize,
    /// How long the CMS may say nothing; 5 min (RFC 5321, section 4.5.3.2.7).
    pub idle_timeout: Span,
    /// How long the next mail server may take for an answer; 10 min (RFC 5321, section 4.5.3.2.6), for a mail that was
    /// given up while it was being accepted arrives twice.
    pub reply_timeout: Span,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            listen: None,
            accept_from: vec![
                IpNet::new_assert(std::net::Ipv4Addr::LOCALHOST.into(), 32),
                IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
            ],
            message_limit: Size::bytes(50 << 20),
            recipient_limit: 1000,
            connection_limit: 16,
            idle_timeout: Span::minutes(5),
            reply_timeout: Span::minutes(10),
        }
    }
}

/// Where mail goes: `"smtp://127.0.0.1:25"` or `"dir:var/mail"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A mail server.
    Smtp {
        /// Its name or address, an IPv6 one without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A folder, in which each message becomes a file. Relative to the folder of `proxy.toml`.
    Folder(PathBuf),
}

impl Default for Destination {
    fn default() -> Self {
        Self::Smtp { host: "127.0.0.1".to_owned(), port: 25 }
    }
}

impl Destination {
    /// Whether this is `address`, or the same port on this machine when that listens on all addresses.
    pub fn is(&self, address: SocketAddr) -> bool {
        match self {
            Self::Smtp { host, port } => {
                let ip = if host == "localhost" {
                    Some(std::net::Ipv4Addr::LOCALHOST.into())
                } else {
                    host.parse().ok()
                };
                *port == address.port()
                    && ip.is_some_and(|ip: std::net::IpAddr| {
                        ip == address.ip()
                            || ip.is_loopback()
                                && (address.ip().is_unspecified() || address.ip().is_loopback())
                    })
            }
            Self::Folder(_) => false,
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(folder) = text.strip_prefix("dir:").filter(|folder| !folder.is_empty()) {
            return Ok(Self::Folder(folder.into()));
        }
        if text.starts_with("smtps:") {
            return Err(format!(
                "`{text}`: TLS to the mail server is not supported by this version; send to a server on this machine or network, which may use it"
            ));
        }
        let wrong = || {
            format!("`{text}` is no place to send mail to; write \"smtp://127.0.0.1:25\" or \"dir:var/mail\"")
        };
        let url: url::Url = text.parse().map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        if url.scheme() != "smtp"
            || !matches!(url.path(), "" | "/")
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a mail server that asks for a password is not supported by this version: without TLS everyone on the way would read it".to_owned());
        }
        Ok(Self::Smtp { host: host.trim_matches(['[', ']']).to_owned(), port: url.port().unwrap_or(25) })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp { host, port } => write!(f, "smtp://{host}:{port}"),
            Self::Folder(folder) => write!(f, "dir:{}", folder.display()),
        }
    }
}

deserialize_from_str!(Destination, Sender);

/// Who a mail comes from: `"Example Intranet <noreply@example.org>"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(pub lettre::message::Mailbox);

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no sender; write a name and an address, such as \"Example Intranet <noreply@example.org>\"")
        };
        if text.chars().any(char::is_control) {
            return Err(wrong());
        }
        text.parse().map(Self).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_read_as_written_and_nothing_else_does() {
        let smtp = |host: &str, port| Ok(Destination::Smtp { host: host.to_owned(), port });
        for (text, want) in [
            ("smtp://127.0.0.1:25", smtp("127.0.0.1", 25)),
            ("smtp://mail.example.org", smtp("mail.example.org", 25)),
            ("smtp://[::1]:2525/", smtp("::1", 2525)),
            ("dir:var/mail", Ok(Destination::Folder("var/mail".into()))),
        ] {
            assert_eq!(text.parse(), want, "{text}");
        }
        for text in [
            "",
            "dir:",
            "mail.example.org:25",
            "smtp://",
            "smtp://h/x",
            "smtps://h",
            "http://h",
            "smtp://u:p@h",
            "smtp://h?a",
        ] {
            let error = text.parse::<Destination>().unwrap_err();
            assert!(!error.contains('\n') && !error.contains("u:p"), "{text}: {error}");
        }
    }

    #[test]
    fn the_relay_itself_is_known_as_such() {
        for (destination, listen, same) in [
            ("smtp://127.0.0.1:25", "127.0.0.1:25", true),
            ("smtp://localhost:25", "127.0.0.1:25", true),
            ("smtp://127.0.0.1:25", "0.0.0.0:25", true),
            ("smtp://[::1]:25", "[::]:25", true),
            ("smtp://127.0.0.1:25", "127.0.0.1:2525", false),
            ("smtp://10.0.0.1:25", "127.0.0.1:25", false),
            ("dir:x", "127.0.0.1:25", false),
        ] {
            assert_eq!(
                destination.parse::<Destination>().unwrap().is(listen.parse().unwrap()),
                same,
                "{destination} {listen}"
            );
        }
    }
}
