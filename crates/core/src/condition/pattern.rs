//! `matches`: searches a string for a regular expression.
//!
//! A search takes time linear in the length of the string, whatever the pattern. The compiled size of a pattern is limited.

use regex::{Regex, RegexBuilder};

use crate::definition::{DefinitionError, Read};
use crate::document::Value;
use crate::json::Json;
use crate::source::Node;

/// The maximum compiled size of a pattern in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;
const EXPECTED: &str = "a regular expression, such as \"^/api/v[0-9]+/\"";

/// A compiled regular expression in the syntax of the crate `regex`: Unicode, without look-around or back-references.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Json,
    regex: Regex,
}

impl Pattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// A [`DefinitionError`] if it is not a regular expression or compiles to more than 1 MiB.
    pub fn new(pattern: &str) -> Result<Self, DefinitionError> {
        let compiled = RegexBuilder::new(pattern).size_limit(MAX_COMPILED_BYTES).build();
        let regex = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => DefinitionError::of(
                "",
                format!("regular expression is too large: it compiles to more than {limit} bytes"),
                "fewer or smaller repetitions",
            ),
            error => DefinitionError::of("", format!("invalid regular expression: {}", cause(&error)), EXPECTED),
        })?;
        Ok(Self { text: pattern.into(), regex })
    }

    pub(super) fn read(node: &Node) -> Read<Self> {
        Self::new(node.text(EXPECTED)?).map_err(|error| DefinitionError { at: node.at, ..error })
    }

    /// The regular expression as it was given.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    pub(super) fn operand(&self) -> &Json {
        &self.text
    }

    pub(super) fn found_in(&self, value: &Value<'_>) -> bool {
        matches!(value, Value::Text(text) if self.regex.is_match(text))
    }
}

/// The last line of the message, which describes the error; the lines before it show the pattern.
fn cause(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
