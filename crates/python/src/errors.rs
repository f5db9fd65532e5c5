//! Converts errors into exceptions, with one class for each way in which a caller can react (`dictrack/utils/errors.py`).

use dictrack::{DefinitionError, Error, GroupError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::python::{dict, error_function};

/// An exception of the class `name`.
pub(crate) fn of(name: &str, message: &str) -> PyErr {
    Python::attach(|py| with(py, name, message, &[]).unwrap_or_else(|error| error))
}

fn with(py: Python<'_>, name: &str, message: &str, facts: &[(&str, &str)]) -> PyResult<PyErr> {
    let facts: PyResult<Vec<_>> =
        facts.iter().map(|&(key, fact)| Ok((key, fact.into_pyobject(py)?.into_any()))).collect();
    let facts: Bound<'_, PyDict> = dict(py, &facts?)?;
    Ok(PyErr::from_value(error_function(py)?.call1((name, message, facts))?))
}

pub(crate) fn definition(error: &DefinitionError) -> PyErr {
    of("DefinitionError", &error.to_string())
}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    let made = match error {
        Error::Group { group, source } => {
            let group = ("group_id", &**group);
            match &**source {
                GroupError::ConflictingName { name } => {
                    with(py, "ConflictingNameError", &message, &[group, ("name", name.as_str())])
                }
                GroupError::RepeatedName { name } => {
                    with(py, "RepeatedNameError", &message, &[group, ("name", name.as_str())])
                }
                GroupError::Definition(_) => with(py, "DefinitionError", &message, &[group]),
                GroupError::Custom(_) => with(py, "CustomCodeError", &message, &[group]),
                _ => with(py, "DictrackError", &message, &[group]),
            }
        }
        Error::Definition(_) => with(py, "DefinitionError", &message, &[]),
        Error::Reentrant => with(py, "ReentrantError", &message, &[]),
        Error::Unconfirmed => with(py, "UnconfirmedError", &message, &[]),
        Error::Closed => with(py, "ClosedError", &message, &[]),
        Error::Stopped { source } => with(py, "StoppedError", &message, &[("backend", source.backend)]),
        Error::Backend(source) if source.backend == "Redis" => with(py, "RedisOperationError", &message, &[]),
        Error::Backend(source) => with(py, "DataStoreOperationError", &message, &[("backend", source.backend)]),
        Error::Unavailable(source) => with(py, "UnavailableError", &message, &[("backend", source.backend)]),
        Error::Lost { group } => with(py, "LostError", &message, &[("group_id", group)]),
        Error::TakenOver { store, host, pid } => {
            with(py, "TakenOverError", &message, &[("store", store), ("host", host), ("pid", pid)])
        }
        Error::Owned { store, host, pid } => {
            with(py, "OwnedError", &message, &[("store", store), ("host", host), ("pid", pid)])
        }
        Error::NewerVersion { store, .. } => with(py, "NewerVersionError", &message, &[("store", store)]),
        Error::OlderVersion { store, .. } => with(py, "OlderVersionError", &message, &[("store", store)]),
        Error::Corrupt { store, place, .. } => {
            with(py, "CorruptError", &message, &[("store", store), ("place", place)])
        }
        _ => with(py, "DictrackError", &message, &[]),
    };
    made.unwrap_or_else(|error| error)
}
