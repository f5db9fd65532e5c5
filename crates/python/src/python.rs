//! Functions of the Python part that Rust calls, looked up once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Looks up `name` in `module`, but only the first time.
macro_rules! imported {
    ($(#[$doc:meta])* $name:ident, $module:literal, $attribute:literal) => {
        $(#[$doc])*
        pub(crate) fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
            static FOUND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
            FOUND.import(py, $module, $attribute)
        }
    };
}

imported!(
    /// `decimal.Decimal`.
    decimal_class, "decimal", "Decimal"
);
imported!(
    /// Converts a value of any type to a plain one.
    plain_function, "dictrack._values", "plain"
);
imported!(
    /// A value as it is shown in errors.
    shown_function, "dictrack._values", "shown"
);
imported!(
    /// Raises an error that says what is wrong with the ids of a document.
    check_ids_function, "dictrack._arguments", "check_ids"
);
imported!(
    /// The time of a call, given by other keywords.
    moment_of_function, "dictrack._arguments", "moment_of"
);
imported!(
    /// The definitions of the trackers in the argument `ensure`.
    definitions_function, "dictrack._arguments", "definitions_of"
);
imported!(
    /// Creates a tracker from a definition and a state.
    tracker_function, "dictrack.trackers.base", "tracker_of"
);
imported!(
    /// Creates an event for listeners.
    event_function, "dictrack.events", "event_of"
);
imported!(
    /// Calls a listener.
    tell_function, "dictrack.events", "tell"
);
imported!(
    /// What pydantic asks a class for: how to validate and serialize it.
    pydantic_function, "dictrack._json", "pydantic_schema"
);
imported!(
    /// The serializer of a class for pydantic.
    pydantic_serializer_function, "dictrack._json", "pydantic_serializer"
);
imported!(
    /// The same for the JSON schema of a class.
    pydantic_json_function, "dictrack._json", "pydantic_json_schema"
);
imported!(
    /// Values as JSON.
    ready_list_function, "dictrack._json", "ready_list"
);
imported!(
    /// The error class with this name.
    error_function, "dictrack.utils.errors", "error_of"
);
imported!(
    /// Whether custom code of a kind is registered under a name.
    knows_function, "dictrack._custom", "knows"
);
imported!(
    /// Evaluates a registered condition.
    check_function, "dictrack._custom", "check"
);
imported!(
    /// Evaluates a registered measure.
    amount_function, "dictrack._custom", "amount"
);
imported!(
    /// Renews a registered limiter.
    renewed_function, "dictrack._custom", "renewed"
);
imported!(
    /// Whether a registered limiter admits a document.
    admits_function, "dictrack._custom", "admits"
);
imported!(
    /// Lets a registered limiter record a document.
    record_function, "dictrack._custom", "record"
);
imported!(
    /// Logs an exception in custom code.
    raised_function, "dictrack._custom", "raised"
);

/// A `decimal.Decimal`.
pub(crate) fn decimal<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    decimal_class(py)?.call1((text,))
}

/// The value, converted to built-in Python types.
pub(crate) fn plain<'py>(value: &Bound<'py, PyAny>, strict: bool) -> PyResult<Bound<'py, PyAny>> {
    plain_function(value.py())?.call1((value, strict))
}

/// A dict with these entries.
pub(crate) fn dict<'py>(py: Python<'py>, entries: &[(&str, Bound<'py, PyAny>)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in entries {
        dict.set_item(key, value)?;
    }
    Ok(dict)
}
