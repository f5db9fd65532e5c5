//! The manager for programs without an async runtime: the same calls, which block the calling thread.

use std::sync::Arc;

use dictrack_core::{
    Amount, CompletedTracker, Document, Event, EventCode, Explanation, Outcome, PeriodRecord, Span, Timestamp,
    TrackerDefinition, TrackerSnapshot,
    group::{Added, Differing, TrackerList},
    json::Map,
    template::Template,
};

use super::at::At;
use super::commit::Commit;
use super::due::{Due, Turn};
use super::listeners::ListenerId;
use super::options::{Reset, Submission, TrackerUpdate};
use super::rows::{Rows, RowsOutcome};
use super::shared::Manager;
use crate::find::{Place, Query};
use crate::store::Mark;
use crate::{Error, executor};

/// A [`Manager`] whose calls block the calling thread until they are done. It may also be used in listeners, and in
/// async programs, where it holds up the thread.
#[derive(Clone, Debug)]
pub struct Blocking {
    manager: Manager,
}

/// The calls of a [`Blocking`] that depend on the time, as of one moment: see [`Manager::at`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing by itself; call a method on it"]
pub struct BlockingAt<'a> {
    at: At<'a>,
}

/// Blocking versions of calls of `$of`, made on `$field`.
macro_rules! blocking {
    ($field:ident, $of:literal; $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[doc = concat!("See [`", $of, "::", stringify!($name), "`].")]
            ///
            /// # Errors
            /// The same errors.
            pub fn $name(&self, $($argument: $type),*) -> Result<$result, Error> {
                executor::block_on(self.$field.$name($($argument),*))
            }
        )*
    };
}

/// The calls that depend on the time.
macro_rules! of_a_moment {
    ($field:ident, $of:literal) => {
        blocking! { $field, $of;
            add_tracker(group: &str, definition: TrackerDefinition) -> bool;
            add_trackers(group: &str, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Added;
            add_trackers_for(
                group: &str,
                definitions: impl IntoIterator<Item = TrackerDefinition>,
                time: Span
            ) -> Added;
            ensure_tracker(group: &str, definition: TrackerDefinition) -> bool;
            ensure_trackers(group: &str, list: &TrackerList, differing: Differing) -> Added;
            trackers(group: &str) -> Vec<TrackerSnapshot>;
            tracker(group: &str, name: &str) -> Option<TrackerSnapshot>;
            update_tracker(group: &str, update: impl Into<TrackerUpdate>) -> bool;
            set_progress(group: &str, name: &str, progress: impl Into<Amount>) -> bool;
            add_targets(group: &str, name: &str, targets: impl IntoIterator<Item = Amount>) -> bool;
            remove_tracker(group: &str, name: &str) -> bool;
            remove_trackers(group: &str, names: &[&str]) -> Vec<String>;
            reset_tracker(group: &str, name: &str, reset: Reset) -> Option<Arc<Event>>;
            explain(group: &str, document: &dyn Document) -> Vec<Explanation>;
            peek(group: &str, names: Option<&[&str]>) -> Vec<TrackerSnapshot>;
            periods(group: &str, name: &str) -> Option<Vec<PeriodRecord>>;
            set_attributes(group: &str, attributes: Map) -> bool;
            apply_templates(group: &str) -> Added;
            find(query: &Query) -> Vec<Place>;
            top(tracker: &str, count: usize) -> Vec<Place>;
        }
    };
}

impl Manager {
    /// The same manager for programs without an async runtime.
    pub fn blocking(&self) -> Blocking {
        Blocking { manager: self.clone() }
    }

    /// Like [`track_one`](Self::track_one), but blocks the calling thread.
    #[inline]
    fn track_blocking(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        let (outcome, done) = self.begin(submission)?;
        if self.is_finished(&outcome, done) {
            return Ok(outcome);
        }
        executor::block_on(self.finish(submission, done.then_some(outcome)))
    }
}

impl Blocking {
    /// Opens the SQLite file at `path`; see [`Manager::open`].
    ///
    /// # Errors
    /// The same errors.
    #[cfg(feature = "sqlite")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        executor::block_on(Manager::open(path)).map(|manager| manager.blocking())
    }

    /// The same manager with async calls.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// See [`Manager::at`].
    pub fn at(&self, now: Timestamp) -> BlockingAt<'_> {
        BlockingAt { at: self.manager.at(now) }
    }

    /// See [`Manager::track`].
    ///
    /// # Errors
    /// The same errors.
    #[inline]
    pub fn track(&self, group: &str, document: &dyn Document) -> Result<Outcome, Error> {
        self.manager.track_blocking(Submission::new(group, document))
    }

    /// See [`Manager::track_one`].
    ///
    /// # Errors
    /// The same errors.
    #[inline]
    pub fn track_one(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        self.manager.track_blocking(submission)
    }

    /// See [`Manager::track_many`].
    #[must_use = "each document has a result of its own"]
    pub fn track_many(&self, submissions: &[Submission<'_>]) -> Vec<Result<Outcome, Error>> {
        executor::block_on(self.manager.track_many(submissions))
    }

    /// See [`Manager::track_rows`].
    pub fn track_rows(&self, rows: &dyn Rows, threads: usize) -> RowsOutcome {
        executor::block_on(self.manager.track_rows(rows, threads))
    }

    of_a_moment! { manager, "Manager" }

    blocking! { manager, "Manager";
        completed(group: &str) -> Vec<CompletedTracker>;
        attributes(group: &str) -> Map;
        delete_group(group: &str) -> bool;
        groups(after: Option<&str>, limit: usize) -> Vec<String>;
        flush(confirm: bool) -> ();
        close() -> ();
        commit(marks: Vec<Mark>) -> Commit;
        undelivered() -> Vec<Arc<Event>>;
        undelivered_groups() -> Vec<String>;
        kept_events(groups: &[&str]) -> Vec<u64>;
        due(group: &str, turn: Turn<'_>) -> Due;
        mark_delivered(group: &str, sequence: u64) -> ();
    }

    /// See [`Manager::tracker_list`].
    ///
    /// # Errors
    /// The same errors.
    pub fn tracker_list(&self, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Result<TrackerList, Error> {
        self.manager.tracker_list(definitions)
    }

    /// See [`Manager::set_trackers`].
    ///
    /// # Errors
    /// The same errors.
    pub fn set_trackers(&self, templates: impl IntoIterator<Item = Template>) -> Result<(), Error> {
        self.manager.set_trackers(templates)
    }

    /// See [`Manager::add_listener`].
    pub fn add_listener(&self, code: EventCode, listener: impl Fn(&Event) + Send + Sync + 'static) -> ListenerId {
        self.manager.add_listener(code, listener)
    }

    /// See [`Manager::remove_listener`].
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.manager.remove_listener(listener)
    }
}

impl BlockingAt<'_> {
    /// See [`Manager::track`].
    ///
    /// # Errors
    /// The same errors.
    pub fn track(&self, group: &str, document: &dyn Document) -> Result<Outcome, Error> {
        self.track_one(Submission::new(group, document))
    }

    /// See [`At::track_one`].
    ///
    /// # Errors
    /// The same errors.
    pub fn track_one(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        self.at.manager.track_blocking(self.at.dated(submission))
    }

    of_a_moment! { at, "At" }
}
