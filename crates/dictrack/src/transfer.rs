//! Exports and imports everything in a store, as lines of JSON, without loss.
//!
//! The first line is `{"dictrack": 2}`, the version of this format. Then come definition sets (`definitions`,
//! `trackers`), groups (`group`, `version`, `state`, `ids`, `events`, `completed`) and marks (`mark`, `text`); a set
//! comes before the groups that use it. The last line, `end`, has the number of each; an export without it was cut
//! short. Each line ends with `check`: its number, its own checksum, and the checksum of all lines up to it. Format 1
//! is the same without `check`. `docs/storage.md` describes the parts of a group.

use std::collections::HashSet;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use dictrack_core::group::{
    DefinitionSet, Engine, Group, GroupChange, Limits, RecordError, StoredCompletion, StoredEvent, StoredGroup,
    StoredState, ids_of,
};
use dictrack_core::json::{Json, Map};
use dictrack_core::text::quoted;

use crate::Error;
use crate::cache::DataCache;
use crate::durability::Durability;
use crate::manager::GENERATIONS;
use crate::store::record::{restore_definitions, set_text};
use crate::store::{DataStore, Mark, Writers};

mod lines;

use lines::{Reader, Writer};

/// The number of groups that are written to the store together.
const BATCH: usize = 1000;

/// How much was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moved {
    /// Groups.
    pub groups: u64,
    /// Distinct definition sets.
    pub sets: u64,
    /// Marks.
    pub marks: u64,
    /// Whether every line had a checksum. Exports of format 1 have none: damage in them may have gone unnoticed.
    pub checked: bool,
}

/// Why an export or import ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The text could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not in this format.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, counted from one.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The store already has a mark of that name with a different text.
    #[error("line {line}: the mark {} in the store differs; use a store without it", quoted(mark))]
    Mark {
        /// The line, counted from one.
        line: u64,
        /// The name of the mark.
        mark: String,
    },
    /// The store already has a group of that id.
    #[error("line {line}: the store already has the group {}; use a store without it", quoted(group))]
    Exists {
        /// The line, counted from one.
        line: u64,
        /// The group.
        group: String,
    },
    /// A cache has a group of that id, which would overwrite the imported one in the store.
    #[error(
        "line {line}: the cache already has the group {}, which would overwrite the import; use a store and a cache \
         without it",
        quoted(group)
    )]
    Cached {
        /// The line, counted from one.
        line: u64,
        /// The group.
        group: String,
    },
}

/// Verifies `store`, then writes everything in it to `out`.
///
/// # Errors
/// A [`TransferError`] if the store is damaged, or if it or `out` fails.
pub async fn export(
    store: &dyn DataStore,
    out: &mut (dyn Write + Send),
    mut progress: impl FnMut(Moved) + Send,
) -> Result<Moved, TransferError> {
    let engine = engine();
    store.verify().await?;
    let mut moved = Moved { checked: true, ..Moved::default() };
    let mut lines = Writer::begin(out)?;
    let mut written = HashSet::new();
    // Sets stay alive until the end, so that each is read only once.
    let mut sets: Vec<Arc<DefinitionSet>> = Vec::new();
    let mut last: Option<String> = None;
    loop {
        let page = store.groups(last.as_deref(), BATCH).await?;
        for id in &page {
            let Some(group) = store.load(id, &engine).await? else { continue };
            let whole = group.whole(id);
            if written.insert(whole.set.hash()) {
                lines.write(format!(
                    r#"{{"definitions":"{}","trackers":{}}}"#,
                    whole.set.hash(),
                    set_text(&whole.set)
                ))?;
                sets.push(Arc::clone(&whole.set));
                moved.sets += 1;
            }
            lines.write(line(&whole))?;
            moved.groups += 1;
        }
        progress(moved);
        match page.last() {
            Some(id) => last = Some(id.clone()),
            None => break,
        }
    }
    for mark in store.marks().await? {
        let entry = |key: &str, value: &str| (key.into(), value.into());
        let map: Map =
            [entry("mark", &mark.name), entry("text", mark.text.as_deref().unwrap_or_default())].into_iter().collect();
        lines.write(Json::Map(map).to_string())?;
        moved.marks += 1;
    }
    lines.write(trailer(moved).to_string())?;
    lines.finish()?;
    progress(moved);
    Ok(moved)
}

/// An engine that drops nothing: a group was already within the limits of the manager that made it.
fn engine() -> Engine {
    // The most that a store can count.
    let all = i64::MAX as usize;
    let mut limits = Limits::default();
    (limits.completed, limits.ids_at_least, limits.ids_at_most) = (all, all, all);
    Engine { limits, ..Engine::default() }
}

fn trailer(moved: Moved) -> Json {
    let counts = [("groups", moved.groups), ("definitions", moved.sets), ("marks", moved.marks)];
    let counts: Map = counts.into_iter().map(|(key, count)| (key.into(), count.into())).collect();
    Json::Map([("end".into(), Json::Map(counts))].into_iter().collect())
}

