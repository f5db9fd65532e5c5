//! The memory cache: a sharded map with one lock per group; groups change in place.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use dictrack_core::group::{Engine, Group};
use dictrack_core::json::Text;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::{DataCache, Load, Saved, Step, StepOfMany, read_some};
use crate::Error;
use crate::doctor::{Examination, Setup};
use crate::store::{Unsaved, Writers};

/// Enough shards that two threads rarely want the same one.
const SHARDS: usize = 256;

/// How many shards are swept when a group comes in over the budget: unsaved changes cannot be dropped anyway, and
/// sweeping all shards for each group would take longer and longer.
const SWEPT_FOR_ONE: usize = 4;

/// How many groups are looked up at the same time: enough to keep the memory busy, few enough to stay in the first cache.
const WINDOW: usize = 32;

/// What an entry costs besides the bytes of its group: the entry, its share of the table, its id.
const ENTRY_BYTES: usize = 192;

/// Groups in the memory of this process.
///
/// If it has a memory budget, groups that the store has and that were not used lately are dropped when the budget is
/// exceeded; unsaved changes are never dropped.
pub struct MemoryCache {
    shards: Box<[Shard]>,
    hasher: foldhash::quality::RandomState,
    dirty: Mutex<Vec<Arc<Entry>>>,
    /// The bytes of the groups in `dirty`.
    dirty_bytes: AtomicUsize,
    /// Whether changes are collected for a store.
    collects: AtomicBool,
    budget: usize,
    bytes: AtomicUsize,
    /// The shard at which the next sweep begins.
    hand: AtomicUsize,
    dropped: AtomicBool,
    load: OnceLock<Arc<dyn Load>>,
}

#[derive(Default)]
struct Shard {
    entries: RwLock<HashTable<Arc<Entry>>>,
    /// Counts dropped groups: a group that was loaded while one was dropped may be out of date.
    drops: AtomicU64,
}

struct Entry {
    id: Text,
    state: Mutex<State>,
    used: AtomicBool,
}

#[derive(Default)]
struct State {
    group: Group,
    /// Whether the entry is in the list of dirty ones.
    dirty: bool,
    /// Whether the entry is no longer in the map.
    dropped: bool,
    stored_version: u64,
    bytes: usize,
}

impl MemoryCache {
    /// A cache without a budget.
    pub fn new() -> Self {
        Self::with_budget(usize::MAX)
    }

