//! The test clock.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::value;

/// A clock that only moves when told to.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct TestClock(pub(crate) Arc<dictrack::clock::TestClock>);

#[pymethods]
impl TestClock {
    /// A clock set to ``now``: seconds since 1970 UTC, a datetime or an RFC 3339 string.
    #[new]
    fn new(now: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(dictrack::clock::TestClock::new(value::moment("now", now)?))))
    }

    /// Moves the clock forward by seconds or a timedelta.
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.advance(value::span("seconds", seconds)?);
        Ok(())
    }

    /// Sets the clock to ``now``, which may be earlier.
    fn set(&self, now: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set(value::moment("now", now)?);
        Ok(())
    }
}
