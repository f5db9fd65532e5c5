//! Caches on a Redis, for the suite.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dictrack::RedisCache;
use dictrack::cache::DataCache;
use dictrack::conformance::Caches;

/// Prefixes on one server, one per cache, that no other run uses: the server may be the user's own.
pub(crate) struct OnRedis {
    url: String,
    prefixes: Mutex<HashMap<String, String>>,
}

impl OnRedis {
    pub(crate) fn new(url: String) -> Self {
        Self { url, prefixes: Mutex::default() }
    }
}

#[async_trait]
impl Caches for OnRedis {
    async fn open(&self, name: &str) -> Box<dyn DataCache> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let fresh = || format!("suite{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let prefix = self.prefixes.lock().unwrap().entry(name.to_owned()).or_insert_with(fresh).clone();
        Box::new(RedisCache::new(&format!("{}?prefix={prefix}", self.url)).unwrap())
    }
}
