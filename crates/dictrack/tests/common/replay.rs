//! Replaying the scenarios of the repository, for the suites that run them.
#![allow(dead_code, reason = "each suite uses some of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dictrack::Zone;
use dictrack::clock::TestClock;
use dictrack::scenario::{Host, Scenario};

/// How many scenarios run at the same time. With a server or a file, most of the time is spent waiting.
const THREADS: usize = 4;

/// What a host of one scenario is made from.
pub(crate) struct Setting {
    /// The zone of its managers.
    pub zone: Zone,
    /// The clock of its managers.
    pub clock: Arc<TestClock>,
    /// An empty folder, which is removed after the scenario.
    pub folder: PathBuf,
}

/// Runs every scenario of `folder` on a host of its own.
pub(crate) fn all_pass(folder: &str, at_least: usize, host: impl Fn(&Setting) -> Box<dyn Host> + Sync) {
    let files = files(folder);
    assert!(files.len() >= at_least, "{} files in {folder}", files.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(run(file, &host));
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// Runs the scenarios that specify the behaviour of dictrack.
pub(crate) fn laws_pass(host: impl Fn(&Setting) -> Box<dyn Host> + Sync) {
    all_pass("law", 100, &host);
    all_pass("time", 80, &host);
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn run(file: &Path, host: impl Fn(&Setting) -> Box<dyn Host>) -> Vec<String> {
    let name = file.file_name().unwrap().to_string_lossy();
    let scenario = match Scenario::parse(&std::fs::read(file).unwrap()) {
        Ok(scenario) => scenario,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let folder = tempfile::tempdir().unwrap();
    let setting =
        Setting { zone: scenario.zone(), clock: Arc::new(TestClock::default()), folder: folder.path().to_owned() };
    let mismatches = scenario.run(&mut *host(&setting));
    mismatches.iter().map(|mismatch| format!("{name}: {mismatch}")).collect()
}
