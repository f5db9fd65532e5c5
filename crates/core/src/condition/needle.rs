//! `contains` and `not_contains`: look for a substring, a list item or a map key.

use memchr::memmem;

use super::fold::fold;
use crate::document::Value;
use crate::json::Json;

/// The value that `contains` looks for.
#[derive(Clone, Debug)]
pub struct Needle {
    value: Json,
    /// The string with full Unicode case folding, if case is ignored.
    folded: Option<String>,
    /// Searches for the value, if it is a string and case matters.
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

    /// The value to look for.
    pub fn value(&self) -> &Json {
        &self.value
    }

    /// Whether letter case is ignored.
    pub fn ignore_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether it is found as a substring, list item or map key.
    pub(super) fn found_in(&self, value: &Value<'_>) -> bool {
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
