//! The SQLite store: one file, no service.
//!
//! A commit appends one journal row with the states, ids and events of every group that changed: a single small write
//! and sync for many callers. The tables that people read are brought up to date every few seconds and when the store
//! is closed; readers add the tail of the journal that the tables lack. `docs/storage.md` describes each table.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dictrack_core::json::Text;
use dictrack_core::{
    Timestamp, TrackerDefinition,
    group::{ContentHash, DefinitionSet, Engine, Group, GroupChange, Limits},
};
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};

use super::record::{Record, restore_set, set_text};
use super::{Claimed, DataStore, Held, Mark, RecentSets, Refused, Unsaved, Writers};
use crate::backend::BackendError;
use crate::clock::Stopwatch;
use crate::crash::crash_point;
use crate::doctor::{Examination, Setup};
use crate::durability::Durability;
use crate::find::{Finder, Place, Query};
use crate::{Error, url};

mod checksum;
mod descriptor;
mod examine;
mod filesystem;
mod find;
mod fold;
mod former;
mod migrate;
mod name;
mod owner;
mod reading;
mod schema;
mod tables;
mod tail;
mod verify;
mod wal;
mod watch;

use descriptor::Descriptor;
use owner::Owner;
use reading::{Reading, Unguarded};
use tables::{KnownMarks, Tables, unreadable};
use tail::{Tail, Written};

/// The size in bytes, largest and smallest, at which the journal is folded into the tables: it limits the memory of the
/// tail.
const FOLD_AT_BYTES: (usize, usize) = (48 << 20, 4 << 20);
/// How much of the file SQLite keeps in memory, in KiB: the maximum and the minimum.
const PAGES_KIB: (usize, usize) = (64 << 10, 4 << 10);
/// About how many bytes of what an earlier process left in the journal are folded in one transaction.
const FOLD_PIECE_BYTES: usize = 1 << 20;
/// How often the journal is folded into the tables.
const FOLD_EVERY: Duration = Duration::from_secs(5);
/// What a commit adds to SQLite's log besides its payload, in bytes.
const PAGES_OF_A_COMMIT: usize = 2 * 4096;

/// How many statements stay prepared: more than there are.
const STATEMENTS: usize = 64;

/// The embedded store: one SQLite file in WAL mode, with one writer.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    tail: Tail,
    /// Whether the tail has been read. That waits until [`begin`](DataStore::begin) has folded what an earlier process left, or
    /// until a call needs the tail.
    is_tail_read: bool,
    /// The size at which the journal is folded.
    fold_at: usize,
    /// The definition sets that the file has.
    sets: HashSet<ContentHash>,
    folded: Stopwatch,
    limits: Limits,
    claims: Claims,
    access: Access,
    /// How errors name the store.
    name: String,
    marks: KnownMarks,
    /// Whether the table `groups` has every group; empty until that was checked.
    complete: OnceCell<Result<(), Error>>,
}

/// The right to use the file. It is dropped after the connection.
#[derive(Debug)]
enum Access {
    Write(Box<Owner>),
    Read { unguarded: Option<Unguarded>, _descriptor: Descriptor },
}

/// The claims of a cache that may lose groups. The file has one owner, so they need not outlive the process.
#[derive(Debug, Default)]
struct Claims {
    /// Whether groups are claimed at all.
    given: bool,
    last: HashMap<Text, u64>,
}

fn failed(action: &str) -> impl FnOnce(rusqlite::Error) -> Error {
    let action = action.to_owned();
    move |error| BackendError { backend: "SQLite", action, source: Box::new(error) }.into()
}

fn read_only(action: &str) -> Error {
    let source = "the file was opened for reading only".into();
    BackendError { backend: "SQLite", action: action.to_owned(), source }.into()
}

