//! Tracking one document in one group.

use std::hint::select_unpredictable;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Call, Differing, Group, GroupError, Happened, TrackerList};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::TrackerDefinition;
use crate::document::Document;
use crate::engine::{Ask, At, Engine};
use crate::event::EventCode;
use crate::hash::ContentHash;
use crate::index::{ASKED, COUNT, Hot, Index, Scratch, View};
use crate::limiter::{LimiterDefinition, Refusal};
use crate::measure::{Kind, Measure, MeasureState, Streak, number_of};
use crate::outcome::{
    COMPLETED, COUNTED, DIRTIED, Entry, LISTED, MARKED, MARKED_NOW, Outcome, REFUSED, Seen, SkipReason,
};
use crate::set::DefinitionSet;
use crate::state::Slot;
use crate::time::Timestamp;
use crate::window::Place;
use crate::zone::Zone;

/// A document to track in a group.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Track<'a> {
    /// The document.
    pub document: &'a dyn Document,
    /// The moment for limiters, expiry and events.
    pub now: Timestamp,
    /// The time on the manager's clock, which decides how old ids are.
    pub clock: Timestamp,
    /// The hash of the document's id, if it has one. A document with an id is applied only once.
    pub id: Option<ContentHash>,
    /// Whether events stay in the group until they are delivered.
    pub keep_events: bool,
}

impl<'a> Track<'a> {
    /// A document at a moment, without an id. The manager's clock shows the same, and events are not kept.
    pub fn new(document: &'a dyn Document, now: Timestamp) -> Self {
        Self { document, now, clock: now, id: None, keep_events: false }
    }

    /// Sets the time on the manager's clock.
    #[must_use]
    pub fn clock(mut self, clock: Timestamp) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the hash of the document's id.
    #[must_use]
    pub fn id(mut self, id: Option<ContentHash>) -> Self {
        self.id = id;
        self
    }

    /// Sets whether events stay in the group until they are delivered.
    #[must_use]
    pub fn keep_events(mut self, keep: bool) -> Self {
        self.keep_events = keep;
        self
    }

    pub(super) fn call<'c>(&self, engine: &'c Engine, group: &'c str) -> Call<'c> {
        Call::new(engine, group, self.now).keep_events(self.keep_events)
    }
}

impl std::fmt::Debug for Track<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track").field("now", &self.now).field("id", &self.id).finish_non_exhaustive()
    }
}

/// The distinct amounts that one document may add, by [`Hot::amount`]. With them, counting and summing take the same
/// path: a branch between the two would be mispredicted half of the time.
type Sums = SmallVec<[Sum; 4]>;

/// An amount, or a special value outside the range of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(i128);

impl Sum {
    /// Not read yet.
    const UNREAD: Self = Self(i128::MIN);
    /// The document has no such amount. Adding this to any progress overflows or gives a negative number.
    const NOTHING: Self = Self(i128::MIN + 1);
}

struct Step<'a> {
    index: &'a Index,
    trackers: &'a [Arc<TrackerDefinition>],
    call: Call<'a>,
    view: View<'a>,
    sums: Sums,
    outcome: Outcome,
    /// The zone of the group, if it has one.
    zone: Option<Zone>,
    /// The position of the current tracker's entry.
    position: u32,
}

/// A tracker whose conditions hold, and what the document adds to it.
#[derive(Clone, Copy)]
struct Counting<'a> {
    definition: &'a Arc<TrackerDefinition>,
    at: u32,
    moment: At<'a>,
    amount: Amount,
}

impl Group {
    /// Applies one document: either the whole group changes or nothing does.
    pub fn track(&mut self, engine: &Engine, group: &str, track: &Track<'_>) -> Outcome {
        if self.repeats(track) {
            return Outcome::repeat(self.version);
        }
        self.share_set(engine);
        let set = Arc::clone(&self.set);
        let outcome = self.apply(engine, group, track, set, Outcome::at(track.now));
        self.finish(engine, track, outcome)
    }

