//! Events: what listeners receive.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::amount::{Amount, push_integer};
use crate::hash::ContentHash;
use crate::json::{Json, Map, Text, write_text};
use crate::number::Number;
use crate::state::{Tally, TrackerSnapshot};
use crate::text::plain;
use crate::time::Timestamp;
use crate::window::Period;

/// What happened to a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
#[non_exhaustive]
pub enum EventCode {
    /// It was added.
    Added = 1001,
    /// It reached a target that is followed by another one.
    StageCompleted = 1002,
    /// It reached its last target.
    AllCompleted = 1003,
    /// `reset_tracker` was called.
    Reset = 1004,
    /// A limiter refused a document, or has run out.
    Limited = 1005,
}

impl EventCode {
    /// All event codes.
    pub const ALL: [Self; 5] = [Self::Added, Self::StageCompleted, Self::AllCompleted, Self::Reset, Self::Limited];

    /// The number of the code.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The name in files and streams.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::StageCompleted => "stage_completed",
            Self::AllCompleted => "all_completed",
            Self::Reset => "reset",
            Self::Limited => "limited",
        }
    }
}

/// A name or a number that is not an event code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown event code {}; expected added, stage_completed, all_completed, reset or limited (1001 to 1005)", plain(.0))]
pub struct UnknownEventCode(String);

impl TryFrom<u16> for EventCode {
    type Error = UnknownEventCode;

    fn try_from(number: u16) -> Result<Self, UnknownEventCode> {
        let found = Self::ALL.into_iter().find(|code| code.number() == number);
        found.ok_or_else(|| UnknownEventCode(number.to_string()))
    }
}

impl FromStr for EventCode {
    type Err = UnknownEventCode;

    fn from_str(name: &str) -> Result<Self, UnknownEventCode> {
        let found = Self::ALL.into_iter().find(|code| code.name() == name);
        found.ok_or_else(|| UnknownEventCode(name.to_owned()))
    }
}

impl fmt::Display for EventCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One event of one tracker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub code: EventCode,
    /// The moment of the document or call.
    pub occurred_at: Timestamp,
    /// The group.
    pub group: Text,
    /// The stage that was just completed, counted from one; for other codes, the current stage.
    pub stage: usize,
    /// The target of that stage; `None` if the tracker has no targets.
    pub target: Option<Amount>,
    /// The progress when it happened.
    pub progress: Amount,
    /// The number of this event among the tracker's events of this code, from 0. An event that represents several has
    /// the number of the first.
    pub number: u64,
    /// How many events this one represents: more than 1 if one document completed the stage several times.
    pub times: u64,
    /// The position of the limiter that refused or ran out.
    pub limiter: Option<usize>,
    /// The tracker as it was at that moment.
    pub tracker: TrackerSnapshot,
    /// The number of this event among the stored events of its group; 0 if it is not stored.
    pub sequence: u64,
}

impl Event {
    /// An id that is the same for each delivery of this event: a hash of group, name, generation, code and number.
    pub fn id(&self) -> ContentHash {
        ContentHash::of([
            self.group.as_bytes(),
            self.name().as_bytes(),
            &self.tracker.generation.to_le_bytes(),
            &self.code.number().to_le_bytes(),
            &self.number.to_le_bytes(),
        ])
    }

    /// The tracker's name.
    pub fn name(&self) -> &str {
        self.tracker.name()
    }

    /// The progress and the target of the event: `3/10`.
    pub fn tally(&self) -> Tally {
        Tally { progress: self.progress, target: self.target }
    }

    /// Of a tracker with `every`, the start of the period in which it happened.
    pub fn period_start(&self) -> Option<Timestamp> {
        self.tracker.period.map(Period::start)
    }

    /// Appends the event as JSON, as [`to_json`](Self::to_json) prints it. Programs that print many events save most of the time.
    pub fn write_json(&self, out: &mut String) {
        /// Writing to a string does not fail.
        fn put(written: fmt::Result) {
            debug_assert!(written.is_ok());
        }
        out.push_str("{\"event\":\"");
        out.push_str(self.code.name());
        out.push_str("\",\"group\":");
        put(write_text(out, &self.group));
        out.push_str(",\"tracker\":");
        put(write_text(out, self.name()));
        out.push_str(",\"progress\":");
        self.progress.push_to(out);
        out.push_str(",\"target\":");
        match self.target {
            Some(target) => target.push_to(out),
            None => out.push_str("null"),
        }
        out.push_str(",\"stage\":");
        push_integer(out, self.stage as u64);
        out.push_str(",\"occurred_at\":\"");
        put(write!(out, "{}", self.occurred_at));
        out.push_str("\",\"id\":\"");
        self.id().push_to(out);
        out.push('"');
        if let Some(moment) = self.period_start() {
            put(write!(out, ",\"period_start\":\"{moment}\""));
        }
        if let Some(limiter) = self.limiter {
            put(write!(out, ",\"limiter\":{limiter}"));
        }
        if self.times > 1 {
            put(write!(out, ",\"times\":{}", self.times));
        }
        out.push('}');
    }

    /// The event as JSON: event, group, tracker, progress, target, stage, `occurred_at`, id and, where they apply,
    /// `period_start`, limiter and times.
    pub fn to_json(&self) -> Json {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("event", self.code.name().into());
        put("group", self.group.as_str().into());
        put("tracker", self.name().into());
        put("progress", Number::Exact(self.progress).into());
        put("target", self.target.map_or(Json::Null, |target| Number::Exact(target).into()));
        put("stage", (self.stage as u64).into());
        put("occurred_at", self.occurred_at.to_string().into());
        put("id", self.id().to_string().into());
        if let Some(moment) = self.period_start() {
            put("period_start", moment.to_string().into());
        }
        if let Some(limiter) = self.limiter {
            put("limiter", (limiter as u64).into());
        }
        if self.times > 1 {
            put("times", self.times.into());
        }
        map.into()
    }
}
