//! A parsed definition source: values with their positions, for any file format.

use crate::json::{Bounds, Builder, Json, MAX_DEPTH, Map, SyntaxError, Text, parse_with};
use crate::number::Number;

#[cfg(feature = "serde")]
mod deserialize;

/// The maximum size of a definition source in bytes.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024 * 1024;

/// A value, and the byte offset in its source where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    /// The byte offset where it starts, if it has a source.
    pub at: Option<usize>,
    /// The value.
    pub value: NodeValue,
}

/// The value of a [`Node`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the kinds of JSON")]
pub enum NodeValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a map. A key may appear twice, which the reader reports.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The byte offset of the key.
    pub at: Option<usize>,
    /// The key.
    pub key: Text,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// Reads JSON with positions.
    ///
    /// # Errors
    /// A [`SyntaxError`] if the text is not JSON, is too long or is nested too deeply.
    pub fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        let bounds = Bounds { bytes: MAX_SOURCE_BYTES, depth: MAX_DEPTH, lone_surrogates: false };
        parse_with(&mut Spanned { text }, text, bounds)
    }

    /// The value without positions. Of duplicate keys, the last one counts.
    pub fn to_json(&self) -> Json {
        match &self.value {
            NodeValue::Null => Json::Null,
            NodeValue::Bool(value) => Json::Bool(*value),
            NodeValue::Number(number) => Json::Number(number.clone()),
            NodeValue::Text(text) => Json::Text(text.clone()),
            NodeValue::List(items) => Json::List(items.iter().map(Self::to_json).collect()),
            NodeValue::Map(entries) => {
                Json::Map(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map>())
            }
        }
    }
}

impl From<&Json> for Node {
    fn from(value: &Json) -> Self {
        let value = match value {
            Json::Null => NodeValue::Null,
            Json::Bool(value) => NodeValue::Bool(*value),
            Json::Number(number) => NodeValue::Number(number.clone()),
            Json::Text(text) => NodeValue::Text(text.clone()),
            Json::List(items) => NodeValue::List(items.iter().map(Self::from).collect()),
            Json::Map(map) => NodeValue::Map(
                map.iter().map(|(key, value)| Entry { at: None, key: key.into(), value: value.into() }).collect(),
            ),
        };
        Self { at: None, value }
    }
}

struct Spanned<'t> {
    text: &'t [u8],
}

impl Spanned<'_> {
    fn node(at: usize, value: NodeValue) -> Node {
        Node { at: Some(at), value }
    }
}

impl Builder for Spanned<'_> {
    type Value = Node;
    type Map = Vec<Entry>;

    fn null(&mut self, at: usize) -> Node {
        Self::node(at, NodeValue::Null)
    }
    fn boolean(&mut self, at: usize, value: bool) -> Node {
        Self::node(at, NodeValue::Bool(value))
    }
    fn number(&mut self, at: usize, value: Number) -> Node {
        Self::node(at, NodeValue::Number(value))
    }
    fn text(&mut self, at: usize, value: &str) -> Node {
        Self::node(at, NodeValue::Text(value.into()))
    }
    fn list(&mut self, at: usize, items: Vec<Node>) -> Node {
        Self::node(at, NodeValue::List(items))
    }
    fn entry(&mut self, map: &mut Vec<Entry>, before: usize, key: Text, value: Node) {
        let quote = self.text.get(before..).and_then(|rest| memchr::memchr(b'"', rest));
        map.push(Entry { at: quote.map(|quote| before + quote), key, value });
    }
    fn map(&mut self, at: usize, map: Vec<Entry>) -> Node {
        Self::node(at, NodeValue::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_an_entry_is_that_of_its_key() {
        let text = br#" { "a" : 1 , "b":{"c":[2,{"d" :3}]} }"#;
        let node = Node::parse(text).unwrap();
        let NodeValue::Map(entries) = &node.value else { panic!("a map") };
        for entry in entries {
            let at = entry.at.unwrap();
            assert!(text[at..].starts_with(format!("\"{}\"", entry.key).as_bytes()), "{} at {at}", entry.key);
        }
    }
}
