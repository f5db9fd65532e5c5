//! Writing files that people asked for: whole or not at all.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use dictrack::url;

use crate::Failure;

/// Writes a file beside its place and moves it there when it is complete. An existing one is replaced only if `overwrite`.
pub(crate) fn replace(path: &Path, bytes: &[u8], overwrite: bool) -> io::Result<()> {
    // A link keeps leading to its file. What is no file, such as a pipe, cannot be replaced.
    let place = std::fs::canonicalize(path);
    let place = place.as_deref().unwrap_or(path);
    if overwrite && place.exists() && !place.is_file() {
        return std::fs::OpenOptions::new().write(true).open(place)?.write_all(bytes);
    }
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The umask takes from these what it takes from those of every new file.
    let permissions = match std::fs::metadata(place) {
        Ok(existing) => existing.permissions(),
        Err(_) => std::fs::Permissions::from_mode(0o666),
    };
    let mut file = tempfile::Builder::new().prefix(".dictrack-").permissions(permissions).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let moved = if overwrite { file.persist(place) } else { file.persist_noclobber(place) };
    moved.map(drop).map_err(|error| error.error)
}

/// The error for a file that is not overwritten without an option.
pub(crate) fn exists(path: &Path, option: &str) -> Failure {
    Failure(format!("{}: file exists; use {option} to overwrite it, or another name", url::shown_path(path)))
}

/// The error for a file that could not be written.
pub(crate) fn failure(path: &Path, error: &io::Error, option: &str) -> Failure {
    match error.kind() {
        ErrorKind::AlreadyExists => exists(path, option),
        _ => Failure(format!("{}: {error}", url::shown_path(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_if_it_should_be_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        replace(&file, b"1", false).unwrap();
        assert_eq!(replace(&file, b"2", false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        replace(&link, b"3", true).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"3");
        assert!(link.is_symlink());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Nothing else is left.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(replace(&folder.path().join("none/a"), b"", true).is_err());
    }
}
