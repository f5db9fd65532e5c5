//! One column of a table: what its cells mean as values of a document.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray, UnionArray,
};
use arrow_buffer::{NullBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, Field, TimeUnit};
use dictrack_core::document::Value;
use dictrack_core::json::{Json, Map, Text};
use dictrack_core::number::Number;
use dictrack_core::path::Segment;
use dictrack_core::{Amount, Timestamp};

/// How many digits after the decimal point an amount has.
const FRACTION_DIGITS: i32 = 18;
const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;

/// A column, or a part of one: the fields of a struct and the items of a list are columns, too.
#[derive(Debug)]
pub(super) struct Column {
    nulls: Option<NullBuffer>,
    cells: Cells,
}

/// The cells, by what they mean.
#[derive(Debug)]
enum Cells {
    /// Types that JSON does not have. Their values exist but equal nothing.
    Opaque,
    Bool(BooleanArray),
    /// Whole numbers that are true if they are not 0.
    Bool8(ScalarBuffer<i8>),
    Int8(ScalarBuffer<i8>),
    Int16(ScalarBuffer<i16>),
    Int32(ScalarBuffer<i32>),
    Int64(ScalarBuffer<i64>),
    UInt8(ScalarBuffer<u8>),
    UInt16(ScalarBuffer<u16>),
    UInt32(ScalarBuffer<u32>),
    UInt64(ScalarBuffer<u64>),
    /// Halves as their text, since the shortest decimal of a half is not that of a wider float.
    Float16(ScalarBuffer<half::f16>),
    Float32(ScalarBuffer<f32>),
    Float64(ScalarBuffer<f64>),
    Decimal(ScalarBuffer<i128>, i32),
    Decimal256(ScalarBuffer<i256>, i32),
    /// Moments and lengths of time, in microseconds.
    Times(Times),
    Text(BinaryArray),
    LargeText(LargeBinaryArray),
    TextView(BinaryViewArray),
    Uuid(FixedSizeBinaryArray),
    Dictionary(Keys, Box<Column>),
    List(Ranges, Box<Column>),
    Struct(Vec<(Text, Column)>),
    Map(Ranges, Box<(Column, Column)>),
    Union(UnionArray, Vec<(i8, Column)>),
}

/// Counts of a unit of time.
#[derive(Debug)]
enum Times {
    Days(ScalarBuffer<i32>),
    /// Milliseconds, of which only the day counts.
    Dates(ScalarBuffer<i64>),
    Nanos(ScalarBuffer<i64>),
    Micros(ScalarBuffer<i64>),
    Millis(ScalarBuffer<i64>),
    Seconds(ScalarBuffer<i64>),
}

/// Positions in other cells.
#[derive(Debug)]
enum Keys {
    Small(ScalarBuffer<i32>),
    Large(Vec<usize>),
}

/// Which items belong to each cell.
#[derive(Debug)]
enum Ranges {
    Small(ScalarBuffer<i32>),
    Large(ScalarBuffer<i64>),
    Fixed(usize),
    SmallViews(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LargeViews(ScalarBuffer<i64>, ScalarBuffer<i64>),
}

impl Times {
    /// The microseconds in a row, rounded down; `None` if they do not fit into 64 bits.
    #[inline]
    fn at(&self, row: usize) -> Option<i64> {
        match self {
            Self::Days(days) => i64::from(days[row]).checked_mul(MICROS_A_DAY),
            Self::Dates(millis) => millis[row].div_euclid(86_400_000).checked_mul(MICROS_A_DAY),
            Self::Nanos(nanos) => Some(nanos[row].div_euclid(1_000)),
            Self::Micros(micros) => Some(micros[row]),
            Self::Millis(millis) => millis[row].checked_mul(1_000),
            Self::Seconds(seconds) => seconds[row].checked_mul(MICROS_A_SECOND),
        }
    }

    /// The cells of an array of 64-bit counts of `unit`.
    fn of(array: &ArrayRef, unit: TimeUnit) -> Self {
        let data = array.to_data();
        let counts = ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len());
        match unit {
            TimeUnit::Second => Self::Seconds(counts),
            TimeUnit::Millisecond => Self::Millis(counts),
            TimeUnit::Microsecond => Self::Micros(counts),
            TimeUnit::Nanosecond => Self::Nanos(counts),
        }
    }
}

