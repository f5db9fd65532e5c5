//! The suite that every store has to pass, on each of ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dictrack::conformance::{Stores, check_stores};
use dictrack::store::DataStore;
use dictrack::{MemoryStore, SqliteStore};

#[derive(Default)]
struct InMemory(Mutex<HashMap<String, Arc<MemoryStore>>>);

#[async_trait]
impl Stores for InMemory {
    async fn open(&self, name: &str) -> Box<dyn DataStore> {
        Box::new(Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default()))
    }
}

/// SQLite files in a folder.
struct Files(tempfile::TempDir);

#[async_trait]
impl Stores for Files {
    async fn open(&self, name: &str) -> Box<dyn DataStore> {
        Box::new(SqliteStore::open(self.0.path().join(format!("{name}.db"))).unwrap())
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