    /// Like [`track`](Self::track), but reuses the memory of `used`, an earlier outcome, and its reference to the
    /// definitions.
    pub fn track_again(&mut self, engine: &Engine, group: &str, track: &Track<'_>, mut used: Outcome) -> Outcome {
        if self.repeats(track) {
            return Outcome::repeat(self.version);
        }
        self.share_set(engine);
        let set = used.take_set().filter(|set| Arc::ptr_eq(set, &self.set)).unwrap_or_else(|| Arc::clone(&self.set));
        let outcome = self.apply(engine, group, track, set, used.cleared(track.now));
        self.finish(engine, track, outcome)
    }

    /// Whether a document with this id was applied before.
    #[inline]
    fn repeats(&self, track: &Track<'_>) -> bool {
        track.id.is_some_and(|id| self.knows(id))
    }

    /// Whether a document needs [`ensure_and_track`](Self::ensure_and_track): whether the group may lack trackers that the
    /// current [templates](crate::template) give it, or trackers of a list.
    #[inline]
    pub fn may_lack(&self, engine: &Engine, ensure: Option<(&TrackerList, Differing)>) -> bool {
        !self.has_templates(engine) || ensure.is_some_and(|(list, differing)| !self.has(list, differing))
    }

    /// Makes sure that the group has the trackers that the current [templates](crate::template) give it, and those in a list,
    /// then applies one document, all as one change.
    ///
    /// # Errors
    /// As [`apply_templates`](Self::apply_templates) and [`ensure`](Self::ensure). The document has not been applied then, but
    /// the group may have trackers of templates that it did not have before.
    pub fn ensure_and_track(
        &mut self,
        engine: &Engine,
        group: &str,
        track: &Track<'_>,
        ensure: Option<(&TrackerList, Differing)>,
    ) -> Result<Outcome, GroupError> {
        if !self.may_lack(engine, ensure) || self.repeats(track) {
            return Ok(self.track(engine, group, track));
        }
        let (before, call) = (self.version, track.call(engine, group));
        let mut events = self.apply_templates(&call)?.events;
        if let Some((list, differing)) = ensure.filter(|(list, differing)| !self.has(list, *differing)) {
            events.extend(self.ensure(&call, list, differing)?.events);
        }
        let ensured = self.version != before;
        let mut outcome = self.track(engine, group, track);
        if ensured {
            outcome.mark_changed();
            outcome.made(self.version);
        }
        if !events.is_empty() {
            outcome.rare().events.splice(0..0, events);
        }
        Ok(outcome)
    }

    /// Whether a document may run custom code.
    pub fn asks_custom(&mut self, engine: &Engine) -> bool {
        self.share_set(engine);
        self.set.index().asks_custom
    }

    /// Shares the definition set with other groups that have an equal one.
    pub(super) fn share_set(&mut self, engine: &Engine) {
        if self.set.is_private() {
            self.set = engine.sets.share(std::mem::take(&mut self.set));
        }
    }

    fn finish(&mut self, engine: &Engine, track: &Track<'_>, mut outcome: Outcome) -> Outcome {
        if let Some(id) = track.id {
            self.log().ids.insert(id, track.clock, &engine.limits);
            outcome.mark_changed();
        }
        if outcome.changed() {
            self.version = self.version.saturating_add(1);
            outcome.made(self.version);
            self.compact();
        }
        outcome
    }

    /// Applies the document and leaves `set`, the definitions of the group, and what happened in `outcome`, which is blank.
    pub(super) fn apply(
        &mut self,
        engine: &Engine,
        group: &str,
        track: &Track<'_>,
        set: Arc<DefinitionSet>,
        outcome: Outcome,
    ) -> Outcome {
        let mut outcome = {
            let index = set.index();
            let mut scratch = Scratch::take();
            let mut step = Step {
                index,
                trackers: set.trackers(),
                call: track.call(engine, group),
                view: View::new(track.document, index),
                sums: SmallVec::from_elem(Sum::UNREAD, index.sums().end as usize),
                outcome,
                zone: self.zone(),
                position: 0,
            };
            step.sums[COUNT as usize] = Sum(Amount::ONE.units());
            step.sums[ASKED as usize] = Sum::NOTHING;
            let Step { view, outcome, call, .. } = &mut step;
            index.select(view, &mut scratch, |hot, view, scratch| self.passes(&set, hot, view, scratch, call, outcome));
            step.outcome.reserve(scratch.matches().0.len());
            self.count_all(&mut step, &mut scratch);
            scratch.give();
            step.outcome
        };
        outcome.put_set(set);
        outcome
    }

