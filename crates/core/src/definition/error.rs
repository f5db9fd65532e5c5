//! Why a definition is invalid.

use std::fmt;

use crate::json::{Json, Map};

/// Why a definition is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct DefinitionError {
    /// The field, as a path from the outermost value: `trackers[0].conditions[1].ge`; empty for that value itself.
    pub field: String,
    /// What is wrong with it, in lower case.
    pub problem: String,
    /// What was expected; empty if the problem says it all.
    pub expected: String,
    /// The position of the field in the source, in bytes, if it was read from text.
    pub at: Option<usize>,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        Ok(())
    }
}

impl DefinitionError {
    /// The error as JSON: its `code`, which is `definition`, the `message`, and `field`, `problem` and `expected`.
    pub fn to_json(&self) -> Json {
        self.to_map().into()
    }

    /// The fields of [`to_json`](Self::to_json).
    pub fn to_map(&self) -> Map {
        let message = self.to_string();
        let fields = [
            ("code", "definition"),
            ("message", &*message),
            ("field", &*self.field),
            ("problem", &*self.problem),
            ("expected", &*self.expected),
        ];
        fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}

pub(crate) type Read<T> = Result<T, DefinitionError>;

impl DefinitionError {
    pub(crate) fn of(field: &str, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), expected: expected.into(), at: None }
    }

    /// The same error with `field` in front of its path.
    pub(crate) fn within(mut self, field: &str) -> Self {
        let separator = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{field}{separator}{}", self.field);
        self
    }

    /// The same error for `field` instead.
    pub(crate) fn renamed(self, field: &str) -> Self {
        Self { field: field.to_owned(), ..self }
    }
}
