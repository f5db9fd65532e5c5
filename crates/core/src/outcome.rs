//! What one document did.

use std::fmt;
use std::sync::Arc;

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::TrackerDefinition;
use crate::engine::When;
use crate::event::Event;
use crate::json::{Json, Map, object};
use crate::limiter::{LimiterState, LimiterView, Refusal};
use crate::set::DefinitionSet;
use crate::state::{LimiterStates, Status, Tally, View};
use crate::time::Timestamp;
use crate::window::{Period, Place};

mod write;

/// What one document did to the trackers of its group.
///
/// It holds one reference to the definitions and one flat list; names and states are looked up on demand.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    set: Option<Arc<DefinitionSet>>,
    /// While the document is applied, there is one for each match, in order. Those of trackers that do not change stay
    /// blank.
    pub(crate) entries: Vec<Entry>,
    pub(crate) rare: Option<Box<Rare>>,
    duplicate: bool,
    changed: bool,
    version: u64,
    /// The moment of the document.
    now: Timestamp,
}

/// One tracker that changed or refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) progress: Amount,
    pub(crate) tracker: u32,
    /// The position of its first limiter in [`Rare::limiters`].
    pub(crate) limiters: u32,
    pub(crate) stage: u16,
    pub(crate) flags: u8,
}

/// The document was added to its progress. The lowest bit, because the counting loop sets it from a comparison.
pub(crate) const COUNTED: u8 = 1;
pub(crate) const COMPLETED: u8 = 2;
/// Listed in `limited`.
pub(crate) const LISTED: u8 = 4;
pub(crate) const REFUSED: u8 = 8;
/// Marked limited after the document.
pub(crate) const MARKED: u8 = 16;
/// It was not counted, but the refusal marked it.
pub(crate) const MARKED_NOW: u8 = 32;
/// Whatever changed a tracker.
pub(crate) const DIRTIED: u8 = COUNTED | MARKED_NOW;

/// Why a document did not count for a tracker whose conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// There is no amount to add.
    NoAmount,
    /// Its moment lies in a period that has ended for good.
    Late,
    /// The tracker has reached its last target and rests until its period ends.
    Resting,
    /// The progress, or the number of stages, would be out of range.
    OutOfRange,
}

impl SkipReason {
    /// The reason in one word: `no_amount`, `late`, `resting` or `out_of_range`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAmount => "no_amount",
            Self::Late => "late",
            Self::Resting => "resting",
            Self::OutOfRange => "out_of_range",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What only few documents cause.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    pub(crate) limiters: LimiterStates,
    /// Where the windows of these limiters are, unless their tracker has a zone.
    pub(crate) place: Place,
    pub(crate) failed: Vec<(u32, CustomError)>,
    pub(crate) skipped: Vec<(u32, SkipReason)>,
    /// In the order of the trackers.
    pub(crate) refusals: Vec<(u32, Refusal)>,
    pub(crate) events: Vec<Arc<Event>>,
    /// In the order of the trackers.
    pub(crate) seen: Vec<(u32, Seen)>,
}

/// What users see of a tracker with `every`, or with a limiter that depends on the moment of its add.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: Status,
    pub(crate) period: Option<Period>,
    pub(crate) freezes: Option<u64>,
    pub(crate) limiters: Vec<LimiterView>,
}

impl Outcome {
    /// Makes room for `capacity` entries.
    #[inline]
    pub(crate) fn reserve(&mut self, capacity: usize) {
        if self.entries.capacity() == 0 {
            // Fewer instructions than growing an empty list.
            self.entries = Vec::with_capacity(capacity);
        } else {
            self.entries.reserve(capacity);
        }
    }

    /// The outcome of a document at `now` that has not done anything yet.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// Takes the definitions out of the outcome, before its memory is reused.
    #[inline]
    pub(crate) fn take_set(&mut self) -> Option<Arc<DefinitionSet>> {
        self.set.take()
    }

    /// Sets the definitions that the entries refer to.
    #[inline]
    pub(crate) fn put_set(&mut self, set: Arc<DefinitionSet>) {
        self.set = Some(set);
    }

    /// Like [`at`](Self::at), but reuses the memory of this outcome.
    #[inline]
    pub(crate) fn cleared(self, now: Timestamp) -> Self {
        let Self { mut entries, .. } = self;
        entries.clear();
        Self { entries, now, ..Self::default() }
    }

    pub(crate) fn repeat(version: u64) -> Self {
        Self { duplicate: true, version, ..Self::default() }
    }

