//! The Redis cache: groups that many processes share.
//!
//! No locks. Each process keeps replicas of the groups that it touches. A call runs its step on a copy of the replica; one
//! script then replaces what Redis has, if that still is what the replica was made of, and else answers with what is
//! newer, on which the step runs again. Calls for one group that come while a swap is under way go together with the
//! next. `docs/redis.md` describes the keys, `ARCHITECTURE.md` why nothing is lost or counted twice.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::json::Text;
use dictrack_core::text::quoted;
use dictrack_core::{ContentHash, DefinitionSet, Engine, Group, GroupChange};
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{DataCache, Load, Run, Step, Stored};
use crate::backend::BackendError;
use crate::clock::{Clock as _, Stopwatch, SystemClock};
use crate::doctor::{Examination, Setup};
use crate::random::token;
use crate::store::record::{restore_set, set_text};
use crate::store::{Held, Writers};
use crate::{Error, runtime};

mod address;
mod connection;
mod entry;
mod examine;
mod fill;
mod hash;
mod keys;
mod look;
mod pace;
mod script;
mod sweep;
mod texts;
mod whole;

use address::Address;
use connection::Connection;
#[cfg(feature = "legacy")]
pub(crate) use connection::said;
use entry::{Batch, Collected, Ending, Entry, Fate, State, Tried};
use hash::{Fields, Replica};
use keys::Keys;

/// A step is run again after others were faster for at most this long.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1800);
/// A lease is for reading one group from the store, and renewed while that goes on.
const LEASE_MILLIS: u64 = 1000;
/// Unsaved groups that a commit reads first, side by side.
const READ_TOGETHER: usize = 32;
/// Replicas are dropped, the idle ones first, when they take more than this, unless the program says otherwise.
const BUDGET: usize = 256 << 20;
/// In a cluster nobody says that a node has lost its memory: a group that was idle for longer is compared with the store.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Listing all keys may take this long. Each call of it is bounded, too.
const LISTING: Duration = Duration::from_secs(3600);

/// Groups in Redis, shared by every process that names the same server and prefix.
#[derive(Clone)]
pub struct RedisCache {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    entries: Mutex<HashMap<Text, Arc<Entry>>>,
    dirty: Mutex<Vec<Arc<Entry>>>,
    /// This process, as a field of each group that it changes.
    writer: String,
    sequence: AtomicU64,
    budget: AtomicUsize,
    bytes: AtomicUsize,
    sweep: sweep::Sweep,
    source: OnceLock<Source>,
}

struct Source {
    load: Arc<dyn Load>,
    engine: Arc<Engine>,
}

impl RedisCache {
    /// The cache at a URL: `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, or
    /// `redis-cluster://host:port,host:port`; with the options `prefix` (what all keys begin with, `dictrack` if it is not
    /// given), `idle` (how long a stored group stays that nobody touches, `24h`) and `ca` (a file with the certificate of
    /// the authority to trust).
    ///
    /// # Errors
    /// [`Error::Backend`] if the URL is not one. Nothing is connected before the first call.
    pub fn new(url: &str) -> Result<Self, Error> {
        let shared = Shared {
            connection: Connection::new(Address::parse(url)?),
            entries: Mutex::default(),
            dirty: Mutex::default(),
            writer: format!("w:{}", token()),
            sequence: AtomicU64::new(0),
            budget: AtomicUsize::new(BUDGET),
            bytes: AtomicUsize::new(0),
            sweep: sweep::Sweep::default(),
            source: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Drops replicas of groups, those first that nobody used lately, before they take more than about `bytes` bytes of this
    /// process; 256 MiB if this is not called. Redis has them.
    pub fn budget(self, bytes: usize) -> Self {
        self.shared.budget.store(bytes, Ordering::Relaxed);
        self
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache")
            .field("connection", &self.shared.connection)
            .field("replicas", &self.shared.entries.lock().len())
            .finish_non_exhaustive()
    }
}

/// Runs `future` on the network thread to its end. Its calls are bounded; this bound is for what nobody foresaw.
async fn on_network<T: Send + 'static>(
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    on_network_for(Duration::from_secs(30), future).await
}

async fn on_network_for<T: Send + 'static>(
    limit: Duration,
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    runtime::run(limit, future).await?.unwrap_or_else(|| Err(Error::Closed))
}

impl Shared {
    fn source(&self) -> Result<&Source, Error> {
        self.source.get().ok_or(Error::Closed)
    }

