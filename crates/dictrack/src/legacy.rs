//! Imports what Python's dictrack 2.1.5 stored in Redis and MongoDB.
//!
//! In Redis, 2.1.5 keeps a hash for each group that was tracked in the last hours. In MongoDB it keeps every tracker as a
//! document, which it updates when a group has been idle for six hours. Both contain pickles. They are read without running
//! anything, see `legacy/pickle.rs`. Data that would change its meaning is rejected with an error that names it.
//!
//! If a group is in both, its trackers are those in Redis, which is also how 2.1.5 reads it. MongoDB then adds what Redis
//! lacks: when a tracker expires, and the targets that it has passed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dictrack_core::json::Json;
use dictrack_core::{
    Timestamp,
    group::{ContentHash, Engine, Group, GroupChange, StoredGroup, StoredState, StoredTracker},
};

use crate::Error;
use crate::durability::Durability;
use crate::manager::GENERATIONS;
use crate::store::{DataStore, Unsaved, Writers};

#[cfg(feature = "mongodb")]
pub mod mongodb;
mod pickle;
#[cfg(feature = "redis")]
pub mod redis;
mod tracker;

use pickle::Fault;
use tracker::{Tracker, Translated};

/// How many groups are written to a new store at a time.
const BATCH: usize = 1000;
/// The maximum number of trackers in one group.
pub const MAX_TRACKERS: usize = 100_000;

/// A group as 2.1.5 stored it.
#[derive(Clone, Debug, Default)]
pub struct LegacyGroup {
    /// Its id.
    pub id: String,
    /// Its trackers, in any order.
    pub trackers: Vec<LegacyTracker>,
}

/// A tracker as 2.1.5 stored it.
#[derive(Clone, Debug, Default)]
pub struct LegacyTracker {
    /// The name under which it is stored.
    pub name: String,
    /// The pickle of its state.
    pub pickle: Vec<u8>,
    /// When it expires; only MongoDB has this.
    pub expire_at: Option<Timestamp>,
    /// A problem with the record around the pickle.
    pub fault: Option<String>,
}

/// Why something that 2.1.5 stored is not imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", self.place())]
#[non_exhaustive]
pub struct LegacyError {
    /// The group.
    pub group: String,
    /// The tracker, if the error concerns one.
    pub tracker: Option<String>,
    /// The byte offset in its pickle.
    pub at: Option<usize>,
    /// What is wrong there, and what was expected.
    pub problem: String,
}

impl LegacyError {
    fn new(group: &str, tracker: Option<&str>, problem: impl Into<String>) -> Self {
        Self { group: group.to_owned(), tracker: tracker.map(str::to_owned), at: None, problem: problem.into() }
    }

    fn place(&self) -> String {
        // Long enough to distinguish groups.
        const LONGEST: usize = 200;
        let mut place = format!("group {}", pickle::quoted(&self.group, LONGEST));
        if let Some(tracker) = &self.tracker {
            place += &format!(", tracker {}", pickle::quoted(tracker, LONGEST));
        }
        if let Some(at) = self.at {
            place += &format!(", byte {at}");
        }
        place
    }
}

/// The result of reading a stored group.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ReadGroup {
    /// The group, with its trackers in the order of their names; `None` if no tracker could be read.
    pub change: Option<GroupChange>,
    /// How many trackers it has.
    pub trackers: u64,
    /// How many of them have passed targets that 2.1.5 did not store. They have only the remaining targets, and their stages
    /// count from there.
    pub shortened: u64,
    /// What was rejected.
    pub refused: Vec<LegacyError>,
}

