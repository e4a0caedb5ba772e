//! The gate as a process of its own, and what can be seen of it from outside: its log, memory, descriptors and threads.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use crate::support::gate::HOST;
use crate::support::pki::Authority;

/// A gate that runs.
pub struct Process {
    child: Child,
    program: PathBuf,
    folder: tempfile::TempDir,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub log: Arc<Mutex<Log>>,
}

/// What it said that matters.
#[derive(Default)]
pub struct Log {
    /// How often which warning or error was said.
    pub counts: BTreeMap<String, usize>,
    /// The requests whose exchange with the backend failed, by id.
    pub failed: HashSet<String>,
    /// Errors that are about something else.
    pub others: Vec<String>,
}

/// What it takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// KiB in memory.
    pub rss: u64,
    /// Open descriptors.
    pub descriptors: u64,
    pub threads: u64,
}

impl Process {
    /// Starts `$LYCHGATE`, or the one that was built with this, before `backend`.
    pub fn start(backend: &str, authority: &Authority) -> Self {
        let program = std::env::var_os("LYCHGATE")
            .map_or_else(|| assert_cmd::cargo::cargo_bin!("lychgate").to_owned(), PathBuf::from);
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.server(&[HOST]).write(folder.path(), "site");
        fs::write(folder.path().join("proxy.toml"), settings(backend, &certificate, &key)).unwrap();
        let mut child = Command::new(&program)
            .arg("run")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log: Arc<Mutex<Log>> = Arc::default();
        let (found, addresses) = mpsc::channel();
        let noted = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                note(&noted, &found, &line);
            }
        });
        let wait = || -> (bool, SocketAddr) {
            addresses
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("the gate did not start: {:?}", log.lock().unwrap().others))
        };
        let (one, two) = (wait(), wait());
        let (plain, tls) = if one.0 { (two.1, one.1) } else { (one.1, two.1) };
        Self { child, program, folder, plain, tls, log }
    }

    /// As root, or for a gate that lets its user look; the gate does not.
    pub fn sample(&self) -> Sample {
        let proc = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(proc.join("status")).expect("the gate runs");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()).map_or(0, |number| number.parse().unwrap())
        };
        let descriptors = fs::read_dir(proc.join("fd")).expect("only root may count the gate's descriptors");
        Sample { rss: number("VmRSS:"), descriptors: descriptors.count() as u64, threads: number("Threads:") }
    }

    /// `lychgate sessions revoke --user`
    pub fn revoke(&self, user: &str) {
        let output = Command::new(&self.program)
            .args(["sessions", "revoke", "--user", user])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Patience that fits in a soak; otherwise what anybody would have.
fn settings(backend: &str, certificate: &Path, key: &Path) -> String {
    format!(
        r#"[server]
listen = ["127.0.0.1:0"]
workers = 2
redirect_to_https = false
trusted_proxies = ["127.0.0.1/32"]
[server.tls]
listen = ["127.0.0.1:0"]
certificate = "{}"
key = "{}"
[limits]
sign_in = {{ per_client = "100000/1m", per_account = "100000/1m" }}
sign_in_delay = {{ most = "0" }}
stuffing = {{ accounts_per_client = 0 }}
[log]
format = "json"
[[site]]
name = "intranet"
public_url = "https://{HOST}"
backend_url = "{backend}"
virtual_hosting = "rewrite"
identity_headers = {{ user = "X-Remote-User" }}
[site.forward]
response_timeout = "2s"
idle_timeout = "2s"
keep_alive = "5s"
[[site]]
name = "down"
public_url = "https://{HOST}/down"
backend_url = "http://127.0.0.1:9"
access = {{ default = "public" }}
"#,
        certificate.display(),
        key.display(),
    )
}

fn note(log: &Mutex<Log>, found: &mpsc::Sender<(bool, SocketAddr)>, line: &str) {
    let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else {
        log.lock().unwrap().others.push(line.to_owned());
        return;
    };
    let fields = entry.get("fields").unwrap_or(&entry);
    let text = |name: &str| fields.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    match entry["level"].as_str().unwrap_or_default() {
        "ERROR" | "WARN" => {}
        _ => {
            if let Some(tls) = [("listening", false), ("listening, with TLS", true)]
                .into_iter()
                .find_map(|(message, tls)| (text("message") == message).then_some(tls))
            {
                let _ = found.send((tls, text("address").parse().unwrap()));
            }
            return;
        }
    }
    let mut log = log.lock().unwrap();
    let said = [text("message"), text("fault"), text("evidence")].join(" ");
    *log.counts
        .entry(format!("{} {}", entry["level"].as_str().unwrap_or_default(), said.trim()))
        .or_default() += 1;
    if text("message") == "the exchange with the backend failed" {
        log.failed.insert(text("id").to_owned());
    } else if entry["level"] == "ERROR" {
        log.others.push(line.to_owned());
    }
}
