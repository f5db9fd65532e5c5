//! The columns of a record batch, whose rows are documents.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::Field;
use dictrack_core::document::Value;
use dictrack_core::json::{Json, Map, Text};
use dictrack_core::{Document, Path, text};

use super::column::Column;

/// The columns of a record batch, whose rows are documents. Each column is read when a row needs it for the first time.
///
/// Of columns with the same name, the last one counts.
#[derive(Debug)]
pub struct Columns {
    columns: Vec<(Text, Arc<Field>, ArrayRef)>,
    read: Vec<OnceLock<Column>>,
    rows: usize,
}

impl Columns {
    /// The columns of `batch`.
    pub fn new(batch: &RecordBatch) -> Self {
        let mut columns: Vec<(Text, Arc<Field>, ArrayRef)> = Vec::with_capacity(batch.num_columns());
        let mut places: HashMap<&str, usize> = HashMap::new();
        let schema = batch.schema_ref();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let column = (field.name().as_str().into(), Arc::clone(field), Arc::clone(array));
            // Of equal names, the last one counts, as in a dict.
            match places.get(field.name().as_str()) {
                Some(&at) => columns[at] = column,
                None => {
                    places.insert(field.name(), columns.len());
                    columns.push(column);
                }
            }
        }
        let read = columns.iter().map(|_| OnceLock::new()).collect();
        Self { columns, read, rows: batch.num_rows() }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A row, counted from 0.
    pub fn row(&self, row: usize) -> Row<'_> {
        Row { columns: self, row }
    }

    #[inline]
    fn column(&self, at: usize) -> &Column {
        self.read[at].get_or_init(|| {
            let (_, field, array) = &self.columns[at];
            Column::new(field, array)
        })
    }

    /// Reads the cells of some rows in the columns that earlier rows needed.
    pub(super) fn warm(&self, first: usize, rows: &[u32]) {
        for column in self.read.iter().filter_map(OnceLock::get) {
            std::hint::black_box(column.warm(rows.iter().map(|&row| first + row as usize)));
        }
    }

    #[inline]
    pub(super) fn value_at(&self, row: usize, path: &Path) -> Option<Value<'_>> {
        let (step, rest) = path.segments().split_first()?;
        let at = step.find(self.columns.len(), |at| &self.columns[at].0)?;
        self.column(at).at(row, rest)
    }

    fn to_json(&self, row: usize) -> Json {
        let entry = |at: usize| Some((self.columns[at].0.clone(), self.column(at).value(row)?.to_json()));
        Json::Map((0..self.columns.len()).filter_map(entry).collect::<Map>())
    }

    /// The column at `path`, if it is a whole column and not part of one.
    pub(super) fn whole(&self, path: &Path) -> Option<&Column> {
        let [step] = path.segments() else { return None };
        Some(self.column(step.find(self.columns.len(), |at| &self.columns[at].0)?))
    }

    /// The names of the columns, for an error, if none of them is the one that `path` begins with.
    pub fn lacks(&self, path: &Path) -> Option<String> {
        let step = path.segments().first()?;
        if self.columns.iter().any(|(name, ..)| name == step.key()) {
            return None;
        }
        const MOST: usize = 20;
        let names: Vec<String> =
            self.columns.iter().take(MOST).map(|(name, ..)| text::quoted(name).to_string()).collect();
        let more = if self.columns.len() > MOST { ", …" } else { "" };
        Some(format!("{}{more}", names.join(", ")))
    }

    /// The type of the column that a path begins with, in Arrow's words.
    pub(super) fn type_of(&self, path: &Path) -> String {
        let step = path.segments().first();
        let found = step.and_then(|step| self.columns.iter().find(|(name, ..)| name == step.key()));
        found.map_or_else(String::new, |(_, _, array)| array.data_type().to_string())
    }
}

/// A row as a document. Its nulls are missing.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a Columns,
    row: usize,
}

impl Document for Row<'_> {
    #[inline]
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        self.columns.value_at(self.row, path)
    }

    fn to_json(&self) -> Cow<'_, Json> {
        Cow::Owned(self.columns.to_json(self.row))
    }

    fn as_any(&self) -> &dyn Any {
        // A row borrows its table, so it has no type that custom code could ask for.
        &()
    }
}
