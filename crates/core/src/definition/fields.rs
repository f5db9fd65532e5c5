//! Taking a source apart: reading the types of values that definitions have, and the fields of a map.

use std::collections::HashSet;

use super::{DefinitionError, Read};
use crate::amount::Amount;
use crate::condition::unique_keys;
use crate::json::{Json, Text};
use crate::number::Number;
use crate::path::Path;
use crate::source::{Entry, Node, NodeValue};
use crate::text::{nearest, plain};
use crate::time::Timestamp;

impl Node {
    pub(crate) fn refuse(&self, problem: impl Into<String>, expected: impl Into<String>) -> DefinitionError {
        DefinitionError { at: self.at, ..DefinitionError::of("", problem, expected) }
    }

    /// The value in words, short enough for a message.
    pub(crate) fn seen(&self) -> String {
        let json = match &self.value {
            NodeValue::List(items) if items.is_empty() => return "an empty list".to_owned(),
            NodeValue::List(_) => return "a list".to_owned(),
            NodeValue::Map(_) => return "a map".to_owned(),
            // JSON cannot express them.
            NodeValue::Number(number @ (Number::NotANumber | Number::Infinite(_))) => return number.to_string(),
            _ => self.to_json(),
        };
        let text = json.to_string();
        match text.char_indices().nth(40) {
            Some((end, _)) => format!("{} {}…", json.kind(), &text[..end]),
            None if json == Json::Null => text,
            None => format!("{} {text}", json.kind()),
        }
    }

    pub(crate) fn expected(&self, expected: &str) -> DefinitionError {
        self.refuse(self.seen(), expected)
    }

    pub(crate) fn text(&self, expected: &str) -> Read<&Text> {
        if let NodeValue::Text(text) = &self.value { Ok(text) } else { Err(self.expected(expected)) }
    }

    pub(crate) fn flag(&self) -> Read<bool> {
        if let NodeValue::Bool(value) = self.value { Ok(value) } else { Err(self.expected("true or false")) }
    }

    pub(crate) fn list(&self, expected: &str) -> Read<&[Self]> {
        if let NodeValue::List(items) = &self.value { Ok(items) } else { Err(self.expected(expected)) }
    }

    pub(crate) fn filled_list(&self, expected: &str) -> Read<&[Self]> {
        let items = self.list(expected)?;
        if items.is_empty() { Err(self.expected(expected)) } else { Ok(items) }
    }

    pub(crate) fn path(&self) -> Read<Path> {
        let expected = "a dotted path such as \"user.tier\"";
        Path::parse(self.text(expected)?).ok_or_else(|| self.expected(expected))
    }

    pub(crate) fn amount(&self) -> Read<Amount> {
        let expected = "a number between -1.7e20 and 1.7e20";
        let NodeValue::Number(number) = &self.value else { return Err(self.expected(expected)) };
        number.to_amount().map(|(amount, _)| amount).map_err(|_| self.expected(expected))
    }

    /// The value as parameters for custom code.
    pub(crate) fn params(&self) -> Read<Json> {
        unique_keys(self)?;
        Ok(self.to_json())
    }

    pub(crate) fn moment(&self) -> Read<Timestamp> {
        self.moment_by(Timestamp::read)
    }

    pub(crate) fn moment_by(&self, read: impl FnOnce(&Json) -> Option<Timestamp>) -> Read<Timestamp> {
        read(&self.to_json()).ok_or_else(|| self.expected(Timestamp::EXPECTED))
    }

    /// The position in the source of the value at `field`, a path such as `limiters[0].end`, or of the innermost value
    /// around it if that value is missing.
    pub fn place(&self, field: &str) -> Option<usize> {
        let mut node = self;
        // No field of a definition has a dot or a bracket in its name. A key in an operand may; then the position of
        // the operand is good enough.
        for segment in field.split(['.', '[']).filter(|segment| !segment.is_empty()) {
            let inner = match (&node.value, segment.strip_suffix(']')) {
                (NodeValue::List(items), Some(at)) => at.parse().ok().and_then(|at: usize| items.get(at)),
                (NodeValue::Map(entries), None) => {
                    entries.iter().find(|entry| entry.key == segment).map(|entry| &entry.value)
                }
                _ => None,
            };
            let Some(inner) = inner else { break };
            node = inner;
        }
        node.at
    }

    /// Reads each item; an error names its position.
    pub(crate) fn each<T>(items: &[Self], mut read: impl FnMut(&Self) -> Read<T>) -> Read<Vec<T>> {
        let items = items.iter().enumerate();
        items.map(|(at, item)| read(item).map_err(|error| error.within(&format!("[{at}]")))).collect()
    }
}

/// The fields of a map, taken one by one. What remains at the end is not allowed.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    entries: Vec<&'a Entry>,
}

impl<'a> Fields<'a> {
    /// The fields of a map. Each may appear only once.
    pub(crate) fn of(node: &'a Node, expected: &str) -> Read<Self> {
        let NodeValue::Map(entries) = &node.value else { return Err(node.expected(expected)) };
        let mut seen = HashSet::new();
        for entry in entries {
            if !seen.insert(&entry.key) {
                let mut error = DefinitionError::of(&entry.key, "appears twice", "each field once");
                error.at = entry.at;
                return Err(error);
            }
        }
        Ok(Self { node, entries: entries.iter().collect() })
    }

    /// The fields of a map that may only have the fields in `known`. A misspelt field is reported before a missing one.
    pub(crate) fn known(node: &'a Node, expected: &str, known: &[&str]) -> Read<Self> {
        let fields = Self::of(node, expected)?;
        let Some(entry) = fields.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) else {
            return Ok(fields);
        };
        let problem = format!("unknown field `{}`", plain(&entry.key));
        let (problem, expected) = match nearest(&entry.key, known.iter().copied()) {
            Some(name) => (format!("{problem}; did you mean `{name}`?"), String::new()),
            None => (problem, one_of(known)),
        };
        Err(DefinitionError { at: entry.at, ..DefinitionError::of(&entry.key, problem, expected) })
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries().map(|entry| entry.key.as_str())
    }

    pub(crate) fn take<T>(&mut self, key: &str, read: impl FnOnce(&'a Node) -> Read<T>) -> Read<Option<T>> {
        let Some(at) = self.entries.iter().position(|entry| entry.key == key) else { return Ok(None) };
        let entry = self.entries.remove(at);
        read(&entry.value).map(Some).map_err(|error| error.within(key))
    }

    pub(crate) fn required<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&'a Node) -> Read<T>) -> Read<T> {
        let node = self.node;
        self.take(key, read)?.ok_or_else(|| node.refuse("required field is missing", expected).within(key))
    }

    /// Rejects a field that was not taken: it belongs to another kind.
    pub(crate) fn finish(self, expected: &str) -> Read<()> {
        let Some(entry) = self.entries.first() else { return Ok(()) };
        Err(DefinitionError { at: entry.at, ..DefinitionError::of(&entry.key, "field not allowed here", expected) })
    }
}

pub(crate) fn one_of(names: &[&str]) -> String {
    // Several kinds may have a field with the same name.
    let mut seen = HashSet::new();
    let names: Vec<&str> = names.iter().copied().filter(|name| seen.insert(*name)).collect();
    format!("one of {}", names.join(", "))
}
