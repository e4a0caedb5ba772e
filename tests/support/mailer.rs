//! The CMS as it sends mail.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::gate::Gate;
use super::wire::{Authority, Wire};

/// The CMS's end of a conversation.
pub struct Cms(BufReader<Wire>);

impl Cms {
    /// Connects, and hears the greeting.
    pub fn connect(gate: &Gate) -> Self {
        let mut cms = Self::silent(gate.mail.unwrap());
        cms.hears("220 www.example.org ");
        cms
    }

    /// Connects, and waits for nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(Wire::Plain(stream)))
    }

    /// Goes on through TLS with who has a certificate for `name` from `authority`.
    pub fn secured(self, authority: &Authority, name: &str) -> Self {
        let Wire::Plain(stream) = self.0.into_inner() else { panic!("it is TLS already") };
        Self(BufReader::new(authority.client(name, stream)))
    }

    /// Sends as it is.
    pub fn writes(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next answer, all its lines.
    pub fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let start = answer.len();
            if self.0.read_line(&mut answer).unwrap_or(0) == 0 {
                return answer + "closed";
            }
            if answer.as_bytes().get(start + 3) != Some(&b'-') {
                return answer.trim_end().to_owned();
            }
        }
    }

    /// The next answer, which begins so.
    pub fn hears(&mut self, start: &str) -> String {
        let answer = self.answer();
        assert!(answer.starts_with(start), "{answer:?} instead of {start:?}");
        answer
    }

    /// Sends a line, and hears an answer that begins so.
    pub fn says(&mut self, line: &str, start: &str) -> String {
        self.writes(format!("{line}\r\n").as_bytes());
        let answer = self.answer();
        assert!(answer.starts_with(start), "{line}: {answer:?} instead of {start:?}");
        answer
    }

    /// Up to where the message may begin.
    pub fn begins(gate: &Gate) -> Self {
        let mut cms = Self::connect(gate);
        cms.says("EHLO plone.lan", "250");
        cms.says("MAIL FROM:<cms@example.org>", "250");
        cms.says("RCPT TO:<reader@example.com>", "250");
        cms.says("DATA", "354");
        cms
    }

    /// The whole of it, and the last answer.
    pub fn sends(gate: &Gate, content: &str) -> String {
        let mut cms = Self::begins(gate);
        cms.writes(content.as_bytes());
        cms.writes(b"\r\n.\r\n");
        cms.answer()
    }
}
