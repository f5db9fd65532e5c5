//! Every scenario of the repository, on the bare engine and on each store behind the memory cache.

use std::path::Path;
use std::sync::Arc;

use dictrack::scenario::{Bare, Host, OnManager};
use dictrack::{Blocking, Manager, ManagerBuilder, SqliteStore, store::MemoryStore};

#[path = "common/replay.rs"]
mod replay;

use replay::{Setting, all_pass, laws_pass};

fn builder(setting: &Setting) -> ManagerBuilder {
    Manager::builder().zone(setting.zone).shared_clock(Arc::clone(&setting.clock) as _)
}

fn open(builder: ManagerBuilder) -> Blocking {
    pollster::block_on(builder.open()).unwrap().blocking()
}

fn on_manager(setting: &Setting, builder: ManagerBuilder) -> Box<dyn Host> {
    Box::new(OnManager::new(open(builder), Arc::clone(&setting.clock)))
}

/// A new manager for each step; `with` gives it the cache and the store.
fn restarted(setting: &Setting, mut with: impl FnMut(ManagerBuilder) -> ManagerBuilder + 'static) -> Box<dyn Host> {
    let (zone, clock) = (setting.zone, Arc::clone(&setting.clock));
    let next = move || open(with(Manager::builder().zone(zone).shared_clock(Arc::clone(&clock) as _)));
    Box::new(OnManager::restarted(next, Arc::clone(&setting.clock)))
}

fn bare(setting: &Setting) -> Box<dyn Host> {
    Box::new(Bare::in_zone(setting.zone))
}

fn memory(setting: &Setting) -> Box<dyn Host> {
    on_manager(setting, builder(setting).store(MemoryStore::new()))
}

fn sqlite(setting: &Setting) -> Box<dyn Host> {
    on_manager(setting, builder(setting).store(file(&setting.folder)))
}

fn file(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder.join("scenario.db")).unwrap()
}

#[test]
fn golden_on_the_bare_engine() {
    all_pass("golden", 60, bare);
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
    laws_pass(bare);
}

#[test]
fn laws_on_the_memory_store() {
    laws_pass(memory);
}

#[test]
fn laws_on_sqlite() {
    laws_pass(sqlite);
}

#[test]
fn laws_on_sqlite_across_restarts() {
    laws_pass(|setting| {
        let folder = setting.folder.clone();
        restarted(setting, move |builder| builder.store(file(&folder)))
    });
}

/// Redis as the cache, with a separate prefix for each scenario.
#[cfg(feature = "redis")]
mod redis {
    use dictrack::RedisCache;
    use dictrack::store::DataStore;
    use dictrack_testkit::{RedisCluster, shared_redis};

    use super::*;

    fn prefix() -> String {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        format!("scenario-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    fn cache(url: &str, prefix: &str) -> RedisCache {
        RedisCache::new(&format!("{url}?prefix={prefix}")).unwrap()
    }

    fn alone(setting: &Setting) -> Box<dyn Host> {
        on_manager(setting, builder(setting).cache(cache(&shared_redis(), &prefix())))
    }

    fn before_memory(url: &str, setting: &Setting) -> Box<dyn Host> {
        on_manager(setting, builder(setting).cache(cache(url, &prefix())).store(MemoryStore::new()))
    }

    fn before_sqlite(url: &str, setting: &Setting) -> Box<dyn Host> {
        on_manager(setting, builder(setting).cache(cache(url, &prefix())).store(file(&setting.folder)))
    }

    /// Each call goes to the next of three managers, which stand for three processes.
    fn in_turn(setting: &Setting) -> Box<dyn Host> {
        let store: Arc<dyn DataStore> = Arc::new(MemoryStore::new());
        let (url, prefix) = (shared_redis(), prefix());
        let one = |_| open(builder(setting).cache(cache(&url, &prefix)).store(Arc::clone(&store)));
        Box::new(OnManager::in_turn((0..3).map(one).collect(), Arc::clone(&setting.clock)))
    }

    #[test]
    fn golden_on_redis_alone() {
        all_pass("golden", 60, alone);
    }

    #[test]
    fn golden_on_redis_before_sqlite() {
        all_pass("golden", 60, |setting| before_sqlite(&shared_redis(), setting));
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
        laws_pass(|setting| before_memory(&shared_redis(), setting));
    }

    #[test]
    fn laws_on_redis_before_sqlite() {
        laws_pass(|setting| before_sqlite(&shared_redis(), setting));
    }

    #[test]
    fn golden_on_redis_before_the_memory_store() {
        all_pass("golden", 60, |setting| before_memory(&shared_redis(), setting));
    }

    #[test]
    fn all_on_a_cluster_before_the_memory_store() {
        let cluster = RedisCluster::start();
        all_pass("golden", 60, |setting| before_memory(&cluster.url(), setting));
        laws_pass(|setting| before_memory(&cluster.url(), setting));
    }

    #[test]
    fn all_on_a_cluster_before_sqlite() {
        let cluster = RedisCluster::start();
        all_pass("golden", 60, |setting| before_sqlite(&cluster.url(), setting));
        laws_pass(|setting| before_sqlite(&cluster.url(), setting));
    }

    #[test]
    fn laws_on_redis_alone_across_restarts() {
        laws_pass(|setting| {
            let (url, prefix) = (shared_redis(), prefix());
            restarted(setting, move |builder| builder.cache(cache(&url, &prefix)))
        });
    }

    #[test]
    fn laws_on_redis_before_the_memory_store_across_restarts() {
        laws_pass(|setting| {
            let (url, prefix) = (shared_redis(), prefix());
            let store: Arc<dyn DataStore> = Arc::new(MemoryStore::new());
            restarted(setting, move |builder| builder.cache(cache(&url, &prefix)).store(Arc::clone(&store)))
        });
    }

    #[test]
    fn laws_on_three_processes() {
        laws_pass(in_turn);
    }
}
