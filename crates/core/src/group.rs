//! Groups: what documents are counted for, usually a user; the unit of atomicity.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{DefinitionError, ResetPolicy, TrackerDefinition};
use crate::document::Document;
use crate::engine::{At, When};
pub use crate::engine::{Engine, Limits};
use crate::event::{Event, EventCode};
use crate::explain::{Explanation, Reason};
pub use crate::hash::ContentHash;
use crate::json::{Json, Text, object};
use crate::limiter::{LimiterDefinition, LimiterState, Renewal};
use crate::measure::MeasureState;
use crate::period::Entered;
pub use crate::set::{DefinitionSet, SetPool};
use crate::state::{Extra, LimiterStates, Marks, Slot, TrackerSnapshot};
use crate::streak::Streak;
use crate::text::quoted;
use crate::time::{Span, Timestamp};
use crate::window::Place;
use crate::zone::Zone;

mod adds;
mod attributes;
mod backfill;
mod ids;
pub(crate) mod stored;
mod track;
mod trial;

use adds::Adds;
use attributes::Attributes;
pub use attributes::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES};
use ids::RecentIds;
pub use stored::{
    CompletedTracker, GroupChange, GroupPatch, Kept, Readable, RecordError, SeenId, StoredCompletion, StoredEvent,
    StoredGroup, StoredMore, StoredState, StoredTracker, ids_of, read_ids, write_ids,
};
pub use track::Track;
pub use trial::Trial;

/// Everything known about one group: a shared definition set, one small state per tracker, the ids of recent documents
/// and the undelivered events.
#[derive(Clone, Debug, Default)]
pub struct Group {
    set: Arc<DefinitionSet>,
    slots: Vec<Slot>,
    version: u64,
    /// The generation of the last add.
    generation: u32,
    /// The number of slots of completed trackers.
    completed: u32,
    /// The key of the [`TrackerList`] that this group is known to have; 0 if there is none.
    ensured: u64,
    /// The key of the [`TemplateSet`](crate::template::TemplateSet) whose trackers this group is known to have; 0 if there is
    /// none.
    templated: u64,
    /// Whether the list of trackers changed since the last change was taken. If so, their positions may have changed,
    /// too.
    reshaped: bool,
    /// The version at which the last change was taken.
    taken: u64,
    /// Whether everything was forgotten since the last change was taken, so that a store has to replace what it has.
    forgotten: bool,
    /// How often everything was forgotten.
    deletions: u32,
    adds: Adds,
    attributes: Option<Arc<Attributes>>,
    log: Option<Box<Log>>,
}

/// What only some groups have.
#[derive(Clone, Debug, Default)]
struct Log {
    ids: RecentIds,
    events: VecDeque<Arc<Event>>,
    /// Shared by the copies of a group, so that copying a group does not copy it.
    completions: Arc<Completions>,
    /// The sequence of the last event that was stored.
    sequence: u64,
    /// The sequence of the last event that is already part of a change.
    saved_sequence: u64,
    /// The sequence of the last event that was delivered.
    delivered: u64,
}

/// The trackers that completed.
#[derive(Clone, Debug, Default)]
struct Completions {
    /// Those that can still be read, oldest first.
    trackers: VecDeque<CompletedTracker>,
    /// The names of all of them.
    names: HashSet<Text>,
    /// How many of the newest are not part of a change yet.
    unsaved: usize,
    /// The names of those that are not part of a change yet but can no longer be read.
    unsaved_names: Vec<Text>,
}

/// Why a group could not be changed. The group is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// An active tracker with that name has a different definition.
    #[error("conflicting name: an active tracker named {} has a different definition", quoted(name))]
    ConflictingName {
        /// The name.
        name: String,
    },
    /// A name appears twice in one call.
    #[error("repeated name: {} appears twice in one call", quoted(name))]
    RepeatedName {
        /// The name.
        name: String,
    },
    /// The tracker comes from a template, which would take back the change.
    #[error("the tracker {} comes from the template {}; change the template instead", quoted(name), quoted(template))]
    FromTemplate {
        /// The name.
        name: String,
        /// The name of the template.
        template: String,
    },
    /// The group has used all 2³² - 1 generations.
    #[error("the group has no generations left for more trackers")]
    GenerationsExhausted,
    /// The new definition would be invalid.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The attributes are invalid.
    #[error("invalid attributes: {problem}")]
    Attributes {
        /// What is wrong.
        problem: String,
    },
    /// The renewal of a custom limiter failed.
    #[error(transparent)]
    Custom(#[from] CustomError),
}

/// What [`Group::add`] or [`Group::ensure`] did, by tracker name.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Added {
    /// New trackers.
    pub added: Vec<String>,
    /// Trackers that already existed with an equal definition.
    pub existing: Vec<String>,
    /// Completed trackers that were left alone; only from [`Group::ensure`].
    pub completed: Vec<String>,
    /// Trackers whose definition was replaced, including completed ones that gained targets; only from
    /// [`Group::ensure`] with [`Differing::Update`] or [`Differing::Replace`], and from [`Group::apply_templates`].
    pub updated: Vec<String>,
    /// Trackers that were removed because the list does not have them; only from [`Group::ensure`] with
    /// [`Differing::Replace`], and from [`Group::apply_templates`].
    pub removed: Vec<String>,
    /// The ADDED events.
    pub events: Vec<Arc<Event>>,
}

impl Added {
    /// What was done, as JSON: lists of names, and `events`.
    pub fn to_json(&self) -> Json {
        let names = |names: &[String]| names.iter().map(|name| Json::from(name.as_str())).collect::<Vec<_>>().into();
        object([
            ("added", names(&self.added)),
            ("existing", names(&self.existing)),
            ("completed", names(&self.completed)),
            ("updated", names(&self.updated)),
            ("removed", names(&self.removed)),
            ("events", self.events.iter().map(|event| event.to_json()).collect::<Vec<_>>().into()),
        ])
    }
}

