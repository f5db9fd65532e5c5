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
    /// Adds a tracker; `false` if an equal one was there and nothing changed. A name that has completed is added again: it
    /// starts from nothing, and what it awards is awarded again. At every start of a program, call
    /// [`ensure_tracker`](Self::ensure_tracker).
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn add_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        self.by_clock().add_tracker(group, definition).await
    }

    /// Adds trackers: all or none. Names that have completed are added again and start from nothing; at every start of a
    /// program, call [`ensure_trackers`](Self::ensure_trackers).
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

    /// As [`add_trackers`](Self::add_trackers), for a time: they expire that long after the moment of the call.
    ///
    /// # Errors
    /// As [`add_trackers`](Self::add_trackers).
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

    /// Ensures that `group` has a tracker: adds it, unless it is there or has completed. `true` if it is new. This is the
    /// call for every start of a program.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn ensure_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        self.by_clock().ensure_tracker(group, definition).await
    }

    /// Ensures that `group` has the trackers of `list`; completed names are left alone, but for those that gain targets
    /// where `differing` updates: they are active again, as after [`update_tracker`](Self::update_tracker).
    ///
    /// To do so before each document, [`Submission::ensure`](super::Submission::ensure) is cheaper.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker differs and `differing` refuses that.
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

    /// The trackers that a group completed, in that order; the last 100, unless the builder says otherwise.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn completed(&self, group: &str) -> Result<Vec<CompletedTracker>, Error> {
        self.view(self.deadline(), group, Group::completed).await
    }

    /// Replaces the definition of the active tracker of that name and keeps its state; `false` if there is none.
    ///
    /// Progress (unless the update gives one), stage (cut to the last), cycle, expiry and the state of equal limiters are
    /// kept; a `count` limiter that differs in its number only keeps what was used of it. A completed tracker that gains
    /// targets is active again at its progress, on the first of the new targets; one of which only the name is still known
    /// stays completed. Nothing fires.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn update_tracker(&self, group: &str, update: impl Into<TrackerUpdate>) -> Result<bool, Error> {
        self.by_clock().update_tracker(group, update).await
    }

    /// Sets the progress of an active tracker and fires nothing: targets that it reaches are met by the next document that
    /// counts. `false` if there is no such tracker.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn set_progress(&self, group: &str, name: &str, progress: impl Into<Amount>) -> Result<bool, Error> {
        self.by_clock().set_progress(group, name, progress).await
    }

    /// Puts targets after those of an active or completed tracker, as [`update_tracker`](Self::update_tracker) does: a
    /// completed one is active again. `false` if there is none of that name.
    ///
    /// # Errors
    /// [`Error::Group`] if the result would not be a definition.
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
    /// A failure of the cache or the store.
    pub async fn remove_tracker(&self, group: &str, name: &str) -> Result<bool, Error> {
        self.by_clock().remove_tracker(group, name).await
    }

    /// Removes active trackers; the names of those that were there.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn remove_trackers(&self, group: &str, names: &[&str]) -> Result<Vec<String>, Error> {
        self.by_clock().remove_trackers(group, names).await
    }

    /// Resets an active tracker and fires RESET, which is returned; `None` if there is no such tracker.
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
    /// As there.
    pub async fn add_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        Ok(!self.add_trackers(group, [definition]).await?.added.is_empty())
    }

    /// See [`Manager::add_trackers`].
    ///
    /// # Errors
    /// As there.
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
    /// As there.
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
                Ok(Changed { changed: !added.added.is_empty(), events: added.events.clone(), value: added })
            })
            .await
    }

    /// See [`Manager::ensure_tracker`].
    ///
    /// # Errors
    /// As there.
    pub async fn ensure_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        let list = self.manager.tracker_list([definition])?;
        Ok(!self.ensure_trackers(group, &list, Differing::Refuse).await?.added.is_empty())
    }

    /// See [`Manager::ensure_trackers`].
    ///
    /// # Errors
    /// As there.
    pub async fn ensure_trackers(&self, group: &str, list: &TrackerList, differing: Differing) -> Result<Added, Error> {
        self.manager
            .change(group, self.now, |found, call| {
                let before = found.version();
                let ensured = found.ensure(call, list, differing)?;
                let events = ensured.events.clone();
                Ok(Changed { changed: found.version() != before, events, value: ensured })
            })
            .await
    }

    /// See [`Manager::trackers`].
    ///
    /// # Errors
    /// As there.
    pub async fn trackers(&self, group: &str) -> Result<Vec<TrackerSnapshot>, Error> {
        let now = self.moment();
        self.manager.view(self.manager.deadline(), group, |found| found.trackers(None, now)).await
    }

    /// See [`Manager::tracker`].
    ///
    /// # Errors
    /// As there.
    pub async fn tracker(&self, group: &str, name: &str) -> Result<Option<TrackerSnapshot>, Error> {
        let now = self.moment();
        let found = |found: &Group| found.trackers(Some(&[name]), now).pop();
        self.manager.view(self.manager.deadline(), group, found).await
    }

    /// See [`Manager::update_tracker`].
    ///
    /// # Errors
    /// As there.
    pub async fn update_tracker(&self, group: &str, update: impl Into<TrackerUpdate>) -> Result<bool, Error> {
        let TrackerUpdate { definition, progress } = update.into();
        let definition = Arc::new(definition);
        self.manager
            .change(group, self.now, |group, call| {
                let before = group.version();
                let found = group.update(call, &definition)?;
                if let Some(progress) = progress.filter(|_| found) {
                    group.set_progress(definition.name(), progress, call.now);
                }
                Ok(Changed::silent(group.version() != before, found))
            })
            .await
    }

    /// See [`Manager::set_progress`].
    ///
    /// # Errors
    /// As there.
    pub async fn set_progress(&self, group: &str, name: &str, progress: impl Into<Amount>) -> Result<bool, Error> {
        let progress = progress.into();
        self.manager
            .change(group, self.now, |group, call| {
                let found = group.set_progress(name, progress, call.now);
                Ok(Changed::silent(found, found))
            })
            .await
    }

    /// See [`Manager::add_targets`].
    ///
    /// # Errors
    /// As there.
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
                Ok(Changed::silent(found, found))
            })
            .await
    }

    /// See [`Manager::remove_tracker`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_tracker(&self, group: &str, name: &str) -> Result<bool, Error> {
        Ok(!self.remove_trackers(group, &[name]).await?.is_empty())
    }

    /// See [`Manager::remove_trackers`].
    ///
    /// # Errors
    /// As there.
    pub async fn remove_trackers(&self, group: &str, names: &[&str]) -> Result<Vec<String>, Error> {
        self.manager
            .change(group, self.now, |group, call| {
                let removed = group.remove(names, call.now);
                Ok(Changed::silent(!removed.is_empty(), removed))
            })
            .await
    }

    /// See [`Manager::reset_tracker`].
    ///
    /// # Errors
    /// As there.
    pub async fn reset_tracker(&self, group: &str, name: &str, reset: Reset) -> Result<Option<Arc<Event>>, Error> {
        self.manager
            .change(group, self.now, |group, call| {
                let event = group.reset(call, name, reset.policy, reset.renewal)?;
                Ok(Changed { changed: event.is_some(), events: event.iter().cloned().collect(), value: event })
            })
            .await
    }
}
