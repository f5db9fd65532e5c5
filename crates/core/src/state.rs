//! The state of a tracker: what changes as documents are tracked.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::amount::Amount;
use crate::definition::TrackerDefinition;
use crate::engine::{Engine, When};
use crate::json::{Json, Map, object};
use crate::limiter::{LimiterState, LimiterView};
use crate::measure::MeasureState;
use crate::number::Number;
use crate::period::{PeriodRecord, Periods};
use crate::streak::Streak;
use crate::time::Timestamp;
use crate::window::{Period, Place};

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
    pub(crate) completions: u64,
    /// What the measure remembers.
    pub(crate) measure: Option<Box<MeasureState>>,
    /// Of a tracker with `every`, where it is in time.
    pub(crate) periods: Option<Box<Periods>>,
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
const PERIODS: u8 = 8;

impl Slot {
    /// The state of a newly added tracker.
    pub(crate) fn new(
        definition: &TrackerDefinition,
        generation: u32,
        expire_at: Option<Timestamp>,
        when: When,
        engine: &Engine,
    ) -> Self {
        let limiters = definition.limiters().iter().map(|limiter| limiter.begin(when, Some(engine))).collect();
        let expire_at = match (expire_at, definition.expire_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let periods = definition.every().map(|_| {
            let streak = definition.kind().freezes().map(Streak::new);
            Box::new(Periods { streak, ..Periods::default() })
        });
        let extra = Extra { limiters, expire_at, periods, ..Extra::default() };
        Self::from_parts(definition.init_progress(), generation, 0, Marks::default(), extra)
    }

    /// The state with these parts.
    pub(crate) fn from_parts(progress: Amount, generation: u32, stage: u16, marks: Marks, extra: Extra) -> Self {
        let Marks { limited, completed } = marks;
        let expires = if extra.expire_at.is_some() { EXPIRES } else { 0 };
        let periodic = if extra.periods.is_some() { PERIODS } else { 0 };
        let flags = if limited { LIMITED } else { 0 } | if completed { COMPLETED } else { 0 } | expires | periodic;
        let Extra { ref limiters, cycle, expire_at, stages, limits, resets, completions, ref measure, ref periods } =
            extra;
        let plain = limiters.is_empty()
            && expire_at.is_none()
            && measure.is_none()
            && periods.is_none()
            && [cycle, stages, limits, resets, completions].iter().all(|&number| number == 0);
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

    /// Whether it counts, rests or has completed.
    pub(crate) fn status(&self) -> Status {
        match self.rests_since() {
            _ if self.completed() => Status::Completed,
            Some(_) => Status::Resting,
            None => Status::Active,
        }
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

    /// Whether it is the state of a tracker with `every`.
    #[inline]
    pub(crate) fn has_periods(&self) -> bool {
        self.flags & PERIODS != 0
    }

    pub(crate) fn set_periods(&mut self, periods: Option<Periods>) {
        self.flags = if periods.is_some() { self.flags | PERIODS } else { self.flags & !PERIODS };
        if periods.is_some() || self.extra.is_some() {
            self.extra().periods = periods.map(Box::new);
        }
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
        let targets = definition.goals();
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
            let periods = extra.periods.as_ref().map_or(0, |periods| ALLOCATED + periods.heap_bytes());
            let states = extra.limiters.iter().map(|state| state.heap_bytes() + ALLOCATED).sum::<usize>();
            ALLOCATED + size_of::<Extra>() + limiters + states + periods
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
    /// Whether it counts, rests until its period ends, or has completed.
    pub status: Status,
    /// Of a tracker with `every`, the period of the moment.
    pub period: Option<Period>,
    /// Of a streak, how many freezes are left.
    pub freezes: Option<u64>,
    /// The limiters in definition order.
    pub limiters: Vec<LimiterView>,
    /// The number of the tracker's add within its group; never reused.
    pub generation: u32,
    /// The moment at which it expires.
    pub expire_at: Option<Timestamp>,
    slot: Slot,
    place: Place,
}

/// How far a tracker has come. It prints as `3/10` or, without a target, as `3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    pub(crate) progress: Amount,
    pub(crate) target: Option<Amount>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Some(target) => write!(f, "{}/{target}", self.progress),
            None => self.progress.fmt(f),
        }
    }
}

/// Whether a tracker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It counts.
    Active,
    /// It has reached its last target and starts again when its period ends.
    Resting,
    /// It has reached its last target.
    Completed,
}

