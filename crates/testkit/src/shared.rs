//! Servers for tests that only need one.

use std::env;
use std::sync::LazyLock;

use crate::{Mongo, Redis};

/// The Redis server that the environment names: `DICTRACK_TEST_REDIS_URL`.
pub fn test_redis_url() -> Option<String> {
    env::var("DICTRACK_TEST_REDIS_URL").ok().filter(|url| !url.is_empty())
}

/// The MongoDB server that the environment names: `DICTRACK_TEST_MONGODB_URL`.
pub fn test_mongodb_url() -> Option<String> {
    env::var("DICTRACK_TEST_MONGODB_URL").ok().filter(|url| !url.is_empty())
}

/// The URL of a Redis server for all tests of this process: [`test_redis_url`], or one that is started now and ends
/// with the process. Each test has to keep to keys of its own.
pub fn shared_redis() -> String {
    static SERVER: LazyLock<Redis> = LazyLock::new(Redis::start);
    test_redis_url().unwrap_or_else(|| SERVER.url())
}

/// The URL of a MongoDB server for all tests of this process: [`test_mongodb_url`], or a replica set of one that is
/// started now and ends with the process. Each test has to keep to a database of its own.
pub fn shared_mongodb() -> String {
    static SERVER: LazyLock<Mongo> = LazyLock::new(Mongo::replica_set);
    test_mongodb_url().unwrap_or_else(|| SERVER.url())
}
