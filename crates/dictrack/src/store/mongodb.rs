//! The MongoDB store: one readable document a group.
//!
//! A server that stands alone is enough: all that has to be atomic is one document. Every write says what it builds on,
//! and the server refuses what does not fit: an earlier owner that wakes up, a change that came twice.
//! `docs/storage.md` describes each collection.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::json::Text;
use dictrack_core::{ContentHash, Engine, Group, GroupChange, Limits, TrackerDefinition};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::FindOptions;
use parking_lot::Mutex;

use super::process::Process;
use super::record::restore_set;
use super::{Claimed, DataStore, Held, Mark, Refused, Writers};
use crate::clock::Stopwatch;
use crate::doctor::{Examination, Setup};
use crate::durability::Durability;
use crate::{Error, runtime};

mod batch;
mod commit;
mod document;
mod examine;
mod lists;
mod owner;
mod process;
mod schema;
mod server;
mod sets;
mod tidy;
mod url;

use document::{Stored, foreign, held, place, raw};
use lists::parts_of;
use owner::{Session, keep_beating};
use schema::Names;
use server::{Server, backend, concern};
use url::Place;
#[cfg(feature = "legacy")]
pub(crate) use url::{Driven, driven};

/// How long the server may take to answer, unless the builder says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
/// An owner that was not heard of for so long may be taken over.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(10);
/// How long the trace of a claim stays at least where there is no group. A change that builds on it may be under way.
const TRACE: Duration = Duration::from_secs(60 * 60);
/// How long emptying the store may take.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);
/// How often a group is read again whose parts were put together while it was read.
const READS: usize = 5;

/// The store for many machines: a database of a MongoDB server or replica set, version 4.4 or newer.
///
/// With the memory cache it has one owner; the processes that share a Redis cache all write it.
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
    /// Groups whose lists may have to be tidied, and when some were.
    untidy: Mutex<HashSet<Text>>,
    tidied: Mutex<Stopwatch>,
}

/// Makes a [`MongoStore`].
#[derive(Clone)]
pub struct MongoStoreBuilder {
    url: String,
    database: Option<String>,
    collection: Option<String>,
    read_only: bool,
    answer_within: Duration,
    taken_over_after: Duration,
}

impl fmt::Debug for MongoStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("MongoStoreBuilder").field("collection", &self.collection).finish_non_exhaustive()
    }
}

impl MongoStoreBuilder {
    /// The database, whatever the URL says.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// The collection of the groups, whatever the URL says. The names of the others begin with it.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Only looks, also beside a running writer.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// How long the server may take to answer a command; 700 ms if this is not called. A commit has a millisecond more
    /// for each group.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// For tests: an owner that was silent for so long is taken over.
    #[doc(hidden)]
    #[must_use]
    pub fn taken_over_after(mut self, silence: Duration) -> Self {
        self.taken_over_after = silence;
        self
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it cannot be reached; [`Error::NewerVersion`], [`Error::Corrupt`] if the collection holds
    /// something else; else what MongoDB says, such as that the password is wrong.
    pub async fn open(self) -> Result<MongoStore, Error> {
        let inner = on_runtime(async move {
            let place = Place::read(&self.url, self.database.as_deref(), self.collection.as_deref()).await?;
            let names = Names::of(&place.collection);
            let inner = Inner {
                server: Server::new(place, self.answer_within)?,
                names,
                process: Process::this(),
                read_only: self.read_only,
                taken_over_after: self.taken_over_after,
                session: Mutex::default(),
                sets: Mutex::default(),
                untidy: Mutex::default(),
                tidied: Mutex::new(Stopwatch::start()),
            };
            Server::patiently(|| inner.check()).await?;
            Ok(Arc::new(inner))
        });
        let inner = inner.await.map_err(Error::at_opening)?;
        Ok(MongoStore { inner })
    }
}

/// Runs on the thread of the network, to its end, whatever becomes of the caller.
async fn on_runtime<T: Send + 'static>(
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    // Commands end by themselves.
    let never = || backend("go on", "it was given up");
    runtime::run(Duration::MAX, future).await?.unwrap_or_else(|| Err(never()))
}

