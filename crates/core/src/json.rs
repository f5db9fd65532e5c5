//! JSON values with exact numbers: documents, operands and custom parameters.

use std::fmt::{self, Write as _};
use std::hash::BuildHasher as _;
use std::sync::LazyLock;

use hashbrown::HashTable;

use crate::number::Number;
use crate::path::Segment;

#[cfg(feature = "serde")]
mod of;
mod parse;
mod projection;
#[cfg(feature = "serde")]
mod serialize;
mod text;

#[cfg(feature = "serde")]
pub use of::UnsupportedValue;
pub use parse::{Bounds, Builder, MAX_BYTES, MAX_DEPTH, Position, SyntaxError, parse_with};
pub use projection::{Projected, Projection, Projector};
pub use text::Text;

/// A JSON value whose numbers are exact.
///
/// Equality is deep. Numbers compare by value, maps in any order, and NaN equals nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Text),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(Map),
}

impl Json {
    /// Reads a document: JSON of up to [`MAX_BYTES`] bytes and [`MAX_DEPTH`] levels.
    ///
    /// A string with a lone surrogate, `"\ud800"`, is JSON but not Unicode. It exists but equals nothing, like NaN. An entry
    /// with such a key is left out.
    ///
    /// # Errors
    /// A [`SyntaxError`] with the position of the error, or the limit that was exceeded.
    pub fn parse(text: &[u8]) -> Result<Self, SyntaxError> {
        Self::parse_within(text, Bounds::DOCUMENT)
    }

    /// Reads JSON within `bounds`.
    ///
    /// # Errors
    /// A [`SyntaxError`] with the position of the error, or the limit that was exceeded.
    pub fn parse_within(text: &[u8], bounds: Bounds) -> Result<Self, SyntaxError> {
        parse_with(&mut Plain, text, bounds)
    }

    /// The same value with the entries of its maps sorted by key, so that equal values print the same.
    pub(crate) fn sorted(self) -> Self {
        match self {
            Self::List(items) => Self::List(items.into_iter().map(Self::sorted).collect()),
            Self::Map(map) => {
                let mut entries = map.entries;
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.sorted())).collect())
            }
            other => other,
        }
    }

    /// The value at the end of these segments.
    #[inline]
    pub(crate) fn within(&self, segments: &[Segment]) -> Option<&Self> {
        let mut value = self;
        for segment in segments {
            value = match value {
                Self::Map(map) => map.at(segment)?,
                Self::List(items) => &items[segment.position(items.len())?],
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => return None,
            };
        }
        Some(value)
    }

    /// The number, if this is one.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The kind of value, as named in error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Builds a plain [`Json`].
struct Plain;

impl Builder for Plain {
    type Value = Json;
    type Map = Map;

    fn null(&mut self, _: usize) -> Json {
        Json::Null
    }
    fn boolean(&mut self, _: usize, value: bool) -> Json {
        Json::Bool(value)
    }
    fn number(&mut self, _: usize, value: Number) -> Json {
        Json::Number(value)
    }
    fn text(&mut self, _: usize, value: &str) -> Json {
        Json::Text(value.into())
    }
    fn list(&mut self, _: usize, items: Vec<Json>) -> Json {
        Json::List(items)
    }
    fn entry(&mut self, map: &mut Map, _: usize, key: Text, value: Json) {
        map.insert(key, value);
    }
    fn map(&mut self, _: usize, map: Map) -> Json {
        Json::Map(map)
    }
}

/// Maps with more entries than this are indexed by hash. For smaller ones, comparing all keys is faster.
const INDEXED_ABOVE: usize = 8;

/// The map of a [`Json`] value, with unique keys in insertion order.
#[derive(Clone, Default)]
pub struct Map {
    entries: Vec<(Text, Json)>,
    index: Option<Box<HashTable<u32>>>,
}

/// Hashes a map key. The seed differs in each process, so that nobody can prepare colliding keys.
#[inline]
pub(crate) fn key_hash(key: &str) -> u64 {
    static SEED: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);
    SEED.hash_one(key)
}

/// Whether two strings are equal. Most keys are short, and comparing those here is faster than calling a general comparison.
#[inline]
pub(crate) fn same(a: &str, b: &str) -> bool {
    same_bytes(a.as_bytes(), b.as_bytes())
}

#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    /// The first and the last `N` bytes, which overlap if there are fewer than 2 `N`.
    fn ends<const N: usize>(key: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        key.first_chunk().zip(key.last_chunk())
    }
    a.len() == b.len()
        && match a.len() {
            0..2 => a.first() == b.first(),
            2..4 => ends::<2>(a) == ends(b),
            4..8 => ends::<4>(a) == ends(b),
            8..16 => ends::<8>(a) == ends(b),
            _ => a == b,
        }
}

