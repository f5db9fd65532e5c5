//! Every scenario of the repository, on the bare engine and on each store behind the memory cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dictrack::scenario::{Bare, Host, OnManager, Scenario};
use dictrack::{Manager, SqliteStore, Zone, clock::TestClock, store::MemoryStore};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Runs every scenario of `folder` on its own host, which gets an empty folder.
fn all_pass(folder: &str, at_least: usize, mut host: impl FnMut(&Path, Zone) -> Box<dyn Host>) {
    let files = files(folder);
    assert!(files.len() >= at_least, "{} files in {folder}", files.len());
    let mut failures = Vec::new();
    for file in files {
        let text = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        match Scenario::parse(&text) {
            Ok(scenario) => {
                let folder = tempfile::tempdir().unwrap();
                let mismatches = scenario.run(&mut *host(folder.path(), scenario.zone()));
                failures.extend(mismatches.iter().map(|mismatch| format!("{name}: {mismatch}")));
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// Runs what specifies the behaviour of dictrack.
fn laws_pass(mut host: impl FnMut(&Path, Zone) -> Box<dyn Host>) {
    all_pass("law", 100, &mut host);
    all_pass("time", 80, host);
}

fn on_manager(build: impl FnOnce(Arc<TestClock>) -> Manager) -> Box<dyn Host> {
    let clock = Arc::new(TestClock::default());
    Box::new(OnManager::new(build(Arc::clone(&clock)).blocking(), clock))
}

fn memory(_: &Path, zone: Zone) -> Box<dyn Host> {
    on_manager(|clock| {
        pollster::block_on(Manager::builder().zone(zone).shared_clock(clock).store(MemoryStore::new()).open()).unwrap()
    })
}

fn sqlite(folder: &Path, zone: Zone) -> Box<dyn Host> {
    let store = SqliteStore::open(folder.join("scenario.db")).unwrap();
    on_manager(|clock| {
        pollster::block_on(Manager::builder().zone(zone).shared_clock(clock).store(store).open()).unwrap()
    })
}

#[test]
fn golden_on_the_bare_engine() {
    all_pass("golden", 60, |_, zone| Box::new(Bare::in_zone(zone)));
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
    laws_pass(|_, zone| Box::new(Bare::in_zone(zone)));
}

#[test]
fn laws_on_the_memory_store() {
    laws_pass(memory);
}

#[test]
fn laws_on_sqlite() {
    laws_pass(sqlite);
}

/// Redis as the cache, with a separate prefix for each scenario.
#[cfg(feature = "redis")]
mod redis {
    use dictrack::store::DataStore;
    use dictrack::{ManagerBuilder, RedisCache};
    use dictrack_testkit::{RedisCluster, shared_redis};

    use super::*;

    fn prefix() -> String {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("scenario-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    fn cached(url: &str, prefix: &str, builder: ManagerBuilder) -> Manager {
        let cache = RedisCache::new(&format!("{url}?prefix={prefix}")).unwrap();
        pollster::block_on(builder.cache(cache).open()).unwrap()
    }

    fn alone(_: &Path, zone: Zone) -> Box<dyn Host> {
        on_manager(|clock| cached(&shared_redis(), &prefix(), Manager::builder().zone(zone).shared_clock(clock)))
    }

    fn before_memory(url: &str, zone: Zone) -> Box<dyn Host> {
        on_manager(|clock| {
            cached(url, &prefix(), Manager::builder().zone(zone).shared_clock(clock).store(MemoryStore::new()))
        })
    }

    fn before_sqlite(url: &str, folder: &Path, zone: Zone) -> Box<dyn Host> {
        let store = SqliteStore::open(folder.join("scenario.db")).unwrap();
        on_manager(|clock| cached(url, &prefix(), Manager::builder().zone(zone).shared_clock(clock).store(store)))
    }

    /// Each call goes to the next of three managers, which stand for three processes.
    fn in_turn(_: &Path, zone: Zone) -> Box<dyn Host> {
        let store: Arc<dyn DataStore> = Arc::new(MemoryStore::new());
        let prefix = prefix();
        let clock = Arc::new(TestClock::default());
        let managers = (0..3).map(|_| {
            let (clock, store) = (Arc::clone(&clock), Arc::clone(&store));
            cached(&shared_redis(), &prefix, Manager::builder().zone(zone).shared_clock(clock).store(store)).blocking()
        });
        Box::new(OnManager::in_turn(managers.collect(), clock))
    }

    #[test]
    fn golden_on_redis_alone() {
        all_pass("golden", 60, alone);
    }

    #[test]
    fn golden_on_redis_before_sqlite() {
        all_pass("golden", 60, |folder, zone| before_sqlite(&shared_redis(), folder, zone));
    }

    #[test]
    fn golden_on_three_processes() {
        all_pass("golden", 60, in_turn);
    }

    #[test]
    fn laws_on_redis_alone() {
        laws_pass(alone);
    }

    #[test]
    fn laws_on_redis_before_the_memory_store() {
        laws_pass(|_, zone| before_memory(&shared_redis(), zone));
    }

    #[test]
    fn laws_on_redis_before_sqlite() {
        laws_pass(|folder, zone| before_sqlite(&shared_redis(), folder, zone));
    }

    #[test]
    fn golden_on_redis_before_the_memory_store() {
        all_pass("golden", 60, |_, zone| before_memory(&shared_redis(), zone));
    }

    #[test]
    fn all_on_a_cluster_before_the_memory_store() {
        let cluster = RedisCluster::start();
        all_pass("golden", 60, |_, zone| before_memory(&cluster.url(), zone));
        laws_pass(|_, zone| before_memory(&cluster.url(), zone));
    }

    #[test]
    fn all_on_a_cluster_before_sqlite() {
        let cluster = RedisCluster::start();
        all_pass("golden", 60, |folder, zone| before_sqlite(&cluster.url(), folder, zone));
        laws_pass(|folder, zone| before_sqlite(&cluster.url(), folder, zone));
    }

    #[test]
    fn laws_on_three_processes() {
        laws_pass(in_turn);
    }
}
