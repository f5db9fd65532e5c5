//! Optional arguments of calls.

use std::fmt;

use dictrack_core::{
    Amount, Document, Renewal, ResetPolicy, Span, Timestamp, TrackerDefinition,
    group::{Differing, TrackerList},
};

/// A document for a group, with all its options: for [`Manager::track_one`](super::Manager::track_one) and
/// [`Manager::track_many`](super::Manager::track_many).
#[derive(Clone, Copy)]
#[non_exhaustive]
#[must_use = "a submission does nothing until it is tracked"]
pub struct Submission<'a> {
    /// The group.
    pub group: &'a str,
    /// The document.
    pub document: &'a dyn Document,
    /// The moment of the document; by default the time of the manager's clock.
    pub now: Option<Timestamp>,
    /// The id of the document, which is applied only once in its group.
    pub event_id: Option<&'a str>,
    /// Trackers that the group must have before the document is applied; missing ones are added in the same change.
    /// Nearly free if it has them.
    pub ensure: Option<(&'a TrackerList, Differing)>,
    /// The only trackers that the document is applied to, for documents that were tracked before these existed; the group gets
    /// those that it lacks. The id of the document is known for each of them by itself: that it was tracked before does not
    /// matter, but a second backfill does not count it again.
    pub backfill: Option<&'a TrackerList>,
    /// Whether the events of the document are neither kept nor given to listeners.
    pub silent: bool,
}

impl<'a> Submission<'a> {
    /// A document for a group, without an id, at the time of the manager's clock.
    pub fn new(group: &'a str, document: &'a dyn Document) -> Self {
        Self { group, document, now: None, event_id: None, ensure: None, backfill: None, silent: false }
    }

    /// Sets the moment of the document.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// Sets the id of the document, which is then applied only once in its group.
    pub fn id(mut self, event_id: &'a str) -> Self {
        self.event_id = Some(event_id);
        self
    }

    /// Applies the document only to the trackers of `list`, for which it is old.
    pub fn backfill(mut self, list: &'a TrackerList) -> Self {
        self.backfill = Some(list);
        self
    }

    /// Keeps the events of the document from listeners and from stores.
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// Gives the group the trackers of `list` before the document is applied.
    pub fn ensure(mut self, list: &'a TrackerList, differing: Differing) -> Self {
        self.ensure = Some((list, differing));
        self
    }
}

impl fmt::Debug for Submission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, now, event_id, .. } = self;
        f.debug_struct("Submission")
            .field("group", group)
            .field("now", now)
            .field("event_id", event_id)
            .finish_non_exhaustive()
    }
}

/// What to change in a tracker: for [`Manager::update_tracker`](super::Manager::update_tracker). A definition alone can
/// be passed too.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "an update does nothing until a manager gets it"]
pub struct TrackerUpdate {
    /// The new definition.
    pub definition: TrackerDefinition,
    /// The new progress; by default the tracker keeps its own.
    pub progress: Option<Amount>,
}

impl TrackerUpdate {
    /// Sets this definition and keeps the progress.
    pub fn new(definition: TrackerDefinition) -> Self {
        Self { definition, progress: None }
    }

    /// Sets the progress too, in the same change.
    pub fn progress(mut self, progress: impl Into<Amount>) -> Self {
        self.progress = Some(progress.into());
        self
    }
}

impl From<TrackerDefinition> for TrackerUpdate {
    fn from(definition: TrackerDefinition) -> Self {
        Self::new(definition)
    }
}

/// How to reset a tracker: for [`Manager::reset_tracker`](super::Manager::reset_tracker). By default, the tracker's own
/// policy applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a reset does nothing until a manager gets it"]
pub struct Reset {
    /// What to reset; by default the tracker's own policy applies.
    pub policy: Option<ResetPolicy>,
    /// New limits of its limiters.
    pub renewal: Renewal,
}

impl Reset {
    /// Resets what `policy` says.
    pub fn policy(mut self, policy: ResetPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Sets the number of documents of `count` limiters; 0 closes them.
    pub fn count(mut self, count: u64) -> Self {
        self.renewal.count = Some(count);
        self
    }

    /// Sets the length of windows.
    pub fn length(mut self, length: Span) -> Self {
        self.renewal.length = Some(length);
        self
    }
}
