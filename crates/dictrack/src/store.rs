//! Where groups are kept.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{Engine, Group, GroupChange, Limits, TrackerDefinition};

use crate::Error;
use crate::durability::Durability;

#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "memory", feature = "sqlite"))]
pub(crate) mod record;
#[cfg(feature = "sqlite")]
pub mod sqlite;

/// A note that is kept with the changes of a commit, such as how far an input was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its name; a mark of the same name is replaced.
    pub name: String,
    /// Its text; `None` removes the mark.
    pub text: Option<String>,
}

/// Where groups are kept.
///
/// A store never calls a cache or the manager. It has one owner at a time, or checks versions.
#[async_trait]
pub trait DataStore: Send + Sync + Debug {
    /// Learns how the manager wants changes kept, and within which bounds, before the first of them.
    ///
    /// # Errors
    /// A failure of the store.
    async fn begin(&self, durability: Durability, limits: &Limits) -> Result<(), Error>;

    /// The group, or `None` if there is none of that id.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the record is not what dictrack writes, else a failure of the store.
    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error>;

    /// Keeps all of `changes` and `marks`, with the durability begun: together where the store can, and never a part
    /// of one group.
    ///
    /// # Errors
    /// A failure of the store. It is not known then what was kept, and the call must not be repeated.
    async fn save(&self, changes: &[GroupChange], marks: &[Mark]) -> Result<(), Error>;

    /// Does the work that was put off, such as bringing readable tables up to date. Called every few seconds, when
    /// nothing else is to be done, and before the end (`all`: leave nothing).
    ///
    /// # Errors
    /// A failure of the store.
    async fn maintain(&self, all: bool) -> Result<(), Error>;

    /// At most `limit` group ids in order, those behind `after`.
    ///
    /// # Errors
    /// A failure of the store.
    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error>;

    /// The groups with events that were not delivered.
    ///
    /// # Errors
    /// A failure of the store.
    async fn undelivered(&self) -> Result<Vec<String>, Error>;

    /// The distinct definitions in use.
    ///
    /// # Errors
    /// A failure of the store.
    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error>;

    /// Every mark, in the order of their names.
    ///
    /// # Errors
    /// A failure of the store.
    async fn marks(&self) -> Result<Vec<Mark>, Error>;

    /// Removes every group and mark.
    ///
    /// # Errors
    /// A failure of the store.
    async fn clear(&self) -> Result<(), Error>;
}

#[async_trait]
impl<T: DataStore + ?Sized> DataStore for Arc<T> {
    async fn begin(&self, durability: Durability, limits: &Limits) -> Result<(), Error> {
        (**self).begin(durability, limits).await
    }
    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        (**self).load(group, engine).await
    }
    async fn save(&self, changes: &[GroupChange], marks: &[Mark]) -> Result<(), Error> {
        (**self).save(changes, marks).await
    }
    async fn maintain(&self, all: bool) -> Result<(), Error> {
        (**self).maintain(all).await
    }
    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        (**self).groups(after, limit).await
    }
    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        (**self).undelivered().await
    }
    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        (**self).definitions().await
    }
    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        (**self).marks().await
    }
    async fn clear(&self) -> Result<(), Error> {
        (**self).clear().await
    }
}
