//! Conditions: what a document must satisfy to count.

use std::borrow::Cow;
use std::fmt;

use crate::custom::{CustomError, Registry};
use crate::definition::{DefinitionError, MAX_CONDITIONS};
use crate::document::{Document, Value};
use crate::json::{Json, Text, object};
use crate::path::Path;
use crate::source::Node;

mod affix;
mod build;
mod check;
mod fields;
mod fold;
mod items;
mod moment;
mod needle;
mod order;
mod pattern;
mod read;

pub use affix::Affix;
pub(crate) use check::{Place, check, check_custom};
pub use fields::{Comparison, FieldComparison};
pub use items::{Items, Quantifier};
pub use moment::Moment;
pub(crate) use moment::moment_of;
pub use needle::Needle;
pub use order::Order;
pub use pattern::Pattern;
pub(crate) use read::{name_of_custom, read, unique_keys};

/// How deeply `all`, `any`, `not`, `any_item` and `all_items` may be nested.
pub const MAX_CONDITION_DEPTH: usize = 32;

/// A condition of a tracker. Evaluation never fails, except for [`Condition::Custom`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// A test of the value at one path.
    Test {
        /// Where the value is; [`Path::item`] only inside [`Items`].
        key: Path,
        /// What it must satisfy.
        test: Test,
    },
    /// All of these conditions, of which there must be at least one.
    All(Box<[Self]>),
    /// At least one of these conditions.
    Any(Box<[Self]>),
    /// The negation of this condition.
    Not(Box<Self>),
    /// A comparison of the values at two paths.
    Fields(FieldComparison),
    /// Conditions on the items of a list.
    Items(Items),
    /// A condition that the process registered by name.
    Custom {
        /// The registered name.
        name: Text,
        /// The parameters in the definition; `null` if there are none.
        params: Json,
    },
}

/// A test of one value, which may be absent. Negative tests require the value to exist.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each test is named by its operator")]
#[non_exhaustive]
pub enum Test {
    Exists,
    Absent,
    Eq(Json),
    Ne(Json),
    /// `lt`, `le`, `gt`, `ge` with a number or a string.
    Order(Order, Json),
    Contains(Needle),
    NotContains(Needle),
    In(Vec<Json>),
    NotIn(Vec<Json>),
    Has(Json),
    NotHas(Json),
    Intersects(Vec<Json>),
    NotIntersects(Vec<Json>),
    StartsWith(Affix),
    EndsWith(Affix),
    Matches(Pattern),
    Before(Moment),
    Since(Moment),
}

impl Test {
    /// Whether the value found at the path passes.
    pub fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Absent) };
        let within = |items: &[Json]| items.iter().any(|item| value.equals(item));
        let list = || if let Value::List(items) = value { Some(items) } else { None };
        let has = |wanted: &Json| list().is_some_and(|items| items.contains(wanted));
        let intersects = |wanted: &[Json]| list().is_some_and(|items| items.iter().any(|item| wanted.contains(item)));
        match self {
            Self::Exists => true,
            Self::Absent => false,
            Self::Eq(wanted) => value.equals(wanted),
            Self::Ne(unwanted) => !value.equals(unwanted),
            Self::Order(order, operand) => value.compare(operand).is_some_and(|found| order.holds(found)),
            Self::Contains(needle) => needle.found_in(value),
            Self::NotContains(needle) => !needle.found_in(value),
            Self::In(wanted) => within(wanted),
            Self::NotIn(unwanted) => !within(unwanted),
            Self::Has(wanted) => has(wanted),
            Self::NotHas(unwanted) => !has(unwanted),
            Self::Intersects(wanted) => intersects(wanted),
            Self::NotIntersects(unwanted) => !intersects(unwanted),
            Self::StartsWith(affix) => affix.begins(value),
            Self::EndsWith(affix) => affix.ends(value),
            Self::Matches(pattern) => pattern.found_in(value),
            Self::Before(moment) => moment.is_after(value) == Some(true),
            Self::Since(moment) => moment.is_after(value) == Some(false),
        }
    }

    /// The operator as written in definitions.
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Absent => "absent",
            Self::Eq(_) => "eq",
            Self::Ne(_) => "ne",
            Self::Order(Order::Lt, _) => "lt",
            Self::Order(Order::Le, _) => "le",
            Self::Order(Order::Gt, _) => "gt",
            Self::Order(Order::Ge, _) => "ge",
            Self::Contains(_) => "contains",
            Self::NotContains(_) => "not_contains",
            Self::In(_) => "in",
            Self::NotIn(_) => "not_in",
            Self::Has(_) => "has",
            Self::NotHas(_) => "not_has",
            Self::Intersects(_) => "intersects",
            Self::NotIntersects(_) => "not_intersects",
            Self::StartsWith(_) => "starts_with",
            Self::EndsWith(_) => "ends_with",
            Self::Matches(_) => "matches",
            Self::Before(_) => "before",
            Self::Since(_) => "since",
        }
    }

    /// The operand as written in definitions.
    pub fn operand(&self) -> Cow<'_, Json> {
        match self {
            Self::Exists | Self::Absent => Cow::Owned(Json::Bool(true)),
            Self::Eq(value) | Self::Ne(value) | Self::Order(_, value) | Self::Has(value) | Self::NotHas(value) => {
                Cow::Borrowed(value)
            }
            Self::Contains(needle) | Self::NotContains(needle) => Cow::Borrowed(needle.value()),
            Self::StartsWith(affix) | Self::EndsWith(affix) => Cow::Borrowed(affix.operand()),
            Self::Matches(pattern) => Cow::Borrowed(pattern.operand()),
            Self::Before(moment) | Self::Since(moment) => Cow::Borrowed(moment.operand()),
            Self::In(items) | Self::NotIn(items) | Self::Intersects(items) | Self::NotIntersects(items) => {
                Cow::Owned(Json::List(items.clone()))
            }
        }
    }

    /// Whether letter case is ignored; `None` if the operator has no such flag.
    pub fn ignore_case(&self) -> Option<bool> {
        match self {
            Self::Contains(needle) | Self::NotContains(needle) => Some(needle.ignore_case()),
            Self::StartsWith(affix) | Self::EndsWith(affix) => Some(affix.ignore_case()),
            Self::Exists
            | Self::Absent
            | Self::Eq(_)
            | Self::Ne(_)
            | Self::Order(..)
            | Self::In(_)
            | Self::NotIn(_)
            | Self::Has(_)
            | Self::NotHas(_)
            | Self::Intersects(_)
            | Self::NotIntersects(_)
            | Self::Matches(_)
            | Self::Before(_)
            | Self::Since(_) => None,
        }
    }
}