impl Map {
    /// A map without entries.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), index: None }
    }

    /// A map without entries, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity), index: None }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Sets `key`, replacing any previous value.
    pub fn insert(&mut self, key: Text, value: Json) {
        if self.index.is_none() && self.entries.len() < INDEXED_ABOVE {
            match self.entries.iter_mut().find(|(present, _)| *present == key) {
                Some((_, present)) => *present = value,
                None => self.entries.push((key, value)),
            }
            return;
        }
        let Self { entries, index } = self;
        let index = index.get_or_insert_with(|| {
            let mut table = HashTable::with_capacity(entries.len() * 2);
            for (at, (key, _)) in entries.iter().enumerate() {
                table.insert_unique(key_hash(key), at as u32, |&at| key_hash(&entries[at as usize].0));
            }
            Box::new(table)
        });
        let hash = key_hash(&key);
        if let Some(&at) = index.find(hash, |&at| entries[at as usize].0 == key) {
            entries[at as usize].1 = value;
            return;
        }
        entries.push((key, value));
        index.insert_unique(hash, (entries.len() - 1) as u32, |&at| key_hash(&entries[at as usize].0));
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.position(key, || key_hash(key)).map(|at| &self.entries[at].1)
    }

    /// The value at the key of a path segment. Looks first where the previous document had it, since most documents have the
    /// same shape.
    #[inline]
    pub(crate) fn at(&self, segment: &Segment) -> Option<&Json> {
        match self.entries.get(segment.hint()) {
            Some((key, value)) if same(key, segment.key()) => Some(value),
            _ => {
                let at = self.position(segment.key(), || segment.hash())?;
                segment.set_hint(at);
                Some(&self.entries[at].1)
            }
        }
    }

    fn position(&self, key: &str, hash: impl FnOnce() -> u64) -> Option<usize> {
        match &self.index {
            Some(index) => index.find(hash(), |&at| self.entries[at as usize].0 == key).map(|&at| at as usize),
            None => self.entries.iter().position(|(present, _)| present == key),
        }
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(key, value)| other.get(key).is_some_and(|theirs| theirs == value))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(Text, Json)> for Map {
    fn from_iter<I: IntoIterator<Item = (Text, Json)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl fmt::Display for Json {
    /// Compact JSON. NaN and infinities, which JSON does not have, print as `null`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(Number::NotANumber | Number::Infinite(_)) => f.write_str("null"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write_text(f, text),
            Self::List(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_char(']')
            }
            Self::Map(map) => {
                f.write_char('{')?;
                for (at, (key, value)) in map.iter().enumerate() {
                    if at > 0 {
                        f.write_char(',')?;
                    }
                    write_text(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A map of these entries.
pub(crate) fn object(entries: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect::<Map>().into()
}

/// Writes `text` as a JSON string.
pub fn write_text(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.write_str(&text[plain..at])?;
        plain = at + 1;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            control => write!(out, "\\u{control:04x}")?,
        }
    }
    out.write_str(&text[plain..])?;
    out.write_char('"')
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => Self::Number(number.into()),
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Map(map.iter().map(|(key, value)| (key.into(), value.into())).collect())
            }
        }
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self::from(&value)
    }
}

impl From<&serde_json::Number> for Number {
    fn from(number: &serde_json::Number) -> Self {
        if let Some(whole) = number.as_i64() {
            return Self::from(whole);
        }
        if let Some(whole) = number.as_u64() {
            return Self::from(whole);
        }
        number.as_f64().map_or(Self::NotANumber, Self::from)
    }
}

macro_rules! json_from {
    ($($from:ty => |$value:ident| $json:expr;)*) => {
        $(impl From<$from> for Json {
            fn from($value: $from) -> Self {
                $json
            }
        })*
    };
}

json_from! {
    bool => |value| Self::Bool(value);
    i32 => |value| Self::Number(Number::from(i64::from(value)));
    i64 => |value| Self::Number(value.into());
    u64 => |value| Self::Number(value.into());
    f64 => |value| Self::Number(value.into());
    Number => |value| Self::Number(value);
    &str => |value| Self::Text(value.into());
    String => |value| Self::Text(value.into());
    Map => |value| Self::Map(value);
    Vec<Self> => |value| Self::List(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_if_all_bytes_are() {
        for len in 0..40 {
            let key = "k".repeat(len);
            assert!(same(&key, &key.clone()));
            assert!(!same(&key, &format!("{key}k")));
            for at in 0..len {
                let mut other = key.clone();
                other.replace_range(at..=at, "x");
                assert!(!same(&key, &other), "{key} {other}");
            }
        }
    }

    #[test]
    fn the_last_of_duplicate_keys_counts() {
        let small = Json::parse(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert_eq!(small.to_string(), r#"{"a":3,"b":2}"#);
        let mut text = String::from("{");
        for at in 0..40 {
            write!(text, "\"k{}\": {at},", at % 20).unwrap();
        }
        text.push_str("\"end\": 0}");
        let large = Json::parse(text.as_bytes()).unwrap();
        let map = large.as_map().unwrap();
        assert_eq!(map.len(), 21);
        assert_eq!(map.get("k3"), Some(&Json::from(23_i64)));
        assert_eq!(map.get("nothing"), None);
    }

    #[test]
    fn text_survives_a_round_trip() {
        let text = r#"{"a\"\\\n\u0001":["é\t",null,true,-1.5e-30,{}],"":[]}"#;
        let value = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(Json::parse(value.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn maps_are_equal_in_any_order() {
        let a = Json::parse(br#"{"a":[1,{"b":2.0}],"c":null}"#).unwrap();
        let b = Json::parse(br#"{"c":null,"a":[1.0,{"b":2}]}"#).unwrap();
        assert_eq!(a, b);
        assert_ne!(a, Json::parse(br#"{"c":null,"d":0}"#).unwrap());
    }
}
