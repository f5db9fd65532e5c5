//! From the name of a store to its file.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};

use super::descriptor::Descriptor;
use super::filesystem::FileSystem;
use crate::backend::BackendError;
use crate::{Error, url};

/// How many symbolic links are followed before a chain counts as endless, as in the kernel.
const MAX_LINKS: usize = 40;
/// What SQLite appends to the name of a file for the files beside it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The file that `name` refers to, with every link followed: SQLite keeps its log beside the path that it is given, so
/// a file must always be opened by the same path. The file need not exist.
///
/// Refuses names that SQLite interprets in a special way, and anything that is not a regular file.
pub(super) fn resolve(name: &Path) -> Result<PathBuf, Error> {
    let refused = |problem: String| Err(refusal(name, problem));
    let text = name.as_os_str().as_bytes();
    if text.is_empty() {
        return refused("the name is empty; expected a file".to_owned());
    }
    if text.eq_ignore_ascii_case(b":memory:") {
        return refused(
            "a store must persist what it acknowledges, so it cannot be in memory; leave the store out to count in memory"
                .to_owned(),
        );
    }
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"file:")) {
        return refused("SQLite URIs are not supported; expected the path of a file".to_owned());
    }
    let found = fs::metadata(name).map(|found| found.file_type());
    if let Ok(kind) = &found
        && let Some(kind) = other_kind(*kind)
    {
        return refused(format!("it is {kind}; expected a file"));
    }
    if text.ends_with(b"/") {
        return refused("the name ends with \"/\", like that of a folder; expected a file".to_owned());
    }
    let path = match found {
        Ok(_) => fs::canonicalize(name),
        Err(error) if error.kind() == ErrorKind::NotFound => return missing(name),
        Err(error) => Err(error),
    };
    let path = path.map_err(|error| refusal(name, error))?;
    not_beside(name, &path)?;
    Ok(path)
}

/// The path of a file that does not exist, even if `name` is a link to it.
fn missing(name: &Path) -> Result<PathBuf, Error> {
    let mut path = name.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = folder_of(&path).join(target);
    }
    let (Some(file), false) = (path.file_name(), path.as_os_str().as_bytes().ends_with(b"/")) else {
        return Err(refusal(name, "it is a folder that does not exist; expected a file"));
    };
    let folder = folder_of(&path);
    let folder = fs::canonicalize(folder).map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::NotFound => format!("folder {} does not exist", url::shown_path(folder)),
            _ => error.to_string(),
        };
        refusal(name, problem)
    })?;
    let path = folder.join(file);
    not_beside(name, &path)?;
    Ok(path)
}

/// Refuses the names of the files that SQLite keeps beside a store.
fn not_beside(name: &Path, path: &Path) -> Result<(), Error> {
    let file = path.file_name().map_or(&[][..], OsStr::as_bytes);
    match BESIDE.into_iter().find(|ending| file.ends_with(ending.as_bytes())) {
        None => Ok(()),
        Some(ending) => Err(refusal(
            name,
            format!("names that end in {ending:?} are reserved for files that SQLite keeps beside a store"),
        )),
    }
}

/// Refuses a file in which a writer could lose acknowledged changes.
pub(super) fn check(name: &Path, path: &Path, file: &Descriptor) -> Result<(), Error> {
    let found = file.metadata().map_err(|error| refusal(name, error))?;
    let log = beside(path, "-wal");
    let problem = if let Some(kind) = other_kind(found.file_type()) {
        format!("it is {kind}; expected a file")
    } else if found.nlink() > 1 {
        // Each name would have its own log, without the changes in the other logs.
        format!("the file has {} names (hard links), but a store must have only one; remove the others", found.nlink())
    } else if is_mount_point(path) {
        "the file itself is a mount point, so its log would be elsewhere; mount its folder instead".to_owned()
    } else if let Some(FileSystem::Network(kind)) = FileSystem::of(path) {
        format!(
            "it is on a network file system ({kind}), where other machines do not see SQLite's locks; use a local disk, or MongoDB"
        )
    } else if found.len() == 0 && fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        // SQLite would remove it.
        format!(
            "it is empty, but {} has the last commits of the store that was here; restore that store, or remove this log",
            url::shown_path(&log)
        )
    } else {
        return Ok(());
    };
    Err(refusal(name, problem))
}

