//! A store that shows what another one holds and keeps nothing.

use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{
    TrackerDefinition,
    group::{Engine, Group, Limits},
};

use super::{Claimed, DataStore, Held, Mark, Refused, Unsaved, Writers};
use crate::Error;
use crate::durability::Durability;

/// Reads from another store, which may be open for reading only. What is saved is forgotten, so a manager must hold every group
/// that it changes: give it an unlimited [memory budget](crate::ManagerBuilder::memory_budget) and let it
/// [commit by hand](crate::ManagerBuilder::commit_by_hand), or use [`Manager::dry`](crate::Manager::dry).
#[derive(Debug)]
pub struct DryStore(Arc<dyn DataStore>);

impl DryStore {
    /// Begins with what `store` holds.
    pub fn new(store: Arc<dyn DataStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl DataStore for DryStore {
    fn is_remote(&self) -> bool {
        self.0.is_remote()
    }

    async fn begin(&self, _: Durability, _: &Limits, _: Writers) -> Result<bool, Error> {
        Ok(false)
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        self.0.load(group, engine).await
    }

    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
        Ok(Claimed { group: self.0.load(group, engine).await?, claim: 0 })
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        self.0.held(group).await
    }

    async fn save(&self, _: &[Unsaved], _: &[Mark]) -> Result<Vec<Refused>, Error> {
        Ok(Vec::new())
    }

    async fn maintain(&self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        self.0.groups(after, limit).await
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        self.0.definitions().await
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        self.0.marks().await
    }

    async fn clear(&self) -> Result<(), Error> {
        Ok(())
    }
}
