//! The part of a stored group that is replaced as a whole.

use std::sync::Arc;

use super::{RecordError, member, micros, natural, parse, text_at, whole};
use crate::group::adds::Adds;
use crate::group::attributes::Attributes;
use crate::hash::ContentHash;
use crate::json::{Json, Map};
use crate::time::Timestamp;

/// The state of a group as it is stored: its definitions, its counters, and its trackers in the order of the set.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredState {
    /// The hash of the definition set.
    pub set: ContentHash,
    /// The generation of the last tracker that was added.
    pub generation: u32,
    /// The sequence of the last event.
    pub sequence: u64,
    /// The sequence of the last event that was delivered.
    pub delivered: u64,
    /// When trackers were added, and the attributes.
    pub more: StoredMore,
    /// The states of the trackers.
    pub trackers: Vec<StoredTracker>,
}

/// What groups have besides trackers and counters: `{"added": [[generation, moment], …], "deletions": n, "attributes":
/// {…}}`. Each is left out if it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct StoredMore {
    /// When trackers were added: the first generation of each run of adds at the same moment.
    pub added: Vec<(u32, Timestamp)>,
    /// The attributes of the group.
    pub attributes: Map,
    /// How often the group was deleted.
    pub deletions: u32,
}

impl StoredMore {
    /// Reads the text that [`GroupChange::write_more`](super::GroupChange::write_more) writes.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        Self::of(&parse(text)?)
    }

    fn of(more: &Json) -> Result<Self, RecordError> {
        let run = |run: &Json| {
            let [generation, moment] = run.as_list()? else { return None };
            Some((u32::try_from(natural(generation)?).ok()?, micros(moment)?))
        };
        let added = match member(more, "added") {
            Ok(runs) => runs.as_list().and_then(|runs| runs.iter().map(run).collect::<Option<Vec<_>>>()),
            Err(_) => Some(Vec::new()),
        };
        let added = added.filter(|runs| runs.is_sorted_by(|a, b| a.0 < b.0));
        let attributes = match member(more, "attributes") {
            Ok(attributes) => attributes.as_map().cloned(),
            Err(_) => Some(Map::default()),
        };
        let deletions = member(more, "deletions").map_or(Some(0), |number| u32::try_from(natural(number)?).ok());
        Ok(Self {
            deletions: deletions.ok_or_else(|| RecordError::new("`deletions` is not a whole number"))?,
            added: added.ok_or_else(|| RecordError::new("`added` is not a list of generations and moments"))?,
            attributes: attributes.ok_or_else(|| RecordError::new("`attributes` is not a map"))?,
        })
    }

    pub(super) fn restore(&self) -> Result<(Adds, Option<Arc<Attributes>>), RecordError> {
        let attributes = Attributes::restore(&self.attributes);
        Ok((
            Adds::restore(self.added.iter().copied()),
            attributes.map_err(|error| RecordError::new(error.to_string()))?,
        ))
    }
}

/// The stored state of one tracker: `[generation, progress, stage, {…}]`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTracker(pub(super) Json);

impl StoredTracker {
    /// Reads the text of a state. Whether it fits its definition is checked when the group is restored.
    ///
    /// # Errors
    /// A [`RecordError`] if it is not JSON.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        parse(text).map(Self)
    }
}

impl From<Json> for StoredTracker {
    fn from(state: Json) -> Self {
        Self(state)
    }
}

impl StoredState {
    /// A state of these trackers, without events.
    pub fn new(set: ContentHash, generation: u32, trackers: Vec<StoredTracker>) -> Self {
        Self { set, generation, sequence: 0, delivered: 0, more: StoredMore::default(), trackers }
    }

    /// The same state of a group that has more.
    #[must_use]
    pub fn with_more(mut self, more: StoredMore) -> Self {
        self.more = more;
        self
    }

    /// The same state with the sequences of the last event and of the last delivered event.
    #[must_use]
    pub fn with_events(mut self, sequence: u64, delivered: u64) -> Self {
        (self.sequence, self.delivered) = (sequence, delivered);
        self
    }

    /// Reads the text that [`GroupChange::write_state`](super::GroupChange::write_state) writes.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        Self::of(parse(text)?)
    }

    /// Reads a state from its JSON.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of(state: Json) -> Result<Self, RecordError> {
        let set = ContentHash::parse(text_at(&state, "set")?);
        let trackers =
            member(&state, "trackers")?.as_list().ok_or_else(|| RecordError::new("`trackers` is not a list"))?;
        Ok(Self {
            set: set.ok_or_else(|| RecordError::new("`set` is not a hash of 32 hexadecimal digits"))?,
            generation: u32::try_from(whole(&state, "generation")?)
                .map_err(|_| RecordError::new("`generation` is too large"))?,
            sequence: whole(&state, "sequence")?,
            delivered: whole(&state, "delivered")?,
            more: member(&state, "more").map_or_else(|_| Ok(StoredMore::default()), StoredMore::of)?,
            trackers: trackers.iter().cloned().map(StoredTracker).collect(),
        })
    }
}
