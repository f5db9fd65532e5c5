//! Conditions: what a document must be like to count.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use compact_str::CompactString;
use memchr::memmem;

use crate::custom::{CustomError, Registry};
use crate::document::{Document, Value};
use crate::json::Json;
use crate::path::Path;

/// How deep `all`, `any` and `not` may nest.
pub const MAX_CONDITION_DEPTH: usize = 32;

/// One condition of a tracker. Evaluation never fails, except for [`Condition::Custom`].
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A test of the value at one path.
    Test {
        /// Where the value is.
        key: Path,
        /// What it must be like.
        test: Test,
    },
    /// Every one of these, of which there is at least one.
    All(Box<[Self]>),
    /// At least one of these.
    Any(Box<[Self]>),
    /// The contrary.
    Not(Box<Self>),
    /// A condition that the process registered by name.
    Custom {
        /// The registered name.
        name: CompactString,
        /// What the definition hands to it; `null` if nothing.
        params: Json,
    },
}

/// A test of one value, which may be absent. A negative test wants the value to exist.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each test is named by its operator")]
pub enum Test {
    Exists,
    Absent,
    Eq(Json),
    Ne(Json),
    /// `lt`, `le`, `gt`, `ge` with a number or a text.
    Order(Order, Json),
    Contains(Needle),
    NotContains(Needle),
    In(Vec<Json>),
    NotIn(Vec<Json>),
    Has(Json),
    NotHas(Json),
    Intersects(Vec<Json>),
    NotIntersects(Vec<Json>),
}

/// The four tests of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named by its operator")]
pub enum Order {
    Lt,
    Le,
    Gt,
    Ge,
}

impl Order {
    /// Whether the operand itself does not pass.
    #[inline]
    pub(crate) fn is_strict(self) -> bool {
        matches!(self, Self::Lt | Self::Gt)
    }

    /// Whether what lies below the operand passes.
    #[inline]
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Lt | Self::Le)
    }

    /// Whether a value that compares so to the operand passes.
    #[inline]
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }
}

/// What `contains` looks for.
#[derive(Clone, Debug)]
pub struct Needle {
    value: Json,
    /// The text in full Unicode case folding, where case is ignored.
    folded: Option<String>,
    /// Looks for the text, where it is one and case counts.
    finder: Option<Box<memmem::Finder<'static>>>,
    ignore_case: bool,
}

impl Needle {
    /// Looks for `value`, in any letter case if `ignore_case`.
    pub fn new(value: Json, ignore_case: bool) -> Self {
        let folded = value.as_str().filter(|_| ignore_case).map(fold);
        let finder =
            value.as_str().filter(|_| !ignore_case).map(|text| Box::new(memmem::Finder::new(text).into_owned()));
        Self { value, folded, finder, ignore_case }
    }

    /// The value looked for.
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// Whether letter case is ignored.
    pub fn ignore_case(&self) -> bool {
        self.ignore_case
    }

    /// A substring of a text, an item of a list, a key of a map.
    fn found_in(&self, value: &Value<'_>) -> bool {
        let equal = |item: &str| match (&self.folded, &self.value) {
            (Some(folded), _) => fold(item) == *folded,
            (None, Json::Text(text)) => text == item,
            (None, _) => false,
        };
        match value {
            Value::Text(text) => match (&self.folded, &self.finder) {
                (Some(folded), _) => fold(text).contains(folded),
                (None, Some(finder)) => finder.find(text.as_bytes()).is_some(),
                (None, None) => false,
            },
            Value::List(items) => items.iter().any(|item| match item {
                Json::Text(text) => equal(text),
                other => *other == self.value,
            }),
            Value::Map(map) => map.iter().any(|(key, _)| equal(key)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ignore_case == other.ignore_case
    }
}

/// Full Unicode case folding (the Unicode Standard, section 3.13, toCasefold).
fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { caseless::default_case_fold_str(text) }
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
        }
    }

    /// The operator as definitions spell it.
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
        }
    }

    /// The operand as definitions spell it.
    pub fn operand(&self) -> Cow<'_, Json> {
        match self {
            Self::Exists | Self::Absent => Cow::Owned(Json::Bool(true)),
            Self::Eq(value) | Self::Ne(value) | Self::Order(_, value) | Self::Has(value) | Self::NotHas(value) => {
                Cow::Borrowed(value)
            }
            Self::Contains(needle) | Self::NotContains(needle) => Cow::Borrowed(&needle.value),
            Self::In(items) | Self::NotIn(items) | Self::Intersects(items) | Self::NotIntersects(items) => {
                Cow::Owned(Json::List(items.clone()))
            }
        }
    }
}

/// `conditions` with their positions, in the order in which they are evaluated: those last that ask custom code.
pub(crate) fn custom_last(conditions: &[Condition]) -> impl Iterator<Item = (usize, &Condition)> {
    let asks = |asks: bool| conditions.iter().enumerate().filter(move |(_, condition)| condition.asks_custom() == asks);
    asks(false).chain(asks(true))
}

impl Condition {
    /// Whether `document` satisfies this condition, evaluated plainly.
    ///
    /// # Errors
    /// A [`CustomError`] if custom code is not known or fails.
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
            Self::Custom { name, params } => registry.check(name, params, document),
        }
    }

    /// Whether custom code has to be asked. It is asked last: only where the conditions without any leave it open.
    pub(crate) fn asks_custom(&self) -> bool {
        match self {
            Self::Test { .. } => false,
            Self::All(parts) | Self::Any(parts) => parts.iter().any(Self::asks_custom),
            Self::Not(part) => part.asks_custom(),
            Self::Custom { .. } => true,
        }
    }

    /// The path that it looks at, the first where it looks at several.
    pub(crate) fn first_key(&self) -> Option<&Path> {
        match self {
            Self::Test { key, .. } => Some(key),
            Self::All(parts) | Self::Any(parts) => parts.iter().find_map(Self::first_key),
            Self::Not(part) => part.first_key(),
            Self::Custom { .. } => None,
        }
    }

    /// How many conditions this is, counting itself and all within.
    pub fn count(&self) -> usize {
        match self {
            Self::Test { .. } | Self::Custom { .. } => 1,
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::count).sum::<usize>(),
            Self::Not(part) => 1 + part.count(),
        }
    }
}

impl fmt::Display for Condition {
    /// As people say it: `amount ge 100`, `not (tier eq "gold")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, word: &str, parts: &[Self]| {
            for (at, part) in parts.iter().enumerate() {
                let separator = if at > 0 { ", " } else { "" };
                write!(f, "{}{part}", if at == 0 { format!("{word} of (") } else { separator.to_owned() })?;
            }
            f.write_str(")")
        };
        match self {
            Self::Test { key, test: test @ (Test::Exists | Test::Absent) } => {
                write!(f, "{key} {}", test.operator())
            }
            Self::Test { key, test } => write!(f, "{key} {} {}", test.operator(), test.operand()),
            Self::All(parts) => join(f, "all", parts),
            Self::Any(parts) => join(f, "any", parts),
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
    fn order_is_between_two_numbers_or_two_texts() {
        let above = Test::Order(Order::Gt, json("5"));
        assert!(holds(&above, "5.000000000000000000000001"));
        for other in ["5", "\"6\"", "true", "null", "[6]", "{}"] {
            assert!(!holds(&above, other), "{other}");
        }
        let text = Test::Order(Order::Le, json("\"b\""));
        assert!(holds(&text, "\"B\"") && holds(&text, "\"b\"") && !holds(&text, "\"ba\"") && !holds(&text, "1"));
    }

    #[test]
    fn a_negative_wants_the_value_to_exist() {
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
