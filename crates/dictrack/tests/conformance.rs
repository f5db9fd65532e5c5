//! The suites that every store and every cache must pass, run on each of ours and on each pair. Those with MongoDB are
//! in `tests/mongodb`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dictrack::cache::DataCache;
use dictrack::conformance::{Caches, Stores, check_caches, check_stores};
use dictrack::store::DataStore;
use dictrack::{SqliteStore, cache::MemoryCache, store::MemoryStore};

#[derive(Default)]
struct InMemory(Mutex<HashMap<String, Arc<MemoryStore>>>);

#[async_trait]
impl Stores for InMemory {
    async fn open(&self, name: &str) -> Box<dyn DataStore> {
        Box::new(Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default()))
    }
}

#[cfg(feature = "redis")]
#[path = "common/on_redis.rs"]
mod on_redis;

/// SQLite files in a folder.
struct Files(tempfile::TempDir);

#[async_trait]
impl Stores for Files {
    async fn open(&self, name: &str) -> Box<dyn DataStore> {
        Box::new(SqliteStore::open(self.0.path().join(format!("{name}.db"))).unwrap())
    }
}

/// Memory caches, a new one each time.
struct InProcess;

#[async_trait]
impl Caches for InProcess {
    async fn open(&self, _: &str) -> Box<dyn DataCache> {
        Box::new(MemoryCache::new())
    }
}

#[test]
fn the_memory_store_conforms() {
    pollster::block_on(check_stores(&InMemory::default()));
}

#[test]
fn the_sqlite_store_conforms() {
    pollster::block_on(check_stores(&Files(tempfile::tempdir().unwrap())));
}

#[test]
fn the_memory_cache_conforms_before_the_memory_store() {
    pollster::block_on(check_caches(&InProcess, &InMemory::default()));
}

#[test]
fn the_memory_cache_conforms_before_sqlite() {
    pollster::block_on(check_caches(&InProcess, &Files(tempfile::tempdir().unwrap())));
}

#[cfg(feature = "redis")]
mod redis {
    use dictrack_testkit::{RedisCluster, shared_redis};

    use super::*;
    use crate::on_redis::OnRedis;

    #[test]
    fn the_redis_cache_conforms_before_the_memory_store() {
        pollster::block_on(check_caches(&OnRedis::new(shared_redis()), &InMemory::default()));
    }

    #[test]
    fn the_redis_cache_conforms_before_sqlite() {
        let files = Files(tempfile::tempdir().unwrap());
        pollster::block_on(check_caches(&OnRedis::new(shared_redis()), &files));
    }

    #[test]
    fn the_redis_cache_conforms_on_a_cluster_before_the_memory_store() {
        let cluster = RedisCluster::start();
        pollster::block_on(check_caches(&OnRedis::new(cluster.url()), &InMemory::default()));
    }

    #[test]
    fn the_redis_cache_conforms_on_a_cluster_before_sqlite() {
        let (cluster, files) = (RedisCluster::start(), Files(tempfile::tempdir().unwrap()));
        pollster::block_on(check_caches(&OnRedis::new(cluster.url()), &files));
    }
}
