//! Caches by name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{AddressError, MONGODB, OpenOptions, REDIS};
use crate::cache::DataCache;
#[cfg(feature = "redis")]
use crate::cache::redis::RedisCache;
use crate::{Error, url};

/// The name of a cache that processes share: the URL of a Redis server or cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheAddress(String);

impl CacheAddress {
    /// Reads the URL of a cache. Does not connect yet.
    ///
    /// # Errors
    /// An [`AddressError`] if it is the URL of something else, or of a cache that this build does not include.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        const EXPECTED: &str = "expected redis://…, rediss://…, redis-cluster://… or rediss-cluster://…";
        let problem = match url::scheme(url) {
            Some(scheme) if REDIS.contains(&scheme) => return Self::of_url(url),
            Some(scheme) => {
                let hint = if MONGODB.contains(&scheme) { "; MongoDB is a store, not a cache" } else { "" };
                format!("{}: unknown scheme {scheme:?}; {EXPECTED}{hint}", url::shown(url))
            }
            None => format!("unknown scheme; {EXPECTED}"),
        };
        Err(AddressError { what: "cache", problem })
    }

    #[cfg(feature = "redis")]
    fn of_url(url: &str) -> Result<Self, AddressError> {
        Ok(Self::redis(url))
    }

    #[cfg(not(feature = "redis"))]
    fn of_url(url: &str) -> Result<Self, AddressError> {
        Err(Self(url.to_owned()).missing())
    }

    #[cfg(not(feature = "redis"))]
    fn missing(&self) -> AddressError {
        let problem = format!("{self}: this build of dictrack does not include the feature \"redis\"");
        AddressError { what: "cache", problem }
    }

    /// Redis by its URL, which is checked when the cache is opened.
    #[cfg(feature = "redis")]
    pub fn redis(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Opens the cache, which connects on its first call.
    ///
    /// # Errors
    /// The errors of [`RedisCache::new`](crate::RedisCache::new).
    #[cfg(feature = "redis")]
    pub fn open(&self, options: &OpenOptions) -> Result<Arc<dyn DataCache>, Error> {
        let cache = RedisCache::new(&self.0)?;
        Ok(Arc::new(match options.memory {
            Some(bytes) => cache.budget(bytes),
            None => cache,
        }))
    }

    /// Always fails, since this build does not include the feature `redis`.
    ///
    /// # Errors
    /// An error that says so.
    #[cfg(not(feature = "redis"))]
    pub fn open(&self, _: &OpenOptions) -> Result<Arc<dyn DataCache>, Error> {
        Err(self.missing().into())
    }
}

impl FromStr for CacheAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// The name used in errors: a URL without login and options.
impl fmt::Display for CacheAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url::shown(&self.0))
    }
}

impl fmt::Debug for CacheAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheAddress").field(&format_args!("{self}")).finish()
    }
}
