//! The manager's calls. Each is one future: threads wait for it, event loops poll it.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use dictrack::json::Json;
use dictrack::open::{CacheAddress, OpenOptions, StoreAddress};
use dictrack::{
    Amount, Differing, EventCode, Item, Limits, ListenerId, Manager as Tracking, Renewal, ResetPolicy, Timestamp,
    TrackOptions, TrackerDefinition,
};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::custom::PythonCode;
use crate::definition::Definition;
use crate::document::Document;
use crate::event::event_for;
use crate::fork::Own;
use crate::live::{Following, Live};
use crate::outcome::Outcome;
use crate::pending::Pending;
use crate::python::tell_function;
use crate::state::State;
use crate::{errors, interrupted, value};

/// A clock that stands still until it is told otherwise.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct TestClock(Arc<dictrack::TestClock>);

#[pymethods]
impl TestClock {
    /// A clock that stands at ``now``: seconds since 1970 UTC, a datetime or an RFC 3339 text.
    #[new]
    fn new(now: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(dictrack::TestClock::new(value::moment("now", now)?))))
    }

    /// Moves the clock on by seconds or a timedelta.
    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.advance(value::span("seconds", seconds)?);
        Ok(())
    }

    /// Puts the clock to ``now``, also back.
    fn set(&self, now: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.set(value::moment("now", now)?);
        Ok(())
    }
}

/// Opens a manager on a Redis cache (its URL) or memory, and a store: the path of a SQLite file, or URL, database and
/// collection of MongoDB.
#[pyfunction]
#[pyo3(signature = (*, redis=None, cache_bytes=None, sqlite=None, mongodb=None, durability=None, clock=None,
    completed_kept=None, id_window=None, ids_at_least=None, ids_at_most=None))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn open(
    redis: Option<&str>,
    cache_bytes: Option<usize>,
    sqlite: Option<PathBuf>,
    mongodb: Option<(String, Option<String>, Option<String>)>,
    durability: Option<&str>,
    clock: Option<&Bound<'_, TestClock>>,
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
    // MongoDB is far away: callers do not wait for it unless they say so.
    if let Some(durability) = durability.or(mongodb.as_ref().map(|_| "interval(100ms)")) {
        let read = durability
            .parse()
            .map_err(|error: dictrack::ParseDurabilityError| PyValueError::new_err(error.to_string()))?;
        builder = builder.durability(read);
    }
    if let Some(clock) = clock {
        builder = builder.shared_clock(Arc::clone(&clock.get().0) as _);
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
    Ok(Pending::new(task, |py, manager| {
        let manager = Ending(Some(manager));
        let inner = Inner { manager, following: Following::default(), listeners: Mutex::default() };
        Ok(Py::new(py, Manager { slot: Own::new(Arc::new(Mutex::new(Some(Arc::new(inner))))) })?.into_any())
    }))
}

/// Ends its manager without the GIL: the end waits for threads that may want to log.
pub(crate) struct Ending(Option<Tracking>);

impl Deref for Ending {
    type Target = Tracking;

    fn deref(&self) -> &Tracking {
        let Some(manager) = &self.0 else { unreachable!("only the end takes it out") };
        manager
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut manager = self.0.take();
        // Where there is no interpreter any more, nobody logs.
        let _ = Python::try_attach(|py| py.detach(|| drop(manager.take())));
    }
}

/// What a manager shares with the trackers that follow it.
pub(crate) struct Inner {
    pub(crate) manager: Ending,
    following: Following,
    listeners: Mutex<Vec<(u64, ListenerId)>>,
}

impl Inner {
    async fn track(
        &self,
        group: &str,
        document: &Document,
        now: Option<Timestamp>,
        id: Option<&str>,
    ) -> Result<dictrack::Outcome, dictrack::Error> {
        let outcome = self.manager.track_with(group, document, options(now, id)).await?;
        if self.following.has_to_follow(&outcome) {
            self.following.follow(group, &outcome).await;
        }
        Ok(outcome)
    }
}

fn options(now: Option<Timestamp>, id: Option<&str>) -> TrackOptions<'_> {
    let mut options = TrackOptions::default();
    options.now = now;
    options.event_id = id;
    options
}

/// A manager until it is closed: then its file is free, also while the object is still there.
type Slot = Arc<Mutex<Option<Arc<Inner>>>>;

/// The manager of one cache and one store.
#[pyclass(frozen, weakref, module = "dictrack._dictrack")]
pub(crate) struct Manager {
    slot: Own<Slot>,
}

type Moment<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn moment(now: Moment<'_, '_>) -> PyResult<Option<Timestamp>> {
    now.map(|now| value::moment("now", now)).transpose()
}

