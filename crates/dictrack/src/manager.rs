//! The manager connects the cache, the store, the clock and the listeners.
//!
//! The files, from the highest level to the lowest; none imports from one above it.
//!
//! | file | holds |
//! |---|---|
//! | `builder` | creating a manager |
//! | `blocking` | its calls for programs without an async runtime |
//! | `close` | closing it |
//! | `track`, `batch`, `trackers`, `groups` | its calls on documents, on many documents, on trackers and on groups |
//! | `find` | its calls on many groups: listing them, finding some |
//! | `templates` | its calls on the trackers that groups have without being given them |
//! | `rows` | its call on the rows of a table, group by group |
//! | `at` | its calls as of a moment |
//! | `look` | looking at a whole group, and at what a document would make of it |
//! | `delivery`, `due` | calling listeners; deciding which events are due |
//! | `shared` | what all calls share: the path to a group and to its commit |
//! | `commit`, `listeners`, `source` | group commit; the registered listeners; loading absent groups |
//! | `options` | optional arguments of calls |

mod at;
mod batch;
mod blocking;
mod builder;
mod close;
mod commit;
mod delivery;
mod due;
mod find;
mod groups;
mod listeners;
mod look;
mod options;
mod rows;
mod shared;
mod source;
mod templates;
mod track;
mod trackers;

pub use at::At;
pub use batch::Batch;
pub use blocking::{Blocking, BlockingAt};
pub use builder::ManagerBuilder;
pub use commit::Commit;
pub use due::{Due, Turn};
pub use listeners::ListenerId;
pub use options::{Reset, Submission, TrackerUpdate};
pub use rows::{Counts, RowOutcome, Rows, RowsFailure, RowsOutcome};
pub use shared::Manager;
#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis", feature = "legacy"))]
pub(crate) use source::GENERATIONS;
pub use track::Begun;
