//! The engine of dictrack: definitions, conditions, measures, limiters, and groups of trackers.
//!
//! It has no I/O, no clock and no async: a [`Group`](group::Group) takes a document and a moment, updates itself and
//! returns what changed. The crate `dictrack` adds a cache, a store and listeners; most programs should use that crate.
//!
//! ```
//! use std::sync::Arc;
//! use dictrack_core::{group::{Call, Engine, Group, Track}, Timestamp, TrackerDefinition, json::Json};
//!
//! let engine = Engine::default();
//! let mut group = Group::default();
//! let now = Timestamp::from_secs(1_700_000_000);
//! let call = Call::new(&engine, "user_001", now);
//! let logins = TrackerDefinition::count("logins").target(3).eq("event", "login").build().unwrap();
//! group.add(&call, &[Arc::new(logins)], None).unwrap();
//!
//! let document = Json::parse(br#"{"event": "login"}"#).unwrap();
//! let track = Track::new(&document, now);
//! let outcome = group.track(&engine, "user_001", &track);
//! assert_eq!(outcome.dirtied().next().unwrap().progress(), 1.into());
//! ```

pub mod amount;
pub mod condition;
pub mod custom;
pub mod definition;
pub mod document;
mod engine;
pub mod event;
mod explain;
pub mod group;
mod hash;
mod index;
pub mod json;
pub mod limiter;
pub mod measure;
pub mod number;
mod outcome;
pub mod path;
mod period;
#[cfg(feature = "serde")]
mod serial;
mod set;
pub mod source;
mod state;
mod streak;
pub mod template;
pub mod text;
pub mod time;
pub mod window;
pub mod zone;

pub use amount::Amount;
pub use condition::Condition;
pub use definition::{DefinitionError, ResetPolicy, TrackerDefinition};
pub use document::Document;
pub use event::{Event, EventCode};
pub use explain::{Explanation, Reason};
pub use group::CompletedTracker;
pub use limiter::{LimiterDefinition, LimiterView, Renewal};
pub use measure::Kind;
pub use outcome::{Outcome, SkipReason, Tracked};
pub use path::Path;
pub use period::{Every, PeriodRecord};
#[doc(hidden)]
pub use state::View;
pub use state::{Status, Tally, TrackerSnapshot};
pub use time::{Span, Timestamp};
pub use window::{Period, Window};
pub use zone::Zone;
