//! Bytes through TLS, for clients and backends in tests.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::gate::HOST;
use super::pki::{Authority, Signed};

/// A client's end.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// How a client shakes hands.
pub struct Client<'a> {
    pub roots: RootCertStore,
    pub name: &'a str,
    pub versions: &'a [&'static rustls::SupportedProtocolVersion],
    pub protocols: &'a [&'a [u8]],
    pub certificate: Option<&'a Signed>,
}

impl<'a> Client<'a> {
    /// One that asks for [`HOST`] and takes any version, without ALPN.
    pub fn new(authority: &Authority) -> Self {
        Self::trusting(authority.roots())
    }

    /// The same, with other roots.
    pub fn trusting(roots: RootCertStore) -> Self {
        Self { roots, name: HOST, versions: rustls::ALL_VERSIONS, protocols: &[], certificate: None }
    }

    pub fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let (chain, key) = signed.parts();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Shakes hands over a stream.
    pub fn over(&self, mut stream: TcpStream) -> std::io::Result<Stream> {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from(self.name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(self.config()), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    /// Connects and shakes hands.
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<Stream> {
        self.over(TcpStream::connect(address)?)
    }
}
