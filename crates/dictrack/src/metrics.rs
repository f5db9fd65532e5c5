//! What a manager has done so far, for programs that watch it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dictrack_core::Outcome;
use parking_lot::Mutex;

use crate::Error;
use crate::manager::Counts;

/// What a manager has done since it was opened: see [`Manager::metrics`](crate::Manager::metrics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// How many documents did what.
    pub documents: Counts,
    /// How many events they caused.
    pub events: u64,
    /// How many commits the store has kept.
    pub commits: u64,
    /// How many changed groups were in them.
    pub committed_groups: u64,
    /// How long the store took for them in total.
    pub commit_time: Duration,
    /// How often the store had to be tried again because it could not be reached.
    pub retries: u64,
    /// How many groups were read from the store.
    pub loads: u64,
    /// How many calls failed, by the [code](crate::ErrorKind::code) of the error.
    pub errors: BTreeMap<&'static str, u64>,
}

/// The counts of documents, in the order of their fields, and then events.
const COUNTS: usize = 8;

/// Threads that count without sharing a cache line. A program may have any number of threads; the later ones share.
const OWN: usize = 48;
const SHARED: usize = 16;
const LINES: usize = OWN + SHARED;

/// Numbers on cache lines of their own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Line([AtomicU64; COUNTS]);

/// Counts without a cache line that all threads write, for which they would wait: each of the first threads of the process has its
/// own.
#[derive(Debug)]
pub(crate) struct Meter {
    lines: Box<[Line; LINES]>,
    commits: AtomicU64,
    committed_groups: AtomicU64,
    commit_micros: AtomicU64,
    retries: AtomicU64,
    loads: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            lines: Box::new(std::array::from_fn(|_| Line::default())),
            commits: AtomicU64::new(0),
            committed_groups: AtomicU64::new(0),
            commit_micros: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            loads: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }
}

/// The number of this thread among those that count.
#[inline]
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let number = NUMBER.get();
    if number != usize::MAX {
        return number;
    }
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    NUMBER.set(next.min(OWN + next % SHARED));
    NUMBER.get()
}

/// Adds to a number that no other thread writes. An atomic addition would take as long as counting for a tracker.
#[inline]
fn add_own(number: &AtomicU64, count: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

impl Meter {
    /// Counts a document.
    #[inline]
    pub(crate) fn note(&self, outcome: &Outcome) {
        let thread = thread();
        if thread >= OWN || !outcome.is_plain() || outcome.duplicate() {
            let mut counts = Counts::default();
            counts.note(outcome);
            return self.note_counts(&counts, outcome.events().len() as u64);
        }
        let [documents, counted, ..] = &self.lines[thread % LINES].0;
        add_own(documents, 1);
        add_own(counted, outcome.is_counted().into());
    }

    /// Counts documents and their events.
    #[cold]
    pub(crate) fn note_counts(&self, counts: &Counts, events: u64) {
        let Counts { documents, counted, refused, skipped, late, failed, duplicates } = *counts;
        for (at, count) in
            [documents, counted, refused, skipped, late, failed, duplicates, events].into_iter().enumerate()
        {
            self.add(at, count);
        }
    }

    fn add(&self, at: usize, count: u64) {
        let thread = thread();
        let number = &self.lines[thread % LINES].0[at];
        if thread < OWN {
            add_own(number, count);
        } else {
            number.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_commit(&self, groups: usize, time: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.committed_groups.fetch_add(groups as u64, Ordering::Relaxed);
        self.commit_micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_load(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn note_error(&self, error: &Error) {
        *self.errors.lock().entry(error.code()).or_default() += 1;
    }

    pub(crate) fn read(&self) -> Metrics {
        let sum =
            |at: usize| self.lines.iter().map(|line| line.0[at].load(Ordering::Relaxed)).fold(0, u64::wrapping_add);
        let mut documents = Counts::default();
        (documents.documents, documents.counted, documents.refused) = (sum(0), sum(1), sum(2));
        (documents.skipped, documents.late, documents.failed) = (sum(3), sum(4), sum(5));
        documents.duplicates = sum(6);
        Metrics {
            documents,
            events: sum(7),
            commits: self.commits.load(Ordering::Relaxed),
            committed_groups: self.committed_groups.load(Ordering::Relaxed),
            commit_time: Duration::from_micros(self.commit_micros.load(Ordering::Relaxed)),
            retries: self.retries.load(Ordering::Relaxed),
            loads: self.loads.load(Ordering::Relaxed),
            errors: self.errors.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let meter = Meter::default();
        std::thread::scope(|scope| {
            // More threads than have a line of their own.
            for _ in 0..OWN + 2 * SHARED {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        meter.note(&Outcome::default());
                    }
                });
            }
        });
        assert_eq!(meter.read().documents.documents, (OWN + 2 * SHARED) as u64 * 1000);
    }
}
