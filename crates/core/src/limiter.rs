//! Limiters: how often, and how long, a tracker may count.
//!
//! Each kind is one file with everything there is to know about it: what a definition says, how it is read and checked, what
//! is remembered, the rule, the JSON, the stored form and the words. The trait `Kind` lists what such a file provides. To add
//! a kind, write a file, add a variant to the list in `kinds!`, and follow the compiler.

use std::fmt::Debug;

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::document::Document;
use crate::engine::Engine;
use crate::group::RecordError;
use crate::json::{Json, Map, object};
use crate::number::Number;
use crate::source::Node;
use crate::time::{Span, Timestamp};

mod count;
mod custom;
mod fixed;
mod interval;

pub use count::Count;
pub use custom::Custom;
pub use fixed::Fixed;
pub use interval::Interval;

/// The maximum number of limiters of one tracker.
pub const MAX_LIMITERS: usize = 64;

/// The moment of a call, and what groups share.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) now: Timestamp,
    pub(crate) engine: &'a Engine,
}

/// What a limiter is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) at: At<'a>,
    pub(crate) document: &'a dyn Document,
}

/// A kind of limiter.
pub(crate) trait Kind: Clone + Debug + PartialEq {
    /// What it remembers.
    type State: Clone + Debug + PartialEq;

    /// The fields of its JSON. The first one names the kind.
    const FIELDS: &'static [&'static str];

    /// Its JSON, for messages.
    const FORM: &'static str;

    /// Reads it from the fields of its JSON.
    fn read(fields: &mut Fields<'_>) -> Read<Self>;

    /// Checks what a program says that made it without reading it.
    fn check(&self) -> Read<()>;

    fn to_json(&self) -> Json;

    /// The state when its tracker is added.
    fn begin(&self, at: At<'_>) -> Self::State;

    /// Whether it admits a document and does not run out by it. `false` also where only custom code knows.
    fn stays_open(state: &Self::State, now: Timestamp) -> bool;

    /// Records a document, in a state that [stays open](Self::stays_open).
    fn spend(state: &mut Self::State);

    /// Whether a document may count.
    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError>;

    /// Records a document that counts.
    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError>;

    /// Whether nothing more can count before a renewal, now that a document counted.
    fn exhausted(&self, state: &Self::State, at: At<'_>) -> Result<bool, CustomError>;

    /// The state after `reset_tracker` with the policy `limiter`.
    fn renewed(&self, state: &Self::State, renewal: Renewal, at: At<'_>) -> Result<Self::State, CustomError>;

    /// The state after a stage with the policy `limiter`.
    fn next_stage(&self, state: &Self::State, at: At<'_>) -> Result<Self::State, CustomError> {
        self.renewed(state, Renewal::default(), at)
    }

    /// The state where this one replaces `before`, from which it differs in its number only: what was used stays used.
    /// `None` if it differs in more.
    fn with_used(&self, before: &Self, state: &Self::State) -> Option<Self::State> {
        let _ = (before, state);
        None
    }

    /// What people see of it at `now`.
    fn view(&self, state: &Self::State, now: Timestamp) -> LimiterView;

    /// It and its state in words, where it refuses at `now`.
    fn in_words(&self, state: &Self::State, now: Timestamp) -> String;

    /// Writes what is stored of a state.
    fn store(state: &Self::State, out: &mut String);

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError>;
}

/// Makes the enums over all kinds, and the functions that ask the kind at hand.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// A limiter as a definition says it.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum LimiterDefinition {
            $($(#[$doc])* $kind($kind),)*
        }

        /// What a limiter remembers.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum LimiterState {
            $($kind(<$kind as Kind>::State),)*
        }

        $(impl From<$kind> for LimiterDefinition {
            fn from(limiter: $kind) -> Self {
                Self::$kind(limiter)
            }
        })*

        /// The forms of all kinds, for messages.
        const FORMS: &[&str] = &[$($kind::FORM),*];
        const FIELDS: &[&[&str]] = &[$($kind::FIELDS),*];

        impl LimiterState {
            #[inline]
            pub(crate) fn stays_open(&self, now: Timestamp) -> bool {
                match self { $(Self::$kind(state) => $kind::stays_open(state, now),)* }
            }

            #[inline]
            pub(crate) fn spend(&mut self) {
                match self { $(Self::$kind(state) => $kind::spend(state),)* }
            }

            pub(crate) fn store(&self, out: &mut String) {
                match self { $(Self::$kind(state) => $kind::store(state, out),)* }
            }
        }

        impl LimiterDefinition {
            fn check(&self) -> Read<()> {
                match self { $(Self::$kind(limiter) => limiter.check(),)* }
            }

            /// The limiter as definitions spell it.
            pub fn to_json(&self) -> Json {
                match self { $(Self::$kind(limiter) => limiter.to_json(),)* }
            }

            pub(crate) fn begin(&self, at: At<'_>) -> LimiterState {
                match self { $(Self::$kind(limiter) => LimiterState::$kind(limiter.begin(at)),)* }
            }

            #[inline]
            pub(crate) fn admits(&self, state: &LimiterState, ask: &Ask<'_>) -> Result<Verdict, CustomError> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.admits(state, ask),)*
                    _ => another_kind(),
                }
            }

            #[inline]
            pub(crate) fn record(&self, state: &mut LimiterState, ask: &Ask<'_>) -> Result<(), CustomError> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.record(state, ask),)*
                    _ => another_kind(),
                }
            }

            #[inline]
            pub(crate) fn exhausted(&self, state: &LimiterState, at: At<'_>) -> Result<bool, CustomError> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.exhausted(state, at),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn renewed(
                &self,
                state: &LimiterState,
                renewal: Renewal,
                at: At<'_>,
            ) -> Result<LimiterState, CustomError> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => {
                        limiter.renewed(state, renewal, at).map(LimiterState::$kind)
                    })*
                    _ => another_kind(),
                }
            }

            pub(crate) fn next_stage(&self, state: &LimiterState, at: At<'_>) -> Result<LimiterState, CustomError> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => {
                        limiter.next_stage(state, at).map(LimiterState::$kind)
                    })*
                    _ => another_kind(),
                }
            }

            pub(crate) fn with_used(&self, before: &Self, state: &LimiterState) -> Option<LimiterState> {
                match (self, before, state) {
                    $((Self::$kind(limiter), Self::$kind(before), LimiterState::$kind(state)) => {
                        limiter.with_used(before, state).map(LimiterState::$kind)
                    })*
                    _ => None,
                }
            }

            pub(crate) fn view(&self, state: &LimiterState, now: Timestamp) -> LimiterView {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.view(state, now),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn in_words(&self, state: &LimiterState, now: Timestamp) -> String {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.in_words(state, now),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn restore(&self, stored: &Json) -> Result<LimiterState, RecordError> {
                match self { $(Self::$kind(limiter) => limiter.restore(stored).map(LimiterState::$kind),)* }
            }
        }
    };
}

