//! Every scenario of the repository, on the bare engine and on each store behind the memory cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::scenario::{Bare, Host, OnManager, Scenario};
use dictrack::{Manager, MemoryStore, SqliteStore, TestClock};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Runs every scenario of `folder` on a host of its own, which gets an empty folder.
fn all_pass(folder: &str, at_least: usize, mut host: impl FnMut(&Path) -> Box<dyn Host>) {
    let files = files(folder);
    assert!(files.len() >= at_least, "{} files in {folder}", files.len());
    let mut failures = Vec::new();
    for file in files {
        let text = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        match Scenario::parse(&text) {
            Ok(scenario) => {
                let folder = tempfile::tempdir().unwrap();
                let mismatches = scenario.run(&mut *host(folder.path()));
                failures.extend(mismatches.iter().map(|mismatch| format!("{name}: {mismatch}")));
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

fn on_manager(build: impl FnOnce(Arc<TestClock>) -> Manager) -> Box<dyn Host> {
    let clock = Arc::new(TestClock::default());
    Box::new(OnManager::new(build(Arc::clone(&clock)).blocking(), clock))
}

fn memory(_: &Path) -> Box<dyn Host> {
    on_manager(|clock| {
        pollster::block_on(Manager::builder().shared_clock(clock).store(MemoryStore::new()).open()).unwrap()
    })
}

fn sqlite(folder: &Path) -> Box<dyn Host> {
    let store = SqliteStore::open(folder.join("scenario.db")).unwrap();
    on_manager(|clock| pollster::block_on(Manager::builder().shared_clock(clock).store(store).open()).unwrap())
}

#[test]
fn golden_on_the_bare_engine() {
    all_pass("golden", 60, |_| Box::new(Bare::default()));
}

#[test]
fn golden_on_the_memory_store() {
    all_pass("golden", 60, memory);
}

#[test]
fn golden_on_sqlite() {
    all_pass("golden", 60, sqlite);
}

#[test]
fn laws_on_the_bare_engine() {
    all_pass("law", 100, |_| Box::new(Bare::default()));
}

#[test]
fn laws_on_the_memory_store() {
    all_pass("law", 100, memory);
}

#[test]
fn laws_on_sqlite() {
    all_pass("law", 100, sqlite);
}
