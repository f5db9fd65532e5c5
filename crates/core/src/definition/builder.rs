//! Building a definition in code.

use super::{DefinitionError, Kind, Parts, ResetPolicy, TrackerDefinition};
use crate::amount::Amount;
use crate::condition::{Condition, Needle, Order, Test};
use crate::json::Json;
use crate::limiter::LimiterDefinition;
use crate::path::Path;
use crate::time::{Span, Timestamp};

/// Builds a [`TrackerDefinition`]. What is wrong is said by [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct TrackerBuilder {
    parts: Parts,
    fault: Option<DefinitionError>,
}

macro_rules! tests {
    ($($(#[$doc:meta])* $name:ident($operand:ident: $type:ty) => $test:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(self, key: &str, $operand: $type) -> Self {
            self.test(key, $test)
        })*
    };
}

fn items<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Vec<Json> {
    items.into_iter().map(Into::into).collect()
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
        };
        Self { parts, fault: None }
    }

    pub(super) fn sum(name: &str) -> Self {
        let mut builder = Self::new(name, Kind::Count);
        if let Some(amount) = Path::parse("amount") {
            builder.parts.kind = Kind::Sum(amount);
        }
        builder
    }

    /// Sums the number at `key`; only for a tracker that sums.
    pub fn key(mut self, key: &str) -> Self {
        match (Path::parse(key), &mut self.parts.kind) {
            (Some(path), Kind::Sum(key)) => *key = path,
            (Some(_), _) => self.refuse("key", "a field out of place: only a sum has a key"),
            (None, _) => self.refuse("key", "an empty path"),
        }
        self
    }

    /// Adds a target behind those it has.
    pub fn target(mut self, target: impl Into<Amount>) -> Self {
        self.parts.targets.push(target.into());
        self
    }

    /// Adds targets behind those it has.
    pub fn targets<T: Into<Amount>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.parts.targets.extend(targets.into_iter().map(Into::into));
        self
    }

    /// Adds a condition.
    pub fn condition(mut self, condition: Condition) -> Self {
        self.parts.conditions.push(condition);
        self
    }

    fn test(mut self, key: &str, test: Test) -> Self {
        match Path::parse(key) {
            Some(key) => self.parts.conditions.push(Condition::Test { key, test }),
            None => self.refuse("conditions", "an empty key"),
        }
        self
    }

    /// The value at `key` exists.
    pub fn exists(self, key: &str) -> Self {
        self.test(key, Test::Exists)
    }

    /// There is no value at `key`.
    pub fn absent(self, key: &str) -> Self {
        self.test(key, Test::Absent)
    }

    tests! {
        /// The value at `key` equals `value`.
        eq(value: impl Into<Json>) => Test::Eq(value.into());
        /// The value at `key` exists and differs from `value`.
        ne(value: impl Into<Json>) => Test::Ne(value.into());
        /// The value at `key` is less than `value`.
        lt(value: impl Into<Json>) => Test::Order(Order::Lt, value.into());
        /// The value at `key` is at most `value`.
        le(value: impl Into<Json>) => Test::Order(Order::Le, value.into());
        /// The value at `key` is greater than `value`.
        gt(value: impl Into<Json>) => Test::Order(Order::Gt, value.into());
        /// The value at `key` is at least `value`.
        ge(value: impl Into<Json>) => Test::Order(Order::Ge, value.into());
        /// The value at `key` contains `value`: a substring, an item, a key.
        contains(value: impl Into<Json>) => Test::Contains(Needle::new(value.into(), false));
        /// The value at `key` is one of `values`.
        is_in(values: impl IntoIterator<Item = impl Into<Json>>) => Test::In(items(values));
        /// The value at `key` exists and is none of `values`.
        not_in(values: impl IntoIterator<Item = impl Into<Json>>) => Test::NotIn(items(values));
        /// The list at `key` has the item `value`.
        has(value: impl Into<Json>) => Test::Has(value.into());
    }

    /// A condition that the process registered by name.
    pub fn custom_condition(self, name: &str, params: impl Into<Json>) -> Self {
        self.condition(Condition::Custom { name: name.into(), params: params.into() })
    }

    /// At most `count` documents count.
    pub fn limit(self, count: u64) -> Self {
        self.limiter(LimiterDefinition::Count(count))
    }

    /// Counts from `start` to `end`, both included.
    pub fn between(self, start: Timestamp, end: Timestamp) -> Self {
        self.limiter(LimiterDefinition::Window(start, end))
    }

    /// Counts for `span` after the add or the last renewal.
    pub fn within(self, span: Span) -> Self {
        self.limiter(LimiterDefinition::Interval(span))
    }

    /// Adds a limiter.
    pub fn limiter(mut self, limiter: LimiterDefinition) -> Self {
        self.parts.limiters.push(limiter);
        self
    }

    /// What starts anew at each stage; limiters, if this is not called.
    pub fn reset_policy(mut self, policy: ResetPolicy) -> Self {
        self.parts.reset_policy = policy;
        self
    }

    /// Starts the list of targets again after the last.
    pub fn loop_forever(mut self) -> Self {
        self.parts.loop_forever = true;
        self
    }

    /// Starts with this progress instead of 0.
    pub fn init_progress(mut self, progress: impl Into<Amount>) -> Self {
        self.parts.init_progress = progress.into();
        self
    }

    /// From this moment on the tracker is gone.
    pub fn expire_at(mut self, moment: Timestamp) -> Self {
        self.parts.expire_at = Some(moment);
        self
    }

    fn refuse(&mut self, field: &str, problem: &str) {
        self.fault.get_or_insert_with(|| DefinitionError::of(field, problem, "at least one segment"));
    }

    /// The definition.
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