    /// Whether a match passes its predicates. Custom predicates of an inactive tracker are not run. Otherwise the slot
    /// is not read here, because the counting loop fetches all slots in parallel.
    #[inline]
    fn passes(
        &self,
        set: &DefinitionSet,
        hot: &Hot,
        view: &mut View<'_>,
        scratch: &mut Scratch,
        call: &Call<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if hot.asks_custom && !self.slots[hot.tracker as usize].active(call.now) {
            return false;
        }
        set.index().holds(hot, set.trackers(), view, scratch, &call.engine.registry).unwrap_or_else(|error| {
            fail(outcome, hot.tracker, error);
            false
        })
    }

    /// Counts every match, in order: first the plain ones, then the others one by one.
    fn count_all(&mut self, step: &mut Step<'_>, scratch: &mut Scratch) {
        let (matches, later) = scratch.matches();
        step.read_sums(matches);
        let (slots, hot, entries) = (&mut self.slots[..], &step.index.hot[..], &mut step.outcome.entries);
        let put_off = if step.index.is_dense() {
            count_plain::<true>(slots, hot, &step.sums, matches, entries, later)
        } else {
            count_plain::<false>(slots, hot, &step.sums, matches, entries, later)
        };
        if put_off == 0 {
            return step.outcome.settle(false);
        }
        step.outcome.rare().limiters.reserve(put_off);
        for &position in &later[..put_off] {
            let hot = &step.index.hot[matches[position as usize] as usize];
            let slot = &mut self.slots[hot.tracker as usize];
            if slot.is_unmarked() {
                if let Some(entry) = count_within(slot, hot, step) {
                    step.outcome.entries[position as usize] = entry;
                    continue;
                }
            } else if !slot.active(step.call.now) {
                continue;
            }
            step.position = position;
            self.count_fully(step, hot);
        }
        step.outcome.settle(true);
    }

    #[cold]
    fn skip(step: &mut Step<'_>, at: u32, reason: SkipReason) {
        step.outcome.rare().skipped.push((at, reason));
    }

    /// Counts an active tracker whose conditions hold.
    #[inline(never)]
    fn count_fully(&mut self, step: &mut Step<'_>, hot: &Hot) {
        let at = hot.tracker;
        let events = step.outcome.rare.as_ref().map_or(0, |rare| rare.events.len());
        let backup = step.needs_backup(at).then(|| (self.slots[at as usize].clone(), self.log.clone()));
        if let Err(error) = self.try_count(step, hot) {
            // A custom limiter failed halfway: restore the tracker as it was.
            if let Some((slot, log)) = backup {
                self.slots[at as usize] = slot;
                self.log = log;
                step.outcome.rare().events.truncate(events);
            }
            fail(&mut step.outcome, at, error);
        }
    }

    fn try_count(&mut self, step: &mut Step<'_>, hot: &Hot) -> Result<(), CustomError> {
        let at = hot.tracker;
        let Step { trackers, call, .. } = *step;
        let definition = &trackers[at as usize];
        let moment = self.at(&call, definition, self.slots[at as usize].generation);
        let amount = self.amount(step, hot, moment)?;
        let has_numbers =
            || definition.limiters().iter().all(|limiter| limiter.check_number(step.view.document).is_ok());
        let Some((amount, remembered)) = amount.filter(|_| has_numbers()) else {
            Self::skip(step, at, SkipReason::NoAmount);
            return Ok(());
        };
        let counting = Counting { definition, at, moment, amount };
        if !self.slots[at as usize].has_periods() {
            return self.count_here(step, &counting, remembered);
        }
        if self.slots[at as usize].late(definition, moment.when).is_some() {
            Self::skip(step, at, SkipReason::Late);
            return Ok(());
        }
        let before =
            self.slots[at as usize].enters_later(definition, moment.when).then(|| self.slots[at as usize].clone());
        self.slots[at as usize].enter(definition, moment.when, Some(call.engine));
        let counted = if self.slots[at as usize].rests_since().is_some() {
            Self::skip(step, at, SkipReason::Resting);
            Ok(())
        } else {
            self.count_here(step, &counting, remembered)
        };
        self.slots[at as usize].turn_back(definition, moment.when);
        let changed = step.outcome.entries[step.position as usize].flags & DIRTIED != 0;
        if let (Some(before), false) = (before, changed) {
            // Nothing begins a period unless it changes something.
            self.slots[at as usize] = before;
        }
        counted
    }

