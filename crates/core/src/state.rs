//! The state of a tracker: what changes as documents are tracked.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::amount::Amount;
use crate::definition::TrackerDefinition;
use crate::engine::At;
use crate::json::{Json, Map};
use crate::limiter::{LimiterState, LimiterView};
use crate::measure::MeasureState;
use crate::number::Number;
use crate::time::Timestamp;

/// The state of one tracker: 32 bytes, and nothing on the heap for a tracker that only counts.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) progress: Amount,
    pub(crate) extra: Option<Box<Extra>>,
    /// The number of the tracker's add within its group; never reused.
    pub(crate) generation: u32,
    /// The position of the current target.
    pub(crate) stage: u16,
    flags: u8,
    /// Whether it has changed since the group's last change was taken.
    pub(crate) changed: bool,
}

/// The states of a tracker's limiters; most have one.
pub(crate) type LimiterStates = SmallVec<[LimiterState; 1]>;

/// What only some trackers need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    /// One for each limiter of the definition.
    pub(crate) limiters: LimiterStates,
    /// How many times the targets have started again.
    pub(crate) cycle: u64,
    pub(crate) expire_at: Option<Timestamp>,
    /// How many events of these codes the tracker has had. Each is also the number of the next such event.
    pub(crate) stages: u64,
    pub(crate) limits: u64,
    pub(crate) resets: u64,
    /// What the measure remembers.
    pub(crate) measure: Option<Box<MeasureState>>,
}

/// How a tracker is marked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) limited: bool,
    pub(crate) completed: bool,
}

const LIMITED: u8 = 1;
const COMPLETED: u8 = 2;
const EXPIRES: u8 = 4;

impl Slot {
    /// The state of a newly added tracker.
    pub(crate) fn new(
        definition: &TrackerDefinition,
        generation: u32,
        expire_at: Option<Timestamp>,
        at: At<'_>,
    ) -> Self {
        let limiters = definition.limiters().iter().map(|limiter| limiter.begin(at)).collect();
        let expire_at = match (expire_at, definition.expire_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let extra = Extra { limiters, expire_at, ..Extra::default() };
        Self::from_parts(definition.init_progress(), generation, 0, Marks::default(), extra)
    }

    /// The state with these parts.
    pub(crate) fn from_parts(progress: Amount, generation: u32, stage: u16, marks: Marks, extra: Extra) -> Self {
        let Marks { limited, completed } = marks;
        let expires = if extra.expire_at.is_some() { EXPIRES } else { 0 };
        let flags = if limited { LIMITED } else { 0 } | if completed { COMPLETED } else { 0 } | expires;
        let Extra { ref limiters, cycle, expire_at, stages, limits, resets, ref measure } = extra;
        let plain = limiters.is_empty()
            && expire_at.is_none()
            && measure.is_none()
            && [cycle, stages, limits, resets].iter().all(|&number| number == 0);
        Self { progress, extra: (!plain).then(|| Box::new(extra)), generation, stage, flags, changed: false }
    }

    /// Whether this tracker only counts towards its first target.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        (u16::from(self.flags) | self.stage) == 0
    }

    /// Whether none of its flags is set.
    #[inline]
    pub(crate) fn is_unmarked(&self) -> bool {
        self.flags == 0
    }

    pub(crate) fn limited(&self) -> bool {
        self.flags & LIMITED != 0
    }

    pub(crate) fn set_limited(&mut self, limited: bool) {
        self.flags = if limited { self.flags | LIMITED } else { self.flags & !LIMITED };
    }

    pub(crate) fn completed(&self) -> bool {
        self.flags & COMPLETED != 0
    }

    pub(crate) fn set_completed(&mut self) {
        self.flags |= COMPLETED;
    }

    /// Whether the tracker has expired at `now`.
    pub(crate) fn expired(&self, now: Timestamp) -> bool {
        self.flags & EXPIRES != 0 && self.expire_at().is_some_and(|moment| now >= moment)
    }

    pub(crate) fn expire_at(&self) -> Option<Timestamp> {
        self.extra.as_ref().and_then(|extra| extra.expire_at)
    }

    /// Whether the tracker is neither completed nor expired at `now`.
    pub(crate) fn active(&self, now: Timestamp) -> bool {
        !self.completed() && !self.expired(now)
    }

