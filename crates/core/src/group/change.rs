//! The stored form of a group: one for every store, readable and exact.
//!
//! A group is stored in four parts. `state` is replaced as a whole; `ids`, `events` and `completed` only grow, so a
//! change carries what is new of them:
//!
//! - state: `{"set": hash, "generation": n, "sequence": n, "delivered": n, "trackers": [[generation, progress, stage,
//!   {…}], …]}`, the trackers in the order of the set, the map only where there is more to say: `limited`, `completed`,
//!   `cycle`, `expire_at`, `stages`, `limits`, `resets`, `limiters`.
//! - ids: `[[hash, seen], …]`
//! - events: each with its definition and the state of its tracker, until it is delivered.
//! - completed: `{"definition", "state", "completed_at"}`, or `{"name"}` once only the name is kept.
//!
//! Moments are whole microseconds; progress is exact decimal text.

use std::fmt::Write as _;
use std::sync::Arc;

use compact_str::CompactString;

use super::stored_ids::{SeenId, write_ids};
use super::{Group, Log};
use crate::amount::{Amount, push_integer};
use crate::definition::TrackerDefinition;
use crate::engine::Limits;
use crate::event::{Event, EventCode};
use crate::hash::ContentHash;
use crate::json::{Json, Map, write_text};
use crate::limiter::{LimiterDefinition, LimiterState};
use crate::set::DefinitionSet;
use crate::state::{Extra, Slot, TrackerSnapshot};
use crate::time::Timestamp;

/// A tracker that reached its last target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CompletedTracker {
    /// Its final state.
    pub tracker: TrackerSnapshot,
    /// The `now` of the document that completed it.
    pub completed_at: Timestamp,
}

/// What a store has to write of one group: its state, and what is new of the lists that only grow.
#[derive(Clone, Debug)]
pub struct GroupChange {
    /// The group's id.
    pub group: CompactString,
    /// The version that this change makes.
    pub version: u64,
    /// The version that it follows; `None` if this is the whole group, which replaces whatever older one there is.
    pub base: Option<u64>,
    /// The claim by which a cache of many processes holds the group; see the store's `claim`. 0 where one process does.
    pub claim: u64,
    /// The positions of the trackers that changed; `None` if the list itself changed.
    pub changed: Option<Vec<u32>>,
    /// The definitions; the store keeps each set once.
    pub set: Arc<DefinitionSet>,
    slots: Vec<Slot>,
    generation: u32,
    /// The sequence of the last stored event.
    pub sequence: u64,
    /// The sequence of the last event that was delivered: those up to it are to be dropped.
    pub delivered: u64,
    /// New document ids and when they were applied.
    pub ids: Vec<SeenId>,
    /// New events that are not delivered yet.
    pub events: Vec<Arc<Event>>,
    /// Trackers that completed.
    pub completed: Vec<CompletedTracker>,
    /// Names of completed trackers of which nothing else is kept.
    pub completed_names: Vec<CompactString>,
}

/// How far a store has the lists of a group that grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The version that it has.
    pub version: u64,
    /// The sequence of the last event then.
    pub sequence: u64,
    /// Tells which trackers were completed then: how many names, and the generation of the last one.
    pub completed: u64,
}

/// Why a stored record was not read. Nothing is made of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub(super) String);

fn bad(what: impl Into<String>) -> RecordError {
    RecordError(what.into())
}

impl Group {
    /// What changed since the last call.
    pub fn take_change(&mut self, group: &str, engine: &crate::Engine) -> GroupChange {
        self.share_set(engine);
        let mut change = self.state_change(group);
        change.base = Some(std::mem::replace(&mut self.taken, self.version));
        let mut changed = Vec::new();
        for (slot, at) in self.slots.iter_mut().zip(0..) {
            if std::mem::take(&mut slot.changed) {
                changed.push(at);
            }
        }
        change.changed = (!std::mem::take(&mut self.reshaped)).then_some(changed);
        if let Some(log) = &mut self.log {
            change.ids = log.ids.take_unsaved();
            change.events = log.events.iter().filter(|event| event.sequence > log.saved_sequence).cloned().collect();
            log.saved_sequence = log.sequence;
            if log.completions.unsaved + log.completions.unsaved_names.len() > 0 {
                let all = Arc::make_mut(&mut log.completions);
                let unsaved = std::mem::take(&mut all.unsaved).min(all.trackers.len());
                change.completed = all.trackers.range(all.trackers.len() - unsaved..).cloned().collect();
                change.completed_names = std::mem::take(&mut all.unsaved_names);
            }
        }
        change
    }

