//! Whether the files of a store are still those that this process has open.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::descriptor::Id;
use super::name::beside;

/// What was found under the names of a store's files.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
    file: Id,
    wal_id: Id,
    shm_id: Id,
    /// The log never shrinks while it is open, except when this process empties it.
    wal_size: u64,
    /// Only this process writes the file, and only when it copies the log into it.
    content: Content,
}

/// Shows that a file was written, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    size: u64,
    modified: (i64, i64),
}

impl Content {
    pub(super) fn of(file: &Metadata) -> Self {
        Self { size: file.size(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

/// What happened to an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Its name was removed.
    Gone,
    /// Another file, or a link, has taken its name.
    Replaced,
    /// Another program wrote to it.
    Written,
    /// SQLite's log was removed or replaced.
    LogLost,
    /// SQLite's log was truncated.
    LogCut,
    /// SQLite's shared memory was removed or replaced.
    MemoryLost,
}

impl Change {
    /// The part of an error message that follows the name of the store.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Gone => "was removed or renamed",
            Self::Replaced => "was replaced by another file",
            Self::Written => "was written by another program",
            Self::LogLost => "lost its log, the file that ends in \"-wal\", which was removed or replaced",
            Self::LogCut => "lost a part of its log, the file that ends in \"-wal\", which was truncated",
            Self::MemoryLost => "lost the file that ends in \"-shm\", which was removed or replaced",
        }
    }
}

impl Watch {
    /// Notes what the names of the files refer to now.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let (wal, shm) = (beside(path, "-wal"), beside(path, "-shm"));
        let file = fs::symlink_metadata(path)?;
        let id = |path: &Path| fs::symlink_metadata(path).map(|found| Id::of(&found));
        Ok(Self {
            path: path.to_owned(),
            file: Id::of(&file),
            wal_id: id(&wal)?,
            shm_id: id(&shm)?,
            wal_size: fs::symlink_metadata(&wal)?.len(),
            content: Content::of(&file),
            wal,
            shm,
        })
    }

    pub(super) fn file(&self) -> Id {
        self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn log(&self) -> Id {
        self.wal_id
    }

    pub(super) fn log_path(&self) -> &Path {
        &self.wal
    }

    /// A name to keep the log under after its file is gone.
    pub(super) fn log_aside(&self, token: &str) -> PathBuf {
        beside(&self.wal, &format!(".{}", token.get(..8).unwrap_or(token)))
    }

    /// Renames the log, if it is still the one that this process opened.
    pub(super) fn put_log_aside(&self, aside: &Path) -> io::Result<()> {
        if self.has_log() { fs::rename(&self.wal, aside) } else { Ok(()) }
    }

    /// Whether the log that this process opened still has its name.
    pub(super) fn has_log(&self) -> bool {
        fs::symlink_metadata(&self.wal).is_ok_and(|found| Id::of(&found) == self.wal_id)
    }

    /// Notes that this process wrote the file.
    pub(super) fn wrote(&mut self) -> io::Result<()> {
        self.content = Content::of(&fs::symlink_metadata(&self.path)?);
        self.wal_size = fs::symlink_metadata(&self.wal)?.len();
        Ok(())
    }

    /// Whether the file still has the size that it had when this process last wrote it.
    pub(super) fn has_size(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|file| Content::of(&file).size == self.content.size)
    }

    /// What has changed, if anything.
    pub(super) fn look(&mut self) -> io::Result<Option<Change>> {
        let found = |path: &Path| match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        };
        let change = match found(&self.path)? {
            None => Some(Change::Gone),
            Some(file) if Id::of(&file) != self.file => Some(Change::Replaced),
            Some(file) if Content::of(&file) != self.content => Some(Change::Written),
            Some(_) => None,
        };
        if change.is_some() {
            return Ok(change);
        }
        let Some(log) = found(&self.wal)?.filter(|log| Id::of(log) == self.wal_id) else {
            return Ok(Some(Change::LogLost));
        };
        if log.len() < self.wal_size {
            return Ok(Some(Change::LogCut));
        }
        self.wal_size = log.len();
        let is_same = found(&self.shm)?.is_some_and(|found| Id::of(&found) == self.shm_id);
        Ok((!is_same).then_some(Change::MemoryLost))
    }
}
