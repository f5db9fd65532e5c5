//! The periods of a tracker with `every`: a state for each of the two open ones, and what is remembered of closed ones.
//!
//! The slot of such a tracker holds the state of its current period. To act on another one, a call enters it: a later
//! period begins with a new state; for the earlier open period the two states change places until the call leaves it.

use std::collections::VecDeque;

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::TrackerDefinition;
use crate::engine::{Ask, At, Engine, When};
use crate::json::{Json, Map};
use crate::limiter::{LimiterDefinition, LimiterState, LimiterView, Refusal, Verdict};
use crate::measure::{Freezes, MeasureState};
use crate::number::Number;
use crate::state::{LimiterStates, Slot};
use crate::streak::Streak;
use crate::time::Timestamp;
use crate::window::{In, Open, Period, Place, Window};

/// That a tracker starts again in each period of a window.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Every {
    /// The periods.
    pub window: Window,
    /// How many closed periods are remembered.
    pub keep: u16,
}

impl Every {
    /// How many closed periods are remembered by default.
    pub(crate) const KEEP: u16 = 1;
    /// How many may be.
    pub(crate) const MOST: u16 = 1_000;

    pub(crate) fn keep_in_words() -> String {
        format!("a whole number from 0 to {}", Self::MOST)
    }
}

/// Where a tracker with `every` is in time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Periods {
    /// The open periods; `None` until something changes.
    pub(crate) open: Option<Open>,
    /// About the period whose state the slot holds.
    pub(crate) here: Here,
    /// The state of the other open period; `None` if it is as new.
    pub(crate) other: Option<Box<Part>>,
    /// Whether the slot holds the state of the earlier open period. Only while a call acts on it.
    pub(crate) turned: bool,
    /// Closed periods in which documents counted, oldest first.
    pub(crate) closed: VecDeque<PeriodRecord>,
    pub(crate) streak: Option<Streak>,
}

/// What is known of a period besides the state of its tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Here {
    /// Whether a document counted in it.
    pub(crate) counted: bool,
    /// When its last target was reached. The tracker rests from then on.
    pub(crate) completed_at: Option<Timestamp>,
}

/// The state of the tracker in one period.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) progress: Amount,
    pub(crate) stage: u16,
    pub(crate) cycle: u64,
    pub(crate) limited: bool,
    pub(crate) here: Here,
    /// One for each limiter; those with a window of their own are not in use.
    pub(crate) limiters: LimiterStates,
    pub(crate) measure: Option<Box<MeasureState>>,
}

/// What a tracker did in a period.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PeriodRecord {
    /// The period.
    pub period: Period,
    /// The progress at its end; of a streak, what its documents reached.
    pub progress: Amount,
    /// The stage, counted from one.
    pub stage: usize,
    /// How many times a looping tracker has restarted its targets.
    pub cycle: u64,
    /// When the last target was reached, if it was.
    pub completed_at: Option<Timestamp>,
    /// Of a streak, whether the period was met.
    pub met: Option<bool>,
}

impl PeriodRecord {
    /// The record as JSON: start, end, progress and, of a streak, met; otherwise stage, cycle and `completed_at`.
    pub fn to_json(&self) -> Json {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("start", self.period.start().to_number().into());
        put("end", self.period.end().to_number().into());
        put("progress", Number::Exact(self.progress).into());
        match self.met {
            Some(met) => put("met", met.into()),
            None => {
                put("stage", (self.stage as u64).into());
                put("cycle", self.cycle.into());
                put("completed_at", self.completed_at.map_or(Json::Null, |moment| moment.to_number().into()));
            }
        }
        map.into()
    }
}

impl Part {
    /// The state with which a period begins: that of an add.
    fn begin(definition: &TrackerDefinition, period: Period, when: When, engine: Option<&Engine>) -> Self {
        let added = when.place.added;
        let start = if period.contains(added) { added } else { period.start() };
        let limiters = definition.limiters().iter().map(|limiter| limiter.begin(when.at(start), engine));
        Self {
            progress: definition.init_progress(),
            stage: 0,
            cycle: 0,
            limited: false,
            here: Here::default(),
            limiters: limiters.collect(),
            measure: None,
        }
    }
}

