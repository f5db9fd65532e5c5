//! A read-only view of a cache in front of a store.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{
    TrackerDefinition,
    group::{Engine, Group, Limits},
};
use parking_lot::Mutex;

use crate::Error;
use crate::backend::BackendError;
use crate::cache::DataCache;
use crate::durability::Durability;
use crate::store::{Claimed, DataStore, Held, Mark, Refused, Unsaved, Writers};

/// The store as it will be once it has what the cache holds. Reading it claims, loads and writes nothing, so it can be
/// used while programs count; calls that would write fail.
///
/// Without a store, it shows what the cache holds.
#[derive(Debug)]
pub struct Overlay {
    cache: Arc<dyn DataCache>,
    store: Option<Arc<dyn DataStore>>,
    /// The groups of the cache, listed again for each first page.
    listed: Mutex<Arc<[String]>>,
}

impl Overlay {
    /// Lays a cache over a store.
    pub fn new(cache: Arc<dyn DataCache>, store: Option<Arc<dyn DataStore>>) -> Self {
        Self { cache, store, listed: Mutex::default() }
    }

    /// The group if the cache holds it, unless the store is ahead of the cache because the cache went back in time.
    async fn cached(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let Some(found) = self.cache.peek(group, engine).await? else { return Ok(None) };
        let stored = match &self.store {
            Some(store) => store.held(group).await?.version,
            None => 0,
        };
        Ok((found.version() >= stored).then_some(found))
    }

    /// The groups of the cache, as listed for the first page.
    async fn cached_ids(&self, first_page: bool) -> Result<Arc<[String]>, Error> {
        if first_page {
            let ids = self.cache.group_ids().await?;
            *self.listed.lock() = ids.into();
        }
        Ok(Arc::clone(&self.listed.lock()))
    }
}

fn refused<T>(action: &str) -> Result<T, Error> {
    let source = "cache and store were opened together for reading only; write with a manager that has both".into();
    Err(BackendError { backend: "the view of cache and store", action: action.to_owned(), source }.into())
}

#[async_trait]
impl DataStore for Overlay {
    async fn begin(&self, _: Durability, _: &Limits, _: Writers) -> Result<bool, Error> {
        refused("begin to write")
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        match (self.cached(group, engine).await?, &self.store) {
            (None, Some(store)) => store.load(group, engine).await,
            (found, _) => Ok(found),
        }
    }

    async fn claim(&self, group: &str, _: &Engine) -> Result<Claimed, Error> {
        refused(&format!("claim the group {group:?}"))
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        let found = self.load(group, &Engine::default()).await?;
        Ok(Held { version: found.map_or(0, |group| group.version()), claim: 0 })
    }

    async fn save(&self, _: &[Unsaved], _: &[Mark]) -> Result<Vec<Refused>, Error> {
        refused("save")
    }

    async fn maintain(&self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        // The cache first: a group that leaves it meanwhile is in the store.
        let cached = self.cached_ids(after.is_none()).await?;
        let mut page = match &self.store {
            Some(store) => store.groups(after, limit).await?,
            None => Vec::new(),
        };
        let behind = cached.partition_point(|id| after.is_some_and(|after| id.as_str() <= after));
        page.extend(cached[behind..].iter().take(limit).cloned());
        page.sort();
        page.dedup();
        page.truncate(limit);
        Ok(page)
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        let mut candidates = self.cache.group_ids().await?;
        if let Some(store) = &self.store {
            candidates.extend(store.undelivered().await?);
        }
        candidates.sort();
        candidates.dedup();
        let engine = Engine::default();
        let mut pending = Vec::new();
        for id in candidates {
            if self.load(&id, &engine).await?.is_some_and(|group| !group.undelivered().is_empty()) {
                pending.push(id);
            }
        }
        Ok(pending)
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        let mut all = match &self.store {
            Some(store) => store.definitions().await?,
            None => Vec::new(),
        };
        let engine = Engine::default();
        let mut seen = HashSet::new();
        for id in self.cache.group_ids().await? {
            let Some(group) = self.cached(&id, &engine).await? else { continue };
            if seen.insert(group.definition_set().hash()) {
                all.extend(group.definition_set().trackers().iter().cloned());
            }
        }
        all.sort_by_key(|definition| definition.hash());
        all.dedup();
        Ok(all)
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        match &self.store {
            Some(store) => store.marks().await,
            None => Ok(Vec::new()),
        }
    }