/// Reads what 2.1.5 stored of a group.
///
/// `before` has the same trackers as they were stored earlier, if known, which shows the targets that they have passed. The
/// generations of the group start after `used`, the highest one that the store has used.
pub fn read_group(group: &LegacyGroup, before: &[LegacyTracker], used: u32, engine: &Engine) -> ReadGroup {
    let mut read = ReadGroup::default();
    if group.trackers.len() > MAX_TRACKERS {
        let problem = format!("{} trackers; expected up to {MAX_TRACKERS}", group.trackers.len());
        read.refused.push(LegacyError::new(&group.id, None, problem));
        return read;
    }
    // 2.1.5 has no order. In the order of names, groups with the same trackers share their definitions.
    let mut trackers: Vec<_> = group.trackers.iter().collect();
    trackers.sort_by(|a, b| a.name.cmp(&b.name));
    let before = by_name(before);
    let mut translated = Vec::new();
    let mut last: Option<&str> = None;
    for tracker in trackers {
        let twice = last.replace(&tracker.name) == Some(&tracker.name);
        let result = if twice {
            Err(LegacyError::new(&group.id, Some(&tracker.name), "stored twice; expected each name once"))
        } else {
            read_tracker(&group.id, tracker, before.get(&*tracker.name).copied())
        };
        match result {
            Ok(tracker) => {
                read.shortened += u64::from(tracker.shortened);
                translated.push(tracker);
            }
            Err(error) => read.refused.push(error),
        }
    }
    if translated.is_empty() {
        return read;
    }
    read.trackers = translated.len() as u64;
    match restore(&group.id, translated, used, engine) {
        Ok(change) => read.change = Some(change),
        Err(problem) => {
            (read.trackers, read.shortened) = (0, 0);
            read.refused.push(LegacyError::new(&group.id, None, problem));
        }
    }
    read
}

fn by_name(trackers: &[LegacyTracker]) -> HashMap<&str, &LegacyTracker> {
    trackers.iter().map(|tracker| (tracker.name.as_str(), tracker)).collect()
}

fn read_tracker(
    group: &str,
    stored: &LegacyTracker,
    before: Option<&LegacyTracker>,
) -> Result<Translated, LegacyError> {
    let refuse = |problem: String| LegacyError::new(group, Some(&stored.name), problem);
    let fault = |Fault { at, problem }| LegacyError { at: Some(at), ..refuse(problem) };
    if let Some(problem) = &stored.fault {
        return Err(refuse(problem.clone()));
    }
    let tracker = Tracker::read(&stored.pickle).map_err(fault)?;
    for (what, says, expected) in [("name", &tracker.name, &*stored.name), ("group", &tracker.group, group)] {
        if says != expected {
            let (says, expected) = (pickle::shown(says), pickle::shown(expected));
            return Err(refuse(format!("its pickle has the {what} {says}, but it is stored under {expected}")));
        }
    }
    let before = before.and_then(|before| Tracker::read(&before.pickle).ok());
    let passed = before.and_then(|before| tracker.passed(&before)).filter(|passed| !passed.is_empty());
    tracker.translate(passed, stored.expire_at).map_err(refuse)
}

/// A group with these trackers, in the form described in `docs/storage.md`.
fn restore(id: &str, trackers: Vec<Translated>, used: u32, engine: &Engine) -> Result<GroupChange, String> {
    let count = u32::try_from(trackers.len()).ok();
    let last = count.and_then(|count| used.checked_add(count)).ok_or("the store has no generations left")?;
    let (mut definitions, mut states) = (Vec::new(), Vec::new());
    for (generation, tracker) in (used + 1..=last).zip(trackers) {
        let [progress, stage, more] = tracker.state;
        states.push(StoredTracker::from(Json::List(vec![u64::from(generation).into(), progress, stage, more])));
        definitions.push(Arc::new(tracker.definition));
    }
    let set = engine.sets.intern(definitions);
    let state = StoredState::new(set.hash(), last, states);
    let group = Group::restore(&StoredGroup::new(1, state), set, &engine.limits).map_err(|error| error.to_string())?;
    Ok(group.whole(id))
}

/// A source sends one request after another, so the current thread is enough.
#[cfg(any(feature = "mongodb", feature = "redis"))]
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Why a source could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{source_name}: {problem}")]
#[non_exhaustive]
pub struct SourceError {
    /// The server, without the password.
    pub source_name: String,
    /// What failed.
    pub problem: String,
}

