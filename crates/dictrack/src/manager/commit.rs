//! Group commit: one thread writes the changes of many callers.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use dictrack_core::{custom::panic_message, group::Engine};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::backend::BackendError;
use crate::cache::{DataCache, Saved};
use crate::clock::Stopwatch;
use crate::durability::Durability;
use crate::metrics::Meter;
use crate::store::{DataStore, Mark, Refused, Unsaved};
use crate::{Error, executor};

/// How long closing a manager may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// How long the thread is idle before it does postponed work.
const IDLE: Duration = Duration::from_millis(500);

/// The pause of the thread while closing if the cache could not hand out everything.
const CLOSING_PAUSE: Duration = Duration::from_millis(1);

/// Commits that are requested while one is running share the next one.
///
/// Rounds are numbered. A change that was made before round n began is written in round n or an earlier one.
pub(super) struct Committer {
    core: Arc<Core>,
    durability: Durability,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Core {
    cache: Arc<dyn DataCache>,
    store: Arc<dyn DataStore>,
    engine: Arc<Engine>,
    state: Mutex<State>,
    wake: Condvar,
    done: watch::Sender<Progress>,
    /// Whether `done` contains a failure.
    failed: AtomicBool,
    /// Whether the thread is waiting for the store right now, rather than for the cache.
    saving: AtomicBool,
    /// Changes are committed only when [`Committer::begin`] is called.
    by_hand: bool,
    /// Held while a caller collects by hand: what was collected first is written first.
    collecting: tokio::sync::Mutex<()>,
    /// The number of calls since the last round began that did not wait for their commit.
    unawaited: AtomicUsize,
    /// When closing the manager began; closing does not wait forever.
    closing: OnceLock<Stopwatch>,
    meter: Arc<Meter>,
}

/// When a store is this many calls behind, callers wait for it.
const MOST_UNAWAITED: usize = 1 << 18;

#[derive(Default)]
struct State {
    /// The last round that began.
    begun: u64,
    /// The last round that somebody is waiting for.
    wanted: u64,
    /// What a caller that commits by hand has collected for the next round.
    ready: Option<(Vec<Unsaved>, Vec<Mark>)>,
    /// Marks for the next round, if the thread collects its changes.
    marks: Vec<Mark>,
    closing: bool,
    /// Whether the thread has ended, so that there are no further rounds.
    closed: bool,
}

#[derive(Clone, Default)]
struct Progress {
    /// The last round that ended.
    ended: u64,
    failure: Option<Arc<BackendError>>,
    /// Why the store cannot be reached right now.
    away: Option<Away>,
}

/// A store that cannot be reached.
#[derive(Clone)]
struct Away {
    since: Stopwatch,
    source: Arc<BackendError>,
}

/// Closing a manager gives up on such a store a little before [`CLOSE_WITHIN`], so that the thread has ended by then.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(4);
/// The log target for such a store: programs that report it themselves filter it out.
const AWAY: &str = "dictrack::away";

/// How long callers wait for a store that cannot be reached.
const AWAY_FOR: Duration = Duration::from_millis(1000);
/// The pause before a store that cannot be reached is tried again, which doubles from the first of these to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A commit in progress.
#[derive(Debug)]
#[must_use = "only a commit that was waited for is known to be kept"]
pub struct Commit {
    round: u64,
    done: Option<watch::Receiver<Progress>>,
}

impl Progress {
    /// Whether the store has been unreachable for long.
    fn is_away(&self) -> bool {
        self.away.as_ref().is_some_and(|away| away.since.elapsed() > AWAY_FOR)
    }

    /// The result of a round that is over or that is no longer waited for.
    fn of(&self, round: u64) -> Result<(), Error> {
        if self.ended >= round {
            return Ok(());
        }
        match (&self.failure, &self.away) {
            (Some(failure), _) => Err(Error::Stopped { failure: Arc::clone(failure) }),
            (None, Some(away)) => Err(Error::Unavailable(Arc::clone(&away.source))),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {}", self.ended)
    }
}

impl Commit {
    pub(super) fn done() -> Self {
        Self { round: 0, done: None }
    }

