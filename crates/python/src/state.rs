//! A snapshot of a tracker.

use std::sync::Arc;

use dictrack::{Amount, LimiterView, Status, Timestamp, Tracked, TrackerDefinition, TrackerSnapshot, window::Period};
use pyo3::prelude::*;

use crate::definition::Definition;
use crate::value;

/// A snapshot of a tracker: its definition and its state.
#[pyclass(frozen, module = "dictrack._dictrack")]
#[derive(Clone)]
pub(crate) struct State {
    definition: Arc<TrackerDefinition>,
    amount: Amount,
    target: Option<Amount>,
    limiters: Vec<LimiterView>,
    expire_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    status: Status,
    period: Option<Period>,
    /// Of a streak, how many freezes are left.
    #[pyo3(get)]
    freezes: Option<u64>,
    /// The time of the snapshot; `None` if it is the current state of a live tracker.
    as_of: Option<Timestamp>,
    /// The current stage, counted from 1.
    #[pyo3(get)]
    stage: usize,
    /// How many times a looping tracker has completed its list of targets; unknown in an outcome.
    cycle: Option<u64>,
    /// Whether it is marked as limited.
    #[pyo3(get)]
    limited: bool,
    /// Whether it has reached its last target.
    #[pyo3(get)]
    completed: bool,
    /// Whether it was removed, or everything was flushed.
    #[pyo3(get)]
    removed: bool,
    /// Whether the document or call that returned this state changed it.
    #[pyo3(get)]
    dirtied: bool,
}

impl State {
    /// The state of an active tracker.
    pub(crate) fn of(snapshot: &TrackerSnapshot) -> Self {
        Self {
            definition: Arc::clone(&snapshot.definition),
            amount: snapshot.progress,
            target: snapshot.target(),
            limiters: snapshot.limiters.clone(),
            expire_at: snapshot.expire_at,
            completed_at: None,
            status: snapshot.status,
            period: snapshot.period,
            freezes: snapshot.freezes,
            as_of: None,
            stage: snapshot.stage,
            cycle: Some(snapshot.cycle),
            limited: snapshot.limited,
            completed: false,
            removed: false,
            dirtied: false,
        }
    }

    /// The state of a tracker that a document touched.
    pub(crate) fn after(tracked: &Tracked<'_>, dirtied: bool) -> Self {
        Self {
            definition: Arc::clone(tracked.definition()),
            amount: tracked.progress(),
            target: tracked.target(),
            limiters: tracked.limiters().collect(),
            expire_at: None,
            completed_at: None,
            status: tracked.status(),
            period: tracked.period(),
            freezes: tracked.freezes(),
            as_of: None,
            stage: tracked.stage(),
            cycle: None,
            limited: tracked.is_limited(),
            completed: tracked.status() == Status::Completed,
            removed: false,
            dirtied,
        }
    }

    /// The state in an event: the stage, target and progress that the event reports.
    pub(crate) fn at(event: &dictrack::Event) -> Self {
        let state = Self::of(&event.tracker);
        // A tracker with `every` goes on.
        let ends = event.code == dictrack::EventCode::AllCompleted && state.definition.every().is_none();
        Self {
            amount: event.progress,
            target: event.target,
            stage: event.stage,
            completed: ends,
            status: if ends { Status::Completed } else { state.status },
            dirtied: true,
            as_of: Some(event.occurred_at),
            ..state
        }
    }

    /// The same state, as of this moment.
    pub(crate) fn at_moment(mut self, moment: Timestamp) -> Self {
        self.as_of = Some(moment);
        self
    }

    /// The same state, completed at this moment.
    pub(crate) fn done(mut self, moment: Timestamp) -> Self {
        self.completed = true;
        self.status = Status::Completed;
        self.completed_at = Some(moment);
        self.as_of = Some(moment);
        self
    }

    /// The same state, for a tracker that was removed.
    pub(crate) fn gone(mut self) -> Self {
        self.removed = true;
        self
    }
}

#[pymethods]
impl State {
    /// The definition.
    #[getter]
    fn definition(&self) -> Definition {
        Definition(Arc::clone(&self.definition))
    }

    /// The progress: an ``int`` if it is whole, otherwise a ``float``.
    #[getter]
    fn progress<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::amount_for(py, self.amount)
    }

    /// How many times a looping tracker has completed its list of targets; 0 in an outcome.
    #[getter]
    fn cycle(&self) -> u64 {
        self.cycle.unwrap_or(0)
    }

    /// The tracker as ``docs/json.md`` describes it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let view = dictrack::View {
            definition: &self.definition,
            progress: self.amount,
            target: self.target,
            stage: self.stage,
            limited: self.limited,
            status: self.status,
            period: self.period,
            freezes: self.freezes,
            cycle: self.cycle.filter(|_| self.definition.loop_forever()),
            expire_at: self.expire_at,
        };
        let mut map = view.to_map(self.limiters.iter().map(LimiterView::to_json));
        if let Some(moment) = self.completed_at {
            map.insert("completed_at".into(), moment.to_string().into());
        }
        value::write_ready(py, &map.into())
    }

    /// What remains of the first limiter that counts; ``None`` if none does.
    #[getter]
    fn remaining<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let remaining = self.limiters.iter().find_map(|limiter| limiter.remaining);
        remaining.map(|remaining| value::amount_for(py, remaining)).transpose()
    }

    /// The progress as ``decimal.Decimal``.
    #[getter]
    fn progress_exact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::exact_for(py, self.amount)
    }

    /// The current target: an ``int`` if it is whole, otherwise a ``float``; ``None`` without targets.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.target.map(|target| value::amount_for(py, target)).transpose()
    }

    /// When the tracker expires, in seconds since 1970 UTC.
    #[getter]
    fn expire_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.expire_at.map(|moment| value::seconds_for(py, moment)).transpose()
    }

    /// When the tracker completed, in seconds since 1970 UTC.
    #[getter]
    fn completed_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.completed_at.map(|moment| value::seconds_for(py, moment)).transpose()
    }

    /// ``active``, ``resting`` (until its period ends) or ``completed``.
    #[getter]
    fn status(&self) -> &'static str {
        self.status.name()
    }

    /// Of a tracker with ``every``, the start and the end of its period, in seconds since 1970 UTC.
    #[getter]
    fn period<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let Some(period) = self.period else { return Ok(None) };
        Ok(Some((value::seconds_for(py, period.start())?, value::seconds_for(py, period.end())?)))
    }

    /// The time of this state, in seconds since 1970 UTC; ``None`` for the current state of a live tracker.
    #[getter]
    fn as_of<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.as_of.map(|moment| value::seconds_for(py, moment)).transpose()
    }

    /// The limiters in definition order: ``limit``, ``remaining``, ``retry_at`` and ``reset_at``, and for windows with
    /// bounds ``start`` and ``end``; for a custom limiter its state.
    #[getter]
    fn limiters<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.limiters.iter().map(|limiter| limiter_for(py, limiter)).collect()
    }
}

/// The state of a limiter as a dict.
pub(crate) fn limiter_for<'py>(py: Python<'py>, limiter: &LimiterView) -> PyResult<Bound<'py, PyAny>> {
    value::write(py, &limiter.to_json())
}
