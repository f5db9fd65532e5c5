//! Every scenario of the repository on MongoDB, behind each cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dictrack::scenario::{OnManager, Scenario};
use dictrack::{Blocking, Manager, RedisCache, clock::TestClock};
use dictrack_testkit::{RedisCluster, shared_redis};

use crate::common::{fresh, manager, shared, store};

/// Most of the time is spent waiting.
const THREADS: usize = 4;

/// How many managers take turns with the calls of a scenario, like processes that share a cache.
const MANAGERS: usize = 3;

/// One manager with the memory cache.
fn memory(clock: &Arc<TestClock>) -> Vec<Blocking> {
    // A budget of zero: every step reads its group from the store.
    let builder = Manager::builder().shared_clock(Arc::clone(clock) as _).memory_budget(0);
    vec![manager(builder, store(shared(), &fresh()))]
}

/// Several managers that share a Redis.
fn redis(url: &str, clock: &Arc<TestClock>) -> Vec<Blocking> {
    let name = fresh();
    let one = |_| {
        let cache = RedisCache::new(&format!("{url}?prefix={name}")).unwrap();
        let builder = Manager::builder().shared_clock(Arc::clone(clock) as _).cache(cache);
        manager(builder, store(shared(), &name))
    };
    (0..MANAGERS).map(one).collect()
}

fn run(file: &Path, managers: &impl Fn(&Arc<TestClock>) -> Vec<Blocking>) -> Vec<String> {
    let scenario = Scenario::parse(&std::fs::read(file).unwrap()).unwrap();
    let clock = Arc::new(TestClock::default());
    let mismatches = scenario.run(&mut OnManager::in_turn(managers(&clock), clock));
    mismatches.iter().map(|mismatch| format!("{}: {mismatch}", file.display())).collect()
}

fn all_pass(folder: &str, at_least: usize, managers: impl Fn(&Arc<TestClock>) -> Vec<Blocking> + Sync) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    assert!(files.len() >= at_least, "{} files in {}", files.len(), folder.display());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(run(file, &managers));
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn golden_scenarios_hold() {
    all_pass("golden", 60, memory);
}

#[test]
fn laws_hold() {
    all_pass("law", 100, memory);
}

#[test]
fn golden_scenarios_hold_behind_redis() {
    let url = shared_redis();
    all_pass("golden", 60, |clock| redis(&url, clock));
}

#[test]
fn laws_hold_behind_redis() {
    let url = shared_redis();
    all_pass("law", 100, |clock| redis(&url, clock));
}

#[test]
fn golden_scenarios_hold_behind_a_cluster() {
    let cluster = RedisCluster::start();
    all_pass("golden", 60, |clock| redis(&cluster.url(), clock));
}

#[test]
fn laws_hold_behind_a_cluster() {
    let cluster = RedisCluster::start();
    all_pass("law", 100, |clock| redis(&cluster.url(), clock));
}