/// `conditions` with their positions, in evaluation order: those that run custom code come last.
pub(crate) fn custom_last(conditions: &[Condition]) -> impl Iterator<Item = (usize, &Condition)> {
    let asks = |asks: bool| conditions.iter().enumerate().filter(move |(_, condition)| condition.asks_custom() == asks);
    asks(false).chain(asks(true))
}

impl Condition {
    /// Whether `document` satisfies this condition, evaluated without an index.
    ///
    /// # Errors
    /// A [`CustomError`] if custom code is not registered or fails.
    pub fn holds(&self, document: &dyn Document, registry: &Registry) -> Result<bool, CustomError> {
        match self {
            Self::Test { key, test } => Ok(test.holds(document.value_at(key).as_ref())),
            Self::All(parts) => {
                for (_, part) in custom_last(parts) {
                    if !part.holds(document, registry)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for (_, part) in custom_last(parts) {
                    if part.holds(document, registry)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.holds(document, registry)?),
            Self::Fields(fields) => Ok(fields.holds(document)),
            Self::Items(items) => items.holds(document.value_at(&items.key).as_ref(), registry),
            Self::Custom { name, params } => registry.check(name, params, document),
        }
    }

    /// The conditions that it combines.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Test { .. } | Self::Fields(_) | Self::Custom { .. } => &[],
            Self::All(parts) | Self::Any(parts) => parts,
            Self::Not(part) => std::slice::from_ref(part),
            Self::Items(items) => &items.conditions,
        }
    }

    /// Whether it runs custom code. Custom code runs last, and only if the other conditions do not decide.
    pub(crate) fn asks_custom(&self) -> bool {
        matches!(self, Self::Custom { .. }) || self.parts().iter().any(Self::asks_custom)
    }

    /// The path that it uses; if there are several, the first.
    pub(crate) fn first_key(&self) -> Option<&Path> {
        match self {
            Self::Test { key, .. } | Self::Fields(FieldComparison { key, .. }) | Self::Items(Items { key, .. }) => {
                Some(key)
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::first_key),
            Self::Not(part) => part.first_key(),
            Self::Custom { .. } => None,
        }
    }

    /// The number of conditions, counting this one and all nested ones.
    pub fn count(&self) -> usize {
        1 + self.parts().iter().map(Self::count).sum::<usize>()
    }

    /// Reads a condition by itself.
    ///
    /// # Errors
    /// A [`DefinitionError`] that names the field and what was expected there.
    pub fn from_node(node: &Node) -> Result<Self, DefinitionError> {
        let condition = read(node, Place::OUTERMOST, &mut { MAX_CONDITIONS })?;
        check(&condition, Place::OUTERMOST, &mut { MAX_CONDITIONS })?;
        Ok(condition)
    }

