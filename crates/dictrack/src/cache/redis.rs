//! The Redis cache: groups that many processes share.
//!
//! There are no locks. Each process keeps replicas of the groups that it touches. A call runs its step on a copy of the
//! replica. One script then replaces the state in Redis, if it is still the one that the replica was made from;
//! otherwise it answers with the newer state, on which the step runs again. Calls for a group that arrive while a swap
//! is in progress go together with the next swap. `docs/redis.md` describes the keys, and `ARCHITECTURE.md` explains
//! why nothing is lost or counted twice.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::group::{Engine, Group};
use dictrack_core::json::Text;
use dictrack_core::text::quoted;
use parking_lot::Mutex;

use super::{DataCache, Effect, Load, Saved, Step};
use crate::clock::{Clock as _, SystemClock};
use crate::doctor::{Examination, Setup};
use crate::random::token;
use crate::store::{Unsaved, Writers};
use crate::{Error, runtime};

mod address;
mod connection;
mod entry;
mod examine;
mod fill;
mod hash;
mod keys;
mod load;
mod look;
mod pace;
mod save;
mod script;
mod states;
mod swap;
mod sweep;
mod texts;
mod whole;
mod zones;

use address::Address;
use connection::Connection;
#[cfg(feature = "legacy")]
pub(crate) use connection::said;
use entry::{Entry, Fate, State};
use keys::Keys;

/// How long a step is run again because other processes came first.
const GIVE_UP_AFTER: Duration = Duration::from_millis(1800);
/// A lease is for reading one group from the store, and is renewed during a long read.
const LEASE_MILLIS: u64 = 1000;
/// Replicas are dropped, idle ones first, when they take more than this, unless the program sets another limit.
const BUDGET: usize = 256 << 20;
/// Listing all keys may take this long. Each single call of it has its own limit too.
const LISTING: Duration = Duration::from_secs(3600);

/// Groups in Redis, shared by all processes that use the same server and prefix.
#[derive(Clone)]
pub struct RedisCache {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    entries: Mutex<HashMap<Text, Arc<Entry>>>,
    dirty: Mutex<Vec<Arc<Entry>>>,
    /// This process's name in the fields of the groups that it changes.
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
    /// `redis-cluster://host:port,host:port`. The options are `prefix` (what all keys begin with; `dictrack` by
    /// default), `idle` (how long a stored group stays without being touched; `24h` by default) and `ca` (a file with
    /// the certificate of the authority to trust).
    ///
    /// # Errors
    /// [`Error::Backend`] if the URL is invalid. Nothing connects before the first call.
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

    /// Drops replicas of groups, least recently used first, before they take more than about `bytes` bytes of this
    /// process; 256 MiB by default. Redis still has the groups.
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

/// Runs `future` on the network thread to its end. The calls in it have limits; this limit is a safety net.
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
            format!("{problem}; inspect it with redis-cli HGETALL, and DEL it to load the group from the store"),
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

    /// The next sequence of this process. It starts from the clock, so that those of processes that have ended are
    /// lower.
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

    /// Counts the bytes of a replica, and schedules dropping idle ones if there are too many. Looking at many
    /// trackers takes a while, so that happens only once in some versions.
    fn weigh(&self, state: &mut State) {
        let Some(replica) = &state.replica else { return };
        let many = replica.group.definition_set().trackers().len() > 128;
        if many && state.bytes > entry::BYTES && !replica.group.version().is_multiple_of(16) {
            return;
        }
        let bytes = entry::BYTES + replica.heap_bytes();
        let before = std::mem::replace(&mut state.bytes, bytes);
        self.grow(bytes, before);
    }

    fn grow(&self, bytes: usize, before: usize) {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        let budget = self.budget.load(Ordering::Relaxed);
        // A fifth is reserved for fragmentation, and for what is being read or written.
        if all - before > budget - budget / 5 {
            self.sweep.wanted_above(all - before);
        }
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
        on_network(async move {
            shared.connection.command("connect", &redis::cmd("PING")).await?;
            shared.record_zone_data().await;
            Ok(())
        })
        .await
    }

    async fn update(&self, group: &str, step: &mut Step<'_>) -> Result<u64, Error> {
        self.shared.update(group, step).await
    }

    fn update_now(&self, _: &str, _: &mut Step<'_>) -> bool {
        false
    }

    async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error> {
        let mut step = |found: &mut Group| {
            view(found);
            Effect::Unchanged
        };
        self.shared.update(group, &mut step).await.map(drop)
    }

    async fn collect(&self, _: &Engine) -> Result<Vec<Unsaved>, Error> {
        let shared = Arc::clone(&self.shared);
        on_network(async move { shared.collect().await }).await
    }

    fn uncollected_bytes(&self) -> usize {
        0
    }

    fn has_uncollected(&self) -> bool {
        !self.shared.dirty.lock().is_empty()
    }

    async fn note_saved(&self, saved: &[Saved]) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let saved = saved.to_vec();
        on_network(async move { shared.note_all_saved(saved).await }).await
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
                Effect::Unchanged
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
