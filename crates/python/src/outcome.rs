//! What one document changed, converted into Python objects on demand.

use std::collections::HashMap;
use std::sync::Arc;

use dictrack::manager::Counts;
use dictrack::{Error, Tracked};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyIterator, PyList, PyString, PyTuple, PyType};

use crate::errors;
use crate::event::event_for;
use crate::python::{
    pydantic_function, pydantic_json_function, pydantic_serializer_function, ready_list_function, tracker_function,
};
use crate::state::State;
use crate::value;

/// What one document changed. Unpacks as ``is_ok, dirtied, completed, limited``.
#[pyclass(frozen, module = "dictrack._dictrack")]
pub(crate) struct Outcome {
    source: Source,
    group: Py<PyString>,
}

/// Where an outcome is kept.
enum Source {
    Own(dictrack::Outcome),
    /// Among those of a batch, at this position, where a document succeeded.
    Batch(Arc<Vec<Result<dictrack::Outcome, Error>>>, usize),
}

impl Outcome {
    pub(crate) fn new(outcome: dictrack::Outcome, group: &Bound<'_, PyString>) -> Self {
        Self { source: Source::Own(outcome), group: group.clone().unbind() }
    }

    fn outcome(&self) -> &dictrack::Outcome {
        match &self.source {
            Source::Own(outcome) => outcome,
            Source::Batch(results, at) => match &results[*at] {
                Ok(outcome) => outcome,
                Err(_) => unreachable!("an outcome is only made of a document that succeeded"),
            },
        }
    }

    fn list(this: &Bound<'_, Self>, which: Which) -> Trackers {
        Trackers { outcome: this.clone().unbind(), which, items: PyOnceLock::new() }
    }

    fn tuple<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = this.py();
        PyTuple::new(
            py,
            [
                PyBool::new(py, true).to_owned().into_any(),
                Bound::new(py, Self::list(this, Which::Dirtied))?.into_any(),
                Bound::new(py, Self::list(this, Which::Completed))?.into_any(),
                Bound::new(py, Self::list(this, Which::Limited))?.into_any(),
            ],
        )
    }
}

#[pymethods]
impl Outcome {
    /// Always true, since failures raise.
    #[getter]
    fn is_ok(&self) -> bool {
        true
    }

    /// The trackers that counted or whose state changed, including completed ones, as they are after the document.
    #[getter]
    fn dirtied(this: &Bound<'_, Self>) -> Trackers {
        Self::list(this, Which::Dirtied)
    }

    /// The trackers that reached their last target.
    #[getter]
    fn completed(this: &Bound<'_, Self>) -> Trackers {
        Self::list(this, Which::Completed)
    }

    /// The trackers with a limiter that refused the document or ran out.
    #[getter]
    fn limited(this: &Bound<'_, Self>) -> Trackers {
        Self::list(this, Which::Limited)
    }

    /// Those of ``limited`` that did not count the document.
    #[getter]
    fn refused(this: &Bound<'_, Self>) -> Trackers {
        Self::list(this, Which::Refused)
    }

