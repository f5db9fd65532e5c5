//! The calls on documents: tracking and explaining them.

use std::fmt;
use std::pin::Pin;

use dictrack_core::{
    Document, Explanation, Outcome, Span, Timestamp,
    group::{ContentHash, Group, GroupError, Track},
};

use super::at::At;
use super::options::Submission;
use super::shared::Manager;
use crate::Error;
use crate::cache::Effect;
use crate::deadline::Deadline;

/// A document that [`Manager::begin_track`] has begun to apply.
#[must_use = "a document that waits is not applied until it is polled"]
pub enum Begun<'a> {
    /// It is done.
    Done(Outcome),
    /// The rest has to wait: for the group, for the commit, or for listeners. If it is dropped, the document may have counted.
    Waiting(Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send + 'a>>),
}

impl fmt::Debug for Begun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(outcome) => f.debug_tuple("Done").field(outcome).finish(),
            Self::Waiting(_) => f.write_str("Waiting"),
        }
    }
}

impl Manager {
    /// Applies a document to a group.
    ///
    /// # Errors
    /// A failure of the cache or the store; [`Error::Reentrant`] from custom code.
    pub fn track<'a>(
        &'a self,
        group: &'a str,
        document: &'a dyn Document,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send + 'a {
        // Not an async function around the other one, which would move the outcome once more.
        self.track_one(Submission::new(group, document))
    }

    /// Applies a document with its options: its moment, its id, and the trackers that its group must have.
    ///
    /// # Errors
    /// The errors of [`track`](Self::track); [`Error::Group`] if the group cannot have the trackers.
    pub async fn track_one(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        let (outcome, done) = self.begin(submission)?;
        if self.is_finished(&outcome, done) {
            return Ok(outcome);
        }
        // The waiting part takes space that the common case should not have to move around.
        Box::pin(self.finish(submission, done.then_some(outcome))).await
    }

    /// Applies a document like [`track_one`](Self::track_one), as far as that is possible without waiting. Never blocks the
    /// thread, so that a caller that holds a lock, such as an interpreter's, need not release it for most documents.
    ///
    /// # Errors
    /// The errors of [`track_one`](Self::track_one).
    pub fn begin_track<'a>(&'a self, submission: Submission<'a>) -> Result<Begun<'a>, Error> {
        let (outcome, done) = self.begin(submission)?;
        if self.is_finished(&outcome, done) {
            return Ok(Begun::Done(outcome));
        }
        Ok(Begun::Waiting(Box::pin(self.finish(submission, done.then_some(outcome)))))
    }

