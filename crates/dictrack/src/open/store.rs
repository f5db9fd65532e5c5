//! Stores by name.

use std::fmt;
use std::path::Path;
#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::{AddressError, MONGODB, OpenOptions, REDIS};
use crate::doctor::{Examination, Setup};
#[cfg(feature = "sqlite")]
use crate::executor;
use crate::store::DataStore;
#[cfg(feature = "mongodb")]
use crate::store::mongodb::{MongoStore, MongoStoreBuilder};
#[cfg(feature = "sqlite")]
use crate::store::sqlite::SqliteStore;
use crate::{Error, url};

/// SQLite gets this fraction of the memory for groups, in addition to it.
#[cfg(feature = "sqlite")]
const SQLITE_PART: usize = 4;

/// The name of a store: the path of an SQLite file, or the URL of a MongoDB database.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "sqlite")]
    File(PathBuf),
    #[cfg(feature = "mongodb")]
    Mongo(String),
}

impl StoreAddress {
    /// Reads the name of a store. Opens nothing yet.
    ///
    /// A text that looks like a URL is not taken for a file, even if it is mistyped. If a file has such a name, write
    /// `./` before it.
    ///
    /// # Errors
    /// An [`AddressError`] if it is the URL of something else, or of a store that this build does not include.
    pub fn parse(name: impl AsRef<Path>) -> Result<Self, AddressError> {
        let name = name.as_ref();
        let text = name.to_string_lossy();
        match url::scheme(&text) {
            Some(scheme) if MONGODB.contains(&scheme) => Self::of_url(&text),
            Some(scheme) => {
                let hint = if REDIS.contains(&scheme) { "; Redis is a cache, not a store" } else { "" };
                let shown = url::shown(&text);
                Err(bad(format!(
                    "{shown}: unknown scheme {scheme:?}; expected a file, mongodb://… or mongodb+srv://…{hint}"
                )))
            }
            None if url::is_meant(&text) => Err(bad(
                "looks like a URL with an unknown scheme; expected mongodb://…, mongodb+srv://… or a file; if it is a \
                 file, write ./ before its name"
                    .to_owned(),
            )),
            None => Self::of_file(name),
        }
    }

    #[cfg(feature = "sqlite")]
    fn of_file(name: &Path) -> Result<Self, AddressError> {
        Ok(Self::file(name))
    }

    #[cfg(not(feature = "sqlite"))]
    fn of_file(name: &Path) -> Result<Self, AddressError> {
        Err(bad(format!("{}: this build of dictrack does not include the feature \"sqlite\"", url::shown_path(name))))
    }

    #[cfg(feature = "mongodb")]
    fn of_url(url: &str) -> Result<Self, AddressError> {
        Ok(Self::mongodb(url))
    }

    #[cfg(not(feature = "mongodb"))]
    fn of_url(url: &str) -> Result<Self, AddressError> {
        Err(bad(format!("{}: this build of dictrack does not include the feature \"mongodb\"", url::shown(url))))
    }

    /// An SQLite file, even if its name looks like a URL.
    #[cfg(feature = "sqlite")]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// A MongoDB database by its URL, which is checked when the store is opened.
    #[cfg(feature = "mongodb")]
    pub fn mongodb(url: impl Into<String>) -> Self {
        Self(Kind::Mongo(url.into()))
    }

    /// The path, if the store is a file.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::File(path) => Some(path),
            #[cfg(feature = "mongodb")]
            Kind::Mongo(_) => None,
        }
    }

    /// Opens the store. Unless it is opened for reading only, a file that does not exist is created.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`](crate::SqliteStore::open) and
    /// [`MongoStoreBuilder::open`](crate::store::MongoStoreBuilder::open).
    pub async fn open(&self, options: &OpenOptions) -> Result<Arc<dyn DataStore>, Error> {
        Ok(match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::File(path) => {
                let (path, read_only, memory) = (path.clone(), options.read_only, options.memory);
                // Reading a file would block the thread of an executor.
                let open = executor::apart(async move {
                    let store = if read_only { SqliteStore::open_read_only(path)? } else { SqliteStore::open(path)? };
                    match memory {
                        Some(bytes) => store.budget(bytes / SQLITE_PART),
                        None => Ok(store),
                    }
                });
                Arc::new(open.await?)
            }
            #[cfg(feature = "mongodb")]
            Kind::Mongo(url) => Arc::new(mongodb(url, options).open().await?),
        })
    }

    /// Examines the store like [`DataStore::examine`]. If it cannot be opened, that is a finding.
    pub async fn examine(&self, setup: &Setup, progress: &mut (dyn FnMut(u64) + Send)) -> Examination {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::File(path) => SqliteStore::examine_file(path, setup, progress).await,
            #[cfg(feature = "mongodb")]
            Kind::Mongo(url) => match MongoStore::open(url).await {
                Ok(store) => store.examine(setup, progress).await,
                Err(error) => Examination::failed(format!("store {self}"), &error),
            },
        }
    }
}

fn bad(problem: String) -> AddressError {
    AddressError { what: "store", problem }
}

#[cfg(feature = "mongodb")]
fn mongodb(url: &str, options: &OpenOptions) -> MongoStoreBuilder {
    let mut builder = MongoStore::builder(url);
    if let Some(database) = &options.database {
        builder = builder.database(database);
    }
    if let Some(collection) = &options.collection {
        builder = builder.collection(collection);
    }
    if options.read_only { builder.read_only() } else { builder }
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// The name used in errors: a path, or a URL without login and options.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "sqlite")]
            Kind::File(path) => f.write_str(&url::shown_path(path)),
            #[cfg(feature = "mongodb")]
            Kind::Mongo(url) => f.write_str(&url::shown(url)),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreAddress").field(&format_args!("{self}")).finish()
    }
}
