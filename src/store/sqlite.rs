//! The store as one SQLite file, written by one thread.
//!
//! One thread owns the connection and does jobs in the order they are handed in, so nothing waits for a
//! lock inside the process and a runtime's thread never waits for the disk. Every half second it asks
//! SQLite whether another process has written to the file.
//!
//! The file is in WAL mode with `synchronous=FULL`: what was answered has been handed to the disk with
//! fsync, so it survives `kill -9` and a power cut. That costs one fsync for each sign-in, sign-out or
//! batch of touches, and no request ever waits for it.

mod held;
mod reopen;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::types::Type;
use rusqlite::{Connection, Row, TransactionBehavior, ffi, named_params, params};
use tokio::sync::{oneshot, watch};

use super::health::Monitor;
use super::{Answer, Groups, Health, Problem, SessionKey, SessionRow, SessionUpdate, Store, StoreError};
use crate::clock::Timestamp;

/// How often the thread looks for changes by other processes: twice in the second that is promised.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long to wait for another process that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Marks our files in SQLite's header (`PRAGMA application_id`): "LYCH".
const APPLICATION_ID: i64 = 0x4c59_4348;

/// What makes format n+1 from format n (`PRAGMA user_version`). Never change one that was released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE session (
        id_hash     BLOB PRIMARY KEY NOT NULL,
        site        TEXT NOT NULL,
        user        TEXT NOT NULL,
        created     INTEGER NOT NULL,
        seen        INTEGER NOT NULL,
        expires     INTEGER NOT NULL,
        remembered  INTEGER NOT NULL,
        client      TEXT NOT NULL,
        user_agent  TEXT NOT NULL,
        kept        BLOB NOT NULL
    ) STRICT;
    CREATE INDEX session_expires ON session (expires);
",
    "
    ALTER TABLE session ADD COLUMN groups TEXT NOT NULL DEFAULT '';
    CREATE TABLE local_user (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        site          TEXT NOT NULL,
        canonical     TEXT NOT NULL,
        name          TEXT NOT NULL,
        mail          TEXT,
        mail_key      TEXT,
        groups        TEXT NOT NULL,
        password      TEXT,
        version       INTEGER NOT NULL,
        disabled      INTEGER NOT NULL,
        created       INTEGER NOT NULL,
        password_set  INTEGER,
        UNIQUE (site, canonical)
    ) STRICT;
    CREATE INDEX local_user_mail ON local_user (site, mail_key);
    CREATE TABLE issued_reset (
        token_hash      BLOB PRIMARY KEY NOT NULL,
        site            TEXT NOT NULL,
        user_id         INTEGER NOT NULL,
        user            TEXT NOT NULL,
        requested       INTEGER NOT NULL,
        requested_from  TEXT NOT NULL,
        request_id      TEXT NOT NULL,
        expires         INTEGER NOT NULL,
        opened          INTEGER,
        opened_from     TEXT,
        browser         BLOB,
        used            INTEGER,
        used_from       TEXT,
        void            INTEGER
    ) STRICT;
    CREATE INDEX issued_reset_user ON issued_reset (user_id);
    CREATE INDEX issued_reset_requested ON issued_reset (requested);
",
    "
    CREATE TABLE held_form (
        id          BLOB PRIMARY KEY NOT NULL,
        browser     BLOB NOT NULL,
        site        TEXT NOT NULL,
        user        TEXT NOT NULL,
        network     BLOB NOT NULL,
        created     INTEGER NOT NULL,
        expires     INTEGER NOT NULL,
        size        INTEGER NOT NULL,
        claimed     INTEGER,
        unclear     INTEGER NOT NULL DEFAULT 0,
        head        BLOB NOT NULL,
        body        BLOB NOT NULL
    ) STRICT;
    CREATE INDEX held_form_browser ON held_form (browser);
    CREATE INDEX held_form_network ON held_form (network, created);
