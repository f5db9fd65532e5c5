//! The ids of the documents that a group has applied.

use std::collections::VecDeque;

use foldhash::quality::RandomState;
use hashbrown::HashSet;

use crate::engine::Limits;
use crate::hash::ContentHash;
use crate::time::Timestamp;

/// Recent document ids, oldest first, as 128-bit hashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentIds {
    order: VecDeque<(ContentHash, Timestamp)>,
    known: HashSet<ContentHash, RandomState>,
    /// How many of the newest no change has carried yet.
    unsaved: usize,
}

impl RecentIds {
    pub(crate) fn contains(&self, id: ContentHash) -> bool {
        self.known.contains(&id)
    }

    /// Remembers an id that is not known, and forgets those beyond the bounds.
    pub(crate) fn insert(&mut self, id: ContentHash, now: Timestamp, limits: &Limits) {
        self.restore(id, now);
        self.unsaved += 1;
        while let Some(&(oldest, seen)) = self.order.front() {
            let old = self.order.len() > limits.ids_at_least && seen.saturating_add(limits.id_window) < now;
            if !old && self.order.len() <= limits.ids_at_most {
                break;
            }
            self.order.pop_front();
            self.known.remove(&oldest);
        }
    }

    /// Remembers an id that the store holds.
    pub(crate) fn restore(&mut self, id: ContentHash, seen: Timestamp) {
        if self.known.insert(id) {
            self.order.push_back((id, seen));
        }
    }

    /// The ids since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Vec<(ContentHash, Timestamp)> {
        let count = std::mem::take(&mut self.unsaved).min(self.order.len());
        self.order.range(self.order.len() - count..).copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(ContentHash, Timestamp)> {
        self.order.iter()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.order.capacity() * 24 + self.known.capacity() * 17
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
        // Twelve microseconds later the first is out of the window, but still among the last three.
        ids.insert(id(3), Timestamp::from_micros(12), &limits);
        assert!(!ids.contains(id(0)) && ids.contains(id(1)));
        for number in 4..20 {
            ids.insert(id(number), Timestamp::from_micros(12), &limits);
        }
        assert_eq!(ids.iter().count(), 5);
        assert_eq!(ids.take_unsaved().len(), 5);
        assert!(ids.take_unsaved().is_empty());
    }
}
