//! The manager itself: what all its calls share, and their path to a group and to its commit.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dictrack_core::text::quoted;
use dictrack_core::{
    Event, Span, Timestamp,
    group::{Call, Engine, Group, GroupError},
};

use super::commit::{Commit, Committer};
use super::listeners::Deliveries;
use super::source::Source;
use crate::backend::BackendError;
use crate::cache::{DataCache, Effect};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::metrics::{Meter, Metrics};
use crate::store::Mark;
use crate::{Error, executor};

/// Tracks documents for groups: finds the group, applies the document, keeps the result and calls the listeners.
///
/// Cheap to clone; all clones are the same manager. [`Manager::blocking`] gives the same calls to programs without an
/// async runtime, and [`Manager::at`] gives the same calls as of a moment. No call blocks a thread of an async executor
/// for longer than the engine needs.
///
/// When the last clone is dropped, everything is written, which takes up to 5 seconds. On a thread of a tokio runtime,
/// the drop does not wait for that, but the runtime does when it shuts down; call [`close`](Self::close) to know that
/// everything is written.
#[derive(Clone)]
pub struct Manager {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) engine: Arc<Engine>,
    pub(super) cache: Arc<dyn DataCache>,
    pub(super) source: Arc<Source>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Option<Committer>,
    pub(super) deliveries: Deliveries,
    /// Whether custom code is registered, which might call the manager.
    pub(super) has_custom: bool,
    /// How far documents may be ahead of the clock.
    pub(super) ahead: Option<Span>,
    /// Whether events are kept even without listeners.
    pub(super) keep_events: bool,
    /// Whether the cache or the store is a server, so that calls have a deadline.
    pub(super) is_remote: bool,
    pub(super) closed: AtomicBool,
    pub(super) meter: Arc<Meter>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Dropping a closed manager is quick and happens here, since the next statement may open the same file.
        if let Some(committer) = self.committer.take()
            && !*self.closed.get_mut()
        {
            executor::drop_apart((committer, Arc::clone(&self.cache), Arc::clone(&self.source)));
        }
    }
}

