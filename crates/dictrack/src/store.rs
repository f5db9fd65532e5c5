//! Stores: they keep all groups.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{
    Timestamp, TrackerDefinition,
    group::{DefinitionSet, Engine, Group, GroupChange, Limits},
};

use crate::Error;
use crate::doctor::{Examination, Finding, Level, SAMPLE, Setup};
use crate::durability::Durability;
use crate::find::{Finder, Place, Query};

mod dry;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(any(feature = "sqlite", feature = "mongodb"))]
pub(crate) mod process;
#[cfg(any(feature = "memory", feature = "sqlite", feature = "mongodb", feature = "redis"))]
pub(crate) mod record;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use dry::DryStore;
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
#[cfg(feature = "mongodb")]
pub use mongodb::MongoStoreBuilder;

/// A note committed together with changes, such as how far an input was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its name; a mark of the same name is replaced.
    pub name: String,
    /// Its text; `None` removes the mark.
    pub text: Option<String>,
}

/// Which processes write a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writers {
    /// One process, which holds the groups in memory. A second one is refused.
    One,
    /// All processes that share a cache. Each write is checked against what the store holds.
    Many,
}

/// A group that was claimed for a cache.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The stored group, or `None` if the store has none of that id.
    pub group: Option<Group>,
    /// The number of the claim. Changes carry it; those made under an earlier claim are refused from now on.
    pub claim: u64,
}

/// A summary of what a store holds of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The version; 0 if there is no such group.
    pub version: u64,
    /// The number of the last claim.
    pub claim: u64,
}

/// A change for the store to keep.
#[derive(Clone, Debug)]
pub struct Unsaved {
    /// The change.
    pub change: GroupChange,
    /// The claim under which a shared cache holds the group, see [`DataStore::claim`]; 0 if one process holds it.
    pub claim: u64,
}

impl Unsaved {
    /// Whether a store that holds `held` of the group may keep the change.
    pub fn follows(&self, held: Held) -> bool {
        self.claim >= held.claim && self.change.follows(held.version)
    }
}

/// A change made by the only writer of a store, which has no claim.
impl From<GroupChange> for Unsaved {
    fn from(change: GroupChange) -> Self {
        Self { change, claim: 0 }
    }
}

/// A change that was not kept, because it does not build on what the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The position of the change in the list that was to be saved.
    pub at: usize,
    /// What the store holds.
    pub held: Held,
}

/// Keeps all groups.
///
/// A store never calls a cache or the manager.
#[async_trait]
pub trait DataStore: Send + Sync + Debug {
    /// Whether calls wait for a server, which may never answer; if so, the deadline of the manager's call bounds them.
    /// A store that is not remote, such as one that reads files, works on the calling thread. The manager then calls it
    /// on a thread that may block, and waits however long it takes.
    fn is_remote(&self) -> bool {
        true
    }

    /// Tells the store how durably changes must be kept, within which limits and by which writers, before the first
    /// change. Returns whether the store is blank: it holds no group, and no process that stalled can still write one.
    ///
    /// # Errors
    /// [`Error::Owned`] if another writer of the store excludes this one; else a failure of the store.
    async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error>;

    /// The group, or `None` if there is none of that id; for reading only.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the record is damaged or not written by dictrack, else a failure of the store.
    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error>;

    /// The group for a cache that is going to change it. With [`Writers::Many`] the claim gets a higher number than all
    /// earlier ones, even if there is no such group yet: after a cache has lost a group and claimed it again, late
    /// writes of the lost group are refused.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load); [`Error::TakenOver`] if the store has a new owner.
    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error>;

    /// What the store holds of a group.
    ///
    /// # Errors
    /// A failure of the store.
    async fn held(&self, group: &str) -> Result<Held, Error>;

    /// Keeps all of `changes` and `marks`, with the durability passed to [`begin`](Self::begin): together if the store
    /// can do that, and never only a part of one group.
    ///
    /// With [`Writers::One`] every change follows what the store holds. With [`Writers::Many`] a change is kept only if
    /// its claim is the last one and the store holds the version that it follows or, for a whole group, an older one.
    /// Returns the changes that were not kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached; the call may be repeated with the same changes until it
    /// succeeds. [`Error::TakenOver`] if the store has a new owner. After any other failure it is unknown what was
    /// kept, and the call must not be repeated.
    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error>;

    /// Does postponed work, such as bringing the readable tables up to date. Called every few seconds when there is
    /// nothing else to do, and before the store is closed (`all`: leave nothing).
    ///
    /// # Errors
    /// A failure of the store.
    async fn maintain(&self, all: bool) -> Result<(), Error>;

    /// Up to `limit` group ids in order, starting after `after`.
    ///
    /// # Errors
    /// A failure of the store.
    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error>;

