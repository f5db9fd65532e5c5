//! Definitions: immutable descriptions of trackers, written by users.

use std::fmt;

use crate::amount::Amount;
use crate::condition::Condition;
use crate::hash::ContentHash;
use crate::json::{Json, Map, Text};
use crate::limiter::LimiterDefinition;
use crate::measure::Kind;
use crate::number::Number;
use crate::period::Every;
use crate::source::Node;
use crate::time::Timestamp;
use crate::zone::Zone;

mod builder;
mod check;
mod error;
mod fields;
mod read;
mod warning;

pub use builder::TrackerBuilder;
pub use error::DefinitionError;
pub(crate) use error::Read;
pub(crate) use fields::{Fields, one_of};
pub use read::read_trackers;
pub use warning::DefinitionWarning;

/// The maximum number of conditions in one definition, including nested ones.
pub const MAX_CONDITIONS: usize = 10_000;
/// The maximum number of targets in one definition.
pub const MAX_TARGETS: usize = 10_000;
/// The maximum length of a tracker's name in bytes.
pub const MAX_NAME_BYTES: usize = 1_024;

/// The definition of one tracker. It is checked when it is made and never changes.
///
/// It is built with [`TrackerDefinition::count`], [`sum`](TrackerDefinition::sum) or
/// [`custom`](TrackerDefinition::custom), or read from JSON. Two definitions are equal if they mean the same.
///
/// ```
/// use dictrack_core::{TrackerDefinition, json::Json};
/// let json = Json::parse(br#"{"name": "orders", "kind": "count", "target": [10, 50],
///                             "conditions": [{"key": "status", "eq": "completed"}]}"#).unwrap();
/// let read = TrackerDefinition::from_json(&json).unwrap();
/// let built = TrackerDefinition::count("orders").targets([10, 50]).eq("status", "completed").build().unwrap();
/// assert_eq!(read, built);
/// ```
#[derive(Clone)]
pub struct TrackerDefinition {
    parts: Parts,
    hash: ContentHash,
    /// The template that it comes from, if any. It is not part of what the definition means.
    template: Option<Text>,
}

/// The fields of a definition, not yet checked together.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) name: Text,
    pub(crate) kind: Kind,
    pub(crate) targets: Vec<Amount>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) limiters: Vec<LimiterDefinition>,
    pub(crate) reset_policy: ResetPolicy,
    pub(crate) loop_forever: bool,
    pub(crate) init_progress: Amount,
    pub(crate) expire_at: Option<Timestamp>,
    pub(crate) every: Option<Every>,
    pub(crate) zone: Option<Zone>,
}

/// What is reset when a stage is completed or when `reset_tracker` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetPolicy {
    /// Progress goes back to 0.
    pub progress: bool,
    /// Limiters are renewed.
    pub limiter: bool,
}

impl ResetPolicy {
    /// Nothing: flags 0.
    pub const NONE: Self = Self { progress: false, limiter: false };
    /// Progress: flag 1.
    pub const PROGRESS: Self = Self { progress: true, limiter: false };
    /// Limiters, the default: flag 2.
    pub const LIMITER: Self = Self { progress: false, limiter: true };
    /// Both: flags 3.
    pub const ALL: Self = Self { progress: true, limiter: true };

    /// The flags as a number: progress 1, limiter 2.
    pub const fn bits(self) -> u8 {
        self.progress as u8 | (self.limiter as u8) << 1
    }
}

impl Default for ResetPolicy {
    fn default() -> Self {
        Self::LIMITER
    }
}

impl TrackerDefinition {
    /// Starts the definition of a tracker that counts documents.
    pub fn count(name: &str) -> TrackerBuilder {
        TrackerBuilder::new(name, Kind::count())
    }

    /// Starts the definition of a tracker that sums the number at `amount`, or at another path set with
    /// [`TrackerBuilder::key`].
    pub fn sum(name: &str) -> TrackerBuilder {
        TrackerBuilder::sum(name)
    }

    /// Starts the definition of a tracker that adds what the registered `measure` returns.
    pub fn custom(name: &str, measure: &str, params: impl Into<Json>) -> TrackerBuilder {
        TrackerBuilder::new(name, Kind::custom(measure, params))
    }

    /// Starts the definition of a tracker that counts how many periods in a row were met. It needs
    /// [`every`](TrackerBuilder::every).
    pub fn streak(name: &str) -> TrackerBuilder {
        TrackerBuilder::new(name, Kind::streak())
    }

    /// Starts the definition of a tracker of any kind.
    pub fn of(name: &str, kind: Kind) -> TrackerBuilder {
        TrackerBuilder::new(name, kind)
    }

    /// Whether it has a custom condition, limiter or measure.
    pub fn asks_custom(&self) -> bool {
        matches!(self.kind(), Kind::Custom(_))
            || self.conditions().iter().any(Condition::asks_custom)
            || self.limiters().iter().any(LimiterDefinition::is_custom)
    }

    /// Reads a definition from JSON.
    ///
    /// # Errors
    /// A [`DefinitionError`] that names the field and what was expected there.
    pub fn from_json(json: &Json) -> Result<Self, DefinitionError> {
        Self::from_node(&Node::from(json))
    }

    /// Checks the fields together.
    pub(crate) fn new(parts: Parts) -> Self {
        let hash = ContentHash::of([parts.to_json().sorted().to_string()]);
        Self { parts, hash, template: None }
    }

    /// The same definition, as it is in the [template](crate::template) of that name.
    pub(crate) fn of_template(self, name: &str) -> Self {
        Self { template: Some(name.into()), ..self }
    }

    /// The same definition, from no template.
    #[must_use]
    pub fn without_template(&self) -> Self {
        Self { template: None, ..self.clone() }
    }

