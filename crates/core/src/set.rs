//! Definition sets: the trackers of a group, shared by all groups with the same trackers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::definition::TrackerDefinition;
use crate::hash::ContentHash;
use crate::index::Index;
use crate::json::key_hash;

/// An ordered list of definitions with distinct names, addressed by its content.
///
/// A million groups with the same trackers share one set, in memory and in the store. It is compiled when the first
/// document arrives, so that adding many trackers one by one does not compile it each time.
#[derive(Default)]
pub struct DefinitionSet {
    trackers: Vec<Arc<TrackerDefinition>>,
    names: HashTable<u32>,
    hash: OnceLock<(ContentHash, String)>,
    index: OnceLock<Index>,
    /// Whether a [`SetPool`] shares it; then it must not change.
    pooled: bool,
}

impl DefinitionSet {
    /// A set of these definitions, whose names must be distinct.
    pub(crate) fn new(trackers: Vec<Arc<TrackerDefinition>>) -> Self {
        let mut set = Self::default();
        for tracker in trackers {
            set.push(tracker);
        }
        set
    }

    pub(crate) fn push(&mut self, tracker: Arc<TrackerDefinition>) {
        self.hash = OnceLock::new();
        self.index = OnceLock::new();
        let hash = key_hash(tracker.name());
        self.trackers.push(tracker);
        let Self { trackers, names, .. } = self;
        names.insert_unique(hash, trackers.len() as u32 - 1, |&at| key_hash(trackers[at as usize].name()));
    }

    /// The definitions in the order they were added.
    pub fn trackers(&self) -> &[Arc<TrackerDefinition>] {
        &self.trackers
    }

    /// The position of the definition named `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        let found = self.names.find(key_hash(name), |&at| self.trackers[at as usize].name() == name);
        found.map(|&at| at as usize)
    }

    /// The hash of its content.
    pub fn hash(&self) -> ContentHash {
        self.hashed().0
    }

    /// The hash of its content as hexadecimal digits.
    pub(crate) fn hash_text(&self) -> &str {
        &self.hashed().1
    }

    fn hashed(&self) -> &(ContentHash, String) {
        self.hash.get_or_init(|| {
            let hash = ContentHash::of(self.trackers.iter().map(|tracker| *tracker.stored_hash().bytes()));
            (hash, hash.to_string())
        })
    }

    pub(crate) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::compile(&self.trackers))
    }

    /// A copy that shares nothing with this set. It counts as pooled, so it is neither changed nor replaced.
    pub(crate) fn apart(&self) -> Self {
        let copies = self.trackers.iter().map(|tracker| Arc::new(TrackerDefinition::clone(tracker)));
        Self { pooled: true, ..Self::new(copies.collect()) }
    }

    /// Whether it may be extended in place.
    pub(crate) fn is_private(&self) -> bool {
        !self.pooled
    }
}

impl fmt::Debug for DefinitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.trackers).finish()
    }
}

/// Shares equal sets. A set that no group uses is dropped.
#[derive(Debug, Default)]
pub struct SetPool {
    sets: Mutex<Sets>,
}

#[derive(Debug, Default)]
struct Sets {
    by_hash: HashMap<ContentHash, Weak<DefinitionSet>>,
    /// The number of sets at which dropped ones are next removed.
    sweep_at: usize,
}

impl SetPool {
    /// The shared set with this content.
    pub fn intern(&self, trackers: Vec<Arc<TrackerDefinition>>) -> Arc<DefinitionSet> {
        self.share(Arc::new(DefinitionSet::new(trackers)))
    }

    /// The shared set with the content of `set`.
    pub(crate) fn share(&self, set: Arc<DefinitionSet>) -> Arc<DefinitionSet> {
        if set.pooled {
            return set;
        }
        let hash = set.hash();
        let mut sets = self.sets.lock();
        if let Some(shared) = sets.by_hash.get(&hash).and_then(Weak::upgrade) {
            return shared;
        }
        let mut own = Arc::try_unwrap(set).unwrap_or_else(|shared| DefinitionSet::new(shared.trackers.clone()));
        own.pooled = true;
        let shared = Arc::new(own);
        sets.by_hash.insert(hash, Arc::downgrade(&shared));
        if sets.by_hash.len() > sets.sweep_at {
            sets.by_hash.retain(|_, set| set.strong_count() > 0);
            sets.sweep_at = sets.by_hash.len() * 2 + 64;
        }
        shared
    }

    /// The shared set with this hash, if a group uses it.
    pub fn find(&self, hash: ContentHash) -> Option<Arc<DefinitionSet>> {
        self.sets.lock().by_hash.get(&hash)?.upgrade()
    }
}
