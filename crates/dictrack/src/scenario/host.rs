//! What a scenario runs on.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use dictrack_core::json::{Json, Map};
use dictrack_core::{
    Amount, Event, Explanation, Outcome, PeriodRecord, Renewal, ResetPolicy, Span, Status, Timestamp,
    TrackerDefinition, TrackerSnapshot, Zone,
    group::{Added, Call, ContentHash, Differing, Engine, Group, GroupError, Track, TrackerList},
    template::{Template, TemplateSet},
};

use crate::clock::TestClock;
use crate::manager::{Blocking, Reset, Submission};

type Answer<T> = Result<T, String>;

/// Something that accepts trackers and documents, at any time. Errors are strings.
#[expect(missing_docs, reason = "each method is the manager's call of that name")]
#[expect(clippy::missing_errors_doc, reason = "the message of the host's error")]
pub trait Host {
    fn add(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        now: Timestamp,
        expire: Option<Span>,
    ) -> Answer<Added>;
    fn ensure(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        differing: Differing,
        now: Timestamp,
    ) -> Answer<Added>;
    fn update(&mut self, group: &str, tracker: TrackerDefinition, now: Timestamp) -> Answer<bool>;
    fn set_progress(&mut self, group: &str, name: &str, progress: Amount, now: Timestamp) -> Answer<bool>;
    fn add_targets(&mut self, group: &str, name: &str, targets: Vec<Amount>, now: Timestamp) -> Answer<bool>;
    fn remove(&mut self, group: &str, names: &[String], now: Timestamp) -> Answer<Vec<String>>;
    fn reset(
        &mut self,
        group: &str,
        name: &str,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
        now: Timestamp,
    ) -> Answer<Option<Arc<Event>>>;
    fn track(&mut self, group: &str, document: &Json, now: Timestamp, id: Option<&str>) -> Answer<Outcome>;
    fn explain(&mut self, group: &str, document: &Json, now: Timestamp) -> Answer<Vec<Explanation>>;
    fn trackers(&mut self, group: &str, names: Option<&[String]>, now: Timestamp) -> Answer<Vec<TrackerSnapshot>>;
    fn completed(&mut self, group: &str) -> Answer<Vec<String>>;
    fn peek(&mut self, group: &str, names: Option<&[String]>, now: Timestamp) -> Answer<Vec<TrackerSnapshot>> {
        self.trackers(group, names, now)
    }
    fn periods(&mut self, group: &str, name: &str, now: Timestamp) -> Answer<Vec<PeriodRecord>>;
    fn set_attributes(&mut self, group: &str, attributes: &Map, now: Timestamp) -> Answer<()>;
    fn delete_group(&mut self, group: &str, now: Timestamp) -> Answer<()>;
    fn set_trackers(&mut self, templates: Vec<Template>, now: Timestamp) -> Answer<()>;
}

/// The engine alone: groups in a map.
#[derive(Debug, Default)]
pub struct Bare {
    engine: Engine,
    groups: HashMap<String, Group>,
}

impl Bare {
    /// An engine whose windows are in `zone`, unless they have their own.
    pub fn in_zone(zone: Zone) -> Self {
        Self { engine: Engine { zone, ..Engine::default() }, ..Self::default() }
    }
}

impl Bare {
    fn group(&mut self, id: &str) -> (&Engine, &mut Group) {
        (&self.engine, self.groups.entry(id.to_owned()).or_default())
    }

    fn call<T>(
        &mut self,
        group: &str,
        now: Timestamp,
        call: impl FnOnce(&mut Group, &Call<'_>) -> Result<T, GroupError>,
    ) -> Answer<T> {
        let (engine, found) = self.group(group);
        let now = Call::new(engine, group, now);
        let run = || {
            found.apply_templates(&now)?;
            let value = call(found, &now)?;
            found.apply_templates(&now)?;
            Ok(value)
        };
        run().map_err(|error: GroupError| error.to_string())
    }

    fn view<T>(&mut self, group: &str, now: Timestamp, view: impl FnOnce(&Engine, &Group) -> T) -> Answer<T> {
        let (engine, found) = self.group(group);
        let found = found.with_templates(&Call::new(engine, group, now)).map_err(|error| error.to_string())?;
        Ok(view(engine, &found))
    }
}

fn shared(trackers: Vec<TrackerDefinition>) -> Vec<Arc<TrackerDefinition>> {
    trackers.into_iter().map(Arc::new).collect()
}

impl Host for Bare {
    fn add(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        now: Timestamp,
        expire: Option<Span>,
    ) -> Answer<Added> {
        self.call(group, now, |found, call| found.add(call, &shared(trackers), expire))
    }

