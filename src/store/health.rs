//! How a store is doing: noticed by what it is asked to do, and by trying again where that failed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Problem;

/// How often a store that failed is tried.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// The smallest page SQLite has, in bytes: a database that was opened is not smaller.
const SMALLEST: u64 = 512;

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
    /// Device and number of the file that was opened.
    identity: (u64, u64),
    failing: Mutex<Option<Failing>>,
}

struct Failing {
    problem: String,
    since: Instant,
    tried: Instant,
}

impl Monitor {
    /// Over `file`, which is open.
    pub(super) fn new(file: &Path) -> io::Result<Self> {
        let data = fs::metadata(file)?;
        Ok(Self { file: file.to_owned(), identity: (data.dev(), data.ino()), failing: Mutex::default() })
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
    pub(super) fn look(
        &self,
        connection: &mut Connection,
        probe: fn(&mut Connection) -> rusqlite::Result<()>,
    ) {
        if let Err(problem) = self.check_place() {
            return self.note(&problem);
        }
        let due = match &mut *self.failing() {
            Some(failing) if failing.tried.elapsed() >= TRY_EVERY => {
                failing.tried = Instant::now();
                true
            }
            _ => false,
        };
        if due && self.watch(|| probe(connection)).is_ok() {
            *self.failing() = None;
            tracing::info!(file = %self.file.display(), "the store works again");
        }
    }

    fn check_place(&self) -> Result<(), Problem> {
        match fs::metadata(&self.file) {
            // SQLite would not notice: it has read it before, and writes to its log.
            Ok(data) if data.len() < SMALLEST => Err(Problem::Damaged),
            Ok(data) if (data.dev(), data.ino()) == self.identity => Ok(()),
            Ok(_) => Err(Problem::Moved),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Problem::Moved),
            Err(error) => Err(Problem::Unreachable(error)),
        }
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
