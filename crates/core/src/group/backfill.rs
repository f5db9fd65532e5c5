//! Backfilling: counting old documents for some trackers only.

use std::sync::Arc;

use super::{ContentHash, DefinitionSet, Differing, Engine, Group, GroupError, Slot, Track, TrackerList};
use crate::outcome::Outcome;

impl Group {
    /// Makes sure that the group has the trackers in `list`, then applies one document to them alone, all as one change. For
    /// documents that were tracked before the trackers existed.
    ///
    /// The id of the document is known for each of these trackers by itself: it does not matter whether it was
    /// [tracked](Self::track), but a second backfill of the tracker does not count it again.
    ///
    /// # Errors
    /// As [`ensure_and_track`](Self::ensure_and_track) with a list that refuses.
    pub fn backfill(
        &mut self,
        engine: &Engine,
        group: &str,
        track: &Track<'_>,
        list: &TrackerList,
    ) -> Result<Outcome, GroupError> {
        let (before, call) = (self.version, track.call(engine, group));
        let mut events = Vec::new();
        if self.may_lack(engine, Some((list, Differing::Refuse))) {
            events = self.apply_templates(&call)?.events;
            events.extend(self.ensure(&call, list, Differing::Refuse)?.events);
        }
        let id_of =
            |name: &str| track.id.map(|id| ContentHash::of([b"backfill".as_slice(), name.as_bytes(), id.bytes()]));
        let is_new = |name: &str| id_of(name).is_none_or(|id| !self.knows(id));
        let names = list.definitions().iter().map(|definition| definition.name());
        let places: Vec<usize> =
            names.filter(|name| is_new(name)).filter_map(|name| self.active_slot(name, track.now)).collect();
        if places.is_empty() && track.id.is_some() && self.version == before {
            return Ok(Outcome::repeat(self.version));
        }
        let ids: Vec<ContentHash> =
            places.iter().filter_map(|&place| id_of(self.set.trackers()[place].name())).collect();
        let mut outcome = self.with_only(engine, list, &places, |part, set| {
            part.apply(engine, group, track, set, Outcome::at(track.now))
        });
        for id in ids {
            self.log().ids.insert(id, track.clock, &engine.limits);
            outcome.mark_changed();
        }
        if self.version != before {
            outcome.mark_changed();
        }
        if outcome.changed() {
            self.version = self.version.saturating_add(1);
            outcome.made(self.version);
            self.compact();
        }
        if !events.is_empty() {
            outcome.rare().events.splice(0..0, events);
        }
        Ok(outcome)
    }

    /// Does some work on the group as if it had only the trackers at `places`, which are in the order of `list`.
    fn with_only<T>(
        &mut self,
        engine: &Engine,
        list: &TrackerList,
        places: &[usize],
        work: impl FnOnce(&mut Self, Arc<DefinitionSet>) -> T,
    ) -> T {
        let is_all = places.len() == list.definitions().len();
        let set = if is_all {
            Arc::clone(&list.set)
        } else {
            engine.sets.intern(places.iter().map(|&place| Arc::clone(&self.set.trackers()[place])).collect())
        };
        let whole_set = std::mem::replace(&mut self.set, Arc::clone(&set));
        let mut whole: Vec<Slot> = std::mem::take(&mut self.slots);
        let completed = std::mem::take(&mut self.completed);
        self.slots = places.iter().map(|&place| whole[place].clone()).collect();
        let done = work(self, set);
        for (slot, &place) in std::mem::take(&mut self.slots).into_iter().zip(places) {
            whole[place] = slot;
        }
        self.completed += completed;
        (self.set, self.slots) = (whole_set, whole);
        done
    }
}