fn is_mount_point(path: &Path) -> bool {
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| {
        found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            && found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

/// The kind of a path that is not a regular file.
pub(super) fn other_kind(kind: FileType) -> Option<&'static str> {
    Some(match kind {
        kind if kind.is_file() => return None,
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "not a regular file",
    })
}

/// The folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// `path` with `ending` appended.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The error for a name that cannot be a store's.
pub(super) fn refusal(name: &Path, problem: impl Into<dictrack_core::custom::BoxError>) -> Error {
    BackendError { backend: "SQLite", action: format!("open \"{}\"", url::shown_path(name)), source: problem.into() }
        .into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_names_of_a_file_are_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let at = |name: &str| folder.join(name);
        fs::create_dir(at("sub")).unwrap();
        symlink("sub", at("linked")).unwrap();
        symlink("linked/../a.db", at("link")).unwrap();
        symlink(at("link"), at("sub/link of link")).unwrap();
        for exists in [false, true] {
            if exists {
                fs::write(at("a.db"), "").unwrap();
            }
            for name in ["a.db", "./a.db", "sub/../a.db", "link", "sub/link of link", "linked/link of link"] {
                assert_eq!(resolve(&at(name)).unwrap(), at("a.db"), "{name}, exists: {exists}");
            }
        }
    }

    #[test]
    fn what_cannot_be_a_store_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("nowhere/a.db", at("into nowhere")).unwrap();
        symlink("nowhere/", at("to a folder")).unwrap();
        fs::write(at("a.db"), "").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("fifo", at("link to fifo")).unwrap();
        for (name, words) in [
            ("", "the name is empty"),
            (":memory:", "leave the store out"),
            (":MEMORY:", "leave the store out"),
            ("file:x.db", "SQLite URIs"),
            ("file::memory:?cache=shared", "SQLite URIs"),
            ("FILE:///x.db", "SQLite URIs"),
            ("/dev/null", "a device"),
            ("/dev/zero", "a device"),
            ("/", "a folder"),
            (".", "a folder"),
            ("..", "a folder"),
        ] {
            let error = resolve(Path::new(name)).unwrap_err().to_string();
            // A text that looks like a URL may contain a password.
            let shown = if url::is_meant(name) { "…" } else { name };
            assert!(
                error.starts_with(&format!("SQLite could not open {shown:?}: ")) && error.contains(words),
                "{error}"
            );
        }
        for (name, words) in [
            ("sub", "a folder"),
            ("sub/", "a folder"),
            ("sub/..", "a folder"),
            ("fifo", "a pipe"),
            ("link to fifo", "a pipe"),
            ("socket", "a socket"),
            ("loop", "symbolic links"),
            ("a.db/", "ends with \"/\""),
            ("a.db/b.db", "Not a directory"),
            ("new.db/", "ends with \"/\""),
            ("nowhere/a.db", "does not exist"),
            ("into nowhere", "does not exist"),
            ("to a folder", "a folder that does not exist"),
            ("nowhere/..", "a folder that does not exist"),
            ("a.db-wal", "\"-wal\""),
            ("a.db-shm", "\"-shm\""),
            ("a.db-journal", "\"-journal\""),
            ("with\0zero", "NUL byte"),
        ] {
            let error = resolve(&at(name)).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
        assert!(!at("new.db").exists() && !at("nowhere").exists());
        let longest = at(&"n".repeat(300));
        assert!(resolve(&longest).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn a_name_is_only_special_where_it_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in [":memory:", "file:x.db", "memory", "x:memory:", "-wal.db"] {
            assert_eq!(
                resolve(&folder.path().join(name)).unwrap(),
                folder.path().canonicalize().unwrap().join(name),
                "{name}"
            );
        }
    }
}
