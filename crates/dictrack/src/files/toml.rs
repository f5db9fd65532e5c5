//! TOML. Null is written `{null = true}`.

use dictrack_core::number::Number;
use dictrack_core::source::{Entry, Node, NodeValue};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;

pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let table = DeTable::parse(text)
        .map_err(|error| Fault { problem: error.message().to_owned(), at: error.span().map(|span| span.start) })?;
    map(text, table.get_ref(), 0)
}

fn map(text: &str, table: &DeTable<'_>, at: usize) -> Result<Node, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let at = Some(key.span().start);
        entries.push(Entry { at, key: key.get_ref().as_ref().into(), value: node(text, value)? });
    }
    let value = match entries.as_slice() {
        [Entry { key, value: Node { value: NodeValue::Bool(true), .. }, .. }] if key == "null" => NodeValue::Null,
        _ => NodeValue::Map(entries),
    };
    Ok(Node { at: Some(at), value })
}

fn node(source: &str, value: &Spanned<DeValue<'_>>) -> Result<Node, Fault> {
    let at = value.span().start;
    let value = match value.get_ref() {
        DeValue::String(text) => NodeValue::Text(text.as_ref().into()),
        DeValue::Boolean(value) => NodeValue::Bool(*value),
        // As written: with a fraction of zero it means that exact time, not the whole second.
        DeValue::Datetime(moment) => {
            NodeValue::Text(source.get(value.span()).map_or_else(|| moment.to_string().into(), Into::into))
        }
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            let text = match number.radix() {
                10 => digits.trim_start_matches('+').to_owned(),
                radix => {
                    i128::from_str_radix(&digits, radix).map_err(|error| Fault::new(error.to_string(), at))?.to_string()
                }
            };
            NodeValue::Number(Number::parse(&text).ok_or_else(|| Fault::new("not a number", at))?)
        }
        DeValue::Float(number) => {
            let text = number.as_str().replace('_', "");
            let number = Number::parse(text.trim_start_matches('+'));
            NodeValue::Number(number.ok_or_else(|| Fault::new("NaN or infinity; expected a finite number", at))?)
        }
        DeValue::Array(items) => {
            NodeValue::List(items.iter().map(|item| node(source, item)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return map(source, table, at),
    };
    Ok(Node { at: Some(at), value })
}
