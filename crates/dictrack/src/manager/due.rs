//! Decides which events may be delivered, and when, for listeners and for programs that deliver by hand.
//!
//! An event is due once nothing can undo it. A call that was acknowledged with the durability `fsync` or `os` has its
//! events in the store, and with them all earlier ones of the group. A shared cache may hold others;
//! [`Manager::kept_events`] finds out whether the store has them. Events of a group are delivered in order; those of
//! another process are left to it for a second, in case it is still running.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dictrack_core::{Event, group::Group};

use super::shared::{Manager, Shared, step};
use crate::Error;
use crate::cache::Effect;
use crate::deadline::Deadline;

/// How long another process has to deliver its events. Then this process delivers them, before later events of the
/// group.
const OTHERS_DELIVER: Duration = Duration::from_secs(1);

/// Which events of a group a process may deliver: see [`Manager::due`].
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// The sequence of the last event to deliver; the store has it and all before it.
    pub last: u64,
    /// The maximum number of events to return.
    pub most: usize,
    /// How long the events of other processes have been left to them.
    pub waited: Duration,
    /// Whether this process caused the event with that sequence.
    pub is_own: &'a (dyn Fn(u64) -> bool + Sync),
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { last, most, waited, .. } = self;
        f.debug_struct("Turn").field("last", last).field("most", most).field("waited", waited).finish_non_exhaustive()
    }
}

/// The events of a group to deliver now.
#[must_use = "events are delivered again until they are marked as delivered"]
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Due {
    /// In order. Mark them with [`Manager::mark_delivered`] once they are delivered.
    pub events: Vec<Arc<Event>>,
    /// Whether there are more: beyond the maximum, or after an event that another process is about to deliver.
    pub more: bool,
}

impl Due {
    fn of<'a>(events: impl Iterator<Item = &'a Arc<Event>>, turn: Turn<'_>) -> Self {
        let mut events = events.take_while(|event| event.sequence <= turn.last).peekable();
        let alone = turn.waited >= OTHERS_DELIVER;
        let mut due = Vec::new();
        while due.len() < turn.most
            && let Some(event) = events.next_if(|event| alone || (turn.is_own)(event.sequence))
        {
            due.push(Arc::clone(event));
        }
        Self { events: due, more: events.peek().is_some() }
    }
}

impl Manager {
    /// The events of a group that this process is to deliver now. For programs that deliver events themselves: after a
    /// call whose outcome has events, or for events that an earlier run left. Listeners do not need it.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn due(&self, group: &str, turn: Turn<'_>) -> Result<Due, Error> {
        self.due_within(self.deadline(), group, turn).await
    }

    /// Marks the events of `group` up to `sequence` as delivered, with the next commit.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn mark_delivered(&self, group: &str, sequence: u64) -> Result<(), Error> {
        self.check_reentrant()?;
        let mut mark = |found: &mut Group| step(found.mark_delivered(sequence));
        self.update(self.deadline(), group, &mut mark).await.map(drop)
    }

    pub(super) async fn due_within(&self, deadline: Deadline, group: &str, turn: Turn<'_>) -> Result<Due, Error> {
        self.view(deadline, group, move |found: &Group| Due::of(found.waiting_events(), turn)).await
    }

    /// For those of `groups` with undelivered events, has the store keep what the cache holds. Returns the sequence of
    /// the last event of each group, delivered or not. Without a store, the cache is all there is. With
    /// [`commit_by_hand`](super::ManagerBuilder::commit_by_hand) nothing is kept here: commit first.
    ///
    /// # Errors
    /// [`Error::Lost`] if the cache lost a group before the store had it: call again. Else a failure of the cache or
    /// the store.
    pub async fn kept_events(&self, groups: &[&str]) -> Result<Vec<u64>, Error> {
        self.check_reentrant()?;
        let (mut sequences, mut found) = (Vec::with_capacity(groups.len()), Vec::new());
        for group in groups {
            let mut newest = None;
            let mut look = |held: &mut Group| {
                let waits = held.waiting_events().next().is_some();
                newest = Some((held.last_sequence(), held.version(), waits));
                if waits { Effect::Relied } else { Effect::Unchanged }
            };
            let claim = self.update(self.deadline(), group, &mut look).await?;
            let (sequence, version, waits) = newest.unwrap_or_default();
            sequences.push(sequence);
            if waits {
                found.push((*group, version, claim));
            }
        }
        let committer = self.shared.committer.as_ref().filter(|committer| !committer.by_hand());
        if let (Some(committer), Some((first, ..))) = (committer, found.first()) {
            let deadline = self.deadline();
            deadline.bound(committer.commit(), |time| self.unsaved(committer, first, time)).await?;
            for (group, version, claim) in &found {
                let kept = self.confirm(committer, group, *version, *claim);
                deadline.bound(kept, |time| self.unsaved(committer, group, time)).await?;
            }
        }
        Ok(sequences)
    }

    /// The groups that may have undelivered events, in order.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn undelivered_groups(&self) -> Result<Vec<String>, Error> {
        self.check_reentrant()?;
        let Shared { source, cache, .. } = &*self.shared;
        if source.store().is_none() {
            return cache.group_ids().await;
        }
        let mut groups = source.undelivered().await?;
        // What a process that has ended left in a shared cache.
        groups.extend(cache.unsaved().await?);
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// The undelivered events, including those of an earlier run, as far as the store has them: a shared cache may hold
    /// more, which it can still lose. With [`commit_by_hand`](super::ManagerBuilder::commit_by_hand), events that are
    /// not committed yet are included.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    pub async fn undelivered(&self) -> Result<Vec<Arc<Event>>, Error> {
        let mut events = Vec::new();
        for group in self.undelivered_groups().await? {
            let last = loop {
                match self.kept_events(&[&group]).await {
                    Err(Error::Lost { .. }) => {}
                    kept => break kept?.first().copied().unwrap_or_default(),
                }
            };
            let turn = Turn { last, most: usize::MAX, waited: Duration::MAX, is_own: &|_| true };
            events.extend(self.due(&group, turn).await?.events);
        }
        Ok(events)
    }
}
