//! Constructors for conditions.
//!
//! A key is a dotted path such as `"user.tier"`. Inside [`any_item`](Condition::any_item) and
//! [`all_items`](Condition::all_items), an empty key is the item itself; elsewhere it makes the definition invalid.

use super::{Affix, Comparison, Condition, FieldComparison, Items, Needle, Order, Pattern, Quantifier, Test};
use crate::definition::DefinitionError;
use crate::json::Json;
use crate::path::Path;
use crate::time::Timestamp;

fn path(key: &str) -> Path {
    Path::parse(key).unwrap_or_else(Path::item)
}

fn values<T: Into<Json>>(values: impl IntoIterator<Item = T>) -> Vec<Json> {
    values.into_iter().map(Into::into).collect()
}

macro_rules! tests {
    ($($(#[$doc:meta])* $name:ident($($operand:ident: $type:ty),*) => $test:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(key: &str $(, $operand: $type)*) -> Self {
            Self::Test { key: path(key), test: $test }
        })*
    };
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $comparison:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(key: &str, other: &str) -> Self {
            Self::Fields(FieldComparison::new(path(key), $comparison, path(other)))
        })*
    };
}

impl Condition {
    tests! {
        /// The value at `key` exists; it may be `null`.
        exists() => Test::Exists;
        /// There is no value at `key`.
        absent() => Test::Absent;
        /// The value at `key` equals `value`, deeply.
        eq(value: impl Into<Json>) => Test::Eq(value.into());
        /// The value at `key` exists and differs from `value`.
        ne(value: impl Into<Json>) => Test::Ne(value.into());
        /// The value at `key` is less than `value`.
        lt(value: impl Into<Json>) => Test::Order(Order::Lt, value.into());
        /// The value at `key` is less than or equal to `value`.
        le(value: impl Into<Json>) => Test::Order(Order::Le, value.into());
        /// The value at `key` is greater than `value`.
        gt(value: impl Into<Json>) => Test::Order(Order::Gt, value.into());
        /// The value at `key` is greater than or equal to `value`.
        ge(value: impl Into<Json>) => Test::Order(Order::Ge, value.into());
        /// The value at `key` contains `value` as a substring, list item or map key.
        contains(value: impl Into<Json>) => Test::Contains(Needle::new(value.into(), false));
        /// The value at `key` exists and does not contain `value`.
        not_contains(value: impl Into<Json>) => Test::NotContains(Needle::new(value.into(), false));
        /// The value at `key` equals one of `operands`.
        is_in(operands: impl IntoIterator<Item = impl Into<Json>>) => Test::In(values(operands));
        /// The value at `key` exists and equals none of `operands`.
        not_in(operands: impl IntoIterator<Item = impl Into<Json>>) => Test::NotIn(values(operands));
        /// The list at `key` has the item `value`.
        has(value: impl Into<Json>) => Test::Has(value.into());
        /// The value at `key` exists and is not a list with the item `value`.
        not_has(value: impl Into<Json>) => Test::NotHas(value.into());
        /// The list at `key` has at least one of `operands`.
        intersects(operands: impl IntoIterator<Item = impl Into<Json>>) => Test::Intersects(values(operands));
        /// The value at `key` exists and is not a list with any of `operands`.
        not_intersects(operands: impl IntoIterator<Item = impl Into<Json>>) => Test::NotIntersects(values(operands));
        /// The string at `key` starts with `text`.
        starts_with(text: &str) => Test::StartsWith(Affix::new(text, false));
        /// The string at `key` ends with `text`.
        ends_with(text: &str) => Test::EndsWith(Affix::new(text, false));
        /// The timestamp at `key` is before `moment`.
        before(moment: Timestamp) => Test::Before(moment.into());
        /// The timestamp at `key` is `moment` or later.
        since(moment: Timestamp) => Test::Since(moment.into());
    }

    comparisons! {
        /// The values at `key` and `other` are equal, deeply.
        eq_key => Comparison::Eq;
        /// The values at `key` and `other` both exist and differ.
        ne_key => Comparison::Ne;
        /// The value at `key` is less than the one at `other`.
        lt_key => Comparison::Order(Order::Lt);
        /// The value at `key` is less than or equal to the one at `other`.
        le_key => Comparison::Order(Order::Le);
        /// The value at `key` is greater than the one at `other`.
        gt_key => Comparison::Order(Order::Gt);
        /// The value at `key` is greater than or equal to the one at `other`.
        ge_key => Comparison::Order(Order::Ge);
    }

    /// A regular expression matches anywhere in the string at `key`.
    ///
    /// # Errors
    /// A [`DefinitionError`] if `pattern` is not a regular expression or compiles to more than 1 MiB.
    pub fn matches(key: &str, pattern: &str) -> Result<Self, DefinitionError> {
        Ok(Self::Test { key: path(key), test: Test::Matches(Pattern::new(pattern)?) })
    }

    /// All conditions hold for at least one item of the list at `key`.
    pub fn any_item(key: &str, conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::Items(Items::new(path(key), Quantifier::Any, conditions.into_iter().collect::<Vec<_>>()))
    }

    /// The list at `key` is not empty, and all conditions hold for each item.
    pub fn all_items(key: &str, conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::Items(Items::new(path(key), Quantifier::All, conditions.into_iter().collect::<Vec<_>>()))
    }

    /// All of the conditions hold.
    pub fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::All(conditions.into_iter().collect())
    }

    /// At least one of the conditions holds.
    pub fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        Self::Any(conditions.into_iter().collect())
    }

    /// `condition` does not hold, for example because its key is missing.
    #[expect(clippy::should_implement_trait, reason = "it has the name used in definitions, like the others")]
    pub fn not(condition: Self) -> Self {
        Self::Not(Box::new(condition))
    }

    /// A condition that the process registered by name.
    pub fn custom(name: &str, params: impl Into<Json>) -> Self {
        Self::Custom { name: name.into(), params: params.into() }
    }

    /// The same condition, ignoring letter case. Affects `contains`, `not_contains`, `starts_with` and `ends_with`; other
    /// conditions do not change.
    pub fn ignoring_case(self) -> Self {
        let Self::Test { key, test } = self else { return self };
        let folded = |needle: Needle| Needle::new(needle.value().clone(), true);
        let test = match test {
            Test::Contains(needle) => Test::Contains(folded(needle)),
            Test::NotContains(needle) => Test::NotContains(folded(needle)),
            Test::StartsWith(affix) => Test::StartsWith(Affix::new(affix.text(), true)),
            Test::EndsWith(affix) => Test::EndsWith(Affix::new(affix.text(), true)),
            other => other,
        };
        Self::Test { key, test }
    }

    /// A test of the value at `key`.
    pub fn test(key: &str, test: Test) -> Self {
        Self::Test { key: path(key), test }
    }
}
