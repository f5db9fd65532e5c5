//! What every cache and every store can say of a failure.

use dictrack_core::BoxError;

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
