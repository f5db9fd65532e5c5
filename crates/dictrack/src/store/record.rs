//! The parts of a stored group, collected over many changes.
#![allow(dead_code, reason = "each store uses some of it")]

use std::sync::Arc;

#[cfg(any(feature = "memory", feature = "sqlite"))]
use dictrack_core::group::{
    Group, GroupChange, Limits, RecordError, SeenId, StoredCompletion, StoredEvent, StoredGroup, StoredState,
};
use dictrack_core::json::{Bounds, Json};
#[cfg(any(feature = "memory", feature = "sqlite"))]
use dictrack_core::text::quoted;
use dictrack_core::{
    TrackerDefinition,
    group::{ContentHash, DefinitionSet, Engine},
};

use crate::Error;

#[cfg(any(feature = "memory", feature = "sqlite"))]
/// A group as a store holds it: its newest state, and what was collected of the lists that grow. See `docs/storage.md`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) version: u64,
    /// The text of a [`StoredState`].
    pub(crate) state: String,
    pub(crate) delivered: u64,
    pub(crate) ids: Vec<SeenId>,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) completed: Vec<StoredCompletion>,
    /// Whether this is the whole group, which replaces whatever was stored before.
    pub(crate) whole: bool,
}

#[cfg(any(feature = "memory", feature = "sqlite"))]
impl Record {
    /// The record of a change.
    pub(crate) fn of(change: &GroupChange) -> Self {
        let mut state = String::with_capacity(256);
        change.write_state(&mut state);
        Self {
            version: change.version,
            state,
            delivered: change.delivered,
            ids: change.ids.clone(),
            events: change.stored_events().collect(),
            completed: change.stored_completions().collect(),
            whole: change.base.is_none(),
        }
    }

    /// Adopts a later record.
    pub(crate) fn append(&mut self, later: Self) {
        if later.whole {
            *self = later;
            return;
        }
        self.version = later.version;
        self.state = later.state;
        self.delivered = later.delivered;
        self.ids.extend(later.ids);
        self.events.extend(later.events);
        self.completed.extend(later.completed);
    }

    /// The group, with its definition set from `find`.
    pub(crate) fn restore(
        self,
        store: &str,
        group: &str,
        limits: &Limits,
        find: impl FnOnce(ContentHash) -> Result<Option<Arc<DefinitionSet>>, Error>,
    ) -> Result<Group, Error> {
        let damaged = |problem: String| Error::corrupt(store, format!("group {}", quoted(group)), problem);
        let fail = |error: RecordError| damaged(error.to_string());
        let state = StoredState::parse(&self.state).map_err(fail)?;
        let hash = state.set;
        let set = find(hash)?.ok_or_else(|| damaged(format!("its definition set {hash} is missing")))?;
        let stored = StoredGroup::new(self.version, state).with_lists(self.ids, self.events, self.completed);
        Group::restore(&stored, set, limits).map_err(fail)
    }
}

/// Reads JSON that dictrack wrote.
pub(crate) fn parse_stored(text: &str) -> Result<Json, String> {
    Json::parse_within(text.as_bytes(), Bounds::STORED).map_err(|error| error.to_string())
}

/// The text of a definition set.
pub(crate) fn set_text(set: &DefinitionSet) -> String {
    Json::List(set.trackers().iter().map(|tracker| tracker.to_json()).collect()).to_string()
}

/// Reads a definition set and checks that it is the requested one.
pub(crate) fn restore_set(
    store: &str,
    hash: ContentHash,
    text: &str,
    engine: &Engine,
) -> Result<Arc<DefinitionSet>, Error> {
    let damaged = |problem: String| Error::corrupt(store, format!("definition set {hash}"), problem);
    let set = engine.sets.intern(restore_definitions(text).map_err(damaged)?);
    if set.hash() == hash { Ok(set) } else { Err(damaged("its content has a different hash".to_owned())) }
}

/// Reads the definitions of a set.
pub(crate) fn restore_definitions(text: &str) -> Result<Vec<Arc<TrackerDefinition>>, String> {
    let Json::List(items) = parse_stored(text)? else { return Err("not a list of definitions".to_owned()) };
    items
        .iter()
        .map(|item| TrackerDefinition::from_json(item).map(Arc::new).map_err(|error| error.to_string()))
        .collect()
}
