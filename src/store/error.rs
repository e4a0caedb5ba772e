//! What can go wrong with a store, in sentences an operator can act on.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// A store that cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the store {} {problem}", file.display())]
pub struct StoreError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its folder or the file itself cannot be opened or made.
    #[error("cannot be opened: {0}; check that the gate's user may write to its folder")]
    Unreachable(io::Error),
    /// Others than its owner may write to its folder, and so put what they like in its place, or a link to elsewhere.
    #[error("is in a folder that others may write to (mode {mode:03o}); run: chmod go-w {}", folder.display())]
    Exposed {
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// SQLite cannot open it, without saying why.
    #[error(
        "cannot be opened; check that it is a file and that the gate's user may read and write it and its folder"
    )]
    CannotOpen,
    /// The file is something else.
    #[error("is not a SQLite database; move it away, or name another file in [store] url")]
    NotADatabase,
    /// The file is a database of another program.
    #[error("is a database of another program; name another file in [store] url")]
    Foreign,
    /// The file was written by a newer gate.
    #[error(
        "has format {found}, this gate knows up to {known}; start the newer gate, or restore the copy made before it"
    )]
    Newer {
        /// The format of the file.
        found: i64,
        /// The newest format this gate knows.
        known: i64,
    },
    /// Another process holds it.
    #[error(
        "is locked by another process; end that process (a copy or a check of the file, perhaps) and try again"
    )]
    Locked,
    /// No room left.
    #[error("cannot grow: the disk is full; make room")]
    Full,
    /// It may not be written.
    #[error("is read-only; let the gate's user write the file and its folder")]
    ReadOnly,
    /// Its contents contradict themselves.
    #[error("is damaged; stop the gate and move it away (everybody has to sign in again), or restore a copy")]
    Damaged,
    /// The file is not where it was, or another is there in its place: what was written would be lost.
    #[error(
        "was moved, deleted or replaced while the gate runs; put it or a copy of it back, or restart the gate"
    )]
    Moved,
    /// Something else was written into the file.
    #[error(
        "was overwritten while the gate runs; put a copy of it in its place, or stop the gate and move it away (everybody has to sign in again)"
    )]
    Overwritten,
    /// It lies where SQLite cannot keep a write-ahead log.
    #[error("cannot keep a write-ahead log; move it to a local disk")]
    NoLog,
    /// The disk does not do what it is told.
    #[error("cannot be read or written: {0}; check the disk")]
    Disk(String),
    /// The thread that writes has ended.
    #[error("is closed")]
    Closed,
    /// Anything else.
    #[error("fails: {0}")]
    Other(String),
}

impl Problem {
    /// Whether it is the store's state, rather than something about one request to it.
    pub(super) const fn is_state(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::CannotOpen,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged,
            Some(ErrorCode::SystemIoFailure) => Self::Disk(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}
