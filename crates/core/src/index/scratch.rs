//! Reused memory for matching one document.

use std::cell::Cell;

/// The intersection so far, the matches, and the predicates already evaluated. Kept from document to document, so that
/// matching allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(super) words: Vec<u64>,
    pub(crate) matches: Vec<u32>,
    pub(super) survivors: Vec<u32>,
    /// For each predicate twice the document number it was evaluated for, plus its answer. Numbers are never used
    /// again, so that nothing has to be cleared between documents or sets.
    memory: Vec<u64>,
    document: u64,
}

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Takes the scratch of this thread; a nested call gets a fresh one.
    pub(crate) fn take() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Gives it back.
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
    pub(super) fn collect(&mut self) {
        let Self { words, matches, .. } = self;
        for (&word, first) in words.iter().zip((0..).step_by(64)) {
            let mut word = word;
            let (mut found, mut count) = ([0; 64], 0);
            while word != 0 {
                found[count % 64] = first + word.trailing_zeros();
                count += 1;
                word &= word - 1;
            }
            matches.extend_from_slice(&found[..count]);
        }
    }

    /// Begins a new document for a set with `predicates`.
    pub(super) fn remember(&mut self, predicates: usize) {
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
