//! One conversation with the CMS, as its mail server (RFC 5321).
//!
//! What it says is passed on command by command, and so are the answers: the sender, each recipient, the message. Nothing is
//! kept. Until the next server has accepted a message the CMS has not been told that it is accepted.
//!
//! # SMTP smuggling
//! A message ends with `CR LF . CR LF` and with nothing else. A bare LF is a line end *within* a message: Python's smtplib sends
//! bytes as they are, and Zope's are such; it leaves the gate as CR LF, so that no server behind sees a line end where this one
//! saw none. A bare CR is no line end to anyone who is careful, and a NUL is dropped by some servers, so that they see a line end
//! around it: such a message is refused and the connection closed, so that nothing behind it is taken for a command. So is what a client sends behind `DATA` before it was told to go ahead.
//!
//! # STARTTLS injection
//! Commands that stand behind `STARTTLS` in clear text are thrown away, and all that was said before is forgotten (RFC 3207,
//! section 4.2): who sits between CMS and gate could otherwise put words into the CMS's mouth (CVE-2011-0411 and its like).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::request::receiver::{DataReceiver, DummyDataReceiver};
use smtp_proto::{Error, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, MailFrom, RcptTo, Request};
use std::borrow::Cow;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::address::Spelled;
use super::next::Delivery;
use super::relay::Relay;
use super::reply::Reply;

/// The longest command line (RFC 5321 asks for 512, RFC 6531 for more).
const LONGEST_COMMAND: usize = 4096;
/// How long hanging up may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// One conversation.
pub(super) struct Session<S> {
    stream: S,
    relay: Arc<Relay>,
    /// Whether the gate has been told to stop.
    stopped: watch::Receiver<bool>,
    /// Read and not yet looked at.
    input: Vec<u8>,
    /// Said and not yet sent: answers to commands that came together leave together.
    output: Vec<u8>,
    greeted: Option<Greeted>,
    transaction: Option<Transaction>,
    /// Whether it is through TLS.
    is_secure: bool,
}

/// How the CMS has said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeted {
    Helo,
    Ehlo,
}

/// A message whose sender has been accepted.
struct Transaction {
    delivery: Delivery,
    protocol: &'static str,
    utf8: bool,
    recipients: usize,
    /// Named, accepted or not.
    named: usize,
}

/// Why a conversation is over.
enum End {
    /// The CMS is gone.
    Gone,
    /// The last thing to say.
    Say(Reply),
    /// It goes on through TLS.
    Secure(TlsAcceptor),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

/// Says to a client of another network that it is one, and hangs up.
pub(super) async fn turn_away<S: AsyncWrite + Unpin>(mut stream: S, peer: IpAddr, reply: &Reply) {
    tracing::warn!(%peer, code = reply.code, "mail is not taken from here");
    let _ =
        tokio::time::timeout(Duration::from_secs(5), stream.write_all(reply.to_string().as_bytes())).await;
}

/// Talks with a CMS until it is over.
pub(super) async fn converse(stream: TcpStream, relay: Arc<Relay>, stopped: watch::Receiver<bool>) {
    let mut session = Session::new(stream, Arc::clone(&relay), stopped.clone(), false);
    session.say(&Reply::new(220, &format!("{} ESMTP Lychgate", relay.trace.name())));
    let Some(acceptor) = session.talk_out().await else { return };
    // With the conversation goes what was read of it and not looked at.
    if !session.input.is_empty() {
        tracing::warn!("what came in clear text behind STARTTLS was thrown away");
    }
    let stream = session.stream;
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => drop(Session::new(stream, relay, stopped, true).talk_out().await),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the CMS and the relay found no way to speak TLS; see that the CMS trusts the certificate of [mail.relay] tls");
        }
        Err(_) => tracing::warn!("the CMS asked for TLS and then said nothing"),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(stream: S, relay: Arc<Relay>, stopped: watch::Receiver<bool>, is_secure: bool) -> Self {
        Self {
            stream,
            relay,
            stopped,
            input: Vec::new(),
            output: Vec::new(),
            greeted: None,
            transaction: None,
            is_secure,
        }
    }

    /// Talks until it is over, or until it is to go on through TLS.
    pub(super) async fn talk_out(&mut self) -> Option<TlsAcceptor> {
        let Err(end) = self.talk().await;
        self.reset().await;
        match end {
            End::Gone => None,
            End::Say(reply) => {
                self.say(&reply);
                let _ = tokio::time::timeout(FAREWELL, self.leave()).await;
                None
            }
            End::Secure(acceptor) => {
                self.say(&Reply::new(220, "2.0.0 Ready to start TLS"));
                self.flush().await.ok().map(|()| acceptor)
            }
        }
    }

