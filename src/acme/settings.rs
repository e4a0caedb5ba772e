//! `acme = { … }` in `[server.tls]` of `proxy.toml`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::folder;
use crate::admit::PublicHost;
use crate::config::values::deserialize_from_str;
use crate::{listen, tls};

/// From whom certificates are fetched, for which names, and how the gate proves that they are its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The ACME server's directory (RFC 8555, section 7.1.1).
    pub directory: Directory,
    /// Whom the certificate authority tells what concerns the account; nobody.
    #[serde(default)]
    pub contact: Vec<Contact>,
    /// Whether the operator agrees to the authority's terms of service; no, and then it is asked for nothing.
    #[serde(default)]
    pub terms_agreed: bool,
    /// The names to have certificates for; those of the sites whose `public_url` is https.
    #[serde(default)]
    pub names: Vec<Name>,
    /// How the names are proven; by what listeners there are, see [`Settings::challenge_for`].
    pub challenge: Option<Challenge>,
    /// Where account and certificates are kept; `acme` beside the store's database, so `var/acme`.
    ///
    /// Files and not the store: they are read before anything else is there, other tools can look at them, and a certificate is
    /// of no use to whoever has taken a copy of the store.
    pub folder: Option<PathBuf>,
    /// Whose certificate the ACME server itself must have, PEM; that of an authority which this machine trusts.
    pub ca: Option<PathBuf>,
    /// An account at the authority that this one is to belong to (RFC 8555, section 7.3.4); none.
    pub eab: Option<Binding>,
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Challenge {
    /// By a page in clear text, at port 80 (RFC 8555, section 8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By a TLS handshake, at port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// An account at the authority, made outside ACME.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// What the authority calls the key.
    pub kid: String,
    /// A file with the key as base64url text, as the authority gives it; for nobody else to read.
    pub key_file: PathBuf,
}

impl Binding {
    /// The key itself.
    ///
    /// # Errors
    /// One sentence that names the file, and never quotes it.
    pub(super) fn key(&self, base: &Path) -> Result<Vec<u8>, String> {
        let file = base.join(&self.key_file);
        let text = folder::read_private(&file)?.ok_or_else(|| {
            format!(
                "the key {} of acme.eab is not there; save what the certificate authority gave",
                file.display()
            )
        })?;
        URL_SAFE_NO_PAD.decode(text.expose().trim().trim_end_matches('=')).ok().filter(|key| !key.is_empty()).ok_or_else(
            || format!("the key {} of acme.eab is no base64url text; save it as the certificate authority gave it", file.display()),
        )
    }
}

impl Settings {
    /// The names to have certificates for: those written, or else those of `hosts` that an authority could vouch for. Each once.
    pub fn wanted<'h>(&self, hosts: impl Iterator<Item = &'h PublicHost>) -> Vec<Name> {
        let mut names = if self.names.is_empty() {
            hosts.filter_map(|host| host.name().parse::<Name>().ok()).filter(Name::is_public).collect()
        } else {
            self.names.clone()
        };
        names.sort();
        names.dedup();
        names
    }

    /// How names are proven: as written, or else by what reaches the gate at the port that the authority will use. With TLS at
    /// port 443 that is tls-alpn-01; without, but with clear text at port 80, http-01; and else tls-alpn-01, since a
    /// listener for TLS is always there and who led other ports here had that in mind.
    pub fn challenge_for(&self, server: &listen::Settings) -> Challenge {
        let has = |listen: &[listen::Address], port: u16| {
            listen
                .iter()
                .any(|address| matches!(address, listen::Address::Tcp(address) if address.port() == port))
        };
        self.challenge.unwrap_or_else(|| {
            if !has(&server.tls.listen, 443) && has(&server.listen, 80) {
                Challenge::Http01
            } else {
                Challenge::TlsAlpn01
            }
        })
    }

    /// What is wrong with them besides each value by itself.
    pub(crate) fn problems<'h>(
        &self,
        server: &listen::Settings,
        hosts: impl Iterator<Item = &'h PublicHost>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        if !server.tls.is_on() {
            problems.push("acme fetches certificates for [server.tls], which listens nowhere; write listen = [\"[::]:443\"] there".to_owned());
        }
        if !self.terms_agreed {
            problems.push(format!("acme asks {} for nothing until its terms of service are agreed to; read them, and write terms_agreed = true", self.directory));
        }
        if self.wanted(hosts).is_empty() {
            problems.push("acme has no name to fetch a certificate for: no site has a public_url with https and a name that is public; write names = [\"www.example.org\"]".to_owned());
        }
        if self.challenge == Some(Challenge::Http01) && server.listen.is_empty() {
            problems.push("http-01 is answered in clear text, and [server] listens nowhere; write listen = [\"[::]:80\"] there, or challenge = \"tls-alpn-01\"".to_owned());
        }
        problems
    }

    /// Takes over from `running` what a gate that runs cannot change: all but the names. Says whether that would have been different.
    pub(crate) fn keep_fixed(next: &mut Option<Spanned<Self>>, running: Option<&Spanned<Self>>) -> bool {
        if let (Some(next), Some(running)) = (next.as_mut(), running) {
            let names = std::mem::replace(&mut next.as_mut().names, running.as_ref().names.clone());
            let is_other = next != running;
            if is_other {
                next.clone_from(running);
            }
            next.as_mut().names = names;
            return is_other;
        }
        let is_other = next.is_some() || running.is_some();
        *next = running.cloned();
        is_other
    }

    /// Tries the files it names. Makes nothing.
    ///
    /// # Errors
    /// One sentence that names the file.
    pub(crate) fn try_files(&self, base: &Path) -> Result<(), String> {
        if let Some(ca) = &self.ca {
            tls::read_authorities(&base.join(ca))?;
        }
        self.eab.as_ref().map_or(Ok(()), |eab| eab.key(base).map(drop))
    }
}

