//! Limiters: how often, and how long, a tracker may count.
//!
//! Each kind is one file that holds everything about it: its definition, reading and checking, its state, the rule, its
//! JSON, its stored form and its wording in messages. The trait `Kind` lists what such a file provides. To add a kind,
//! write a file, add a variant to the list in `kinds!`, and follow the compiler.

use std::fmt::Debug;

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::document::Document;
use crate::engine::{Ask, At, Engine, When};
use crate::group::RecordError;
use crate::json::{Json, Map, object};
use crate::number::Number;
use crate::path::Path;
use crate::source::{Node, NodeValue};
use crate::time::{Span, Timestamp};
use crate::window::{Length, Place, Window};

mod burst;
mod count;
mod custom;
mod fixed;
mod interval;
mod per;
mod quota;
mod sum;
mod within;

pub use burst::Burst;
pub use count::Count;
pub use custom::Custom;
pub use fixed::Fixed;
pub use interval::Interval;
pub use per::Per;
pub use sum::Sum;
pub use within::Within;

use quota::Quota;

/// The maximum number of limiters of one tracker.
pub const MAX_LIMITERS: usize = 64;

/// A kind of limiter.
pub(crate) trait Kind: Clone + Debug + PartialEq {
    /// Its state.
    type State: Clone + Debug + PartialEq;

