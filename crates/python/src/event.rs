//! Events as passed to listeners.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::python::event_function;
use crate::state::State;
use crate::value;

/// An event of a tracker; `dictrack.events` converts it for listeners.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Event(pub(crate) Arc<dictrack::Event>);

#[pymethods]
impl Event {
    /// 1001 to 1005.
    #[getter]
    fn code(&self) -> u16 {
        self.0.code.number()
    }

    /// The group.
    #[getter]
    fn group_id(&self) -> &str {
        &self.0.group
    }

    /// The name of the tracker.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// The tracker at that time, with the stage, target and progress of the event.
    #[getter]
    fn state(&self) -> State {
        State::at(&self.0)
    }

    /// The time of the document or call, in seconds since 1970 UTC.
    #[getter]
    fn occurred_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::seconds_for(py, self.0.occurred_at)
    }

    /// Of a tracker with ``every``, the start of the period of the document or call.
    #[getter]
    fn period_start<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.period_start().map(|moment| value::seconds_for(py, moment)).transpose()
    }

    /// The number of events of this kind that this one represents.
    #[getter]
    fn times(&self) -> u64 {
        self.0.times
    }

    /// The position of the limiter that refused or ran out.
    #[getter]
    fn limiter(&self) -> Option<usize> {
        self.0.limiter
    }

    /// The event as ``docs/json.md`` describes it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::write_ready(py, &self.0.to_json())
    }

    /// An id that is the same for every delivery of this event.
    #[getter]
    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

/// The event as passed to listeners.
pub(crate) fn event_for<'py>(py: Python<'py>, event: &Arc<dictrack::Event>) -> PyResult<Bound<'py, PyAny>> {
    event_function(py)?.call1((Event(Arc::clone(event)),))
}