impl Keys {
    #[inline]
    fn at(&self, row: usize) -> usize {
        match self {
            Self::Small(keys) => keys[row] as usize,
            Self::Large(keys) => keys[row],
        }
    }
}

impl Ranges {
    fn at(&self, row: usize) -> Range<usize> {
        match self {
            Self::Small(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Self::Large(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Self::Fixed(size) => row * size..(row + 1) * size,
            Self::SmallViews(offsets, sizes) => offsets[row] as usize..(offsets[row] + sizes[row]) as usize,
            Self::LargeViews(offsets, sizes) => offsets[row] as usize..(offsets[row] + sizes[row]) as usize,
        }
    }
}

impl Column {
    /// The column of a field.
    pub(super) fn new(field: &Field, array: &ArrayRef) -> Self {
        let cells = match field.extension_type_name() {
            Some("arrow.bool8") if *array.data_type() == DataType::Int8 => {
                Some(Cells::Bool8(array.as_primitive::<Int8Type>().values().clone()))
            }
            Some("arrow.uuid") if *array.data_type() == DataType::FixedSizeBinary(16) => {
                Some(Cells::Uuid(array.as_fixed_size_binary().clone()))
            }
            _ => None,
        };
        match cells {
            Some(cells) => Self { nulls: array.nulls().cloned(), cells },
            None => Self::of(array),
        }
    }

    fn of(array: &ArrayRef) -> Self {
        macro_rules! plain {
            ($kind:ident, $type:ty) => {
                Cells::$kind(array.as_primitive::<$type>().values().clone())
            };
        }
        macro_rules! decimal {
            ($type:ty, $scale:expr) => {{
                let values = array.as_primitive::<$type>().values();
                Cells::Decimal(values.iter().map(|&value| value.into()).collect(), i32::from(*$scale))
            }};
        }
        let cells = match array.data_type() {
            DataType::Boolean => Cells::Bool(array.as_boolean().clone()),
            DataType::Int8 => plain!(Int8, Int8Type),
            DataType::Int16 => plain!(Int16, Int16Type),
            DataType::Int32 => plain!(Int32, Int32Type),
            DataType::Int64 => plain!(Int64, Int64Type),
            DataType::UInt8 => plain!(UInt8, UInt8Type),
            DataType::UInt16 => plain!(UInt16, UInt16Type),
            DataType::UInt32 => plain!(UInt32, UInt32Type),
            DataType::UInt64 => plain!(UInt64, UInt64Type),
            DataType::Float16 => plain!(Float16, Float16Type),
            DataType::Float32 => plain!(Float32, Float32Type),
            DataType::Float64 => plain!(Float64, Float64Type),
            DataType::Decimal32(_, scale) => decimal!(Decimal32Type, scale),
            DataType::Decimal64(_, scale) => decimal!(Decimal64Type, scale),
            DataType::Decimal128(_, scale) => {
                Cells::Decimal(array.as_primitive::<Decimal128Type>().values().clone(), i32::from(*scale))
            }
            DataType::Decimal256(_, scale) => {
                Cells::Decimal256(array.as_primitive::<Decimal256Type>().values().clone(), i32::from(*scale))
            }
            DataType::Date32 => Cells::Times(Times::Days(array.as_primitive::<Date32Type>().values().clone())),
            DataType::Date64 => Cells::Times(Times::Dates(array.as_primitive::<Date64Type>().values().clone())),
            DataType::Timestamp(unit, _) | DataType::Duration(unit) => Cells::Times(Times::of(array, *unit)),
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                let bytes = BinaryArray::new(text.offsets().clone(), text.values().clone(), text.nulls().cloned());
                Cells::Text(bytes)
            }
            DataType::LargeUtf8 => {
                let text = array.as_string::<i64>();
                let bytes = LargeBinaryArray::new(text.offsets().clone(), text.values().clone(), text.nulls().cloned());
                Cells::LargeText(bytes)
            }
            DataType::Utf8View => Cells::TextView(array.as_string_view().clone().to_binary_view()),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let keys = match dictionary.keys().data_type() {
                    DataType::Int32 => Keys::Small(dictionary.keys().as_primitive::<Int32Type>().values().clone()),
                    // Keys of null cells are meaningless, so the positions are clamped to those that exist.
                    _ if dictionary.values().is_empty() => Keys::Large(vec![0; array.len()]),
                    _ => Keys::Large(dictionary.normalized_keys()),
                };
                Cells::Dictionary(keys, Box::new(Self::of(dictionary.values())))
            }
            DataType::RunEndEncoded(..) => return Self::of_runs(array),
            DataType::List(field) => {
                let list = array.as_list::<i32>();
                Cells::List(Ranges::Small(list.offsets().inner().clone()), Self::boxed(field, list.values()))
            }
            DataType::LargeList(field) => {
                let list = array.as_list::<i64>();
                Cells::List(Ranges::Large(list.offsets().inner().clone()), Self::boxed(field, list.values()))
            }
            DataType::FixedSizeList(field, size) => {
                let list = array.as_fixed_size_list();
                Cells::List(Ranges::Fixed(usize::try_from(*size).unwrap_or(0)), Self::boxed(field, list.values()))
            }
            DataType::ListView(field) => {
                let list = array.as_list_view::<i32>();
                let ranges = Ranges::SmallViews(list.offsets().clone(), list.sizes().clone());
                Cells::List(ranges, Self::boxed(field, list.values()))
            }
            DataType::LargeListView(field) => {
                let list = array.as_list_view::<i64>();
                let ranges = Ranges::LargeViews(list.offsets().clone(), list.sizes().clone());
                Cells::List(ranges, Self::boxed(field, list.values()))
            }
            DataType::Struct(fields) => Cells::Struct(named(fields.iter().zip(array.as_struct().columns()))),
            DataType::Map(field, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = field.data_type() else {
                    unreachable!("the entries of a map are structs")
                };
                let both = (Self::new(&fields[0], map.keys()), Self::new(&fields[1], map.values()));
                Cells::Map(Ranges::Small(map.offsets().inner().clone()), Box::new(both))
            }
            DataType::Union(fields, _) => {
                let union = array.as_union();
                let columns = fields.iter().map(|(id, field)| (id, Self::new(field, union.child(id)))).collect();
                return Self { nulls: None, cells: Cells::Union(union.clone(), columns) };
            }
            DataType::Null => {
                return Self { nulls: Some(NullBuffer::new_null(array.len())), cells: Cells::Opaque };
            }
            // A time of day, an interval or bytes, and types that later versions of Arrow may add.
            _ => Cells::Opaque,
        };
        Self { nulls: array.nulls().cloned(), cells }
    }

