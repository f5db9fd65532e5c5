//! Reads conditions, with an error message for everything that is rejected.

use crate::json::Text;

use super::check::Place;
use super::{Affix, Comparison, Condition, FieldComparison, Items, Moment, Needle, Order, Pattern, Quantifier, Test};
use crate::definition::{DefinitionError, Fields, Read, one_of};
use crate::json::Json;
use crate::path::Path;
use crate::source::{Node, NodeValue};

/// Reads an operand, given whether letter case is ignored.
type ReadTest = fn(&Node, bool) -> Read<Test>;

/// The tests of one value, by operator.
const TESTS: [(&str, ReadTest); 21] = [
    ("exists", |operand, _| truth(operand, Test::Exists)),
    ("absent", |operand, _| truth(operand, Test::Absent)),
    ("eq", |operand, _| Ok(Test::Eq(operand.to_json()))),
    ("ne", |operand, _| Ok(Test::Ne(operand.to_json()))),
    ("lt", |operand, _| order(operand, Order::Lt)),
    ("le", |operand, _| order(operand, Order::Le)),
    ("gt", |operand, _| order(operand, Order::Gt)),
    ("ge", |operand, _| order(operand, Order::Ge)),
    ("contains", |operand, folded| Ok(Test::Contains(Needle::new(operand.to_json(), folded)))),
    ("not_contains", |operand, folded| Ok(Test::NotContains(Needle::new(operand.to_json(), folded)))),
    ("in", |operand, _| items(operand).map(Test::In)),
    ("not_in", |operand, _| items(operand).map(Test::NotIn)),
    ("has", |operand, _| Ok(Test::Has(operand.to_json()))),
    ("not_has", |operand, _| Ok(Test::NotHas(operand.to_json()))),
    ("intersects", |operand, _| items(operand).map(Test::Intersects)),
    ("not_intersects", |operand, _| items(operand).map(Test::NotIntersects)),
    ("starts_with", |operand, folded| Affix::read(operand, folded).map(Test::StartsWith)),
    ("ends_with", |operand, folded| Affix::read(operand, folded).map(Test::EndsWith)),
    ("matches", |operand, _| Pattern::read(operand).map(Test::Matches)),
    ("before", |operand, _| Moment::read(operand).map(Test::Before)),
    ("since", |operand, _| Moment::read(operand).map(Test::Since)),
];

/// The operators that combine conditions or run custom code.
const COMPOUND: [&str; 4] = ["all", "any", "not", "custom"];

/// Fields that a condition may have in addition to its operator.
const BESIDE_OPERATOR: [&str; 3] = ["key", "ignore_case", "params"];

fn operators() -> impl Iterator<Item = &'static str> {
    let fields = Comparison::ALL.into_iter().map(Comparison::operator);
    let items = Quantifier::ALL.into_iter().map(Quantifier::operator);
    TESTS.iter().map(|(word, _)| *word).chain(fields).chain(items).chain(COMPOUND)
}

