//! Looking at a whole group, and at what a document would make of it.

use dictrack_core::{Outcome, group::Group};

use super::at::At;
use super::options::Submission;
use super::shared::Manager;
use crate::Error;

impl Manager {
    /// Shows a group to `look`, with the trackers that [templates](Self::set_trackers) give it, and returns what that returns:
    /// everything that it reads belongs to one state of the group. A group that does not exist is shown empty. Keep `look` short,
    /// since other calls wait for the group in the meantime.
    ///
    /// ```
    /// use dictrack::{Manager, TrackerDefinition, group::Group};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::in_memory();
    /// let logins = TrackerDefinition::count("logins").target(3).build()?;
    /// dictrack::block_on(manager.ensure_tracker("user_001", logins))?;
    /// let counts = |group: &Group| (group.active_names(manager.now()).count(), group.completed().len());
    /// assert_eq!(dictrack::block_on(manager.look("user_001", counts))?, (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A failure of the cache or the store; [`Error::Reentrant`] from custom code.
    pub async fn look<T: Send>(&self, group: &str, look: impl Fn(&Group) -> T + Send + Sync) -> Result<T, Error> {
        self.by_clock().look(group, look).await
    }

    /// What [`track_one`](Self::track_one) would return, without changing anything.
    ///
    /// ```
    /// use dictrack::{Manager, TrackerDefinition, json::Json, manager::Submission};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::in_memory();
    /// let logins = TrackerDefinition::count("logins").target(1).build()?;
    /// dictrack::block_on(manager.ensure_tracker("user_001", logins))?;
    /// for _ in 0..2 {
    ///     let outcome = dictrack::block_on(manager.preview(Submission::new("user_001", &Json::Null)))?;
    ///     assert_eq!(outcome.completed().count(), 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The errors of [`track_one`](Self::track_one).
    pub async fn preview(&self, submission: Submission<'_>) -> Result<Outcome, Error> {
        self.check()?;
        self.check_ahead(&submission)?;
        let group = submission.group;
        let tried = self.view(self.deadline(), group, |found| {
            let mut outcome = Ok(Outcome::default());
            self.track_step(&submission, &mut outcome)(&mut found.clone());
            outcome
        });
        tried.await?.map_err(|error| Error::group(group, error))
    }
}

impl At<'_> {
    /// See [`Manager::look`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn look<T: Send>(&self, group: &str, look: impl Fn(&Group) -> T + Send + Sync) -> Result<T, Error> {
        let manager = self.manager;
        manager.view_at(group, self.moment(), |found| manager.within_step(|| look(found))).await
    }

    /// See [`Manager::preview`]. A submission that has a moment keeps it.
    ///
    /// # Errors
    /// The same errors.
    pub async fn preview(&self, submission: super::Submission<'_>) -> Result<Outcome, Error> {
        self.manager.preview(self.dated(submission)).await
    }
}