    fn corrupt(&self, id: &str, problem: impl Into<String>) -> Error {
        let key = Keys::new(&self.connection.address().prefix, id).group;
        let place = format!("the group {} (key {})", quoted(id), quoted(&key));
        let problem = problem.into();
        Error::corrupt(
            self.connection.address(),
            place,
            format!("{problem}; look at it with redis-cli HGETALL, and DEL it to load the group from the store"),
        )
    }

    fn entry(&self, id: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(id) {
            entry.used.store(true, Ordering::Relaxed);
            return Arc::clone(entry);
        }
        let entry = Arc::new(Entry::new(id, Keys::new(&self.connection.address().prefix, id)));
        entries.insert(id.into(), Arc::clone(&entry));
        self.grow(entry::BYTES, 0);
        entry
    }

    /// The next sequence of this process. It begins with the clock, so that those of processes that ended are lower.
    fn next_sequence(&self) -> u64 {
        let now = SystemClock.now().micros().max(1) as u64;
        let before = self.sequence.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(now.max(last + 1)));
        now.max(before.unwrap_or_default() + 1)
    }

    fn mark_dirty(&self, entry: &Arc<Entry>, state: &mut State) {
        if !state.dirty && self.source.get().is_some_and(|source| source.load.has_store()) {
            state.dirty = true;
            self.dirty.lock().push(Arc::clone(entry));
        }
    }

    /// Runs a step and has Redis keep what it did.
    async fn update(self: &Arc<Self>, id: &str, step: &mut Run<'_>) -> Result<u64, Error> {
        let since = Stopwatch::start();
        let mut runs = 0;
        if self.sweep.is_wanted() {
            self.drop_idle();
        }
        loop {
            runs += 1;
            let entry = self.entry(id);
            if self.needs_loading(&mut entry.state.lock()) {
                self.load_within(GIVE_UP_AFTER.saturating_sub(since.elapsed()), &entry).await?;
            }
            let (ended, done) = {
                let mut state = entry.state.lock();
                let Some(tried) = state.tried() else { continue };
                let done = step(&mut tried.group);
                tried.changed |= done.changed();
                tried.relied |= done == Step::Relied;
                let ended = tried.batch.ended.subscribe();
                if !state.in_flight {
                    state.in_flight = true;
                    let (shared, driven) = (Arc::clone(self), Arc::clone(&entry));
                    runtime::handle()?.spawn(async move { shared.drive(&driven).await });
                }
                (ended, done)
            };
            match Batch::wait(ended).await {
                Ending::Kept(claim) => return Ok(claim),
                Ending::Failed(error) => return Err(error),
                Ending::Unsure if done == Step::Changed => {
                    let source = "Redis lost the group before it said whether it had kept the change".into();
                    let action = format!("change the group {}", quoted(id));
                    let error = BackendError { backend: "Redis", action, source };
                    return Err(Error::Unavailable(Arc::new(error)));
                }
                Ending::Again | Ending::Unsure if runs < 3 || since.elapsed() < GIVE_UP_AFTER => {}
                Ending::Again | Ending::Unsure => {
                    let source = "other processes change the group all the time".into();
                    let action = format!("change the group {}", quoted(id));
                    let error = BackendError { backend: "Redis", action, source };
                    return Err(Error::Unavailable(Arc::new(error)));
                }
            }
        }
    }

    /// Sends batch after batch of one group until there is none.
    async fn drive(self: &Arc<Self>, entry: &Arc<Entry>) {
        loop {
            let Some(swap) = self.next_swap(entry) else { return };
            let answer = self.swap(entry, &swap).await;
            let batch = Arc::clone(&swap.batch);
            let ending = self.settle(entry, swap, answer);
            batch.ended.send_replace(Some(ending));
        }
    }

    /// Takes the open batch; `None` if there is none.
    fn next_swap(&self, entry: &Entry) -> Option<Swap> {
        let mut state = entry.state.lock();
        let Some(Tried { mut group, batch, changed, relied }) = state.tried.take() else {
            state.in_flight = false;
            return None;
        };
        let (Some(replica), Ok(source)) = (&state.replica, self.source()) else {
            // The replica was dropped: the steps run again on a new one.
            batch.ended.send_replace(Some(Ending::Again));
            state.in_flight = false;
            return None;
        };
        // A group that was loaded is put into Redis also where the step only looked: others need not load it, too.
        let fills = replica.token.is_empty() && !replica.group.is_blank();
        let follow = match (source.load.has_store(), changed) {
            (false, _) => String::new(),
            (true, true) => format!("={}", entry.id),
            (true, false) => format!("~{}", self.connection.address().idle.as_millis()),
        };
        let mut swap = Swap {
            version: replica.group.version(),
            token: replica.token.clone(),
            new_version: 0,
            new_token: String::new(),
            lease: replica.lease.clone(),
            fields: Fields::default(),
            set: Arc::clone(replica.group.definition_set()),
            follow,
            sequence: self.next_sequence(),
            claim: replica.claim,
            batch,
            changed,
            written: changed || fills,
            relied,
            waiting: None,
        };
        if swap.written {
            let mut change = group.take_change(&entry.id, &source.engine);
            if replica.token.is_empty() {
                change = group.whole(&entry.id);
            }
            swap.new_version = group.version();
            swap.new_token = token();
            swap.fields = replica.fields(&entry.id, &group, &change, &swap.new_token);
            swap.set = change.set;
        }
        state.pending = Some(group);
        Some(swap)
    }

    async fn swap(&self, entry: &Entry, swap: &Swap) -> Result<Answer, Error> {
        let mut set = String::new();
        loop {
            let answer = self.send(entry, swap, &set).await?;
            if matches!(answer, Answer::WantsSet) && set.is_empty() {
                set = set_text(&swap.set);
                continue;
            }
            return Ok(answer);
        }
    }

    async fn send(&self, entry: &Entry, swap: &Swap, set: &str) -> Result<Answer, Error> {
        let keys = &entry.keys;
        let set_key = keys.set(swap.set.hash());
        let new_version = if swap.written { swap.new_version.to_string() } else { String::new() };
        let (version, sequence) = (swap.version.to_string(), swap.sequence.to_string());
        let gone = match swap.waiting {
            Some(fields) => format!("+{fields}"),
            None => swap.fields.gone.len().to_string(),
        };
        let mut arguments: Vec<&[u8]> = vec![
            version.as_bytes(),
            swap.token.as_bytes(),
            new_version.as_bytes(),
            swap.new_token.as_bytes(),
            self.writer.as_bytes(),
            sequence.as_bytes(),
            swap.lease.as_bytes(),
            swap.follow.as_bytes(),
            set.as_bytes(),
            gone.as_bytes(),
        ];
        arguments.extend(swap.fields.gone.iter().map(|name| name.as_bytes()));
        arguments.extend(swap.fields.set.iter().map(str::as_bytes));
        let pieces = swap.waiting.map(|_| keys.pieces(&swap.lease));
        let mut keys = vec![keys.group.as_str(), &keys.dirty, &set_key, &keys.lease];
        keys.extend(pieces.as_deref());
        let mut sent_before = false;
        let run = self.connection.run_noting("change a group", &script::SWAP, &keys, &arguments, &mut sent_before);
        let answer = run.await?;
        Answer::read(answer, sent_before).map_err(|problem| self.corrupt(&entry.id, problem))
    }

    /// Takes over how a swap went.
    fn settle(self: &Arc<Self>, entry: &Arc<Entry>, swap: Swap, answer: Result<Answer, Error>) -> Ending {
        let mut state = entry.state.lock();
        let limits = self.source.get().map(|source| source.engine.limits).unwrap_or_default();
        let pending = state.pending.take();
        if let Ok(Answer::Kept(found)) = answer {
            let claim = found.unwrap_or(swap.claim);
            // A replica that was read meanwhile may be older or newer than this swap: it is read again.
            if state.replica.as_ref().is_some_and(|replica| replica.token != swap.token) {
                state.replica = None;
            }
            let State { replica: Some(replica), tried, .. } = &mut *state else { return Ending::Kept(claim) };
            match pending {
                Some(pending) if swap.written => replica.keep(pending, swap.new_token, swap.fields.after),
                // Its lease is given back.
                _ if replica.token.is_empty() => {
                    state.replica = None;
                    return Ending::Kept(claim);
                }
                // It knew the ids of the replica.
                Some(pending) => pending.give_ids_back(&mut replica.group),
                None => {}
            }
            match tried {
                Some(tried) => tried.group.take_ids_over(&mut replica.group, &limits),
                None => replica.group.settle_ids(&limits),
            }
            // Another process may have claimed the same state anew.
            replica.claim = claim;
            let version = replica.group.version();
            state.claim = claim;
            let unsaved = version > state.saved;
            state.answered = Stopwatch::start();
            if swap.changed || (swap.relied && unsaved) {
                self.mark_dirty(entry, &mut state);
            }
            self.weigh(&mut state);
            return Ending::Kept(claim);
        }
        // What was tried is gone, and what was tried on top of it.
        if let (Some(replica), Some(pending)) = (&mut state.replica, pending)
            && replica.token == swap.token
        {
            pending.give_ids_back(&mut replica.group);
        }
        if let Some(next) = state.tried.take() {
            next.batch.ended.send_replace(Some(Ending::Again));
        }
        let problem = match answer {
            Ok(Answer::Behind(fields)) => match state
                .replica
                .as_mut()
                .filter(|replica| replica.token == swap.token)
                .map(|replica| replica.patch(&fields, &limits))
            {
                Some(Ok(())) => {
                    state.answered = Stopwatch::start();
                    let found = state.replica.as_mut().map(|replica| (replica.claim, replica.stored));
                    let (claim, stored) = found.unwrap_or_default();
                    // Another process may have claimed it anew for the same state.
                    state.claim = claim;
                    state.saved = state.saved.max(stored);
                    return Ending::Again;
                }
                Some(Err(problem)) => Some(self.corrupt(&entry.id, problem)),
                None => None,
            },
            Ok(Answer::Unsure) if swap.changed && self.source.get().is_some_and(|source| source.load.has_store()) => {
                state.replica = None;
                return Ending::Unsure;
            }
            Ok(Answer::Foreign) => Some(self.corrupt(&entry.id, "something else wrote this key")),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        state.replica = None;
        problem.map_or(Ending::Again, Ending::Failed)
    }

    /// Whether the group has to be read before a step can run. What was learnt over an earlier connection is not trusted.
    fn needs_loading(&self, state: &mut State) -> bool {
        let Some(replica) = &state.replica else { return true };
        if !state.is_idle() {
            return false;
        }
        let cluster = self.connection.address().cluster;
        let trusted =
            replica.connection == self.connection.number() && !(cluster && state.answered.elapsed() > TRUSTED_FOR);
        if !trusted {
            state.replica = None;
        }
        !trusted
    }

    /// Gets the replica of a group for a caller who does not wait longer; it is there for the next one then.
    async fn load_within(self: &Arc<Self>, limit: Duration, entry: &Arc<Entry>) -> Result<(), Error> {
        let (shared, loading) = (Arc::clone(self), Arc::clone(entry));
        match runtime::run(limit, async move { shared.loaded(&loading).await }).await? {
            Some(loaded) => loaded,
            None => {
                let action = format!("load the group {}", quoted(&entry.id));
                let source = format!("no answer of Redis and the store within {GIVE_UP_AFTER:?}").into();
                Err(Error::Unavailable(Arc::new(BackendError { backend: "Redis", action, source })))
            }
        }
    }

    /// Joins those who wait for the replica of a group. Its load goes on whoever of them is still there: that of a large
    /// group takes longer than a call may.
    async fn loaded(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Error> {
        let mut load = {
            let mut loading = entry.loading.lock();
            match &*loading {
                Some(load) if load.borrow().is_none() && load.has_changed().is_ok() => load.clone(),
                _ => {
                    let (done, load) = watch::channel(None);
                    let (shared, owned) = (Arc::clone(self), Arc::clone(entry));
                    tokio::spawn(async move {
                        let result = shared.load(&owned).await;
                        *owned.loading.lock() = None;
                        done.send_replace(Some(result));
                    });
                    loading.insert(load).clone()
                }
            }
        };
        match load.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Gets the replica of a group.
    async fn load(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Error> {
        let source = self.source()?;
        let since = Stopwatch::start();
        let mut pause = 1;
        loop {
            if !self.needs_loading(&mut entry.state.lock()) {
                return Ok(());
            }
            // Before anything is read: what comes after a new connection is compared again.
            let connection = self.connection.number();
            let compared = entry.state.lock().compared == connection && !self.connection.address().cluster;
            let found = match self.read(entry, connection).await? {
                // Redis goes back in time only with its connections: once compared, others have made what is newer.
                Some(replica) if compared && self.connection.number() == connection => Some(replica),
                Some(replica) if self.is_behind(entry, &replica).await? => None,
                Some(replica) => Some(replica),
                None => self.claim(entry, source).await?,
            };
            if let Some(mut replica) = found {
                replica.connection = connection.max(1);
                entry.state.lock().put(replica);
                return Ok(());
            }
            if since.elapsed() > GIVE_UP_AFTER {
                let source = "another process holds the lease to load it".into();
                let action = format!("load the group {}", quoted(&entry.id));
                let error = BackendError { backend: "Redis", action, source };
                return Err(Error::Unavailable(Arc::new(error)));
            }
            tokio::time::sleep(Duration::from_micros(500 * pause + connection::rand_below(500 * pause))).await;
            pause = (pause * 2).min(40);
        }
    }

    /// The replica of what Redis has; `None` if it has nothing that is of use.
    async fn read(&self, entry: &Entry, connection: u64) -> Result<Option<Replica>, Error> {
        let source = self.source()?;
        let Some(whole) = self.whole(&entry.id, &entry.keys).await? else { return Ok(None) };
        let hash = self.set_of(&entry.id, &whole)?;
        let Some(set) = self.set(entry, hash).await? else {
            if !source.load.has_store() {
                return Err(self.corrupt(&entry.id, format!("its definition set {hash} is missing")));
            }
            tracing::warn!(group = %entry.id, "Redis dropped the definitions of a group; it is loaded from the store");
            let (version, token) = whole.state().map_err(|problem| self.corrupt(&entry.id, problem))?;
            self.drop_group(entry, version, token).await?;
            return Ok(None);
        };
        self.replica_of(&entry.id, whole, set, &source.engine.limits, connection).map(Some)
    }

    async fn set(&self, entry: &Entry, hash: ContentHash) -> Result<Option<Arc<DefinitionSet>>, Error> {
        let engine = &self.source()?.engine;
        if let Some(set) = engine.sets.find(hash) {
            return Ok(Some(set));
        }
        let text = self.set_text(&entry.keys, hash).await?;
        text.map(|text| restore_set(&self.connection.address().to_string(), hash, &text, engine)).transpose()
    }

    /// What Redis has of a definition set.
    async fn set_text(&self, keys: &Keys, hash: ContentHash) -> Result<Option<String>, Error> {
        let key = keys.set(hash);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let answer = self.connection.command("read a definition set", &command).await?;
        redis::from_redis_value(answer)
            .map_err(|error| Error::corrupt(self.connection.address(), format!("the key {key:?}"), error.to_string()))
    }

    /// Whether the store is ahead of what Redis has, which then is of an earlier time; it is dropped.
    async fn is_behind(&self, entry: &Entry, replica: &Replica) -> Result<bool, Error> {
        let source = self.source()?;
        if !source.load.has_store() {
            return Ok(false);
        }
        let held = source.load.held(&entry.id).await?;
        if held.version <= replica.group.version() {
            return Ok(false);
        }
        tracing::warn!(
            group = %entry.id, cache = replica.group.version(), store = held.version,
            "Redis went back in time; the group is loaded from the store"
        );
        self.drop_group(entry, replica.group.version(), &replica.token).await?;
        Ok(true)
    }

    async fn drop_group(&self, entry: &Entry, version: u64, token: &str) -> Result<(), Error> {
        let keys = [entry.keys.group.as_str(), &entry.keys.dirty];
        let version = version.to_string();
        let arguments = [version.as_bytes(), token.as_bytes(), entry.id.as_bytes()];
        self.connection.run("drop a group", &script::DROP, &keys, &arguments).await.map(drop)
    }

    /// Takes a group from the store, under a lease; `None` if another process has that.
    async fn claim(self: &Arc<Self>, entry: &Arc<Entry>, source: &Source) -> Result<Option<Replica>, Error> {
        if !source.load.has_store() {
            return Ok(Some(Replica::cold(Group::default(), 0, String::new())));
        }
        let Some(lease) = self.take_lease(entry).await? else { return Ok(None) };
        let mut command = redis::cmd("EXISTS");
        command.arg(entry.keys.group.as_str());
        if self.connection.command("look for a group", &command).await? == Value::Int(1) {
            // Another process put it there since it was looked for; a claim would only make its own void.
            let mut command = redis::cmd("DEL");
            command.arg(entry.keys.lease.as_str());
            self.connection.command("give a lease back", &command).await?;
            return Ok(None);
        }
        let claimed = {
            let _renewal = self.renew(entry, &lease);
            source.load.claim(&entry.id).await?
        };
        let replica = Replica::cold(claimed.group.unwrap_or_default(), claimed.claim, lease);
        // A small one goes with the first step, in one round trip.
        if replica.is_large() { self.fill(entry, replica).await } else { Ok(Some(replica)) }
    }

    /// Takes what changed and is not stored.
    async fn collect(self: &Arc<Self>) -> Result<Vec<GroupChange>, Error> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let mut changes = Vec::with_capacity(dirty.len());
        let mut absent = Vec::new();
        for entry in dirty {
            let has_replica = {
                let mut state = entry.state.lock();
                state.dirty = false;
                state.replica.is_some()
            };
            if has_replica {
                changes.extend(Self::change_at_length(&entry));
            } else {
                absent.push(entry);
            }
        }
        self.collect_absent(absent, &mut changes).await;
        Ok(changes)
    }

    /// Takes what changed of groups that have to be read first. What takes long is left for later, and so is what is beyond the
    /// first [`READ_TOGETHER`]: they take memory beside the replicas.
    async fn collect_absent(self: &Arc<Self>, mut absent: Vec<Arc<Entry>>, changes: &mut Vec<GroupChange>) {
        let late = absent.split_off(absent.len().min(READ_TOGETHER));
        late.iter().for_each(|entry| self.mark_dirty(entry, &mut entry.state.lock()));
        let mut reads = JoinSet::new();
        for entry in absent {
            let shared = Arc::clone(self);
            reads.spawn(async move {
                let read = tokio::time::timeout(GIVE_UP_AFTER, shared.loaded(&entry)).await;
                (entry, read)
            });
        }
        while let Some(read) = reads.join_next().await {
            let Ok((entry, read)) = read else { continue };
            match read {
                Ok(Ok(())) => changes.extend(Self::change_at_length(&entry)),
                Ok(Err(error)) => {
                    tracing::warn!(group = %entry.id, %error, "an unsaved group cannot be read; trying again");
                    self.mark_dirty(&entry, &mut entry.state.lock());
                }
                Err(_) => self.mark_dirty(&entry, &mut entry.state.lock()),
            }
        }
    }

    fn change_at_length(entry: &Entry) -> Option<GroupChange> {
        let is_large = entry.state.lock().replica.as_ref().is_some_and(Replica::is_large);
        runtime::at_length(is_large, || Self::change(entry))
    }

    /// The group as Redis has it, if the store lacks something of it.
    fn change(entry: &Entry) -> Option<GroupChange> {
        let mut state = entry.state.lock();
        let State { replica, pending, tried, saved, collected, .. } = &mut *state;
        let replica = replica.as_ref().filter(|replica| !replica.token.is_empty())?;
        if replica.group.version() <= *saved {
            return None;
        }
        let mut group = replica.group.clone();
        // A later copy may have taken the ids over.
        if let Some(later) = pending.as_ref().or(tried.as_ref().map(|tried| &tried.group)) {
            later.give_ids_back(&mut group);
        }
        let mut change = replica.unsaved(&entry.id, &group);
        change.claim = replica.claim;
        *collected = Some(Collected {
            version: change.version,
            token: replica.token.clone(),
            kept: replica.is_large().then(|| group.kept()),
        });
        Some(change)
    }

    /// Learns how the store took a change.
    async fn note_stored(self: &Arc<Self>, stored: &Stored) -> Result<(), Error> {
        let entry = self.entry(&stored.group);
        let version = match stored.refused {
            None => stored.version,
            // Another process has saved the same or a newer state.
            Some(held) if held.claim == stored.claim && held.version >= stored.version => held.version,
            Some(held) => return self.resolve(&entry, held).await,
        };
        let (token, set, kept) = {
            let mut state = entry.state.lock();
            if state.claim == stored.claim {
                state.saved = state.saved.max(version);
            }
            let collected = state.collected.take().filter(|collected| collected.version == version);
            let (token, kept) = collected.map_or((String::new(), None), |collected| (collected.token, collected.kept));
            // What another process saved, Redis knows.
            let kept = kept.filter(|_| stored.refused.is_none());
            let replica = state.replica.as_mut().filter(|replica| replica.claim == stored.claim);
            if let Some(replica) = replica.filter(|_| kept.is_some()) {
                replica.kept = kept;
            }
            let set = state.replica.as_ref().map(|replica| entry.keys.set(replica.group.definition_set().hash()));
            (token, set.unwrap_or_else(|| entry.keys.lease.clone()), kept)
        };
        let keys = [entry.keys.group.as_str(), &entry.keys.dirty, &set];
        let (claim, saved) = (stored.claim.to_string(), version.to_string());
        let idle = self.connection.address().idle.as_millis().to_string();
        let kept = kept.map_or(String::new(), |kept| hash::kept_text(&kept));
        let arguments = [
            claim.as_bytes(),
            saved.as_bytes(),
            token.as_bytes(),
            idle.as_bytes(),
            entry.id.as_bytes(),
            kept.as_bytes(),
        ];
        let now = self.connection.run("note what is stored", &script::STORED, &keys, &arguments).await?;
        let now: Vec<String> = redis::from_redis_value(now).unwrap_or_default();
        let mut state = entry.state.lock();
        if now.first().and_then(|now| now.parse::<u64>().ok()).is_some_and(|now| now < version) {
            // Redis went back in time; reading the group again finds out.
            state.replica = None;
        }
        let newest = state.replica.as_ref().map(|replica| replica.group.version());
        if newest.is_some_and(|newest| newest > state.saved) {
            self.mark_dirty(&entry, &mut state);
        }
        Ok(())
    }

    /// Finds out what became of a group that was claimed anew while this process held it: either the other claim came to
    /// nothing, or Redis lost the group.
    async fn resolve(self: &Arc<Self>, entry: &Arc<Entry>, held: Held) -> Result<(), Error> {
        let verify: &mut Run<'_> = &mut |_| Step::Unchanged;
        self.update(&entry.id, verify).await?;
        self.learn_kept(entry).await?;
        let claim = {
            let state = entry.state.lock();
            state.replica.as_ref().filter(|replica| !replica.token.is_empty()).map(|replica| replica.claim)
        };
        if let Some(claim) = claim.filter(|claim| *claim < held.claim)
            && let Some(lease) = self.take_lease(entry).await?
        {
            // Redis still has it under an older claim: who made the newer one gave up. Under the lease nobody else claims.
            let claimed = self.source()?.load.claim(&entry.id).await?.claim;
            let (old, new) = (claim.to_string(), claimed.to_string());
            let arguments = [old.as_bytes(), new.as_bytes(), lease.as_bytes()];
            let keys = [entry.keys.group.as_str(), &entry.keys.lease];
            self.connection.run("claim a group", &script::CLAIM, &keys, &arguments).await?;
            let verify: &mut Run<'_> = &mut |_| Step::Unchanged;
            self.update(&entry.id, verify).await?;
        }
        self.mark_dirty(entry, &mut entry.state.lock());
        Ok(())
    }

    /// Learns what the store has of a large group by now, as who saved it last says. Where that is not known, all of it is
    /// saved.
    async fn learn_kept(&self, entry: &Entry) -> Result<(), Error> {
        if !entry.state.lock().replica.as_ref().is_some_and(Replica::is_large) {
            return Ok(());
        }
        let mut command = redis::cmd("HGET");
        command.arg(entry.keys.group.as_str()).arg("kept");
        let answer = self.connection.command("look at a group", &command).await?;
        let text: Option<String> = redis::from_redis_value(answer).unwrap_or_default();
        let mut state = entry.state.lock();
        if let Some(replica) = &mut state.replica {
            let kept = text.and_then(|text| hash::kept_of(&text).ok());
            // What was refused as it was must not be refused for ever.
            replica.kept = kept.filter(|kept| replica.kept != Some(*kept));
        }
        Ok(())
    }

    /// Takes the right to claim a group; `None` if another process has it.
    async fn take_lease(&self, entry: &Entry) -> Result<Option<String>, Error> {
        let lease = token();
        let mut command = redis::cmd("SET");
        command.arg(entry.keys.lease.as_str()).arg(&lease).arg("NX").arg("PX").arg(LEASE_MILLIS);
        let taken = self.connection.command("take a lease", &command).await? == Value::Okay;
        Ok(taken.then_some(lease))
    }

    /// Counts the bytes of a replica, and has idle ones dropped where there are too many.
    fn weigh(&self, state: &mut State) {
        let Some(replica) = &state.replica else { return };
        let bytes = entry::BYTES + replica.heap_bytes();
        let before = std::mem::replace(&mut state.bytes, bytes);
        self.grow(bytes, before);
    }

    fn grow(&self, bytes: usize, before: usize) {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        let budget = self.budget.load(Ordering::Relaxed);
        // A fifth is for the holes between what is dropped, and for what is being read or written.
        if all - before > budget - budget / 5 {
            self.sweep.wanted_above(all - before);
        }
    }
}

/// One exchange of a group's state.
struct Swap {
    version: u64,
    token: String,
    new_version: u64,
    new_token: String,
    lease: String,
    fields: Fields,
    set: Arc<DefinitionSet>,
    /// How the store is to follow; see the script.
    follow: String,
    sequence: u64,
    claim: u64,
    batch: Arc<Batch>,
    changed: bool,
    /// Whether the state is written: because it changed, or because Redis does not have it.
    written: bool,
    /// Whether a caller relies on what is there.
    relied: bool,
    /// The fields that wait in Redis to become the group, where that was loaded in pieces.
    waiting: Option<usize>,
}

/// What the script says of a swap.
enum Answer {
    /// With the claim that the group has, if it was there before.
    Kept(Option<u64>),
    /// The group has to be loaded anew.
    Anew,
    /// As that, and the swap may have been kept before.
    Unsure,
    WantsSet,
    Behind(Vec<(String, Option<String>)>),
    Foreign,
}

impl Answer {
    /// Reads an answer to what may have been sent before.
    fn read(value: Value, sent_before: bool) -> Result<Self, String> {
        let words: Vec<Option<String>> =
            redis::from_redis_value(value).map_err(|error| format!("its fields are not texts ({error})"))?;
        let mut words = words.into_iter();
        Ok(match words.next().flatten().as_deref() {
            Some("kept" | "applied") => Self::Kept(words.next().flatten().and_then(|claim| claim.parse().ok())),
            // A hash that was there all the time would have said that it has the swap.
            Some("full") if words.next().flatten().is_some() => Self::Anew,
            Some("absent" | "lease" | "full") if sent_before => Self::Unsure,
            Some("absent" | "lease" | "full") => Self::Anew,
            Some("set") => Self::WantsSet,
            Some("foreign") => Self::Foreign,
            Some("behind") => {
                let mut fields = Vec::new();
                while let (Some(Some(name)), Some(value)) = (words.next(), words.next()) {
                    fields.push((name, value));
                }
                Self::Behind(fields)
            }
            other => return Err(format!("the script answered {other:?}")),
        })
    }
}

#[async_trait]
impl DataCache for RedisCache {
    fn writers(&self) -> Writers {
        Writers::Many
    }

    async fn begin(&self, load: Arc<dyn Load>, engine: Arc<Engine>) -> Result<(), Error> {
        let _ = self.shared.source.set(Source { load, engine });
        let shared = Arc::clone(&self.shared);
        on_network(async move { shared.connection.command("connect", &redis::cmd("PING")).await.map(drop) }).await
    }

    async fn update(&self, group: &str, step: &mut Run<'_>) -> Result<u64, Error> {
        self.shared.update(group, step).await
    }

    fn update_now(&self, _: &str, _: &mut Run<'_>) -> bool {
        false
    }

    async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error> {
        let mut step = |found: &mut Group| {
            view(found);
            Step::Unchanged
        };
        self.shared.update(group, &mut step).await.map(drop)
    }

    async fn collect(&self, _: &Engine) -> Result<Vec<GroupChange>, Error> {
        let shared = Arc::clone(&self.shared);
        on_network(async move { shared.collect().await }).await
    }

    fn uncollected_bytes(&self) -> usize {
        0
    }

    fn has_uncollected(&self) -> bool {
        !self.shared.dirty.lock().is_empty()
    }

    async fn stored(&self, stored: &[Stored]) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let stored = stored.to_vec();
        on_network(async move { shared.note_all_stored(stored).await }).await
    }

    fn confirm(&self, group: &str, version: u64, claim: u64) -> Result<bool, Error> {
        let entry = self.shared.entries.lock().get(group).cloned();
        // Only groups that are stored leave the list.
        let Some(entry) = entry else { return Ok(true) };
        let state = entry.state.lock();
        match state.fate(version, claim) {
            Fate::Saved => Ok(true),
            Fate::NotYet => Ok(false),
            Fate::Lost => Err(Error::Lost { group: group.into() }),
            Fate::Unknown => Err(entry::unknown(group)),
        }
    }

    async fn maintain(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        on_network(async move { shared.maintain().await }).await
    }

    async fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send)) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        for id in on_network(async move { shared.group_ids().await }).await? {
            let mut step = |found: &mut Group| {
                if !found.is_blank() {
                    visit(&id, found);
                }
                Step::Unchanged
            };
            self.shared.update(&id, &mut step).await?;
        }
        Ok(())
    }

    async fn peek(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        self.shared.peek(group, engine).await
    }

    async fn group_ids(&self) -> Result<Vec<String>, Error> {
        let shared = Arc::clone(&self.shared);
        on_network_for(LISTING, async move { shared.group_ids().await }).await
    }

    async fn unsaved(&self) -> Result<Vec<String>, Error> {
        let shared = Arc::clone(&self.shared);
        on_network_for(LISTING, async move { shared.unsaved().await }).await
    }

    fn has_dropped(&self) -> bool {
        true
    }

    async fn examine(&self, setup: &Setup) -> Examination {
        self.look(setup).await
    }

    async fn clear(&self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        on_network(async move { shared.clear().await }).await
    }
}