",
    "
    CREATE TABLE audit (
        id           INTEGER PRIMARY KEY AUTOINCREMENT,
        at           INTEGER NOT NULL,
        event        TEXT NOT NULL,
        site         TEXT NOT NULL,
        account      TEXT,
        account_key  TEXT,
        link_key     TEXT,
        client       TEXT,
        verdict      TEXT NOT NULL,
        request_id   TEXT NOT NULL,
        detail       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_at ON audit (at);
    CREATE TABLE browsers_revoked (
        account  TEXT PRIMARY KEY NOT NULL,
        at       INTEGER NOT NULL
    ) STRICT;
",
];

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A SQLite file and the thread that writes it; dropping it waits until everything is written.
pub(super) struct Sqlite {
    file: PathBuf,
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    changes: watch::Receiver<u64>,
    thread: Option<JoinHandle<()>>,
    monitor: Arc<Monitor>,
}

impl Sqlite {
    /// Opens `file`, or makes it with mode 0600, and its folder with 0700.
    pub(super) fn open(file: PathBuf) -> Result<Self, StoreError> {
        Self::open_within(file, PATIENCE)
    }

    fn open_within(file: PathBuf, patience: Duration) -> Result<Self, StoreError> {
        let in_file = |problem| StoreError { file: file.clone(), problem };
        let connection = connect(&file, patience).map_err(in_file)?;
        let monitor = Arc::new(Monitor::new(&file).map_err(|error| in_file(Problem::Unreachable(error)))?);
        let watcher = Arc::clone(&monitor);
        let (jobs, queue) = mpsc::channel();
        let (changed, changes) = watch::channel(0);
        let place = file.clone();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || work(connection, (&place, patience), &queue, &changed, &watcher))
            .map_err(|error| in_file(Problem::Unreachable(error)))?;
        Ok(Self { file, jobs: Some(jobs), changes, thread: Some(thread), monitor })
    }

    /// Hands `work` to the thread at once; the future only waits for the outcome.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (done, outcome) = oneshot::channel();
        let monitor = Arc::clone(&self.monitor);
        let job: Job = Box::new(move |connection| {
            let outcome = monitor.watch(|| work(connection));
            // Nobody waits any more: the work is done all the same.
            let _ = done.send(outcome);
        });
        // If the thread is gone, `done` is dropped with the job, and the future says so.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
        let file = self.file.clone();
        Box::pin(async move {
            let outcome = match outcome.await {
                Ok(outcome) => outcome,
                Err(_) => Err(Problem::Closed),
            };
            outcome.map_err(|problem| StoreError { file, problem })
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Store for Sqlite {
    fn insert_session(&self, row: SessionRow, instead_of: Option<SessionKey>) -> Answer<()> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(old) = instead_of {
                transaction.execute("DELETE FROM session WHERE id_hash = ?1", [old.0])?;
            }
            transaction
                .prepare_cached(
                    "INSERT INTO session VALUES (:id_hash, :site, :user, :created, :seen, :expires, :remembered,
                     :client, :user_agent, :kept, :groups)",
                )?
                .execute(named_params! {
                    ":id_hash": row.key.0,
                    ":site": row.site,
                    ":user": row.user,
                    ":created": row.created.as_millis(),
                    ":seen": row.seen.as_millis(),
                    ":expires": row.expires.as_millis(),
                    ":remembered": row.remembered,
                    ":client": row.client.to_string(),
                    ":user_agent": row.user_agent,
                    ":kept": row.kept,
                    ":groups": row.groups.to_text(),
                })?;
            transaction.commit()
        })
    }

    fn update_sessions(&self, updates: Vec<SessionUpdate>) -> Answer<()> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut update = transaction.prepare_cached(
                    "UPDATE session SET seen = max(seen, ?2), expires = ?3, kept = coalesce(?4, kept), created = ?5
                     WHERE id_hash = ?1",
                )?;
                for SessionUpdate { key, created, seen, expires, kept } in updates {
                    update.execute(params![
                        key.0,
                        seen.as_millis(),
                        expires.as_millis(),
                        kept,
                        created.as_millis()
                    ])?;
                }
            }
            transaction.commit()
        })
    }

    fn remove_sessions(&self, keys: Vec<SessionKey>) -> Answer<usize> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut removed = 0;
            {
                let mut remove = transaction.prepare_cached("DELETE FROM session WHERE id_hash = ?1")?;
                for key in keys {
                    removed += remove.execute([key.0])?;
                }
            }
            transaction.commit()?;
            Ok(removed)
        })
    }

    fn sweep_sessions(&self, idle: Vec<(SessionKey, Timestamp)>, now: Timestamp) -> Answer<usize> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut removed =
                transaction.execute("DELETE FROM session WHERE expires < ?1", [now.as_millis()])?;
            {
                let mut remove =
                    transaction.prepare_cached("DELETE FROM session WHERE id_hash = ?1 AND seen <= ?2")?;
                for (key, seen) in idle {
                    removed += remove.execute(params![key.0, seen.as_millis()])?;
                }
            }
            transaction.commit()?;
            Ok(removed)
        })
    }

    fn load_sessions(&self) -> Answer<Vec<SessionRow>> {
        self.run(|connection| {
            let mut all = connection.prepare_cached("SELECT * FROM session")?;
            all.query_map([], session_row)?.collect()
        })
    }

    fn health(&self) -> Health {
        self.monitor.health()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

fn session_row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let moment = |column| row.get(column).map(Timestamp::from_millis);
    let client: String = row.get("client")?;
    let client: IpAddr = client
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, Type::Text, Box::new(error)))?;
    Ok(SessionRow {
        key: SessionKey(row.get("id_hash")?),
        site: row.get("site")?,
        user: row.get("user")?,
        created: moment("created")?,
        seen: moment("seen")?,
        expires: moment("expires")?,
        remembered: row.get("remembered")?,
        client,
        user_agent: row.get("user_agent")?,
        kept: row.get("kept")?,
        groups: Groups::of_text(&row.get::<_, String>("groups")?),
    })
}

