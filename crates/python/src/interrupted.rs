//! Ctrl-C, and `sys.exit`, in Python code that runs within a call: the call goes on to its end, so that the group changes as
//! a whole or not at all, and then ends with it.

use std::cell::RefCell;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

thread_local! {
    static PENDING: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// The error, unless it is none of the code but interrupts the program: then it is kept for the end of the call.
pub(crate) fn unless_failed(error: PyErr) -> PyResult<()> {
    if Python::attach(|py| error.is_instance_of::<PyException>(py)) {
        return Err(error);
    }
    PENDING.set(Some(error));
    Ok(())
}

/// Ends a call that was interrupted.
pub(crate) fn check() -> PyResult<()> {
    PENDING.take().map_or(Ok(()), Err)
}
