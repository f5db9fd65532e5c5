//! Real servers for tests: Redis and MongoDB, started on free ports and stopped with the test, and a proxy that breaks
//! connections.
//!
//! `scripts/setup tests` installs the servers: Redis 7 and MongoDB 6. To use others, set `DICTRACK_TEST_REDIS_SERVER` to a
//! `redis-server` and `DICTRACK_TEST_MONGOD` to a `mongod`. If its server is missing, a test fails; it is never skipped.
//!
//! - [`Redis`], [`RedisCluster`] and [`Mongo`] start servers for a single test, which may kill, stop and fill them.
//! - [`shared_redis`] and [`shared_mongodb`] are for tests that only need a server. `DICTRACK_TEST_REDIS_URL` and
//!   `DICTRACK_TEST_MONGODB_URL` name servers to use instead.
//! - [`Http`] is a client of HTTP that sends what it is told to, valid or not.
//! - [`Proxy`] sits between a client and a server, and drops what it is told to.
//!
//! All calls block and use their own threads, so they also work in asynchronous code. Failures panic. Servers stop when they
//! are dropped, and when the process of the test ends in any other way. Linux only.
//!
//! `cargo run -p dictrack-testkit` starts both servers and prints their URLs, for experiments.

mod certificate;
mod cluster;
mod directory;
mod http;
mod mongo;
mod port;
mod process;
mod proxy;
mod redis;
mod shared;
mod url;
mod wait;

pub use mongodb::bson;

pub use crate::cluster::{RedisCluster, SlotMigration};
pub use crate::http::{Http, Reply};
pub use crate::mongo::Mongo;
pub use crate::proxy::Proxy;
pub use crate::redis::{Redis, RedisBuilder};
pub use crate::shared::{shared_mongodb, shared_redis, test_mongodb_url, test_redis_url};
pub use crate::wait::eventually;
