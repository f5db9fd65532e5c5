//! The listeners of a manager, and the turns in which calls deliver the events of a group.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dictrack_core::{Event, EventCode, custom::panic_message};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::Error;
use crate::clock::Stopwatch;

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Identifies a listener, so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

pub(super) struct Deliveries {
    listeners: RwLock<Vec<(ListenerId, EventCode, Listener)>>,
    /// The number of listeners, which every call reads.
    count: AtomicUsize,
    next: AtomicU64,
    /// The groups whose events somebody is delivering right now, or waits to deliver.
    busy: Mutex<HashMap<String, Queue>>,
    free: Notify,
    /// Groups with events left by an earlier run.
    pub(super) earlier: Mutex<Earlier>,
    /// The sequences, by group, of events that calls of this process caused and that no listener has heard; only where
    /// other processes cause events too.
    pub(super) own: Mutex<HashMap<String, BTreeSet<u64>>>,
    /// Whether other processes cause events.
    pub(super) shared: bool,
    /// Whether events of an earlier run are about to be delivered.
    pub(super) soon: AtomicBool,
}

/// Groups with events left by an earlier run.
pub(super) struct Earlier {
    /// A group stays until all of its events are delivered.
    pub(super) groups: VecDeque<String>,
    /// When they began to wait for the processes that caused them, which may still be running.
    pub(super) since: Option<Stopwatch>,
}

/// The call that delivers for a group, and those that wait to.
#[derive(Default)]
struct Queue {
    held: bool,
    waiting: usize,
    /// How often a delivery could not reach the cache or the store, and why the last one could not.
    failures: u64,
    failure: Option<Error>,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("listeners", &self.listeners.read().len()).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Starts with the groups that have events of an `earlier` run; `shared` if other processes cause events too.
    pub(super) fn new(earlier: Vec<String>, shared: bool) -> Self {
        Self {
            listeners: RwLock::default(),
            count: AtomicUsize::new(0),
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
        let mut listeners = self.listeners.write();
        listeners.push((id, code, listener));
        self.count.store(listeners.len(), Ordering::Relaxed);
        id
    }

    /// Removes a listener; returns whether it was there.
    pub(super) fn remove(&self, id: ListenerId) -> bool {
        let mut listeners = self.listeners.write();
        let before = listeners.len();
        listeners.retain(|(present, ..)| *present != id);
        self.count.store(listeners.len(), Ordering::Relaxed);
        listeners.len() < before
    }

    /// Whether a call of this process caused the event with that sequence.
    pub(super) fn is_own(&self, group: &str, sequence: u64) -> bool {
        !self.shared || self.own.lock().get(group).is_some_and(|own| own.contains(&sequence))
    }

    /// Forgets that this process caused the events up to a sequence, which have been delivered.
    pub(super) fn forget_own(&self, group: &str, told: u64) {
        let mut own = self.own.lock();
        if let Some(sequences) = own.get_mut(group) {
            *sequences = sequences.split_off(&told.saturating_add(1));
            if sequences.is_empty() {
                own.remove(group);
            }
        }
    }

    #[inline]
    pub(super) fn has_listeners(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Waits for its turn with a group.
    pub(super) async fn turn(&self, group: &str) -> Place<'_> {
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

    pub(super) fn tell(&self, event: &Event) {
        let listeners: Vec<Listener> = self
            .listeners
            .read()
            .iter()
            .filter(|(_, code, _)| *code == event.code)
            .map(|(_, _, listener)| Arc::clone(listener))
            .collect();
        for listener in listeners {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(event))) {
                let problem = panic_message(&*panic);
                tracing::error!(event = %event.id(), group = %event.group, %problem, "a listener panicked");
            }
        }
    }
}

impl Queue {
    /// Begins to wait; returns the number of failures so far.
    fn enter(&mut self) -> u64 {
        self.waiting += 1;
        self.failures
    }
}

/// The right to deliver for a group, or the wait for it; given back when dropped, even if the call is cancelled.
pub(super) struct Place<'a> {
    deliveries: &'a Deliveries,
    group: String,
    held: bool,
    /// The error of the last delivery that failed while this one waited.
    pub(super) failure: Option<Error>,
}

impl Place<'_> {
    /// Tells those who wait that the cache or the store could not be reached.
    pub(super) fn fail(&self, error: &Error) {
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
