//! The engine of dictrack: definitions, conditions, stages and limiters as pure functions.
//!
//! No I/O, no clock, no async: a [`Group`] takes a document and a moment, changes itself and says what happened. The
//! crate `dictrack` puts a cache, a store and listeners around it; most programs want that one.
//!
//! ```
//! use std::sync::Arc;
//! use dictrack_core::{Call, Engine, Group, Timestamp, Track, TrackerDefinition, json::Json};
//!
//! let engine = Engine::default();
//! let mut group = Group::default();
//! let now = Timestamp::from_secs(1_700_000_000);
//! let call = Call { engine: &engine, group: "user_001", now, keep_events: false };
//! let logins = TrackerDefinition::count("logins").target(3).eq("event", "login").build().unwrap();
//! group.add(&call, &[Arc::new(logins)], None).unwrap();
//!
//! let document = Json::parse(br#"{"event": "login"}"#).unwrap();
//! let track = Track { document: &document, now, clock: now, id: None, keep_events: false };
//! let outcome = group.track(&engine, "user_001", &track);
//! assert_eq!(outcome.dirtied().next().unwrap().progress(), 1.into());
//! ```

mod amount;
mod condition;
mod custom;
mod definition;
mod document;
mod engine;
mod event;
mod explain;
mod group;
mod hash;
mod index;
pub mod json;
pub mod limiter;
pub mod measure;
mod number;
mod outcome;
mod path;
mod set;
pub mod source;
mod state;
pub mod text;
mod time;

pub use amount::{Amount, AmountError, FRACTION_DIGITS};
pub use condition::{
    Affix, Comparison, Condition, FieldComparison, Items, MAX_CONDITION_DEPTH, Moment, Needle, Order, Pattern,
    Quantifier, Test,
};
pub use custom::{
    BoxError, CustomCode, CustomCondition, CustomError, CustomLimiter, Measure, Measured, Registry, panic_message,
};
pub use definition::{
    DefinitionError, DefinitionWarning, MAX_CONDITIONS, MAX_NAME_BYTES, MAX_TARGETS, ResetPolicy, TrackerBuilder,
    TrackerDefinition, read_trackers,
};
pub use document::{Document, Value};
pub use engine::{Engine, Limits};
pub use event::{Event, EventCode, UnknownEventCode};
pub use explain::{Explanation, Reason};
pub use group::{
    Added, Call, CompletedTracker, Differing, Group, GroupChange, GroupError, GroupPatch, Kept, RecordError, SeenId,
    StoredCompletion, StoredEvent, StoredGroup, StoredState, StoredTracker, Track, TrackerList, Trial, ids_of,
    read_ids, write_ids,
};
pub use hash::ContentHash;
pub use limiter::{LimiterDefinition, LimiterView, MAX_LIMITERS, Refusal, Renewal, Verdict};
pub use measure::Kind;
pub use number::{Decimal, Number};
pub use outcome::{Outcome, SkipReason, Tracked};
pub use path::{EmptyPath, Path, Segment};
pub use set::{DefinitionSet, SetPool};
pub use state::TrackerSnapshot;
pub use time::{Span, TimeError, Timestamp};