kinds! {
    /// Admits a number of documents.
    Count,
    /// Admits from one moment to another.
    Fixed,
    /// Admits for a time after the add or the last renewal.
    Interval,
    /// A limiter that the process registered by name.
    Custom,
}

/// A state is made by its own definition, or restored for it.
#[cold]
fn another_kind() -> ! {
    unreachable!("a limiter has the state of its own kind")
}

/// Which kind the fields of a limiter say.
fn kind_of<'a>(node: &Node, mut has: impl FnMut(&str) -> bool) -> Read<fn(&mut Fields<'a>) -> Read<LimiterDefinition>> {
    Ok(if has("count") {
        |fields| Count::read(fields).map(Into::into)
    } else if has("seconds") {
        |fields| Interval::read(fields).map(Into::into)
    } else if has("custom") {
        |fields| Custom::read(fields).map(Into::into)
    } else if has("start") || has("end") {
        |fields| Fixed::read(fields).map(Into::into)
    } else {
        return Err(node.refuse("unknown kind of limiter", forms()));
    })
}

fn forms() -> String {
    match FORMS {
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
        [] => String::new(),
    }
}

impl LimiterDefinition {
    /// Admits `count` documents.
    pub fn count(count: u64) -> Self {
        Count { count }.into()
    }

    /// Admits from `start` to `end`, both included; either may be left out.
    pub fn fixed(start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        Fixed::new(start, end).into()
    }

    /// Admits for `length` after the add or the last renewal, the end included.
    pub fn interval(length: Span) -> Self {
        Interval { length }.into()
    }

    /// A limiter that the process registered by name; `params` is handed to it.
    pub fn custom(name: &str, params: impl Into<Json>) -> Self {
        Custom::new(name, params.into()).into()
    }

    /// Reads a limiter.
    pub(crate) fn read(node: &Node) -> Read<Self> {
        let known: Vec<&str> = {
            let mut known: Vec<&str> = Vec::new();
            for field in FIELDS.concat() {
                if !known.contains(&field) {
                    known.push(field);
                }
            }
            known
        };
        let mut fields = Fields::known(node, &forms(), &known)?;
        let read = kind_of(node, |key| fields.names().any(|name| name == key))?;
        let limiter = read(&mut fields)?;
        fields.finish("no other field with this limiter")?;
        Ok(limiter)
    }

    /// Checks limiters that a program made.
    pub(crate) fn check_all(limiters: &[Self]) -> Read<()> {
        if limiters.len() > MAX_LIMITERS {
            let problem = format!("{} limiters", limiters.len());
            return Err(DefinitionError::of("limiters", problem, format!("up to {MAX_LIMITERS}")));
        }
        let check =
            |(at, limiter): (usize, &Self)| limiter.check().map_err(|error| error.within(&format!("limiters[{at}]")));
        limiters.iter().enumerate().try_for_each(check)
    }

    /// Whether asking it can fail half-way, because it runs code of the program.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self, Self::Custom(_))
    }
}

/// A limiter's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The document may count.
    Admitted,
    /// It may not, and none will before `until`; `None`: not before a reset.
    Refused {
        /// The first moment that is admitted again.
        until: Option<Timestamp>,
    },
}

