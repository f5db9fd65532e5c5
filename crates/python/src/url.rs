//! How URLs are read and shown, for the Python half.

use dictrack::url;
use pyo3::prelude::*;

/// A URL as people may see it: scheme, hosts and database.
#[pyfunction]
pub(crate) fn shown_url(url: &str) -> String {
    url::shown(url)
}

/// The scheme of a text, if it has one that is known.
#[pyfunction]
pub(crate) fn url_scheme(text: &str) -> Option<&str> {
    url::scheme(text)
}

/// Whether a text that may be a file was meant to be a URL.
#[pyfunction]
pub(crate) fn is_meant_as_url(text: &str) -> bool {
    url::is_meant(text)
}
