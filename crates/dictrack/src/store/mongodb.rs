//! The MongoDB store: one readable document per group.
//!
//! A standalone server is enough: only writes of single documents have to be atomic. Every write says what it builds
//! on, and the server refuses what does not fit: a write by an earlier owner that wakes up, or a change that arrives
//! twice. `docs/storage.md` describes each collection.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::json::Text;
use dictrack_core::{
    TrackerDefinition,
    group::{ContentHash, Engine, Group, Limits},
};
use mongodb::bson::{Document, doc};
use mongodb::options::FindOptions;
use parking_lot::Mutex;

use super::process::Process;
use super::record::restore_set;
use super::{Claimed, DataStore, Held, Mark, Refused, Unsaved, Writers};
use crate::clock::Stopwatch;
use crate::doctor::{Examination, Setup};
use crate::durability::Durability;
use crate::{Error, runtime};

mod batch;
mod builder;
mod claim;
mod clear;
mod commit;
mod document;
mod examine;
mod lists;
mod owner;
mod process;
mod read;
mod schema;
mod server;
mod sets;
mod tidy;
mod url;

pub use builder::MongoStoreBuilder;
use document::{GroupDocument, place};
use owner::{Session, keep_beating};
use schema::Names;
use server::{Server, backend, concern};
#[cfg(feature = "legacy")]
pub(crate) use url::{Driven, driven};

/// How long the server may take to answer, unless the builder sets another limit.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
/// How often a group is read again if its parts were merged while it was read.
const READS: usize = 5;

/// The store for many machines: a database of a MongoDB server or replica set, version 4.4 or newer.
///
/// With the memory cache it has one owner; with a Redis cache, all processes that share the cache write it.
pub struct MongoStore {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    names: Names,
    process: Process,
    read_only: bool,
    taken_over_after: Duration,
    session: Mutex<Option<Arc<Session>>>,
    /// The definition sets that the store is known to have.
    sets: Mutex<HashSet<ContentHash>>,
    /// Groups whose lists may have to be tidied, and when some were last tidied.
    untidy: Mutex<HashSet<Text>>,
    tidied: Mutex<Stopwatch>,
}

/// Runs on the network thread, to its end, whatever happens to the caller.
async fn on_runtime<T: Send + 'static>(
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    // Commands have their own time limit.
    let never = || backend("continue", "it was abandoned");
    runtime::run(Duration::MAX, future).await?.unwrap_or_else(|| Err(never()))
}

impl MongoStore {
    /// Connects to `mongodb://[user:password@]host[:port]/[database][?collection=groups]`; the default database is
    /// `dictrack`, the default collection `groups`. Nothing is written before a manager uses the store.
    ///
    /// # Errors
    /// The errors of [`MongoStoreBuilder::open`].
    pub async fn open(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).open().await
    }

    /// Like [`open`](Self::open), but for reading only, even while another process writes.
    ///
    /// # Errors
    /// The errors of [`MongoStoreBuilder::open`], and a failure if there is no store.
    pub async fn open_read_only(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).read_only().open().await
    }

    /// Connects to a server that needs no password.
    ///
    /// # Errors
    /// The errors of [`MongoStoreBuilder::open`].
    pub async fn connect(host: &str, port: u16, database: &str, collection: &str) -> Result<Self, Error> {
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        Self::builder(format!("mongodb://{host}:{port}/")).database(database).collection(collection).open().await
    }

    /// A builder for the store at a URL.
    pub fn builder(url: impl Into<String>) -> MongoStoreBuilder {
        MongoStoreBuilder::new(url.into())
    }

    /// Runs `work` on the store, and repeats it for a short time while the server cannot be reached.
    async fn patiently<T, F>(&self, work: impl Fn(Arc<Inner>) -> F + Send + Sync + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        on_runtime(async move { Server::patiently(|| work(Arc::clone(&inner))).await }).await
    }

    /// Like [`patiently`](Self::patiently), for work of few commands.
    async fn in_all<T, F>(
        &self,
        action: &'static str,
        work: impl Fn(Arc<Inner>) -> F + Send + Sync + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        on_runtime(async move { Server::in_all(action, || work(Arc::clone(&inner))).await }).await
    }

    /// The group that was read, with its definitions.
    async fn restored(&self, group: &str, stored: GroupDocument, engine: &Engine) -> Result<Group, Error> {
        let store = self.inner.server.name();
        let hash = stored.set(store, group)?;
        let set = match engine.sets.find(hash) {
            Some(set) => set,
            None => {
                let text = self.in_all("read definitions", move |inner| async move { inner.set_text(hash).await });
                let missing = || Error::corrupt(store, place(group), format!("its definition set {hash} is missing"));
                restore_set(store, hash, &text.await?.ok_or_else(missing)?, engine)?
            }
        };
        runtime::at_length(!stored.parts.is_empty(), || stored.restore(store, group, set, engine))
    }
}

impl fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MongoStore").field(&self.inner.server.name()).finish()
    }
}