    /// The trackers whose custom code failed, by name, with the error. They are unchanged.
    #[getter]
    fn failed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let failed = PyDict::new(py);
        for (name, error) in self.outcome().failed() {
            failed.set_item(name, error.to_string())?;
        }
        Ok(failed)
    }

    /// The trackers that stayed unchanged although their conditions hold, by name, with the reason: ``no_amount``,
    /// ``late`` (the period of the document has ended for good), ``resting`` (the tracker has reached its last target of
    /// the period) or ``out_of_range``. ``explain`` has the details.
    #[getter]
    fn skipped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let skipped = PyDict::new(py);
        for (name, reason) in self.outcome().skipped() {
            skipped.set_item(name, reason.name())?;
        }
        Ok(skipped)
    }

    /// The trackers that refused the document, by name, each with ``limiter``, the position of the limiter that
    /// refused, and ``until``, the earliest time at which it would admit the document, in seconds since 1970 UTC, or
    /// ``None`` if only a reset can change that.
    #[getter]
    fn refusals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let refusals = PyDict::new(py);
        for tracked in self.outcome().refused() {
            let Some(refusal) = tracked.refusal() else { continue };
            let facts = PyDict::new(py);
            facts.set_item("limiter", refusal.limiter)?;
            facts.set_item("until", refusal.until.map(|until| value::seconds_for(py, until)).transpose()?)?;
            refusals.set_item(tracked.name(), facts)?;
        }
        Ok(refusals)
    }

    /// The trackers to whose progress the document was added.
    #[getter]
    fn counted(this: &Bound<'_, Self>) -> Trackers {
        Self::list(this, Which::Counted)
    }

    /// The events that the document caused, in order.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.outcome().events().iter().map(|event| event_for(py, event)).collect()
    }

    /// Whether a document with this id was applied before. Then everything else is empty.
    #[getter]
    fn duplicate(&self) -> bool {
        self.outcome().duplicate()
    }

    fn __len__(&self) -> usize {
        4
    }

    fn __iter__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        Self::tuple(this)?.try_iter()
    }

    fn __getitem__<'py>(this: &Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if index.is_instance_of::<PyString>() {
            return this.get().to_dict(this.py())?.get_item(index);
        }
        Self::tuple(this)?.as_any().get_item(index)
    }

    /// The outcome as JSON, as ``docs/json.md`` describes it.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value::write_ready(py, &self.outcome().to_json())
    }

    /// The fields of ``to_dict``: so ``dict(outcome)`` is the same, which is how web frameworks make JSON of it.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_dict(py)?.call_method0("keys")
    }

    /// What pydantic serializes this with where it knows no type.
    #[getter]
    fn __pydantic_serializer__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        pydantic_serializer_function(this.py())?.call1((this.get_type(),))
    }

    #[classmethod]
    fn __get_pydantic_core_schema__<'py>(
        class: &Bound<'py, PyType>,
        _source: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_function(class.py())?.call1((class,))
    }

    #[classmethod]
    fn __get_pydantic_json_schema__<'py>(
        class: &Bound<'py, PyType>,
        _schema: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_json_function(class.py())?.call1((class,))
    }

    fn __repr__(&self) -> String {
        let names = |which| self.listed(which).map(|tracked| tracked.name()).collect::<Vec<_>>().join(", ");
        let (dirtied, completed, limited) = (names(Which::Dirtied), names(Which::Completed), names(Which::Limited));
        let duplicate = if self.outcome().duplicate() { " duplicate" } else { "" };
        format!("<Outcome (dirtied=[{dirtied}] completed=[{completed}] limited=[{limited}]{duplicate})>")
    }
}

impl Outcome {
    fn listed(&self, which: Which) -> Box<dyn Iterator<Item = Tracked<'_>> + '_> {
        which.of(self.outcome())
    }
}

#[derive(Clone, Copy)]
enum Which {
    Counted,
    Dirtied,
    Completed,
    Limited,
    Refused,
}

impl Which {
    /// Whether there is one.
    fn any(self, outcome: &dictrack::Outcome) -> bool {
        match self {
            Self::Dirtied => outcome.dirtied().next().is_some(),
            Self::Completed => outcome.completed().next().is_some(),
            Self::Counted => outcome.counted().next().is_some(),
            Self::Limited => outcome.limited().next().is_some(),
            Self::Refused => outcome.refused().next().is_some(),
        }
    }

    fn of(self, outcome: &dictrack::Outcome) -> Box<dyn Iterator<Item = Tracked<'_>> + '_> {
        match self {
            Self::Dirtied => Box::new(outcome.dirtied()),
            Self::Completed => Box::new(outcome.completed()),
            Self::Counted => Box::new(outcome.counted()),
            Self::Limited => Box::new(outcome.limited()),
            Self::Refused => Box::new(outcome.refused()),
        }
    }
}

/// The trackers in one list of an outcome. They are created on first use, since a document may touch a thousand
/// trackers.
#[pyclass(frozen, sequence, module = "dictrack._dictrack")]
pub(crate) struct Trackers {
    outcome: Py<Outcome>,
    which: Which,
    items: PyOnceLock<Py<PyList>>,
}

