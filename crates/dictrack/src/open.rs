//! Opening stores and caches by what people call them: a file, `mongodb://…`, `redis://…`.
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
//! What a URL may say beyond its server, such as the option `password_file`, is described by
//! [`MongoStore::open`](crate::MongoStore::open) and [`RedisCache::new`](crate::RedisCache::new). No error and no `Debug` shows a
//! password.

use crate::Error;
use crate::backend::BackendError;

#[cfg(feature = "redis")]
mod cache;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
mod store;

#[cfg(feature = "redis")]
pub use cache::CacheAddress;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
pub use store::StoreAddress;

/// The schemes of MongoDB.
const MONGODB: [&str; 2] = ["mongodb", "mongodb+srv"];
/// The schemes of Redis.
const REDIS: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

/// Why a text does not name a store or a cache. It repeats no password.
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
    /// Whether to look only, also beside a running writer.
    pub read_only: bool,
    /// How many bytes of this process groups may take. A Redis cache keeps its replicas within them; an SQLite store takes
    /// less for its file where they are less than 1 GiB. If this is not given, the cache's own default applies.
    pub memory: Option<usize>,
    /// The database of MongoDB, whatever the URL says.
    pub database: Option<String>,
    /// The collection of MongoDB, whatever the URL says.
    pub collection: Option<String>,
}

impl OpenOptions {
    /// Looks only, also beside a running writer.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Bounds the bytes of this process that groups may take.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Uses this database of MongoDB, whatever the URL says.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Uses this collection of MongoDB, whatever the URL says.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }
}

#[cfg(all(test, feature = "sqlite", feature = "redis", feature = "mongodb", feature = "legacy"))]
mod tests;
