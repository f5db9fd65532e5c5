//! Validates conditions built in code as strictly as those that were read.

use super::{Condition, Items, MAX_CONDITION_DEPTH, Test};
use crate::definition::{DefinitionError, MAX_CONDITIONS, Read};
use crate::json::Json;
use crate::number::Number;
use crate::path::Path;

/// How deeply the lists and maps in an operand or in parameters may be nested.
const MAX_VALUE_DEPTH: usize = 32;

/// Where a condition is in its definition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    depth: usize,
    /// Whether paths start at a list item.
    pub(super) within_item: bool,
}

impl Place {
    /// The place of a top-level condition.
    pub(crate) const OUTERMOST: Self = Self { depth: 1, within_item: false };

    pub(super) fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    pub(super) fn of_items(self) -> Self {
        Self { within_item: true, ..self.deeper() }
    }

    /// Uses up one of the conditions that a definition may still have.
    pub(super) fn spend(self, left: &mut usize) -> Read<()> {
        let of = DefinitionError::of;
        if self.depth > MAX_CONDITION_DEPTH {
            let expected = format!("up to {MAX_CONDITION_DEPTH} levels");
            return Err(of("", "conditions are nested too deeply", expected));
        }
        *left = left
            .checked_sub(1)
            .ok_or_else(|| of("", "too many conditions", format!("up to {MAX_CONDITIONS} in one definition")))?;
        Ok(())
    }
}

/// Checks a condition and all nested ones. Each uses up one of `left`.
pub(crate) fn check(condition: &Condition, place: Place, left: &mut usize) -> Read<()> {
    let of = DefinitionError::of;
    place.spend(left)?;
    match condition {
        Condition::Test { key, test } => {
            check_key(key, place)?;
            match test {
                Test::Order(_, operand) if !matches!(operand, Json::Number(_) | Json::Text(_)) => {
                    Err(of(test.operator(), operand.kind(), "a number or a string"))
                }
                Test::In(items) | Test::NotIn(items) | Test::Intersects(items) | Test::NotIntersects(items)
                    if items.is_empty() =>
                {
                    Err(of(test.operator(), "an empty list", "a non-empty list"))
                }
                _ => check_value(&test.operand()).map_err(|error| error.within(test.operator())),
            }
        }
        Condition::All(parts) => check_list("all", parts, place.deeper(), left),
        Condition::Any(parts) => check_list("any", parts, place.deeper(), left),
        Condition::Not(part) => check(part, place.deeper(), left).map_err(|error| error.within("not")),
        Condition::Fields(fields) => {
            check_key(&fields.key, place)?;
            check_key(&fields.other, place).map_err(|error| error.renamed(fields.comparison.operator()))
        }
        Condition::Items(Items { key, quantifier, conditions }) => {
            check_key(key, place)?;
            check_list(quantifier.operator(), conditions, place.of_items(), left)
        }
        Condition::Custom { name, params } => check_custom(name, params),
    }
}

/// Checks the conditions under `operator`. Errors name their position.
fn check_list(operator: &str, conditions: &[Condition], place: Place, left: &mut usize) -> Read<()> {
    if conditions.is_empty() {
        return Err(DefinitionError::of(operator, "an empty list", "a non-empty list of conditions"));
    }
    conditions.iter().enumerate().try_for_each(|(at, condition)| {
        check(condition, place, left).map_err(|error| error.within(&format!("{operator}[{at}]")))
    })
}

/// Only inside a list may a path have no segments; it is then the item itself.
fn check_key(key: &Path, place: Place) -> Read<()> {
    if key.is_item() && !place.within_item {
        return Err(DefinitionError::of("key", "path is empty", "at least one segment"));
    }
    Ok(())
}

/// Checks the name and the parameters of custom code.
pub(crate) fn check_custom(name: &str, params: &Json) -> Read<()> {
    if name.is_empty() {
        return Err(DefinitionError::of("custom", "an empty string", "a registered name"));
    }
    check_value(params).map_err(|error| error.within("params"))
}

/// Checks that a value can be written and read back.
fn check_value(value: &Json) -> Read<()> {
    if !finite(value) {
        return Err(DefinitionError::of("", "NaN or infinite", "finite numbers"));
    }
    if depth(value) > MAX_VALUE_DEPTH {
        let expected = format!("up to {MAX_VALUE_DEPTH} levels");
        return Err(DefinitionError::of("", "lists and maps are nested too deeply", expected));
    }
    Ok(())
}

fn depth(value: &Json) -> usize {
    match value {
        Json::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Map(map) => 1 + map.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => 0,
    }
}

fn finite(json: &Json) -> bool {
    match json {
        Json::Number(number) => !matches!(number, Number::NotANumber | Number::Infinite(_)),
        Json::List(items) => items.iter().all(finite),
        Json::Map(map) => map.iter().all(|(_, value)| finite(value)),
        Json::Null | Json::Bool(_) | Json::Text(_) => true,
    }
}