impl Trackers {
    fn items<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyList>> {
        let made = self.items.get_or_try_init(py, || {
            let tracker_of = tracker_function(py)?;
            let list = PyList::empty(py);
            let (outcome, group) = (self.outcome.get().outcome(), self.outcome.get().group.bind(py));
            for tracked in self.which.of(outcome) {
                let dirtied = match self.which {
                    Which::Counted | Which::Dirtied | Which::Completed => true,
                    // Only the first refusal changes a tracker.
                    Which::Limited | Which::Refused => {
                        outcome.dirtied().any(|dirtied| dirtied.position() == tracked.position())
                    }
                };
                let state = State::after(&tracked, dirtied).at_moment(outcome.now());
                list.append(tracker_of.call1((state, group))?)?;
            }
            Ok::<_, PyErr>(list.unbind())
        })?;
        Ok(made.bind(py))
    }
}

fn listed<'py>(items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    PyList::new(items.py(), items.try_iter()?.collect::<PyResult<Vec<_>>>()?)
}

#[pymethods]
impl Trackers {
    fn __len__(&self) -> usize {
        self.which.of(self.outcome.get().outcome()).count()
    }

    fn __bool__(&self) -> bool {
        self.which.any(self.outcome.get().outcome())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.items(py)?.try_iter()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.__len__() == 0 && index.is_instance_of::<pyo3::types::PyInt>() {
            return Err(PyIndexError::new_err("list index out of range"));
        }
        self.items(py)?.as_any().get_item(index)
    }

    fn __contains__(&self, py: Python<'_>, tracker: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.items(py)?.contains(tracker)
    }

    fn __add__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.items(py)?.as_any().add(listed(other)?)
    }

    fn __radd__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        listed(other)?.as_any().add(self.items(py)?)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(other) = other.cast::<Self>() {
            return self.items(py)?.eq(other.get().items(py)?);
        }
        self.items(py)?.eq(other)
    }

    /// The position of a tracker.
    fn index<'py>(&self, py: Python<'py>, tracker: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.items(py)?.call_method1("index", (tracker,))
    }

    /// How many times a tracker is listed.
    fn count<'py>(&self, py: Python<'py>, tracker: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.items(py)?.call_method1("count", (tracker,))
    }

    /// Each as JSON, as ``docs/json.md`` describes it.
    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ready_list_function(py)?.call1((self.items(py)?,))
    }

    /// The same as ``to_list``, under the name that Django REST framework looks for.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_list(py)
    }

    /// What pydantic serializes this with where it knows no type.
    #[getter]
    fn __pydantic_serializer__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        pydantic_serializer_function(this.py())?.call1((this.get_type(),))
    }

    #[classmethod]
    fn __get_pydantic_core_schema__<'py>(
        class: &Bound<'py, PyType>,
        _source: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_function(class.py())?.call1((class,))
    }

    #[classmethod]
    fn __get_pydantic_json_schema__<'py>(
        class: &Bound<'py, PyType>,
        _schema: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_json_function(class.py())?.call1((class,))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.items(py)?.repr()?.to_string())
    }
}

/// What many documents changed: a sequence with an outcome for each, or the exception that ``track`` would have raised. They
/// are created on first use; ``events`` does not need them.
#[pyclass(frozen, sequence, module = "dictrack._dictrack")]
pub(crate) struct Outcomes {
    results: Arc<Vec<Result<dictrack::Outcome, Error>>>,
    /// The group of each result.
    groups: Vec<PyBackedStr>,
    /// By position, why documents could not be read. These have no result.
    unread: HashMap<usize, PyErr>,
    items: PyOnceLock<Py<PyList>>,
}

impl Outcomes {
    pub(crate) fn new(
        results: Vec<Result<dictrack::Outcome, Error>>,
        groups: Vec<PyBackedStr>,
        unread: HashMap<usize, PyErr>,
    ) -> Self {
        Self { results: Arc::new(results), groups, unread, items: PyOnceLock::new() }
    }