    fn ensure(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        differing: Differing,
        now: Timestamp,
    ) -> Answer<Added> {
        let list = TrackerList::new(shared(trackers), &self.engine).map_err(|error| error.to_string())?;
        self.call(group, now, |found, call| found.ensure(call, &list, differing))
    }

    fn update(&mut self, group: &str, tracker: TrackerDefinition, now: Timestamp) -> Answer<bool> {
        self.call(group, now, |found, call| found.update(call, &Arc::new(tracker)))
    }

    fn set_progress(&mut self, group: &str, name: &str, progress: Amount, now: Timestamp) -> Answer<bool> {
        self.call(group, now, |found, call| Ok(found.set_progress(call, name, progress)))
    }

    fn add_targets(&mut self, group: &str, name: &str, targets: Vec<Amount>, now: Timestamp) -> Answer<bool> {
        self.call(group, now, |found, call| found.add_targets(call, name, &targets))
    }

    fn remove(&mut self, group: &str, names: &[String], now: Timestamp) -> Answer<Vec<String>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.call(group, now, |found, call| found.remove(call, &names))
    }

    fn reset(
        &mut self,
        group: &str,
        name: &str,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
        now: Timestamp,
    ) -> Answer<Option<Arc<Event>>> {
        self.call(group, now, |found, call| found.reset(call, name, policy, renewal))
    }

    fn track(&mut self, group: &str, document: &Json, now: Timestamp, id: Option<&str>) -> Answer<Outcome> {
        let track = Track::new(document, now).id(id.map(|id| ContentHash::of([id])));
        let (engine, found) = self.group(group);
        found.ensure_and_track(engine, group, &track, None).map_err(|error| error.to_string())
    }

    fn explain(&mut self, group: &str, document: &Json, now: Timestamp) -> Answer<Vec<Explanation>> {
        self.view(group, now, |engine, found| found.explain(engine, document, now))
    }

    fn trackers(&mut self, group: &str, names: Option<&[String]>, now: Timestamp) -> Answer<Vec<TrackerSnapshot>> {
        let names: Option<Vec<&str>> = names.map(|names| names.iter().map(String::as_str).collect());
        self.view(group, now, |engine, found| found.trackers(engine, names.as_deref(), now))
    }

    fn completed(&mut self, group: &str) -> Answer<Vec<String>> {
        let completed = self.group(group).1.completed();
        Ok(completed.iter().map(|completed| completed.tracker.name().to_owned()).collect())
    }

    fn periods(&mut self, group: &str, name: &str, now: Timestamp) -> Answer<Vec<PeriodRecord>> {
        let tracker = self.view(group, now, |engine, found| found.trackers(engine, Some(&[name]), now).pop())?;
        tracker.map(|tracker| tracker.periods()).ok_or_else(|| format!("there is no tracker {name}"))
    }

    fn set_attributes(&mut self, group: &str, attributes: &Map, now: Timestamp) -> Answer<()> {
        self.call(group, now, |found, _| found.set_attributes(attributes).map(drop))
    }

    fn delete_group(&mut self, group: &str, _: Timestamp) -> Answer<()> {
        self.group(group).1.forget();
        Ok(())
    }

    fn set_trackers(&mut self, templates: Vec<Template>, _: Timestamp) -> Answer<()> {
        self.engine.templates.set(TemplateSet::new(templates).map_err(|error| error.to_string())?);
        Ok(())
    }
}

/// A manager with any cache and store; its clock follows the steps.
#[derive(Debug)]
pub struct OnManager {
    managers: Managers,
    clock: Arc<TestClock>,
    /// What each manager is given before a call.
    templates: Option<Vec<Template>>,
}

/// Which manager gets the next call.
enum Managers {
    InTurn { all: Vec<Blocking>, next: usize },
    Restarted { open: Box<dyn FnMut() -> Blocking>, current: Option<Blocking> },
}

