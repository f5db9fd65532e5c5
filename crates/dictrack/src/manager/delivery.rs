//! Telling listeners: after the commit, in order, one at a time for each group. Which events are due is decided in
//! `due.rs`, for listeners and for programs that deliver by hand.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dictrack_core::{BoxError, Event, EventCode, Group, panic_message};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::commit::Committer;
use super::due::Turn;
use super::{Manager, step};
use crate::Error;
use crate::clock::Stopwatch;
use crate::crash::crash_point;
use crate::deadline::Deadline;

type Listener = Arc<dyn Fn(&Event) -> Result<(), BoxError> + Send + Sync>;

/// Names a listener, so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

pub(super) struct Deliveries {
    listeners: RwLock<Vec<(ListenerId, EventCode, Listener)>>,
    next: AtomicU64,
    /// The groups that somebody is delivering for right now, or waits to.
    busy: Mutex<HashMap<String, Queue>>,
    free: Notify,
    /// Groups with events of an earlier run.
    earlier: Mutex<Earlier>,
    /// Events that calls of this process caused and that no listener has heard, where other processes cause events, too:
    /// the sequences of each group.
    own: Mutex<HashMap<String, BTreeSet<u64>>>,
    /// Whether other processes cause events.
    shared: bool,
    /// Whether somebody will soon deliver those.
    soon: AtomicBool,
}

/// Groups with events of an earlier run.
struct Earlier {
    /// A group stays until all of its events are delivered.
    groups: VecDeque<String>,
    /// Since when they wait for the processes that caused them, which may still be there.
    since: Option<Stopwatch>,
}

/// Events of a group that are to be delivered.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    group: &'a str,
    /// The sequence of the last one.
    last: u64,
    /// Since when those of other processes wait.
    since: Stopwatch,
    /// Whether an earlier run caused them: then nobody else is about to commit the marks.
    earlier: bool,
}

/// Who delivers for a group, and who waits to.
#[derive(Default)]
struct Queue {
    held: bool,
    waiting: usize,
    /// How often who delivered could not reach cache or store, and why the last one could not.
    failures: u64,
    failure: Option<Error>,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("listeners", &self.listeners.read().len()).finish_non_exhaustive()
    }
}

/// Events of an earlier run go out this long after the first listener was added, so that others have been added, too.
const LISTENERS_GATHER: Duration = Duration::from_millis(100);

/// How often it is looked whether another process has delivered its events.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Events of one group that are told before they are marked: a crash repeats no more.
const PIECE: usize = 1_000;
/// Events of an earlier run are tried again after this long where cache or store cannot be reached.
const RETRY_EARLIER: Duration = Duration::from_secs(1);

thread_local! {
    /// The managers that run the step of a group on this thread, which custom code must not leave.
    static WITHIN_STEP: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// The managers whose listeners run on this thread, each with what calls of its listener left to deliver.
    static WITHIN_LISTENER: RefCell<Vec<(usize, Left)>> = const { RefCell::new(Vec::new()) };
}

/// Groups and the sequence of the last event to deliver.
type Left = HashMap<String, u64>;

impl Deliveries {
    /// With the groups that have events of an `earlier` run; `shared` where other processes cause events, too.
    pub(super) fn new(earlier: Vec<String>, shared: bool) -> Self {
        Self {
            listeners: RwLock::default(),
            next: AtomicU64::new(1),
            busy: Mutex::default(),
            free: Notify::new(),
            earlier: Mutex::new(Earlier { groups: earlier.into(), since: None }),
            own: Mutex::default(),
            shared,
            soon: AtomicBool::new(false),
        }
    }

    pub(super) fn add(&self, code: EventCode, listener: Listener) -> ListenerId {
        let id = ListenerId(self.next.fetch_add(1, Ordering::Relaxed));
        self.listeners.write().push((id, code, listener));
        id
    }

    /// Removes a listener; whether it was there, and how many are left.
    pub(super) fn remove(&self, id: ListenerId) -> (bool, usize) {
        let mut listeners = self.listeners.write();
        let before = listeners.len();
        listeners.retain(|(present, ..)| *present != id);
        (listeners.len() < before, listeners.len())
    }

    /// Whether a call of this process caused the event of that sequence.
    fn is_own(&self, group: &str, sequence: u64) -> bool {
        !self.shared || self.own.lock().get(group).is_some_and(|own| own.contains(&sequence))
    }

    /// Forgets that this process caused the events up to a sequence, which were told.
    fn forget_own(&self, group: &str, told: u64) {
        let mut own = self.own.lock();
        if let Some(sequences) = own.get_mut(group) {
            *sequences = sequences.split_off(&told.saturating_add(1));
            if sequences.is_empty() {
                own.remove(group);
            }
        }
    }

