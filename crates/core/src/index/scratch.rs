//! Reused memory for matching one document.

use std::cell::Cell;

/// The intersection so far, the matches, and the predicates evaluated so far. Reused for each document, so that matching
/// does not allocate.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) words: Vec<u64>,
    /// The matches are the first `matched`; the rest is meaningless.
    matches: Vec<u32>,
    matched: usize,
    /// Which matches are not counted in the first pass.
    later: Vec<u32>,
    pub(super) survivors: Vec<u32>,
    /// For each predicate, twice the number of the document it was evaluated for, plus the result. Numbers are never reused,
    /// so nothing has to be cleared between documents or sets.
    memory: Vec<u64>,
    document: u64,
}

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Takes the scratch of this thread. A nested call gets a new one.
    pub(crate) fn take() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Returns it.
    pub(crate) fn give(self: Box<Self>) {
        SPARE.set(Some(self));
    }

    /// Starts with `trackers` bits set.
    pub(super) fn fill(&mut self, trackers: usize) {
        self.words.clear();
        self.words.resize(trackers / 64, u64::MAX);
        if !trackers.is_multiple_of(64) {
            self.words.push((1 << (trackers % 64)) - 1);
        }
    }

    /// Appends the position of each bit that is set.
    ///
    /// Positions are written sixteen at a time, even if there are fewer, and the excess is overwritten by the next ones. A loop
    /// over the bits would end unpredictably once per word (Langdale and Lemire, "Parsing gigabytes of JSON
    /// per second", VLDB Journal 2019, §3.1.4).
    #[inline]
    pub(super) fn collect(&mut self) {
        let Self { words, matches, matched, .. } = self;
        let most = words.len() * 64 + *matched;
        if matches.len() < most {
            matches.resize(most, 0);
        }
        for (&word, first) in words.iter().zip((0..).step_by(64)) {
            let count = word.count_ones() as usize;
            let mut left = word;
            for chunk in matches[*matched..*matched + 64].chunks_exact_mut(16).take(count.div_ceil(16)) {
                for position in chunk {
                    // The last bit is a placeholder that keeps the number from becoming zero.
                    *position = first + (left | 1 << 63).trailing_zeros();
                    left &= left.wrapping_sub(1);
                }
            }
            *matched += count;
        }
    }

    /// Appends `more` matches.
    pub(super) fn extend(&mut self, more: &[u32]) {
        self.matches.truncate(self.matched);
        self.matches.extend_from_slice(more);
        self.matched = self.matches.len();
    }

    /// Keeps the first `count` matches.
    pub(super) fn truncate(&mut self, count: usize) {
        self.matched = count;
    }

    /// Keeps the matches that pass.
    pub(super) fn retain(&mut self, mut passes: impl FnMut(u32, &mut Self) -> bool) {
        let mut matches = std::mem::take(&mut self.matches);
        matches.truncate(self.matched);
        matches.retain(|&at| passes(at, self));
        self.matched = matches.len();
        self.matches = matches;
    }

    /// The matches, and space to record which of them come later.
    pub(crate) fn matches(&mut self) -> (&mut [u32], &mut [u32]) {
        let Self { matches, matched, later, .. } = self;
        if later.len() < *matched {
            later.resize(*matched, 0);
        }
        (&mut matches[..*matched], later)
    }

    /// Starts a new document for a set with `predicates`.
    pub(super) fn begin(&mut self, predicates: usize) {
        self.matched = 0;
        self.document += 1;
        if self.memory.len() < predicates {
            self.memory.resize(predicates, 0);
        }
    }

    #[inline]
    pub(super) fn memory(&self, predicate: u32) -> Option<bool> {
        let memory = self.memory[predicate as usize];
        (memory / 2 == self.document).then_some(memory % 2 == 1)
    }

    #[inline]
    pub(super) fn memorize(&mut self, predicate: u32, holds: bool) {
        self.memory[predicate as usize] = self.document * 2 + u64::from(holds);
    }
}
