//! dictrack counts matching events for each user: for milestones, achievements, quests, quotas, campaign goals and usage
//! limits.
//!
//! Declare once what counts (conditions), up to which targets, and how often (limiters). Then submit documents: each call
//! returns what that document changed. Arithmetic is exact, changes are stored atomically, and a document with an id counts
//! once.
//!
//! ```
//! use dictrack::{Manager, TrackerDefinition, json::Json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Manager::in_memory().blocking();
//! let logins = TrackerDefinition::count("logins").targets([3, 10]).eq("event", "login").build()?;
//! manager.ensure_tracker("user_001", logins)?;
//!
//! let login = Json::parse(br#"{"event": "login"}"#)?;
//! let outcome = manager.track("user_001", &login)?;
//! let logins = outcome.dirtied().next().unwrap();
//! assert_eq!(format!("{}: {}", logins.name(), logins.tally()), "logins: 1/3");
//! # Ok(())
//! # }
//! ```
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `sqlite` | yes | the embedded store: `Manager::open("dictrack.db")` |
//! | `redis` | | the cache that many processes share |
//! | `memory` | yes | a store in memory, for tests |
//! | `mongodb` | | the store for many machines: `MongoStore::open("mongodb://…")` |
//! | `files` | yes | definition files in TOML, YAML and JSON |
//! | `serde` | | `Serialize` for what the manager returns, `Deserialize` for definitions, and any `Serialize` value as a document |
//! | `legacy` | | importing the data of Python's dictrack 2.1.5; with `redis` and `mongodb`, from its servers |
//! | `arrow` | | rows of Arrow tables as documents |
//! | `scenario` | | scenario files: expected behaviour as JSON, replayed |
//! | `conformance` | | the tests that every store and every cache must pass, including your own |

#[cfg(feature = "arrow")]
pub mod arrow;
pub mod backend;
pub mod cache;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod crash;
mod deadline;
pub mod doctor;
pub mod durability;
mod error;
mod executor;
#[cfg(feature = "files")]
pub mod files;
pub mod find;
#[cfg(feature = "legacy")]
pub mod legacy;
pub mod manager;
pub mod metrics;
#[cfg(any(feature = "sqlite", feature = "mongodb", feature = "redis"))]
pub mod open;
pub mod overlay;
#[cfg(any(feature = "sqlite", feature = "redis"))]
mod random;
mod runtime;
#[cfg(feature = "scenario")]
pub mod scenario;
pub mod store;
#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
pub mod transfer;
pub mod url;

#[cfg(feature = "redis")]
pub use cache::redis::RedisCache;
#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub use crash::CRASH_POINTS;
#[doc(hidden)]
pub use crash::crash_point;
#[doc(hidden)]
pub use dictrack_core::View;
#[doc(inline)]
pub use dictrack_core::{
    Amount, CompletedTracker, Condition, DefinitionError, Document, Event, EventCode, Explanation, Kind,
    LimiterDefinition, LimiterView, Outcome, Path, PeriodRecord, Reason, Renewal, ResetPolicy, SkipReason, Span,
    Status, Tally, Timestamp, Tracked, TrackerDefinition, TrackerSnapshot, Window, Zone,
};
pub use dictrack_core::{
    amount, condition, custom, definition, document, event, group, json, limiter, measure, number, path, source,
    template, text, time, window, zone,
};
pub use durability::Durability;
pub use error::{Error, ErrorKind};
pub use executor::block_on;
pub use manager::{Blocking, Manager, ManagerBuilder};
#[cfg(feature = "mongodb")]
pub use store::mongodb::MongoStore;
#[cfg(feature = "sqlite")]
pub use store::sqlite::SqliteStore;

/// The code of the README, run as a test.
#[cfg(all(doctest, feature = "sqlite", feature = "redis", feature = "mongodb"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The code of `docs/json.md`, run as a test.
#[cfg(all(doctest, feature = "memory", feature = "serde"))]
#[doc = include_str!("../../../docs/json.md")]
struct Documents;
