//! Values of programs as JSON: a serde serializer whose output is a [`Json`].

use std::fmt;

use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{Json, MAX_BYTES, MAX_DEPTH, Map, Text};
use crate::number::Number;
use crate::text::plain;

/// What serde_json names the structs that hold the text of a number and of a JSON value.
const NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Why a value of a program is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct UnsupportedValue {
    /// Where it is: `items[2].price`; empty for the value itself.
    pub place: String,
    /// What is wrong there, in lower case.
    pub problem: String,
}

impl fmt::Display for UnsupportedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.place {
            "" => f.write_str(&self.problem),
            place => write!(f, "{}: {}", plain(place), self.problem),
        }
    }
}

impl UnsupportedValue {
    fn new(problem: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into() }
    }

    /// The same error with `key` in front of its place.
    fn within(mut self, key: &str) -> Self {
        let separator = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{key}{separator}{}", self.place);
        self
    }

    fn at(self, position: usize) -> Self {
        self.within(&format!("[{position}]"))
    }
}

impl ser::Error for UnsupportedValue {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl Json {
    /// The JSON of a value of your program, without writing and reading text: what serde_json prints for it, except that
    /// numbers are exact and NaN and infinities stay what they are. `None` is null, so a key whose value is `None` exists;
    /// leave it out with `#[serde(skip_serializing_if = "Option::is_none")]`.
    ///
    /// ```
    /// use dictrack_core::json::Json;
    /// #[derive(serde::Serialize)]
    /// struct Order<'a> {
    ///     event: &'a str,
    ///     amount: f64,
    /// }
    /// let order = Json::from_serialize(&Order { event: "order", amount: 19.9 })?;
    /// assert_eq!(order.to_string(), r#"{"event":"order","amount":19.9}"#);
    /// # Ok::<(), dictrack_core::json::UnsupportedValue>(())
    /// ```
    ///
    /// # Errors
    /// An [`UnsupportedValue`] that names the place: the key of a map is not a string, the value is larger than a document may
    /// be ([`MAX_BYTES`], [`MAX_DEPTH`]), or a `Serialize` implementation failed.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, UnsupportedValue> {
        let mut left = MAX_BYTES;
        value.serialize(Serializer { left: &mut left, depth: 0 })
    }
}

/// Makes one value.
struct Serializer<'l> {
    /// How much more the JSON may have: of each value at least one byte, and the bytes of strings.
    left: &'l mut usize,
    depth: usize,
}

type Made<T = Json> = Result<T, UnsupportedValue>;

impl<'l> Serializer<'l> {
    fn spend(&mut self, bytes: usize) -> Made<()> {
        let problem = || UnsupportedValue::new(format!("the value is longer than {MAX_BYTES} bytes as JSON"));
        *self.left = self.left.checked_sub(bytes.max(1)).ok_or_else(problem)?;
        Ok(())
    }

    fn plain(mut self, json: Json) -> Made {
        self.spend(1)?;
        Ok(json)
    }

    fn text(mut self, text: impl Into<Text>) -> Made {
        let text = text.into();
        self.spend(text.len())?;
        Ok(Json::Text(text))
    }

    /// The parts of a list or map.
    fn parts<P: Default>(mut self, variant: Option<&'static str>) -> Made<Parts<'l, P>> {
        self.spend(1)?;
        if self.depth + usize::from(variant.is_some()) >= MAX_DEPTH {
            return Err(UnsupportedValue::new(format!("the value is nested deeper than {MAX_DEPTH} levels")));
        }
        let depth = self.depth + 1 + usize::from(variant.is_some());
        Ok(Parts { parts: P::default(), left: self.left, depth, variant })
    }
}

/// `{"Variant": value}`
fn tagged(variant: Option<&'static str>, json: Json) -> Json {
    match variant {
        Some(variant) => super::object([(variant, json)]),
        None => json,
    }
}

/// A list or map in the making.
struct Parts<'l, P> {
    parts: P,
    left: &'l mut usize,
    depth: usize,
    /// The variant of an enum that has these parts.
    variant: Option<&'static str>,
}

impl<P> Parts<'_, P> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Made {
        value.serialize(Serializer { left: self.left, depth: self.depth })
    }
}