    pub(crate) fn limiters(&self) -> &[LimiterState] {
        self.extra.as_ref().map_or(&[], |extra| &extra.limiters)
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Whether 64 bits are enough to number the stage events up to `progress`. A document that needs more is out of
    /// range.
    pub(crate) fn numbers_events(&self, definition: &TrackerDefinition, progress: Amount) -> bool {
        let targets = definition.targets();
        if progress < targets[usize::from(self.stage)] {
            return true;
        }
        let stages = self.extra.as_ref().map_or(0, |extra| extra.stages);
        let last = targets[targets.len() - 1];
        // With the policy `progress`, a reached target sets the progress to 0, so one document ends no more than one
        // cycle.
        let repeats = definition.loop_forever() && !definition.reset_policy().progress;
        let cycles = if repeats && progress >= last { progress.cycles(last).0 } else { 0 };
        let events = cycles.checked_add(1).and_then(|cycles| cycles.checked_mul(targets.len() as u64));
        events.and_then(|events| stages.checked_add(events)).is_some()
    }

    /// The heap memory of this state in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// What the allocator adds to each allocation.
        const ALLOCATED: usize = 16;
        self.extra.as_ref().map_or(0, |extra| {
            let limiters = match extra.limiters.spilled() {
                true => ALLOCATED + extra.limiters.capacity() * size_of::<LimiterState>(),
                false => 0,
            };
            ALLOCATED + size_of::<Extra>() + limiters
        })
    }
}

/// A tracker as of a moment.
#[derive(Clone)]
#[non_exhaustive]
pub struct TrackerSnapshot {
    /// The tracker's definition.
    pub definition: Arc<TrackerDefinition>,
    /// The moment for which it shows the tracker.
    pub as_of: Timestamp,
    /// The progress.
    pub progress: Amount,
    /// The current stage, counted from one; the last one if the tracker is completed.
    pub stage: usize,
    /// How many times a looping tracker has restarted its targets.
    pub cycle: u64,
    /// Whether the tracker is marked limited.
    pub limited: bool,
    /// Whether it has reached its last target.
    pub completed: bool,
    /// The limiters in definition order.
    pub limiters: Vec<LimiterView>,
    /// The number of the tracker's add within its group; never reused.
    pub generation: u32,
    /// The moment at which it expires.
    pub expire_at: Option<Timestamp>,
    slot: Slot,
}

impl PartialEq for TrackerSnapshot {
    /// Whether both show the same.
    fn eq(&self, other: &Self) -> bool {
        let shown = |it: &Self| (it.as_of, it.progress, it.stage, it.cycle, it.limited, it.completed);
        shown(self) == shown(other)
            && (self.generation, self.expire_at) == (other.generation, other.expire_at)
            && self.limiters == other.limiters
            && self.definition == other.definition
    }
}

impl fmt::Debug for TrackerSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackerSnapshot")
            .field("definition", &self.definition)
            .field("as_of", &self.as_of)
            .field("progress", &self.progress)
            .field("stage", &self.stage)
            .field("cycle", &self.cycle)
            .field("limited", &self.limited)
            .field("completed", &self.completed)
            .field("limiters", &self.limiters)
            .field("generation", &self.generation)
            .field("expire_at", &self.expire_at)
            .finish_non_exhaustive()
    }
}

impl TrackerSnapshot {
    pub(crate) fn of(definition: &Arc<TrackerDefinition>, slot: &Slot, as_of: Timestamp) -> Self {
        let limiters = definition.limiters().iter().zip(slot.limiters());
        Self {
            definition: Arc::clone(definition),
            as_of,
            progress: slot.progress,
            stage: usize::from(slot.stage) + 1,
            cycle: slot.extra.as_ref().map_or(0, |extra| extra.cycle),
            limited: slot.limited(),
            completed: slot.completed(),
            limiters: limiters.map(|(limiter, state)| limiter.view(state, as_of)).collect(),
            generation: slot.generation,
            expire_at: slot.expire_at(),
            slot: slot.clone(),
        }
    }

    /// The same tracker as of another moment, assuming that nothing else changes it.
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Self {
        Self::of(&self.definition, &self.slot, moment)
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The tracker's name.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// The current target.
    pub fn target(&self) -> Amount {
        self.definition.targets()[self.stage - 1]
    }

    /// The snapshot as JSON: name, progress, target, stage, stages, limited, limiters and, where they apply, cycle and
    /// `expire_at`.
    pub fn to_json(&self) -> Json {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("name", self.name().into());
        put("progress", Number::Exact(self.progress).into());
        put("target", Number::Exact(self.target()).into());
        put("stage", (self.stage as u64).into());
        put("stages", (self.definition.targets().len() as u64).into());
        put("limited", self.limited.into());
        put("limiters", self.limiters.iter().map(LimiterView::to_json).collect::<Vec<_>>().into());
        if self.definition.loop_forever() {
            put("cycle", self.cycle.into());
        }
        if let Some(moment) = self.expire_at {
            put("expire_at", moment.to_number().into());
        }
        map.into()
    }
}