thread_local! {
    /// The managers that are running the step of a group on this thread; custom code must not call them.
    static WITHIN_STEP: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A call that takes longer than this is logged.
const SLOW: Duration = Duration::from_millis(100);

/// A change is given up after this many commits did not keep it.
const MOST_COMMITS: usize = 100;

/// What a change other than a document did: the events to deliver, the value to return.
pub(super) struct Changed<T> {
    pub(super) events: Vec<Arc<Event>>,
    pub(super) value: T,
}

impl<T> Changed<T> {
    /// A change that fires no events.
    pub(super) fn silent(value: T) -> Self {
        Self { events: Vec::new(), value }
    }
}

impl Manager {
    /// What all groups share: the registered custom code, the definition sets, the limits.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The manager's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Begins to commit what has changed, together with `marks`: all of it is kept, or nothing. Wait for the [`Commit`]
    /// to know.
    ///
    /// For programs that read an input and record how far they have read; see
    /// [`ManagerBuilder::commit_by_hand`](super::ManagerBuilder::commit_by_hand).
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

    /// About how many bytes of groups have changed since the last commit. A program that [commits by
    /// hand](super::ManagerBuilder::commit_by_hand) should commit before this grows large: changed groups stay in
    /// memory whatever the budget.
    pub fn uncommitted_bytes(&self) -> usize {
        self.shared.cache.uncollected_bytes()
    }

    /// Shows every group to `visit`, from the cache or else from the store.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn for_each_group(&self, mut visit: impl FnMut(&str, &Group) + Send) -> Result<(), Error> {
        self.check_reentrant()?;
        let Shared { source, cache, committer, .. } = &*self.shared;
        if source.store().is_none() || source.is_in_cache() {
            return cache.for_each(&mut visit).await;
        }
        if let Some(committer) = committer {
            committer.commit().await?;
        }
        let mut last: Option<String> = None;
        loop {
            let page = source.groups(last.as_deref(), 1000).await?;
            for group in &page {
                if let Some(found) = source.load(group).await? {
                    visit(group, &found);
                }
            }
            match page.last() {
                Some(group) => last = Some(group.clone()),
                None => return Ok(()),
            }
        }
    }

    /// Permanently empties the cache and the store. Only the highest generation is remembered, so that no later event
    /// gets the id of an earlier one.
    ///
    /// # Errors
    /// [`Error::Unconfirmed`] if `confirm` is false; else a failure of the cache or the store.
    pub async fn flush(&self, confirm: bool) -> Result<(), Error> {
        self.check()?;
        if !confirm {
            return Err(Error::Unconfirmed);
        }
        if let Some(committer) = &self.shared.committer {
            committer.commit().await?;
        }
        let used = &self.shared.engine.used_generations;
        let mut highest = used.load(Ordering::Relaxed);
        self.for_each_group(|_, group| highest = highest.max(group.generation())).await?;
        used.store(highest, Ordering::Relaxed);
        self.shared.cache.clear().await?;
        self.shared.source.clear(highest).await
    }

    /// Fails if the manager is closed, its store has failed, or custom code is calling it.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_reentrant()?;
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        match &self.shared.committer {
            Some(committer) => committer.check(),
            None => Ok(()),
        }
    }

    /// Distinguishes this manager from others in the process.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    /// Runs the step of a group; calls to this manager from within it are refused.
    pub(super) fn within_step<T>(&self, step: impl FnOnce() -> T) -> T {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                WITHIN_STEP.with_borrow_mut(Vec::pop);
            }
        }
        WITHIN_STEP.with_borrow_mut(|managers| managers.push(self.identity()));
        let _leave = Leave;
        step()
    }

    /// Refuses a call that custom code makes within a step.
    pub(super) fn check_reentrant(&self) -> Result<(), Error> {
        let within = self.shared.has_custom && WITHIN_STEP.with_borrow(|managers| managers.contains(&self.identity()));
        if within { Err(Error::Reentrant) } else { Ok(()) }
    }

    /// Whether groups keep the events of changes until they are delivered.
    #[inline]
    pub(super) fn keeps_events(&self) -> bool {
        self.shared.keep_events || self.shared.deliveries.has_listeners()
    }

    /// What this manager has done so far. Cheap enough to be read every second.
    pub fn metrics(&self) -> Metrics {
        self.shared.meter.read()
    }

    /// Counts a failure, and logs a call that took long.
    pub(super) fn watch<T>(&self, call: &str, group: &str, deadline: Deadline, done: &Result<T, Error>) {
        if let Err(error) = done {
            self.shared.meter.note_error(error);
        }
        let time = deadline.elapsed();
        if time > SLOW {
            tracing::debug!(target: "dictrack::slow", call, group = %quoted(group), ?time, "a call took long");
        }
    }

    /// The deadline of a call that begins now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::of_a_call(self.shared.is_remote)
    }

    /// Looks at a group.
    pub(super) async fn view<T: Send>(
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

    /// Looks at a group as of `now`, with the trackers that templates give it.
    pub(super) async fn view_at<T: Send>(
        &self,
        group: &str,
        now: Timestamp,
        view: impl Fn(&Group) -> T + Send + Sync,
    ) -> Result<T, Error> {
        let call = Call::new(&self.shared.engine, group, now);
        let seen = |found: &Group| found.with_templates(&call).map(|found| view(&found));
        self.view(self.deadline(), group, seen).await?.map_err(|error| Error::group(group, error))
    }

    /// Runs the step of a call on a group, within the call's deadline.
    pub(super) async fn update(
        &self,
        deadline: Deadline,
        group: &str,
        step: &mut (dyn for<'g> FnMut(&'g mut Group) -> Effect + Send + '_),
    ) -> Result<u64, Error> {
        deadline.bound(self.shared.cache.update(group, step), |time| self.unanswered(group, time)).await
    }

    /// Makes a change other than a document, on a group with the trackers that templates give it before and after: applies it,
    /// commits it, delivers its events.
    pub(super) async fn change<T: Send>(
        &self,
        group: &str,
        now: Option<Timestamp>,
        mut change: impl FnMut(&mut Group, &Call<'_>) -> Result<Changed<T>, GroupError> + Send,
    ) -> Result<T, Error> {
        self.change_only(group, now, |found, call| {
            let mut events = found.apply_templates(call)?.events;
            let Changed { events: fired, value } = change(found, call)?;
            events.extend(fired);
            events.extend(found.apply_templates(call)?.events);
            Ok(Changed { events, value })
        })
        .await
    }

    /// Like [`change`](Self::change), but leaves the trackers that templates give for the next call.
    pub(super) async fn change_only<T: Send>(
        &self,
        group: &str,
        now: Option<Timestamp>,
        change: impl FnMut(&mut Group, &Call<'_>) -> Result<Changed<T>, GroupError> + Send,
    ) -> Result<T, Error> {
        let deadline = self.deadline();
        let done = self.change_within(deadline, group, now, change).await;
        self.watch("change", group, deadline, &done);
        done
    }

    async fn change_within<T: Send>(
        &self,
        mut deadline: Deadline,
        group: &str,
        now: Option<Timestamp>,
        mut change: impl FnMut(&mut Group, &Call<'_>) -> Result<Changed<T>, GroupError> + Send,
    ) -> Result<T, Error> {
        self.check()?;
        let now = now.unwrap_or_else(|| self.now());
        let call = Call::new(&self.shared.engine, group, now).keep_events(self.keeps_events());
        let mut result = None;
        let (mut version, mut changed) = (0, false);
        let mut run = |found: &mut Group| {
            let before = found.version();
            let done = self.within_step(|| change(found, &call));
            version = found.version();
            // Even if the call failed, the group may have got trackers of templates.
            changed = version != before;
            result = Some(done);
            step(changed)
        };
        let claim = self.update(deadline, group, &mut run).await?;
        let Some(done) = result else { unreachable!("a cache that succeeds has run the step") };
        let Changed { events, value } = done.map_err(|error| Error::group(group, error))?;
        if changed {
            self.acknowledge(deadline, group, version, claim).await?;
        }
        self.deliver(group, &events, &mut deadline).await?;
        Ok(value)
    }

    /// Waits, as the durability requires, until `version` of a group is kept.
    pub(super) async fn acknowledge(
        &self,
        deadline: Deadline,
        group: &str,
        version: u64,
        claim: u64,
    ) -> Result<(), Error> {
        let Some(committer) = &self.shared.committer else { return Ok(()) };
        let kept = async {
            if committer.acknowledge().await? { self.confirm(committer, group, version, claim).await } else { Ok(()) }
        };
        deadline.bound(kept, |time| self.unsaved(committer, group, time)).await
    }

    /// Waits until a commit has kept a version. The first commit may have been refused, because another process was
    /// about to load the group.
    pub(super) async fn confirm(
        &self,
        committer: &Committer,
        group: &str,
        version: u64,
        claim: u64,
    ) -> Result<(), Error> {
        for _ in 0..MOST_COMMITS {
            if self.shared.cache.confirm(group, version, claim)? {
                return Ok(());
            }
            committer.commit().await?;
        }
        Err(unavailable("the store", "keep", group, "other processes keep loading it".to_owned()))
    }

    /// The error if neither the cache nor the store supplied the group in time.
    fn unanswered(&self, group: &str, time: Duration) -> Error {
        let backend = if self.shared.source.is_waited_for() { "the store" } else { "the cache" };
        unavailable(backend, "answer for", group, no_answer(time))
    }

    /// The error if a change was not kept in time.
    pub(super) fn unsaved(&self, committer: &Committer, group: &str, time: Duration) -> Error {
        match committer.away() {
            Some(away) => Error::Unavailable(away),
            None => unavailable(committer.waits_for(), "keep", group, no_answer(time)),
        }
    }
}

fn no_answer(time: Duration) -> String {
    format!("no answer within {time:.1?}")
}

fn unavailable(backend: &'static str, verb: &str, group: &str, problem: String) -> Error {
    let action = format!("{verb} the group {}", quoted(group));
    Error::Unavailable(Arc::new(BackendError { backend, action, source: problem.into() }))
}

pub(super) fn step(changed: bool) -> Effect {
    if changed { Effect::Changed } else { Effect::Unchanged }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("cache", &self.shared.cache)
            .field("store", &self.shared.source.store())
            .finish_non_exhaustive()
    }
}
