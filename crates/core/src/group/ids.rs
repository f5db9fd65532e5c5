//! The ids of the documents that a group has applied.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use super::stored::SeenId;
use crate::engine::Limits;
use crate::hash::ContentHash;
use crate::time::Timestamp;

/// Recent document ids, oldest first, as 128-bit hashes.
///
/// Copies share the known ids, so a copy for a trial is cheap, however many ids there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentIds {
    shared: Arc<Known>,
    /// Newer ids, which stay here until `shared` belongs to this copy alone.
    fresh: Vec<(ContentHash, Timestamp)>,
    /// Whether this copy owns the shared ids during a trial. New ids then stay in `fresh` until they are learned, so
    /// that the shared ids can be given back without them.
    on_trial: bool,
    /// Whether this copy has forgotten the shared ids, which another copy may still need.
    forgotten: bool,
    /// How many of the newest are not part of a change yet.
    unsaved: usize,
}

/// The ids in order, and the place of each. The table holds numbers instead of ids because a second copy of a million
/// ids would be large.
#[derive(Clone, Debug, Default)]
struct Known {
    order: VecDeque<SeenId>,
    /// The number of each id. The first id in `order` has the number `first`. Numbers wrap around.
    places: HashTable<u32>,
    first: u32,
    hasher: RandomState,
}

impl Known {
    fn contains(&self, id: ContentHash) -> bool {
        let at = |place: u32| place.wrapping_sub(self.first) as usize;
        self.places.find(self.hasher.hash_one(id), |&place| self.order[at(place)].0 == id).is_some()
    }

    /// Makes room for `count` more ids: for exactly that many if there are none yet.
    fn reserve(&mut self, count: usize) {
        let Self { order, places, first, hasher } = self;
        if order.is_empty() {
            order.reserve_exact(count)
        } else {
            order.reserve(count)
        }
        places.reserve(count, |&place| hasher.hash_one(order[place.wrapping_sub(*first) as usize].0));
    }

    /// Remembers an id. If there are already `most`, the oldest is dropped first, so that the collections do not grow.
    fn insert(&mut self, id: ContentHash, seen: Timestamp, most: usize) {
        if self.contains(id) {
            return;
        }
        while self.order.len() >= most.max(1) {
            self.forget_oldest();
        }
        let Self { order, places, first, hasher } = self;
        let place = first.wrapping_add(order.len() as u32);
        order.push_back((id, seen));
        let at = |place: u32| place.wrapping_sub(*first) as usize;
        places.insert_unique(hasher.hash_one(id), place, |&place| hasher.hash_one(order[at(place)].0));
    }

    fn forget_oldest(&mut self) {
        let Some((oldest, _)) = self.order.pop_front() else { return };
        if let Ok(found) = self.places.find_entry(self.hasher.hash_one(oldest), |&place| place == self.first) {
            found.remove();
        }
        self.first = self.first.wrapping_add(1);
    }

    /// Drops the ids that the limits no longer keep.
    fn trim(&mut self, now: Timestamp, limits: &Limits) {
        while let Some(&(_, seen)) = self.order.front() {
            let old = self.order.len() > limits.ids_at_least && seen.saturating_add(limits.id_window) < now;
            if !old && self.order.len() <= limits.ids_at_most {
                break;
            }
            self.forget_oldest();
        }
    }
}

impl RecentIds {
    pub(crate) fn contains(&self, id: ContentHash) -> bool {
        (!self.forgotten && self.shared.contains(id)) || self.fresh.iter().any(|(fresh, _)| *fresh == id)
    }

