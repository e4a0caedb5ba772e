//! The way to the next mail server: connection, TLS, name and password.
//!
//! # STARTTLS injection, from the other side
//! What a server seems to have said in clear text behind its answer to `STARTTLS` is thrown away with the conversation it was
//! part of. Taken for what it says through TLS, it would let who sits between answer in its place, and accept mail that nobody
//! has. So STARTTLS is done here: the SMTP client begins anew on the far side of the handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::Starttls;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::next::refusal;
use super::reply::Reply;
use super::settings::{Server, Tls};
use super::tls;
use crate::secret::Secret;

/// How the next mail server is reached.
pub(super) struct Route {
    server: Server,
    client: ClientId,
    connector: TlsConnector,
    /// Whom the certificate has to name.
    expected: ServerName<'static>,
    login: Option<(String, Secret)>,
}

impl Route {
    /// `name`: what the gate calls itself, an address in brackets.
    ///
    /// # Errors
    /// One sentence, when there is nobody to vouch for the server, or its name is none.
    pub(super) fn new(
        server: Server,
        name: &str,
        ca: Option<&Path>,
        login: Option<(String, Secret)>,
    ) -> Result<Self, String> {
        let connector = match server.tls {
            Tls::Opportunistic => tls::unverifying()?,
            Tls::Required | Tls::Wrapper => tls::verifying(ca)?,
        };
        let expected = match server.host.parse::<IpAddr>() {
            Ok(address) => ServerName::from(address),
            Err(_) => ServerName::try_from(server.host.clone())
                .map_err(|_| format!("`{server}` names no mail server; write its host name or address"))?,
        };
        Ok(Self { client: ClientId::Domain(name.to_owned()), server, connector, expected, login })
    }

    /// A conversation in which the server has been greeted, as securely as was asked for.
    ///
    /// # Errors
    /// What the CMS is to be told: the server's own refusal, or to try again later.
    pub(super) async fn connect(&self) -> Result<AsyncSmtpConnection, Reply> {
        let mut connection = match self.server.tls {
            Tls::Wrapper => {
                let stream =
                    self.handshake(self.tcp().await?).await.map_err(|error| self.untrusted(&error))?;
                self.greet(Wire::secure(b"", stream)).await?
            }
            Tls::Required | Tls::Opportunistic => self.greet_and_secure().await?,
        };
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            if let Err(error) = connection.auth(DEFAULT_MECHANISMS, &credentials).await {
                let code = error.status().map(u16::from);
                tracing::error!(server = %self.server, code, "the mail server does not accept the username and password of [mail]; see that they are right, and that it offers AUTH PLAIN or LOGIN");
                return Err(Reply::later("4.7.8 the mail server does not let the gate in"));
            }
        }
        Ok(connection)
    }

    async fn greet_and_secure(&self) -> Result<AsyncSmtpConnection, Reply> {
        let is_required = self.server.tls == Tls::Required;
        let (wire, stream) = Wire::plain(self.tcp().await?);
        let mut connection = self.greet(wire).await?;
        let accepted = connection.can_starttls() && connection.command(Starttls).await.is_ok();
        if !accepted && !is_required {
            return Ok(connection);
        }
        drop(connection);
        let stream = Arc::into_inner(stream).filter(|_| accepted);
        let Some(stream) = stream.map(|stream| stream.into_inner().unwrap_or_else(PoisonError::into_inner))
        else {
            tracing::error!(server = %self.server, "the mail server does not offer STARTTLS, so no mail is sent; if it is the right one and TLS is not needed, write smtp:// in mail.send");
            return Err(Reply::later("4.7.4 the mail server offers no TLS, which is required"));
        };
        match self.handshake(stream).await {
            // The client waits for a greeting, which there is none of behind STARTTLS.
            Ok(stream) => self.greet(Wire::secure(b"220 STARTTLS\r\n", stream)).await,
            Err(error) if is_required => Err(self.untrusted(&error)),
            Err(error) => {
                tracing::warn!(%error, server = %self.server, "the mail server offers STARTTLS and fails at it; going on in clear text");
                self.greet(Wire::plain(self.tcp().await?).0).await
            }
        }
    }

    async fn tcp(&self) -> Result<TcpStream, Reply> {
        let stream =
            TcpStream::connect((self.server.host.as_str(), self.server.port)).await.map_err(|error| {
                tracing::warn!(%error, server = %self.server, "the mail server cannot be reached");
                Reply::later("4.4.1 the mail server cannot be reached")
            })?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<Box<TlsStream<TcpStream>>> {
        self.connector.connect(self.expected.clone(), stream).await.map(Box::new)
    }

    async fn greet(&self, wire: Wire) -> Result<AsyncSmtpConnection, Reply> {
        AsyncSmtpConnection::connect_with_transport(Box::new(wire), &self.client)
            .await
            .map_err(|error| refusal(&error, "4.4.1 the mail server cannot be reached"))
    }

    fn untrusted(&self, error: &io::Error) -> Reply {
        let reason = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        if matches!(reason, Some(rustls::Error::InvalidCertificate(_))) {
            tracing::error!(%error, server = %self.server, "the mail server's certificate is not trusted, so no mail is sent; write the name it is made out to in mail.send, or its authority's certificate in [mail] ca");
            Reply::later("4.7.5 the mail server's certificate is not trusted")
        } else {
            tracing::error!(%error, server = %self.server, "TLS with the mail server failed, so no mail is sent; see that mail.send names a port that speaks TLS");
            Reply::later("4.7.5 TLS with the mail server failed")
        }
    }
}

/// What the SMTP client speaks over.
#[derive(Debug)]
enum Wire {
    /// Shared with who may want to go on with it through TLS.
    Plain(Arc<Mutex<TcpStream>>),
    /// `greeting` is heard first.
    Secure { greeting: &'static [u8], stream: Box<TlsStream<TcpStream>> },
}

impl Wire {
    fn plain(stream: TcpStream) -> (Self, Arc<Mutex<TcpStream>>) {
        let stream = Arc::new(Mutex::new(stream));
        (Self::Plain(Arc::clone(&stream)), stream)
    }

    fn secure(greeting: &'static [u8], stream: Box<TlsStream<TcpStream>>) -> Self {
        Self::Secure { greeting, stream }
    }
}

/// Nobody else ever holds it for longer than a call.
fn locked(stream: &Mutex<TcpStream>) -> MutexGuard<'_, TcpStream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(&mut *locked(stream)).poll_read(cx, buf),
            Self::Secure { greeting: [], stream } => Pin::new(stream).poll_read(cx, buf),
            Self::Secure { greeting, .. } => {
                let (said, rest) = greeting.split_at(buf.remaining().min(greeting.len()));
                buf.put_slice(said);
                *greeting = rest;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(&mut *locked(stream)).poll_write(cx, buf),
            Self::Secure { stream, .. } => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(&mut *locked(stream)).poll_flush(cx),
            Self::Secure { stream, .. } => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(&mut *locked(stream)).poll_shutdown(cx),
            Self::Secure { stream, .. } => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(stream) => locked(stream).peer_addr(),
            Self::Secure { stream, .. } => stream.get_ref().0.peer_addr(),
        }
    }
}