impl Managers {
    fn next(&mut self) -> &Blocking {
        match self {
            Self::InTurn { all, next } => {
                *next = (*next + 1) % all.len();
                &all[*next]
            }
            Self::Restarted { open, current } => {
                if let Some(previous) = current.take() {
                    previous.close().expect("the manager closes without losing anything");
                }
                current.insert(open())
            }
        }
    }
}

impl fmt::Debug for Managers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InTurn { all, .. } => all.fmt(f),
            Self::Restarted { current, .. } => current.fmt(f),
        }
    }
}

impl OnManager {
    /// Runs on `manager`, which must take its time from `clock`.
    pub fn new(manager: Blocking, clock: Arc<TestClock>) -> Self {
        Self::in_turn(vec![manager], clock)
    }

    /// Runs each call on another of `managers`, which share a cache and take their time from `clock`.
    ///
    /// # Panics
    /// If there is no manager.
    pub fn in_turn(managers: Vec<Blocking>, clock: Arc<TestClock>) -> Self {
        assert!(!managers.is_empty(), "a scenario needs a manager");
        Self { managers: Managers::InTurn { all: managers, next: 0 }, clock, templates: None }
    }

    /// Runs each call on a new manager that `open` returns, after closing the previous one, as if the program was restarted
    /// after every call. All managers must use the same cache or store, and take their time from `clock`.
    ///
    /// # Panics
    /// A call panics if the previous manager cannot be closed.
    pub fn restarted(open: impl FnMut() -> Blocking + 'static, clock: Arc<TestClock>) -> Self {
        let managers = Managers::Restarted { open: Box::new(open), current: None };
        Self { managers, clock, templates: None }
    }

    fn at(&mut self, now: Timestamp) -> &Blocking {
        self.clock.set(now);
        self.next()
    }

    fn next(&mut self) -> &Blocking {
        let manager = self.managers.next();
        if let Some(templates) = &self.templates {
            manager.set_trackers(templates.clone()).expect("a manager accepted them before");
        }
        manager
    }
}

fn text<T>(result: Result<T, crate::Error>) -> Answer<T> {
    result.map_err(|error| error.to_string())
}

impl Host for OnManager {
    fn add(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        now: Timestamp,
        expire: Option<Span>,
    ) -> Answer<Added> {
        let manager = self.at(now);
        text(match expire {
            Some(time) => manager.add_trackers_for(group, trackers, time),
            None => manager.add_trackers(group, trackers),
        })
    }

    fn ensure(
        &mut self,
        group: &str,
        trackers: Vec<TrackerDefinition>,
        differing: Differing,
        now: Timestamp,
    ) -> Answer<Added> {
        let manager = self.at(now);
        let list = text(manager.tracker_list(trackers))?;
        text(manager.ensure_trackers(group, &list, differing))
    }

    fn update(&mut self, group: &str, tracker: TrackerDefinition, now: Timestamp) -> Answer<bool> {
        text(self.at(now).update_tracker(group, tracker))
    }

    fn set_progress(&mut self, group: &str, name: &str, progress: Amount, now: Timestamp) -> Answer<bool> {
        text(self.at(now).set_progress(group, name, progress))
    }

    fn add_targets(&mut self, group: &str, name: &str, targets: Vec<Amount>, now: Timestamp) -> Answer<bool> {
        text(self.at(now).add_targets(group, name, targets))
    }