    /// Forgets all ids.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
        self.fresh.clear();
        self.unsaved = 0;
    }

    /// Remembers a new id, and drops those that the limits no longer keep.
    pub(crate) fn insert(&mut self, id: ContentHash, now: Timestamp, limits: &Limits) {
        self.unsaved += 1;
        match Arc::get_mut(&mut self.shared) {
            Some(known) if !self.on_trial => {
                if std::mem::take(&mut self.forgotten) {
                    *known = Known::default();
                }
                let most = limits.ids_at_most;
                self.fresh.drain(..).for_each(|(id, seen)| known.insert(id, seen, most));
                known.insert(id, now, most);
                known.trim(now, limits);
            }
            _ => self.fresh.push((id, now)),
        }
    }

    /// Remembers ids that were read from a store.
    pub(crate) fn restore(&mut self, ids: &[SeenId]) {
        if ids.is_empty() {
            return;
        }
        if std::mem::take(&mut self.forgotten) {
            self.shared = Arc::default();
        }
        let known = Arc::make_mut(&mut self.shared);
        known.reserve(self.fresh.len() + ids.len());
        self.fresh.drain(..).chain(ids.iter().copied()).for_each(|(id, seen)| known.insert(id, seen, usize::MAX));
    }

    /// Makes this copy the owner of the ids of `older`, which it was copied from. `older` has no ids afterwards.
    pub(crate) fn take_over(&mut self, older: &mut Self, limits: &Limits) {
        let older = std::mem::take(older);
        let learned = older.fresh.len().min(self.fresh.len());
        drop(older);
        self.on_trial = true;
        self.learn(learned, limits);
    }

    /// Gives `older` its ids back, without the fresh ids of this copy.
    pub(crate) fn give_back(&self, older: &mut Self) {
        older.shared = Arc::clone(&self.shared);
    }

    /// Moves the `count` oldest fresh ids to the shared ids, unless another copy shares those.
    pub(crate) fn learn(&mut self, count: usize, limits: &Limits) {
        if !self.on_trial && std::mem::take(&mut self.forgotten) {
            self.shared = Arc::default();
        }
        if self.forgotten {
            return;
        }
        let Some(known) = Arc::get_mut(&mut self.shared) else { return };
        let Some(&(_, now)) = self.fresh.last() else { return };
        self.fresh.drain(..count).for_each(|(id, seen)| known.insert(id, seen, limits.ids_at_most));
        known.trim(now, limits);
    }

    /// Moves all fresh ids to the shared ids: the trial is over.
    pub(crate) fn learn_all(&mut self, limits: &Limits) {
        self.on_trial = false;
        self.learn(self.fresh.len(), limits);
    }

    /// The ids since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<(ContentHash, Timestamp)> {
        let unsaved = std::mem::take(&mut self.unsaved).min(self.len());
        self.iter().skip(self.len() - unsaved).collect()
    }

    pub(crate) fn len(&self) -> usize {
        let shared = if self.forgotten { 0 } else { self.shared.order.len() };
        shared + self.fresh.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ContentHash, Timestamp)> {
        let shared = (!self.forgotten).then_some(&self.shared.order);
        shared.into_iter().flatten().chain(&self.fresh).copied()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.shared.order.capacity() * 24 + self.shared.places.allocation_size() + self.fresh.capacity() * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn an_id_is_forgotten_only_when_old_and_not_among_the_newest() {
        let limits = Limits { id_window: Span::from_micros(10), ids_at_least: 3, ids_at_most: 5, ..Limits::default() };
        let id = |number: u8| ContentHash::of([[number]]);
        let mut ids = RecentIds::default();
        for number in 0..3 {
            ids.insert(id(number), Timestamp::from_micros(i64::from(number)), &limits);
        }
        assert!(ids.contains(id(0)));
        // At 12 µs, ids 0 and 1 are both outside the window, but id 1 is among the newest three.
        ids.insert(id(3), Timestamp::from_micros(12), &limits);
        assert!(!ids.contains(id(0)) && ids.contains(id(1)));
        for number in 4..20 {
            ids.insert(id(number), Timestamp::from_micros(12), &limits);
        }
        assert_eq!(ids.iter().count(), 5);
        assert_eq!(ids.take_unsaved().len(), 5);
        assert!(ids.take_unsaved().is_empty());
    }

    #[test]
    fn a_copy_knows_its_own_ids_and_leaves_the_original_as_it_is() {
        let limits = Limits::default();
        let (first, second, now) = (ContentHash::of([[1]]), ContentHash::of([[2]]), Timestamp::from_micros(1));
        let mut ids = RecentIds::default();
        ids.insert(first, now, &limits);
        ids.take_unsaved();
        let mut copy = ids.clone();
        copy.insert(second, now, &limits);
        assert!(copy.contains(first) && copy.contains(second) && !ids.contains(second));
        drop(ids);
        copy.insert(ContentHash::of([[3]]), now, &limits);
        assert_eq!((copy.len(), copy.fresh.len()), (3, 0), "alone, the copy takes over its fresh ids");
        let mut later = copy.clone();
        let fourth = ContentHash::of([[4]]);
        later.insert(fourth, now, &limits);
        later.take_over(&mut copy, &limits);
        assert_eq!((copy.len(), later.len(), later.fresh.len()), (0, 4, 1), "what the copy knew is learned");
        let fifth = ContentHash::of([[5]]);
        later.insert(fifth, now, &limits);
        assert_eq!(later.fresh.len(), 2, "a trial settles nothing by itself");
        later.give_back(&mut copy);
        assert!(copy.contains(first) && copy.contains(second) && !copy.contains(fourth) && !copy.contains(fifth));
        drop(later);
        copy.unsaved = 2;
        assert_eq!(copy.take_unsaved().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [second, ContentHash::of([[3]])]);
    }
}