impl Drop for MongoStore {
    fn drop(&mut self) {
        let Some(session) = self.inner.session.lock().take() else { return };
        let Ok(handle) = runtime::handle() else { return };
        let inner = Arc::clone(&self.inner);
        let (done, wait) = mpsc::channel();
        handle.spawn(async move {
            if let Err(error) = inner.end(&session).await {
                tracing::warn!(%error, "the next writer has to wait until this one times out");
            }
            // Nobody is waiting any more if it took too long.
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(self.inner.server.limit() + ANSWER_WITHIN);
    }
}

impl Inner {
    /// What a save with this durability waits for.
    ///
    /// It waits for a majority even if nothing has to be on disk: otherwise the groups in memory could build on changes
    /// that a failover has removed from the store.
    fn concern(durability: Durability) -> Document {
        concern(true, durability.syncs())
    }

    async fn begin(self: Arc<Self>, durability: Durability, limits: Limits, writers: Writers) -> Result<bool, Error> {
        if self.read_only {
            return Err(backend("write", format!("{} was opened for reading only", self.server.name())));
        }
        Server::patiently(|| self.prepare()).await?;
        let before = self.session.lock().clone();
        if let Some(before) = before.filter(|before| before.writers != writers || before.is_taken()) {
            self.end(&before).await?;
            self.session.lock().take();
        }
        let (session, journal) = self.register(writers, limits, Self::concern(durability)).await?;
        let session = Arc::new(session);
        let known = self.session.lock().replace(Arc::clone(&session)).is_some_and(|old| old.token == session.token);
        if !known {
            let beats = keep_beating(Arc::downgrade(&self), session.token.clone(), self.taken_over_after);
            runtime::handle()?.spawn(beats);
        }
        match self.clone().take_on(&session, journal).await {
            Ok(blank) => Ok(blank && writers == Writers::One && !session.careful && !session.abandoned()),
            Err(error) => {
                self.session.lock().take();
                let failed = session.attempted(Err(error));
                if let Err(error) = self.end(&session).await {
                    tracing::warn!(%error, "the record of this writer stays");
                }
                failed
            }
        }
    }

    /// Finishes what the last owner left; returns whether there is no group.
    async fn take_on(self: Arc<Self>, session: &Session, journal: owner::Journal) -> Result<bool, Error> {
        if let Some(journal) = &journal {
            Server::patiently(|| self.replay(session, journal)).await?;
        }
        if session.careful {
            Server::patiently(|| self.claim_marks(session)).await?;
        }
        let any =
            || self.server.find_one("look for a group", &self.names.groups, doc! {"version": {"$ne": 0_i64}}, None);
        Ok(Server::patiently(any).await?.is_none())
    }
}

#[async_trait]
impl DataStore for MongoStore {
    async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error> {
        on_runtime(Arc::clone(&self.inner).begin(durability, *limits, writers)).await
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let (inner, id) = (Arc::clone(&self.inner), group.to_owned());
        match on_runtime(async move { inner.read(&id).await }).await? {
            Some(stored) => self.restored(group, stored, engine).await.map(Some),
            None => Ok(None),
        }
    }

    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
        let (inner, id) = (Arc::clone(&self.inner), group.to_owned());
        let (stored, claim) = on_runtime(async move { inner.claim(&id).await }).await?;
        let group = match stored {
            Some(stored) => Some(self.restored(group, stored, engine).await?),
            None => None,
        };
        Ok(Claimed { group, claim })
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        let id = group.to_owned();
        self.in_all("look at a group", move |inner| {
            let id = id.clone();
            async move { inner.held(&id).await }
        })
        .await
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
        let session = self.inner.session()?;
        let plan = self.inner.plan(&session, changes, marks)?;
        let inner = Arc::clone(&self.inner);
        on_runtime(async move { inner.commit(&session, plan).await }).await
    }

    async fn maintain(&self, all: bool) -> Result<(), Error> {
        if self.inner.read_only || (!all && self.inner.untidy.lock().is_empty()) {
            return Ok(());
        }
        let session = self.inner.session()?;
        let inner = Arc::clone(&self.inner);
        on_runtime(async move {
            inner.stand(&session).await?;
            inner.tidy(&session, all).await?;
            if all { inner.sweep(&session).await } else { Ok(()) }
        })
        .await
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let after = after.map(str::to_owned);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.patiently(move |inner| {
            let mut filter = doc! {"version": {"$ne": 0_i64}};
            if let Some(after) = &after {
                filter.insert("_id", doc! {"$gt": after});
            }
            async move { inner.ids(filter, FindOptions::builder().limit(limit).build()).await }
        })
        .await
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        let pending =
            |inner: Arc<Inner>| async move { inner.ids(doc! {"pending": true}, FindOptions::default()).await };
        self.patiently(pending).await
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        self.patiently(|inner| async move { inner.definitions().await }).await
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        self.patiently(|inner| async move { inner.marks().await }).await
    }

    async fn examine(&self, setup: &Setup, _: &mut (dyn FnMut(u64) + Send)) -> Examination {
        self.look(setup).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.patiently(|inner| async move { inner.clear().await }).await
    }
}
