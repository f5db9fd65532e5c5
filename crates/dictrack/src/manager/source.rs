//! Gets groups that the cache does not hold from the store, without blocking an async executor.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dictrack_core::Timestamp;
use dictrack_core::group::{Engine, Group, Limits};
use dictrack_core::text::quoted;

use crate::cache::{DataCache, Load};
use crate::durability::Durability;
use crate::find::{Place, Query};
use crate::metrics::Meter;
use crate::store::{Claimed, DataStore, Held, Mark, Writers};
use crate::{Error, executor};

/// The mark with the highest generation that was used before a store was emptied.
pub(crate) const GENERATIONS: &str = "dictrack:generations";

/// The store of a manager, if it has one.
#[derive(Debug)]
pub(super) struct Source {
    store: Option<Arc<dyn DataStore>>,
    engine: Arc<Engine>,
    /// The cache, if the store held nothing when the manager was opened: as long as it drops nothing, it has
    /// everything.
    complete: Option<Weak<dyn DataCache>>,
    /// The number of calls that the store has not answered yet.
    unanswered: AtomicUsize,
    meter: Arc<Meter>,
}

impl Source {
    pub(super) fn new(
        store: Option<Arc<dyn DataStore>>,
        engine: Arc<Engine>,
        complete: Option<Weak<dyn DataCache>>,
        meter: Arc<Meter>,
    ) -> Self {
        Self { store, engine, complete, unanswered: AtomicUsize::new(0), meter }
    }

    pub(super) fn store(&self) -> Option<&Arc<dyn DataStore>> {
        self.store.as_ref()
    }

    /// Whether calls wait for a server.
    pub(super) fn is_remote(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.is_remote())
    }

    /// Whether everything that the store can hold is in the cache.
    pub(super) fn is_in_cache(&self) -> bool {
        let cache = self.complete.as_ref().and_then(Weak::upgrade);
        cache.is_some_and(|cache| !cache.has_dropped())
    }

    /// Whether a call waits for the store right now.
    pub(super) fn is_waited_for(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// A group as the store has it.
    pub(super) async fn load(&self, group: &str) -> Result<Option<Group>, Error> {
        let Some(store) = self.store.clone() else { return Ok(None) };
        let (engine, group) = (Arc::clone(&self.engine), group.to_owned());
        self.ask(async move { store.load(&group, &engine).await }).await
    }

    /// Up to `limit` group ids in order, starting after `after`.
    pub(super) async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        let Some(store) = self.store.clone() else { return Ok(Vec::new()) };
        let after = after.map(str::to_owned);
        self.ask(async move { store.groups(after.as_deref(), limit).await }).await
    }

    /// The groups that a query wants, as the store has them.
    pub(super) async fn find(&self, query: &Query, now: Timestamp) -> Result<Vec<Place>, Error> {
        let Some(store) = self.store.clone() else { return Ok(Vec::new()) };
        let (engine, query) = (Arc::clone(&self.engine), query.clone());
        self.ask(async move { store.find(&query, now, &engine).await }).await
    }

    /// The groups with undelivered events.
    pub(super) async fn undelivered(&self) -> Result<Vec<String>, Error> {
        let Some(store) = self.store.clone() else { return Ok(Vec::new()) };
        self.ask(async move { store.undelivered().await }).await
    }

    /// Empties the store, except for the highest generation.
    pub(super) async fn clear(&self, highest: u32) -> Result<(), Error> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let mark = Mark { name: GENERATIONS.to_owned(), text: Some(highest.to_string()) };
        self.ask(async move {
            store.clear().await?;
            store.save(&[], &[mark]).await.map(drop)
        })
        .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        struct Answered<'a>(&'a AtomicUsize);
        impl Drop for Answered<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let _answered = Answered(&self.unanswered);
        if self.is_remote() { call.await } else { executor::apart(call).await }
    }
}

#[async_trait]
impl Load for Source {
    fn has_store(&self) -> bool {
        self.store.is_some()
    }

    async fn claim(&self, group: &str) -> Result<Claimed, Error> {
        let Some(store) = self.store.clone().filter(|_| !self.is_in_cache()) else { return Ok(Claimed::default()) };
        let (engine, group) = (Arc::clone(&self.engine), group.to_owned());
        self.meter.note_load();
        self.ask(async move {
            let claimed = store.claim(&group, &engine).await?;
            tracing::debug!(group = %quoted(&group), found = claimed.group.is_some(), claim = claimed.claim, "loaded");
            if claimed.group.is_none() && claimed.claim > 0 {
                // Another process may have emptied the store, and generations must not be reused.
                engine.used_generations.fetch_max(used_generations(&*store).await?, Ordering::Relaxed);
            }
            Ok(claimed)
        })
        .await
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        let Some(store) = self.store.clone() else { return Ok(Held::default()) };
        let group = group.to_owned();
        self.ask(async move { store.held(&group).await }).await
    }
}

/// What a store reports when a manager begins to use it.
#[derive(Default)]
pub(super) struct Begun {
    /// Whether it holds no group.
    pub(super) is_blank: bool,
    /// The groups with undelivered events.
    pub(super) undelivered: Vec<String>,
    /// The highest generation that was used before it was emptied.
    pub(super) used_generations: u32,
}

impl Begun {
    /// Begins to use `store`.
    pub(super) async fn of(
        store: &Arc<dyn DataStore>,
        durability: Durability,
        limits: Limits,
        writers: Writers,
    ) -> Result<Self, Error> {
        let begun = Arc::clone(store);
        let begin = async move {
            let is_blank = begun.begin(durability, &limits, writers).await?;
            let undelivered = begun.undelivered().await?;
            Ok(Self { is_blank, undelivered, used_generations: used_generations(&*begun).await? })
        };
        if store.is_remote() { begin.await } else { executor::apart(begin).await }
    }
}

async fn used_generations(store: &dyn DataStore) -> Result<u32, Error> {
    let used = store.marks().await?.into_iter().find(|mark| mark.name == GENERATIONS);
    Ok(used.and_then(|mark| mark.text?.parse().ok()).unwrap_or(0))
}
