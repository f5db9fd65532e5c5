//! The changes that a store has to write, and groups made from what a store returns.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{
    CompletedTracker, RecordError, SeenId, StoredCompletion, StoredEvent, StoredGroup, StoredMore, StoredTracker, list,
    write_ids,
};
use crate::amount::{Amount, push_integer};
use crate::definition::TrackerDefinition;
use crate::engine::{Engine, Limits};
use crate::event::Event;
use crate::group::adds::Adds;
use crate::group::attributes::{self, Attributes};
use crate::group::{Group, Log};
use crate::json::{Map, Text};
use crate::set::DefinitionSet;
use crate::state::{Slot, Status};
use crate::window::Period;

/// What a store has to write for one group: its state, and the new items of the lists that only grow.
#[derive(Clone, Debug)]
pub struct GroupChange {
    /// The group's id.
    pub group: Text,
    /// The version of the group after this change.
    pub version: u64,
    /// The version of the group before this change; `None` if this is the whole group, which replaces any older
    /// version.
    pub base: Option<u64>,
    /// The positions of the trackers that changed; `None` if they are not known or if the list of trackers itself
    /// changed.
    pub changed: Option<Vec<u32>>,
    /// The definitions; a store keeps each set once.
    pub set: Arc<DefinitionSet>,
    slots: Vec<Slot>,
    generation: u32,
    deletions: u32,
    adds: Adds,
    attributes: Option<Arc<Attributes>>,
    /// The sequence of the last stored event.
    pub sequence: u64,
    /// The sequence of the last event that was delivered. A store drops the events up to it.
    pub delivered: u64,
    /// New document ids and when they were applied.
    pub ids: Vec<SeenId>,
    /// New events that have not been delivered yet.
    pub events: Vec<Arc<Event>>,
    /// The newly completed trackers.
    pub completed: Vec<CompletedTracker>,
    /// The names of newly completed trackers for which nothing else is kept.
    pub completed_names: Vec<Text>,
}

/// What people can read of a stored tracker. With periods, it is about the current one, the last in which something changed,
/// even if that has ended since.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Readable<'a> {
    /// The tracker's definition.
    pub definition: &'a TrackerDefinition,
    /// The progress.
    pub progress: Amount,
    /// The stage, counted from one.
    pub stage: usize,
    /// Whether the tracker itself is marked limited; limiters with a window have marks of their own.
    pub limited: bool,
    /// Whether it counts, rests or has completed.
    pub status: Status,
    /// The current period, once something changed.
    pub period: Option<Period>,
}

/// How much a store has of the lists of a group that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The version of the group that it has.
    pub version: u64,
    /// The sequence of the last event at that version.
    pub sequence: u64,
    /// Identifies the trackers that had completed: the number of their names and the generation of the last one.
    pub completed: u64,
}

fn bad(what: impl Into<String>) -> RecordError {
    RecordError::new(what)
}

