//! `[mail]` of `proxy.toml`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::values::{SecretSource, Size, Span, deserialize_from_str};

/// Where mail goes, and whose is taken.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The next mail server, or a folder; `smtp://127.0.0.1:25`.
    pub send: Destination,
    /// Whom the gate's own mail comes from; none: it sends none.
    pub from: Option<Sender>,
    /// Who the gate is to that server; nobody. It is said through TLS only.
    pub username: Option<String>,
    /// And the password.
    pub password: Option<SecretSource>,
    /// A PEM file of the certificate authorities that may vouch for that server, and no others; those of this machine.
    pub ca: Option<PathBuf>,
    /// Where the CMS hands its mail to the gate.
    pub relay: Relay,
}

/// The relay for the CMS's own mail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// The address to listen on; none: no mail is taken.
    pub listen: Option<SocketAddr>,
    /// The networks whose mail is taken; this machine's own addresses.
    #[schemars(with = "Vec<String>")]
    pub accept_from: Vec<IpNet>,
    /// The largest message; 50 MiB.
    pub message_limit: Size,
    /// The most recipients of one message; 1000 (RFC 5321, section 4.5.3.1.8, asks for 100 at least).
    pub recipient_limit: usize,
    /// The most connections at once, each of which may hold a message in memory; 16.
    pub connection_limit: usize,
    /// What the gate shows a CMS that asks for TLS (STARTTLS); none: it is not offered.
    pub tls: Option<Identity>,
    /// By which messages are signed (DKIM) that have no signature, or none any more; none: they are not.
    pub dkim: Option<Dkim>,
    /// Whether mail is taken through TLS only; not so.
    pub require_tls: bool,
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
            tls: None,
            dkim: None,
            require_tls: false,
            idle_timeout: Span::minutes(5),
            reply_timeout: Span::minutes(10),
        }
    }
}

/// A certificate with its key, both PEM files, relative to the folder of `proxy.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The certificate, and those between it and its authority behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A DKIM key and its name: the public one is to be found at `selector._domainkey.domain`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The domain of the messages' authors. Others' messages are not signed.
    pub domain: Label,
    /// Which of its keys this is.
    pub selector: Label,
    /// The private key: a PEM file, RSA or Ed25519.
    pub key: PathBuf,
}

/// A domain name, or a part of one, in ASCII; lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if text.split('.').all(plain) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "`{text}` is no name in the DNS; write it like \"example.org\", beyond ASCII as \"xn--…\""
            ))
        }
    }
}

/// Where mail goes: a mail server, or `"dir:var/mail"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A mail server.
    Smtp(Server),
    /// A folder, in which each message becomes a file. Relative to the folder of `proxy.toml`.
    Folder(PathBuf),
}

/// A mail server: `"smtp://127.0.0.1:25"`, `"smtp+starttls://mail.example.org"`, `"smtps://mail.example.org"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How it is spoken to.
    pub tls: Tls,
    /// Its name or address, an IPv6 one without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How a mail server is spoken to: what Postfix calls `may` and `secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `smtp:`, port 25. With STARTTLS where the server offers it, whoever it is; else in clear text. That keeps out who only
    /// listens, and costs nothing: it is what mail servers do among themselves.
    Opportunistic,
    /// `smtp+starttls:`, port 587. With STARTTLS and a certificate of that name, or not at all.
    Required,
    /// `smtps:`, port 465. TLS from the first byte (RFC 8314) and a certificate of that name, or not at all.
    Wrapper,
}

impl Tls {
    const ALL: [(Self, &str, u16); 3] = [
        (Self::Opportunistic, "smtp", 25),
        (Self::Required, "smtp+starttls", 587),
        (Self::Wrapper, "smtps", 465),
    ];
}

impl Default for Destination {
    fn default() -> Self {
        Self::Smtp(Server { tls: Tls::Opportunistic, host: "127.0.0.1".to_owned(), port: 25 })
    }
}

impl Destination {
    /// Whether this is `address`, or the same port on this machine when that listens on all addresses.
    pub fn is(&self, address: SocketAddr) -> bool {
        let Self::Smtp(Server { host, port, .. }) = self else { return false };
        let ip =
            if host == "localhost" { Some(std::net::Ipv4Addr::LOCALHOST.into()) } else { host.parse().ok() };
        *port == address.port()
            && ip.is_some_and(|ip: std::net::IpAddr| {
                ip == address.ip()
                    || ip.is_loopback() && (address.ip().is_unspecified() || address.ip().is_loopback())
            })
    }

    /// Whether only a server that has shown its certificate is spoken to.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Smtp(Server { tls: Tls::Required | Tls::Wrapper, .. }))
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(folder) = text.strip_prefix("dir:").filter(|folder| !folder.is_empty()) {
            return Ok(Self::Folder(folder.into()));
        }
        // A password in it must not be repeated.
        if text.contains('@') {
            return Err(
                "user name and password do not belong here; write them as `username` and `password` beside `send`"
                    .to_owned(),
            );
        }
        let wrong = || {
            format!(
                "`{text}` is no place to send mail to; write \"smtp://127.0.0.1:25\", \"smtps://mail.example.org\", \"smtp+starttls://mail.example.org\" or \"dir:var/mail\""
            )
        };
        let url: url::Url = text.parse().map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        let scheme = Tls::ALL.iter().find(|(_, scheme, _)| *scheme == url.scheme());
        let (tls, _, port) = scheme.ok_or_else(wrong)?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        Ok(Self::Smtp(Server {
            tls: *tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(*port),
        }))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp(server) => server.fmt(f),
            Self::Folder(folder) => write!(f, "dir:{}", folder.display()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = Tls::ALL.iter().find(|(tls, ..)| *tls == self.tls).map_or("", |(_, scheme, _)| scheme);
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

deserialize_from_str!(Destination, Label, Sender);

/// Who a mail comes from: `"Example Intranet <noreply@example.org>"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender(pub lettre::message::Mailbox);

impl FromStr for Sender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no sender; write a name and an address, such as \"Example Intranet <noreply@example.org>\""
            )
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
        let smtp = |tls, host: &str, port| Ok(Destination::Smtp(Server { tls, host: host.to_owned(), port }));
        for (text, want, shown) in [
            ("smtp://127.0.0.1:25", smtp(Tls::Opportunistic, "127.0.0.1", 25), "smtp://127.0.0.1:25"),
            ("smtp://a.example", smtp(Tls::Opportunistic, "a.example", 25), "smtp://a.example:25"),
            ("smtp://[::1]:2525/", smtp(Tls::Opportunistic, "::1", 2525), "smtp://[::1]:2525"),
            ("smtps://a.example", smtp(Tls::Wrapper, "a.example", 465), "smtps://a.example:465"),
            (
                "smtp+starttls://a.example",
                smtp(Tls::Required, "a.example", 587),
                "smtp+starttls://a.example:587",
            ),
            (
                "smtp+starttls://a.example:25",
                smtp(Tls::Required, "a.example", 25),
                "smtp+starttls://a.example:25",
            ),
            ("dir:var/mail", Ok(Destination::Folder("var/mail".into())), "dir:var/mail"),
        ] {
            let got: Result<Destination, String> = text.parse();
            assert_eq!(got, want, "{text}");
            assert_eq!(got.unwrap().to_string(), shown);
        }
        for text in [
            "",
            "dir:",
            "mail.example.org:25",
            "smtp://",
            "smtp://h/x",
            "http://h",
            "smtp+tls://h",
            "smtp://u:p@h",
            "smtps://u:p@h:x",
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
