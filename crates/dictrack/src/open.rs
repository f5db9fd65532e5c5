//! Opens stores and caches by name: a file, `mongodb://…`, `redis://…`.
//!
//! ```no_run
//! use dictrack::open::{OpenOptions, StoreAddress};
//!
//! # async fn example() -> Result<(), dictrack::Error> {
//! let store = StoreAddress::parse("shop.db")?.open(&OpenOptions::default()).await?;
//! let manager = dictrack::Manager::builder().store(store).open().await?;
//! # drop(manager);
//! # Ok(())
//! # }
//! ```
//!
//! [`MongoStore::open`](crate::MongoStore::open) and [`RedisCache::new`](crate::RedisCache::new) describe the URLs and
//! their options. Errors and `Debug` never show a password.

use crate::Error;
use crate::backend::BackendError;

mod cache;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
mod store;

pub use cache::CacheAddress;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
pub use store::StoreAddress;

/// The schemes of MongoDB.
const MONGODB: [&str; 2] = ["mongodb", "mongodb+srv"];
/// The schemes of Redis.
const REDIS: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

/// Why a text is not the name of a store or a cache. It never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct AddressError {
    what: &'static str,
    problem: String,
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        BackendError { backend: "dictrack", action: format!("open the {}", error.what), source: error.into() }.into()
    }
}

/// How a store or a cache is opened.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Opens for reading only, even while another process writes.
    pub read_only: bool,
    /// The memory limit for groups in this process, in bytes. A Redis cache keeps its replicas within it; an SQLite
    /// store uses less memory for its file if the limit is below 1 GiB. Without it, their defaults apply.
    pub memory: Option<usize>,
    /// The MongoDB database; overrides the URL.
    pub database: Option<String>,
    /// The MongoDB collection; overrides the URL.
    pub collection: Option<String>,
}

impl OpenOptions {
    /// Opens for reading only, even while another process writes.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Limits the memory for groups in this process, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Uses this MongoDB database; overrides the URL.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Uses this MongoDB collection; overrides the URL.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }
}

#[cfg(all(test, feature = "sqlite", feature = "redis", feature = "mongodb", feature = "legacy"))]
mod tests;
