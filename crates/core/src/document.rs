//! Documents as the engine sees them: the value at a path.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::{Json, Map};
use crate::number::Number;
use crate::path::Path;

/// An incoming document, read in place: parsed JSON, a dict of another language, or a row.
pub trait Document: Sync {
    /// The value at `path`, or `None` if there is none.
    ///
    /// A segment selects a key of a map or, if it is an integer, an item of a list (negative ones count from the end). Other
    /// values have nothing inside. A `null` is a value.
    fn value_at(&self, path: &Path) -> Option<Value<'_>>;

    /// The whole document as JSON, for custom conditions that need all of it.
    fn to_json(&self) -> Cow<'_, Json>;

    /// The document itself, for custom conditions that know its type.
    fn as_any(&self) -> &dyn Any;
}

/// A value in a document.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the kinds of JSON")]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Cow<'a, [Json]>),
    Map(Cow<'a, Map>),
}

impl<'a> From<&'a Json> for Value<'a> {
    #[inline]
    fn from(value: &'a Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Number(number.clone()),
            Json::Text(text) => Self::Text(Cow::Borrowed(text)),
            Json::List(items) => Self::List(Cow::Borrowed(items)),
            Json::Map(map) => Self::Map(Cow::Borrowed(map)),
        }
    }
}

impl Value<'_> {
    /// Deep equality: numbers by value, other types strictly.
    #[inline]
    pub fn equals(&self, other: &Json) -> bool {
        match (self, other) {
            (Self::Null, Json::Null) => true,
            (Self::Bool(a), Json::Bool(b)) => a == b,
            (Self::Number(a), Json::Number(b)) => a == b,
            (Self::Text(a), Json::Text(b)) => a.as_ref() == b.as_str(),
            (Self::List(a), Json::List(b)) => a.as_ref() == b.as_slice(),
            (Self::Map(a), Json::Map(b)) => a.as_ref() == b,
            (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Map(_), _) => false,
        }
    }

    /// Orders two numbers by value, or two strings by code point. Other values have no order.
    #[inline]
    pub fn compare(&self, other: &Json) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Json::Number(b)) => a.compare(b),
            // Byte order of UTF-8 is the order of code points.
            (Self::Text(a), Json::Text(b)) => Some(a.as_ref().cmp(b.as_str())),
            _ => None,
        }
    }

    /// Deep equality with another value of a document.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Map(_), _) => false,
        }
    }

    /// The order relative to another value of a document, as in [`compare`](Self::compare).
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.compare(b),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// An owned copy of the value.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(number) => Json::Number(number.clone()),
            Self::Text(text) => Json::Text(text.as_ref().into()),
            Self::List(items) => Json::List(items.to_vec()),
            Self::Map(map) => Json::Map(map.clone().into_owned()),
        }
    }
}

impl Document for Json {
    #[inline]
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        self.within(path.segments()).map(Value::from)
    }

    fn to_json(&self) -> Cow<'_, Json> {
        Cow::Borrowed(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Document for serde_json::Value {
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        let mut value = self;
        for segment in path.segments() {
            value = match value {
                Self::Object(map) => map.get(segment.key())?,
                Self::Array(items) => &items[segment.position(items.len())?],
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => return None,
            };
        }
        Some(match value {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.into()),
            Self::String(text) => Value::Text(Cow::Borrowed(text)),
            Self::Array(items) => Value::List(items.iter().map(Json::from).collect()),
            Self::Object(_) => match Json::from(value) {
                Json::Map(map) => Value::Map(Cow::Owned(map)),
                other => unreachable!("an object became {}", other.kind()),
            },
        })
    }

    fn to_json(&self) -> Cow<'_, Json> {
        Cow::Owned(self.into())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_walk_maps_and_lists() {
        let text = r#"{"a":{"b":[10,{"c":null}]},"x.y":1,"0":"zero"}"#;
        let exact = Json::parse(text.as_bytes()).unwrap();
        let serde: serde_json::Value = serde_json::from_str(text).unwrap();
        let documents: [&dyn Document; 2] = [&exact, &serde];
        for document in documents {
            let at =
                |path: &str| document.value_at(&Path::parse(path).unwrap()).map(|value| value.to_json().to_string());
            assert_eq!(at("a.b.0").as_deref(), Some("10"));
            assert_eq!(at("a..b.-1.c").as_deref(), Some("null"));
            assert_eq!(at(r"x\.y").as_deref(), Some("1"));
            assert_eq!(at("0").as_deref(), Some(r#""zero""#));
            assert_eq!(at("a.b").as_deref(), Some(r#"[10,{"c":null}]"#));
            for nowhere in ["a.b.2", "a.b.c", "a.b.0.x", "A", "x.y", "a.b.-3"] {
                assert_eq!(at(nowhere), None, "{nowhere}");
            }
        }
    }
}
