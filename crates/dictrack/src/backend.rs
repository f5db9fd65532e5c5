//! Failures of caches and stores.

use dictrack_core::BoxError;

/// A failure of a cache or a store.
#[derive(Debug, thiserror::Error)]
#[error("{backend} could not {action}: {source}")]
pub struct BackendError {
    /// `SQLite`, `Redis`, …
    pub backend: &'static str,
    /// What it was asked to do.
    pub action: String,
    /// The error that it reported.
    pub source: BoxError,
}