impl Parts<'_, Vec<Json>> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Made<()> {
        let item = self.value(value).map_err(|error| error.at(self.parts.len()))?;
        self.parts.push(item);
        Ok(())
    }

    fn list(self) -> Json {
        tagged(self.variant, Json::List(self.parts))
    }
}

/// A map in the making, and the key whose value comes next.
#[derive(Default)]
struct Entries {
    map: Map,
    key: Text,
    /// Whether the value is text that serde_json wrote: of a number, or of any value.
    text_of: Option<&'static str>,
}

impl Parts<'_, Entries> {
    fn entry<T: Serialize + ?Sized>(&mut self, key: Text, value: &T) -> Made<()> {
        *self.left = self.left.saturating_sub(key.len());
        let value = self.value(value).map_err(|error| error.within(&key))?;
        self.parts.map.insert(key, value);
        Ok(())
    }

    fn map(self) -> Made {
        let Entries { map, text_of, .. } = self.parts;
        let text = text_of.and_then(|name| map.get(name)?.as_str());
        Ok(match (text, text_of) {
            (Some(text), Some(NUMBER)) => Number::parse(text)
                .map(Json::Number)
                .ok_or_else(|| UnsupportedValue::new("a number is not valid JSON"))?,
            (Some(text), _) => Json::parse(text.as_bytes()).map_err(ser::Error::custom)?,
            (None, _) => tagged(self.variant, Json::Map(map)),
        })
    }
}

impl<'l> ser::Serializer for Serializer<'l> {
    type Ok = Json;
    type Error = UnsupportedValue;
    type SerializeSeq = Parts<'l, Vec<Json>>;
    type SerializeTuple = Parts<'l, Vec<Json>>;
    type SerializeTupleStruct = Parts<'l, Vec<Json>>;
    type SerializeTupleVariant = Parts<'l, Vec<Json>>;
    type SerializeMap = Parts<'l, Entries>;
    type SerializeStruct = Parts<'l, Entries>;
    type SerializeStructVariant = Parts<'l, Entries>;