    fn remove(&mut self, group: &str, names: &[String], now: Timestamp) -> Answer<Vec<String>> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        text(self.at(now).remove_trackers(group, &names))
    }

    fn reset(
        &mut self,
        group: &str,
        name: &str,
        policy: Option<ResetPolicy>,
        renewal: Renewal,
        now: Timestamp,
    ) -> Answer<Option<Arc<Event>>> {
        let mut reset = Reset::default();
        (reset.policy, reset.renewal) = (policy, renewal);
        text(self.at(now).reset_tracker(group, name, reset))
    }

    fn track(&mut self, group: &str, document: &Json, now: Timestamp, id: Option<&str>) -> Answer<Outcome> {
        let plain = Submission::new(group, document);
        text(self.at(now).track_one(id.map_or(plain, |id| plain.id(id))))
    }

    fn explain(&mut self, group: &str, document: &Json, now: Timestamp) -> Answer<Vec<Explanation>> {
        text(self.at(now).explain(group, document))
    }

    fn trackers(&mut self, group: &str, names: Option<&[String]>, now: Timestamp) -> Answer<Vec<TrackerSnapshot>> {
        let mut trackers = text(self.at(now).trackers(group))?;
        if let Some(names) = names {
            trackers.retain(|tracker| names.iter().any(|name| name == tracker.name()));
        }
        Ok(trackers)
    }

    fn completed(&mut self, group: &str) -> Answer<Vec<String>> {
        let completed = text(self.next().completed(group))?;
        Ok(completed.iter().map(|completed| completed.tracker.name().to_owned()).collect())
    }

    fn peek(&mut self, group: &str, names: Option<&[String]>, now: Timestamp) -> Answer<Vec<TrackerSnapshot>> {
        let names: Option<Vec<&str>> = names.map(|names| names.iter().map(String::as_str).collect());
        text(self.at(now).peek(group, names.as_deref()))
    }

    fn periods(&mut self, group: &str, name: &str, now: Timestamp) -> Answer<Vec<PeriodRecord>> {
        text(self.at(now).periods(group, name))?.ok_or_else(|| format!("there is no tracker {name}"))
    }

    fn set_attributes(&mut self, group: &str, attributes: &Map, now: Timestamp) -> Answer<()> {
        text(self.at(now).set_attributes(group, attributes.clone())).map(drop)
    }

    fn delete_group(&mut self, group: &str, now: Timestamp) -> Answer<()> {
        text(self.at(now).delete_group(group)).map(drop)
    }

    fn set_trackers(&mut self, templates: Vec<Template>, now: Timestamp) -> Answer<()> {
        text(self.at(now).set_trackers(templates.clone()))?;
        self.templates = Some(templates);
        Ok(())
    }
}

/// A map of these fields.
pub(super) fn map(fields: impl IntoIterator<Item = (&'static str, Json)>) -> Map {
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

pub(super) fn list(names: impl IntoIterator<Item = String>) -> Json {
    Json::List(names.into_iter().map(Json::from).collect())
}

pub(super) fn by_name<'a>(entries: impl Iterator<Item = (&'a str, Json)>) -> Json {
    Json::Map(entries.map(|(name, value)| (name.into(), value)).collect())
}

fn fields(json: &Json) -> impl Iterator<Item = (&str, Json)> {
    json.as_map().into_iter().flat_map(Map::iter).map(|(name, value)| (name, value.clone()))
}

/// What [`Added::to_json`] prints, with events as scenarios have them.
pub(super) fn added(added: &Added) -> Map {
    let mut map: Map = fields(&added.to_json()).map(|(name, value)| (name.into(), value)).collect();
    map.insert("events".into(), events(&added.events));
    map
}

pub(super) fn event(event: &Event) -> Json {
    let Json::Map(mut map) = event.to_json() else { return Json::Null };
    map.insert("name".into(), event.name().into());
    map.insert("times".into(), event.times.into());
    if let Some(moment) = event.period_start() {
        map.insert("period_start".into(), moment.to_number().into());
    }
    Json::Map(map)
}

fn events(events: &[Arc<Event>]) -> Json {
    Json::List(events.iter().map(|found| event(found)).collect())
}

/// What [`Outcome::to_json`] prints, with the trackers that are still there after the document in `dirtied`, only the names of
/// those that failed, and events as scenarios have them.
pub(super) fn outcome(outcome: &Outcome) -> Map {
    let dirtied = outcome.dirtied().filter(|tracker| tracker.status() != Status::Completed);
    let mut map: Map = fields(&outcome.to_json())
        .filter(|(name, _)| *name != "trackers")
        .map(|(name, value)| (name.into(), value))
        .collect();
    map.insert("dirtied".into(), by_name(dirtied.map(|tracker| (tracker.name(), tracker.to_json()))));
    map.insert("failed".into(), list(outcome.failed().map(|(name, _)| name.to_owned())));
    map.insert("events".into(), events(outcome.events()));
    map
}