    /// Counts a tracker in the period that its slot holds.
    fn count_here(
        &mut self,
        step: &mut Step<'_>,
        counting: &Counting<'_>,
        remembered: Option<MeasureState>,
    ) -> Result<(), CustomError> {
        let Counting { definition, at, moment, amount } = *counting;
        let ask = Ask { at: moment, document: step.view.document, amount };
        if !self.slots[at as usize].has_periods() && self.slots[at as usize].late(definition, moment.when).is_some() {
            Self::skip(step, at, SkipReason::Late);
            return Ok(());
        }
        if let Some(refusal) = self.slots[at as usize].refusing(definition, &ask)? {
            self.refuse(step, counting, refusal);
            return Ok(());
        }
        let progress = self.slots[at as usize].progress.checked_add(amount);
        let Some(progress) = progress.filter(|&sum| self.slots[at as usize].numbers_events(definition, sum)) else {
            Self::skip(step, at, SkipReason::OutOfRange);
            return Ok(());
        };
        let slot = &mut self.slots[at as usize];
        slot.settle(definition, moment.when);
        if let Some(extra) = &mut slot.extra {
            for (limiter, state) in definition.limiters().iter().zip(&mut extra.limiters) {
                limiter.record(state, &ask)?;
            }
        }
        slot.progress = progress;
        slot.set_limited(false);
        if let Some(state) = remembered {
            slot.extra().measure = Some(Box::new(state));
        }
        if let Some(periods) = slot.periods_mut() {
            periods.here.counted = true;
        }
        let completed = match definition.kind() {
            Kind::Streak(streak) => self.meet(step, counting, streak)?,
            Kind::Count(_) | Kind::Sum(_) | Kind::Custom(_) => self.advance(step, counting)?,
        };
        // Nothing ends a streak.
        let ended = completed && definition.kind().freezes().is_none();
        let spent = !ended && self.limit_spent(step, counting)?;
        let flags = [(completed, COMPLETED), (spent, LISTED)];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(COUNTED, |flags, (_, flag)| flags | flag);
        self.push(step, counting, flags);
        Ok(())
    }

    /// The amount that the document adds, and the new state of the measure, if it changes.
    fn amount(
        &self,
        step: &Step<'_>,
        hot: &Hot,
        moment: At<'_>,
    ) -> Result<Option<(Amount, Option<MeasureState>)>, CustomError> {
        if hot.amount != ASKED {
            return Ok(step.sum(hot.amount).map(|amount| (amount, None)));
        }
        let at = hot.tracker as usize;
        let ask = Ask { at: moment, document: step.view.document, amount: Amount::ZERO };
        let state = self.slots[at].extra.as_ref().and_then(|extra| extra.measure.as_deref());
        Ok(match step.trackers[at].kind().amount_of(state, &ask)? {
            Measure::Amount { amount, state, .. } => Some((amount, state)),
            Measure::Nothing(_) => None,
        })
    }

    /// Lists a tracker whose limiter refused. If that begins the mark of the tracker, or that of a limiter with a window,
    /// LIMITED fires.
    fn refuse(&mut self, step: &mut Step<'_>, counting: &Counting<'_>, refusal: Refusal) {
        let Counting { definition, at, moment, .. } = *counting;
        let settled = self.slots[at as usize].settle(definition, moment.when);
        let begins = self.slots[at as usize].mark(definition, refusal.limiter, moment.when);
        if begins {
            self.limit(step, counting, refusal.limiter);
        }
        if settled && !begins {
            self.slots[at as usize].changed = true;
            step.outcome.mark_changed();
        }
        step.outcome.rare().refusals.push((at, refusal));
        self.push(step, counting, LISTED | REFUSED | if begins { MARKED_NOW } else { 0 });
    }

    /// Fires LIMITED.
    fn limit(&mut self, step: &mut Step<'_>, counting: &Counting<'_>, limiter: usize) {
        let slot = &mut self.slots[counting.at as usize];
        let number = slot.extra().limits;
        slot.extra().limits = number.saturating_add(1);
        let (progress, stage) = slot.seen(counting.definition);
        let happened =
            Happened { limiter: Some(limiter), ..Happened::new(EventCode::Limited, number, progress, stage) };
        self.fire(step, counting.at, happened);
    }

