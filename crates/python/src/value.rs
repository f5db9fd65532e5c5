//! Converts values between Python and the engine; numbers stay exact both ways.

use dictrack::json::Text;
use dictrack::json::{Json, MAX_DEPTH, Map};
use dictrack::{Amount, Span, Timestamp, number::Number, text};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::python::{decimal, plain};

/// More values than a JSON document of 1 MiB can have.
const MAX_VALUES: usize = 1 << 20;

/// A number as its decimal text, for numbers that neither a 64-bit integer nor a Python `float` can hold.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Exact(Number);

#[pymethods]
impl Exact {
    /// The number for `text` in the JSON grammar.
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        Number::parse(text).map(Self).ok_or_else(|| PyValueError::new_err(format!("{text:?} is not a number")))
    }
}

/// Reads a value of a definition or a call; rejects what JSON cannot represent.
pub(crate) fn read(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    read_plain(value, true)
}

/// Reads any value. What JSON cannot represent becomes a value that exists but equals nothing.
pub(crate) fn read_any(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    read_plain(value, false)
}

/// Values of other types are first converted by `dictrack._values.plain`.
fn read_plain(value: &Bound<'_, PyAny>, strict: bool) -> PyResult<Json> {
    if let Some(json) = read_builtin(value, 0, &mut { MAX_VALUES })? {
        return Ok(json);
    }
    read_builtin(&plain(value, strict)?, 0, &mut { MAX_VALUES })?
        .ok_or_else(|| PyTypeError::new_err(format!("{} is not a JSON value", a_type(value))))
}

/// Reads a value that consists only of Python's own dict, list, tuple, str, int, float, bool and None; `None` for any
/// other. Runs no Python code, which could change the value while it is read, so subclasses are left to `plain`.
fn read_builtin(value: &Bound<'_, PyAny>, depth: usize, left: &mut usize) -> PyResult<Option<Json>> {
    // Nested lists that contain the same list several times may amount to 2⁶⁴ values.
    *left = left.checked_sub(1).ok_or_else(|| {
        PyValueError::new_err(format!("the value contains more than {MAX_VALUES} values, which is the maximum"))
    })?;
    if let Ok(text) = value.cast_exact::<PyString>() {
        // A lone surrogate is not valid Unicode.
        return Ok(text.to_str().ok().map(|text| Json::Text(text.into())));
    }
    if let Ok(whole) = value.cast_exact::<PyInt>() {
        return Ok(whole.extract::<i64>().ok().map(|whole| Json::Number(whole.into())));
    }
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return Ok(Some(Json::Number(float.value().into())));
    }
    if value.is_none() {
        return Ok(Some(Json::Null));
    }
    if let Ok(truth) = value.cast_exact::<PyBool>() {
        return Ok(Some(Json::Bool(truth.is_true())));
    }
    let check_depth = || {
        (depth < MAX_DEPTH).then_some(()).ok_or_else(|| {
            PyValueError::new_err(format!(
                "the value is nested deeper than {MAX_DEPTH} levels, which is the maximum; does it contain itself?"
            ))
        })
    };
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        check_depth()?;
        let mut map = Map::with_capacity(dict.len());
        for (key, value) in dict {
            let Ok(key) = key.cast_exact::<PyString>() else { return Ok(None) };
            let (Ok(key), Some(value)) = (key.to_str(), read_builtin(&value, depth + 1, left)?) else {
                return Ok(None);
            };
            map.insert(Text::from(key), value);
        }
        return Ok(Some(Json::Map(map)));
    }
    if let Ok(exact) = value.cast_exact::<Exact>() {
        return Ok(Some(Json::Number(exact.get().0.clone())));
    }
    let mut items = |items: &mut dyn Iterator<Item = Bound<'_, PyAny>>| -> PyResult<Option<Json>> {
        check_depth()?;
        let mut list = Vec::new();
        for item in items {
            let Some(item) = read_builtin(&item, depth + 1, left)? else { return Ok(None) };
            list.push(item);
        }
        Ok(Some(Json::List(list)))
    };
    if let Ok(list) = value.cast_exact::<PyList>() {
        return items(&mut list.iter());
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return items(&mut tuple.iter());
    }
    Ok(None)
}

/// The type of a value with its article, for error messages.
pub(crate) fn a_type(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname().map_or_else(|_| "value".to_owned(), |name| name.to_string());
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// Converts a value for Python. A number becomes an `int` if it is whole, a `float` if that represents the same
/// decimal, else a `Decimal`.
pub(crate) fn write<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    write_with(py, json, number_for)
}