impl MongoStore {
    /// Connects to `mongodb://[user:password@]host[:port]/[database][?collection=groups]`; the database is `dictrack` and
    /// the collection `groups` if the URL does not say otherwise. Nothing is written before a manager uses the store.
    ///
    /// # Errors
    /// As [`MongoStoreBuilder::open`].
    pub async fn open(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).open().await
    }

    /// As [`open`](Self::open), to look only, also beside a running writer.
    ///
    /// # Errors
    /// As [`MongoStoreBuilder::open`]; also if there is no store.
    pub async fn open_read_only(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).read_only().open().await
    }

    /// Connects to a server that asks for no password.
    ///
    /// # Errors
    /// As [`MongoStoreBuilder::open`].
    pub async fn connect(host: &str, port: u16, database: &str, collection: &str) -> Result<Self, Error> {
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        Self::builder(format!("mongodb://{host}:{port}/")).database(database).collection(collection).open().await
    }

    /// Begins a store by its URL.
    pub fn builder(url: impl Into<String>) -> MongoStoreBuilder {
        MongoStoreBuilder {
            url: url.into(),
            database: None,
            collection: None,
            read_only: false,
            answer_within: ANSWER_WITHIN,
            taken_over_after: TAKEN_OVER_AFTER,
        }
    }

    /// Runs `work` on the store, again while the server cannot be reached, but not for long.
    async fn patiently<T, F>(&self, work: impl Fn(Arc<Inner>) -> F + Send + Sync + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        on_runtime(async move { Server::patiently(|| work(Arc::clone(&inner))).await }).await
    }

    /// As [`patiently`](Self::patiently), for few commands.
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

    /// The group of what was read, with its definitions.
    async fn restored(&self, group: &str, stored: Stored, engine: &Engine) -> Result<Group, Error> {
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
                tracing::warn!(%error, "the next writer has to wait until this one is taken for gone");
            }
            // Nobody waits where that took too long.
            let _ = done.send(());
        });
        let _ = wait.recv_timeout(self.inner.server.limit() + ANSWER_WITHIN);
    }
}

impl Inner {
    /// When a save with this durability is done.
    ///
    /// A majority also where nothing is to be on disk: after a failover the groups in memory would build on what the
    /// store no longer has.
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

    /// Finishes what the last owner left; whether there is no group.
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

    /// What the server holds of a group, with all of its parts.
    async fn read(&self, group: &str) -> Result<Option<Stored>, Error> {
        for _ in 0..READS {
            let action = "read a group";
            let find = || self.server.find_one(action, &self.names.groups, doc! {"_id": group}, None);
            let Some(head) = Server::in_all(action, find).await? else { return Ok(None) };
            if let Some(stored) = self.completed(group, head).await? {
                return Ok(stored);
            }
        }
        let problem = "parts of it are missing";
        Err(Error::corrupt(self.server.name(), place(group), problem))
    }

    /// Adds the parts to a document; `None` if they are no longer all there, since the group was written meanwhile. No
    /// group is in a document that only traces a claim.
    async fn completed(&self, group: &str, head: Document) -> Result<Option<Option<Stored>>, Error> {
        let (version, _) = held(self.server.name(), group, &head)?;
        if version == 0 {
            return Ok(Some(None));
        }
        let ids = parts_of(&head);
        let parts = self.parts(&ids).await?;
        Ok(ids.iter().all(|id| parts.contains_key(id)).then_some(Some(Stored { head, parts })))
    }

    /// The group and the number of its claim.
    async fn claim(&self, group: &str) -> Result<(Option<Stored>, u64), Error> {
        let session = self.session()?;
        if !session.careful {
            // Whoever wrote before has ended, and all that it sent has arrived.
            return Ok((self.read(group).await?, 0));
        }
        let claim = async || {
            self.stand(&session).await?;
            self.claimed(&session, group).await
        };
        let head = Server::in_all("claim a group", claim).await?;
        let (_, claim) = held(self.server.name(), group, &head)?;
        let stored = match self.completed(group, head).await? {
            Some(stored) => stored,
            None => self.read(group).await?,
        };
        Ok((stored, if session.writers == Writers::Many { claim.unsigned_abs() } else { 0 }))
    }

    /// The document of a group, claimed; it may be no more than the trace of that.
    async fn claimed(&self, session: &Session, group: &str) -> Result<Document, Error> {
        let action = "claim a group";
        let mut filter = doc! {"_id": group, "version": {"$gte": 0}};
        let (claim, concern) = match session.writers {
            Writers::One => {
                filter.insert("claim", doc! {"$lte": session.last_stamp()});
                (doc! {"$max": ["$claim", session.first]}, session.concern.clone())
            }
            // What was given must not be given again, whatever happens to the server.
            Writers::Many => (doc! {"$max": [{"$add": ["$claim", 1_i64]}, session.stamp()]}, concern(true, true)),
        };
        let trace = doc! {"$add": ["$$NOW", trace_of(session)]};
        let purge_at = doc! {"$cond": [{"$gt": ["$version", 0]}, "$$REMOVE", trace]};
        let version = doc! {"$ifNull": ["$version", 0_i64]};
        let command = doc! {
            "findAndModify": &self.names.groups, "query": filter, "upsert": true, "new": true,
            "update": [{"$set": {"version": version, "claim": claim, "purge_at": purge_at}}], "writeConcern": concern,
        };
        for _ in 0..READS {
            let reply = self.server.command_unless_taken(action, command.clone()).await?;
            if let Some(head) = reply.and_then(|reply| reply.get_document("value").ok().cloned()) {
                return Ok(head);
            }
            // A document is there that does not match: it is no group, or a later owner's, or has just been made.
            let found = self.server.find_one(action, &self.names.groups, doc! {"_id": group}, None).await?;
            let (_, claim) = found.map_or(Ok((0, 0)), |found| held(self.server.name(), group, &found))?;
            if session.writers == Writers::One && claim > session.last_stamp() {
                return Err(self.lost(session).await);
            }
        }
        Err(backend(action, format!("others made and removed group {group:?} all the time")))
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        let fields = Some(doc! {"version": 1, "claim": 1});
        let found = self.server.find_one("look at a group", &self.names.groups, doc! {"_id": group}, fields).await?;
        let Some(found) = found else { return Ok(Held::default()) };
        let (version, claim) = held(self.server.name(), group, &found)?;
        Ok(Held { version: version.unsigned_abs(), claim: claim.unsigned_abs() })
    }

