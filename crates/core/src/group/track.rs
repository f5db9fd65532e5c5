//! One document on one group.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{Call, Differing, Group, GroupError, TrackerList};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Kind, TrackerDefinition};
use crate::document::{Document, Value};
use crate::engine::Engine;
use crate::event::EventCode;
use crate::hash::ContentHash;
use crate::index::{COUNT, CUSTOM, Hot, Index, Scratch, View};
use crate::limiter::Verdict;
use crate::number::{NotAnAmount, Number};
use crate::outcome::{COMPLETED, DIRTIED, Entry, LISTED, MARKED, Outcome, REFUSED};
use crate::set::DefinitionSet;
use crate::state::Slot;
use crate::time::Timestamp;

/// One document for one group.
#[derive(Clone, Copy)]
pub struct Track<'a> {
    /// The document.
    pub document: &'a dyn Document,
    /// The moment that limiters, expiry and events use.
    pub now: Timestamp,
    /// The manager's clock, which ages ids.
    pub clock: Timestamp,
    /// Hash of the document's id, if it has one: it is applied once.
    pub id: Option<ContentHash>,
}

impl std::fmt::Debug for Track<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track").field("now", &self.now).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a document that matches has no amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAmount {
    Missing,
    NotANumber(&'static str),
    NotFinite,
    OutOfRange,
}

/// Reads the amount of a `sum` tracker, and whether decimals were rounded away.
pub(crate) fn summed(value: Option<&Value<'_>>) -> Result<(Amount, bool), NoAmount> {
    let read = |number: &Number| {
        number.to_amount().map_err(|fault| match fault {
            NotAnAmount::OutOfRange => NoAmount::OutOfRange,
            NotAnAmount::NotFinite => NoAmount::NotFinite,
        })
    };
    match value {
        None => Err(NoAmount::Missing),
        Some(Value::Number(number)) => read(number),
        Some(Value::Text(text)) => {
            let text = text.trim_matches(' ');
            // One sign: `+-1` is not a number.
            let digits = text.strip_prefix('+').filter(|rest| !rest.starts_with('-')).unwrap_or(text);
            read(&Number::parse(digits).ok_or(NoAmount::NotANumber("a text that is not a number"))?)
        }
        Some(Value::Null) => Err(NoAmount::NotANumber("null")),
        Some(Value::Bool(_)) => Err(NoAmount::NotANumber("a boolean")),
        Some(Value::List(_)) => Err(NoAmount::NotANumber("a list")),
        Some(Value::Map(_)) => Err(NoAmount::NotANumber("a map")),
    }
}

/// The distinct sums of one document, each read at most once. The first is the one that `count` trackers add, so that
/// counting and summing take the same path: a branch between them would be mispredicted half of the time.
type Sums = SmallVec<[Sum; 3]>;

/// An amount, or a mark that lies out of the range of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(i128);

impl Sum {
    /// Not asked for yet.
    const UNREAD: Self = Self(i128::MIN);
    /// The document has no such amount.
    const NOTHING: Self = Self(i128::MIN + 1);

    #[inline]
    fn amount(self) -> Option<Amount> {
        Amount::from_units(self.0)
    }
}

struct Step<'a> {
    index: &'a Index,
    trackers: &'a [Arc<TrackerDefinition>],
    call: Call<'a>,
    view: View<'a>,
    scratch: Box<Scratch>,
    sums: Sums,
    outcome: Outcome,
}

impl Group {
    /// Applies one document: the whole group changes, or nothing does.
    pub fn track(&mut self, engine: &Engine, group: &str, track: &Track<'_>) -> Outcome {
        if let Some(id) = track.id
            && self.knows(id)
        {
            return Outcome::repeat();
        }
        self.share_set(engine);
        let set = Arc::clone(&self.set);
        let outcome = self.apply(engine, group, track, &set);
        self.finish(engine, track, outcome)
    }

