//! Streams of record batches from and to Python: the Arrow C stream interface, in capsules of Python.

use std::ffi::CStr;

use arrow_array::RecordBatchReader;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_schema::ArrowError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::value;

const NAME: &CStr = c"arrow_array_stream";

/// The record batches of an object that has them.
pub(super) fn import(table: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    let py = table.py();
    let Some(method) = table.getattr_opt(intern!(py, "__arrow_c_stream__"))? else {
        return Err(PyTypeError::new_err(format!(
            "table is {}; expected a table that has the Arrow C stream interface (__arrow_c_stream__): of pyarrow, polars, \
             pandas 2.2 or newer, or DuckDB",
            value::a_type(table)
        )));
    };
    let capsule = method.call0()?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| {
        PyTypeError::new_err(format!(
            "__arrow_c_stream__ of table returned {}; expected a capsule",
            value::a_type(&capsule)
        ))
    })?;
    let stream = capsule.pointer_checked(Some(NAME))?.cast::<FFI_ArrowArrayStream>();
    // SAFETY: a capsule of this name holds a valid stream, says the interface. Whoever moves the stream out leaves a released
    // one behind, which the reader refuses.
    #[expect(unsafe_code, reason = "a capsule has a raw pointer")]
    let reader = unsafe { RecordBatchStreamReader::from_raw(stream.as_ptr()) };
    reader.map_err(|error| failed(&error))
}

/// A capsule with record batches.
pub(super) fn export<'py>(
    py: Python<'py>,
    reader: Box<dyn RecordBatchReader + Send>,
) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), NAME)
}

/// The error of a stream.
pub(super) fn failed(error: &ArrowError) -> PyErr {
    PyValueError::new_err(format!("table cannot be read: {error}"))
}
