//! The lock of storage format 1: a file beside the store. It is respected until the store has been migrated, and never
//! written.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::name::beside;
use crate::{Error, url};

/// The maximum size of a lock file, which names a process id and a host.
const MAX_WORDS: u64 = 1024;

/// Holds the existing lock files of a store, so that no program that uses the former format begins to write it.
///
/// # Errors
/// [`Error::Owned`] if such a program writes it.
pub(super) fn hold(name: &Path, path: &Path) -> Result<Vec<File>, Error> {
    // The former format had a lock file for each name.
    let locks = [name, path].map(|path| open(&beside(path, ".lock")));
    locks.into_iter().flatten().map(|lock| taken(lock, name)).collect()
}

fn open(lock: &Path) -> Option<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(lock).ok()?;
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

fn taken(mut lock: File, name: &Path) -> Result<File, Error> {
    if let Err(TryLockError::WouldBlock) = lock.try_lock_shared() {
        let mut text = String::new();
        let _ = (&mut lock).take(MAX_WORDS).read_to_string(&mut text);
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or("(unknown)").into();
        return Err(Error::Owned { store: url::shown_path(name).into(), pid: word(), host: word() });
    }
    Ok(lock)
}
