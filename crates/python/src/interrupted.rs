//! Ctrl-C and `sys.exit` in Python code that runs during a call. The call completes, so that the group changes as a
//! whole or not at all; then it raises the exception.

use std::cell::RefCell;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

thread_local! {
    static PENDING: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Returns the error of custom code. An exception that interrupts the program is kept until the end of the call
/// instead.
pub(crate) fn unless_failed(error: PyErr) -> PyResult<()> {
    if Python::attach(|py| error.is_instance_of::<PyException>(py)) {
        return Err(error);
    }
    PENDING.set(Some(error));
    Ok(())
}

/// Raises the exception that interrupted a call.
pub(crate) fn check() -> PyResult<()> {
    PENDING.take().map_or(Ok(()), Err)
}