impl SqliteStore {
    /// Opens the file as its only writer; creates it if it does not exist. Links are followed. The journal is read later, when a
    /// manager opens the store: a damaged row is reported then.
    ///
    /// # Errors
    /// [`Error::Owned`] if another process writes the file, [`Error::NewerVersion`], [`Error::Corrupt`], or a failure
    /// of SQLite, including for a path that is not a file or a file with several names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let name = path.as_ref();
        let path = name::resolve(name)?;
        let mut descriptor = Descriptor::open(&path, true).map_err(|error| name::refusal(name, error))?;
        name::check(name, &path, &descriptor)?;
        schema::check_header(name, &path, &descriptor)?;
        owner::lock(&mut descriptor, name, &path)?;
        let log = owner::lock_log(&descriptor, name, &path)?;
        wal::check(name, &path)?;
        let store = url::shown_path(name);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags(&path, flags).map_err(unreadable(&store, "the file", "open the file"))?;
        let former = if schema::is_former(&connection) { former::hold(name, &path)? } else { Vec::new() };
        schema::prepare(&connection, name)?;
        drop(former);
        let owner = Owner::claim(&mut connection, descriptor, log, name, &path)?;
        let sets = schema::sets(&connection, &store)?;
        let inner = Inner::new(connection, store, sets, Access::Write(Box::new(owner)));
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// Opens the file for reading only, even while another process writes it or if this process may not write it. It
    /// shows the store as of this call.
    ///
    /// # Errors
    /// A failure of SQLite if there is no such file, [`Error::Unfinished`], or an error of [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, Error> {
        let name = path.as_ref();
        let path = name::resolve(name)?;
        let descriptor = Descriptor::open(&path, false).map_err(|error| match error.kind() {
            ErrorKind::NotFound => name::refusal(name, "store does not exist"),
            _ => name::refusal(name, error),
        })?;
        schema::check_finished(name, &path)?;
        if std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() == 0) {
            return Err(name::refusal(name, "file is empty; no program has written to it yet"));
        }
        schema::check_header(name, &path, &descriptor)?;
        if !descriptor.is_locked().unwrap_or(true) {
            owner::check_log(name, &path)?;
            wal::check(name, &path)?;
        }
        let store = url::shown_path(name);
        let fail = unreadable(&store, "the file", "open the file for reading");
        let Reading { connection, unguarded } = Reading::open(&path).map_err(fail)?;
        schema::check(&connection, name)?;
        let access = Access::Read { unguarded, _descriptor: descriptor };
        let mut inner = Inner::new(connection, store, HashSet::new(), access);
        inner.read_tail()?;
        inner.check_unchanged()?;
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// The file that a name refers to, with links followed. The file need not exist.
    ///
    /// # Errors
    /// [`Error::Backend`] for a name that SQLite interprets in a special way, such as `:memory:`, and for what is not a
    /// file.
    pub fn resolve(name: impl AsRef<Path>) -> Result<PathBuf, Error> {
        name::resolve(name.as_ref())
    }

    /// Uses less memory if `bytes` is less than 256 MiB: SQLite caches less of the file, and the tables are brought up
    /// to date more often.
    ///
    /// # Errors
    /// A failure of SQLite.
    pub fn budget(self, bytes: usize) -> Result<Self, Error> {
        let mut inner = self.inner.lock();
        inner.fold_at = (bytes / 4).clamp(FOLD_AT_BYTES.1, FOLD_AT_BYTES.0);
        let pages = (bytes / 4 / 1024).clamp(PAGES_KIB.1, PAGES_KIB.0);
        inner.connection.pragma_update(None, "cache_size", -(pages as i64)).map_err(unreadable(
            &inner.name,
            "the file",
            "set the memory",
        ))?;
        drop(inner);
        Ok(self)
    }

    /// Copies into the file what is still in SQLite's log beside it, so that the file alone is the whole store.
    ///
    /// # Errors
    /// A failure of SQLite, including when another program is reading the file.
    pub fn checkpoint(&self) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        let Inner { connection, access, .. } = &mut *inner;
        match access {
            Access::Write(owner) => owner.copy_whole_log(connection),
            Access::Read { .. } => Err(read_only("copy the log into the file")),
        }
    }

    /// The state, with the journal read.
    fn inner(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let mut inner = self.inner.lock();
        inner.read_tail()?;
        Ok(inner)
    }

    /// The file, with links followed.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Access::Write(owner) = &mut self.access {
            owner.resign(&mut self.connection);
        }
    }
}

