//! The suites that every store and every cache must pass: the store on a standalone server and on a replica set, with
//! each cache in front of it.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dictrack::cache::DataCache;
use dictrack::conformance::{Caches, Stores, check_caches, check_stores};
use dictrack::store::DataStore;
use dictrack::{MongoStore, cache::MemoryCache};
use dictrack_testkit::{Mongo, RedisCluster, shared_mongodb, shared_redis};

use crate::common::fresh;
use crate::on_redis::OnRedis;

/// Collections of one database, one per store.
struct Collections {
    url: String,
    database: String,
    names: Mutex<HashMap<String, usize>>,
}

impl Collections {
    /// In a database that no other run uses, since the server may be the user's own.
    fn new(url: String) -> Self {
        Self { url, database: format!("dictrack_{}", fresh()), names: Mutex::default() }
    }
}

impl Drop for Collections {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = mongodb::Client::with_uri_str(&self.url).await.unwrap();
            client.database(&self.database).drop().await.unwrap();
        });
    }
}

#[async_trait]
impl Stores for Collections {
    async fn open(&self, name: &str) -> Box<dyn DataStore> {
        let number = {
            let mut names = self.names.lock().unwrap();
            let next = names.len();
            *names.entry(name.to_owned()).or_insert(next)
        };
        let store = MongoStore::builder(&self.url).database(&self.database).collection(format!("store{number}"));
        Box::new(store.open().await.unwrap())
    }
}

#[test]
fn the_store_conforms_on_a_server_that_stands_alone() {
    let mongo = Mongo::start();
    pollster::block_on(check_stores(&Collections::new(mongo.url())));
}

#[test]
fn the_store_conforms_on_a_replica_set() {
    pollster::block_on(check_stores(&Collections::new(shared_mongodb())));
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
fn the_memory_cache_conforms_before_mongodb() {
    pollster::block_on(check_caches(&InProcess, &Collections::new(shared_mongodb())));
}

#[test]
fn the_redis_cache_conforms_before_mongodb() {
    pollster::block_on(check_caches(&OnRedis::new(shared_redis()), &Collections::new(shared_mongodb())));
}

#[test]
fn the_redis_cache_conforms_on_a_cluster_before_mongodb() {
    let cluster = RedisCluster::start();
    pollster::block_on(check_caches(&OnRedis::new(cluster.url()), &Collections::new(shared_mongodb())));
}