    /// The group as a whole, as an export needs it.
    pub fn whole(&self, group: &str) -> GroupChange {
        let mut change = self.state_change(group);
        if let Some(log) = &self.log {
            change.ids = log.ids.iter().collect();
            change.events = log.events.iter().cloned().collect();
            change.completed = log.completions.trackers.iter().cloned().collect();
            let readable =
                |name: &str| log.completions.trackers.iter().any(|completed| completed.tracker.name() == name);
            change.completed_names = log.completions.names.iter().filter(|name| !readable(name)).cloned().collect();
            change.completed_names.sort();
        }
        change
    }

    /// How far a store has the lists of this group that has it as it is.
    pub fn kept(&self) -> Kept {
        let completed = self.log.as_ref().map_or(0, |log| {
            let last = log.completions.trackers.back().map_or(0, |completed| completed.tracker.generation);
            (log.completions.names.len() as u64) << 32 | u64::from(last)
        });
        Kept { version: self.version, sequence: self.log.as_ref().map_or(0, |log| log.sequence), completed }
    }

    /// What a store lacks of this group that has it as it was when it had `kept`; of the ids, the newest `ids` are new.
    /// `None` where trackers were completed since, of which only the whole group can tell.
    pub fn since(&self, group: &str, kept: &Kept, ids: usize) -> Option<GroupChange> {
        let now = self.kept();
        if kept.version >= now.version || kept.sequence > now.sequence || kept.completed != now.completed {
            return None;
        }
        let mut change = self.state_change(group);
        change.base = Some(kept.version);
        if let Some(log) = &self.log {
            change.ids = log.ids.iter().skip(log.ids.len().saturating_sub(ids)).collect();
            change.events = log.events.iter().filter(|event| event.sequence > kept.sequence).cloned().collect();
        }
        Some(change)
    }

    fn state_change(&self, group: &str) -> GroupChange {
        let log = self.log.as_deref();
        GroupChange {
            group: group.into(),
            version: self.version,
            base: None,
            claim: 0,
            changed: None,
            set: Arc::clone(&self.set),
            slots: self.slots.clone(),
            generation: self.generation,
            sequence: log.map_or(0, |log| log.sequence),
            delivered: log.map_or(0, |log| log.delivered),
            ids: Vec::new(),
            events: Vec::new(),
            completed: Vec::new(),
            completed_names: Vec::new(),
        }
    }

    /// Takes over what another user of a shared cache changed of this group, without its list of trackers changing: its
    /// new version, generation, sequence, what was delivered, the states of trackers by position, and what is new of ids,
    /// events and completed trackers.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes. The group is of no use then.
    pub fn patch(
        &mut self,
        (version, generation, sequence, delivered): (u64, u32, u64, u64),
        states: &[(usize, Json)],
        lists: (&[SeenId], &[Json], &[Json]),
        limits: &Limits,
    ) -> Result<(), RecordError> {
        for (at, state) in states {
            let definition = self.set.trackers().get(*at).ok_or_else(|| bad(format!("there is no tracker {at}")))?;
            let slot = Slot::restore(definition, state)
                .map_err(|error| bad(format!("tracker {:?}: {error}", definition.name())))?;
            self.slots[*at] = slot;
        }
        check_generations(generation, &self.set, &self.slots)?;
        self.completed = self.slots.iter().filter(|slot| slot.completed()).count() as u32;
        (self.version, self.taken, self.generation) = (version, version, generation);
        if sequence > 0 || lists.0.len() + lists.1.len() + lists.2.len() > 0 {
            let log = self.log();
            (log.sequence, log.saved_sequence, log.delivered) = (sequence, sequence, delivered);
            log.events.retain(|event| event.sequence > delivered);
            log.absorb(lists, limits)?;
        }
        Ok(())
    }