    /// Sends what was said and hangs up. What still comes is read and thrown away: unread, it would make the system take back
    /// what was said.
    async fn leave(&mut self) -> Result<(), End> {
        self.flush().await?;
        self.stream.shutdown().await?;
        let mut piece = vec![0; PIECE];
        while self.stream.read(&mut piece).await? > 0 {}
        Ok(())
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            let (line, spelled) = Spelled::of(self.line().await?);
            let reply = match Request::parse(&mut line.iter()) {
                Ok(request) => self.answer(request, &spelled).await?,
                Err(error) => misunderstood(&error),
            };
            // The next server is about to hang up, and so must who says so.
            if reply.code == 421 {
                return Err(End::Say(reply));
            }
            self.say(&reply);
        }
    }

    async fn answer(&mut self, request: Request<Cow<'_, str>>, spelled: &Spelled) -> Result<Reply, End> {
        let harmless = matches!(
            request,
            Request::Ehlo { .. }
                | Request::Helo { .. }
                | Request::StartTls
                | Request::Noop { .. }
                | Request::Quit
        );
        if self.relay.settings.require_tls && !self.is_secure && !harmless {
            return Ok(Reply::new(530, "5.7.0 Say STARTTLS first"));
        }
        Ok(match request {
            Request::Ehlo { .. } => {
                self.reset().await;
                self.greeted = Some(Greeted::Ehlo);
                let size = format!("SIZE {}", self.relay.settings.message_limit.as_u64());
                let offered = [self.relay.trace.name(), "PIPELINING", &size, "8BITMIME", "SMTPUTF8"];
                let tls = (self.relay.shown.is_some() && !self.is_secure).then_some("STARTTLS");
                Reply::of_lines(250, offered.into_iter().chain(tls))
            }
            Request::Helo { .. } => {
                self.reset().await;
                self.greeted = Some(Greeted::Helo);
                Reply::new(250, self.relay.trace.name())
            }
            Request::StartTls => match &self.relay.shown {
                Some(_) if self.is_secure => Reply::new(503, "5.5.1 This is TLS already"),
                Some(shown) => return Err(End::Secure(shown.acceptor())),
                None => Reply::new(502, "5.5.1 Not here"),
            },
            Request::Mail { from } => self.sender(&from, spelled).await,
            Request::Rcpt { to } => self.recipient(&to, spelled).await,
            Request::Data => self.data().await?,
            Request::Rset => {
                self.reset().await;
                Reply::new(250, "2.0.0 Ok")
            }
            Request::Noop { .. } => Reply::new(250, "2.0.0 Ok"),
            Request::Vrfy { .. } => Reply::new(252, "2.1.5 Send the mail and see"),
            Request::Quit => return Err(End::Say(Reply::new(221, "2.0.0 Bye"))),
            _ => Reply::new(502, "5.5.1 Not here"),
        })
    }

    async fn sender(&mut self, from: &MailFrom<Cow<'_, str>>, spelled: &Spelled) -> Reply {
        let Some(greeted) = self.greeted else { return Reply::new(503, "5.5.1 Say EHLO first") };
        if self.transaction.is_some() {
            return Reply::new(503, "5.5.1 There is a sender already");
        }
        let known = MailFrom {
            address: from.address.clone(),
            flags: from.flags & (MAIL_BODY_7BIT | MAIL_BODY_8BITMIME | MAIL_SMTPUTF8),
            size: from.size,
            trans_id: None,
            by: 0,
            env_id: None,
            solicit: None,
            mtrk: None,
            auth: None,
            hold_for: 0,
            hold_until: 0,
            mt_priority: 0,
        };
        if *from != known {
            return Reply::new(555, "5.5.4 A parameter that was not offered");
        }
        if from.size as u64 > self.relay.settings.message_limit.as_u64() {
            return too_large();
        }
        let utf8 = from.flags & MAIL_SMTPUTF8 != 0;
        let path = match spelled.path(&from.address, utf8) {
            Ok(path) => path,
            Err(reply) => return reply,
        };
        match self.relay.next.begin(&path, utf8).await {
            Ok((delivery, reply)) => {
                // RFC 3848 and RFC 6531, section 4.3.
                let protocol = match (greeted, utf8, self.is_secure) {
                    (_, true, true) => "UTF8SMTPS",
                    (_, true, false) => "UTF8SMTP",
                    (Greeted::Ehlo, false, true) => "ESMTPS",
                    (Greeted::Ehlo, false, false) => "ESMTP",
                    (Greeted::Helo, false, _) => "SMTP",
                };
                self.transaction = Some(Transaction { delivery, protocol, utf8, recipients: 0, named: 0 });
                reply
            }
            Err(reply) => {
                self.relay.count(&reply);
                tracing::warn!(code = reply.code, "the mail server refused a sender");
                reply
            }
        }
    }

    async fn recipient(&mut self, to: &RcptTo<Cow<'_, str>>, spelled: &Spelled) -> Reply {
        let Some(transaction) = &mut self.transaction else {
            return Reply::new(503, "5.5.1 Say MAIL first");
        };
        if to.orcpt.is_some() || to.rrvs != 0 || to.flags != 0 {
            return Reply::new(555, "5.5.4 A parameter that was not offered");
        }
        if transaction.named >= self.relay.settings.recipient_limit {
            return Reply::new(452, "4.5.3 Too many recipients");
        }
        let path = match spelled.path(&to.address, transaction.utf8) {
            Ok(path) if path == "<>" => return Reply::new(553, "5.1.3 Nobody"),
            Ok(path) => path,
            Err(reply) => return reply,
        };
        transaction.named = transaction.named.saturating_add(1);
        let reply = transaction.delivery.recipient(&path).await;
        if reply.is_ok() {
            transaction.recipients = transaction.recipients.saturating_add(1);
        }
        reply
    }

    async fn data(&mut self) -> Result<Reply, End> {
        let Some(transaction) = &self.transaction else {
            return Ok(Reply::new(503, "5.5.1 Say MAIL first"));
        };
        if transaction.recipients == 0 {
            return Ok(Reply::new(554, "5.5.1 No valid recipients"));
        }
        if !self.input.is_empty() {
            return Err(End::Say(Reply::new(503, "5.5.0 DATA ends a group of commands (RFC 2920)")));
        }
        self.say(&Reply::new(354, "Go ahead; end with CR LF . CR LF"));
        let message = self.content().await?;
        let Some(transaction) = self.transaction.take() else { return Err(End::Gone) };
        let Some(message) = message else {
            transaction.delivery.abandon().await;
            return Ok(too_large());
        };
        let message = match with_line_ends(message) {
            Ok(message) => message,
            Err(ambiguous) => {
                transaction.delivery.abandon().await;
                tracing::warn!("a message was refused: {ambiguous}");
                return Err(End::Say(Reply::new(550, &format!("5.6.0 {ambiguous}"))));
            }
        };
        let Transaction { delivery, protocol, recipients, .. } = transaction;
        Ok(self.relay.pass_on(delivery, message, recipients, protocol).await)
    }

    /// The message as it was before it was put on the line; `None` if it is too large.
    async fn content(&mut self) -> Result<Option<Vec<u8>>, End> {
        let limit = self.relay.settings.message_limit.as_usize();
        let (mut message, mut receiver) = (Vec::new(), DataReceiver::new());
        // The line end of the command is the first of those that a lone dot can stand behind: messages may be empty.
        receiver.ingest(&mut b"\r\n".iter(), &mut message);
        message.clear();
        while message.len() <= limit {
            self.read().await?;
            let mut bytes = self.input.iter();
            let ended = receiver.ingest(&mut bytes, &mut message);
            self.input = bytes.as_slice().to_vec();
            if ended {
                return Ok((message.len() <= limit).then_some(message));
            }
        }
        // As much again is waited for, so that the CMS hears why; then it has to do without.
        let mut seen = message.len();
        drop(message);
        let mut rest = DummyDataReceiver::new_data(&receiver);
        while seen <= limit.saturating_mul(2) {
            self.read().await?;
            seen = seen.saturating_add(self.input.len());
            let mut bytes = self.input.iter();
            let ended = rest.ingest(&mut bytes);
            self.input = bytes.as_slice().to_vec();
            if ended {
                return Ok(None);
            }
        }
        Err(End::Say(too_large()))
    }

    async fn reset(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.delivery.abandon().await;
        }
    }

    /// The next command, with its line end.
    async fn line(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let rest = self.input.split_off(end.saturating_add(1));
                return Ok(std::mem::replace(&mut self.input, rest));
            }
            if self.input.len() > LONGEST_COMMAND {
                return Err(End::Say(Reply::new(500, "5.5.2 The line is too long")));
            }
            self.read().await?;
        }
    }

    /// Sends what was said, and waits for more.
    async fn read(&mut self) -> Result<(), End> {
        self.flush().await?;
        let idle = self.relay.settings.idle_timeout.as_duration();
        // Between messages a stop ends the conversation; a message that was begun may end.
        let stop = async {
            match self.transaction {
                None => drop(self.stopped.wait_for(|stopped| *stopped).await),
                Some(_) => std::future::pending().await,
            }
        };
        let mut piece = vec![0; PIECE];
        let read = tokio::select! {
            biased;
            read = self.stream.read(&mut piece) => read?,
            () = stop => return Err(End::Say(Reply::new(421, "4.3.2 The gate is being stopped"))),
            () = tokio::time::sleep(idle) => return Err(End::Say(Reply::new(421, "4.4.2 Nothing was said for too long"))),
        };
        if read == 0 {
            return Err(End::Gone);
        }
        self.input.extend_from_slice(piece.get(..read).unwrap_or_default());
        Ok(())
    }

    fn say(&mut self, reply: &Reply) {
        self.output.extend_from_slice(reply.to_string().as_bytes());
    }

    async fn flush(&mut self) -> Result<(), End> {
        let output = std::mem::take(&mut self.output);
        let idle = self.relay.settings.idle_timeout.as_duration();
        let write = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(idle, write).await.map_err(|_| End::Gone)??;
        Ok(())
    }
}

