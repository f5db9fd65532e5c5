//! The base class of `TrackingManager`: the call that runs for every document. A method in Python would take as long again
//! as the engine.

use dictrack::{block_on, manager::Begun};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::document::Document;
use crate::manager::{Ensured, Manager, moment, submission};
use crate::outcome::Outcome;
use crate::python::{check_ids_function, moment_of_function};
use crate::{errors, interrupted};

/// Tracks documents with a native manager.
#[pyclass(frozen, subclass, module = "dictrack._dictrack")]
pub(crate) struct Tracking {
    native: PyOnceLock<Py<Manager>>,
}

/// The id of a group or a document; an error that names the argument if it is not one.
fn id<'a>(
    given: &'a Bound<'_, PyAny>,
    group_id: &Bound<'_, PyAny>,
    event_id: Option<&Bound<'_, PyAny>>,
) -> PyResult<&'a str> {
    let read = given.cast::<PyString>().map_err(PyErr::from).and_then(|text| text.to_str());
    read.or_else(|error| {
        check_ids_function(given.py())?.call1((group_id, event_id))?;
        Err(error)
    })
}

#[pymethods]
impl Tracking {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyAny>, _keywords: Option<&Bound<'_, PyAny>>) -> Self {
        Self { native: PyOnceLock::new() }
    }

    /// The native manager, which the constructor of the subclass sets.
    #[getter(_native)]
    fn native(&self, py: Python<'_>) -> PyResult<&Py<Manager>> {
        self.native
            .get(py)
            .ok_or_else(|| PyAttributeError::new_err("the manager was not opened: its __init__ did not run"))
    }

    #[setter(_native)]
    fn set_native(&self, py: Python<'_>, native: Py<Manager>) -> PyResult<()> {
        self.native.set(py, native).map_err(|_| PyAttributeError::new_err("the manager is open"))
    }

    /// Applies a document to a group.
    ///
    /// Parameters
    /// ----------
    /// group_id : str
    ///     The group.
    /// data : dict or mapping
    ///     The document.
    /// now : number, datetime or str, optional
    ///     The time of the document: seconds since 1970 UTC, a datetime (UTC if it has no time zone) or an RFC 3339
    ///     string. Default: the manager's clock. ``now_ts`` is the same.
    /// event_id : str, optional
    ///     The id of the document, which then counts only once in its group.
    /// ensure : TrackerList, optional
    ///     The trackers that the group must have: those it lacks are added first, unless they have completed. Make the list
    ///     once, with ``tracker_list``. A list of trackers works too, but is converted in every call.
    ///
    /// Returns
    /// -------
    /// Outcome
    ///     What the document changed. Unpacks as ``is_ok, dirtied, completed, limited``; ``is_ok`` is always true, since
    ///     failures raise.
    ///
    /// Raises
    /// ------
    /// TypeError
    ///     If ``data`` is not a mapping.
    /// ValueError
    ///     If it nests deeper than 64 levels.
    /// ConflictingNameError
    ///     If an active tracker has the name of one in ``ensure`` and a different definition. The document did not count.
    /// UnavailableError
    ///     If the cache or the store is unreachable. It is unknown whether the document counted; if it has an id, send it
    ///     again.
    /// LostError
    ///     If the cache lost the change. The document did not count; send it again.
    /// AheadError
    ///     If ``now`` is further ahead of the clock than the manager allows. The document did not count.
    /// ReentrantError
    ///     If a custom condition, measure or limiter called this.
    #[expect(clippy::too_many_arguments, reason = "keywords of a Python call")]
    #[pyo3(
        signature = (group_id, data, *, now=None, event_id=None, ensure=None, **kwargs),
        text_signature = "(self, group_id, data, *, now=None, event_id=None, ensure=None, **kwargs)"
    )]
    fn track(
        &self,
        py: Python<'_>,
        group_id: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        now: Option<Bound<'_, PyAny>>,
        event_id: Option<&Bound<'_, PyAny>>,
        ensure: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Outcome> {
        let now = match kwargs {
            Some(kwargs) => moment_of_function(py)?.call1(("track", now, kwargs))?.extract()?,
            None => now,
        };
        let inner = self.native(py)?.get().shared()?;
        let group = id(group_id, group_id, event_id)?;
        let event = event_id.map(|event| id(event, group_id, event_id)).transpose()?;
        let (document, now) = (Document::read(data)?, moment(now.as_ref())?);
        let ensured = ensure.map(|ensure| Ensured::read(&inner, ensure)).transpose()?;
        // Most documents need not wait, and giving up the GIL and taking it again would take as long as the engine. The call
        // never waits for a lock here, since its holder may wait for the GIL.
        let outcome = match inner.manager.begin_track(submission(group, &document, now, event, ensured.as_ref())) {
            Ok(Begun::Done(outcome)) => Ok(outcome),
            Ok(Begun::Waiting(rest)) => py.detach(|| block_on(rest)),
            Err(error) => Err(error),
        };
        let outcome = outcome.inspect(|outcome| {
            if inner.has_to_follow(outcome) {
                py.detach(|| block_on(inner.follow(group, outcome)));
            }
        });
        interrupted::check()?;
        match outcome {
            // The id is known to be a string.
            Ok(outcome) => Ok(Outcome::new(outcome, group_id.cast::<PyString>()?)),
            Err(error) => Err(errors::exception(py, &error)),
        }
    }
}