impl Status {
    /// The status in one word: `active`, `resting` or `completed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Resting => "resting",
            Self::Completed => "completed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for TrackerSnapshot {
    /// Whether both show the same.
    fn eq(&self, other: &Self) -> bool {
        let shown = |it: &Self| (it.as_of, it.progress, it.stage, it.cycle, it.limited, it.completed);
        shown(self) == shown(other)
            && (self.generation, self.expire_at) == (other.generation, other.expire_at)
            && (self.status, self.period, self.freezes) == (other.status, other.period, other.freezes)
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
            .field("status", &self.status)
            .field("period", &self.period)
            .field("freezes", &self.freezes)
            .field("limiters", &self.limiters)
            .field("generation", &self.generation)
            .field("expire_at", &self.expire_at)
            .finish_non_exhaustive()
    }
}

impl TrackerSnapshot {
    pub(crate) fn of(definition: &Arc<TrackerDefinition>, slot: &Slot, when: When) -> Self {
        let entered = slot.has_periods().then(|| slot.entered(definition, when));
        let mut slot = slot.clone();
        slot.turn_back(definition, when);
        let shown = entered.as_ref().unwrap_or(&slot);
        let (progress, stage) = shown.seen(definition);
        Self {
            definition: Arc::clone(definition),
            as_of: when.now,
            progress,
            stage: usize::from(stage) + 1,
            cycle: shown.extra.as_ref().map_or(0, |extra| extra.cycle),
            limited: shown.is_limited(definition, when),
            completed: shown.completed(),
            status: shown.status(),
            period: shown.period(),
            freezes: shown.run(definition).map(|run| run.freezes),
            limiters: shown.limiter_views(definition, when),
            generation: shown.generation,
            expire_at: shown.expire_at(),
            place: when.place,
            slot,
        }
    }

    /// The same tracker as of another moment, assuming that nothing else changes it.
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Self {
        Self::of(&self.definition, &self.slot, When { now: moment, place: self.place })
    }

    /// The open periods and the remembered closed ones in which documents counted, oldest first, as of its moment.
    pub fn periods(&self) -> Vec<PeriodRecord> {
        self.slot.history(&self.definition, When { now: self.as_of, place: self.place })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The tracker's name.
    pub fn name(&self) -> &str {
        self.definition.name()
    }

    /// The current target; `None` if the tracker has no targets.
    pub fn target(&self) -> Option<Amount> {
        self.definition.target_of(self.stage)
    }

    /// The progress and the target: `3/10`.
    pub fn tally(&self) -> Tally {
        Tally { progress: self.progress, target: self.target() }
    }

    /// The snapshot as JSON: name, progress, target, stage, stages, limited, status, limiters and, where they apply, period,
    /// freezes, cycle and `expire_at`.
    pub fn to_json(&self) -> Json {
        self.to_map().into()
    }

    /// The fields of [`to_json`](Self::to_json).
    pub(crate) fn to_map(&self) -> Map {
        let view = View {
            definition: &self.definition,
            progress: self.progress,
            target: self.target(),
            stage: self.stage,
            limited: self.limited,
            status: self.status,
            period: self.period,
            freezes: self.freezes,
            cycle: self.definition.loop_forever().then_some(self.cycle),
            expire_at: self.expire_at,
        };
        view.to_map(self.limiters.iter().map(LimiterView::to_json))
    }
}

/// What every view of a tracker shows. Public for the Python package only.
#[doc(hidden)]
#[derive(Debug)]
pub struct View<'a> {
    pub definition: &'a TrackerDefinition,
    pub progress: Amount,
    pub target: Option<Amount>,
    pub stage: usize,
    pub limited: bool,
    pub status: Status,
    pub period: Option<Period>,
    pub freezes: Option<u64>,
    /// If it is known and the targets start again.
    pub cycle: Option<u64>,
    pub expire_at: Option<Timestamp>,
}

impl View<'_> {
    /// The fields as JSON, with those of its limiters.
    pub fn to_map(&self, limiters: impl Iterator<Item = Json>) -> Map {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("name", self.definition.name().into());
        put("progress", Number::Exact(self.progress).into());
        put("target", self.target.map_or(Json::Null, |target| Number::Exact(target).into()));
        put("stage", (self.stage as u64).into());
        put("stages", (self.definition.targets().len() as u64).into());
        put("limited", self.limited.into());
        put("status", self.status.name().into());
        if let Some(period) = self.period {
            let bounds = [("start", period.start()), ("end", period.end())];
            put("period", object(bounds.map(|(key, moment)| (key, moment.to_number().into()))));
        }
        if let Some(freezes) = self.freezes {
            put("freezes", freezes.into());
        }
        put("limiters", limiters.collect::<Vec<_>>().into());
        if let Some(cycle) = self.cycle {
            put("cycle", cycle.into());
        }
        if let Some(moment) = self.expire_at {
            put("expire_at", moment.to_number().into());
        }
        map
    }
}
