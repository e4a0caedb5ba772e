//! A gate that is killed while a reset link is being used has done all of it or nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::browser::Browser;
use support::gate::HOST;
use support::local::{GOOD, Mail, toml};
use support::standin::StandIn;

const RESET: &str = "/_gate/reset-password";

/// The gate's own program. Dropping it kills it.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
            .arg("run")
            .current_dir(folder)
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (found, address) = std::sync::mpsc::channel();
        // Whichever of both the log goes to; the rest is read so that the gate never waits for it.
        for stream in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
            let found = found.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let word = line.split(['=', ' ', '"']).find_map(|word| word.parse::<SocketAddr>().ok());
                    if let Some(address) = word.filter(|_| line.contains("listening")) {
                        let _ = found.send(address);
                    }
                }
            });
        }
        let address = address.recv_timeout(Duration::from_secs(60)).unwrap();
        Self { child, address }
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn browser(&self) -> Browser {
        Browser::new(self.address, HOST)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn add_jane(folder: &Path) {
    assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .args(["users", "add", "jane", "--email", "jane@example.org"])
        .current_dir(folder)
        .write_stdin(GOOD)
        .assert()
        .success();
}

/// The link in the newest mail, once there are so many.
async fn link(folder: &Path, count: usize) -> String {
    let began = Instant::now();
    loop {
        let mut files: Vec<_> = std::fs::read_dir(folder.join("mail"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
            .map(|path| Mail::parse(&std::fs::read(path).unwrap()))
            .filter(|mail| mail.text.contains("token="))
            .map(|mail| mail.link())
            .collect();
        if files.len() >= count {
            return files.remove(0);
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no mail came");
        tokio::task::yield_now().await;
    }
}

/// When the gate is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the form was sent.
    After(Duration),
    /// As soon as the store says that the link is used: before the answer, or on its heels.
    Stored,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_killed_between_store_and_answer_has_used_the_link_or_not_and_never_half() {
    let moments = (0..8).map(|step| Moment::After(Duration::from_micros(step * 700)));
    let (mut used, mut unused) = (0, 0);
    for (round, moment) in moments.chain([Moment::Stored; 3]).enumerate() {
        let backend = StandIn::plone60();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("proxy.toml"), toml(&backend, "[log]\nformat = \"json\"\n"))
            .unwrap();
        add_jane(folder.path());
        let gate = Process::start(folder.path());
        let mut jane = gate.browser();
        assert_eq!(jane.sign_in("jane", GOOD).await.status, 303);
        assert_eq!(
            gate.browser().submit("/_gate/forgot-password", &[("username", "jane")]).await.status,
            200
        );
        let link = link(folder.path(), 1).await;
        let password = format!("sailing past island {round}");
        let mut holder = gate.browser();
        holder.follow(&link).await;
        let form = holder.get(RESET).await.form();
        let csrf = form.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("csrf", &csrf),
                ("username", &"jane".to_owned()),
                ("password", &password),
                ("password_confirm", &password),
            ])
            .finish();
        let request = posting(&holder, gate.address, &body);
        let sent = tokio::task::spawn_blocking(request);
        match moment {
            Moment::After(span) => {
                let began = Instant::now();
                while began.elapsed() < span {
                    std::hint::spin_loop();
                }
            }
            Moment::Stored => {
                let store = rusqlite::Connection::open(folder.path().join("var/lychgate.db")).unwrap();
                let began = Instant::now();
                while store
                    .query_row("SELECT count(used) FROM issued_reset", [], |row| row.get::<_, i64>(0))
                    .unwrap()
                    == 0
                {
                    assert!(began.elapsed() < Duration::from_secs(30), "never used");
                }
            }
        }
        gate.kill();
        let answered = sent.await.unwrap();

        let gate = Process::start(folder.path());
        let works = |password: String| {
            let mut browser = gate.browser();
            async move { browser.sign_in("jane", &password).await.status == 303 }
        };
        let (old, new) = (works(GOOD.to_owned()).await, works(password.clone()).await);
        assert_ne!(old, new, "round {round}, {moment:?}: one password, the old or the new");
        assert!(new || !answered, "round {round}: what was said to be done is done");
        let signed_in = jane_at(&jane, &gate).get("/docs").await.status == 200;
        assert_eq!(signed_in, old, "round {round}, {moment:?}: the sessions end with the old password");
        let (_, page) = gate.browser().follow(&link).await;
        if new {
            used += 1;
            assert_eq!(page.heading(), "This link has been used", "round {round}, {moment:?}");
        } else {
            unused += 1;
            assert_eq!(page.status, 200, "round {round}, {moment:?}: it works again");
            let mut holder = gate.browser();
            holder.follow(&link).await;
            let fields =
                [("username", "jane"), ("password", password.as_str()), ("password_confirm", &password)];
            assert_eq!(holder.submit(RESET, &fields).await.status, 200);
            assert!(works(password.clone()).await);
        }
    }
    assert!(used >= 3, "the store was asked at the end in three rounds: {used}");
    println!("killed: used {used}, unused {unused}");
}

/// The same browser at the gate that was started anew.
fn jane_at(jane: &Browser, gate: &Process) -> Browser {
    let mut again = gate.browser();
    again.cookies.clone_from(&jane.cookies);
    again
}

/// Sends the form on a connection of its own, and says whether an answer came that says it is done.
fn posting(holder: &Browser, address: SocketAddr, body: &str) -> impl FnOnce() -> bool + Send + 'static {
    use std::io::{Read as _, Write as _};
    let cookies: Vec<String> = holder.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = format!(
        "POST {RESET} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\nCookie: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        cookies.join("; "),
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    move || {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).contains("Your new password is set")
    }
}