    /// Applies many documents in order, commits them together, and returns one result for each. A [`batch`](Self::batch) does
    /// the same for documents that are read one by one.
    ///
    /// # Errors
    /// If the commit fails, the result of every document that changed something is that error. If the cache or the
    /// store cannot be reached, the documents after the first one affected are not applied, and get its error.
    #[must_use = "each document has a result of its own"]
    pub async fn track_many(&self, submissions: &[Submission<'_>]) -> Vec<Result<Outcome, Error>> {
        let mut batch = self.batch();
        batch.results.reserve(submissions.len());
        for submission in submissions {
            batch.track(*submission).await;
        }
        batch.finish().await
    }

    /// Applies documents in order and shows each outcome to `visit`, as long as nothing has to wait. Returns how many it has
    /// applied. The next one has done nothing; it needs [`track_one`](Self::track_one), which may wait or fail.
    ///
    /// For programs that [commit by hand](super::ManagerBuilder::commit_by_hand) or have no store: the fastest way to track many
    /// documents. Applies nothing if each call has to wait for a commit or for listeners.
    pub fn track_ready(&self, submissions: &[Submission<'_>], mut visit: impl FnMut(&Outcome) + Send) -> usize {
        let waits = self.shared.committer.as_ref().is_some_and(|committer| !committer.by_hand());
        if waits || self.shared.deliveries.has_listeners() || self.check().is_err() {
            return 0;
        }
        let groups: Vec<&str> = submissions.iter().map(|submission| submission.group).collect();
        let mut step = |at: usize, group: &mut Group| {
            let submission: Submission<'_> = submissions[at];
            if self.check_ahead(&submission).is_err() {
                return None;
            }
            let mut outcome = Ok(Outcome::default());
            let effect = self.track_step(&submission, &mut outcome)(group);
            let outcome = outcome.ok()?;
            self.shared.meter.note(&outcome);
            visit(&outcome);
            Some(effect)
        };
        self.shared.cache.update_many_now(&groups, &mut step)
    }

    /// What a document would do to each tracker of a group, and why, without changing anything.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn explain(&self, group: &str, document: &dyn Document) -> Result<Vec<Explanation>, Error> {
        self.by_clock().explain(group, document).await
    }

    /// The part of `track` that needs no waiting. Also returns whether the document was applied; if not, the cache does not
    /// have the group at hand.
    #[inline]
    pub(super) fn begin(&self, submission: Submission<'_>) -> Result<(Outcome, bool), Error> {
        self.check()?;
        let (outcome, done) = self.apply_now(submission);
        Ok((outcome?, done))
    }

    /// Whether nothing is left to wait for: no change to commit, no event to deliver. If so, the document is counted among
    /// those that were tracked.
    #[inline]
    pub(super) fn is_finished(&self, outcome: &Outcome, done: bool) -> bool {
        let is_finished = done && outcome.events().is_empty() && !self.has_to_be_kept(outcome);
        if is_finished {
            self.shared.meter.note(outcome);
        }
        is_finished
    }

    /// The part of `track` that may have to wait: loading the group where there is no `outcome` yet, the commit, the
    /// listeners.
    pub(super) async fn finish(&self, submission: Submission<'_>, outcome: Option<Outcome>) -> Result<Outcome, Error> {
        let deadline = self.deadline();
        let done = self.finish_within(deadline, submission, outcome).await;
        self.watch("track", submission.group, deadline, &done);
        done.inspect(|outcome| self.shared.meter.note(outcome))
    }

    async fn finish_within(
        &self,
        mut deadline: Deadline,
        submission: Submission<'_>,
        outcome: Option<Outcome>,
    ) -> Result<Outcome, Error> {
        let (outcome, claim) = match outcome {
            Some(outcome) => (outcome, 0),
            None => self.apply(deadline, submission).await?,
        };
        if self.has_to_be_kept(&outcome) {
            self.acknowledge(deadline, submission.group, outcome.version(), claim).await?;
        }
        self.deliver(submission.group, outcome.events(), &mut deadline).await?;
        Ok(outcome)
    }

    /// Whether the change of a document must be committed before the call is acknowledged.
    #[inline]
    pub(super) fn has_to_be_kept(&self, outcome: &Outcome) -> bool {
        self.shared.committer.is_some() && (outcome.changed() || outcome.duplicate())
    }

    /// The engine's part of `track`: on the newest state, in the cache. Also returns the claim under which the cache
    /// holds the group.
    pub(super) async fn apply(&self, deadline: Deadline, submission: Submission<'_>) -> Result<(Outcome, u64), Error> {
        let group = submission.group;
        self.check_ahead(&submission)?;
        let mut outcome = Ok(Outcome::default());
        let mut step = self.track_step(&submission, &mut outcome);
        let claim = self.update(deadline, group, &mut step).await?;
        drop(step);
        Ok((outcome.map_err(|error| Error::group(group, error))?, claim))
    }

    /// Like [`apply`](Self::apply), but only if it need not wait; also returns whether that was so.
    #[inline]
    pub(super) fn apply_now(&self, submission: Submission<'_>) -> (Result<Outcome, Error>, bool) {
        let group = submission.group;
        if let Err(error) = self.check_ahead(&submission) {
            return (Err(error), true);
        }
        let mut outcome = Ok(Outcome::default());
        let done = {
            let mut step = self.track_step(&submission, &mut outcome);
            self.shared.cache.update_now(group, &mut step)
        };
        (outcome.map_err(|error| self.refused(group, error)), done)
    }

    /// The error of a document that its group refused, counted.
    #[cold]
    fn refused(&self, group: &str, problem: GroupError) -> Error {
        let error = Error::group(group, problem);
        self.shared.meter.note_error(&error);
        error
    }

    /// Rejects a document that is too far ahead of the clock.
    #[inline]
    pub(super) fn check_ahead(&self, submission: &Submission<'_>) -> Result<(), Error> {
        match (self.shared.ahead, submission.now) {
            (Some(ahead), Some(moment)) => self.check_moment(moment, ahead),
            _ => Ok(()),
        }
    }

    #[cold]
    fn check_moment(&self, moment: Timestamp, ahead: Span) -> Result<(), Error> {
        let clock = self.shared.clock.now();
        if moment > clock.saturating_add(ahead) { Err(Error::Ahead { moment, clock, ahead }) } else { Ok(()) }
    }

    /// The step that tracks a document and leaves its outcome in `outcome`.
    #[inline]
    pub(super) fn track_step<'a>(
        &'a self,
        submission: &'a Submission<'a>,
        outcome: &'a mut Result<Outcome, GroupError>,
    ) -> impl FnMut(&mut Group) -> Effect + Send + 'a {
        let shared = &*self.shared;
        let Submission { group, document, now, event_id, ensure, backfill, silent } = *submission;
        // Reading the clock takes a tenth of the whole call.
        let clock = match now {
            Some(now) if event_id.is_none() => now,
            _ => shared.clock.now(),
        };
        let track = Track::new(document, now.unwrap_or(clock))
            .clock(clock)
            .id(event_id.map(|id| ContentHash::of_one(id.as_bytes())))
            .keep_events(self.keeps_events() && !silent);
        let is_plain = ensure.is_none() && backfill.is_none() && !silent;
        move |found: &mut Group| {
            let mut is_changed = false;
            let mut apply = || match is_plain && found.has_templates(&shared.engine) {
                true => Ok(found.track(&shared.engine, group, &track)),
                false => {
                    let before = found.version();
                    let done = self.track_with_options(found, submission, &track);
                    is_changed = found.version() != before;
                    done
                }
            };
            *outcome = if shared.has_custom { self.within_step(apply) } else { apply() };
            match outcome {
                Ok(outcome) if outcome.changed() && event_id.is_some() => Effect::ChangedById,
                Ok(outcome) if outcome.changed() => Effect::Changed,
                Ok(outcome) if outcome.duplicate() => Effect::Relied,
                // The group got trackers of templates, but it cannot have those of the list.
                Err(_) if is_changed => Effect::Changed,
                _ => Effect::Unchanged,
            }
        }
    }

    /// Applies a document that has options, or whose group may lack trackers of templates.
    #[inline(never)]
    fn track_with_options(
        &self,
        found: &mut Group,
        submission: &Submission<'_>,
        track: &Track<'_>,
    ) -> Result<Outcome, GroupError> {
        let (engine, group) = (self.engine(), submission.group);
        let mut done = match submission.backfill {
            Some(list) => found.backfill(engine, group, track, list),
            None => found.ensure_and_track(engine, group, track, submission.ensure),
        };
        if let (Ok(outcome), true) = (&mut done, submission.silent) {
            outcome.silence();
        }
        done
    }
}

impl At<'_> {
    /// See [`Manager::track`].
    ///
    /// # Errors
    /// The same errors.
    pub fn track<'a>(
        &'a self,
        group: &'a str,
        document: &'a dyn Document,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send + 'a {
        // Not an async function around the other one, which would move the outcome once more.
        self.track_one(Submission::new(group, document))
    }

    /// See [`Manager::track_one`]. A submission that has a moment keeps it.
    ///
    /// # Errors
    /// The same errors.
    pub async fn track_one(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        self.manager.track_one(self.dated(submission)).await
    }

    /// See [`Manager::explain`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn explain(&self, group: &str, document: &dyn Document) -> Result<Vec<Explanation>, Error> {
        let (manager, now) = (self.manager, self.moment());
        let explain = |found: &Group| manager.within_step(|| found.explain(manager.engine(), document, now));
        manager.view_at(group, now, explain).await
    }

    /// The submission, at this moment if it has none.
    pub(super) fn dated<'s>(&self, mut submission: Submission<'s>) -> Submission<'s> {
        submission.now = submission.now.or(self.now);
        submission
    }
}
