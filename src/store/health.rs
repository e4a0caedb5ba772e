//! How a store is doing: noticed by what it is asked to do, and by trying again where that failed.

use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Problem;

/// How often a store that failed is tried.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// What every database begins with (sqlite.org/fileformat.html, section 1.3.1).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What SQLite keeps beside it.
const LOGS: [&str; 2] = ["-wal", "-shm"];

/// How a store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// What it was last asked to do, it did.
    Well,
    /// It cannot keep anything new. Who is signed in stays so; nobody can sign in.
    Failing {
        /// What is wrong and what to do about it, as a clause behind "the store FILE".
        problem: String,
        /// How long it has been so.
        lasting: Duration,
    },
}

/// Watches over one file.
pub(super) struct Monitor {
    file: PathBuf,
    opened: Mutex<Opened>,
    failing: Mutex<Option<Failing>>,
}

/// Device and number.
type Identity = (u64, u64);

/// The file that was opened.
struct Opened {
    identity: Identity,
    logs: [Option<Identity>; 2],
    /// For looking at its first bytes. Never closed: closing any descriptor of a file gives up all the locks that the process has
    /// on it, SQLite's too (sqlite.org/howtocorrupt.html, section 2.2). One file for the life of a gate, or few.
    head: ManuallyDrop<File>,
    /// Something else was written in its place. What the connection believes is in it is not, whatever comes after.
    is_overwritten: bool,
}

struct Failing {
    problem: String,
    since: Instant,
    tried: Instant,
}

impl Opened {
    fn of(file: &Path) -> io::Result<Self> {
        let identity = identity(&fs::metadata(file)?);
        let logs = LOGS.map(|kind| fs::metadata(log(file, kind)).ok().as_ref().map(self::identity));
        let head = ManuallyDrop::new(File::open(file)?);
        Ok(Self { identity, logs, head, is_overwritten: false })
    }
}

fn identity(data: &fs::Metadata) -> Identity {
    (data.dev(), data.ino())
}

fn log(file: &Path, kind: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(kind);
    name.into()
}

impl Monitor {
    /// Over `file`, which is open.
    pub(super) fn new(file: &Path) -> io::Result<Self> {
        Ok(Self { file: file.to_owned(), opened: Mutex::new(Opened::of(file)?), failing: Mutex::default() })
    }

    pub(super) fn health(&self) -> Health {
        self.failing().as_ref().map_or(Health::Well, |failing| Health::Failing {
            problem: failing.problem.clone(),
            lasting: failing.since.elapsed(),
        })
    }

    /// Does `work`, unless the file is gone from its place: what is written to it then is written to nowhere.
    pub(super) fn watch<T>(&self, work: impl FnOnce() -> rusqlite::Result<T>) -> Result<T, Problem> {
        let outcome = self.check_place().and_then(|()| work().map_err(Problem::from));
        if let Err(problem) = &outcome
            && problem.is_state()
        {
            self.note(problem);
        }
        outcome
    }

    /// Looks whether the file is in its place, and tries a store that failed. That it did something since does not show that
    /// it is well: reading and sweeping go on where nothing can be added.
    ///
    /// Where another database was put in its place, `reopen` takes it into use; says whether it did.
    pub(super) fn look(
        &self,
        connection: &mut Connection,
        probe: fn(&mut Connection) -> rusqlite::Result<()>,
        reopen: impl FnOnce(&mut Connection, Stale<'_>) -> Result<(), Problem>,
    ) -> bool {
        let place = self.check_place();
        if let Err(problem) = &place {
            self.note(problem);
        }
        let due = match &mut *self.failing() {
            Some(failing) if failing.tried.elapsed() >= TRY_EVERY => {
                failing.tried = Instant::now();
                true
            }
            _ => false,
        };
        let is_other = match place {
            _ if !due => return false,
            Err(Problem::Moved | Problem::Overwritten) => true,
            Err(_) => return false,
            Ok(()) => false,
        };
        let outcome = if is_other {
            let mut opened = self.opened();
            let reopened = reopen(connection, Stale { file: &self.file, opened: &opened });
            reopened
                .and_then(|()| Opened::of(&self.file).map_err(Problem::Unreachable))
                .map(|other| *opened = other)
        } else {
            self.watch(|| probe(connection))
        };
        match outcome {
            Ok(()) => {
                *self.failing() = None;
                tracing::info!(file = %self.file.display(), "the store works again");
            }
            Err(error) => tracing::debug!(%error, "the store does not work yet"),
        }
        is_other && self.failing().is_none()
    }

    fn check_place(&self) -> Result<(), Problem> {
        let mut opened = self.opened();
        match fs::metadata(&self.file) {
            Ok(data) if identity(&data) != opened.identity => Err(Problem::Moved),
            // SQLite would not notice: it has read it before, and writes to its log.
            Ok(_) => {
                let mut head = [0; MAGIC.len()];
                match opened.head.read_exact_at(&mut head, 0) {
                    Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                        return Err(Problem::Unreachable(error));
                    }
                    read => opened.is_overwritten |= read.is_err() || head != *MAGIC,
                }
                if opened.is_overwritten { Err(Problem::Overwritten) } else { Ok(()) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Problem::Moved),
            Err(error) => Err(Problem::Unreachable(error)),
        }
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, problem: &Problem) {
        let (text, now) = (problem.to_string(), Instant::now());
        let mut failing = self.failing();
        match &mut *failing {
            Some(known) if known.problem == text => {}
            Some(known) => known.problem = text,
            None => {
                tracing::error!(
                    "the store {} {text}. Until then nobody can sign in; who is signed in stays so",
                    self.file.display()
                );
                *failing = Some(Failing { problem: text, since: now, tried: now });
            }
        }
    }

    // A panic elsewhere cannot leave it half changed, so poison says nothing.
    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database that is no more, as it stands with what is beside it.
pub(super) struct Stale<'a> {
    file: &'a Path,
    opened: &'a Opened,
}

impl Stale<'_> {
    /// Whether the file itself is still there, elsewhere or without a name, rather than something else written into it.
    pub(super) fn is_whole(&self) -> bool {
        !self.opened.is_overwritten
    }

    /// Removes its log, which would else be taken for that of the other; not one that came with that.
    pub(super) fn remove_log(&self) -> io::Result<()> {
        for (kind, known) in LOGS.iter().zip(self.opened.logs) {
            let name = log(self.file, kind);
            match fs::metadata(&name) {
                Ok(data) if Some(identity(&data)) == known => fs::remove_file(&name)?,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