    /// The condition as written in definitions.
    pub fn to_json(&self) -> Json {
        let parts = |parts: &[Self]| Json::List(parts.iter().map(Self::to_json).collect());
        let keyed = |key: &Path, rest: Vec<(&'static str, Json)>| {
            let key = (!key.is_item()).then(|| ("key", key.as_str().into()));
            object(key.into_iter().chain(rest))
        };
        match self {
            Self::Test { key, test } => {
                let mut rest = vec![(test.operator(), test.operand().into_owned())];
                if test.ignore_case() == Some(true) {
                    rest.push(("ignore_case", true.into()));
                }
                keyed(key, rest)
            }
            Self::All(all) => object([("all", parts(all))]),
            Self::Any(any) => object([("any", parts(any))]),
            Self::Not(not) => object([("not", not.to_json())]),
            Self::Fields(fields) => {
                keyed(&fields.key, vec![(fields.comparison.operator(), fields.other.as_str().into())])
            }
            Self::Items(items) => keyed(&items.key, vec![(items.quantifier.operator(), parts(&items.conditions))]),
            Self::Custom { name, params } => custom_json(name, params),
        }
    }
}

pub(crate) fn custom_json(name: &str, params: &Json) -> Json {
    let params = (*params != Json::Null).then(|| ("params", params.clone()));
    object([("custom", name.into())].into_iter().chain(params))
}

impl fmt::Display for Condition {
    /// In a readable form: `amount ge 100`, `not (tier eq "gold")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, word: &str, parts: &[Self]| {
            for (at, part) in parts.iter().enumerate() {
                let separator = if at > 0 { ", " } else { "" };
                write!(f, "{}{part}", if at == 0 { format!("{word} (") } else { separator.to_owned() })?;
            }
            f.write_str(")")
        };
        let place = |key: &Path| if key.is_item() { "item".to_owned() } else { key.to_string() };
        match self {
            Self::Test { key, test: test @ (Test::Exists | Test::Absent) } => {
                write!(f, "{} {}", place(key), test.operator())
            }
            Self::Test { key, test } => write!(f, "{} {} {}", place(key), test.operator(), test.operand()),
            Self::All(parts) => join(f, "all of", parts),
            Self::Any(parts) => join(f, "any of", parts),
            Self::Fields(fields) => fields.fmt(f),
            Self::Items(items) => {
                let word = format!("{} {}", place(&items.key), items.quantifier.operator());
                join(f, &word, &items.conditions)
            }
            Self::Not(part) => write!(f, "not ({part})"),
            Self::Custom { name, params: Json::Null } => write!(f, "custom {name}"),
            Self::Custom { name, params } => write!(f, "custom {name} {params}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn holds(test: &Test, value: &str) -> bool {
        test.holds(Some(&Value::from(&json(value))))
    }

    #[test]
    fn order_is_between_two_numbers_or_two_strings() {
        let above = Test::Order(Order::Gt, json("5"));
        assert!(holds(&above, "5.000000000000000000000001"));
        for other in ["5", "\"6\"", "true", "null", "[6]", "{}"] {
            assert!(!holds(&above, other), "{other}");
        }
        let text = Test::Order(Order::Le, json("\"b\""));
        assert!(holds(&text, "\"B\"") && holds(&text, "\"b\"") && !holds(&text, "\"ba\"") && !holds(&text, "1"));
    }

    #[test]
    fn a_negative_test_requires_the_value_to_exist() {
        for test in [
            Test::Ne(json("1")),
            Test::NotIn(vec![json("1")]),
            Test::NotContains(Needle::new(json("\"a\""), false)),
            Test::NotHas(json("1")),
            Test::NotIntersects(vec![json("1")]),
        ] {
            assert!(!test.holds(None), "{test:?}");
            assert!(holds(&test, "null"), "{test:?}");
        }
        assert!(Test::Absent.holds(None) && !Test::Exists.holds(None) && holds(&Test::Exists, "null"));
    }

    #[test]
    fn case_folds_in_full_unicode() {
        let needle = |text: &str| Test::Contains(Needle::new(text.into(), true));
        assert!(holds(&needle("STRASSE"), "\"Die Straße\""));
        assert!(holds(&needle("straße"), "[\"STRASSE\"]"));
        assert!(holds(&needle("Σ"), "{\"ς\": 1}"));
        assert!(!holds(&needle("x"), "\"abc\""));
        let exact = Test::Contains(Needle::new("A".into(), false));
        assert!(!holds(&exact, "\"abc\"") && holds(&exact, "[\"A\"]") && holds(&exact, "{\"A\": 0}"));
    }

    #[test]
    fn has_and_intersects_take_lists_only() {
        let has = Test::Has(json("[1]"));
        assert!(holds(&has, "[2, [1.0]]") && !holds(&has, "\"[1]\"") && !holds(&has, "[1]"));
        let intersects = Test::Intersects(vec![json("1"), json("\"a\"")]);
        assert!(holds(&intersects, "[\"a\"]") && !holds(&intersects, "\"a\"") && !holds(&intersects, "{\"a\": 1}"));
    }
}