    /// The groups that `query` wants, in its order, as of `now`. The default implementation loads every group.
    ///
    /// # Errors
    /// A failure of the store.
    async fn find(&self, query: &Query, now: Timestamp, engine: &Engine) -> Result<Vec<Place>, Error> {
        const PAGE: usize = 1000;
        let mut finder = Finder::new(query, now);
        let mut sets = RecentSets::default();
        let mut last: Option<String> = None;
        loop {
            let page = self.groups(last.as_deref(), PAGE).await?;
            for id in &page {
                if let Some(group) = self.load(id, engine).await? {
                    sets.keep(group.definition_set());
                    finder.visit(id, &group, engine);
                }
            }
            match page.into_iter().next_back() {
                Some(id) => last = Some(id),
                None => return Ok(finder.places()),
            }
        }
    }

    /// The groups with undelivered events.
    ///
    /// # Errors
    /// A failure of the store.
    async fn undelivered(&self) -> Result<Vec<String>, Error>;

    /// The distinct definitions in use.
    ///
    /// # Errors
    /// A failure of the store.
    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error>;

    /// Every mark, in order of name.
    ///
    /// # Errors
    /// A failure of the store.
    async fn marks(&self) -> Result<Vec<Mark>, Error>;

    /// Checks, as far as the store can tell, that everything in it is what was written: no record is damaged or
    /// missing. An export calls this first. The default implementation checks nothing, which is right if the server
    /// behind the store has its own checksums.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which names the first damage; else a failure of the store.
    async fn verify(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Examines the store before programs rely on it: what it is, what could lose progress, and how to fix it. Calls
    /// `progress` with the number of groups checked so far. A failure to examine the store is a finding too.
    ///
    /// The default implementation only reads some groups, and adds a note that nothing else was checked.
    async fn examine(&self, _setup: &Setup, _progress: &mut (dyn FnMut(u64) + Send)) -> Examination {
        let mut found = Examination::new("the store");
        found.add(
            Finding::new(Level::Note, "not_examined", "this kind of store has no examination of its own")
                .meaning("it is unknown what could lose progress; only some groups were read"),
        );
        read_some(self, &mut found).await;
        found
    }

    /// Removes every group and mark.
    ///
    /// # Errors
    /// A failure of the store.
    async fn clear(&self) -> Result<(), Error>;
}

/// The definition sets of the groups that were loaded last. One that nothing holds would be read and compiled again for the
/// next group that has it.
#[derive(Debug, Default)]
pub struct RecentSets(VecDeque<Arc<DefinitionSet>>);

impl RecentSets {
    const MOST: usize = 64;

    /// Keeps a set for the groups that follow.
    pub fn keep(&mut self, set: &Arc<DefinitionSet>) {
        if !self.0.iter().any(|kept| Arc::ptr_eq(kept, set)) {
            self.0.push_back(Arc::clone(set));
            if self.0.len() > Self::MOST {
                self.0.pop_front();
            }
        }
    }
}

/// Reads some groups of a store to check that they are readable.
pub(crate) async fn read_some<S: DataStore + ?Sized>(store: &S, found: &mut Examination) {
    let engine = Engine::default();
    let ids = match store.groups(None, SAMPLE).await {
        Ok(ids) => ids,
        Err(error) => return found.error(&error),
    };
    let mut readable = 0;
    for id in &ids {
        match store.load(id, &engine).await {
            Ok(_) => readable += 1,
            Err(error @ Error::Corrupt { .. }) => found.error(&error),
            Err(error) => return found.error(&error),
        }
    }
    let more = if ids.len() == SAMPLE { " or more" } else { "" };
    found.fact("groups", format!("{}{more}, {readable} read", ids.len()));
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: DataStore + ?Sized> DataStore for $pointer<T> {
            fn is_remote(&self) -> bool {
                (**self).is_remote()
            }
            async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error> {
                (**self).begin(durability, limits, writers).await
            }
            async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
                (**self).load(group, engine).await
            }
            async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
                (**self).claim(group, engine).await
            }
            async fn held(&self, group: &str) -> Result<Held, Error> {
                (**self).held(group).await
            }
            async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
                (**self).save(changes, marks).await
            }
            async fn maintain(&self, all: bool) -> Result<(), Error> {
                (**self).maintain(all).await
            }
            async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
                (**self).groups(after, limit).await
            }
            async fn find(&self, query: &Query, now: Timestamp, engine: &Engine) -> Result<Vec<Place>, Error> {
                (**self).find(query, now, engine).await
            }
            async fn undelivered(&self) -> Result<Vec<String>, Error> {
                (**self).undelivered().await
            }
            async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
                (**self).definitions().await
            }
            async fn marks(&self) -> Result<Vec<Mark>, Error> {
                (**self).marks().await
            }
            async fn verify(&self) -> Result<(), Error> {
                (**self).verify().await
            }
            async fn examine(&self, setup: &Setup, progress: &mut (dyn FnMut(u64) + Send)) -> Examination {
                (**self).examine(setup, progress).await
            }
            async fn clear(&self) -> Result<(), Error> {
                (**self).clear().await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
