//! Tracking the documents of many groups, group by group.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use dictrack_core::{
    Outcome,
    group::{ContentHash, Differing, Group, GroupError, Track, TrackerList},
};

use super::options::Submission;
use super::shared::Manager;
use crate::Error;
use crate::cache::Effect;

/// How many groups a thread takes at a time.
const GROUPS_AT_A_TIME: usize = 64;
/// How many groups there must be for each thread.
const GROUPS_A_THREAD: usize = 256;

/// Documents that are read where they are, such as the rows of a table, in order and by group.
pub trait Rows: Sync {
    /// How many groups have documents.
    fn groups(&self) -> usize;

    /// Shows the documents of a group to `visit`, in order, each with its position among all documents.
    fn visit(&self, group: usize, visit: &mut dyn FnMut(usize, Submission<'_>));

    /// The id of a group.
    fn group(&self, group: usize) -> &str;

    /// Whether the outcome of a document must be returned. Those that fire events always are.
    fn keeps(&self, outcome: &Outcome) -> bool {
        let _ = outcome;
        false
    }
}

/// How many documents did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All documents, including those that matched no tracker.
    pub documents: u64,
    /// Those that counted for one or more trackers.
    pub counted: u64,
    /// Those that a limiter of one or more trackers refused.
    pub refused: u64,
    /// Those that one or more trackers skipped: their conditions held, but nothing was added. See
    /// [`SkipReason`](dictrack_core::SkipReason).
    pub skipped: u64,
    /// Those of `skipped` whose period has ended for good.
    pub late: u64,
    /// Those for which custom code of one or more trackers failed.
    pub failed: u64,
    /// Those whose id was applied before.
    pub duplicates: u64,
}

impl Counts {
    /// Adds what one document did.
    pub fn note(&mut self, outcome: &Outcome) {
        self.documents += 1;
        self.counted += u64::from(outcome.is_counted());
        self.duplicates += u64::from(outcome.duplicate());
        if outcome.is_plain() {
            return;
        }
        self.refused += u64::from(outcome.refused().next().is_some());
        self.skipped += u64::from(outcome.skipped().next().is_some());
        self.late += u64::from(outcome.skipped().any(|(_, reason)| reason == dictrack_core::SkipReason::Late));
        self.failed += u64::from(outcome.failed().next().is_some());
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        let Self { documents, counted, refused, skipped, late, failed, duplicates } = other;
        self.documents += documents;
        self.counted += counted;
        self.refused += refused;
        self.skipped += skipped;
        self.late += late;
        self.failed += failed;
        self.duplicates += duplicates;
    }
}

/// What rows did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RowsOutcome {
    /// How many of the applied documents did what.
    pub counts: Counts,
    /// The outcomes with events, and those that the rows keep, by position, each with the number of its group.
    pub outcomes: Vec<RowOutcome>,
    /// Why not all documents were applied, or not all that changed something are acknowledged.
    pub failure: Option<RowsFailure>,
}

/// An outcome in a [`RowsOutcome`].
#[derive(Debug)]
#[non_exhaustive]
pub struct RowOutcome {
    /// The position of the document.
    pub position: usize,
    /// The number of its group.
    pub group: usize,
    /// What it did.
    pub outcome: Outcome,
}

/// Why not all rows were applied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RowsFailure {
    /// The error.
    pub error: Error,
    /// The document that was rejected. All documents before it were applied, and none after it. `None` if the cache or the
    /// store failed: then, documents of some groups were applied, or it is unknown.
    pub position: Option<usize>,
}

/// What the documents of one group did in the latest run of their step.
#[derive(Default)]
struct Ran {
    counts: Counts,
    kept: Vec<RowOutcome>,
    version: u64,
    has_to_be_kept: bool,
    refused: Option<GroupError>,
    /// Whether nothing ran, since custom code has to run on the thread of the call.
    put_off: bool,
}

/// Which rows run, and where.
#[derive(Clone, Copy)]
struct Run<'a> {
    rows: &'a dyn Rows,
    /// The position of the first document that does not run.
    until: usize,
    /// Whether this is the thread of the call.
    may_run_custom: bool,
}

/// What some groups did.
#[derive(Default)]
struct Part {
    counts: Counts,
    kept: Vec<RowOutcome>,
    /// The groups that must be kept, with their version and claim.
    changed: Vec<(usize, u64, u64)>,
    /// The groups that the cache does not have at hand, or whose custom code has to run on the thread of the call.
    absent: Vec<usize>,
    failure: Option<Failed>,
}

enum Failed {
    Group(usize, GroupError),
    Backend(Error),
}

