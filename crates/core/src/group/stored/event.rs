//! Events that have not been delivered yet.

use std::fmt::Write as _;

use super::{RecordError, amount, exact, member, moment, natural, parse, text_at, whole};
use crate::event::Event;
use crate::json::{Json, write_text};
use crate::state::TrackerSnapshot;

/// An event as it is stored until it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredEvent {
    /// The number of this event among the stored events of its group.
    pub sequence: u64,
    /// The event, with its definition and the state of its tracker, as JSON.
    pub text: String,
}

impl StoredEvent {
    /// The event that a store kept as this text and with this sequence.
    pub fn new(sequence: u64, text: String) -> Self {
        Self { sequence, text }
    }

    /// Reads an event from its JSON.
    ///
    /// # Errors
    /// A [`RecordError`] if it has no sequence.
    pub fn of(stored: &Json) -> Result<Self, RecordError> {
        Ok(Self { sequence: whole(stored, "sequence")?, text: stored.to_string() })
    }

    pub(super) fn restore(&self) -> Result<Event, RecordError> {
        let restored = parse(&self.text).and_then(|stored| Event::restore(&stored));
        restored.map_err(|error| RecordError::new(format!("an event: {error}")))
    }
}

impl From<&Event> for StoredEvent {
    fn from(event: &Event) -> Self {
        let mut text = String::new();
        event.store(&mut text);
        Self { sequence: event.sequence, text }
    }
}

impl Event {
    /// Writes the stored form of an undelivered event.
    pub fn store(&self, out: &mut String) {
        let _ = write!(
            out,
            r#"{{"sequence":{},"id":"{}","code":"{}","number":{},"occurred_at":{},"stage":{},"target":{},"progress":{},"times":{},"#,
            self.sequence,
            self.id(),
            self.code,
            self.number,
            self.occurred_at.micros(),
            self.stage,
            self.target.map_or_else(|| "null".to_owned(), |target| target.to_string()),
            self.progress,
            self.times,
        );
        if let Some(limiter) = self.limiter {
            let _ = write!(out, r#""limiter":{limiter},"#);
        }
        out.push_str(r#""group":"#);
        let _ = write_text(out, &self.group);
        out.push(',');
        self.tracker.store(out);
        out.push('}');
    }

    fn restore(stored: &Json) -> Result<Self, RecordError> {
        let bad = |what: &str| RecordError::new(what);
        let limiter = match member(stored, "limiter") {
            Ok(limiter) => Some(natural(limiter).ok_or_else(|| bad("`limiter` is not a position"))? as usize),
            Err(_) => None,
        };
        let occurred_at = moment(stored, "occurred_at")?;
        Ok(Self {
            number: whole(stored, "number")?,
            code: text_at(stored, "code")?.parse().map_err(|_| bad("`code` is unknown"))?,
            occurred_at,
            group: text_at(stored, "group")?.into(),
            stage: whole(stored, "stage")? as usize,
            target: match member(stored, "target")? {
                Json::Null => None,
                target => Some(exact(target).ok_or_else(|| bad("`target` is not an amount"))?),
            },
            progress: amount(stored, "progress")?,
            times: whole(stored, "times")?,
            limiter,
            tracker: TrackerSnapshot::restore(stored, occurred_at)?,
            sequence: whole(stored, "sequence")?,
        })
    }
}
