//! The manager: the one that knows cache, store, clock and listeners.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::text::quoted;
use dictrack_core::{
    Added, Amount, BoxError, Call, CompletedTracker, ContentHash, Differing, Document, Engine, Event, EventCode,
    Explanation, Group, GroupError, Outcome, Renewal, ResetPolicy, Span, Timestamp, Track, TrackerDefinition,
    TrackerList, TrackerSnapshot,
};

use crate::Error;
use crate::backend::BackendError;
use crate::cache::{DataCache, Effect, Load};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::store::{Claimed, DataStore, Held, Mark};

mod blocking;
mod builder;
mod commit;
mod delivery;
mod due;

pub use blocking::Blocking;
pub(crate) use builder::GENERATIONS;
pub use builder::ManagerBuilder;
pub use commit::Commit;
use commit::Committer;
use delivery::Deliveries;
pub use delivery::ListenerId;
pub use due::{Due, Turn};

/// Tracks documents for groups: finds the group, lets the engine decide, keeps the result, tells the listeners.
///
/// Cheap to clone; all clones are one manager. [`Manager::blocking`] gives the same calls for programs without an
/// async runtime. When the last clone is dropped, everything is written (at most 5 seconds).
#[derive(Clone)]
pub struct Manager {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<Engine>,
    cache: Arc<dyn DataCache>,
    source: Arc<Source>,
    clock: Arc<dyn Clock>,
    committer: Option<Committer>,
    deliveries: Deliveries,
    /// Whether custom code is registered, which might call back.
    has_custom: bool,
    /// Whether events are kept without listeners, too.
    keeps_events: bool,
    closed: AtomicBool,
}

/// Where groups come from that the cache lacks.
#[derive(Debug)]
struct Source {
    store: Option<Arc<dyn DataStore>>,
    engine: Arc<Engine>,
    /// The cache, if the store held nothing when the manager was made: as long as it drops nothing, it has everything.
    complete: Option<std::sync::Weak<dyn DataCache>>,
}

impl Source {
    /// Whether everything that the store can hold is in the cache.
    fn is_in_cache(&self) -> bool {
        let cache = self.complete.as_ref().and_then(std::sync::Weak::upgrade);
        cache.is_some_and(|cache| !cache.has_dropped())
    }
}

#[async_trait]
impl Load for Source {
    fn has_store(&self) -> bool {
        self.store.is_some()
    }

    async fn claim(&self, group: &str) -> Result<Claimed, Error> {
        let Some(store) = self.store.as_ref().filter(|_| !self.is_in_cache()) else { return Ok(Claimed::default()) };
        let claimed = store.claim(group, &self.engine).await?;
        if claimed.group.is_none() && claimed.claim > 0 {
            // Another process may have emptied the store, and generations must not be used again.
            self.engine.used_generations.fetch_max(used_generations(&**store).await?, Ordering::Relaxed);
        }
        Ok(claimed)
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        match &self.store {
            Some(store) => store.held(group).await,
            None => Ok(Held::default()),
        }
    }
}

/// The highest generation that was used before the store was emptied.
async fn used_generations(store: &dyn DataStore) -> Result<u32, Error> {
    let used = store.marks().await?.into_iter().find(|mark| mark.name == GENERATIONS);
    Ok(used.and_then(|mark| mark.text?.parse().ok()).unwrap_or(0))
}

/// A change that so many commits did not keep is given up.
const MOST_COMMITS: usize = 100;

/// What a call to [`Manager::track_with`] may say beyond group and document.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TrackOptions<'a> {
    /// The moment of the document; the manager's clock if this is not given.
    pub now: Option<Timestamp>,
    /// The id of the document: it is applied once in its group.
    pub event_id: Option<&'a str>,
    /// Trackers that the group shall have before the document is applied, in the same change. Nearly free where it
    /// has them.
    pub ensure: Option<(&'a TrackerList, Differing)>,
}

