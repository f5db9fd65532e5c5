//! Telling listeners: after the commit, in order, one at a time for each group. Which events are due is decided in
//! `due.rs`, for listeners and for programs that deliver by hand.

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

/// Events of an earlier run go out this long after the first listener was added, so that others have been added, too.
const LISTENERS_GATHER: Duration = Duration::from_millis(100);

/// How often it is looked whether another process has delivered its events.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Events of one group that are told before they are marked: a crash repeats no more.
const PIECE: usize = 1_000;
/// Events of an earlier run are tried again after this long where cache or store cannot be reached.
const RETRY_EARLIER: Duration = Duration::from_secs(1);

thread_local! {
    /// The managers whose listeners run on this thread, each with what calls of its listener left to deliver.
    static WITHIN_LISTENER: RefCell<Vec<(usize, Left)>> = const { RefCell::new(Vec::new()) };
}

/// Groups and the sequence of the last event to deliver.
type Left = HashMap<String, u64>;

impl Manager {
    /// Calls `listener` for each event with this code, once its change has the chosen durability: in commit order, one
    /// at a time for each group, at least once. A listener that panics is logged and stops nobody.
    ///
    /// With [`Durability::Interval`](crate::Durability::Interval) that is when the cache has the change: a crash can take it
    /// back although its event was heard.
    ///
    /// Events that an earlier run left go out 100 ms after the first listener was added (where processes share the cache,
    /// after a second, in case that run is still there), or with [`close`](Self::close), once the store has them; add all
    /// listeners at once when the manager is made. A listener runs on the thread of the call that caused the event, before
    /// that call returns. It may call the manager through [`blocking`](Self::blocking); it must not wait for another thread
    /// that does, which would wait for the listener's group.
    pub fn add_listener(&self, code: EventCode, listener: impl Fn(&Event) + Send + Sync + 'static) -> ListenerId {
        let id = self.shared.deliveries.add(code, Arc::new(listener));
        self.deliver_earlier_soon();
        id
    }

    /// Removes a listener; `false` if it was removed before.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.shared.deliveries.remove(listener)
    }

    /// Sees to it that events of an earlier run go out, although nothing new may happen.
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
            self.deliver_or_leave(delivery, &mut self.deadline()).await?;
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
                runtime::sleep(LOOK_AGAIN).await?;
            }
        }
    }

    fn by_hand(&self) -> bool {
        self.shared.committer.as_ref().is_some_and(Committer::by_hand)
    }
}
