//! The suite that every store has to pass, on a server that stands alone and on a replica set.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use dictrack::MongoStore;
use dictrack::conformance::{Stores, check_stores};
use dictrack::store::DataStore;
use dictrack_testkit::{Mongo, shared_mongodb};

use crate::common::fresh;

/// Collections of one database, one a store.
struct Collections {
    url: String,
    database: String,
    names: Mutex<HashMap<String, usize>>,
}

impl Collections {
    /// In a database that no other run has, since the server may be the user's own.
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
