//! The calls on trackers: adding, reading, changing, removing them.

use std::sync::Arc;

use dictrack_core::{
    Amount, CompletedTracker, Event, Span, TrackerDefinition, TrackerSnapshot,
    group::{Added, Differing, Group, TrackerList},
};

use super::at::At;
use super::options::{Reset, TrackerUpdate};
use super::shared::{Changed, Manager};
use crate::Error;

impl Manager {
    /// Adds a tracker. Returns `false` if an equal one is there; then nothing changes. A tracker that has completed is
    /// added again: it starts from zero, and awards again what it awarded before. At every start of a program, call
    /// [`ensure_tracker`](Self::ensure_tracker) instead.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn add_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        self.by_clock().add_tracker(group, definition).await
    }

    /// Adds trackers, all or none. Trackers that have completed are added again and start from zero; at every start of
    /// a program, call [`ensure_trackers`](Self::ensure_trackers) instead.
    ///
    /// # Errors
    /// [`Error::Group`] if a name occurs twice or an active tracker of that name has another definition.
    pub async fn add_trackers(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
    ) -> Result<Added, Error> {
        self.by_clock().add_trackers(group, definitions).await
    }

    /// Like [`add_trackers`](Self::add_trackers), for a limited time: the trackers expire this long after the moment of
    /// the call.
    ///
    /// # Errors
    /// The errors of [`add_trackers`](Self::add_trackers).
    pub async fn add_trackers_for(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
        time: Span,
    ) -> Result<Added, Error> {
        self.by_clock().add_trackers_for(group, definitions, time).await
    }

    /// Prepares a list of definitions for [`ensure_trackers`](Self::ensure_trackers) and
    /// [`Submission::ensure`](super::Submission::ensure).
    ///
    /// # Errors
    /// [`Error::Group`] if a name occurs twice in it.
    pub fn tracker_list(&self, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Result<TrackerList, Error> {
        let definitions = definitions.into_iter().map(Arc::new).collect();
        TrackerList::new(definitions, self.engine()).map_err(|error| Error::group("(any)", error))
    }

    /// Ensures that `group` has a tracker: adds it, unless it is there or has completed. Returns `true` if it was
    /// added. Call this at every start of a program. For trackers that all groups have, see
    /// [`ManagerBuilder::trackers`](super::ManagerBuilder::trackers).
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn ensure_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        self.by_clock().ensure_tracker(group, definition).await
    }

    /// Ensures that `group` has the trackers of `list`. Completed trackers are left alone.
    ///
    /// With [`Differing::Replace`], active trackers that the list lacks are removed, except those of
    /// [templates](Self::set_trackers). With that and with [`Differing::Update`], completed ones that gain
    /// targets become active again, as after [`update_tracker`](Self::update_tracker).
    ///
    /// To do this before each document, [`Submission::ensure`](super::Submission::ensure) is cheaper.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker differs and `differing` does not allow that.
    pub async fn ensure_trackers(&self, group: &str, list: &TrackerList, differing: Differing) -> Result<Added, Error> {
        self.by_clock().ensure_trackers(group, list, differing).await
    }

    /// The active trackers of a group, in the order added. Empty if there are none.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn trackers(&self, group: &str) -> Result<Vec<TrackerSnapshot>, Error> {
        self.by_clock().trackers(group).await
    }

    /// The active tracker of that name, if there is one.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn tracker(&self, group: &str, name: &str) -> Result<Option<TrackerSnapshot>, Error> {
        self.by_clock().tracker(group, name).await
    }

    /// The completed trackers of a group, in order of completion; only the last 100, unless the builder sets another
    /// limit.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn completed(&self, group: &str) -> Result<Vec<CompletedTracker>, Error> {
        self.view(self.deadline(), group, Group::completed).await
    }

    /// Replaces the definition of the active tracker of that name and keeps its state; `false` if there is none.
    ///
    /// The tracker keeps its progress (unless the update sets one), its stage (or the last one, if there are now
    /// fewer), its cycle, its expiry and the state of limiters that are equal; a `count` limiter that differs only in
    /// its number keeps what was used of it. A completed tracker that gains targets becomes active again with its
    /// progress, on the first new target; one of which only the name is still known stays completed. No event fires.
    ///
    /// # Errors
    /// [`Error::Group`] if the tracker comes from a [template](Self::set_trackers).
    pub async fn update_tracker(&self, group: &str, update: impl Into<TrackerUpdate>) -> Result<bool, Error> {
        self.by_clock().update_tracker(group, update).await
    }

    /// Sets the progress of an active tracker. No event fires: targets that it reaches are met by the next document
    /// that counts. `false` if there is no such tracker.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn set_progress(&self, group: &str, name: &str, progress: impl Into<Amount>) -> Result<bool, Error> {
        self.by_clock().set_progress(group, name, progress).await
    }

    /// Appends targets to an active or completed tracker, as [`update_tracker`](Self::update_tracker) does: a completed
    /// one becomes active again. `false` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Group`] if the result would not be a valid definition, or the tracker comes from a
    /// [template](Self::set_trackers).
    pub async fn add_targets<T: Into<Amount>>(
        &self,
        group: &str,
        name: &str,
        targets: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        self.by_clock().add_targets(group, name, targets).await
    }

    /// Removes an active tracker; `false` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Group`] if one comes from a [template](Self::set_trackers).
    pub async fn remove_tracker(&self, group: &str, name: &str) -> Result<bool, Error> {
        self.by_clock().remove_tracker(group, name).await
    }

    /// Removes active trackers; returns the names of those that were there.
    ///
    /// # Errors
    /// [`Error::Group`] if one comes from a [template](Self::set_trackers).
    pub async fn remove_trackers(&self, group: &str, names: &[&str]) -> Result<Vec<String>, Error> {
        self.by_clock().remove_trackers(group, names).await
    }

    /// Resets an active tracker. Fires and returns the RESET event; returns `None` if there is no such tracker.
    ///
    /// # Errors
    /// [`Error::Group`] if a custom limiter cannot be renewed.
    pub async fn reset_tracker(&self, group: &str, name: &str, reset: Reset) -> Result<Option<Arc<Event>>, Error> {
        self.by_clock().reset_tracker(group, name, reset).await
    }
}

