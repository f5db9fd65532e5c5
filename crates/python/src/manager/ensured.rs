//! The trackers that a group must have before a document is applied.

use std::sync::Arc;

use dictrack::group;
use pyo3::prelude::*;

use super::inner::Inner;
use crate::definition::Definition;
use crate::errors;
use crate::python::definitions_function;

/// A list of trackers that many groups must have, prepared once by ``TrackingManager.tracker_list`` for ``ensure=``.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct TrackerList(Arc<group::TrackerList>);

impl TrackerList {
    pub(super) fn new(inner: &Inner, definitions: Vec<Bound<'_, Definition>>) -> PyResult<Self> {
        let list = inner.manager.tracker_list(super::arguments::definitions(definitions));
        list.map(|list| Self(Arc::new(list))).map_err(|error| Python::attach(|py| errors::exception(py, &error)))
    }
}

#[pymethods]
impl TrackerList {
    /// The names of the trackers.
    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.definitions().iter().map(|definition| definition.name()).collect()
    }

    fn __len__(&self) -> usize {
        self.0.definitions().len()
    }

    fn __repr__(&self) -> String {
        format!("<TrackerList ({})>", self.names().join(", "))
    }
}

/// The argument ``ensure`` of a call.
pub(crate) struct Ensured(Arc<group::TrackerList>);

impl Ensured {
    /// Reads a ``TrackerList``, or a list of trackers.
    pub(crate) fn read(inner: &Inner, ensure: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(list) = ensure.cast::<TrackerList>() {
            return Ok(Self(Arc::clone(&list.get().0)));
        }
        let definitions = definitions_function(ensure.py())?.call1((ensure,))?.extract()?;
        TrackerList::new(inner, definitions).map(|list| Self(list.0))
    }

    pub(crate) fn list(&self) -> &group::TrackerList {
        &self.0
    }
}