    /// Marks what has run out: the tracker, if a limiter without a window has, and each limiter with one. Returns whether any
    /// has.
    fn limit_spent(&mut self, step: &mut Step<'_>, counting: &Counting<'_>) -> Result<bool, CustomError> {
        let Counting { definition, at, moment, .. } = *counting;
        let mut any = false;
        for (position, limiter) in definition.limiters().iter().enumerate() {
            if limiter.exhausted(&self.slots[at as usize].limiters()[position], moment)? {
                any = true;
                if self.slots[at as usize].mark(definition, position, moment.when) {
                    self.limit(step, counting, position);
                }
            }
        }
        Ok(any)
    }

    /// Notes that a document counted in a period of a streak. If that makes the period met, every target that the run has
    /// reached fires. Returns whether the last one did.
    fn meet(&mut self, step: &mut Step<'_>, counting: &Counting<'_>, kind: &Streak) -> Result<bool, CustomError> {
        let Counting { definition, at, .. } = *counting;
        let targets = definition.goals();
        let slot = &mut self.slots[at as usize];
        let (link, reached) = (slot.link(), slot.progress >= kind.each());
        let Some(streak) = slot.periods_mut().and_then(|periods| periods.streak.as_mut()) else { return Ok(false) };
        if streak.links[link].met || !reached {
            return Ok(false);
        }
        streak.links[link].met = true;
        let run = streak.run(kind.freezes());
        let length = Amount::from(run.length);
        let fired = targets.partition_point(|target| *target <= length);
        let before = usize::from(run.fired);
        streak.links[link].fired = run.fired.max(fired as u16);
        for stage in before..fired {
            // A streak goes on after its last target, so that one renews limiters, too.
            self.renew(step, counting)?;
            if stage == targets.len() - 1 {
                self.completed_all(step, at, length, stage as u16);
                return Ok(true);
            }
            self.stage_completed(step, at, stage as u16, length, 1);
        }
        Ok(false)
    }

    /// Fires ALL_COMPLETED.
    fn completed_all(&mut self, step: &mut Step<'_>, at: u32, progress: Amount, stage: u16) {
        let slot = &mut self.slots[at as usize];
        // Without periods this is its last completion, but it may have had periods before.
        let number = slot.extra.as_ref().map_or(0, |extra| extra.completions);
        if slot.has_periods() {
            slot.extra().completions = number.saturating_add(1);
        }
        self.fire(step, at, Happened::new(EventCode::AllCompleted, number, progress, stage));
    }

    /// Completes every stage whose target the progress has reached. Returns whether the tracker completed.
    fn advance(&mut self, step: &mut Step<'_>, counting: &Counting<'_>) -> Result<bool, CustomError> {
        let Counting { definition, at, .. } = *counting;
        let targets = definition.goals();
        let policy = definition.reset_policy();
        if definition.loop_forever() && !policy.progress {
            return self.advance_loop(step, counting).map(|()| false);
        }
        let last = targets.len() - 1;
        loop {
            let slot = &mut self.slots[at as usize];
            let (stage, progress) = (slot.stage, slot.progress);
            if progress < targets[usize::from(stage)] {
                return Ok(false);
            }
            if usize::from(stage) == last && !definition.loop_forever() {
                let now = step.call.now;
                match slot.periods_mut() {
                    Some(periods) => periods.here.completed_at = Some(now),
                    None => slot.set_completed(),
                }
                self.completed_all(step, at, progress, stage);
                if definition.every().is_none() {
                    self.complete(step.call.engine, at as usize, now);
                }
                return Ok(true);
            }
            if usize::from(stage) == last {
                slot.stage = 0;
                let extra = slot.extra();
                extra.cycle = extra.cycle.saturating_add(1);
            } else {
                slot.stage += 1;
            }
            if policy.progress {
                slot.progress = Amount::ZERO;
            }
            self.renew(step, counting)?;
            self.stage_completed(step, at, stage, progress, 1);
        }
    }

