//! Converts errors into exceptions. The table of errors (`dictrack::ErrorKind`) names the class of each kind; the
//! classes are in `dictrack/utils/errors.py`.

use dictrack::{DefinitionError, Error, ErrorKind, group::GroupError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::python::{dict, error_function};

/// The exception of a kind.
pub(crate) fn of(kind: ErrorKind, message: &str) -> PyErr {
    Python::attach(|py| with(py, kind, message, &[]).unwrap_or_else(|error| error))
}

/// An exception of the class `name`, for errors that the crate does not have.
pub(crate) fn of_class(name: &str, message: &str) -> PyErr {
    Python::attach(|py| made(py, name, message, &[]).unwrap_or_else(|error| error))
}

fn with(py: Python<'_>, kind: ErrorKind, message: &str, facts: &[(&str, &str)]) -> PyResult<PyErr> {
    made(py, kind.python_class(), message, &[facts, &[("code", kind.code())]].concat())
}

fn made(py: Python<'_>, class: &str, message: &str, facts: &[(&str, &str)]) -> PyResult<PyErr> {
    let facts: PyResult<Vec<_>> =
        facts.iter().map(|&(key, fact)| Ok((key, fact.into_pyobject(py)?.into_any()))).collect();
    let facts: Bound<'_, PyDict> = dict(py, &facts?)?;
    Ok(PyErr::from_value(error_function(py)?.call1((class, message, facts))?))
}

pub(crate) fn definition(error: &DefinitionError) -> PyErr {
    of(ErrorKind::Definition, &error.to_string())
}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    exception_saying(py, error, &error.to_string())
}

/// The exception for an error, with a message that says more.
pub(crate) fn exception_saying(py: Python<'_>, error: &Error, message: &str) -> PyErr {
    with(py, error.kind(), message, &facts(error)).unwrap_or_else(|error| error)
}

/// What an error is about, as attributes for its exception.
fn facts(error: &Error) -> Vec<(&'static str, &str)> {
    match error {
        Error::Group { group, problem } => match &**problem {
            GroupError::ConflictingName { name }
            | GroupError::RepeatedName { name }
            | GroupError::FromTemplate { name, .. } => {
                vec![("group_id", group), ("name", name)]
            }
            _ => vec![("group_id", group)],
        },
        Error::Lost { group } => vec![("group_id", group)],
        Error::Stopped { failure: backend } | Error::Backend(backend) | Error::Unavailable(backend) => {
            vec![("backend", backend.backend)]
        }
        Error::TakenOver { store, host, pid } | Error::Owned { store, host, pid } => {
            vec![("store", store), ("host", host), ("pid", pid)]
        }
        Error::NewerVersion { store, .. } | Error::OlderVersion { store, .. } | Error::Unfinished { store } => {
            vec![("store", store)]
        }
        Error::Corrupt { store, place, .. } => vec![("store", store), ("place", place)],
        _ => Vec::new(),
    }
}

/// The code, class and advice of each kind of error.
#[pyfunction]
pub(crate) fn error_kinds() -> Vec<(&'static str, &'static str, &'static str)> {
    ErrorKind::ALL.iter().map(|kind| (kind.code(), kind.python_class(), kind.advice())).collect()
}
