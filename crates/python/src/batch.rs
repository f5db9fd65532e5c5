//! The documents of one `track_many`, which are read and applied in pieces: what was read then needs little memory, whatever
//! their number.

use std::collections::HashMap;
use std::sync::Arc;

use dictrack::{Timestamp, manager::Submission};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PySequence, PyString, PyTuple};

use crate::document::Document;
use crate::manager::{Ensured, Inner, moment, submission};
use crate::outcome::Outcomes;
use crate::python::{check_ids_function, shown_function};
use crate::value;

/// How many documents are read at a time. What they need stays in the processor's cache.
const PIECE: usize = 256;

/// Documents to track, each with its options: ``(group_id, data[, now[, event_id]])``.
pub(crate) struct Items(Py<PyList>);

/// One document and its options.
struct Item {
    group: PyBackedStr,
    document: Document,
    now: Timestamp,
    event_id: Option<PyBackedStr>,
}

/// How documents are applied.
pub(crate) struct How {
    /// The trackers that each group must have.
    pub(crate) ensured: Option<Ensured>,
    /// The only trackers that they count for.
    pub(crate) backfill: Option<Ensured>,
    /// Whether nobody hears of their events.
    pub(crate) silent: bool,
}

impl Items {
    /// Checks that each item is a tuple or list of that length.
    pub(crate) fn read(items: &Bound<'_, PyAny>) -> PyResult<Self> {
        let made = match items.cast::<PySequence>() {
            Ok(items) => items.to_list()?,
            Err(_) => {
                let list = PyList::empty(items.py());
                let given = items.try_iter().map_err(|_| {
                    let found = value::a_type(items);
                    PyTypeError::new_err(format!(
                        "items is {found}; expected an iterable of (group_id, data[, now[, event_id]])"
                    ))
                })?;
                for item in given {
                    list.append(item?)?;
                }
                list
            }
        };
        for (at, item) in made.iter().enumerate() {
            let length = item.cast::<PyTuple>().map(|tuple| tuple.len());
            let length = length.or_else(|_| item.cast::<PyList>().map(|list| list.len()));
            if !length.is_ok_and(|length| (2..=4).contains(&length)) {
                let shown: String = shown_function(items.py())?.call1((item,))?.extract()?;
                return Err(PyTypeError::new_err(format!(
                    "items[{at}] is {shown}; expected (group_id, data[, now[, event_id]])"
                )));
            }
        }
        Ok(Self(made.unbind()))
    }

    /// Tracks them; returns the outcomes. An exception that interrupts the program, in code of a document, ends the batch
    /// after what was read before it. Must be called without the GIL.
    pub(crate) async fn track(self, inner: Arc<Inner>, how: How) -> (Outcomes, Option<PyErr>) {
        let length = Python::attach(|py| self.0.bind(py).len());
        let mut batch = inner.manager.batch();
        let (mut groups, mut unread, mut interrupted) = (Vec::with_capacity(length), HashMap::new(), None);
        let mut piece = Vec::with_capacity(PIECE.min(length));
        let mut next = 0;
        while next < length && interrupted.is_none() {
            let range = next..length.min(next + PIECE);
            next = range.end;
            // Reading the clock takes as long as reading a small document.
            let now = inner.manager.now();
            interrupted = Python::attach(|py| {
                // Objects of Python's are dropped with the GIL.
                piece.clear();
                for (at, item) in range.clone().zip(self.0.bind(py).iter().skip(range.start)) {
                    match Item::read(&item, now) {
                        Ok(item) => {
                            groups.push(item.group.clone_ref(py));
                            piece.push(item);
                        }
                        Err(error) if error.is_instance_of::<PyException>(py) => drop(unread.insert(at, error)),
                        Err(error) => return Some(error),
                    }
                }
                None
            });
            for item in &piece {
                batch.track(item.submission(&how)).await;
            }
        }
        Python::attach(|_| drop(piece));
        let results = batch.finish().await;
        for (group, result) in groups.iter().zip(&results) {
            if let Ok(outcome) = result {
                inner.follow(group, outcome).await;
            }
        }
        (Outcomes::new(results, groups, unread), interrupted)
    }
}

impl Item {
    /// Reads a document; `now` is its moment unless it has one.
    fn read(item: &Bound<'_, PyAny>, now: Timestamp) -> PyResult<Self> {
        let made;
        let fields = match item.cast::<PyTuple>() {
            Ok(tuple) => tuple,
            Err(_) => {
                made = item.cast::<PyList>()?.to_tuple();
                &made
            }
        };
        let option = |at: usize| {
            let given = (at < fields.len()).then(|| fields.get_borrowed_item(at)).transpose()?;
            PyResult::Ok(given.filter(|option| !option.is_none()))
        };
        let (group, data, event_id) = (fields.get_borrowed_item(0)?, fields.get_borrowed_item(1)?, option(3)?);
        let text = |id: &Bound<'_, PyAny>| {
            let read = id.cast::<PyString>().map_err(PyErr::from).and_then(|text| text.clone().try_into());
            read.or_else(|error: PyErr| {
                check_ids_function(id.py())?.call1((group, event_id))?;
                Err(error)
            })
        };
        let event_id = event_id.as_deref().map(text).transpose()?;
        Ok(Self {
            group: text(&group)?,
            document: Document::read(&data)?,
            now: moment(option(2)?.as_deref())?.unwrap_or(now),
            event_id,
        })
    }

    /// The document as the manager takes it.
    fn submission<'a>(&'a self, how: &'a How) -> Submission<'a> {
        let (now, id) = (Some(self.now), self.event_id.as_deref());
        let mut submission = submission(&self.group, &self.document, now, id, how.ensured.as_ref());
        submission.backfill = how.backfill.as_ref().map(Ensured::list);
        submission.silent = how.silent;
        submission
    }
}
