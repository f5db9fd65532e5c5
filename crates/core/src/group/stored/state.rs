//! The part of a stored group that is replaced as a whole.

use super::{RecordError, member, parse, text_at, whole};
use crate::hash::ContentHash;
use crate::json::Json;

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
    /// The states of the trackers.
    pub trackers: Vec<StoredTracker>,
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
        Self { set, generation, sequence: 0, delivered: 0, trackers }
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
            trackers: trackers.iter().cloned().map(StoredTracker).collect(),
        })
    }
}
