//! Measures: how much a document adds to the progress of a tracker.
//!
//! Each kind is one file: its definition, reading and checking, its JSON, the amount of a document, and the state that
//! the measure has per tracker, if any. To add a kind, write a file, add a variant to the list in `kinds!`, and follow
//! the compiler.

use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{Fields, Read};
use crate::engine::Ask;
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::path::Path;
use crate::source::Node;

mod count;
mod custom;
mod streak;
mod sum;

pub use count::Count;
pub use custom::Custom;
pub use streak::{Freezes, Streak};
pub use sum::Sum;
pub(crate) use sum::number_of;

/// What each kind of measure implements.
pub(crate) trait Measures: Sized {
    /// The `kind` of its definitions.
    const NAME: &'static str;

    /// The fields that only trackers of this kind have.
    const FIELDS: &'static [&'static str];

    /// Reads those fields.
    fn read(fields: &mut Fields<'_>) -> Read<Self>;

    /// Checks its values. A program may have built it without reading JSON.
    fn check(&self) -> Read<()> {
        Ok(())
    }

    /// Writes those fields.
    fn write(&self, map: &mut Map);

    /// Where the amounts come from.
    fn source(&self) -> Source<'_>;

    /// The amount of a document, computed without the index: for explanations, and if the source is [`Source::Asked`].
    fn amount_of(&self, state: Option<&MeasureState>, ask: &Ask<'_>) -> Result<Measure, CustomError>;

    /// Reads a stored state. Most measures have none.
    fn restore(&self, stored: &Json) -> Result<MeasureState, RecordError> {
        let _ = stored;
        Err(RecordError::new(format!("trackers of kind {} have no `measure`", Self::NAME)))
    }
}

/// Where a tracker's amounts come from. With this, the index reads each number once for all trackers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Every document adds one.
    One,
    /// The number at a path.
    NumberAt(&'a Path),
    /// The measure is called for each document.
    Asked,
}

/// The result of a measure for a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Measure {
    /// It adds this much.
    Amount {
        amount: Amount,
        /// Whether decimals beyond 10⁻¹⁸ were rounded away.
        rounded: bool,
        /// The new state, if it changes.
        state: Option<MeasureState>,
    },
    /// No amount. The text says why.
    Nothing(String),
}

impl Measure {
    fn of(amount: Amount) -> Self {
        Self::Amount { amount, rounded: false, state: None }
    }
}

/// The state of a measure for one tracker.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MeasureState {
    /// What a custom measure returned.
    Custom(Json),
}

impl MeasureState {
    pub(crate) fn store(&self) -> String {
        match self {
            Self::Custom(state) => state.to_string(),
        }
    }
}

/// Makes the enum over all kinds, and the functions that dispatch to the kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What a counted document adds to the progress.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind($kind),)*
        }

        /// The names of all kinds.
        pub(crate) const NAMES: &[&str] = &[$($kind::NAME),*];
        const FIELDS: &[(&str, &[&str])] = &[$(($kind::NAME, $kind::FIELDS)),*];

        impl Kind {
            /// The name of the kind in definitions: `count`, `sum`, `streak` or `custom`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $kind::NAME,)* }
            }

            fn read_as(name: &str, fields: &mut Fields<'_>) -> Option<Read<Self>> {
                match name {
                    $($kind::NAME => Some($kind::read(fields).map(Self::$kind)),)*
                    _ => None,
                }
            }

            pub(crate) fn check(&self) -> Read<()> {
                match self { $(Self::$kind(measure) => measure.check(),)* }
            }

            pub(crate) fn write(&self, map: &mut Map) {
                map.insert("kind".into(), self.name().into());
                match self { $(Self::$kind(measure) => measure.write(map),)* }
            }

            pub(crate) fn source(&self) -> Source<'_> {
                match self { $(Self::$kind(measure) => measure.source(),)* }
            }

            pub(crate) fn amount_of(&self, state: Option<&MeasureState>, ask: &Ask<'_>) -> Result<Measure, CustomError> {
                match self { $(Self::$kind(measure) => measure.amount_of(state, ask),)* }
            }

            pub(crate) fn restore(&self, stored: &Json) -> Result<MeasureState, RecordError> {
                match self { $(Self::$kind(measure) => measure.restore(stored),)* }
            }
        }
    };
}

kinds! {
    /// One per document.
    Count,
    /// The number at a path.
    Sum,
    /// How many periods in a row were met.
    Streak,
    /// What a registered measure returns.
    Custom,
}

impl Kind {
    /// Every document adds one.
    pub fn count() -> Self {
        Self::Count(Count)
    }

    /// How many periods in a row were met. Each is met by its first document.
    pub fn streak() -> Self {
        Self::Streak(Streak::new())
    }

    /// How many freezes a streak has at the start, and how it earns more.
    pub(crate) fn freezes(&self) -> Option<Freezes> {
        match self {
            Self::Streak(streak) => Some(streak.freezes()),
            Self::Count(_) | Self::Sum(_) | Self::Custom(_) => None,
        }
    }

    /// The number at `key`.
    pub fn sum(key: Path) -> Self {
        Self::Sum(Sum::new(key))
    }

    /// What the registered `measure` returns; `params` is passed to it.
    pub fn custom(measure: &str, params: impl Into<Json>) -> Self {
        Self::Custom(Custom::new(measure, params.into()))
    }

    /// Reads the field `kind` and the fields that belong to that kind.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Read<Self> {
        let expected = match NAMES {
            [others @ .., last] => {
                let others: Vec<String> = others.iter().map(|name| format!("{name:?}")).collect();
                format!("{} or {last:?}", others.join(", "))
            }
            [] => String::new(),
        };
        let (node, name): (&Node, &str) =
            fields.required("kind", &expected, |node| Ok((node, node.text(&expected)?.as_str())))?;
        Self::read_as(name, fields).unwrap_or_else(|| Err(node.expected(&expected).within("kind")))
    }

    /// The fields that only trackers of some kinds have.
    pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().flat_map(|(_, fields)| fields.iter().copied())
    }

    /// Which fields belong to which kind, in words.
    pub(crate) fn fields_in_words() -> String {
        let quoted =
            |fields: &[&str]| fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(" and ");
        let kinds = FIELDS.iter().filter(|(_, fields)| !fields.is_empty());
        kinds.map(|(name, fields)| format!("{} only with kind {name}", quoted(fields))).collect::<Vec<_>>().join(", ")
    }
}
