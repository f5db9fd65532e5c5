//! Connections that only read.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::descriptor::Id;
use super::name::beside;
use super::watch::Content;

/// A connection that reads a file as of one moment.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) connection: Connection,
    /// Present if SQLite could not keep writers from changing what is read.
    pub(super) unguarded: Option<Unguarded>,
}

/// The files that are read without SQLite's locks.
#[derive(Debug)]
pub(super) struct Unguarded {
    path: PathBuf,
    seen: Seen,
}

/// The identity and content of a file, and of the log beside it.
type Seen = [Option<(Id, Content)>; 2];

fn seen(path: &Path) -> io::Result<Seen> {
    let look = |path: &Path| match fs::metadata(path) {
        Ok(found) => Ok(Some((Id::of(&found), Content::of(&found)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    Ok([look(path)?, look(&beside(path, "-wal"))?])
}

impl Unguarded {
    /// Whether everything is as it was when reading began.
    pub(super) fn is_unchanged(&self) -> bool {
        seen(&self.path).is_ok_and(|now| now == self.seen)
    }
}

impl Reading {
    /// Opens a file, even if this process may write neither the file nor its folder.
    ///
    /// SQLite separates readers and writers of a log with a file that it has to create, or at least lock. If it cannot,
    /// the log is read as it is, and the reader has to check that nothing changed meanwhile.
    pub(super) fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        if !would_be_in_the_way(path) {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            match begin(Connection::open_with_flags(path, flags)?) {
                Ok(connection) => return Ok(Self { connection, unguarded: None }),
                Err(error) if cannot_lock(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let cannot_look = |_| rusqlite::Error::InvalidPath(path.to_owned());
        let unguarded = Unguarded { path: path.to_owned(), seen: seen(path).map_err(cannot_look)? };
        let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
        let options = if has_log { "vfs=unix-none" } else { "immutable=1" };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(format!("file:{}?mode=ro&{options}", escaped(path)), flags)?;
        if has_log {
            // This puts the index of the log into this process's own memory.
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        Ok(Self { connection: begin(connection)?, unguarded: Some(unguarded) })
    }
}

/// Begins the only transaction of a reader: it sees the tables and the journal as of one moment.
fn begin(connection: Connection) -> Result<Connection, rusqlite::Error> {
    connection.execute_batch("BEGIN")?;
    // A transaction only begins with its first read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Whether SQLite would create a file beside the store that belongs to this user, so that the store's owner could not
/// write it.
fn would_be_in_the_way(path: &Path) -> bool {
    let user = rustix::process::geteuid();
    let foreign = |file: fs::Metadata| !user.is_root() && file.uid() != user.as_raw();
    fs::metadata(path).is_ok_and(foreign) && !beside(path, "-shm").exists()
}

fn cannot_lock(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
}

/// A path as part of a URI.
fn escaped(path: &Path) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let letter = |&byte: &u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.as_os_str().as_bytes().iter().map(letter).collect()
}
