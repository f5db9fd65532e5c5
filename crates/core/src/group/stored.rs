//! The stored form of a group: the same for every store, readable and exact.
//!
//! A store receives a [`GroupChange`] and returns a [`StoredGroup`]. Both have four parts. The state is replaced as a
//! whole; the lists of ids, events and completed trackers only grow, so a change contains only their new items:
//!
//! - state: `{"set": hash, "generation": n, "sequence": n, "delivered": n, "more": {"added": [[generation, moment], …],
//!   "attributes": {…}}, "trackers": [[generation, progress, stage, {…}], …]}`, with the trackers in the order of the set.
//!   `more` is left out if it is empty. The map of a tracker is optional, see [`tracker`].
//! - ids: `[[hash, seen], …]`
//! - events: each with its definition and the state of its tracker, until it is delivered.
//! - completed: `{"definition", "state", "completed_at"}`, or `{"name"}` once only the name is kept.
//!
//! Moments are whole microseconds; amounts are exact decimal numbers.

mod change;
mod completed;
mod event;
mod ids;
mod period;
mod state;
mod tracker;

pub use change::{GroupChange, GroupPatch, Kept, Readable};
pub use completed::{CompletedTracker, StoredCompletion};
pub use event::StoredEvent;
pub use ids::{SeenId, ids_of, read_ids, write_ids};
pub use state::{StoredMore, StoredState, StoredTracker};

use crate::amount::Amount;
use crate::json::{Bounds, Json};
use crate::time::Timestamp;

/// A group as a store returns it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredGroup {
    /// The number of its changes.
    pub version: u64,
    /// The part that is replaced as a whole.
    pub state: StoredState,
    /// The ids of the documents that were applied, oldest first.
    pub ids: Vec<SeenId>,
    /// The undelivered events, in order. Delivered ones may be among them; they are ignored.
    pub events: Vec<StoredEvent>,
    /// The completed trackers, oldest first.
    pub completed: Vec<StoredCompletion>,
}

impl StoredGroup {
    /// A group with this state and nothing else.
    pub fn new(version: u64, state: StoredState) -> Self {
        Self { version, state, ids: Vec::new(), events: Vec::new(), completed: Vec::new() }
    }

    /// The same group with these lists.
    #[must_use]
    pub fn with_lists(mut self, ids: Vec<SeenId>, events: Vec<StoredEvent>, completed: Vec<StoredCompletion>) -> Self {
        (self.ids, self.events, self.completed) = (ids, events, completed);
        self
    }
}

/// Why a stored record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(String);

impl RecordError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

fn parse(text: &str) -> Result<Json, RecordError> {
    Json::parse_within(text.as_bytes(), Bounds::STORED).map_err(|error| RecordError::new(error.to_string()))
}

fn member<'a>(json: &'a Json, key: &str) -> Result<&'a Json, RecordError> {
    let found = json.as_map().and_then(|map| map.get(key));
    found.ok_or_else(|| RecordError::new(format!("`{key}` is missing")))
}

fn text_at<'a>(json: &'a Json, key: &str) -> Result<&'a str, RecordError> {
    member(json, key)?.as_str().ok_or_else(|| RecordError::new(format!("`{key}` is not a string")))
}

pub(crate) fn exact(json: &Json) -> Option<Amount> {
    match json.as_number()?.to_amount() {
        Ok((amount, false)) => Some(amount),
        _ => None,
    }
}

fn amount(json: &Json, key: &str) -> Result<Amount, RecordError> {
    exact(member(json, key)?).ok_or_else(|| RecordError::new(format!("`{key}` is not an exact number")))
}

fn natural(json: &Json) -> Option<u64> {
    u64::try_from(exact(json)?.to_integer()?).ok()
}

/// The whole number at `key`.
pub(crate) fn whole(json: &Json, key: &str) -> Result<u64, RecordError> {
    natural(member(json, key)?).ok_or_else(|| RecordError::new(format!("`{key}` is not a whole number")))
}

/// The moment at `key`.
pub(crate) fn moment(json: &Json, key: &str) -> Result<Timestamp, RecordError> {
    micros(member(json, key)?).ok_or_else(|| RecordError::new(format!("`{key}` is not a timestamp")))
}

pub(crate) fn micros(json: &Json) -> Option<Timestamp> {
    Some(Timestamp::from_micros(i64::try_from(exact(json)?.to_integer()?).ok()?))
}

/// Writes a list.
fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}
