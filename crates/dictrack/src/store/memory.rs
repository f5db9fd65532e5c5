//! The memory store: keeps what a store keeps, for as long as the process lives.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{ContentHash, DefinitionSet, Engine, Group, GroupChange, Limits, TrackerDefinition};
use parking_lot::Mutex;

use super::record::{Record, restore_set, set_text};
use super::{DataStore, Mark};
use crate::Error;
use crate::durability::Durability;

/// A store in memory, in the stored form: what it gives back went through the same reading and writing as on disk.
///
/// Clones of its `Arc` outlive a manager, so that a test can reopen it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    groups: BTreeMap<String, Record>,
    sets: BTreeMap<ContentHash, String>,
    marks: BTreeMap<String, String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

const PLACE: &str = "the memory store";

#[async_trait]
impl DataStore for MemoryStore {
    async fn begin(&self, _: Durability, _: &Limits) -> Result<(), Error> {
        Ok(())
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let kept = self.kept.lock();
        let Some(record) = kept.groups.get(group) else { return Ok(None) };
        let find = |hash: ContentHash| -> Result<Option<Arc<DefinitionSet>>, Error> {
            if let Some(set) = engine.sets.find(hash) {
                return Ok(Some(set));
            }
            kept.sets.get(&hash).map(|text| restore_set(Path::new(PLACE), hash, text, engine)).transpose()
        };
        record.restore(Path::new(PLACE), group, &engine.limits, find).map(Some)
    }

    async fn save(&self, changes: &[GroupChange], marks: &[Mark]) -> Result<(), Error> {
        let mut kept = self.kept.lock();
        for change in changes {
            kept.sets.entry(change.set.hash()).or_insert_with(|| set_text(&change.set));
            kept.groups.entry(change.group.as_str().to_owned()).or_default().append(Record::of(change));
        }
        for mark in marks {
            match &mark.text {
                Some(text) => kept.marks.insert(mark.name.clone(), text.clone()),
                None => kept.marks.remove(&mark.name),
            };
        }
        Ok(())
    }

    async fn maintain(&self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let kept = self.kept.lock();
        Ok(kept.groups.range::<str, _>((from, Unbounded)).take(limit).map(|(group, _)| group.clone()).collect())
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        let engine = Engine::default();
        let mut pending = Vec::new();
        for group in self.groups(None, usize::MAX).await? {
            if self.load(&group, &engine).await?.is_some_and(|found| !found.undelivered().is_empty()) {
                pending.push(group);
            }
        }
        Ok(pending)
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        let engine = Engine::default();
        let kept = self.kept.lock();
        let mut all: Vec<Arc<TrackerDefinition>> = Vec::new();
        for (hash, text) in &kept.sets {
            let set = restore_set(Path::new(PLACE), *hash, text, &engine)?;
            all.extend(set.trackers().iter().cloned());
        }
        all.sort_by_key(|definition| definition.hash());
        all.dedup();
        Ok(all)
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        let kept = self.kept.lock();
        Ok(kept.marks.iter().map(|(name, text)| Mark { name: name.clone(), text: Some(text.clone()) }).collect())
    }

    async fn clear(&self) -> Result<(), Error> {
        *self.kept.lock() = Kept::default();
        Ok(())
    }
}
