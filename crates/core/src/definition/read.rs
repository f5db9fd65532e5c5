//! Reading and checking definitions, with words for everything that is refused.

use std::collections::HashSet;
use std::fmt;

use super::{MAX_CONDITIONS, MAX_NAME_BYTES, MAX_TARGETS, Parts, ResetPolicy, TrackerDefinition};
use crate::amount::Amount;
use crate::condition::{self, unique_keys};
use crate::json::{Json, Text};
use crate::limiter::LimiterDefinition;
use crate::measure::Kind;
use crate::number::Number;
use crate::path::Path;
use crate::source::{Entry, Node, NodeValue};
use crate::text::{plain, quoted};
use crate::time::Timestamp;

/// Why a definition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DefinitionError {
    /// The field, as a path from the outermost value: `trackers[0].conditions[1].ge`; empty for that value itself.
    pub field: String,
    /// What is wrong with it, in lower case.
    pub problem: String,
    /// What was expected; empty where the problem says it all.
    pub expected: String,
    /// The byte of the source where it stands, if it was read from a text.
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

pub(crate) type Read<T> = Result<T, DefinitionError>;

impl DefinitionError {
    pub(crate) fn of(field: &str, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), expected: expected.into(), at: None }
    }

    /// The error seen from the value that holds `field`.
    pub(crate) fn within(mut self, field: &str) -> Self {
        let separator = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{field}{separator}{}", self.field);
        self
    }

    /// The error of `field` instead.
    pub(crate) fn renamed(self, field: &str) -> Self {
        Self { field: field.to_owned(), ..self }
    }
}

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
            // JSON has no text for them.
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

    /// The value of parameters.
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

    /// Where `field` is written, a path such as `limiters[0].end`: the value that it names, or the innermost around it.
    pub fn place(&self, field: &str) -> Option<usize> {
        let mut node = self;
        // Definitions have no field whose name has a dot or a bracket; an operand may, and then its own place will do.
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

/// The fields of a map, taken one by one; what remains is unknown.
pub(crate) struct Fields<'a> {
    node: &'a Node,
    entries: Vec<&'a Entry>,
}

impl<'a> Fields<'a> {
    /// The fields of a map, if each stands there once.
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

