//! What calls may say beyond what they have to.

use std::fmt;

use dictrack_core::{
    Amount, Document, Renewal, ResetPolicy, Span, Timestamp, TrackerDefinition,
    group::{Differing, TrackerList},
};

/// One document on its way to its group, with all that can be said of it: for
/// [`Manager::track_one`](super::Manager::track_one) and [`Manager::track_many`](super::Manager::track_many).
#[derive(Clone, Copy)]
#[non_exhaustive]
#[must_use = "a submission does nothing until it is tracked"]
pub struct Submission<'a> {
    /// The group.
    pub group: &'a str,
    /// The document.
    pub document: &'a dyn Document,
    /// The moment of the document; the manager's clock if this is not given.
    pub now: Option<Timestamp>,
    /// The id of the document: it is applied once in its group.
    pub event_id: Option<&'a str>,
    /// Trackers that the group shall have before the document is applied, in the same change. Nearly free if it has them.
    pub ensure: Option<(&'a TrackerList, Differing)>,
}

impl<'a> Submission<'a> {
    /// A document for a group, without an id, at the manager's clock.
    pub fn new(group: &'a str, document: &'a dyn Document) -> Self {
        Self { group, document, now: None, event_id: None, ensure: None }
    }

    /// The document happened at `now`.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// The document has this id: it is applied once in its group.
    pub fn id(mut self, event_id: &'a str) -> Self {
        self.event_id = Some(event_id);
        self
    }

    /// The group shall have the trackers of `list` before the document is applied.
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

/// What becomes of an active tracker: for [`Manager::update_tracker`](super::Manager::update_tracker). A definition alone is
/// one, too.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "an update does nothing until a manager gets it"]
pub struct TrackerUpdate {
    /// The new definition.
    pub definition: TrackerDefinition,
    /// The new progress; the tracker keeps its own if this is not given.
    pub progress: Option<Amount>,
}

impl TrackerUpdate {
    /// The tracker gets this definition and keeps its progress.
    pub fn new(definition: TrackerDefinition) -> Self {
        Self { definition, progress: None }
    }

    /// The tracker gets this progress, too, in the same change.
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

/// How a tracker is reset: for [`Manager::reset_tracker`](super::Manager::reset_tracker). By default as the tracker's own
/// policy says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a reset does nothing until a manager gets it"]
pub struct Reset {
    /// What is reset; the tracker's own policy if this is not given.
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

    /// Gives `count` limiters this number of documents; 0 closes them.
    pub fn count(mut self, count: u64) -> Self {
        self.renewal.count = Some(count);
        self
    }

    /// Gives windows this length.
    pub fn length(mut self, length: Span) -> Self {
        self.renewal.length = Some(length);
        self
    }
}