    /// Completes stages of a looping tracker that keeps its progress: what is above the last target goes into the next
    /// cycle. The work does not depend on the number of cycles.
    fn advance_loop(&mut self, step: &mut Step<'_>, counting: &Counting<'_>) -> Result<(), CustomError> {
        let Counting { definition, at, .. } = *counting;
        let targets = definition.goals();
        let last = targets[targets.len() - 1];
        let slot = &mut self.slots[at as usize];
        let (first, reached) = (usize::from(slot.stage), slot.progress);
        if reached < targets[first] {
            return Ok(());
        }
        // The number of cycles that this document ends, and the progress within the cycle after them.
        let (ended, rest) = if reached < last { (0, reached) } else { reached.cycles(last) };
        let next = targets.partition_point(|target| *target <= rest);
        slot.progress = rest;
        slot.stage = next as u16;
        if ended > 0 {
            let extra = slot.extra();
            extra.cycle = extra.cycle.saturating_add(ended);
        }
        self.renew(step, counting)?;
        if ended == 0 {
            for stage in first..next {
                self.stage_completed(step, at, stage as u16, reached, 1);
            }
        } else if ended == 1 && next <= first {
            for stage in first..targets.len() {
                self.stage_completed(step, at, stage as u16, reached, 1);
            }
            for stage in 0..next {
                self.stage_completed(step, at, stage as u16, rest, 1);
            }
        } else {
            for stage in 0..targets.len() {
                let ends = u64::from(stage >= first) + u64::from(stage < next);
                let times = ended - 1 + ends;
                self.stage_completed(step, at, stage as u16, rest, times);
            }
        }
        Ok(())
    }

    /// Renews the limiters after a stage, if the policy says so.
    fn renew(&mut self, _: &Step<'_>, counting: &Counting<'_>) -> Result<(), CustomError> {
        let Counting { definition, at, moment, .. } = *counting;
        let Some(extra) = &mut self.slots[at as usize].extra else { return Ok(()) };
        if definition.reset_policy().limiter {
            for (limiter, state) in definition.limiters().iter().zip(&mut extra.limiters) {
                *state = limiter.next_stage(state, moment)?;
            }
        }
        Ok(())
    }

    fn stage_completed(&mut self, step: &mut Step<'_>, at: u32, stage: u16, progress: Amount, times: u64) {
        if times == 0 {
            return;
        }
        let extra = self.slots[at as usize].extra();
        let number = extra.stages;
        extra.stages = number + times;
        let happened = Happened { times, ..Happened::new(EventCode::StageCompleted, number, progress, stage) };
        self.fire(step, at, happened);
    }

    fn fire(&mut self, step: &mut Step<'_>, at: u32, happened: Happened) {
        let definition = &step.trackers[at as usize];
        let slot = self.slots[at as usize].clone();
        let event = self.event(&step.call, happened, definition, &slot);
        step.outcome.rare().events.push(event);
    }

    /// Lists the tracker in the outcome with its current state.
    fn push(&mut self, step: &mut Step<'_>, counting: &Counting<'_>, flags: u8) {
        let Counting { definition, at, moment, .. } = *counting;
        let place = step.place();
        let slot = &mut self.slots[at as usize];
        slot.changed |= flags & DIRTIED != 0;
        if definition.depends_on_add() {
            let seen = Seen {
                status: slot.status(),
                period: slot.period(),
                freezes: slot.run(definition).map(|run| run.freezes),
                limiters: slot.limiter_views(definition, moment.when),
            };
            step.outcome.rare().seen.push((at, seen));
        }
        let limiters = step.outcome.list_limiters(slot.limiters(), place);
        let marked = if slot.is_limited(definition, moment.when) { MARKED } else { 0 };
        let (progress, stage) = slot.seen(definition);
        let entry = Entry { progress, tracker: at, limiters, stage, flags: flags | marked };
        step.outcome.entries[step.position as usize] = entry;
    }
}

