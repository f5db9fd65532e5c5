//! Forks: the child inherits the memory, but none of the threads that write to it.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

use crate::errors;

/// The number of forks between the process that loaded the module and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Python calls this in the child after a fork.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A value that belongs to the process that created it.
pub(crate) struct Own<T> {
    value: Option<T>,
    forks: u32,
}

impl<T> Own<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), forks: FORKS.load(Ordering::Relaxed) }
    }

    fn is_own(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// Mutable access to the value; an error outside the process that created it.
    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        self.get()?;
        self.value.as_mut().ok_or_else(|| errors::of_class("ForkError", "the value is gone"))
    }

    /// The value; an error outside the process that created it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        match &self.value {
            Some(value) if self.is_own() => Ok(value),
            _ => Err(errors::of_class(
                "ForkError",
                "this manager was opened before a fork, and its threads are in the parent; open a manager in each process \
                 after the fork; processes can share groups through a Redis cache",
            )),
        }
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if !self.is_own() {
            // Dropping it would wait for threads that do not exist here, and write what the parent also writes.
            std::mem::forget(self.value.take());
        }
    }
}
