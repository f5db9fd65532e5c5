//! Tables: rows in Arrow's columns are documents, read in place. Anything with the Arrow C stream interface is a table.
//!
//! A table is read a batch at a time and tracked some rows at a time, both without the GIL. Between these, Python code runs:
//! the progress callback, and the check for Ctrl-C.

mod events;
mod stream;

use std::num::NonZero;
use std::sync::Arc;

use arrow_array::ffi_stream::RecordBatchStreamReader;
use arrow_array::{RecordBatch, RecordBatchReader as _};
use dictrack::arrow::{BadRow, Columns, RowPaths, Rows};
use dictrack::manager::{Counts, RowsFailure};
use dictrack::{Path, text};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pub(crate) use events::TableEvents;

use crate::fork::Own;
use crate::manager::{Ensured, Inner};
use crate::pending::Pending;
use crate::{errors, interrupted};
use events::Events;

/// A table that is being tracked.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Table {
    inner: Own<Arc<Inner>>,
    shared: Arc<Shared>,
}

struct Shared {
    paths: RowPaths,
    ensure: Option<Ensured>,
    /// How many rows are tracked at a time.
    rows: usize,
    /// How many threads track them.
    threads: usize,
    /// Waits for a producer, so nothing else must be locked while this is.
    reader: Mutex<Option<RecordBatchStreamReader>>,
    progress: Mutex<Progress>,
}

/// How far a table was tracked, and what that did.
#[derive(Default)]
struct Progress {
    batch: Option<Arc<Columns>>,
    /// The number of the batch's first row in the table.
    first: u64,
    /// The next row of the batch.
    next: usize,
    counts: Counts,
    events: Vec<RecordBatch>,
}

/// Why the tracking of a table ended early.
enum Failed {
    Row(BadRow, u64),
    Rows(RowsFailure),
}

impl Table {
    /// Opens a table; `paths` are those of the group, the time and the id.
    pub(crate) fn open(
        inner: Arc<Inner>,
        table: &Bound<'_, PyAny>,
        paths: [Option<&str>; 3],
        ensure: Option<Ensured>,
        rows: usize,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let path = |what: &str, text: &str| {
            Path::parse(text).ok_or_else(|| {
                PyValueError::new_err(format!("{what} is {}; expected the name of a column", text::quoted(text)))
            })
        };
        let [group, time, id] = paths;
        let mut paths = RowPaths::new(path("group", group.unwrap_or_default())?);
        paths.time = time.map(|time| path("time", time)).transpose()?;
        paths.id = id.map(|id| path("id", id)).transpose()?;
        let reader = stream::import(table)?;
        let columns = Columns::new(&RecordBatch::new_empty(reader.schema()));
        for (what, path) in [("group", Some(&paths.group)), ("time", paths.time.as_ref()), ("id", paths.id.as_ref())] {
            if let Some(path) = path
                && let Some(names) = columns.lacks(path)
            {
                let path = text::quoted(path.as_str());
                return Err(PyValueError::new_err(format!(
                    "{what} is {path}, but table has no such column; its columns are {names}"
                )));
            }
        }
        let reader = Mutex::new(Some(reader));
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
        let shared = Shared { paths, ensure, rows: rows.max(1), threads, reader, progress: Mutex::default() };
        Ok(Self { inner: Own::new(inner), shared: Arc::new(shared) })
    }
}

#[pymethods]
impl Table {
    /// Reads more rows, unless there are some that are not tracked yet. Returns whether there are any.
    fn read(&self, py: Python<'_>) -> PyResult<bool> {
        let read = py.detach(|| self.shared.read());
        interrupted::check()?;
        read.map_err(|error| stream::failed(&error))
    }

