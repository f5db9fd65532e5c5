//! Where groups live while documents come.

use std::fmt::Debug;

use async_trait::async_trait;
use dictrack_core::{BoxError, Engine, Group, GroupChange};

use crate::Error;

pub mod memory;

/// A failure of a cache or a store.
#[derive(Debug, thiserror::Error)]
#[error("{backend} could not {action}: {source}")]
pub struct BackendError {
    /// `SQLite`, `Redis`, …
    pub backend: &'static str,
    /// What it was asked for.
    pub action: String,
    /// What it said.
    pub source: BoxError,
}

/// Whether a step changed its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The group is as it was.
    Unchanged,
    /// The group changed and has to be kept.
    Changed,
}

/// Supplies groups that a cache does not hold.
#[async_trait]
pub trait Load: Send + Sync {
    /// The stored group, or `None` if the store has none of that id.
    ///
    /// # Errors
    /// Whatever the store fails with.
    async fn load(&self, group: &str) -> Result<Option<Group>, Error>;
}

/// Where groups live while documents come.
///
/// A cache never calls the store or the manager: what it lacks it asks of `load`, and what has to be kept it hands out
/// by [`collect`](Self::collect).
#[async_trait]
pub trait DataCache: Send + Sync + Debug {
    /// Runs `step` on the newest state of `group`, atomically with respect to every other user of this cache, and
    /// keeps its result.
    ///
    /// `step` may run more than once; only the last run counts. If the cache does not hold the group, `load` supplies
    /// it; if there is none either, the step gets a blank one, which is kept only if it changes.
    ///
    /// # Errors
    /// A failure of the cache or of `load`; then nothing has changed.
    async fn update(
        &self,
        group: &str,
        load: &dyn Load,
        step: &mut (dyn for<'g> FnMut(&'g mut Group) -> Step + Send),
    ) -> Result<(), Error>;

    /// Runs `step` as [`update`](Self::update) does, if that needs no waiting: the cache holds the group here and now.
    /// `false` if it does not, and then nothing has happened.
    fn update_now(&self, group: &str, step: &mut (dyn for<'g> FnMut(&'g mut Group) -> Step + Send)) -> bool;

    /// Shows the newest state of `group` to `view`; a blank one if there is none.
    ///
    /// # Errors
    /// A failure of the cache or of `load`.
    async fn view(
        &self,
        group: &str,
        load: &dyn Load,
        view: &mut (dyn for<'g> FnMut(&'g Group) + Send),
    ) -> Result<(), Error>;

    /// Takes what changed since it was last collected, each group once.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn collect(&self, engine: &Engine) -> Result<Vec<GroupChange>, Error>;

    /// Learns that the store holds these versions; such groups may be dropped when memory is short.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn stored(&self, versions: &[(compact_str::CompactString, u64)]) -> Result<(), Error>;

    /// Shows every group that the cache holds to `visit`, in no order.
    fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send));

    /// Whether a group was dropped since the cache was made: then one that the cache lacks may be in the store.
    fn has_dropped(&self) -> bool;

    /// Drops every group.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn clear(&self) -> Result<(), Error>;
}