/// Counts a document that reaches no target and leaves every limiter open, so that nothing else happens. Returns
/// `None`, and changes nothing, unless this is certain.
#[inline]
fn count_within(slot: &mut Slot, hot: &Hot, step: &mut Step<'_>) -> Option<Entry> {
    let target = match slot.stage {
        0 => hot.target,
        stage => step.trackers[hot.tracker as usize].goals()[usize::from(stage)],
    };
    let (progress, ahead) = slot.progress.add_below(step.sums[hot.amount as usize].0, target);
    if !ahead {
        return None;
    }
    let limiters = match &mut slot.extra {
        Some(extra) => {
            let (now, limiters) = (step.call.now, step.trackers[hot.tracker as usize].limiters());
            if !limiters.iter().zip(&extra.limiters).all(|(limiter, state)| limiter.stays_open(state, now)) {
                return None;
            }
            limiters.iter().zip(&mut extra.limiters).for_each(|(limiter, state)| limiter.spend(state, now));
            let place = step.place();
            step.outcome.list_limiters(&extra.limiters, place)
        }
        None => 0,
    };
    slot.progress = progress;
    slot.changed = true;
    Some(Entry { progress, tracker: hot.tracker, limiters, stage: slot.stage, flags: COUNTED })
}

#[cold]
fn fail(outcome: &mut Outcome, at: u32, error: CustomError) {
    outcome.rare().failed.push((at, error));
}

/// Counts the matches that are the common case: no limiter, no expiry, the first stage, and a target that is not
/// reached. Puts the positions of the others into `later`, leaves their entries blank and returns their number.
///
/// `track` spends its time in this loop: for each match it touches one [`Hot`], one [`Slot`] and one [`Entry`]. No
/// branch depends on a tracker, so nothing is mispredicted and the cache lines of a large group are fetched in
/// parallel. Its arguments are slices and one list, so everything else stays in registers. With `DENSE`, the position
/// of each item in `hot` is that of its tracker. `benches/engine.rs` measures this function, and the law
/// `the_index_agrees_with_plain_evaluation` compares it with [`Group::explain`].
#[inline(never)]
fn count_plain<const DENSE: bool>(
    slots: &mut [Slot],
    hot: &[Hot],
    sums: &[Sum],
    matches: &[u32],
    entries: &mut Vec<Entry>,
    later: &mut [u32],
) -> usize {
    let mut put_off = 0;
    entries.extend(matches.iter().zip(0..).map(|(&at, position)| {
        let hot = &hot[at as usize];
        let tracker = if DENSE { at } else { hot.tracker };
        let slot = &mut slots[tracker as usize];
        let (sum, ahead) = slot.progress.add_below(sums[hot.amount as usize].0, hot.target);
        let counts = ahead & slot.is_plain() & hot.plain;
        let progress = select_unpredictable(counts, sum, slot.progress);
        slot.progress = progress;
        slot.changed |= counts;
        later[put_off] = position;
        put_off += usize::from(!counts);
        Entry { progress, tracker, limiters: 0, stage: 0, flags: u8::from(counts) * COUNTED }
    }));
    put_off
}

impl Step<'_> {
    /// Where the windows of trackers without a zone are.
    fn place(&self) -> Place {
        let Engine { zones, zone, .. } = self.call.engine;
        Place { zones, zone: self.zone.unwrap_or(*zone), added: Timestamp::default() }
    }

    /// Reads the sums that `matches` add.
    #[inline]
    fn read_sums(&mut self, matches: &[u32]) {
        /// Up to this number, all sums are read without checking which of them are needed.
        const FEW: usize = 3;
        let sums = self.index.sums();
        if sums.is_empty() || matches.is_empty() {
            return;
        }
        if sums.len() <= FEW {
            return sums.for_each(|sum| self.read_sum(sum));
        }
        for &at in matches {
            self.read_sum(self.index.hot[at as usize].amount);
        }
    }

    #[inline]
    fn read_sum(&mut self, sum: u32) {
        let known = &mut self.sums[sum as usize];
        if *known == Sum::UNREAD {
            let amount = number_of(self.index.summed(sum, &mut self.view));
            *known = amount.map_or(Sum::NOTHING, |(amount, _)| Sum(amount.units()));
        }
    }

    /// The amount that trackers of this sum add, if the document has one.
    #[inline]
    fn sum(&self, sum: u32) -> Option<Amount> {
        Amount::from_units(self.sums[sum as usize].0)
    }

    /// Whether counting can fail after something has changed: custom limiters run code when they record, are renewed or
    /// run out.
    fn needs_backup(&self, at: u32) -> bool {
        self.trackers[at as usize].limiters().iter().any(LimiterDefinition::is_custom)
    }
}
