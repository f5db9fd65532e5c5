//! The trackers that a caller added follow what this manager does to them.
//!
//! They are looked up when they are read, so that following costs a document nothing. What ends a tracker (completion,
//! removal, a flush) is handed to it at once, since it may not be found afterwards; so is the state of limiters that are
//! Python objects, whose attributes nobody can see being read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dictrack::{Error, LimiterState, Timestamp, TrackerSnapshot};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors;
use crate::fork::Own;
use crate::manager::Inner;
use crate::state::{State, limiter_for};
use crate::value;

/// One tracker that is followed.
struct Followed {
    manager: Own<Weak<Inner>>,
    group: String,
    name: String,
    generation: u32,
    seen: Mutex<Seen>,
    /// Called with the states of its limiters when they change; there where one of them is a Python object.
    limiters_changed: Option<Py<PyAny>>,
}

struct Seen {
    state: State,
    /// Whether nothing can change it any more.
    ended: bool,
}

/// Follows a tracker for as long as it is kept.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Live(Arc<Followed>);

impl Followed {
    fn end(&self, state: State) {
        *self.seen.lock() = Seen { state, ended: true };
    }

    fn last(&self) -> (State, bool) {
        let seen = self.seen.lock();
        (seen.state.clone(), seen.ended)
    }

    /// The newest state of the tracker, wherever it is; where the manager is gone, the last one that was seen.
    async fn look(&self) -> Result<State, Error> {
        let (last, ended) = self.last();
        let manager = self.manager.get().ok().and_then(Weak::upgrade).filter(|_| !ended);
        let Some(manager) = manager.as_ref().map(|inner| &inner.manager) else { return Ok(last) };
        // Before the beginning of time nothing has expired: what has is shown as it was.
        let ever = Some(Timestamp::from_micros(i64::MIN));
        let active = manager.get_trackers_at(&self.group, Some(&[&self.name]), ever).await?;
        if let Some(found) = active.iter().find(|found| found.generation == self.generation) {
            let state = State::of(found);
            self.seen.lock().state = state.clone();
            return Ok(state);
        }
        let completed = manager.completed(&self.group).await?;
        let found = completed.iter().find(|found| found.tracker.generation == self.generation);
        let state = match found {
            Some(found) => State::of(&found.tracker).done(found.completed_at),
            None => last.gone(),
        };
        self.end(state.clone());
        Ok(state)
    }
}

#[pymethods]
impl Live {
    /// The tracker as it is now, or as it was last, where the manager is closed or busy with its group.
    fn state(&self, py: Python<'_>) -> PyResult<State> {
        match py.detach(|| pollster::block_on(self.0.look())) {
            Ok(state) => Ok(state),
            Err(Error::Closed | Error::Reentrant) => Ok(self.0.last().0),
            Err(error) => Err(errors::exception(py, &error)),
        }
    }

    /// What the clock of the tracker's manager shows, in seconds since 1970 UTC; ``None`` where the manager is gone.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let manager = self.0.manager.get().ok().and_then(Weak::upgrade);
        manager.map(|inner| value::seconds_for(py, inner.manager.now())).transpose()
    }

    /// The tracker as it was when it was last looked at.
    fn last(&self, py: Python<'_>) -> State {
        py.detach(|| self.0.last().0)
    }
}

/// The trackers that are followed through one manager.
#[derive(Default)]
pub(crate) struct Following {
    groups: Mutex<HashMap<String, Vec<Weak<Followed>>>>,
    /// How many lists there are: most managers, and most documents, have to do with none.
    len: AtomicUsize,
}

impl Following {
    /// Begins to follow a tracker.
    pub(crate) fn begin(
        &self,
        manager: &Arc<Inner>,
        group: &str,
        snapshot: &TrackerSnapshot,
        limiters_changed: Option<Py<PyAny>>,
    ) -> Live {
        let followed = Arc::new(Followed {
            manager: Own::new(Arc::downgrade(manager)),
            group: group.to_owned(),
            name: snapshot.name().to_owned(),
            generation: snapshot.generation,
            seen: Mutex::new(Seen { state: State::of(snapshot), ended: false }),
            limiters_changed,
        });
        let mut groups = self.groups.lock();
        let list = groups.entry(group.to_owned()).or_default();
        list.push(Arc::downgrade(&followed));
        if list.len().is_power_of_two() {
            // Those that nobody keeps any more are in nobody's way, but there must not be ever more of them.
            list.retain(|entry| entry.strong_count() > 0);
        }
        if groups.len().is_power_of_two() {
            groups.retain(|_, list| list.iter().any(|entry| entry.strong_count() > 0));
        }
        self.len.store(groups.len(), Ordering::Relaxed);
        Live(followed)
    }

    fn of(&self, group: &str) -> Vec<Arc<Followed>> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let groups = self.groups.lock();
        groups.get(group).map_or_else(Vec::new, |list| list.iter().filter_map(Weak::upgrade).collect())
    }

    /// Whether a document did something that cannot be looked up later.
    pub(crate) fn has_to_follow(&self, outcome: &dictrack::Outcome) -> bool {
        self.len.load(Ordering::Relaxed) > 0
            && outcome.changed()
            && outcome.dirtied().any(|tracked| tracked.is_completed() || has_custom(tracked.limiters()))
    }

    /// Hands that on. Must be called without the GIL.
    pub(crate) async fn follow(&self, group: &str, outcome: &dictrack::Outcome) {
        let asks_custom = |tracked: &dictrack::Tracked<'_>| has_custom(tracked.limiters());
        let followed = self.of(group);
        for tracked in outcome.completed() {
            for followed in followed.iter().filter(|followed| followed.name == tracked.name()) {
                // Looked up for what an outcome does not say: the cycle, when it completed.
                if followed.look().await.is_err() {
                    followed.end(State::after(&tracked, true));
                }
            }
        }
        for tracked in outcome.dirtied().filter(asks_custom) {
            self.limiters_changed(group, tracked.name(), tracked.limiters());
        }
    }

    /// Tells the limiters of a tracker that are Python objects what their state is. Must be called without the GIL.
    pub(crate) fn limiters_changed(&self, group: &str, name: &str, limiters: &[LimiterState]) {
        if !has_custom(limiters) {
            return;
        }
        for followed in self.of(group).iter().filter(|followed| followed.name == name) {
            let Some(changed) = &followed.limiters_changed else { continue };
            let told = Python::attach(|py| {
                let states: PyResult<Vec<_>> = limiters.iter().map(|limiter| limiter_for(py, limiter)).collect();
                changed.call1(py, (PyList::new(py, states?)?,)).map(drop)
            });
            if let Err(error) = told {
                tracing::error!(%error, group, name, "a limiter did not take its state over");
            }
        }
    }

    /// Looks the trackers of `group` up that are followed, before some of them end; all groups if there is no group.
    pub(crate) async fn look(&self, group: Option<&str>) {
        let groups: Vec<String> = match group {
            Some(group) => vec![group.to_owned()],
            None => self.groups.lock().keys().cloned().collect(),
        };
        for followed in groups.iter().flat_map(|group| self.of(group)) {
            // What cannot be looked up stays as it was last seen.
            let _ = followed.look().await;
        }
    }
}

fn has_custom(limiters: &[LimiterState]) -> bool {
    limiters.iter().any(|limiter| matches!(limiter, LimiterState::Custom(_)))
}
