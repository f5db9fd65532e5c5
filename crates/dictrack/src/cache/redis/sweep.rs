//! Postponed work: dropping idle replicas, and saving changes left by processes that have ended.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::keys::{self, BUCKETS};
use super::{Shared, connection};
use crate::Error;
use crate::clock::Stopwatch;

/// How often the next buckets are examined.
const EVERY: Duration = Duration::from_millis(250);
/// How many buckets are examined at once: each one is examined every two seconds.
const BUCKETS_AT_ONCE: u64 = 128;
/// How many groups of a bucket are adopted at once.
const GROUPS_AT_ONCE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Sweep {
    wanted: AtomicBool,
    /// If the last drop could not free enough because the replicas were in use: the bytes above which another is worth
    /// it.
    again_above: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    since: Option<Stopwatch>,
    /// Groups that were dirty at the last look: another process may be about to save them.
    seen: HashSet<String>,
}

impl Sweep {
    /// Whether idle replicas should be dropped now; answers `true` only once.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Schedules dropping idle replicas, unless the last drop left about as many bytes as there are now.
    pub(super) fn wanted_above(&self, bytes: usize) {
        if bytes > self.again_above.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    pub(super) async fn maintain(self: &Arc<Self>) -> Result<(), Error> {
        if !self.source()?.load.has_store() {
            return Ok(());
        }
        let first = {
            let mut state = self.sweep.state.lock();
            if state.since.is_some_and(|since| since.elapsed() < EVERY) {
                return Ok(());
            }
            state.since = Some(Stopwatch::start());
            let first = state.next;
            state.next = (first + BUCKETS_AT_ONCE) % BUCKETS;
            first
        };
        self.adopt(first..first + BUCKETS_AT_ONCE).await
    }

    /// Saves the dirty groups of some buckets that nobody has saved since they were last examined.
    async fn adopt(self: &Arc<Self>, buckets: std::ops::Range<u64>) -> Result<(), Error> {
        let prefix = &self.connection.address().prefix;
        let mut looks = JoinSet::new();
        for number in buckets {
            let mut command = redis::cmd("SRANDMEMBER");
            command.arg(keys::dirty(&keys::bucket(prefix, number))).arg(GROUPS_AT_ONCE);
            let shared = Arc::clone(self);
            looks.spawn(async move { shared.connection.command("look for unsaved groups", &command).await });
        }
        let mut found: Vec<String> = Vec::new();
        while let Some(look) = looks.join_next().await {
            let Ok(answer) = look else { continue };
            found.extend(redis::from_redis_value::<Vec<String>>(answer?).unwrap_or_default());
        }
        for id in found {
            let entry = self.entry(&id);
            let mut state = entry.state.lock();
            if state.dirty || state.in_flight {
                continue;
            }
            let mut sweep = self.sweep.state.lock();
            if sweep.seen.remove(&id) {
                drop(sweep);
                // The process that changed it may have ended, and what this process knows of it may be old.
                state.replica = None;
                self.mark_dirty(&entry, &mut state);
            } else if sweep.seen.len() < 1 << 16 {
                sweep.seen.insert(id);
            }
        }
        Ok(())
    }

    /// Drops replicas until a quarter of the budget is free, first those that were not used since the last time. Redis
    /// has them. What a call may still ask about, such as whether a change is stored, is kept.
    pub(super) fn drop_idle(&self) {
        let budget = self.budget.load(Ordering::Relaxed);
        let enough = || self.bytes.load(Ordering::Relaxed) <= budget - budget / 4;
        let mut entries = self.entries.lock();
        for spared in [true, false] {
            entries.retain(|_, entry| {
                if enough() || (entry.used.swap(false, Ordering::Relaxed) && spared) {
                    return true;
                }
                let Some(mut state) = entry.state.try_lock() else { return true };
                // The list of entries to save does not count as a user.
                let users = Arc::strong_count(entry) - usize::from(state.dirty);
                if users > 1 || !state.is_idle() {
                    return true;
                }
                let stays = state.dirty || state.collected.is_some();
                let left = if stays { state.drop_replica() } else { 0 };
                self.bytes.fetch_sub(state.bytes - left, Ordering::Relaxed);
                state.bytes = left;
                stays
            });
        }
        let left = if enough() { 0 } else { self.bytes.load(Ordering::Relaxed) + budget / 16 };
        self.sweep.again_above.store(left, Ordering::Relaxed);
    }

    /// The ids of all groups, in no particular order.
    pub(super) async fn group_ids(&self) -> Result<Vec<String>, Error> {
        let prefix = &self.connection.address().prefix;
        let mut ids = Vec::new();
        let keys = self.connection.scan(&format!("{}:{{b*}}:g:*", connection::escaped(prefix))).await?;
        ids.extend(keys.iter().filter_map(|key| keys::group_of(prefix, key).map(str::to_owned)));
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// Removes every key.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        self.dirty.lock().clear();
        let entries: Vec<_> = self.entries.lock().drain().map(|(_, entry)| entry).collect();
        for entry in entries {
            let mut state = entry.state.lock();
            (state.replica, state.dirty) = (None, false);
            self.bytes.fetch_sub(std::mem::take(&mut state.bytes), Ordering::Relaxed);
        }
        let prefix = &self.connection.address().prefix;
        for key in self.connection.scan(&format!("{}:{{b*}}:*", connection::escaped(prefix))).await? {
            let mut command = redis::cmd("UNLINK");
            command.arg(key);
            self.connection.command("remove a key", &command).await?;
        }
        Ok(())
    }
}