impl Part {
    fn add(&mut self, group: usize, ran: Ran, claim: u64) {
        if ran.has_to_be_kept {
            self.changed.push((group, ran.version, claim));
        }
        self.counts.add(&ran.counts);
        self.kept.extend(ran.kept);
        if let Some(error) = ran.refused {
            self.failure = self.failure.take().or(Some(Failed::Group(group, error)));
        }
    }

    fn join(&mut self, other: Self) {
        let Self { counts, kept, changed, absent, failure } = other;
        self.counts.add(&counts);
        self.kept.extend(kept);
        self.changed.extend(changed);
        self.absent.extend(absent);
        self.failure = self.failure.take().or(failure);
    }
}

impl Manager {
    /// Applies rows and commits them together, like [`track_many`](Self::track_many), but one group after another: all documents
    /// of a group are one change. Within a group, and in the calls of listeners, their order is kept. Groups that are in
    /// memory come first and are divided among up to `threads` threads; custom code runs on the thread of the call only.
    ///
    /// What a document with [`ensure`](Submission::ensure) needs is only added before the first document of its group.
    pub async fn track_rows(&self, rows: &dyn Rows, threads: usize) -> RowsOutcome {
        let mut done = RowsOutcome::default();
        if let Err(error) = self.check() {
            done.failure = Some(RowsFailure { error, position: None });
            return done;
        }
        let rejected = self.first_ahead(rows);
        let until = rejected.as_ref().map_or(usize::MAX, |(position, _)| *position);
        done.failure = rejected.map(|(position, error)| RowsFailure { error, position: Some(position) });
        let mut part = self.run_at_hand(rows, until, threads);
        let mut spare = Outcome::default();
        let absent = std::mem::take(&mut part.absent);
        for group in absent {
            if part.failure.is_some() {
                break;
            }
            let mut ran = Ran::default();
            let run = Run { rows, until, may_run_custom: true };
            let mut step = |found: &mut Group| self.run_on(found, run, group, &mut spare, &mut ran);
            match self.update(self.deadline(), rows.group(group), &mut step).await {
                Ok(claim) => part.add(group, ran, claim),
                Err(error) => part.failure = Some(Failed::Backend(error)),
            }
        }
        let Part { counts, mut kept, changed, failure, .. } = part;
        kept.sort_unstable_by_key(|kept| kept.position);
        let events: usize = kept.iter().map(|kept| kept.outcome.events().len()).sum();
        self.shared.meter.note_counts(&counts, events as u64);
        (done.counts, done.outcomes) = (counts, kept);
        let failure = failure.map(|failure| match failure {
            Failed::Group(group, error) => Error::group(rows.group(group), error),
            Failed::Backend(error) => error,
        });
        if let Some(error) = failure.or(self.keep_rows(rows, &changed, &done.outcomes).await.err()) {
            done.failure = Some(RowsFailure { error, position: None });
        }
        if let Some(failure) = &done.failure {
            self.shared.meter.note_error(&failure.error);
        }
        done
    }