    /// The fields of its JSON.
    const FIELDS: &'static [&'static str];

    /// Its JSON, for messages.
    const FORM: &'static str;

    /// Reads it from the fields of its JSON.
    fn read(fields: &mut Fields<'_>) -> Read<Self>;

    /// Checks its values. A program may have built it without reading JSON.
    fn check(&self) -> Read<()> {
        Ok(())
    }

    fn to_json(&self) -> Json;

    /// The state when its tracker is added.
    /// The engine is only missing in views, which do not run custom code.
    fn begin(&self, when: When, engine: Option<&Engine>) -> Self::State;

    /// Whether it has periods of its own, or forgets by itself. If not, a tracker with `every` begins each period with a
    /// new state.
    fn has_window(&self) -> bool {
        false
    }

    /// Checks that the document has the number that the limiter reads itself, if it reads one. The error says why not.
    fn check_number(&self, document: &dyn Document) -> Result<(), String> {
        let _ = document;
        Ok(())
    }

    /// When the period of `when` ended, if that is too long ago for a document to count in it.
    fn late(&self, state: &Self::State, when: When) -> Option<Timestamp> {
        let _ = (state, when);
        None
    }

    /// Whether its own mark holds. Only limiters with a window have one; the others share that of their tracker.
    fn is_marked(&self, state: &Self::State, when: When) -> bool {
        let _ = (state, when);
        false
    }

    /// Begins its own mark, which remembers that LIMITED fired. Returns whether it did not hold before.
    fn mark(&self, state: &mut Self::State, when: When) -> bool {
        let _ = (state, when);
        false
    }

    /// Ends its own mark if the limiter is as new. Called before a document counts or is refused. Returns whether that
    /// changed anything.
    fn settle(&self, state: &mut Self::State, when: When) -> bool {
        let _ = (state, when);
        false
    }

    /// Whether a document that counts now would change nothing but what is used: the limiter admits it, is not exhausted
    /// afterwards, and has no mark that would end. May be `false` where finding out takes long.
    #[inline]
    fn stays_open(&self, state: &Self::State, now: Timestamp) -> bool {
        let _ = (state, now);
        false
    }

    /// Records a document, in a state that [stays open](Self::stays_open).
    #[inline]
    fn spend(&self, state: &mut Self::State, now: Timestamp) {
        let _ = (state, now);
    }

    /// Whether a document may count.
    fn admits(&self, state: &Self::State, ask: &Ask<'_>) -> Result<Verdict, CustomError>;

    /// Records a document that counts.
    #[inline]
    fn record(&self, state: &mut Self::State, ask: &Ask<'_>) -> Result<(), CustomError> {
        let _ = (state, ask);
        Ok(())
    }

    /// Whether nothing more can count until a renewal. Called after a document has counted.
    #[inline]
    fn exhausted(&self, state: &Self::State, at: At<'_>) -> Result<bool, CustomError> {
        let _ = (state, at);
        Ok(false)
    }

    /// The state after `reset_tracker` with the policy `limiter`.
    fn renewed(&self, state: &Self::State, renewal: Renewal, at: At<'_>) -> Result<Self::State, CustomError>;

    /// The state after a stage with the policy `limiter`.
    fn next_stage(&self, state: &Self::State, at: At<'_>) -> Result<Self::State, CustomError> {
        self.renewed(state, Renewal::default(), at)
    }

    /// The state after this limiter replaces `before`, if only their numbers differ: what was used stays used. `None`
    /// if they differ in more than that.
    fn with_used(&self, before: &Self, state: &Self::State, when: When) -> Option<Self::State> {
        let _ = (before, state, when);
        None
    }

    /// What a user sees of it as of a moment.
    fn view(&self, state: &Self::State, when: When) -> LimiterView;

    /// The limiter and its state in words, for a message that it refuses at a moment.
    fn in_words(&self, state: &Self::State, when: When) -> String;

    /// Writes the stored form of a state.
    fn store(state: &Self::State, out: &mut String);

    fn restore(&self, stored: &Json) -> Result<Self::State, RecordError>;

    /// The memory of a state on the heap in bytes, as far as it is known.
    fn heap_bytes(state: &Self::State) -> usize {
        let _ = state;
        0
    }
}

/// Makes the enums over all kinds, and the functions that dispatch to the kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// A limiter as part of a definition.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum LimiterDefinition {
            $($(#[$doc])* $kind($kind),)*
        }

        /// The state of a limiter.
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
            pub(crate) fn store(&self, out: &mut String) {
                match self { $(Self::$kind(state) => $kind::store(state, out),)* }
            }

            /// The memory of the state on the heap in bytes.
            pub(crate) fn heap_bytes(&self) -> usize {
                match self { $(Self::$kind(state) => $kind::heap_bytes(state),)* }
            }
        }

        impl LimiterDefinition {
            fn check(&self) -> Read<()> {
                match self { $(Self::$kind(limiter) => limiter.check(),)* }
            }

            /// The limiter as JSON, as it appears in definitions.
            pub fn to_json(&self) -> Json {
                match self { $(Self::$kind(limiter) => limiter.to_json(),)* }
            }

            pub(crate) fn begin(&self, when: When, engine: Option<&Engine>) -> LimiterState {
                match self { $(Self::$kind(limiter) => LimiterState::$kind(limiter.begin(when, engine)),)* }
            }

            /// Whether it has a window, and with it a mark of its own.
            pub(crate) fn has_window(&self) -> bool {
                match self { $(Self::$kind(limiter) => limiter.has_window(),)* }
            }

            #[inline]
            pub(crate) fn stays_open(&self, state: &LimiterState, now: Timestamp) -> bool {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.stays_open(state, now),)*
                    _ => another_kind(),
                }
            }

            #[inline]
            pub(crate) fn spend(&self, state: &mut LimiterState, now: Timestamp) {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.spend(state, now),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn check_number(&self, document: &dyn Document) -> Result<(), String> {
                match self { $(Self::$kind(limiter) => limiter.check_number(document),)* }
            }

            pub(crate) fn late(&self, state: &LimiterState, when: When) -> Option<Timestamp> {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.late(state, when),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn is_marked(&self, state: &LimiterState, when: When) -> bool {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.is_marked(state, when),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn mark(&self, state: &mut LimiterState, when: When) -> bool {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.mark(state, when),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn settle(&self, state: &mut LimiterState, when: When) -> bool {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.settle(state, when),)*
                    _ => another_kind(),
                }
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

            pub(crate) fn with_used(&self, before: &Self, state: &LimiterState, when: When) -> Option<LimiterState> {
                match (self, before, state) {
                    $((Self::$kind(limiter), Self::$kind(before), LimiterState::$kind(state)) => {
                        limiter.with_used(before, state, when).map(LimiterState::$kind)
                    })*
                    _ => None,
                }
            }

            pub(crate) fn view(&self, state: &LimiterState, when: When) -> LimiterView {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.view(state, when),)*
                    _ => another_kind(),
                }
            }

            pub(crate) fn in_words(&self, state: &LimiterState, when: When) -> String {
                match (self, state) {
                    $((Self::$kind(limiter), LimiterState::$kind(state)) => limiter.in_words(state, when),)*
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
    /// Admits documents from one moment to another.
    Fixed,
    /// Admits documents for a time after the add or the last renewal.
    Interval,
    /// Admits a number of documents, or a sum, in each period of a window.
    Per,
    /// Admits a number of documents in any stretch of time of a length.
    Within,
    /// Admits an even rate of documents, with bursts.
    Burst,
    /// Admits documents up to a sum of their amounts.
    Sum,
    /// A limiter that the process registered by name.
    Custom,
}

/// Cannot happen: a state is made or restored by the definition that it is used with.
#[cold]
fn another_kind() -> ! {
    unreachable!("a limiter has the state of its own kind")
}

/// Chooses the kind of a limiter by its fields.
fn kind_of<'a>(node: &Node, mut has: impl FnMut(&str) -> bool) -> Read<fn(&mut Fields<'a>) -> Read<LimiterDefinition>> {
    Ok(if has("burst") {
        |fields| Burst::read(fields).map(Into::into)
    } else if has("within") {
        |fields| Within::read(fields).map(Into::into)
    } else if has("per") {
        |fields| Per::read(fields).map(Into::into)
    } else if has("sum") {
        |fields| Sum::read(fields).map(Into::into)
    } else if has("count") {
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

/// What to write instead of a rate as other libraries spell it, such as `100/minute`, `5 per 10 minutes` or `10/s`.
/// `key` and `per` are the fields of the number and of the length.
fn rate(key: &str, per: &str, node: &Node) -> Option<String> {
    let NodeValue::Text(text) = &node.value else { return None };
    let text = text.to_ascii_lowercase();
    let (number, length) = text.split_once('/').or_else(|| text.split_once(" per "))?;
    // Other words may follow the number: `100 requests`.
    let number: u64 = number.split_whitespace().next()?.parse().ok().filter(|number| *number > 0)?;
    let length = length.trim();
    let (count, unit) = length.split_at(length.bytes().take_while(u8::is_ascii_digit).count());
    let unit = match unit.trim() {
        "s" | "sec" | "secs" => "second",
        "m" | "min" | "mins" => "minute",
        "h" | "hr" | "hrs" => "hour",
        "d" => "day",
        "w" => "week",
        "y" => "year",
        unit => unit,
    };
    let length = if count.is_empty() { Length::parse(unit)? } else { Length::parse(&format!("{count} {unit}"))? };
    Some(format!(r#"{{"{key}": {number}, "{per}": "{length}"}}"#))
}

impl LimiterDefinition {
    /// Admits `count` documents.
    pub fn count(count: u64) -> Self {
        Count { count }.into()
    }

    /// Admits `count` documents in each period of a window.
    pub fn count_per(count: u64, window: Window) -> Self {
        Per::new(Quota::Count(count), window).into()
    }

    /// Admits documents up to a sum of the numbers at `key`, or of the tracker's own amounts.
    pub fn sum(limit: impl Into<Amount>, key: Option<Path>) -> Self {
        Sum::new(Quota::Sum { limit: limit.into(), key }).into()
    }

    /// As [`sum`](Self::sum), in each period of a window.
    pub fn sum_per(limit: impl Into<Amount>, key: Option<Path>, window: Window) -> Self {
        Per::new(Quota::Sum { limit: limit.into(), key }, window).into()
    }

    /// Admits `count` documents, up to 1,024, in any stretch of time of a length, which must be elapsed time.
    pub fn count_within(count: u64, length: Length) -> Self {
        Within::new(count, length).into()
    }

    /// Admits `count` documents in each `length`, evenly, and up to `burst` at once. The length must be elapsed time.
    pub fn burst(count: u64, length: Length, burst: u64) -> Self {
        Burst::new(count, length, burst).into()
    }

    /// Admits documents from `start` to `end`, inclusive. One of the two may be `None`.
    pub fn fixed(start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        Fixed::new(start, end).into()
    }

    /// Admits documents for `length` after the add or the last renewal, including the last moment.
    pub fn interval(length: Span) -> Self {
        Interval { length }.into()
    }

    /// A limiter that the process registered by name; `params` is passed to it.
    pub fn custom(name: &str, params: impl Into<Json>) -> Self {
        Custom::new(name, params.into()).into()
    }

    /// Reads a limiter by itself.
    ///
    /// # Errors
    /// A [`DefinitionError`] that names the field and what was expected there.
    pub fn from_node(node: &Node) -> Result<Self, DefinitionError> {
        let limiter = Self::read(node)?;
        limiter.check()?;
        Ok(limiter)
    }

    /// Reads a limiter.
    pub(crate) fn read(node: &Node) -> Read<Self> {
        if let Some(instead) = rate("count", "per", node) {
            return Err(node.expected(&instead));
        }
        if let NodeValue::Map(entries) = &node.value {
            // Names are any text, also one that looks like a rate.
            for entry in entries.iter().filter(|entry| !["key", "custom"].contains(&entry.key.as_str())) {
                let number = if entries.iter().any(|entry| entry.key == "sum") { "sum" } else { "count" };
                let length = if entry.key == "within" { "within" } else { "per" };
                if let Some(instead) = rate(number, length, &entry.value) {
                    return Err(entry.value.expected(&instead).within(&entry.key));
                }
            }
        }
        let mut fields = Fields::known(node, &forms(), &FIELDS.concat())?;
        let read = kind_of(node, |key| fields.names().any(|name| name == key))?;
        let limiter = read(&mut fields)?;
        fields.finish("no other field with this limiter")?;
        Ok(limiter)
    }

    /// Reads the limiters of a definition.
    pub(crate) fn read_all(node: &Node) -> Read<Vec<Self>> {
        match rate("count", "per", node) {
            Some(instead) => Err(node.expected(&format!("[{instead}]"))),
            None => Node::each(node.list("a list of limiters")?, Self::read),
        }
    }

    /// Checks the limiters of a definition.
    pub(crate) fn check_all(limiters: &[Self]) -> Read<()> {
        if limiters.len() > MAX_LIMITERS {
            let problem = format!("{} limiters", limiters.len());
            return Err(DefinitionError::of("limiters", problem, format!("up to {MAX_LIMITERS}")));
        }
        let check =
            |(at, limiter): (usize, &Self)| limiter.check().map_err(|error| error.within(&format!("limiters[{at}]")));
        limiters.iter().enumerate().try_for_each(check)
    }

    /// Whether its periods depend on the moment at which its tracker was added.
    pub(crate) fn is_from_add(&self) -> bool {
        matches!(self, Self::Per(per) if per.window().is_from_add())
    }

    /// Whether it runs custom code, which can fail halfway.
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
    /// The document may not count, and none may before `until`.
    Refused {
        /// The first moment at which documents are admitted again; `None` if only a reset makes that possible.
        until: Option<Timestamp>,
    },
}

/// Which limiter refused a document, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The position of the limiter in the definition.
    pub limiter: usize,
    /// The first moment at which the limiter would admit the document; `None` if only a reset makes that possible.
    pub until: Option<Timestamp>,
}

impl Refusal {
    /// The refusal as JSON: `limiter`, and `until`, which is `null` if only a reset helps.
    pub fn to_json(&self) -> Json {
        let until = self.until.map_or(Json::Null, |until| until.to_number().into());
        object([("limiter", (self.limiter as u64).into()), ("until", until)])
    }
}

/// What `reset_tracker` changes about the limiters that it renews. By default, nothing: they keep their number and
/// length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewal {
    /// A new number of documents for `count` limiters; 0 closes them.
    pub count: Option<u64>,
    /// A new length for fixed windows and intervals.
    pub length: Option<Span>,
}

impl Renewal {
    /// Renews with `count` documents.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Renews for `length`.
    #[must_use]
    pub fn length(mut self, length: Span) -> Self {
        self.length = Some(length);
        self
    }
}

/// What a user sees of a limiter as of a moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LimiterView {
    /// What remains right after a renewal; `None` if the limiter does not count.
    pub limit: Option<Amount>,
    /// What remains, 0 or more; `None` if the limiter does not count.
    pub remaining: Option<Amount>,
    /// The first moment, at or after the moment of the view, at which the limiter admits a document; `None` if only a
    /// reset opens it, or if only custom code can tell.
    pub retry_at: Option<Timestamp>,
    /// The first moment at which the limiter renews itself; `None` if it does not.
    pub reset_at: Option<Timestamp>,
    /// The first moment of a limiter with bounds, if it has one.
    pub start: Option<Timestamp>,
    /// The last moment of a limiter with bounds, if it has one.
    pub end: Option<Timestamp>,
    /// The state of a custom limiter, `null` if it has none yet; `None` for all other limiters.
    pub state: Option<Json>,
}

impl LimiterView {
    /// The view as JSON: `limit`, `remaining`, `retry_at`, `reset_at` and, if it has bounds, `start` and `end`. For a
    /// custom limiter, its state.
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

/// A limiter by itself, without a tracker.
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
    place: Place,
}

impl Limiter {
    /// The limiter as it is in a tracker that is added at `now`.
    pub fn new(definition: LimiterDefinition, now: Timestamp, engine: &Engine) -> Self {
        let place = Place { zones: engine.zones, zone: engine.zone, added: now };
        Self { state: definition.begin(When { now, place }, Some(engine)), definition, place }
    }

    fn at<'e>(&self, now: Timestamp, engine: &'e Engine) -> At<'e> {
        At { when: When { now, place: self.place }, engine }
    }

    fn ask<'e>(&self, document: &'e dyn Document, now: Timestamp, engine: &'e Engine) -> Ask<'e> {
        Ask { at: self.at(now, engine), document, amount: Amount::ONE }
    }

    /// Whether `document` may count at `now`.
    ///
    /// # Errors
    /// A [`CustomError`] if a custom limiter is not registered or fails.
    pub fn admits(&self, document: &dyn Document, now: Timestamp, engine: &Engine) -> Result<Verdict, CustomError> {
        self.definition.admits(&self.state, &self.ask(document, now, engine))
    }

    /// Records a document that counts at `now`. Returns whether more can count before a reset.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    pub fn record(&mut self, document: &dyn Document, now: Timestamp, engine: &Engine) -> Result<bool, CustomError> {
        let ask = self.ask(document, now, engine);
        self.definition.record(&mut self.state, &ask)?;
        self.definition.exhausted(&self.state, ask.at).map(|exhausted| !exhausted)
    }

    /// Renews the limiter at `now`.
    ///
    /// # Errors
    /// As [`admits`](Self::admits).
    pub fn renew(&mut self, renewal: Renewal, now: Timestamp, engine: &Engine) -> Result<(), CustomError> {
        self.state = self.definition.renewed(&self.state, renewal, self.at(now, engine))?;
        Ok(())
    }

    /// What a user sees of it as of `now`.
    pub fn view(&self, now: Timestamp) -> LimiterView {
        self.definition.view(&self.state, When { now, place: self.place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_takes_40_bytes_and_those_of_most_limits_nothing_on_the_heap() {
        assert_eq!(size_of::<LimiterState>(), 40);
        let day = Window::new("day".parse().unwrap());
        let heap_bytes = |limiter: LimiterDefinition| limiter.begin(When::default(), None).heap_bytes();
        assert_eq!(heap_bytes(LimiterDefinition::count(9)), 0);
        assert_eq!(heap_bytes(LimiterDefinition::count_per(9, day.clone())), 0);
        assert_eq!(heap_bytes(LimiterDefinition::burst(9, "minute".parse().unwrap(), 9)), 0);
        assert_ne!(heap_bytes(LimiterDefinition::sum_per(9, None, day)), 0);
    }

    #[test]
    fn a_rate_in_another_spelling_is_refused_with_what_to_write_instead() {
        let problem = |json: &str| {
            let node = Node::parse(json.as_bytes()).unwrap();
            LimiterDefinition::read(&node).unwrap_err().to_string()
        };
        for (typed, instead) in [
            ("100/minute", r#"{"count": 100, "per": "minute"}"#),
            ("10/s", r#"{"count": 10, "per": "second"}"#),
            ("10/10m", r#"{"count": 10, "per": "10 minutes"}"#),
            ("5/HOUR", r#"{"count": 5, "per": "hour"}"#),
            ("5 per 10 minutes", r#"{"count": 5, "per": "10 minutes"}"#),
            ("100 requests per minute", r#"{"count": 100, "per": "minute"}"#),
            ("1000 / day", r#"{"count": 1000, "per": "day"}"#),
        ] {
            assert_eq!(problem(&format!(r#""{typed}""#)), format!(r#"a string "{typed}"; expected {instead}"#));
            for field in ["count", "per", "rate", "limit"] {
                let as_field = problem(&format!(r#"{{"{field}": "{typed}"}}"#));
                assert_eq!(as_field, format!(r#"{field}: a string "{typed}"; expected {instead}"#));
            }
            let all = Node::parse(format!(r#""{typed}""#).as_bytes()).unwrap();
            let all = LimiterDefinition::read_all(&all).unwrap_err().to_string();
            assert_eq!(all, format!(r#"a string "{typed}"; expected [{instead}]"#));
        }
        for named in [r#"{"sum": 5, "key": "5/day", "per": "day"}"#, r#"{"custom": "5/day"}"#] {
            assert!(LimiterDefinition::read(&Node::parse(named.as_bytes()).unwrap()).is_ok(), "{named}");
        }
        let within = problem(r#"{"count": 5, "within": "5/hour"}"#);
        assert_eq!(within, r#"within: a string "5/hour"; expected {"count": 5, "within": "hour"}"#);
        let as_sum = problem(r#"{"sum": "5/day", "key": "tokens"}"#);
        assert_eq!(as_sum, r#"sum: a string "5/day"; expected {"sum": 5, "per": "day"}"#);
        for other in ["0/minute", "100/fortnight", "many/day", "100", "-1/day", "5/", "/day", "5/0 days"] {
            let problem = problem(&format!(r#""{other}""#));
            assert!(problem.contains(&format!("a string \"{other}\"; expected {{\"count\": n}}")), "{problem}");
        }
    }
}