    async fn verify(&self) -> Result<(), Error> {
        match &self.store {
            Some(store) => store.verify().await,
            None => Ok(()),
        }
    }

    async fn clear(&self) -> Result<(), Error> {
        refused("empty them")
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use dictrack_core::{Amount, Timestamp, group::Call};

    use super::*;
    use crate::cache::Effect;
    use crate::{TrackerDefinition, cache::MemoryCache, store::MemoryStore};

    const NOW: Timestamp = Timestamp::from_secs(0);

    fn wait<F: Future>(future: F) -> F::Output {
        pollster::block_on(future)
    }

    /// A group whose progress was set to each of these in turn.
    fn group(id: &str, progress: &[u32]) -> Group {
        let engine = Engine::default();
        let all = Arc::new(TrackerDefinition::count("all").target(100).build().unwrap());
        let mut group = Group::default();
        group.add(&Call::new(&engine, id, NOW), &[all], None).unwrap();
        for progress in progress {
            group.set_progress(&Call::new(&engine, id, NOW), "all", Amount::from(*progress));
        }
        group
    }

    fn cache(groups: &[(&str, &[u32])]) -> Arc<MemoryCache> {
        let cache = Arc::new(MemoryCache::new());
        for (id, progress) in groups {
            let step = &mut |found: &mut Group| {
                *found = group(id, progress);
                Effect::Changed
            };
            wait(cache.update(id, step)).unwrap();
        }
        cache
    }

    fn store(groups: &[(&str, &[u32])]) -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::new());
        let changes: Vec<_> = groups.iter().map(|(id, progress)| group(id, progress).whole(id).into()).collect();
        wait(store.save(&changes, &[Mark { name: "m".to_owned(), text: Some("1".to_owned()) }])).unwrap();
        store
    }

    fn progress(overlay: &Overlay, id: &str) -> Option<String> {
        let group = wait(overlay.load(id, &Engine::default())).unwrap()?;
        Some(group.trackers(&Engine::default(), None, NOW)[0].progress.to_string())
    }

    #[test]
    fn it_shows_the_store_as_it_will_be() {
        let (cache, store) = (cache(&[("b", &[1, 2]), ("c", &[3])]), store(&[("a", &[1]), ("b", &[1]), ("d", &[1])]));
        let shown = Overlay::new(Arc::clone(&cache) as _, Some(Arc::clone(&store) as _));
        let found = ["a", "b", "c", "d", "e"].map(|id| progress(&shown, id));
        assert_eq!(found.each_ref().map(Option::as_deref), [Some("1"), Some("2"), Some("3"), Some("1"), None]);
        assert!(wait(store.load("c", &Engine::default())).unwrap().is_none(), "nothing was written");

        let mut pages = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let page = wait(shown.groups(last.as_deref(), 3)).unwrap();
            let Some(end) = page.last().cloned() else { break };
            last = Some(end);
            pages.push(page);
        }
        assert_eq!(pages, [vec!["a", "b", "c"], vec!["d"]]);
        assert_eq!((wait(shown.definitions()).unwrap().len(), wait(shown.marks()).unwrap().len()), (1, 1));
        assert_eq!(wait(shown.held("b")).unwrap().version, 3);

        let alone = Overlay::new(cache, None);
        assert_eq!(wait(alone.groups(None, 10)).unwrap(), ["b", "c"]);
        assert_eq!((progress(&alone, "a"), progress(&alone, "b").as_deref()), (None, Some("2")));
        assert!(wait(alone.marks()).unwrap().is_empty());
    }

    #[test]
    fn a_store_that_is_ahead_of_the_cache_is_believed() {
        let shown = Overlay::new(cache(&[("a", &[1])]), Some(store(&[("a", &[1, 2, 3])])));
        assert_eq!(progress(&shown, "a").as_deref(), Some("3"));
    }

    #[test]
    fn it_writes_nothing() {
        let overlay = Overlay::new(Arc::new(MemoryCache::new()), None);
        let error = wait(overlay.save(&[], &[])).unwrap_err().to_string();
        assert!(error.contains("for reading only"), "{error}");
        assert!(wait(overlay.clear()).is_err() && wait(overlay.claim("a", &Engine::default())).is_err());
    }
}