    fn items<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyList>> {
        let made = self.items.get_or_try_init(py, || {
            let list = PyList::empty(py);
            for (at, (result, group)) in self.results.iter().zip(&self.groups).enumerate() {
                self.add_unread(&list)?;
                match result {
                    Ok(_) => {
                        let group = group.clone_ref(py).into_pyobject(py)?.unbind();
                        list.append(Outcome { source: Source::Batch(Arc::clone(&self.results), at), group })?;
                    }
                    Err(error) => list.append(errors::exception(py, error).value(py))?,
                }
            }
            self.add_unread(&list)?;
            Ok::<_, PyErr>(list.unbind())
        })?;
        Ok(made.bind(py))
    }

    fn failures(&self) -> usize {
        self.unread.len() + self.results.iter().filter(|result| result.is_err()).count()
    }

    /// Adds the exceptions of the documents that come next, if they could not be read.
    fn add_unread(&self, list: &Bound<'_, PyList>) -> PyResult<()> {
        while let Some(error) = self.unread.get(&list.len()) {
            list.append(error.value(list.py()))?;
        }
        Ok(())
    }
}

/// Counts of documents as a dict.
pub(crate) fn counts_dict<'py>(py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
    let Counts { documents, counted, refused, skipped, late, failed, duplicates, .. } = *counts;
    let dict = PyDict::new(py);
    for (name, count) in [
        ("documents", documents),
        ("counted", counted),
        ("refused", refused),
        ("skipped", skipped),
        ("late", late),
        ("failed", failed),
        ("duplicates", duplicates),
    ] {
        dict.set_item(name, count)?;
    }
    Ok(dict)
}

#[pymethods]
impl Outcomes {
    /// The exceptions of the documents that failed, by position.
    #[getter]
    fn errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let failed = PyDict::new(py);
        if self.failures() > 0 {
            for (at, item) in self.items(py)?.iter().enumerate() {
                if !item.is_instance_of::<Outcome>() {
                    failed.set_item(at, item)?;
                }
            }
        }
        Ok(failed)
    }

    /// How many documents did what: the fields of ``Counts``.
    fn counted<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut counts = Counts::default();
        self.results.iter().flatten().for_each(|outcome| counts.note(outcome));
        let dict = counts_dict(py, &counts)?;
        let completed = self.results.iter().flatten().map(|outcome| outcome.completed().count()).sum::<usize>();
        dict.set_item("completed", completed)?;
        Ok(dict)
    }

    /// The events that the documents caused, in order.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let events = self.results.iter().flatten().flat_map(|outcome| outcome.events());
        events.map(|event| event_for(py, event)).collect()
    }

    fn __len__(&self) -> usize {
        self.results.len() + self.unread.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.items(py)?.try_iter()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.items(py)?.as_any().get_item(index)
    }

    fn __contains__(&self, py: Python<'_>, outcome: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.items(py)?.contains(outcome)
    }

    /// Each as JSON, as ``docs/json.md`` describes it; an error as its ``code``, ``message`` and ``advice``.
    fn to_list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        ready_list_function(py)?.call1((self.items(py)?,))
    }

    /// The same as ``to_list``, under the name that Django REST framework looks for.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_list(py)
    }

    /// What pydantic serializes this with where it knows no type.
    #[getter]
    fn __pydantic_serializer__<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        pydantic_serializer_function(this.py())?.call1((this.get_type(),))
    }

    #[classmethod]
    fn __get_pydantic_core_schema__<'py>(
        class: &Bound<'py, PyType>,
        _source: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_function(class.py())?.call1((class,))
    }

    #[classmethod]
    fn __get_pydantic_json_schema__<'py>(
        class: &Bound<'py, PyType>,
        _schema: &Bound<'py, PyAny>,
        _handler: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        pydantic_json_function(class.py())?.call1((class,))
    }

    fn __repr__(&self) -> String {
        format!("<Outcomes ({} documents, {} failed)>", self.__len__(), self.failures())
    }
}