    /// The set that a stored state refers to.
    ///
    /// # Errors
    /// A [`RecordError`] if `state` is not one.
    pub fn stored_set(state: &Json) -> Result<ContentHash, RecordError> {
        let hash = member(state, "set")?.as_str().and_then(ContentHash::parse);
        hash.ok_or_else(|| bad("`set` is not a hash of 32 hexadecimal digits"))
    }

    /// The group that a store holds: its version, state and definitions, its ids, events and completed trackers.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes.
    pub fn restore(
        version: u64,
        state: &Json,
        set: Arc<DefinitionSet>,
        (ids, events, completed): (&[SeenId], &[Json], &[Json]),
        limits: &Limits,
    ) -> Result<Self, RecordError> {
        if Self::stored_set(state)? != set.hash() {
            return Err(bad("the state is of another definition set"));
        }
        let states = member(state, "trackers")?.as_list().ok_or_else(|| bad("`trackers` is not a list"))?;
        if states.len() != set.trackers().len() {
            return Err(bad(format!("{} states for {} trackers", states.len(), set.trackers().len())));
        }
        let slots: Vec<_> = set
            .trackers()
            .iter()
            .zip(states)
            .map(|(definition, state)| {
                Slot::restore(definition, state)
                    .map_err(|error| bad(format!("tracker {:?}: {error}", definition.name())))
            })
            .collect::<Result<_, _>>()?;
        let generation = u32::try_from(whole(state, "generation")?).map_err(|_| bad("`generation` is too large"))?;
        check_generations(generation, &set, &slots)?;
        let mut log =
            Log { sequence: whole(state, "sequence")?, delivered: whole(state, "delivered")?, ..Log::default() };
        log.saved_sequence = log.sequence;
        log.absorb((ids, events, completed), limits)?;
        let blank = log.sequence == 0 && ids.is_empty() && completed.is_empty();
        Ok(Self {
            completed: slots.iter().filter(|slot| slot.completed()).count() as u32,
            set,
            slots,
            version,
            generation,
            ensured: 0,
            reshaped: false,
            taken: version,
            log: (!blank).then(|| Box::new(log)),
        })
    }
}

/// A tracker has a generation that the group gave out.
fn check_generations(given: u32, set: &DefinitionSet, slots: &[Slot]) -> Result<(), RecordError> {
    for (definition, slot) in set.trackers().iter().zip(slots) {
        if slot.generation == 0 || slot.generation > given {
            let (name, generation) = (definition.name(), slot.generation);
            return Err(bad(format!("tracker {name:?} has the generation {generation}, the group gave {given}")));
        }
    }
    Ok(())
}

impl Log {
    /// Takes over stored ids, events and completed trackers.
    fn absorb(
        &mut self,
        (ids, events, completed): (&[SeenId], &[Json], &[Json]),
        limits: &Limits,
    ) -> Result<(), RecordError> {
        self.ids.restore(ids);
        for event in events {
            let event = Event::restore(event).map_err(|error| bad(format!("an event: {error}")))?;
            if event.sequence > self.delivered {
                self.events.push_back(Arc::new(event));
            }
        }
        let all = Arc::make_mut(&mut self.completions);
        for record in completed {
            match member(record, "name") {
                Ok(name) => {
                    all.names.insert(name.as_str().ok_or_else(|| bad("`name` is not a text"))?.into());
                }
                Err(_) => {
                    let completed = CompletedTracker::restore(record)
                        .map_err(|error| bad(format!("a completed tracker: {error}")))?;
                    all.names.insert(completed.tracker.name().into());
                    all.trackers.push_back(completed);
                }
            }
        }
        let readable = all.trackers.len().min(limits.completed);
        all.trackers.drain(..all.trackers.len() - readable);
        Ok(())
    }
}