/// A list of definitions that many groups must have, prepared once.
#[derive(Clone, Debug)]
pub struct TrackerList {
    set: Arc<DefinitionSet>,
    key: u64,
}

impl TrackerList {
    /// Prepares `definitions`.
    ///
    /// # Errors
    /// [`GroupError::RepeatedName`] if a name appears twice.
    pub fn new(definitions: Vec<Arc<TrackerDefinition>>, engine: &Engine) -> Result<Self, GroupError> {
        distinct_names(&definitions)?;
        let set = engine.sets.intern(definitions);
        Ok(Self { key: set.hash().short(), set })
    }

    /// The same list for another thread. Threads that track documents at the same time do not wait for each other's reference
    /// counts if the groups of each have a list of their own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { set: Arc::new(self.set.apart()), key: self.key }
    }

    /// Identifies this list and how it was ensured; never 0.
    fn key(&self, differing: Differing) -> u64 {
        let way = match differing {
            Differing::Refuse => 1,
            Differing::Update => 2,
            Differing::Replace => 3,
        };
        self.key & !3 | way
    }

    /// The definitions.
    pub fn definitions(&self) -> &[Arc<TrackerDefinition>] {
        self.set.trackers()
    }
}

/// What [`Group::ensure`] does about active trackers that differ from the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Differing {
    /// Fails with [`GroupError::ConflictingName`].
    Refuse,
    /// Adopts the list's definitions, as `update` does. Trackers that are not in the list stay.
    Update,
    /// Adopts the list's definitions, and removes trackers that are not in the list, except those of templates.
    Replace,
}

/// What a list of definitions is to a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A list of the caller.
    Caller(Differing),
    /// The trackers of templates, which replace those that it had of templates.
    Templates,
}

impl Source {
    /// Whether it replaces the definitions of trackers.
    fn updates(self) -> bool {
        self != Self::Caller(Differing::Refuse)
    }
}

/// What a group has for a definition in a list.
enum Found {
    /// An active tracker with that definition.
    Equal,
    /// An active tracker with a different definition.
    Different,
    /// A completed tracker that the definition gives no more targets.
    Completed,
    /// A completed tracker that the definition gives more targets.
    Gains,
    /// Nothing, but the definition has already expired: each attempt to add it would only fire another event.
    Expired,
    /// Nothing.
    Missing,
}

fn distinct_names(definitions: &[Arc<TrackerDefinition>]) -> Result<(), GroupError> {
    let mut names = HashSet::new();
    match definitions.iter().find(|definition| !names.insert(definition.name())) {
        Some(repeated) => Err(GroupError::RepeatedName { name: repeated.name().to_owned() }),
        None => Ok(()),
    }
}

/// The states of the limiters of `new`, which replaces `old`. An equal limiter keeps its state, a count with another
/// number keeps what was used, and the others start at that moment.
fn kept_limiters(
    at: At<'_>,
    old: &TrackerDefinition,
    states: &[LimiterState],
    new: &TrackerDefinition,
) -> LimiterStates {
    let at_moment = at.when;
    let mut left: Vec<_> = old.limiters().iter().zip(states).collect();
    let equal: Vec<_> = new
        .limiters()
        .iter()
        .map(|limiter| {
            let at = left.iter().position(|(before, _)| *before == limiter)?;
            Some(left.remove(at).1.clone())
        })
        .collect();
    let states = new.limiters().iter().zip(equal).map(|(limiter, equal)| {
        let used = |left: &mut Vec<(&LimiterDefinition, &LimiterState)>| {
            let (at, state) = left
                .iter()
                .enumerate()
                .find_map(|(at, (old, state))| Some((at, limiter.with_used(old, state, at_moment)?)))?;
            left.remove(at);
            Some(state)
        };
        equal.or_else(|| used(&mut left)).unwrap_or_else(|| limiter.begin(at.when, Some(at.engine)))
    });
    states.collect()
}

/// The state of the measure of `new`, which replaces `old`: it is kept if the measures are equal.
fn kept_measure(old: &TrackerDefinition, slot: &Slot, new: &TrackerDefinition) -> Option<Box<MeasureState>> {
    slot.extra.as_ref().filter(|_| old.kind() == new.kind())?.measure.clone()
}

