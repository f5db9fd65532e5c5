//! Serializes [`Json`] with serde.

use std::str::FromStr as _;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Json, Map, Text};
use crate::number::Number;

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::List(items) => items.serialize(serializer),
            Self::Map(map) => map.serialize(serializer),
        }
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            out.serialize_entry(key, value)?;
        }
        out.end()
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl Serialize for Number {
    /// Whole numbers of 64 bits and numbers that are exactly the decimal of a float are written as such. What fits into
    /// neither is the nearest float, unless the program has the feature `arbitrary_precision` of serde_json, which keeps
    /// all digits. NaN and infinities, which JSON does not have, are null.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Exact(amount) = self
            && let Some(whole) = amount.to_integer()
        {
            if let Ok(whole) = i64::try_from(whole) {
                return serializer.serialize_i64(whole);
            }
            if let Ok(whole) = u64::try_from(whole) {
                return serializer.serialize_u64(whole);
            }
        }
        if let Self::Infinite(_) | Self::NotANumber = self {
            return serializer.serialize_unit();
        }
        let text = self.to_string();
        let float = text.parse().unwrap_or(f64::INFINITY);
        if float.is_infinite() || Self::from(float) != *self {
            // Only with that feature does it keep the text.
            if let Ok(number) = serde_json::Number::from_str(&text)
                && number.to_string() == text
            {
                return number.serialize(serializer);
            }
        }
        if float.is_infinite() {
            return serializer.serialize_unit();
        }
        serializer.serialize_f64(float)
    }
}
