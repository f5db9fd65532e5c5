//! Filling the store of an import: in one commit, or beside its place until it is complete.

use std::fs::File;
use std::path::{Path, PathBuf};

use dictrack::open::{OpenOptions, StoreAddress};
use dictrack::store::DataStore;
use dictrack::{SqliteStore, url};

use crate::Failure;
use crate::store::{open, wait};

/// Lets `write` fill the store at `place`. An existing store gets everything in one commit. A new one is moved into place
/// when it is complete.
pub(crate) fn fill<T>(
    place: &StoreAddress,
    write: impl FnOnce(&dyn DataStore, bool) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let existing = || open(place, &OpenOptions::default());
    let Some(name) = place.path() else { return write(&*existing()?, false) };
    let path = SqliteStore::resolve(name)?;
    if [&path, &beside(&path, "-wal")].into_iter().any(|path| path.exists()) {
        return write(&*existing()?, false);
    }
    let new = New::open(&path)?;
    let done = write(&new.store, true)?;
    new.rename(&path)?;
    Ok(done)
}

/// `path` with `ending` appended.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A store that is created beside its final place and moved there when it is complete.
struct New {
    // Dropped first: it must be closed before its files are renamed or removed.
    store: SqliteStore,
    files: Files,
}

/// The files of a store that is not in place yet. Those that still exist are removed on drop.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.0, ending));
        }
    }
}

impl New {
    fn open(place: &Path) -> Result<Self, Failure> {
        let path = beside(place, ".importing");
        if path.is_symlink() {
            // It would be emptied.
            return Err(Failure(format!("{}: a symbolic link is in the way; remove it", url::shown_path(&path))));
        }
        let store = SqliteStore::open(&path)?;
        let files = Files(path);
        // An import that was killed may have left something.
        wait(store.clear())?;
        Ok(Self { store, files })
    }

    fn rename(self, place: &Path) -> Result<(), Failure> {
        // Closing does the same, but does not report errors.
        self.store.checkpoint()?;
        drop(self.store);
        let fail = |error: std::io::Error| Failure(format!("{}: {error}", url::shown_path(place)));
        if place.exists() {
            return Err(Failure(format!(
                "{}: another process created it in the meantime; nothing was imported",
                url::shown_path(place)
            )));
        }
        std::fs::rename(&self.files.0, place).map_err(fail)?;
        // Makes the new name as durable as the file.
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
    }
}
