//! Takes into use what an operator has put in the place of a database that is gone, without a restart.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::Problem;
use super::super::health::Stale;
use super::{APPLICATION_ID, check, connect};

/// Closes the stale database and opens what is in its place, if that is one of ours and in order: an empty file is none, for it may
/// be that a copy is just being put there.
///
/// # Errors
/// What is wrong with it. The connection may then lead to nowhere; the store's [`Monitor`](super::Monitor) lets nothing use it.
pub(super) fn reopen(
    connection: &mut Connection,
    file: &Path,
    patience: Duration,
    stale: &Stale<'_>,
) -> Result<(), Problem> {
    examine(file)?;
    if stale.is_whole() {
        // What its log holds goes where it belongs, so that whoever moved it away has all of it.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    // Otherwise SQLite would put it over what is there now.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    *connection = Connection::open_in_memory()?;
    stale.remove_log().map_err(Problem::Unreachable)?;
    *connection = connect(file, patience)?;
    Ok(())
}

/// Reads all of it, without its log and without a lock.
fn examine(file: &Path) -> Result<(), Problem> {
    let whole = fs::canonicalize(file).map_err(Problem::Unreachable)?;
    let mut address = url::Url::from_file_path(whole)
        .map_err(|()| Problem::Unreachable(io::ErrorKind::InvalidFilename.into()))?;
    address.set_query(Some("immutable=1"));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(address.as_str(), flags)?;
    let id: i64 = found.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(Problem::Foreign);
    }
    Ok(check(&found)?)
}