/// Which period a call entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The current one.
    Current,
    /// The earlier open one. The slot must be [turned back](Slot::turn).
    Earlier,
    /// A later one, which is current now.
    Later,
    /// None, because it has ended for good.
    Late {
        /// When it ended.
        ended: Timestamp,
    },
}

impl Slot {
    pub(crate) fn periods(&self) -> Option<&Periods> {
        self.extra.as_ref()?.periods.as_deref()
    }

    pub(crate) fn periods_mut(&mut self) -> Option<&mut Periods> {
        self.extra.as_mut()?.periods.as_deref_mut()
    }

    /// The state of a tracker that begins to have periods at a moment, in the period of that moment.
    pub(crate) fn gain_periods(&mut self, every: &Every, when: When, streak: Option<Streak>) {
        let open = match Open::find(None, &every.window, &when.place, when.now) {
            In::Later { open, .. } => Some(open),
            In::Late { .. } | In::Previous(_) | In::Current(_) => None,
        };
        self.set_periods(Some(Periods { open, streak, ..Periods::default() }));
    }

    /// Replaces the window and the number of periods to remember. The current period ends as it would have.
    pub(crate) fn replace_window(&mut self, old: &Every, new: &Every, place: &Place) {
        let Some(periods) = self.periods_mut() else { return };
        if old.window != new.window {
            periods.open = periods.open.map(|open| open.changed(&old.window, place));
        }
        while periods.closed.len() > usize::from(new.keep) {
            periods.closed.pop_front();
        }
    }

    /// Ends the rest of the period that the slot holds. A streak starts from scratch, in both open periods.
    pub(crate) fn reset_periods(&mut self, freezes: Option<Freezes>) {
        let Some(periods) = self.periods_mut() else { return };
        periods.here.completed_at = None;
        if let Some(freezes) = freezes {
            periods.streak = Some(Streak::new(freezes));
            if let Some(other) = &mut periods.other {
                other.progress = Amount::ZERO;
            }
        }
    }

    /// The open period that the slot holds the state of.
    pub(crate) fn period(&self) -> Option<Period> {
        let periods = self.periods()?;
        let open = periods.open?;
        Some(if periods.turned { open.previous() } else { open.current() })
    }

    /// Enters the period of a moment.
    pub(crate) fn enter(&mut self, definition: &TrackerDefinition, when: When, engine: Option<&Engine>) -> Entered {
        let (Some(every), Some(periods)) = (definition.every(), self.periods()) else { return Entered::Current };
        match Open::find(periods.open, &every.window, &when.place, when.now) {
            In::Late { ended } => Entered::Late { ended },
            In::Previous(_) => {
                self.turn(definition, when, engine);
                Entered::Earlier
            }
            In::Current(_) => Entered::Current,
            In::Later { follows, between, open, .. } => {
                self.roll(definition, when, engine, open, follows.then_some(()).ok_or(between));
                Entered::Later
            }
        }
    }

    /// Whether [`enter`](Self::enter) would begin a later period.
    pub(crate) fn enters_later(&self, definition: &TrackerDefinition, when: When) -> bool {
        definition.every().zip(self.periods()).is_some_and(|(every, periods)| {
            matches!(Open::find(periods.open, &every.window, &when.place, when.now), In::Later { .. })
        })
    }

    /// Marks what a limiter has refused or run out of: the limiter itself if it has a window, otherwise the tracker. Returns
    /// whether the mark did not hold before.
    pub(crate) fn mark(&mut self, definition: &TrackerDefinition, limiter: usize, when: When) -> bool {
        let definition = &definition.limiters()[limiter];
        if definition.has_window() {
            return definition.mark(&mut self.extra().limiters[limiter], when);
        }
        let begins = !self.limited();
        self.set_limited(true);
        begins
    }

