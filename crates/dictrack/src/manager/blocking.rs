//! The manager for programs without an async runtime: the same body, waited for on the calling thread.

use std::sync::Arc;

use dictrack_core::{
    Added, Amount, BoxError, CompletedTracker, Differing, Document, Event, EventCode, Explanation, Outcome, Renewal,
    ResetPolicy, Span, Timestamp, TrackerDefinition, TrackerList, TrackerSnapshot,
};

use super::{Commit, Due, Item, ListenerId, Manager, TrackOptions, Turn};
use crate::Error;
use crate::store::Mark;

/// A [`Manager`] whose calls return when they are done. It may be used within listeners and within async programs,
/// where it holds up the calling thread.
#[derive(Clone, Debug)]
pub struct Blocking {
    manager: Manager,
}

macro_rules! blocking {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[doc = concat!("See [`Manager::", stringify!($name), "`].")]
            ///
            /// # Errors
            /// As there.
            pub fn $name(&self, $($argument: $type),*) -> Result<$result, Error> {
                pollster::block_on(self.manager.$name($($argument),*))
            }
        )*
    };
}

impl Blocking {
    pub(super) fn new(manager: Manager) -> Self {
        Self { manager }
    }

    /// Opens the SQLite file at `path`; see [`Manager::open`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "sqlite")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        pollster::block_on(Manager::open(path)).map(Self::new)
    }

    /// The async face of the same manager.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    blocking! {
        add_tracker(group: &str, definition: TrackerDefinition) -> bool;
        add_trackers(group: &str, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Added;
        add_trackers_at(
            group: &str,
            definitions: impl IntoIterator<Item = TrackerDefinition>,
            now: Option<Timestamp>,
            expire: Option<Span>
        ) -> Added;
        ensure_tracker(group: &str, definition: TrackerDefinition) -> bool;
        ensure_trackers(group: &str, list: &TrackerList, differing: Differing) -> Added;
        ensure_trackers_at(group: &str, list: &TrackerList, differing: Differing, now: Option<Timestamp>) -> Added;
        get_trackers(group: &str, names: Option<&[&str]>) -> Vec<TrackerSnapshot>;
        get_trackers_at(group: &str, names: Option<&[&str]>, now: Option<Timestamp>) -> Vec<TrackerSnapshot>;
        update_tracker(group: &str, definition: TrackerDefinition) -> bool;
        update_tracker_at(group: &str, definition: TrackerDefinition, now: Option<Timestamp>) -> bool;
        update_tracker_with(
            group: &str,
            definition: TrackerDefinition,
            progress: Option<Amount>,
            now: Option<Timestamp>
        ) -> bool;
        set_progress(group: &str, name: &str, progress: impl Into<Amount>) -> bool;
        add_targets(group: &str, name: &str, targets: impl IntoIterator<Item = Amount>) -> bool;
        remove_trackers(group: &str, names: &[&str]) -> Vec<String>;
        remove_trackers_at(group: &str, names: &[&str], now: Option<Timestamp>) -> Vec<String>;
        remove_tracker(group: &str, name: &str) -> bool;
        reset_tracker(group: &str, name: &str, policy: Option<ResetPolicy>) -> bool;
        reset_tracker_at(
            group: &str,
            name: &str,
            policy: Option<ResetPolicy>,
            renewal: Renewal,
            now: Option<Timestamp>
        ) -> Option<Arc<Event>>;
        track(group: &str, document: &dyn Document) -> Outcome;
        track_with(group: &str, document: &dyn Document, options: TrackOptions<'_>) -> Outcome;
        explain(group: &str, document: &dyn Document) -> Vec<Explanation>;
        explain_at(group: &str, document: &dyn Document, now: Option<Timestamp>) -> Vec<Explanation>;
        completed(group: &str) -> Vec<CompletedTracker>;
        flush(confirm: bool) -> ();
        close() -> ();
        commit(marks: Vec<Mark>) -> Commit;
        undelivered() -> Vec<Arc<Event>>;
        undelivered_groups() -> Vec<String>;
        kept_events(groups: &[&str]) -> Vec<u64>;
        due(group: &str, turn: Turn<'_>) -> Due;
        mark_delivered(group: &str, sequence: u64) -> ();
    }

    /// See [`Manager::track_many`].
    pub fn track_many(&self, items: &[Item<'_>]) -> Vec<Result<Outcome, Error>> {
        pollster::block_on(self.manager.track_many(items))
    }

    /// See [`Manager::add_listener`].
    pub fn add_listener(
        &self,
        code: EventCode,
        listener: impl Fn(&Event) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> ListenerId {
        self.manager.add_listener(code, listener)
    }

    /// See [`Manager::remove_listener`].
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.manager.remove_listener(listener)
    }

    /// See [`Manager::tracker_list`].
    ///
    /// # Errors
    /// As there.
    pub fn tracker_list(&self, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Result<TrackerList, Error> {
        self.manager.tracker_list(definitions)
    }
}
