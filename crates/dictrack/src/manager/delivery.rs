//! Telling listeners: after the commit, in order, one at a time for each group.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dictrack_core::{BoxError, Event, EventCode, Group, panic_message};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::Manager;
use crate::Error;
use crate::crash::crash_point;

type Listener = Arc<dyn Fn(&Event) -> Result<(), BoxError> + Send + Sync>;

/// Names a listener, so that it can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

pub(super) struct Deliveries {
    listeners: RwLock<Vec<(ListenerId, EventCode, Listener)>>,
    next: AtomicU64,
    /// The groups that somebody is delivering for right now.
    busy: Mutex<HashSet<String>>,
    free: Notify,
    /// Groups with events of an earlier run.
    pending: Mutex<Vec<String>>,
    has_pending: AtomicBool,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("listeners", &self.listeners.read().len()).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether this thread runs the step of a group, which custom code must not leave.
    static WITHIN_STEP: Cell<bool> = const { Cell::new(false) };
    /// While this thread runs a listener: what the calls of that listener left to deliver.
    static WITHIN_LISTENER: RefCell<Option<HashMap<String, u64>>> = const { RefCell::new(None) };
}

/// Runs the step of a group; calls of a manager from within are refused.
pub(super) fn within_step<T>(step: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHIN_STEP.set(self.0);
        }
    }
    let _restore = Restore(WITHIN_STEP.replace(true));
    step()
}

pub(super) fn is_within_step() -> bool {
    WITHIN_STEP.get()
}

impl Deliveries {
    pub(super) fn new(pending: Vec<String>) -> Self {
        Self {
            listeners: RwLock::default(),
            next: AtomicU64::new(1),
            busy: Mutex::default(),
            free: Notify::new(),
            has_pending: AtomicBool::new(!pending.is_empty()),
            pending: Mutex::new(pending),
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

    fn has_listeners(&self) -> bool {
        !self.listeners.read().is_empty()
    }

    /// Waits for its turn with a group.
    async fn turn(&self, group: &str) -> Turn<'_> {
        loop {
            let freed = self.free.notified();
            if self.busy.lock().insert(group.to_owned()) {
                return Turn { deliveries: self, group: group.to_owned() };
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

/// The right to deliver for a group; given back when dropped, also by a call that was cancelled.
struct Turn<'a> {
    deliveries: &'a Deliveries,
    group: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.deliveries.busy.lock().remove(&self.group);
        self.deliveries.free.notify_waiters();
    }
}

impl Manager {
    /// Delivers `events` of `group`, which are committed, and what stands before them.
    pub(super) async fn deliver(&self, group: &str, events: &[Arc<Event>]) -> Result<(), Error> {
        let deliveries = &self.shared.deliveries;
        let last = events.last().map_or(0, |event| event.sequence);
        let pending = deliveries.has_pending.load(Ordering::Relaxed);
        if (last == 0 && !pending) || !deliveries.has_listeners() {
            return Ok(());
        }
        let mut left: Vec<(String, u64)> = Vec::new();
        if pending && deliveries.has_pending.swap(false, Ordering::AcqRel) {
            left.extend(std::mem::take(&mut *deliveries.pending.lock()).into_iter().map(|group| (group, u64::MAX)));
        }
        if last > 0 {
            left.push((group.to_owned(), last));
        }
        let nested = WITHIN_LISTENER.with_borrow_mut(|nested| match nested {
            // The call of a listener does not wait: the delivery that runs the listener goes on with these.
            Some(nested) => {
                for (group, last) in left.drain(..) {
                    let newest = nested.entry(group).or_default();
                    *newest = last.max(*newest);
                }
                true
            }
            None => false,
        });
        if nested {
            return Ok(());
        }
        while let Some((group, last)) = left.pop() {
            left.extend(self.deliver_group(&group, last).await?);
        }
        Ok(())
    }

    /// Delivers the events of one group up to `last`; what listeners' calls left to deliver.
    async fn deliver_group(&self, group: &str, last: u64) -> Result<HashMap<String, u64>, Error> {
        let deliveries = &self.shared.deliveries;
        let _turn = deliveries.turn(group).await;
        let events = self.view(group, Group::undelivered).await?;
        let mut left = HashMap::new();
        let mut told = 0;
        for event in events.iter().filter(|event| event.sequence <= last) {
            crash_point("before_delivery");
            WITHIN_LISTENER.set(Some(std::mem::take(&mut left)));
            deliveries.tell(event);
            left = WITHIN_LISTENER.take().unwrap_or_default();
            told = event.sequence;
            crash_point("after_delivery");
        }
        if told > 0 {
            self.mark_delivered(group, told).await?;
        }
        Ok(left)
    }
}
