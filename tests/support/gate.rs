//! A whole gate in this process, on a free port, with a clock that stands still.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use lychgate::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use lychgate::config::Config;
use lychgate::listen::{self, Running};
use lychgate::random::SystemRandom;
use lychgate::state::Shared;

/// The host that visitors name. Nobody resolves it: they connect to [`Gate::address`].
pub const HOST: &str = "www.example.test";

/// A gate in front of one site. Dropping it stops it.
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it speaks TLS, if it does.
    pub tls: Option<SocketAddr>,
    /// Where it takes mail, if it does.
    pub mail: Option<SocketAddr>,
    /// Where it answers operators, if it does.
    pub admin: Option<SocketAddr>,
    /// The time, as it believes.
    pub clock: ManualClock,
    running: Option<Running>,
    folder: tempfile::TempDir,
    toml: String,
}

impl Gate {
    /// In front of `backend`, with nothing but defaults, and limits that no test meets by accident.
    pub fn before(backend: &str) -> Self {
        Self::with(backend, "")
    }

    /// The same with more lines: keys of the site first, then tables. It believes what proxies on loopback say.
    pub fn with(backend: &str, more: &str) -> Self {
        Self::trusting(r#"["127.0.0.1/32"]"#, backend, more)
    }

    /// The same, for visitors that come without a proxy in between: it believes nobody.
    pub fn to_the_street(backend: &str, more: &str) -> Self {
        Self::trusting("[]", backend, more)
    }

    fn trusting(proxies: &str, backend: &str, more: &str) -> Self {
        let limits = if more.contains("[limits]") {
            ""
        } else {
            "[limits]\nsign_in = { per_client = \"1000/1m\", per_account = \"1000/1m\" }\nsign_in_delay = { most = \"0\" }\nstuffing = { accounts_per_client = 0 }\nreset_request = { per_client = \"1000/1m\", per_account = \"1000/1m\" }\nreset_attempt = { per_client = \"1000/1m\" }\n"
        };
        let toml = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\ndrain = \"5s\"\ntrusted_proxies = {proxies}\n{limits}\n[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{backend}\"\n{more}\n"
        );
        Self::from_toml(&toml)
    }

    /// The same beside which commands run: its clock shows the time, because theirs do, and its folder has a `proxy.toml` for them.
    pub fn with_commands(backend: &str, more: &str) -> Self {
        let gate = Self::with(backend, more);
        gate.clock.set(SystemClock.now());
        let toml = format!(
            "[[site]]\nname = \"intranet\"\npublic_url = \"http://{HOST}\"\nbackend_url = \"{backend}\"\n"
        );
        std::fs::write(gate.folder().join("proxy.toml"), toml).unwrap();
        gate
    }

    /// Runs `lychgate` with these arguments in its folder.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .args(arguments)
            .current_dir(self.folder())
            .timeout(Duration::from_secs(30))
            .output()
            .unwrap()
    }

    /// From a whole `proxy.toml`.
    pub fn from_toml(toml: &str) -> Self {
        Self::from_toml_at(toml, Timestamp::from_millis(1_700_000_000_000))
    }

    /// The same at another time.
    pub fn from_toml_at(toml: &str, start: Timestamp) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the gate's files");
        let clock = ManualClock::at(start);
        let mut gate = Self {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            mail: None,
            admin: None,
            clock,
            running: None,
            folder,
            toml: toml.to_owned(),
        };
        gate.start();
        gate
    }

    /// Stops the gate and starts it anew, with the same store.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Stops the gate and starts it anew with another `proxy.toml`, with the same store.
    pub fn change(&mut self, change: impl FnOnce(&str) -> String) {
        self.toml = change(&self.toml);
        self.restart();
    }

    /// Has it use another `proxy.toml` while it runs. Gives the keys that need a restart, or what is wrong.
    pub fn reload(&mut self, change: impl FnOnce(&str) -> String) -> Result<Vec<&'static str>, String> {
        let toml = change(&self.toml);
        let (config, _) = Config::parse(Path::new("proxy.toml"), &toml, self.folder.path().to_owned())
            .map_err(|findings| format!("{findings:?}"))?;
        let fixed = self.running.as_mut().unwrap().reload(config)?;
        self.toml = toml;
        Ok(fixed)
    }

    /// The folder of its `proxy.toml`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start(&mut self) {
        let file = PathBuf::from("proxy.toml");
        let (config, _) = Config::parse(&file, &self.toml, self.folder.path().to_owned())
            .unwrap_or_else(|findings| panic!("{findings:?}"));
        let open = Shared::open(config, Arc::new(self.clock.clone()), Arc::new(SystemRandom));
        // A test may run on a runtime itself, which must not block; another thread may.
        let opened = std::thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            scope.spawn(move || runtime.block_on(open)).join().unwrap()
        });
        let running = listen::start(&Arc::new(opened.unwrap())).unwrap();
        self.tls = running.tls_addresses().first().copied();
        self.address = running.addresses().first().copied().or(self.tls).unwrap();
        self.mail = running.mail_address();
        self.admin = running.admin_address();
        self.running = Some(running);
    }

    /// Stops the gate, and waits until it has.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop();
    }
}
