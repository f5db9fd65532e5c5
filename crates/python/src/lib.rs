//! `dictrack._dictrack`: the native part of the Python package.
//!
//! The public classes are written in Python (`python/dictrack`). They describe definitions and calls as plain dicts,
//! and this module passes those to the same engine, caches and stores that Rust programs use. One rule prevents
//! deadlocks: no code holds or waits for a dictrack lock while it holds the GIL. So a document is read before its call
//! (`document.rs`), every call that may wait releases the GIL (`pending.rs`, `tracking.rs`), and Python code inside such a
//! call holds the GIL only while it runs (`custom.rs`).

mod batch;
mod check;
mod clock;
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
mod table;
mod templates;
mod tracking;
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
    use super::clock::TestClock;
    #[pymodule_export]
    use super::definition::{Definition, read_file};
    #[pymodule_export]
    use super::errors::error_kinds;
    #[pymodule_export]
    use super::event::Event;
    #[pymodule_export]
    use super::fork::after_fork_in_child;
    #[pymodule_export]
    use super::live::Live;
    #[pymodule_export]
    use super::manager::{Manager, TrackerList, open};
    #[pymodule_export]
    use super::outcome::{Outcome, Outcomes, Trackers};
    #[pymodule_export]
    use super::pending::Pending;
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::table::{Table, TableEvents};
    #[pymodule_export]
    use super::templates::Templates;
    #[pymodule_export]
    use super::tracking::Tracking;
    #[pymodule_export]
    use super::url::{check_cache, names_a_file, shown_url};
    #[pymodule_export]
    use super::value::{Exact, as_json};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Log records of dictrack go to Python's `logging`, whose configuration decides what is shown. Other crates are
        // left out: dictrack itself reports unreachable servers.
        let logger = pyo3_log::Logger::new(module.py(), pyo3_log::Caching::LoggersAndLevels)?;
        let logger = logger.filter(LevelFilter::Off).filter_target("dictrack".to_owned(), LevelFilter::Debug);
        let _ = logger.install();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