fn policy(bits: Option<u8>) -> PyResult<Option<ResetPolicy>> {
    bits.map(|bits| match bits {
        0 => Ok(ResetPolicy::NONE),
        1 => Ok(ResetPolicy::PROGRESS),
        2 => Ok(ResetPolicy::LIMITER),
        3 => Ok(ResetPolicy::ALL),
        _ => Err(PyValueError::new_err(format!("reset_policy is {bits}; expected 0 to 3"))),
    })
    .transpose()
}

fn definitions(list: Vec<Bound<'_, Definition>>) -> Vec<TrackerDefinition> {
    list.iter().map(|definition| (*definition.get().0).clone()).collect()
}

fn names(names: &Option<Vec<String>>) -> Option<Vec<&str>> {
    names.as_ref().map(|names| names.iter().map(String::as_str).collect())
}

fn none(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

fn truth(py: Python<'_>, truth: bool) -> PyResult<Py<PyAny>> {
    Ok(pyo3::types::PyBool::new(py, truth).to_owned().into_any().unbind())
}

/// What an add found, as a dict of lists.
fn added(py: Python<'_>, added: dictrack::Added) -> PyResult<Py<PyAny>> {
    let dict = PyDict::new(py);
    let lists = [
        ("added", added.added),
        ("existing", added.existing),
        ("completed", added.completed),
        ("updated", added.updated),
        ("removed", added.removed),
    ];
    for (key, names) in lists {
        dict.set_item(key, names)?;
    }
    dict.set_item("events", added.events.iter().map(|event| event_for(py, event)).collect::<PyResult<Vec<_>>>()?)?;
    Ok(dict.into_any().unbind())
}

impl Manager {
    fn shared(&self) -> PyResult<Arc<Inner>> {
        let inner = self.slot.get()?.lock().clone();
        inner.ok_or_else(|| errors::of("ClosedError", "the manager is closed"))
    }
}

#[pymethods]
impl Manager {
    /// Applies a document and waits for what the durability says.
    #[pyo3(signature = (group_id, data, now=None, event_id=None))]
    fn track(
        &self,
        py: Python<'_>,
        group_id: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        now: Moment<'_, '_>,
        event_id: Option<&str>,
    ) -> PyResult<Outcome> {
        let inner = self.shared()?;
        let (document, now, group) = (Document::read(data)?, moment(now)?, group_id.to_str()?);
        let shown = now.unwrap_or_else(|| inner.manager.now());
        let outcome = py.detach(|| pollster::block_on(inner.track(group, &document, now, event_id)));
        interrupted::check()?;
        match outcome {
            Ok(outcome) => Ok(Outcome::new(outcome, group_id, shown)),
            Err(error) => Err(errors::exception(py, &error)),
        }
    }

    /// Applies a document.
    #[pyo3(signature = (group_id, data, now=None, event_id=None))]
    fn begin_track(
        &self,
        group_id: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        now: Moment<'_, '_>,
        event_id: Option<String>,
    ) -> PyResult<Pending> {
        let inner = self.shared()?;
        let (document, now, id) = (Document::read(data)?, moment(now)?, event_id);
        let (group, text) = (group_id.clone().unbind(), group_id.to_str()?.to_owned());
        let shown = now.unwrap_or_else(|| inner.manager.now());
        let task = async move { inner.track(&text, &document, now, id.as_deref()).await };
        Ok(Pending::new(task, move |py, outcome| {
            Ok(Py::new(py, Outcome::new(outcome, group.bind(py), shown))?.into_any())
        }))
    }

    /// Applies many documents in order and commits them together: a list of outcomes, and of exceptions where one failed.
    fn track_many(&self, items: Vec<Bound<'_, PyAny>>) -> PyResult<Pending> {
        type Read<'py> = (Bound<'py, PyString>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Option<String>);
        let inner = self.shared()?;
        let mut documents = Vec::with_capacity(items.len());
        let mut groups = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let (group, data, now, id) = item.extract::<Read<'_>>().map_err(|_| {
                PyTypeError::new_err(format!(
                    "items[{at}] is not (group_id, data), (group_id, data, now) or \
                    (group_id, data, now, event_id)"
                ))
            })?;
            let now = moment(now.as_ref())?;
            groups.push((group.clone().unbind(), now.unwrap_or_else(|| inner.manager.now())));
            documents.push((group.to_str()?.to_owned(), Document::read(&data)?, now, id));
        }
        let task = async move {
            let items: Vec<Item<'_>> = documents
                .iter()
                .map(|(group, document, now, id)| Item { group, document, options: options(*now, id.as_deref()) })
                .collect();
            let results = inner.manager.track_many(&items).await;
            for (item, result) in items.iter().zip(&results) {
                if let Ok(outcome) = result
                    && inner.following.has_to_follow(outcome)
                {
                    inner.following.follow(item.group, outcome).await;
                }
            }
            Ok(results)
        };
        Ok(Pending::new(task, move |py, results| {
            let list = PyList::empty(py);
            for (result, (group, shown)) in results.into_iter().zip(groups) {
                match result {
                    Ok(outcome) => list.append(Outcome::new(outcome, group.bind(py), shown))?,
                    Err(error) => list.append(errors::exception(py, &error).value(py))?,
                }
            }
            Ok(list.into_any().unbind())
        }))
    }

    /// Adds trackers: all or none. ``expire``: seconds after which they are gone.
    #[pyo3(signature = (group_id, definitions, now=None, expire=None))]
    fn add_trackers(
        &self,
        group_id: String,
        definitions: Vec<Bound<'_, Definition>>,
        now: Moment<'_, '_>,
        expire: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pending> {
        let (inner, now, list) = (self.shared()?, moment(now)?, self::definitions(definitions));
        let expire = expire.map(|expire| value::span("expire", expire)).transpose()?;
        let task = async move { inner.manager.add_trackers_at(&group_id, list, now, expire).await };
        Ok(Pending::new(task, added))
    }

    /// Sees to it that a group has these trackers; completed ones are left alone.
    #[pyo3(signature = (group_id, definitions, update=false, now=None))]
    fn ensure_trackers(
        &self,
        group_id: String,
        definitions: Vec<Bound<'_, Definition>>,
        update: bool,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now, list) = (self.shared()?, moment(now)?, self::definitions(definitions));
        let differing = if update { Differing::Update } else { Differing::Refuse };
        let task = async move {
            let list = inner.manager.tracker_list(list)?;
            inner.following.look(Some(&group_id)).await;
            inner.manager.ensure_trackers_at(&group_id, &list, differing, now).await
        };
        Ok(Pending::new(task, added))
    }

    /// Begins to follow active trackers: one for each name that there is, ``None`` for the others. Each name comes with what
    /// is called when the states of its limiters change, or ``None``.
    fn follow(&self, group_id: String, names: Vec<(String, Option<Py<PyAny>>)>) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            let wanted: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
            let found = inner.manager.get_trackers(&group_id, Some(&wanted)).await?;
            let mut live: Vec<Option<Live>> = Vec::with_capacity(names.len());
            for (name, limiters_changed) in names {
                let found = found.iter().find(|found| found.name() == name);
                live.push(found.map(|found| inner.following.begin(&inner, &group_id, found, limiters_changed)));
            }
            Ok(live)
        };
        Ok(Pending::new(task, |py, live| Ok(live.into_pyobject(py)?.into_any().unbind())))
    }

    /// The active trackers, in the order added: all, or those named.
    #[pyo3(signature = (group_id, names=None, now=None))]
    fn get_trackers(&self, group_id: String, names: Option<Vec<String>>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let task = async move {
            let now = now.unwrap_or_else(|| inner.manager.now());
            let found = inner.manager.get_trackers_at(&group_id, self::names(&names).as_deref(), Some(now)).await?;
            Ok(found.iter().map(|found| State::of(found).at_moment(now)).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, states| Ok(states.into_pyobject(py)?.into_any().unbind())))
    }

    /// Replaces the definition of the active tracker of its name, and sets its progress if one is given.
    #[pyo3(signature = (group_id, definition, progress=None, now=None))]
    fn update_tracker(
        &self,
        group_id: String,
        definition: &Bound<'_, Definition>,
        progress: Option<&Bound<'_, PyAny>>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now, definition) = (self.shared()?, moment(now)?, (*definition.get().0).clone());
        let progress = progress.map(|progress| value::amount("progress", progress)).transpose()?;
        let task = async move { inner.manager.update_tracker_with(&group_id, definition, progress, now).await };
        Ok(Pending::new(task, truth))
    }

    /// Sets the progress of an active tracker.
    fn set_progress(&self, group_id: String, name: String, progress: &Bound<'_, PyAny>) -> PyResult<Pending> {
        let (inner, progress) = (self.shared()?, value::amount("progress", progress)?);
        Ok(Pending::new(async move { inner.manager.set_progress(&group_id, &name, progress).await }, truth))
    }

    /// Puts targets behind those of an active tracker.
    fn add_targets(&self, group_id: String, name: String, targets: Vec<Bound<'_, PyAny>>) -> PyResult<Pending> {
        let inner = self.shared()?;
        let targets: PyResult<Vec<Amount>> = targets.iter().map(|target| value::amount("target", target)).collect();
        let targets = targets?;
        Ok(Pending::new(async move { inner.manager.add_targets(&group_id, &name, targets).await }, truth))
    }

    /// Removes active trackers, all or those named; the names of those that were there.
    #[pyo3(signature = (group_id, names=None, now=None))]
    fn remove_trackers(&self, group_id: String, names: Option<Vec<String>>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let task = async move {
            inner.following.look(Some(&group_id)).await;
            let names = match names {
                Some(names) => names,
                None => {
                    let all = inner.manager.get_trackers_at(&group_id, None, now).await?;
                    all.iter().map(|tracker| tracker.name().to_owned()).collect()
                }
            };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            inner.manager.remove_trackers_at(&group_id, &names, now).await
        };
        Ok(Pending::new(task, |py, names| Ok(names.into_pyobject(py)?.into_any().unbind())))
    }

    /// Resets an active tracker; whether there is one.
    #[pyo3(signature = (group_id, name, policy=None, count=None, seconds=None, now=None))]
    fn reset_tracker(
        &self,
        group_id: String,
        name: String,
        policy: Option<u8>,
        count: Option<u64>,
        seconds: Option<&Bound<'_, PyAny>>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now, policy) = (self.shared()?, moment(now)?, self::policy(policy)?);
        let length = seconds.map(|seconds| value::span("reset_seconds", seconds)).transpose()?;
        let mut renewal = Renewal::default();
        (renewal.count, renewal.length) = (count, length);
        let task = async move {
            let event = inner.manager.reset_tracker_at(&group_id, &name, policy, renewal, now).await?;
            if let Some(event) = &event {
                inner.following.limiters_changed(&group_id, &event.tracker.definition, &event.tracker.limiters);
            }
            Ok(event.is_some())
        };
        Ok(Pending::new(task, truth))
    }

    /// What a document would do to each tracker, as a list of dicts; nothing is changed.
    #[pyo3(signature = (group_id, data, now=None))]
    fn explain(&self, group_id: String, data: &Bound<'_, PyAny>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, document, now) = (self.shared()?, Document::read(data)?, moment(now)?);
        let task = async move {
            let explained = inner.manager.explain_at(&group_id, &document, now).await?;
            Ok(Json::List(explained.iter().map(dictrack::Explanation::to_json).collect()))
        };
        Ok(Pending::new(task, |py, explained| Ok(value::write(py, &explained)?.unbind())))
    }

    /// The trackers that a group completed, in that order.
    fn completed(&self, group_id: String) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            let completed = inner.manager.completed(&group_id).await?;
            let state = |done: &dictrack::CompletedTracker| State::of(&done.tracker).done(done.completed_at);
            Ok(completed.iter().map(state).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, states| Ok(states.into_pyobject(py)?.into_any().unbind())))
    }

    /// Calls ``callback`` for each event with this code; what removes it again.
    fn add_listener(&self, py: Python<'_>, code: u16, callback: Py<PyAny>) -> PyResult<u64> {
        let inner = self.shared()?;
        let code = EventCode::ALL.into_iter().find(|known| known.number() == code);
        let code = code.ok_or_else(|| PyValueError::new_err("expected an event code: 1001 to 1005"))?;
        let tell = move |event: &dictrack::Event| {
            let event = Arc::new(event.clone());
            let told = Python::attach(|py| tell_function(py)?.call1((&callback, event_for(py, &event)?)).map(drop));
            told.or_else(interrupted::unless_failed).map_err(Into::into)
        };
        Ok(py.detach(|| {
            let id = inner.manager.add_listener(code, tell);
            let mut listeners = inner.listeners.lock();
            let number = listeners.last().map_or(1, |(last, _)| last + 1);
            listeners.push((number, id));
            number
        }))
    }

    /// Removes a listener; whether it was there.
    fn remove_listener(&self, py: Python<'_>, number: u64) -> PyResult<bool> {
        let inner = self.shared()?;
        Ok(py.detach(|| {
            let mut listeners = inner.listeners.lock();
            let Some(at) = listeners.iter().position(|(known, _)| *known == number) else { return false };
            inner.manager.remove_listener(listeners.remove(at).1)
        }))
    }

    /// The manager's clock, in seconds since 1970 UTC.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::seconds_for(py, self.shared()?.manager.now())
    }

    /// Empties the cache and the store for good.
    fn flush(&self, confirm: bool) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            if confirm {
                inner.following.look(None).await;
            }
            inner.manager.flush(confirm).await
        };
        Ok(Pending::new(task, none))
    }

    /// Writes everything and ends the manager.
    fn close(&self) -> PyResult<Pending> {
        let slot = Arc::clone(self.slot.get()?);
        let task = async move {
            let Some(inner) = slot.lock().clone() else { return Ok(()) };
            inner.following.look(None).await;
            let closed = inner.manager.close().await;
            // The manager may be what its listeners refer to: they would keep each other.
            for (_, listener) in std::mem::take(&mut *inner.listeners.lock()) {
                inner.manager.remove_listener(listener);
            }
            slot.lock().take();
            closed
        };
        Ok(Pending::new(task, none))
    }
}
