//! `any_item` and `all_items`: conditions on the items of a list.

use super::{Condition, custom_last};
use crate::custom::{CustomError, Registry};
use crate::document::Value;
use crate::json::Json;
use crate::path::Path;

/// Conditions that must all hold for at least one item, or for every item, of a non-empty list.
///
/// In these conditions, paths start at the item, and [`Path::item`] is the item itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Items {
    /// Where the list is.
    pub key: Path,
    /// How many of its items must satisfy the conditions.
    pub quantifier: Quantifier,
    /// The conditions; there must be at least one.
    pub conditions: Box<[Condition]>,
}

/// How many items must satisfy the conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantifier {
    /// At least one.
    Any,
    /// All of them; the list must not be empty.
    All,
}

impl Quantifier {
    pub(super) const ALL: [Self; 2] = [Self::Any, Self::All];

    /// The operator as written in definitions.
    pub fn operator(self) -> &'static str {
        match self {
            Self::Any => "any_item",
            Self::All => "all_items",
        }
    }
}

impl Items {
    /// Applies `conditions` to the items of the list at `key`.
    pub fn new(key: Path, quantifier: Quantifier, conditions: impl Into<Box<[Condition]>>) -> Self {
        Self { key, quantifier, conditions: conditions.into() }
    }

    /// Whether the items of the list found at the key satisfy the conditions.
    pub(crate) fn holds(&self, value: Option<&Value<'_>>, registry: &Registry) -> Result<bool, CustomError> {
        let Some(Value::List(items)) = value else { return Ok(false) };
        let wanted = match self.quantifier {
            Quantifier::Any => true,
            Quantifier::All => false,
        };
        for item in items.iter() {
            if self.hold_for(item, registry)? == wanted {
                return Ok(wanted);
            }
        }
        Ok(!wanted && !items.is_empty())
    }

    fn hold_for(&self, item: &Json, registry: &Registry) -> Result<bool, CustomError> {
        for (_, condition) in custom_last(&self.conditions) {
            if !condition.holds(item, registry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