    fn boxed(field: &Field, array: &ArrayRef) -> Box<Self> {
        Box::new(Self::new(field, array))
    }

    /// Runs of equal cells, as a dictionary of their values.
    fn of_runs(array: &ArrayRef) -> Self {
        macro_rules! keys {
            ($($type:ty),*) => {
                $(if let Some(runs) = array.as_any().downcast_ref::<arrow_array::RunArray<$type>>() {
                    let keys = (0..runs.len()).map(|row| runs.get_physical_index(row)).collect();
                    let cells = Cells::Dictionary(Keys::Large(keys), Box::new(Self::of(runs.values())));
                    return Self { nulls: None, cells };
                })*
            };
        }
        keys!(Int16Type, Int32Type, Int64Type);
        Self { nulls: None, cells: Cells::Opaque }
    }

    /// Reads the cells of rows far apart, all at once, so that the processor waits for memory only once and not in each row. The
    /// result is meaningless.
    pub(super) fn warm(&self, rows: impl Iterator<Item = usize>) -> usize {
        match &self.cells {
            Cells::Text(text) => rows.fold(0, |all, row| all ^ first(text.value(row))),
            Cells::LargeText(text) => rows.fold(0, |all, row| all ^ first(text.value(row))),
            Cells::TextView(text) => rows.fold(0, |all, row| all ^ first(text.value(row))),
            Cells::Dictionary(Keys::Small(keys), _) => rows.fold(0, |all, row| all ^ keys[row] as usize),
            Cells::Dictionary(Keys::Large(keys), _) => rows.fold(0, |all, row| all ^ keys[row]),
            Cells::Int64(values) => rows.fold(0, |all, row| all ^ values[row] as usize),
            Cells::Float64(values) => rows.fold(0, |all, row| all ^ values[row].to_bits() as usize),
            Cells::Decimal(values, _) => rows.fold(0, |all, row| all ^ values[row] as usize),
            _ => 0,
        }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The value in a row; `None` if it is null.
    #[inline]
    pub(super) fn value(&self, row: usize) -> Option<Value<'_>> {
        if self.is_null(row) {
            return None;
        }
        Some(match &self.cells {
            Cells::Text(text) => text_of(text.value(row)),
            Cells::LargeText(text) => text_of(text.value(row)),
            Cells::TextView(text) => text_of(text.value(row)),
            Cells::Dictionary(keys, values) => return values.value(keys.at(row)),
            Cells::Bool(values) => Value::Bool(values.value(row)),
            Cells::Bool8(values) => Value::Bool(values[row] != 0),
            Cells::Int8(values) => whole(values[row]),
            Cells::Int16(values) => whole(values[row]),
            Cells::Int32(values) => whole(values[row]),
            Cells::Int64(values) => whole(values[row]),
            Cells::UInt8(values) => whole(values[row]),
            Cells::UInt16(values) => whole(values[row]),
            Cells::UInt32(values) => whole(values[row]),
            Cells::UInt64(values) => Value::Number(values[row].into()),
            Cells::Float64(values) => Value::Number(values[row].into()),
            Cells::Float32(values) => Value::Number(float32(values[row])),
            Cells::Float16(values) => Value::Number(float16(values[row])),
            Cells::Decimal(values, scale) => Value::Number(decimal(values[row], *scale)),
            Cells::Decimal256(values, scale) => Value::Number(match values[row].to_i128() {
                Some(value) => decimal(value, *scale),
                None => parsed(&format!("{}e{}", values[row], -scale)),
            }),
            Cells::Times(micros) => Value::Number(match micros.at(row) {
                Some(micros) => Timestamp::from_micros(micros).to_number(),
                None => Number::NotANumber,
            }),
            Cells::Uuid(bytes) => Value::Text(Cow::Owned(uuid(bytes.value(row)))),
            Cells::List(ranges, items) => {
                Value::List(ranges.at(row).map(|item| items.json(item)).collect::<Vec<_>>().into())
            }
            Cells::Struct(fields) => {
                let entries =
                    fields.iter().filter_map(|(name, field)| Some((name.clone(), field.value(row)?.to_json())));
                Value::Map(Cow::Owned(entries.collect()))
            }
            Cells::Map(ranges, both) => {
                let (keys, values) = &**both;
                let entry = |at| match keys.value(at)? {
                    Value::Text(key) => Some((Text::from(key.as_ref()), values.json(at))),
                    _ => None,
                };
                let entries = ranges.at(row).filter_map(entry).collect::<Map>();
                let present = entries.iter().filter(|(_, value)| !matches!(value, Json::Null));
                Value::Map(Cow::Owned(present.map(|(key, value)| (key.into(), value.clone())).collect()))
            }
            Cells::Union(union, columns) => {
                let (_, column) = columns.iter().find(|(id, _)| *id == union.type_id(row))?;
                return column.value(union.value_offset(row));
            }
            Cells::Opaque => Value::Number(Number::NotANumber),
        })
    }

