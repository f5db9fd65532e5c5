//! A group as its document: written by guarded updates, read with checks.
//!
//! The `state` of a tracker is authoritative; the fields beside it are for people. Text chosen by users appears only in
//! values, never in field names, so that it cannot collide with anything.

use std::collections::HashMap;
use std::sync::Arc;

use dictrack_core::json::Json;
use dictrack_core::json::Text;
use dictrack_core::text::quoted;
use dictrack_core::{
    Amount, Timestamp, TrackerDefinition,
    group::{
        ContentHash, DefinitionSet, Engine, Group, GroupChange, RecordError, StoredGroup, StoredMore, StoredState,
        StoredTracker,
    },
};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Bson, DateTime, Document, RawArrayBuf, RawDocumentBuf, doc};

use super::lists::{Entry, INLINE_BYTES, List, Part, added, placed, to_completion, to_event, to_ids};
use super::server::unreadable;
use crate::Error;
use crate::store::record::parse_stored;

/// Trackers that would take more than this, judged by their names, are stored as texts with many states each: their
/// readable fields would not fit into a document.
const READABLE_BYTES: usize = 2 * 1024 * 1024;
/// About how many bytes the readable form of a tracker takes besides its name.
const TRACKER_BYTES: usize = 150;
/// How many states such a text has.
const STATES: usize = 1_000;

/// A guarded update of one group.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) group: Text,
    /// The version that it follows; `None` if it replaces any older version.
    base: Option<i64>,
    /// The version in the group's document once this is done.
    pub(super) version: i64,
    pub(super) claim: i64,
    /// The first claim under which an earlier attempt may have been made.
    pub(super) since: i64,
    /// The element of an `update` command.
    pub(super) update: RawDocumentBuf,
    /// The parts that must be written first.
    pub(super) parts: Vec<Part>,
}

/// A number in the signed form that the server stores.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Statement {
    /// A write of a change under a claim, which succeeds if the store holds what the change follows.
    pub(super) fn of(change: &GroupChange, claim: i64, since: i64) -> Result<Self, Error> {
        let action = "write a group";
        let version = number(change.version);
        // The first change of a group may find the trace of a claim, or nothing.
        let first = matches!(change.base, None | Some(0));
        let mut filter = doc! {"_id": change.group.as_str(), "claim": {"$lte": claim}};
        match change.base {
            Some(base) => filter.insert("version", number(base)),
            None => filter.insert("version", doc! {"$lt": version}),
        };
        let mut set = doc! {
            "version": version, "claim": claim, "generation": i64::from(change.generation()),
            "sequence": number(change.sequence), "delivered": number(change.delivered),
        };
        let mut set_raw = RawDocumentBuf::new();
        let mut unset = Document::new();
        match &change.changed {
            Some(positions) if !first => {
                // Positions mean nothing in a different list of trackers.
                filter.insert("set", change.set.hash().to_string());
                some_trackers(change, positions, &mut set_raw)?;
            }
            _ => {
                set.insert("set", change.set.hash().to_string());
                unset.insert(all_trackers(change, &mut set_raw), "");
            }
        }
        if first {
            unset.insert("purge_at", "");
        }
        let mut more = String::new();
        change.write_more(&mut more);
        if more.is_empty() {
            unset.insert("more", "");
        } else {
            set.insert("more", more);
        }
        let pending = change.sequence > change.delivered;
        if pending {
            set.insert("pending", true);
        } else {
            unset.insert("pending", "");
        }
        let mut push = Document::new();
        let mut pull = Document::new();
        let mut parts = Vec::new();
        for list in List::ALL {
            let (entries, more) = placed(list, added(change, list), INLINE_BYTES);
            parts.extend(more);
            let values: Vec<Bson> = entries.iter().map(|entry| entry.to_bson(list)).collect();
            let field = list.field();
            if change.base.is_none() {
                // The whole group replaces what was there.
                if values.is_empty() {
                    unset.insert(field, "")
                } else {
                    set.insert(field, values)
                };
            } else if !values.is_empty() {
                push.insert(field, doc! {"$each": values});
            } else if list == List::Events && !pending {
                unset.insert(field, "");
            } else if list == List::Events && change.delivered > 0 {
                // If events are added and removed at once, the removed ones stay until later: an update cannot push to
                // and pull from the same list, and readers skip them.
                pull.insert(field, doc! {"sequence": {"$lte": number(change.delivered)}});
            }
        }
        for (key, value) in &set {
            let value = mongodb::bson::RawBson::try_from(value.clone()).map_err(|error| unreadable(action, &error))?;
            set_raw.append(key_of(key)?, value);
        }
        let mut change_of = RawDocumentBuf::new();
        change_of.append(cstr!("$set"), set_raw);
        for (operator, fields) in [("$unset", unset), ("$push", push), ("$pull", pull)] {
            if !fields.is_empty() {
                change_of.append(key_of(operator)?, raw(&fields)?);
            }
        }
        change_of.append(cstr!("$currentDate"), raw(&doc! {"updated_at": true})?);
        let mut update = RawDocumentBuf::new();
        update.append(cstr!("q"), raw(&filter)?);
        update.append(cstr!("u"), change_of);
        update.append(cstr!("upsert"), first);
        Ok(Self { group: change.group.clone(), base: change.base.map(number), version, claim, since, update, parts })
    }

    /// Reads the element of an `update` command that [`of`](Self::of) created.
    pub(super) fn read(update: RawDocumentBuf) -> Result<Self, mongodb::bson::error::Error> {
        let filter = update.get_document("q")?;
        let set = update.get_document("u")?.get_document("$set")?;
        Ok(Self {
            group: filter.get_str("_id")?.into(),
            base: filter.get_i64("version").ok(),
            version: set.get_i64("version")?,
            claim: set.get_i64("claim")?,
            since: 0,
            parts: Vec::new(),
            update,
        })
    }

    /// Whether the store already holds the result of this statement.
    pub(super) fn is_done(&self, version: i64, claim: i64) -> bool {
        version == self.version && (self.since..=self.claim).contains(&claim)
    }

    /// Whether the statement can be applied to what the store holds.
    pub(super) fn fits(&self, version: i64, claim: i64) -> bool {
        claim <= self.claim && self.base.map_or(version < self.version, |base| base == version)
    }
}