impl Group {
    /// Takes what changed since the last call.
    pub fn take_change(&mut self, group: &str, engine: &Engine) -> GroupChange {
        self.share_set(engine);
        let mut change = self.state_change(group);
        let taken = std::mem::replace(&mut self.taken, self.version);
        change.base = (!std::mem::take(&mut self.forgotten)).then_some(taken);
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

    /// What a store has if it holds this group as it is now.
    pub fn kept(&self) -> Kept {
        let completed = self.log.as_ref().map_or(0, |log| {
            let last = log.completions.trackers.back().map_or(0, |completed| completed.tracker.generation);
            (log.completions.names.len() as u64) << 32 | u64::from(last)
        });
        Kept { version: self.version, sequence: self.log.as_ref().map_or(0, |log| log.sequence), completed }
    }

    /// What a store is missing if it holds this group as of `kept`. The newest `ids` document ids are new. `None` if
    /// `kept` is not an older state of this group, or if trackers have completed since: only the whole group contains
    /// those.
    pub fn since(&self, group: &str, kept: &Kept, ids: usize) -> Option<GroupChange> {
        let now = self.kept();
        // Since a deletion, the lists have no longer grown only.
        if self.deletions > 0
            || kept.version >= now.version
            || kept.sequence > now.sequence
            || kept.completed != now.completed
        {
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
            changed: None,
            set: Arc::clone(&self.set),
            slots: self.slots.clone(),
            generation: self.generation,
            deletions: self.deletions,
            adds: self.adds.clone(),
            attributes: self.attributes.clone(),
            sequence: log.map_or(0, |log| log.sequence),
            delivered: log.map_or(0, |log| log.delivered),
            ids: Vec::new(),
            events: Vec::new(),
            completed: Vec::new(),
            completed_names: Vec::new(),
        }
    }

    /// Applies changes that another process made to this group in a shared cache. They must not affect its list of
    /// trackers.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes. The group must not be used afterwards.
    pub fn patch(&mut self, patch: &GroupPatch, limits: &Limits) -> Result<(), RecordError> {
        for (at, state) in &patch.trackers {
            let definition = self.set.trackers().get(*at).ok_or_else(|| bad(format!("there is no tracker {at}")))?;
            self.slots[*at] = Slot::restore(definition, state)?;
        }
        check_generations(patch.generation, &self.set, &self.slots)?;
        let (adds, attributes) = patch.more.restore()?;
        if attributes::map_of(attributes.as_ref()) != self.attributes() {
            self.templated = 0;
        }
        (self.adds, self.attributes) = (adds, attributes);
        self.deletions = patch.more.deletions;
        self.completed = self.slots.iter().filter(|slot| slot.completed()).count() as u32;
        (self.version, self.taken, self.generation) = (patch.version, patch.version, patch.generation);
        if patch.sequence > 0 || patch.ids.len() + patch.events.len() + patch.completed.len() > 0 {
            let log = self.log();
            (log.sequence, log.saved_sequence, log.delivered) = (patch.sequence, patch.sequence, patch.delivered);
            log.events.retain(|event| event.sequence > patch.delivered);
            log.absorb(&patch.ids, &patch.events, &patch.completed, limits)?;
        }
        Ok(())
    }

    /// Restores the group that a store holds. `set` has the definitions that its state refers to.
    ///
    /// # Errors
    /// A [`RecordError`] that says which part is not what dictrack writes.
    pub fn restore(stored: &StoredGroup, set: Arc<DefinitionSet>, limits: &Limits) -> Result<Self, RecordError> {
        let StoredGroup { version, state, ids, events, completed } = stored;
        if state.set != set.hash() {
            return Err(bad("the state belongs to a different definition set"));
        }
        let (states, trackers) = (&state.trackers, set.trackers());
        if states.len() != trackers.len() {
            return Err(bad(format!("{} states for {} trackers", states.len(), trackers.len())));
        }
        let slots = trackers.iter().zip(states).map(|(definition, state)| Slot::restore(definition, state));
        let slots: Vec<_> = slots.collect::<Result<_, _>>()?;
        check_generations(state.generation, &set, &slots)?;
        let (adds, attributes) = state.more.restore()?;
        let mut log = Log { sequence: state.sequence, delivered: state.delivered, ..Log::default() };
        log.saved_sequence = log.sequence;
        log.absorb(ids, events, completed, limits)?;
        let blank = log.sequence == 0 && ids.is_empty() && completed.is_empty();
        Ok(Self {
            completed: slots.iter().filter(|slot| slot.completed()).count() as u32,
            set,
            slots,
            version: *version,
            generation: state.generation,
            ensured: 0,
            templated: 0,
            reshaped: false,
            forgotten: false,
            deletions: state.more.deletions,
            taken: *version,
            adds,
            attributes,
            log: (!blank).then(|| Box::new(log)),
        })
    }
}

/// What another process changed in a group in a shared cache: the new numbers, the states of trackers by position, and
/// the new items of the lists that only grow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GroupPatch {
    /// The new version of the group.
    pub version: u64,
    /// The generation of the last tracker that was added.
    pub generation: u32,
    /// The sequence of the last event.
    pub sequence: u64,
    /// The sequence of the last event that was delivered.
    pub delivered: u64,
    /// When trackers were added, and the attributes.
    pub more: StoredMore,
    /// The states of the trackers that changed, each with its position.
    pub trackers: Vec<(usize, StoredTracker)>,
    /// New document ids.
    pub ids: Vec<SeenId>,
    /// New events.
    pub events: Vec<StoredEvent>,
    /// The newly completed trackers.
    pub completed: Vec<StoredCompletion>,
}

/// Checks that the group has assigned each tracker's generation.
fn check_generations(given: u32, set: &DefinitionSet, slots: &[Slot]) -> Result<(), RecordError> {
    for (definition, slot) in set.trackers().iter().zip(slots) {
        if slot.generation == 0 || slot.generation > given {
            let (name, generation) = (definition.name(), slot.generation);
            return Err(bad(format!("tracker {name:?} has generation {generation}, but the group assigned {given}")));
        }
    }
    Ok(())
}

