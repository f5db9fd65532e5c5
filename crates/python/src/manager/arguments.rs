//! Parsing the arguments of the manager's calls.

use dictrack::{ResetPolicy, Timestamp, TrackerDefinition};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::definition::Definition;
use crate::value;

pub(crate) type Moment<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

pub(crate) fn moment(now: Moment<'_, '_>) -> PyResult<Option<Timestamp>> {
    now.map(|now| value::moment("now", now)).transpose()
}

pub(super) fn policy(bits: Option<u8>) -> PyResult<Option<ResetPolicy>> {
    bits.map(|bits| match bits {
        0 => Ok(ResetPolicy::NONE),
        1 => Ok(ResetPolicy::PROGRESS),
        2 => Ok(ResetPolicy::LIMITER),
        3 => Ok(ResetPolicy::ALL),
        _ => Err(PyValueError::new_err(format!("reset_policy is {bits}; expected 0 to 3"))),
    })
    .transpose()
}

pub(super) fn definitions(list: Vec<Bound<'_, Definition>>) -> Vec<TrackerDefinition> {
    list.iter().map(|definition| (*definition.get().0).clone()).collect()
}
