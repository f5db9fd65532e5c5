//! Examines a file before programs rely on it. `docs/doctor.md` lists what it can find.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::descriptor::Descriptor;
use super::filesystem::FileSystem;
use super::reading::Reading;
use super::{SqliteStore, failed, name, owner};
use crate::backend::BackendError;
use crate::clock::Stopwatch;
use crate::doctor::{Examination, Level, Setup, bytes, millis};
use crate::store::read_some;
use crate::{Error, url};

/// How many syncs are timed.
const SYNCS: usize = 5;
/// How many damaged places are named.
const DAMAGES: usize = 100;

impl SqliteStore {
    /// Examines a file, even one that cannot be opened as a store: whether it is intact, which process writes it, and
    /// how fast the disk is. Writes a small file beside it and removes it again.
    pub async fn examine_file(
        path: impl AsRef<Path> + Send,
        setup: &Setup,
        mut progress: impl FnMut(u64) + Send,
    ) -> Examination {
        let path = path.as_ref();
        let mut found = Examination::new(format!("store {}", url::shown_path(path)));
        if let Err(error) = look(path, setup, &mut found, &mut progress) {
            found.error(&error);
            return found;
        }
        let is_store = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0);
        if found.level() < Some(Level::Problem) && is_store {
            match Self::open_read_only(path) {
                Ok(store) => read_some(&store, &mut found).await,
                Err(error) => found.error(&error),
            }
        }
        found
    }
}

fn look(path: &Path, setup: &Setup, found: &mut Examination, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
    if setup.has_cache {
        found.find(
            Level::Warning,
            "file_with_cache",
            "the store behind the cache is a file, which only one program can write",
            "a second program that shares the cache cannot start, and no other machine can take over",
            "use MongoDB behind Redis, or leave out the cache",
        );
    }
    let name = path;
    let path = &name::resolve(name)?;
    look_at_folder(name::folder_of(path), found)?;
    if !fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        let meaning = "the first program that writes creates it";
        found.find(Level::Note, "empty", "there is no store yet", meaning, "");
        return Ok(());
    }
    if found.level() == Some(Level::Problem) {
        return Ok(());
    }
    let descriptor = Descriptor::open(path, false).map_err(|error| name::refusal(name, error))?;
    name::check(name, path, &descriptor)?;
    super::schema::check_finished(name, path)?;
    super::schema::check_header(name, path, &descriptor)?;
    check(name, path)?;
    let store = SqliteStore::open_read_only(path)?;
    {
        let inner = store.inner.lock();
        let version: String =
            inner.connection.query_row("SELECT sqlite_version()", [], |row| row.get(0)).map_err(failed("look"))?;
        let size = fs::metadata(path).map_or(0, |file| file.len());
        found.fact("file", format!("{}, SQLite {version}, format {}", bytes(size), super::schema::VERSION));
        let damage = inner.tables().verify(inner.tail.marks(), DAMAGES, progress);
        inner.check_unchanged()?;
        let damage = damage?;
        let more = (damage.more > 0).then(|| format!("{} more places are damaged", damage.more));
        let whole = damage.errors.is_empty();
        for text in damage.errors.iter().map(ToString::to_string).chain(more) {
            let meaning = "calls that read it fail, all others count; nothing is overwritten";
            let remedy = "restore the file from a backup, or import the last export into a new one";
            found.find(Level::Problem, "damaged", text, meaning, remedy);
        }
        // Nothing depends on it.
        let zone_data = super::schema::zone_data(&inner.connection).ok().flatten();
        let writer = zone_data.map(|version| (version, "the last program that wrote the file".to_owned()));
        found.compare_zone_data(&writer.into_iter().collect::<Vec<_>>());
        found.fact("checksums", if whole { "every row matches" } else { "some rows do not match" });
    }
    let locked = descriptor.is_locked().map_err(|error| failure(path, "look at the lock", error))?;
    let owner = locked.then(|| owner::Row::of(path).map(owner::Row::process));
    let owner = owner.map(|process| {
        process.map_or_else(|| "one that begins".to_owned(), |(pid, host)| format!("process {pid} on {host}"))
    });
    found.fact("writers", owner.clone().unwrap_or_else(|| "none".to_owned()));
    if let Some(owner) = owner {
        found.find(
            Level::Warning,
            "owner",
            format!("the store has an owner: {owner}"),
            "a second program cannot start while it runs; show, explain and export still work",
            "stop it, or share a Redis cache and a MongoDB store",
        );
    }
    Ok(())
}

/// Whether SQLite finds the pages intact.
fn check(name: &Path, path: &Path) -> Result<(), Error> {
    let ask = || {
        let reading = Reading::open(path)?;
        reading.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    };
    let answer = ask().unwrap_or_else(|error| error.to_string());
    if answer == "ok" { Ok(()) } else { Err(Error::corrupt(url::shown_path(name), "the file", answer)) }
}

fn look_at_folder(folder: &Path, found: &mut Examination) -> Result<(), Error> {
    let sync = time_syncs(folder).map_err(|error| failure(folder, "write a file in the folder", error))?;
    found.fact("sync to disk", millis(sync));
    match FileSystem::of(folder) {
        Some(FileSystem::Memory) => found.find(
            Level::Warning,
            "in_memory",
            format!("{} is on an in-memory file system", url::shown_path(folder)),
            "a reboot loses everything, whatever the durability",
            "use a folder on a disk",
        ),
        Some(FileSystem::Network(kind)) => found.find(
            Level::Problem,
            "network",
            format!("{} is on a network file system ({kind})", url::shown_path(folder)),
            "programs that write reject it, since other machines do not see SQLite's locks",
            "use a folder on a local disk, or a MongoDB store",
        ),
        Some(FileSystem::Served(kind)) => found.find(
            Level::Warning,
            "served",
            format!("{} is on a file system that another program serves ({kind})", url::shown_path(folder)),
            "it depends on that program whether locks work and whether acknowledged changes survive a power failure",
            "use a folder on a local disk, unless you know that they do",
        ),
        None => {}
    }
    Ok(())
}

/// The median time until a small write is on disk.
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
    BackendError { backend: "SQLite", action: format!("{action} {}", url::shown_path(path)), source: error.into() }
        .into()
}