    fn has_listeners(&self) -> bool {
        !self.listeners.read().is_empty()
    }

    /// Waits for its turn with a group.
    async fn turn(&self, group: &str) -> Place<'_> {
        let failures = self.busy.lock().entry(group.to_owned()).or_default().enter();
        let mut turn = Place { deliveries: self, group: group.to_owned(), held: false, failure: None };
        loop {
            let freed = self.free.notified();
            if let Some(queue) = self.busy.lock().get_mut(group).filter(|queue| !queue.held) {
                (queue.held, queue.waiting) = (true, queue.waiting - 1);
                turn.held = true;
                turn.failure = queue.failure.clone().filter(|_| queue.failures > failures);
                return turn;
            }
            freed.await;
        }
    }

    fn tell(&self, event: &Event) {
        let listeners: Vec<Listener> = self
            .listeners
            .read()
            .iter()
            .filter(|(_, code, _)| *code == event.code)
            .map(|(_, _, listener)| Arc::clone(listener))
            .collect();
        for listener in listeners {
            let problem = match catch_unwind(AssertUnwindSafe(|| listener(event))) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic_message(&*panic),
            };
            tracing::error!(event = %event.id(), group = %event.group, %problem, "a listener failed");
        }
    }
}

impl Queue {
    /// Begins to wait; how many failures there were before.
    fn enter(&mut self) -> u64 {
        self.waiting += 1;
        self.failures
    }
}

/// The right to deliver for a group, or the wait for it; given back when dropped, also by a call that was cancelled.
struct Place<'a> {
    deliveries: &'a Deliveries,
    group: String,
    held: bool,
    /// Why the last one could not deliver who failed while this one waited.
    failure: Option<Error>,
}

impl Place<'_> {
    /// Lets those who wait know that cache or store could not be reached.
    fn fail(&self, error: &Error) {
        if let Some(queue) = self.deliveries.busy.lock().get_mut(&self.group) {
            queue.failures += 1;
            queue.failure = Some(error.clone());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut busy = self.deliveries.busy.lock();
        if let Some(queue) = busy.get_mut(&self.group) {
            match self.held {
                true => queue.held = false,
                false => queue.waiting -= 1,
            }
            if !queue.held && queue.waiting == 0 {
                busy.remove(&self.group);
            }
        }
        drop(busy);
        self.deliveries.free.notify_waiters();
    }
}