    /// Ends the marks of the limiters that are as new. Returns whether that changed anything.
    pub(crate) fn settle(&mut self, definition: &TrackerDefinition, when: When) -> bool {
        let Some(extra) = &mut self.extra else { return false };
        let states = definition.limiters().iter().zip(&mut extra.limiters);
        states.fold(false, |changed, (limiter, state)| limiter.settle(state, when) | changed)
    }

    /// Exchanges the states of the two open periods.
    pub(crate) fn turn(&mut self, definition: &TrackerDefinition, when: When, engine: Option<&Engine>) {
        let Some(open) = self.periods().and_then(|periods| periods.open) else { return };
        let other = self.periods_mut().and_then(|periods| periods.other.take());
        let mut other = other.unwrap_or_else(|| Box::new(Part::begin(definition, open.previous(), when, engine)));
        self.exchange(&mut other, definition);
        if let Some(periods) = self.periods_mut() {
            periods.other = Some(other);
            periods.turned = !periods.turned;
        }
    }

    /// Exchanges the state of the slot with that of another period.
    fn exchange(&mut self, other: &mut Part, definition: &TrackerDefinition) {
        use std::mem::swap;
        swap(&mut self.progress, &mut other.progress);
        swap(&mut self.stage, &mut other.stage);
        let limited = self.limited();
        self.set_limited(other.limited);
        other.limited = limited;
        let extra = self.extra();
        swap(&mut extra.cycle, &mut other.cycle);
        swap(&mut extra.measure, &mut other.measure);
        if let Some(periods) = &mut extra.periods {
            swap(&mut periods.here, &mut other.here);
        }
        let states = extra.limiters.iter_mut().zip(&mut other.limiters);
        for ((here, there), limiter) in states.zip(definition.limiters()) {
            if !limiter.has_window() {
                swap(here, there);
            }
        }
    }

    /// Makes `open` the open periods. `next` is an error if the current period is none of them; it says how many periods
    /// lie between.
    fn roll(
        &mut self,
        definition: &TrackerDefinition,
        when: When,
        engine: Option<&Engine>,
        open: Open,
        next: Result<(), u64>,
    ) {
        let before = self.periods().and_then(|periods| periods.open);
        let mut begun = Part::begin(definition, open.current(), when, engine);
        self.exchange(&mut begun, definition);
        let ended = Box::new(begun);
        let keep = definition.every().map_or(0, |every| usize::from(every.keep));
        let freezes = definition.kind().freezes();
        let Some(periods) = self.periods_mut() else { return };
        periods.open = Some(open);
        let Some(before) = before else { return };
        let met = periods.streak.map(|streak| streak.links.map(|link| link.met));
        let earlier = periods.other.take();
        let earlier = earlier.and_then(|part| part.record(before.previous(), met.map(|[met, _]| met)));
        periods.closed.extend(earlier);
        match next {
            Ok(()) => periods.other = Some(ended),
            Err(_) => periods.closed.extend(ended.record(before.current(), met.map(|[_, met]| met))),
        }
        while periods.closed.len() > keep {
            periods.closed.pop_front();
        }
        if let (Some(streak), Some(freezes)) = (&mut periods.streak, freezes) {
            match next {
                Ok(()) => streak.follow(freezes),
                Err(missed) => streak.jump(missed, freezes),
            }
        }
    }

    /// The slot with the state of the period of a moment; if it is late, that of the earlier open period.
    pub(crate) fn entered(&self, definition: &TrackerDefinition, when: When) -> Self {
        let mut slot = self.clone();
        slot.turn_back(definition, when);
        if let Entered::Late { .. } = slot.enter(definition, when, None) {
            slot.turn(definition, when, None);
        }
        slot
    }

    /// Leaves the earlier open period.
    pub(crate) fn turn_back(&mut self, definition: &TrackerDefinition, when: When) {
        if self.periods().is_some_and(|periods| periods.turned) {
            self.turn(definition, when, None);
        }
    }