pub(super) fn raw(document: &Document) -> Result<RawDocumentBuf, Error> {
    RawDocumentBuf::try_from(document).map_err(|error| unreadable("write a document", &error))
}

fn key_of(text: &str) -> Result<&mongodb::bson::raw::CStr, Error> {
    text.try_into().map_err(|error| unreadable("write a document", &error))
}

/// Whether the trackers of a set are stored as texts of many states. It depends only on the set, so that a change of
/// some trackers knows their form.
fn is_wide(set: &DefinitionSet) -> bool {
    let bytes = |tracker: &Arc<TrackerDefinition>| tracker.name().len() + TRACKER_BYTES;
    set.trackers().iter().map(bytes).sum::<usize>() > READABLE_BYTES
}

/// Writes every tracker; returns the name of the field that the other form would use.
fn all_trackers(change: &GroupChange, set: &mut RawDocumentBuf) -> &'static str {
    let mut all = RawArrayBuf::new();
    if is_wide(&change.set) {
        (0..change.tracker_count().div_ceil(STATES)).for_each(|at| all.push(states(change, at)));
        set.append(cstr!("states"), all);
        "trackers"
    } else {
        (0..change.tracker_count()).for_each(|at| all.push(tracker(change, at)));
        set.append(cstr!("trackers"), all);
        "states"
    }
}

/// Writes the trackers at some positions.
fn some_trackers(change: &GroupChange, positions: &[u32], set: &mut RawDocumentBuf) -> Result<(), Error> {
    if is_wide(&change.set) {
        let mut texts: Vec<usize> = positions.iter().map(|&at| at as usize / STATES).collect();
        texts.sort_unstable();
        texts.dedup();
        for at in texts {
            set.append(key_of(&format!("states.{at}"))?, states(change, at));
        }
    } else {
        for &at in positions {
            set.append(key_of(&format!("trackers.{at}"))?, tracker(change, at as usize));
        }
    }
    Ok(())
}

fn states(change: &GroupChange, at: usize) -> String {
    let mut out = String::from("[");
    for at in at * STATES..change.tracker_count().min((at + 1) * STATES) {
        if out.len() > 1 {
            out.push(',');
        }
        change.write_tracker(at, &mut out);
    }
    out.push(']');
    out
}

/// The current target; empty if the tracker has none.
fn shown_target(target: Option<Amount>) -> String {
    target.map(|target| target.to_string()).unwrap_or_default()
}

