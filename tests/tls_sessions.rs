//! What outlives one TLS connection: stapled proofs of a certificate, and sessions that are taken up again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lychgate::clock::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, Tls12Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use support::gate::{Gate, HOST};
use support::pki::{Authority, Signed};
use support::raw::{Backend, Wire, get};
use support::secure::Client;

/// Where a visitor needs a certificate.
const INSIDE: &str = "/inside/a";

/// A gate with what is in `folder`; `tls` are further lines of `[server.tls]`.
fn gate(folder: &Path, backend: &Backend, tls: &str) -> Gate {
    let file = |name: &str| folder.join(name).display().to_string();
    let rules = "access.rules = [{ path = \"/inside/**\", client_certificate = true, access = \"public\" }]";
    let rules = if tls.contains("client_ca") { rules } else { "" };
    Gate::from_toml(&format!(
        "[server]\nlisten = []\nworkers = 2\ndrain = \"5s\"\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n{tls}\n[[site]]\nname = \"intranet\"\npublic_url = \"https://{HOST}\"\nbackend_url = \"{}\"\naccess.default = \"public\"\n{rules}\n",
        file("site.pem"),
        file("site.key"),
        backend.url()
    ))
}

/// Shakes hands and asks for `path`: how the session came about, and the status.
fn visit(gate: &Gate, config: &Arc<ClientConfig>, path: &str) -> std::io::Result<(HandshakeKind, u16)> {
    let mut stream = TcpStream::connect(gate.tls.unwrap())?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut connection =
        ClientConnection::new(Arc::clone(config), ServerName::try_from(HOST).unwrap()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let kind = connection.handshake_kind().unwrap();
    let mut wire = Wire::over(StreamOwned::new(connection, stream));
    wire.send(get(path, ""));
    let answer = wire.response_to("GET").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((kind, answer.status()))
}

/// The ways to take up a session.
fn ways() -> [(&'static str, &'static SupportedProtocolVersion, Tls12Resumption); 3] {
    [
        ("TLS 1.3", &rustls::version::TLS13, Tls12Resumption::Disabled),
        ("TLS 1.2, tickets", &rustls::version::TLS12, Tls12Resumption::SessionIdOrTickets),
        ("TLS 1.2, session ids", &rustls::version::TLS12, Tls12Resumption::SessionIdOnly),
    ]
}

/// One who keeps sessions, and shows `certificate`.
fn keeper(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    tls12: Tls12Resumption,
    certificate: Option<&Signed>,
) -> Arc<ClientConfig> {
    let mut config = Client { versions: &[version], certificate, ..Client::new(authority) }.config();
    config.resumption = Resumption::in_memory_sessions(16).tls12_resumption(tls12);
    Arc::new(config)
}

/// Waits until the gate has read its files anew, which it shows by no longer taking up a session.
fn until_forgotten(gate: &Gate, config: &Arc<ClientConfig>) -> std::io::Result<(HandshakeKind, u16)> {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(30), "the session is still taken up");
        match visit(gate, config, INSIDE) {
            Ok((HandshakeKind::Resumed, _)) => std::thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn a_session_is_taken_up_again_with_the_certificate_it_had_and_no_other() {
    let (authority, visitors, backend) = (Authority::new(), Authority::new(), Backend::polite());
    let folder = tempfile::tempdir().unwrap();
    authority.server(&[HOST]).write(folder.path(), "site");
    let clients = folder.path().join("clients.pem");
    std::fs::write(&clients, &visitors.pem).unwrap();
    let gate = gate(folder.path(), &backend, &format!("client_ca = \"{}\"", clients.display()));
    let card = visitors.client();
    for (way, version, tls12) in ways() {
        for (name, certificate, inside) in [("with none", None, 403), ("with one", Some(&card), 200)] {
            let config = keeper(&authority, version, tls12, certificate);
            let first = visit(&gate, &config, INSIDE).unwrap();
            assert_eq!(first, (HandshakeKind::Full, inside), "{way}, {name}");
            for path in [INSIDE, "/a", INSIDE] {
                let status = if path == INSIDE { inside } else { 200 };
                let again = visit(&gate, &config, path).unwrap();
                assert_eq!(again, (HandshakeKind::Resumed, status), "{way}, {name}: {path}");
            }
        }
    }
}

/// What is good until the year 4000 (see [`Authority`]), in milliseconds.
const CARDS_END: i64 = 64_060_588_800_000;

#[test]
fn a_certificate_that_is_over_opens_nothing_on_any_connection_or_session_from_before() {
    let (authority, visitors, backend) = (Authority::new(), Authority::new(), Backend::polite());
    let folder = tempfile::tempdir().unwrap();
    authority.server(&[HOST]).write(folder.path(), "site");
    let clients = folder.path().join("clients.pem");
    std::fs::write(&clients, &visitors.pem).unwrap();
    let gate = gate(folder.path(), &backend, &format!("client_ca = \"{}\"", clients.display()));
    let card = visitors.client();
    for (way, version, tls12) in ways() {
        gate.clock.set(Timestamp::from_millis(CARDS_END - 1));
        let config = keeper(&authority, version, tls12, Some(&card));
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Full, 200), "{way}");
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Resumed, 200), "{way}");
        let mut standing = Wire::over(
            Client { versions: &[version], certificate: Some(&card), ..Client::new(&authority) }
                .connect(gate.tls.unwrap())
                .unwrap(),
        );
        let mut ask = |path| {
            standing.send(get(path, ""));
            standing.response().status()
        };
        assert_eq!(ask(INSIDE), 200, "{way}");

        gate.clock.set(Timestamp::from_millis(CARDS_END));
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Resumed, 403), "{way}");
        assert_eq!(ask(INSIDE), 403, "{way}: the connection still stands");
        assert_eq!(ask("/a"), 200, "{way}: what needs no certificate needs none");
    }
}

