//! Directories of servers, including those left by killed tests.

use std::path::Path;
use std::sync::Once;
use std::{env, fs, process};

use tempfile::TempDir;

const PREFIX: &str = "dictrack-test-";

/// Creates a directory that is removed on drop.
///
/// A process that is killed, or that keeps a server until it exits, leaves its directories behind. The next process removes
/// them, since their names have the process id.
pub(crate) fn make() -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir()
        .expect("a temporary directory can be created")
}

fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // It may belong to another user, or another test may be removing it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
