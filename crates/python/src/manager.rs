//! The calls of the manager. Each is one future, which threads wait for and event loops poll.

mod arguments;
mod ensured;
mod inner;
mod opening;

use std::sync::Arc;

use dictrack::find::{Order, Place, Query, Standing};
use dictrack::json::Json;
use dictrack::{
    Amount, ErrorKind, EventCode, PeriodRecord,
    group::Differing,
    manager::{Reset, TrackerUpdate},
};
use parking_lot::Mutex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

pub(crate) use arguments::moment;
use arguments::{Moment, policy};
pub(crate) use ensured::{Ensured, TrackerList};
pub(crate) use inner::{Inner, submission};
pub(crate) use opening::open;

use crate::batch::{How, Items};
use crate::definition::Definition;
use crate::document::Document;
use crate::event::event_for;
use crate::fork::Own;
use crate::live::Live;
use crate::outcome::{Outcome, counts_dict};
use crate::pending::Pending;
use crate::state::State;
use crate::table::Table;
use crate::templates::Templates;
use crate::{errors, value};

/// A manager until it is closed: closing releases its file, even while the object still exists.
type Slot = Arc<Mutex<Option<Arc<Inner>>>>;

/// A manager of one cache and one store.
#[pyclass(frozen, weakref, module = "dictrack._dictrack")]
pub(crate) struct Manager {
    slot: Own<Slot>,
}

