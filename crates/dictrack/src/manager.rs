//! The manager: the one that knows cache, store, clock and listeners.
//!
//! The files, from the highest to the lowest; none imports one above it.
//!
//! | file | holds |
//! |---|---|
//! | `builder` | making a manager |
//! | `blocking` | its calls for programs without an async runtime |
//! | `close` | its end |
//! | `track`, `trackers` | its calls: on documents, on trackers |
//! | `at` | its calls as of a moment |
//! | `delivery`, `due` | telling listeners; which events are due |
//! | `shared` | what the calls share: the way to a group and to its commit |
//! | `commit`, `listeners`, `source` | group commit; who listens; where groups come from that the cache does not hold |
//! | `options` | what calls may say beyond what they have to |

mod at;
mod blocking;
mod builder;
mod close;
mod commit;
mod delivery;
mod due;
mod listeners;
mod options;
mod shared;
mod source;
mod track;
mod trackers;

pub use at::At;
pub use blocking::{Blocking, BlockingAt};
pub use builder::ManagerBuilder;
pub use commit::Commit;
pub use due::{Due, Turn};
pub use listeners::ListenerId;
pub use options::{Reset, Submission, TrackerUpdate};
pub use shared::Manager;
#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis", feature = "legacy"))]
pub(crate) use source::GENERATIONS;