    /// Applies the documents of the groups that the cache has at hand, on some threads.
    fn run_at_hand(&self, rows: &dyn Rows, until: usize, threads: usize) -> Part {
        let next = AtomicUsize::new(0);
        let run = |may_run_custom: bool| {
            let run = Run { rows, until, may_run_custom };
            let mut part = Part::default();
            let mut spare = Outcome::default();
            while part.failure.is_none() {
                let first = next.fetch_add(GROUPS_AT_A_TIME, Ordering::Relaxed);
                if first >= rows.groups() {
                    break;
                }
                for group in first..rows.groups().min(first + GROUPS_AT_A_TIME) {
                    let mut ran = Ran::default();
                    let mut step = |found: &mut Group| self.run_on(found, run, group, &mut spare, &mut ran);
                    match self.shared.cache.update_now(rows.group(group), &mut step) && !ran.put_off {
                        true => part.add(group, ran, 0),
                        false => part.absent.push(group),
                    }
                }
            }
            part
        };
        let others = threads.min(rows.groups() / GROUPS_A_THREAD).saturating_sub(1);
        std::thread::scope(|scope| {
            let spawn =
                |_| std::thread::Builder::new().name("dictrack-rows".to_owned()).spawn_scoped(scope, || run(false));
            // Where the system has no more threads, this one does the work.
            let threads: Vec<_> = (0..others).map_while(|at| spawn(at).ok()).collect();
            let mut part = run(true);
            for thread in threads {
                match thread.join() {
                    Ok(other) => part.join(other),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            part.absent.sort_unstable();
            part
        })
    }

    /// The first document that is too far ahead of the clock.
    fn first_ahead(&self, rows: &dyn Rows) -> Option<(usize, Error)> {
        self.shared.ahead?;
        let mut first: Option<(usize, Error)> = None;
        for group in 0..rows.groups() {
            rows.visit(group, &mut |position, submission| {
                if first.as_ref().is_none_or(|(earlier, _)| position < *earlier)
                    && let Err(error) = self.check_ahead(&submission)
                {
                    first = Some((position, error));
                }
            });
        }
        first
    }

    /// Applies the documents of one group.
    fn run_on(&self, found: &mut Group, run: Run<'_>, group: usize, spare: &mut Outcome, ran: &mut Ran) -> Effect {
        if self.shared.has_custom {
            return self.within_step(|| self.run_all(found, run, group, spare, ran));
        }
        self.run_all(found, run, group, spare, ran)
    }

    fn run_all(&self, found: &mut Group, run: Run<'_>, group: usize, spare: &mut Outcome, ran: &mut Ran) -> Effect {
        // An earlier run was on a state that lost a race.
        *ran = Ran::default();
        let Run { rows, until, may_run_custom } = run;
        let may_run_all = may_run_custom || !self.shared.has_custom;
        let (engine, name) = (self.engine(), rows.group(group));
        let (clock, keep_events) = (self.now(), self.keeps_events());
        let (mut changed, mut relied, mut all_by_id, mut is_first) = (false, false, true, true);
        rows.visit(group, &mut |position, submission| {
            if position >= until || ran.refused.is_some() || ran.put_off {
                return;
            }
            let Submission { document, now, event_id, ensure, backfill, silent, .. } = submission;
            if is_first && !may_run_all {
                let adds = |(list, _): (&TrackerList, _)| list.definitions().iter().any(|added| added.asks_custom());
                let templates = || engine.templates.get().is_some_and(|templates| templates.asks_custom());
                let backfilled = backfill.is_some_and(|list| adds((list, Differing::Refuse)));
                ran.put_off = backfilled || ensure.is_some_and(adds) || found.asks_custom(engine) || templates();
                if ran.put_off {
                    return;
                }
            }
            let track = Track::new(document, now.unwrap_or(clock))
                .clock(clock)
                .id(event_id.map(|id| ContentHash::of_one(id.as_bytes())))
                .keep_events(keep_events && !silent);
            let ensure = ensure.filter(|_| is_first);
            let before = found.version();
            let done = match backfill {
                None if !found.may_lack(engine, ensure) => {
                    Ok(found.track_again(engine, name, &track, std::mem::take(spare)))
                }
                None => found.ensure_and_track(engine, name, &track, ensure),
                Some(list) => found.backfill(engine, name, &track, list),
            };
            let mut outcome = match done {
                Ok(outcome) => outcome,
                Err(error) => {
                    // It may have got trackers of templates.
                    (changed, ran.version) = (changed || found.version() != before, found.version());
                    ran.refused = Some(error);
                    return;
                }
            };
            if silent {
                outcome.silence();
            }
            is_first = false;
            ran.counts.note(&outcome);
            if outcome.changed() {
                (changed, ran.version) = (true, outcome.version());
                all_by_id &= event_id.is_some();
            } else if outcome.duplicate() {
                (relied, ran.version) = (true, outcome.version());
            }
            if !outcome.events().is_empty() || rows.keeps(&outcome) {
                ran.kept.push(RowOutcome { position, group, outcome });
            } else {
                *spare = outcome;
            }
        });
        ran.has_to_be_kept = changed || relied;
        match (changed, relied) {
            (true, _) if all_by_id => Effect::ChangedById,
            (true, _) => Effect::Changed,
            (false, true) => Effect::Relied,
            (false, false) => Effect::Unchanged,
        }
    }

    /// Waits, as the durability requires, until the changed groups are kept, and delivers the events.
    async fn keep_rows(
        &self,
        rows: &dyn Rows,
        changed: &[(usize, u64, u64)],
        outcomes: &[RowOutcome],
    ) -> Result<(), Error> {
        let mut deadline = self.deadline();
        if let (Some(committer), Some(&(first, ..))) = (&self.shared.committer, changed.first()) {
            let late = |time| self.unsaved(committer, rows.group(first), time);
            if deadline.bound(committer.acknowledge(), late).await? {
                for &(group, version, claim) in changed {
                    let group = rows.group(group);
                    let confirmed = self.confirm(committer, group, version, claim);
                    deadline.bound(confirmed, |time| self.unsaved(committer, group, time)).await?;
                }
            }
        }
        for kept in outcomes {
            self.deliver(rows.group(kept.group), kept.outcome.events(), &mut deadline).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for dyn Rows + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("groups", &self.groups()).finish_non_exhaustive()
    }
}
