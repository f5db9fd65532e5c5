//! Where groups are kept.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::{
    TrackerDefinition,
    group::{Engine, Group, GroupChange, Limits},
};

use crate::Error;
use crate::doctor::{Examination, Finding, Level, SAMPLE, Setup};
use crate::durability::Durability;

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

/// A note that is kept with the changes of a commit, such as how far an input was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its name; a mark of the same name is replaced.
    pub name: String,
    /// Its text; `None` removes the mark.
    pub text: Option<String>,
}

/// Who writes a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writers {
    /// One process, whose memory holds the groups. A second one is refused.
    One,
    /// Every process that shares a cache. What each writes is checked against what the store holds.
    Many,
}

/// A group that was claimed for a cache.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The stored group, or `None` if the store has none of that id.
    pub group: Option<Group>,
    /// The number of the claim: changes carry it, and those of an earlier claim are refused from now on.
    pub claim: u64,
}

/// What a store holds of a group, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The version; 0 if there is no such group.
    pub version: u64,
    /// The last claim.
    pub claim: u64,
}

/// A change that a store is to keep.
#[derive(Clone, Debug)]
pub struct Unsaved {
    /// The change.
    pub change: GroupChange,
    /// The claim by which a cache of many processes holds the group, see [`DataStore::claim`]; 0 where one process does.
    pub claim: u64,
}

impl Unsaved {
    /// Whether a store that holds this of the group may keep the change.
    pub fn follows(&self, held: Held) -> bool {
        self.claim >= held.claim && self.change.follows(held.version)
    }
}

/// As the one writer of a store makes it.
impl From<GroupChange> for Unsaved {
    fn from(change: GroupChange) -> Self {
        Self { change, claim: 0 }
    }
}

/// A change that was not kept, because the store holds something else than it builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The position of the change among those that were to be saved.
    pub at: usize,
    /// What the store holds.
    pub held: Held,
}

/// Where groups are kept.
///
/// A store never calls a cache or the manager.
#[async_trait]
pub trait DataStore: Send + Sync + Debug {
    /// Whether calls wait for a server, which may never answer: then the deadline of a call of the manager bounds them. A
    /// store that is not remote works on the thread that calls it, as one that reads files does. The manager then calls it
    /// on a thread that it may hold up, and waits however long it takes.
    fn is_remote(&self) -> bool {
        true
    }

    /// Learns how the manager wants changes kept, within which bounds and by whom, before the first of them. Says whether
    /// the store is blank: it holds no group, and no process that was held up can still write one.
    ///
    /// # Errors
    /// [`Error::Owned`] if another process writes the store that must not; else a failure of the store.
    async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error>;

    /// The group, or `None` if there is none of that id. For those who only look.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the record is not what dictrack writes, else a failure of the store.
    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error>;

    /// The group for a cache that is going to change it. With [`Writers::Many`] the claim gets a number that is higher
    /// than all before, also where there is no such group yet: a cache that lost the group and claims it anew is safe
    /// from what others still write of the lost one.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Error::TakenOver`] if the store has a new owner.
    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error>;

    /// What the store holds of a group.
    ///
    /// # Errors
    /// A failure of the store.
    async fn held(&self, group: &str) -> Result<Held, Error>;

    /// Keeps all of `changes` and `marks`, with the durability begun: together where the store can, and never a part
    /// of one group.
    ///
    /// With [`Writers::One`] every change follows what the store holds. With [`Writers::Many`] a change is kept only if
    /// its claim is the last one, and the store holds the version that it follows, or for a whole group an older one;
    /// what is not kept is listed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached; the call may be repeated with the same changes until it
    /// can. [`Error::TakenOver`]. Any other failure: it is not known then what was kept, and the call must not be
    /// repeated.
    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error>;

    /// Does the work that was put off, such as bringing readable tables up to date. Called every few seconds, when
    /// nothing else is to be done, and before the end (`all`: leave nothing).
    ///
    /// # Errors
    /// A failure of the store.
    async fn maintain(&self, all: bool) -> Result<(), Error>;

    /// At most `limit` group ids in order, those behind `after`.
    ///
    /// # Errors
    /// A failure of the store.
    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error>;

    /// The groups with events that were not delivered.
    ///
    /// # Errors
    /// A failure of the store.
    async fn undelivered(&self) -> Result<Vec<String>, Error>;

    /// The distinct definitions in use.
    ///
    /// # Errors
    /// A failure of the store.
    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error>;

    /// Every mark, in the order of their names.
    ///
    /// # Errors
    /// A failure of the store.
    async fn marks(&self) -> Result<Vec<Mark>, Error>;

    /// Checks that everything in the store is what was written into it, as far as the store can tell: that no record is
    /// damaged and none is missing. An export asks for it first. The default finds nothing, which is right where the
    /// server behind the store has checksums of its own.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which names the first damage; else a failure of the store.
    async fn verify(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Examines the store before programs rely on it: what it is, what could lose progress, and how to fix it. Calls
    /// `progress` with the number of groups checked so far. A failure to examine the store is a finding too.
    ///
    /// The default reads some groups, and a note says that it checks nothing else.
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