/// The thread's life: do jobs until the last handle is dropped, and look around twice a second.
fn work(
    mut connection: Connection,
    (file, patience): (&Path, Duration),
    queue: &mpsc::Receiver<Job>,
    changed: &watch::Sender<u64>,
    monitor: &Monitor,
) {
    let mut version = data_version(&connection);
    let mut looked = Instant::now();
    loop {
        match queue.recv_timeout(LOOK_EVERY.saturating_sub(looked.elapsed())) {
            Ok(job) => job(&mut connection),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked.elapsed() >= LOOK_EVERY {
            let is_other = monitor.look(&mut connection, probe, |connection, stale| {
                reopen::reopen(connection, file, patience, &stale)
            });
            looked = Instant::now();
            let found = data_version(&connection);
            if is_other || found != version {
                version = found;
                changed.send_modify(|count| *count = count.wrapping_add(1));
            }
        }
    }
}

/// Writes what needs room, and takes it away again; and reads all of it anew, for what can still be written to may be damaged elsewhere.
fn probe(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE probe (x); INSERT INTO probe VALUES (zeroblob(65536)); DROP TABLE probe;",
    )?;
    transaction.commit()?;
    connection.execute_batch("PRAGMA shrink_memory")?;
    check(connection)
}

/// Reads every page.
fn check(connection: &Connection) -> rusqlite::Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let damaged = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(said.clone()));
    if said == "ok" { Ok(()) } else { Err(damaged()) }
}

/// Differs from before if, and only if, another connection has committed in between; `None` when the file
/// cannot be read, which is also a change: whoever then asks for the sessions learns what is wrong.
fn data_version(connection: &Connection) -> Option<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0)).ok()
}

fn connect(file: &Path, patience: Duration) -> Result<Connection, Problem> {
    make_if_missing(file)?;
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(patience)?;
    recognise(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Problem::NoLog);
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// SQLite would make the file itself, but readable by others; its log files take their mode from it.
fn make_if_missing(file: &Path) -> Result<(), Problem> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true).mode(0o700).create(folder).map_err(Problem::Unreachable)?;
    let mode = fs::metadata(folder).map_err(Problem::Unreachable)?.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Problem::Exposed { folder: folder.to_owned(), mode });
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Problem::Unreachable(error)),
        _ => Ok(()),
    }
}

/// Refuses what is not ours before anything is written to it.
fn recognise(connection: &Connection) -> Result<(), Problem> {
    let id: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) { Ok(()) } else { Err(Problem::Foreign) }
}

fn migrate(connection: &mut Connection) -> Result<(), Problem> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // Inside the transaction, so that of two gates starting together only one migrates.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Problem::Newer { found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(transaction.commit()?)
}

mod accounts;
mod audit;
#[cfg(test)]
mod tests;