    /// The value in a row as JSON; a null if there is none.
    fn json(&self, row: usize) -> Json {
        self.value(row).map_or(Json::Null, |value| value.to_json())
    }

    /// The value that the rest of a path leads to.
    #[inline]
    pub(super) fn at(&self, row: usize, path: &[Segment]) -> Option<Value<'_>> {
        match path.split_first() {
            None => self.value(row),
            Some((step, rest)) => self.inside(row, step, rest),
        }
    }

    fn inside(&self, row: usize, step: &Segment, rest: &[Segment]) -> Option<Value<'_>> {
        if self.is_null(row) {
            return None;
        }
        match &self.cells {
            Cells::Struct(fields) => fields[step.find(fields.len(), |at| &fields[at].0)?].1.at(row, rest),
            Cells::List(ranges, items) => {
                let range = ranges.at(row);
                let item = range.start + step.position(range.len())?;
                match items.at(item, rest) {
                    // A null in a list is a value.
                    None if rest.is_empty() => Some(Value::Null),
                    found => found,
                }
            }
            Cells::Map(ranges, both) => {
                let is_key = |at: &usize| matches!(both.0.value(*at), Some(Value::Text(key)) if key == step.key());
                // The last one counts, as in a dict that is made of the entries.
                both.1.at(ranges.at(row).rev().find(is_key)?, rest)
            }
            Cells::Dictionary(keys, values) => values.inside(keys.at(row), step, rest),
            Cells::Union(union, columns) => {
                let (_, column) = columns.iter().find(|(id, _)| *id == union.type_id(row))?;
                column.inside(union.value_offset(row), step, rest)
            }
            _ => None,
        }
    }

    /// The whole number in a row, if the column has whole numbers of up to 64 bits.
    #[inline]
    pub(super) fn integer(&self, row: usize) -> Option<i64> {
        if self.is_null(row) {
            return None;
        }
        Some(match &self.cells {
            Cells::Int64(values) => values[row],
            Cells::Int32(values) => values[row].into(),
            Cells::UInt32(values) => values[row].into(),
            _ => return None,
        })
    }

    /// The moment in a row in microseconds since 1970, if the column has moments or whole seconds.
    #[inline]
    pub(super) fn micros(&self, row: usize) -> Option<i64> {
        match &self.cells {
            Cells::Times(micros) if !self.is_null(row) => micros.at(row),
            _ => self.integer(row)?.checked_mul(MICROS_A_SECOND),
        }
    }
}