fn too_large() -> Reply {
    Reply::new(552, "5.3.4 The message is too large")
}

fn misunderstood(error: &Error) -> Reply {
    match error {
        Error::UnknownCommand => Reply::new(500, "5.5.2 Not understood"),
        Error::InvalidSenderAddress => Reply::new(553, "5.1.7 No such form of an address"),
        Error::InvalidRecipientAddress => Reply::new(553, "5.1.3 No such form of an address"),
        Error::SyntaxError { syntax } => Reply::new(501, &format!("5.5.4 The form is: {syntax}")),
        Error::InvalidParameter { .. } | Error::UnsupportedParameter { .. } => {
            Reply::new(555, "5.5.4 A parameter that was not offered")
        }
        _ => Reply::new(500, "5.5.2 Not understood"),
    }
}

/// What servers read differently, so that one may see the end of a message where another sees none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Ambiguous {
    #[error("A carriage return without a line feed")]
    BareReturn,
    /// Some servers drop it, and then a lone dot beside it is the end.
    #[error("A NUL character")]
    Nul,
}

/// Makes every line end CR LF. Who ends lines with a bare LF also doubles the dots behind them, so they are halved here.
fn with_line_ends(message: Vec<u8>) -> Result<Vec<u8>, Ambiguous> {
    let mut out = Vec::new();
    let (mut literal, mut before) = (0_usize, None);
    let mut bytes = message.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        let next = bytes.peek().map(|(_, next)| **next);
        match byte {
            b'\r' if next != Some(b'\n') => return Err(Ambiguous::BareReturn),
            0 => return Err(Ambiguous::Nul),
            b'\n' if before != Some(b'\r') => {
                out.extend_from_slice(message.get(literal..at).unwrap_or_default());
                out.extend_from_slice(b"\r\n");
                literal = at.saturating_add(1);
                if message.get(literal..).is_some_and(|rest| rest.starts_with(b"..")) {
                    literal = literal.saturating_add(1);
                }
            }
            _ => {}
        }
        before = Some(*byte);
    }
    if literal == 0 {
        return Ok(message);
    }
    out.extend_from_slice(message.get(literal..).unwrap_or_default());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_what_every_server_sees_as_one() {
        for (row, given, want) in [
            ("proper", "a\r\nb\r\n..c\r\n", Ok("a\r\nb\r\n..c\r\n")),
            ("bare LF", "a\nb\n", Ok("a\r\nb\r\n")),
            ("mixed", "a\r\nb\nc\r\n", Ok("a\r\nb\r\nc\r\n")),
            ("dots behind bare LF", "a\n..b\n.\nc\r\n..d", Ok("a\r\n.b\r\n.\r\nc\r\n..d")),
            ("first line", "..a\n", Ok("..a\r\n")),
            ("bare CR", "a\rb\r\n", Err(Ambiguous::BareReturn)),
            ("CR at the end", "a\r", Err(Ambiguous::BareReturn)),
            ("CR CR LF", "a\r\r\n", Err(Ambiguous::BareReturn)),
            ("NUL before a lone dot", "a\r\n\0.\r\nMAIL FROM:<>\r\n", Err(Ambiguous::Nul)),
            ("NUL behind a lone dot", "a\r\n.\0\r\n", Err(Ambiguous::Nul)),
            ("NUL within a line end", "a\r\0\n", Err(Ambiguous::BareReturn)),
            ("NUL alone", "\0", Err(Ambiguous::Nul)),
            ("empty", "", Ok("")),
        ] {
            let got = with_line_ends(given.as_bytes().to_vec());
            assert_eq!(got.map(|bytes| String::from_utf8(bytes).unwrap()), want.map(str::to_owned), "{row}");
        }
    }
}
