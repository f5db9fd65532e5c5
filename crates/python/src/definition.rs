//! Definitions: checked once, immutable.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use dictrack::{Kind, TrackerDefinition};
use pyo3::prelude::*;

use crate::{errors, value};

/// The definition of one tracker, in the form that files, stores and other programs share.
#[pyclass(frozen, eq, hash, module = "dictrack._dictrack")]
#[derive(Clone, PartialEq)]
pub(crate) struct Definition(pub(crate) Arc<TrackerDefinition>);

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash().hash(state);
    }
}

#[pymethods]
impl Definition {
    /// Reads and checks a dict such as ``{"name": "logins", "kind": "count", "target": [3, 10]}``.
    #[new]
    fn new(definition: &Bound<'_, PyAny>) -> PyResult<Self> {
        let json = value::read(definition)?;
        TrackerDefinition::from_json(&json)
            .map(|definition| Self(Arc::new(definition)))
            .map_err(|error| errors::definition(&error))
    }

    /// The name.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// ``count``, ``sum``, ``streak`` or ``custom``.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind().name()
    }

    /// The registered name of the measure; ``None`` unless the kind is ``custom``.
    #[getter]
    fn measure(&self) -> Option<&str> {
        match self.0.kind() {
            Kind::Custom(custom) => Some(custom.measure()),
            _ => None,
        }
    }

    /// The targets, as ``int`` if they are whole.
    #[getter]
    fn targets<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.0.targets().iter().map(|&target| value::amount_for(py, target)).collect()
    }

    /// Warnings about parts that are often not what was meant.
    fn warnings(&self) -> Vec<String> {
        self.0.warnings().iter().map(|warning| format!("tracker {:?}: {warning}", self.0.name())).collect()
    }

    /// The definition as a dict, without fields that have their default value.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::write(py, &self.0.to_json())
    }

    fn __repr__(&self) -> String {
        format!("Definition({})", self.0.to_json())
    }
}

/// Reads the definitions in a TOML, YAML or JSON file. Also returns warnings about them, with their positions.
#[pyfunction]
pub(crate) fn read_file(py: Python<'_>, path: PathBuf) -> PyResult<(Vec<Definition>, Vec<String>)> {
    let (definitions, warnings) = py
        .detach(|| dictrack::files::read_with_warnings(&path))
        .map_err(|error| errors::of(dictrack::ErrorKind::Definition, &error.to_string()))?;
    let definitions = definitions.into_iter().map(|definition| Definition(Arc::new(definition))).collect();
    Ok((definitions, warnings.iter().map(ToString::to_string).collect()))
}