    fn serialize_bool(self, value: bool) -> Made {
        self.plain(Json::Bool(value))
    }
    fn serialize_i8(self, value: i8) -> Made {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Made {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Made {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Made {
        self.plain(value.into())
    }
    fn serialize_i128(self, value: i128) -> Made {
        self.plain(Json::Number(value.into()))
    }
    fn serialize_u8(self, value: u8) -> Made {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Made {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Made {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Made {
        self.plain(value.into())
    }
    fn serialize_u128(self, value: u128) -> Made {
        self.plain(Json::Number(value.into()))
    }
    fn serialize_f32(self, value: f32) -> Made {
        self.plain(Json::Number(value.into()))
    }
    fn serialize_f64(self, value: f64) -> Made {
        self.plain(value.into())
    }
    fn serialize_char(self, value: char) -> Made {
        self.text(&*value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Made {
        self.text(value)
    }
    fn serialize_bytes(self, value: &[u8]) -> Made {
        value.serialize(self)
    }
    fn serialize_none(self) -> Made {
        self.plain(Json::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Made {
        self.plain(Json::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Made {
        self.plain(Json::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made {
        self.text(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Made {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Made {
        let mut parts = self.parts::<Entries>(None)?;
        parts.entry(variant.into(), value)?;
        parts.map()
    }
    fn serialize_seq(self, _: Option<usize>) -> Made<Self::SerializeSeq> {
        self.parts(None)
    }
    fn serialize_tuple(self, _: usize) -> Made<Self::SerializeTuple> {
        self.parts(None)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Made<Self::SerializeTupleStruct> {
        self.parts(None)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Made<Self::SerializeTupleVariant> {
        self.parts(Some(variant))
    }
    fn serialize_map(self, _: Option<usize>) -> Made<Self::SerializeMap> {
        self.parts(None)
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Made<Self::SerializeStruct> {
        let mut parts = self.parts::<Entries>(None)?;
        parts.parts.text_of = [NUMBER, RAW_VALUE].into_iter().find(|known| *known == name);
        Ok(parts)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Made<Self::SerializeStructVariant> {
        self.parts(Some(variant))
    }
}

/// Writes the methods of a list, which have many names.
macro_rules! list {
    ($($trait:ident::$item:ident)*) => {
        $(impl $trait for Parts<'_, Vec<Json>> {
            type Ok = Json;
            type Error = UnsupportedValue;

            fn $item<T: Serialize + ?Sized>(&mut self, value: &T) -> Made<()> {
                self.item(value)
            }
            fn end(self) -> Made {
                Ok(self.list())
            }
        })*
    };
}

list! {
    SerializeSeq::serialize_element
    SerializeTuple::serialize_element
    SerializeTupleStruct::serialize_field
    SerializeTupleVariant::serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl $trait for Parts<'_, Entries> {
            type Ok = Json;
            type Error = UnsupportedValue;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Made<()> {
                self.entry(key.into(), value)
            }
            fn end(self) -> Made {
                self.map()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Parts<'_, Entries> {
    type Ok = Json;
    type Error = UnsupportedValue;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Made<()> {
        self.parts.key = key.serialize(Key)?;
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Made<()> {
        let key = std::mem::take(&mut self.parts.key);
        self.entry(key, value)
    }
    fn end(self) -> Made {
        self.map()
    }
}

/// Makes the key of a map, which is a string.
struct Key;

macro_rules! no_key {
    ($($method:ident($($argument:ty),*) is $found:literal;)*) => {
        $(fn $method(self $(, _: $argument)*) -> Made<Text> {
            Err(no_key($found))
        })*
    };
}

fn no_key(found: &str) -> UnsupportedValue {
    UnsupportedValue::new(format!("a map has a key that is {found}; expected a string"))
}

impl ser::Serializer for Key {
    type Ok = Text;
    type Error = UnsupportedValue;
    type SerializeSeq = Impossible<Text, UnsupportedValue>;
    type SerializeTuple = Impossible<Text, UnsupportedValue>;
    type SerializeTupleStruct = Impossible<Text, UnsupportedValue>;
    type SerializeTupleVariant = Impossible<Text, UnsupportedValue>;
    type SerializeMap = Impossible<Text, UnsupportedValue>;
    type SerializeStruct = Impossible<Text, UnsupportedValue>;
    type SerializeStructVariant = Impossible<Text, UnsupportedValue>;

    fn serialize_str(self, value: &str) -> Made<Text> {
        Ok(value.into())
    }
    fn serialize_char(self, value: char) -> Made<Text> {
        Ok((&*value.encode_utf8(&mut [0; 4])).into())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made<Text> {
        Ok(variant.into())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Made<Text> {
        value.serialize(self)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made<Text> {
        value.serialize(self)
    }

    no_key! {
        serialize_bool(bool) is "a boolean";
        serialize_i8(i8) is "a number";
        serialize_i16(i16) is "a number";
        serialize_i32(i32) is "a number";
        serialize_i64(i64) is "a number";
        serialize_i128(i128) is "a number";
        serialize_u8(u8) is "a number";
        serialize_u16(u16) is "a number";
        serialize_u32(u32) is "a number";
        serialize_u64(u64) is "a number";
        serialize_u128(u128) is "a number";
        serialize_f32(f32) is "a number";
        serialize_f64(f64) is "a number";
        serialize_bytes(&[u8]) is "bytes";
        serialize_none() is "null";
        serialize_unit() is "null";
        serialize_unit_struct(&'static str) is "null";
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Made<Text> {
        Err(no_key("a map"))
    }
    fn serialize_seq(self, _: Option<usize>) -> Made<Self::SerializeSeq> {
        Err(no_key("a list"))
    }
    fn serialize_tuple(self, _: usize) -> Made<Self::SerializeTuple> {
        Err(no_key("a list"))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Made<Self::SerializeTupleStruct> {
        Err(no_key("a list"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Made<Self::SerializeTupleVariant> {
        Err(no_key("a map"))
    }
    fn serialize_map(self, _: Option<usize>) -> Made<Self::SerializeMap> {
        Err(no_key("a map"))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Made<Self::SerializeStruct> {
        Err(no_key("a map"))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Made<Self::SerializeStructVariant> {
        Err(no_key("a map"))
    }
}
