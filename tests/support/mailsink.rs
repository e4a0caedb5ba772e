//! A mail server that does what it is told, and remembers what it was told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;

use super::wire::Wire;

/// What the server says where it would say yes: the beginning of what it was told, and the answer; `close` hangs up instead.
pub type Script = &'static [(&'static str, &'static str)];

/// Whether the server speaks TLS.
#[derive(Clone)]
pub enum Tls {
    /// Not at all.
    Never,
    /// By STARTTLS.
    Offered(Arc<ServerConfig>),
    /// From the first byte.
    Always(Arc<ServerConfig>),
}

/// A message as it was accepted, or refused at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The whole command.
    pub from: String,
    /// The whole commands that were accepted.
    pub to: Vec<String>,
    /// What came between `DATA` and the lone dot, with its dots halved.
    pub content: Vec<u8>,
}

/// The server. It lives as long as the test does.
pub struct MailSink {
    /// Where it listens.
    pub address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl MailSink {
    /// Says yes to everything.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Says yes to everything, at this port.
    pub fn at(port: u16) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), &[], Tls::Never)
    }

    /// Says what the script says: to a command that begins so, to `greeting`, and to `end` of a message.
    pub fn with(script: Script) -> Self {
        Self::secure(script, Tls::Never)
    }

    /// The same through TLS.
    pub fn secure(script: Script, tls: Tls) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script, tls)
    }

    fn on(listener: TcpListener, script: Script, tls: Tls) -> Self {
        let address = listener.local_addr().unwrap();
        let (mails, commands) = (Arc::<Mutex<Vec<Mail>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (all, said) = (Arc::clone(&mails), Arc::clone(&commands));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, said, tls) = (Arc::clone(&all), Arc::clone(&said), tls.clone());
                std::thread::spawn(move || serve(Wire::Plain(stream.unwrap()), script, &tls, &all, &said));
            }
        });
        Self { address, mails, commands }
    }

    /// What came so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// Every command so far.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

fn serve(
    stream: Wire,
    script: Script,
    tls: &Tls,
    mails: &Mutex<Vec<Mail>>,
    commands: &Mutex<Vec<String>>,
) -> Option<()> {
    let stream = if let Tls::Always(config) = tls { stream.served(config) } else { stream };
    let mut input = BufReader::new(stream);
    let scripted =
        |told: &str| script.iter().find(|(start, _)| told.starts_with(start)).map(|(_, answer)| *answer);
    let answer = |input: &mut BufReader<Wire>, told: &str, otherwise: &str| {
        let answer = scripted(told).unwrap_or(otherwise);
        (answer != "close").then(|| input.get_mut().write_all(format!("{answer}\r\n").as_bytes()).ok())??;
        input.get_mut().flush().ok()?;
        Some(answer.starts_with(['2', '3']))
    };
    answer(&mut input, "greeting", "220 sink.example ESMTP")?;
    let (mut from, mut to) = (String::new(), Vec::new());
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        commands.lock().unwrap().push(line.clone());
        match line.split(' ').next()? {
            "EHLO" => {
                let more = match (tls, input.get_ref()) {
                    (Tls::Never, _) => "",
                    (Tls::Offered(_), Wire::Plain(_)) => "250-STARTTLS\r\n",
                    _ => "250-AUTH PLAIN LOGIN\r\n",
                };
                let offered = "250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING";
                answer(&mut input, &line, &format!("250-sink.example\r\n{more}{offered}"))?
            }
            "STARTTLS" => {
                let accepted = answer(&mut input, &line, "220 go ahead")?;
                if let (true, Tls::Offered(config)) = (accepted, tls) {
                    input = BufReader::new(input.into_inner().served(config));
                }
                accepted
            }
            "AUTH" => answer(&mut input, &line, "235 2.7.0 welcome")?,
            "MAIL" => {
                from = line.clone();
                answer(&mut input, &line, "250 2.1.0 sender ok")?
            }
            "RCPT" => {
                let accepted = answer(&mut input, &line, "250 2.1.5 recipient ok")?;
                accepted.then(|| to.push(line.clone()));
                accepted
            }
            "DATA" => {
                if answer(&mut input, &line, "354 go")? {
                    let mut content = Vec::new();
                    loop {
                        let mut line = Vec::new();
                        if input.read_until(b'\n', &mut line).ok()? == 0 {
                            return None;
                        }
                        if line == b".\r\n" {
                            break;
                        }
                        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                        if scripted("middle") == Some("close") {
                            return None;
                        }
                    }
                    let mail = Mail { from: std::mem::take(&mut from), to: std::mem::take(&mut to), content };
                    mails.lock().unwrap().push(mail);
                    answer(&mut input, "end", "250 2.0.0 queued as 4711")?;
                }
                true
            }
            "QUIT" => {
                answer(&mut input, &line, "221 bye")?;
                return None;
            }
            _ => answer(&mut input, &line, "250 ok")?,
        };
    }
}