    /// Tracks some of the rows that were read. Returns how many rows of the table were tracked so far.
    fn track(&self) -> PyResult<Pending> {
        let (inner, shared) = (Arc::clone(self.inner.get()?), Arc::clone(&self.shared));
        let task = async move { Ok(shared.track(&inner).await) };
        Ok(Pending::new(task, |py, tracked| match tracked {
            Ok(rows) => Ok(rows.into_pyobject(py)?.into_any().unbind()),
            Err(Failed::Row(bad, row)) => {
                let path = bad.path.as_str();
                let message = format!("row {row}: {} is {}", text::quoted(path), bad.problem);
                Err(of_row(py, errors::of_class("TableError", &message), row, Some(path)))
            }
            Err(Failed::Rows(RowsFailure { error, position: Some(row), .. })) => {
                let message = format!("row {row}: {error}");
                Err(of_row(py, errors::exception_saying(py, &error, &message), row as u64, None))
            }
            Err(Failed::Rows(failure)) => Err(errors::exception(py, &failure.error)),
        }))
    }

    /// What the rows tracked so far did, as a dict.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let (counts, events) = py.detach(|| {
            let progress = self.shared.progress.lock();
            (progress.counts, progress.events.clone())
        });
        let dict = PyDict::new(py);
        for (key, count) in [
            ("documents", counts.documents),
            ("counted", counts.counted),
            ("refused", counts.refused),
            ("skipped", counts.skipped),
            ("late", counts.late),
            ("failed", counts.failed),
            ("duplicates", counts.duplicates),
        ] {
            dict.set_item(key, count)?;
        }
        dict.set_item("events", TableEvents::new(events))?;
        Ok(dict.unbind())
    }
}

/// An exception with the place that it is about.
fn of_row(py: Python<'_>, error: PyErr, row: u64, column: Option<&str>) -> PyErr {
    let value = error.value(py);
    match value.setattr("row", row).and_then(|()| value.setattr("column", column)) {
        Ok(()) => error,
        Err(other) => other,
    }
}

impl Shared {
    fn read(&self) -> Result<bool, arrow_schema::ArrowError> {
        {
            let progress = self.progress.lock();
            if progress.batch.as_ref().is_some_and(|batch| progress.next < batch.rows()) {
                return Ok(true);
            }
        }
        let mut reader = self.reader.lock();
        while let Some(batch) = reader.as_mut().and_then(Iterator::next).transpose()? {
            if batch.num_rows() > 0 {
                let mut progress = self.progress.lock();
                progress.first += progress.batch.take().map_or(0, |batch| batch.rows() as u64);
                (progress.batch, progress.next) = (Some(Arc::new(Columns::new(&batch))), 0);
                return Ok(true);
            }
        }
        *reader = None;
        Ok(false)
    }

    async fn track(&self, inner: &Arc<Inner>) -> Result<u64, Failed> {
        let (columns, first, next) = {
            let progress = self.progress.lock();
            let Some(batch) = &progress.batch else { return Ok(progress.first) };
            (Arc::clone(batch), progress.first, progress.next)
        };
        let range = next..columns.rows().min(next + self.rows);
        let keeps = |outcome: &dictrack::Outcome| inner.has_to_follow(outcome);
        let (rows, bad) =
            Rows::arrange(&columns, first, range, &self.paths, self.ensure.as_ref().map(Ensured::list), &keeps);
        let done = inner.manager.track_rows(&rows, self.threads).await;
        let mut events = Events::default();
        for kept in &done.outcomes {
            inner.follow(rows.name(kept.group), &kept.outcome).await;
            kept.outcome.events().iter().for_each(|event| events.push(kept.position, event));
        }
        let mut progress = self.progress.lock();
        progress.counts.add(&done.counts);
        progress.next = rows.end();
        let events = events.finish();
        if events.num_rows() > 0 {
            progress.events.push(events);
        }
        match (done.failure, bad) {
            (Some(failure), _) => Err(Failed::Rows(failure)),
            (None, Some(bad)) => {
                let row = first + bad.row as u64;
                Err(Failed::Row(bad, row))
            }
            (None, None) => Ok(first + progress.next as u64),
        }
    }
}