    /// Drops the blank entries and notes whether a tracker changed.
    #[inline]
    pub(crate) fn settle(&mut self, has_blanks: bool) {
        if has_blanks {
            self.entries.retain(|entry| entry.flags != 0);
        }
        if let Some(rare) = &mut self.rare {
            rare.failed.sort_by_key(|(at, _)| *at);
            rare.skipped.sort_by_key(|(at, _)| *at);
            rare.refusals.sort_by_key(|(at, _)| *at);
            rare.seen.sort_by_key(|(at, _)| *at);
        }
        self.changed |= self.entries.iter().any(|entry| entry.flags & DIRTIED != 0);
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Copies the states of a tracker's limiters to [`Rare::limiters`] and returns the position of the first.
    #[inline]
    pub(crate) fn list_limiters(&mut self, states: &[LimiterState], place: Place) -> u32 {
        if states.is_empty() {
            return 0;
        }
        self.rare().place = place;
        let all = &mut self.rare().limiters;
        let first = all.len() as u32;
        all.extend(states.iter().cloned());
        first
    }

    pub(crate) fn mark_changed(&mut self) {
        self.changed = true;
    }

    fn listed(&self, flag: u8) -> impl Iterator<Item = Tracked<'_>> {
        let trackers = self.set.as_ref().map_or(&[][..], |set| set.trackers());
        let limiters = self.rare.as_ref().map_or(&[][..], |rare| &rare.limiters[..]);
        self.entries.iter().filter(move |entry| entry.flags & flag != 0).map(move |entry| {
            let definition = &trackers[entry.tracker as usize];
            let first = entry.limiters as usize;
            Tracked { outcome: self, definition, entry, limiters: &limiters[first..][..definition.limiters().len()] }
        })
    }

    /// The moment of the document.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The trackers for which the document counted.
    pub fn counted(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(COUNTED)
    }

    /// Every tracker that counted, changed or refused.
    pub fn touched(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(u8::MAX)
    }

    /// The trackers that counted or whose state changed, including completed ones.
    pub fn dirtied(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(DIRTIED)
    }

    /// The trackers that reached their last target.
    pub fn completed(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(COMPLETED)
    }

    /// The trackers whose limiter refused the document or has run out.
    pub fn limited(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(LISTED)
    }

    /// The trackers in [`limited`](Self::limited) for which the document did not count. [`Tracked::refusal`] says which
    /// limiter refused it, and until when.
    pub fn refused(&self) -> impl Iterator<Item = Tracked<'_>> {
        self.listed(REFUSED)
    }

    /// The trackers whose custom code failed, by name. They are unchanged.
    pub fn failed(&self) -> impl Iterator<Item = (&str, &CustomError)> {
        let trackers = self.set.as_ref().map_or(&[][..], |set| set.trackers());
        let failed = self.rare.as_ref().map_or(&[][..], |rare| &rare.failed);
        failed.iter().map(move |(at, error)| (trackers[*at as usize].name(), error))
    }

    /// The trackers whose conditions hold but for which the document did not count, by name, and why. `explain` says
    /// more.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, SkipReason)> {
        let trackers = self.set.as_ref().map_or(&[][..], |set| set.trackers());
        let skipped = self.rare.as_ref().map_or(&[][..], |rare| &rare.skipped);
        skipped.iter().map(move |&(at, reason)| (trackers[at as usize].name(), reason))
    }

    /// The events that the document caused, in order.
    pub fn events(&self) -> &[Arc<Event>] {
        self.rare.as_ref().map_or(&[], |rare| &rare.events)
    }

    /// Whether a document with this id was applied before. If so, nothing else is listed.
    pub fn duplicate(&self) -> bool {
        self.duplicate
    }

    /// Whether the group changed: a tracker, the list of trackers, or the document ids that it remembers.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// The version of the group after a document that changed it or that repeats an id; otherwise 0.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Forgets the events, which nobody is to hear of.
    pub fn silence(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.events.clear();
        }
    }

    pub(crate) fn made(&mut self, version: u64) {
        self.version = version;
    }

    /// Whether no tracker counted, refused or failed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.failed().next().is_none()
    }

    /// Whether the document counted for a tracker.
    #[inline]
    pub fn is_counted(&self) -> bool {
        self.entries.iter().any(|entry| entry.flags & COUNTED != 0)
    }

    /// Whether it only counted, for trackers without limiters: nothing was refused, skipped or failed, and no event fired.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.rare.is_none()
    }

    /// The outcome as JSON. `trackers` has each tracker that counted, changed or refused, as it is after the document.
    /// `counted`, `dirtied`, `completed`, `limited` and `refused` list names. `refusals`, `skipped` and `failed` are maps
    /// from names to what refused, why, and the error. `events` has the events, and `duplicate` is true or false.
    pub fn to_json(&self) -> Json {
        let names = |flag: u8| self.listed(flag).map(|tracker| Json::from(tracker.name())).collect::<Vec<_>>().into();
        let by_name = |entries: &mut dyn Iterator<Item = (&str, Json)>| {
            entries.map(|(name, value)| (name.into(), value)).collect::<Map>().into()
        };
        object([
            ("trackers", self.touched().map(|tracker| tracker.to_json()).collect::<Vec<_>>().into()),
            ("counted", names(COUNTED)),
            ("dirtied", names(DIRTIED)),
            ("completed", names(COMPLETED)),
            ("limited", names(LISTED)),
            ("refused", names(REFUSED)),
            ("refusals", by_name(&mut self.refused().filter_map(|it| Some((it.name(), it.refusal()?.to_json()))))),
            ("skipped", by_name(&mut self.skipped().map(|(name, reason)| (name, reason.name().into())))),
            ("failed", by_name(&mut self.failed().map(|(name, error)| (name, error.to_string().into())))),
            ("events", self.events().iter().map(|event| event.to_json()).collect::<Vec<_>>().into()),
            ("duplicate", self.duplicate.into()),
        ])
    }

    /// How many trackers the document touched, and how many of them refused it.
    pub fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.iter().filter(|entry| entry.flags & REFUSED != 0).count())
    }
}