/// What was read from a source.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Complete groups.
    pub groups: Vec<LegacyGroup>,
    /// Records that could not be assigned to a group.
    pub refused: Vec<LegacyError>,
}

/// A place where 2.1.5 has stored groups.
pub trait Source {
    /// The next groups; `None` after the last. A group may be returned more than once.
    ///
    /// # Errors
    /// A [`SourceError`] if the source cannot be read.
    fn next(&mut self) -> Result<Option<Page>, SourceError>;
}

/// A source that finds groups by their ids.
pub trait Lookup: Source {
    /// Those of the groups that exist.
    ///
    /// # Errors
    /// A [`SourceError`] if the source cannot be read.
    fn find(&mut self, ids: &[String]) -> Result<Page, SourceError>;
}

/// The sources of an import: Redis, MongoDB or both.
#[derive(Default)]
pub struct Sources<'a> {
    /// The cache, in Redis.
    pub hot: Option<&'a mut dyn Source>,
    /// The store, in MongoDB.
    pub cold: Option<&'a mut dyn Lookup>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("hot", &self.hot.is_some()).field("cold", &self.cold.is_some()).finish()
    }
}

/// Options of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Importing {
    /// Whether to skip what is rejected. Otherwise nothing is imported in that case.
    pub skip_unreadable: bool,
    /// Whether to write while reading, for a store that is discarded if the import fails. Otherwise there is a single commit.
    pub in_steps: bool,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Groups.
    pub groups: u64,
    /// Trackers.
    pub trackers: u64,
    /// Trackers that have passed targets that 2.1.5 did not store.
    pub shortened: u64,
    /// Trackers and records that were rejected.
    pub refused: u64,
    /// Trackers that only MongoDB has, although Redis has their group.
    pub only_cold: u64,
}

/// What an import reports while it runs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// Something is not imported.
    Refused(&'a LegacyError),
    /// This tracker is only in MongoDB. Redis has its group, so 2.1.5 does not see the tracker, and it is not imported.
    OnlyCold {
        /// The group.
        group: &'a str,
        /// The tracker.
        tracker: &'a str,
    },
    /// How much was read so far.
    Progress(Imported),
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// A source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store already has a group of that id.
    #[error("the store already has the group {0:?}; use a store without it")]
    Exists(String),
    /// Something was rejected and was not to be skipped.
    #[error("{0} trackers of dictrack 2.1.5 cannot be imported, so nothing was")]
    Refused(u64),
    /// The sources are empty.
    #[error("no data of dictrack 2.1.5 found")]
    Nothing,
}

/// Imports everything that 2.1.5 stored into `store`, which must not have any of its groups. Only reads from the sources.
///
/// This call blocks and must not be used within an async runtime.
///
/// # Errors
/// An [`ImportError`]. The store is then unchanged, unless it is written [in steps](Importing::in_steps).
pub fn import(
    store: &dyn DataStore,
    sources: Sources<'_>,
    how: Importing,
    tell: &mut dyn FnMut(Note<'_>),
) -> Result<Imported, ImportError> {
    let Sources { mut hot, mut cold } = sources;
    let mut import = Import::begin(store, how, tell)?;
    // A Redis scan may find a group more than once.
    let mut seen = HashSet::new();
    while let Some(hot) = &mut hot
        && let Some(mut page) = hot.next()?
    {
        page.groups.retain(|group| seen.insert(ContentHash::of_one(group.id.as_bytes())));
        import.refuse(&page.refused);
        let ids: Vec<String> = page.groups.iter().map(|group| group.id.clone()).collect();
        let known = match &mut cold {
            Some(cold) => cold.find(&ids)?.groups,
            None => Vec::new(),
        };
        for group in page.groups {
            let before = known.iter().find(|known| known.id == group.id).map_or(&[][..], |known| &known.trackers);
            import.hot_group(group, before)?;
        }
        import.progress();
    }
    while let Some(cold) = &mut cold
        && let Some(page) = cold.next()?
    {
        import.refuse(&page.refused);
        for group in page.groups {
            if !seen.contains(&ContentHash::of_one(group.id.as_bytes())) {
                import.group(&group, &[])?;
            }
        }
        import.progress();
    }
    import.finish()
}

struct Import<'a> {
    store: &'a dyn DataStore,
    how: Importing,
    tell: &'a mut dyn FnMut(Note<'_>),
    engine: Engine,
    /// The generations that the store has used.
    used: u32,
    done: Imported,
    batch: Vec<Unsaved>,
}

