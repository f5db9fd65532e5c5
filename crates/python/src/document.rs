//! A Python document as the engine sees it.
//!
//! The dict is read once, before the call, and never accessed while the engine works. Accessing it can run Python code
//! (`__eq__` of a key, `__getitem__` of a mapping), which must not happen under the lock of a group; and a step may run
//! again, on another thread, if another process was faster. Reading a dict with a few fields takes a few hundred
//! nanoseconds (`benches/track.py`).

use std::any::Any;
use std::borrow::Cow;

use dictrack::json::Json;
use dictrack::{Path, document::Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::value;

/// A document: what the engine reads, and the object passed to custom conditions.
pub(crate) struct Document {
    json: Json,
    object: Py<PyAny>,
}

impl Document {
    /// Reads a dict or another mapping.
    pub(crate) fn read(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let json = value::read_any(data)?;
        if json.as_map().is_none() {
            let found = value::a_type(data);
            return Err(PyTypeError::new_err(format!("data is {found}; expected a dict or another mapping")));
        }
        Ok(Self { json, object: data.clone().unbind() })
    }

    /// The object that the caller passed.
    pub(crate) fn object(&self) -> &Py<PyAny> {
        &self.object
    }
}

impl dictrack::Document for Document {
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        self.json.value_at(path)
    }

    fn to_json(&self) -> Cow<'_, Json> {
        Cow::Borrowed(&self.json)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