impl Log {
    /// Adds stored ids, events and completed trackers.
    fn absorb(
        &mut self,
        ids: &[SeenId],
        events: &[StoredEvent],
        completed: &[StoredCompletion],
        limits: &Limits,
    ) -> Result<(), RecordError> {
        self.ids.restore(ids);
        for event in events {
            let restored = event.restore()?;
            if restored.sequence > self.delivered {
                self.events.push_back(Arc::new(restored));
            }
        }
        let all = Arc::make_mut(&mut self.completions);
        for completion in completed {
            all.names.insert(completion.name.as_str().into());
            all.trackers.extend(completion.restore()?);
        }
        let readable = all.trackers.len().min(limits.completed);
        all.trackers.drain(..all.trackers.len() - readable);
        Ok(())
    }
}

impl GroupChange {
    /// Reduces the change, which is a whole group, to what is new compared with `held`, an older state of the same
    /// group. If the group was deleted in between, the change stays whole.
    #[must_use]
    pub fn since(mut self, held: &Group) -> Self {
        if self.deletions != held.deletions {
            return self;
        }
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

    /// Whether a store that holds `version` of the group may apply this change.
    pub fn follows(&self, version: u64) -> bool {
        self.base.map_or(self.version > version, |base| base == version)
    }

    /// Writes the part `state`.
    pub fn write_state(&self, out: &mut String) {
        out.push_str(r#"{"set":""#);
        out.push_str(self.set.hash_text());
        out.push_str(r#"","generation":"#);
        push_integer(out, u64::from(self.generation));
        out.push_str(r#","sequence":"#);
        push_integer(out, self.sequence);
        out.push_str(r#","delivered":"#);
        push_integer(out, self.delivered);
        let start = out.len();
        out.push_str(r#","more":"#);
        let before = out.len();
        self.write_more(out);
        if out.len() == before {
            out.truncate(start);
        }
        out.push_str(r#","trackers":["#);
        for (at, slot) in self.slots.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            slot.store(&self.set.trackers()[at], out);
        }
        out.push_str("]}");
    }

    /// Writes [`StoredMore`], or nothing if it is empty.
    pub fn write_more(&self, out: &mut String) {
        let start = out.len();
        if !self.adds.runs().is_empty() {
            out.push_str(r#"{"added":"#);
            list(out, self.adds.runs(), |out, (generation, moment)| {
                let _ = write!(out, "[{generation},{}]", moment.micros());
            });
        }
        if self.deletions > 0 {
            let comma = if out.len() > start { ',' } else { '{' };
            let _ = write!(out, r#"{comma}"deletions":{}"#, self.deletions);
        }
        if let Some(attributes) = &self.attributes {
            let comma = if out.len() > start { ',' } else { '{' };
            let _ = write!(out, r#"{comma}"attributes":{}"#, attributes.to_json());
        }
        if out.len() > start {
            out.push('}');
        }
    }

    /// The attributes of the group.
    pub fn attributes(&self) -> &Map {
        attributes::map_of(self.attributes.as_ref())
    }

    /// Writes the part `ids`.
    pub fn write_ids(&self, out: &mut String) {
        write_ids(&self.ids, out);
    }

    /// The number of trackers, including completed ones.
    pub fn tracker_count(&self) -> usize {
        self.slots.len()
    }

    /// The generation of the last tracker that was added.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Writes the stored state of the tracker at a position: `[generation, progress, stage, {…}]`.
    pub fn write_tracker(&self, at: usize, out: &mut String) {
        self.slots[at].store(&self.set.trackers()[at], out);
    }

    /// What people can read of the tracker at a position.
    pub fn readable(&self, at: usize) -> Readable<'_> {
        let (definition, slot) = (&self.set.trackers()[at], &self.slots[at]);
        let (progress, stage) = slot.seen(definition);
        Readable {
            definition,
            progress,
            stage: usize::from(stage) + 1,
            limited: slot.limited(),
            status: slot.status(),
            period: slot.period(),
        }
    }

    /// The new events as they are stored.
    pub fn stored_events(&self) -> impl Iterator<Item = StoredEvent> {
        self.events.iter().map(|event| StoredEvent::from(&**event))
    }

    /// The newly completed trackers as they are stored: first those for which only the name is kept.
    pub fn stored_completions(&self) -> impl Iterator<Item = StoredCompletion> {
        let names = self.completed_names.iter().map(|name| StoredCompletion::name_only(name));
        names.chain(self.completed.iter().map(StoredCompletion::from))
    }

    /// Writes the part `events`.
    pub fn write_events(&self, out: &mut String) {
        list(out, &self.events, |out, event| event.store(out));
    }

    /// Writes the part `completed`.
    pub fn write_completed(&self, out: &mut String) {
        let all: Vec<_> = self.stored_completions().collect();
        list(out, &all, |out, completed| completed.store(out));
    }
}