impl<'a> TrackOptions<'a> {
    /// The document happened at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now: Some(now), ..Self::default() }
    }

    /// The group shall have the trackers of `list` before the document is applied.
    #[must_use]
    pub fn ensure(mut self, list: &'a TrackerList, differing: Differing) -> Self {
        self.ensure = Some((list, differing));
        self
    }

    /// The document has this id.
    #[must_use]
    pub fn id(mut self, event_id: &'a str) -> Self {
        self.event_id = Some(event_id);
        self
    }
}

/// One document of [`Manager::track_many`].
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The group.
    pub group: &'a str,
    /// The document.
    pub document: &'a dyn Document,
    /// Its moment and id.
    pub options: TrackOptions<'a>,
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("group", &self.group).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Manager {
    /// A manager that keeps nothing when it ends.
    pub fn in_memory() -> Self {
        ManagerBuilder::default().build_in_memory()
    }

    /// A manager that keeps everything in the SQLite file at `path`, with durability `os`.
    ///
    /// # Errors
    /// As [`SqliteStore::open`](crate::SqliteStore::open).
    #[cfg(feature = "sqlite")]
    pub async fn open(path: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        Self::builder().store(crate::SqliteStore::open(path)?).open().await
    }

    /// Begins a manager with a cache, a store, a clock, custom code.
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder::default()
    }

    /// The same manager for programs without an async runtime.
    pub fn blocking(&self) -> Blocking {
        Blocking::new(self.clone())
    }

    /// What groups share: the registered custom code, the definition sets, the bounds.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The manager's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Adds a tracker; `false` if an equal one was there and nothing changed. A name that has completed is added again: it
    /// starts from nothing, and what it awards is awarded again. At every start of a program, call
    /// [`ensure_tracker`](Self::ensure_tracker).
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn add_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        Ok(!self.add_trackers(group, [definition]).await?.added.is_empty())
    }

    /// Adds trackers: all or none. Names that have completed are added again and start from nothing; at every start of a
    /// program, call [`ensure_trackers`](Self::ensure_trackers).
    ///
    /// # Errors
    /// [`Error::Group`] if a name stands twice or an active tracker of that name has another definition.
    pub async fn add_trackers(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
    ) -> Result<Added, Error> {
        self.add_trackers_at(group, definitions, None, None).await
    }

    /// Adds trackers at a moment; `expire` makes them expire that long after it.
    ///
    /// # Errors
    /// As [`add_trackers`](Self::add_trackers).
    pub async fn add_trackers_at(
        &self,
        group: &str,
        definitions: impl IntoIterator<Item = TrackerDefinition>,
        now: Option<Timestamp>,
        expire: Option<Span>,
    ) -> Result<Added, Error> {
        let definitions: Vec<_> = definitions.into_iter().map(Arc::new).collect();
        self.change(group, now, |found, call| {
            let added = found.add(call, &definitions, expire)?;
            let events = added.events.clone();
            Ok((step(!added.added.is_empty()), events, added))
        })
        .await
    }

    /// Prepares a list of definitions for [`ensure_trackers`](Self::ensure_trackers).
    ///
    /// # Errors
    /// [`Error::Group`] if a name stands there twice.
    pub fn tracker_list(&self, definitions: impl IntoIterator<Item = TrackerDefinition>) -> Result<TrackerList, Error> {
        let definitions = definitions.into_iter().map(Arc::new).collect();
        TrackerList::new(definitions, &self.shared.engine).map_err(|error| Error::group("(any)", error))
    }

    /// Sees to it that `group` has a tracker: adds it, unless it is there or has completed. `true` if it is new. This is the
    /// call for every start of a program.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker of that name has another definition.
    pub async fn ensure_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        let list = self.tracker_list([definition])?;
        Ok(!self.ensure_trackers(group, &list, Differing::Refuse).await?.added.is_empty())
    }

    /// Sees to it that `group` has the trackers of `list`; completed names are left alone, but for those that gain targets
    /// where `differing` updates: they are active again, as after [`update_tracker`](Self::update_tracker).
    ///
    /// To do so before each document, [`TrackOptions::ensure`] is cheaper.
    ///
    /// # Errors
    /// [`Error::Group`] if an active tracker differs and `differing` refuses that.
    pub async fn ensure_trackers(&self, group: &str, list: &TrackerList, differing: Differing) -> Result<Added, Error> {
        self.ensure_trackers_at(group, list, differing, None).await
    }

    /// As [`ensure_trackers`](Self::ensure_trackers), at a moment.
    ///
    /// # Errors
    /// As [`ensure_trackers`](Self::ensure_trackers).
    pub async fn ensure_trackers_at(
        &self,
        group: &str,
        list: &TrackerList,
        differing: Differing,
        now: Option<Timestamp>,
    ) -> Result<Added, Error> {
        self.change(group, now, |found, call| {
            let before = found.version();
            let ensured = found.ensure(call, list, differing)?;
            let events = ensured.events.clone();
            Ok((step(found.version() != before), events, ensured))
        })
        .await
    }

    /// The active trackers of a group, in the order added: all, or those named. Empty where there are none.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn get_trackers(&self, group: &str, names: Option<&[&str]>) -> Result<Vec<TrackerSnapshot>, Error> {
        self.get_trackers_at(group, names, None).await
    }

    /// As [`get_trackers`](Self::get_trackers), at a moment.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn get_trackers_at(
        &self,
        group: &str,
        names: Option<&[&str]>,
        now: Option<Timestamp>,
    ) -> Result<Vec<TrackerSnapshot>, Error> {
        let now = self.moment(now);
        self.view(group, |found| found.trackers(names, now)).await
    }

    /// Replaces the definition of the active tracker of that name and keeps its state; `false` if there is none.
    ///
    /// Progress, stage (cut to the last), cycle, expiry and the state of equal limiters are kept; a `count` limiter that
    /// differs in its number only keeps what was used of it. A completed tracker that gains targets is active again at its
    /// progress, on the first of the new targets; one of which only the name is still known stays completed. Nothing fires.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn update_tracker(&self, group: &str, definition: TrackerDefinition) -> Result<bool, Error> {
        self.update_tracker_at(group, definition, None).await
    }

    /// As [`update_tracker`](Self::update_tracker), at a moment.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn update_tracker_at(
        &self,
        group: &str,
        definition: TrackerDefinition,
        now: Option<Timestamp>,
    ) -> Result<bool, Error> {
        self.update_tracker_with(group, definition, None, now).await
    }

    /// As [`update_tracker`](Self::update_tracker), at a moment, and sets the progress if one is given, in one change.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn update_tracker_with(
        &self,
        group: &str,
        definition: TrackerDefinition,
        progress: Option<Amount>,
        now: Option<Timestamp>,
    ) -> Result<bool, Error> {
        let definition = Arc::new(definition);
        self.change(group, now, |group, call| {
            let before = group.version();
            let found = group.update(call, &definition)?;
            if let Some(progress) = progress.filter(|_| found) {
                group.set_progress(definition.name(), progress, call.now);
            }
            Ok((step(group.version() != before), Vec::new(), found))
        })
        .await
    }

    /// Sets the progress of an active tracker and fires nothing: targets that it reaches are met by the next document that
    /// counts. `false` if there is no such tracker.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn set_progress(&self, group: &str, name: &str, progress: impl Into<Amount>) -> Result<bool, Error> {
        let progress = progress.into();
        self.change(group, None, |group, call| {
            let found = group.set_progress(name, progress, call.now);
            Ok((step(found), Vec::new(), found))
        })
        .await
    }

    /// Puts targets behind those of an active or completed tracker, as [`update_tracker`](Self::update_tracker) does: a
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
        let targets: Vec<Amount> = targets.into_iter().map(Into::into).collect();
        self.change(group, None, |group, call| {
            let found = group.add_targets(call, name, &targets)?;
            Ok((step(found), Vec::new(), found))
        })
        .await
    }

    /// Removes active trackers; the names of those that were there.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn remove_trackers(&self, group: &str, names: &[&str]) -> Result<Vec<String>, Error> {
        self.remove_trackers_at(group, names, None).await
    }

    /// As [`remove_trackers`](Self::remove_trackers), at a moment.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn remove_trackers_at(
        &self,
        group: &str,
        names: &[&str],
        now: Option<Timestamp>,
    ) -> Result<Vec<String>, Error> {
        self.change(group, now, |group, call| {
            let removed = group.remove(names, call.now);
            Ok((step(!removed.is_empty()), Vec::new(), removed))
        })
        .await
    }

    /// Removes an active tracker; `false` if there is none of that name.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn remove_tracker(&self, group: &str, name: &str) -> Result<bool, Error> {
        Ok(!self.remove_trackers(group, &[name]).await?.is_empty())
    }

    /// Resets an active tracker and fires RESET; `false` if there is none of that name.
    ///
    /// Without a policy the tracker's own applies.
    ///
    /// # Errors
    /// [`Error::Group`] if a custom limiter cannot be renewed.
    pub async fn reset_tracker(&self, group: &str, name: &str, policy: Option<ResetPolicy>) -> Result<bool, Error> {
        Ok(self.reset_tracker_at(group, name, policy, Renewal::default(), None).await?.is_some())
    }

    /// Resets an active tracker at a moment, with new limits; the RESET event, or `None` if there is no such tracker.
    ///
    /// # Errors
    /// As [`reset_tracker`](Self::reset_tracker).
    pub async fn reset_tracker_at(
        &self,
        group: &str,
        name: &str,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
        now: Option<Timestamp>,
    ) -> Result<Option<Arc<Event>>, Error> {
        self.change(group, now, |group, call| {
            let event = group.reset(call, name, policy, renewal)?;
            Ok((step(event.is_some()), event.iter().cloned().collect(), event))
        })
        .await
    }

    /// Applies a document to a group, now.
    ///
    /// # Errors
    /// A failure of the cache or the store; [`Error::Reentrant`] from custom code.
    pub async fn track(&self, group: &str, document: &dyn Document) -> Result<Outcome, Error> {
        self.track_with(group, document, TrackOptions::default()).await
    }

    /// Applies a document to a group, with its moment and id.
    ///
    /// # Errors
    /// As [`track`](Self::track).
    pub async fn track_with(
        &self,
        group: &str,
        document: &dyn Document,
        options: TrackOptions<'_>,
    ) -> Result<Outcome, Error> {
        self.check()?;
        let (outcome, done) = self.apply_now(group, document, options);
        let outcome = outcome?;
        if done && outcome.events().is_empty() && !self.has_to_settle(&outcome) {
            return Ok(outcome);
        }
        // Waiting takes room that the common case should not have to move around.
        Box::pin(self.finish(group, document, options, done.then_some((outcome, 0)))).await
    }

    /// What of `track` may have to wait: loading the group, the commit, the listeners.
    async fn finish(
        &self,
        group: &str,
        document: &dyn Document,
        options: TrackOptions<'_>,
        outcome: Option<(Outcome, u64)>,
    ) -> Result<Outcome, Error> {
        let mut deadline = Deadline::of_a_call();
        let (outcome, claim) = match outcome {
            Some(outcome) => outcome,
            None => self.apply(deadline, group, document, options).await?,
        };
        if self.has_to_settle(&outcome) {
            self.settle(deadline, group, outcome.version(), claim).await?;
        }
        self.deliver(group, outcome.events(), &mut deadline).await?;
        Ok(outcome)
    }

    /// Waits as the durability says until `version` of a group is kept.
    async fn settle(&self, deadline: Deadline, group: &str, version: u64, claim: u64) -> Result<(), Error> {
        let Some(committer) = &self.shared.committer else { return Ok(()) };
        let settled = async {
            if committer.settle().await? { self.confirm(committer, group, version, claim).await } else { Ok(()) }
        };
        deadline.bound(settled, |time| self.unsaved(committer, group, time)).await
    }

    /// What is said where the store has not kept a change in time.
    fn unsaved(&self, committer: &Committer, group: &str, time: Duration) -> Error {
        if let Some(away) = committer.away() {
            return Error::Unavailable(away);
        }
        // A commit waits for the cache, too.
        let source = format!("no answer of {self:?} within {time:.1?}").into();
        let action = format!("keep the group {}", quoted(group));
        Error::Unavailable(Arc::new(BackendError { backend: "the commit", action, source }))
    }

    /// Runs a step of a call on a group, until the call's deadline.
    async fn update(
        &self,
        deadline: Deadline,
        group: &str,
        step: &mut (dyn for<'g> FnMut(&'g mut Group) -> Effect + Send + '_),
    ) -> Result<u64, Error> {
        deadline.bound(self.shared.cache.update(group, step), |time| self.unanswered(group, time)).await
    }

    /// What is said where neither cache nor store have said what a group is in time.
    fn unanswered(&self, group: &str, time: Duration) -> Error {
        let source = format!("no answer of {self:?} within {time:.1?}").into();
        let action = format!("answer for the group {}", quoted(group));
        Error::Unavailable(Arc::new(BackendError { backend: "the cache", action, source }))
    }

    /// Waits until a commit has kept a version. The first one may have been refused, because another process was about to
    /// load the group.
    async fn confirm(&self, committer: &Committer, group: &str, version: u64, claim: u64) -> Result<(), Error> {
        for _ in 0..MOST_COMMITS {
            if self.shared.cache.confirm(group, version, claim)? {
                return Ok(());
            }
            committer.settle_now().await?;
        }
        let source = "other processes load it all the time".into();
        let action = format!("keep the group {}", quoted(group));
        Err(Error::Unavailable(Arc::new(BackendError { backend: "the store", action, source })))
    }

    #[inline]
    fn has_to_settle(&self, outcome: &Outcome) -> bool {
        self.shared.committer.is_some() && (outcome.changed() || outcome.duplicate())
    }

    /// Applies many documents in order and commits them together; one result a document.
    ///
    /// # Errors
    /// Where the commit fails, every document that changed something has that error as its result. Where cache or store
    /// cannot be reached, the documents behind the first that met this are not applied and have its error.
    pub async fn track_many(&self, items: &[Item<'_>]) -> Vec<Result<Outcome, Error>> {
        let mut results = Vec::with_capacity(items.len());
        let mut claims = Vec::with_capacity(items.len());
        let mut waits = false;
        let mut away: Option<Error> = None;
        let mut deadline = Deadline::of_a_call();
        for item in items {
            let result = match away.clone().map_or_else(|| self.check(), Err) {
                Ok(()) => match self.apply_now(item.group, item.document, item.options) {
                    (result, true) => result.map(|outcome| (outcome, 0)),
                    (_, false) => {
                        deadline = Deadline::of_a_call();
                        self.apply(deadline, item.group, item.document, item.options).await
                    }
                },
                Err(error) => Err(error),
            };
            let (result, claim) = match result {
                Ok((outcome, claim)) => (Ok(outcome), claim),
                Err(error) => {
                    // Each further one would wait as long, and would be counted before this one.
                    away = away.or_else(|| error.is_temporary().then(|| error.clone()));
                    (Err(error), 0)
                }
            };
            waits |= result.as_ref().is_ok_and(|outcome| outcome.changed() || outcome.duplicate());
            claims.push(claim);
            results.push(result);
        }
        if away.is_none() {
            deadline = Deadline::of_a_call();
        }
        let settled = match &self.shared.committer {
            Some(committer) if waits => {
                let group = items.first().map_or("", |item| item.group);
                deadline.bound(committer.settle(), |time| self.unsaved(committer, group, time)).await
            }
            _ => Ok(false),
        };
        let mut late: Option<Error> = None;
        for ((item, result), claim) in items.iter().zip(&mut results).zip(claims) {
            let Ok(outcome) = &*result else { continue };
            let kept = match (&settled, &self.shared.committer) {
                // Nor does any wait for what the one before has waited for in vain.
                _ if late.is_some() => late.clone().map_or(Ok(()), Err),
                (Ok(true), Some(committer)) if self.has_to_settle(outcome) => {
                    let confirmed = self.confirm(committer, item.group, outcome.version(), claim);
                    deadline.bound(confirmed, |time| self.unsaved(committer, item.group, time)).await
                }
                (Ok(_), _) => Ok(()),
                (Err(error), _) => Err(error.clone()),
            };
            let told = match kept {
                Ok(()) => self.deliver(item.group, outcome.events(), &mut deadline).await,
                Err(error) if outcome.changed() || outcome.duplicate() => Err(error),
                Err(_) => Ok(()),
            };
            if let Err(error) = told {
                late = late.or_else(|| (error.is_temporary() && deadline.is_over()).then(|| error.clone()));
                *result = Err(error);
            }
        }
        results
    }

    /// The engine's part of `track`: on the newest state, in the cache.
    async fn apply(
        &self,
        deadline: Deadline,
        group: &str,
        document: &dyn Document,
        options: TrackOptions<'_>,
    ) -> Result<(Outcome, u64), Error> {
        let mut outcome = Ok(Outcome::default());
        let mut step = self.track_step(group, document, options, &mut outcome);
        let claim = self.update(deadline, group, &mut step).await?;
        drop(step);
        Ok((outcome.map_err(|error| Error::group(group, error))?, claim))
    }

    /// As [`apply`](Self::apply), if that needs no waiting, and whether it did not.
    #[inline]
    fn apply_now(
        &self,
        group: &str,
        document: &dyn Document,
        options: TrackOptions<'_>,
    ) -> (Result<Outcome, Error>, bool) {
        let mut outcome = Ok(Outcome::default());
        let done = {
            let mut step = self.track_step(group, document, options, &mut outcome);
            self.shared.cache.update_now(group, &mut step)
        };
        (outcome.map_err(|error| Error::group(group, error)), done)
    }

    /// The step that tracks a document and leaves its outcome in `outcome`.
    #[inline]
    fn track_step<'a>(
        &'a self,
        group: &'a str,
        document: &'a dyn Document,
        options: TrackOptions<'a>,
        outcome: &'a mut Result<Outcome, GroupError>,
    ) -> impl FnMut(&mut Group) -> Effect + Send + 'a {
        let shared = &*self.shared;
        let clock = shared.clock.now();
        let track = Track {
            document,
            now: options.now.unwrap_or(clock),
            clock,
            id: options.event_id.map(|id| ContentHash::of_one(id.as_bytes())),
        };
        let apply = move |found: &mut Group| match options.ensure {
            Some((list, differing)) => found.ensure_and_track(&shared.engine, group, &track, list, differing),
            None => Ok(found.track(&shared.engine, group, &track)),
        };
        move |found: &mut Group| {
            *outcome = if shared.has_custom { self.within_step(|| apply(found)) } else { apply(found) };
            match outcome {
                Ok(outcome) if outcome.changed() && options.event_id.is_some() => Effect::ChangedById,
                Ok(outcome) if outcome.changed() => Effect::Changed,
                Ok(outcome) if outcome.duplicate() => Effect::Relied,
                _ => Effect::Unchanged,
            }
        }
    }

    /// What a document would do to each tracker of a group, and why, without changing anything.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn explain(&self, group: &str, document: &dyn Document) -> Result<Vec<Explanation>, Error> {
        self.explain_at(group, document, None).await
    }

    /// As [`explain`](Self::explain), at a moment.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn explain_at(
        &self,
        group: &str,
        document: &dyn Document,
        now: Option<Timestamp>,
    ) -> Result<Vec<Explanation>, Error> {
        let now = self.moment(now);
        let engine = &self.shared.engine;
        self.view(group, |found| self.within_step(|| found.explain(engine, document, now))).await
    }

    /// The trackers that a group completed, in that order; the last 100, unless the builder says otherwise.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn completed(&self, group: &str) -> Result<Vec<CompletedTracker>, Error> {
        self.view(group, Group::completed).await
    }

    /// Calls `listener` for each event with this code, once its change has the chosen durability: in commit order, one
    /// at a time for each group, at least once. A failure is logged and stops nobody.
    ///
    /// With [`Durability::Interval`](crate::Durability::Interval) that is when the cache has the change: a crash can take it
    /// back although its event was heard.
    ///
    /// Events that an earlier run left go out 100 ms after the first listener was added (where processes share the cache,
    /// after a second, in case that run is still there), or with [`close`](Self::close), once the store has them; add all
    /// listeners at once when the manager is made. A listener may call the manager on its
    /// own thread; it must not wait for another thread that does, which would wait for the listener's group.
    pub fn add_listener(
        &self,
        code: EventCode,
        listener: impl Fn(&Event) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> ListenerId {
        self.shared.engine.keep_events.store(true, Ordering::Relaxed);
        let id = self.shared.deliveries.add(code, Arc::new(listener));
        self.deliver_earlier_soon();
        id
    }

    /// Removes a listener; `false` if it was removed before.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        let (removed, left) = self.shared.deliveries.remove(listener);
        if left == 0 && !self.shared.keeps_events {
            self.shared.engine.keep_events.store(false, Ordering::Relaxed);
        }
        removed
    }

    /// Empties the cache and the store for good. Only the highest generation is remembered, so that no event of a later
    /// group has the id of an earlier one.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] if `confirm` is false; else a failure of the cache or the store.
    pub async fn flush(&self, confirm: bool) -> Result<(), Error> {
        self.check()?;
        if !confirm {
            return Err(Error::Unconfirmed);
        }
        if let Some(committer) = &self.shared.committer {
            committer.settle_now().await?;
        }
        let used = &self.shared.engine.used_generations;
        let mut highest = used.load(Ordering::Relaxed);
        self.for_each_group(|_, group| highest = highest.max(group.generation())).await?;
        used.store(highest, Ordering::Relaxed);
        self.shared.cache.clear().await?;
        let Some(store) = &self.shared.source.store else { return Ok(()) };
        store.clear().await?;
        store.save(&[], &[Mark { name: GENERATIONS.to_owned(), text: Some(highest.to_string()) }]).await.map(drop)
    }

    /// Writes everything and ends the manager; further calls fail with [`Error::Closed`].
    ///
    /// # Errors
    /// The failure of the store, if not everything could be written.
    pub async fn close(&self) -> Result<(), Error> {
        self.check_reentrant()?;
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Err(error) = self.deliver_earlier().await {
            tracing::error!(%error, "events of an earlier run were not delivered");
        }
        match &self.shared.committer {
            Some(committer) => committer.close(),
            None => Ok(()),
        }
    }

    /// Begins to commit what has changed, together with `marks`: either all of it is kept or none. Wait for the
    /// [`Commit`] to know.
    ///
    /// For programs that read an input and note how far; see [`ManagerBuilder::commit_by_hand`].
    ///
    /// # Errors
    /// [`Error::Stopped`] if the store failed earlier.
    pub async fn commit(&self, marks: Vec<Mark>) -> Result<Commit, Error> {
        self.check()?;
        match &self.shared.committer {
            Some(committer) => committer.begin(marks).await,
            None => Ok(Commit::done()),
        }
    }

    /// About how many bytes of groups changed that no commit has taken yet. Whoever [commits by
    /// hand](ManagerBuilder::commit_by_hand) does so before they are too many: they stay in memory whatever the budget.
    pub fn uncommitted_bytes(&self) -> usize {
        self.shared.cache.uncollected_bytes()
    }

    /// Marks the events of `group` up to `sequence` as delivered, with the next commit.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn mark_delivered(&self, group: &str, sequence: u64) -> Result<(), Error> {
        self.check_reentrant()?;
        let mut mark = |found: &mut Group| step(found.mark_delivered(sequence));
        self.update(Deadline::of_a_call(), group, &mut mark).await.map(drop)
    }

    /// Shows every group to `visit`, as it is in the cache or else in the store.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn for_each_group(&self, mut visit: impl FnMut(&str, &Group) + Send) -> Result<(), Error> {
        self.check_reentrant()?;
        let Some(store) = &self.shared.source.store else {
            return self.shared.cache.for_each(&mut visit).await;
        };
        if self.shared.source.is_in_cache() {
            return self.shared.cache.for_each(&mut visit).await;
        }
        if let Some(committer) = &self.shared.committer {
            committer.settle_now().await?;
        }
        let mut last: Option<String> = None;
        loop {
            let page = store.groups(last.as_deref(), 1000).await?;
            for group in &page {
                if let Some(found) = store.load(group, &self.shared.engine).await? {
                    visit(group, &found);
                }
            }
            match page.last() {
                Some(group) => last = Some(group.clone()),
                None => return Ok(()),
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.check_reentrant()?;
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        match &self.shared.committer {
            Some(committer) => committer.check(),
            None => Ok(()),
        }
    }

    fn moment(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.shared.clock.now())
    }

    async fn view<T: Send>(&self, group: &str, view: impl Fn(&Group) -> T + Send + Sync) -> Result<T, Error> {
        self.view_within(Deadline::of_a_call(), group, view).await
    }

    async fn view_within<T: Send>(
        &self,
        deadline: Deadline,
        group: &str,
        view: impl Fn(&Group) -> T + Send + Sync,
    ) -> Result<T, Error> {
        self.check_reentrant()?;
        let mut seen = None;
        let mut show = |found: &Group| seen = Some(view(found));
        deadline.bound(self.shared.cache.view(group, &mut show), |time| self.unanswered(group, time)).await?;
        Ok(seen.unwrap_or_else(|| view(&Group::default())))
    }

    /// A change other than a document: applied, committed, told.
    async fn change<T: Send>(
        &self,
        group: &str,
        now: Option<Timestamp>,
        mut change: impl FnMut(&mut Group, &Call<'_>) -> Result<(Effect, Vec<Arc<Event>>, T), GroupError> + Send,
    ) -> Result<T, Error> {
        self.check()?;
        let call = Call { engine: &self.shared.engine, group, now: self.moment(now) };
        let mut result = None;
        let mut version = 0;
        let mut run = |found: &mut Group| {
            let done = self.within_step(|| change(found, &call));
            version = found.version();
            let changed = done.as_ref().map_or(Effect::Unchanged, |(changed, ..)| *changed);
            result = Some(done);
            changed
        };
        let mut deadline = Deadline::of_a_call();
        let claim = self.update(deadline, group, &mut run).await?;
        let Some(done) = result else { unreachable!("a cache that succeeds has run the step") };
        let (changed, events, value) = done.map_err(|error| Error::group(group, error))?;
        if changed == Effect::Changed {
            self.settle(deadline, group, version, claim).await?;
        }
        self.deliver(group, &events, &mut deadline).await?;
        Ok(value)
    }
}

fn step(changed: bool) -> Effect {
    if changed { Effect::Changed } else { Effect::Unchanged }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("cache", &self.shared.cache)
            .field("store", &self.shared.source.store)
            .finish_non_exhaustive()
    }
}
