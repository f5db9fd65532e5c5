//! Conditions, measures and limiters that are Python classes and functions. `dictrack._custom` looks them up by name; a
//! name in a store never causes an import.

use std::sync::Arc;

use dictrack::json::Json;
use dictrack::{
    Amount, Document as Seen, Renewal, Timestamp,
    custom::{BoxError, CustomCode, CustomCondition, CustomLimiter, Measure},
    limiter::Verdict,
};
use pyo3::prelude::*;

use crate::document::Document;
use crate::python::{
    admits_function, amount_function, check_function, knows_function, raised_function, record_function,
    renewed_function,
};
use crate::{interrupted, value};

/// Finds custom code that Python has registered.
pub(crate) struct PythonCode;

impl PythonCode {
    fn known(kind: &str, name: &str) -> bool {
        Python::attach(|py| knows_function(py)?.call1((kind, name))?.is_truthy()).unwrap_or(false)
    }
}

impl CustomCode for PythonCode {
    fn condition(&self, name: &str) -> Option<Arc<dyn CustomCondition>> {
        Self::known("condition", name).then(|| Arc::new(Named(name.to_owned())) as _)
    }

    fn measure(&self, name: &str) -> Option<Arc<dyn Measure>> {
        Self::known("measure", name).then(|| Arc::new(Named(name.to_owned())) as _)
    }

    fn limiter(&self, name: &str) -> Option<Arc<dyn CustomLimiter>> {
        Self::known("limiter", name).then(|| Arc::new(Named(name.to_owned())) as _)
    }
}

/// Python code under its registered name.
struct Named(String);

impl Named {
    /// Calls `function` with the name, the parameters and `arguments`. An exception is logged with its traceback, and
    /// the tracker is listed in `failed`.
    fn ask<T>(
        &self,
        kind: &str,
        function: impl FnOnce(Python<'_>) -> PyResult<&Bound<'_, PyAny>>,
        params: &Json,
        arguments: impl for<'py> FnOnce(Python<'py>) -> Arguments<'py>,
        read: impl FnOnce(Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, BoxError> {
        Python::attach(|py| {
            let asked = (|| {
                let mut all = vec![
                    self.0.as_str().into_pyobject(py)?.into_any(),
                    params.to_string().into_pyobject(py)?.into_any(),
                ];
                all.extend(arguments(py)?);
                read(function(py)?.call1(pyo3::types::PyTuple::new(py, all)?)?)
            })();
            asked.map_err(|error: PyErr| {
                let message = error.to_string();
                let error = match interrupted::unless_failed(error) {
                    Ok(()) => return message.into(),
                    // The exception includes its traceback.
                    Err(error) => error.into_value(py),
                };
                if let Err(other) = raised_function(py).and_then(|raised| raised.call1((kind, &self.0, error))) {
                    tracing::error!(target: "dictrack::custom", %other, %message, kind, name = self.0, "custom code failed");
                }
                message.into()
            })
        })
    }
}

type Arguments<'py> = PyResult<Vec<Bound<'py, PyAny>>>;

/// The arguments of a limiter: its state, the time and the document.
fn asked<'py>(py: Python<'py>, state: &Json, now: Timestamp, document: &dyn Seen) -> Arguments<'py> {
    Ok(vec![value::write(py, state)?, value::seconds_for(py, now)?, object(py, document)?])
}

/// The document as the caller passed it.
fn object<'py>(py: Python<'py>, document: &dyn Seen) -> PyResult<Bound<'py, PyAny>> {
    match document.as_any().downcast_ref::<Document>() {
        Some(document) => Ok(document.object().bind(py).clone()),
        None => value::write(py, &document.to_json()),
    }
}

impl CustomCondition for Named {
    fn check(&self, params: &Json, document: &dyn Seen) -> Result<bool, BoxError> {
        self.ask("condition", check_function, params, |py| Ok(vec![object(py, document)?]), |answer| answer.is_truthy())
    }
}

impl Measure for Named {
    fn amount(&self, params: &Json, document: &dyn Seen) -> Result<Option<Amount>, BoxError> {
        self.ask(
            "measure",
            amount_function,
            params,
            |py| Ok(vec![object(py, document)?]),
            |answer| match answer.is_none() {
                true => Ok(None),
                false => value::amount("the amount", &answer).map(Some),
            },
        )
    }
}

impl CustomLimiter for Named {
    fn renewed(&self, params: &Json, state: Option<&Json>, renewal: Renewal, now: Timestamp) -> Result<Json, BoxError> {
        self.ask(
            "limiter",
            renewed_function,
            params,
            |py| {
                Ok(vec![
                    value::write(py, state.unwrap_or(&Json::Null))?,
                    value::write(py, &renewal.count.map_or(Json::Null, Json::from))?,
                    value::write(py, &renewal.length.map_or(Json::Null, |length| Json::Number(length.to_number())))?,
                    value::seconds_for(py, now)?,
                ])
            },
            |state| value::read(&state),
        )
    }

    fn admits(&self, params: &Json, state: &Json, now: Timestamp, document: &dyn Seen) -> Result<Verdict, BoxError> {
        self.ask(
            "limiter",
            admits_function,
            params,
            |py| asked(py, state, now, document),
            |answer| {
                let (admitted, until): (bool, Option<Bound<'_, PyAny>>) = answer.extract()?;
                let until = until.map(|until| value::moment("retry_at", &until)).transpose()?;
                Ok(if admitted { Verdict::Admitted } else { Verdict::Refused { until } })
            },
        )
    }

    fn record(&self, params: &Json, state: &Json, now: Timestamp, document: &dyn Seen) -> Result<Json, BoxError> {
        self.ask("limiter", record_function, params, |py| asked(py, state, now, document), |state| value::read(&state))
    }

    fn exhausted(&self, _: &Json, state: &Json, _: Timestamp) -> Result<bool, BoxError> {
        // `record` stores the result of `post_track` there.
        Ok(state.as_map().and_then(|state| state.get("open")) == Some(&Json::Bool(false)))
    }
}
