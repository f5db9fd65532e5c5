//! Closing a manager.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::Manager;
use crate::{Error, executor};

impl Manager {
    /// Writes everything and closes the manager; further calls fail with [`Error::Closed`].
    ///
    /// # Errors
    /// The failure of the store, if not everything could be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.check_reentrant()?;
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Err(error) = self.deliver_earlier().await {
            tracing::error!(%error, "events of an earlier run were not delivered");
        }
        if self.shared.committer.is_none() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        executor::apart(async move { shared.committer.as_ref().map_or(Ok(()), |committer| committer.close()) }).await
    }
}
