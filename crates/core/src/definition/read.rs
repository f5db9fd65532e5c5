//! Reading definitions.

use std::collections::HashSet;

use super::{DefinitionError, Fields, MAX_CONDITIONS, Parts, Read, ResetPolicy, TrackerDefinition};
use crate::amount::Amount;
use crate::condition;
use crate::limiter::LimiterDefinition;
use crate::measure::Kind;
use crate::period::Every;
use crate::source::{Node, NodeValue};
use crate::text::quoted;
use crate::window::Window;
use crate::zone::Zone;

/// The fields that trackers of every kind have.
const TRACKER_FIELDS: [&str; 14] = [
    "name",
    "kind",
    "target",
    "conditions",
    "limiters",
    "reset_policy",
    "loop_forever",
    "init_progress",
    "expire_at",
    "every",
    "from",
    "keep",
    "zone",
    "template",
];

/// Reads `{"trackers": [ … ]}` or the bare list.
///
/// # Errors
/// A [`DefinitionError`] for the first definition that is invalid or has the name of an earlier one.
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
    /// A [`DefinitionError`] that names the field, its position and what was expected there.
    pub fn from_node(node: &Node) -> Result<Self, DefinitionError> {
        // Messages list the fields of the kinds after `kind`.
        let (first, others) = TRACKER_FIELDS.split_at(2);
        let known: Vec<&str> = first.iter().copied().chain(Kind::fields()).chain(others.iter().copied()).collect();
        let mut fields = Fields::known(node, "a map that defines a tracker", &known)?;
        let name = fields.required("name", "a non-empty string", |node| {
            let name = node.text("a non-empty string")?;
            if name.is_empty() { Err(node.expected("a non-empty string")) } else { Ok(name.clone()) }
        })?;
        let kind = Kind::read(&mut fields)?;
        let targets = fields
            .take("target", |node| match &node.value {
                NodeValue::List(_) => {
                    let items = node.filled_list("a number or a non-empty list of numbers")?;
                    Node::each(items, Node::amount)
                }
                NodeValue::Number(_) => Ok(vec![node.amount()?]),
                _ => Err(node.expected("a number or a non-empty list of numbers")),
            })?
            .unwrap_or_default();
        let conditions = fields
            .take("conditions", |node| {
                let mut left = MAX_CONDITIONS;
                Node::each(node.list("a list of conditions")?, |node| {
                    condition::read(node, condition::Place::OUTERMOST, &mut left)
                })
            })?
            .unwrap_or_default();
        let limiters = fields.take("limiters", LimiterDefinition::read_all)?.unwrap_or_default();
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
            every: Every::read(&mut fields)?,
            zone: fields.take("zone", Zone::read)?,
        };
        let template = fields.take("template", |node| node.text("the name of a template").cloned())?;
        fields.finish(&format!("{}, `from` and `keep` only with `every`", Kind::fields_in_words()))?;
        let checked = Self::checked(parts);
        let checked = checked.map_err(|error| DefinitionError { at: node.place(&error.field), ..error })?;
        Ok(Self { template, ..checked })
    }
}

impl Every {
    /// Reads the fields `every`, `from` and `keep`.
    fn read(fields: &mut Fields<'_>) -> Read<Option<Self>> {
        let Some(window) = Window::take(fields, "every")? else { return Ok(None) };
        let keep = fields.take("keep", |node| {
            let keep = node.amount()?.to_integer().and_then(|keep| u16::try_from(keep).ok());
            keep.ok_or_else(|| node.expected(&Self::keep_in_words()))
        })?;
        Ok(Some(Self { window, keep: keep.unwrap_or(Self::KEEP) }))
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
