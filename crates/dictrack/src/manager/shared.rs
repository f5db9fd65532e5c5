//! The manager itself: what all of its calls share, and their way to a group and to its commit.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dictrack_core::text::quoted;
use dictrack_core::{
    Event, Timestamp,
    group::{Call, Engine, Group, GroupError},
};

use super::commit::{Commit, Committer};
use super::listeners::Deliveries;
use super::source::Source;
use crate::backend::BackendError;
use crate::cache::{DataCache, Effect};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::store::Mark;
use crate::{Error, executor};

/// Tracks documents for groups: finds the group, lets the engine decide, keeps the result, tells the listeners.
///
/// Cheap to clone; all clones are one manager. [`Manager::blocking`] gives the same calls for programs without an
/// async runtime, and [`Manager::at`] the same calls as of a moment. No call holds up a thread of an async executor for
/// longer than the engine needs.
///
/// When the last clone is dropped, everything is written (at most 5 seconds). On a thread of a tokio runtime the drop does
/// not wait for that, and the runtime does when it ends; call [`close`](Self::close) to know that all is written.
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
    /// Whether custom code is registered, which might call back.
    pub(super) has_custom: bool,
    /// Whether events are kept without listeners, too.
    pub(super) keep_events: bool,
    /// Whether cache or store is a server, so that the deadline of a call bounds it.
    pub(super) is_remote: bool,
    pub(super) closed: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Once it is closed nothing takes long, and the next statement may want to open the same file.
        if let Some(committer) = self.committer.take()
            && !*self.closed.get_mut()
        {
            executor::drop_apart((committer, Arc::clone(&self.cache), Arc::clone(&self.source)));
        }
    }
}

thread_local! {
    /// The managers that run the step of a group on this thread, which custom code must not leave.
    static WITHIN_STEP: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A change that so many commits did not keep is given up.
const MOST_COMMITS: usize = 100;

/// What a change other than a document did: to the group, to be told, and to be returned.
pub(super) struct Changed<T> {
    pub(super) changed: bool,
    pub(super) events: Vec<Arc<Event>>,
    pub(super) value: T,
}

impl<T> Changed<T> {
    /// A change that fires nothing.
    pub(super) fn silent(changed: bool, value: T) -> Self {
        Self { changed, events: Vec::new(), value }
    }
}

impl Manager {
    /// What groups share: the registered custom code, the definition sets, the bounds.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The manager's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Begins to commit what has changed, together with `marks`: either all of it is kept or none. Wait for the
    /// [`Commit`] to know.
    ///
    /// For programs that read an input and note how far; see
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

    /// About how many bytes of groups changed that no commit has taken yet. A program that [commits by
    /// hand](super::ManagerBuilder::commit_by_hand) does so before they are too many: they stay in memory whatever the budget.
    pub fn uncommitted_bytes(&self) -> usize {
        self.shared.cache.uncollected_bytes()
    }

    /// Shows every group to `visit`, as it is in the cache or else in the store.
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
            committer.commit().await?;
        }
        let used = &self.shared.engine.used_generations;
        let mut highest = used.load(Ordering::Relaxed);
        self.for_each_group(|_, group| highest = highest.max(group.generation())).await?;
        used.store(highest, Ordering::Relaxed);
        self.shared.cache.clear().await?;
        self.shared.source.clear(highest).await
    }

    /// Whether the manager still works.
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

    /// Tells this manager from others of the process.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared) as usize
    }

    /// Runs the step of a group; calls of this manager from within are refused.
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

    /// Whether changes keep their events in the group until they are delivered.
    #[inline]
    pub(super) fn keeps_events(&self) -> bool {
        self.shared.keep_events || self.shared.deliveries.has_listeners()
    }

    /// Until when a call waits that begins now.
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

    /// Runs a step of a call on a group, until the call's deadline.
    pub(super) async fn update(
        &self,
        deadline: Deadline,
        group: &str,
        step: &mut (dyn for<'g> FnMut(&'g mut Group) -> Effect + Send + '_),
    ) -> Result<u64, Error> {
        deadline.bound(self.shared.cache.update(group, step), |time| self.unanswered(group, time)).await
    }

    /// A change other than a document: applied, committed, told.
    pub(super) async fn change<T: Send>(
        &self,
        group: &str,
        now: Option<Timestamp>,
        mut change: impl FnMut(&mut Group, &Call<'_>) -> Result<Changed<T>, GroupError> + Send,
    ) -> Result<T, Error> {
        self.check()?;
        let now = now.unwrap_or_else(|| self.now());
        let call = Call { engine: &self.shared.engine, group, now, keep_events: self.keeps_events() };
        let mut result = None;
        let mut version = 0;
        let mut run = |found: &mut Group| {
            let done = self.within_step(|| change(found, &call));
            version = found.version();
            let changed = done.as_ref().is_ok_and(|done| done.changed);
            result = Some(done);
            step(changed)
        };
        let mut deadline = self.deadline();
        let claim = self.update(deadline, group, &mut run).await?;
        let Some(done) = result else { unreachable!("a cache that succeeds has run the step") };
        let Changed { changed, events, value } = done.map_err(|error| Error::group(group, error))?;
        if changed {
            self.acknowledge(deadline, group, version, claim).await?;
        }
        self.deliver(group, &events, &mut deadline).await?;
        Ok(value)
    }

    /// Waits as the durability says until `version` of a group is kept.
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

    /// Waits until a commit has kept a version. The first one may have been refused, because another process was about to
    /// load the group.
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

    /// What is said if neither cache nor store have said in time what a group is.
    fn unanswered(&self, group: &str, time: Duration) -> Error {
        let backend = if self.shared.source.is_waited_for() { "the store" } else { "the cache" };
        unavailable(backend, "answer for", group, no_answer(time))
    }

    /// What is said if a change was not kept in time.
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
