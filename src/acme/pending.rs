//! The challenges that are being answered now: a page in clear text for each token (http-01), a handshake for each name
//! (tls-alpn-01). Both only while the order is under way, only for exactly what was asked, and only for names of the gate's own.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::settings::{Challenge, Name};
use crate::tls;

/// Where http-01 is looked for (RFC 8555, section 8.3).
pub(super) const PLACE: &str = "/.well-known/acme-challenge/";
/// The protocol in which tls-alpn-01 is spoken (RFC 8737, section 6.2): a handshake and nothing after it.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is being answered. Looked up without a lock, changed seldom.
#[derive(Default)]
pub(super) struct Pending(ArcSwap<Answers>);

#[derive(Clone, Default)]
struct Answers {
    /// By token: the name that is proven, and the answer.
    pages: HashMap<String, (Name, String)>,
    /// By name.
    handshakes: HashMap<String, Arc<ServerConfig>>,
}

/// An answer that is being given; dropping it ends that.
pub(super) struct Shown {
    pending: Arc<Pending>,
    what: What,
}

enum What {
    Page(String),
    Handshake(Name),
}

impl Pending {
    /// Begins to answer.
    ///
    /// # Errors
    /// One sentence, when the server's token is none or the answer cannot be made.
    pub(super) fn show(
        self: &Arc<Self>,
        kind: Challenge,
        name: &Name,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<Shown, String> {
        match kind {
            Challenge::Http01 => self.show_page(name, token, authorization.as_str()),
            Challenge::TlsAlpn01 => self.show_handshake(name, authorization.digest().as_ref()),
        }
    }

    fn show_page(self: &Arc<Self>, name: &Name, token: &str, page: &str) -> Result<Shown, String> {
        if !is_token(token) {
            return Err("the ACME server's token is none (RFC 8555, section 8.3)".to_owned());
        }
        self.0.rcu(|answers| {
            let mut answers = Answers::clone(answers);
            answers.pages.insert(token.to_owned(), (name.clone(), page.to_owned()));
            answers
        });
        Ok(Shown { pending: Arc::clone(self), what: What::Page(token.to_owned()) })
    }

    fn show_handshake(self: &Arc<Self>, name: &Name, digest: &[u8]) -> Result<Shown, String> {
        let config = handshake(name, digest)?;
        self.0.rcu(|answers| {
            let mut answers = Answers::clone(answers);
            answers.handshakes.insert(name.as_str().to_owned(), Arc::clone(&config));
            answers
        });
        Ok(Shown { pending: Arc::clone(self), what: What::Handshake(name.clone()) })
    }

    /// The page for a token, asked for at a host.
    pub(super) fn page(&self, host: &str, token: &str) -> Option<String> {
        let answers = self.0.load();
        answers.pages.get(token).filter(|(name, _)| name.as_str() == host).map(|(_, page)| page.clone())
    }

    /// Whether any handshake is a challenge at the moment.
    pub(super) fn has_handshakes(&self) -> bool {
        !self.0.load().handshakes.is_empty()
    }

    /// The handshake for who offers nothing but the protocol of the challenge, and names one that is being proven.
    pub(super) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        self.0.load().handshakes.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.pending.0.rcu(|answers| {
            let mut answers = Answers::clone(answers);
            match &self.what {
                What::Page(token) => drop(answers.pages.remove(token)),
                What::Handshake(name) => drop(answers.handshakes.remove(name.as_str())),
            }
            answers
        });
    }
}

/// base64url, and long enough not to be guessed (RFC 8555, section 8.3: 128 bits). It becomes part of no file name or header.
fn is_token(token: &str) -> bool {
    (22..=256).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The certificate that says so, and a handshake that leads nowhere (RFC 8737, section 3).
fn handshake(name: &Name, digest: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let failed = |error: rcgen::Error| format!("the certificate for tls-alpn-01 cannot be made: {error}");
    let mut params = CertificateParams::new(vec![name.as_str().to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let failed = |error: rustls::Error| format!("the handshake for tls-alpn-01 cannot be made: {error}");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signer = tls::provider().key_provider.load_private_key(key).map_err(failed)?;
    let shown = CertifiedKey::new(vec![certificate.der().clone()], signer);
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        // Not `with_single_cert`: that tries the certificate as a visitor would, who does not know its extension.
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Nothing of it is ever resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

    #[test]
    fn a_page_is_there_for_its_token_at_its_host_and_while_it_is_being_proven() {
        let pending = Arc::new(Pending::default());
        let name: Name = "www.example.org".parse().unwrap();
        let shown = pending.show_page(&name, TOKEN, "answer").unwrap();
        assert_eq!(pending.page("www.example.org", TOKEN).as_deref(), Some("answer"));
        for (row, host, token) in [
            ("another host", "other.example.org", TOKEN.to_owned()),
            ("no token", "www.example.org", String::new()),
            ("the beginning of it", "www.example.org", TOKEN[..42].to_owned()),
            ("more than it", "www.example.org", format!("{TOKEN}/")),
            ("in another case", "www.example.org", TOKEN.to_ascii_lowercase()),
        ] {
            assert_eq!(pending.page(host, &token), None, "{row}");
        }
        drop(shown);
        assert_eq!(pending.page("www.example.org", TOKEN), None, "afterwards");
    }

    #[test]
    fn what_a_server_calls_a_token_is_not_shown_unless_it_is_one() {
        let pending = Arc::new(Pending::default());
        let name: Name = "www.example.org".parse().unwrap();
        for token in
            ["", "short", "../../../../../../etc/passwd", "a b c d e f g h i j k l m n o", &"a".repeat(257)]
        {
            assert!(pending.show_page(&name, token, "answer").is_err(), "{token:?}");
        }
    }
}
