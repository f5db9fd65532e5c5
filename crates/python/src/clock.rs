//! The clocks that a program can pass: the test clock, and any callable.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dictrack::Timestamp;
use dictrack::clock::Clock;
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

    /// What the clock shows, in seconds since 1970 UTC.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::seconds_for(py, self.0.now())
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

/// A clock that is a callable of the program.
pub(crate) struct ProgramClock {
    read: Py<PyAny>,
    /// What it showed last, in microseconds: the time when it fails, or when the interpreter has ended.
    last: AtomicI64,
}

impl ProgramClock {
    /// A clock that shows what `read` returns.
    ///
    /// # Errors
    /// If it raises now, or returns no time.
    pub(crate) fn new(read: &Bound<'_, PyAny>) -> PyResult<Self> {
        let now = value::moment("the result of clock()", &read.call0()?)?;
        Ok(Self { read: read.clone().unbind(), last: AtomicI64::new(now.micros()) })
    }
}

impl Clock for ProgramClock {
    fn now(&self) -> Timestamp {
        let read = Python::try_attach(|py| value::moment("the result of clock()", &self.read.bind(py).call0()?));
        match read {
            Some(Ok(now)) => self.last.store(now.micros(), Ordering::Relaxed),
            Some(Err(error)) => {
                tracing::error!(target: "dictrack::clock", %error, "the clock failed; the time is the last that it returned")
            }
            None => {}
        }
        Timestamp::from_micros(self.last.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for ProgramClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramClock").finish_non_exhaustive()
    }
}
