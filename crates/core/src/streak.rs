//! The state of a streak: runs of periods that were met, with what documents that arrive late may still change.

use crate::measure::Freezes;

/// A streak: the run as it was before the two open periods, and what each of these adds to it. A late document only
/// changes its own period, so the run is what it would have been if all documents had come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streak {
    pub(crate) base: Run,
    /// The earlier open period, then the current one.
    pub(crate) links: [Link; 2],
}

/// A number of periods met in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) length: u64,
    /// How many targets have fired in this run.
    pub(crate) fired: u16,
    /// How many freezes are left. They outlast a run.
    pub(crate) freezes: u64,
    /// How many periods without enough documents followed; `None` before the first period that was met.
    pub(crate) gap: Option<u64>,
}

/// What an open period adds to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) met: bool,
    /// How many targets have fired in the part of the run that its documents raised.
    pub(crate) fired: u16,
    /// How many periods without documents lie before it.
    pub(crate) missed: u64,
}

impl Streak {
    /// The state when a tracker is added.
    pub(crate) fn new(freezes: Freezes) -> Self {
        let base = Run { length: 0, fired: 0, freezes: freezes.start, gap: None };
        Self { base, links: [Link::default(); 2] }
    }

    /// The next period becomes the current one.
    pub(crate) fn follow(&mut self, freezes: Freezes) {
        self.base = self.base.after(self.links[0], freezes);
        self.links = [self.links[1], Link::default()];
    }

    /// A later period becomes the current one; `missed` periods lie between the current one and the one before it.
    pub(crate) fn jump(&mut self, missed: u64, freezes: Freezes) {
        self.base = self.base.after(self.links[0], freezes).after(self.links[1], freezes);
        self.links = [Link { missed, ..Link::default() }, Link::default()];
    }

    /// The run that ends with the current period or with the one before it: its length is 0 if it cannot go on. The
    /// current period is no gap, because it has not ended.
    pub(crate) fn run(&self, freezes: Freezes) -> Run {
        let [previous, current] = self.links;
        let mut run = self.base.after(previous, freezes);
        if current.met {
            run = run.after(current, freezes);
        }
        match run.freezes.checked_sub(run.gap.unwrap_or(0)) {
            Some(left) => run.freezes = left,
            None => (run.length, run.fired) = (0, 0),
        }
        run
    }

    /// The targets that have fired when there are fewer of them now.
    pub(crate) fn cut(&mut self, targets: u16, freezes: Freezes) {
        self.base.fired = self.base.fired.min(targets);
        for link in &mut self.links {
            link.fired = link.fired.min(targets);
        }
        if let Some(max) = freezes.max {
            self.base.freezes = self.base.freezes.min(max);
        }
    }
}

impl Run {
    /// The run after one more period.
    fn after(mut self, link: Link, freezes: Freezes) -> Self {
        self.gap = self.gap.map(|gap| gap.saturating_add(link.missed));
        if !link.met {
            self.gap = self.gap.map(|gap| gap.saturating_add(1));
            return self;
        }
        let left = self.gap.and_then(|gap| self.freezes.checked_sub(gap));
        match left {
            Some(left) => {
                self.freezes = left;
                self.length = self.length.saturating_add(1);
                self.fired = self.fired.max(link.fired);
            }
            // The first run, or the one after a gap that was too long.
            None => (self.length, self.fired) = (1, link.fired),
        }
        self.gap = Some(0);
        let earned = freezes.per.is_some_and(|per| self.length.is_multiple_of(per));
        if earned && freezes.max.is_none_or(|max| self.freezes < max) {
            self.freezes = self.freezes.saturating_add(1);
        }
        self
    }
}
