//! The next stop of a message: a mail server, spoken to while the CMS waits, or a folder.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::Data;
use lettre::transport::smtp::extension::Extension;
use lettre::transport::smtp::response::Response;
use lettre::transport::smtp::{self};

use super::connect::Route;
use super::reply::Reply;

/// How long connecting may take: the CMS waits.
const CONNECT: Duration = Duration::from_secs(30);

/// Where messages go, and how.
pub(super) struct Next {
    stop: Stop,
    timeout: Duration,
}

/// A mail server or a folder.
pub(super) enum Stop {
    Server(Route),
    Folder(PathBuf),
}

/// One message on its way. Dropping it before its end leaves no trace of it.
pub(super) enum Delivery {
    Server { connection: Box<AsyncSmtpConnection>, timeout: Duration },
    Folder { folder: PathBuf, from: String, to: Vec<String> },
}

impl Next {
    /// `timeout`: for each answer of the server.
    pub(super) fn new(stop: Stop, timeout: Duration) -> Self {
        Self { stop, timeout }
    }

    /// Begins a message from `path`, `<a@b>` or `<>`. Either a delivery, or what the server said instead.
    pub(super) async fn begin(&self, path: &str, utf8: bool) -> Result<(Delivery, Reply), Reply> {
        let route = match &self.stop {
            Stop::Folder(folder) => {
                let delivery =
                    Delivery::Folder { folder: folder.clone(), from: path.to_owned(), to: Vec::new() };
                return Ok((delivery, Reply::new(250, "2.1.0 Ok")));
            }
            Stop::Server(route) => route,
        };
        let connection = match tokio::time::timeout(CONNECT.min(self.timeout), route.connect()).await {
            Ok(connection) => Box::new(connection?),
            Err(_) => return Err(Reply::later("4.4.1 the mail server does not answer")),
        };
        let server = connection.server_info();
        if utf8 && !server.supports_feature(Extension::SmtpUtfEight) {
            return Err(Reply::new(550, "5.6.7 the mail server takes no addresses beyond ASCII"));
        }
        let mut command = format!("MAIL FROM:{path}");
        // Said in any case: CMSs send bytes beyond ASCII without announcing them.
        if server.supports_feature(Extension::EightBitMime) {
            command.push_str(" BODY=8BITMIME");
        }
        if utf8 {
            command.push_str(" SMTPUTF8");
        }
        let mut delivery = Delivery::Server { connection, timeout: self.timeout };
        let reply = settled(delivery.command(format!("{command}\r\n")).await);
        if reply.is_ok() { Ok((delivery, reply)) } else { Err(reply) }
    }
}

impl Delivery {
    /// Names a recipient, `<a@b>`.
    pub(super) async fn recipient(&mut self, path: &str) -> Reply {
        if let Self::Folder { to, .. } = self {
            to.push(path.to_owned());
            return Reply::new(250, "2.1.5 Ok");
        }
        settled(self.command(format!("RCPT TO:{path}\r\n")).await)
    }

    /// Ends the delivery without a message.
    pub(super) async fn abandon(mut self) {
        if let Self::Server { connection, .. } = &mut self {
            drop(tokio::time::timeout(QUIT, connection.quit()).await);
        }
    }

    /// Hands over the message, which ends with a line end, and ends the delivery.
    pub(super) async fn message(mut self, message: Vec<u8>, id: &str) -> Reply {
        match &mut self {
            Self::Folder { folder, from, to } => {
                let (folder, id) = (folder.clone(), id.to_owned());
                let envelope = envelope(from, to);
                let write = move || write(&folder, &id, &envelope, &message);
                match tokio::task::spawn_blocking(write).await.map_err(std::io::Error::other).flatten() {
                    Ok(()) => Reply::new(250, "2.0.0 Ok: written"),
                    Err(error) => {
                        tracing::error!(%error, "a message cannot be written; see that the folder of mail.send may be written to");
                        Reply::later("4.3.0 the message cannot be written")
                    }
                }
            }
            Self::Server { connection, timeout } => {
                if !message.is_ascii() && !connection.server_info().supports_feature(Extension::EightBitMime)
                {
                    return Reply::new(554, "5.6.3 the mail server takes ASCII only");
                }
                let timeout = *timeout;
                let reply = self.command(Data).await;
                let Self::Server { connection, .. } = &mut self else { return reply };
                // What is no 354 is the last word on this message, and no acceptance.
                if reply.code != 354 {
                    return if reply.is_ok() { unexpected() } else { settled(reply) };
                }
                // lettre ends the last line itself.
                let content = message.strip_suffix(b"\r\n").unwrap_or(&message);
                let sent = tokio::time::timeout(timeout, connection.message(content)).await;
                let reply = settled(reply_of(sent));
                if reply.is_ok() {
                    // Accepted is accepted, whatever becomes of the connection.
                    drop(tokio::time::timeout(QUIT, connection.quit()).await);
                }
                reply
            }
        }
    }

    async fn command(&mut self, command: impl Display) -> Reply {
        match self {
            Self::Folder { .. } => Reply::later("4.3.0 no server"),
            Self::Server { connection, timeout } => {
                reply_of(tokio::time::timeout(*timeout, connection.command(command)).await)
            }
        }
    }
}

/// A reply that settles something: 2xx, 4xx or 5xx.
fn settled(reply: Reply) -> Reply {
    if reply.is_ok() || reply.code >= 400 { reply } else { unexpected() }
}

fn unexpected() -> Reply {
    Reply::later("4.5.0 the mail server gave an answer that makes no sense here")
}

/// How long to wait for the answer to `QUIT`.
const QUIT: Duration = Duration::from_secs(2);

fn reply_of(result: Result<Result<Response, smtp::Error>, tokio::time::error::Elapsed>) -> Reply {
    match result {
        Ok(Ok(response)) => Reply::of_lines(response.code().into(), response.message()),
        Ok(Err(error)) => refusal(&error, "4.4.2 the connection to the mail server was lost"),
        Err(_) => Reply::later("4.4.2 the mail server took too long"),
    }
}

/// The server's own words, or ours if it found none.
pub(super) fn refusal(error: &smtp::Error, otherwise: &str) -> Reply {
    use std::error::Error as _;
    match error.status() {
        Some(code) => {
            let text = error.source().map(ToString::to_string).unwrap_or_default();
            Reply::new(code.into(), &text)
        }
        None => {
            tracing::warn!(%error, "the mail server failed");
            Reply::later(otherwise)
        }
    }
}

/// The envelope, as fields that a mailbox keeps it in.
fn envelope(from: &str, to: &[String]) -> String {
    let to: String =
        to.iter().map(|to| format!("Delivered-To: {}\r\n", to.trim_matches(['<', '>']))).collect();
    format!("Return-Path: {from}\r\n{to}")
}

/// Writes a message such that nobody ever sees half of it.
fn write(folder: &Path, id: &str, envelope: &str, message: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
    file.write_all(envelope.as_bytes())?;
    file.write_all(message)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(folder.join(format!("{id}.eml"))).map_err(|error| error.error)?;
    Ok(())
}