fn tracker(change: &GroupChange, at: usize) -> RawDocumentBuf {
    let readable = change.readable(at);
    let mut state = String::new();
    change.write_tracker(at, &mut state);
    let mut tracker = RawDocumentBuf::new();
    tracker.append(cstr!("name"), readable.definition.name());
    tracker.append(cstr!("kind"), readable.definition.kind().name());
    tracker.append(cstr!("progress"), readable.progress.to_string());
    tracker.append(cstr!("target"), shown_target(readable.definition.target_of(readable.stage)));
    tracker.append(cstr!("stage"), i32::try_from(readable.stage).unwrap_or(i32::MAX));
    tracker.append(cstr!("status"), status(readable.status.name(), readable.limited));
    if let Some(period) = readable.period {
        for (key, moment) in [(cstr!("period_start"), period.start()), (cstr!("period_end"), period.end())] {
            tracker.append(key, date(moment));
        }
    }
    tracker.append(cstr!("state"), state);
    tracker
}

/// A moment for people, in milliseconds.
fn date(moment: Timestamp) -> DateTime {
    DateTime::from_millis(moment.micros().div_euclid(1_000))
}

fn status(status: &'static str, limited: bool) -> &'static str {
    if limited && status == "active" { "limited" } else { status }
}

/// What the server holds of a group: its document and the parts that it refers to.
#[derive(Debug)]
pub(super) struct GroupDocument {
    pub(super) head: Document,
    pub(super) parts: HashMap<ObjectId, Vec<Bson>>,
}

/// What to do about a document that dictrack did not write.
const FOREIGN: &str = "dictrack did not write it; move it elsewhere or use another collection, and for data of \
                       dictrack 2 see `dictrack import --from-dictrack`";
/// What to do about a document that was changed.
const EDITED: &str = "someone changed the document; undo that, or remove the document to start the group over";

/// How errors refer to a group.
pub(super) fn place(group: &str) -> String {
    format!("group {}", quoted(group))
}

/// The version and the claim of a group's document.
pub(super) fn held(store: &str, group: &str, document: &Document) -> Result<(i64, i64), Error> {
    match (document.get_i64("version"), document.get_i64("claim")) {
        (Ok(version), Ok(claim)) if version >= 0 => Ok((version, claim)),
        (Err(_), Err(_)) => Err(Error::corrupt(store, place(group), FOREIGN)),
        (Ok(_), _) => Err(Error::corrupt(store, place(group), format!("`claim` was changed; {EDITED}"))),
        (Err(_), _) => Err(Error::corrupt(store, place(group), format!("`version` was changed; {EDITED}"))),
    }
}

/// The error for a document whose id cannot be a group's.
pub(super) fn foreign(store: &str, document: &Document) -> Error {
    let id = document.get("_id").map_or_else(String::new, ToString::to_string);
    Error::corrupt(store, format!("the document with _id {id}"), FOREIGN)
}

impl GroupDocument {
    /// The definition set of the trackers.
    pub(super) fn set(&self, store: &str, group: &str) -> Result<ContentHash, Error> {
        let hash = self.head.get_str("set").ok().and_then(ContentHash::parse);
        let problem = || format!("`set` is not a hash of 32 hexadecimal digits; {EDITED}");
        hash.ok_or_else(|| Error::corrupt(store, place(group), problem()))
    }

    /// The group.
    pub(super) fn restore(
        &self,
        store: &str,
        group: &str,
        set: Arc<DefinitionSet>,
        engine: &Engine,
    ) -> Result<Group, Error> {
        let damaged = |problem: String| Error::corrupt(store, place(group), format!("{problem}; {EDITED}"));
        let (version, _) = held(store, group, &self.head)?;
        let number = |key: &str| {
            let number = self.head.get_i64(key).ok().and_then(|number| u64::try_from(number).ok());
            number.ok_or_else(|| damaged(format!("`{key}` is not a whole number")))
        };
        let generation =
            u32::try_from(number("generation")?).map_err(|_| damaged("`generation` is too large".into()))?;
        let trackers = self.states(&set).map_err(damaged)?.into_iter().map(StoredTracker::from).collect();
        let state =
            StoredState::new(set.hash(), generation, trackers).with_events(number("sequence")?, number("delivered")?);
        let more = match self.head.get("more") {
            Some(more) => StoredMore::parse(more.as_str().ok_or_else(|| damaged("`more` is not a string".into()))?)
                .map_err(|error| damaged(format!("`more`: {error}")))?,
            None => StoredMore::default(),
        };
        let state = state.with_more(more);
        let (mut ids, mut events, mut completed) = (Vec::new(), Vec::new(), Vec::new());
        self.list(List::Ids, |item| to_ids(item, &mut ids)).map_err(damaged)?;
        self.list(List::Events, |item| to_event(item, &mut events)).map_err(damaged)?;
        self.list(List::Completed, |item| to_completion(item, &mut completed)).map_err(damaged)?;
        let stored = StoredGroup::new(version.unsigned_abs(), state).with_lists(ids, events, completed);
        Group::restore(&stored, set, &engine.limits).map_err(|error: RecordError| damaged(error.to_string()))
    }

    /// The states of the trackers, after checking that they agree with the readable fields.
    fn states(&self, set: &DefinitionSet) -> Result<Vec<Json>, String> {
        if is_wide(set) {
            let texts = self.head.get_array("states").map_err(|_| "`states` is missing".to_owned())?;
            let mut states = Vec::with_capacity(set.trackers().len());
            for text in texts {
                match parse_stored(text.as_str().ok_or("`states` has an entry that is not a string")?)? {
                    Json::List(some) => states.extend(some),
                    _ => return Err("`states` has a text that is not a list".to_owned()),
                }
            }
            return Ok(states);
        }
        let trackers = self.head.get_array("trackers").map_err(|_| "`trackers` is missing".to_owned())?;
        if trackers.len() != set.trackers().len() {
            return Err(format!("{} `trackers` for {} definitions", trackers.len(), set.trackers().len()));
        }
        let states = trackers.iter().zip(set.trackers()).enumerate();
        states.map(|(at, (tracker, definition))| checked_state(at, tracker, definition)).collect()
    }

    /// Passes each entry of a list to `take`, including those in parts.
    fn list(&self, list: List, mut take: impl FnMut(&Bson) -> Result<(), String>) -> Result<(), String> {
        let field = list.field();
        let Some(entries) = self.head.get(field) else { return Ok(()) };
        for entry in entries.as_array().ok_or_else(|| format!("`{field}` is not a list"))? {
            match Entry::read(list, entry)? {
                Entry::Item(_) => take(entry)?,
                Entry::Part { id, .. } => {
                    let items = self.parts.get(&id).ok_or_else(|| format!("the part {id} of `{field}` is missing"))?;
                    items.iter().try_for_each(&mut take)?;
                }
            }
        }
        Ok(())
    }
}

/// The state of a tracker, if its readable fields agree with it.
fn checked_state(at: usize, tracker: &Bson, definition: &TrackerDefinition) -> Result<Json, String> {
    let tracker = tracker.as_document().ok_or_else(|| format!("`trackers.{at}` is not a document"))?;
    let text = |key: &str| tracker.get_str(key).map_err(|_| format!("`trackers.{at}.{key}` is not a string"));
    let state = parse_stored(text("state")?).map_err(|error| format!("`trackers.{at}.state`: {error}"))?;
    let part = |at: usize| state.as_list().and_then(|parts| parts.get(at));
    let flag = |key: &str| part(3).and_then(Json::as_map).and_then(|map| map.get(key)) == Some(&Json::Bool(true));
    let rests = || part(3)?.as_map()?.get("every")?.as_map()?.get("completed_at");
    let stored_status = match () {
        () if flag("completed") => "completed",
        () if rests().is_some() => "resting",
        () => "active",
    };
    let reached = part(2).map(ToString::to_string).and_then(|stage| stage.parse::<usize>().ok()).unwrap_or(usize::MAX);
    let expected = [
        ("name", definition.name().to_owned()),
        ("kind", definition.kind().name().to_owned()),
        ("progress", part(1).map(ToString::to_string).unwrap_or_default()),
        ("target", shown_target(definition.targets().get(reached).copied())),
        ("status", status(stored_status, flag("limited")).to_owned()),
    ];
    for (key, expected) in expected {
        let found = text(key)?;
        if found != expected {
            let source = if matches!(key, "name" | "kind") { "its definition" } else { "its `state`" };
            return Err(format!("`trackers.{at}.{key}` is {found:?}, {source} says {expected:?}"));
        }
    }
    if tracker.get_i32("stage").ok().and_then(|stage| usize::try_from(stage).ok()) != reached.checked_add(1) {
        return Err(format!("`trackers.{at}.stage` is not what its `state` says"));
    }
    Ok(state)
}