    /// The `_id`s of documents of groups.
    async fn ids(&self, filter: Document, options: FindOptions) -> Result<Vec<String>, Error> {
        let mut options = options;
        options.projection = Some(doc! {"_id": 1});
        options.sort = Some(doc! {"_id": 1});
        let found = self.server.find("list groups", &self.names.groups, filter, options).await?;
        found
            .into_iter()
            .map(|mut document| match document.remove("_id") {
                Some(Bson::String(id)) => Ok(id),
                other => Err(foreign(self.server.name(), &doc! {"_id": other})),
            })
            .collect()
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        let options = FindOptions::builder().sort(doc! {"_id": 1}).build();
        let filter = doc! {"text": {"$ne": null}};
        let found = self.server.find("read the marks", &self.names.marks, filter, options).await?;
        found
            .iter()
            .map(|document| match (document.get_str("_id"), document.get_str("text")) {
                (Ok(name), Ok(text)) => Ok(Mark { name: name.to_owned(), text: Some(text.to_owned()) }),
                _ => {
                    let place = format!("a document of {}", self.names.marks);
                    Err(Error::corrupt(self.server.name(), place, "it is not a mark, a name and a text"))
                }
            })
            .collect()
    }

    /// Removes every group and mark: all or, after a crash, when the store is next opened.
    async fn clear(&self) -> Result<(), Error> {
        let session = self.session()?;
        let now = self.beat(&session).await?;
        let stamp = session.next_stamp();
        let work = async {
            if session.writers == Writers::Many {
                return self.empty(&session, stamp, now).await;
            }
            let id = ObjectId::new();
            self.set_journal(&session, stamp, doc! {"id": id, "empty": stamp, "at": now}).await?;
            self.empty(&session, stamp, now).await?;
            self.drop_journal(&doc! {"id": id}).await
        };
        session.attempted(work.await)
    }

    /// Removes every group and mark: of an owner those until a stamp and a moment, so that what it writes afterwards stays
    /// whenever the server gets to this. Where what was removed may still be written, traces of it stay for a while.
    async fn empty(&self, session: &Session, stamp: i64, now: DateTime) -> Result<(), Error> {
        self.untidy.lock().clear();
        let run = async |command: Document| {
            self.server.command_within("empty the store", raw(&command)?, EMPTY_WITHIN).await.map(drop)
        };
        let (mut groups, mut marks) = (doc! {"version": {"$gte": 0}}, Document::new());
        let claim = match session.writers {
            Writers::One => {
                groups.insert("claim", doc! {"$lte": stamp});
                marks.insert("claim", doc! {"$lte": stamp});
                doc! {"$max": ["$claim", stamp]}
            }
            Writers::Many => doc! {"$max": [{"$add": ["$claim", 1_i64]}, stamp]},
        };
        if !session.careful && !session.abandoned() {
            self.sets.lock().clear();
            for (collection, filter) in [
                (&self.names.groups, groups),
                (&self.names.marks, marks),
                (&self.names.parts, doc! {"at": {"$lte": now}}),
                (&self.names.sets, doc! {"used_at": {"$lte": now}}),
            ] {
                let all = doc! {"q": filter, "limit": 0};
                run(doc! {"delete": collection, "deletes": [all], "writeConcern": &session.concern}).await?;
            }
            return Ok(());
        }
        let purge_at = doc! {"$add": ["$$NOW", trace_of(session)]};
        let trace = doc! {"_id": "$_id", "version": 0_i64, "claim": claim, "purge_at": purge_at};
        let emptied = |collection: &String, filter: Document, update: Bson| {
            let update = doc! {"q": filter, "u": update, "multi": true};
            doc! {"update": collection, "updates": [update], "writeConcern": &session.concern}
        };
        run(emptied(&self.names.groups, groups, Bson::Array(vec![doc! {"$replaceWith": trace}.into()]))).await?;
        let update = doc! {"$set": {"text": null}, "$max": {"claim": stamp}, "$currentDate": {"updated_at": true}};
        run(emptied(&self.names.marks, marks, update.into())).await
    }
}

/// How long the trace of a claim stays, in milliseconds.
fn trace_of(session: &Session) -> i64 {
    let least = i64::try_from(TRACE.as_millis()).unwrap_or(i64::MAX);
    match session.writers {
        Writers::One => least,
        Writers::Many => least.max(session.limits.id_window.micros() / 1_000),
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

    async fn save(&self, changes: &[GroupChange], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
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