    /// Whether the commit has ended, successfully or not.
    pub fn is_over(&self) -> bool {
        self.done.as_ref().is_none_or(|done| {
            let progress = done.borrow();
            progress.ended >= self.round || progress.failure.is_some()
        })
    }

    /// Why the commit is waiting, if the store cannot be reached right now.
    pub fn held_up_by(&self) -> Option<Error> {
        let progress = self.done.as_ref()?.borrow();
        let source = &progress.away.as_ref()?.source;
        (progress.ended < self.round).then(|| Error::Unavailable(Arc::clone(source)))
    }

    /// Waits until the whole commit is kept.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the store failed; then nothing of this commit is acknowledged.
    pub async fn wait(self) -> Result<(), Error> {
        let Some(mut done) = self.done else { return Ok(()) };
        let over = done.wait_for(|progress| progress.ended >= self.round || progress.failure.is_some()).await;
        over.map_or(Err(Error::Closed), |progress| progress.of(self.round))
    }

    /// Like [`wait`](Self::wait), but only briefly if the store cannot be reached.
    async fn wait_while_reached(self) -> Result<(), Error> {
        let Some(mut done) = self.done else { return Ok(()) };
        let over =
            |progress: &Progress| progress.ended >= self.round || progress.failure.is_some() || progress.is_away();
        let over = done.wait_for(over).await;
        over.map_or(Err(Error::Closed), |progress| progress.of(self.round))
    }

    /// Like [`wait`](Self::wait), for programs without an async runtime.
    ///
    /// # Errors
    /// The errors of [`wait`](Self::wait).
    pub fn wait_blocking(self) -> Result<(), Error> {
        executor::block_on(self.wait())
    }
}

impl Committer {
    pub(super) fn start(
        cache: Arc<dyn DataCache>,
        store: Arc<dyn DataStore>,
        engine: Arc<Engine>,
        durability: Durability,
        by_hand: bool,
        meter: Arc<Meter>,
    ) -> Self {
        let core = Arc::new(Core {
            cache,
            store,
            engine,
            state: Mutex::default(),
            wake: Condvar::new(),
            done: watch::Sender::default(),
            failed: AtomicBool::new(false),
            saving: AtomicBool::new(false),
            by_hand,
            collecting: tokio::sync::Mutex::default(),
            unawaited: AtomicUsize::new(0),
            closing: OnceLock::new(),
            meter,
        });
        let interval = match durability {
            Durability::Interval(interval) if !by_hand => Some(interval),
            _ => None,
        };
        let worker = Arc::clone(&core);
        let run = move || {
            // A panic must not leave callers waiting forever.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| worker.run(interval))) {
                let source = panic_message(&*panic).into();
                worker
                    .fail(BackendError { backend: "the commit thread", action: "continue".to_owned(), source }.into());
            }
        };
        let thread = std::thread::Builder::new().name("dictrack-commit".to_owned()).spawn(run);
        let thread = thread.map_err(|error| core.fail(spawn_failed(error))).ok();
        Self { core, durability, thread: Mutex::new(thread) }
    }

