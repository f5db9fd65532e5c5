//! The memory store: what a store keeps, for as long as the process lives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{
    TrackerDefinition,
    group::{ContentHash, DefinitionSet, Engine, Group, GroupChange, Limits},
};
use parking_lot::Mutex;

use super::record::{Record, restore_set, set_text};
use super::{Claimed, DataStore, Held, Mark, Refused, Unsaved, Writers, read_some};
use crate::Error;
use crate::doctor::{Examination, Setup};
use crate::durability::Durability;

/// A store in memory, in the stored form: everything goes through the same reading and writing as on disk.
///
/// It outlives a manager if the caller keeps a clone of its `Arc`, so that a test can reopen it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    groups: BTreeMap<String, Record>,
    sets: BTreeMap<ContentHash, String>,
    marks: BTreeMap<String, String>,
    /// The last claim of each group; with one writer there are no claims.
    claims: HashMap<String, u64>,
    claims_groups: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

const PLACE: &str = "the memory store";

impl Kept {
    fn held(&self, group: &str) -> Held {
        Held {
            version: self.groups.get(group).map_or(0, |record| record.version),
            claim: self.claims.get(group).copied().unwrap_or(0),
        }
    }

    fn keep(&mut self, change: &GroupChange) {
        self.sets.entry(change.set.hash()).or_insert_with(|| set_text(&change.set));
        let record = self.groups.entry(change.group.as_str().to_owned()).or_default();
        match change.base {
            Some(_) => record.append(Record::of(change)),
            None => *record = Record::of(change),
        }
    }
}

#[async_trait]
impl DataStore for MemoryStore {
    fn is_remote(&self) -> bool {
        false
    }

    async fn begin(&self, _: Durability, _: &Limits, writers: Writers) -> Result<bool, Error> {
        let mut kept = self.kept.lock();
        kept.claims_groups = writers == Writers::Many;
        Ok(kept.groups.is_empty() && writers == Writers::One)
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let kept = self.kept.lock();
        let Some(record) = kept.groups.get(group) else { return Ok(None) };
        let find = |hash: ContentHash| -> Result<Option<Arc<DefinitionSet>>, Error> {
            if let Some(set) = engine.sets.find(hash) {
                return Ok(Some(set));
            }
            kept.sets.get(&hash).map(|text| restore_set(PLACE, hash, text, engine)).transpose()
        };
        record.clone().restore(PLACE, group, &engine.limits, find).map(Some)
    }

    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
        let mut claim = 0;
        {
            let mut kept = self.kept.lock();
            if kept.claims_groups {
                let last = kept.claims.entry(group.to_owned()).or_default();
                *last += 1;
                claim = *last;
            }
        }
        Ok(Claimed { group: self.load(group, engine).await?, claim })
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        Ok(self.kept.lock().held(group))
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
        let mut kept = self.kept.lock();
        let mut refused = Vec::new();
        for (at, unsaved) in changes.iter().enumerate() {
            let held = kept.held(&unsaved.change.group);
            if kept.claims_groups && !unsaved.follows(held) {
                refused.push(Refused { at, held });
            } else {
                kept.keep(&unsaved.change);
            }
        }
        for mark in marks {
            match &mark.text {
                Some(text) => kept.marks.insert(mark.name.clone(), text.clone()),
                None => kept.marks.remove(&mark.name),
            };
        }
        Ok(refused)
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
            let set = restore_set(PLACE, *hash, text, &engine)?;
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

    async fn examine(&self, _: &Setup, _: &mut (dyn FnMut(u64) + Send)) -> Examination {
        let mut found = Examination::new(PLACE);
        read_some(self, &mut found).await;
        found
    }

    async fn clear(&self) -> Result<(), Error> {
        let mut kept = self.kept.lock();
        // Claims outlive their groups: a late write must not bring back what was cleared.
        let Kept { claims, claims_groups, .. } = std::mem::take(&mut *kept);
        *kept = Kept { claims, claims_groups, ..Kept::default() };
        Ok(())
    }
}
