//! A real ACME server on loopback: Let's Encrypt's own test server, with a DNS of its own.
//!
//! It validates as the authorities of the internet do, but at the ports that it is told, and every name has the address 127.0.0.1.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::pki::Authority;
use super::raw::{Wire, connect};
use super::secure::Client;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ports that nothing listens on, below those that the system gives out by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 9_000) as u16;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let is_free = |port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok()
                && std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        if is_free(port) {
            return port;
        }
    }
}

/// Waits until something comes of it.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How the server is to be.
pub struct Setup {
    /// Where it looks for http-01.
    pub plain: u16,
    /// Where it looks for tls-alpn-01.
    pub secure: u16,
    /// How long certificates are good.
    pub validity: Duration,
    /// How many of a hundred requests are refused for a stale nonce.
    pub stale_nonces: u8,
    /// Further lines of its configuration.
    pub more: serde_json::Value,
}

/// The server's place: it is the same whether it runs or not.
pub struct Pebble {
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
    running: Vec<Child>,
}

impl Pebble {
    /// A place for one, which does not run yet.
    pub fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.server(&["localhost"]).write(folder.path(), "server");
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let (port, management) = (free_port(), free_port());
        let (dns, dns_management) = (free_port(), free_port());
        Self { folder, authority, port, management, dns, dns_management, running: Vec::new() }
    }

    /// What `acme` says to mean this one, less the braces.
    pub fn toml(&self) -> String {
        format!(
            "directory = \"https://localhost:{}/dir\", contact = [\"mailto:ops@example.test\"], terms_agreed = true, ca = \"{}\"",
            self.port,
            self.folder.path().join("ca.pem").display()
        )
    }

    /// The folder for what the test wants to put beside it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it.
    pub fn start(&mut self, setup: &Setup) {
        let file = |name: &str| self.folder.path().join(name);
        let mut config = serde_json::json!({
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": file("server.pem"),
            "privateKey": file("server.key"),
            "httpPort": setup.plain,
            "tlsPort": setup.secure,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": setup.validity.as_secs(),
        });
        config.as_object_mut().unwrap().extend(setup.more.as_object().cloned().unwrap_or_default());
        std::fs::write(file("pebble.json"), serde_json::json!({ "pebble": config }).to_string()).unwrap();
        let mut dns = Command::new("pebble-challtestsrv");
        dns.args([
            "-dns01",
            &format!("127.0.0.1:{}", self.dns),
            "-management",
            &format!("127.0.0.1:{}", self.dns_management),
        ]);
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        let mut pebble = Command::new("pebble");
        pebble
            .arg("-config")
            .arg(file("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns)]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        pebble.env("PEBBLE_WFE_NONCEREJECT", setup.stale_nonces.to_string());
        for (name, mut command) in [("dns", dns), ("pebble", pebble)] {
            let log = std::fs::File::create(file(&format!("{name}.log"))).unwrap();
            let error = log.try_clone().unwrap();
            let started = command.stdin(Stdio::null()).stdout(log).stderr(error).spawn();
            self.running.push(started.unwrap_or_else(|error| {
                panic!("{error}: these tests need Let's Encrypt's test server; install it: apt-get install pebble")
            }));
        }
        for port in [self.port, self.management, self.dns_management] {
            wait_for("pebble does not start", || TcpStream::connect(("127.0.0.1", port)).ok());
        }
    }

    /// Has something stand in its place that shows its certificate and answers everything with `head` and then, if it is `endless`,
    /// with a body that does not end.
    pub fn impostor(&self, head: &'static str, endless: bool) -> Impostor {
        let (chain, key) = self.authority.server(&["localhost"]).parts();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        let (address, ended) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream =
                    StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
                let mut request = [0; 4096];
                if stream.read(&mut request).is_err() || stream.write_all(head.as_bytes()).is_err() {
                    continue;
                }
                // Until the other side has had enough.
                while endless && stream.write_all(&[b' '; 4096]).is_ok() {}
                let _ = stream.flush();
            }
        });
        Impostor { address, ended, thread: Some(thread) }
    }

    /// Stops it; what it knew is gone.
    pub fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Gives a name another address.
    pub fn lead_elsewhere(&self, name: &str, address: &str) {
        let body = serde_json::json!({ "host": format!("{name}."), "addresses": [address] }).to_string();
        let mut wire = connect(SocketAddr::from(([127, 0, 0, 1], self.dns_management)));
        wire.send(format!(
            "POST /add-a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(wire.response().status(), 200);
    }

    /// Who trusts what it signs.
    pub fn roots(&self) -> RootCertStore {
        let client = Client { name: "localhost", ..Client::new(&self.authority) };
        let stream = client.connect(SocketAddr::from(([127, 0, 0, 1], self.management))).unwrap();
        let mut wire = Wire::over(stream);
        wire.send("GET /roots/0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = wire.response();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&answer.body).unwrap()).unwrap();
        roots
    }
}

/// What is no ACME server; until it is dropped.
pub struct Impostor {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the last of pebble's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        self.stop();
    }
}