    /// Fails if the store has failed.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !self.core.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.core.done.borrow().failure {
            Some(failure) => Err(Error::Stopped { failure: Arc::clone(failure) }),
            None => Ok(()),
        }
    }

    /// Why the store cannot be reached right now.
    pub(super) fn away(&self) -> Option<Arc<BackendError>> {
        self.core.done.borrow().away.as_ref().map(|away| Arc::clone(&away.source))
    }

    /// Waits, as the durability requires, until what has changed so far is kept. Returns whether it waited.
    pub(super) async fn acknowledge(&self) -> Result<bool, Error> {
        let waits = !self.core.by_hand
            && (self.durability.waits() || self.core.unawaited.fetch_add(1, Ordering::Relaxed) >= MOST_UNAWAITED);
        if waits {
            self.commit().await?;
        } else {
            self.check()?;
        }
        Ok(waits)
    }

    /// Waits until what has changed so far is kept.
    pub(super) async fn commit(&self) -> Result<(), Error> {
        self.publish(|_| ())?.wait_while_reached().await
    }

    /// What a slow commit is waiting for.
    pub(super) fn waits_for(&self) -> &'static str {
        if self.core.saving.load(Ordering::Relaxed) { "the store" } else { "the cache" }
    }

    /// Whether only [`begin`](Self::begin) commits.
    pub(super) fn by_hand(&self) -> bool {
        self.core.by_hand
    }

    fn ticket(&self, round: u64) -> Commit {
        Commit { round, done: Some(self.core.done.subscribe()) }
    }

    /// Has everything changed so far written together with `marks`. When committing by hand, changes are collected
    /// right here, so that the marks describe exactly these changes; one such commit waits while another is written,
    /// and a third waits for its place.
    pub(super) async fn begin(&self, marks: Vec<Mark>) -> Result<Commit, Error> {
        if !self.core.by_hand {
            return self.publish(|state| state.marks.extend(marks));
        }
        let _collecting = self.core.collecting.lock().await;
        loop {
            let waiting = {
                let state = self.core.state.lock();
                state.ready.is_some().then_some(state.begun + 1)
            };
            match waiting {
                Some(round) => self.ticket(round).wait().await?,
                None => break,
            }
        }
        let changes = self.core.cache.collect(&self.core.engine).await?;
        self.publish(|state| state.ready = Some((changes, marks)))
    }

    /// Starts a round that nobody waits for, unless commits are made by hand.
    pub(super) fn begin_soon(&self) {
        if !self.core.by_hand {
            // If nothing is written any more, callers that wait for a commit get the reason.
            let _ = self.publish(|_| ());
        }
    }

    /// Adds something to the next round and starts it.
    fn publish(&self, put: impl FnOnce(&mut State)) -> Result<Commit, Error> {
        let round = {
            let mut state = self.core.state.lock();
            if state.closed {
                self.check()?;
                return Err(Error::Closed);
            }
            put(&mut state);
            state.wanted = state.begun + 1;
            state.wanted
        };
        self.core.wake.notify_one();
        Ok(self.ticket(round))
    }

    /// Has everything written and ends the thread; waits up to [`CLOSE_WITHIN`].
    pub(super) fn close(&self) -> Result<(), Error> {
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        self.core.state.lock().closing = true;
        let waited = *self.core.closing.get_or_init(Stopwatch::start);
        self.core.wake.notify_one();
        while !thread.is_finished() && waited.elapsed() < CLOSE_WITHIN {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !thread.is_finished() {
            let unsaved = executor::block_on(self.core.cache.collect(&self.core.engine)).map_or(0, |left| left.len());
            tracing::warn!(unsaved, "the store did not accept everything within {CLOSE_WITHIN:?}");
            self.check()?;
            let failure = self.away().unwrap_or_else(|| {
                let source = format!("no answer within {CLOSE_WITHIN:?}").into();
                Arc::new(BackendError { backend: self.waits_for(), action: "keep everything".to_owned(), source })
            });
            return Err(Error::Stopped { failure });
        }
        self.check()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "not everything was written");
        }
    }
}

/// Work that can be done later is not a failure of the store.
fn ignore_temporary(error: Error) -> Result<(), Error> {
    if error.is_temporary() { Ok(()) } else { Err(error) }
}

fn spawn_failed(error: std::io::Error) -> Error {
    BackendError { backend: "the system", action: "start the commit thread".to_owned(), source: error.into() }.into()
}

