//! Templates: trackers that groups have without being given them one by one.

use std::path::PathBuf;

use dictrack::source::Node;
use dictrack::template::{Template, read_templates};
use pyo3::prelude::*;

use crate::{errors, value};

/// The templates of a manager.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Templates(pub(crate) Vec<Template>);

#[pymethods]
impl Templates {
    /// Reads a dict with ``trackers``, ``templates`` or both, as in definition files.
    #[new]
    fn new(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let json = value::read(source)?;
        read_templates(&Node::from(&json)).map(Self).map_err(|error| errors::definition(&error))
    }

    /// Reads the trackers for groups in a TOML, YAML or JSON file. Also returns warnings about them, with their positions.
    #[staticmethod]
    fn read_file(py: Python<'_>, path: PathBuf) -> PyResult<(Self, Vec<String>)> {
        let (templates, warnings) = py
            .detach(|| dictrack::files::read_templates_with_warnings(&path))
            .map_err(|error| errors::of(dictrack::ErrorKind::Definition, &error.to_string()))?;
        Ok((Self(templates), warnings.iter().map(ToString::to_string).collect()))
    }
}
