//! Order tests in narrow columns, checked tracker by tracker once equality has left few candidates.
//!
//! A column has to look at every word of the set, even if only few trackers have a test in it. If a set has many such
//! columns, comparing one number for each remaining tracker is faster.

use smallvec::SmallVec;

use super::order::units;
use super::{Index, View};
use crate::condition::Order;
use crate::path::Path;

/// Up to one order test for each dense tracker.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The key that the value must reach; empty if there are no checks.
    keys: Vec<i128>,
    /// Which value must reach it.
    values: Vec<u32>,
    readings: Vec<Reading>,
}

/// A value in a document, read for the tests of one order.
#[derive(Debug)]
struct Reading {
    path: Path,
    /// The number of the path, if its value is kept.
    kept: Option<u32>,
    order: Order,
}

/// The values of one document: first one that every tracker without a check passes, then one for each reading.
type Values = SmallVec<[i128; 8]>;

impl Checks {
    /// Adds the check of a tracker; `false` if it already has one.
    pub(super) fn add(&mut self, trackers: usize, tracker: u32, (path, order, key): (&Path, Order, i128)) -> bool {
        if self.keys.is_empty() {
            self.keys.resize(trackers, i128::MIN);
            self.values.resize(trackers, 0);
        }
        let value = &mut self.values[tracker as usize];
        if *value != 0 {
            return false;
        }
        // Those of one column come one after another.
        if self.readings.last().is_none_or(|last| last.path != *path || last.order != order) {
            self.readings.push(Reading { path: path.clone(), kept: None, order });
        }
        *value = self.readings.len() as u32;
        self.keys[tracker as usize] = key;
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Sets which paths have values that are kept.
    pub(super) fn keep(&mut self, number: impl Fn(&Path) -> Option<u32>) {
        self.readings.iter_mut().for_each(|reading| reading.kept = number(&reading.path));
    }

    /// Moves those of `matches` that pass to its front, and returns how many there are.
    pub(super) fn retain(&self, index: &Index, view: &mut View<'_>, matches: &mut [u32]) -> usize {
        let mut values = Values::with_capacity(self.readings.len() + 1);
        values.push(i128::MAX);
        values.extend(self.readings.iter().map(|reading| reading.read(index, view)));
        keep_reached(matches, &self.keys, &self.values, &values)
    }
}

/// Moves those of `matches` whose value reaches their key to its front, and returns how many there are.
///
/// Does not branch on the values, since half of the branches would be mispredicted. Takes slices, which keeps everything in
/// registers.
#[inline(never)]
fn keep_reached(matches: &mut [u32], keys: &[i128], readings: &[u32], values: &[i128]) -> usize {
    let readings = &readings[..keys.len()];
    let mut kept = 0;
    for from in 0..matches.len() {
        let at = matches[from];
        let reached = values[readings[at as usize] as usize] >= keys[at as usize];
        matches[kept] = at;
        kept += usize::from(reached);
    }
    kept
}

impl Reading {
    #[inline]
    fn read(&self, index: &Index, view: &mut View<'_>) -> i128 {
        match self.kept {
            Some(kept) => units(self.order, view.value(index, kept)),
            None => units(self.order, view.document.value_at(&self.path).as_ref()),
        }
    }
}
