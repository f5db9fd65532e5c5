//! Caches: they hold the groups in use.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dictrack_core::group::{Engine, Group};
use dictrack_core::json::Text;

use crate::Error;
use crate::doctor::{Examination, Finding, Level, SAMPLE, Setup};
use crate::store::{Claimed, Held, Refused, Unsaved, Writers};

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

pub use memory::MemoryCache;

/// What a [`Step`] did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The group is unchanged.
    Unchanged,
    /// The group is unchanged, but the caller relies on it: it must be kept if it is not kept yet.
    Relied,
    /// The group changed and must be kept.
    Changed,
    /// The group changed and knows the change by an id: if the step runs again on a group that has the change, it does
    /// nothing.
    ChangedById,
}

impl Effect {
    /// Whether the group changed.
    pub fn changed(self) -> bool {
        matches!(self, Self::Changed | Self::ChangedById)
    }
}

/// What a call does to a group. It may run more than once.
pub type Step<'a> = dyn for<'g> FnMut(&'g mut Group) -> Effect + Send + 'a;

/// Steps for many groups, by their position: see [`DataCache::update_many_now`].
pub type StepOfMany<'a> = dyn for<'g> FnMut(usize, &'g mut Group) -> Option<Effect> + Send + 'a;

/// Supplies groups that a cache does not hold.
#[async_trait]
pub trait Load: Send + Sync + Debug {
    /// Whether there is a store.
    fn has_store(&self) -> bool;

    /// The stored group, claimed for this cache.
    ///
    /// # Errors
    /// A failure of the store.
    async fn claim(&self, group: &str) -> Result<Claimed, Error>;

    /// What the store holds of a group.
    ///
    /// # Errors
    /// A failure of the store.
    async fn held(&self, group: &str) -> Result<Held, Error>;
}

/// What the store did with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The group.
    pub group: Text,
    /// The version of the change.
    pub version: u64,
    /// The claim under which it was made.
    pub claim: u64,
    /// What the store holds instead, if it refused the change.
    pub refused: Option<Held>,
}

impl Saved {
    /// What the store did with `changes`, some of which it refused.
    pub fn all(changes: &[Unsaved], refused: &[Refused]) -> Vec<Self> {
        let saved = changes.iter().enumerate().map(|(at, Unsaved { change, claim })| Self {
            group: change.group.clone(),
            version: change.version,
            claim: *claim,
            refused: refused.iter().find(|refused| refused.at == at).map(|refused| refused.held),
        });
        saved.collect()
    }
}

/// Holds the groups in use.
///
/// A cache never calls the manager, and calls the store only through the `load` that it gets in [`begin`](Self::begin).
/// It hands out changes that must be kept through [`collect`](Self::collect).
#[async_trait]
pub trait DataCache: Send + Sync + Debug {
    /// Which processes change the groups of this cache: only this one, or others too.
    fn writers(&self) -> Writers;

    /// Whether calls wait for a server, which may never answer; if so, the deadline of the manager's call bounds them.
    fn is_remote(&self) -> bool {
        true
    }

    /// Tells the cache where groups come from, before the first call.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn begin(&self, load: Arc<dyn Load>, engine: Arc<Engine>) -> Result<(), Error>;

    /// Runs `step` on the newest state of `group`, atomically with respect to every other user of this cache, and keeps
    /// its result.
    ///
    /// `step` may run more than once; only the last run counts. If the cache does not hold the group, the store
    /// supplies it; if the store has none either, the step gets a blank group, which is kept only if it changes.
    /// Returns the claim under which the cache holds the group, see
    /// [`DataStore::claim`](crate::store::DataStore::claim).
    ///
    /// # Errors
    /// A failure of the cache or the store. Then nothing has changed, but after [`Error::Unavailable`] that is unknown.
    async fn update(&self, group: &str, step: &mut Step<'_>) -> Result<u64, Error>;

    /// Like [`update`](Self::update), but only if the group is at hand and nothing has to wait, not even for another step on
    /// the same group: the caller may hold a lock that this step needs. Returns `false` otherwise, having done nothing.
    fn update_now(&self, group: &str, step: &mut Step<'_>) -> bool;

    /// Like [`update_now`](Self::update_now) on many groups, in order. The step gets the position of its group in
    /// `groups`; if it returns `None`, it has done nothing and is the last one. Stops at the first group that is not at hand.
    /// Returns how many steps were done.
    ///
    /// A cache in memory looks up many groups at the same time, so that their steps do not wait for memory one by one.
    fn update_many_now(&self, groups: &[&str], step: &mut StepOfMany<'_>) -> usize {
        let mut run = |at: usize| {
            let mut is_done = true;
            let mut one = |group: &mut Group| {
                let effect = step(at, group);
                is_done = effect.is_some();
                effect.unwrap_or(Effect::Unchanged)
            };
            self.update_now(groups[at], &mut one) && is_done
        };
        (0..groups.len()).find(|at| !run(*at)).unwrap_or(groups.len())
    }

    /// Shows the newest state of `group` to `view`, or a blank group if there is none.
    ///
    /// # Errors
    /// A failure of the cache or the store.
    async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error>;

    /// Takes what this process changed since the last call, each group once.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn collect(&self, engine: &Engine) -> Result<Vec<Unsaved>, Error>;

    /// About how many bytes of groups have changed since they were last collected. They cannot be dropped, and
    /// collecting them takes several times as much memory. 0 where another process keeps them.
    fn uncollected_bytes(&self) -> usize;

    /// Whether [`collect`](Self::collect) would return more: it may postpone what takes long to read.
    fn has_uncollected(&self) -> bool;

    /// Notes what the store did with collected changes. Groups that it has may be dropped when memory is short.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn note_saved(&self, saved: &[Saved]) -> Result<(), Error>;

    /// Whether the store has the change that produced `version` of a group under `claim`, after a commit that was to
    /// save it; `false` if another commit is needed.
    ///
    /// # Errors
    /// [`Error::Lost`] if the cache lost the change before the store had it.
    fn confirm(&self, group: &str, version: u64, claim: u64) -> Result<bool, Error>;

    /// Does postponed work, such as looking for changes left by a process that has ended. Called every few hundred
    /// milliseconds, before a commit.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn maintain(&self) -> Result<(), Error>;

    /// Shows every group that the cache holds to `visit`, in no particular order.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send)) -> Result<(), Error>;

    /// What the cache holds of a group, for reading only: nothing is loaded, claimed or written. May be called without
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the record is damaged or not written by dictrack, else a failure of the cache.
    async fn peek(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error>;

    /// The ids of all groups that the cache holds, in order. May be called without [`begin`](Self::begin).
    ///
    /// # Errors
    /// A failure of the cache.
    async fn group_ids(&self) -> Result<Vec<String>, Error>;

    /// The groups with changes that the store does not have yet, in order, as far as the cache knows. May be called
    /// without [`begin`](Self::begin).
    ///
    /// # Errors
    /// A failure of the cache.
    async fn unsaved(&self) -> Result<Vec<String>, Error>;

    /// Whether the cache may lack a group that was changed through it, so that the store has to be searched too.
    fn has_dropped(&self) -> bool;

    /// Examines the cache before programs rely on it: what it is, what could lose progress, and how to fix it. May be
    /// called without [`begin`](Self::begin). A failure to examine the cache is a finding too.
    ///
    /// The default implementation only reads some groups, and adds a note that nothing else was checked.
    async fn examine(&self, setup: &Setup) -> Examination {
        let mut found = Examination::new("the cache");
        found.add(
            Finding::new(Level::Note, "not_examined", "this kind of cache has no examination of its own")
                .meaning("it is unknown what could lose progress; only some groups were read"),
        );
        match self.group_ids().await {
            Ok(ids) => read_some(self, &ids, setup, &mut found).await,
            Err(error) => found.error(&error),
        }
        found
    }

    /// Drops every group.
    ///
    /// # Errors
    /// A failure of the cache.
    async fn clear(&self) -> Result<(), Error>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        impl<T: DataCache + ?Sized> DataCache for $pointer<T> {
            fn is_remote(&self) -> bool {
                (**self).is_remote()
            }
            fn writers(&self) -> Writers {
                (**self).writers()
            }
            async fn begin(&self, load: Arc<dyn Load>, engine: Arc<Engine>) -> Result<(), Error> {
                (**self).begin(load, engine).await
            }
            async fn update(&self, group: &str, step: &mut Step<'_>) -> Result<u64, Error> {
                (**self).update(group, step).await
            }
            fn update_now(&self, group: &str, step: &mut Step<'_>) -> bool {
                (**self).update_now(group, step)
            }
            fn update_many_now(&self, groups: &[&str], step: &mut StepOfMany<'_>) -> usize {
                (**self).update_many_now(groups, step)
            }
            async fn view(&self, group: &str, view: &mut (dyn for<'g> FnMut(&'g Group) + Send)) -> Result<(), Error> {
                (**self).view(group, view).await
            }
            async fn collect(&self, engine: &Engine) -> Result<Vec<Unsaved>, Error> {
                (**self).collect(engine).await
            }
            fn uncollected_bytes(&self) -> usize {
                (**self).uncollected_bytes()
            }
            fn has_uncollected(&self) -> bool {
                (**self).has_uncollected()
            }
            async fn note_saved(&self, saved: &[Saved]) -> Result<(), Error> {
                (**self).note_saved(saved).await
            }
            fn confirm(&self, group: &str, version: u64, claim: u64) -> Result<bool, Error> {
                (**self).confirm(group, version, claim)
            }
            async fn maintain(&self) -> Result<(), Error> {
                (**self).maintain().await
            }
            async fn for_each(&self, visit: &mut (dyn for<'a> FnMut(&'a str, &'a Group) + Send)) -> Result<(), Error> {
                (**self).for_each(visit).await
            }
            async fn peek(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
                (**self).peek(group, engine).await
            }
            async fn group_ids(&self) -> Result<Vec<String>, Error> {
                (**self).group_ids().await
            }
            async fn unsaved(&self) -> Result<Vec<String>, Error> {
                (**self).unsaved().await
            }
            fn has_dropped(&self) -> bool {
                (**self).has_dropped()
            }
            async fn examine(&self, setup: &Setup) -> Examination {
                (**self).examine(setup).await
            }
            async fn clear(&self) -> Result<(), Error> {
                (**self).clear().await
            }
        }
    };
}

forward!(Arc);
forward!(Box);

/// Reads the first of these groups to check that they are readable, and counts those with changes that no store has.
pub(crate) async fn read_some<C: DataCache + ?Sized>(
    cache: &C,
    ids: &[String],
    setup: &Setup,
    found: &mut Examination,
) {
    let engine = Engine::default();
    let (mut readable, some) = (0, &ids[..ids.len().min(SAMPLE)]);
    for id in some {
        match cache.peek(id, &engine).await {
            Ok(_) => readable += 1,
            Err(error @ Error::Corrupt { .. }) => found.error(&error),
            Err(error) => return found.error(&error),
        }
    }
    let more = if ids.len() >= SAMPLE { " or more" } else { "" };
    found.fact("groups", format!("{}{more}, {readable} read", some.len()));
    let unsaved = match cache.unsaved().await {
        Ok(unsaved) => unsaved.len(),
        Err(error) => return found.error(&error),
    };
    found.fact("not yet stored", format!("{unsaved} groups"));
    if unsaved > 0 && !setup.has_store {
        found.find(
            Level::Note,
            "unsaved",
            format!("{unsaved} groups have changes that wait for a store, but no store was given"),
            "the store behind this cache does not have these changes yet",
            "use --store to examine it too; any running program with that store saves them",
        );
    }
}
