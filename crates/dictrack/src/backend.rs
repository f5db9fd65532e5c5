//! Failures of caches and stores.

use std::fmt;

use dictrack_core::custom::BoxError;

/// A failure of a cache or a store.
///
/// Its message says all that is known, so it has no [`source`](std::error::Error::source) that would repeat it.
#[derive(Debug)]
pub struct BackendError {
    /// `SQLite`, `Redis`, …
    pub backend: &'static str,
    /// What it was asked to do.
    pub action: String,
    /// The error that it reported.
    pub source: BoxError,
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not {}: {}", self.backend, self.action, self.source)
    }
}

impl std::error::Error for BackendError {}