    /// A cache that drops stored, idle groups when its groups take more than about `bytes` bytes.
    pub fn with_budget(bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: foldhash::quality::RandomState::default(),
            dirty: Mutex::default(),
            dirty_bytes: AtomicUsize::new(0),
            collects: AtomicBool::new(false),
            budget: bytes,
            bytes: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            dropped: AtomicBool::new(false),
            load: OnceLock::new(),
        }
    }

    /// The number of groups held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.entries.read().len()).sum()
    }

    /// Whether no group is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn locate(&self, id: &str) -> (&Shard, u64) {
        let hash = self.hasher.hash_one(id);
        // The hash table uses the low and the top bits.
        (&self.shards[(hash >> 32) as usize % SHARDS], hash)
    }

    /// The entry of a group, loaded if necessary.
    async fn entry(&self, id: &str) -> Result<Arc<Entry>, Error> {
        let (shard, hash) = self.locate(id);
        loop {
            if let Some(entry) = shard.entries.read().find(hash, |entry| entry.id == id) {
                return Ok(Arc::clone(entry));
            }
            let drops = shard.drops.load(Ordering::Acquire);
            let group = match self.load.get() {
                Some(load) => load.claim(id).await?.group.unwrap_or_default(),
                None => Group::default(),
            };
            let bytes = ENTRY_BYTES + group.heap_bytes();
            let state = State { stored_version: group.version(), group, bytes, ..State::default() };
            let mut entries = shard.entries.write();
            if let Some(entry) = entries.find(hash, |entry| entry.id == id) {
                return Ok(Arc::clone(entry));
            }
            if shard.drops.load(Ordering::Acquire) != drops {
                continue;
            }
            let entry = Arc::new(Entry { id: id.into(), state: Mutex::new(state), used: AtomicBool::new(true) });
            entries.insert_unique(hash, Arc::clone(&entry), |entry| self.hasher.hash_one(entry.id.as_str()));
            drop(entries);
            self.grow(bytes);
            return Ok(entry);
        }
    }

    fn grow(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.budget {
            self.sweep(SWEPT_FOR_ONE);
        }
    }

    /// Drops stored groups that were not used since the last sweep, until the budget is met or `shards` shards were
    /// swept.
    fn sweep(&self, shards: usize) {
        let before = self.bytes.load(Ordering::Relaxed);
        self.sweep_some(shards);
        let left = self.bytes.load(Ordering::Relaxed);
        if left < before {
            tracing::debug!(bytes = before - left, left, "dropped groups that were not used lately");
        }
    }

    fn sweep_some(&self, shards: usize) {
        for _ in 0..shards {
            if self.bytes.load(Ordering::Relaxed) <= self.budget {
                return;
            }
            let shard = &self.shards[self.hand.fetch_add(1, Ordering::Relaxed) % SHARDS];
            shard.entries.write().retain(|entry| {
                // Somebody holds an entry that was just found or loaded: dropping it would make them load it again.
                if entry.used.swap(false, Ordering::Relaxed) || Arc::strong_count(entry) > 1 {
                    return true;
                }
                let Some(mut state) = entry.state.try_lock() else { return true };
                if state.dirty || state.stored_version != state.group.version() {
                    return true;
                }
                self.dropped.store(true, Ordering::Release);
                self.drop_entry(shard, &mut state);
                false
            });
        }
    }

    fn drop_entry(&self, shard: &Shard, state: &mut State) {
        state.dropped = true;
        shard.drops.fetch_add(1, Ordering::Release);
        self.bytes.fetch_sub(state.bytes, Ordering::Relaxed);
    }

    /// Runs a step on an entry whose lock the caller holds; `false` if the entry was dropped in the meantime.
    #[inline]
    fn run(&self, entry: &Arc<Entry>, mut state: MutexGuard<'_, State>, step: &mut Step<'_>) -> bool {
        if state.dropped {
            return false;
        }
        let changed = step(&mut state.group).changed();
        entry.used.store(true, Ordering::Relaxed);
        if changed {
            self.note_change(entry, &mut state);
        }
        let blank = state.group.is_blank();
        drop(state);
        if blank {
            self.forget_blank(entry);
        }
        true
    }

    /// Lists a changed entry for the next commit.
    #[inline]
    fn note_change(&self, entry: &Arc<Entry>, state: &mut State) {
        if !state.dirty && self.collects.load(Ordering::Relaxed) {
            state.dirty = true;
            self.dirty_bytes.fetch_add(ENTRY_BYTES + state.group.heap_bytes_without_ids(), Ordering::Relaxed);
            self.dirty.lock().push(Arc::clone(entry));
        }
    }

    /// Runs steps on up to [`WINDOW`] groups, the first of which is at position `first`. Returns how many were done.
    ///
    /// Taking a lock waits for all reads before it. So the locks are taken in between, and the reads that wait for memory
    /// follow each other without one: first of the table and the entries, then of the states of trackers.
    fn run_window(&self, groups: &[&str], first: usize, step: &mut StepOfMany<'_>) -> usize {
        let places: Vec<_> = groups.iter().map(|group| self.locate(group)).collect();
        let mut tables = Vec::with_capacity(groups.len());
        // Waiting for a lock while holding others could wait forever, so no lock is waited for.
        tables.extend(places.iter().map_while(|(shard, _)| shard.entries.try_read()));
        let found = groups.iter().zip(&places).zip(&tables);
        let found = found.map(|((group, (_, hash)), table)| table.find(*hash, |entry| entry.id == *group));
        let mut entries: Vec<&Arc<Entry>> = Vec::with_capacity(groups.len());
        entries.extend(found.map_while(|entry| entry));

        // A group may be there several times, but is locked once.
        let mut owners = [0; WINDOW];
        let mut states = Vec::with_capacity(entries.len());
        for at in 0..entries.len() {
            if let Some(earlier) = entries[..at].iter().position(|entry| Arc::ptr_eq(entry, entries[at])) {
                owners[at] = owners[earlier];
                continue;
            }
            match entries[at].state.try_lock().filter(|state| !state.dropped) {
                Some(state) => {
                    owners[at] = states.len();
                    states.push(state);
                }
                None => {
                    entries.truncate(at);
                    break;
                }
            }
        }
        std::hint::black_box(states.iter().fold(0, |all, state| all ^ state.group.warm()));

        let mut done = 0;
        for (at, entry) in entries.iter().enumerate() {
            let state = &mut *states[owners[at]];
            let Some(effect) = step(first + at, &mut state.group) else { break };
            entry.used.store(true, Ordering::Relaxed);
            if effect.changed() {
                self.note_change(entry, state);
            }
            done += 1;
        }
        let is_blank = |at: &usize| states[owners[*at]].group.is_blank();
        let blank: Vec<_> = (0..entries.len()).filter(is_blank).map(|at| Arc::clone(entries[at])).collect();
        drop(states);
        drop(tables);
        blank.iter().for_each(|entry| self.forget_blank(entry));
        done
    }

    /// Removes a group that is still blank from the map: asking for a group does not create it.
    fn forget_blank(&self, entry: &Entry) {
        let (shard, hash) = self.locate(&entry.id);
        let mut entries = shard.entries.write();
        // Whoever is using it asks again at the end. Waiting for them would block their caller, who may hold what they wait for.
        let Some(mut state) = entry.state.try_lock() else { return };
        if state.group.is_blank() && !state.dropped {
            if let Ok(found) = entries.find_entry(hash, |present| present.id == entry.id) {
                found.remove();
            }
            self.drop_entry(shard, &mut state);
        }
    }
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").field("groups", &self.len()).field("bytes", &self.bytes).finish()
    }
}