    /// The fields of a map that has no others than `known`. A misspelt field is named before one is missed.
    pub(crate) fn known(node: &'a Node, expected: &str, known: &[&str]) -> Read<Self> {
        let fields = Self::of(node, expected)?;
        let Some(entry) = fields.entries.iter().find(|entry| !known.contains(&entry.key.as_str())) else {
            return Ok(fields);
        };
        let distance = |name: &str| strsim::damerau_levenshtein(name, &entry.key);
        let nearest = known.iter().map(|name| (distance(name), *name)).min().filter(|(distance, _)| *distance <= 2);
        let problem = format!("unknown field `{}`", plain(&entry.key));
        let (problem, expected) = match nearest {
            Some((_, name)) => (format!("{problem}; did you mean `{name}`?"), String::new()),
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

    /// Refuses what was not taken: a field that only others of its kind have.
    pub(crate) fn finish(self, expected: &str) -> Read<()> {
        let Some(entry) = self.entries.first() else { return Ok(()) };
        Err(DefinitionError { at: entry.at, ..DefinitionError::of(&entry.key, "field not allowed here", expected) })
    }
}

pub(crate) fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// The fields that trackers of every kind have.
const TRACKER_FIELDS: [&str; 9] =
    ["name", "kind", "target", "conditions", "limiters", "reset_policy", "loop_forever", "init_progress", "expire_at"];

/// Reads `{"trackers": [ … ]}` or the bare list.
///
/// # Errors
/// A [`DefinitionError`] for the first definition that is refused, or for a name that stands there twice.
pub fn read_trackers(source: &Node) -> Read<Vec<TrackerDefinition>> {
    let expected = "a map with a `trackers` list, or the list itself";
    let (items, field) = match &source.value {
        NodeValue::List(items) => (items.as_slice(), ""),
        NodeValue::Map(_) => {
            let mut fields = Fields::known(source, expected, &["trackers"])?;
            let items = fields.required("trackers", expected, |node| node.list("a list of trackers"))?;
            (items, "trackers")
        }
        _ => return Err(source.expected(expected)),
    };
    let mut names = HashSet::new();
    Node::each(items, |node| {
        let definition = TrackerDefinition::from_node(node)?;
        if !names.insert(definition.name().to_owned()) {
            let at = match &node.value {
                NodeValue::Map(entries) => {
                    entries.iter().find(|entry| entry.key == "name").and_then(|entry| entry.value.at)
                }
                _ => node.at,
            };
            let problem = format!("an earlier tracker is already named {}", quoted(definition.name()));
            return Err(DefinitionError { at, ..DefinitionError::of("name", problem, "a unique name") });
        }
        Ok(definition)
    })
    .map_err(|error| error.within(field))
}

impl TrackerDefinition {
    /// Reads a definition from a source with positions.
    ///
    /// # Errors
    /// A [`DefinitionError`] that names the field, its place and what was expected there.
    pub fn from_node(node: &Node) -> Result<Self, DefinitionError> {
        // Those of the kinds stand behind `kind` in messages.
        let (first, others) = TRACKER_FIELDS.split_at(2);
        let known: Vec<&str> = first.iter().copied().chain(Kind::fields()).chain(others.iter().copied()).collect();
        let mut fields = Fields::known(node, "a map that defines a tracker", &known)?;
        let name = fields.required("name", "a non-empty string", |node| {
            let name = node.text("a non-empty string")?;
            if name.is_empty() { Err(node.expected("a non-empty string")) } else { Ok(name.clone()) }
        })?;
        let kind = Kind::read(&mut fields)?;
        let targets =
            fields.required("target", "a number or a non-empty list of numbers", |node| match &node.value {
                NodeValue::List(_) => {
                    let items = node.filled_list("a number or a non-empty list of numbers")?;
                    Node::each(items, Node::amount)
                }
                NodeValue::Number(_) => Ok(vec![node.amount()?]),
                _ => Err(node.expected("a number or a non-empty list of numbers")),
            })?;
        let conditions = fields
            .take("conditions", |node| {
                let mut left = MAX_CONDITIONS;
                Node::each(node.list("a list of conditions")?, |node| {
                    condition::read(node, condition::Place::OUTERMOST, &mut left)
                })
            })?
            .unwrap_or_default();
        let limiters = fields
            .take("limiters", |node| Node::each(node.list("a list of limiters")?, LimiterDefinition::read))?
            .unwrap_or_default();
        let parts = Parts {
            name,
            kind,
            targets,
            conditions,
            limiters,
            reset_policy: fields.take("reset_policy", ResetPolicy::read)?.unwrap_or_default(),
            loop_forever: fields.take("loop_forever", Node::flag)?.unwrap_or(false),
            init_progress: fields.take("init_progress", Node::amount)?.unwrap_or(Amount::ZERO),
            expire_at: fields
                .take("expire_at", |node| match node.value {
                    NodeValue::Null => Ok(None),
                    _ => node.moment().map(Some),
                })?
                .flatten(),
        };
        fields.finish(&Kind::fields_in_words())?;
        Self::checked(parts).map_err(|error| DefinitionError { at: node.place(&error.field), ..error })
    }

    /// Checks what no single field can say.
    pub(super) fn checked(parts: Parts) -> Result<Self, DefinitionError> {
        let of = |field: &str, problem: String, expected: String| DefinitionError::of(field, problem, expected);
        if parts.name.is_empty() {
            return Err(of("name", "an empty string".into(), "a non-empty string".into()));
        }
        if parts.name.len() > MAX_NAME_BYTES {
            let problem = format!("name is {} bytes long", parts.name.len());
            return Err(of("name", problem, format!("up to {MAX_NAME_BYTES} bytes")));
        }
        if parts.targets.is_empty() {
            return Err(of("target", "an empty list".into(), "a number or a non-empty list of numbers".into()));
        }
        if parts.targets.len() > MAX_TARGETS {
            return Err(of("target", format!("{} targets", parts.targets.len()), format!("up to {MAX_TARGETS}")));
        }
        parts.kind.check()?;
        if parts.expire_at.is_some_and(|moment| !moment.is_writable()) {
            return Err(of("expire_at", "timestamp out of range".into(), "a year from -9999 to 9999".into()));
        }
        if parts.loop_forever {
            let ascending = parts.targets.windows(2).all(|pair| pair[0] < pair[1]);
            if !ascending || !parts.targets[0].is_positive() {
                let expected = "positive, ascending targets because `loop_forever` is set";
                return Err(of("target", "these targets cannot loop".into(), expected.into()));
            }
        }
        LimiterDefinition::check_all(&parts.limiters)?;
        let mut left = MAX_CONDITIONS;
        for (at, condition) in parts.conditions.iter().enumerate() {
            condition::check(condition, condition::Place::OUTERMOST, &mut left)
                .map_err(|error| error.within(&format!("conditions[{at}]")))?;
        }
        Ok(Self::new(parts))
    }
}

impl ResetPolicy {
    fn read(node: &Node) -> Read<Self> {
        let expected = "a list of \"progress\" and \"limiter\"";
        let mut policy = Self::NONE;
        for item in node.list(expected)? {
            let flag = match item.text(expected)?.as_str() {
                "progress" => &mut policy.progress,
                "limiter" => &mut policy.limiter,
                _ => return Err(item.expected("\"progress\" or \"limiter\"")),
            };
            if std::mem::replace(flag, true) {
                return Err(item.refuse(format!("{} appears twice", item.seen()), "each flag once"));
            }
        }
        Ok(policy)
    }
}