/// Which limiter refused a document, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The position of the limiter in the definition.
    pub limiter: usize,
    /// The first moment at which the limiter would admit the document; `None`: not before a reset.
    pub until: Option<Timestamp>,
}

impl Refusal {
    /// The refusal as JSON: `limiter`, and `until`, which is `null` where only a reset helps.
    pub fn to_json(&self) -> Json {
        let until = self.until.map_or(Json::Null, |until| until.to_number().into());
        object([("limiter", (self.limiter as u64).into()), ("until", until)])
    }
}

/// What `reset_tracker` says beyond "as new".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewal {
    /// A new number of documents for `count` limiters; 0 closes them.
    pub count: Option<u64>,
    /// A new length for fixed windows and intervals.
    pub length: Option<Span>,
}

impl Renewal {
    /// As new, with `count` documents.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// As new, for `length`.
    #[must_use]
    pub fn length(mut self, length: Span) -> Self {
        self.length = Some(length);
        self
    }
}

/// What people see of a limiter as of a moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LimiterView {
    /// What remains when it is as new; `None` where it does not count.
    pub limit: Option<Amount>,
    /// What remains, 0 or more; `None` where it does not count.
    pub remaining: Option<Amount>,
    /// The first moment, from the one that is looked at on, at which it admits a document; `None`: not before a reset, or
    /// only custom code knows.
    pub retry_at: Option<Timestamp>,
    /// The first moment at which it is as new; `None`: it is, or not before a reset, or it does not count.
    pub reset_at: Option<Timestamp>,
    /// The first moment that a limiter with bounds admits, if it has one.
    pub start: Option<Timestamp>,
    /// The last moment that a limiter with bounds admits, if it has one.
    pub end: Option<Timestamp>,
    /// What a custom limiter remembers; `None` until it is first asked.
    pub state: Option<Json>,
}

impl LimiterView {
    /// The view as JSON: `limit`, `remaining`, `retry_at` and `reset_at`, with bounds `start` and `end`; of a custom limiter
    /// what it remembers.
    pub fn to_json(&self) -> Json {
        if let Some(state) = &self.state {
            return state.clone();
        }
        let number = |amount: Option<Amount>| amount.map_or(Json::Null, |amount| Number::Exact(amount).into());
        let moment = |moment: Option<Timestamp>| moment.map_or(Json::Null, |moment| moment.to_number().into());
        let mut map = Map::default();
        map.insert("limit".into(), number(self.limit));
        map.insert("remaining".into(), number(self.remaining));
        map.insert("retry_at".into(), moment(self.retry_at));
        map.insert("reset_at".into(), moment(self.reset_at));
        for (key, bound) in [("start", self.start), ("end", self.end)] {
            if bound.is_some() {
                map.insert(key.into(), moment(bound));
            }
        }
        map.into()
    }
}

/// A limiter on its own, outside of any tracker.
///
/// ```
/// use dictrack_core::{group::Engine, limiter::Verdict, Timestamp, json::Json};
/// use dictrack_core::limiter::{Limiter, LimiterDefinition};
///
/// let engine = Engine::default();
/// let now = Timestamp::from_secs(0);
/// let mut limiter = Limiter::new(LimiterDefinition::count(1), now, &engine);
/// assert_eq!(limiter.admits(&Json::Null, now, &engine), Ok(Verdict::Admitted));
/// limiter.record(&Json::Null, now, &engine)?;
/// assert_eq!(limiter.admits(&Json::Null, now, &engine), Ok(Verdict::Refused { until: None }));
/// # Ok::<(), dictrack_core::custom::CustomError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Limiter {
    definition: LimiterDefinition,
    state: LimiterState,
}

impl Limiter {
    /// The limiter as it is when it is added at `now`.
    pub fn new(definition: LimiterDefinition, now: Timestamp, engine: &Engine) -> Self {
        Self { state: definition.begin(At { now, engine }), definition }
    }

    /// Whether `document` may count at `now`.
    ///
    /// # Errors
    /// A [`CustomError`] if a custom limiter is not known or fails.
    pub fn admits(&self, document: &dyn Document, now: Timestamp, engine: &Engine) -> Result<Verdict, CustomError> {
        self.definition.admits(&self.state, &Ask { at: At { now, engine }, document })
    }

    /// Records a document that counts at `now`; whether more can count before a reset.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    pub fn record(&mut self, document: &dyn Document, now: Timestamp, engine: &Engine) -> Result<bool, CustomError> {
        let at = At { now, engine };
        self.definition.record(&mut self.state, &Ask { at, document })?;
        self.definition.exhausted(&self.state, at).map(|exhausted| !exhausted)
    }

    /// Makes it as new at `now`.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    pub fn renew(&mut self, renewal: Renewal, now: Timestamp, engine: &Engine) -> Result<(), CustomError> {
        self.state = self.definition.renewed(&self.state, renewal, At { now, engine })?;
        Ok(())
    }

    /// What people see of it at `now`.
    pub fn view(&self, now: Timestamp) -> LimiterView {
        self.definition.view(&self.state, now)
    }
}
