//! Gates with users of their own, the command that adds them, and the mails they get.

use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use lychgate::clock::{Clock as _, SystemClock};
use mail_parser::MessageParser;

use super::gate::{Gate, HOST};
use super::standin::StandIn;

/// A password that will do.
pub const GOOD: &str = "wandelnde nachtigall";
/// Another.
pub const OTHER: &str = "sailing past the island";

/// Hashes that cost next to nothing, mail in a folder, limits that no test meets by accident.
pub const CHEAP: &str = "[local_users]\nmemory = \"64 KiB\"\npasses = 1\n[mail]\nsend = \"dir:mail\"\nfrom = \"Example Intranet <noreply@example.org>\"\n[limits]\nsign_in = { per_client = \"10000/1m\", per_account = \"10000/1m\" }\nreset_request = { per_client = \"10000/1m\", per_account = \"10000/1m\" }\nreset_attempt = { per_client = \"10000/1m\" }\n";

/// The text of a `proxy.toml`; `more` are keys of the site, then tables.
pub fn toml(backend: &StandIn, more: &str) -> String {
    format!(
        "{CHEAP}[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ndrain = \"5s\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{}\"\nsign_in = \"local\"\n{more}\n",
        backend.url()
    )
}

/// A gate with local users, in a folder where commands find its `proxy.toml`. Its clock shows the time, for theirs do.
pub fn gate(backend: &StandIn, more: &str) -> Gate {
    let toml = toml(backend, more);
    let gate = Gate::from_toml(&toml);
    gate.clock.set(SystemClock.now());
    std::fs::write(gate.folder().join("proxy.toml"), toml).unwrap();
    gate
}

/// Runs a command beside the gate, with this for its standard input.
pub fn run(gate: &Gate, arguments: &[&str], input: &str) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .args(arguments)
        .current_dir(gate.folder())
        .write_stdin(format!("{input}\n"))
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap()
}

/// The same for `users`, which must succeed; what it prints.
pub fn users(gate: &Gate, arguments: &[&str], input: &str) -> String {
    let output = run(gate, &[&["users"], arguments].concat(), input);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A mail that the gate has sent.
#[derive(Clone, Debug)]
pub struct Mail {
    pub raw: String,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Mail {
    pub fn parse(raw: &[u8]) -> Self {
        let message = MessageParser::default().parse(raw).unwrap();
        let address = |list: Option<&mail_parser::Address<'_>>| {
            list.unwrap().first().unwrap().address().unwrap().to_owned()
        };
        Self {
            from: address(message.from()),
            to: address(message.to()),
            subject: message.subject().unwrap().to_owned(),
            text: message.body_text(0).unwrap().into_owned(),
            html: message.body_html(0).unwrap().into_owned(),
            raw: String::from_utf8(raw.to_vec()).unwrap(),
        }
    }

    /// The path of the reset link in it.
    pub fn link(&self) -> String {
        let start = format!("http://{HOST}/_gate/reset-password?token=");
        let line = self
            .text
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("{}", self.text));
        line.strip_prefix(&format!("http://{HOST}")).unwrap().to_owned()
    }
}

/// The mails that a gate has put into its folder, in their order.
pub fn mails(gate: &Gate) -> Vec<Mail> {
    let entries = std::fs::read_dir(gate.folder().join("mail")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| (std::fs::metadata(&path).unwrap().modified().unwrap(), path))
        .collect();
    files.sort();
    files.iter().map(|(_, path)| Mail::parse(&std::fs::read(path).unwrap())).collect()
}
