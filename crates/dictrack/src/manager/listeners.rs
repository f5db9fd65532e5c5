//! The listeners of a manager, and whose turn it is to tell them of a group.

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

/// Names a listener, so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

pub(super) struct Deliveries {
    listeners: RwLock<Vec<(ListenerId, EventCode, Listener)>>,
    /// How many there are: every call looks.
    count: AtomicUsize,
    next: AtomicU64,
    /// The groups that somebody is delivering for right now, or waits to.
    busy: Mutex<HashMap<String, Queue>>,
    free: Notify,
    /// Groups with events of an earlier run.
    pub(super) earlier: Mutex<Earlier>,
    /// Events that calls of this process caused and that no listener has heard, where other processes cause events, too:
    /// the sequences of each group.
    pub(super) own: Mutex<HashMap<String, BTreeSet<u64>>>,
    /// Whether other processes cause events.
    pub(super) shared: bool,
    /// Whether somebody will soon deliver those.
    pub(super) soon: AtomicBool,
}

/// Groups with events of an earlier run.
pub(super) struct Earlier {
    /// A group stays until all of its events are delivered.
    pub(super) groups: VecDeque<String>,
    /// Since when they wait for the processes that caused them, which may still be there.
    pub(super) since: Option<Stopwatch>,
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

impl Deliveries {
    /// With the groups that have events of an `earlier` run; `shared` where other processes cause events, too.
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

    /// Removes a listener; whether it was there.
    pub(super) fn remove(&self, id: ListenerId) -> bool {
        let mut listeners = self.listeners.write();
        let before = listeners.len();
        listeners.retain(|(present, ..)| *present != id);
        self.count.store(listeners.len(), Ordering::Relaxed);
        listeners.len() < before
    }

    /// Whether a call of this process caused the event of that sequence.
    pub(super) fn is_own(&self, group: &str, sequence: u64) -> bool {
        !self.shared || self.own.lock().get(group).is_some_and(|own| own.contains(&sequence))
    }

    /// Forgets that this process caused the events up to a sequence, which were told.
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
    /// Begins to wait; how many failures there were before.
    fn enter(&mut self) -> u64 {
        self.waiting += 1;
        self.failures
    }
}

/// The right to deliver for a group, or the wait for it; given back when dropped, also by a call that was cancelled.
pub(super) struct Place<'a> {
    deliveries: &'a Deliveries,
    group: String,
    held: bool,
    /// Why the last one could not deliver who failed while this one waited.
    pub(super) failure: Option<Error>,
}

impl Place<'_> {
    /// Lets those who wait know that cache or store could not be reached.
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
