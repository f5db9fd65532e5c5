//! One writer a file: an operating system lock that ends with its process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::cache::BackendError;

/// Holds the lock beside the file, for as long as it lives.
#[derive(Debug)]
pub(super) struct Owner {
    lock: File,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Closing the file is not enough where a child of a fork has it open, too. What fails here ends with the process.
        let _ = self.lock.unlock();
    }
}

impl Owner {
    /// Locks `<path>.lock` and writes there who owns the store.
    pub(super) fn claim(path: &Path) -> Result<Self, Error> {
        let lock_path = beside(path);
        let fail = |source: std::io::Error| {
            let action = format!("lock {}", lock_path.display());
            Error::from(BackendError { backend: "SQLite", action, source: source.into() })
        };
        let mut lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (pid, host) = named_in(lock);
                return Err(Error::Owned { store: path.display().to_string().into(), pid, host });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "this host".to_owned());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{} {}", std::process::id(), host.trim()))
            .map_err(fail)?;
        Ok(Self { lock })
    }
}

/// Who owns the store at `path`: process and host. A writer that begins in the microsecond of this look
/// is refused.
pub(super) fn of(path: &Path) -> std::io::Result<Option<(Box<str>, Box<str>)>> {
    let lock = match File::open(beside(path)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(named_in(lock))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// The process and the host that a lock's file names: a courtesy, the lock is what counts.
fn named_in(mut lock: File) -> (Box<str>, Box<str>) {
    let mut text = String::new();
    let _ = lock.read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or("(unknown)").into();
    (word(), word())
}
