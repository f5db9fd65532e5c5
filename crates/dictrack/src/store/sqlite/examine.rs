//! Looking at a file before programs rely on it. `docs/doctor.md` lists what can be found.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{SqliteStore, failed, owner};
use crate::Error;
use crate::cache::BackendError;
use crate::clock::Stopwatch;
use crate::doctor::{Examination, Level, bytes, millis};
use crate::store::Writers;

/// How often a sync is timed.
const SYNCS: usize = 5;
/// What `statfs` says of file systems that are in memory.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

impl SqliteStore {
    /// Examines a file and its folder: whether it is whole, who writes it, how long the disk takes. It writes a small file
    /// beside it and removes that.
    ///
    /// `writers` says how programs are to use it. What keeps it from looking is a finding, too.
    pub async fn examine(path: impl AsRef<Path> + Send, writers: Writers) -> Examination {
        let path = path.as_ref();
        let mut found = Examination::of(format!("store {}", path.display()));
        if let Err(error) = look(path, writers, &mut found) {
            found.error(&error);
        }
        if found.level() < Some(Level::Problem) && path.is_file() {
            let read = match Self::open_read_only(path) {
                Ok(store) => found.read_some(&store).await,
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                found.error(&error);
            }
        }
        found
    }
}

fn look(path: &Path, writers: Writers, found: &mut Examination) -> Result<(), Error> {
    if writers == Writers::Many {
        found.find(
            Level::Warning,
            "file_with_cache",
            "the store behind the cache is a file, which one program may write",
            "a second program that shares the cache is refused, and no other machine can take over",
            "use MongoDB behind Redis, or leave the cache out",
        );
    }
    look_at_folder(path, found)?;
    if !fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        let meaning = "the first program that writes makes it";
        found.find(Level::Note, "empty", "there is no store there yet", meaning, "");
        return Ok(());
    }
    super::schema::check_header(path)?;
    check(path)?;
    let store = SqliteStore::open_read_only(path)?;
    {
        let inner = store.inner.lock();
        let version: String =
            inner.connection.query_row("SELECT sqlite_version()", [], |row| row.get(0)).map_err(failed("look"))?;
        let size = fs::metadata(path).map_or(0, |file| file.len());
        found.fact("file", format!("{}, SQLite {version}, format {}", bytes(size), super::schema::VERSION));
    }
    let owner = owner::of(path).map_err(|error| failure(path, "look at the lock", error))?;
    found.fact(
        "writers",
        owner.as_ref().map_or_else(|| "none".to_owned(), |(pid, host)| format!("process {pid} on {host}")),
    );
    if let Some((pid, host)) = owner {
        found.find(
            Level::Warning,
            "owner",
            format!("the store has an owner: process {pid} on {host}"),
            "a second program is refused while it runs; show, explain and export work beside it",
            "stop it, or share a Redis cache and a MongoDB store",
        );
    }
    Ok(())
}

/// Whether SQLite finds its pages in order.
fn check(path: &Path) -> Result<(), Error> {
    let ask = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    let answer = ask().unwrap_or_else(|error| error.to_string());
    if answer == "ok" { Ok(()) } else { Err(Error::corrupt(path.display(), "the file", answer)) }
}

fn look_at_folder(path: &Path, found: &mut Examination) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let sync = time_syncs(folder).map_err(|error| failure(folder, "write a file in the folder", error))?;
    found.fact("sync to disk", millis(sync));
    if rustix::fs::statfs(folder).is_ok_and(|system| IN_MEMORY.contains(&system.f_type)) {
        found.find(
            Level::Warning,
            "in_memory",
            format!("{} is on a file system in memory", folder.display()),
            "a restart of the machine loses all of it, whatever the durability",
            "choose a folder on a disk",
        );
    }
    Ok(())
}

/// The median time that a small write takes until the disk has it.
fn time_syncs(folder: &Path) -> std::io::Result<Duration> {
    let path: PathBuf = folder.join(format!(".dictrack-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let timed = (0..SYNCS)
        .map(|_| {
            let watch = Stopwatch::start();
            file.write_all(&[0; 512]).and_then(|()| file.sync_data())?;
            Ok(watch.elapsed())
        })
        .collect::<std::io::Result<Vec<_>>>();
    fs::remove_file(&path)?;
    let mut times = timed?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

fn failure(path: &Path, action: &str, error: std::io::Error) -> Error {
    BackendError { backend: "SQLite", action: format!("{action} {}", path.display()), source: error.into() }.into()
}