    /// The index of the period that the slot holds the state of among the links of a streak.
    pub(crate) fn link(&self) -> usize {
        usize::from(!self.periods().is_some_and(|periods| periods.turned))
    }

    /// When the last target of its period was reached, if it was.
    pub(crate) fn rests_since(&self) -> Option<Timestamp> {
        self.periods()?.here.completed_at
    }

    /// The open periods and the remembered closed ones in which documents counted, oldest first, as of a moment.
    pub(crate) fn history(&self, definition: &TrackerDefinition, when: When) -> Vec<PeriodRecord> {
        let Some(periods) = self.periods() else { return Vec::new() };
        let current = periods.open.map_or(when.now, |open| open.current().start());
        let slot = self.entered(definition, when.at(when.now.max(current)));
        let Some((periods, open)) = slot.periods().and_then(|periods| Some((periods, periods.open?))) else {
            return Vec::new();
        };
        let met = periods.streak.map(|streak| streak.links.map(|link| link.met));
        let earlier = periods.other.as_ref().and_then(|part| part.record(open.previous(), met.map(|[met, _]| met)));
        let current = record(
            open.current(),
            periods.here,
            slot.progress,
            slot.stage,
            slot.extra.as_ref().map_or(0, |extra| extra.cycle),
            met.map(|[_, met]| met),
        );
        periods.closed.iter().cloned().chain(earlier).chain(current).collect()
    }

    /// What users see of the limiters of a tracker that is in the period of the moment.
    pub(crate) fn limiter_views(&self, definition: &TrackerDefinition, when: When) -> Vec<LimiterView> {
        let limiters = definition.limiters().iter().zip(self.limiters());
        let view = |(position, (limiter, state)): (usize, (&LimiterDefinition, &LimiterState))| match self.period() {
            Some(period) if !limiter.has_window() => {
                // As of a late moment, users see what holds when the first open period starts.
                let when = when.at(when.now.max(period.start()));
                let mut view = limiter.view(state, when);
                if view.state.is_none() {
                    self.look_ahead(&mut view, limiter, position, period, when);
                }
                view
            }
            _ => limiter.view(state, when),
        };
        limiters.enumerate().map(view).collect()
    }

    /// Lets the view of a limiter without a window see the periods that follow, in which it is as new.
    fn look_ahead(
        &self,
        view: &mut LimiterView,
        limiter: &LimiterDefinition,
        position: usize,
        period: Period,
        when: When,
    ) {
        if view.retry_at.is_none_or(|moment| !period.contains(moment)) {
            view.retry_at =
                self.first_in(limiter, position, when, |limiter, state, when| limiter.view(state, when).retry_at);
        }
        let unused = |view: &LimiterView| view.limit == view.remaining;
        if !unused(view) {
            let following = self.following(limiter, position, when);
            let mut following = following.into_iter();
            view.reset_at =
                following.find_map(|(period, state)| unused(&limiter.view(&state, when.at(period))).then_some(period));
        }
    }

    /// The starts of the periods after the one that the slot holds, each with the state of a limiter without a window.
    /// All later ones are like the last.
    fn following(&self, limiter: &LimiterDefinition, position: usize, when: When) -> Vec<(Timestamp, LimiterState)> {
        let mut following = Vec::with_capacity(2);
        let Some((periods, open)) = self.periods().and_then(|periods| Some((periods, periods.open?))) else {
            return following;
        };
        if periods.turned
            && let Some(state) = periods.other.as_ref().and_then(|other| other.limiters.get(position))
        {
            following.push((open.current().start(), state.clone()));
        }
        if let Some(next) = open.current().end().finite() {
            following.push((next, limiter.begin(when.at(next), None)));
        }
        following
    }

    /// The first moment that `find` gives for one of the following periods.
    fn first_in(
        &self,
        limiter: &LimiterDefinition,
        position: usize,
        when: When,
        find: impl Fn(&LimiterDefinition, &LimiterState, When) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        let following = self.following(limiter, position, when);
        let last = following.last().map(|(start, _)| *start);
        following.iter().find_map(|(start, state)| {
            let found = find(limiter, state, when.at(*start))?;
            // In a period that ends, a moment after its end does not count.
            (Some(*start) == last || last.is_none_or(|last| found < last)).then_some(found)
        })
    }

