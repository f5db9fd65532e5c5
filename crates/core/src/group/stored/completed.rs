//! Trackers that reached their last target.

use std::fmt::Write as _;

use super::{RecordError, member, moment, parse, text_at};
use crate::json::{Json, write_text};
use crate::state::TrackerSnapshot;
use crate::time::Timestamp;

/// A tracker that reached its last target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CompletedTracker {
    /// Its final state.
    pub tracker: TrackerSnapshot,
    /// The moment of the document that completed it.
    pub completed_at: Timestamp,
}

impl CompletedTracker {
    /// The tracker as JSON: its final state, and `completed_at`.
    pub fn to_json(&self) -> Json {
        let mut map = self.tracker.to_map();
        map.insert("completed_at".into(), self.completed_at.to_string().into());
        map.into()
    }
}

/// A completed tracker as it is stored: its name, and its record while that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredCompletion {
    /// The tracker's name.
    pub name: String,
    /// `{"definition", "state", "completed_at"}`; `None` once only the name is kept.
    pub record: Option<String>,
}

impl StoredCompletion {
    /// A tracker for which only the name is kept.
    pub fn name_only(name: &str) -> Self {
        Self { name: name.to_owned(), record: None }
    }

    /// A tracker with its record.
    pub fn with_record(name: &str, record: String) -> Self {
        Self { name: name.to_owned(), record: Some(record) }
    }

    /// Reads a completed tracker from its JSON.
    ///
    /// # Errors
    /// A [`RecordError`] if it has no name.
    pub fn of(stored: &Json) -> Result<Self, RecordError> {
        if member(stored, "name").is_ok() {
            return Ok(Self::name_only(text_at(stored, "name")?));
        }
        let name = text_at(member(stored, "definition")?, "name")?;
        Ok(Self::with_record(name, stored.to_string()))
    }

    /// Writes it as an item of the part `completed`.
    pub fn store(&self, out: &mut String) {
        match &self.record {
            Some(record) => out.push_str(record),
            None => {
                out.push_str(r#"{"name":"#);
                let _ = write_text(out, &self.name);
                out.push('}');
            }
        }
    }

    /// The tracker, if its record is kept.
    pub(super) fn restore(&self) -> Result<Option<CompletedTracker>, RecordError> {
        let restore = |record: &String| CompletedTracker::restore(&parse(record)?);
        let restored = self.record.as_ref().map(restore).transpose();
        restored.map_err(|error| RecordError::new(format!("a completed tracker: {error}")))
    }
}

impl From<&CompletedTracker> for StoredCompletion {
    fn from(completed: &CompletedTracker) -> Self {
        let mut record = String::new();
        record.push('{');
        completed.tracker.store(&mut record);
        let _ = write!(record, r#","completed_at":{}}}"#, completed.completed_at.micros());
        Self::with_record(completed.tracker.name(), record)
    }
}

impl CompletedTracker {
    fn restore(stored: &Json) -> Result<Self, RecordError> {
        let completed_at = moment(stored, "completed_at")?;
        Ok(Self { tracker: TrackerSnapshot::restore(stored, completed_at)?, completed_at })
    }
}
