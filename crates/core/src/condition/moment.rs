//! `before` and `since`: compare a timestamp with another one.

use crate::definition::{DefinitionError, Read};
use crate::document::Value;
use crate::json::Json;
use crate::source::Node;
use crate::time::Timestamp;

/// The timestamp that values are compared with.
#[derive(Clone, Debug)]
pub struct Moment {
    operand: Json,
    at: Timestamp,
}

impl Moment {
    /// The timestamp in `operand`: seconds since 1970, an RFC 3339 timestamp or a date.
    ///
    /// # Errors
    /// A [`DefinitionError`] if it is none of these.
    pub fn new(operand: Json) -> Result<Self, DefinitionError> {
        match Timestamp::read(&operand) {
            Some(at) => Ok(Self { operand, at }),
            None => Err(DefinitionError::of("", operand.to_string(), Timestamp::EXPECTED)),
        }
    }

    pub(super) fn read(node: &Node) -> Read<Self> {
        Ok(Self { at: node.moment()?, operand: node.to_json() })
    }

    /// The timestamp.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn operand(&self) -> &Json {
        &self.operand
    }

    /// Whether `value` is before this timestamp; `None` if it is not a timestamp.
    pub(super) fn is_after(&self, value: &Value<'_>) -> Option<bool> {
        moment_of(value).map(|moment| moment < self.at)
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self { operand: at.to_number().into(), at }
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.operand == other.operand
    }
}

/// A value in a document as a timestamp.
pub(crate) fn moment_of(value: &Value<'_>) -> Option<Timestamp> {
    match value {
        Value::Number(number) => Timestamp::of_number(number),
        Value::Text(text) => Timestamp::parse(text),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}