impl Slot {
    /// Replaces the definition `old` of an active tracker, which keeps its progress, stage and cycle, and what stays of its
    /// limiters and its measure: in both open periods, if it has periods.
    fn replace_definition(&mut self, old: &TrackerDefinition, new: &TrackerDefinition, before: At<'_>, after: At<'_>) {
        let both = self.has_periods() && old.every().is_some();
        let streaks = (old.kind().freezes().is_some(), new.kind().freezes().is_some());
        if both && self.periods().is_some_and(|periods| periods.other.is_some()) {
            self.turn(old, before.when, Some(before.engine));
            let limiters = kept_limiters(after, old, self.limiters(), new);
            self.keep_part(old, new);
            self.turn(old, before.when, Some(before.engine));
            // Only now, since the limiters of the old definition changed places.
            if let Some(other) = self.periods_mut().and_then(|periods| periods.other.as_mut()) {
                other.limiters = limiters;
            }
        }
        let limiters = kept_limiters(after, old, self.limiters(), new);
        self.keep_part(old, new);
        if self.extra.is_some() || !limiters.is_empty() {
            self.extra().limiters = limiters;
        }
        match (old.every(), new.every()) {
            (Some(old), Some(new)) => self.replace_window(old, new, &before.when.place),
            (None, Some(every)) => self.gain_periods(every, after.when, None),
            (_, None) => {}
        }
        let targets = new.targets().len() as u16;
        if let (Some(periods), Some(freezes)) = (self.periods_mut(), new.kind().freezes()) {
            match &mut periods.streak {
                Some(streak) => streak.cut(targets, freezes),
                None => periods.streak = Some(Streak::new(freezes)),
            }
        }
        match streaks {
            (false, true) => (self.progress, self.stage) = (Amount::ZERO, 0),
            (true, false) => {
                if let Some(periods) = self.periods_mut() {
                    periods.streak = None;
                }
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Keeps what stays of the period that the slot holds. Targets gained end a rest.
    fn keep_part(&mut self, old: &TrackerDefinition, new: &TrackerDefinition) {
        let measure = kept_measure(old, self, new);
        if let Some(extra) = &mut self.extra {
            extra.measure = measure;
        }
        self.stage = self.stage.min(new.goals().len() as u16 - 1);
        if let Some(stage) = new.stage_after(old)
            && self.rests_since().is_some()
        {
            self.stage = stage;
            if let Some(periods) = self.periods_mut() {
                periods.here.completed_at = None;
            }
        }
    }
}

/// What every call needs: the engine, the group and the moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// What all groups share.
    pub engine: &'a Engine,
    /// The group's id.
    pub group: &'a str,
    /// The moment of the call.
    pub now: Timestamp,
    /// Whether events stay in the group until they are delivered.
    pub keep_events: bool,
}

impl<'a> Call<'a> {
    /// A call that does not keep events.
    pub fn new(engine: &'a Engine, group: &'a str, now: Timestamp) -> Self {
        Self { engine, group, now, keep_events: false }
    }

    /// Sets whether events stay in the group until they are delivered.
    #[must_use]
    pub fn keep_events(mut self, keep: bool) -> Self {
        self.keep_events = keep;
        self
    }
}

/// The facts of an event, apart from its tracker.
#[derive(Clone, Copy, Debug)]
struct Happened {
    code: EventCode,
    number: u64,
    progress: Amount,
    stage: u16,
    times: u64,
    limiter: Option<usize>,
}

impl Happened {
    fn new(code: EventCode, number: u64, progress: Amount, stage: u16) -> Self {
        Self { code, number, progress, stage, times: 1, limiter: None }
    }
}

impl Group {
    /// The number of changes so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The definitions of its trackers, possibly including completed ones.
    pub fn definition_set(&self) -> &Arc<DefinitionSet> {
        &self.set
    }

    /// The generation of the last tracker that was added.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The number of document ids that are remembered.
    pub fn known_ids(&self) -> usize {
        self.log.as_ref().map_or(0, |log| log.ids.len())
    }

    /// Reads the states of its first trackers. A cache calls this for many groups before it tracks documents in them, so that
    /// the processor fetches all of them at the same time. The result means nothing.
    pub fn warm(&self) -> u32 {
        /// Two states share a cache line. More lines than these are fetched in time while a document is tracked.
        const STATES: usize = 32;
        self.slots.iter().take(STATES).step_by(2).fold(0, |all, slot| all ^ slot.generation)
    }

    /// Whether this group has never been changed.
    pub fn is_blank(&self) -> bool {
        self.version == 0
    }

    fn active_slot(&self, name: &str, now: Timestamp) -> Option<usize> {
        self.set.position(name).filter(|&at| self.slots[at].active(now))
    }

    /// The names of the trackers that are active at `now`, in the order in which they were added.
    pub fn active_names(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let trackers = self.set.trackers().iter().zip(&self.slots);
        trackers.filter(move |(_, slot)| slot.active(now)).map(|(definition, _)| definition.name())
    }

    fn log(&mut self) -> &mut Log {
        self.log.get_or_insert_default()
    }

    /// Whether a tracker with this name has completed.
    fn has_completed(&self, name: &str) -> bool {
        self.log.as_ref().is_some_and(|log| log.completions.names.contains(name))
    }

    /// Its own zone.
    fn zone(&self) -> Option<Zone> {
        self.attributes.as_ref()?.zone
    }

    /// What says where the windows of a tracker of this group are.
    fn place(&self, engine: &Engine, definition: &TrackerDefinition, generation: u32) -> Place {
        let zone = definition.zone().or_else(|| self.zone()).unwrap_or(engine.zone);
        let added = if definition.depends_on_add() { self.adds.of(generation) } else { Timestamp::default() };
        Place { zones: engine.zones, zone, added }
    }

    fn when(&self, engine: &Engine, definition: &TrackerDefinition, generation: u32, now: Timestamp) -> When {
        When { now, place: self.place(engine, definition, generation) }
    }

    fn at<'e>(&self, call: &Call<'e>, definition: &TrackerDefinition, generation: u32) -> At<'e> {
        At { when: self.when(call.engine, definition, generation, call.now), engine: call.engine }
    }

    /// The tracker at a position as of `now`.
    fn snapshot(&self, engine: &Engine, at: usize, now: Timestamp) -> TrackerSnapshot {
        let (definition, slot) = (&self.set.trackers()[at], &self.slots[at]);
        TrackerSnapshot::of(definition, slot, self.when(engine, definition, slot.generation, now))
    }

    /// The trackers that are active at `now`, in the order in which they were added: all of them, or those in `names`.
    pub fn trackers(&self, engine: &Engine, names: Option<&[&str]>, now: Timestamp) -> Vec<TrackerSnapshot> {
        let listed = |at: &usize| {
            let name = self.set.trackers()[*at].name();
            self.slots[*at].active(now) && names.is_none_or(|names| names.contains(&name))
        };
        (0..self.slots.len()).filter(listed).map(|at| self.snapshot(engine, at, now)).collect()
    }