    /// Sees to it that the group has the trackers of `list`, then applies one document: one change.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure); then nothing has changed.
    pub fn ensure_and_track(
        &mut self,
        engine: &Engine,
        group: &str,
        track: &Track<'_>,
        list: &TrackerList,
        differing: Differing,
    ) -> Result<Outcome, GroupError> {
        if self.has(list, differing) || track.id.is_some_and(|id| self.knows(id)) {
            return Ok(self.track(engine, group, track));
        }
        let before = self.version;
        let added = self.ensure(&Call { engine, group, now: track.now }, list, differing)?;
        let ensured = self.version != before;
        let mut outcome = self.track(engine, group, track);
        if ensured {
            outcome.mark_changed();
        }
        if !added.events.is_empty() {
            outcome.rare().events.splice(0..0, added.events);
        }
        Ok(outcome)
    }

    /// Shares the set with other groups that have the same.
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
            self.compact();
        }
        outcome
    }

    fn apply(&mut self, engine: &Engine, group: &str, track: &Track<'_>, set: &Arc<DefinitionSet>) -> Outcome {
        let index = set.index();
        let mut step = Step {
            index,
            trackers: set.trackers(),
            call: Call { engine, group, now: track.now },
            view: View::new(track.document, index),
            scratch: Scratch::take(),
            sums: SmallVec::from_elem(Sum::UNREAD, index.sums() + 1),
            outcome: Outcome::default(),
        };
        step.sums[COUNT as usize] = Sum(Amount::ONE.units());
        index.select(&mut step.view, &mut step.scratch);
        let mut matches = std::mem::take(&mut step.scratch.matches);
        step.outcome = Outcome::new(Arc::clone(set), matches.len());
        if index.has_predicates() {
            matches.retain(|&at| self.passes(&mut step, &index.hot[at as usize]));
        }
        self.count_all(&mut step, &matches);
        step.outcome.settle();
        step.scratch.matches = matches;
        step.scratch.give();
        step.outcome
    }

    /// Whether a match passes its predicates. Those of a tracker that is not active are not asked.
    #[inline]
    fn passes(&self, step: &mut Step<'_>, hot: &Hot) -> bool {
        if !hot.has_predicates() {
            return true;
        }
        let slot = &self.slots[hot.tracker as usize];
        if !slot.is_unmarked() && !slot.active(step.call.now) {
            return false;
        }
        let registry = &step.call.engine.registry;
        match step.index.holds(hot, step.trackers, &mut step.view, &mut step.scratch, registry) {
            Ok(holds) => holds,
            Err(error) => {
                Self::fail(step, hot.tracker, error);
                false
            }
        }
    }

    /// Counts every match, in order.
    fn count_all(&mut self, step: &mut Step<'_>, matches: &[u32]) {
        const CHUNK: usize = 64;
        let index = step.index;
        // Below this many trackers slots and `Hot`s stay in the processor's second cache.
        if index.hot.len() < 4096 {
            return self.count_chunk::<false>(step, matches);
        }
        for chunk in matches.chunks(CHUNK) {
            // Looking at all of a chunk first lets the processor fetch its cache lines side by side; in a large group
            // that is most of the time.
            let plain = chunk.iter().fold(true, |plain, &at| {
                let hot = &index.hot[at as usize];
                plain & self.slots[hot.tracker as usize].is_plain() & hot.plain
            });
            if plain {
                self.count_chunk::<true>(step, chunk);
            } else {
                self.count_chunk::<false>(step, chunk);
            }
        }
    }

    /// Counts some matches, of which is known whether they are all plain.
    #[inline]
    fn count_chunk<const PLAIN: bool>(&mut self, step: &mut Step<'_>, matches: &[u32]) {
        let index = step.index;
        let mut left = matches;
        loop {
            let entries = step.outcome.free();
            let counted = if index.is_dense() {
                count_plain::<PLAIN, true>(&mut self.slots, &index.hot, &step.sums, left, entries)
            } else {
                count_plain::<PLAIN, false>(&mut self.slots, &index.hot, &step.sums, left, entries)
            };
            step.outcome.take(counted);
            let Some((&special, rest)) = left[counted..].split_first() else { return };
            self.count_special(step, &index.hot[special as usize]);
            left = rest;
        }
    }

    /// Adds the amount to a tracker without limiters.
    #[inline]
    fn add_amount(&mut self, step: &mut Step<'_>, hot: &Hot) {
        let at = hot.tracker;
        let slot = &mut self.slots[at as usize];
        let Some(amount) = step.sum(hot.amount) else { return Self::skip(step, at) };
        let target = match slot.stage {
            0 => hot.target,
            stage => step.trackers[at as usize].targets()[usize::from(stage)],
        };
        let Some(progress) = slot.progress.add_below(amount, target) else { return self.count_fully(step, hot) };
        slot.progress = progress;
        step.outcome.push(Entry { progress, tracker: at, limiters: 0, stage: slot.stage, flags: DIRTIED });
    }

    #[cold]
    fn skip(step: &mut Step<'_>, at: u32) {
        step.outcome.rare().skipped.push(at);
    }

    #[cold]
    fn fail(step: &mut Step<'_>, at: u32, error: CustomError) {
        step.outcome.rare().failed.push((at, error));
    }

    #[inline(never)]
    fn count_special(&mut self, step: &mut Step<'_>, hot: &Hot) {
        let slot = &self.slots[hot.tracker as usize];
        if !slot.active(step.call.now) {
            return;
        }
        if hot.plain && slot.is_unmarked() {
            self.add_amount(step, hot);
        } else {
            self.count_fully(step, hot);
        }
    }

    /// Counts an active tracker whose conditions hold.
    #[inline(never)]
    fn count_fully(&mut self, step: &mut Step<'_>, hot: &Hot) {
        let at = hot.tracker;
        let events = step.outcome.rare.as_ref().map_or(0, |rare| rare.events.len());
        let backup = step.needs_backup(at).then(|| (self.slots[at as usize].clone(), self.log.clone()));
        if let Err(error) = self.try_count(step, hot) {
            // A custom limiter failed half-way: the tracker is as if it had not been asked.
            if let Some((slot, log)) = backup {
                self.slots[at as usize] = slot;
                self.log = log;
                step.outcome.rare().events.truncate(events);
            }
            Self::fail(step, at, error);
        }
    }

    fn try_count(&mut self, step: &mut Step<'_>, hot: &Hot) -> Result<(), CustomError> {
        let at = hot.tracker;
        let Step { trackers, call, .. } = *step;
        let definition = &trackers[at as usize];
        let registry = &call.engine.registry;
        let amount = match (hot.amount, definition.kind()) {
            (CUSTOM, Kind::Custom { measure, params }) => registry.amount(measure, params, step.view.document)?,
            (sum, _) => step.sum(sum),
        };
        let Some(amount) = amount else {
            Self::skip(step, at);
            return Ok(());
        };
        if let Some(refusing) = self.refusing(step, at)? {
            self.refuse(step, at, refusing);
            return Ok(());
        }
        let Some(progress) = self.slots[at as usize].progress.checked_add(amount) else {
            Self::skip(step, at);
            return Ok(());
        };
        if !self.slots[at as usize].numbers_events(definition, progress) {
            Self::skip(step, at);
            return Ok(());
        }
        self.record(step, at)?;
        let slot = &mut self.slots[at as usize];
        slot.progress = progress;
        slot.set_limited(false);
        let completed = self.advance(step, at)?;
        if completed {
            self.push(step, at, DIRTIED | COMPLETED);
            return Ok(());
        }
        let spent = self.spent(step, at)?;
        if let Some(limiter) = spent {
            self.limit(step, at, limiter);
        }
        self.push(step, at, DIRTIED | if spent.is_some() { LISTED } else { 0 });
        Ok(())
    }

    /// The first limiter that refuses.
    fn refusing(&self, step: &Step<'_>, at: u32) -> Result<Option<usize>, CustomError> {
        let call = &step.call;
        let limiters = step.trackers[at as usize].limiters().iter().zip(self.slots[at as usize].limiters());
        for (position, (limiter, state)) in limiters.enumerate() {
            let verdict = limiter.admits(state, call.now, step.view.document, &call.engine.registry)?;
            if verdict != Verdict::Admitted {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Lists a tracker that refused; the first refusal marks it and fires LIMITED.
    fn refuse(&mut self, step: &mut Step<'_>, at: u32, limiter: usize) {
        let first = !self.slots[at as usize].limited();
        if first {
            self.limit(step, at, limiter);
        }
        self.push(step, at, LISTED | REFUSED | if first { DIRTIED } else { 0 });
    }

    /// Marks the tracker limited and fires LIMITED.
    fn limit(&mut self, step: &mut Step<'_>, at: u32, limiter: usize) {
        let slot = &mut self.slots[at as usize];
        slot.set_limited(true);
        let number = slot.extra().limits;
        slot.extra().limits = number.saturating_add(1);
        let (progress, stage) = (slot.progress, slot.stage);
        self.fire(step, at, (EventCode::Limited, number, progress, stage, 1, Some(limiter)));
    }

    /// Lets each limiter record the document.
    fn record(&mut self, step: &Step<'_>, at: u32) -> Result<(), CustomError> {
        let call = &step.call;
        let Some(extra) = &mut self.slots[at as usize].extra else { return Ok(()) };
        for (limiter, state) in step.trackers[at as usize].limiters().iter().zip(&mut extra.limiters) {
            limiter.record(state, call.now, step.view.document, &call.engine.registry)?;
        }
        Ok(())
    }

    /// The first limiter that admits nothing more before a renewal.
    fn spent(&self, step: &Step<'_>, at: u32) -> Result<Option<usize>, CustomError> {
        let limiters = step.trackers[at as usize].limiters().iter().zip(self.slots[at as usize].limiters());
        for (position, (limiter, state)) in limiters.enumerate() {
            if limiter.exhausted(state, step.call.now, &step.call.engine.registry)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Crosses every target that the progress has reached; whether the tracker completed.
    fn advance(&mut self, step: &mut Step<'_>, at: u32) -> Result<bool, CustomError> {
        let definition = &step.trackers[at as usize];
        let targets = definition.targets();
        let policy = definition.reset_policy();
        if definition.loop_forever() && !policy.progress {
            return self.advance_loop(step, at).map(|()| false);
        }
        let last = targets.len() - 1;
        loop {
            let slot = &mut self.slots[at as usize];
            let (stage, progress) = (slot.stage, slot.progress);
            if progress < targets[usize::from(stage)] {
                return Ok(false);
            }
            if usize::from(stage) == last && !definition.loop_forever() {
                slot.set_completed();
                self.fire(step, at, (EventCode::AllCompleted, 0, progress, stage, 1, None));
                self.complete(at as usize, step.call.now, step.call.engine.limits.completed);
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
            self.renew(step, at)?;
            self.stage_completed(step, at, stage, progress, 1);
        }
    }

    /// Crosses targets that start again after the last and keep what is above it: constant work, however many cycles.
    fn advance_loop(&mut self, step: &mut Step<'_>, at: u32) -> Result<(), CustomError> {
        let targets = step.trackers[at as usize].targets();
        let last = targets[targets.len() - 1];
        let slot = &mut self.slots[at as usize];
        let (first, reached) = (usize::from(slot.stage), slot.progress);
        if reached < targets[first] {
            return Ok(());
        }
        // Cycles that end within this document, and where the one after them stands.
        let (ended, rest) = if reached < last { (0, reached) } else { reached.cycles(last) };
        let next = targets.partition_point(|target| *target <= rest);
        slot.progress = rest;
        slot.stage = next as u16;
        if ended > 0 {
            let extra = slot.extra();
            extra.cycle = extra.cycle.saturating_add(ended);
        }
        self.renew(step, at)?;
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

    /// Renews the limiters after a stage, where the policy says so.
    fn renew(&mut self, step: &Step<'_>, at: u32) -> Result<(), CustomError> {
        let definition = &step.trackers[at as usize];
        let Some(extra) = &mut self.slots[at as usize].extra else { return Ok(()) };
        if definition.reset_policy().limiter {
            for (limiter, state) in definition.limiters().iter().zip(&mut extra.limiters) {
                *state = limiter.next_stage(state, step.call.now, &step.call.engine.registry)?;
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
        self.fire(step, at, (EventCode::StageCompleted, number, progress, stage, times, None));
    }

    fn fire(
        &mut self,
        step: &mut Step<'_>,
        at: u32,
        (code, number, progress, stage, times, limiter): (EventCode, u64, Amount, u16, u64, Option<usize>),
    ) {
        let definition = &step.trackers[at as usize];
        let slot = self.slots[at as usize].clone();
        let event = (&step.call, code, number, progress, stage, times, limiter);
        let event = self.event(event, definition, &slot);
        step.outcome.rare().events.push(event);
    }

    /// Lists the tracker in the outcome, as it is now.
    fn push(&self, step: &mut Step<'_>, at: u32, flags: u8) {
        let slot: &Slot = &self.slots[at as usize];
        let limiters = if slot.limiters().is_empty() {
            0
        } else {
            let all = &mut step.outcome.rare().limiters;
            all.extend_from_slice(slot.limiters());
            (all.len() - slot.limiters().len()) as u32
        };
        let marked = if slot.limited() { MARKED } else { 0 };
        let entry = Entry { progress: slot.progress, tracker: at, limiters, stage: slot.stage, flags: flags | marked };
        step.outcome.push(entry);
    }
}

/// Counts matches up to the first that is not the common case: no limiter, expiry, later stage, target
/// reached or sum not read yet. Returns how many.
///
/// This loop is what `track` spends its time in: for each match it touches one [`Hot`], one [`Slot`] and one [`Entry`].
/// `PLAIN`: no match has a limiter or a mark. `DENSE`: every position in `hot` is that of its tracker. Slices,
/// and a list that is long enough from the start, keep everything else in registers. `benches/engine.rs`
/// measures it, and the law `the_index_agrees_with_plain_evaluation` compares it with [`Group::explain`].
fn count_plain<const PLAIN: bool, const DENSE: bool>(
    slots: &mut [Slot],
    hot: &[Hot],
    sums: &[Sum],
    matches: &[u32],
    entries: &mut [Entry],
) -> usize {
    let mut counted = 0;
    for (entry, &at) in entries.iter_mut().zip(matches) {
        let Some(hot) = hot.get(at as usize) else { break };
        let tracker = if DENSE { at } else { hot.tracker };
        let Some(slot) = slots.get_mut(tracker as usize) else { break };
        if !PLAIN && (!slot.is_plain() || !hot.plain) {
            break;
        }
        let Some(amount) = sums.get(hot.amount as usize).and_then(|sum| sum.amount()) else { break };
        let Some(progress) = slot.progress.add_below(amount, hot.target) else { break };
        slot.progress = progress;
        *entry = Entry { progress, tracker, limiters: 0, stage: 0, flags: DIRTIED };
        counted += 1;
    }
    counted
}

impl Step<'_> {
    #[inline]
    fn sum(&mut self, sum: u32) -> Option<Amount> {
        if self.sums[sum as usize] == Sum::UNREAD {
            let amount = summed(self.index.summed(sum, &mut self.view));
            self.sums[sum as usize] = amount.map_or(Sum::NOTHING, |(amount, _)| Sum(amount.units()));
        }
        self.sums[sum as usize].amount()
    }

    /// Whether counting can fail after something changed: custom limiters record, renew and run out.
    fn needs_backup(&self, at: u32) -> bool {
        use crate::limiter::LimiterDefinition;
        let limiters = self.trackers[at as usize].limiters();
        limiters.iter().any(|limiter| matches!(limiter, LimiterDefinition::Custom { .. }))
    }
}
