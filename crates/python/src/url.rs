//! Parsing and displaying URLs, for the Python part.

use std::path::PathBuf;

use dictrack::open::{AddressError, CacheAddress, StoreAddress};
use dictrack::url;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A URL in a form that is safe to show: scheme, hosts and database.
#[pyfunction]
pub(crate) fn shown_url(url: &str) -> String {
    url::shown(url)
}

fn refused(error: &AddressError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Whether a text names an SQLite file rather than a MongoDB database.
#[pyfunction]
pub(crate) fn names_a_file(store: PathBuf) -> PyResult<bool> {
    StoreAddress::parse(store).map(|store| store.path().is_some()).map_err(|error| refused(&error))
}

/// Rejects a text that does not name a cache.
#[pyfunction]
pub(crate) fn check_cache(url: &str) -> PyResult<()> {
    CacheAddress::parse(url).map(drop).map_err(|error| refused(&error))
}
