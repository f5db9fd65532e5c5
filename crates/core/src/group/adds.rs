//! When the trackers of a group were added.

use smallvec::SmallVec;

use crate::time::Timestamp;

/// When trackers were added, by generation: the first generation of each run of adds at the same moment. Most groups have one
/// run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adds(SmallVec<[(u32, Timestamp); 1]>);

impl Adds {
    /// Notes that the generations from `first` on were assigned at `now`.
    pub(super) fn note(&mut self, first: u32, now: Timestamp) {
        if self.0.last().is_none_or(|&(_, moment)| moment != now) {
            self.0.push((first, now));
        }
    }

    /// When a generation was assigned; 1970 if that is not known, as in stores of earlier formats.
    pub(super) fn of(&self, generation: u32) -> Timestamp {
        let after = self.0.partition_point(|&(first, _)| first <= generation);
        after.checked_sub(1).map_or_else(Timestamp::default, |at| self.0[at].1)
    }

    /// Forgets runs without any of `generations`.
    pub(super) fn retain(&mut self, generations: impl Iterator<Item = u32>) {
        let mut used = vec![false; self.0.len()];
        for generation in generations {
            let after = self.0.partition_point(|&(first, _)| first <= generation);
            if let Some(run) = after.checked_sub(1) {
                used[run] = true;
            }
        }
        let mut used = used.into_iter();
        self.0.retain(|_| used.next().unwrap_or(true));
    }

    /// The runs, for a store.
    pub(super) fn runs(&self) -> &[(u32, Timestamp)] {
        &self.0
    }

    pub(super) fn restore(runs: impl IntoIterator<Item = (u32, Timestamp)>) -> Self {
        Self(runs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_the_moment_of_its_add() {
        let at = Timestamp::from_secs;
        let mut adds = Adds::default();
        assert_eq!(adds.of(1), at(0));
        adds.note(1, at(10));
        adds.note(3, at(10));
        adds.note(4, at(20));
        adds.note(6, at(30));
        assert_eq!([1, 3, 4, 5, 6, 9].map(|generation| adds.of(generation)), [10, 10, 20, 20, 30, 30].map(at));
        adds.retain([2, 6, 7].into_iter());
        assert_eq!((adds.runs().len(), adds.of(2), adds.of(6)), (2, at(10), at(30)));
        adds.retain([8].into_iter());
        assert_eq!(adds.runs(), [(6, at(30))]);
        adds.retain(std::iter::empty());
        assert!(adds.runs().is_empty());
    }
}
