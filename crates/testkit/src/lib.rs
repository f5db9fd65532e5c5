//! Real servers for tests: Redis and MongoDB, started on free ports and ended with the test, and a proxy that breaks
//! connections.
//!
//! `scripts/setup tests` installs the servers: Redis 7 and MongoDB 6. `DICTRACK_TEST_REDIS_SERVER` names another
//! `redis-server`, `DICTRACK_TEST_MONGOD` another `mongod`. A test whose server is missing fails and says so;
//! none is skipped.
//!
//! - [`Redis`], [`RedisCluster`] and [`Mongo`] start servers of a test's own, which it may kill, stop and fill.
//! - [`shared_redis`] and [`shared_mongodb`] are for tests that only need a server. `DICTRACK_TEST_REDIS_URL` and
//!   `DICTRACK_TEST_MONGODB_URL` name servers to use instead.
//! - [`Proxy`] stands between a client and a server, and loses what it is told to.
//!
//! Everything blocks and works in threads of its own, also when it is called from asynchronous code. What goes wrong
//! panics: a test has no better answer. Servers end when they are dropped, and also when the test's process ends in any
//! other way. Linux only.
//!
//! `cargo run -p dictrack-testkit` starts both servers and prints their URLs, for looking around by hand.

mod certificate;
mod cluster;
mod directory;
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
pub use crate::mongo::Mongo;
pub use crate::proxy::Proxy;
pub use crate::redis::{Redis, RedisBuilder};
pub use crate::shared::{shared_mongodb, shared_redis, test_mongodb_url, test_redis_url};
pub use crate::wait::eventually;