/// The address of an ACME server's directory: https, and nothing in it that has no place there.
#[derive(Clone, PartialEq, Eq)]
pub struct Directory(Url);

impl Directory {
    /// The address.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name of a folder for what is had from there, so that nothing of one server is taken for another's.
    pub(super) fn folder(&self) -> String {
        let place = self.0.as_str().trim_start_matches("https://").trim_end_matches('/');
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        place.chars().map(plain).collect()
    }
}

impl FromStr for Directory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        });
        url.map(Self).ok_or_else(|| {
            "this is no ACME directory; write its https address, such as \"https://acme-v02.api.letsencrypt.org/directory\"".to_owned()
        })
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom the authority writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// The address, with its `mailto:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Contact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("mailto:").and_then(|address| address.split_once('@'));
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !",?<>".contains(c))
        };
        match address {
            Some((local, host)) if plain(local) && plain(host) && !host.contains('@') => {
                Ok(Self(text.to_owned()))
            }
            _ => {
                Err(format!("`{text}` is no contact; write one address, such as \"mailto:ops@example.org\""))
            }
        }
    }
}

/// A DNS name, in lower case, that can stand in a certificate and be the name of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an authority of the internet could vouch for it.
    fn is_public(&self) -> bool {
        const OF_ONES_OWN: [&str; 4] = ["localhost", "local", "internal", "invalid"];
        self.0.rsplit_once('.').is_some_and(|(_, top)| !OF_ONES_OWN.contains(&top))
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('*') {
            return Err(format!(
                "`{text}` stands for many names, which neither http-01 nor tls-alpn-01 can prove; write each of them"
            ));
        }
        let label = |label: &str| label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-');
        let host = PublicHost::parse(text).filter(|host| {
            let name = host.name();
            host.port().is_none()
                && name.parse::<IpAddr>().is_err()
                && !name.starts_with('[')
                && name.split('.').all(label)
        });
        host.map(|host| Self(host.name().to_owned()))
            .ok_or_else(|| format!("`{text}` is no DNS name; write it like \"www.example.org\""))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_from_str!(Directory, Contact, Name);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(&format!("directory = \"https://acme.example/dir\"\n{toml}")).unwrap()
    }

    #[test]
    fn by_default_names_are_those_that_an_authority_could_vouch_for() {
        let hosts = [
            "www.example.org",
            "a.example.org:8443",
            "localhost",
            "10.0.0.5",
            "[::1]",
            "cms.internal",
            "plone",
            "www.example.org",
        ];
        let hosts: Vec<PublicHost> = hosts.into_iter().map(|host| PublicHost::parse(host).unwrap()).collect();
        let names = |toml: &str| {
            settings(toml).wanted(hosts.iter()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["a.example.org", "www.example.org"]);
        assert_eq!(names("names = [\"Plone\", \"plone\"]"), ["plone"], "what is written is asked for, once");
    }

    #[test]
    fn what_is_no_name_of_one_host_is_refused() {
        for text in [
            "",
            "*.example.org",
            "10.0.0.5",
            "[::1]",
            "a..b",
            "../a",
            "a/b",
            "-a.example",
            "a.example:443",
            &"a".repeat(64),
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_challenge_is_the_one_whose_port_reaches_the_gate() {
        use Challenge::{Http01, TlsAlpn01};
        for (name, plain, tls, written, expected) in [
            ("both", "[::]:80", "[::]:443", "", TlsAlpn01),
            ("clear text alone has its port", "0.0.0.0:80", "0.0.0.0:8443", "", Http01),
            ("neither", "127.0.0.1:8080", "127.0.0.1:8443", "", TlsAlpn01),
            ("written", "[::]:80", "[::]:443", "challenge = \"http-01\"", Http01),
        ] {
            let server: listen::Settings =
                toml::from_str(&format!("listen = [\"{plain}\"]\ntls.listen = [\"{tls}\"]")).unwrap();
            assert_eq!(settings(written).challenge_for(&server), expected, "{name}");
        }
    }

    #[test]
    fn servers_do_not_share_a_folder() {
        let folder = |text: &str| text.parse::<Directory>().unwrap().folder();
        assert_eq!(
            folder("https://acme-v02.api.letsencrypt.org/directory"),
            "acme-v02.api.letsencrypt.org-directory"
        );
        assert_ne!(folder("https://localhost:1/dir"), folder("https://localhost:2/dir"));
        assert!(!folder("https://a/../..%2f\\x").contains(['/', '\\', '%']));
    }
}
