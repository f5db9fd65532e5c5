//! Conditions and limiters on their own, outside of groups, evaluated by the same code as in groups.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dictrack::json::Json;
use dictrack::{Renewal, TrackerDefinition, custom::Registry, group::Engine, limiter::Verdict};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::custom::PythonCode;
use crate::document::Document;
use crate::state::limiter_for;
use crate::{errors, value};

/// The definition of a tracker with only this `field`.
fn with(field: &str, part: Json) -> PyResult<TrackerDefinition> {
    let fields = [
        ("name", Json::from("check")),
        ("kind", "count".into()),
        ("target", 1_u64.into()),
        (field, Json::List(vec![part])),
    ];
    let json = Json::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect());
    TrackerDefinition::from_json(&json).map_err(|error| {
        // On its own it has no position.
        let message = error.to_string();
        errors::of(dictrack::ErrorKind::Definition, message.strip_prefix("limiters[0].").unwrap_or(&message))
    })
}

/// A condition. Two conditions are equal if their kinds, keys, operands and flags are equal.
#[pyclass(frozen, eq, hash, module = "dictrack._dictrack")]
pub(crate) struct Condition(Arc<TrackerDefinition>);

impl Condition {
    fn condition(&self) -> &dictrack::Condition {
        &self.0.conditions()[0]
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash().hash(state);
    }
}

#[pymethods]
impl Condition {
    /// Reads a dict such as ``{"key": "status", "eq": "completed"}``.
    #[new]
    fn new(condition: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(with("conditions", value::read(condition)?)?)))
    }

    /// Whether a document satisfies the condition.
    fn check(&self, document: &Bound<'_, PyAny>) -> PyResult<bool> {
        let document = Document::read(document)?;
        let mut registry = Registry::default();
        registry.set_others(PythonCode);
        let holds = self.condition().holds(&document, &registry);
        holds.map_err(|error| errors::of(dictrack::ErrorKind::CustomCode, &error.to_string()))
    }

    fn __repr__(&self) -> String {
        self.condition().to_string()
    }
}

/// A limiter with its own state.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Limiter {
    limiter: Mutex<dictrack::limiter::Limiter>,
    engine: Engine,
}

#[pymethods]
impl Limiter {
    /// Reads a dict such as ``{"count": 100}``; windows with a length start ``now``.
    #[new]
    fn new(limiter: &Bound<'_, PyAny>, now: &Bound<'_, PyAny>) -> PyResult<Self> {
        let definition = with("limiters", value::read(limiter)?)?.limiters()[0].clone();
        let engine = Engine::default();
        let limiter = dictrack::limiter::Limiter::new(definition, value::moment("now", now)?, &engine);
        Ok(Self { limiter: Mutex::new(limiter), engine })
    }

    /// The limiter as of ``now``, in the same form as the limiters of a tracker.
    fn view<'py>(&self, py: Python<'py>, now: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let view = self.limiter.lock().view(value::moment("now", now)?);
        limiter_for(py, &view)
    }

    /// Whether a document may count at ``now``. Only a sum at a key reads it.
    #[pyo3(signature = (now, document=None))]
    fn admits(&self, now: &Bound<'_, PyAny>, document: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let document = document.map(value::read_any).transpose()?.unwrap_or(Json::Null);
        let verdict = self.limiter.lock().admits(&document, value::moment("now", now)?, &self.engine);
        Ok(verdict.map_err(|error| PyValueError::new_err(error.to_string()))? == Verdict::Admitted)
    }

    /// Records a document that counted at ``now``. Returns whether another one can count.
    #[pyo3(signature = (now, document=None))]
    fn record(&self, now: &Bound<'_, PyAny>, document: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let document = document.map(value::read_any).transpose()?.unwrap_or(Json::Null);
        let recorded = self.limiter.lock().record(&document, value::moment("now", now)?, &self.engine);
        recorded.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Renews the limiter at ``now``, with a new count or length if given.
    #[pyo3(signature = (now, count=None, seconds=None))]
    fn renew(&self, now: &Bound<'_, PyAny>, count: Option<u64>, seconds: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let now = value::moment("now", now)?;
        let mut renewal = Renewal::default();
        renewal.count = count;
        renewal.length = seconds.map(|seconds| value::span("reset_seconds", seconds)).transpose()?;
        let renewed = self.limiter.lock().renew(renewal, now, &self.engine);
        renewed.map_err(|error| PyValueError::new_err(error.to_string()))
    }
}