    /// When the period that a document would count in has ended, if that was too long ago: the tracker's, or that of one of
    /// its limiters.
    pub(crate) fn late(&self, definition: &TrackerDefinition, when: When) -> Option<Timestamp> {
        let own = definition.every().zip(self.periods()).and_then(|(every, periods)| {
            match Open::find(periods.open, &every.window, &when.place, when.now) {
                In::Late { ended } => Some(ended),
                In::Previous(_) | In::Current(_) | In::Later { .. } => None,
            }
        });
        own.or_else(|| {
            definition.limiters().iter().zip(self.limiters()).find_map(|(limiter, state)| limiter.late(state, when))
        })
    }

    /// The first limiter that refuses, and until when, in the period that the slot holds.
    pub(crate) fn refusing(
        &self,
        definition: &TrackerDefinition,
        ask: &Ask<'_>,
    ) -> Result<Option<Refusal>, CustomError> {
        for (position, (limiter, state)) in definition.limiters().iter().zip(self.limiters()).enumerate() {
            if let Verdict::Refused { until } = limiter.admits(state, ask)? {
                let until = self.refused_until(limiter, position, ask, until);
                return Ok(Some(Refusal { limiter: position, until }));
            }
        }
        Ok(None)
    }

    /// Until when a limiter refuses: without a window, it is as new in the following periods.
    fn refused_until(
        &self,
        limiter: &LimiterDefinition,
        position: usize,
        ask: &Ask<'_>,
        until: Option<Timestamp>,
    ) -> Option<Timestamp> {
        match self.period() {
            Some(period)
                if !limiter.has_window()
                    && !limiter.is_custom()
                    && until.is_none_or(|until| !period.contains(until)) =>
            {
                self.first_in(limiter, position, ask.at.when, |limiter, state, when| {
                    let ask = Ask { at: At { when, ..ask.at }, ..*ask };
                    match limiter.admits(state, &ask).ok()? {
                        Verdict::Admitted => Some(when.now),
                        Verdict::Refused { until } => until,
                    }
                })
            }
            _ => until,
        }
    }

    /// Whether the tracker's mark or that of one of its limiters holds.
    pub(crate) fn is_limited(&self, definition: &TrackerDefinition, when: When) -> bool {
        self.limited() || definition.limiters().iter().zip(self.limiters()).any(|(it, state)| it.is_marked(state, when))
    }

    /// The progress and the stage that users see: of a streak, those of its run.
    pub(crate) fn seen(&self, definition: &TrackerDefinition) -> (Amount, u16) {
        match self.run(definition) {
            Some(run) => {
                let last = definition.goals().len() as u16 - 1;
                (run.length.into(), run.fired.min(last))
            }
            None => (self.progress, self.stage),
        }
    }

    /// The run of a streak.
    pub(crate) fn run(&self, definition: &TrackerDefinition) -> Option<crate::streak::Run> {
        Some(self.periods()?.streak?.run(definition.kind().freezes()?))
    }
}

impl Periods {
    /// Its memory in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let other = self.other.as_ref().map_or(0, |_| size_of::<Part>() + 16);
        size_of::<Self>() + other + self.closed.capacity() * size_of::<PeriodRecord>()
    }
}

impl Part {
    fn record(&self, period: Period, met: Option<bool>) -> Option<PeriodRecord> {
        record(period, self.here, self.progress, self.stage, self.cycle, met)
    }
}

/// The record of a period, if a document counted in it.
fn record(
    period: Period,
    here: Here,
    progress: Amount,
    stage: u16,
    cycle: u64,
    met: Option<bool>,
) -> Option<PeriodRecord> {
    let completed_at = here.completed_at;
    let stage = usize::from(stage) + 1;
    here.counted.then_some(PeriodRecord { period, progress, stage, cycle, completed_at, met })
}
