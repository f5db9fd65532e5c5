//! A call that may have to wait: `wait` for threads, `poll` for event loops. Both drive the same future.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use dictrack::Error;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::fork::Own;
use crate::{errors, interrupted};

/// Converts the result, with the GIL.
pub(crate) type Make = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
type Task = Pin<Box<dyn Future<Output = Result<Make, Error>> + Send>>;

/// A call in progress.
#[pyclass(frozen, generic, module = "dictrack._dictrack")]
pub(crate) struct Pending {
    task: Mutex<Option<Own<Task>>>,
}

impl Pending {
    /// The call that `task` makes; `make` converts its result.
    pub(crate) fn new<T: Send + 'static>(
        task: impl Future<Output = Result<T, Error>> + Send + 'static,
        make: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let task: Task = Box::pin(async move {
            let value = task.await?;
            Ok(Box::new(move |py: Python<'_>| make(py, value)) as Make)
        });
        Self { task: Mutex::new(Some(Own::new(task))) }
    }

    fn take(&self) -> PyResult<Own<Task>> {
        let task = self.task.lock().take();
        task.ok_or_else(|| PyRuntimeError::new_err("the call is finished, or is being awaited elsewhere"))
    }
}

fn finished(py: Python<'_>, result: Result<Make, Error>) -> PyResult<Py<PyAny>> {
    match result {
        Ok(make) => make(py),
        Err(error) => Err(errors::exception(py, &error)),
    }
}

/// Wakes an event loop.
struct WakeLoop(Py<PyAny>);

impl Wake for WakeLoop {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A terminating interpreter or a closed loop is no longer waiting.
        let _ = Python::try_attach(|py| self.0.call0(py).map(drop).ok());
    }
}

#[pymethods]
impl Pending {
    /// Waits for the result without the GIL.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut task = self.take()?;
        let future = task.get_mut()?;
        let result = py.detach(|| dictrack::block_on(future.as_mut()));
        interrupted::check()?;
        finished(py, result)
    }

    /// Continues the call as far as possible. Returns ``(True, result)`` if it is done, else ``(False, None)``;
    /// ``wake`` is then called, from any thread, when the call can continue.
    fn poll(&self, py: Python<'_>, wake: Py<PyAny>) -> PyResult<(bool, Option<Py<PyAny>>)> {
        let mut task = self.take()?;
        let future = task.get_mut()?;
        let polled = py.detach(|| {
            let waker = Waker::from(Arc::new(WakeLoop(wake)));
            future.as_mut().poll(&mut Context::from_waker(&waker))
        });
        interrupted::check()?;
        match polled {
            Poll::Ready(result) => Ok((true, Some(finished(py, result)?))),
            Poll::Pending => {
                *self.task.lock() = Some(task);
                Ok((false, None))
            }
        }
    }
}