fn none(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

fn truth(py: Python<'_>, truth: bool) -> PyResult<Py<PyAny>> {
    Ok(pyo3::types::PyBool::new(py, truth).to_owned().into_any().unbind())
}

/// What an add found, as a dict of lists.
fn added(py: Python<'_>, added: dictrack::group::Added) -> PyResult<Py<PyAny>> {
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
    fn new(inner: Inner) -> Self {
        Self { slot: Own::new(Arc::new(Mutex::new(Some(Arc::new(inner))))) }
    }

    pub(crate) fn shared(&self) -> PyResult<Arc<Inner>> {
        let inner = self.slot.get()?.lock().clone();
        inner.ok_or_else(|| errors::of(ErrorKind::Closed, "the manager is closed"))
    }
}

#[pymethods]
impl Manager {
    /// Applies a document.
    #[pyo3(signature = (group_id, data, now=None, event_id=None, ensure=None))]
    fn begin_track(
        &self,
        group_id: &Bound<'_, PyString>,
        data: &Bound<'_, PyAny>,
        now: Moment<'_, '_>,
        event_id: Option<String>,
        ensure: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pending> {
        let inner = self.shared()?;
        let (document, now, id) = (Document::read(data)?, moment(now)?, event_id);
        let ensured = ensure.map(|ensure| Ensured::read(&inner, ensure)).transpose()?;
        let (group, text) = (group_id.clone().unbind(), group_id.to_str()?.to_owned());
        let task = async move { inner.track(submission(&text, &document, now, id.as_deref(), ensured.as_ref())).await };
        Ok(Pending::new(task, move |py, outcome| Ok(Py::new(py, Outcome::new(outcome, group.bind(py)))?.into_any())))
    }

    /// Applies many documents in order and commits them together. Returns their outcomes, with an exception for each
    /// document that failed.
    ///
    /// ``backfill``: the only trackers that the documents count for; ``silent``: whether nobody hears of events.
    #[pyo3(signature = (items, ensure=None, backfill=None, silent=false))]
    fn track_many(
        &self,
        items: &Bound<'_, PyAny>,
        ensure: Option<&Bound<'_, PyAny>>,
        backfill: Option<&Bound<'_, PyAny>>,
        silent: bool,
    ) -> PyResult<Pending> {
        let inner = self.shared()?;
        let read = |list: Option<&Bound<'_, PyAny>>| list.map(|list| Ensured::read(&inner, list)).transpose();
        let how = How { ensured: read(ensure)?, backfill: read(backfill)?, silent };
        let items = Items::read(items)?;
        let task = async move { Ok(items.track(inner, how).await) };
        Ok(Pending::new(task, |py, (outcomes, interrupted)| match interrupted {
            Some(interrupted) => Err(interrupted),
            None => Ok(Py::new(py, outcomes)?.into_any()),
        }))
    }

    /// A manager that begins with the groups of this one and keeps nothing.
    fn dry(&self) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move { inner.manager.dry().await };
        Ok(Pending::new(task, |py, manager| Ok(Py::new(py, Self::new(Inner::new(manager)))?.into_any())))
    }

    /// Prepares trackers for ``ensure``.
    fn tracker_list(&self, definitions: Vec<Bound<'_, Definition>>) -> PyResult<TrackerList> {
        TrackerList::new(&*self.shared()?, definitions)
    }

    /// Opens a table, whose rows are then read, and tracked up to ``rows`` at a time. ``columns`` are the paths of the group, the
    /// time and the id.
    #[pyo3(signature = (table, columns, ensure=None, rows=262_144, threads=None))]
    fn read_table(
        &self,
        table: &Bound<'_, PyAny>,
        columns: (String, Option<String>, Option<String>),
        ensure: Option<&Bound<'_, PyAny>>,
        rows: usize,
        threads: Option<usize>,
    ) -> PyResult<Table> {
        let inner = self.shared()?;
        let ensured = ensure.map(|ensure| Ensured::read(&inner, ensure)).transpose()?;
        let (group, time, id) = &columns;
        Table::open(inner, table, [Some(group), time.as_deref(), id.as_deref()], ensured, rows, threads)
    }

    /// Adds trackers, all or none. ``expire``: the number of seconds after which they expire.
    #[pyo3(signature = (group_id, definitions, now=None, expire=None))]
    fn add_trackers(
        &self,
        group_id: String,
        definitions: Vec<Bound<'_, Definition>>,
        now: Moment<'_, '_>,
        expire: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Pending> {
        let (inner, now, list) = (self.shared()?, moment(now)?, arguments::definitions(definitions));
        let expire = expire.map(|expire| value::span("expire", expire)).transpose()?;
        let task = async move {
            match expire {
                Some(time) => inner.at(now).add_trackers_for(&group_id, list, time).await,
                None => inner.at(now).add_trackers(&group_id, list).await,
            }
        };
        Ok(Pending::new(task, added))
    }

    /// Ensures that a group has these trackers; completed ones are left alone.
    #[pyo3(signature = (group_id, definitions, update=false, now=None))]
    fn ensure_trackers(
        &self,
        group_id: String,
        definitions: Vec<Bound<'_, Definition>>,
        update: bool,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now, list) = (self.shared()?, moment(now)?, arguments::definitions(definitions));
        let differing = if update { Differing::Replace } else { Differing::Refuse };
        let task = async move {
            let list = inner.manager.tracker_list(list)?;
            inner.following.look(Some(&group_id)).await;
            inner.at(now).ensure_trackers(&group_id, &list, differing).await
        };
        Ok(Pending::new(task, added))
    }

    /// What the manager has done so far.
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let metrics = self.shared()?.manager.metrics();
        let dict = counts_dict(py, &metrics.documents)?;
        for (name, number) in [
            ("events", metrics.events),
            ("commits", metrics.commits),
            ("committed_groups", metrics.committed_groups),
            ("retries", metrics.retries),
            ("loads", metrics.loads),
        ] {
            dict.set_item(name, number)?;
        }
        dict.set_item("commit_seconds", metrics.commit_time.as_secs_f64())?;
        dict.set_item("errors", metrics.errors)?;
        Ok(dict)
    }

    /// Up to ``limit`` ids of groups in order, after one.
    #[pyo3(signature = (after, limit))]
    fn groups(&self, after: Option<String>, limit: usize) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move { inner.manager.groups(after.as_deref(), limit).await };
        Ok(Pending::new(task, |py, groups| Ok(groups.into_pyobject(py)?.into_any().unbind())))
    }

    /// The groups that are furthest with a tracker, or the least far: for each, its id, the state of the tracker, the standing and
    /// the position for the next page.
    #[pyo3(signature = (tracker, at_least, at_most, status, ascending, limit, after, now=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn find(
        &self,
        tracker: &str,
        at_least: Option<&Bound<'_, PyAny>>,
        at_most: Option<&Bound<'_, PyAny>>,
        status: Option<&str>,
        ascending: bool,
        limit: usize,
        after: Option<&str>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let mut query = Query::of(tracker).limit(limit);
        query.at_least = at_least.map(|amount| value::amount("at_least", amount)).transpose()?;
        query.at_most = at_most.map(|amount| value::amount("at_most", amount)).transpose()?;
        if let Some(status) = status {
            let standing = Standing::ALL.into_iter().find(|standing| standing.name() == status);
            let words = || Standing::ALL.map(Standing::name).join(", ");
            let unknown = || PyValueError::new_err(format!("status is {status:?}; expected one of {}", words()));
            query.standing = Some(standing.ok_or_else(unknown)?);
        }
        query.order = if ascending { Order::Ascending } else { Order::Descending };
        let after = after.map(|after| after.parse().map_err(|_| PyValueError::new_err("after is not a place")));
        query.after = after.transpose()?;
        let task = async move {
            let now = now.unwrap_or_else(|| inner.manager.now());
            let places = inner.manager.at(now).find(&query).await?;
            let place = |place: &Place| {
                let state = State::of(&place.tracker);
                let state = match place.completed_at {
                    Some(moment) => state.done(moment),
                    None => state.at_moment(now),
                };
                (place.group.clone(), state, place.standing().name(), place.position().to_string())
            };
            Ok(places.iter().map(place).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, places| Ok(places.into_pyobject(py)?.into_any().unbind())))
    }

    /// Replaces the templates.
    fn set_trackers(&self, templates: &Bound<'_, Templates>) -> PyResult<()> {
        let (inner, templates) = (self.shared()?, templates.get().0.clone());
        inner.manager.set_trackers(templates).map_err(|error| Python::attach(|py| errors::exception(py, &error)))
    }

    /// Begins to follow active trackers. Returns one for each name that exists, ``None`` for the others. With each name
    /// comes a function to call when the states of its limiters change, or ``None``.
    fn follow(&self, group_id: String, names: Vec<(String, Option<Py<PyAny>>)>) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            let found = inner.manager.trackers(&group_id).await?;
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
            let found = inner.manager.at(now).trackers(&group_id).await?;
            let is_wanted = |name: &str| names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
            let wanted = found.iter().filter(|found| is_wanted(found.name()));
            Ok(wanted.map(|found| State::of(found).at_moment(now)).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, states| Ok(states.into_pyobject(py)?.into_any().unbind())))
    }

    /// Replaces the definition of the active tracker of that name, and sets its progress if one is given.
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
        let mut update = TrackerUpdate::new(definition);
        update.progress = progress;
        let task = async move { inner.at(now).update_tracker(&group_id, update).await };
        Ok(Pending::new(task, truth))
    }

    /// Sets the progress of an active tracker; with ``every``, that of the period of ``now``.
    #[pyo3(signature = (group_id, name, progress, now=None))]
    fn set_progress(
        &self,
        group_id: String,
        name: String,
        progress: &Bound<'_, PyAny>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now, progress) = (self.shared()?, moment(now)?, value::amount("progress", progress)?);
        Ok(Pending::new(async move { inner.at(now).set_progress(&group_id, &name, progress).await }, truth))
    }

    /// Appends targets to an active tracker.
    #[pyo3(signature = (group_id, name, targets, now=None))]
    fn add_targets(
        &self,
        group_id: String,
        name: String,
        targets: Vec<Bound<'_, PyAny>>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let targets: PyResult<Vec<Amount>> = targets.iter().map(|target| value::amount("target", target)).collect();
        let targets = targets?;
        Ok(Pending::new(async move { inner.at(now).add_targets(&group_id, &name, targets).await }, truth))
    }

    /// Removes active trackers, all or those named; returns the names of those that existed.
    #[pyo3(signature = (group_id, names=None, now=None))]
    fn remove_trackers(&self, group_id: String, names: Option<Vec<String>>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let task = async move {
            inner.following.look(Some(&group_id)).await;
            let names = match names {
                Some(names) => names,
                None => {
                    let all = inner.at(now).trackers(&group_id).await?;
                    all.iter().map(|tracker| tracker.name().to_owned()).collect()
                }
            };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            inner.at(now).remove_trackers(&group_id, &names).await
        };
        Ok(Pending::new(task, |py, names| Ok(names.into_pyobject(py)?.into_any().unbind())))
    }

    /// Resets an active tracker; returns whether there is one.
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
        let mut reset = Reset::default();
        (reset.policy, reset.renewal.count, reset.renewal.length) = (policy, count, length);
        let task = async move {
            let event = inner.at(now).reset_tracker(&group_id, &name, reset).await?;
            if let Some(event) = &event {
                inner.following.limiters_changed(&group_id, &event.tracker.definition, &event.tracker.limiters);
            }
            Ok(event.is_some())
        };
        Ok(Pending::new(task, truth))
    }

    /// What a document would do to each tracker, as a list of dicts. Nothing is changed.
    #[pyo3(signature = (group_id, data, now=None))]
    fn explain(&self, group_id: String, data: &Bound<'_, PyAny>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, document, now) = (self.shared()?, Document::read(data)?, moment(now)?);
        let task = async move {
            let explained = inner.at(now).explain(&group_id, &document).await?;
            Ok(Json::List(explained.iter().map(dictrack::Explanation::to_json).collect()))
        };
        Ok(Pending::new(task, |py, explained| Ok(value::write(py, &explained)?.unbind())))
    }

    /// What the active trackers allow, all or those named: like ``get_trackers``, before one acts. Changes nothing.
    #[pyo3(signature = (group_id, names=None, now=None))]
    fn peek(&self, group_id: String, names: Option<Vec<String>>, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let task = async move {
            let now = now.unwrap_or_else(|| inner.manager.now());
            let names: Option<Vec<&str>> = names.as_ref().map(|names| names.iter().map(String::as_str).collect());
            let found = inner.manager.at(now).peek(&group_id, names.as_deref()).await?;
            Ok(found.iter().map(|found| State::of(found).at_moment(now)).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, states| Ok(states.into_pyobject(py)?.into_any().unbind())))
    }

    /// What a tracker with ``every`` did in its periods, as a list of dicts; ``None`` if there is no such tracker.
    #[pyo3(signature = (group_id, name, now=None))]
    fn periods(&self, group_id: String, name: String, now: Moment<'_, '_>) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let task = async move {
            let found = inner.at(now).periods(&group_id, &name).await?;
            Ok(found.map_or(Json::Null, |found| Json::List(found.iter().map(PeriodRecord::to_json).collect())))
        };
        Ok(Pending::new(task, |py, periods| Ok(value::write(py, &periods)?.unbind())))
    }

    /// Merges a dict into the attributes of a group; ``None`` removes a key. Returns whether that changed anything.
    #[pyo3(signature = (group_id, attributes, now=None))]
    fn set_attributes(
        &self,
        group_id: String,
        attributes: &Bound<'_, PyAny>,
        now: Moment<'_, '_>,
    ) -> PyResult<Pending> {
        let (inner, now) = (self.shared()?, moment(now)?);
        let Json::Map(map) = value::read(attributes)? else {
            let found = value::a_type(attributes);
            return Err(PyTypeError::new_err(format!("attributes is {found}; expected a dict")));
        };
        Ok(Pending::new(async move { inner.at(now).set_attributes(&group_id, map).await }, truth))
    }

    /// The attributes of a group.
    fn attributes(&self, group_id: String) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move { inner.manager.attributes(&group_id).await };
        Ok(Pending::new(task, |py, map| Ok(value::write(py, &Json::Map(map))?.unbind())))
    }

    /// Deletes a group. Returns whether there was anything.
    fn delete_group(&self, group_id: String) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            inner.following.look(Some(&group_id)).await;
            inner.manager.delete_group(&group_id).await
        };
        Ok(Pending::new(task, truth))
    }

    /// The trackers that a group completed, in order of completion.
    fn completed(&self, group_id: String) -> PyResult<Pending> {
        let inner = self.shared()?;
        let task = async move {
            let completed = inner.manager.completed(&group_id).await?;
            let state = |done: &dictrack::CompletedTracker| State::of(&done.tracker).done(done.completed_at);
            Ok(completed.iter().map(state).collect::<Vec<_>>())
        };
        Ok(Pending::new(task, |py, states| Ok(states.into_pyobject(py)?.into_any().unbind())))
    }

    /// Calls ``callback`` for each event with this code; returns a number for ``remove_listener``.
    fn add_listener(&self, py: Python<'_>, code: u16, callback: Py<PyAny>) -> PyResult<u64> {
        let inner = self.shared()?;
        let code = EventCode::ALL.into_iter().find(|known| known.number() == code);
        let code = code.ok_or_else(|| PyValueError::new_err("expected an event code: 1001 to 1005"))?;
        Ok(py.detach(|| inner.add_listener(code, callback)))
    }

    /// Removes a listener; returns whether it was there.
    fn remove_listener(&self, py: Python<'_>, number: u64) -> PyResult<bool> {
        let inner = self.shared()?;
        Ok(py.detach(|| inner.remove_listener(number)))
    }

    /// The manager's clock, in seconds since 1970 UTC.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::seconds_for(py, self.shared()?.manager.now())
    }

    /// Permanently empties the cache and the store.
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

    /// Writes everything and closes the manager.
    fn close(&self) -> PyResult<Pending> {
        let slot = Arc::clone(self.slot.get()?);
        let task = async move {
            let Some(inner) = slot.lock().clone() else { return Ok(()) };
            let closed = inner.close().await;
            slot.lock().take();
            closed
        };
        Ok(Pending::new(task, none))
    }
}