fn line(whole: &GroupChange) -> String {
    let mut out = format!(r#"{{"group":{},"version":{},"state":"#, Json::from(whole.group.as_str()), whole.version);
    whole.write_state(&mut out);
    out.push_str(r#","ids":"#);
    whole.write_ids(&mut out);
    out.push_str(r#","events":"#);
    whole.write_events(&mut out);
    out.push_str(r#","completed":"#);
    whole.write_completed(&mut out);
    out.push('}');
    out
}

/// Reads an export into `store`: all of it, in one commit, or nothing. No group of the export may exist in the store,
/// or in the `cache` of the programs that write to it, if there is one.
///
/// # Errors
/// A [`TransferError`] that names the line; the store is unchanged.
pub async fn import(
    store: &dyn DataStore,
    cache: Option<&dyn DataCache>,
    input: &mut (dyn BufRead + Send),
    progress: impl FnMut(Moved) + Send,
) -> Result<Moved, TransferError> {
    read(store, cache, input, usize::MAX, progress).await
}

/// Reads an export into a store that is only useful once the export was read to its end. Unlike [`import`], it does not
/// hold the whole export in memory.
///
/// # Errors
/// A [`TransferError`] that names the line; the lines before it may have been written.
pub async fn fill(
    store: &dyn DataStore,
    cache: Option<&dyn DataCache>,
    input: &mut (dyn BufRead + Send),
    progress: impl FnMut(Moved) + Send,
) -> Result<Moved, TransferError> {
    read(store, cache, input, BATCH, progress).await
}

async fn read(
    store: &dyn DataStore,
    cache: Option<&dyn DataCache>,
    input: &mut (dyn BufRead + Send),
    most: usize,
    mut progress: impl FnMut(Moved) + Send,
) -> Result<Moved, TransferError> {
    let engine = engine();
    let cached: HashSet<String> = match cache {
        Some(cache) => cache.group_ids().await?.into_iter().collect(),
        None => HashSet::new(),
    };
    store.begin(Durability::Fsync, &engine.limits, Writers::One).await?;
    let present = store.marks().await?;
    let mut sets: Vec<Arc<DefinitionSet>> = Vec::new();
    let mut lines = Reader::begin(input)?;
    let mut moved = Moved { checked: lines.has_checksums(), ..Moved::default() };
    let mut batch = Vec::new();
    let mut in_batch = HashSet::new();
    let mut marks = Vec::new();
    let mut ended = false;
    while let Some(json) = lines.next()? {
        let number = lines.number();
        let bad = |problem: String| TransferError::Line { line: number, problem };
        if ended {
            return Err(bad("unexpected line after the end of the export".to_owned()));
        }
        let member = |key: &str| json.as_map().and_then(|map| map.get(key));
        if let Some(trackers) = member("trackers") {
            let definitions = restore_definitions(&trackers.to_string()).map_err(bad)?;
            sets.push(engine.sets.intern(definitions));
            moved.sets += 1;
        } else if let Some(id) = member("group").and_then(Json::as_str) {
            if !in_batch.insert(id.to_owned()) || store.load(id, &engine).await?.is_some() {
                return Err(TransferError::Exists { line: number, group: id.to_owned() });
            }
            if cached.contains(id) {
                return Err(TransferError::Cached { line: number, group: id.to_owned() });
            }
            batch.push(group(id, &json, &engine).map_err(bad)?.into());
            moved.groups += 1;
        } else if let (Some(name), Some(text)) =
            (member("mark").and_then(Json::as_str), member("text").and_then(Json::as_str))
        {
            let mut mark = Mark { name: name.to_owned(), text: Some(text.to_owned()) };
            if let Some(held) = present.iter().find(|held| held.name == name && held.text != mark.text) {
                // Of the used generations, the highest counts.
                let generations = |mark: &Mark| mark.text.as_ref().and_then(|text| text.parse::<u32>().ok());
                if name != GENERATIONS {
                    return Err(TransferError::Mark { line: number, mark: mark.name });
                }
                mark.text = generations(held).max(generations(&mark)).map(|highest| highest.to_string());
            }
            marks.push(mark);
            moved.marks += 1;
        } else if member("end").is_some() {
            let found = trailer(moved);
            if member("end") != found.as_map().and_then(|map| map.get("end")) {
                return Err(bad(format!("the export ends with {json}, but contains {found}; lines are missing")));
            }
            ended = true;
        } else {
            return Err(bad("unknown kind of line; expected definitions, a group, a mark or the end".to_owned()));
        }
        if batch.len() >= most {
            store.save(&batch, &[]).await?;
            batch.clear();
            in_batch.clear();
        }
        if number % BATCH as u64 == 0 {
            progress(moved);
        }
    }
    if !ended {
        let problem = "the export is incomplete: its last line, with the counts, is missing".to_owned();
        return Err(TransferError::Line { line: lines.number() + 1, problem });
    }
    store.save(&batch, &marks).await?;
    store.maintain(true).await?;
    progress(moved);
    Ok(moved)
}

fn group(id: &str, json: &Json, engine: &Engine) -> Result<GroupChange, String> {
    let member =
        |key: &str| json.as_map().and_then(|map| map.get(key)).ok_or_else(|| format!("group {id:?} has no `{key}`"));
    let list = |key: &str| member(key)?.as_list().ok_or_else(|| format!("`{key}` of group {id:?} is not a list"));
    let version =
        member("version")?.to_string().parse().map_err(|_| format!("the version of {id:?} is not a number"))?;
    let state = StoredState::of(member("state")?.clone()).map_err(|error| error.to_string())?;
    let hash = state.set;
    let set = engine.sets.find(hash).ok_or_else(|| format!("the definitions {hash} do not precede group {id:?}"))?;
    let fail = |error: RecordError| format!("group {id:?}: {error}");
    let ids = ids_of(list("ids")?).map_err(fail)?;
    let events = list("events")?.iter().map(StoredEvent::of).collect::<Result<_, _>>().map_err(fail)?;
    let completed = list("completed")?.iter().map(StoredCompletion::of).collect::<Result<_, _>>().map_err(fail)?;
    let stored = StoredGroup::new(version, state).with_lists(ids, events, completed);
    let group = Group::restore(&stored, set, &engine.limits);
    group.map(|group| group.whole(id)).map_err(fail)
}
