//! The parts of a stored group, gathered over many changes.
#![allow(dead_code, reason = "each store uses some of it")]

use std::sync::Arc;

use dictrack_core::json::{Bounds, Json};
#[cfg(any(feature = "memory", feature = "sqlite"))]
use dictrack_core::text::quoted;
use dictrack_core::{ContentHash, DefinitionSet, Engine, TrackerDefinition};
#[cfg(any(feature = "memory", feature = "sqlite"))]
use dictrack_core::{Group, GroupChange, Limits, RecordError, read_ids};

use crate::Error;

/// About how many bytes an id takes as text.
#[cfg(any(feature = "memory", feature = "sqlite"))]
const ID_TEXT: usize = 52;

#[cfg(any(feature = "memory", feature = "sqlite"))]
/// A group as its parts stand in a store: texts of JSON. See `docs/storage.md`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) version: u64,
    pub(crate) state: String,
    pub(crate) delivered: u64,
    pub(crate) ids: Vec<String>,
    pub(crate) events: Vec<String>,
    pub(crate) completed: Vec<String>,
}

#[cfg(any(feature = "memory", feature = "sqlite"))]
impl Record {
    /// What a change says.
    pub(crate) fn of(change: &GroupChange) -> Self {
        let list = |write: &dyn Fn(&mut String), empty: bool| {
            let mut texts = Vec::new();
            if !empty {
                texts.push(String::new());
                write(&mut texts[0]);
            }
            texts
        };
        let mut state = String::with_capacity(256);
        change.state(&mut state);
        let completed = change.completed.is_empty() && change.completed_names.is_empty();
        Self {
            version: change.version,
            state,
            delivered: change.delivered,
            ids: list(&|out| change.ids(out), change.ids.is_empty()),
            events: list(&|out| change.events(out), change.events.is_empty()),
            completed: list(&|out| change.completed(out), completed),
        }
    }

    /// Takes over what came later.
    pub(crate) fn append(&mut self, later: Self) {
        self.version = later.version;
        self.state = later.state;
        self.delivered = later.delivered;
        self.ids.extend(later.ids);
        self.events.extend(later.events);
        self.completed.extend(later.completed);
    }

    /// The group, with its set from `find`. What was read is dropped as it is taken in: there may be a lot of it.
    pub(crate) fn restore(
        mut self,
        store: &str,
        group: &str,
        limits: &Limits,
        find: impl FnOnce(ContentHash) -> Result<Option<Arc<DefinitionSet>>, Error>,
    ) -> Result<Group, Error> {
        let place = || format!("group {}", quoted(group));
        let fail = |error: RecordError| Error::corrupt(store, place(), error.to_string());
        let damaged = |problem: String| Error::corrupt(store, place(), problem);
        let read = |text: &str| parse_stored(text).map_err(damaged);
        let lists = |texts: &[String]| -> Result<Vec<Json>, Error> {
            let mut all = Vec::new();
            for text in texts {
                match read(text)? {
                    Json::List(items) => all.extend(items),
                    other => return Err(damaged(format!("{} where a list was expected", other.kind()))),
                }
            }
            Ok(all)
        };
        let state = read(&self.state)?;
        let hash = Group::stored_set(&state).map_err(fail)?;
        let set = find(hash)?.ok_or_else(|| damaged(format!("its definition set {hash} is missing")))?;
        let mut ids = Vec::with_capacity(self.ids.iter().map(String::len).sum::<usize>() / ID_TEXT);
        for text in self.ids.drain(..) {
            read_ids(&text, &mut ids).map_err(fail)?;
        }
        let (events, completed) = (lists(&self.events)?, lists(&self.completed)?);
        Group::restore(self.version, &state, set, (&ids, &events, &completed), limits).map_err(fail)
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

/// Reads a definition set and checks that it is the one that was asked for.
pub(crate) fn restore_set(
    store: &str,
    hash: ContentHash,
    text: &str,
    engine: &Engine,
) -> Result<Arc<DefinitionSet>, Error> {
    let damaged = |problem: String| Error::corrupt(store, format!("definition set {hash}"), problem);
    let set = engine.sets.intern(restore_definitions(text).map_err(damaged)?);
    if set.hash() == hash { Ok(set) } else { Err(damaged("its content has another hash".to_owned())) }
}

/// Reads the definitions of a set.
pub(crate) fn restore_definitions(text: &str) -> Result<Vec<Arc<TrackerDefinition>>, String> {
    let Json::List(items) = parse_stored(text)? else { return Err("not a list of definitions".to_owned()) };
    items
        .iter()
        .map(|item| TrackerDefinition::from_json(item).map(Arc::new).map_err(|error| error.to_string()))
        .collect()
}
