//! Opening stores for the commands that look at them.

use std::path::Path;

use dictrack::SqliteStore;

use crate::Failure;

/// Opens a store for reading, also beside a running writer.
pub(crate) fn read_only(path: &Path) -> Result<SqliteStore, Failure> {
    if !path.is_file() {
        return Err(Failure(format!("{}: there is no such store", path.display())));
    }
    if std::fs::metadata(path)?.len() == 0 {
        return Err(Failure(format!("{}: an empty file; no run has written to it yet", path.display())));
    }
    Ok(SqliteStore::open_read_only(path)?)
}
