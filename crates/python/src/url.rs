//! Parsing and displaying URLs, for the Python part.

use dictrack::url;
use pyo3::prelude::*;

/// A URL as it may be shown: scheme, hosts and database.
#[pyfunction]
pub(crate) fn shown_url(url: &str) -> String {
    url::shown(url)
}

/// The scheme of a URL, if it is a known one.
#[pyfunction]
pub(crate) fn url_scheme(text: &str) -> Option<&str> {
    url::scheme(text)
}

/// Whether a text that may be a file name was meant to be a URL.
#[pyfunction]
pub(crate) fn is_meant_as_url(text: &str) -> bool {
    url::is_meant(text)
}
