//! Descriptors of store files besides SQLite's own, and the lock on a store's file.
//!
//! SQLite guards its files with POSIX locks. They belong to a process and a file, and the process loses them as soon as
//! it closes any descriptor of that file: another process could then take the log of a running writer for abandoned and
//! remove it. So there is one descriptor per file, which is closed after the last connection of this process.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::OFlags;

/// The files that have descriptors.
static OPEN: Mutex<BTreeMap<Id, Entry>> = Mutex::new(BTreeMap::new());

/// The identity of a file, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}

#[derive(Debug)]
struct Entry {
    /// The process that opened it: a forked child has a copy.
    process: u32,
    users: usize,
    /// Whether a store of this process holds the lock.
    locked: bool,
    /// The first is in use. There are more only if the file replaced another one while it was being opened.
    files: Vec<Arc<File>>,
}

/// A descriptor of a store's file. It must outlive the connections that are opened after it.
#[derive(Debug)]
pub(super) struct Descriptor {
    id: Id,
    process: u32,
    /// Present until the drop, which takes it while holding [`OPEN`].
    file: Option<Arc<File>>,
    locks: bool,
}

/// The result of trying to take the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// It is now held.
    Taken,
    /// Another store holds it, in this process or another one.
    Held,
    /// The file was already open when this process was forked. What SQLite knows about its locks belongs to the parent
    /// and does not hold here.
    Inherited,
}

impl Descriptor {
    /// Opens a file, but not through a link. If `made`, the file is opened for writing, and created if it does not
    /// exist.
    pub(super) fn open(path: &Path, made: bool) -> io::Result<Self> {
        let process = std::process::id();
        let mut open = OPEN.lock();
        if let Ok(found) = path.symlink_metadata()
            && let Some(entry) = open.get_mut(&Id::of(&found))
        {
            entry.users += 1;
            return Ok(Self { id: Id::of(&found), process, file: entry.files.first().cloned(), locks: false });
        }
        // If something else has replaced the file since the last look, opening it must not block this process.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .write(made)
            .create(made)
            .truncate(false)
            .mode(0o644)
            .custom_flags(flags.bits().cast_signed())
            .open(path)?;
        let file = Arc::new(file);
        let id = Id::of(&file.metadata()?);
        let entry =
            open.entry(id).or_insert_with(|| Entry { process, users: 0, locked: false, files: Vec::with_capacity(1) });
        entry.users += 1;
        entry.files.push(Arc::clone(&file));
        Ok(Self { id, process, file: Some(file), locks: false })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_deref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file()?.metadata()
    }

    /// Reads the first bytes, as many as fit; returns how many there were.
    pub(super) fn read_first(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file()?.read_at(rest, read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// A checksum of the first page and of pages spread over the file: enough to distinguish a file that was only
    /// touched from one that was overwritten by another.
    pub(super) fn sample(&self) -> io::Result<u32> {
        const PAGES: u64 = 16;
        let file = self.file()?;
        let size = file.metadata()?.len();
        let mut hasher = crc32fast::Hasher::new();
        let mut page = [0; 4096];
        for at in 0..PAGES {
            let read = file.read_at(&mut page, size / PAGES * at)?;
            hasher.update(page.get(..read).unwrap_or_default());
        }
        Ok(hasher.finalize())
    }

    /// Tries to take the lock, which belongs to the file rather than to a name. It ends with this descriptor or with
    /// the process.
    pub(super) fn lock(&mut self) -> io::Result<Lock> {
        if self.locks {
            return Ok(Lock::Taken);
        }
        let mut open = OPEN.lock();
        let Some(entry) = open.get_mut(&self.id) else { return Err(io::ErrorKind::NotFound.into()) };
        if entry.process != self.process {
            return Ok(Lock::Inherited);
        }
        if entry.locked {
            return Ok(Lock::Held);
        }
        match self.file()?.try_lock() {
            Ok(()) => {
                (entry.locked, self.locks) = (true, true);
                Ok(Lock::Taken)
            }
            Err(TryLockError::WouldBlock) => Ok(Lock::Held),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether this store holds the lock.
    pub(super) fn locks(&self) -> bool {
        self.locks
    }

    /// Whether a store holds the lock. A store that tries to take it in the same microsecond has to try again.
    pub(super) fn is_locked(&self) -> io::Result<bool> {
        let open = OPEN.lock();
        // In a forked child the descriptor is shared with the parent: trying the lock could release it.
        if let Some(entry) = open.get(&self.id).filter(|entry| entry.locked || entry.process != self.process) {
            return Ok(entry.locked);
        }
        match self.file()?.try_lock_shared() {
            Ok(()) => self.file()?.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // A copy of the parent's descriptor, which shares its lock.
            return;
        }
        let mut open = OPEN.lock();
        let Some(entry) = open.get_mut(&self.id) else { return };
        if self.locks {
            entry.locked = false;
            // Closing the file is not enough if a forked child has it open too. If unlocking fails, the lock ends with
            // the process.
            let _ = self.file().map(File::unlock);
        }
        entry.users -= 1;
        let last = entry.users == 0;
        drop(self.file.take());
        if last {
            open.remove(&self.id);
        }
    }
}

/// The lock on the log beside a store's file, which belongs to the log rather than to its name.
///
/// A file that takes the name of a store in use would get its log as well. SQLite itself locks only the file and its
/// shared memory, so a descriptor of the log can be closed at any time.
#[derive(Debug)]
pub(super) struct LogLock {
    id: Id,
    process: u32,
    file: File,
}

impl LogLock {
    /// Tries to take the lock; `None` if another store holds it.
    pub(super) fn take(log: &Path) -> io::Result<Option<Self>> {
        let file = Self::open(log)?;
        let (id, process) = (Id::of(&file.metadata()?), std::process::id());
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { id, process, file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a store holds the lock.
    pub(super) fn is_taken(log: &Path) -> io::Result<bool> {
        match Self::open(log)?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open(log: &Path) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(log)
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }
}

impl Drop for LogLock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // A forked child may have the log open too.
            let _ = self.file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_descriptor_until_its_last_user_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a"), folder.path().join("b"));
        let descriptors = |id: Id| OPEN.lock().get(&id).map(|entry| (entry.users, entry.files.len()));
        let mut first = Descriptor::open(&path, true).unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        let mut second = Descriptor::open(&link, false).unwrap();
        assert_eq!((first.id(), descriptors(first.id())), (second.id(), Some((2, 1))));
        assert_eq!((first.lock().unwrap(), first.lock().unwrap()), (Lock::Taken, Lock::Taken));
        assert_eq!((second.lock().unwrap(), second.is_locked().unwrap()), (Lock::Held, true));
        let id = first.id();
        drop(first);
        assert!(!second.is_locked().unwrap());
        assert_eq!((second.lock().unwrap(), descriptors(id)), (Lock::Taken, Some((1, 1))));
        drop(second);
        assert_eq!(descriptors(id), None);
        assert_eq!(Descriptor::open(&path, false).unwrap().lock().unwrap(), Lock::Taken);
    }

    #[test]
    fn another_open_description_is_kept_from_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut descriptor = Descriptor::open(&path, true).unwrap();
        let other = File::open(&path).unwrap();
        other.try_lock_shared().unwrap();
        assert!(!descriptor.is_locked().unwrap(), "who only looks is no owner");
        assert_eq!(descriptor.lock().unwrap(), Lock::Held);
        other.unlock().unwrap();
        assert_eq!(descriptor.lock().unwrap(), Lock::Taken);
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(descriptor);
        other.try_lock().unwrap();
    }
}