#[async_trait]
impl DataCache for MemoryCache {
    fn is_remote(&self) -> bool {
        false
    }

    fn writers(&self) -> Writers {
        Writers::One
    }

    async fn begin(&self, load: Arc<dyn Load>, _: Arc<Engine>) -> Result<(), Error> {
        self.collects.store(load.has_store(), Ordering::Relaxed);
        // A cache serves one manager.
        let _ = self.load.set(load);
        Ok(())
    }

    async fn update(&self, group: &str, step: &mut Step<'_>) -> Result<u64, Error> {
        loop {
            let entry = self.entry(group).await?;
            if self.run(&entry, entry.state.lock(), step) {
                return Ok(0);
            }
        }
    }

    #[inline]
    fn update_now(&self, group: &str, step: &mut Step<'_>) -> bool {
        let (shard, hash) = self.locate(group);
        let Some(entries) = shard.entries.try_read() else { return false };
        let Some(entry) = entries.find(hash, |entry| entry.id == group).map(Arc::clone) else { return false };
        drop(entries);
        entry.state.try_lock().is_some_and(|state| self.run(&entry, state, step))
    }

    fn update_many_now(&self, groups: &[&str], step: &mut StepOfMany<'_>) -> usize {
        let mut done = 0;
        for window in groups.chunks(WINDOW) {
            let more = self.run_window(window, done, step);
            done += more;
            if more < window.len() {
                break;
            }
        }
        done
    }

    async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error> {
        let entry = self.entry(group).await?;
        let state = entry.state.lock();
        view(&state.group);
        let blank = state.group.is_blank();
        drop(state);
        if blank {
            self.forget_blank(&entry);
        }
        Ok(())
    }

    async fn collect(&self, engine: &Engine) -> Result<Vec<Unsaved>, Error> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        self.dirty_bytes.store(0, Ordering::Relaxed);
        let mut changes = Vec::with_capacity(dirty.len());
        for entry in dirty {
            let mut state = entry.state.lock();
            state.dirty = false;
            changes.push(state.group.take_change(&entry.id, engine).into());
            let (before, after) = (state.bytes, ENTRY_BYTES + state.group.heap_bytes());
            state.bytes = after;
            self.bytes.fetch_add(after, Ordering::Relaxed);
            self.bytes.fetch_sub(before, Ordering::Relaxed);
        }
        Ok(changes)
    }

    fn uncollected_bytes(&self) -> usize {
        self.dirty_bytes.load(Ordering::Relaxed)
    }

    fn has_uncollected(&self) -> bool {
        !self.dirty.lock().is_empty()
    }

    async fn note_saved(&self, saved: &[Saved]) -> Result<(), Error> {
        for Saved { group, version, .. } in saved {
            let (shard, hash) = self.locate(group);
            let entry = shard.entries.read().find(hash, |entry| entry.id == *group).cloned();
            if let Some(entry) = entry {
                let mut state = entry.state.lock();
                state.stored_version = state.stored_version.max(*version);
            }
        }
        if self.bytes.load(Ordering::Relaxed) > self.budget {
            self.sweep(SHARDS * 2);
        }
        Ok(())
    }

    fn confirm(&self, _: &str, _: u64, _: u64) -> Result<bool, Error> {
        Ok(true)
    }

    async fn maintain(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send)) -> Result<(), Error> {
        for shard in &self.shards {
            let entries: Vec<_> = shard.entries.read().iter().cloned().collect();
            for entry in entries {
                visit(&entry.id, &entry.state.lock().group);
            }
        }
        Ok(())
    }

    async fn peek(&self, group: &str, _: &Engine) -> Result<Option<Group>, Error> {
        let (shard, hash) = self.locate(group);
        let entry = shard.entries.read().find(hash, |entry| entry.id == group).cloned();
        let found = entry.map(|entry| entry.state.lock().group.clone());
        Ok(found.filter(|group| !group.is_blank()))
    }

    async fn group_ids(&self) -> Result<Vec<String>, Error> {
        let mut ids = Vec::new();
        self.for_each(&mut |id, group| {
            if !group.is_blank() {
                ids.push(id.to_owned());
            }
        })
        .await?;
        ids.sort();
        Ok(ids)
    }

    async fn unsaved(&self) -> Result<Vec<String>, Error> {
        let mut ids: Vec<_> = self.dirty.lock().iter().map(|entry| entry.id.to_string()).collect();
        ids.sort();
        Ok(ids)
    }

    fn has_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    async fn examine(&self, setup: &Setup) -> Examination {
        let mut found = Examination::new("the memory cache");
        match self.group_ids().await {
            Ok(ids) => read_some(self, &ids, setup, &mut found).await,
            Err(error) => found.error(&error),
        }
        found
    }

    async fn clear(&self) -> Result<(), Error> {
        self.dirty.lock().clear();
        for shard in &self.shards {
            for entry in shard.entries.write().drain() {
                self.drop_entry(shard, &mut entry.state.lock());
            }
        }
        Ok(())
    }
}
