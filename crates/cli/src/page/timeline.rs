//! How often something happened, over time.

use std::collections::BTreeMap;

use dictrack::Timestamp;

/// Lengths of time in seconds, each a multiple of the one before. Above a day, they double.
const LENGTHS: [i64; 7] = [1, 10, 60, 600, 3_600, 21_600, 86_400];

/// The maximum number of counts that are kept.
const MOST: usize = 1_024;

/// Counts in stretches of equal length, which grow so that there are never many.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// The length of each stretch, in seconds.
    length: i64,
    /// By the number of the stretch since 1970.
    counts: BTreeMap<i64, u64>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { length: LENGTHS[0], counts: BTreeMap::new() }
    }
}

/// The next longer length.
fn longer(length: i64) -> i64 {
    LENGTHS.into_iter().find(|other| *other > length).unwrap_or(length.saturating_mul(2))
}

impl Timeline {
    pub(crate) fn add(&mut self, moment: Timestamp, times: u64) {
        let seconds = moment.micros().div_euclid(1_000_000);
        *self.counts.entry(seconds.div_euclid(self.length)).or_default() += times;
        while self.counts.len() > MOST {
            self.grow(longer(self.length));
        }
    }

    /// Adds what another one has counted, and empties that.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        while self.length < other.length {
            self.grow(longer(self.length));
        }
        for (stretch, count) in std::mem::take(&mut other.counts) {
            self.add(Timestamp::from_secs(stretch.saturating_mul(other.length)), count);
        }
    }

    fn grow(&mut self, length: i64) {
        let ratio = length / self.length;
        for (stretch, count) in std::mem::take(&mut self.counts) {
            *self.counts.entry(stretch.div_euclid(ratio)).or_default() += count;
        }
        self.length = length;
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The counts from the first to the last that is not zero, in at most this many stretches: the start of the first, the length
    /// in seconds, and the counts. `None` if nothing happened.
    pub(super) fn stretches(&self, most: usize) -> Option<(i64, i64, Vec<u64>)> {
        let mut rough = self.clone();
        loop {
            let (first, last) = (*rough.counts.first_key_value()?.0, *rough.counts.last_key_value()?.0);
            let count = last.saturating_sub(first).saturating_add(1);
            if usize::try_from(count).is_ok_and(|count| count <= most.max(1)) {
                let counts = (first..=last).map(|stretch| rough.counts.get(&stretch).copied().unwrap_or(0)).collect();
                return Some((first.saturating_mul(rough.length), rough.length, counts));
            }
            if rough.length > i64::MAX / 4 {
                return None;
            }
            rough.grow(longer(rough.length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: impl IntoIterator<Item = i64>) -> Timeline {
        let mut timeline = Timeline::default();
        seconds.into_iter().for_each(|seconds| timeline.add(Timestamp::from_secs(seconds), 1));
        timeline
    }

    #[test]
    fn stretches_have_round_lengths_and_all_counts() {
        assert_eq!(of([]).stretches(10), None);
        assert_eq!(of([7]).stretches(10), Some((7, 1, vec![1])));
        assert_eq!(of([-1, 0, 5]).stretches(10), Some((-1, 1, vec![1, 1, 0, 0, 0, 0, 1])));
        assert_eq!(of([-1, 0, 65]).stretches(10), Some((-10, 10, vec![1, 1, 0, 0, 0, 0, 0, 1])));
        let days = of((0..30).map(|day| day * 86_400)).stretches(10).unwrap();
        assert_eq!((days.0, days.1 / 86_400, days.2.iter().sum::<u64>()), (0, 4, 30));
        let (.., counts) = of([i64::MIN / 2_000_000, i64::MAX / 2_000_000]).stretches(5).unwrap();
        assert!(counts.len() <= 5 && counts.iter().sum::<u64>() == 2);
    }

    #[test]
    fn parts_give_what_the_whole_gives_and_stay_small() {
        let seconds = |at: i64| at * at % 10_000_019;
        let whole = of((0..5_000).map(seconds));
        let (mut first, mut second) = (of((0..2_000).map(seconds)), of((2_000..5_000).map(seconds)));
        first.absorb(&mut second);
        assert!(whole.counts.len() <= MOST);
        assert_eq!((whole.total(), first.total(), second.total()), (5_000, 5_000, 0));
        assert_eq!(whole.stretches(60), first.stretches(60));
    }
}
