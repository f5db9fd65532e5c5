//! `"kind": "sum"`: the number at a path.

use super::{Measure, MeasureState, Measures, Source};
use crate::amount::Amount;
use crate::custom::CustomError;
use crate::definition::{DefinitionError, Fields, Read};
use crate::document::Value;
use crate::engine::Ask;
use crate::json::Map;
use crate::number::{NotAnAmount, Number};
use crate::path::Path;
use crate::source::Node;

/// The number at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    key: Path,
}

impl Sum {
    pub(crate) fn new(key: Path) -> Self {
        Self { key }
    }

    /// The default for definitions without a `key`: sums the number at `amount`.
    pub(crate) fn of_amounts() -> Read<Self> {
        Path::parse("amount").map(Self::new).ok_or_else(|| DefinitionError::of("key", "path is empty", ""))
    }

    /// Where the number is.
    pub fn key(&self) -> &Path {
        &self.key
    }
}

/// Why there is no number to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    Missing,
    Other(&'static str),
    NotFinite,
    OutOfRange,
}

impl NoNumber {
    /// The reason in words, about the value at `key`.
    pub(crate) fn at(self, key: &Path) -> String {
        match self {
            Self::Missing => format!("there is no value at {key}"),
            Self::Other(kind) => format!("the value at {key} is {kind}"),
            Self::NotFinite => format!("the value at {key} is not finite"),
            Self::OutOfRange => format!("the value at {key} is out of range (|x| < 1.7e20)"),
        }
    }
}

/// The number that a value is, or that its text contains, and whether decimals were rounded away.
pub(crate) fn number_of(value: Option<&Value<'_>>) -> Result<(Amount, bool), NoNumber> {
    let read = |number: &Number| {
        number.to_amount().map_err(|fault| match fault {
            NotAnAmount::OutOfRange => NoNumber::OutOfRange,
            NotAnAmount::NotFinite => NoNumber::NotFinite,
        })
    };
    match value {
        None => Err(NoNumber::Missing),
        Some(Value::Number(number)) => read(number),
        Some(Value::Text(text)) => {
            read(&Number::parse_text(text).ok_or(NoNumber::Other("a string that is not a number"))?)
        }
        Some(Value::Null) => Err(NoNumber::Other("null")),
        Some(Value::Bool(_)) => Err(NoNumber::Other("a boolean")),
        Some(Value::List(_)) => Err(NoNumber::Other("a list")),
        Some(Value::Map(_)) => Err(NoNumber::Other("a map")),
    }
}

impl Measures for Sum {
    const NAME: &'static str = "sum";
    const FIELDS: &'static [&'static str] = &["key"];

    fn read(fields: &mut Fields<'_>) -> Read<Self> {
        fields.take("key", Node::path)?.map_or_else(Self::of_amounts, |key| Ok(Self { key }))
    }

    fn write(&self, map: &mut Map) {
        map.insert("key".into(), self.key.as_str().into());
    }

    fn source(&self) -> Source<'_> {
        Source::NumberAt(&self.key)
    }

    fn amount_of(&self, _: Option<&MeasureState>, ask: &Ask<'_>) -> Result<Measure, CustomError> {
        Ok(match number_of(ask.document.value_at(&self.key).as_ref()) {
            Ok((amount, rounded)) => Measure::Amount { amount, rounded, state: None },
            Err(why) => Measure::Nothing(why.at(&self.key)),
        })
    }
}