impl Core {
    /// The body of the thread: runs rounds until it is told to end or the store fails.
    fn run(&self, interval: Option<Duration>) {
        let pause = interval.unwrap_or(IDLE);
        loop {
            let (ready, marks, due, closing) = {
                let mut state = self.state.lock();
                if state.wanted <= state.begun && !state.closing {
                    self.wake.wait_for(&mut state, pause);
                }
                let due = state.wanted > state.begun || interval.is_some() || state.closing;
                if due {
                    state.begun += 1;
                }
                (state.ready.take(), std::mem::take(&mut state.marks), due, state.closing)
            };
            let result = executor::block_on(async {
                self.cache.maintain().await.or_else(ignore_temporary)?;
                if due {
                    self.round(ready, &marks).await?;
                }
                self.in_store(self.store.maintain(closing)).await.or_else(ignore_temporary)
            });
            if let Err(error) = result {
                return self.fail(error);
            }
            let mut state = self.state.lock();
            if closing && state.wanted <= state.begun {
                if self.has_more() {
                    drop(state);
                    std::thread::sleep(CLOSING_PAUSE);
                    continue;
                }
                state.closed = true;
                return;
            }
        }
    }

    /// Notes that the thread is waiting for the store.
    async fn in_store<T>(&self, call: impl Future<Output = T>) -> T {
        self.saving.store(true, Ordering::Relaxed);
        let answer = call.await;
        self.saving.store(false, Ordering::Relaxed);
        answer
    }

    /// Whether the cache postponed something that can still be written before the manager is closed.
    fn has_more(&self) -> bool {
        !self.by_hand
            && self.cache.has_uncollected()
            && self.closing.get().is_some_and(|closing| closing.elapsed() < CLOSE_WITHIN)
    }

    async fn round(&self, ready: Option<(Vec<Unsaved>, Vec<Mark>)>, marks: &[Mark]) -> Result<(), Error> {
        if let Some((changes, marks)) = ready {
            self.save(&changes, &marks).await?;
        }
        if !self.by_hand {
            self.unawaited.store(0, Ordering::Relaxed);
            let changes = self.cache.collect(&self.engine).await?;
            self.save(&changes, marks).await?;
        }
        let begun = self.state.lock().begun;
        self.done.send_modify(|progress| progress.ended = begun);
        Ok(())
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<(), Error> {
        if changes.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let refused = self.save_when_reached(changes, marks).await?;
        self.cache.note_saved(&Saved::all(changes, &refused)).await.or_else(ignore_temporary)
    }

    /// Saves, and tries again while the store cannot be reached: acknowledged changes are not given up.
    async fn save_when_reached(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
        let since = Stopwatch::start();
        let (mut pause, longest) = RETRY;
        loop {
            match self.in_store(self.store.save(changes, marks)).await {
                // Counted from the close: a server may come back right after it, however long it was away.
                Err(Error::Unavailable(source))
                    if self.closing.get().is_none_or(|closing| closing.elapsed() <= GIVE_UP_WITHIN) =>
                {
                    if self.done.borrow().away.is_none() {
                        tracing::warn!(target: AWAY, error = %source, "the store is unreachable; retrying");
                    }
                    self.meter.note_retry();
                    let away = Away { since, source };
                    self.done.send_modify(|progress| progress.away = Some(away));
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(longest);
                }
                result => {
                    if self.done.borrow().away.is_some() {
                        self.done.send_modify(|progress| progress.away = None);
                        tracing::warn!(target: AWAY, "the store is back");
                    }
                    if let Ok(refused) = &result {
                        let (time, kept) = (since.elapsed(), changes.len() - refused.len());
                        self.meter.note_commit(kept, time);
                        tracing::debug!(
                            groups = kept,
                            refused = refused.len(),
                            marks = marks.len(),
                            ?time,
                            "committed"
                        );
                    }
                    return result;
                }
            }
        }
    }

    /// Stops acknowledging. The failed write is not repeated, because it is unknown what a failed sync left on disk.
    fn fail(&self, error: Error) {
        tracing::error!(%error, "the store failed; nothing more is acknowledged");
        self.done.send_modify(|progress| {
            progress.failure = Some(error.into_backend());
            // Whoever sees the flag waits for the failure; whoever sees the failure must not miss the flag.
            self.failed.store(true, Ordering::Release);
        });
        self.state.lock().closed = true;
    }
}
