//! What limiters with a number admit: so many documents, or so much of a sum.

use std::fmt;

use crate::amount::Amount;
use crate::definition::{DefinitionError, Fields, Read};
use crate::document::Document;
use crate::engine::Ask;
use crate::json::Map;
use crate::measure::number_of;
use crate::number::Number;
use crate::path::Path;
use crate::source::Node;

/// A number of documents, or a sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Quota {
    /// So many documents.
    Count(u64),
    /// So much of the number at a path, or of the tracker's own amounts.
    Sum { limit: Amount, key: Option<Path> },
}

impl Quota {
    /// Reads `count`, or `sum` and `key`.
    pub(super) fn read(fields: &mut Fields<'_>, form: &str) -> Read<Self> {
        if let Some(limit) = fields.take("sum", Node::amount)? {
            return Ok(Self::Sum { limit, key: fields.take("key", Node::path)? });
        }
        fields.required("count", form, count).map(Self::Count)
    }

    pub(super) fn check(&self) -> Read<()> {
        match self {
            Self::Count(0) => {
                Err(DefinitionError::of("count", "0 never admits a document", "a whole number, 1 or greater"))
            }
            Self::Sum { limit, .. } if !limit.is_positive() => {
                Err(DefinitionError::of("sum", format!("{limit} never admits an amount"), "a number above 0"))
            }
            Self::Count(_) | Self::Sum { .. } => Ok(()),
        }
    }

    pub(super) fn write(&self, map: &mut Map) {
        match self {
            Self::Count(count) => map.insert("count".into(), (*count).into()),
            Self::Sum { limit, key } => {
                map.insert("sum".into(), Number::Exact(*limit).into());
                if let Some(key) = key {
                    map.insert("key".into(), key.as_str().into());
                }
            }
        }
    }

    pub(super) fn limit(&self) -> Amount {
        match self {
            Self::Count(count) => (*count).into(),
            Self::Sum { limit, .. } => *limit,
        }
    }

    /// The number at its own key, if it has one. The error says why there is none.
    pub(super) fn own_amount(&self, document: &dyn Document) -> Result<Option<Amount>, String> {
        match self {
            Self::Sum { key: Some(key), .. } => {
                let number = number_of(document.value_at(key).as_ref());
                number.map(|(amount, _)| Some(amount)).map_err(|why| why.at(key))
            }
            Self::Count(_) | Self::Sum { key: None, .. } => Ok(None),
        }
    }

    /// What a document takes.
    pub(super) fn amount(&self, ask: &Ask<'_>) -> Amount {
        match self {
            Self::Count(_) => Amount::ONE,
            // Whether there is a number was checked before.
            Self::Sum { .. } => self.own_amount(ask.document).ok().flatten().unwrap_or(ask.amount),
        }
    }

    /// What is left where this much is used, 0 or more.
    pub(super) fn left(&self, used: Amount) -> Amount {
        self.limit().checked_sub(used).unwrap_or(Amount::ZERO).max(Amount::ZERO)
    }

    /// What is used after an amount more; negative amounts give back, but not more than was used.
    pub(super) fn used(&self, used: Amount, amount: Amount) -> Amount {
        used.checked_add(amount).unwrap_or(used).max(Amount::ZERO)
    }

    /// Whether the two differ in their number at most.
    pub(super) fn differs_in_number_only(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count(_), Self::Count(_)) => true,
            (Self::Sum { key, .. }, Self::Sum { key: other, .. }) => key == other,
            (Self::Count(_), Self::Sum { .. }) | (Self::Sum { .. }, Self::Count(_)) => false,
        }
    }
}

/// Reads a number of documents.
pub(super) fn count(node: &Node) -> Read<u64> {
    let whole = node.amount()?.to_integer().and_then(|whole| u64::try_from(whole).ok());
    whole.ok_or_else(|| node.expected("a whole number, 1 or greater"))
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "the count of {count}"),
            Self::Sum { limit, .. } => write!(f, "the sum of {limit}"),
        }
    }
}