impl GroupChange {
    /// What of this whole group is new to one that holds `held`, an older state of the same group.
    #[must_use]
    pub fn since(mut self, held: &Group) -> Self {
        self.base = Some(held.version);
        if let Some(log) = &held.log {
            self.ids.retain(|(id, _)| !log.ids.contains(*id));
            self.events.retain(|event| event.sequence > log.sequence);
            let kept = &log.completions;
            let held: std::collections::HashSet<u32> =
                kept.trackers.iter().map(|completed| completed.tracker.generation).collect();
            self.completed.retain(|completed| !held.contains(&completed.tracker.generation));
            self.completed_names.retain(|name| !kept.names.contains(name));
        }
        self
    }

    /// Whether a store that holds `version` under `claim` may take this change over.
    pub fn follows(&self, version: u64, claim: u64) -> bool {
        self.claim >= claim && self.base.map_or(self.version > version, |base| base == version)
    }

    /// The part `state`.
    pub fn state(&self, out: &mut String) {
        out.push_str(r#"{"set":""#);
        out.push_str(self.set.hash_text());
        out.push_str(r#"","generation":"#);
        push_integer(out, u64::from(self.generation));
        out.push_str(r#","sequence":"#);
        push_integer(out, self.sequence);
        out.push_str(r#","delivered":"#);
        push_integer(out, self.delivered);
        out.push_str(r#","trackers":["#);
        for (at, slot) in self.slots.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            slot.store(out);
        }
        out.push_str("]}");
    }

    /// The part `ids`.
    pub fn ids(&self, out: &mut String) {
        write_ids(&self.ids, out);
    }

    /// How many trackers there are, completed ones among them.
    pub fn tracker_count(&self) -> usize {
        self.slots.len()
    }

    /// The generation of the last tracker that was added.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The stored state of the tracker at a position, `[generation, progress, stage, {…}]`.
    pub fn tracker_state(&self, at: usize, out: &mut String) {
        self.slots[at].store(out);
    }

    /// The tracker at a position, and whether it is completed.
    pub fn tracker(&self, at: usize) -> (TrackerSnapshot, bool) {
        let slot = &self.slots[at];
        (TrackerSnapshot::of(&self.set.trackers()[at], slot), slot.completed())
    }

    /// The stored form of the new event at a position.
    pub fn event(&self, at: usize, out: &mut String) {
        self.events[at].store(out);
    }

    /// The stored form of the completed tracker at a position.
    pub fn completed_tracker(&self, at: usize, out: &mut String) {
        self.completed[at].store(out);
    }

    /// The part `events`.
    pub fn events(&self, out: &mut String) {
        list(out, &self.events, |out, event| event.store(out));
    }

    /// The part `completed`.
    pub fn completed(&self, out: &mut String) {
        let names = self.completed_names.iter().map(Err);
        let all: Vec<_> = names.chain(self.completed.iter().map(Ok)).collect();
        list(out, &all, |out, completed| match completed {
            Ok(completed) => completed.store(out),
            Err(name) => {
                out.push_str(r#"{"name":"#);
                let _ = write_text(out, name);
                out.push('}');
            }
        });
    }

    /// The trackers with their states, without those that are completed.
    pub fn trackers(&self) -> impl Iterator<Item = TrackerSnapshot> {
        let trackers = self.set.trackers().iter().zip(&self.slots);
        trackers.filter(|(_, slot)| !slot.completed()).map(|(definition, slot)| TrackerSnapshot::of(definition, slot))
    }
}

fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

impl Slot {
    fn store(&self, out: &mut String) {
        out.push('[');
        push_integer(out, u64::from(self.generation));
        out.push(',');
        self.progress.push_to(out);
        out.push(',');
        push_integer(out, u64::from(self.stage));
        if !self.is_unmarked() || self.extra.is_some() {
            let before = out.len();
            out.push_str(",{");
            let start = out.len();
            let put = |out: &mut String, key: &str, value: &dyn std::fmt::Display| {
                let comma = if out.len() > start { "," } else { "" };
                let _ = write!(out, r#"{comma}"{key}":{value}"#);
            };
            if self.limited() {
                put(out, "limited", &true);
            }
            if self.completed() {
                put(out, "completed", &true);
            }
            if let Some(extra) = &self.extra {
                let numbers = [
                    ("cycle", extra.cycle),
                    ("stages", extra.stages),
                    ("limits", extra.limits),
                    ("resets", extra.resets),
                ];
                for (key, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
                    put(out, key, &number);
                }
                if let Some(moment) = extra.expire_at {
                    put(out, "expire_at", &moment.micros());
                }
                if !extra.limiters.is_empty() {
                    let mut limiters = String::new();
                    list(&mut limiters, &extra.limiters, |out, limiter| limiter.store(out));
                    put(out, "limiters", &limiters);
                }
            }
            if out.len() > start {
                out.push('}');
            } else {
                out.truncate(before);
            }
        }
        out.push(']');
    }

    fn restore(definition: &TrackerDefinition, stored: &Json) -> Result<Self, RecordError> {
        let Some([generation, progress, stage, rest @ ..]) = stored.as_list() else {
            return Err(bad("a state that is not a list of generation, progress and stage"));
        };
        let generation = natural(generation).and_then(|generation| u32::try_from(generation).ok());
        let stage = natural(stage).filter(|&stage| (stage as usize) < definition.targets().len());
        let blank = Json::Map(Map::default());
        let more = rest.first().unwrap_or(&blank);
        let flag = |key: &str| more.as_map().and_then(|map| map.get(key)) == Some(&Json::Bool(true));
        let number = |key: &str| match member(more, key) {
            Ok(value) => natural(value).ok_or_else(|| bad(format!("`{key}` is not a whole number"))),
            Err(_) => Ok(0),
        };
        let limiters = match member(more, "limiters") {
            Ok(limiters) => limiters.as_list().ok_or_else(|| bad("`limiters` is not a list"))?,
            Err(_) => &[],
        };
        if limiters.len() != definition.limiters().len() {
            return Err(bad(format!("{} limiter states for {} limiters", limiters.len(), definition.limiters().len())));
        }
        let expire_at = match member(more, "expire_at") {
            Ok(moment) => Some(micros(moment).ok_or_else(|| bad("`expire_at` is not a moment"))?),
            Err(_) => None,
        };
        let extra = Extra {
            limiters: definition
                .limiters()
                .iter()
                .zip(limiters)
                .map(|(definition, state)| LimiterState::restore(definition, state))
                .collect::<Result<_, _>>()?,
            cycle: number("cycle")?,
            expire_at,
            stages: number("stages")?,
            limits: number("limits")?,
            resets: number("resets")?,
        };
        Ok(Self::from_parts(
            exact(progress).ok_or_else(|| bad("the progress is not an exact number"))?,
            generation.ok_or_else(|| bad("the generation is not a whole number"))?,
            stage.ok_or_else(|| bad("the stage is not one of the definition"))? as u16,
            (flag("limited"), flag("completed")),
            extra,
        ))
    }
}

impl LimiterState {
    fn store(&self, out: &mut String) {
        let _ = match self {
            Self::Count { limit, remaining } => write!(out, r#"{{"limit":{limit},"remaining":{remaining}}}"#),
            Self::Window { start, end } => {
                write!(out, r#"{{"start":{},"end":{}}}"#, start.micros(), end.micros())
            }
            Self::Custom(Some(state)) => write!(out, r#"{{"state":{state}}}"#),
            Self::Custom(None) => write!(out, "{{}}"),
        };
    }

    fn restore(definition: &LimiterDefinition, stored: &Json) -> Result<Self, RecordError> {
        Ok(match definition {
            LimiterDefinition::Count(_) => {
                Self::Count { limit: whole(stored, "limit")?, remaining: whole(stored, "remaining")? }
            }
            LimiterDefinition::Window(..) | LimiterDefinition::Interval(_) => {
                let moment = |key| micros(member(stored, key)?).ok_or_else(|| bad(format!("`{key}` is not a moment")));
                Self::Window { start: moment("start")?, end: moment("end")? }
            }
            LimiterDefinition::Custom { .. } => {
                let map = stored.as_map().ok_or_else(|| bad("a limiter state that is not a map"))?;
                Self::Custom(map.get("state").cloned().map(Box::new))
            }
        })
    }
}

impl TrackerSnapshot {
    fn store(&self, out: &mut String) {
        let extra = Extra {
            limiters: self.limiters.iter().cloned().collect(),
            cycle: self.cycle,
            expire_at: self.expire_at,
            ..Extra::default()
        };
        let stage = (self.stage - 1) as u16;
        let slot = Slot::from_parts(self.progress, self.generation, stage, (self.limited, false), extra);
        let _ = write!(out, r#""definition":{},"state":"#, self.definition.to_json());
        slot.store(out);
    }

    fn restore(stored: &Json) -> Result<Self, RecordError> {
        let definition =
            TrackerDefinition::from_json(member(stored, "definition")?).map_err(|error| bad(error.to_string()))?;
        let slot = Slot::restore(&definition, member(stored, "state")?)?;
        Ok(Self::of(&Arc::new(definition), &slot))
    }
}

impl CompletedTracker {
    fn store(&self, out: &mut String) {
        out.push('{');
        self.tracker.store(out);
        let _ = write!(out, r#","completed_at":{}}}"#, self.completed_at.micros());
    }

    fn restore(stored: &Json) -> Result<Self, RecordError> {
        let completed_at =
            micros(member(stored, "completed_at")?).ok_or_else(|| bad("`completed_at` is not a moment"))?;
        Ok(Self { tracker: TrackerSnapshot::restore(stored)?, completed_at })
    }
}

impl Event {
    /// The stored form of an event that is not delivered yet.
    pub fn store(&self, out: &mut String) {
        let _ = write!(
            out,
            r#"{{"sequence":{},"id":"{}","code":"{}","number":{},"occurred_at":{},"stage":{},"target":{},"progress":{},"times":{},"#,
            self.sequence,
            self.id(),
            self.code,
            self.number,
            self.occurred_at.micros(),
            self.stage,
            self.target,
            self.progress,
            self.times,
        );
        if let Some(limiter) = self.limiter {
            let _ = write!(out, r#""limiter":{limiter},"#);
        }
        out.push_str(r#""group":"#);
        let _ = write_text(out, &self.group);
        out.push(',');
        self.tracker.store(out);
        out.push('}');
    }

    fn restore(stored: &Json) -> Result<Self, RecordError> {
        let text = |key| member(stored, key)?.as_str().ok_or_else(|| bad(format!("`{key}` is not a text")));
        let amount = |key| exact(member(stored, key)?).ok_or_else(|| bad(format!("`{key}` is not an exact number")));
        let limiter = match member(stored, "limiter") {
            Ok(limiter) => Some(natural(limiter).ok_or_else(|| bad("`limiter` is not a position"))? as usize),
            Err(_) => None,
        };
        Ok(Self {
            number: whole(stored, "number")?,
            code: EventCode::parse(text("code")?).ok_or_else(|| bad("`code` is not known"))?,
            occurred_at: micros(member(stored, "occurred_at")?).ok_or_else(|| bad("`occurred_at` is not a moment"))?,
            group: text("group")?.into(),
            stage: whole(stored, "stage")? as usize,
            target: amount("target")?,
            progress: amount("progress")?,
            times: whole(stored, "times")?,
            limiter,
            tracker: TrackerSnapshot::restore(stored)?,
            sequence: whole(stored, "sequence")?,
        })
    }
}

fn member<'a>(json: &'a Json, key: &str) -> Result<&'a Json, RecordError> {
    json.as_map().and_then(|map| map.get(key)).ok_or_else(|| bad(format!("`{key}` is missing")))
}

fn exact(json: &Json) -> Option<Amount> {
    match json.as_number()?.to_amount() {
        Ok((amount, false)) => Some(amount),
        _ => None,
    }
}

fn natural(json: &Json) -> Option<u64> {
    u64::try_from(exact(json)?.to_integer()?).ok()
}

fn whole(json: &Json, key: &str) -> Result<u64, RecordError> {
    natural(member(json, key)?).ok_or_else(|| bad(format!("`{key}` is not a whole number")))
}

fn micros(json: &Json) -> Option<Timestamp> {
    Some(Timestamp::from_micros(i64::try_from(exact(json)?.to_integer()?).ok()?))
}
