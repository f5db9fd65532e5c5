//! What can go wrong, by what the caller can do about it.

use std::path::Path;
use std::sync::Arc;

use dictrack_core::{DefinitionError, GroupError};

use crate::cache::BackendError;

/// Why a call did nothing, or why its effect is not known to be kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trackers of the group do not allow the call; nothing was changed.
    #[error("group {group:?}: {source}")]
    Group {
        /// The group.
        group: Box<str>,
        /// What does not fit.
        source: Box<GroupError>,
    },
    /// A definition is refused.
    #[error("{0}")]
    Definition(Box<DefinitionError>),
    /// A custom condition, measure or limiter called the manager.
    #[error("a custom condition, measure or limiter called the manager, which is busy with its group")]
    Reentrant,
    /// `flush` was not confirmed.
    #[error("flush empties the cache and the store for good; confirm it")]
    Unconfirmed,
    /// The manager was closed.
    #[error("the manager is closed")]
    Closed,
    /// The store failed earlier. What was acknowledged is kept; nothing is acknowledged any more.
    #[error("the store failed and nothing is acknowledged any more; reopen it to go on: {source}")]
    Stopped {
        /// The failure.
        source: Arc<BackendError>,
    },
    /// A cache or a store failed.
    #[error("{0}")]
    Backend(Arc<BackendError>),
    /// Another manager owns the store.
    #[error("{} is in use by process {pid} on {host}; one writer a store: stop that one, or share a Redis cache", path.display())]
    Owned {
        /// The store.
        path: Box<Path>,
        /// The owner's host.
        host: Box<str>,
        /// The owner's process id.
        pid: Box<str>,
    },
    /// A newer dictrack wrote the store.
    #[error("{} has storage format {found}; this dictrack reads up to {known}: use a newer dictrack", path.display())]
    NewerVersion {
        /// The store.
        path: Box<Path>,
        /// The version it has.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// Something in the store is not what dictrack writes; it is left as it is.
    #[error("{}: {place} cannot be read: {problem}; it is left untouched", path.display())]
    Corrupt {
        /// The store.
        path: Box<Path>,
        /// What is damaged.
        place: Box<str>,
        /// How.
        problem: Box<str>,
    },
}

impl Error {
    pub(crate) fn group(group: &str, source: GroupError) -> Self {
        Self::Group { group: group.into(), source: Box::new(source) }
    }

    /// Something in the store at `path` is damaged.
    #[cfg(any(feature = "memory", feature = "sqlite"))]
    pub(crate) fn corrupt(path: &Path, place: impl Into<String>, problem: impl Into<String>) -> Self {
        let (place, problem): (String, String) = (place.into(), problem.into());
        Self::Corrupt { path: path.into(), place: place.into(), problem: problem.into() }
    }

    /// The same failure as what stops a store from acknowledging.
    pub(crate) fn into_backend(self) -> Arc<BackendError> {
        match self {
            Self::Backend(error) | Self::Stopped { source: error } => error,
            other => Arc::new(BackendError { backend: "store", action: "save".to_owned(), source: Box::new(other) }),
        }
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        Self::Backend(Arc::new(error))
    }
}

impl From<DefinitionError> for Error {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(Box::new(error))
    }
}
