//! Many documents that are committed together.

use std::fmt;

use dictrack_core::{Outcome, json::Text};

use super::options::Submission;
use super::shared::Manager;
use crate::Error;
use crate::deadline::Deadline;

/// Documents that are applied one by one and committed together: see [`Manager::batch`].
#[must_use = "what was applied may be lost until `finish` has returned"]
pub struct Batch<'m> {
    manager: &'m Manager,
    pub(super) results: Vec<Result<Outcome, Error>>,
    /// What has to be kept or delivered.
    left: Vec<Left>,
    /// Why documents are not applied any more.
    away: Option<Error>,
    deadline: Deadline,
}

/// A document that was applied, but is not done.
struct Left {
    /// The position of its result.
    at: usize,
    group: Text,
    claim: u64,
    /// Whether the commit has to keep it.
    kept: bool,
}

impl Manager {
    /// Begins a batch: apply documents with [`Batch::track`], then wait for [`Batch::finish`], which commits them together.
    pub fn batch(&self) -> Batch<'_> {
        let deadline = self.deadline();
        Batch { manager: self, results: Vec::new(), left: Vec::new(), away: None, deadline }
    }
}

impl Batch<'_> {
    /// How many documents were passed to it.
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// Whether no document was passed to it yet.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Applies a document, unless the cache or the store could not be reached for an earlier one.
    pub async fn track(&mut self, submission: Submission<'_>) {
        match self.away.clone().map_or_else(|| self.manager.check(), Err) {
            Ok(()) => match self.manager.apply_now(submission) {
                (result, true) => self.note(submission.group, result.map(|outcome| (outcome, 0))),
                // The waiting part takes space that the common case should not have to move around.
                (_, false) => Box::pin(self.track_later(submission)).await,
            },
            Err(error) => self.results.push(Err(error)),
        }
    }

    async fn track_later(&mut self, submission: Submission<'_>) {
        self.deadline = self.manager.deadline();
        let result = self.manager.apply(self.deadline, submission).await;
        let result = result.inspect_err(|error| self.manager.shared.meter.note_error(error));
        self.note(submission.group, result);
    }

    #[inline]
    fn note(&mut self, group: &str, result: Result<(Outcome, u64), Error>) {
        let result = match result {
            Ok((outcome, claim)) => {
                self.manager.shared.meter.note(&outcome);
                let kept = self.manager.has_to_be_kept(&outcome);
                if kept || !outcome.events().is_empty() {
                    self.left.push(Left { at: self.results.len(), group: group.into(), claim, kept });
                }
                Ok(outcome)
            }
            Err(error) => {
                // Each further document would wait as long, and would be counted before this one.
                if error.is_temporary() && self.away.is_none() {
                    self.away = Some(error.clone());
                }
                Err(error)
            }
        };
        self.results.push(result);
    }

    /// Commits what the documents changed, delivers their events, and returns a result for each document.
    ///
    /// # Errors
    /// If the commit fails, the result of every document that changed something is that error. If the cache or the
    /// store cannot be reached, the documents after the first one affected are not applied, and get its error.
    #[must_use = "each document has a result of its own"]
    pub async fn finish(self) -> Vec<Result<Outcome, Error>> {
        let Self { manager, mut results, left, away, mut deadline } = self;
        if away.is_none() {
            deadline = manager.deadline();
        }
        let committer = manager.shared.committer.as_ref();
        let acknowledged = match (committer, left.iter().find(|left| left.kept)) {
            (Some(committer), Some(Left { group, .. })) => {
                deadline.bound(committer.acknowledge(), |time| manager.unsaved(committer, group, time)).await
            }
            _ => Ok(false),
        };
        let mut late: Option<Error> = None;
        for Left { at, group, claim, kept } in left {
            let Ok(outcome) = &results[at] else { continue };
            let done = match (&acknowledged, committer) {
                // No document waits for what an earlier one has waited for in vain.
                _ if late.is_some() => late.clone().map_or(Ok(()), Err),
                (Ok(true), Some(committer)) if kept => {
                    let confirmed = manager.confirm(committer, &group, outcome.version(), claim);
                    deadline.bound(confirmed, |time| manager.unsaved(committer, &group, time)).await
                }
                (Ok(_), _) => Ok(()),
                (Err(error), _) => Err(error.clone()),
            };
            let told = match done {
                Ok(()) => manager.deliver(&group, outcome.events(), &mut deadline).await,
                Err(error) => Err(error),
            };
            if let Err(error) = told {
                late = late.or_else(|| (error.is_temporary() && deadline.is_over()).then(|| error.clone()));
                results[at] = Err(error);
            }
        }
        results
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("documents", &self.len()).finish_non_exhaustive()
    }
}