/// Reads a condition and all nested ones. Each uses up one of `left`.
pub(crate) fn read(node: &Node, place: Place, left: &mut usize) -> Read<Condition> {
    place.spend(left).map_err(|error| DefinitionError { at: node.at, ..error })?;
    let operators: Vec<_> = operators().collect();
    let known: Vec<_> = BESIDE_OPERATOR.into_iter().chain(operators.iter().copied()).collect();
    let mut fields = Fields::known(node, "a map with one operator", &known)?;
    let given: Vec<_> = fields.names().filter(|name| operators.contains(name)).collect();
    let operator = match &*given {
        [operator] => *operator,
        [] => return Err(node.refuse("condition has no operator", one_of(&operators))),
        [first, second, ..] => {
            let expected = format!("exactly {}", one_of(&operators));
            return Err(node.refuse(format!("condition has two operators, `{first}` and `{second}`"), expected));
        }
    };
    let compound = match operator {
        "all" => fields.take("all", |node| read_all(node, place.deeper(), left))?.map(Condition::All),
        "any" => fields.take("any", |node| read_all(node, place.deeper(), left))?.map(Condition::Any),
        "not" => {
            fields.take("not", |node| read(node, place.deeper(), left))?.map(|part| Condition::Not(Box::new(part)))
        }
        "custom" => {
            let params = fields.take("params", Node::params)?.unwrap_or_default();
            fields.take("custom", name_of_custom)?.map(|name| Condition::Custom { name, params })
        }
        _ => None,
    };
    if let Some(condition) = compound {
        fields.finish("no other field with this operator")?;
        return Ok(condition);
    }
    let fields_of = Comparison::ALL.into_iter().find(|comparison| comparison.operator() == operator);
    let items_of = Quantifier::ALL.into_iter().find(|quantifier| quantifier.operator() == operator);
    let condition = if let Some(comparison) = fields_of {
        let other = fields.take(operator, Node::path)?.unwrap_or_else(Path::item);
        Condition::Fields(FieldComparison { key: read_key(&mut fields, place)?, comparison, other })
    } else if let Some(quantifier) = items_of {
        let conditions = fields.take(operator, |node| read_all(node, place.of_items(), left))?.unwrap_or_default();
        Condition::Items(Items { key: read_key(&mut fields, place)?, quantifier, conditions })
    } else {
        let ignore_case = fields.take("ignore_case", |node| Ok((node, node.flag()?)))?;
        let folded = ignore_case.is_some_and(|(_, flag)| flag);
        let test = fields.required(operator, &one_of(&operators), |operand| read_test(operator, operand, folded))?;
        if let Some((flag, _)) = ignore_case
            && test.ignore_case().is_none()
        {
            let expected = "ignore_case only with contains, not_contains, starts_with or ends_with";
            return Err(flag.refuse("field not allowed here", expected).within("ignore_case"));
        }
        Condition::Test { key: read_key(&mut fields, place)?, test }
    };
    fields.finish("only key, one operator and ignore_case")?;
    Ok(condition)
}

fn read_all(node: &Node, place: Place, left: &mut usize) -> Read<Box<[Condition]>> {
    let items = node.filled_list("a non-empty list of conditions")?;
    Node::each(items, |item| read(item, place, left)).map(Vec::into_boxed_slice)
}

/// The path of the value. Inside a list, it may be left out and then is the item itself.
fn read_key(fields: &mut Fields<'_>, place: Place) -> Read<Path> {
    if place.within_item {
        return Ok(fields.take("key", Node::path)?.unwrap_or_else(Path::item));
    }
    fields.required("key", "the path of the value", Node::path)
}

/// The test that `operator` names.
fn read_test(operator: &str, operand: &Node, ignore_case: bool) -> Read<Test> {
    unique_keys(operand)?;
    match TESTS.iter().find(|(word, _)| *word == operator) {
        Some((_, read)) => read(operand, ignore_case),
        None => Err(operand.refuse(format!("unknown operator `{operator}`"), one_of(&TESTS.map(|(word, _)| word)))),
    }
}

fn truth(operand: &Node, test: Test) -> Read<Test> {
    if matches!(operand.value, NodeValue::Bool(true)) { Ok(test) } else { Err(operand.expected("true")) }
}

fn order(operand: &Node, order: Order) -> Read<Test> {
    match operand.value {
        NodeValue::Number(_) | NodeValue::Text(_) => Ok(Test::Order(order, operand.to_json())),
        _ => Err(operand.expected("a number or a string")),
    }
}

fn items(operand: &Node) -> Read<Vec<Json>> {
    Ok(operand.filled_list("a non-empty list")?.iter().map(Node::to_json).collect())
}

/// The registered name of custom code.
pub(crate) fn name_of_custom(node: &Node) -> Read<Text> {
    let name = node.text("a registered name")?;
    if name.is_empty() { Err(node.expected("a registered name")) } else { Ok(name.clone()) }
}

/// Rejects duplicate keys anywhere in an operand.
pub(crate) fn unique_keys(node: &Node) -> Read<()> {
    match &node.value {
        NodeValue::Map(_) => Fields::of(node, "a map")?
            .entries()
            .try_for_each(|entry| unique_keys(&entry.value).map_err(|error| error.within(&entry.key))),
        NodeValue::List(items) => Node::each(items, unique_keys).map(drop),
        _ => Ok(()),
    }
}