    /// The tracker of that name, if it is active at `now`.
    pub fn tracker(&self, engine: &Engine, name: &str, now: Timestamp) -> Option<TrackerSnapshot> {
        self.active_slot(name, now).map(|at| self.snapshot(engine, at, now))
    }

    /// The completed trackers that can still be read, in the order in which they completed.
    pub fn completed(&self) -> Vec<CompletedTracker> {
        self.log.as_ref().map_or_else(Vec::new, |log| log.completions.trackers.iter().cloned().collect())
    }

    /// What `document` would do at `now` to each tracker that has not completed. Changes nothing.
    pub fn explain(&self, engine: &Engine, document: &dyn Document, now: Timestamp) -> Vec<Explanation> {
        let trackers = self.set.trackers().iter().zip(&self.slots).filter(|(_, slot)| !slot.completed());
        trackers
            .map(|(definition, slot)| Explanation {
                name: definition.name().to_owned(),
                verdict: Reason::of(
                    definition,
                    slot,
                    document,
                    At { when: self.when(engine, definition, slot.generation, now), engine },
                ),
            })
            .collect()
    }

    /// The undelivered events, in order.
    pub fn undelivered(&self) -> Vec<Arc<Event>> {
        self.waiting_events().cloned().collect()
    }

    /// Like [`undelivered`](Self::undelivered), without a copy.
    pub fn waiting_events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.log.iter().flat_map(|log| &log.events)
    }

    /// The sequence of the last event, delivered or not; 0 if there was none.
    pub fn last_sequence(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.sequence)
    }

    /// Marks the events up to `sequence` as delivered. Returns whether that changed anything.
    pub fn mark_delivered(&mut self, sequence: u64) -> bool {
        let Some(log) = &mut self.log else { return false };
        if sequence <= log.delivered {
            return false;
        }
        log.delivered = sequence.min(log.sequence);
        while log.events.front().is_some_and(|event| event.sequence <= sequence) {
            log.events.pop_front();
        }
        self.version = self.version.saturating_add(1);
        true
    }

    /// Marks events as delivered, in order, up to the first one that is not in `told`. Returns whether that changed
    /// anything.
    ///
    /// Ids are compared because sequences are not enough: when a cache loses changes that the store does not have,
    /// their sequences are used again, for events that no listener has received.
    pub fn mark_events_delivered(&mut self, told: &[Arc<Event>]) -> bool {
        let mut left = told.iter().peekable();
        let same = |event: &&Arc<Event>| {
            while left.next_if(|told| told.sequence < event.sequence).is_some() {}
            left.next_if(|told| told.sequence == event.sequence && told.id() == event.id()).is_some()
        };
        let last = self.waiting_events().take_while(same).last().map(|event| event.sequence);
        last.is_some_and(|sequence| self.mark_delivered(sequence))
    }

    /// Adds trackers, either all or none of them.
    ///
    /// With `expire`, the new ones expire that long after `now`. A tracker whose name has completed is added again and
    /// starts from scratch.
    ///
    /// # Errors
    /// A [`GroupError`] if a name conflicts or appears twice, or if there are no generations left.
    pub fn add(
        &mut self,
        call: &Call<'_>,
        definitions: &[Arc<TrackerDefinition>],
        expire: Option<Span>,
    ) -> Result<Added, GroupError> {
        distinct_names(definitions)?;
        let mut result = Added::default();
        let mut new = Vec::new();
        for definition in definitions {
            match self.active_slot(definition.name(), call.now) {
                Some(at) if self.set.trackers()[at] == *definition => {
                    result.existing.push(definition.name().to_owned());
                }
                Some(_) => return Err(GroupError::ConflictingName { name: definition.name().to_owned() }),
                None => new.push(Arc::clone(definition)),
            }
        }
        self.append(call, new, expire, &mut result)?;
        Ok(result)
    }

    /// Whether `list` has been ensured in this way, no tracker was added, replaced or removed since, and none can
    /// expire.
    #[inline]
    pub fn has(&self, list: &TrackerList, differing: Differing) -> bool {
        // A group that was given a list in one way also has it for a caller that asks for less.
        self.ensured == list.key(differing)
            || (self.ensured ^ list.key(differing)) <= 3 && (self.ensured & 3) > list.key(differing) & 3
    }

    /// Makes sure that the group has the trackers in `list`, except those that have completed and those whose
    /// definition has expired. Unless `differing` refuses, a completed tracker that gains targets becomes active again, as in
    /// [`update`](Self::update).
    ///
    /// # Errors
    /// A [`GroupError`] if an active tracker differs and `differing` refuses that, or if there are no generations left.
    pub fn ensure(&mut self, call: &Call<'_>, list: &TrackerList, differing: Differing) -> Result<Added, GroupError> {
        let added = self.adopt(call, list, Source::Caller(differing))?;
        self.ensured = if self.has_for_good(list) { list.key(differing) } else { 0 };
        Ok(added)
    }

    /// Whether the group has the trackers that the current [templates](crate::template) give it.
    #[inline]
    pub fn has_templates(&self, engine: &Engine) -> bool {
        self.templated == engine.templates.key()
    }

    /// Makes sure that the group has the trackers that the current [templates](crate::template) give it, as
    /// [`ensure`](Self::ensure) with [`Differing::Update`] does, and removes active ones that came from a template that no
    /// longer gives them. What has completed stays.
    ///
    /// # Errors
    /// [`GroupError::GenerationsExhausted`] if there are no generations left.
    pub fn apply_templates(&mut self, call: &Call<'_>) -> Result<Added, GroupError> {
        let Some(templates) = call.engine.templates.get().filter(|templates| templates.key() != self.templated) else {
            return Ok(Added::default());
        };
        let list = templates.list(call.engine, call.group, self.attributes())?;
        let added = self.adopt(call, &list, Source::Templates)?;
        self.templated = if self.has_for_good(&list) { templates.key() } else { 0 };
        Ok(added)
    }

    /// The group with the trackers that the current templates give it: itself if it has them, else a copy.
    ///
    /// # Errors
    /// As [`apply_templates`](Self::apply_templates).
    pub fn with_templates(&self, call: &Call<'_>) -> Result<Cow<'_, Self>, GroupError> {
        if self.has_templates(call.engine) {
            return Ok(Cow::Borrowed(self));
        }
        let mut copy = self.clone();
        copy.apply_templates(call)?;
        Ok(Cow::Owned(copy))
    }

    /// Makes sure that a caller may change the definition of the tracker of that name. [Templates](crate::template) would change
    /// theirs back.
    fn check_changeable(&self, call: &Call<'_>, name: &str) -> Result<(), GroupError> {
        if call.engine.templates.key() == 0 {
            return Ok(());
        }
        let found = self.active_slot(name, call.now).and_then(|at| self.set.trackers()[at].template());
        match found {
            Some(template) => Err(GroupError::FromTemplate { name: name.to_owned(), template: template.to_owned() }),
            None => Ok(()),
        }
    }

    /// Gives the group the trackers in `list`.
    fn adopt(&mut self, call: &Call<'_>, list: &TrackerList, source: Source) -> Result<Added, GroupError> {
        let mut result = Added::default();
        let mut new = Vec::new();
        let mut changed = Vec::new();
        let mut revived = 0;
        for definition in list.definitions() {
            let name = definition.name();
            match self.found(definition, call.now, source) {
                Found::Equal => result.existing.push(name.to_owned()),
                Found::Different if !source.updates() => {
                    return Err(GroupError::ConflictingName { name: name.to_owned() });
                }
                Found::Different => changed.push(definition),
                Found::Gains if source.updates() => {
                    changed.push(definition);
                    revived += 1;
                }
                Found::Completed | Found::Gains => result.completed.push(name.to_owned()),
                Found::Expired => {}
                Found::Missing => new.push(Arc::clone(definition)),
            }
        }
        if source != Source::Templates {
            changed.iter().try_for_each(|definition| self.check_changeable(call, definition.name()))?;
        }
        self.spare_generations(call.engine, new.len() + revived)?;
        let surplus: Vec<String> = self.surplus(list, source, call.now).map(str::to_owned).collect();
        if !surplus.is_empty() {
            let names: Vec<&str> = surplus.iter().map(String::as_str).collect();
            result.removed = self.discard(&names, call.now);
        }
        for definition in changed {
            self.replace(call, definition)?;
            result.updated.push(definition.name().to_owned());
        }
        if self.slots.is_empty() && new.len() == list.definitions().len() {
            // In the common case, a new group, the list's set is shared.
            if !new.is_empty() {
                self.set = Arc::clone(&list.set);
                self.start(call, 0, None, &mut result)?;
            }
        } else {
            self.append(call, new, None, &mut result)?;
        }
        if !self.set.is_private() && self.set.hash() == list.set.hash() {
            // A group from a store has the definitions of all threads.
            self.set = Arc::clone(&list.set);
        }
        Ok(result)
    }

    /// Whether the group will have the trackers in `list`, which were just ensured, until its trackers change.
    fn has_for_good(&self, list: &TrackerList) -> bool {
        list.definitions().iter().all(|definition| match self.set.position(definition.name()) {
            // If it expires when its definition does, it is not ensured again.
            Some(at) => self.slots[at].completed() || self.slots[at].expire_at() == definition.expire_at(),
            // Otherwise its definition had expired, which an earlier document may see differently.
            None => self.has_completed(definition.name()),
        })
    }

    /// The names of the active trackers that the group has from `source` and that are not in `list`.
    fn surplus<'a>(&'a self, list: &'a TrackerList, source: Source, now: Timestamp) -> impl Iterator<Item = &'a str> {
        let trackers = self.set.trackers().iter().zip(&self.slots);
        let theirs = move |definition: &TrackerDefinition| match source {
            Source::Caller(Differing::Refuse | Differing::Update) => false,
            Source::Caller(Differing::Replace) => definition.template().is_none(),
            Source::Templates => definition.template().is_some(),
        };
        trackers
            .filter(move |(definition, slot)| {
                slot.active(now) && theirs(definition) && list.set.position(definition.name()).is_none()
            })
            .map(|(definition, _)| definition.name())
    }

    /// What the group has for a definition in a list.
    fn found(&self, definition: &TrackerDefinition, now: Timestamp, source: Source) -> Found {
        match self.active_slot(definition.name(), now) {
            Some(at) => {
                let equal = match source {
                    Source::Caller(_) => *self.set.trackers()[at] == *definition,
                    Source::Templates => self.set.trackers()[at].is_identical(definition),
                };
                if equal { Found::Equal } else { Found::Different }
            }
            None if self.has_completed(definition.name()) => match self.revivable(definition, now) {
                Some(_) => Found::Gains,
                None => Found::Completed,
            },
            None if definition.expire_at().is_some_and(|moment| now >= moment) => Found::Expired,
            None => Found::Missing,
        }
    }

    /// Whether [`ensure`](Self::ensure), in a way that does not refuse, would change something at `now`.
    pub fn differs_from(&self, list: &TrackerList, differing: Differing, now: Timestamp) -> bool {
        let source = Source::Caller(differing);
        let unchanged = |found| matches!(found, Found::Equal | Found::Completed | Found::Expired);
        list.definitions().iter().any(|definition| !unchanged(self.found(definition, now, source)))
            || self.surplus(list, source, now).next().is_some()
    }

    /// Adds `new` after the existing trackers.
    fn append(
        &mut self,
        call: &Call<'_>,
        new: Vec<Arc<TrackerDefinition>>,
        expire: Option<Span>,
        result: &mut Added,
    ) -> Result<(), GroupError> {
        if new.is_empty() {
            return Ok(());
        }
        self.spare_generations(call.engine, new.len())?;
        (self.ensured, self.templated) = (0, 0);
        let replaced = new.iter().any(|definition| self.set.position(definition.name()).is_some());
        if replaced || self.completed > 0 {
            self.rebuild(|definition, slot| {
                (!slot.completed() && !new.iter().any(|new| new.name() == definition.name()))
                    .then(|| Arc::clone(definition))
            });
        }
        let first = self.slots.len();
        match Arc::get_mut(&mut self.set) {
            Some(set) if set.is_private() => new.into_iter().for_each(|definition| set.push(definition)),
            _ => {
                let all = self.set.trackers().iter().cloned().chain(new).collect();
                self.set = Arc::new(DefinitionSet::new(all));
            }
        }
        self.start(call, first, expire.map(|span| call.now.saturating_add(span)), result)
    }

    /// Makes sure that there are generations left for `count` more trackers.
    fn spare_generations(&mut self, engine: &Engine, count: usize) -> Result<(), GroupError> {
        if self.generation == 0 {
            self.generation = engine.used_generations.load(Ordering::Relaxed);
        }
        let count = u32::try_from(count).ok();
        let last = count.and_then(|count| self.generation.checked_add(count));
        last.map(drop).ok_or(GroupError::GenerationsExhausted)
    }

    /// Creates the states of the definitions from position `first` on.
    fn start(
        &mut self,
        call: &Call<'_>,
        first: usize,
        expire_at: Option<Timestamp>,
        result: &mut Added,
    ) -> Result<(), GroupError> {
        let set = Arc::clone(&self.set);
        self.spare_generations(call.engine, set.trackers().len() - first)?;
        self.slots.reserve_exact(set.trackers().len() - first);
        self.adds.note(self.generation + 1, call.now);
        for definition in &set.trackers()[first..] {
            self.generation += 1;
            let when = self.when(call.engine, definition, self.generation, call.now);
            let slot = Slot::new(definition, self.generation, expire_at, when, call.engine);
            result.added.push(definition.name().to_owned());
            let happened = Happened::new(EventCode::Added, 0, slot.progress, 0);
            let event = self.event(call, happened, definition, &slot);
            result.events.push(event);
            self.slots.push(slot);
        }
        self.reshaped = true;
        self.version = self.version.saturating_add(1);
        Ok(())
    }

    /// Keeps the trackers for which `keep` returns a definition, with their states.
    fn rebuild(&mut self, keep: impl Fn(&Arc<TrackerDefinition>, &Slot) -> Option<Arc<TrackerDefinition>>) {
        let old = std::mem::take(&mut self.slots);
        let mut definitions = Vec::new();
        for (definition, slot) in self.set.trackers().iter().zip(old) {
            if let Some(definition) = keep(definition, &slot) {
                definitions.push(definition);
                self.slots.push(slot);
            }
        }
        self.set = Arc::new(DefinitionSet::new(definitions));
        self.adds.retain(self.slots.iter().map(|slot| slot.generation));
        self.completed = self.slots.iter().filter(|slot| slot.completed()).count() as u32;
        (self.ensured, self.templated) = (0, 0);
        self.reshaped = true;
    }

    /// Removes active trackers and returns the names of those that it removed.
    ///
    /// # Errors
    /// [`GroupError::FromTemplate`] if one comes from a [template](crate::template). Nothing has changed then.
    pub fn remove(&mut self, call: &Call<'_>, names: &[&str]) -> Result<Vec<String>, GroupError> {
        names.iter().try_for_each(|name| self.check_changeable(call, name))?;
        Ok(self.discard(names, call.now))
    }

    fn discard(&mut self, names: &[&str], now: Timestamp) -> Vec<String> {
        let found: HashSet<&str> = names.iter().copied().filter(|name| self.active_slot(name, now).is_some()).collect();
        if found.is_empty() {
            return Vec::new();
        }
        self.rebuild(|definition, _| (!found.contains(definition.name())).then(|| Arc::clone(definition)));
        self.version = self.version.saturating_add(1);
        let mut listed = HashSet::new();
        names
            .iter()
            .filter(|name| found.contains(*name) && listed.insert(**name))
            .map(|&name| name.to_owned())
            .collect()
    }

    /// Replaces the definition of the active tracker with the same name. Returns `false` if there is none.
    ///
    /// The tracker keeps its progress, stage (or gets the last one, if there are fewer now), cycle, generation and
    /// expiry, and the state of an equal measure and of equal limiters. A `count` limiter with another number keeps
    /// what was used. No event fires.
    ///
    /// A completed tracker that gains targets becomes active again: with its progress, at the first of the new targets,
    /// after the existing trackers. It gets a new generation, so that its events get new ids. A completed tracker for
    /// which only the name is known stays completed.
    ///
    /// # Errors
    /// [`GroupError::FromTemplate`] if it comes from a [template](crate::template);
    /// [`GroupError::GenerationsExhausted`] if a completed tracker cannot be made active again.
    pub fn update(&mut self, call: &Call<'_>, definition: &Arc<TrackerDefinition>) -> Result<bool, GroupError> {
        self.check_changeable(call, definition.name())?;
        self.replace(call, definition)
    }

    fn replace(&mut self, call: &Call<'_>, definition: &Arc<TrackerDefinition>) -> Result<bool, GroupError> {
        let Some(at) = self.active_slot(definition.name(), call.now) else { return self.revive(call, definition) };
        let old = Arc::clone(&self.set.trackers()[at]);
        if old.is_identical(definition) {
            return Ok(true);
        }
        let slot = self.updated(call, &old, at, definition);
        self.rebuild(|present, _| {
            Some(Arc::clone(if present.name() == definition.name() { definition } else { present }))
        });
        self.slots[at] = slot;
        self.version = self.version.saturating_add(1);
        Ok(true)
    }

    /// The state of the tracker at a position after `new` replaces its definition.
    fn updated(&self, call: &Call<'_>, old: &TrackerDefinition, at: usize, new: &TrackerDefinition) -> Slot {
        let mut slot = self.slots[at].clone();
        // The windows that end were cut by the old definition.
        let before = self.at(call, old, slot.generation);
        let after = self.at(call, new, slot.generation);
        if old.every().is_some() && new.every().is_none() {
            // The tracker keeps what it has in the period of this moment.
            slot = slot.entered(old, before.when);
            (slot.progress, slot.stage) = slot.seen(old);
            slot.set_periods(None);
        }
        slot.replace_definition(old, new, before, after);
        slot
    }

    /// The completed tracker with this name as it was then, if more than its name is known and it has not expired
    /// since.
    fn last_completed(&self, name: &str, now: Timestamp) -> Option<TrackerSnapshot> {
        let completed = match self.set.position(name) {
            // A tracker that completes has no periods, so the zone does not matter.
            Some(at) if self.slots[at].completed() => {
                TrackerSnapshot::of(&self.set.trackers()[at], &self.slots[at], When::default().at(now))
            }
            // It was added again and has expired.
            Some(_) => return None,
            None => {
                let all = &self.log.as_ref()?.completions.trackers;
                all.iter().rev().find(|completed| completed.tracker.name() == name)?.tracker.clone()
            }
        };
        completed.expire_at.is_none_or(|moment| now < moment).then_some(completed)
    }

    /// The completed tracker with this name and the stage at which it resumes, if `definition` has more targets than it had, or
    /// none at all.
    fn revivable(&self, definition: &TrackerDefinition, now: Timestamp) -> Option<(TrackerSnapshot, u16)> {
        let completed = self.last_completed(definition.name(), now)?;
        definition.stage_after(&completed.definition).map(|stage| (completed, stage))
    }

    /// Makes the completed tracker with this name active again if it gains targets. Returns `false` if there is none.
    fn revive(&mut self, call: &Call<'_>, definition: &Arc<TrackerDefinition>) -> Result<bool, GroupError> {
        let Some((completed, stage)) = self.revivable(definition, call.now) else { return Ok(false) };
        self.spare_generations(call.engine, 1)?;
        // Its earlier events were numbered from 0, and how many there were may no longer be known. The new generation
        // gives the next events new ids.
        self.generation += 1;
        self.adds.note(self.generation, call.now);
        let at = self.at(call, definition, self.generation);
        let extra = Extra {
            limiters: kept_limiters(at, &completed.definition, completed.slot().limiters(), definition),
            cycle: completed.cycle,
            expire_at: completed.expire_at,
            measure: kept_measure(&completed.definition, completed.slot(), definition),
            ..Extra::default()
        };
        let marks = Marks { limited: completed.limited, completed: false };
        self.rebuild(|present, _| (present.name() != definition.name()).then(|| Arc::clone(present)));
        let all = self.set.trackers().iter().chain([definition]).cloned().collect();
        self.set = Arc::new(DefinitionSet::new(all));
        let mut slot = Slot::from_parts(completed.progress, self.generation, stage, marks, extra);
        if let Some(every) = definition.every() {
            slot.gain_periods(every, at.when, definition.kind().freezes().map(Streak::new));
        }
        self.slots.push(slot);
        self.version = self.version.saturating_add(1);
        Ok(true)
    }

    /// Forgets the group: its trackers, history, completed names, document ids, undelivered events and attributes. What stays
    /// are numbers, so that no version, event id or sequence is used again. Returns whether there was anything.
    pub fn forget(&mut self) -> bool {
        let has_log = self
            .log
            .as_ref()
            .is_some_and(|log| !log.events.is_empty() || !log.completions.names.is_empty() || log.ids.len() > 0);
        if self.slots.is_empty() && self.attributes.is_none() && !has_log {
            return false;
        }
        let log = self.log.take().map(|mut log| {
            log.ids.forget();
            let sequence = log.sequence;
            Box::new(Log { ids: log.ids, sequence, saved_sequence: sequence, delivered: sequence, ..Log::default() })
        });
        let (version, generation, taken) = (self.version.saturating_add(1), self.generation, self.taken);
        let deletions = self.deletions.saturating_add(1);
        *self = Self { version, generation, taken, deletions, reshaped: true, forgotten: true, log, ..Self::default() };
        true
    }

    /// Sets the progress of an active tracker without firing events: the next document that counts completes the stages
    /// that the progress has reached. Returns `false` if there is no such tracker.
    ///
    /// A tracker with `every` has a progress in each open period; this sets that of the period of `call.now`, and finds no
    /// tracker if that period has ended for good. A streak has no progress to set, so it is not found either.
    pub fn set_progress(&mut self, call: &Call<'_>, name: &str, progress: Amount) -> bool {
        let Some(at) = self.active_slot(name, call.now) else { return false };
        let set = Arc::clone(&self.set);
        let definition = &set.trackers()[at];
        let when = self.at(call, definition, self.slots[at].generation).when;
        let slot = &mut self.slots[at];
        if definition.kind().freezes().is_some() {
            return false;
        }
        if let Entered::Late { .. } = slot.enter(definition, when, Some(call.engine)) {
            return false;
        }
        slot.progress = progress;
        slot.turn_back(definition, when);
        slot.changed = true;
        self.version = self.version.saturating_add(1);
        true
    }

    /// Appends targets to an active or completed tracker, as [`update`](Self::update) does. Returns `false` if there is
    /// none with this name.
    ///
    /// # Errors
    /// [`GroupError::Definition`] if the result would be an invalid definition; otherwise as [`update`](Self::update).
    pub fn add_targets(&mut self, call: &Call<'_>, name: &str, targets: &[Amount]) -> Result<bool, GroupError> {
        let definition = match self.active_slot(name, call.now) {
            Some(at) => Arc::clone(&self.set.trackers()[at]),
            None => match self.last_completed(name, call.now) {
                Some(completed) => completed.definition,
                None => return Ok(false),
            },
        };
        self.update(call, &Arc::new(definition.with_targets(targets.iter().copied())?))
    }

    /// Resets an active tracker and fires RESET. Returns `None` if there is none with this name.
    ///
    /// Without a policy, the tracker's own policy applies. Of a tracker with `every`, this resets the period of `call.now`,
    /// and finds no tracker if that period has ended for good; limiters with a window get their full number in both open
    /// periods of theirs. A streak whose progress is reset is as it was when it was added.
    ///
    /// # Errors
    /// [`GroupError::Custom`] if a custom limiter cannot be renewed. Nothing has changed then.
    pub fn reset(
        &mut self,
        call: &Call<'_>,
        name: &str,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
    ) -> Result<Option<Arc<Event>>, GroupError> {
        let Some(at) = self.active_slot(name, call.now) else { return Ok(None) };
        let definition = Arc::clone(&self.set.trackers()[at]);
        let policy = policy.unwrap_or_else(|| definition.reset_policy());
        let here = self.at(call, &definition, self.slots[at].generation);
        let mut slot = self.slots[at].clone();
        if let Entered::Late { .. } = slot.enter(&definition, here.when, Some(call.engine)) {
            return Ok(None);
        }
        if policy.limiter {
            slot.set_limited(false);
            if !definition.limiters().is_empty() {
                let states = definition.limiters().iter().zip(slot.limiters());
                slot.extra().limiters =
                    states.map(|(limiter, state)| limiter.renewed(state, renewal, here)).collect::<Result<_, _>>()?;
            }
        }
        if policy.progress {
            slot.progress = Amount::ZERO;
            slot.stage = 0;
            if let Some(extra) = &mut slot.extra {
                extra.measure = None;
            }
            slot.reset_periods(definition.kind().freezes());
        }
        let number = slot.extra().resets;
        slot.extra().resets = number.saturating_add(1);
        let (progress, stage) = slot.seen(&definition);
        let happened = Happened::new(EventCode::Reset, number, progress, stage);
        let event = self.event(call, happened, &definition, &slot);
        slot.turn_back(&definition, here.when);
        slot.changed = true;
        self.slots[at] = slot;
        self.version = self.version.saturating_add(1);
        Ok(Some(event))
    }

    /// Creates an event and, if events are kept, stores it until it is delivered.
    fn event(
        &mut self,
        call: &Call<'_>,
        happened: Happened,
        definition: &Arc<TrackerDefinition>,
        slot: &Slot,
    ) -> Arc<Event> {
        let Happened { code, number, progress, stage, times, limiter } = happened;
        let sequence = if call.keep_events {
            let log = self.log();
            log.sequence = log.sequence.saturating_add(1);
            log.sequence
        } else {
            0
        };
        let event = Arc::new(Event {
            number,
            code,
            occurred_at: call.now,
            group: call.group.into(),
            stage: usize::from(stage) + 1,
            target: definition.target_of(usize::from(stage) + 1),
            progress,
            times,
            limiter,
            tracker: TrackerSnapshot::of(
                definition,
                slot,
                self.when(call.engine, definition, slot.generation, call.now),
            ),
            sequence,
        });
        if sequence > 0 {
            self.log().events.push_back(Arc::clone(&event));
        }
        event
    }

    /// Records that the tracker at position `at` has completed.
    fn complete(&mut self, engine: &Engine, at: usize, now: Timestamp) {
        let keep = engine.limits.completed;
        self.completed += 1;
        let tracker = self.snapshot(engine, at, now);
        let all = Arc::make_mut(&mut self.log().completions);
        all.names.insert(tracker.name().into());
        all.trackers.push_back(CompletedTracker { tracker, completed_at: now });
        all.unsaved += 1;
        while all.trackers.len() > keep {
            let Some(oldest) = all.trackers.pop_front() else { break };
            if all.unsaved > all.trackers.len() {
                all.unsaved -= 1;
                all.unsaved_names.push(oldest.tracker.name().into());
            }
        }
    }

    /// Drops the slots of completed trackers once a large group consists mostly of them.
    fn compact(&mut self) {
        const WORTH_IT: u32 = 64;
        if self.completed > WORTH_IT && self.completed as usize * 2 > self.slots.len() {
            let had = (self.ensured, self.templated);
            self.rebuild(|definition, slot| (!slot.completed()).then(|| Arc::clone(definition)));
            // Completed trackers are left alone anyway, so the group still has the list, and what templates give it.
            (self.ensured, self.templated) = had;
        }
    }

    /// Whether a document with this id was applied.
    fn knows(&self, id: ContentHash) -> bool {
        self.log.as_ref().is_some_and(|log| log.ids.contains(id))
    }

    /// An estimate of the heap memory of this group in bytes, without the shared definitions.
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes_without_ids() + self.log.as_ref().map_or(0, |log| log.ids.heap_bytes())
    }

    /// Like [`heap_bytes`](Self::heap_bytes), without the document ids.
    pub fn heap_bytes_without_ids(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Slot>() + self.slots.iter().map(Slot::heap_bytes).sum::<usize>();
        let log = self.log.as_ref().map_or(0, |log| {
            size_of::<Log>()
                + (log.events.len() + log.completions.trackers.len()) * (size_of::<Event>() + 64)
                + log.completions.names.capacity() * 48
        });
        slots + log
    }
}