impl<'a> Import<'a> {
    fn begin(store: &'a dyn DataStore, how: Importing, tell: &'a mut dyn FnMut(Note<'_>)) -> Result<Self, ImportError> {
        let engine = Engine::default();
        pollster::block_on(store.begin(Durability::Fsync, &engine.limits, Writers::One))?;
        let marks = pollster::block_on(store.marks())?;
        let used = marks.into_iter().find(|mark| mark.name == GENERATIONS).and_then(|mark| mark.text?.parse().ok());
        let (done, batch) = (Imported::default(), Vec::new());
        Ok(Self { store, how, tell, engine, used: used.unwrap_or(0), done, batch })
    }

    fn refuse(&mut self, refused: &[LegacyError]) {
        self.done.refused += refused.len() as u64;
        refused.iter().for_each(|error| (self.tell)(Note::Refused(error)));
    }

    /// A group in Redis, with its trackers in MongoDB.
    fn hot_group(&mut self, mut group: LegacyGroup, cold: &[LegacyTracker]) -> Result<(), ImportError> {
        let known = by_name(cold);
        for tracker in &mut group.trackers {
            if let Some(cold) = known.get(&*tracker.name) {
                tracker.expire_at = cold.expire_at;
                tracker.fault = tracker.fault.take().or_else(|| cold.fault.clone());
            }
        }
        let names: HashSet<&str> = group.trackers.iter().map(|tracker| tracker.name.as_str()).collect();
        for tracker in cold.iter().filter(|tracker| !names.contains(tracker.name.as_str())) {
            self.done.only_cold += 1;
            (self.tell)(Note::OnlyCold { group: &group.id, tracker: &tracker.name });
        }
        self.group(&group, cold)
    }

    fn group(&mut self, group: &LegacyGroup, before: &[LegacyTracker]) -> Result<(), ImportError> {
        let read = read_group(group, before, self.used, &self.engine);
        self.refuse(&read.refused);
        let Some(change) = read.change else { return Ok(()) };
        if pollster::block_on(self.store.load(&group.id, &self.engine))?.is_some() {
            return Err(ImportError::Exists(group.id.clone()));
        }
        self.done.groups += 1;
        self.done.trackers += read.trackers;
        self.done.shortened += read.shortened;
        // Keep reading, so that one run reports everything that is rejected.
        if self.fails() {
            self.batch.clear();
            return Ok(());
        }
        self.batch.push(change.into());
        if self.how.in_steps && self.batch.len() >= BATCH {
            pollster::block_on(self.store.save(&self.batch, &[]))?;
            self.batch.clear();
        }
        Ok(())
    }

    /// Whether the import has failed.
    fn fails(&self) -> bool {
        self.done.refused > 0 && !self.how.skip_unreadable
    }

    fn progress(&mut self) {
        (self.tell)(Note::Progress(self.done));
    }

    fn finish(self) -> Result<Imported, ImportError> {
        if self.fails() {
            return Err(ImportError::Refused(self.done.refused));
        }
        if self.done.groups == 0 && self.done.refused == 0 {
            return Err(ImportError::Nothing);
        }
        pollster::block_on(self.store.save(&self.batch, &[]))?;
        pollster::block_on(self.store.maintain(true))?;
        Ok(self.done)
    }
}