    /// The name of the [template](crate::template) that it comes from, if it comes from one.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Whether `other` means the same and comes from the same template.
    pub(crate) fn is_identical(&self, other: &Self) -> bool {
        self == other && self.template == other.template
    }

    /// The hash of everything that a store holds of it.
    pub(crate) fn stored_hash(&self) -> ContentHash {
        match &self.template {
            None => self.hash,
            Some(template) => ContentHash::of([self.hash.bytes().as_slice(), template.as_bytes()]),
        }
    }

    /// The name, unique in its group.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// What a counted document adds.
    pub fn kind(&self) -> &Kind {
        &self.parts.kind
    }

    /// The targets in order. Without any, the tracker only counts and limits, and never completes.
    pub fn targets(&self) -> &[Amount] {
        &self.parts.targets
    }

    /// The target of a stage, counted from one; `None` if the tracker has no targets.
    pub fn target_of(&self, stage: usize) -> Option<Amount> {
        self.targets().get(stage.checked_sub(1)?).copied()
    }

    /// What progress is compared with, at least one: the targets, or what none reaches.
    #[inline]
    pub(crate) fn goals(&self) -> &[Amount] {
        if self.targets().is_empty() { &[Amount::UNREACHABLE] } else { self.targets() }
    }

    /// At which stage, counted from 0, a tracker resumes that had reached the last target of `old` before it was given this
    /// definition; `None` if this definition gives it nothing more to reach.
    pub(crate) fn stage_after(&self, old: &Self) -> Option<u16> {
        match (old.targets().len(), self.targets().len()) {
            // It counts on without a target.
            (1.., 0) => Some(0),
            (old, new) => (old > 0 && new > old).then_some(old as u16),
        }
    }

    /// The conditions, all of which must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.parts.conditions
    }

    /// The limiters, all of which must admit a document.
    pub fn limiters(&self) -> &[LimiterDefinition] {
        &self.parts.limiters
    }

    /// What is reset when a stage is completed.
    pub fn reset_policy(&self) -> ResetPolicy {
        self.parts.reset_policy
    }

    /// Whether the targets start again after the last one.
    pub fn loop_forever(&self) -> bool {
        self.parts.loop_forever
    }

    /// The progress that a new tracker starts with.
    pub fn init_progress(&self) -> Amount {
        self.parts.init_progress
    }

    /// The moment at which the tracker expires.
    pub fn expire_at(&self) -> Option<Timestamp> {
        self.parts.expire_at
    }

    /// The periods in each of which the tracker starts again, if it does.
    pub fn every(&self) -> Option<&Every> {
        self.parts.every.as_ref()
    }

    /// The zone of its windows that have none.
    pub fn zone(&self) -> Option<Zone> {
        self.parts.zone
    }

    /// Whether it or one of its limiters has a window.
    pub(crate) fn has_windows(&self) -> bool {
        self.every().is_some() || self.limiters().iter().any(LimiterDefinition::has_window)
    }

    /// Whether it has to be known when the tracker was added.
    pub(crate) fn depends_on_add(&self) -> bool {
        self.every().is_some() || self.limiters().iter().any(LimiterDefinition::is_from_add)
    }

    /// The hash of what this definition means.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The definition with `more` targets after its own.
    ///
    /// # Errors
    /// A [`DefinitionError`] if the result is invalid.
    pub fn with_targets(&self, more: impl IntoIterator<Item = Amount>) -> Result<Self, DefinitionError> {
        let mut parts = self.parts.clone();
        parts.targets.extend(more);
        Ok(Self { template: self.template.clone(), ..Self::checked(parts)? })
    }

    /// The definition as JSON, without the fields that have their default value.
    pub fn to_json(&self) -> Json {
        let mut json = self.parts.to_json();
        if let (Some(template), Json::Map(map)) = (&self.template, &mut json) {
            map.insert("template".into(), template.as_str().into());
        }
        json
    }
}

impl Parts {
    fn to_json(&self) -> Json {
        let mut map = Map::default();
        map.insert("name".into(), self.name.as_str().into());
        self.kind.write(&mut map);
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        match &*self.targets {
            [] => {}
            [target] => put("target", exact(*target)),
            targets => put("target", targets.iter().copied().map(exact).collect::<Vec<_>>().into()),
        }
        if !self.conditions.is_empty() {
            put("conditions", self.conditions.iter().map(Condition::to_json).collect::<Vec<_>>().into());
        }
        if !self.limiters.is_empty() {
            put("limiters", self.limiters.iter().map(LimiterDefinition::to_json).collect::<Vec<_>>().into());
        }
        if self.reset_policy != ResetPolicy::default() {
            let flags = [(self.reset_policy.progress, "progress"), (self.reset_policy.limiter, "limiter")];
            let names = flags.iter().filter(|(set, _)| *set).map(|&(_, name)| Json::from(name));
            put("reset_policy", names.collect::<Vec<_>>().into());
        }
        if self.loop_forever {
            put("loop_forever", true.into());
        }
        if self.init_progress != Amount::ZERO {
            put("init_progress", exact(self.init_progress));
        }
        if let Some(expire_at) = self.expire_at {
            put("expire_at", expire_at.to_number().into());
        }
        if let Some(every) = &self.every {
            every.window.write(&mut map, "every");
            if every.keep != Every::KEEP {
                map.insert("keep".into(), u64::from(every.keep).into());
            }
        }
        if let Some(zone) = self.zone {
            map.insert("zone".into(), zone.name().into());
        }
        map.into()
    }
}

fn exact(amount: Amount) -> Json {
    Json::Number(Number::Exact(amount))
}

impl PartialEq for TrackerDefinition {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for TrackerDefinition {}

impl fmt::Debug for TrackerDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrackerDefinition({})", self.to_json())
    }
}
