//! Live trackers: the objects that a caller added keep up with what this manager does to the trackers.
//!
//! Their state is looked up when it is read, so they cost documents nothing. When a tracker ends (by completion,
//! removal or a flush), its object gets the final state at once, since the tracker may not be found later. Limiters
//! that are Python objects also get their state at once, since reading their attributes cannot be intercepted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dictrack::{Error, LimiterDefinition, LimiterView, Status, Timestamp, TrackerDefinition, TrackerSnapshot};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::errors;
use crate::fork::Own;
use crate::manager::Inner;
use crate::state::{State, limiter_for};
use crate::value;

/// A live tracker.
struct Followed {
    manager: Own<Weak<Inner>>,
    group: String,
    name: String,
    generation: u32,
    seen: Mutex<Seen>,
    /// Called with the states of the limiters when they change, if one of the limiters is a Python object.
    limiters_changed: Option<Py<PyAny>>,
}

struct Seen {
    state: State,
    /// Whether it can no longer change.
    ended: bool,
}

/// Gives the current state of a tracker.
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

    /// The latest state of the tracker, or the last known one if the manager is gone.
    async fn look(&self) -> Result<State, Error> {
        let (last, ended) = self.last();
        let manager = self.manager.get().ok().and_then(Weak::upgrade).filter(|_| !ended);
        let Some(manager) = manager.as_ref().map(|inner| &inner.manager) else { return Ok(last) };
        // At the earliest possible time nothing has expired, so this also shows trackers that have expired since.
        let ever = Timestamp::from_micros(i64::MIN);
        let active = manager.at(ever).tracker(&self.group, &self.name).await?;
        if let Some(found) = active.filter(|found| found.generation == self.generation) {
            let state = State::of(&found.at(manager.now()));
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
    /// The current state of the tracker, or the last known one if the manager is closed or using the group.
    fn state(&self, py: Python<'_>) -> PyResult<State> {
        match py.detach(|| dictrack::block_on(self.0.look())) {
            Ok(state) => Ok(state),
            Err(Error::Closed | Error::Reentrant) => Ok(self.0.last().0),
            Err(error) => Err(errors::exception(py, &error)),
        }
    }

    /// The time by the clock of the tracker's manager, in seconds since 1970 UTC; ``None`` if the manager is gone.
    fn now<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let manager = self.0.manager.get().ok().and_then(Weak::upgrade);
        manager.map(|inner| value::seconds_for(py, inner.manager.now())).transpose()
    }

    /// The last known state of the tracker.
    fn last(&self, py: Python<'_>) -> State {
        py.detach(|| self.0.last().0)
    }
}

/// The live trackers of one manager.
#[derive(Default)]
pub(crate) struct Following {
    groups: Mutex<HashMap<String, Vec<Weak<Followed>>>>,
    /// The number of lists. Most managers and most documents have none.
    len: AtomicUsize,
}

impl Following {
    /// Makes a tracker live.
    pub(crate) fn begin(
        &self,
        manager: &Arc<Inner>,
        group: &str,
        snapshot: &TrackerSnapshot,
        limiters_changed: Option<Py<PyAny>>,
    ) -> Live {
        let mut groups = self.groups.lock();
        let list = groups.entry(group.to_owned()).or_default();
        if limiters_changed.is_none() {
            // Objects of one tracker share it: a program may add the same tracker before each document.
            let same = list.iter().rev().filter_map(Weak::upgrade).find(|followed| {
                followed.generation == snapshot.generation
                    && followed.name == snapshot.name()
                    && followed.limiters_changed.is_none()
                    && !followed.seen.lock().ended
            });
            if let Some(same) = same {
                return Live(same);
            }
        }
        let followed = Arc::new(Followed {
            manager: Own::new(Arc::downgrade(manager)),
            group: group.to_owned(),
            name: snapshot.name().to_owned(),
            generation: snapshot.generation,
            seen: Mutex::new(Seen { state: State::of(snapshot), ended: false }),
            limiters_changed,
        });
        list.push(Arc::downgrade(&followed));
        if list.len().is_power_of_two() {
            // Abandoned entries do no harm, but they must not accumulate.
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

    /// Whether a document changed something that cannot be looked up later.
    pub(crate) fn has_to_follow(&self, outcome: &dictrack::Outcome) -> bool {
        self.len.load(Ordering::Relaxed) > 0
            && outcome.changed()
            && outcome.dirtied().any(|tracked| has_ended(&tracked) || has_custom(tracked.definition()))
    }

    /// Passes such changes on. Must be called without the GIL.
    pub(crate) async fn follow(&self, group: &str, outcome: &dictrack::Outcome) {
        let asks_custom = |tracked: &dictrack::Tracked<'_>| has_custom(tracked.definition());
        let followed = self.of(group);
        for tracked in outcome.completed().filter(has_ended) {
            for followed in followed.iter().filter(|followed| followed.name == tracked.name()) {
                // The lookup provides what an outcome lacks: the cycle, and when the tracker completed.
                if followed.look().await.is_err() {
                    followed.end(State::after(&tracked, true));
                }
            }
        }
        for tracked in outcome.dirtied().filter(asks_custom) {
            self.limiters_changed(group, tracked.definition(), &tracked.limiters().collect::<Vec<_>>());
        }
    }

    /// Passes the states to those limiters of a tracker that are Python objects. Must be called without the GIL.
    pub(crate) fn limiters_changed(&self, group: &str, definition: &TrackerDefinition, limiters: &[LimiterView]) {
        if !has_custom(definition) {
            return;
        }
        let name = definition.name();
        for followed in self.of(group).iter().filter(|followed| followed.name == name) {
            let Some(changed) = &followed.limiters_changed else { continue };
            let told = Python::attach(|py| {
                let states: PyResult<Vec<_>> = limiters.iter().map(|limiter| limiter_for(py, limiter)).collect();
                changed.call1(py, (PyList::new(py, states?)?,)).map(drop)
            });
            if let Err(error) = told {
                tracing::error!(target: "dictrack::live", %error, group, name, "a limiter did not accept its state");
            }
        }
    }

    /// Looks up the live trackers of `group`, or of all groups, before some of them end.
    pub(crate) async fn look(&self, group: Option<&str>) {
        let groups: Vec<String> = match group {
            Some(group) => vec![group.to_owned()],
            None => self.groups.lock().keys().cloned().collect(),
        };
        for followed in groups.iter().flat_map(|group| self.of(group)) {
            // What cannot be looked up keeps its last known state.
            let _ = followed.look().await;
        }
    }
}

/// Whether the document was the last of the tracker. One with `every` only rests.
fn has_ended(tracked: &dictrack::Tracked<'_>) -> bool {
    tracked.status() == Status::Completed
}

fn has_custom(definition: &TrackerDefinition) -> bool {
    definition.limiters().iter().any(|limiter| matches!(limiter, LimiterDefinition::Custom(_)))
}