#[test]
fn new_files_end_all_sessions_from_before_and_what_they_had_shown() {
    for (way, version, tls12) in ways() {
        let (authority, before, after) = (Authority::new(), Authority::new(), Authority::new());
        let backend = Backend::polite();
        let folder = tempfile::tempdir().unwrap();
        authority.server(&[HOST]).write(folder.path(), "site");
        let clients = folder.path().join("clients.pem");
        std::fs::write(&clients, &before.pem).unwrap();
        let gate = gate(folder.path(), &backend, &format!("client_ca = \"{}\"", clients.display()));
        let card = before.client();
        let config = keeper(&authority, version, tls12, Some(&card));
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Full, 200), "{way}");
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Resumed, 200), "{way}");

        authority.server(&[HOST]).write(folder.path(), "site");
        assert_eq!(until_forgotten(&gate, &config).unwrap(), (HandshakeKind::Full, 200), "{way}: renewed");
        assert_eq!(visit(&gate, &config, INSIDE).unwrap(), (HandshakeKind::Resumed, 200), "{way}");

        std::fs::write(&clients, &after.pem).unwrap();
        let refused = until_forgotten(&gate, &config);
        assert!(refused.is_err(), "{way}: nobody vouches for it any more, and yet {refused:?}");
        for _ in 0..3 {
            assert!(visit(&gate, &config, INSIDE).is_err(), "{way}");
        }
    }
}

/// Notes what was stapled, and believes whom it should.
#[derive(Debug)]
struct Reader {
    inner: Arc<WebPkiServerVerifier>,
    stapled: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Reader {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.stapled.lock().unwrap() = ocsp_response.to_vec();
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[test]
fn what_is_given_to_be_stapled_is_shown_byte_for_byte_and_anew_when_it_changes() {
    let (authority, backend) = (Authority::new(), Backend::polite());
    let folder = tempfile::tempdir().unwrap();
    authority.server(&[HOST]).write(folder.path(), "site");
    let (first, second) =
        (b"\x30\x82 the first \0 response".as_slice(), b"\x30\x82 the second, longer".as_slice());
    let file = folder.path().join("site.ocsp");
    std::fs::write(&file, first).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = |gate: &Gate, version: &'static SupportedProtocolVersion| {
        let roots = Arc::new(authority.roots());
        let inner =
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap();
        let reader = Arc::new(Reader { inner, stapled: Mutex::default() });
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&reader) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        assert_eq!(visit(gate, &Arc::new(config), "/a").unwrap(), (HandshakeKind::Full, 200));
        reader.stapled.lock().unwrap().clone()
    };
    let without = gate(folder.path(), &backend, "");
    let with = gate(folder.path(), &backend, &format!("ocsp = \"{}\"", file.display()));
    for version in rustls::ALL_VERSIONS {
        assert_eq!(shown(&without, version), b"", "{version:?}");
        assert_eq!(shown(&with, version), first, "{version:?}");
    }
    std::fs::write(&file, second).unwrap();
    let began = Instant::now();
    while shown(&with, &rustls::version::TLS13) != second {
        assert!(began.elapsed() < Duration::from_secs(30), "the new response is not shown");
    }
    assert_eq!(shown(&with, &rustls::version::TLS12), second);
}