/// A tracker in an [`Outcome`], as it is after the document.
#[derive(Clone, Copy, Debug)]
pub struct Tracked<'a> {
    outcome: &'a Outcome,
    definition: &'a Arc<TrackerDefinition>,
    entry: &'a Entry,
    limiters: &'a [LimiterState],
}

impl<'a> Tracked<'a> {
    /// The tracker's name.
    pub fn name(&self) -> &'a str {
        self.definition.name()
    }

    /// The tracker's definition.
    pub fn definition(&self) -> &'a Arc<TrackerDefinition> {
        self.definition
    }

    /// Its position among the trackers of its group.
    pub fn position(&self) -> usize {
        self.entry.tracker as usize
    }

    /// Whether the document was added to its progress.
    pub fn is_counted(&self) -> bool {
        self.entry.flags & COUNTED != 0
    }

    /// Whether a limiter refused the document.
    pub fn is_refused(&self) -> bool {
        self.entry.flags & REFUSED != 0
    }

    /// Which limiter refused the document and until when, if one did.
    pub fn refusal(&self) -> Option<Refusal> {
        let refusals = &self.outcome.rare.as_ref()?.refusals;
        let at = refusals.binary_search_by_key(&self.entry.tracker, |(at, _)| *at).ok()?;
        Some(refusals[at].1)
    }

    /// Its progress.
    pub fn progress(&self) -> Amount {
        self.entry.progress
    }

    /// The current stage, counted from one; the last one if the tracker is completed.
    pub fn stage(&self) -> usize {
        usize::from(self.entry.stage) + 1
    }

    /// The current target; `None` if the tracker has no targets.
    pub fn target(&self) -> Option<Amount> {
        self.definition.target_of(self.stage())
    }

    /// The progress and the target: `3/10`.
    pub fn tally(&self) -> Tally {
        Tally { progress: self.progress(), target: self.target() }
    }

    /// Whether it is marked limited.
    pub fn is_limited(&self) -> bool {
        self.entry.flags & MARKED != 0
    }

    /// Whether it reached its last target.
    pub fn is_completed(&self) -> bool {
        self.entry.flags & COMPLETED != 0
    }

    /// What users see of it that is not in its entry.
    fn seen(&self) -> Option<&'a Seen> {
        let seen = &self.outcome.rare.as_ref()?.seen;
        let at = seen.binary_search_by_key(&self.entry.tracker, |(at, _)| *at).ok()?;
        Some(&seen[at].1)
    }

    /// Whether it counts, rests until its period ends, or has completed.
    pub fn status(&self) -> Status {
        match self.seen() {
            Some(seen) => seen.status,
            None if self.is_completed() => Status::Completed,
            None => Status::Active,
        }
    }

    /// Of a tracker with `every`, the period of the document.
    pub fn period(&self) -> Option<Period> {
        self.seen()?.period
    }

    /// Of a streak, how many freezes are left.
    pub fn freezes(&self) -> Option<u64> {
        self.seen()?.freezes
    }

    /// Its limiters in definition order, as of the moment of the document.
    pub fn limiters(&self) -> impl ExactSizeIterator<Item = LimiterView> + use<'a> {
        let (states, definition, seen) = (self.limiters, self.definition, self.seen());
        let place = self.outcome.rare.as_ref().map_or_else(Place::default, |rare| rare.place);
        let place = Place { zone: definition.zone().unwrap_or(place.zone), ..place };
        let when = When { now: self.outcome.now, place };
        (0..definition.limiters().len()).map(move |at| match seen {
            Some(seen) => seen.limiters[at].clone(),
            None => definition.limiters()[at].view(&states[at], when),
        })
    }

    /// The tracker as JSON, like [`TrackerSnapshot::to_json`](crate::TrackerSnapshot::to_json) but without `cycle` and
    /// `expire_at`.
    pub fn to_json(&self) -> Json {
        let view = View {
            definition: self.definition,
            progress: self.progress(),
            target: self.target(),
            stage: self.stage(),
            limited: self.is_limited(),
            status: self.status(),
            period: self.period(),
            freezes: self.freezes(),
            cycle: None,
            expire_at: None,
        };
        view.to_map(self.limiters().map(|limiter| limiter.to_json())).into()
    }

    /// What remains of its first limiter that counts.
    pub fn remaining(&self) -> Option<Amount> {
        self.limiters().find_map(|limiter| limiter.remaining)
    }
}
