//! The groups that are the furthest with a tracker.

use std::cmp::Reverse;

use dictrack::TrackerSnapshot;
use dictrack::find::Place;

/// How many groups of each tracker are listed.
const LISTED: usize = 10;

/// The furthest first; of groups that are equally far, the first by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Top(Vec<Place>);

impl Top {
    /// Adds a group if it is one of the furthest so far.
    pub(crate) fn offer(&mut self, group: &str, tracker: &TrackerSnapshot) {
        let rank = (tracker.cycle, tracker.progress, Reverse(group));
        let is_further = |place: &Place| (place.tracker.cycle, place.tracker.progress, Reverse(&*place.group)) > rank;
        let at = self.0.partition_point(is_further);
        if at < LISTED {
            self.0.truncate(LISTED - 1);
            self.0.insert(at, Place::new(group, tracker.clone()));
        }
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.0
    }
}