/// The columns of fields, by name. Of equal names, the last one counts, as in a dict.
fn named<'a>(fields: impl Iterator<Item = (&'a std::sync::Arc<Field>, &'a ArrayRef)>) -> Vec<(Text, Column)> {
    let mut columns: Vec<(Text, Column)> = Vec::new();
    for (field, array) in fields {
        let column = Column::new(field, array);
        match columns.iter_mut().find(|(name, _)| **name == **field.name()) {
            Some((_, known)) => *known = column,
            None => columns.push((field.name().as_str().into(), column)),
        }
    }
    columns
}

#[inline]
fn whole(value: impl Into<i64>) -> Value<'static> {
    Value::Number(value.into().into())
}

fn first(bytes: &[u8]) -> usize {
    bytes.first().map_or(0, |&byte| usize::from(byte))
}

/// A text, or a value that equals nothing if it is not valid Unicode.
#[inline]
fn text_of(bytes: &[u8]) -> Value<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(Cow::Borrowed(text)),
        Err(_) => Value::Number(Number::NotANumber),
    }
}

fn parsed(text: &str) -> Number {
    Number::parse(text).unwrap_or(Number::NotANumber)
}

/// The number `value` · 10^-`scale`.
#[inline]
fn decimal(value: i128, scale: i32) -> Number {
    let shift = u32::try_from(FRACTION_DIGITS - scale).ok();
    let units = shift.and_then(|shift| value.checked_mul(10_i128.checked_pow(shift)?));
    match units.and_then(Amount::from_units) {
        Some(amount) => Number::Exact(amount),
        None => parsed(&format!("{value}e{}", -scale)),
    }
}

/// The shortest decimal that reads back as this float: 0.1 is 0.1, although no binary float is.
fn float32(float: f32) -> Number {
    if float.is_finite() { parsed(&format!("{float:e}")) } else { f64::from(float).into() }
}

/// The same for a half, which has up to five digits.
fn float16(float: half::f16) -> Number {
    let wide = f64::from(float);
    if wide.is_finite() {
        for digits in 0..5 {
            let text = format!("{wide:.digits$e}");
            if text.parse::<f64>().is_ok_and(|read| half::f16::from_f64(read) == float) {
                return parsed(&text);
            }
        }
    }
    wide.into()
}

/// The string form of a UUID.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
