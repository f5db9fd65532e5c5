//! The events of a table, as a table.

use std::sync::Arc;

use arrow_array::builder::{
    Decimal128Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dictrack::{Amount, Event};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use super::stream;

/// An amount has up to 18 digits after the decimal point; the widest decimal that every library reads has 38 in total.
const DIGITS: (u8, i8) = (38, 18);
/// The first amount that has 39 digits.
const TOO_WIDE: i128 = 10_i128.pow(38);

fn schema() -> SchemaRef {
    let amount = DataType::Decimal128(DIGITS.0, DIGITS.1);
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::Int64, false),
        Field::new("event", DataType::Utf8, false),
        Field::new("group", DataType::Utf8, false),
        Field::new("tracker", DataType::Utf8, false),
        Field::new("progress", amount.clone(), true),
        Field::new("target", amount, true),
        Field::new("stage", DataType::UInt32, false),
        Field::new("times", DataType::UInt64, false),
        Field::new("limiter", DataType::UInt32, true),
        Field::new("occurred_at", moment.clone(), false),
        Field::new("period_start", moment, true),
        Field::new("id", DataType::Utf8, false),
    ]))
}

/// Events as columns.
#[derive(Debug)]
pub(super) struct Events {
    row: Int64Builder,
    event: StringBuilder,
    group: StringBuilder,
    tracker: StringBuilder,
    progress: Decimal128Builder,
    target: Decimal128Builder,
    stage: UInt32Builder,
    times: UInt64Builder,
    limiter: UInt32Builder,
    occurred_at: TimestampMicrosecondBuilder,
    period_start: TimestampMicrosecondBuilder,
    id: StringBuilder,
}

impl Default for Events {
    fn default() -> Self {
        let amounts = || {
            let builder = Decimal128Builder::new();
            builder.with_data_type(DataType::Decimal128(DIGITS.0, DIGITS.1))
        };
        let moments = || TimestampMicrosecondBuilder::new().with_timezone("UTC");
        Self {
            row: Int64Builder::new(),
            event: StringBuilder::new(),
            group: StringBuilder::new(),
            tracker: StringBuilder::new(),
            progress: amounts(),
            target: amounts(),
            stage: UInt32Builder::new(),
            times: UInt64Builder::new(),
            limiter: UInt32Builder::new(),
            occurred_at: moments(),
            period_start: moments(),
            id: StringBuilder::new(),
        }
    }
}

/// The units of an amount, if they fit into the column.
fn units(amount: Amount) -> Option<i128> {
    Some(amount.units()).filter(|units| (-TOO_WIDE + 1..TOO_WIDE).contains(units))
}

impl Events {
    /// Adds an event of a row.
    pub(super) fn push(&mut self, row: usize, event: &Event) {
        self.row.append_value(row as i64);
        self.event.append_value(event.code.name());
        self.group.append_value(&event.group);
        self.tracker.append_value(event.name());
        self.progress.append_option(units(event.progress));
        self.target.append_option(event.target.and_then(units));
        self.stage.append_value(event.stage as u32);
        self.times.append_value(event.times);
        self.limiter.append_option(event.limiter.map(|limiter| limiter as u32));
        self.occurred_at.append_value(event.occurred_at.micros());
        self.period_start.append_option(event.period_start().map(|moment| moment.micros()));
        self.id.append_value(event.id().to_string());
    }

    /// The events so far; leaves none.
    pub(super) fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.row.finish()),
            Arc::new(self.event.finish()),
            Arc::new(self.group.finish()),
            Arc::new(self.tracker.finish()),
            Arc::new(self.progress.finish()),
            Arc::new(self.target.finish()),
            Arc::new(self.stage.finish()),
            Arc::new(self.times.finish()),
            Arc::new(self.limiter.finish()),
            Arc::new(self.occurred_at.finish()),
            Arc::new(self.period_start.finish()),
            Arc::new(self.id.finish()),
        ];
        match RecordBatch::try_new(schema(), columns) {
            Ok(batch) => batch,
            Err(error) => unreachable!("the columns are those of the schema: {error}"),
        }
    }
}

/// The events that the rows of a table caused, in their order: a table with the Arrow C stream interface.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct TableEvents {
    batches: Vec<RecordBatch>,
}

impl TableEvents {
    pub(super) fn new(batches: Vec<RecordBatch>) -> Self {
        Self { batches }
    }
}

#[pymethods]
impl TableEvents {
    /// The events as an Arrow stream, for ``pyarrow.table``, ``polars.from_arrow`` and others.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A consumer may ask for other types, and must accept the own ones if it does not get them.
        let _ = requested_schema;
        stream::export(py, Box::new(RecordBatchIterator::new(self.batches.clone().into_iter().map(Ok), schema())))
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn __repr__(&self) -> String {
        format!("<TableEvents ({} events)>", self.__len__())
    }
}