impl Inner {
    fn new(connection: Connection, name: String, sets: HashSet<ContentHash>, access: Access) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Self {
            tail: Tail::default(),
            is_tail_read: false,
            fold_at: FOLD_AT_BYTES.0,
            sets,
            connection,
            folded: Stopwatch::start(),
            limits: Limits::default(),
            claims: Claims::default(),
            access,
            name,
            marks: KnownMarks::default(),
            complete: OnceCell::new(),
        }
    }

    fn read_tail(&mut self) -> Result<(), Error> {
        if !self.is_tail_read {
            self.tail = Tail::read(self.tables())?;
            self.is_tail_read = true;
        }
        Ok(())
    }

    fn tables(&self) -> Tables<'_> {
        Tables { connection: &self.connection, store: &self.name }
    }

    /// Writes in a transaction of the owner.
    fn write<T>(&mut self, action: &str, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        match &mut self.access {
            Access::Write(owner) => owner.write(&mut self.connection, action, work),
            Access::Read { .. } => Err(read_only(action)),
        }
    }

    fn copy_log(&mut self, bytes: usize) -> Result<(), Error> {
        match &mut self.access {
            Access::Write(owner) => owner.copy_log(&self.connection, bytes),
            Access::Read { .. } => Ok(()),
        }
    }

    /// Checks that everything read is of one moment.
    fn check_unchanged(&self) -> Result<(), Error> {
        match &self.access {
            Access::Read { unguarded: Some(unguarded), .. } if !unguarded.is_unchanged() => Err(BackendError {
                backend: "SQLite",
                action: "read the file".to_owned(),
                source: "another program wrote to it in the meantime, and this one may not lock it; try again".into(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn save(&mut self, changes: &[&GroupChange], marks: &[Mark]) -> Result<(), Error> {
        if changes.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let records: Vec<_> = changes.iter().map(|change| (change.group.clone(), Record::of(change))).collect();
        let payloads = tail::encode(&records);
        let mut new_sets: Vec<(ContentHash, &Arc<DefinitionSet>)> = Vec::new();
        for change in changes {
            let hash = change.set.hash();
            if !self.sets.contains(&hash) && new_sets.iter().all(|(new, _)| *new != hash) {
                new_sets.push((hash, &change.set));
            }
        }
        let mut marks_sum = self.tail.marks();
        let mut new_marks = HashMap::new();
        if !marks.is_empty() {
            let tables = Tables { connection: &self.connection, store: &self.name };
            let known = self.marks.read(tables, marks_sum)?;
            new_marks.extend(marks.iter().map(|mark| (mark.name.as_str(), known.get(&mark.name).copied())));
        }
        let (last, store) = (self.tail.last(), self.name.clone());
        crash_point("before_commit");
        let written = self.write("commit", |transaction| {
            let mut write = || -> Result<Written, rusqlite::Error> {
                for (hash, set) in &new_sets {
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO definition_sets (hash, trackers) VALUES (?1, ?2)")?
                        .execute(params![hash.to_string(), set_text(set)])?;
                }
                for mark in marks {
                    let written = match &mark.text {
                        Some(text) => Some(tables::write_mark(transaction, &mark.name, text)?),
                        None => {
                            transaction.prepare_cached("DELETE FROM marks WHERE name = ?1")?.execute([&mark.name])?;
                            None
                        }
                    };
                    let before = new_marks.insert(&mark.name, written).flatten();
                    marks_sum = marks_sum.wrapping_sub(before.unwrap_or(0)).wrapping_add(written.unwrap_or(0));
                }
                tail::insert(transaction, last, marks_sum, &payloads)
            };
            let written = write().map_err(unreadable(&store, "the file", "commit"))?;
            crash_point("within_commit");
            Ok(written)
        })?;
        crash_point("after_commit");
        self.sets.extend(new_sets.into_iter().map(|(hash, _)| hash));
        self.marks.adopt(new_marks);
        let bytes = written.bytes;
        self.tail.absorb(records, written);
        self.copy_log(bytes + PAGES_OF_A_COMMIT)
    }

    fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        let Some(record) = self.record(group)? else { return Ok(None) };
        record.restore(&self.name, group, &engine.limits, |hash| self.set(hash, engine)).map(Some)
    }

    /// The set of definitions with this hash, if the file has it.
    fn set(&self, hash: ContentHash, engine: &Engine) -> Result<Option<Arc<DefinitionSet>>, Error> {
        if let Some(set) = engine.sets.find(hash) {
            return Ok(Some(set));
        }
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT trackers FROM definition_sets WHERE hash = ?1")
            .and_then(|mut query| query.query_row([hash.to_string()], |row| row.get(0)).optional())
            .map_err(unreadable(&self.name, format!("definition set {hash}"), "read a definition set"))?;
        text.map(|text| restore_set(&self.name, hash, &text, engine)).transpose()
    }

    fn held(&self, group: &str) -> Result<Held, Error> {
        let version = self.record(group)?.map_or(0, |record| record.version);
        Ok(Held { version, claim: self.claims.last.get(group).copied().unwrap_or(0) })
    }

    /// Splits the changes into those that build on what the file holds, each reduced to what is new, and those that do
    /// not.
    fn follow(&mut self, changes: &[Unsaved]) -> Result<(Vec<GroupChange>, Vec<Refused>), Error> {
        let engine = Engine::default();
        let (mut kept, mut refused) = (Vec::new(), Vec::new());
        for (at, unsaved) in changes.iter().enumerate() {
            let Unsaved { change, claim } = unsaved;
            let held = self.held(&change.group)?;
            if !unsaved.follows(held) {
                refused.push(Refused { at, held });
                continue;
            }
            self.claims.last.insert(change.group.clone(), *claim);
            let before = match change.base {
                None => self.load(&change.group, &engine)?,
                Some(_) => None,
            };
            kept.push(match before {
                Some(before) => change.clone().since(&before),
                None => change.clone(),
            });
        }
        Ok((kept, refused))
    }

    /// Brings the tables up to date and empties the journal, in one transaction.
    fn fold(&mut self) -> Result<(), Error> {
        if self.tail.has_news() {
            let since = Stopwatch::start();
            crash_point("before_fold");
            let tail = std::mem::take(&mut self.tail);
            let (limits, store) = (self.limits, self.name.clone());
            let folded = self.write("bring the tables up to date", |transaction| {
                let rest = fold::fold(&tail, transaction, &store, &limits)?;
                crash_point("within_fold");
                Ok(rest)
            });
            match folded {
                Ok(rest) => self.tail = rest,
                Err(error) => {
                    self.tail = tail;
                    return Err(error);
                }
            }
            crash_point("after_fold");
            self.copy_log(tail.bytes())?;
            tracing::debug!(store = %self.name, bytes = tail.bytes(), time = ?since.elapsed(), "folded the journal into the tables");
        }
        self.folded = Stopwatch::start();
        Ok(())
    }

    /// Brings the tables up to date with what an earlier process left in the journal, a piece at a time. If this process is
    /// killed soon as well, what it has folded is done, and the next one starts faster.
    fn fold_earlier(&mut self) -> Result<(), Error> {
        if self.is_tail_read {
            return self.fold();
        }
        tail::check(self.tables())?;
        loop {
            let oldest = Tail::read_oldest(self.tables(), FOLD_PIECE_BYTES)?;
            if !oldest.has_news() {
                (self.tail, self.is_tail_read) = (oldest, true);
                self.folded = Stopwatch::start();
                return Ok(());
            }
            crash_point("before_fold");
            let (limits, store) = (self.limits, self.name.clone());
            let is_folded = self.write("bring the tables up to date", |transaction| {
                let is_folded = fold::fold_oldest(&oldest, transaction, &store, &limits)?;
                crash_point("within_fold");
                Ok(is_folded)
            })?;
            if !is_folded {
                self.read_tail()?;
                return self.fold();
            }
            crash_point("after_fold");
            self.copy_log(oldest.bytes())?;
        }
    }

    /// Makes sure that a group that is not in the table `groups` does not exist: a lost row must not make a group start
    /// again from zero.
    fn verify_groups(&self) -> Result<(), Error> {
        let complete = self.complete.get_or_init(|| self.tables().verify_groups());
        complete.clone().map_err(|error| match error {
            Error::Corrupt { store, place, problem } => {
                let problem = format!("{problem}; which groups exist is unknown until this is fixed").into();
                Error::Corrupt { store, place, problem }
            }
            error => error,
        })
    }

    fn record(&self, group: &str) -> Result<Option<Record>, Error> {
        let base = self.tables().record(group).and_then(|base| {
            if base.is_none() {
                self.verify_groups()?;
            }
            Ok(base)
        });
        self.check_unchanged()?;
        let base = base?;
        Ok(match (base, self.tail.get(group)) {
            (None, None) => None,
            (Some(base), None) => Some(base),
            (None, Some(later)) => Some(later.clone()),
            (Some(mut base), Some(later)) => {
                base.append(later.clone());
                Some(base)
            }
        })
    }
}

#[async_trait]
impl DataStore for SqliteStore {
    fn is_remote(&self) -> bool {
        false
    }

    async fn begin(&self, durability: Durability, limits: &Limits, writers: Writers) -> Result<bool, Error> {
        // In WAL mode, FULL syncs each commit; NORMAL syncs only when the WAL is copied into the file.
        let level = if durability.syncs() { "FULL" } else { "NORMAL" };
        let mut inner = self.inner.lock();
        inner.limits = *limits;
        inner.claims.given = writers == Writers::Many;
        inner.connection.pragma_update(None, "synchronous", level).map_err(unreadable(
            &inner.name,
            "the file",
            "set the durability",
        ))?;
        inner.fold_earlier()?;
        let first = schema::groups(&inner.connection, None, 1).map_err(unreadable(
            &inner.name,
            "table groups",
            "list the groups",
        ))?;
        if first.is_empty() {
            inner.verify_groups()?;
        }
        Ok(first.is_empty() && inner.tail.is_empty() && writers == Writers::One)
    }

    async fn load(&self, group: &str, engine: &Engine) -> Result<Option<Group>, Error> {
        self.inner()?.load(group, engine)
    }

    async fn claim(&self, group: &str, engine: &Engine) -> Result<Claimed, Error> {
        let mut inner = self.inner()?;
        let mut claim = 0;
        if inner.claims.given {
            let last = inner.claims.last.entry(group.into()).or_default();
            *last += 1;
            claim = *last;
        }
        Ok(Claimed { group: inner.load(group, engine)?, claim })
    }

    async fn held(&self, group: &str) -> Result<Held, Error> {
        self.inner()?.held(group)
    }

    async fn save(&self, changes: &[Unsaved], marks: &[Mark]) -> Result<Vec<Refused>, Error> {
        let mut inner = self.inner()?;
        let mut refused = Vec::new();
        if inner.claims.given {
            let (kept, others) = inner.follow(changes)?;
            refused = others;
            inner.save(&kept.iter().collect::<Vec<_>>(), marks)
        } else {
            inner.save(&changes.iter().map(|unsaved| &unsaved.change).collect::<Vec<_>>(), marks)
        }?;
        if inner.tail.bytes() > inner.fold_at {
            inner.fold()?;
        }
        Ok(refused)
    }

    async fn maintain(&self, all: bool) -> Result<(), Error> {
        let mut inner = self.inner()?;
        let Inner { connection, access, folded, .. } = &mut *inner;
        let Access::Write(owner) = access else { return Ok(()) };
        if all || folded.elapsed() >= FOLD_EVERY {
            owner.relock();
            owner.look(connection)?;
            inner.fold()?;
        }
        if all {
            let store = inner.name.clone();
            inner.write("drop unused definitions", |transaction| {
                let fail = unreadable(&store, "table definition_sets", "drop unused definitions");
                schema::drop_unused_sets(transaction).map_err(fail)
            })?;
            inner.sets = schema::sets(&inner.connection, &store)?;
        }
        Ok(())
    }

    async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, Error> {
        let inner = self.inner()?;
        let complete = inner.verify_groups();
        let stored = schema::groups(&inner.connection, after, limit).map_err(unreadable(
            &inner.name,
            "table groups",
            "list the groups",
        ))?;
        inner.check_unchanged()?;
        complete?;
        let mut all: std::collections::BTreeSet<String> = stored.into_iter().collect();
        let behind = |group: &&Text| after.is_none_or(|after| group.as_str() > after);
        all.extend(inner.tail.groups().filter(behind).map(ToString::to_string));
        Ok(all.into_iter().take(limit).collect())
    }

    async fn find(&self, query: &Query, now: Timestamp, engine: &Engine) -> Result<Vec<Place>, Error> {
        let (mut finder, mut sets) = (Finder::new(query, now), RecentSets::default());
        let mut last: Option<String> = None;
        loop {
            let inner = self.inner()?;
            let next = inner.find_next(&query.tracker, last.as_deref(), engine, &mut sets, &mut finder);
            inner.check_unchanged()?;
            match next? {
                Some(next) => last = Some(next),
                None => return Ok(finder.places()),
            }
        }
    }

    async fn undelivered(&self) -> Result<Vec<String>, Error> {
        let inner = self.inner()?;
        let found = inner.tables().groups_with_events();
        inner.check_unchanged()?;
        let mut all = found?;
        all.extend(inner.tail.with_events().map(ToString::to_string));
        Ok(all.into_iter().collect())
    }

    async fn definitions(&self) -> Result<Vec<Arc<TrackerDefinition>>, Error> {
        let inner = self.inner.lock();
        let (tables, engine) = (inner.tables(), Engine::default());
        let found = tables.sets();
        inner.check_unchanged()?;
        let mut all: Vec<Arc<TrackerDefinition>> = Vec::new();
        for (hash, text) in found? {
            all.extend(tables.set(&hash, &text, &engine)?.trackers().iter().cloned());
            all.sort_by_key(|definition| definition.hash());
            all.dedup();
        }
        Ok(all)
    }

    async fn marks(&self) -> Result<Vec<Mark>, Error> {
        let inner = self.inner.lock();
        let tables = inner.tables();
        let marks = tail::newest_marks(tables).and_then(|sum| tables.marks(sum));
        inner.check_unchanged()?;
        marks
    }

    async fn verify(&self) -> Result<(), Error> {
        let inner = self.inner()?;
        let damage = inner.tables().verify(inner.tail.marks(), 1, &mut |_| ());
        inner.check_unchanged()?;
        damage?.errors.into_iter().next().map_or(Ok(()), Err)
    }

    async fn examine(&self, setup: &Setup, progress: &mut (dyn FnMut(u64) + Send)) -> Examination {
        Self::examine_file(&self.path, setup, progress).await
    }

    async fn clear(&self) -> Result<(), Error> {
        let mut inner = self.inner.lock();
        let store = inner.name.clone();
        inner.write("empty the store", |transaction| schema::clear(transaction, &store))?;
        (inner.tail, inner.is_tail_read) = (Tail::default(), true);
        inner.marks = KnownMarks::default();
        inner.complete = OnceCell::new();
        inner.sets.clear();
        Ok(())
    }
}
