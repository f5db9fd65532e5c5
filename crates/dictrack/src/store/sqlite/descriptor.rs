//! Descriptors of stores beside SQLite's own, and the lock on a store's file.
//!
//! SQLite guards its files with POSIX locks. They belong to a process and a file, and the process loses them as soon as
//! it closes any descriptor of that file: another process could then take the log of a running writer for abandoned and
//! remove it. So there is one descriptor a file, which is closed after the last connection of this process.

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

/// What a file is, whatever its names.
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
    /// The process that opened it: a child of a fork has a copy.
    process: u32,
    users: usize,
    /// Whether a store of this process has the lock.
    locked: bool,
    /// The first is used. There are more only where the file took the place of another while it was opened.
    files: Vec<Arc<File>>,
}

/// A descriptor of a store's file. It must outlive the connections that were opened after it.
#[derive(Debug)]
pub(super) struct Descriptor {
    id: Id,
    process: u32,
    /// Present until the drop, which takes it while it holds [`OPEN`].
    file: Option<Arc<File>>,
    locks: bool,
}

/// What became of asking for the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// It is held now.
    Taken,
    /// Another store has it, of this process or another.
    Held,
    /// The file was open when this process was forked. What SQLite knows of its locks is the parent's, and not true here.
    Inherited,
}

impl Descriptor {
    /// Opens a file, and no link to it; one that is `made` if there is none is opened for writing.
    pub(super) fn open(path: &Path, made: bool) -> io::Result<Self> {
        let process = std::process::id();
        let mut open = OPEN.lock();
        if let Ok(found) = path.symlink_metadata()
            && let Some(entry) = open.get_mut(&Id::of(&found))
        {
            entry.users += 1;
            return Ok(Self { id: Id::of(&found), process, file: entry.files.first().cloned(), locks: false });
        }
        // What took the place of the file since it was looked at must not hold up this process.
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

    /// Reads the first bytes, at most as many as fit, and says how many there were.
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

    /// A checksum of the first page and of pages all over the file: enough to tell a file that was only touched from one that
    /// another was copied over.
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

    /// Asks for the lock, which is the file's and not a name's. It ends with this descriptor, or with the process.
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

    /// Whether some store has the lock. A store that asks for it in the same microsecond has to ask again.
    pub(super) fn is_locked(&self) -> io::Result<bool> {
        let open = OPEN.lock();
        // In a child of a fork the descriptor is the parent's too: to try the lock could be to end it.
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
            // A copy of the parent's, whose lock it shares.
            return;
        }
        let mut open = OPEN.lock();
        let Some(entry) = open.get_mut(&self.id) else { return };
        if self.locks {
            entry.locked = false;
            // Closing the file is not enough where a child of a fork has it open, too. What fails here ends with the process.
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