impl At<'_> {
    /// See [`Manager::add_tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn add_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        Ok(!self.add_trackers(group, [definition]).await?.added.is_empty())
    }

    /// See [`Manager::add_trackers`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn add_trackers(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
    ) -> Result<Added, Error> {
        self.add(group, definitions.into_iter().map(Arc::new).collect(), None).await
    }

    /// See [`Manager::add_trackers_for`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn add_trackers_for(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
        time: Span,
    ) -> Result<Added, Error> {
        self.add(group, definitions.into_iter().map(Arc::new).collect(), Some(time)).await
    }

    async fn add(
        &self,
        group: &str,
        definitions: Vec<Arc<TrackerDefinition>>,
        expire: Option<Span>,
    ) -> Result<Added, Error> {
        self.manager
            .change(group, self.now, |found, call| {
                let added = found.add(call, &definitions, expire)?;
                Ok(Changed { events: added.events.clone(), value: added })
            })
            .await
    }

    /// See [`Manager::ensure_tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn ensure_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        let list = self.manager.tracker_list([definition])?;
        Ok(!self.ensure_trackers(group, &list, Differing::Refuse).await?.added.is_empty())
    }

    /// See [`Manager::ensure_trackers`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn ensure_trackers(&self, group: &str, list: &TrackerList, differing: Differing) -> Result<Added, Error> {
        self.manager
            .change(group, self.now, |found, call| {
                let ensured = found.ensure(call, list, differing)?;
                Ok(Changed { events: ensured.events.clone(), value: ensured })
            })
            .await
    }

    /// See [`Manager::trackers`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn trackers(&self, group: &str) -> Result<Vec<TrackerSnapshot>, Error> {
        let now = self.moment();
        self.manager.view_at(group, now, |found| found.trackers(self.manager.engine(), None, now)).await
    }

    /// See [`Manager::tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn tracker(&self, group: &str, name: &str) -> Result<Option<TrackerSnapshot>, Error> {
        let now = self.moment();
        let found = |found: &Group| found.tracker(self.manager.engine(), name, now);
        self.manager.view_at(group, now, found).await
    }

    /// See [`Manager::update_tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn update_tracker(&self, group: &str, update: impl Into<TrackerUpdate>) -> Result<bool, Error> {
        let TrackerUpdate { definition, progress } = update.into();
        let definition = Arc::new(definition);
        self.manager
            .change(group, self.now, |group, call| {
                let found = group.update(call, &definition)?;
                if let Some(progress) = progress.filter(|_| found) {
                    group.set_progress(call, definition.name(), progress);
                }
                Ok(Changed::silent(found))
            })
            .await
    }

    /// See [`Manager::set_progress`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn set_progress(&self, group: &str, name: &str, progress: impl Into<Amount>) -> Result<bool, Error> {
        let progress = progress.into();
        self.manager
            .change(group, self.now, |group, call| {
                let found = group.set_progress(call, name, progress);
                Ok(Changed::silent(found))
            })
            .await
    }

    /// See [`Manager::add_targets`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn add_targets<T: Into<Amount>>(
        &self,
        group: &str,
        name: &str,
        targets: impl IntoIterator<Item = T>,
    ) -> Result<bool, Error> {
        let targets: Vec<Amount> = targets.into_iter().map(Into::into).collect();
        self.manager
            .change(group, self.now, |group, call| {
                let found = group.add_targets(call, name, &targets)?;
                Ok(Changed::silent(found))
            })
            .await
    }

    /// See [`Manager::remove_tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn remove_tracker(&self, group: &str, name: &str) -> Result<bool, Error> {
        Ok(!self.remove_trackers(group, &[name]).await?.is_empty())
    }

    /// See [`Manager::remove_trackers`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn remove_trackers(&self, group: &str, names: &[&str]) -> Result<Vec<String>, Error> {
        self.manager.change(group, self.now, |group, call| Ok(Changed::silent(group.remove(call, names)?))).await
    }

    /// See [`Manager::reset_tracker`].
    ///
    /// # Errors
    /// The same errors.
    pub async fn reset_tracker(&self, group: &str, name: &str, reset: Reset) -> Result<Option<Arc<Event>>, Error> {
        self.manager
            .change(group, self.now, |group, call| {
                let event = group.reset(call, name, reset.policy, reset.renewal)?;
                Ok(Changed { events: event.iter().cloned().collect(), value: event })
            })
            .await
    }
}
