//! Calls listeners: after the commit, in order, one event at a time for each group. `due.rs` decides which events are
//! due, for listeners and for programs that deliver by hand.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dictrack_core::{Event, EventCode, group::Group};

use super::commit::Committer;
use super::due::Turn;
use super::listeners::ListenerId;
use super::shared::{Manager, step};
use crate::clock::Stopwatch;
use crate::crash::crash_point;
use crate::deadline::Deadline;
use crate::{Error, executor, runtime};

/// Events of a group to deliver.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    group: &'a str,
    /// The sequence of the last one.
    last: u64,
    /// Since when the events of other processes have been waiting.
    since: Stopwatch,
    /// Whether an earlier run caused them; if so, no other call is about to commit that they were delivered.
    earlier: bool,
}

/// How long events of an earlier run wait after the first listener was added, so that the others can be added too.
const LISTENERS_GATHER: Duration = Duration::from_millis(100);

/// How often to look whether another process has delivered its events.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How many events of one group are delivered before they are marked: a crash repeats no more than these.
const PIECE: usize = 1_000;
/// The pause before events of an earlier run are tried again when the cache or the store cannot be reached.
const RETRY_EARLIER: Duration = Duration::from_secs(1);

thread_local! {
    /// The managers whose listeners are running on this thread, each with what calls by its listener left to deliver.
    static WITHIN_LISTENER: RefCell<Vec<(usize, Left)>> = const { RefCell::new(Vec::new()) };
}

/// Groups and the sequence of the last event to deliver.
type Left = HashMap<String, u64>;

impl Manager {
    /// Calls `listener` for each event with this code, once its change has the chosen durability: in commit order, one
    /// at a time for each group, at least once. A listener that panics is logged; the others still run.
    ///
    /// With [`Durability::Interval`](crate::Durability::Interval), an event is delivered as soon as the cache has its
    /// change: a crash can undo the change although listeners have heard of it.
    ///
    /// Events that an earlier run left are delivered once the store has them: 100 ms after the first listener is added,
    /// or in [`close`](Self::close). If processes share the cache, that takes a second, in case that run is still
    /// alive. So add all listeners at once, right after opening the manager. A listener runs on the thread of the call
    /// that caused the event, before that call returns. It may call the manager through [`blocking`](Self::blocking);
    /// it must not wait for another thread that does, because that thread would wait for the listener's group.
    pub fn add_listener(&self, code: EventCode, listener: impl Fn(&Event) + Send + Sync + 'static) -> ListenerId {
        let id = self.shared.deliveries.add(code, Arc::new(listener));
        self.deliver_earlier_soon();
        id
    }

    /// Removes a listener; `false` if it was removed before.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.shared.deliveries.remove(listener)
    }

    /// Makes sure that events of an earlier run are delivered, even if no new ones follow.
    fn deliver_earlier_soon(&self) {
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
                match executor::block_on(manager.deliver_earlier()) {
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
            tracing::error!(%error, "events of an earlier run are delivered when the manager closes");
        }
    }

    /// Delivers the events of an earlier run, and commits as it goes that they were delivered.
    pub(super) async fn deliver_earlier(&self) -> Result<(), Error> {
        let deliveries = &self.shared.deliveries;
        if self.by_hand() || !deliveries.has_listeners() {
            return Ok(());
        }
        let known = deliveries.earlier.lock().since;
        let since = match known {
            Some(since) => since,
            None => {
                // The store may not even know what a process that has ended left in a shared cache.
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
                // The cache lost what the store did not have; the group is read again.
                Err(Error::Lost { .. }) => continue,
                kept => kept?,
            };
            let last = kept.first().copied().unwrap_or_default();
            let delivery = Delivery { group: &group, last, since, earlier: true };
            self.deliver_or_leave(delivery, &mut self.deadline()).await?;
            let mut earlier = deliveries.earlier.lock();
            if earlier.groups.front() == Some(&group) {
                earlier.groups.pop_front();
            }
        }
    }

    /// Delivers `events` of `group`, which are committed, and all before them.
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

    /// Delivers events of a group. A call made by a listener does not wait: it leaves its events to the delivery that
    /// runs the listener.
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

    /// Delivers events of one group; returns what calls by listeners left to deliver.
    async fn deliver_group(&self, delivery: Delivery<'_>, deadline: &mut Deadline) -> Result<Left, Error> {
        let turn = self.shared.deliveries.turn(delivery.group).await;
        if let Some(failure) = turn.failure.clone().filter(|_| deadline.is_over()) {
            // It would wait in vain, as the previous one did, and so would each one after it.
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
                // Another process is about to deliver an earlier event.
                runtime::sleep(LOOK_AGAIN).await?;
            }
        }
    }

    fn by_hand(&self) -> bool {
        self.shared.committer.as_ref().is_some_and(Committer::by_hand)
    }
}