/// Converts a value for Python's `json`, and for whatever else knows only the types of JSON. A number becomes an `int` if it is
/// whole, otherwise the nearest `float`. NaN and infinities, which JSON does not have, become `None`.
pub(crate) fn write_ready<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    write_with(py, json, |py, number| match number {
        Number::Exact(amount) => amount_for(py, *amount),
        Number::Wide(_) => {
            let float = number.to_string().parse().unwrap_or(f64::INFINITY);
            Ok(if float.is_finite() { PyFloat::new(py, float).into_any() } else { py.None().into_bound(py) })
        }
        Number::Infinite(_) | Number::NotANumber => Ok(py.None().into_bound(py)),
    })
}

type WriteNumber = for<'py> fn(Python<'py>, &Number) -> PyResult<Bound<'py, PyAny>>;

fn write_with<'py>(py: Python<'py>, json: &Json, number: WriteNumber) -> PyResult<Bound<'py, PyAny>> {
    Ok(match json {
        Json::Null => py.None().into_bound(py),
        Json::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Json::Number(value) => number(py, value)?,
        Json::Text(text) => PyString::new(py, text).into_any(),
        Json::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(write_with(py, item, number)?)?;
            }
            list.into_any()
        }
        Json::Map(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map.iter() {
                dict.set_item(key, write_with(py, value, number)?)?;
            }
            dict.into_any()
        }
    })
}

fn number_for<'py>(py: Python<'py>, number: &Number) -> PyResult<Bound<'py, PyAny>> {
    match number {
        Number::Exact(amount) if amount.to_integer().is_some() => amount_for(py, *amount),
        Number::Exact(_) | Number::Wide(_) => {
            let text = number.to_string();
            match text.parse::<f64>() {
                Ok(float) if Number::from(float) == *number => Ok(PyFloat::new(py, float).into_any()),
                _ => decimal(py, &text),
            }
        }
        Number::Infinite(negative) => {
            Ok(PyFloat::new(py, if *negative { f64::NEG_INFINITY } else { f64::INFINITY }).into_any())
        }
        Number::NotANumber => Ok(PyFloat::new(py, f64::NAN).into_any()),
    }
}

/// An amount as `int` if it is whole, otherwise as `float`.
pub(crate) fn amount_for(py: Python<'_>, amount: Amount) -> PyResult<Bound<'_, PyAny>> {
    Ok(match amount.to_integer() {
        Some(whole) => whole.into_pyobject(py)?.into_any(),
        None => PyFloat::new(py, amount.to_f64()).into_any(),
    })
}

/// An amount as `decimal.Decimal`.
pub(crate) fn exact_for(py: Python<'_>, amount: Amount) -> PyResult<Bound<'_, PyAny>> {
    decimal(py, &amount.to_string())
}

/// Reads a number in a definition or a call.
pub(crate) fn amount(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Amount> {
    match read(value)? {
        Json::Number(Number::Infinite(_) | Number::NotANumber) => {
            Err(PyValueError::new_err(format!("{what} is not finite; expected a number")))
        }
        Json::Number(number) => number
            .to_rounded()
            .ok_or_else(|| PyValueError::new_err(format!("{what} is out of range; expected |x| < 1.7e20"))),
        other => Err(PyTypeError::new_err(format!("{what} is {}; expected a number", other.kind()))),
    }
}

/// Reads a timestamp: seconds since 1970 UTC, `datetime`, `date`, or an RFC 3339 string.
pub(crate) fn moment(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let json = read(value)?;
    Timestamp::read(&json).ok_or_else(|| {
        let expected = "expected seconds since 1970 UTC, a datetime, a date or an RFC 3339 string";
        match json {
            Json::Number(number) => {
                PyValueError::new_err(format!("{what} is {}; {expected}", text::plain(&number.to_string())))
            }
            Json::Text(_) => PyValueError::new_err(format!("{what} is {}; {expected}", text::plain(&json.to_string()))),
            other => PyTypeError::new_err(format!("{what} is {}; {expected}", other.kind())),
        }
    })
}

/// Reads a length of time: seconds or a `timedelta`.
pub(crate) fn span(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Span> {
    let json = read(value)?;
    Span::read(&json).ok_or_else(|| {
        let expected = "expected seconds, 0 or more, or a timedelta";
        match json {
            Json::Number(number) => {
                PyValueError::new_err(format!("{what} is {}; {expected}", text::plain(&number.to_string())))
            }
            other => PyTypeError::new_err(format!("{what} is {}; {expected}", other.kind())),
        }
    })
}

/// A timestamp as seconds since 1970 UTC.
pub(crate) fn seconds_for(py: Python<'_>, moment: Timestamp) -> PyResult<Bound<'_, PyAny>> {
    number_for(py, &moment.to_number())
}

/// The value, with only the types of JSON in it.
#[pyfunction]
pub(crate) fn as_json<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    write_ready(py, &read_any(value)?)
}
