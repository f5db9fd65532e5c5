//! Opening a manager.

use std::path::PathBuf;
use std::sync::Arc;

use dictrack::json::{Json, Text};
use dictrack::open::{CacheAddress, OpenOptions, StoreAddress};
use dictrack::{Manager as Tracking, TrackerDefinition, Zone, group::Limits};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::Manager;
use super::inner::Inner;
use crate::clock::{ProgramClock, TestClock};
use crate::custom::PythonCode;
use crate::pending::Pending;
use crate::templates::Templates;
use crate::{errors, value};

/// The zone with this name, read like the zone of a definition.
fn zone_named(name: &str) -> PyResult<Zone> {
    let fields: [(&str, Json); 4] =
        [("name", "zone".into()), ("kind", "count".into()), ("target", 1_u64.into()), ("zone", name.into())];
    let json = Json::Map(fields.into_iter().map(|(key, value)| (Text::from(key), value)).collect());
    let read = TrackerDefinition::from_json(&json).map_err(|error| errors::definition(&error))?;
    Ok(read.zone().unwrap_or_default())
}

/// Opens a manager. The cache is Redis, given by its URL, or memory; the store is the path of an SQLite file, or the
/// URL, database and collection of MongoDB.
#[pyfunction]
#[pyo3(signature = (*, redis=None, cache_bytes=None, sqlite=None, mongodb=None, durability=None, clock=None,
    zone=None, ahead=None, trackers=None, completed_kept=None, id_window=None, ids_at_least=None, ids_at_most=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn open(
    redis: Option<&str>,
    cache_bytes: Option<usize>,
    sqlite: Option<PathBuf>,
    mongodb: Option<(String, Option<String>, Option<String>)>,
    durability: Option<&str>,
    clock: Option<&Bound<'_, PyAny>>,
    zone: Option<&str>,
    ahead: Option<&Bound<'_, PyAny>>,
    trackers: Option<&Bound<'_, Templates>>,
    completed_kept: Option<usize>,
    id_window: Option<&Bound<'_, PyAny>>,
    ids_at_least: Option<usize>,
    ids_at_most: Option<usize>,
) -> PyResult<Pending> {
    let mut builder = Tracking::builder().custom_code(PythonCode);
    let mut limits = Limits::default();
    limits.completed = completed_kept.unwrap_or(limits.completed);
    limits.ids_at_least = ids_at_least.unwrap_or(limits.ids_at_least);
    limits.ids_at_most = ids_at_most.unwrap_or(limits.ids_at_most);
    if let Some(window) = id_window {
        limits.id_window = value::span("id_window", window)?;
    }
    builder = builder.limits(limits);
    // MongoDB is far away: calls do not wait for it unless the caller asks for that.
    if let Some(durability) = durability.or(mongodb.as_ref().map(|_| "interval(100ms)")) {
        let read = durability
            .parse()
            .map_err(|error: dictrack::durability::ParseDurabilityError| PyValueError::new_err(error.to_string()))?;
        builder = builder.durability(read);
    }
    if let Some(clock) = clock {
        builder = match clock.cast::<TestClock>() {
            Ok(clock) => builder.shared_clock(Arc::clone(&clock.get().0) as _),
            Err(_) => builder.clock(ProgramClock::new(clock)?),
        };
    }
    if let Some(zone) = zone {
        builder = builder.zone(zone_named(zone)?);
    }
    if let Some(ahead) = ahead {
        builder = builder.ahead(value::span("ahead", ahead)?);
    }
    if let Some(templates) = trackers {
        builder = builder.trackers(templates.get().0.clone());
    }
    if redis.is_none()
        && let Some(bytes) = cache_bytes
    {
        builder = builder.memory_budget(bytes);
    }
    let redis = redis.map(str::to_owned);
    let task = async move {
        let mut options = OpenOptions::default();
        if let Some(url) = redis {
            options.memory = cache_bytes;
            builder = builder.cache(CacheAddress::redis(url).open(&options)?);
        }
        options.memory = None;
        let store = match (sqlite, mongodb) {
            (Some(path), _) => Some(StoreAddress::file(path)),
            (None, Some((url, database, collection))) => {
                (options.database, options.collection) = (database, collection);
                Some(StoreAddress::mongodb(url))
            }
            (None, None) => None,
        };
        if let Some(store) = store {
            builder = builder.store(store.open(&options).await?);
        }
        builder.open().await
    };
    Ok(Pending::new(task, |py, manager| Ok(Py::new(py, Manager::new(Inner::new(manager)))?.into_any())))
}
