//! A store and a cache as third parties might write them: slow or silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::Duration;

use async_trait::async_trait;
use dictrack::cache::{DataCache, Load, Saved, Step, StepOfMany};
use dictrack::store::{Claimed, DataStore, Held, Mark, Refused, Unsaved, Writers};
use dictrack::{
    Durability, Error, TrackerDefinition,
    cache::MemoryCache,
    group::{Engine, Group, Limits},
    store::MemoryStore,
};
use parking_lot::Mutex;

/// What a store does before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Nothing.
    Prompt,
    /// It blocks its thread, like a store that reads files.
    Slow(Duration),
    /// It never answers, like a server that hangs.
    Silent,
}

#[derive(Debug)]
pub(crate) struct OddStore {
    inner: MemoryStore,
    behaviour: Mutex<Behaviour>,
    is_remote: bool,
    asked_on: Mutex<Option<ThreadId>>,
}

impl OddStore {
    /// A store on this machine.
    pub(crate) fn local(behaviour: Behaviour) -> Arc<Self> {
        Self::new(false, behaviour)
    }

    /// A store on a server.
    pub(crate) fn remote() -> Arc<Self> {
        Self::new(true, Behaviour::Prompt)
    }

    fn new(is_remote: bool, behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::default(),
            behaviour: Mutex::new(behaviour),
            is_remote,
            asked_on: Mutex::default(),
        })
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    /// The thread that last asked for a group.
    pub(crate) fn asked_on(&self) -> Option<ThreadId> {
        *self.asked_on.lock()
    }

    pub(crate) fn version(&self, group: &str) -> u64 {
        dictrack::block_on(self.inner.held(group)).unwrap().version
    }

    async fn answer(&self) {
        let behaviour = *self.behaviour.lock();
        match behaviour {
            Behaviour::Prompt => {}
            Behaviour::Slow(time) => std::thread::sleep(time),
            Behaviour::Silent => std::future::pending().await,
        }
    }
}

#[async_trait]
impl DataStore for OddStore {
    fn is_remote(&self) -> bool {
        self.is_remote
    }

    async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error> {
        self.answer().await;
        // It says that it is not blank, so that groups are looked up in it.
        self.inner.begin(durability, limits, writers).await.map(|_| false)
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        self.answer().await;
        self.inner.load(group, engine).await
    }

    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
        *self.asked_on.lock() = Some(std::thread::current().id());
        self.answer().await;
        self.inner.claim(group, engine).await
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        self.answer().await;
        self.inner.held(group).await
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
        self.answer().await;
        self.inner.save(changes, marks).await
    }

    async fn maintain(&self, all: bool) -> Result<(), Error> {
        self.inner.maintain(all).await
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        self.answer().await;
        self.inner.groups(after, limit).await
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        self.answer().await;
        self.inner.undelivered().await
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        self.inner.definitions().await
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        self.inner.marks().await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.answer().await;
        self.inner.clear().await
    }
}

/// A memory cache that can fall silent.
#[derive(Debug)]
pub(crate) struct OddCache {
    inner: MemoryCache,
    silent: AtomicBool,
    /// How many times it was asked to look up many groups.
    many: AtomicUsize,
}

impl OddCache {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryCache::new(), silent: AtomicBool::new(false), many: AtomicUsize::new(0) })
    }

    pub(crate) fn many(&self) -> usize {
        self.many.load(Ordering::Relaxed)
    }

    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    async fn answer(&self) {
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

/// What the manager gets as its cache; the test keeps another handle.
#[async_trait]
impl DataCache for Shared {
    fn writers(&self) -> Writers {
        self.0.inner.writers()
    }

    async fn begin(&self, load: Arc<dyn Load>, engine: Arc<Engine>) -> Result<(), Error> {
        self.0.inner.begin(load, engine).await
    }

    async fn update(&self, group: &str, step: &mut Step<'_>) -> Result<u64, Error> {
        self.0.answer().await;
        self.0.inner.update(group, step).await
    }

    fn update_now(&self, _: &str, _: &mut Step<'_>) -> bool {
        false
    }

    fn update_many_now(&self, _: &[&str], _: &mut StepOfMany<'_>) -> usize {
        self.0.many.fetch_add(1, Ordering::Relaxed);
        0
    }

    async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error> {
        self.0.answer().await;
        self.0.inner.view(group, view).await
    }

    async fn collect(&self, engine: &Engine) -> Result<Vec<Unsaved>, Error> {
        self.0.inner.collect(engine).await
    }

    fn uncollected_bytes(&self) -> usize {
        self.0.inner.uncollected_bytes()
    }

    fn has_uncollected(&self) -> bool {
        self.0.inner.has_uncollected()
    }

    async fn note_saved(&self, saved: &[Saved]) -> Result<(), Error> {
        self.0.inner.note_saved(saved).await
    }

    fn confirm(&self, group: &str, version: u64, claim: u64) -> Result<bool, Error> {
        self.0.inner.confirm(group, version, claim)
    }

    async fn maintain(&self) -> Result<(), Error> {
        self.0.inner.maintain().await
    }

    async fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send)) -> Result<(), Error> {
        self.0.inner.for_each(visit).await
    }

    async fn peek(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        self.0.inner.peek(group, engine).await
    }

    async fn group_ids(&self) -> Result<Vec<String>, Error> {
        self.0.inner.group_ids().await
    }

    async fn unsaved(&self) -> Result<Vec<String>, Error> {
        self.0.inner.unsaved().await
    }

    fn has_dropped(&self) -> bool {
        self.0.inner.has_dropped()
    }

    async fn clear(&self) -> Result<(), Error> {
        self.0.inner.clear().await
    }
}

/// An [`OddCache`] shared with the test.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Arc<OddCache>);
