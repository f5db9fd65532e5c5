//! Building a definition in code.

use super::{DefinitionError, Parts, ResetPolicy, TrackerDefinition};
use crate::amount::Amount;
use crate::condition::Condition;
use crate::json::Json;
use crate::limiter::LimiterDefinition;
use crate::measure::{self, Freezes, Kind};
use crate::path::Path;
use crate::period::Every;
use crate::time::{Span, Timestamp};
use crate::window::Window;
use crate::zone::Zone;

/// Builds a [`TrackerDefinition`]. Errors are reported by [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct TrackerBuilder {
    parts: Parts,
    fault: Option<DefinitionError>,
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident($($operand:ident: $type:ty)?);)*) => {
        $($(#[$doc])*
        pub fn $name(self, key: &str $(, $operand: $type)?) -> Self {
            self.condition(Condition::$name(key $(, $operand)?))
        })*
    };
}

impl TrackerBuilder {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        let parts = Parts {
            name: name.into(),
            kind,
            targets: Vec::new(),
            conditions: Vec::new(),
            limiters: Vec::new(),
            reset_policy: ResetPolicy::default(),
            loop_forever: false,
            init_progress: Amount::ZERO,
            expire_at: None,
            every: None,
            zone: None,
        };
        Self { parts, fault: None }
    }

    pub(super) fn sum(name: &str) -> Self {
        let mut builder = Self::new(name, Kind::Count(measure::Count));
        match measure::Sum::of_amounts() {
            Ok(sum) => builder.parts.kind = Kind::Sum(sum),
            Err(fault) => builder.fault = Some(fault),
        }
        builder
    }

    /// Sums the number at `key`; only for a tracker that sums, or for a streak.
    pub fn key(mut self, key: &str) -> Self {
        match (Path::parse(key), &mut self.parts.kind) {
            (Some(path), Kind::Sum(sum)) => *sum = measure::Sum::new(path),
            (Some(path), Kind::Streak(streak)) => streak.set_key(path),
            (Some(_), _) => self.refuse("key", "field not allowed here", "`key` only with kinds sum and streak"),
            (None, _) => self.refuse("key", "path is empty", "at least one segment"),
        }
        self
    }

    /// Appends a target. A tracker without targets only counts and limits, and never completes.
    pub fn target(mut self, target: impl Into<Amount>) -> Self {
        self.parts.targets.push(target.into());
        self
    }

    /// Appends targets.
    pub fn targets<T: Into<Amount>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        let before = self.parts.targets.len();
        self.parts.targets.extend(targets.into_iter().map(Into::into));
        if self.parts.targets.len() == before {
            self.refuse("target", "an empty list", "a number or a non-empty list of numbers");
        }
        self
    }

    /// Adds a condition.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.parts.conditions.push(condition);
        self
    }

    fn fallible(mut self, condition: Result<Condition, DefinitionError>) -> Self {
        let at = self.parts.conditions.len();
        match condition {
            Ok(condition) => self.parts.conditions.push(condition),
            Err(error) => {
                self.fault.get_or_insert_with(|| error.within(&format!("conditions[{at}]")));
            }
        }
        self
    }

    conditions! {
        /// There is a value at `key`, which may be `null`.
        exists();
        /// There is no value at `key`.
        absent();
        /// The value at `key` equals `value`.
        eq(value: impl Into<Json>);
        /// The value at `key` exists and differs from `value`.
        ne(value: impl Into<Json>);
        /// The value at `key` is less than `value`.
        lt(value: impl Into<Json>);
        /// The value at `key` is less than or equal to `value`.
        le(value: impl Into<Json>);
        /// The value at `key` is greater than `value`.
        gt(value: impl Into<Json>);
        /// The value at `key` is greater than or equal to `value`.
        ge(value: impl Into<Json>);
        /// The value at `key` contains `value`: as a substring, an item or a key.
        contains(value: impl Into<Json>);
        /// The value at `key` exists and does not contain `value`.
        not_contains(value: impl Into<Json>);
        /// The value at `key` equals one of `values`.
        is_in(values: impl IntoIterator<Item = impl Into<Json>>);
        /// The value at `key` exists and equals none of `values`.
        not_in(values: impl IntoIterator<Item = impl Into<Json>>);
        /// The list at `key` has the item `value`.
        has(value: impl Into<Json>);
        /// The value at `key` exists and is not a list with the item `value`.
        not_has(value: impl Into<Json>);
        /// The list at `key` has one of `values`.
        intersects(values: impl IntoIterator<Item = impl Into<Json>>);
        /// The value at `key` exists and is not a list with one of `values`.
        not_intersects(values: impl IntoIterator<Item = impl Into<Json>>);
        /// The text at `key` starts with `text`.
        starts_with(text: &str);
        /// The text at `key` ends with `text`.
        ends_with(text: &str);
        /// The moment at `key` is before `moment`.
        before(moment: Timestamp);
        /// The moment at `key` is `moment` or later.
        since(moment: Timestamp);
        /// The values at `key` and `other` are equal.
        eq_key(other: &str);
        /// The values at `key` and `other` both exist and differ.
        ne_key(other: &str);
        /// The value at `key` is less than the one at `other`.
        lt_key(other: &str);
        /// The value at `key` is less than or equal to the one at `other`.
        le_key(other: &str);
        /// The value at `key` is greater than the one at `other`.
        gt_key(other: &str);
        /// The value at `key` is greater than or equal to the one at `other`.
        ge_key(other: &str);
        /// All conditions hold for at least one item of the list at `key`.
        any_item(conditions: impl IntoIterator<Item = Condition>);
        /// The list at `key` is not empty, and all conditions hold for each of its items.
        all_items(conditions: impl IntoIterator<Item = Condition>);
    }

    /// The text at `key`, or a part of it, matches a regular expression.
    pub fn matches(self, key: &str, pattern: &str) -> Self {
        self.fallible(Condition::matches(key, pattern))
    }

    /// All of the conditions hold.
    pub fn all(self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.condition(Condition::all(conditions))
    }

    /// At least one of the conditions holds.
    pub fn any(self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.condition(Condition::any(conditions))
    }

    /// `condition` does not hold, for example because its key is missing.
    pub fn not(self, condition: Condition) -> Self {
        self.condition(Condition::not(condition))
    }

    /// A condition that the process registered by name.
    pub fn custom_condition(self, name: &str, params: impl Into<Json>) -> Self {
        self.condition(Condition::custom(name, params))
    }

    /// Counts up to `count` documents.
    pub fn limit(self, count: u64) -> Self {
        self.limiter(LimiterDefinition::count(count))
    }

    /// Counts from `start` to `end`, inclusive. To include a whole day or second at the end, see
    /// [`Timestamp::parse_end`].
    pub fn between(self, start: Timestamp, end: Timestamp) -> Self {
        self.limiter(LimiterDefinition::fixed(Some(start), Some(end)))
    }

    /// Counts from `start` on.
    pub fn starting(self, start: Timestamp) -> Self {
        self.limiter(LimiterDefinition::fixed(Some(start), None))
    }

    /// Counts until `end`, inclusive.
    pub fn until(self, end: Timestamp) -> Self {
        self.limiter(LimiterDefinition::fixed(None, Some(end)))
    }

    /// Counts for `span` after the add or the last renewal.
    pub fn within(self, span: Span) -> Self {
        self.limiter(LimiterDefinition::interval(span))
    }

    /// Adds a limiter.
    pub fn limiter(mut self, limiter: LimiterDefinition) -> Self {
        self.parts.limiters.push(limiter);
        self
    }

    /// Sets what is reset when a stage is completed. The default is the limiters.
    pub fn reset_policy(mut self, policy: ResetPolicy) -> Self {
        self.parts.reset_policy = policy;
        self
    }

    /// Starts again with the first target after the last one.
    pub fn loop_forever(mut self) -> Self {
        self.parts.loop_forever = true;
        self
    }

    /// Starts with this progress instead of 0.
    pub fn init_progress(mut self, progress: impl Into<Amount>) -> Self {
        self.parts.init_progress = progress.into();
        self
    }

    /// The tracker expires at this moment.
    pub fn expire_at(mut self, moment: Timestamp) -> Self {
        self.parts.expire_at = Some(moment);
        self
    }

    /// Starts again in each period of a window: `every(Window::new("day".parse()?))`.
    pub fn every(mut self, mut window: Window) -> Self {
        // In a definition, the zone of `every` is that of the tracker.
        self.parts.zone = window.take_zone().or(self.parts.zone);
        let keep = self.parts.every.map_or(Every::KEEP, |every| every.keep);
        self.parts.every = Some(Every { window, keep });
        self
    }

    /// Remembers this many closed periods instead of one; only after [`every`](Self::every).
    pub fn keep(mut self, periods: u16) -> Self {
        match &mut self.parts.every {
            Some(every) => every.keep = periods,
            None => self.refuse("keep", "field not allowed here", "`keep` only with `every`"),
        }
        self
    }

    /// The zone of its windows, unless they have their own.
    pub fn zone(mut self, zone: Zone) -> Self {
        self.parts.zone = Some(zone);
        self
    }

    /// What the documents of a period must reach for it to be met, instead of one document; only for a streak.
    pub fn each(mut self, each: impl Into<Amount>) -> Self {
        match &mut self.parts.kind {
            Kind::Streak(streak) => streak.set_each(each.into()),
            _ => self.refuse("each", "field not allowed here", "`each` only with kind streak"),
        }
        self
    }

    /// How many periods the streak survives without being met; only for a streak.
    pub fn freezes(mut self, freezes: Freezes) -> Self {
        match &mut self.parts.kind {
            Kind::Streak(streak) => streak.set_freezes(freezes),
            _ => self.refuse("freezes", "field not allowed here", "`freezes` only with kind streak"),
        }
        self
    }

    fn refuse(&mut self, field: &str, problem: &str, expected: &str) {
        self.fault.get_or_insert_with(|| DefinitionError::of(field, problem, expected));
    }

    /// Checks and returns the definition.
    ///
    /// # Errors
    /// A [`DefinitionError`] that names the field and what was expected there.
    pub fn build(self) -> Result<TrackerDefinition, DefinitionError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => TrackerDefinition::checked(self.parts),
        }
    }
}
