//! `starts_with` and `ends_with`: prefixes and suffixes of strings.

use std::borrow::Cow;

use super::fold::fold;
use crate::definition::Read;
use crate::document::Value;
use crate::json::Json;
use crate::source::Node;

/// A prefix or suffix.
#[derive(Clone, Debug)]
pub struct Affix {
    text: Json,
    /// The text to compare with, with full Unicode case folding if case is ignored.
    compared: String,
    ignore_case: bool,
}

impl Affix {
    /// A prefix or suffix, in any letter case if `ignore_case`.
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let compared = if ignore_case { fold(text) } else { text.to_owned() };
        Self { text: text.into(), compared, ignore_case }
    }

    pub(super) fn read(node: &Node, ignore_case: bool) -> Read<Self> {
        Ok(Self::new(node.text("a string")?, ignore_case))
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        self.text.as_str().unwrap_or_default()
    }

    /// Whether letter case is ignored.
    pub fn ignore_case(&self) -> bool {
        self.ignore_case
    }

    pub(super) fn operand(&self) -> &Json {
        &self.text
    }

    pub(super) fn begins(&self, value: &Value<'_>) -> bool {
        self.of_text(value, |text, affix| text.starts_with(affix))
    }

    pub(super) fn ends(&self, value: &Value<'_>) -> bool {
        self.of_text(value, |text, affix| text.ends_with(affix))
    }

    fn of_text(&self, value: &Value<'_>, holds: impl Fn(&str, &str) -> bool) -> bool {
        let Value::Text(text) = value else { return false };
        let text = if self.ignore_case { Cow::Owned(fold(text)) } else { Cow::Borrowed(&**text) };
        holds(&text, &self.compared)
    }
}

impl PartialEq for Affix {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.ignore_case == other.ignore_case
    }
}