impl Manager {
    /// Tells this manager from others of the process.
    fn identity(&self) -> usize {
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

    /// Sees to it that events of an earlier run go out, although nothing new may happen.
    pub(super) fn deliver_earlier_soon(&self) {
        let deliveries = &self.shared.deliveries;
        let none = !deliveries.shared && deliveries.earlier.lock().groups.is_empty();
        if none || deliveries.soon.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::downgrade(&self.shared);
        let deliver = move || {
            let mut pause = LISTENERS_GATHER;
            loop {
                std::thread::sleep(pause);
                let Some(shared) = shared.upgrade() else { return };
                let manager = Self { shared };
                match pollster::block_on(manager.deliver_earlier()) {
                    Ok(()) | Err(Error::Closed) => return,
                    Err(error) if error.is_temporary() => pause = RETRY_EARLIER,
                    Err(error) => {
                        tracing::error!(%error, "events of an earlier run were not delivered");
                        return;
                    }
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("dictrack-deliver".to_owned()).spawn(deliver) {
            tracing::error!(%error, "events of an earlier run wait for the end of the manager");
        }
    }

    /// Delivers the events of an earlier run. Its marks are committed as it goes.
    pub(super) async fn deliver_earlier(&self) -> Result<(), Error> {
        let deliveries = &self.shared.deliveries;
        if self.by_hand() || !deliveries.has_listeners() {
            return Ok(());
        }
        let known = deliveries.earlier.lock().since;
        let since = match known {
            Some(since) => since,
            None => {
                // What a process that ended left in a shared cache, the store may not even know.
                let unsaved = if deliveries.shared && self.shared.committer.is_some() {
                    self.shared.cache.unsaved().await?
                } else {
                    Vec::new()
                };
                let mut earlier = deliveries.earlier.lock();
                earlier.groups.extend(unsaved);
                *earlier.since.get_or_insert_with(Stopwatch::start)
            }
        };
        loop {
            let Some(group) = deliveries.earlier.lock().groups.front().cloned() else { return Ok(()) };
            let kept = match self.kept_events(&[&group]).await {
                // The cache lost what the store did not have, and the group is read again.
                Err(Error::Lost { .. }) => continue,
                kept => kept?,
            };
            let last = kept.first().copied().unwrap_or_default();
            let delivery = Delivery { group: &group, last, since, earlier: true };
            self.deliver_or_leave(delivery, &mut Deadline::of_a_call()).await?;
            let mut earlier = deliveries.earlier.lock();
            if earlier.groups.front() == Some(&group) {
                earlier.groups.pop_front();
            }
        }
    }

    /// Delivers `events` of `group`, which are committed, and what stands before them.
    pub(super) async fn deliver(
        &self,
        group: &str,
        events: &[Arc<Event>],
        deadline: &mut Deadline,
    ) -> Result<(), Error> {
        let last = events.last().map_or(0, |event| event.sequence);
        if last == 0 || self.by_hand() || !self.shared.deliveries.has_listeners() {
            return Ok(());
        }
        let deliveries = &self.shared.deliveries;
        if deliveries.shared {
            let mut own = deliveries.own.lock();
            own.entry(group.to_owned()).or_default().extend(events.iter().map(|event| event.sequence));
        }
        let delivery = Delivery { group, last, since: Stopwatch::start(), earlier: false };
        self.deliver_or_leave(delivery, deadline).await
    }

    /// Delivers events of a group. The call of a listener does not wait: it leaves them to the delivery that runs the
    /// listener.
    async fn deliver_or_leave(&self, delivery: Delivery<'_>, deadline: &mut Deadline) -> Result<(), Error> {
        let is_left = WITHIN_LISTENER.with_borrow_mut(|stack| {
            let Some((_, nested)) = stack.iter_mut().find(|(manager, _)| *manager == self.identity()) else {
                return false;
            };
            let newest = nested.entry(delivery.group.to_owned()).or_default();
            *newest = delivery.last.max(*newest);
            true
        });
        if is_left {
            return Ok(());
        }
        let mut left: Vec<_> = self.deliver_group(delivery, deadline).await?.into_iter().collect();
        while let Some((group, last)) = left.pop() {
            let delivery = Delivery { group: &group, last, since: Stopwatch::start(), earlier: delivery.earlier };
            left.extend(self.deliver_group(delivery, deadline).await?);
        }
        Ok(())
    }

    /// Delivers events of one group; what listeners' calls left to deliver.
    async fn deliver_group(&self, delivery: Delivery<'_>, deadline: &mut Deadline) -> Result<Left, Error> {
        let turn = self.shared.deliveries.turn(delivery.group).await;
        if let Some(failure) = turn.failure.clone().filter(|_| deadline.is_over()) {
            // It would wait in vain for what the one before has waited for, and so would each behind it.
            return Err(failure);
        }
        let delivered = self.deliver_in_turn(delivery, deadline).await;
        if let Err(error) = &delivered
            && error.is_temporary()
        {
            turn.fail(error);
        }
        delivered
    }

    async fn deliver_in_turn(&self, delivery: Delivery<'_>, deadline: &mut Deadline) -> Result<Left, Error> {
        let deliveries = &self.shared.deliveries;
        let Delivery { group, last, since, earlier } = delivery;
        let mut left = Left::new();
        loop {
            let waited = if deadline.is_over() { Duration::MAX } else { since.elapsed() };
            let is_own = |sequence| deliveries.is_own(group, sequence);
            let due = self.due_within(*deadline, group, Turn { last, most: PIECE, waited, is_own: &is_own }).await?;
            let telling = Stopwatch::start();
            for event in &due.events {
                crash_point("before_delivery");
                WITHIN_LISTENER.with_borrow_mut(|stack| stack.push((self.identity(), std::mem::take(&mut left))));
                deliveries.tell(event);
                left = WITHIN_LISTENER.with_borrow_mut(Vec::pop).map(|(_, left)| left).unwrap_or_default();
                crash_point("after_delivery");
            }
            deadline.put_off(telling.elapsed());
            if let Some(told) = due.events.last() {
                deliveries.forget_own(group, told.sequence);
                let mut mark = |found: &mut Group| step(found.mark_events_delivered(&due.events));
                self.update(*deadline, group, &mut mark).await?;
                if (earlier || due.more)
                    && let Some(committer) = &self.shared.committer
                {
                    committer.begin_soon();
                }
            }
            if !due.more {
                return Ok(left);
            }
            if due.events.is_empty() {
                // Another process is about to deliver what stands before.
                pause(LOOK_AGAIN).await;
            }
        }
    }

    fn by_hand(&self) -> bool {
        self.shared.committer.as_ref().is_some_and(Committer::by_hand)
    }
}

async fn pause(time: Duration) {
    #[cfg(any(feature = "mongodb", feature = "redis"))]
    if crate::runtime::run(time * 4, async move { tokio::time::sleep(time).await }).await.is_ok() {
        return;
    }
    std::thread::sleep(time);
}
