//! Scenarios: expected behaviour as JSON, replayed on any host and compared.
//!
//! A scenario has a group, definitions that are added at `t0`, steps with the expected result of each, and the trackers at
//! the end. Every expectation is optional, and numbers are compared by value.
//! `docs/scenarios.md` describes the format.

use std::fmt;

use dictrack_core::json::{Bounds, Json, Map};
use dictrack_core::source::Node;
use dictrack_core::template::read_templates;
use dictrack_core::{
    Amount, PeriodRecord, Renewal, ResetPolicy, Span, Timestamp, TrackerDefinition, Zone, group::Differing,
    json::SyntaxError, number::Number,
};

mod compare;
mod host;

pub use host::{Bare, Host, OnManager};

/// A scenario that was read from a file.
#[derive(Clone, Debug)]
pub struct Scenario {
    group: String,
    start: Timestamp,
    ordered: bool,
    zone: Zone,
    definitions: Vec<TrackerDefinition>,
    steps: Vec<ScenarioStep>,
    end: Option<Json>,
}

#[derive(Clone, Debug)]
struct ScenarioStep {
    word: &'static str,
    now: Timestamp,
    call: Op,
    expected: Map,
}

/// A call of a step.
#[derive(Clone, Debug)]
enum Op {
    Track { document: Json, id: Option<String> },
    Add { trackers: Vec<Json>, expire: Option<Span> },
    Ensure { trackers: Vec<TrackerDefinition>, differing: Differing },
    Update { tracker: Json },
    SetProgress { name: String, progress: Amount },
    AddTargets { name: String, targets: Vec<Amount> },
    Remove { names: Vec<String> },
    Reset { name: String, policy: Option<ResetPolicy>, renewal: Renewal },
    Get { names: Option<Vec<String>> },
    Explain { document: Json },
    Completed,
    Peek { names: Option<Vec<String>> },
    Periods { name: String },
    SetAttributes { attributes: Map },
    DeleteGroup,
    SetTrackers { source: Json },
}

/// Why a text is not a valid scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The text is not JSON.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// The JSON is not a scenario.
    #[error("{place}: {problem}")]
    Shape {
        /// Where, as a path: `steps[3].now`.
        place: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
}

/// A difference between what a host did and what was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Which step, counted from one; `None` for the trackers at the end.
    pub step: Option<usize>,
    /// The call of that step.
    pub call: &'static str,
    /// What differs, as a path: `dirtied.orders.progress`.
    pub field: String,
    /// What the scenario expects; `None` if there should be nothing.
    pub expected: Option<Json>,
    /// What the host returned; `None` if there was nothing.
    pub actual: Option<Json>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(f, "step {step} ({}): {}", self.call, self.field)?,
            None => write!(f, "at the end: {}", self.field)?,
        }
        let text = |value: &Option<Json>| value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        write!(f, "\n  - expected {}\n  + got      {}", text(&self.expected), text(&self.actual))
    }
}

type Read<T> = Result<T, ScenarioError>;

/// The fields that may be expected of a tracker that a document changed.
const TOUCHED: [&str; 9] =
    ["name", "progress", "target", "stage", "limited", "limiters", "status", "period", "freezes"];
/// The fields that may be expected of a tracker that is read.
const SNAPSHOT: [&str; 12] = [
    "name",
    "progress",
    "target",
    "stage",
    "stages",
    "limited",
    "limiters",
    "cycle",
    "expire_at",
    "status",
    "period",
    "freezes",
];

fn shape(place: &str, problem: impl Into<String>) -> ScenarioError {
    ScenarioError::Shape { place: place.to_owned(), problem: problem.into() }
}

/// The members of a map and the path to it, for errors.
struct Members<'a> {
    map: &'a Map,
    place: String,
}

impl<'a> Members<'a> {
    fn of(json: &'a Json, place: &str) -> Read<Self> {
        let map = json.as_map().ok_or_else(|| shape(place, format!("{}; expected a map", json.kind())))?;
        Ok(Self { map, place: place.to_owned() })
    }

    fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    fn optional<T>(&self, key: &str, read: impl FnOnce(&'a Json) -> Option<T>, expected: &str) -> Read<Option<T>> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let problem = || shape(&self.at(key), format!("{}; expected {expected}", value.kind()));
        read(value).map(Some).ok_or_else(problem)
    }

    fn required<T>(&self, key: &str, read: impl FnOnce(&'a Json) -> Option<T>, expected: &str) -> Read<T> {
        let missing = || shape(&self.at(key), format!("required field is missing; expected {expected}"));
        self.optional(key, read, expected)?.ok_or_else(missing)
    }

    fn text(&self, key: &str) -> Read<String> {
        self.required(key, |value| value.as_str().map(str::to_owned), "a string")
    }

    fn definition(&self, json: &Json, place: &str) -> Read<TrackerDefinition> {
        TrackerDefinition::from_json(json).map_err(|error| shape(&self.at(place), error.to_string()))
    }

    fn definitions(&self, key: &str) -> Read<Vec<TrackerDefinition>> {
        let items = self.required(key, Json::as_list, "a list of trackers")?.iter().enumerate();
        items.map(|(at, item)| self.definition(item, &format!("{key}[{at}]"))).collect()
    }

    /// Rejects unknown tracker fields in the expectations at `key`, if that is a map from name to tracker.
    fn only_trackers(&self, key: &str, known: &[&str]) -> Read<()> {
        let Some(trackers) = self.map.get(key).and_then(Json::as_map) else { return Ok(()) };
        let check = |(name, tracker)| Members::of(tracker, &format!("{}.{name}", self.at(key)))?.only(known);
        trackers.iter().try_for_each(check)
    }

    fn only(&self, known: &[&str]) -> Read<()> {
        match self.map.iter().find(|(key, _)| !known.contains(key)) {
            Some((key, _)) => {
                Err(shape(&self.at(key), format!("unknown field `{key}`; expected one of {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }
}

fn names(json: &Json) -> Option<Vec<String>> {
    json.as_list()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

fn flag(json: &Json) -> Option<bool> {
    if let Json::Bool(flag) = json { Some(*flag) } else { None }
}

fn amount(json: &Json) -> Option<Amount> {
    match json {
        Json::Number(Number::Exact(amount)) => Some(*amount),
        _ => None,
    }
}

fn policy(json: &Json) -> Option<ResetPolicy> {
    let mut policy = ResetPolicy::NONE;
    for flag in json.as_list()? {
        match flag.as_str()? {
            "progress" => policy.progress = true,
            "limiter" => policy.limiter = true,
            _ => return None,
        }
    }
    Some(policy)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// A [`ScenarioError`] that says where the text is not JSON or not a scenario.
    pub fn parse(text: &[u8]) -> Result<Self, ScenarioError> {
        let bounds = Bounds { bytes: dictrack_core::source::MAX_SOURCE_BYTES, ..Bounds::DOCUMENT };
        let json = Json::parse_within(text, bounds)?;
        let members = Members::of(&json, "")?;
        members.only(&["description", "group", "t0", "zone", "ordered", "definitions", "steps", "final"])?;
        members.only_trackers("final", &SNAPSHOT)?;
        let steps = members.required("steps", Json::as_list, "a list of steps")?;
        let start = members.required("t0", Timestamp::read, "a timestamp")?;
        Ok(Self {
            group: members.text("group")?,
            start,
            ordered: members.optional("ordered", flag, "true or false")?.unwrap_or(false),
            zone: members
                .optional("zone", |zone| Zone::named(zone.as_str()?), "an IANA time zone")?
                .unwrap_or(Zone::UTC),
            definitions: members.definitions("definitions")?,
            steps: {
                let mut read: Vec<ScenarioStep> = Vec::with_capacity(steps.len());
                for (at, step) in steps.iter().enumerate() {
                    let before = read.last().map_or(start, |step| step.now);
                    read.push(ScenarioStep::read(step, &format!("steps[{at}]"), before)?);
                }
                read
            },
            end: members.optional("final", |end| end.as_map().map(|_| end.clone()), "a map of trackers")?,
        })
    }

    /// The zone of the engine or the manager on which it is to run.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// Replays the scenario on `host` and returns the differences; none if it passes.
    pub fn run(&self, host: &mut dyn Host) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let start = host.add(&self.group, self.definitions.clone(), self.start, None);
        if let Err(error) = start {
            mismatches.push(Mismatch {
                step: None,
                call: "add",
                field: "definitions".to_owned(),
                expected: None,
                actual: Some(error.into()),
            });
            return mismatches;
        }
        for (at, step) in self.steps.iter().enumerate() {
            let actual = step.run(&self.group, host);
            let differ = compare::step(&step.expected, &actual, self.ordered);
            mismatches.extend(differ.into_iter().map(|(field, expected, actual)| Mismatch {
                step: Some(at + 1),
                call: step.word,
                field,
                expected,
                actual,
            }));
        }
        if let Some(end) = &self.end {
            let now = self.steps.iter().map(|step| step.now).next_back().unwrap_or(self.start);
            let actual = match host.trackers(&self.group, None, now) {
                Ok(trackers) => host::by_name(trackers.iter().map(|tracker| (tracker.name(), tracker.to_json()))),
                Err(error) => error.into(),
            };
            let differ = compare::trackers("final", end, &actual);
            mismatches.extend(differ.into_iter().map(|(field, expected, actual)| Mismatch {
                step: None,
                call: "final",
                field,
                expected,
                actual,
            }));
        }
        mismatches
    }
}

impl ScenarioStep {
    fn read(json: &Json, place: &str, before: Timestamp) -> Read<Self> {
        let members = Members::of(json, place)?;
        let op = members.text("op")?;
        let document = || members.required("data", |data| Some(data.clone()), "a document");
        let tracker = || members.required("tracker", |tracker| Some(tracker.clone()), "a definition");
        let (word, takes, gives, call): (_, &[&str], &[&str], Op) = match op.as_str() {
            "track" => (
                "track",
                &["data", "id"],
                &[
                    "counted",
                    "dirtied",
                    "completed",
                    "limited",
                    "refused",
                    "refusals",
                    "skipped",
                    "failed",
                    "duplicate",
                    "events",
                ],
                Op::Track {
                    document: document()?,
                    id: members.optional("id", |id| id.as_str().map(str::to_owned), "a string")?,
                },
            ),
            "add" => (
                "add",
                &["trackers", "expire"],
                &["added", "existing", "events", "error"],
                Op::Add {
                    trackers: members.required("trackers", Json::as_list, "a list of trackers")?.to_vec(),
                    expire: members.optional("expire", Span::read, "seconds")?,
                },
            ),
            "ensure" => (
                "ensure",
                &["trackers", "update"],
                &["added", "existing", "completed", "updated", "removed", "events", "error"],
                Op::Ensure {
                    trackers: members.definitions("trackers")?,
                    differing: match members.optional("update", flag, "true or false")? {
                        Some(true) => Differing::Replace,
                        Some(false) | None => Differing::Refuse,
                    },
                },
            ),
            "update" => ("update", &["tracker"], &["found", "error"], Op::Update { tracker: tracker()? }),
            "set_progress" => (
                "set_progress",
                &["name", "progress"],
                &["found", "error"],
                Op::SetProgress {
                    name: members.text("name")?,
                    progress: members.required("progress", amount, "a number")?,
                },
            ),
            "add_targets" => (
                "add_targets",
                &["name", "targets"],
                &["found", "error"],
                Op::AddTargets {
                    name: members.text("name")?,
                    targets: members.required(
                        "targets",
                        |targets| targets.as_list()?.iter().map(amount).collect(),
                        "a list of numbers",
                    )?,
                },
            ),
            "remove" => (
                "remove",
                &["names"],
                &["removed", "error"],
                Op::Remove { names: members.required("names", names, "a list of names")? },
            ),
            "reset" => (
                "reset",
                &["name", "policy", "count", "seconds"],
                &["found", "events", "error"],
                Op::Reset {
                    name: members.text("name")?,
                    policy: members.optional("policy", policy, "a list of \"progress\" and \"limiter\"")?,
                    renewal: {
                        let mut renewal = Renewal::default();
                        renewal.count = members.optional(
                            "count",
                            |count| u64::try_from(amount(count)?.to_integer()?).ok(),
                            "a whole number",
                        )?;
                        renewal.length = members.optional("seconds", Span::read, "seconds")?;
                        renewal
                    },
                },
            ),
            "get" => (
                "get",
                &["names"],
                &["trackers"],
                Op::Get { names: members.optional("names", names, "a list of names")? },
            ),
            "explain" => ("explain", &["data"], &["explain"], Op::Explain { document: document()? }),
            "completed" => ("completed", &[], &["names"], Op::Completed),
            "peek" => (
                "peek",
                &["names"],
                &["trackers"],
                Op::Peek { names: members.optional("names", names, "a list of names")? },
            ),
            "periods" => ("periods", &["name"], &["periods", "error"], Op::Periods { name: members.text("name")? }),
            "set_attributes" => (
                "set_attributes",
                &["attributes"],
                &["error"],
                Op::SetAttributes { attributes: members.required("attributes", |map| map.as_map().cloned(), "a map")? },
            ),
            "delete_group" => ("delete_group", &[], &["error"], Op::DeleteGroup),
            "set_trackers" => (
                "set_trackers",
                &["trackers", "templates"],
                &["error"],
                Op::SetTrackers {
                    source: {
                        let source = members.map.iter().filter(|(key, _)| matches!(*key, "trackers" | "templates"));
                        Json::Map(source.map(|(key, value)| (key.into(), value.clone())).collect())
                    },
                },
            ),
            _ => {
                let expected = "track, add, ensure, update, set_progress, add_targets, remove, reset, get, explain, \
                                completed, peek, periods, set_attributes, delete_group, set_trackers";
                return Err(shape(&members.at("op"), format!("unknown step {op:?}; expected one of {expected}")));
            }
        };
        let known: Vec<&str> = ["op", "now", "description"].iter().chain(takes).chain(gives).copied().collect();
        members.only(&known)?;
        members.only_trackers("dirtied", &TOUCHED)?;
        members.only_trackers("trackers", &SNAPSHOT)?;
        let now = members.optional("now", Timestamp::read, "a timestamp")?;
        if now.is_none() && word != "completed" {
            return Err(shape(&members.at("now"), "required field is missing; expected a timestamp"));
        }
        let expected = members.map.iter().filter(|(key, _)| gives.contains(key));
        let expected = expected.map(|(key, value)| (key.into(), value.clone())).collect();
        Ok(Self { word, now: now.unwrap_or(before), call, expected })
    }

    /// What the call returned, as JSON in the form of the expectations.
    fn run(&self, group: &str, host: &mut dyn Host) -> Json {
        let now = self.now;
        let found = |found: bool| host::map([("found", Json::from(found))]);
        let result = match &self.call {
            Op::Track { document, id } => {
                host.track(group, document, now, id.as_deref()).map(|outcome| host::outcome(&outcome))
            }
            Op::Add { trackers, expire } => {
                let read: Result<Vec<_>, _> = trackers.iter().map(TrackerDefinition::from_json).collect();
                let added = read.map_err(|error| error.to_string());
                added.and_then(|trackers| host.add(group, trackers, now, *expire)).map(|added| host::added(&added))
            }
            Op::Ensure { trackers, differing } => {
                host.ensure(group, trackers.clone(), *differing, now).map(|added| host::added(&added))
            }
            Op::Update { tracker } => TrackerDefinition::from_json(tracker)
                .map_err(|error| error.to_string())
                .and_then(|tracker| host.update(group, tracker, now))
                .map(found),
            Op::SetProgress { name, progress } => host.set_progress(group, name, *progress, now).map(found),
            Op::AddTargets { name, targets } => host.add_targets(group, name, targets.clone(), now).map(found),
            Op::Remove { names } => {
                host.remove(group, names, now).map(|removed| host::map([("removed", host::list(removed))]))
            }
            Op::Reset { name, policy, renewal } => host.reset(group, name, *policy, *renewal, now).map(|event| {
                let events = event.iter().map(|event| host::event(event)).collect::<Vec<_>>();
                host::map([("found", event.is_some().into()), ("events", events.into())])
            }),
            Op::Get { names } => host.trackers(group, names.as_deref(), now).map(|trackers| {
                host::map([(
                    "trackers",
                    host::by_name(trackers.iter().map(|tracker| (tracker.name(), tracker.to_json()))),
                )])
            }),
            Op::Explain { document } => host.explain(group, document, now).map(|reasons| {
                host::map([(
                    "explain",
                    host::by_name(reasons.iter().map(|reason| (reason.name.as_str(), reason.to_json()))),
                )])
            }),
            Op::Completed => host.completed(group).map(|names| host::map([("names", host::list(names))])),
            Op::Peek { names } => host.peek(group, names.as_deref(), now).map(|trackers| {
                host::map([(
                    "trackers",
                    host::by_name(trackers.iter().map(|tracker| (tracker.name(), tracker.to_json()))),
                )])
            }),
            Op::Periods { name } => host.periods(group, name, now).map(|periods| {
                host::map([("periods", periods.iter().map(PeriodRecord::to_json).collect::<Vec<_>>().into())])
            }),
            Op::SetAttributes { attributes } => host.set_attributes(group, attributes, now).map(|()| Map::new()),
            Op::DeleteGroup => host.delete_group(group, now).map(|()| Map::new()),
            Op::SetTrackers { source } => read_templates(&Node::from(source))
                .map_err(|error| error.to_string())
                .and_then(|templates| host.set_trackers(templates, now))
                .map(|()| Map::new()),
        };
        result.unwrap_or_else(|error| host::map([("error", error.to_lowercase().into())])).into()
    }
}
