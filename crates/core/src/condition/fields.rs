//! `eq_key`, `ne_key`, `lt_key`, `le_key`, `gt_key`, `ge_key`: compare two values of one document.

use std::fmt;

use super::Order;
use crate::document::{Document, Value};
use crate::path::Path;

/// Compares the value at `key` with the value at `other`. Only holds if both exist.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FieldComparison {
    /// Where the first value is.
    pub key: Path,
    /// How the first value must compare.
    pub comparison: Comparison,
    /// Where the second value is.
    pub other: Path,
}

/// How two values must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named by its operator")]
#[non_exhaustive]
pub enum Comparison {
    Eq,
    Ne,
    /// Between two numbers or two strings.
    Order(Order),
}

impl Comparison {
    pub(super) const ALL: [Self; 6] = [
        Self::Eq,
        Self::Ne,
        Self::Order(Order::Lt),
        Self::Order(Order::Le),
        Self::Order(Order::Gt),
        Self::Order(Order::Ge),
    ];

    /// The operator as written in definitions.
    pub fn operator(self) -> &'static str {
        match self {
            Self::Eq => "eq_key",
            Self::Ne => "ne_key",
            Self::Order(Order::Lt) => "lt_key",
            Self::Order(Order::Le) => "le_key",
            Self::Order(Order::Gt) => "gt_key",
            Self::Order(Order::Ge) => "ge_key",
        }
    }
}

impl FieldComparison {
    /// Compares the value at `key` with the value at `other`.
    pub fn new(key: Path, comparison: Comparison, other: Path) -> Self {
        Self { key, comparison, other }
    }

    pub(super) fn holds(&self, document: &dyn Document) -> bool {
        self.compare(document.value_at(&self.key).as_ref(), document.value_at(&self.other).as_ref())
    }

    /// Whether the two values compare as required.
    pub(crate) fn compare(&self, value: Option<&Value<'_>>, other: Option<&Value<'_>>) -> bool {
        let (Some(value), Some(other)) = (value, other) else { return false };
        match self.comparison {
            Comparison::Eq => value.is(other),
            Comparison::Ne => !value.is(other),
            Comparison::Order(order) => value.order(other).is_some_and(|found| order.holds(found)),
        }
    }
}

impl fmt::Display for FieldComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.key, self.comparison.operator(), self.other)
    }
}
