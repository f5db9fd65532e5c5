//! What can go wrong, by what the caller can do about it.

#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
use std::fmt::Display;
use std::sync::Arc;

use dictrack_core::text::quoted;
use dictrack_core::{BoxError, DefinitionError, GroupError};

use crate::backend::BackendError;

/// Why a call did nothing, or why its effect is not known to be kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The trackers of the group do not allow the call; nothing was changed.
    #[error("group {}: {source}", quoted(group))]
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
    /// A cache or a store cannot be reached. What was acknowledged is written when it is back. Whether this call took
    /// effect is not known: a document with an id can be sent again.
    #[error("{}{}", .0, kept(.0))]
    Unavailable(Arc<BackendError>),
    /// The cache lost the group before the store had this change, which is gone: call again.
    #[error(
        "group {}: the cache lost this change before the store had it; it did not count: call again",
        quoted(group)
    )]
    Lost {
        /// The group.
        group: Box<str>,
    },
    /// Another process took the store over.
    #[error("{store} was taken over by process {pid} on {host}; this process writes nothing more")]
    TakenOver {
        /// The store.
        store: Box<str>,
        /// The owner's host.
        host: Box<str>,
        /// The owner's process id.
        pid: Box<str>,
    },
    /// Another manager owns the store.
    #[error("{store} is in use by process {pid} on {host}; one writer a store: stop that one, or share a Redis cache")]
    Owned {
        /// The store.
        store: Box<str>,
        /// The owner's host.
        host: Box<str>,
        /// The owner's process id.
        pid: Box<str>,
    },
    /// A newer dictrack wrote the store.
    #[error("{store} has storage format {found}; this dictrack reads up to {known}: use a newer dictrack")]
    NewerVersion {
        /// The store.
        store: Box<str>,
        /// The version it has.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// An older dictrack wrote the store, which is only open for reading.
    #[error(
        "{store} has storage format {found}, and reading needs format {known}: the next program that opens the store to \
         write migrates it"
    )]
    OlderVersion {
        /// The store.
        store: Box<str>,
        /// The version it has.
        found: i64,
        /// The version that can be read.
        known: i64,
    },
    /// What makes or changes the store was cut short by a kill or a power failure, and it is only open for reading.
    #[error(
        "{store} is unfinished: a kill or a power failure cut short what made or changed it; the next program that opens \
         it to write puts that right"
    )]
    Unfinished {
        /// The store.
        store: Box<str>,
    },
    /// Something in the store is not what dictrack writes; it is left as it is.
    #[error("{store}: {place} cannot be read: {problem}; it is left untouched")]
    Corrupt {
        /// The store.
        store: Box<str>,
        /// What is damaged.
        place: Box<str>,
        /// How.
        problem: Box<str>,
    },
}

/// Why a cache or a store could not be opened: nothing was acknowledged yet.
#[derive(Debug, thiserror::Error)]
#[error("{0}; nothing was opened: try again when it can be reached")]
struct Unopened(BoxError);

/// What becomes of acknowledged changes while a backend is away, if there can be some.
fn kept(error: &BackendError) -> &'static str {
    if error.source.is::<Unopened>() { "" } else { "; what was acknowledged is kept until it is back" }
}

impl Error {
    /// As a call says it that opens a cache or a store.
    pub(crate) fn at_opening(self) -> Self {
        match self {
            Self::Unavailable(error) if !error.source.is::<Unopened>() => {
                let source = Box::new(Unopened(error.source.to_string().into()));
                let BackendError { backend, action, .. } = &*error;
                Self::Unavailable(Arc::new(BackendError { backend, action: action.clone(), source }))
            }
            other => other,
        }
    }

    pub(crate) fn group(group: &str, source: GroupError) -> Self {
        Self::Group { group: group.into(), source: Box::new(source) }
    }

    /// Something in `store` is damaged.
    #[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
    pub(crate) fn corrupt(store: impl Display, place: impl Into<String>, problem: impl Into<String>) -> Self {
        let (place, problem): (String, String) = (place.into(), problem.into());
        Self::Corrupt { store: store.to_string().into(), place: place.into(), problem: problem.into() }
    }

    /// Whether the same call may do when the backend is back.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The same failure as what stops a store from acknowledging.
    pub(crate) fn into_backend(self) -> Arc<BackendError> {
        match self {
            Self::Backend(error) | Self::Unavailable(error) | Self::Stopped { source: error } => error,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_connect_that_fails_does_not_speak_of_acknowledged_changes() {
        let away = || {
            let source = "connection refused".into();
            Error::Unavailable(Arc::new(BackendError { backend: "Redis", action: "connect".to_owned(), source }))
        };
        assert!(away().to_string().ends_with("connection refused; what was acknowledged is kept until it is back"));
        let opening = away().at_opening().at_opening();
        assert!(opening.is_temporary());
        let expected =
            "Redis could not connect: connection refused; nothing was opened: try again when it can be reached";
        assert_eq!(opening.to_string(), expected);
    }

    #[test]
    fn a_long_or_hostile_id_is_shown_short_and_escaped() {
        let error = Error::Lost { group: format!("a\n\u{202e}{}", "x".repeat(1 << 20)).into() };
        let text = error.to_string();
        assert!(text.starts_with("group \"a\\n\\u{202e}xxx") && text.len() < 400, "{}", text.len());
    }
}
