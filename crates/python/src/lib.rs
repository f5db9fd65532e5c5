//! `dictrack._dictrack`: what the Python package is made of.
//!
//! The classes that people use are Python (`python/dictrack`); they say what is wanted as plain dicts, and this module
//! hands that to the same engine, caches and stores that Rust programs use. One rule keeps it free of deadlocks: no lock
//! of dictrack is waited for, and none is held, while the GIL is held. So a document is read before its call begins
//! (`document.rs`), every call lets the GIL go (`pending.rs`), and Python code that runs within takes it for as long as it
//! runs (`custom.rs`).

mod check;
mod custom;
mod definition;
mod document;
mod errors;
mod event;
mod fork;
mod interrupted;
mod live;
mod manager;
mod outcome;
mod pending;
mod python;
mod state;
mod url;
mod value;

use pyo3::prelude::*;

/// The engine, the caches and the stores of dictrack. Use the classes of the package `dictrack` instead.
#[pymodule]
mod _dictrack {
    use log::LevelFilter;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::check::{Condition, Limiter};
    #[pymodule_export]
    use super::definition::{Definition, read_file};
    #[pymodule_export]
    use super::event::Event;
    #[pymodule_export]
    use super::fork::after_fork_in_child;
    #[pymodule_export]
    use super::live::Live;
    #[pymodule_export]
    use super::manager::{Manager, TestClock, open};
    #[pymodule_export]
    use super::outcome::{Outcome, Trackers};
    #[pymodule_export]
    use super::pending::Pending;
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::url::{is_meant_as_url, shown_url, url_scheme};
    #[pymodule_export]
    use super::value::Exact;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // What dictrack logs goes to Python's `logging`, whose configuration decides what is shown; what other crates say of
        // servers that are away, dictrack says itself.
        let logger = pyo3_log::Logger::new(module.py(), pyo3_log::Caching::LoggersAndLevels)?;
        let logger = logger.filter(LevelFilter::Off).filter_target("dictrack".to_owned(), LevelFilter::Debug);
        let _ = logger.install();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
